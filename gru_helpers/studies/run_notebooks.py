"""Execute notebooks from top to bottom, and report the minutes of each.

The results go to build/notebooks; the notebooks themselves are not changed without --write.
"""

import argparse
import asyncio
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from tqdm import tqdm

from ..plotting import WIDGET_VIEW

ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOKS = ROOT / "notebooks"
RESULTS = ROOT / "build" / "notebooks"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def find_notebook(name: str) -> Path:
    """Return the path of the notebook with this path, or with this name in notebooks/."""
    for path in (Path(name), NOTEBOOKS / name):
        if path.is_file() and path.suffix == ".ipynb":
            return path.resolve()
    raise argparse.ArgumentTypeError(f"there is no notebook {name}")


def clear_what_differs(notebook: nbformat.NotebookNode) -> None:
    """Remove what differs from run to run and from machine to machine.

    That is metadata, and a widget that has a picture, as ``jupyter_server_config.py`` does it too.
    """
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata = {key: cell.metadata[key] for key in ("tags",) if key in cell.metadata}
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", ()):
                output.data.pop(WIDGET_VIEW, None)


def execute(notebook: nbformat.NotebookNode, path: Path, timeout: int) -> str:
    """Execute a notebook in place; return the cell that failed and its error, or ""."""
    num_cells = sum(
        cell.cell_type == "code" and bool(cell.source.strip()) for cell in notebook.cells
    )
    with tqdm(total=num_cells, desc=path.stem, unit="cell", leave=False, disable=None) as bar:
        client = NotebookClient(
            notebook,
            timeout=timeout,
            kernel_name="python3",
            resources={"metadata": {"path": str(path.parent)}},
            store_widget_state=False,
            coalesce_streams=True,  # what a cell prints, however the client received it
            on_cell_executed=lambda cell, cell_index, execute_reply: bar.update(),
        )
        try:
            client.execute(stderr=subprocess.DEVNULL)  # the kernel's own log, not the cells' output
        except (Exception, asyncio.CancelledError) as error:
            if hasattr(client, "_async_cleanup_kernel_future"):  # how nbclient handles Ctrl-C
                raise KeyboardInterrupt from None
            kind = getattr(error, "ename", type(error).__name__)
            message = str(getattr(error, "evalue", error)).strip() or "no message"
            number = client.code_cells_executed  # counted as soon as they are sent
            return f"cell [{number}] stopped with {kind}: {message.splitlines()[0]}"
    return ""


def run_notebook(path: Path, timeout: int, write: bool) -> str:
    """Execute one notebook into build/notebooks; return what failed, or "".

    With `write`, a notebook that did not fail replaces its source too.
    """
    notebook = nbformat.read(path, as_version=4)
    failure = execute(notebook, path, timeout)
    clear_what_differs(notebook)
    target = RESULTS / (path.relative_to(NOTEBOOKS) if NOTEBOOKS in path.parents else path.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)
    if write and not failure:
        shutil.copyfile(target, path)
    return failure


def main(argv: list[str] | None = None) -> int:
    """Run the notebooks named, or all of them; return the exit code."""
    parser = argparse.ArgumentParser(prog="python3 course.py run", description=__doc__)
    parser.add_argument(
        "notebooks",
        metavar="NOTEBOOK",
        type=find_notebook,
        nargs="*",
        help="path, or name in notebooks/ (default: all, with their solutions)",
    )
    parser.add_argument(
        "--timeout", type=int, default=1800, metavar="S", help="seconds for a cell (default: 1800)"
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="after a change: put each notebook that did not fail back into its place",
    )
    arguments = parser.parse_args(argv)
    lessons, solutions = NOTEBOOKS.glob("*.ipynb"), NOTEBOOKS.glob("solutions/*.ipynb")
    paths = arguments.notebooks or [*sorted(lessons), *sorted(solutions)]
    if not paths:
        parser.error(f"there are no notebooks in {NOTEBOOKS}")
    width = max(len(path.stem) for path in paths)
    failures = {}
    print(f"{'notebook':{width}}  minutes")
    try:
        for path in paths:
            start = time.perf_counter()
            failure = run_notebook(path, arguments.timeout, arguments.write)
            minutes = (time.perf_counter() - start) / 60
            print(f"{path.stem:{width}}  {minutes:7.2f}{'  FAILED' if failure else ''}", flush=True)
            if failure:
                failures[path.stem] = failure
    except KeyboardInterrupt:
        return 130
    for name, failure in failures.items():
        print(f"{name}: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
