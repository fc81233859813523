"""Explorers: pictures with sliders, one for each of notebooks 01, 03, 06 and 08.

Nothing of matplotlib or ipywidgets is loaded before the first explorer is made.
"""

from .explorer import Explorer
from .gate_explorer import GateExplorer, GateSettings
from .minibatch import MinibatchStepper
from .one_unit import OneUnitExplorer
from .sequence_explorer import SequenceExplorer

__all__ = [
    "Explorer",
    "GateExplorer",
    "GateSettings",
    "MinibatchStepper",
    "OneUnitExplorer",
    "SequenceExplorer",
]
