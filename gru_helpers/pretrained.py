"""The two trained models that come with the course.

``python3 course.py checkpoint`` (``studies.train_pretrained``) trains both again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.types import Device

from ._validate import check_choice
from .checkpoints import load_checkpoint
from .corpus import data_dir
from .dataset import Vocab
from .models import RNNModel, RNNModelScratch

MODELS = {"gru": "the GRU of notebook 03", "nn_gru": "nn.GRU"}


def checkpoint_dir() -> Path:
    """The folder of the trained models: in the repository, or inside the installed package."""
    beside = data_dir() / "checkpoints"
    inside = Path(__file__).resolve().parent / "checkpoints"
    return beside if beside.is_dir() or not inside.is_dir() else inside


def load_pretrained(
    name: str = "gru", device: Device = None
) -> tuple[RNNModelScratch | RNNModel, Vocab, dict[str, Any]]:
    """A trained model: ``(model, vocab, settings)``, as ``load_checkpoint`` returns it.

    ``"gru"`` is the scratch GRU, ``"nn_gru"`` an ``RNNModel`` around ``nn.GRU``, both after the
    classic job: 256 units, 500 epochs on the first 10,000 characters of *The Time Machine*.
    Raises ``ValueError`` for another name, and ``CheckpointError`` for a file that is missing (it
    is a ``FileNotFoundError`` too) or cannot be read.
    """
    check_choice("name", name, tuple(MODELS))
    return load_checkpoint(checkpoint_dir() / f"{name}.pt", device)
