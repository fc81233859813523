"""Set up the course, open it, test it.

Needs only Python itself, and keeps everything that it installs in the folder .venv beside it.
"""

import argparse
import contextlib
import errno
import hashlib
import importlib.util
import inspect
import itertools
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # on Windows
    import msvcrt

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "course-stamp.json"  # written when an installation is complete
OLD = ".before-update"  # ends the name under which a .venv that works waits while a new one is made
LOCK = ROOT / ".venv.lock"  # held by the process that changes .venv
NOTEBOOKS, FRESH = ROOT / "notebooks", ROOT / "class"
# A name of the package: its folder of data in .venv can be imported even if its code cannot.
IMPORTS = (
    "from gru_helpers import gru; "
    "import ipykernel, ipywidgets, jupyterlab, matplotlib.pyplot, nbval, pooch, torch"
)
OLDEST, NEWEST = (3, 10), (3, 13)
PATIENCE_SECONDS = 60
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# Two workers, and each file, a notebook too, stays whole. They take the files in the order given.
PARALLEL = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
# What pip and venv print when they fail, and what to say then; the first match counts.
EXPLANATIONS = {
    "No space left on device|Errno 28|WinError 112|not enough space on the disk|Disk quota exceeded"
    "|Errno 122|No usable temporary directory": (
        "The disk is full: the course needs about 2 GB in {root}, or 8 GB with PyTorch's build for "
        f"NVIDIA GPUs (--torch-index {CPU_INDEX} takes the small one), and half as much for a "
        "while in the temporary folder (free: {space}): free some more, or set TMPDIR to a folder "
        "on another disk, and start again."
    ),
    "CERTIFICATE_VERIFY_FAILED|certificate verify failed": (
        "The certificate of {index} is not accepted: the clock may be wrong, or a proxy, as in "
        "many schools and companies, shows one of its own; set PIP_CERT to the file with the "
        "proxy's certificate and start again."
    ),
    "NewConnectionError|Failed to establish a new connection|NameResolutionError|name resolution"
    "|Name or service not known|getaddrinfo failed|nodename nor servname|Network is unreachable"
    "|ConnectTimeoutError|ReadTimeoutError|ProxyError|SSLError|Max retries exceeded"
    "|ConnectionResetError|Connection aborted|Connection refused": (
        "No connection to {index}: {remedy}connect once and start again; later starts need none. "
        "Without any, fill a folder elsewhere with `pip download -r constraints.txt -d wheels`, "
        "copy it here and set PIP_NO_INDEX=1 and PIP_FIND_LINKS=wheels."
    ),
    r"Permission denied|Read-only file system|Errno (?:13|16|30)\b|WinError (?:5|32)\b": (
        "Cannot write to {root}: close what runs there, such as JupyterLab, or copy the course to "
        "a folder of your own, and start again."
    ),
    r"(?:No matching distribution found for|requested \(constraint\)) ([^\s;]+)": (
        "pip finds no {0} for this system ({system}) in {index}: {remedy}try another Python from "
        "{oldest} to {newest}, or conda with environment.yml."
    ),
}


class CourseError(Exception):
    """Something that stops a command; its message says what to do about it.

    `usable` says whether .venv works as it did before.
    """

    usable = False


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


def free_space():
    """Return as text how much is free in the course's folder and in the temporary one."""
    folders = [ROOT]
    with contextlib.suppress(OSError):  # there is none if nothing can be written to any
        folders.append(tempfile.gettempdir())
    return ", ".join(f"{shutil.disk_usage(path).free / 1e9:.1f} GB in {path}" for path in folders)


def explain(output, torch_index=""):
    """Return a sentence on why pip or venv failed, judging by their output, or None.

    `torch_index` is the index that the step took PyTorch from, if it took it from one.
    """
    facts = {"root": ROOT, "oldest": dotted(OLDEST), "newest": dotted(NEWEST)}
    facts["system"] = f"{platform.system()} {platform.machine()}, Python {dotted(sys.version_info)}"
    facts["index"] = torch_index or "the package index"
    facts["remedy"] = f"correct that address (such as {CPU_INDEX}), " if torch_index else ""
    for pattern, sentence in EXPLANATIONS.items():
        found = re.search(pattern, output, re.IGNORECASE)
        if found:
            return sentence.format(*found.groups(), space=free_space(), **facts)
    return None


# ------------------------------------------------------------------------------- processes


def environment(**defaults):
    """Return the environment variables for programs that run inside .venv.

    What the user set for another Python, PYTHONHOME and PYTHONPATH, is left out.
    """
    env = dict(defaults, **os.environ)
    env.update(VIRTUAL_ENV=str(VENV), JUPYTER_PREFER_ENV_PATH="1", PYTHONUTF8="1")
    env.update(PIP_USER="0", PIP_NO_INPUT="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
    env["PATH"] = str(PYTHON.parent) + os.pathsep + env.get("PATH", "")
    env.pop("PYTHONHOME", None)
    env.pop("PYTHONPATH", None)
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
        process.wait()
    index = command[command.index("--index-url") + 1] if "--index-url" in command else ""
    sentence = explain("\n".join(lines), index)
    if sentence is None:
        print("\n".join(lines[-20:]), file=sys.stderr)
        sentence = "The installation stopped with the error above."
    raise CourseError(sentence)


# ---------------------------------------------------------------------------- installation


def venv_python_version():
    """Return the version of .venv's Python as text, or None if it does not start."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        output = subprocess.check_output(
            [str(PYTHON), "-I", "-c", code], stderr=subprocess.DEVNULL, timeout=PATIENCE_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise CourseError(
            f"{PYTHON} has not answered for {PATIENCE_SECONDS} seconds: start again, or remove "
            ".venv with `python3 course.py clean` first."
        ) from None
    except (OSError, subprocess.CalledProcessError):
        return None
    return output.decode().strip()


def read_stamp():
    """Return what the last complete installation noted, or {} if there is none."""
    try:
        stamp = json.loads(STAMP.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def current_stamp(version, torch_index):
    """Return all that an installation depends on; if .venv's stamp differs, it is out of date."""
    names = "pyproject.toml", "constraints.txt", "jupyter_server_config.py"
    files = [(ROOT / name).read_text("utf-8") for name in names]
    digest = hashlib.sha256("\0".join(files).encode()).hexdigest()
    return {"files": digest, "root": str(ROOT), "python": version, "torch_index": torch_index}


def is_current(torch_index):
    """Return whether .venv is complete and up to date."""
    stamp = read_stamp()
    torch_index = torch_index or stamp.get("torch_index", "")
    return bool(stamp) and stamp == current_stamp(venv_python_version(), torch_index)


@contextlib.contextmanager
def locked():
    """Keep other processes from changing .venv; wait for one that does.

    The system releases the lock when the process ends, however it ends.
    """
    with LOCK.open("a") as file:
        for attempt in itertools.count():
            try:
                if os.name == "nt":
                    msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                else:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):  # this disk has no locks
                    break
            if attempt == 0:
                print("Another start of course.py is changing .venv: waiting for it.", flush=True)
            time.sleep(0.5)
        yield


def setup(torch_index=""):
    """Bring .venv up to date; do nothing if it is."""
    if is_current(torch_index):
        return
    with locked():
        if not is_current(torch_index):  # the process waited for may have done it
            update(torch_index)


def update(torch_index):
    """Install what has changed into a .venv that works, or everything into a new one."""
    start, stamp, version = time.monotonic(), read_stamp(), venv_python_version()
    torch_index = torch_index or stamp.get("torch_index", "")
    if version and version == stamp.get("python"):
        print("The course, its place or PyTorch's index has changed: updating .venv.", flush=True)
        install(torch_index, stamp)
    else:
        with new_venv():
            print("Installing into .venv: once, a minute or two on a fast connection.", flush=True)
            if not torch_index and sys.platform == "linux":
                print("This fetches PyTorch's build for NVIDIA GPUs, about 3 GB. Without such a")
                print(f"GPU, press Ctrl-C and start with --torch-index {CPU_INDEX}", flush=True)
            install(torch_index, {})
    print(f"Installed in {time.monotonic() - start:.0f} s.", flush=True)


@contextlib.contextmanager
def new_venv():
    """Create a new, empty .venv; if the block fails, one that worked comes back."""
    place = Path(os.path.realpath(VENV))  # .venv may be a link to another disk
    old = place.with_name(place.name + OLD)
    if os.path.lexists(VENV) and not place.is_dir():
        what = "a file" if place.exists() else f"a link to {place}, which is not there"
        raise CourseError(f"{VENV} is {what}: rename or remove it and start again.")
    if Path(sys.prefix).resolve() == place:
        raise CourseError("The folder .venv has to be renewed: type `deactivate` and start again.")
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        raise CourseError(
            "This Python cannot create virtual environments. On Debian and Ubuntu the package "
            f"python3-venv is missing: sudo apt install python{dotted(sys.version_info)}-venv"
        )
    if read_stamp() or (venv_python_version() and not import_error()):
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
        place.mkdir()
    try:
        run_with_progress([sys.executable, "-m", "venv", "--clear", place])  # a link is refused
        yield
    except BaseException as error:
        if old.exists():
            shutil.rmtree(place)
            old.rename(place)
            error.usable = not import_error()
        raise
    shutil.rmtree(old, ignore_errors=True)


def install(torch_index, old_stamp):
    """Install the course into .venv, check that it can be imported, and stamp it.

    `old_stamp` is that of a .venv that works, which pip leaves as it is where it fails.
    """
    pip = [PYTHON, "-m", "pip", "install", "--progress-bar", "off", "-c", "constraints.txt"]
    steps = [[*pip, "hatchling", "editables"]]  # what builds the package in the last step
    if torch_index:
        other = torch_index != old_stamp.get("torch_index", torch_index)
        again = ["--force-reinstall"] if other else []
        steps.append([*pip, "--no-deps", *again, "--index-url", torch_index, "torch"])
    steps.append([*pip, "--no-build-isolation", "-e", ".[lab,test]"])
    if STAMP.exists():
        STAMP.unlink()
    try:
        for step in steps:
            run_with_progress(step)
    except BaseException as error:  # Ctrl-C too
        if old_stamp and not import_error():
            STAMP.write_text(json.dumps(old_stamp), "utf-8")
            error.usable = True
        raise
    # pip notes the course's folder in UTF-8, but Python before 3.13 reads it in the encoding of the
    # locale; seen from where it is noted, the folder has no letters.
    for folder in (*VENV.glob("lib/python*/site-packages"), VENV / "Lib" / "site-packages"):
        for path in folder.glob("*gru_helpers.pth"):
            path.write_text(os.path.relpath(ROOT, folder), "ascii")
    # JupyterLab asks whether to show its news unless .venv's defaults say no.
    settings = VENV / "share" / "jupyter" / "lab" / "settings"
    settings.mkdir(parents=True, exist_ok=True)
    no_news = {"fetchNews": "false", "checkForUpdates": False}
    overrides = {"@jupyterlab/apputils-extension:notification": no_news}
    (settings / "overrides.json").write_text(json.dumps(overrides), "utf-8")
    if import_error():
        raise CourseError(
            f".venv is complete but does not work ({import_error()}): start again, and it is made "
            "anew."
        )
    STAMP.write_text(json.dumps(current_stamp(venv_python_version(), torch_index)), "utf-8")


def import_error():
    """Return why .venv cannot import what the course needs, or "" if it can."""
    command = [PYTHON, "-I", "-c", IMPORTS]  # -I: as for one who sets nothing, not even PYTHONUTF8
    done = subprocess.run([str(part) for part in command], capture_output=True, env=environment())
    lines = done.stderr.decode(errors="replace").splitlines() or [f"exit code {done.returncode}"]
    return lines[-1] if done.returncode else ""


# -------------------------------------------------------------------------------- commands


def lab(options):
    """Open the notebooks in JupyterLab; the first start installs what it needs.

    --fresh opens copies without outputs, for a class, in the folder class; what is there stays.
    Other options go to JupyterLab, for example --no-browser or --port 9000.
    """
    folder = NOTEBOOKS
    if "--fresh" in options:
        folder, options = FRESH, [option for option in options if option != "--fresh"]
        copy_without_outputs()
    # In a container one is often root, and JupyterLab then refuses to start unless told.
    as_root = ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    root = f"--ServerApp.root_dir={folder}"
    env, home = environment(), os.path.expanduser("~")
    if not os.access(home, os.W_OK):
        env["HOME"] = str(VENV / "home")
        print(f"{home} is not writable: JupyterLab keeps its settings in {env['HOME']}.")
    command = [PYTHON, "-m", "jupyterlab", root, *as_root, *options]
    return run_program(command, env=env, grace_seconds=None)


def copy_without_outputs():
    """Copy the lessons without their outputs, and the solutions, to FRESH; keep what is there."""
    kept = added = 0
    for pattern in ("[0-9]*.ipynb", "solutions/[0-9]*.ipynb"):
        for source in NOTEBOOKS.glob(pattern):
            target = FRESH / source.relative_to(NOTEBOOKS)
            if os.path.lexists(target):
                kept += 1
                continue
            notebook = json.loads(source.read_text("utf-8"))
            if source.parent == NOTEBOOKS:
                for cell in notebook["cells"]:
                    if cell["cell_type"] == "code":
                        cell.update(execution_count=None, outputs=[])
            text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f"{target.name}.part")  # never half a notebook
            part.write_bytes(text.encode())
            part.replace(target)
            added += 1
    again = "; to begin afresh, rename or delete a notebook there, or the folder" if kept else ""
    print(f"{FRESH}: {added} notebooks added, {kept} left as they were{again}.", flush=True)


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
    """Check style, imports, types, spelling and workflows.

    --fix corrects what ruff can correct. With paths, only ruff runs, on these.
    """
    paths = absolute_paths([option for option in options if option != "--fix"])
    fix, check = (["--fix"], []) if "--fix" in options else ([], ["--check"])
    checks = [["ruff", "check", *fix, *paths], ["ruff", "format", *check, *paths]]
    if not paths:
        checks += [["lint-imports", "--no-logo"], ["mypy"], ["codespell"]]
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
    with locked():
        for folder in (VENV, ROOT / f".venv{OLD}", ROOT / "build"):
            if folder.is_symlink() or folder.is_dir():
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
    "honest_race": study(
        "honest_race", "Time the way to a perplexity on unseen text (half an hour; the book)."
    ),
    "processes": study(
        "processes", "Share a minibatch between two processes: the proof, and the time."
    ),
    "memory": study(
        "long_memory", "Which layer, initialized how, learns to remember (half an hour; the book)."
    ),
    "sunspots": study("time_series", "Choose and judge forecasts of the sunspots (eight minutes)."),
    "variants": study("variants", "Compare variants of the GRU at equal size (ten minutes)."),
    "class": study("mark_class", "Run the notebooks of a class, and tell what each check says."),
    "checkpoint": study(
        "train_pretrained", "Train the models in data/checkpoints again (minutes; needs the book)."
    ),
    "setup": setup_only,
    "clean": clean,
}
# programs that list their options themselves
OWN_HELP = (
    "run",
    "bench",
    "speedrun",
    "honest_race",
    "processes",
    "memory",
    "sunspots",
    "variants",
    "class",
)
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
    sys.stdout.reconfigure(errors="replace")  # a folder may have letters that a terminal lacks
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
                if command != "lab" or not error.usable:
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
