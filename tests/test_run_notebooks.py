"""run_notebooks: what it executes, what it writes, and what it says of a failure."""

import json
import os
import re
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from gru_helpers.studies import run_notebooks


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """The folder notebooks/ of an empty course."""
    folder = tmp_path / "my course" / "notebooks"
    (folder / "solutions").mkdir(parents=True)
    monkeypatch.setattr(run_notebooks, "NOTEBOOKS", folder)
    monkeypatch.setattr(run_notebooks, "RESULTS", folder.parent / "build" / "notebooks")
    return folder


def write_notebook(path, *sources):
    """Write a notebook whose cells have all printed "kept"."""
    cells = [new_markdown_cell("A lesson.")]
    for number, source in enumerate(sources, 1):
        output = new_output("stream", name="stdout", text="kept\n")
        cells.append(new_code_cell(source, execution_count=number, outputs=[output]))
    nbformat.write(new_notebook(cells=cells), path)


def test_executes_all_and_names_the_cell_that_fails(notebooks, capsys):
    good, bad = notebooks / "01_good.ipynb", notebooks / "02_bad.ipynb"
    solution = notebooks / "solutions" / "01_solution.ipynb"
    write_notebook(good, "from pathlib import Path\nassert Path('01_good.ipynb').exists()", "6 * 7")
    write_notebook(
        bad, "x = 1", "", "raise ValueError('one line\\nand another')", "print('not reached')"
    )
    write_notebook(solution, "print('after')")
    before = [path.read_bytes() for path in (good, bad, solution)]

    assert run_notebooks.main([]) == 1
    output = capsys.readouterr()
    assert "02_bad: cell [2] stopped with ValueError: one line\n" in output.err
    assert "another" not in output.err
    assert "Traceback" not in output.err
    assert [line.split()[0] for line in output.out.splitlines()] == [
        "notebook",
        "01_good",
        "02_bad",
        "01_solution",
    ]
    assert re.search(r"^01_good +\d+\.\d\d$", output.out, re.MULTILINE)
    assert re.search(r"^02_bad +\d+\.\d\d  FAILED$", output.out, re.MULTILINE)
    assert [path.read_bytes() for path in (good, bad, solution)] == before
    made = nbformat.read(run_notebooks.RESULTS / "01_good.ipynb", as_version=4)
    assert made.cells[-1].outputs[0].data["text/plain"] == "42"
    assert (run_notebooks.RESULTS / "solutions" / "01_solution.ipynb").exists()


def test_write_replaces_what_did_not_fail_and_clears_metadata(notebooks, monkeypatch, capsys):
    good, bad = notebooks / "01_good.ipynb", notebooks / "02_bad.ipynb"
    write_notebook(good, "print(6 * 7)")
    write_notebook(bad, "print('lost')", "import time; time.sleep(600)")
    unwanted = nbformat.read(good, as_version=4)
    unwanted.metadata["widgets"] = {"state": {}}
    unwanted.cells[1].metadata = {"tags": ["nbval-ignore-output"], "scrolled": True}
    nbformat.write(unwanted, good)
    before = bad.read_bytes()
    monkeypatch.chdir(notebooks.parent)

    assert (
        run_notebooks.main(["--write", "--timeout", "2", "notebooks/01_good.ipynb", bad.name]) == 1
    )
    made = nbformat.read(good, as_version=4)
    assert made.cells[1].outputs[0].text == "42\n"
    assert made.cells[1].metadata == {"tags": ["nbval-ignore-output"]}
    assert sorted(made.metadata) == ["kernelspec", "language_info"]
    assert bad.read_bytes() == before
    assert "02_bad: cell [2] stopped with CellTimeoutError" in capsys.readouterr().err


def shown(**data):
    """An output with these kinds of data, ``_`` for ``/``."""
    data = {kind.replace("_", "/"): content for kind, content in data.items()}
    return new_output("display_data", data=data)


def test_a_widget_with_a_picture_is_saved_as_the_picture():
    """By ``course.py run`` and by JupyterLab alike: without its kernel it would be an error."""
    widget = {run_notebooks.WIDGET_VIEW: {"model_id": "1"}}
    cells = [
        new_markdown_cell("A lesson."),
        new_code_cell("1", outputs=[shown(image_png="iVBO", text_plain="a slider", **widget)]),
        new_code_cell("2", outputs=[shown(text_plain="a slider", **widget)]),
        new_code_cell("3", outputs=[new_output("stream", text="3"), shown(image_png="iVBO")]),
    ]
    notebook = new_notebook(cells=cells)
    run_notebooks.clear_what_differs(notebook)
    kinds = [[sorted(output.get("data", ())) for output in cell.outputs] for cell in cells[1:]]
    assert kinds == [
        [["image/png", "text/plain"]],
        [[run_notebooks.WIDGET_VIEW, "text/plain"]],
        [[], ["image/png"]],
    ]

    config = {"c": SimpleNamespace(ServerApp=SimpleNamespace()), "__name__": "config"}
    path = run_notebooks.ROOT / "jupyter_server_config.py"
    exec(path.read_text(encoding="utf-8"), config)
    cells[1].outputs[0].data |= widget
    content = json.loads(nbformat.writes(notebook))
    content["metadata"]["language_info"] |= {"version": "3.12.1"}
    config["prepare_to_save"]({"type": "notebook", "content": content})
    cells[1].outputs[0].data.pop(run_notebooks.WIDGET_VIEW)
    assert content == json.loads(nbformat.writes(notebook))
    for other in ({"type": "file", "content": "x"}, {"type": "notebook", "content": None}, {}):
        config["prepare_to_save"](other)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["nowhere.ipynb"], "there is no notebook nowhere.ipynb"),
        (["--timeout", "soon"], "--timeout"),
        (["--fast"], "--fast"),
        ([], "there are no notebooks in"),
    ],
)
def test_usage_errors_exit_with_2(notebooks, capsys, line, words):
    with pytest.raises(SystemExit) as exit_:
        run_notebooks.main(line)
    assert exit_.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="needs a signal from one process to another")
def test_ctrl_c_ends_it(notebooks, capsys):
    interrupt = "import os, signal, time\nos.kill(os.getppid(), signal.SIGINT)\ntime.sleep(600)"
    write_notebook(notebooks / "01_endless.ipynb", interrupt)
    write_notebook(notebooks / "02_next.ipynb", "1")
    assert run_notebooks.main([]) == 130
    output = capsys.readouterr()
    assert "_next" not in output.out
    assert "Traceback" not in output.err
    assert not run_notebooks.RESULTS.exists()
