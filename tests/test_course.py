"""course.py: what it does and what it says, without a network and without installing anything."""

import ast
import errno
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from packaging.specifiers import SpecifierSet

SOURCE = Path(__file__).resolve().parent.parent
INDEX = "https://torch.example/cpu"
STUDIES = ["bench", "speedrun", "honest_race", "processes", "memory", "sunspots", "variants"]
COMMANDS = ["lab", "test", "run", "lint", *STUDIES, "class", "checkpoint", "setup", "clean"]
# what pip and venv print, and what course.py must say
FAILURES = {
    "WARNING: Retrying after connection broken by 'NewConnectionError('Failed to establish a new "
    "connection')'\nERROR: No matching distribution found for hatchling": "No connection",
    "ERROR: HTTPSConnectionPool: Max retries exceeded ([Errno 11001] getaddrinfo)": "No connection",
    "ERROR: Could not install: [Errno 28] No space left on device": "disk is full",
    "OSError: [Errno 122] Disk quota exceeded": "set TMPDIR",
    "No usable temporary directory found in ['/tmp', '/var/tmp']": tempfile.gettempdir(),
    "Max retries exceeded (Caused by SSLError(SSLCertVerificationError(1, 'certificate verify "
    "failed: self-signed certificate')))\nERROR: No matching distribution found for hatchling": (
        "The certificate of the package index is not accepted"
    ),
    "Error: [Errno 30] Read-only file system: '/mnt/course/.venv'": "Cannot write",
    "ERROR: Could not install: [WinError 32] The process cannot access the file": "close what runs",
    "ERROR: conflicting dependencies\n    The user requested (constraint) torch==2.13.0": (
        "pip finds no torch==2.13.0 for this system"
    ),
    "ERROR: No matching distribution found for torch": "pip finds no torch for this system",
}
# the same where --torch-index was given
INDEX_FAILURES = {
    "ERROR: No matching distribution found for torch": "correct that address",
    "Failed to establish a new connection": f"No connection to {INDEX}: correct that address",
    "certificate verify failed": f"The certificate of {INDEX} is not accepted",
}


no_links = pytest.mark.skipif(os.name == "nt", reason="Windows lets few users make links")


@pytest.fixture
def course(tmp_path, monkeypatch):
    """course.py as a module of its own copy of the project, in a folder with other letters."""
    root = tmp_path / "Jürgen's course"
    (root / "notebooks" / "solutions").mkdir(parents=True)
    (root / "tests").mkdir()
    for name in ("course.py", "pyproject.toml", "constraints.txt", "jupyter_server_config.py"):
        shutil.copy(SOURCE / name, root)
    for name in ("GRU_TORCH_INDEX", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    spec = importlib.util.spec_from_file_location("course_under_test", root / "course.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def installer(course, monkeypatch):
    """Replaces venv and pip: `steps` lists the commands, `error` makes pip fail.

    What .venv says to an import is `import_error`.
    """
    state = SimpleNamespace(steps=[], error=None, import_error="")

    def run_with_progress(command):
        command = [str(part) for part in command]
        state.steps.append(command)
        if "venv" in command:
            assert not Path(command[-1]).is_symlink(), "as venv itself refuses it"
            for path in course.VENV.glob("*"):  # .venv itself may be a link
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            course.PYTHON.parent.mkdir(parents=True)
        if state.error and "pip" in command:
            raise course.CourseError(state.error)

    def venv_python_version():
        return "3.11" if course.PYTHON.parent.exists() else None

    monkeypatch.setattr(course, "run_with_progress", run_with_progress)
    monkeypatch.setattr(course, "venv_python_version", venv_python_version)
    monkeypatch.setattr(course, "import_error", lambda: state.import_error)
    return state


@pytest.fixture
def calls(course, monkeypatch):
    """Replaces the programs that commands end in; lists what was called."""
    calls = []

    def run_program(command, env=None, grace_seconds=20):
        calls.append(SimpleNamespace(command=[str(part) for part in command], env=env))
        return 7

    monkeypatch.setattr(course, "setup", lambda torch_index: None)
    monkeypatch.setattr(course, "run_program", run_program)
    monkeypatch.setattr(course, "PYTHON", Path(sys.executable))
    return calls


# ------------------------------------------------------------------------ which Python


def test_old_pythons_can_read_the_file_and_so_reach_the_message():
    ast.parse((SOURCE / "course.py").read_text("utf-8"), feature_version=(3, 7))


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 9, 18), (3, 14, 0), (4, 0, 0)])
def test_other_pythons_are_refused_in_one_sentence(course, monkeypatch, capsys, version):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "version_info", version)
        code = course.main(["setup"])
    message = capsys.readouterr().err
    assert code == 1
    assert "Python 3.10 to 3.13" in message
    assert f"this is Python {version[0]}.{version[1]}" in message
    assert message.count("\n") == 1
    assert not course.VENV.exists()


def test_accepts_the_pythons_of_pyproject(course):
    text = (SOURCE / "pyproject.toml").read_text("utf-8")
    supported = SpecifierSet(re.search(r'^requires-python = "(.*)"', text, re.MULTILINE).group(1))
    for minor in range(6, 20):
        if supported.contains(f"3.{minor}.0"):
            course.check_python((3, minor, 0))
        else:
            with pytest.raises(course.CourseError):
                course.check_python((3, minor, 0))


def test_missing_venv_module_names_the_debian_package(course, installer, monkeypatch, capsys):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ensurepip" else find_spec(name)
    )
    assert course.main(["setup"]) == 1
    assert "python3-venv" in capsys.readouterr().err
    assert installer.steps == []


# ---------------------------------------------------------------------- what went wrong


@pytest.mark.parametrize("output", FAILURES)
def test_failed_installation_is_explained_in_one_sentence(course, output):
    script = f"print({output!r}); raise SystemExit(1)"
    with pytest.raises(course.CourseError, match=re.escape(FAILURES[output])) as error:
        course.run_with_progress([sys.executable, "-c", script])
    assert "\n" not in str(error.value)
    assert "{" not in str(error.value)


@pytest.mark.parametrize("output", INDEX_FAILURES)
def test_a_failure_with_a_torch_index_names_it(course, output):
    script = f"print({output!r}); raise SystemExit(1)"
    with pytest.raises(course.CourseError, match=INDEX_FAILURES[output]) as error:
        course.run_with_progress([sys.executable, "-c", script, "--index-url", INDEX])
    assert INDEX in str(error.value)


def test_unknown_failure_shows_what_pip_said(course, capsys):
    with pytest.raises(course.CourseError, match="error above"):
        course.run_with_progress([sys.executable, "-c", "raise SystemExit('out of cheese')"])
    assert "out of cheese" in capsys.readouterr().err


def test_folder_that_is_not_writable_is_named(course, installer, monkeypatch, capsys):
    def refuse(torch_index, old_stamp):
        raise PermissionError(13, "Permission denied", str(course.STAMP))

    monkeypatch.setattr(course, "install", refuse)
    assert course.main(["setup"]) == 1
    assert f"Cannot write to {course.ROOT}" in capsys.readouterr().err


# ------------------------------------------------------------------------- installation


def append(path):
    with path.open("a", encoding="utf-8") as file:
        file.write("# changed\n")


def change_stamp(course, **facts):
    course.STAMP.write_text(json.dumps(dict(course.read_stamp(), **facts)), "utf-8")


def move(course):
    course.ROOT = shutil.copytree(course.ROOT, course.ROOT.parent / "moved")


# what happened since the last installation; whether pip runs, and whether on a new .venv
SINCE = {
    "nothing": (lambda course: None, False, False),
    "constraints changed": (lambda course: append(course.ROOT / "constraints.txt"), True, False),
    "pyproject changed": (lambda course: append(course.ROOT / "pyproject.toml"), True, False),
    "folder moved": (move, True, False),
    "another Python": (lambda course: change_stamp(course, python="3.10"), True, True),
    "another torch": (lambda course: os.environ.update(GRU_TORCH_INDEX=INDEX), True, False),
    "python gone": (lambda course: shutil.rmtree(course.PYTHON.parent), True, True),
    "incomplete": (lambda course: course.STAMP.unlink(), True, True),
    "stamp damaged": (lambda course: course.STAMP.write_text("{"), True, True),
    "stamp without facts": (lambda course: course.STAMP.write_text("[]"), True, True),
}


@pytest.mark.parametrize("since", SINCE)
def test_setup_installs_what_is_needed_and_then_nothing(course, installer, monkeypatch, since):
    change, installs, creates = SINCE[since]
    monkeypatch.setenv("GRU_TORCH_INDEX", "")
    assert course.main(["setup"]) == 0
    installer.steps.clear()
    change(course)
    assert course.main(["setup"]) == 0
    assert any("pip" in step for step in installer.steps) is installs
    assert any("venv" in step and "--clear" in step for step in installer.steps) is creates
    installer.steps.clear()
    assert course.main(["setup"]) == 0
    assert installer.steps == []


def test_setup_installs_the_pinned_versions_and_turns_off_the_news(course, installer):
    course.setup()
    *_, last = [step for step in installer.steps if "pip" in step]
    assert last[-2:] == ["-e", ".[lab,test]"]
    assert all("constraints.txt" in step for step in installer.steps if "pip" in step)
    overrides = course.VENV / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    assert '"fetchNews": "false"' in overrides.read_text("utf-8")


def test_failed_installation_leaves_no_stamp_and_is_repeated(course, installer):
    installer.error = "No connection"
    with pytest.raises(course.CourseError):
        course.setup(INDEX)
    assert "--clear" in installer.steps[0]
    assert course.read_stamp() == {}
    installer.error = None
    installer.steps.clear()
    course.setup(INDEX)
    assert "--clear" in installer.steps[0]
    assert course.read_stamp()["torch_index"] == INDEX


def test_another_torch_index_replaces_torch_alone_and_only_if_it_can(course, installer):
    course.setup()
    before = course.read_stamp()
    installer.error = "No connection"
    with pytest.raises(course.CourseError):
        course.setup(INDEX)
    assert course.read_stamp() == before
    installer.error = None
    installer.steps.clear()
    course.setup(INDEX)
    forced = [step for step in installer.steps if "--force-reinstall" in step]
    assert [step[-3:] for step in forced] == [["--index-url", INDEX, "torch"]]
    assert "--no-deps" in forced[0]
    assert not any("venv" in step for step in installer.steps)
    assert course.read_stamp()["torch_index"] == INDEX


@pytest.mark.parametrize("linked", [False, pytest.param(True, marks=no_links)])
def test_a_venv_of_another_python_comes_back_if_a_new_one_cannot_be_made(
    course, installer, tmp_path, linked
):
    course.setup()
    if linked:
        course.VENV.rename(tmp_path / "disk")
        course.VENV.symlink_to(tmp_path / "disk")
    package = course.VENV / "package"
    package.touch()
    change_stamp(course, python="3.10")
    before = sorted(course.VENV.resolve().parent.iterdir()), course.read_stamp()
    installer.error = "No connection"
    with pytest.raises(course.CourseError):
        course.setup()
    assert (sorted(course.VENV.resolve().parent.iterdir()), course.read_stamp()) == before
    assert package.exists()
    installer.error = None
    course.setup()
    assert not package.exists()
    assert sorted(course.VENV.resolve().parent.iterdir()) == before[0]
    assert course.VENV.is_symlink() is linked
    assert course.read_stamp()["python"] == "3.11"


def test_a_venv_that_cannot_be_put_aside_is_left_alone(course, installer, monkeypatch, capsys):
    def refuse(path, target):
        raise OSError(errno.EBUSY, "Device or resource busy")

    course.setup()
    change_stamp(course, python="3.10")
    installer.steps.clear()
    monkeypatch.setattr(Path, "rename", refuse)
    assert course.main(["setup"]) == 1
    assert "close what runs there" in capsys.readouterr().err
    assert installer.steps == []
    assert course.read_stamp()["python"] == "3.10"


@no_links
def test_a_linked_venv_is_not_renewed_by_its_own_python(course, installer, monkeypatch, tmp_path):
    (tmp_path / "disk").mkdir()
    course.VENV.symlink_to(tmp_path / "disk")
    monkeypatch.setattr(sys, "prefix", str(course.VENV))
    with pytest.raises(course.CourseError, match="deactivate"):
        course.setup()
    assert installer.steps == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda venv: venv.write_text("mine"), "is a file"),
        pytest.param(
            lambda venv: venv.symlink_to("gone"),
            "is a link to .*gone, which is not there",
            marks=no_links,
        ),
    ],
)
def test_a_venv_that_is_no_folder_is_left_alone(course, capsys, make, words):
    make(course.VENV)
    assert course.main(["setup"]) == 1
    message = capsys.readouterr().err
    assert re.search(f"{words}: rename or remove it", message)
    assert message.count("\n") == 1
    assert os.path.lexists(course.VENV)


def test_a_venv_that_cannot_be_imported_gets_no_stamp_and_is_made_anew(course, installer, capsys):
    installer.import_error = "ModuleNotFoundError: No module named 'torch'"
    assert course.main(["setup"]) == 1
    assert installer.import_error in capsys.readouterr().err
    assert course.read_stamp() == {}
    installer.import_error = ""
    installer.steps.clear()
    assert course.main(["setup"]) == 0
    assert "--clear" in installer.steps[0]


def test_a_failed_update_that_broke_imports_leaves_no_stamp(course, installer, monkeypatch):
    course.setup()
    installer.error, installer.import_error = "No connection", "ImportError: libcudart.so"
    assert course.main(["--torch-index", INDEX, "lab"]) == 1
    assert course.read_stamp() == {}


def test_a_second_setup_waits_even_for_a_killed_one_and_then_has_nothing_to_do(
    course, installer, monkeypatch, capsys
):
    hold = "import course, sys\nwith course.locked():\n    print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold],
        cwd=course.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline().strip() == b"held"
        waited = []

        def sleep(seconds):
            waited.append(seconds)
            if len(waited) == 3:
                course.PYTHON.parent.mkdir(parents=True)
                course.STAMP.write_text(json.dumps(course.current_stamp("3.11", "")), "utf-8")
                other.kill()
                other.wait()

        monkeypatch.setattr(course.time, "sleep", sleep)
        assert course.main(["setup"]) == 0
    assert len(waited) >= 3
    assert installer.steps == []
    assert capsys.readouterr().out.count("waiting for it") == 1


def test_where_a_disk_has_no_locks_setup_goes_on(course, installer, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    module, name = (course.msvcrt, "locking") if os.name == "nt" else (course.fcntl, "flock")
    monkeypatch.setattr(module, name, refuse)
    assert course.main(["setup"]) == 0
    assert installer.steps


def test_failed_update_keeps_the_lab_open_and_stays_out_of_date(
    course, installer, monkeypatch, capsys
):
    course.setup()
    append(course.ROOT / "constraints.txt")
    installer.error = "No connection"
    monkeypatch.setattr(course, "run_program", lambda command, **options: 0)
    assert course.main(["lab"]) == 0
    assert "installed before" in capsys.readouterr().err
    assert course.main(["test"]) == 1
    installer.error = None
    installer.steps.clear()
    course.setup()
    assert installer.steps


def test_an_interrupted_update_is_repeated_and_what_works_goes_on(course, installer, monkeypatch):
    def interrupt(command):
        raise KeyboardInterrupt

    course.setup()
    append(course.ROOT / "constraints.txt")
    monkeypatch.setattr(course, "run_with_progress", interrupt)
    before = course.read_stamp()
    assert course.main(["lab"]) == 130
    assert course.read_stamp() == before, "out of date, and so repeated"
    installer.import_error = "ModuleNotFoundError: torch"
    assert course.main(["lab"]) == 130
    assert course.read_stamp() == {}


def test_after_an_interrupted_update_what_works_is_kept_until_there_is_another(course, installer):
    """Without a network the next start cannot make a new .venv, and puts the old one back."""
    course.setup()
    course.STAMP.unlink()  # as an interrupted update leaves it
    package = course.VENV / "package"
    package.touch()
    installer.error = "No connection"
    with pytest.raises(course.CourseError) as error:
        course.setup()
    assert error.value.usable, "so `lab` goes on with it"
    assert package.exists()
    assert course.read_stamp() == {}
    installer.error = None
    course.setup()
    assert not package.exists()
    assert course.read_stamp()


@pytest.mark.parametrize(
    "line", [["--torch-index", INDEX, "setup"], ["setup", f"--torch-index={INDEX}"], ["setup"]]
)
def test_torch_index_is_used_for_torch_alone_and_remembered(course, installer, monkeypatch, line):
    if line == ["setup"]:
        monkeypatch.setenv("GRU_TORCH_INDEX", INDEX)
    assert course.main(line) == 0
    pip = [step for step in installer.steps if "pip" in step]
    torch = next(i for i, step in enumerate(pip) if INDEX in step)
    everything = next(i for i, step in enumerate(pip) if ".[lab,test]" in step)
    assert torch < everything
    assert "--no-deps" in pip[torch]
    assert pip[torch][-3:] == ["--index-url", INDEX, "torch"]
    assert sum("--index-url" in step for step in pip) == 1
    monkeypatch.delenv("GRU_TORCH_INDEX", raising=False)
    installer.steps.clear()
    assert course.main(["setup"]) == 0
    assert installer.steps == []


# ----------------------------------------------------------------------------- commands


@pytest.mark.parametrize(
    ("line", "module", "options"),
    [
        (["lab", "--no-browser", "--port", "9000"], "jupyterlab", "--no-browser --port 9000"),
        (["run", "--write", "01.ipynb"], "gru_helpers.studies.run_notebooks", "--write 01.ipynb"),
        (["bench", "--quick"], "gru_helpers.studies.bench", "--quick"),
        (["speedrun", "--seeds", "1"], "gru_helpers.studies.speedrun", "--seeds 1"),
        (["checkpoint"], "gru_helpers.studies.train_pretrained", ""),
        (["test", "-x", "-k", "a or b"], "pytest", "-x -k a or b"),
    ],
)
def test_commands_set_up_and_pass_their_options_on(
    course, calls, monkeypatch, line, module, options
):
    asked = []
    monkeypatch.setattr(course, "setup", asked.append)
    assert course.main(["--torch-index", INDEX, *line]) == 7
    (call,) = calls
    assert asked == [INDEX]
    assert call.command[:3] == [str(course.PYTHON), "-m", module]
    assert " ".join(call.command[3:]).endswith(options)


@pytest.mark.parametrize(("user", "expected"), [(0, True), (1000, False)])
def test_lab_opens_the_notebooks_also_for_root(course, calls, monkeypatch, user, expected):
    monkeypatch.setattr(os, "geteuid", lambda: user, raising=False)
    course.main(["lab"])
    assert f"--ServerApp.root_dir={course.ROOT / 'notebooks'}" in calls[0].command
    assert ("--allow-root" in calls[0].command) is expected


CELLS = [
    {"cell_type": "markdown", "metadata": {}, "source": ["Wells’s *book*"]},
    {
        "cell_type": "code",
        "execution_count": 3,
        "metadata": {"tags": ["long"]},
        "outputs": [{"name": "stdout", "output_type": "stream", "text": ["2\n"]}],
        "source": ["print(1 + 1)"],
    },
]
LESSON, SOLUTION = "01_gates.ipynb", "solutions/01_gates_solutions.ipynb"


def write_lessons(folder):
    """Write a lesson and a solution with outputs, and a notebook that is not part of the course."""
    notebook = {"cells": CELLS, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    for name in (LESSON, SOLUTION, "Untitled.ipynb"):
        (folder / name).write_bytes(text.encode())
    return text


def test_fresh_opens_lessons_without_outputs(course, calls):
    text = write_lessons(course.ROOT / "notebooks")
    assert course.main(["lab", "--port", "9000", "--fresh", "--no-browser"]) == 7
    fresh = course.ROOT / "class"
    assert f"--ServerApp.root_dir={fresh}" in calls[0].command
    assert calls[0].command[-3:] == ["--port", "9000", "--no-browser"]
    copied = sorted(path.relative_to(fresh).as_posix() for path in fresh.rglob("*.*"))
    assert copied == [LESSON, SOLUTION]
    expected = json.loads(text)
    for name, outputs in ((SOLUTION, True), (LESSON, False)):
        if not outputs:
            expected["cells"][1].update(execution_count=None, outputs=[])
        copy = json.loads((fresh / name).read_text("utf-8"))
        assert copy == expected
        text_of_copy = json.dumps(copy, indent=1, ensure_ascii=False) + "\n"
        assert (fresh / name).read_bytes() == text_of_copy.encode()
    assert (course.ROOT / "notebooks" / LESSON).read_bytes() == text.encode()


def test_fresh_keeps_every_file_that_is_there(course, calls, capsys):
    write_lessons(course.ROOT / "notebooks")
    course.main(["lab", "--fresh"])
    assert "2 notebooks added, 0 left" in capsys.readouterr().out
    (course.ROOT / "class" / LESSON).write_text("a student's work", "utf-8")
    (course.ROOT / "class" / SOLUTION).unlink()
    course.main(["lab", "--fresh"])
    message = capsys.readouterr().out
    assert "1 notebooks added, 1 left as they were; to begin afresh, rename or delete" in message
    assert message.count("\n") == 1
    assert (course.ROOT / "class" / LESSON).read_text("utf-8") == "a student's work"
    assert (course.ROOT / "class" / SOLUTION).exists()


def test_fresh_copies_differ_from_the_lessons_in_their_outputs_alone(course, calls):
    for path in sorted((SOURCE / "notebooks").glob("*.ipynb")):
        shutil.copy(path, course.ROOT / "notebooks")
    course.main(["lab", "--fresh"])
    copies = sorted((course.ROOT / "class").glob("*.ipynb"))
    assert len(copies) >= 7
    for path in copies:
        copy = nbformat.read(path, as_version=4)
        nbformat.validate(copy)
        code = [cell for cell in copy.cells if cell.cell_type == "code"]
        assert not any(cell.outputs or cell.execution_count for cell in code)
        lesson = nbformat.read(SOURCE / "notebooks" / path.name, as_version=4)
        assert nbformat.writes(copy) + "\n" == path.read_text("utf-8")
        for cell, original in zip(copy.cells, lesson.cells, strict=True):
            if cell.cell_type == "code":
                cell.update(outputs=original.outputs, execution_count=original.execution_count)
        assert copy == lesson


@pytest.mark.parametrize(
    ("options", "parallel"),
    [
        (["-k", "gates", "-x"], True),
        (["-k", "tests"], True),  # the name of a folder too
        (["-n", "0"], True),  # pytest takes the last -n
        (["--pdb"], False),
        (["-s"], False),
    ],
)
def test_test_runs_everything_with_one_thread_each(course, calls, options, parallel):
    course.main(["test", *options])
    (call,) = calls
    workers = course.PARALLEL if parallel else []
    expected = ["--nbval", "--nbval-current-env", *workers, "notebooks", "tests", *options]
    assert call.command[3:] == expected
    assert call.env["OMP_NUM_THREADS"] == call.env["MKL_NUM_THREADS"] == "1"


@pytest.mark.parametrize("suffix", ["", "::test_one"])
def test_paths_may_be_seen_from_the_folder_of_the_user(course, calls, monkeypatch, suffix):
    path = course.ROOT / "tests" / "test_tiny.py"
    path.touch()
    monkeypatch.chdir(path.parent)
    for name in ("test_tiny.py", "tests/test_tiny.py", path):
        calls.clear()
        course.main(["test", "-q", f"{name}{suffix}"])
        expected = ["--nbval", "--nbval-current-env", "-q", f"{path.resolve()}{suffix}"]
        assert calls[0].command[3:] == expected
        course.main(["run", str(name)])
        assert calls[1].command[3:] == [str(path.resolve())]


@pytest.mark.parametrize(
    ("failing", "missing", "message"),
    [
        ("", "", ""),
        ("ruff", "", "Failed: ruff check, ruff format\n"),
        ("mypy", "", "Failed: mypy\n"),
        ("", "actionlint", "actionlint is not installed, so its check is left out.\n"),
        ("", "mypy", "mypy is not installed, so its check is left out.\nFailed: mypy\n"),
    ],
)
def test_lint_runs_every_check(course, calls, monkeypatch, capsys, failing, missing, message):
    def run_program(command):
        run.append(" ".join(command))
        return int(command[0] == failing)

    run = []
    monkeypatch.setattr(course, "run_program", run_program)
    monkeypatch.setattr(shutil, "which", lambda name, path: None if name == missing else name)
    checks = ["ruff check", "ruff format --check", "lint-imports --no-logo", "mypy", "codespell"]
    workflows = ["zizmor --offline .github/workflows", "actionlint"]
    course.main(["lint"])
    assert run == [check for check in checks if check != missing]
    run.clear()
    capsys.readouterr()
    (course.ROOT / ".github" / "workflows").mkdir(parents=True)
    assert course.main(["lint"]) == int("Failed" in message)
    assert run == [check for check in checks + workflows if check != missing]
    assert capsys.readouterr().err == message


def test_lint_with_fix_or_paths(course, calls, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, path: name)
    monkeypatch.chdir(course.ROOT)
    (course.ROOT / ".github" / "workflows").mkdir(parents=True)
    course.main(["lint", "--fix", "course.py"])
    assert [" ".join(call.command) for call in calls] == [
        f"ruff check --fix {course.ROOT / 'course.py'}",
        f"ruff format {course.ROOT / 'course.py'}",
    ]


def test_clean_names_and_removes_only_what_the_script_made(course, capsys):
    folders = [course.VENV, course.ROOT / ".venv.before-update", course.ROOT / "build"]
    for folder in folders:
        folder.mkdir()
    notebook = course.ROOT / "notebooks" / "mine.ipynb"
    notebook.touch()
    assert course.main(["clean"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"Removing {folder}" for folder in folders]
    assert not any(folder.exists() for folder in folders)
    assert notebook.exists()
    course.VENV.touch()  # it made no such file
    assert course.main(["clean"]) == 0
    assert course.VENV.exists()


def test_programs_in_venv_see_no_packages_of_another_python(course, monkeypatch):
    for name in ("PYTHONHOME", "PYTHONPATH"):
        monkeypatch.setenv(name, "elsewhere")
    assert not {"PYTHONHOME", "PYTHONPATH"} & set(course.environment())


@pytest.mark.parametrize("writable", [True, False])
def test_lab_keeps_its_settings_in_venv_where_the_home_folder_is_not_writable(
    course, calls, monkeypatch, capsys, writable
):
    monkeypatch.setattr(os, "access", lambda path, mode: writable)
    course.main(["lab"])
    home = str(course.VENV / "home")
    assert (calls[0].env["HOME"] == home) is not writable
    assert (home in capsys.readouterr().out) is not writable


@pytest.mark.skipif(not (SOURCE / ".git").exists(), reason="needs a clone of the repository")
def test_git_ignores_what_is_made_and_left_and_nothing_of_the_course():
    made = [".venv", ".venv.lock", ".venv.before-update/a", "class/01.ipynb", "build/a"]
    left = ["data/tmpab1", "data/timemachine.txt.part", "data/checkpoints/gru.pt.7.part"]
    for path in [*made, *left, "notebooks/.~01.ipynb"]:
        check = ["git", "check-ignore", "--no-index", "--quiet", path]
        assert subprocess.run(check, cwd=SOURCE).returncode == 0, path
    course = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.check_output(course, cwd=SOURCE, encoding="utf-8") == ""


def test_a_relative_mirror_is_made_absolute(course, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for mirror, expected in [("stick", str(tmp_path / "stick")), ("http://server/data",) * 2]:
        monkeypatch.setenv("GRU_DATA_MIRROR", mirror)
        assert course.environment()["GRU_DATA_MIRROR"] == expected


# ------------------------------------------------------------------------ command lines


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "usage: python3 course.py"),
        ("fly", "invalid choice: 'fly'"),
        ("--no-browser", "required: COMMAND"),
        ("setup --now", "setup takes no option --now"),
        ("clean build", "clean takes no option build"),
        ("checkpoint --fast", "checkpoint takes no option --fast"),
        ("checkpoint gru", "checkpoint takes no option gru"),
        ("setup --torch-index", "argument --torch-index: expected one argument"),
    ],
)
def test_usage_errors_go_to_stderr_and_exit_with_2(course, line, words):
    done = subprocess.run(
        [sys.executable, str(course.ROOT / "course.py"), *line.split()],
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert not course.VENV.exists()


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_at_every_level_needs_no_setup(course, capsys, command):
    with pytest.raises(SystemExit) as exit_:
        course.main([*command.split(), "--help"])
    output = capsys.readouterr().out
    assert exit_.value.code == 0
    assert output.startswith(f"usage: python3 course.py {command}")
    assert "--torch-index" in output
    assert not course.VENV.exists()
    if not command:
        assert re.findall(r"^    (\w+)  ", output, re.MULTILINE) == COMMANDS


@pytest.mark.parametrize("command", ["run", *STUDIES])
def test_once_set_up_the_programs_list_their_options(course, installer, monkeypatch, command):
    course.setup()
    commands = []
    monkeypatch.setattr(course, "run_program", lambda command: commands.append(command) or 0)
    assert course.main([command, "--help"]) == 0
    assert commands[0][-1] == "--help"


# ----------------------------------------------------------------------- whole commands


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to a group")
@pytest.mark.parametrize("handler", ["SIG_DFL", "SIG_IGN"])
def test_ctrl_c_ends_quietly_even_if_the_program_ignores_it(course, handler):
    program = (
        f"import signal, time; signal.signal(signal.SIGINT, signal.{handler}); "
        "print('ready', flush=True); time.sleep(600)"
    )
    script = (
        "import course, signal, sys\n"
        # a shell that starts programs in the background has them ignore Ctrl-C
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"command = [sys.executable, '-c', {program!r}]\n"
        "course.setup = lambda torch_index: course.run_program(command, grace_seconds=0.1)\n"
        "sys.exit(course.main(['setup']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=course.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 130


def borrow_environment(course):
    """A real .venv, complete as far as course.py can tell, with the packages of this Python."""
    venv.create(course.VENV, with_pip=False, symlinks=sys.platform != "win32")
    here = next(course.VENV.glob("[Ll]ib*/**/site-packages"))
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (here / "borrowed.pth").write_text("\n".join(packages), "utf-8")
    stamp = course.current_stamp(course.venv_python_version(), "")
    course.STAMP.write_text(json.dumps(stamp), "utf-8")


def test_version_of_the_python_in_venv(course):
    assert course.venv_python_version() is None
    borrow_environment(course)
    assert course.venv_python_version() == course.dotted(sys.version_info)


def test_a_python_that_hangs_is_named(course, monkeypatch, capsys):
    def hang(command, stderr, timeout):
        raise subprocess.TimeoutExpired(command, timeout)

    borrow_environment(course)
    before = course.read_stamp()
    monkeypatch.setattr(subprocess, "check_output", hang)
    assert course.main(["lab"]) == 1
    message = capsys.readouterr().err
    assert f"{course.PYTHON} has not answered for {course.PATIENCE_SECONDS} seconds" in message
    assert message.count("\n") == 1
    assert course.read_stamp() == before


def test_venv_imports_the_package_whatever_the_locale(course, monkeypatch):
    def run_with_progress(command):
        if "-e" in command:  # as pip does it: the folder in UTF-8, and data in site-packages
            site = next(course.VENV.glob("[Ll]ib*/**/site-packages"))
            (site / "_editable_impl_gru_helpers.pth").write_text(str(course.ROOT), "utf-8")
            (site / "gru_helpers").mkdir()

    borrow_environment(course)
    append(course.ROOT / "constraints.txt")
    monkeypatch.setattr(course, "run_with_progress", run_with_progress)
    monkeypatch.setattr(course, "IMPORTS", course.IMPORTS.partition(";")[0])  # the rest takes long
    assert "gru" in course.import_error()  # the package is not there
    (course.ROOT / "gru_helpers").mkdir()
    (course.ROOT / "gru_helpers" / "__init__.py").write_text("gru = None", "utf-8")
    monkeypatch.setenv("LC_ALL", "C")
    course.setup()
    assert course.read_stamp()
    assert course.import_error() == ""


def test_test_compares_notebooks_in_two_processes(course):
    borrow_environment(course)
    (course.ROOT / "tests" / "test_tiny.py").write_text("def test_tiny():\n    pass\n")
    for name, printed in [("01_right", "2\n"), ("02_wrong", "3\n")]:
        output = new_output("stream", name="stdout", text=printed)
        cell = new_code_cell("print(1 + 1)", execution_count=1, outputs=[output])
        nbformat.write(new_notebook(cells=[cell]), course.ROOT / "notebooks" / f"{name}.ipynb")
    done = subprocess.run(
        [sys.executable, str(course.ROOT / "course.py"), "test", "-p", "no:cacheprovider"],
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 1, done.stderr
    assert "2 workers" in done.stdout
    assert "1 failed, 2 passed" in done.stdout
    assert re.search("^FAILED notebooks/02_wrong.ipynb", done.stdout, re.MULTILINE)
