"""``import gru_helpers`` loads no drawing, no widgets, no network; the public names are there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gru_helpers

ROOT = Path(gru_helpers.__file__).resolve().parent.parent
HEAVY = {"matplotlib", "PIL", "ipywidgets", "IPython", "pooch", "requests"}
LATER = ("gru_helpers.plotting", "gru_helpers.widgets", "gru_helpers.classic")
LATER += tuple(
    f"gru_helpers.studies.{name}"
    for name in (
        *("bench", "honest_race", "long_memory", "processes", "records", "speedrun"),
        *("time_series", "train_pretrained", "variants"),
    )
)
PUBLIC = """
load_data_time_machine get_params init_gru_state gru RNNModelScratch RNNModel train predict try_gpu
Clamp GateTrace trace_gates clamp_gates continue_text half_lives load_pretrained
"""
LOADED = """
import importlib, json, sys
import torch
before = set(sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded_by(*modules):
    """What importing ``modules`` adds to ``import torch``, in a new interpreter."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    result = subprocess.run(
        [sys.executable, "-c", LOADED, *modules],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(result.stdout))


@pytest.mark.parametrize("modules", [("gru_helpers",), LATER], ids=["package", "the rest"])
def test_importing_loads_nothing_heavy(modules):
    """Not even the modules that draw do so before they draw."""
    loaded = loaded_by(*modules)
    assert loaded >= set(modules)
    assert HEAVY.isdisjoint(name.partition(".")[0] for name in loaded)
    if modules == ("gru_helpers",):
        assert loaded.isdisjoint(set(LATER) - {"gru_helpers.plotting"})


def test_every_public_name_is_there():
    assert len(gru_helpers.__all__) == len(set(gru_helpers.__all__))
    for name in gru_helpers.__all__:
        assert name == "PARAM_NAMES" or getattr(gru_helpers, name).__doc__
    assert set(PUBLIC.split()) <= set(gru_helpers.__all__)
