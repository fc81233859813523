"""The rules of a notebook: its form, its outputs, and that its code is the package's code.

Each rule is a function that takes a ``Notebook`` and yields one sentence for each fault.

    python tests/notebook_rules.py [NOTEBOOK ...]

prints the faults of these notebooks, or of all of them, and exits with 1 if there are any.
"""

import ast
import copy
import functools
import json
import re
import sys
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))

MAX_LINES, USUAL_LINES, SHARE_OF_USUAL_CELLS = 30, 16, 0.85
USUAL_WORDS, SHARE_OF_USUAL_TEXTS = 100, 0.90
MAX_OUTPUT = 100_000  # characters of JSON, figures included
CELLS_TO_ASSERT = 3
MIN_EXERCISES, EXERCISES_OF_ONE_PAGE = 4, 3
ONE_PAGE, WORDS_OF_ONE_PAGE = "00", 900  # the lesson that is a summary of the others
TAGS = {"nbval-ignore-output", "raises-exception", "nbval-skip"}
FOOTER = ("Summary", "Exercises", "Next")
WIDGET = "application/vnd.jupyter.widget-view+json"
# The definitions of these modules are taught; those in TAUGHT must be written out in the lesson.
MODULES = (
    *("dataset", "ngrams", "equations", "models", "trainer", "bptt"),
    *("studies.long_memory", "studies.variants", "studies.time_series"),
    "studies.honest_race",
)
TAUGHT = {
    "00": ("get_params", "init_gru_state", "gru", "RNNModelScratch"),
    "01": ("gru_step",),
    "02": ("get_params",),
    "03": ("seq_data_iter_sequential", "init_gru_state", "gru"),
    "04": ("grad_clipping", "ngram_probabilities"),
    "05": ("gru_step", "unroll", "gru_switched"),
    "07": ("gru_forward", "gru_step_backward", "gru_backward"),
    "08": (
        "number_batch",
        "LastStateModel",
        "set_gate_bias",
        "gradient_by_step",
        "train_memory",
        "train_holder",
        "chrono_bias",
        "symbol_batch",
        "adding_batch",
    ),
    "09": (
        *("windows", "rmse", "fit_linear", "iterate", "baselines"),
        *("SunForecaster", "StepForecaster", "pinball"),
    ),
    "10": (
        "step_rnn",
        "step_lstm",
        "step_gru",
        "step_gru_after",
        "step_no_reset",
        "step_mgu",
        "step_z_of_x",
        "step_mingru",
        "Layer",
        "num_params",
        "units_for",
        "copy_batch",
        "scan",
    ),
    "11": ("perplexity_on", "best_weight"),
}


class Notebook:
    """A notebook file and the parts of it that the rules use."""

    def __init__(self, path):
        self.path = Path(path)
        self.number = self.path.name[:2]
        self.content = json.loads(self.path.read_text(encoding="utf-8"))
        self.cells = self.content["cells"]
        self.code = [cell for cell in self.cells if cell["cell_type"] == "code"]
        self.texts = [source(cell) for cell in self.cells if cell["cell_type"] == "markdown"]
        self.markdown = "\n\n".join(self.texts)
        self.outputs = [(cell, output) for cell in self.code for output in cell["outputs"]]

    def section(self, title):
        """The text under a heading of the second level, up to the next one."""
        parts = re.split(r"^## +", self.markdown, flags=re.M)
        return next((part for part in parts if re.match(rf"{title}\s*$", part, re.M)), "")

    def exercises(self):
        """The text of each exercise by its number, as (number, text), in their order."""
        asked = re.split(r"\n\n\[?Worked solutions", self.section("Exercises"))[0]
        _, *parts = re.split(r"^(\d+)\. ", asked, flags=re.M)
        numbers, texts = map(int, parts[::2]), map(str.strip, parts[1::2])
        return list(zip(numbers, texts, strict=True))


def joined(text):
    """A text of nbformat, which may be a list of lines."""
    return "".join(text) if isinstance(text, list) else text


def source(cell):
    return joined(cell["source"])


def where(notebook, cell):
    """Which cell, for a message."""
    return f"cell {notebook.cells.index(cell)} ({source(cell).strip()[:40]!r})"


def texts_of(output):
    """All text in an output; images other than SVG are left out."""
    texts = [joined(output.get("text", "")), *map(str, output.get("traceback", []))]
    for kind, data in output.get("data", {}).items():
        if not kind.startswith("image/") or kind == "image/svg+xml":
            texts.append(joined(data) if isinstance(data, (str, list)) else json.dumps(data))
    return texts


def parsed(text):
    """The syntax tree of a cell, its magics and shell lines replaced by ``pass``."""
    return ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", text, flags=re.M))


# --- every notebook -----------------------------------------------------------------------------


def runs_in_order(notebook):
    """Every code cell has run, in order 1 to n; otherwise its outputs are compared with nothing."""
    counts = [cell["execution_count"] for cell in notebook.code]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}: restart the kernel and run all cells"


def has_no_empty_cells(notebook):
    for number, cell in enumerate(notebook.cells):
        if not source(cell).strip():
            yield f"cell {number} is empty"


def has_no_errors(notebook):
    """No tracebacks, and nothing on stderr: no warnings, no plain progress bars."""
    for cell, output in notebook.outputs:
        if output["output_type"] == "error":
            yield f"{where(notebook, cell)} ends in {output['ename']}"
        if output.get("name") == "stderr":
            yield f"{where(notebook, cell)} writes to stderr: {joined(output['text'])[:60]!r}"


def has_no_widget_state(notebook):
    """GitHub does not show a notebook with ``metadata.widgets``."""
    if "widgets" in notebook.content["metadata"]:
        yield "metadata.widgets is present: run `course.py run --write` on the notebook"


# home and temporary folders, and the folder that this repository is in
ABSOLUTE_PATH = re.compile(
    rf"(?<![\w.~-])(?:/(?:home|root|tmp|srv|mnt|Users)|{re.escape(str(ROOT))})/|\bC:\\"
)


def has_no_absolute_paths(notebook):
    """Nothing names a folder of the machine that the notebook ran on."""
    for cell in notebook.cells:
        printed = [text for output in cell.get("outputs", []) for text in texts_of(output)]
        for text in [source(cell), *printed]:
            for match in ABSOLUTE_PATH.finditer(text):
                path = text[match.start() : match.start() + 40]
                yield f"{where(notebook, cell)} contains the path {path!r}"


def has_small_outputs(notebook):
    for cell in notebook.code:
        size = len(json.dumps(cell["outputs"]))
        if size > MAX_OUTPUT:
            yield f"{where(notebook, cell)} has {size // 1000} kB of output"


def has_no_remote_images(notebook):
    """Nothing is fetched to show the notebook."""
    remote = r"!\[[^\]]*\]\(\s*<?(?:https?:)?//[^)]*|<img[^>]+src\s*=\s*[\"']?(?:https?:)?//[^>]*"
    printed = [text for _, output in notebook.outputs for text in texts_of(output)]
    for text in notebook.texts + printed:
        for match in re.finditer(remote, text, re.I):
            yield f"a remote image: {match[0][:80]}"


def has_alternative_texts(notebook):
    """Every image has an alternative text."""
    for cell, output in notebook.outputs:
        for kind in output.get("data", {}):
            metadata = output.get("metadata", {}).get(kind, {})
            alt = metadata.get("alt", "") if isinstance(metadata, dict) else ""
            if kind.startswith("image/") and not alt.strip():
                yield f"{where(notebook, cell)} shows an image without alternative text"
    for match in re.finditer(r"!\[\s*\]\([^)]*\)", notebook.markdown):
        yield f"an image without alternative text: {match[0]}"


def has_no_widgets(notebook):
    """Without its kernel a widget shows an error: its picture is saved, or its last words."""
    for cell, output in notebook.outputs:
        if WIDGET in output.get("data", {}):
            yield f"{where(notebook, cell)} shows a widget: `run --write` saves its picture"


def has_short_cells(notebook):
    """One idea a cell: none above 30 lines, and most at most 16, blank lines included."""
    lengths = [
        (where(notebook, cell), len(source(cell).strip("\n").splitlines()))
        for cell in notebook.code
    ]
    for cell, lines in lengths:
        if lines > MAX_LINES:
            yield f"{cell} has {lines} lines"
    long = [pair for pair in lengths if pair[1] > USUAL_LINES]
    if len(lengths) - len(long) < SHARE_OF_USUAL_CELLS * len(lengths):
        yield f"{len(long)} of {len(lengths)} cells are above {USUAL_LINES} lines: {long}"


def words_of(text):
    """The number of words, displayed formulas left out."""
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
    if len(texts) - len(long) < SHARE_OF_USUAL_TEXTS * len(texts):
        listed = [f"{text[:40]!r}: {words_of(text)}" for text in long]
        yield f"{len(long)} of {len(texts)} texts have more than {USUAL_WORDS} words: {listed}"


def has_known_tags(notebook):
    """nbval ignores tags that it does not know, its own in upper case included."""
    for cell in notebook.code:
        unknown = set(cell["metadata"].get("tags", [])) - TAGS
        if unknown:
            yield f"{where(notebook, cell)} has unknown tags: {sorted(unknown)}"


def is_not_compared(cell):
    """Whether nbval ignores this cell's output."""
    comment = re.search(r"^\s*#\s*NBVAL_IGNORE_OUTPUT\s*$", source(cell), re.M)
    return bool(comment) or "nbval-ignore-output" in cell["metadata"].get("tags", [])


def prints_text(cell):
    """Whether an output is text, and not the text that describes an image or a widget."""
    for output in cell["outputs"]:
        kinds = set(output.get("data", {}))
        pictured = any(kind.startswith("image/") or kind == WIDGET for kind in kinds)
        if output["output_type"] == "stream" or (kinds and not pictured):
            return True
    return False


def asserts_what_is_not_compared(notebook):
    """Text that depends on the machine or the corpus is held by an assert, there or soon after."""
    asserts = [
        any(isinstance(node, ast.Assert) for node in ast.walk(parsed(source(cell))))
        for cell in notebook.code
    ]
    for number, cell in enumerate(notebook.code):
        following = asserts[number : number + 1 + CELLS_TO_ASSERT]
        if is_not_compared(cell) and prints_text(cell) and not any(following):
            yield f"{where(notebook, cell)} prints what is neither compared nor asserted"


def links_of(text):
    """The relative links and images of a markdown text."""
    text = re.sub(r"```.*?```|``.*?``|`[^`\n]*`|\$\$.*?\$\$", " ", text, flags=re.S)
    found = re.findall(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)", text)
    found += re.findall(r"<(?:img|a)\b[^>]*?(?:src|href)\s*=\s*[\"']([^\"']+)[\"']", text)
    found += re.findall(r"^\[[^\]]+\]:\s*(\S+)", text, flags=re.M)
    return [link for link in found if not re.match(r"[a-z][a-z0-9+.-]*:|//|#", link, re.I)]


def broken_links(text, folder):
    """The relative links of ``text``, a file in ``folder``, whose target does not exist."""
    for link in links_of(text):
        target = urllib.parse.unquote(link.partition("#")[0].partition("?")[0])
        if not (folder / target).exists():
            yield f"the link {link} leads nowhere"


def has_working_links(notebook):
    """Relative links name files that exist."""
    yield from broken_links(notebook.markdown, notebook.path.parent)


# --- lessons ------------------------------------------------------------------------------------


def has_a_header(notebook):
    """Title, question, three objectives, minutes, needs: enough to plan a class from."""
    text = source(notebook.cells[0])
    is_text = notebook.cells[0]["cell_type"] == "markdown"
    if not is_text or not re.match(rf"# {notebook.number} \S", text):
        yield f"the first cell does not start with '# {notebook.number} ' and a title"
    for field in ("**Question.** ", "**Minutes.** ", "**Needs.** "):
        if not re.search(rf"^{re.escape(field)}\S", text, re.M):
            yield f"the header has no {field.strip()}"
    _, heading, rest = text.partition("**You will be able to**")
    objectives = re.findall(r"^(\d+)\. +\S", rest.partition("\n**")[0], re.M)
    if not heading or objectives != ["1", "2", "3"]:
        yield "the header has no **You will be able to** with three numbered items"
    minutes = re.search(r"^\*\*Minutes\.\*\*(.*)", text, re.M)
    if minutes and not re.search(r"\d", minutes[1]):
        yield "the header gives no number of minutes"


def has_a_footer(notebook):
    """It ends with a summary, exercises and what comes next, none of them empty."""
    headings = re.findall(r"^## +(.*?)\s*$", notebook.markdown, re.M)
    if tuple(headings[-3:]) != FOOTER:
        yield f"the last headings are {headings[-3:]}, not {list(FOOTER)}"
    for title in FOOTER:
        if not notebook.section(title).partition("\n")[2].strip():
            yield f"there is nothing under {title}"


def has_exercises(notebook):
    """At least four exercises, three on one page, numbered from 1."""
    numbers = [number for number, _ in notebook.exercises()]
    least = EXERCISES_OF_ONE_PAGE if notebook.number == ONE_PAGE else MIN_EXERCISES
    if len(numbers) < least or numbers != list(range(1, len(numbers) + 1)):
        yield f"there must be at least {least} exercises, numbered from 1, not {numbers}"


def fits_on_one_page(notebook):
    """Lesson 00 is short: all its text together, header and footer included."""
    words = words_of(notebook.markdown)
    if notebook.number == ONE_PAGE and words > WORDS_OF_ONE_PAGE:
        yield f"the text has {words} words, more than {WORDS_OF_ONE_PAGE}"


def has_solutions(notebook):
    """For each exercise its text and a solution, under a heading of its own, and a link to them."""
    path = notebook.path.parent / "solutions" / f"{notebook.path.stem}_solutions.ipynb"
    if not path.is_file():
        yield f"there is no solutions/{path.name}"
        return
    asked, answers = notebook.exercises(), Notebook(path).markdown
    solved = [int(n) for n in re.findall(r"^## +Exercise +(\d+)\b", answers, re.M)]
    if solved != [number for number, _ in asked]:
        yield f"exercises {[number for number, _ in asked]}, solutions to {solved}"
    for number, text in asked:
        if number in solved and f"## Exercise {number}\n\n{text}" not in answers:
            yield f"solutions/{path.name} does not begin solution {number} with its exercise"
    if f"solutions/{path.name}" not in notebook.section("Exercises"):
        yield "the exercises do not link to their solutions"


def belongs_to_a_lesson(notebook):
    """A file of solutions has the name of its lesson."""
    lesson = notebook.path.stem.removesuffix("_solutions")
    if not (notebook.path.parent.parent / f"{lesson}.ipynb").is_file():
        yield f"there is no lesson {lesson}.ipynb"


# --- the same code in notebooks and package -----------------------------------------------------


class _WithoutNotes(ast.NodeTransformer):
    """Removes docstrings, annotations and decorators."""

    def visit(self, node):
        self.generic_visit(node)
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            return ast.Assign(targets=[node.target], value=node.value)
        for field, nothing in (("annotation", None), ("returns", None), ("decorator_list", [])):
            if hasattr(node, field):
                setattr(node, field, nothing)
        if (
            isinstance(node, (ast.FunctionDef, ast.ClassDef))
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
        return node


def essence(node):
    """Arguments and body of a definition, as text to compare; ``node`` is not changed."""
    return ast.dump(_WithoutNotes().visit(copy.deepcopy(node)))


def definitions(tree):
    """The functions and classes at the top level of a module or a cell, by name."""
    return {
        node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }


@functools.cache
def package_definitions():
    """Every definition of the taught modules: name to (module, what it does)."""
    found = {}
    for module in MODULES:
        path = ROOT / "gru_helpers" / f"{module.replace('.', '/')}.py"
        text = path.read_text(encoding="utf-8")
        for name, node in definitions(ast.parse(text)).items():
            found.setdefault(name, (module, essence(node)))
    return found


def shared_definitions(notebook):
    """Pairs (name, definition) of those in a notebook whose name the package has too."""
    for cell in notebook.code:
        for name, node in definitions(parsed(source(cell))).items():
            if name in package_definitions():
                yield name, node


def step_results_differ(node):
    """Whether the definition of ``gru_step`` gives other tensors than the package's, in any bit."""
    import torch

    from gru_helpers import equations

    scope = {"torch": torch}
    exec(compile(ast.Module([node], type_ignores=[]), "<notebook>", "exec"), scope)
    generator = torch.Generator().manual_seed(0)
    num_inputs, num_hiddens = 5, 7
    shapes = [(num_inputs, num_hiddens), (num_hiddens, num_hiddens), (num_hiddens,)] * 3
    X, H, *params = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in [(3, num_inputs), (3, num_hiddens), *shapes]
    )
    ours, theirs = equations.gru_step(X, H, params), scope["gru_step"](X, H, params)
    return len(ours) != len(theirs) or not all(map(torch.equal, ours, theirs))


def model_results_differ(node):
    """Whether the class ``RNNModelScratch`` gives other results or gradients, in any bit."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    from gru_helpers import RNNModelScratch, get_params, gru, init_gru_state

    scope = {"F": F, "nn": nn, "torch": torch}
    exec(compile(ast.Module([node], type_ignores=[]), "<notebook>", "exec"), scope)
    X = torch.arange(12).reshape(3, 4) % 5  # (batch_size, num_steps)
    found = []
    for model_class in (RNNModelScratch, scope["RNNModelScratch"]):
        torch.manual_seed(0)
        model = model_class(5, 7, "cpu", get_params, init_gru_state, gru)
        _, state = model(X)
        logits, (H,) = model(X, state)  # (num_steps * batch_size, 5), (3, 7)
        logits.logsumexp(dim=1).sum().backward()
        grads = [param.grad for param in model.parameters()]
        found.append([*model.params, *model.begin_state(3), logits, H, *grads])
    ours, theirs = found
    return len(ours) != len(theirs) or not all(map(torch.equal, ours, theirs))


# Lesson 01 writes gru_step without its switches, and 00 the model without its checks: there the
# results are compared, not the code.
COMPARED_BY_RESULT = {
    ("00", "RNNModelScratch"): model_results_differ,
    ("01", "gru_step"): step_results_differ,
}


def matches_the_package(notebook):
    """What a lesson defines under a name of the package does what the package does."""
    for name, node in shared_definitions(notebook):
        module, expected = package_definitions()[name]
        results_differ = COMPARED_BY_RESULT.get((notebook.number, name))
        if results_differ:
            if results_differ(node):
                yield f"{name} does not give what gru_helpers.{module}.{name} gives"
        elif essence(node) != expected:
            yield f"{name} is not the code of gru_helpers.{module}.{name}"


def writes_out_what_it_teaches(notebook):
    """The comparison with the package must have something to compare."""
    written = {name for name, _ in shared_definitions(notebook)}
    for name in TAUGHT.get(notebook.number, ()):
        if name not in written:
            yield f"{name} is taught here and must be written out"


ANY_NOTEBOOK = [
    runs_in_order,
    has_no_empty_cells,
    has_no_errors,
    has_no_widget_state,
    has_no_absolute_paths,
    has_small_outputs,
    has_no_remote_images,
    has_alternative_texts,
    has_no_widgets,
    has_short_cells,
    has_short_texts,
    has_known_tags,
    asserts_what_is_not_compared,
    has_working_links,
]
LESSON = [
    has_a_header,
    has_a_footer,
    has_exercises,
    fits_on_one_page,
    has_solutions,
    matches_the_package,
    writes_out_what_it_teaches,
]
SOLUTION = [belongs_to_a_lesson]


def rules_of(path):
    """The rules for the notebook at ``path``: those of solutions in a folder of that name."""
    return ANY_NOTEBOOK + (SOLUTION if Path(path).parent.name == "solutions" else LESSON)


def numbering_faults(paths):
    """What is wrong with the names of the lessons: two digits, from 00 or 01, each number once."""
    numbers = []
    for path in paths:
        match = re.fullmatch(r"(\d\d)_[a-z0-9_]+", path.stem)
        if not match:
            yield f"{path.name} is not named like 01_gate_equations.ipynb"
        else:
            numbers.append(int(match[1]))
    if len(set(numbers)) < len(numbers) or min(numbers) > 1:
        yield f"the lessons are numbered {numbers}: number them from 00 or 01, each number once"


def main(names):
    """Print the faults of the notebooks named, or of all; return the exit code."""
    paths = [Path(name) for name in names] or LESSONS + SOLUTIONS
    faults = list(numbering_faults(LESSONS))
    for path in paths:
        notebook = Notebook(path)
        faults += [
            f"{path}: {fault}" for rule in rules_of(path.resolve()) for fault in rule(notebook)
        ]
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
