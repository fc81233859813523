"""Set up the course, open it, test it: python3 course.py COMMAND [options].

Needs only Python itself, and keeps everything that it installs in the folder .venv beside it.
"""

import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "course-stamp.json"  # written when an installation is complete
NOTEBOOKS = ROOT / "notebooks"
BUILD = ROOT / "build"
OLDEST, NEWEST = (3, 10), (3, 13)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# How `test` spreads its work; each notebook stays whole. Make it [] to run one test after another.
PARALLEL = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]

USAGE = f"""\
usage: python3 course.py COMMAND [options]

  lab         open the notebooks in JupyterLab
  test        run the tests, and compare what every notebook prints with what it holds
  run         execute notebooks from top to bottom, and report the minutes of each
  lint        check the style of code and notebooks
  bench       time a training step: the taught loop, nn.GRU, the fast GRU (two minutes)
  speedrun    time the way to perplexity 1.1, recipe by recipe (some ten minutes, needs the book)
  checkpoint  train the two models in data/checkpoints again (minutes, needs the book)
  setup       only install what the course needs, into .venv
  clean       remove .venv and build

  COMMAND --help tells more about each.
  --torch-index URL (or the variable GRU_TORCH_INDEX) takes PyTorch from another package index.
  Without an NVIDIA GPU the small build is enough: --torch-index {CPU_INDEX}
"""

# What pip and venv print when they fail, and what to say then; the first match counts.
EXPLANATIONS = {
    "No space left on device|Errno 28|WinError 112|not enough space on the disk": (
        "The disk is full: the course needs about 2 GB in {root}, or 8 GB with PyTorch's build for "
        "NVIDIA GPUs (--torch-index {cpu} takes the small one). Free some space and start again."
    ),
    "NewConnectionError|Failed to establish a new connection|NameResolutionError|name resolution"
    "|Name or service not known|getaddrinfo failed|nodename nor servname|Network is unreachable"
    "|ConnectTimeoutError|ReadTimeoutError|ProxyError|SSLError|Max retries exceeded"
    "|ConnectionResetError|Connection aborted|Connection refused": (
        "No connection to the package index: connect once and start again; later starts need none. "
        "Without any, fill a folder elsewhere with `pip download -r constraints.txt -d wheels`, "
        "copy it here and set PIP_NO_INDEX=1 and PIP_FIND_LINKS=wheels."
    ),
    r"Permission denied|Errno 13\b|Read-only file system|Errno 30\b|WinError 5\b": (
        "Cannot write to {root}: copy the course to a folder of your own and start it from there."
    ),
    r"(?:No matching distribution found for|requested \(constraint\)) (?P<what>[^\s;]+)": (
        "pip finds no {what} for this system ({system}, Python {python}) and pyproject.toml: try "
        "another Python from {oldest} to {newest}, or conda with environment.yml."
    ),
}


class Problem(Exception):
    """Something that stops a command and that one clear sentence explains."""

    code = 1


class Misuse(Problem):
    """A command line that asks for something that is not there."""

    code = 2


def dotted(version):
    """Return the first two numbers of a version as text: (3, 11, 7) is 3.11."""
    return "{}.{}".format(*version[:2])


def check_python(version):
    """Raise a Problem if `version` of Python is too old or too new for the course."""
    if not OLDEST <= tuple(version[:2]) <= NEWEST:
        raise Problem(
            f"This course needs Python {dotted(OLDEST)} to {dotted(NEWEST)}, and this is Python "
            f"{dotted(version)}: install one of those, from python.org for example, and start "
            "course.py with it (python3.11 course.py lab)."
        )


def explain(output):
    """Return the sentence for what went wrong according to `output`, or None."""
    facts = {"root": ROOT, "cpu": CPU_INDEX, "oldest": dotted(OLDEST), "newest": dotted(NEWEST)}
    facts["system"] = f"{platform.system()} {platform.machine()}"
    facts["python"] = dotted(sys.version_info)
    for pattern, sentence in EXPLANATIONS.items():
        found = re.search(pattern, output, re.IGNORECASE)
        if found:
            return sentence.format(**facts, **found.groupdict())
    return None


# ------------------------------------------------------------------------------- processes


def environment(**defaults):
    """Return the environment variables for programs that run inside .venv."""
    env = dict(defaults, **os.environ)
    env.update(VIRTUAL_ENV=str(VENV), JUPYTER_PREFER_ENV_PATH="1", PYTHONUTF8="1")
    env.update(PIP_USER="0", PIP_NO_INPUT="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
    env["PATH"] = str(PYTHON.parent) + os.pathsep + env.get("PATH", "")
    env.pop("PYTHONHOME", None)
    mirror = env.get("GRU_DATA_MIRROR", "")
    if mirror and "://" not in mirror:  # seen from here; notebooks run in folders of their own
        env["GRU_DATA_MIRROR"] = str(Path(mirror).expanduser().resolve())
    return env


def call(command, env=None, patience=20):
    """Run `command` and return its exit code, or 130 after Ctrl-C.

    Ctrl-C reaches the program too: it gets `patience` seconds to end, None for no limit.
    """
    process = subprocess.Popen([str(part) for part in command], cwd=ROOT, env=env or environment())
    interrupted = False
    try:
        while True:
            try:
                code = process.wait(patience if interrupted else None)
                return 130 if interrupted else code
            except KeyboardInterrupt:
                interrupted = True
    except subprocess.TimeoutExpired:
        process.kill()
        return 130
    finally:
        process.terminate()  # does nothing if it has ended


def quietly(command):
    """Run `command` with one line of progress on a terminal; a Problem explains a failure."""
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    lines, began = [""], time.monotonic()

    def read():
        for line in process.stdout:
            lines.append(line.rstrip())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while reader.is_alive():
            reader.join(0.5)
            if sys.stdout.isatty():
                width = shutil.get_terminal_size().columns - 1
                text = f"{time.monotonic() - began:5.0f} s  {lines[-1].strip()}"
                end = "" if reader.is_alive() else "\r" + " " * width + "\r"
                print("\r" + text[:width].ljust(width), end=end, flush=True)
        if process.wait() == 0:
            return
    finally:
        process.terminate()
    sentence = explain("\n".join(lines))
    if sentence is None:
        print("\n".join(lines[-20:]), file=sys.stderr)
        sentence = "The installation stopped with the error above."
    raise Problem(sentence)


# ------------------------------------------------------------------------- the environment


def probe():
    """Return the version of .venv's Python as text, or None if it does not start."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        return subprocess.check_output(
            [str(PYTHON), "-c", code], stderr=subprocess.DEVNULL, universal_newlines=True
        ).strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def read_stamp():
    """Return what the last complete installation noted, or {} if there is none."""
    try:
        return json.loads(STAMP.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def new_stamp(version, torch_index):
    """Return all that an installation depends on; a stamp that differs is out of date."""
    files = [(ROOT / name).read_text("utf-8") for name in ("pyproject.toml", "constraints.txt")]
    digest = hashlib.sha256("\0".join(files).encode()).hexdigest()
    return {"files": digest, "root": str(ROOT), "python": version, "torch_index": torch_index}


def pip_commands(torch_index=""):
    """Return the pip commands that install the course into .venv, in order."""
    pip = [PYTHON, "-m", "pip", "install", "--progress-bar", "off", "-c", "constraints.txt"]
    commands = [[*pip, "hatchling", "editables"]]  # what builds the package in the last one
    if torch_index:
        commands.append([*pip, "--no-deps", "--index-url", torch_index, "torch"])
    return [*commands, [*pip, "--no-build-isolation", "-e", ".[lab,test]"]]


def setup(torch_index=""):
    """Make .venv complete and up to date; do nothing if it is."""
    old, version = read_stamp(), probe()
    torch_index = torch_index or old.get("torch_index", "")
    if old and old == new_stamp(version, torch_index):
        return
    began = time.monotonic()
    if old and (version, torch_index) == (old.get("python"), old.get("torch_index")):
        print("The course has changed or moved: bringing .venv up to date.", flush=True)
    else:
        old = {}
        make_venv()
        print("Installing into .venv: once, a minute or two on a fast connection.", flush=True)
        if not torch_index and sys.platform == "linux":
            print("This fetches PyTorch's build for NVIDIA GPUs, about 3 GB. Without such a GPU,")
            print(f"press Ctrl-C and start with --torch-index {CPU_INDEX}", flush=True)
    install(torch_index, old)
    print(f"Installed in {time.monotonic() - began:.0f} s.", flush=True)


def make_venv():
    """Make a new, empty .venv in the place of what may be there."""
    if Path(sys.prefix).resolve() == VENV:
        raise Problem("The folder .venv has to be made anew: type `deactivate` and start again.")
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        raise Problem(
            "This Python cannot make virtual environments. On Debian and Ubuntu the package "
            f"python3-venv is missing: sudo apt install python{dotted(sys.version_info)}-venv"
        )
    quietly([sys.executable, "-m", "venv", "--clear", VENV])


def install(torch_index, old):
    """Install the course into .venv and stamp it; `old` is the stamp that it had before."""
    if STAMP.exists():
        STAMP.unlink()
    try:
        for command in pip_commands(torch_index):
            quietly(command)
    except Problem:
        if old:  # pip has put back what it replaced
            STAMP.write_text(json.dumps(old), "utf-8")
        raise
    # JupyterLab asks about its news unless told otherwise. These are .venv's defaults, not the
    # user's own settings.
    settings = VENV / "share" / "jupyter" / "lab" / "settings"
    settings.mkdir(parents=True, exist_ok=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    overrides = {"@jupyterlab/apputils-extension:notification": quiet}
    (settings / "overrides.json").write_text(json.dumps(overrides), "utf-8")
    STAMP.write_text(json.dumps(new_stamp(probe(), torch_index)), "utf-8")


# ------------------------------------------------------------------------------- commands


def lab(options, torch_index):
    """Open the notebooks in JupyterLab; the first start installs what it needs.

    Options go to JupyterLab, for example --no-browser or --port 9000.
    """
    try:
        setup(torch_index)
    except Problem as problem:
        if not (read_stamp() and probe()):
            raise
        print(f"{problem}\nGoing on with what was installed before.", file=sys.stderr)
    # In a container one is often root, and JupyterLab then refuses to start unless told
    as_root = ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    command = [PYTHON, "-m", "jupyterlab", f"--ServerApp.root_dir={NOTEBOOKS}", *as_root]
    return call([*command, *options], patience=None)


def pytest_arguments(options):
    """Return pytest's arguments for the options given on the command line."""
    arguments, named = [], False
    for option in options:
        path, colons, rest = option.partition("::")
        if not option.startswith("-") and (Path(path).exists() or (ROOT / path).exists()):
            named = True
            if Path(path).exists():  # seen from where the user is
                option = f"{Path(path).resolve()}{colons}{rest}"
        arguments.append(option)
    if not named:
        serial = ("-n", "--numprocesses", "--dist", "--pdb", "-s", "--capture=no")
        parallel = [] if any(option.startswith(serial) for option in options) else PARALLEL
        arguments = [*parallel, "notebooks", "tests", *arguments]  # what takes longest first
    sanitize = ROOT / "tests" / "nbval_sanitize.cfg"
    known = ["--nbval-sanitize-with", str(sanitize)] if sanitize.exists() else []
    return ["--nbval", "--nbval-current-env", *known, *arguments]


def in_parallel(arguments):
    """Tell whether pytest, given these arguments, spreads the work over several processes."""
    said = re.findall(r"(?:^| )(?:-n|--numprocesses)[ =]?(\w+)", " ".join(arguments))
    return bool(said) and said[-1] != "0"


def test(options, torch_index):
    """Run the tests, and compare what every notebook prints with what it holds.

    Options and paths go to pytest, for example -x, -k gates or notebooks/04_training.ipynb; with a
    path, only that is run. -n 0 runs one test after another.
    """
    setup(torch_index)
    arguments = pytest_arguments(options)
    one = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"} if in_parallel(arguments) else {}
    return call([PYTHON, "-m", "pytest", *arguments], environment(**one))


def lint(options, torch_index):
    """Check the style of code and notebooks with ruff; --fix mends what can be mended."""
    setup(torch_index)
    fix = "--fix" in options
    paths = [option for option in options if option != "--fix"] or ["."]
    checked = call([PYTHON, "-m", "ruff", "check", *(["--fix"] if fix else []), *paths])
    formatted = call([PYTHON, "-m", "ruff", "format", *([] if fix else ["--check"]), *paths])
    return checked or formatted


def find_notebooks(names):
    """Return the paths of the notebooks named, or of all of the course's."""
    if not names:
        return sorted(NOTEBOOKS.glob("*.ipynb")) + sorted(NOTEBOOKS.glob("solutions/*.ipynb"))
    found = []
    for name in names:
        places = [place / name for place in (Path.cwd(), ROOT, NOTEBOOKS)]
        paths = [path for path in places if path.is_file() and path.suffix == ".ipynb"]
        if not paths:
            raise Misuse(f"There is no notebook {name}.")
        found.append(paths[0].resolve())
    return found


def run(options, torch_index):
    """Execute notebooks from top to bottom, all of them or those named; sources stay untouched.

    The results go to build/notebooks. --timeout SECONDS limits each cell (default 1800). --write
    also puts each notebook that ran to its end back into its place, tidied: after a change.
    """
    options, timeout = list(options), 1800
    write = "--write" in options
    if write:
        options.remove("--write")
    if "--timeout" in options:
        at = options.index("--timeout")
        try:
            timeout = int(options[at + 1])
        except (IndexError, ValueError):
            raise Misuse("--timeout needs a number of seconds.") from None
        del options[at : at + 2]
    unknown = [option for option in options if option.startswith("-")]
    if unknown:
        raise Misuse(f"run has no option {unknown[0]}.")
    paths = find_notebooks(options)
    if not paths:
        raise Misuse(f"There are no notebooks in {NOTEBOOKS}.")
    setup(torch_index)
    if Path(sys.prefix).resolve() == VENV:
        return execute(paths, timeout, write)
    again = ["--timeout", timeout, *(["--write"] if write else []), *paths]
    return call([PYTHON, __file__, "run", *again])


def execute(paths, timeout, write=False):
    """Execute the notebooks, print a table of minutes and failures, return the exit code."""
    rows = []
    for path in paths:
        began = time.perf_counter()
        failure = execute_one(path, timeout, write)
        rows.append((path.stem, (time.perf_counter() - began) / 60, failure))
    width = max(len(name) for name, _, _ in rows)
    print(f"{'notebook':{width}}  minutes")
    for name, minutes, failure in rows:
        print(f"{name:{width}}  {minutes:7.2f}{'  FAILED' if failure else ''}")
    for name, _, failure in rows:
        if failure:
            print(f"{name}: {failure}", file=sys.stderr)
    return 1 if any(failure for _, _, failure in rows) else 0


def tidy(notebook):
    """Remove from `notebook` what differs from run to run and from machine to machine."""
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = {"tags": tags} if tags else {}


def execute_one(path, timeout, write=False):
    """Execute one notebook into build/notebooks; return what failed, or an empty text.

    With `write`, a notebook that did not fail replaces its source too.
    """
    import asyncio

    import nbformat
    from nbclient import NotebookClient
    from tqdm import tqdm

    place = path.relative_to(NOTEBOOKS) if NOTEBOOKS in path.parents else Path(path.name)
    target = BUILD / "notebooks" / place
    notebook = nbformat.read(path, as_version=4)
    cells = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in notebook.cells)
    started = []
    failure = ""
    with tqdm(total=cells, desc=path.stem, unit="cell", leave=False, disable=None) as bar:
        client = NotebookClient(
            notebook,
            timeout=timeout,
            kernel_name="python3",
            resources={"metadata": {"path": str(path.parent)}},
            store_widget_state=False,
            on_cell_execute=lambda cell, cell_index: started.append(cell_index),
            on_cell_executed=lambda cell, cell_index, execute_reply: bar.update(),
        )
        try:
            client.execute(stderr=subprocess.DEVNULL)  # the kernel's own log, not the cells' output
        except (Exception, asyncio.CancelledError) as error:
            if hasattr(client, "_async_cleanup_kernel_future"):  # nbclient swallows Ctrl-C
                raise KeyboardInterrupt from None
            kind = getattr(error, "ename", type(error).__name__)
            said = (str(getattr(error, "evalue", error)).strip() or "no message").splitlines()[0]
            failure = f"cell [{len(started)}] stopped with {kind}: {said}"
    tidy(notebook)
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)
    if write and not failure:
        shutil.copyfile(target, path)
    return failure


def checkpoint(options, torch_index):
    """Train the two models in data/checkpoints again, by the classic recipe.

    Takes some five minutes and needs the book: from data/, GRU_DATA_MIRROR, or a download.
    """
    setup(torch_index)
    return call([PYTHON, "-m", "gru_helpers.pretrained"])


def bench(options, torch_index):
    """Time one training step of the taught loop, nn.GRU, the fast GRU and the floor.

    Prints a table, and writes build/bench/times.json and times.png. --seconds N, --threads N and
    --quick choose how much of it; --profile shows where the fast GRU's time goes instead, and
    --record also writes data/bench.json, which notebook 07 draws. Close other programs first.
    """
    setup(torch_index)
    return call([PYTHON, "-m", "gru_helpers.bench", *options])


def speedrun(options, torch_index):
    """Time the way to perplexity 1.1 on the classic data: the classic recipes, and ours.

    Prints a table, and writes build/speedrun/speedrun.json. --seeds N, --threads N and --quick
    (only the last recipe) choose how much of it; --record also writes data/speedrun.json, which
    notebook 07 reads. Needs the book, and some ten minutes without other programs.
    """
    setup(torch_index)
    return call([PYTHON, "-m", "gru_helpers.speedrun", *options])


def clean(options, torch_index):
    """Remove .venv and build, and nothing else."""
    for folder in (VENV, BUILD):
        if folder.is_symlink() or folder.exists():
            print(f"Removing {folder}", flush=True)
            folder.unlink() if folder.is_symlink() else shutil.rmtree(folder)
    return 0


def only_setup(options, torch_index):
    """Install what the course needs into .venv; does nothing when it is there already."""
    setup(torch_index)
    print(f"Ready: {PYTHON}")
    return 0


COMMANDS = {
    "lab": lab,
    "test": test,
    "run": run,
    "lint": lint,
    "bench": bench,
    "speedrun": speedrun,
    "checkpoint": checkpoint,
    "setup": only_setup,
    "clean": clean,
}


def split(argv):
    """Return the command, its options and the PyTorch index of a command line."""
    words, torch_index = [], os.environ.get("GRU_TORCH_INDEX", "")
    argv = iter(argv)
    for word in argv:
        if word.startswith("--torch-index"):
            torch_index = word.partition("=")[2] or next(argv, "")
            if not torch_index:
                raise Misuse("--torch-index needs the address of a package index.")
        else:
            words.append(word)
    return (words[0] if words else ""), words[1:], torch_index


def main(argv):
    """Do what the command line asks and return the exit code."""
    try:
        check_python(sys.version_info)
        command, options, torch_index = split(argv)
        if command in ("", "-h", "--help", "help"):
            print(USAGE, end="", file=sys.stdout if command else sys.stderr)
            return 0 if command else 2
        if command not in COMMANDS:
            raise Misuse(f"There is no command {command}; {', '.join(COMMANDS)} are.")
        if "-h" in options or "--help" in options:
            told = "\n".join(line.strip() for line in COMMANDS[command].__doc__.splitlines())
            print(f"usage: python3 course.py {command} [options]\n\n{told.strip()}")
            return 0
        if command in ("checkpoint", "setup", "clean") and options:
            raise Misuse(f"{command} has no option {options[0]}.")
        return COMMANDS[command](options, torch_index)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return problem.code
    except OSError as error:
        sentence = explain(str(error))
        if sentence is None:
            raise
        print(sentence, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
