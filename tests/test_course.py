"""course.py: what it does and what it says, without a network and without installing anything."""

import ast
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import venv
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from packaging.specifiers import SpecifierSet

SOURCE = Path(__file__).resolve().parent.parent
INDEX = "https://torch.example/cpu"
COMMANDS = ["lab", "test", "run", "lint", "bench", "speedrun", "checkpoint", "setup", "clean"]
# what pip and venv print, and what course.py must say
FAILURES = {
    "WARNING: Retrying after connection broken by 'NewConnectionError('Failed to establish a new "
    "connection')'\nERROR: No matching distribution found for hatchling": "No connection",
    "ERROR: HTTPSConnectionPool: Max retries exceeded ([Errno 11001] getaddrinfo)": "No connection",
    "ERROR: Could not install: [Errno 28] No space left on device": "disk is full",
    "Error: [Errno 30] Read-only file system: '/mnt/course/.venv'": "Cannot write",
    "ERROR: conflicting dependencies\n    The user requested (constraint) torch==2.13.0": (
        "pip finds no torch==2.13.0 for this system"
    ),
    "ERROR: No matching distribution found for torch": "pip finds no torch for this system",
}


@pytest.fixture
def course(tmp_path, monkeypatch):
    """course.py as a module of its own copy of the project, in a folder with a space."""
    root = tmp_path / "my course"
    (root / "notebooks" / "solutions").mkdir(parents=True)
    (root / "tests").mkdir()
    for name in ("course.py", "pyproject.toml", "constraints.txt"):
        shutil.copy(SOURCE / name, root)
    for name in ("GRU_TORCH_INDEX", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    spec = importlib.util.spec_from_file_location("course_under_test", root / "course.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def installer(course, monkeypatch):
    """Replaces venv and pip: `steps` lists the commands, `error` makes pip fail."""
    state = SimpleNamespace(steps=[], error=None)

    def run_with_progress(command):
        command = [str(part) for part in command]
        state.steps.append(command)
        if "venv" in command:
            shutil.rmtree(course.VENV, ignore_errors=True)
            course.PYTHON.parent.mkdir(parents=True)
        if state.error and "pip" in command:
            raise course.CourseError(state.error)

    def venv_python_version():
        return "3.11" if course.PYTHON.parent.exists() else None

    monkeypatch.setattr(course, "run_with_progress", run_with_progress)
    monkeypatch.setattr(course, "venv_python_version", venv_python_version)
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
    "another torch": (lambda course: os.environ.update(GRU_TORCH_INDEX=INDEX), True, True),
    "python gone": (lambda course: shutil.rmtree(course.PYTHON.parent), True, True),
    "incomplete": (lambda course: course.STAMP.unlink(), True, True),
    "stamp damaged": (lambda course: course.STAMP.write_text("{"), True, True),
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
    *_, last = installer.steps
    assert last[-2:] == ["-e", ".[lab,test]"]
    assert all("constraints.txt" in step for step in installer.steps if "pip" in step)
    overrides = course.VENV / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    assert '"fetchNews": "false"' in overrides.read_text("utf-8")


@pytest.mark.parametrize("torch_index", ["", INDEX])
def test_failed_installation_leaves_no_stamp_and_is_repeated(course, installer, torch_index):
    if torch_index:  # another PyTorch needs a new .venv
        course.setup()
        installer.steps.clear()
    installer.error = "No connection"
    with pytest.raises(course.CourseError):
        course.setup(torch_index)
    assert "--clear" in installer.steps[0]
    assert course.read_stamp() == {}
    installer.error = None
    installer.steps.clear()
    course.setup(torch_index)
    assert "--clear" in installer.steps[0]
    assert course.read_stamp()["torch_index"] == torch_index


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


def test_interrupted_update_leaves_no_stamp(course, installer, monkeypatch):
    def interrupt(command):
        raise KeyboardInterrupt

    course.setup()
    append(course.ROOT / "constraints.txt")
    monkeypatch.setattr(course, "run_with_progress", interrupt)
    assert course.main(["lab"]) == 130
    assert course.read_stamp() == {}


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
    checks = ["ruff check", "ruff format --check", "lint-imports --no-logo", "mypy"]
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
    folders = [course.VENV, course.ROOT / "build"]
    for folder in folders:
        folder.mkdir()
    notebook = course.ROOT / "notebooks" / "mine.ipynb"
    notebook.touch()
    assert course.main(["clean"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"Removing {folder}" for folder in folders]
    assert not any(folder.exists() for folder in folders)
    assert notebook.exists()


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


@pytest.mark.parametrize("command", ["run", "bench", "speedrun"])
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
