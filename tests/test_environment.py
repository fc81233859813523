"""The files around the package say the same as pyproject.toml, and are valid."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from rattler import MatchSpec

from gru_helpers import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
CONDA_NAMES = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
BUILD = [*PYPROJECT["build-system"]["requires"], "editables"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
JOBS = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]


def requirements(*groups):
    return {r.name: r for r in map(Requirement, [line for group in groups for line in group])}


def conda_specs():
    entries = [entry for entry in ENVIRONMENT["dependencies"] if isinstance(entry, str)]
    return {spec.name.normalized: spec for spec in map(MatchSpec, entries)}


def pins():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def pins_for(python, system="linux"):
    """The pins that hold for one version of Python: {name: version}."""
    platform = {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}[system]
    facts = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": system,
        "platform_system": platform,
        "os_name": "nt" if system == "win32" else "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    return [
        (pin.name, Version(next(iter(pin.specifier)).version))
        for pin in pins()
        if pin.marker is None or pin.marker.evaluate(facts)
    ]


def test_conda_takes_everything_from_conda_forge():
    assert ENVIRONMENT["channels"] == ["conda-forge"]


@pytest.mark.parametrize(
    "requirement",
    requirements(PROJECT["dependencies"], EXTRAS["lab"], ["pytest>=8", "nbval>=0.11"]),
)
def test_conda_has_what_the_notebooks_need_in_the_same_range(requirement):
    wanted = requirements(PROJECT["dependencies"], EXTRAS["lab"], EXTRAS["test"])[requirement]
    spec = conda_specs()[CONDA_NAMES.get(requirement, requirement)]
    assert SpecifierSet(str(spec.version)) == wanted.specifier


def test_conda_has_nothing_that_the_project_does_not_name():
    known = requirements(PROJECT["dependencies"], EXTRAS["lab"], EXTRAS["test"])
    names = {CONDA_NAMES.get(name, name) for name in known} | {"python", "pip"}
    assert set(conda_specs()) <= names


def test_conda_python_is_pinned_within_the_supported_range():
    version = str(conda_specs()["python"].version)
    assert version.endswith(".*"), "without a pin Binder takes a Python of its own"
    assert SpecifierSet(PROJECT["requires-python"]).contains(version.replace("*", "0"))


def test_conda_installs_the_package_itself():
    assert {"pip": ["-e ."]} in ENVIRONMENT["dependencies"]


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_has_one_pin_inside_its_range(python, system):
    pinned = pins_for(python, system)
    assert len(dict(pinned)) == len(pinned), "two pins for one package"
    for group in (PROJECT["dependencies"], *EXTRAS.values(), BUILD):
        for name, requirement in requirements(group).items():
            assert requirement.specifier.contains(dict(pinned)[name]), requirement


def test_pins_cover_exactly_the_supported_pythons():
    supported = SpecifierSet(PROJECT["requires-python"])
    assert [f"3.{n}" for n in range(6, 20) if supported.contains(f"3.{n}.0")] == PYTHONS


def test_constraints_are_exact_and_name_no_index():
    for pin in pins():
        assert [specifier.operator for specifier in pin.specifier] == ["=="], pin
        assert pin.url is None
        assert not pin.extras
    assert "://" not in (ROOT / "constraints.txt").read_text("utf-8")


def test_constraints_leave_the_gpu_libraries_to_pytorch():
    assert not [p.name for p in pins() if p.name.startswith(("nvidia-", "cuda-", "triton"))]


@pytest.mark.parametrize("entry", [e for e in ENVIRONMENT["dependencies"] if isinstance(e, str)])
def test_conda_entries_are_valid(entry):
    assert MatchSpec(entry).name is not None


# --- the version, the citation and the changes --------------------------------------------------


def test_the_version_stands_in_one_place():
    assert "version" not in PROJECT
    path = ROOT / PYPROJECT["tool"]["hatch"]["version"]["path"]
    assert re.findall('^__version__ = "(.+)"$', path.read_text("utf-8"), re.M) == [__version__]


def test_the_citation_names_the_version_and_the_licence():
    assert str(CITATION["version"]) == __version__
    assert CITATION["license"] == PROJECT["license"]


def test_the_changelog_begins_with_this_version():
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.findall(r"^## \[(.+?)\]", changelog, re.M)[0] == __version__


# --- GitHub -------------------------------------------------------------------------------------


def steps(kind):
    """What all the steps of the workflow say under "uses" or "run"."""
    return [step[kind] for job in JOBS.values() for step in job["steps"] if kind in step]


def pythons(job):
    """The versions of Python that a job sets up, and the only ones."""
    return [
        step["with"]["python-version"]
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/setup-python@")
    ]


def test_github_tries_the_oldest_and_the_newest_python_on_every_system():
    matrix = JOBS["course"]["strategy"]["matrix"]
    assert set(matrix) == {"os", "python"}
    assert matrix["python"] == [PYTHONS[0], PYTHONS[-1]]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert pythons(JOBS["course"]) == ["${{ matrix.python }}"]


def test_github_tries_the_lowest_versions_on_the_oldest_python():
    lowest = JOBS["lowest"]
    commands = "\n".join(step.get("run", "") for step in lowest["steps"])
    assert pythons(lowest) == [PYTHONS[0]]
    assert "--resolution lowest-direct" in commands
    assert set(re.findall(r"\.\[(.+?)\]", commands)) == {",".join(EXTRAS)}


@pytest.mark.parametrize(
    "line", [*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]
)
def test_every_requirement_says_from_which_version(line):
    specifiers = list(Requirement(line).specifier)
    assert [specifier.operator for specifier in specifiers] == [">="], "lowest-direct needs it"


def test_github_runs_the_commands_of_the_readme_with_a_limit():
    assert {"python course.py setup", "bash .ci/run"} <= set(steps("run"))
    assert any(command.startswith("python course.py test") for command in steps("run"))
    assert any(command.startswith("python course.py lab") for command in steps("run"))
    assert all(0 < job["timeout-minutes"] <= 90 for job in JOBS.values())


def test_the_test_files_that_github_names_exist():
    named = re.findall(r"tests/\w+\.py", "\n".join(steps("run")))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_github_tries_an_ipywidgets_that_only_colab_has():
    (pin,) = re.findall(r"ipywidgets==([\d.]+)", "\n".join(steps("run")))
    assert requirements(PROJECT["dependencies"])["ipywidgets"].specifier.contains(pin)
    assert not requirements(EXTRAS["lab"])["ipywidgets"].specifier.contains(pin)


def test_actions_are_pinned_to_a_commit_and_say_which_release_it_is():
    text = WORKFLOW.read_text("utf-8")
    pinned = re.findall(r"uses: \S+@[0-9a-f]{40} # v\d+\.\d+\.\d+\n", text)
    assert len(pinned) == text.count("uses:") == len(steps("uses"))


@pytest.mark.parametrize(
    ("schema", "path"),
    [("github-workflows", ".github/workflows/ci.yml"), ("citation-file-format", "CITATION.cff")],
)
def test_the_file_is_valid_by_its_schema(schema, path):
    program = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    result = subprocess.run([*program, path], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_hooks_are_valid():
    program = [sys.executable, "-m", "pre_commit", "validate-config"]
    result = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
