"""Checkpoints: a model, its vocabulary and how it was trained, in one file."""

from __future__ import annotations

import functools
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.types import Device

from ._validate import PARAM_NAMES, check_gru_params, check_vocab
from .dataset import Vocab
from .equations import gru, gru_switched, init_gru_state
from .models import RNNModel, RNNModelScratch

FORMAT = "gru_helpers checkpoint 1"
_LAYERS = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}
_SETTINGS = ("num_layers", "bidirectional", "bias", "dropout", "nonlinearity", "proj_size")


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or does not fit what it is asked for."""


def save_checkpoint(
    path: str | os.PathLike[str], model: nn.Module, vocab: Vocab, **settings: Any
) -> Path:
    """Write ``model``, ``vocab`` and ``settings`` (numbers and strings) to one file.

    A scratch GRU is saved with its 11 parameters (12 with ``b_hn``), an ``RNNModel`` with its
    layer's settings and weights. The file is moved into place only when it can be read back. Raises
    ``ValueError`` for a vocabulary of another size and for settings that would not be read.
    """
    check_vocab(vocab, model)
    kind: dict[str, Any] = {"class": "scratch"}
    if isinstance(model, RNNModel):
        layer = model.rnn
        kind = {name: getattr(layer, name) for name in _SETTINGS if hasattr(layer, name)}
        kind["class"] = type(layer).__name__
        if not isinstance(layer, nn.LSTM):
            del kind["proj_size"]
    else:
        check_gru_params(list(getattr(model, "params", ())))
    content = {
        "format": FORMAT,
        "kind": kind,
        "vocab": list(vocab.idx_to_token),
        "num_hiddens": model.num_hiddens,
        "settings": settings,
        "tensors": {name: tensor.cpu() for name, tensor in model.state_dict().items()},
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        torch.save(content, temporary)
        torch.load(temporary, weights_only=True)
        os.replace(temporary, path)
    except pickle.PickleError:
        raise ValueError(
            f"settings must be numbers, strings, lists and dicts, got {settings!r:.200}."
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load_checkpoint(
    path: str | os.PathLike[str], device: Device = None, vocab: Vocab | None = None
) -> tuple[RNNModelScratch | RNNModel, Vocab, dict[str, Any]]:
    """Read ``(model, vocab, settings)`` from a file; nothing in it is executed.

    ``device`` defaults to the CPU. With ``vocab``, a checkpoint of another vocabulary is refused.
    Raises ``FileNotFoundError`` for a file that is missing, and ``CheckpointError`` for one that
    is damaged, no checkpoint of this package, or of another vocabulary.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {path}: check the name, or train one.")
    try:
        with zipfile.ZipFile(path):  # what torch.save writes is a zip file
            content = torch.load(
                path, map_location=torch.device(device or "cpu"), weights_only=True
            )
    except Exception as error:  # a damaged file can make the reader fail in any way
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}): it is damaged, or "
            "holds something other than tensors and settings. Save it again."
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint written by save_checkpoint.")
    try:
        found, settings = Vocab.from_list(content["vocab"]), content["settings"]
        model = _rebuild(content, len(found))
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path} is inconsistent: {error}") from None
    if vocab is not None and vocab != found:
        raise CheckpointError(
            f"{path} was trained with another vocabulary ({len(found)} tokens; this one has "
            f"{len(vocab)}): load the text that it was trained on, or leave vocab out."
        )
    return model, found, settings


def _rebuild(content: dict[str, Any], vocab_size: int) -> RNNModelScratch | RNNModel:
    """The model that a checkpoint's content describes."""
    kind, tensors, num_hiddens = dict(content["kind"]), content["tensors"], content["num_hiddens"]
    name = kind.pop("class")
    if name == "scratch":
        if list(tensors) != [*PARAM_NAMES, "b_hn"][: len(tensors)]:
            raise ValueError(f"its tensors are {', '.join(map(str, tensors))}.")
        params = [tensor.requires_grad_(True) for tensor in tensors.values()]
        check_gru_params(params)
        if tuple(params[0].shape) != (vocab_size, num_hiddens):
            raise ValueError(f"W_xz is {tuple(params[0].shape)}, not {(vocab_size, num_hiddens)}.")
        forward = functools.partial(gru_switched, reset_after=True) if len(params) == 12 else gru
        return RNNModelScratch(
            vocab_size,
            num_hiddens,
            params[0].device,
            lambda *sizes: params,
            init_gru_state,
            forward,
        )
    like = tensors["linear.weight"]
    concise = RNNModel(_LAYERS[name](vocab_size, num_hiddens, **kind), vocab_size)
    concise.to(device=like.device, dtype=like.dtype).load_state_dict(tensors)
    return concise
