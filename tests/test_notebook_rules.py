"""Every notebook keeps the rules, and each rule reports what it is for."""

import json
from pathlib import Path

import notebook_rules as rules
import pytest

# of those of all lessons; one page is 00 alone
ALL_RULES = [r for r in rules.ANY_NOTEBOOK + rules.LESSON if r is not rules.fits_on_one_page]
PAIRS = [(path, rule) for path in rules.LESSONS + rules.SOLUTIONS for rule in rules.rules_of(path)]


@pytest.mark.parametrize(
    ("path", "rule"), PAIRS, ids=[f"{path.stem}, {rule.__name__}" for path, rule in PAIRS]
)
def test_notebook(path, rule):
    assert list(rule(rules.Notebook(path))) == []


def test_lessons_are_numbered():
    assert rules.LESSONS
    assert list(rules.numbering_faults(rules.LESSONS)) == []


@pytest.mark.parametrize("names", ["02", "01 01", "01 02_Bad", "00 x"])
def test_lessons_that_are_badly_numbered_are_reported(names):
    paths = [Path(f"{name}_a.ipynb") for name in names.split()]
    assert list(rules.numbering_faults(paths))


# --- a lesson that keeps every rule, and one that breaks them all -------------------------------

IGNORED = ["nbval-ignore-output"]


def text_cell(text):
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def code_cell(text, *outputs, tags=()):
    source = text.splitlines(keepends=True)
    metadata = {"tags": list(tags)} if tags else {}
    return {"cell_type": "code", "metadata": metadata, "outputs": list(outputs), "source": source}


def printed(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text.splitlines(keepends=True)}


def shown(alt="", **data):
    """A displayed output of mime types, ``_`` for ``/``; ``alt`` describes its image."""
    data = {kind.replace("_", "/"): content for kind, content in data.items()}
    return {"output_type": "display_data", "data": data, "metadata": {"image/png": {"alt": alt}}}


def widget(text):
    output = shown(text_plain=text)
    output["data"][rules.WIDGET] = {"model_id": "0"}
    return output


def write(path, cells, counts=None, **metadata):
    """Write a notebook whose code cells carry these execution counts, or 1 to n."""
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    for cell, count in zip(code, counts or range(1, len(code) + 1), strict=True):
        cell["execution_count"] = count
    content = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


STEP = '''def gru_step(X, H, params):
    """One step."""
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h = params
    Z = torch.sigmoid(X @ W_xz + H @ W_hz + b_z)
    R = torch.sigmoid(X @ W_xr + H @ W_hr + b_r)
    H_tilde = torch.tanh(X @ W_xh + (R * H) @ W_hh + b_h)
    return Z, R, H_tilde, Z * H + (1 - Z) * H_tilde'''
GOOD = [
    text_cell(
        "# 01 A lesson\n\n**Question.** What is it about?\n\n**You will be able to**\n\n1. say;\n"
        "2. do;\n3. see.\n\n**Minutes.** 20 to teach.\n\n**Needs.** Python."
    ),
    code_cell("import torch", tags=["raises-exception"]),
    text_cell("**Predict.** What does it print?\n\n$$" + "x + " * 200 + "$$"),
    code_cell(STEP),
    code_cell(
        "def init_gru_state(batch_size, num_hiddens, device):\n"
        "    'Other words.'\n    return (torch.zeros((batch_size, num_hiddens), device=device),)"
    ),
    code_cell("bar", shown(text_plain="100%|███| 17/17 [00:03<00:00]"), tags=IGNORED),
    code_cell("%time\nseconds = 3", printed("3 s\n"), tags=IGNORED),
    code_cell("assert seconds < 60"),
    code_cell("figure", shown("A line.", image_png="AA+/tmp/AA", text_plain="x"), tags=IGNORED),
    text_cell("See [01](01_lesson.ipynb#Summary), [web](https://example.org/tmp/a), `[a](b)`."),
    text_cell("| a | b |\n| --- | --- |\n| " + "word " * 150 + "| c |"),
    text_cell("## Summary\n\n" + "word " * 150),
    text_cell("## Exercises\n\n1. *Recall.* One.\n2. Two.\n3. Three."),
    text_cell("4. *Do it.* Four.\n\nWorked solutions: [here](solutions/01_lesson_solutions.ipynb)"),
    text_cell("## Next\n\nThe next lesson."),
]
BAD = [
    text_cell(
        "# 03 A\n\n**Question.** \n**You will be able to**\n1. one;\n2. two.\n**Minutes.** few"
    ),
    code_cell("open('/home/ann/book.txt')"),
    code_cell(
        "p", printed("x" * 100_001), printed(f"{rules.ROOT}/x\n"), tags=["NBVAL_IGNORE_OUTPUT"]
    ),
    code_cell("f()", {"output_type": "error", "ename": "ValueError", "traceback": ["/tmp/x.py"]}),
    code_cell("# NBVAL_IGNORE_OUTPUT\ng()", printed("UserWarning\n", "stderr")),
    code_cell("html", shown(text_html='<img src="http://c/d">C:\\course'), tags=IGNORED),
    code_cell("print(1)", printed("1\n"), tags=IGNORED),
    *[code_cell("# assert x")] * 2,
    code_cell("assert x" + "\nx = 1" * 30),
    code_cell("figure", shown(" ", image_png="iVBOR", text_plain="x")),
    code_cell("bar", widget("  0%|          | 0/17 [00:00<?, ?epoch/s]")),
    *[code_cell(f"{name} = 1\n" * 17) for name in "xy"],
    code_cell("class Vocab:\n    pass"),
    code_cell("def gru_step(X, H, params, z_keeps=False):\n    return X"),
    text_cell(""),
    text_cell("![](05_lesson.ipynb) ![a](https://b/c.png) <img width=3 src='//d/e.png'>"),
    text_cell("[a](../none/a%20b.txt#part) ![a](none.png) <a href='no.html'>a</a>\n[a]: none.txt"),
    text_cell("word " * 101),
    text_cell("## Summary"),
    text_cell("## Exercises\n\n1. One.\n2. Two.\n4. Four."),
]
BAD_COUNTS = [1, 2, None, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
# what each rule must report of the bad lesson: a part of each fault, in order
REPORTED = {
    rules.runs_in_order: ["[1, 2, None, 4"],
    rules.has_no_empty_cells: ["cell 16"],
    rules.has_no_errors: ["ends in ValueError", "'UserWarning"],
    rules.has_no_widget_state: ["metadata.widgets"],
    rules.has_no_absolute_paths: ["/home/ann", str(rules.ROOT)[:38], "/tmp/x.py", "C:\\\\course"],
    rules.has_small_outputs: ["cell 2 ('p') has 100 kB"],
    rules.has_no_remote_images: ["//b/c.png", "//d/e.png", "//c/d"],
    rules.has_alternative_texts: ["'figure'", "![](05"],
    rules.has_no_widgets: ["'bar'"],
    rules.has_short_cells: ["31 lines", "3 of 15 cells"],
    rules.has_short_texts: ["1 of 4 texts"],
    rules.has_known_tags: ["NBVAL_IGNORE_OUTPUT"],
    rules.asserts_what_is_not_compared: ["g()'", "'html'"],
    rules.has_working_links: ["a%20b.txt", "none.png", "no.html", "none.txt"],
    rules.has_a_header: ["'# 05 '", "Question", "Needs", "three", "number of minutes"],
    rules.has_a_footer: ["last headings", "under Summary", "under Next"],
    rules.has_exercises: ["[1, 2, 4]"],
    rules.has_solutions: ["solutions to [1, 2]", "not begin solution 2", "not link"],
    rules.matches_the_package: ["not the code of gru_helpers.dataset.Vocab", "gru_step is not"],
    rules.writes_out_what_it_teaches: ["unroll", "gru_switched"],
}


@pytest.fixture
def solutions(tmp_path):
    """The solutions of both lessons: to each exercise of the good one, to two of the bad one."""
    good = ("*Recall.* One.", "Two.", "Three.", "*Do it.* Four.")
    for name, texts in (("01_lesson", good), ("05_lesson", ("One.", "Another."))):
        answers = [f"## Exercise {n}\n\n{text}\n\nSo." for n, text in enumerate(texts, start=1)]
        cells = [text_cell("# Solutions"), *map(text_cell, answers)]
        write(tmp_path / "solutions" / f"{name}_solutions.ipynb", cells)
    return tmp_path / "solutions"


@pytest.mark.parametrize("rule", ALL_RULES)
def test_a_rule_reports_the_bad_lesson_alone(rule, solutions):
    good = write(solutions.parent / "01_lesson.ipynb", GOOD)
    bad = write(solutions.parent / "05_lesson.ipynb", BAD, BAD_COUNTS, widgets={"state": {}})
    assert list(rule(rules.Notebook(good))) == []
    faults = list(rule(rules.Notebook(bad)))
    assert len(faults) == len(REPORTED[rule]), faults
    for fault, part in zip(faults, REPORTED[rule], strict=True):
        assert part in fault


def test_lesson_01_must_give_the_same_step_to_the_last_bit(solutions):
    cells = json.loads(
        json.dumps(GOOD).replace("Z * H + (1 - Z) * H_tilde", "H_tilde + Z * (H - H_tilde)")
    )
    path = write(solutions.parent / "01_lesson.ipynb", cells)
    assert list(rules.matches_the_package(rules.Notebook(path))) == [
        "gru_step does not give what gru_helpers.equations.gru_step gives"
    ]


MODEL = """class RNNModelScratch(nn.Module):
    def __init__(self, vocab_size, num_hiddens, device, get_params, init_state, forward_fn):
        super().__init__()
        self.vocab_size, self.num_hiddens = vocab_size, num_hiddens
        self.init_state, self.forward_fn = init_state, forward_fn
        self.params = nn.ParameterList(get_params(vocab_size, num_hiddens, device))

    def forward(self, X, state=None):
        state = self.begin_state(len(X)) if state is None else state
        return self.forward_fn(F.one_hot(X.T, self.vocab_size).float(), state, self.params)

    def begin_state(self, batch_size):
        return self.init_state(batch_size, self.num_hiddens, self.params[0].device)"""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("X.T", "X.T.flip(0)"), ("is None else state", "is None else self.begin_state(len(X))")],
)
def test_lesson_00_must_show_the_package_s_model(tmp_path, right, wrong):
    good = write(tmp_path / "00_lesson.ipynb", [code_cell(MODEL)])
    assert list(rules.matches_the_package(rules.Notebook(good))) == []
    bad = write(tmp_path / "00_other.ipynb", [code_cell(MODEL.replace(right, wrong))])
    assert list(rules.matches_the_package(rules.Notebook(bad))) == [
        "RNNModelScratch does not give what gru_helpers.models.RNNModelScratch gives"
    ]


def test_lesson_00_is_one_page_with_three_exercises(tmp_path):
    exercises = "## Exercises\n\n1. One.\n2. Two.\n"
    cells = [text_cell("word " * 892), text_cell(f"{exercises}3. Three.")]
    page = rules.Notebook(write(tmp_path / "00_lesson.ipynb", cells))
    assert not [*rules.has_exercises(page), *rules.fits_on_one_page(page)]
    cells = [text_cell("word " * 900), text_cell(exercises)]
    page = rules.Notebook(write(tmp_path / "00_other.ipynb", cells))
    assert list(rules.has_exercises(page)) == [
        "there must be at least 3 exercises, numbered from 1, not [1, 2]"
    ]
    assert list(rules.fits_on_one_page(page)) == ["the text has 906 words, more than 900"]


def test_the_command_prints_faults_and_returns_1(solutions, capsys):
    """Also the faults that are about the files beside a notebook."""
    lesson = write(solutions.parent / "01_lesson.ipynb", GOOD)
    assert rules.main([lesson, solutions / "01_lesson_solutions.ipynb"]) == 0
    other = write(solutions.parent / "01_other.ipynb", GOOD)
    assert rules.main([other, solutions / "05_lesson_solutions.ipynb"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[2] for line in lines] == [
        "there is no solutions/01_other_solutions.ipynb",
        "there is no lesson 05_lesson.ipynb",
    ]
