"""Checkpoints: a model, its vocabulary and how it was trained, in one file."""

from __future__ import annotations

import functools
import io
import os
import pickle
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.types import Device

from ._files import write_whole
from ._validate import PARAM_NAMES, check_device, check_gru_params, check_model, check_vocab
from .dataset import Vocab
from .equations import gru, gru_switched, init_gru_state
from .models import RNNModel, RNNModelScratch

FORMAT = "gru_helpers checkpoint 1"
_LAYERS = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}
_SETTINGS = ("num_layers", "bidirectional", "bias", "dropout", "nonlinearity", "proj_size")


class CheckpointError(ValueError):
    """A checkpoint that is missing, cannot be read, or does not fit what it is asked for."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """A checkpoint that is missing, for whoever catches either of the two."""


def save_checkpoint(
    path: str | os.PathLike[str], model: nn.Module, vocab: Vocab, **settings: Any
) -> Path:
    """Write ``model``, ``vocab`` and ``settings`` (numbers and strings) to one file.

    A scratch GRU is saved with its 11 parameters (12 with ``b_hn``), an ``RNNModel`` with its
    layer's settings and weights. The file is moved into place only when it is whole. Raises
    ``ValueError`` for what is no such model, a vocabulary of another size and settings that would
    not be read, and ``OSError`` where the file cannot be written; an old file is then kept.
    """
    check_model(model)
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
    file = io.BytesIO()
    try:
        torch.save(content, file)
        file.seek(0)
        torch.load(file, weights_only=True)
    except (pickle.PickleError, AttributeError, TypeError):  # a function, a generator, a lock
        raise ValueError(
            f"settings must be numbers, strings, lists and dicts, got {settings!r:.200}."
        ) from None
    return write_whole(path, file.getvalue())


def load_checkpoint(
    path: str | os.PathLike[str], device: Device = None, vocab: Vocab | None = None
) -> tuple[RNNModelScratch | RNNModel, Vocab, dict[str, Any]]:
    """Read ``(model, vocab, settings)`` from a file; nothing in it is executed.

    ``device`` defaults to the CPU. With ``vocab``, a checkpoint of another vocabulary is refused.
    Raises ``CheckpointError`` for a file that is missing (it is a ``FileNotFoundError`` too), that
    is damaged, no checkpoint of this package, or of another vocabulary, and ``ValueError`` for a
    device that there is not.
    """
    path = Path(path)
    check_device(device)
    if not os.path.isfile(path):
        raise CheckpointNotFoundError(
            f"There is no checkpoint {path}: check the name, or train one."
        )
    try:
        file = io.BytesIO(path.read_bytes())
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}): it must be a file that you may read."
        ) from None
    try:
        with zipfile.ZipFile(file) as archive:  # what torch.save writes is a zip file
            # torch.load looks at no checksum, unpacks anything, and reads nothing for a folder
            if archive.testzip() is not None or not all(map(_is_plain, archive.infolist())):
                raise zipfile.BadZipFile
        file.seek(0)
        place = torch.device("cpu" if device is None else device)
        content = torch.load(file, map_location=place, weights_only=True)
    except Exception as error:  # a damaged file can make the reader fail in any way
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}): it is damaged, or "
            "holds something other than tensors and settings. Save it again."
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint written by save_checkpoint.")
    try:
        found, settings = Vocab.from_list(content["vocab"]), content["settings"]
        if sum(tensor.nbytes for tensor in content["tensors"].values()) > file.getbuffer().nbytes:
            raise ValueError("its tensors are larger than the file.")
        model = _rebuild(content, len(found))
    except Exception as error:  # what is in it may be anything
        raise CheckpointError(f"{path} is inconsistent: {error}") from None
    if vocab is not None and vocab != found:
        raise CheckpointError(
            f"{path} was trained with another vocabulary ({len(found)} tokens; this one has "
            f"{len(vocab)}): load the text that it was trained on, or leave vocab out."
        )
    return model, found, settings


def _is_plain(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry of a zip file is neither packed nor marked as a folder."""
    return entry.compress_type == zipfile.ZIP_STORED and not entry.external_attr & 0x10


def _check_names(tensors: dict[str, Tensor], names: Iterable[str]) -> None:
    """Refuse tensors of other names."""
    if set(tensors) != set(names):
        raise ValueError(f"its tensors are {', '.join(map(str, tensors))}.")


def _rebuild(content: dict[str, Any], vocab_size: int) -> RNNModelScratch | RNNModel:
    """The model that a checkpoint's content describes."""
    kind, tensors, num_hiddens = dict(content["kind"]), content["tensors"], content["num_hiddens"]
    name = kind.pop("class")
    if name == "scratch":
        names = [*PARAM_NAMES, "b_hn"][: len(tensors)]
        _check_names(tensors, names)
        params = [tensors[name].requires_grad_(True) for name in names]
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
    if kind["num_layers"] > len(tensors):
        raise ValueError(f"it has {len(tensors)} tensors for {kind['num_layers']} layers.")
    with torch.device("meta"):  # without memory, until it is known that the tensors fit
        concise = RNNModel(_LAYERS[name](vocab_size, num_hiddens, **kind), vocab_size)
    _check_names(tensors, concise.state_dict())
    for name, expected in concise.state_dict().items():
        if tensors[name].shape != expected.shape:
            raise ValueError(
                f"{name} is {tuple(tensors[name].shape)}, not {tuple(expected.shape)}."
            )
    concise.load_state_dict(tensors, assign=True)
    return concise.to(device=like.device, dtype=like.dtype)
