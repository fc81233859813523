"""The README describes what is there: notebooks, modules, commands, pictures and code."""

import base64
import importlib.util
import pkgutil
import re
import shlex

import nbformat
import pytest
from notebook_rules import LESSONS, ROOT, broken_links

README = (ROOT / "README.md").read_text(encoding="utf-8")
IMAGES = ROOT / "notebooks" / "images"
# each picture, and the notebook and a text in the cell that it comes from
PICTURES = {
    "held_out.png": ("04_training", "baselines=lines"),
    "gate_explorer.png": ("06_gate_explorer", "value=0.0, since=30"),
}


def picture_in_notebook(name: str, text: str) -> bytes:
    """The picture that the cell with this text has put out."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code" and text in cell.source:
            return base64.b64decode(cell.outputs[0].data["image/png"])
    raise AssertionError(f"notebook {name} has no cell with {text!r}")


@pytest.mark.parametrize("image", PICTURES)
def test_the_pictures_are_those_of_the_notebooks(image):
    repair = "it is out of date: `python tests/test_readme.py` copies it from the notebook"
    same = (IMAGES / image).read_bytes() == picture_in_notebook(*PICTURES[image])
    assert same, repair  # pytest would explain the difference of two pictures for minutes
    assert f"](notebooks/images/{image})" in README


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    """Of this and the other documents beside it."""
    assert list(broken_links(path.read_text(encoding="utf-8"), path.parent)) == []


def test_the_table_has_every_notebook_with_its_minutes():
    for path in LESSONS:
        row = re.search(rf"^\| \[.*\]\(notebooks/{path.name}\) \|.*$", README, re.MULTILINE)
        assert row, f"{path.name} is missing from the README's table"
        header = nbformat.read(path, as_version=4).cells[0].source
        minutes = re.search(r"\*\*Minutes\.\*\* (\d+)", header).group(1)
        assert row.group(0).split("|")[3].strip() == minutes


def test_the_table_has_every_module():
    table = README.partition("| module | holds |")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    named = {name.partition(".")[0] for cell in cells for name in re.findall(r"`(.*?)`", cell)}
    modules = {module.name for module in pkgutil.iter_modules([str(ROOT / "gru_helpers")])}
    assert named == {name for name in modules if not name.startswith("_")}


def test_the_commands_exist():
    spec = importlib.util.spec_from_file_location("course", ROOT / "course.py")
    course = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(course)
    commands = re.findall(r"\bcourse\.py (.+?)(?:`|#|\)|$)", README, re.MULTILINE)
    assert len(commands) > 5
    for command, *arguments in map(shlex.split, commands):
        assert command in course.COMMANDS
        paths = [word for word in arguments if word.endswith((".py", ".ipynb"))]
        assert all((ROOT / path).exists() for path in paths), paths


def test_the_code_runs():
    listings = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert listings
    for code in listings:
        code = code.replace(" 500", " 1").replace(" 256", " 8")  # epochs, hidden units
        assert not re.search(r"500|256", code), "this would take minutes"
        exec(code, {})


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for image, source in PICTURES.items():
        (IMAGES / image).write_bytes(picture_in_notebook(*source))
