"""Explorers: pictures with sliders, one for each of notebooks 01, 03 and 06.

Nothing of matplotlib or ipywidgets is loaded before the first explorer is made.
"""

from .explorer import Explorer
from .gate_explorer import GateExplorer, GateSettings
from .minibatch import MinibatchStepper
from .one_unit import OneUnitExplorer

__all__ = ["Explorer", "GateExplorer", "GateSettings", "MinibatchStepper", "OneUnitExplorer"]
