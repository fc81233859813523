"""environment.yml and constraints.txt say the same as pyproject.toml."""

import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from rattler import MatchSpec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
CONDA_NAMES = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]


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
    for group in (PROJECT["dependencies"], *EXTRAS.values(), ["hatchling>=1.25", "editables"]):
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
