"""Run the notebooks of a class, and tell for each student and exercise what its check says.

FOLDER holds a folder for each student, or files such as 01_gate_equations_ada.ipynb. Each notebook
runs in a kernel of its own; the files stay as they are. The table is printed, and written with the
names of the mistakes to FOLDER/checks.csv. This runs what the students have written, with your
rights: use an account that has nothing else in it.
"""

import argparse
import asyncio
import csv
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from tqdm import tqdm

from ..checks.core import LOG, NOTEBOOKS, STRICT, exercises_of
from .run_notebooks import ROOT, find_notebook

RIGHT, WRONG, EMPTY, UNREACHED = "right", "not right", "no answer", ""
SIGNS = {RIGHT: "+", WRONG: "-", EMPTY: ".", UNREACHED: " "}
KNOWN_MISTAKE = "m"
LEGEND = (
    "+ right, m a known mistake, - not right, . no answer yet, blank: the check was not reached"
)
TABLE = "checks.csv"
LESSON = re.compile(r"(?:^|[^0-9])(\d\d)_[a-z_]*[a-z]")


@dataclass
class Row:
    """One student: what each check said last, and what stopped a notebook."""

    student: str
    found: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def num_right(self) -> int:
        """How many checks are satisfied."""
        return sum(state == RIGHT for state in self.found.values())


def student_of(path: Path, folder: Path) -> str:
    """The student's name: that of the folder in FOLDER, or the file's without the lesson's."""
    parts = path.relative_to(folder).parts
    if len(parts) > 1:
        return parts[0]
    lessons = "|".join(lesson.stem for lesson in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
    return re.sub(f"[-_ ]*(?:{lessons})[-_ ]*" if lessons else "$^", "", path.stem) or path.stem


def find_notebooks(folder: Path) -> list[Path]:
    """The notebooks in a folder, without worked solutions and what Jupyter keeps beside them."""
    paths = []
    for path in sorted(folder.rglob("*.ipynb")):
        parts = path.relative_to(folder).parts
        ours = "solutions" in parts or path.stem.endswith("_solutions")
        paths += [] if ours or any(part.startswith(".") for part in parts) else [path]
    return paths


def state_of(line: dict) -> str:
    """What a noted verdict says, in a word or by the mistake's name."""
    if line["passed"]:
        return RIGHT
    return EMPTY if line["passed"] is None else line["mistake"] or WRONG


def read_log(path: Path) -> dict[str, str]:
    """The last verdict of each exercise in a file of verdicts."""
    found = {}
    if path.exists():
        for text in path.read_text("utf-8").splitlines():
            line = json.loads(text)
            found[line["exercise"]] = state_of(line)
    return found


async def run_one(path: Path, seconds: float) -> tuple[dict[str, str], str]:
    """Run a notebook to its end, errors or not; return its verdicts, and what stopped it, or ""."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:
        return {}, f"{path.name} is no notebook: {str(error).splitlines()[0]}"
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "log"
        env = {**os.environ, LOG: str(log), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        env.pop(STRICT, None)
        client = NotebookClient(
            notebook,
            timeout=None,
            kernel_name="python3",
            allow_errors=True,
            shutdown_kernel="immediate",
            resources={"metadata": {"path": str(path.parent)}},
        )
        stopped, began = "", time.monotonic()
        try:
            run = client.async_execute(env=env, stderr=asyncio.subprocess.DEVNULL)
            await asyncio.wait_for(run, seconds)
        except Exception as error:  # a kernel that is stopped counts as one that has died
            late, died = time.monotonic() - began >= seconds, isinstance(error, DeadKernelError)
            why = f"was stopped after {seconds:g} s" if late else "stopped: its kernel died"
            stopped = f"{path.name} {why if late or died else f'stopped: {error!r:.80}'}"
        return read_log(log), stopped


async def run_all(paths: list[Path], folder: Path, seconds: float, workers: int) -> dict[str, Row]:
    """The rows of all students; ``workers`` notebooks run at a time."""
    rows: dict[str, Row] = {}
    gate = asyncio.Semaphore(workers)
    with tqdm(total=len(paths), unit="notebook", disable=None) as bar:

        async def mark(path: Path) -> None:
            async with gate:
                found, stopped = await run_one(path, seconds)
            row = rows.setdefault(student_of(path, folder), Row(student_of(path, folder)))
            row.found.update(found)
            row.notes += [stopped] if stopped else []
            bar.update()

        await asyncio.gather(*map(mark, paths))
    return rows


def columns_of(paths: Iterable[Path], rows: Iterable[Row]) -> list[str]:
    """Every exercise of every notebook that was handed in."""
    named = {match[1] for path in paths for match in LESSON.finditer(path.name)}
    noted = {number[:2] for row in rows for number in row.found}
    notebooks = sorted((named | noted) & set(NOTEBOOKS))
    return [exercise.number for notebook in notebooks for exercise in exercises_of(notebook)]


def print_table(rows: list[Row], columns: list[str]) -> None:
    """A row for each student, a column for each exercise, and the mistakes made by most."""
    width = max([len(row.student) for row in rows] + [len("student")])
    print(f"{'student':{width}}  " + " ".join(columns) + "   right")
    for row in rows:
        signs = [SIGNS.get(row.found.get(number, UNREACHED), KNOWN_MISTAKE) for number in columns]
        cells = " ".join(f"{s:^{len(n)}}" for s, n in zip(signs, columns, strict=True))
        print(f"{row.student:{width}}  {cells}   {row.num_right} of {len(columns)}")
    print(LEGEND)
    mistakes = Counter(
        (number, state) for row in rows for number, state in row.found.items() if state not in SIGNS
    )
    for (number, name), count in mistakes.most_common(10):
        print(f"{count} of {len(rows)}: {number} {name}")
    for row in rows:
        for note in row.notes:
            print(f"{row.student}: {note}")


def write_table(rows: list[Row], columns: list[str], path: Path) -> None:
    """The same as a file, with the mistakes' names."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["student", *columns, "right", "notes"])
        for row in rows:
            states = [row.found.get(number, UNREACHED) for number in columns]
            writer.writerow([row.student, *states, row.num_right, "; ".join(row.notes)])


# --- nbgrader -----------------------------------------------------------------------------------


def graded(kind: str, number: str, source: str) -> nbformat.NotebookNode:
    """A cell that nbgrader knows: an ``answer``, which students change, or a ``test``."""
    cell = nbformat.v4.new_code_cell(source.strip("\n"))
    name = f"{kind}-{number.replace('.', '-')}"
    test = kind == "test"
    cell.metadata["nbgrader"] = {
        **{"schema_version": 3, "grade_id": name, "grade": test, "solution": not test},
        **{"locked": test, "task": False, "cell_type": "code"},
        **({"points": 1} if test else {}),
    }
    return cell


def for_nbgrader(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The same notebook with each answer and each of its checks in a cell of its own."""
    cells = []
    for cell in notebook.cells:
        found = re.findall(r'^check\("(.*?)".*\)$', cell.source, re.M)
        if cell.cell_type != "code" or not found:
            cells.append(cell)
            continue
        answer = cell.source[: cell.source.index("check(")]
        cells.append(graded("answer", found[0], answer))
        for number, line in zip(found, re.findall(r"^check\(.*$", cell.source, re.M), strict=True):
            cells.append(graded("test", number, line))
    return nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata)


def prepare(folder: Path, notebooks: list[Path]) -> None:
    """Write nbgrader's version of some notebooks into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in notebooks:
        notebook = for_nbgrader(nbformat.read(path, as_version=4))
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.update(execution_count=None, outputs=[])
        nbformat.write(notebook, folder / path.name)
        print(folder / path.name)


def main(argv: list[str] | None = None) -> int:
    """Run a class's notebooks, or prepare some for nbgrader; return the exit code."""
    parser = argparse.ArgumentParser(prog="python3 course.py class", description=__doc__)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="the class's notebooks")
    parser.add_argument(
        "--seconds", type=float, default=900, metavar="S", help="for one notebook (default: 900)"
    )
    parser.add_argument(
        "--workers", type=int, default=2, metavar="N", help="notebooks at a time (default: 2)"
    )
    parser.add_argument(
        "--nbgrader",
        nargs="+",
        type=find_notebook,
        metavar="NOTEBOOK",
        help="instead, write these lessons into FOLDER with their answers and checks as nbgrader's",
    )
    arguments = parser.parse_args(argv)
    if arguments.nbgrader:
        prepare(arguments.folder, arguments.nbgrader)
        return 0
    folder = arguments.folder.resolve()
    paths = find_notebooks(folder) if folder.is_dir() else []
    if not paths:
        print(f"There are no notebooks in {folder}: name the folder of the class.", file=sys.stderr)
        return 1
    try:
        found = asyncio.run(run_all(paths, folder, arguments.seconds, arguments.workers))
    except KeyboardInterrupt:
        return 130
    rows = sorted(found.values(), key=lambda row: row.student)
    columns = columns_of(paths, rows)
    print_table(rows, columns)
    write_table(rows, columns, folder / TABLE)
    print(f"Written to {folder / TABLE}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
