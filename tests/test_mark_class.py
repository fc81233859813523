"""``course.py class``: each notebook of a class in a kernel of its own, and one table."""

import csv
import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from gru_helpers.studies import mark_class
from gru_helpers.studies.mark_class import (
    columns_of,
    find_notebooks,
    for_nbgrader,
    main,
    read_log,
    student_of,
)

LESSON = "01_gate_equations.ipynb"
IMPORT = "from gru_helpers.checks import check"


def hand_in(path, *sources):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[new_code_cell(text) for text in sources]), path)
    return path


def table_of(folder):
    with (folder / "checks.csv").open(encoding="utf-8", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def test_a_class_gets_one_table(tmp_path, capsys, monkeypatch):
    """A cell that fails stops nobody, a kernel that dies its own notebook, a bad file itself."""
    monkeypatch.setenv("GRU_CHECKS", "strict")  # set for another purpose: the cells go on
    right = 'check("01.3a", 0.3)'
    ada = hand_in(
        tmp_path / "ada" / LESSON,
        IMPORT,
        'check("01.4", (-2, 0.326)); check("01.5", ...)',
        "1 / 0",
        f'check("01.3a", 7)\n{right}',
    )
    hand_in(tmp_path / "ada" / "solutions" / LESSON, IMPORT, 'check("01.6", (0, 0, 1))')
    hand_in(tmp_path / "01_gate_equations_ben.ipynb", IMPORT, right, "import os; os._exit(1)")
    (tmp_path / "eve").mkdir()
    (tmp_path / "eve" / LESSON).write_text("{}x")
    before = ada.read_bytes()

    assert main([str(tmp_path)]) == 0

    rows = table_of(tmp_path)
    assert list(rows) == ["ada", "ben", "eve"]
    found = [rows["ada"][number] for number in ("01.3a", "01.4", "01.5", "01.6")]
    assert found == ["right", "sign_copied", "no answer", ""]
    assert rows["ada"]["right"] == rows["ben"]["right"] == "1"
    assert rows["ben"]["notes"] == "01_gate_equations_ben.ipynb stopped: its kernel died"
    assert "is no notebook" in rows["eve"]["notes"]
    assert ada.read_bytes() == before
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["student", "01.1a", "01.1b"]
    assert lines[1].split() == ["ada", "+", "m", ".", "1", "of", str(len(columns_of([ada], [])))]
    assert "1 of 3: 01.4 sign_copied" in lines


def test_a_notebook_without_end_is_stopped(tmp_path):
    hand_in(tmp_path / LESSON, "while True: pass")
    assert main([str(tmp_path), "--seconds", "1"]) == 0
    assert table_of(tmp_path)["01_gate_equations"]["notes"] == f"{LESSON} was stopped after 1 s"


def test_an_empty_folder_is_refused_in_one_sentence(tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "none"):
        assert main([str(folder)]) == 1
        assert capsys.readouterr().err == (
            f"There are no notebooks in {folder}: name the folder of the class.\n"
        )


def test_ctrl_c_ends_it(tmp_path, monkeypatch):
    hand_in(tmp_path / LESSON, IMPORT)

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(mark_class, "run_all", interrupted)
    assert main([str(tmp_path)]) == 130


@pytest.mark.parametrize(
    ("path", "student"),
    [
        (f"ada/{LESSON}", "ada"),
        (f"ada/week 1/{LESSON}", "ada"),
        ("01_gate_equations_ada.ipynb", "ada"),
        ("ada-11_speed_and_scale.ipynb", "ada"),
        ("homework.ipynb", "homework"),
        (LESSON, "01_gate_equations"),
    ],
)
def test_whose_notebook_it_is(tmp_path, path, student):
    assert student_of(tmp_path / path, tmp_path) == student


def test_what_jupyter_keeps_and_what_we_solved_is_not_marked(tmp_path):
    names = ["ada/.ipynb_checkpoints/a.ipynb", "ada/solutions/a.ipynb", "ada/a_solutions.ipynb"]
    for name in [*names, "ada/a.ipynb"]:
        hand_in(tmp_path / name)
    assert find_notebooks(tmp_path) == [tmp_path / "ada" / "a.ipynb"]


def test_the_last_verdict_counts(tmp_path):
    log = tmp_path / "log"
    line = {"exercise": "01.2", "mistake": None, "message": ""}
    states = (False, None, True, False)
    log.write_text("\n".join(json.dumps(line | {"passed": passed}) for passed in states))
    assert read_log(log) == {"01.2": "not right"}
    assert read_log(tmp_path / "none") == {}


# --- nbgrader -----------------------------------------------------------------------------------


def test_answers_and_checks_become_cells_of_nbgrader():
    answer = "a = ...\nb = ...\n\n"
    notebook = new_notebook(
        cells=[
            new_markdown_cell("1. Text"),
            new_code_cell(f'{answer}check("01.3a", a)\ncheck("01.3b", b)'),
            new_code_cell("progress()"),
        ]
    )
    text, stub, first, second, last = for_nbgrader(notebook).cells
    assert (text.source, last.source) == ("1. Text", "progress()")
    assert "nbgrader" not in last.metadata
    assert stub.source == answer.strip()
    assert stub.metadata.nbgrader.solution
    assert not stub.metadata.nbgrader.grade
    assert [first.source, second.source] == ['check("01.3a", a)', 'check("01.3b", b)']
    for cell, name in ((first, "test-01-3a"), (second, "test-01-3b")):
        marks = cell.metadata.nbgrader
        assert (marks.grade_id, marks.points) == (name, 1)
        assert (marks.grade, marks.solution, marks.locked) == (True, False, True)


def test_lessons_are_prepared_for_nbgrader_without_outputs(tmp_path, capsys):
    folder = tmp_path / "source" / "gru1"
    assert main([str(folder), "--nbgrader", LESSON]) == 0
    assert capsys.readouterr().out == f"{folder / LESSON}\n"
    cells = nbformat.read(folder / LESSON, as_version=4).cells
    marks = [cell.metadata.nbgrader for cell in cells if "nbgrader" in cell.metadata]
    tests = [mark.grade_id for mark in marks if mark.grade]
    assert tests == [
        f"test-{number.replace('.', '-')}" for number in columns_of([folder / LESSON], [])
    ]
    assert len({mark.grade_id for mark in marks}) == len(marks)
    assert not [cell for cell in cells if cell.get("outputs")]
