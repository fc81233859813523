"""The README says what is there: its table, its picture and its code."""

import base64
import re
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PICTURE = ROOT / "notebooks" / "images" / "held_out.png"


def picture_in_notebook() -> bytes:
    """The picture of notebook 04 in which both curves and the baselines stand."""
    notebook = nbformat.read(ROOT / "notebooks" / "04_training.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code" and "baselines=lines" in cell.source:
            return base64.b64decode(cell.outputs[0].data["image/png"])
    raise AssertionError("notebook 04 has no cell that draws the baselines with the curves")


def test_the_picture_is_the_one_of_notebook_04():
    mend = "it is out of date: `python tests/test_readme.py` takes it from the notebook again"
    assert PICTURE.read_bytes() == picture_in_notebook(), mend


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
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_bytes(picture_in_notebook())
