"""``import gru_helpers`` is quick and loads no drawing, no widgets, no network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gru_helpers

ROOT = Path(gru_helpers.__file__).resolve().parent.parent
HEAVY = ("matplotlib", "PIL", "ipywidgets", "IPython", "pooch", "requests", "tqdm")
LATER = {"gru_helpers.plotting", "gru_helpers.canvases", "gru_helpers.widgets"}
MEASURE = """
import importlib, json, sys, time
import torch
before = set(sys.modules)
started = time.perf_counter()
import gru_helpers
for name in sys.argv[1:]:
    importlib.import_module(name)
seconds = time.perf_counter() - started
print(json.dumps([seconds, sorted(set(sys.modules) - before)]))
"""


def measured(*modules):
    """Seconds that the import adds to ``import torch``, and the modules, in a new interpreter.

    Further ``modules`` are imported with the package.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, *modules],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def first():
    return measured()


def test_importing_loads_nothing_heavy(first):
    loaded = {name.partition(".")[0] for name in first[1]}
    assert "gru_helpers" in loaded
    assert loaded.isdisjoint(HEAVY)
    assert not LATER & set(first[1])


def test_the_drawing_modules_load_nothing_heavy_before_they_draw():
    loaded = {name.partition(".")[0] for name in measured(*sorted(LATER))[1]}
    assert "gru_helpers" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_importing_adds_less_than_a_third_of_a_second(first):
    """The best of three: a busy machine may spoil one."""
    best = first[0]
    for _ in range(2):
        if best >= 0.3:
            best = min(best, measured()[0])
    assert best < 0.3


def test_every_public_name_is_there():
    assert len(gru_helpers.__all__) == len(set(gru_helpers.__all__))
    for name in gru_helpers.__all__:
        thing = getattr(gru_helpers, name)
        assert name == "PARAM_NAMES" or thing.__doc__


def test_the_classic_names_are_public():
    classic = {
        "load_data_time_machine", "get_params", "init_gru_state", "gru", "RNNModelScratch",
        "RNNModel", "train", "predict", "try_gpu",
    }  # fmt: skip
    assert classic <= set(gru_helpers.__all__)


def test_the_names_of_the_gates_are_public():
    gates = {"Force", "GateTrace", "trace_gates", "force_gates", "write_on", "half_lives"}
    assert gates | {"load_pretrained"} <= set(gru_helpers.__all__)


@pytest.mark.parametrize(
    ("module", "may_import"),
    [("dataset", set()), ("gru", set()), ("models", {"dataset", "gru"}),
     ("bptt", {"gru", "models"}), ("bench", {"bptt", "dataset", "gru", "models", "plotting"}),
     ("speedrun", {"bench", "bptt", "dataset", "gru", "models", "trainer"}),
     ("trainer", {"dataset", "gru", "models", "plotting"}), ("plotting", set()),
     ("gates", {"dataset", "gru", "models"}),
     ("pretrained", {"dataset", "gru", "models", "trainer"}),
     ("canvases", {"gates", "plotting"}), ("widgets", {"canvases", "gates", "plotting"})],
)  # fmt: skip
def test_nothing_imports_upwards(module, may_import):
    """Data and equations know nothing of training, training and gates nothing of widgets."""
    import ast

    tree = ast.parse((ROOT / "gru_helpers" / f"{module}.py").read_text(encoding="utf-8"))
    found = {
        (node.module or "").partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    }
    assert found <= may_import
