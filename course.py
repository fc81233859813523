"""Set up the course, open it, test it.

Needs only Python itself, and keeps everything that it installs in the folder .venv beside it.
"""

import argparse
import hashlib
import importlib.util
import inspect
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
OLDEST, NEWEST = (3, 10), (3, 13)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# Two workers, and each file, a notebook too, stays whole. They take the files in the order given.
PARALLEL = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
# What pip and venv print when they fail, and what to say then; the first match counts.
EXPLANATIONS = {
    "No space left on device|Errno 28|WinError 112|not enough space on the disk": (
        "The disk is full: the course needs about 2 GB in {root}, or 8 GB with PyTorch's build for "
        f"NVIDIA GPUs (--torch-index {CPU_INDEX} takes the small one). Free some space and start "
        "again."
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
    r"(?:No matching distribution found for|requested \(constraint\)) ([^\s;]+)": (
        "pip finds no {0} for this system ({system}): try another Python from {oldest} to "
        "{newest}, or conda with environment.yml."
    ),
}


class CourseError(Exception):
    """Something that stops a command; its message says what to do about it."""


def dotted(version):
    """Return the first two numbers of a version as text: (3, 11, 7) becomes 3.11."""
    return "{}.{}".format(*version[:2])


def check_python(version):
    """Raise a CourseError if `version` of Python is too old or too new for the course."""
    if not OLDEST <= tuple(version[:2]) <= NEWEST:
        raise CourseError(
            f"This course needs Python {dotted(OLDEST)} to {dotted(NEWEST)}, and this is Python "
            f"{dotted(version)}: install one of those, from python.org for example, and start "
            "course.py with it (python3.11 course.py lab)."
        )


def explain(output):
    """Return a sentence on why pip or venv failed, judging by their output, or None."""
    facts = {"root": ROOT, "oldest": dotted(OLDEST), "newest": dotted(NEWEST)}
    facts["system"] = f"{platform.system()} {platform.machine()}, Python {dotted(sys.version_info)}"
    for pattern, sentence in EXPLANATIONS.items():
        found = re.search(pattern, output, re.IGNORECASE)
        if found:
            return sentence.format(*found.groups(), **facts)
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
    if mirror and "://" not in mirror:  # a notebook runs in its own folder, not in the user's
        env["GRU_DATA_MIRROR"] = str(Path(mirror).expanduser().resolve())
    return env


def run_program(command, env=None, grace_seconds=20):
    """Run a program in the course's folder and return its exit code.

    Ctrl-C reaches the program too: it gets `grace_seconds` to end, or any time if that is None.
    """
    process = subprocess.Popen([str(part) for part in command], cwd=ROOT, env=env or environment())
    try:
        return process.wait()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # another Ctrl-C is for the program alone
        try:
            process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        raise
    finally:
        process.terminate()  # does nothing if it has ended


def run_with_progress(command):
    """Run a step of the installation with one line of progress on a terminal.

    Raise a CourseError that explains the failure if it fails.
    """
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
    lines, start = [""], time.monotonic()

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
                text = f"{time.monotonic() - start:5.0f} s  {lines[-1].strip()}"
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
    raise CourseError(sentence)


# ---------------------------------------------------------------------------- installation


def venv_python_version():
    """Return the version of .venv's Python as text, or None if it does not start."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        output = subprocess.check_output([str(PYTHON), "-c", code], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return None
    return output.decode().strip()


def read_stamp():
    """Return what the last complete installation noted, or {} if there is none."""
    try:
        return json.loads(STAMP.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def current_stamp(version, torch_index):
    """Return all that an installation depends on; if .venv's stamp differs, it is out of date."""
    files = [(ROOT / name).read_text("utf-8") for name in ("pyproject.toml", "constraints.txt")]
    digest = hashlib.sha256("\0".join(files).encode()).hexdigest()
    return {"files": digest, "root": str(ROOT), "python": version, "torch_index": torch_index}


def setup(torch_index=""):
    """Bring .venv up to date; do nothing if it is."""
    stamp, version = read_stamp(), venv_python_version()
    torch_index = torch_index or stamp.get("torch_index", "")
    if stamp and stamp == current_stamp(version, torch_index):
        return
    start = time.monotonic()
    if stamp and (version, torch_index) == (stamp.get("python"), stamp.get("torch_index")):
        print("The course has changed or moved: bringing .venv up to date.", flush=True)
    else:
        stamp = {}
        create_venv()
        print("Installing into .venv: once, a minute or two on a fast connection.", flush=True)
        if not torch_index and sys.platform == "linux":
            print("This fetches PyTorch's build for NVIDIA GPUs, about 3 GB. Without such a GPU,")
            print(f"press Ctrl-C and start with --torch-index {CPU_INDEX}", flush=True)
    install(torch_index, stamp)
    print(f"Installed in {time.monotonic() - start:.0f} s.", flush=True)


def create_venv():
    """Create a new, empty .venv in the place of what may be there."""
    if Path(sys.prefix).resolve() == VENV:
        raise CourseError("The folder .venv has to be renewed: type `deactivate` and start again.")
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        raise CourseError(
            "This Python cannot create virtual environments. On Debian and Ubuntu the package "
            f"python3-venv is missing: sudo apt install python{dotted(sys.version_info)}-venv"
        )
    run_with_progress([sys.executable, "-m", "venv", "--clear", VENV])


def install(torch_index, old_stamp):
    """Install the course into .venv and stamp it."""
    pip = [PYTHON, "-m", "pip", "install", "--progress-bar", "off", "-c", "constraints.txt"]
    steps = [[*pip, "hatchling", "editables"]]  # what builds the package in the last step
    if torch_index:
        steps.append([*pip, "--no-deps", "--index-url", torch_index, "torch"])
    steps.append([*pip, "--no-build-isolation", "-e", ".[lab,test]"])
    if STAMP.exists():
        STAMP.unlink()
    try:
        for step in steps:
            run_with_progress(step)
    except CourseError:
        if old_stamp:  # pip has put back what it replaced
            STAMP.write_text(json.dumps(old_stamp), "utf-8")
        raise
    # JupyterLab asks whether to show its news unless .venv's defaults say no.
    settings = VENV / "share" / "jupyter" / "lab" / "settings"
    settings.mkdir(parents=True, exist_ok=True)
    no_news = {"fetchNews": "false", "checkForUpdates": False}
    overrides = {"@jupyterlab/apputils-extension:notification": no_news}
    (settings / "overrides.json").write_text(json.dumps(overrides), "utf-8")
    STAMP.write_text(json.dumps(current_stamp(venv_python_version(), torch_index)), "utf-8")


# -------------------------------------------------------------------------------- commands


def lab(options):
    """Open the notebooks in JupyterLab; the first start installs what it needs.

    Options go to JupyterLab, for example --no-browser or --port 9000.
    """
    # In a container one is often root, and JupyterLab then refuses to start unless told.
    as_root = ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    root = f"--ServerApp.root_dir={ROOT / 'notebooks'}"
    return run_program([PYTHON, "-m", "jupyterlab", root, *as_root, *options], grace_seconds=None)


def test(options):
    """Run the tests, and compare what each notebook prints with the output stored in it.

    Options and paths go to pytest, for example -x, -k gates or notebooks/04_training.ipynb; with a
    path, only that is run. -n 0 runs one test after another.
    """
    options = absolute_paths(options)
    if not any(Path(option.partition("::")[0]).is_absolute() for option in options):
        serial = {"--pdb", "-s", "--capture=no"} & set(options)
        # Notebooks take longest and so come first: at the end both workers have short files left.
        options = [*([] if serial else PARALLEL), "notebooks", "tests", *options]
    command = [PYTHON, "-m", "pytest", "--nbval", "--nbval-current-env", *options]
    return run_program(command, environment(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1"))


def lint(options):
    """Check style, imports, types and workflows.

    --fix corrects what ruff can correct. With paths, only ruff runs, on these.
    """
    paths = absolute_paths([option for option in options if option != "--fix"])
    fix, check = (["--fix"], []) if "--fix" in options else ([], ["--check"])
    checks = [["ruff", "check", *fix, *paths], ["ruff", "format", *check, *paths]]
    if not paths:
        checks += [["lint-imports", "--no-logo"], ["mypy"]]
    if not paths and (ROOT / ".github" / "workflows").is_dir():
        checks += [["zizmor", "--offline", ".github/workflows"], ["actionlint"]]
    failed = []
    for name, *arguments in checks:
        program = shutil.which(name, path=environment()["PATH"])
        if program is None:
            print(f"{name} is not installed, so its check is left out.", file=sys.stderr)
            passed = name == "actionlint"  # no part of .venv: pip cannot install it everywhere
        else:
            passed = run_program([program, *arguments]) == 0
        if not passed:
            failed.append(f"{name} {arguments[0]}" if name == "ruff" else name)
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def setup_only(options):
    """Only install what the course needs into .venv; does nothing if it is there."""
    print(f"Ready: {PYTHON}")
    return 0


def clean(options):
    """Remove .venv and build, and nothing else."""
    for folder in (VENV, ROOT / "build"):
        if folder.is_symlink() or folder.exists():
            print(f"Removing {folder}", flush=True)
            folder.unlink() if folder.is_symlink() else shutil.rmtree(folder)
    return 0


def study(module, description):
    """Return the command that runs a program of gru_helpers.studies."""

    def command(options):
        options = absolute_paths(options)
        return run_program([PYTHON, "-m", f"gru_helpers.studies.{module}", *options])

    command.__doc__ = description
    return command


COMMANDS = {
    "lab": lab,
    "test": test,
    "run": study("run_notebooks", "Execute notebooks, and report the minutes of each."),
    "lint": lint,
    "bench": study("bench", "Time a training step: taught loop, nn.GRU, fast GRU (two minutes)."),
    "speedrun": study("speedrun", "Time the way to perplexity 1.1 (ten minutes; needs the book)."),
    "checkpoint": study(
        "train_pretrained", "Train the models in data/checkpoints again (minutes; needs the book)."
    ),
    "setup": setup_only,
    "clean": clean,
}
OWN_HELP = ("run", "bench", "speedrun")  # programs that list their options themselves
NO_OPTIONS = ("checkpoint", "setup", "clean")


# ---------------------------------------------------------------------------- command line


def absolute_paths(options):
    """Return the options, with paths seen from the user's folder or the course's made absolute."""
    result = []
    for option in options:
        path, colons, name = option.partition("::")
        if not option.startswith("-") and result[-1:] not in (["-k"], ["-m"]):
            found = [place for place in (path, str(ROOT / path)) if os.path.exists(place)]
            option = f"{os.path.realpath(found[0])}{colons}{name}" if found else option
        result.append(option)
    return result


def create_parser():
    """Return the parser of the command line; options that it does not know belong to a command."""
    shared = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    shared.add_argument(
        "--torch-index",
        metavar="URL",
        default=argparse.SUPPRESS,
        help="take PyTorch from this package index, and remember it (or set GRU_TORCH_INDEX); "
        f"without an NVIDIA GPU the small build is enough: {CPU_INDEX}",
    )
    parser = argparse.ArgumentParser(
        prog="python3 course.py",
        description=__doc__,
        epilog="COMMAND --help tells more about each.",
        parents=[shared],
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, function in COMMANDS.items():
        description, own_help = inspect.getdoc(function), name in OWN_HELP
        commands.add_parser(
            name,
            usage=f"python3 course.py {name} [--torch-index URL] [options]",
            help=description.splitlines()[0],
            description=description,
            epilog="Once the course is set up, this lists the options." if own_help else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[shared],
            add_help=not (own_help and STAMP.exists()),
            allow_abbrev=False,
        )
    return parser


def main(argv):
    """Do what the command line asks and return the exit code."""
    try:
        check_python(sys.version_info)
        parser = create_parser()
        if not argv:
            parser.print_help(sys.stderr)
            return 2
        arguments, options = parser.parse_known_args(argv)
        command = arguments.command
        if options and command in NO_OPTIONS:
            parser.error(f"{command} takes no option {options[0]}")
        if command != "clean":
            try:
                setup(getattr(arguments, "torch_index", os.environ.get("GRU_TORCH_INDEX", "")))
            except CourseError as error:
                if command != "lab" or not (read_stamp() and venv_python_version()):
                    raise
                print(f"{error}\nGoing on with what was installed before.", file=sys.stderr)
        return COMMANDS[command](options)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
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
