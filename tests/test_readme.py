"""The README says what is there: its table, its picture and its code."""

import base64
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
IMAGES = ROOT / "notebooks" / "images"
# each picture, and the notebook and the words of the cell that it comes from
PICTURES = {
    "held_out.png": ("04_training", "baselines=lines"),
    "gate_explorer.png": ("06_gate_explorer", "value=0.0, since=30"),
}


def picture_in_notebook(name: str, words: str) -> bytes:
    """The picture that the cell with these words has put out."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code" and words in cell.source:
            return base64.b64decode(cell.outputs[0].data["image/png"])
    raise AssertionError(f"notebook {name} has no cell with {words!r}")


@pytest.mark.parametrize("image", PICTURES)
def test_the_pictures_are_those_of_the_notebooks(image):
    mend = "it is out of date: `python tests/test_readme.py` takes it from the notebook again"
    assert (IMAGES / image).read_bytes() == picture_in_notebook(*PICTURES[image]), mend
    assert f"](notebooks/images/{image})" in README


def test_the_table_has_every_notebook_with_its_minutes():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        row = re.search(rf"^\| \[.*\]\(notebooks/{path.name}\) \|.*$", README, re.MULTILINE)
        assert row, f"{path.name} is missing from the README's table"
        header = nbformat.read(path, as_version=4).cells[0].source
        minutes = re.search(r"\*\*Minutes\.\*\* (\d+)", header).group(1)
        assert row.group(0).split("|")[3].strip() == minutes


def test_the_code_runs():
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    assert code.count(" 500,") == 2
    exec(code.replace(" 500,", " 1,").replace(" 256", " 8"), {})


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for image, source in PICTURES.items():
        (IMAGES / image).write_bytes(picture_in_notebook(*source))
