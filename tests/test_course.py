"""course.py: what it does and what it says, without a network and without installing anything."""

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from packaging.specifiers import SpecifierSet

SOURCE = Path(__file__).resolve().parent.parent
NO_NETWORK = """\
WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by 'NewConnectionError(
'<HTTPSConnection object>: Failed to establish a new connection: [Errno -3] Temporary failure in
name resolution')': /simple/hatchling/
ERROR: Could not find a version that satisfies the requirement hatchling (from versions: none)
ERROR: No matching distribution found for hatchling
"""
NO_NETWORK_WINDOWS = "ERROR: HTTPSConnectionPool: Max retries exceeded ([Errno 11001] getaddrinfo)"
DISK_FULL = (
    "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
)
READ_ONLY = "Error: [Errno 30] Read-only file system: '/mnt/course/.venv'"
NO_WHEEL = """\
ERROR: Cannot install gru-helpers because these package versions have conflicting dependencies.
    gru-helpers 0.1.0 depends on torch>=2.2
    The user requested (constraint) torch==2.13.0
"""


def load(root):
    spec = importlib.util.spec_from_file_location("course_under_test", root / "course.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def course(tmp_path, monkeypatch):
    """course.py as a module of its own copy of the project, in a folder with a space."""
    root = tmp_path / "my course"
    (root / "notebooks" / "solutions").mkdir(parents=True)
    (root / "tests").mkdir()
    for name in ("course.py", "pyproject.toml", "constraints.txt"):
        shutil.copy(SOURCE / name, root)
    monkeypatch.delenv("GRU_TORCH_INDEX", raising=False)
    return load(root)


@pytest.fixture
def installer(course, monkeypatch):
    """Replaces venv and pip: `asked` lists the commands, `problem` makes pip fail."""
    state = SimpleNamespace(asked=[], problem=None)

    def quietly(command):
        command = [str(part) for part in command]
        state.asked.append(command)
        if "venv" in command:
            shutil.rmtree(course.VENV, ignore_errors=True)
            course.PYTHON.parent.mkdir(parents=True)
        if state.problem and "pip" in command:
            raise course.Problem(state.problem)

    monkeypatch.setattr(course, "quietly", quietly)
    monkeypatch.setattr(course, "probe", lambda: "3.11" if course.PYTHON.parent.exists() else None)
    return state


@pytest.fixture
def called(course, monkeypatch):
    """Replaces setup and the program that a command ends in; returns what was called."""
    calls = []

    def call(command, env=None, patience=20):
        calls.append(([str(part) for part in command], env or {}))
        return 7

    monkeypatch.setattr(course, "setup", lambda torch_index="": None)
    monkeypatch.setattr(course, "call", call)
    return calls


def start(course, *arguments, cwd=None):
    """Run course.py as its users do."""
    return subprocess.run(
        [sys.executable, str(course.ROOT / "course.py"), *arguments],
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )


def write_notebook(path, *cells):
    notebook = new_notebook(cells=[new_markdown_cell("A lesson.")])
    for number, (source, printed) in enumerate(cells, 1):
        cell = new_code_cell(source, execution_count=number)
        if printed:
            cell.outputs = [new_output("stream", name="stdout", text=printed)]
        notebook.cells.append(cell)
    nbformat.write(notebook, path)


def borrow_environment(course):
    """A real .venv, complete as far as course.py can tell, with the packages of this Python."""
    venv.create(course.VENV, with_pip=False, symlinks=sys.platform != "win32")
    here = next(course.VENV.glob("[Ll]ib*/**/site-packages"))
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (here / "borrowed.pth").write_text("\n".join(packages), "utf-8")
    course.STAMP.write_text(course.json.dumps(course.new_stamp(course.probe(), "")), "utf-8")


# ------------------------------------------------------------------------ which Python


def test_old_pythons_can_read_the_file_and_so_reach_the_message():
    ast.parse((SOURCE / "course.py").read_text("utf-8"), feature_version=(3, 7))


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 9, 18), (3, 14, 0), (4, 0, 0)])
def test_other_pythons_are_refused_in_one_sentence(course, monkeypatch, capsys, version):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "version_info", version)
        code = course.main(["setup"])
    told = capsys.readouterr().err
    assert code == 1
    assert "Python 3.10 to 3.13" in told
    assert f"this is Python {version[0]}.{version[1]}" in told
    assert told.count("\n") == 1
    assert not course.VENV.exists()


def test_accepts_the_pythons_of_pyproject(course):
    (line,) = re.findall(
        r'^requires-python = "(.*)"', (SOURCE / "pyproject.toml").read_text(), re.M
    )
    for minor in range(6, 20):
        if SpecifierSet(line).contains(f"3.{minor}.0"):
            course.check_python((3, minor, 0))
        else:
            with pytest.raises(course.Problem):
                course.check_python((3, minor, 0))


def test_missing_venv_module_names_the_debian_package(course, installer, monkeypatch, capsys):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        course.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else real(name)
    )
    assert course.main(["setup"]) == 1
    assert "python3-venv" in capsys.readouterr().err
    assert installer.asked == []


# ---------------------------------------------------------------------- what went wrong


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (NO_NETWORK, "No connection"),
        (NO_NETWORK_WINDOWS, "No connection"),
        (DISK_FULL, "disk is full"),
        (READ_ONLY, "Cannot write"),
        (NO_WHEEL, "torch==2.13.0"),
    ],
)
def test_failed_installation_is_explained_in_one_sentence(course, output, words):
    script = f"print({output!r}); raise SystemExit(1)"
    with pytest.raises(course.Problem, match=words) as problem:
        course.quietly([sys.executable, "-c", script])
    assert "\n" not in str(problem.value)


def test_unknown_failure_shows_what_pip_said(course, capsys):
    with pytest.raises(course.Problem, match="error above"):
        course.quietly([sys.executable, "-c", "raise SystemExit('out of cheese')"])
    assert "out of cheese" in capsys.readouterr().err


def test_folder_that_is_not_writable_is_named(course, installer, monkeypatch, capsys):
    def refuse(torch_index, old):
        raise PermissionError(13, "Permission denied", str(course.STAMP))

    monkeypatch.setattr(course, "install", refuse)
    assert course.main(["setup"]) == 1
    assert str(course.ROOT) in capsys.readouterr().err


# --------------------------------------------------------------------------- the environment


def test_second_setup_starts_nothing(course, installer):
    course.setup()
    assert installer.asked
    installer.asked.clear()
    course.setup()
    assert installer.asked == []


def test_setup_installs_the_pinned_versions_and_quietens_jupyterlab(course, installer):
    course.setup()
    *_, last = installer.asked
    assert last[-2:] == ["-e", ".[lab,test]"]
    assert all("constraints.txt" in command for command in installer.asked if "pip" in command)
    overrides = course.VENV / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    assert '"fetchNews": "false"' in overrides.read_text("utf-8")


def test_changed_constraints_are_installed_without_starting_anew(course, installer):
    course.setup()
    installer.asked.clear()
    with (course.ROOT / "constraints.txt").open("a") as file:
        file.write("wheel==1.0\n")
    course.setup()
    assert installer.asked
    assert not any("venv" in command for command in installer.asked)
    installer.asked.clear()
    course.setup()
    assert installer.asked == []


def test_moved_project_is_installed_again(course, installer, monkeypatch):
    course.setup()
    moved = load(course.ROOT.rename(course.ROOT.parent / "moved"))
    monkeypatch.setattr(moved, "quietly", course.quietly)
    monkeypatch.setattr(moved, "probe", lambda: "3.11")
    installer.asked.clear()
    moved.setup()
    assert installer.asked
    assert not any("venv" in command for command in installer.asked)


def test_failed_installation_leaves_no_stamp_and_is_redone(course, installer):
    installer.problem = "No connection"
    with pytest.raises(course.Problem):
        course.setup()
    assert course.read_stamp() == {}
    installer.problem = None
    installer.asked.clear()
    course.setup()
    assert "--clear" in installer.asked[0]
    assert course.read_stamp()["python"] == "3.11"


def test_environment_whose_python_does_not_start_is_made_anew(course, installer):
    course.setup()
    shutil.rmtree(course.PYTHON.parent)
    installer.asked.clear()
    course.setup()
    assert "--clear" in installer.asked[0]


def test_probe_notices_a_python_that_does_not_start(course):
    assert course.probe() is None
    borrow_environment(course)
    assert course.probe() == f"{sys.version_info[0]}.{sys.version_info[1]}"


def test_failed_update_keeps_the_lab_open_and_stays_out_of_date(
    course, installer, monkeypatch, capsys
):
    course.setup()
    with (course.ROOT / "constraints.txt").open("a") as file:
        file.write("wheel==1.0\n")
    installer.problem = "No connection"
    monkeypatch.setattr(course, "call", lambda command, **options: 0)
    assert course.main(["lab"]) == 0
    assert "installed before" in capsys.readouterr().err
    assert course.main(["test"]) == 1
    installer.problem = None
    installer.asked.clear()
    course.setup()
    assert installer.asked


@pytest.mark.parametrize(
    "line",
    [
        ["--torch-index", "https://torch.example/cpu", "setup"],
        ["setup", "--torch-index=https://torch.example/cpu"],
    ],
)
def test_torch_index_is_used_for_torch_alone_and_first(course, installer, line):
    assert course.main(line) == 0
    pip = [command for command in installer.asked if "pip" in command]
    torch = next(i for i, command in enumerate(pip) if "https://torch.example/cpu" in command)
    everything = next(i for i, command in enumerate(pip) if ".[lab,test]" in command)
    assert torch < everything
    assert "--no-deps" in pip[torch]
    assert pip[torch][-3:] == ["--index-url", "https://torch.example/cpu", "torch"]
    assert sum("--index-url" in command for command in pip) == 1


def test_torch_index_from_the_environment_is_remembered(course, installer, monkeypatch):
    monkeypatch.setenv("GRU_TORCH_INDEX", "https://torch.example/cpu")
    assert course.main(["setup"]) == 0
    assert any("--index-url" in command for command in installer.asked)
    monkeypatch.delenv("GRU_TORCH_INDEX")
    installer.asked.clear()
    assert course.main(["setup"]) == 0
    assert installer.asked == []


def test_another_torch_index_starts_anew(course, installer):
    course.setup()
    installer.asked.clear()
    installer.problem = "No connection"
    with pytest.raises(course.Problem):
        course.setup("https://torch.example/cpu")
    assert "--clear" in installer.asked[0]
    assert course.read_stamp() == {}


# ------------------------------------------------------------------------- command lines


def test_lab_opens_the_notebooks_and_passes_options_on(course, called):
    assert course.main(["lab", "--no-browser", "--port", "9000"]) == 7
    ((command, _),) = called
    assert command[:3] == [str(course.PYTHON), "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={course.NOTEBOOKS}" in command
    assert command[-3:] == ["--no-browser", "--port", "9000"]


@pytest.mark.parametrize(("user", "told"), [(0, True), (1000, False)])
def test_lab_starts_for_root_too(course, called, monkeypatch, user, told):
    monkeypatch.setattr(course.os, "geteuid", lambda: user, raising=False)
    course.main(["lab", "--no-browser"])
    assert ("--allow-root" in called[0][0]) is told


def test_test_runs_everything_on_two_workers_with_one_thread_each(course, called, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert course.main(["test", "-k", "gates", "-x"]) == 7
    ((command, env),) = called
    assert command[3:5] == ["--nbval", "--nbval-current-env"]
    assert command[5:] == [*course.PARALLEL, "notebooks", "tests", "-k", "gates", "-x"]
    assert env["OMP_NUM_THREADS"] == env["MKL_NUM_THREADS"] == "1"


@pytest.mark.parametrize("options", [["-n", "0"], ["-n0"], ["--numprocesses=0"], ["--pdb"]])
def test_test_can_be_told_to_use_one_process(course, called, monkeypatch, options):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    course.main(["test", *options])
    ((command, env),) = called
    assert not set(course.PARALLEL) & {"2", "loadfile"} & set(command)
    assert "OMP_NUM_THREADS" not in env


@pytest.mark.parametrize("suffix", ["", "::test_one"])
def test_test_with_a_path_runs_only_that(course, called, monkeypatch, suffix):
    path = course.ROOT / "tests" / "test_tiny.py"
    path.touch()
    monkeypatch.chdir(path.parent)
    for named in (f"test_tiny.py{suffix}", f"tests/test_tiny.py{suffix}", f"{path}{suffix}"):
        called.clear()
        course.main(["test", "-q", named])
        ((command, _),) = called
        assert {"tests", "notebooks", *course.PARALLEL}.isdisjoint(command)
        found, _, rest = command[-1].partition("::")
        assert (course.ROOT / found).resolve() == path.resolve()
        assert rest == suffix[2:]


def test_test_uses_a_sanitize_file_if_there_is_one(course, called):
    course.main(["test"])
    (course.ROOT / "tests" / "nbval_sanitize.cfg").touch()
    course.main(["test"])
    assert ["--nbval-sanitize-with" in command for command, _ in called] == [False, True]


def test_lint_checks_and_fix_mends(course, called):
    assert course.main(["lint"]) == 7
    assert course.main(["lint", "--fix"]) == 7
    check, formatted, fix, mended = [command[3:] for command, _ in called]
    assert check == ["check", "."]
    assert formatted == ["format", "--check", "."]
    assert fix == ["check", "--fix", "."]
    assert mended == ["format", "."]


def test_checkpoint_trains_the_models_again(course, called):
    assert course.main(["checkpoint"]) == 7
    ((command, _),) = called
    assert command == [str(course.PYTHON), "-m", "gru_helpers.pretrained"]


@pytest.mark.parametrize("line", [["checkpoint", "--fast"], ["checkpoint", "gru"]])
def test_checkpoint_refuses_options_before_it_trains(course, called, line, capsys):
    assert course.main(line) == 2
    assert f"checkpoint has no option {line[1]}" in capsys.readouterr().err
    assert called == []


@pytest.mark.parametrize("torch_index", [[], ["--torch-index", "https://torch.example/cpu"]])
def test_checkpoint_sets_up_first(course, called, monkeypatch, torch_index):
    asked = []
    monkeypatch.setattr(course, "setup", asked.append)
    assert course.main([*torch_index, "checkpoint"]) == 7
    assert asked == [torch_index[1] if torch_index else ""]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["fly"], "no command fly"),
        (["--no-browser"], "no command --no-browser"),
        (["setup", "--now"], "no option --now"),
        (["checkpoint", "--fast"], "checkpoint has no option --fast"),
        (["checkpoint", "gru"], "checkpoint has no option gru"),
        (["run", "nowhere.ipynb"], "no notebook nowhere.ipynb"),
        (["run", "--timeout", "soon"], "number of seconds"),
        (["run", "--fast"], "no option --fast"),
        (["setup", "--torch-index"], "address"),
        ([], "usage"),
    ],
)
def test_misuse_is_told_on_stderr_and_exits_with_2(course, line, words):
    done = start(course, *line)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert not course.VENV.exists()


COMMANDS = ["", "lab", "test", "run", "lint", "bench", "speedrun", "checkpoint", "setup", "clean"]


def test_every_command_is_listed(course):
    assert [*course.COMMANDS] == COMMANDS[1:]
    for command in course.COMMANDS:
        assert re.search(rf"^  {command} +\w", course.USAGE, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_at_every_level(course, command):
    done = start(course, *([command] if command else []), "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: python3 course.py")
    assert "--torch-index" in done.stdout or command
    assert not course.VENV.exists()


def test_clean_names_and_removes_only_what_the_script_made(course):
    for folder in (course.VENV, course.BUILD):
        folder.mkdir()
    (course.NOTEBOOKS / "mine.ipynb").touch()
    done = start(course, "clean")
    assert done.returncode == 0
    assert str(course.VENV) in done.stdout
    assert str(course.BUILD) in done.stdout
    assert not course.VENV.exists()
    assert not course.BUILD.exists()
    assert (course.NOTEBOOKS / "mine.ipynb").exists()


def test_ctrl_c_ends_quietly(course, called, monkeypatch, capsys):
    def interrupt(torch_index=""):
        raise KeyboardInterrupt

    monkeypatch.setattr(course, "setup", interrupt)
    assert course.main(["lab"]) == 130
    assert capsys.readouterr().err == ""


# ----------------------------------------------------------------------- whole commands


def test_run_executes_every_notebook_and_names_the_cell_that_fails(course):
    borrow_environment(course)
    good, bad = course.NOTEBOOKS / "01_good.ipynb", course.NOTEBOOKS / "02_bad.ipynb"
    here = "from pathlib import Path\nassert Path('01_good.ipynb').exists()"
    write_notebook(good, (here, ""), ("print(6 * 7)", ""))
    write_notebook(bad, ("x = 1", ""), ("", ""), ("x / 0", ""), ("print('not reached')", ""))
    write_notebook(course.NOTEBOOKS / "solutions" / "03_last.ipynb", ("print('after')", ""))
    before = good.read_bytes()

    done = start(course, "run")
    assert done.returncode == 1, done.stderr
    assert "02_bad: cell [2] stopped with ZeroDivisionError: division by zero" in done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(r"^01_good +\d+\.\d\d$", done.stdout, re.MULTILINE)
    assert re.search(r"^02_bad +\d+\.\d\d  FAILED$", done.stdout, re.MULTILINE)
    assert good.read_bytes() == before
    made = nbformat.read(course.BUILD / "notebooks" / "01_good.ipynb", as_version=4)
    assert made.cells[-1].outputs[0].text == "42\n"
    assert (course.BUILD / "notebooks" / "solutions" / "03_last.ipynb").exists()

    done = start(course, "run", "--timeout", "60", "01_good.ipynb", cwd=course.NOTEBOOKS)
    assert done.returncode == 0, done.stderr
    assert "02_bad" not in done.stdout


def test_run_write_puts_back_what_ran_to_its_end_and_tidies_it(course):
    borrow_environment(course)
    good, bad = course.NOTEBOOKS / "01_good.ipynb", course.NOTEBOOKS / "02_bad.ipynb"
    write_notebook(good, ("print(6 * 7)", "41\n"))
    write_notebook(bad, ("print('lost')", "kept\n"), ("x / 0", ""))
    unwanted = nbformat.read(good, as_version=4)
    unwanted.metadata["widgets"] = {"state": {}}
    unwanted.cells[1].metadata = {"tags": ["nbval-ignore-output"], "scrolled": True}
    nbformat.write(unwanted, good)
    before = bad.read_bytes()

    assert start(course, "run", "--write").returncode == 1
    made = nbformat.read(good, as_version=4)
    assert made.cells[1].outputs[0].text == "42\n"
    assert made.cells[1].metadata == {"tags": ["nbval-ignore-output"]}
    assert sorted(made.metadata) == ["kernelspec", "language_info"]
    assert bad.read_bytes() == before


def test_test_compares_notebooks_and_returns_the_exit_code_of_pytest(course):
    borrow_environment(course)
    (course.ROOT / "tests" / "test_tiny.py").write_text("def test_tiny():\n    pass\n")
    for name in ("01_one", "02_two"):
        write_notebook(course.NOTEBOOKS / f"{name}.ipynb", ("x = 1", ""), ("print(x + 1)", "2\n"))
    done = start(course, "test", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout
    write_notebook(course.NOTEBOOKS / "02_two.ipynb", ("print(1 + 1)", "3\n"))
    done = start(course, "test", "notebooks/02_two.ipynb", "-p", "no:cacheprovider")
    assert done.returncode == 1
    assert "1 failed" in done.stdout


def test_a_relative_mirror_is_made_absolute(course, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRU_DATA_MIRROR", "stick")
    assert course.environment()["GRU_DATA_MIRROR"] == str(tmp_path / "stick")
    monkeypatch.setenv("GRU_DATA_MIRROR", "http://server/data")
    assert course.environment()["GRU_DATA_MIRROR"] == "http://server/data"
