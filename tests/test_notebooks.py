"""The rules of a notebook: how it is built, what it holds, and that it tells the package's truth.

Each rule is a function that takes a ``Notebook`` and yields what is wrong with it, in words. The
second half of the file breaks each rule in a small notebook of its own, to see that it is caught.
"""

import ast
import copy
import functools
import importlib
import inspect
import json
import re
import urllib.parse
from pathlib import Path

import pytest

from gru_helpers import gru

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
SOLUTIONS = NOTEBOOKS / "solutions"
LESSON_NAME = re.compile(r"(\d\d)_[a-z0-9_]+")

MOST_LINES, USUAL_LINES, SHARE_OF_USUAL = 30, 16, 0.85
USUAL_WORDS, SHARE_OF_SHORT_TEXTS = 100, 0.90
MOST_OUTPUT = 100_000  # characters of JSON, a figure included
CELLS_TO_ASSERT = 3
FOOTER = ("Summary", "Exercises", "Next")
# by their full names, since gru_helpers.gru as an attribute is the function
MODULES = [
    importlib.import_module(f"gru_helpers.{name}")
    for name in ("dataset", "gru", "models", "trainer", "bptt")
]
WIDGET = "application/vnd.jupyter.widget-view+json"


class Notebook:
    """A notebook file and the parts of it that the rules speak of."""

    def __init__(self, path):
        self.path = Path(path)
        self.content = json.loads(self.path.read_text(encoding="utf-8"))
        self.cells = self.content["cells"]
        self.code = [cell for cell in self.cells if cell["cell_type"] == "code"]
        self.texts = [source(cell) for cell in self.cells if cell["cell_type"] == "markdown"]

    @property
    def markdown(self):
        """All of the prose."""
        return "\n\n".join(self.texts)

    def section(self, title):
        """The text under a heading of the second level, up to the next one."""
        parts = re.split(r"^## +", self.markdown, flags=re.M)
        return next((part for part in parts if re.match(rf"{title}\s*$", part, re.M)), "")

    def exercises(self):
        """The numbers of the exercises."""
        return [int(n) for n in re.findall(r"^(?:\*\*)?(\d+)\. ", self.section("Exercises"), re.M)]


def joined(text):
    """A text of nbformat, which may be a list of lines."""
    return "".join(text) if isinstance(text, list) else text


def source(cell):
    """The source of a cell."""
    return joined(cell["source"])


def place(notebook, cell):
    """Which cell, for a message."""
    return f"cell {notebook.cells.index(cell)} ({source(cell).strip()[:40]!r})"


def outputs(notebook):
    """Pairs of a code cell and one of its outputs."""
    return [(cell, output) for cell in notebook.code for output in cell["outputs"]]


def texts_of(output):
    """All that an output holds in letters: not the images."""
    texts = [joined(output.get("text", "")), *map(str, output.get("traceback", []))]
    for kind, data in output.get("data", {}).items():
        if not kind.startswith("image/") or kind == "image/svg+xml":
            texts.append(joined(data) if isinstance(data, (str, list)) else json.dumps(data))
    return texts


# --- rules for every notebook -----------------------------------------------------------------


def runs_in_order(notebook):
    """Every code cell has run, in order 1 to n: otherwise its outputs are compared with nothing."""
    counts = [cell["execution_count"] for cell in notebook.code]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}: restart the kernel and run all cells"


def has_no_empty_cells(notebook):
    """No cell is left over."""
    for number, cell in enumerate(notebook.cells):
        if not source(cell).strip():
            yield f"cell {number} is empty"


def has_no_errors(notebook):
    """No output is a traceback."""
    for cell, output in outputs(notebook):
        if output["output_type"] == "error":
            yield f"{place(notebook, cell)} ends in {output['ename']}"


def has_no_stderr(notebook):
    """No warning, no plain progress bar."""
    for cell, output in outputs(notebook):
        if output.get("name") == "stderr":
            yield f"{place(notebook, cell)} writes to stderr: {joined(output['text'])[:60]!r}"


def has_no_widget_state(notebook):
    """``metadata.widgets`` keeps GitHub from showing the notebook."""
    if "widgets" in notebook.content["metadata"]:
        yield "metadata.widgets is there: strip it"


# folders of people and servers, and the one that this course happens to lie in
HERE = re.escape(str(Path(__file__).resolve().parents[1]))
ABSOLUTE = re.compile(rf"(?<![\w.~-])(?:/(?:home|root|tmp|srv|mnt|Users)|{HERE})/|\bC:\\")


def has_no_absolute_paths(notebook):
    """Nothing names a folder of the machine that it was made on."""
    for cell in notebook.cells:
        texts = [source(cell)]
        texts += [text for output in cell.get("outputs", []) for text in texts_of(output)]
        for text in texts:
            for match in ABSOLUTE.finditer(text):
                found = text[match.start() : match.start() + 40]
                yield f"{place(notebook, cell)} holds the path {found!r}"


def has_small_outputs(notebook):
    """What a cell puts out stays below 100 kB."""
    for cell in notebook.code:
        size = len(json.dumps(cell["outputs"]))
        if size > MOST_OUTPUT:
            yield f"{place(notebook, cell)} has {size // 1000} kB of output"


def has_no_remote_images(notebook):
    """Pictures are drawn by code: nothing is fetched."""
    remote = r"!\[[^\]]*\]\(\s*<?(?:https?:)?//[^)]*|<img[^>]+src\s*=\s*[\"']?(?:https?:)?//[^>]*"
    printed = [text for _, output in outputs(notebook) for text in texts_of(output)]
    for text in notebook.texts + printed:
        for match in re.finditer(remote, text, re.I):
            yield f"a remote image: {match[0][:80]}"


def has_words_for_its_images(notebook):
    """Every image has an alternative text."""
    for cell, output in outputs(notebook):
        for kind in output.get("data", {}):
            facts = output.get("metadata", {}).get(kind, {})
            words = facts.get("alt", "") if isinstance(facts, dict) else ""
            if kind.startswith("image/") and not words.strip():
                yield f"{place(notebook, cell)} shows an image without alternative text"
    for text in notebook.texts:
        for match in re.finditer(r"!\[\s*\]\([^)]*\)", text):
            yield f"an image without alternative text: {match[0]}"


def lines_of(cell):
    """Lines of code, blank ones included."""
    return len(source(cell).strip("\n").splitlines())


def has_short_cells(notebook):
    """One idea a cell: no cell above 30 lines, and most at most 16."""
    for cell in notebook.code:
        if lines_of(cell) > MOST_LINES:
            yield f"{place(notebook, cell)} has {lines_of(cell)} lines"
    usual = [cell for cell in notebook.code if lines_of(cell) <= USUAL_LINES]
    if len(usual) < SHARE_OF_USUAL * len(notebook.code):
        long = [f"{place(notebook, c)}: {lines_of(c)}" for c in notebook.code if c not in usual]
        yield f"{len(long)} of {len(notebook.code)} cells are above {USUAL_LINES} lines: {long}"


def words_of(text):
    """The number of words, formulas set apart left out."""
    return len(re.sub(r"\$\$.*?\$\$", " ", text, flags=re.S).split())


def prose(notebook):
    """The text cells but for header, footer, tables and exercises."""
    in_footer = False
    for text in notebook.texts[1:]:
        in_footer = in_footer or bool(re.match(rf"## +({'|'.join(FOOTER)})\b", text))
        is_table = re.search(r"^\|.*\|\s*$", text, re.M)
        if not in_footer and not is_table and not re.match(r"#+ +Exercise", text):
            yield text


def has_short_texts(notebook):
    """Nine in ten texts have at most 100 words."""
    texts = list(prose(notebook))
    long = [text for text in texts if words_of(text) > USUAL_WORDS]
    if len(texts) - len(long) < SHARE_OF_SHORT_TEXTS * len(texts):
        starts = [f"{text[:40]!r}: {words_of(text)}" for text in long]
        yield f"{len(long)} of {len(texts)} texts have more than {USUAL_WORDS} words: {starts}"


KNOWN_TAGS = {"nbval-ignore-output", "raises-exception", "nbval-skip"}


def is_not_compared(cell):
    """Whether the test run passes over this cell's output."""
    tags = cell["metadata"].get("tags", [])
    comment = re.search(r"^\s*#\s*NBVAL_IGNORE_OUTPUT\s*$", source(cell), re.M)
    return "nbval-ignore-output" in tags or bool(comment)


def prints_text(cell):
    """Whether it puts out text other than the words that stand for a picture or a widget."""
    for output in cell["outputs"]:
        kinds = set(output.get("data", {}))
        pictured = any(kind.startswith("image/") or kind == WIDGET for kind in kinds)
        if output["output_type"] == "stream" or (kinds and not pictured):
            return True
    return False


def asserts(cell):
    """Whether there is an ``assert`` in the cell, and not only in a comment."""
    return any(isinstance(node, ast.Assert) for node in ast.walk(parsed(source(cell))))


def has_tags_that_nbval_knows(notebook):
    """nbval passes over a tag that it does not know, the upper-case form of its own included."""
    for cell in notebook.code:
        unknown = set(cell["metadata"].get("tags", [])) - KNOWN_TAGS
        if unknown:
            yield f"{place(notebook, cell)} has tags without a meaning: {sorted(unknown)}"


def asserts_what_it_does_not_compare(notebook):
    """Text that depends on the machine or the book is held by an assert, there or soon after."""
    for number, cell in enumerate(notebook.code):
        following = notebook.code[number : number + 1 + CELLS_TO_ASSERT]
        if is_not_compared(cell) and prints_text(cell) and not any(map(asserts, following)):
            yield f"{place(notebook, cell)} prints what is neither compared nor asserted"


def links_of(text):
    """The relative links and images of a text in markdown."""
    text = re.sub(r"```.*?```|``.*?``|`[^`\n]*`|\$\$.*?\$\$", " ", text, flags=re.S)
    found = re.findall(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)", text)
    found += re.findall(r"<(?:img|a)\b[^>]*?(?:src|href)\s*=\s*[\"']([^\"']+)[\"']", text)
    found += re.findall(r"^\[[^\]]+\]:\s*(\S+)", text, flags=re.M)
    return [link for link in found if not re.match(r"[a-z][a-z0-9+.-]*:|//|#", link, re.I)]


def broken_links(text, folder):
    """The links that lead nowhere from a folder."""
    for link in links_of(text):
        target = urllib.parse.unquote(link.partition("#")[0].partition("?")[0])
        if not (folder / target).exists():
            yield f"the link {link} leads nowhere"


def has_links_that_lead_somewhere(notebook):
    """Relative links name files that are there."""
    yield from broken_links(notebook.markdown, notebook.path.parent)


ANY_NOTEBOOK = [
    runs_in_order,
    has_no_empty_cells,
    has_no_errors,
    has_no_stderr,
    has_no_widget_state,
    has_no_absolute_paths,
    has_small_outputs,
    has_no_remote_images,
    has_words_for_its_images,
    has_short_cells,
    has_short_texts,
    has_tags_that_nbval_knows,
    asserts_what_it_does_not_compare,
    has_links_that_lead_somewhere,
]


# --- rules for lessons ------------------------------------------------------------------------


def has_a_header(notebook):
    """Title, question, three objectives, minutes, needs: enough to plan a class from."""
    first = notebook.cells[0]
    text = source(first)
    number = notebook.path.name[:2]
    if first["cell_type"] != "markdown" or not re.match(rf"# {number} \S", text):
        yield f"the first cell does not start with '# {number} ' and a title"
    for field in ("**Question.** ", "**Minutes.** ", "**Needs.** "):
        if not re.search(rf"^{re.escape(field)}\S", text, re.M):
            yield f"the header has no {field.strip()}"
    _, able, rest = text.partition("**You will be able to**")
    objectives = re.findall(r"^(\d+)\. +\S", rest.partition("\n**")[0], re.M)
    if not able or objectives != ["1", "2", "3"]:
        yield "the header has no **You will be able to** with three numbered items"
    minutes = re.search(r"^\*\*Minutes\.\*\*(.*)", text, re.M)
    if minutes and not re.search(r"\d", minutes[1]):
        yield "the header names no number of minutes"


def has_a_footer(notebook):
    """It ends with a summary, exercises and what comes next, each with something in it."""
    headings = re.findall(r"^## +(.*?)\s*$", notebook.markdown, re.M)
    if tuple(headings[-3:]) != FOOTER:
        yield f"the last headings are {headings[-3:]}, not {list(FOOTER)}"
    for title in FOOTER:
        if not notebook.section(title).partition("\n")[2].strip():
            yield f"there is nothing under {title}"


def has_exercises(notebook):
    """At least four exercises, numbered from 1."""
    numbers = notebook.exercises()
    if len(numbers) < 4 or numbers != list(range(1, len(numbers) + 1)):
        yield f"the exercises are numbered {numbers}: at least four are wanted, from 1"


def has_solutions(notebook):
    """A solution, under a heading of its own, for each exercise."""
    path = notebook.path.parent / "solutions" / f"{notebook.path.stem}_solutions.ipynb"
    if not path.is_file():
        yield f"there is no {path.parent.name}/{path.name}"
        return
    solved = re.findall(r"^## +Exercise +(\d+)\b", Notebook(path).markdown, re.M)
    if [int(n) for n in solved] != notebook.exercises():
        yield f"exercises {notebook.exercises()}, solutions to {solved}"
    if f"solutions/{path.name}" not in notebook.section("Exercises"):
        yield "the exercises do not link to their solutions"


LESSON = [has_a_header, has_a_footer, has_exercises, has_solutions]


# --- no two truths ----------------------------------------------------------------------------


def parsed(text):
    """The syntax tree of a cell; its magics and shell lines are passed over."""
    return ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", text, flags=re.M))


class _Bare(ast.NodeTransformer):
    """Takes away what does not change what a definition does."""

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        node.decorator_list, node.returns, node.type_comment = [], None, None
        node.body = without_docstring(node.body)
        return node

    def visit_ClassDef(self, node):
        self.generic_visit(node)
        node.decorator_list, node.body = [], without_docstring(node.body)
        return node

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_AnnAssign(self, node):
        self.generic_visit(node)
        if node.value is None:
            return node
        return ast.Assign(targets=[node.target], value=node.value, lineno=0)


def without_docstring(body):
    """The statements of a body but for a docstring."""
    first = body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    if is_docstring and isinstance(first.value.value, str):
        body = body[1:]
    return body or [ast.Pass()]


def bare(node):
    """Arguments and body of a definition, as text that can be compared."""
    node = _Bare().visit(copy.deepcopy(node))
    return ast.dump(node)


def definitions(tree):
    """The functions and classes at the top of a module or a cell, by name."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name: node for node in tree.body if isinstance(node, kinds)}


@functools.cache
def package_definitions():
    """Every function and class of the package's taught modules: name to (module, definition)."""
    found = {}
    for module in MODULES:
        for name, node in definitions(ast.parse(inspect.getsource(module))).items():
            found.setdefault(name, (module.__name__, bare(node)))
    return found


def shared_definitions(notebook):
    """Pairs (name, definition) of those in a notebook whose name the package has too."""
    for cell in notebook.code:
        for name, node in definitions(parsed(source(cell))).items():
            if name in package_definitions():
                yield name, bare(node)


def tells_the_truth_of_the_package(notebook):
    """What a lesson defines under a name of the package is the package's code."""
    for name, definition in shared_definitions(notebook):
        module, expected = package_definitions()[name]
        if definition != expected:
            yield f"{name} is not the code of {module}.{name}"


LESSON.append(tells_the_truth_of_the_package)
TAUGHT = [
    ("02", "get_params"),
    ("03", "seq_data_iter_sequential"),
    ("03", "init_gru_state"),
    ("03", "gru"),
    ("04", "grad_clipping"),
    ("05", "gru_switched"),
    ("07", "gru_forward"),
    ("07", "gru_step_backward"),
    ("07", "gru_backward"),
]


# --- the notebooks of the course --------------------------------------------------------------

LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
EVERY = LESSONS + sorted(SOLUTIONS.glob("*.ipynb"))


def name_of(thing):
    """A name for a test's parameter: of a file or of a rule."""
    return getattr(thing, "stem", None) or thing.__name__


@functools.cache
def read(path):
    """The notebook at ``path``, read once."""
    return Notebook(path)


@pytest.mark.parametrize("rule", ANY_NOTEBOOK, ids=name_of)
@pytest.mark.parametrize("path", EVERY, ids=name_of)
def test_notebook(path, rule):
    assert list(rule(read(path))) == []


@pytest.mark.parametrize("rule", LESSON, ids=name_of)
@pytest.mark.parametrize("path", LESSONS, ids=name_of)
def test_lesson(path, rule):
    assert list(rule(read(path))) == []


def numbering(paths):
    """What is wrong with the names of the lessons."""
    numbers = []
    for path in paths:
        match = LESSON_NAME.fullmatch(path.stem)
        if not match:
            yield f"{path.name} is not named like 01_gate_equations.ipynb"
        else:
            numbers.append(int(match[1]))
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"the lessons are numbered {numbers}"


def test_lessons_are_numbered_from_1_without_a_gap():
    assert LESSONS
    assert list(numbering(LESSONS)) == []


def test_every_solution_belongs_to_a_lesson():
    lessons = {f"{path.stem}_solutions" for path in LESSONS}
    assert {path.stem for path in SOLUTIONS.glob("*.ipynb")} <= lessons


@pytest.mark.parametrize(("number", "name"), TAUGHT, ids=lambda value: value)
def test_what_a_lesson_teaches_is_written_out_in_it(number, name):
    """So that the comparison with the package cannot pass for want of anything to compare."""
    paths = [path for path in LESSONS if path.name.startswith(number)]
    assert paths, f"there is no lesson {number}"
    names = [shared for shared, _ in shared_definitions(read(paths[0]))]
    assert name in names


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.md")), ids=name_of)
def test_links_of_the_documents_lead_somewhere(path):
    assert list(broken_links(path.read_text(encoding="utf-8"), path.parent)) == []


# --- each rule catches what it is for ---------------------------------------------------------

HEADER = """# 01 A lesson

**Question.** What is it about?

**You will be able to**

1. say what;
2. say how;
3. say why.

**Minutes.** 20 to teach.

**Needs.** Python."""
EXERCISES = """## Exercises

1. *Recall.* One.
2. Two.
3. Three.
4. Four.

Worked solutions: [here](solutions/01_lesson_solutions.ipynb)."""


def text_cell(text):
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def code_cell(text, *outputs, tags=()):
    return {
        "cell_type": "code",
        "execution_count": 0,
        "metadata": {"tags": list(tags)} if tags else {},
        "outputs": list(outputs),
        "source": text.splitlines(keepends=True),
    }


def printed(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text.splitlines(keepends=True)}


def shown(**data):
    """An output of mime types, in which ``_`` stands for ``/``; ``alt`` describes the image."""
    alt = data.pop("alt", None)
    metadata = {"image/png": {"alt": alt}} if alt is not None else {}
    data = {kind.replace("_", "/"): value for kind, value in data.items()}
    return {"output_type": "display_data", "data": data, "metadata": metadata}


def good_cells():
    """A lesson that keeps every rule."""
    return [
        text_cell(HEADER),
        code_cell("import torch", tags=["raises-exception"]),
        text_cell("**Predict.** What does it print?\n\n$$" + "x + " * 200 + "$$"),
        code_cell("print(1)", printed("1\n")),
        code_cell("%time\nseconds = 3", printed("3 s\n"), tags=["nbval-ignore-output"]),
        code_cell("assert seconds < 60"),
        code_cell("figure", shown(image_png="iVBOR", text_plain="A line.", alt="A line.")),
        text_cell("See [01](01_lesson.ipynb#Summary), [web](https://example.org/tmp/a), `[a](b)`."),
        text_cell("| a | b |\n| --- | --- |\n| " + "word " * 150 + "| c |"),
        text_cell("## Summary\n\n" + "word " * 150),
        text_cell(EXERCISES),
        text_cell("## Next\n\nThe next lesson."),
    ]


def solution_cells():
    return [text_cell("# Solutions")] + [text_cell(f"## Exercise {n}") for n in (1, 2, 3, 4)]


def write(path, cells, **metadata):
    """Write a notebook whose code cells are numbered unless a count is given; returns it."""
    for number, cell in enumerate((c for c in cells if c["cell_type"] == "code"), 1):
        if cell["execution_count"] == 0:
            cell["execution_count"] = number
    path.parent.mkdir(exist_ok=True)
    content = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(content), encoding="utf-8")
    return Notebook(path)


@pytest.fixture
def lesson(tmp_path):
    """``lesson(cells)`` is a notebook of these cells, beside a file of solutions."""
    write(tmp_path / "solutions" / "01_lesson_solutions.ipynb", solution_cells())
    return functools.partial(write, tmp_path / "01_lesson.ipynb")


def test_a_good_lesson_keeps_every_rule(lesson):
    notebook = lesson(good_cells())
    assert {rule.__name__: list(rule(notebook)) for rule in ANY_NOTEBOOK + LESSON} == {
        rule.__name__: [] for rule in ANY_NOTEBOOK + LESSON
    }


def counted(count):
    """A cell that claims to have run as the ``count``-th."""
    return {**code_cell("x = 1"), "execution_count": count}


ERROR = {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": ["a"]}
IGNORED = ["nbval-ignore-output"]
PLAIN_PICTURE = shown(image_png="iVBOR", text_plain="<Figure>")
FIVE = [code_cell("x = 1\n" * 17)] * 2 + [code_cell("x = 1")] * 3

# a rule, what it is that breaks it, and cells to put into the middle of the good lesson
BREAKS = [
    (runs_in_order, "not run", [counted(None)]),
    (runs_in_order, "run twice", [counted(9)]),
    (runs_in_order, "out of order", [counted(4), counted(3)]),
    (has_no_empty_cells, "code", [code_cell("\n")]),
    (has_no_empty_cells, "text", [text_cell("")]),
    (has_no_errors, "traceback", [code_cell("f()", ERROR)]),
    (has_no_stderr, "warning", [code_cell("f()", printed("UserWarning\n", "stderr"))]),
    (has_no_absolute_paths, "in code", [code_cell("open('/home/ann/book.txt')")]),
    (has_no_absolute_paths, "in text", [text_cell("Look into /Users/ann/course.")]),
    (has_no_absolute_paths, "printed", [code_cell("p", printed("saved in /tmp/x.pt\n"))]),
    (has_no_absolute_paths, "on Windows", [code_cell("p", shown(text_plain="C:\\course"))]),
    (has_no_absolute_paths, "as html", [code_cell("p", shown(text_html="<a>/root/x</a>"))]),
    (has_no_absolute_paths, "of a server", [code_cell("p", printed("/srv/x\n"))]),
    (has_small_outputs, "a long print", [code_cell("p", printed("x" * 100_001))]),
    (has_small_outputs, "a picture", [code_cell("p", shown(image_png="x" * 100_001, alt="a"))]),
    (has_small_outputs, "many", [code_cell("p", *[printed("x" * 30_000)] * 4)]),
    (has_no_remote_images, "markdown", [text_cell("![a](https://example.org/a.png)")]),
    (has_no_remote_images, "html", [text_cell("<img width=3 src='http://example.org/a.png'>")]),
    (has_no_remote_images, "no scheme", [text_cell("![a](//example.org/a.png)")]),
    (has_no_remote_images, "output", [code_cell("p", shown(text_html='<img src="http://a/b">'))]),
    (has_words_for_its_images, "none", [code_cell("p", PLAIN_PICTURE)]),
    (has_words_for_its_images, "blank", [code_cell("p", shown(image_png="iVBOR", alt=" "))]),
    (has_words_for_its_images, "markdown", [text_cell("![](01_lesson.ipynb)")]),
    (has_short_cells, "31 lines", [code_cell("x = 1\n" * 31)]),
    (has_short_cells, "too many of 17 lines", FIVE),
    (has_short_texts, "101 words", [text_cell("word " * 101)]),
    (has_tags_that_nbval_knows, "upper case", [code_cell("x = 1", tags=["NBVAL_IGNORE_OUTPUT"])]),
    (asserts_what_it_does_not_compare, "tag",
     [code_cell("p", printed("1\n"), tags=IGNORED), *[code_cell("x = 1")] * 6]),
    (asserts_what_it_does_not_compare, "comment",
     [code_cell("# NBVAL_IGNORE_OUTPUT\np", printed("1\n")), *[code_cell("x = 1")] * 6]),
    (asserts_what_it_does_not_compare, "value",
     [code_cell("p", shown(text_plain="1"), tags=IGNORED), *[code_cell("# assert x")] * 6]),
    (asserts_what_it_does_not_compare, "too late",
     [code_cell("p", printed("1\n"), tags=IGNORED), *[code_cell("x = 1")] * 3,
      code_cell("assert x")]),
    (has_links_that_lead_somewhere, "file", [text_cell("[a](02_none.ipynb)")]),
    (has_links_that_lead_somewhere, "folder", [text_cell("[a](../none/a%20b.txt#part)")]),
    (has_links_that_lead_somewhere, "image", [text_cell("![a](none.png)")]),
    (has_links_that_lead_somewhere, "html", [text_cell('<a href="none.html">a</a>')]),
    (tells_the_truth_of_the_package, "body",
     [code_cell("def init_gru_state(batch_size, num_hiddens, device):\n    return ()")]),
    (tells_the_truth_of_the_package, "class", [code_cell("class Vocab:\n    pass")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "cells"),
    [pytest.param(rule, cells, id=f"{rule.__name__}, {what}") for rule, what, cells in BREAKS],
)
def test_a_rule_that_is_broken_is_noticed(lesson, rule, cells):
    good = good_cells()
    notebook = lesson(good[:8] + copy.deepcopy(cells) + good[8:])
    assert list(rule(notebook))


def test_widget_state_is_noticed(lesson):
    assert list(has_no_widget_state(lesson(good_cells(), widgets={"state": {}})))


HEADERS = {
    "another number": ("# 01 A lesson", "# 02 A lesson"),
    "no title": ("# 01 A lesson", "# 01"),
    "no number": ("# 01 A lesson", "# A lesson"),
    "no question": ("**Question.** What is it about?", "What is it about?"),
    "an empty question": ("**Question.** What is it about?", "**Question.** "),
    "two objectives": ("3. say why.", ""),
    "four objectives": ("3. say why.", "3. say why;\n4. say who."),
    "no objectives": ("**You will be able to**", ""),
    "no minutes": ("**Minutes.** 20 to teach.", ""),
    "minutes without a number": ("20 to teach", "A few"),
    "no needs": ("**Needs.** Python.", ""),
}


@pytest.mark.parametrize("change", HEADERS.values(), ids=HEADERS)
def test_a_header_that_is_not_whole_is_noticed(lesson, change):
    cells = good_cells()
    assert change[0] in HEADER
    cells[0] = text_cell(HEADER.replace(*change))
    assert list(has_a_header(lesson(cells)))


def test_a_lesson_that_starts_with_code_is_noticed(lesson):
    assert list(has_a_header(lesson([code_cell("x = 1"), *good_cells()])))


@pytest.mark.parametrize("number", [-3, -2, -1])
def test_a_part_of_the_footer_that_is_missing_or_empty_is_noticed(lesson, number):
    cells = good_cells()
    heading = source(cells[number]).splitlines()[0]
    cells[number] = text_cell(heading)
    assert list(has_a_footer(lesson(cells)))
    del cells[number]
    assert list(has_a_footer(lesson(cells)))


def test_a_footer_in_another_order_or_in_the_middle_is_noticed(lesson):
    cells = good_cells()
    assert list(has_a_footer(lesson([*cells[:-2], cells[-1], cells[-2]])))
    assert list(has_a_footer(lesson([*cells, text_cell("## One more thing\n\nMore.")])))


@pytest.mark.parametrize("numbers", ["123", "1235", "0123", "1123"])
def test_exercises_that_are_too_few_or_badly_numbered_are_noticed(lesson, numbers):
    cells = good_cells()
    cells[-2] = text_cell("## Exercises\n\n" + "\n".join(f"{n}. Do it." for n in numbers))
    assert list(has_exercises(lesson(cells)))


def test_exercises_in_cells_of_their_own_are_found(lesson):
    cells = good_cells()
    own = [text_cell(f"**{n}. Do it.** Then look.") for n in (1, 2, 3, 4, 5)]
    cells[-2:-1] = [text_cell("## Exercises"), *own]
    assert lesson(cells).exercises() == [1, 2, 3, 4, 5]


def test_solutions_that_are_missing_are_noticed(lesson, tmp_path):
    notebook = lesson(good_cells())
    assert list(has_solutions(notebook)) == []
    path = tmp_path / "solutions" / "01_lesson_solutions.ipynb"
    write(path, solution_cells()[:-1])
    assert "solutions to ['1', '2', '3']" in next(has_solutions(notebook))
    path.unlink()
    assert "there is no solutions/01_lesson_solutions.ipynb" in next(has_solutions(notebook))


def test_solutions_without_a_link_are_noticed(lesson):
    cells = good_cells()
    cells[-2] = text_cell(EXERCISES.partition("Worked")[0])
    assert list(has_solutions(lesson(cells)))


@pytest.mark.parametrize(
    "names",
    [["01_a", "03_b"], ["02_a"], ["01_a", "01_b"], ["01_a", "two"], ["01_a", "02_Bad Name"]],
)
def test_names_that_do_not_count_up_are_noticed(names):
    assert list(numbering([Path(f"{name}.ipynb") for name in names]))
    assert list(numbering([Path("01_a.ipynb"), Path("02_b.ipynb")])) == []


# what may differ between a lesson's definition and the package's, and what may not
PACKAGED = '''
@decorated
def f(a: int, b=2) -> int:
    """What it does."""
    total: int = a + b  # a comment
    return total
'''
SAME = ["def f(a, b=2):\n    total = a + b\n    return total",
        "def f(a, b=2):\n    'Other words.'\n\n    total = (a + b)\n    return total"]  # fmt: skip
OTHER = ["def f(a, b=3):\n    total = a + b\n    return total",
         "def f(b, a=2):\n    total = a + b\n    return total",
         "def f(a, b=2):\n    total = a - b\n    return total",
         "def f(a, b=2):\n    return a + b",
         "def f(a, b=2, c=1):\n    total = a + b\n    return total"]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "same"), [(text, True) for text in SAME] + [(text, False) for text in OTHER]
)
def test_definitions_are_compared_by_what_they_do(text, same):
    ours, theirs = (definitions(ast.parse(code))["f"] for code in (PACKAGED, text))
    assert (bare(ours) == bare(theirs)) == same


def test_classes_are_compared_method_by_method():
    first = 'class A:\n    "Words."\n\n    def f(self) -> int:\n        "Words."\n        return 1'
    second = "class A:\n    def f(self):\n        return 1"
    third = "class A:\n    def f(self):\n        return 2"
    a, b, c = (bare(definitions(ast.parse(text))["A"]) for text in (first, second, third))
    assert a == b != c


def test_a_definition_of_the_package_may_be_written_out(lesson):
    function = "@torch.no_grad()\n" + inspect.getsource(gru.__wrapped__).partition("\n")[2]
    cells = [*good_cells()[:4], code_cell(function), *good_cells()[4:]]
    notebook = lesson(cells)
    assert [name for name, _ in shared_definitions(notebook)] == ["gru"]
    assert list(tells_the_truth_of_the_package(notebook)) == []
    changed = function.replace("Z * H + (1 - Z)", "(1 - Z) * H + Z")
    assert changed != function
    cells[4] = code_cell(changed)
    assert list(tells_the_truth_of_the_package(lesson(cells))) == [
        "gru is not the code of gru_helpers.gru.gru"
    ]


def test_images_are_no_text_in_which_paths_are_looked_for(lesson):
    """By chance the letters of an image may spell one."""
    cells = good_cells()
    cells[6] = code_cell("figure", shown(image_png="AAA+/tmp/AAA", alt="A line."))
    assert list(has_no_absolute_paths(lesson(cells))) == []


@pytest.mark.parametrize("kind", ["image/png", WIDGET])
def test_pictures_and_widgets_need_no_assert(lesson, kind):
    cells = good_cells()
    output = {"output_type": "display_data", "metadata": {}, "data": {kind: "", "text/plain": "x"}}
    cells[-3:-3] = [code_cell("bar", output, tags=IGNORED), *[code_cell("x = 1")] * 4]
    assert list(asserts_what_it_does_not_compare(lesson(cells))) == []
