"""Language models around a recurrent layer, weight transfer, and checkpoints.

Every model here is used in the same way, whatever is inside::

    state = model.begin_state(batch_size, device)   # a tuple of tensors
    Y, state = model(X, state)                      # X: (batch_size, num_steps) token ids

``Y`` holds the logits, ``(num_steps * batch_size, vocab_size)``, all rows of step 0 first, so that
the labels that belong to it are ``labels.T.reshape(-1)``.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from .dataset import Vocab
from .gru import (
    PARAM_NAMES,
    check_gru_params,
    check_size,
    get_params,
    gru,
    gru_switched,
    init_gru_state,
)


def try_gpu() -> torch.device:
    """The first CUDA device if there is one, else the CPU."""
    return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


def check_token_ids(X, vocab_size: int) -> None:
    """Raise ``ValueError`` unless ``X`` is ``(batch_size, num_steps)`` integer ids that exist."""
    if X.dim() != 2 or X.dtype.is_floating_point:
        raise ValueError(
            f"X has shape {tuple(X.shape)} and type {X.dtype}; expected token ids, whole numbers "
            "of shape (batch_size, num_steps)."
        )
    if X.numel() and not 0 <= int(X.min()) <= int(X.max()) < vocab_size:
        raise ValueError(
            f"X holds the id {int(X.max() if X.max() >= vocab_size else X.min())}, and this model "
            f"knows ids from 0 to {vocab_size - 1}: was it made for another vocabulary?"
        )


class RNNModelScratch:
    """A language model made of three functions: parameters, first state, forward pass.

    Raises ``ValueError`` for sizes below 1, for ids that the model does not know, and, with the
    package's own ``gru``, for a state or a parameter whose shape does not fit.
    """

    def __init__(self, vocab_size, num_hiddens, device, get_params, init_state, forward_fn):
        """Make the parameters on ``device``; the arguments are kept as attributes."""
        check_size("vocab_size", vocab_size)
        check_size("num_hiddens", num_hiddens)
        self.vocab_size, self.num_hiddens = vocab_size, num_hiddens
        self.params = get_params(vocab_size, num_hiddens, device)
        self.init_state, self.forward_fn = init_state, forward_fn

    def __call__(self, X, state):
        """Logits ``(num_steps * batch_size, vocab_size)`` and the new state; see the module."""
        check_token_ids(X, self.vocab_size)
        inputs = F.one_hot(X.T, self.vocab_size).to(self.params[0].dtype)
        return self.forward_fn(inputs, state, self.params)

    def begin_state(self, batch_size, device):
        """The state before the first step, for ``batch_size`` rows, of the parameters' type."""
        state = self.init_state(batch_size, self.num_hiddens, device)
        return tuple(s.to(self.params[0].dtype) for s in state)

    def parameters(self):
        """The parameters, as an optimiser wants them."""
        return list(self.params)


class RNNModel(nn.Module):
    """A language model around ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM``, any layers and directions.

    ``rnn_layer`` must take inputs of ``vocab_size`` features, time first (``batch_first=False``).
    """

    def __init__(self, rnn_layer, vocab_size):
        """Add an output layer to ``rnn_layer``. Raises ``ValueError`` if the two do not fit."""
        super().__init__()
        check_size("vocab_size", vocab_size)
        if not isinstance(rnn_layer, nn.RNNBase):
            raise ValueError(
                f"rnn_layer is a {type(rnn_layer).__name__}; expected nn.RNN, nn.GRU or nn.LSTM."
            )
        if rnn_layer.input_size != vocab_size or rnn_layer.batch_first:
            raise ValueError(
                f"rnn_layer takes {rnn_layer.input_size} features with batch_first="
                f"{rnn_layer.batch_first}; expected {vocab_size} (the vocabulary) and False."
            )
        self.rnn, self.vocab_size, self.num_hiddens = rnn_layer, vocab_size, rnn_layer.hidden_size
        self.num_directions = 2 if rnn_layer.bidirectional else 1
        # nn.LSTM with proj_size puts out fewer features than it has hidden units
        self.num_outputs = rnn_layer.proj_size or rnn_layer.hidden_size
        self.linear = nn.Linear(self.num_outputs * self.num_directions, vocab_size)

    def forward(self, X, state):
        """Logits ``(num_steps * batch_size, vocab_size)`` and the new state, a tuple."""
        check_token_ids(X, self.vocab_size)
        inputs = F.one_hot(X.T, self.vocab_size).to(self.linear.weight.dtype)
        is_lstm = isinstance(self.rnn, nn.LSTM)
        if not isinstance(state, (tuple, list)) or len(state) != 1 + is_lstm:
            raise ValueError(
                f"The state has {len(state) if isinstance(state, (tuple, list)) else 'no'} parts; "
                f"nn.{type(self.rnn).__name__} takes {'(H, C)' if is_lstm else '(H,)'}. Make one "
                "with begin_state."
            )
        try:
            outputs, state = self.rnn(inputs, tuple(state) if is_lstm else state[0])
        except RuntimeError as error:
            shapes = ", ".join(str(tuple(s.shape)) for s in state)
            raise ValueError(
                f"The state has shapes {shapes}, which nn.{type(self.rnn).__name__} refuses for "
                f"{X.shape[0]} rows ({error}). Make one with begin_state."
            ) from None
        logits = self.linear(outputs.reshape(-1, outputs.shape[-1]))
        return logits, (tuple(state) if is_lstm else (state,))

    def begin_state(self, batch_size, device):
        """``(H,)``, or ``(H, C)`` for an LSTM: zeros, ``(layers * directions, batch, hidden)``."""
        check_size("batch_size", batch_size)
        rows = self.rnn.num_layers * self.num_directions
        dtype = self.linear.weight.dtype
        H = torch.zeros((rows, batch_size, self.num_outputs), device=device, dtype=dtype)
        if isinstance(self.rnn, nn.LSTM):
            return H, torch.zeros((rows, batch_size, self.num_hiddens), device=device, dtype=dtype)
        return (H,)


# --- weights across ---------------------------------------------------------------------------


def params_to_nn_gru(params) -> RNNModel:
    """An ``RNNModel`` around a one-layer ``nn.GRU`` that holds a copy of ``params``.

    Gate order, transposes and biases follow the documentation of ``torch.nn.GRU``: rows of
    ``weight_ih_l0`` are r, z, n; all our bias goes into ``bias_ih_l0``, and ``bias_hh_l0`` is zero
    but for ``b_hn``, if ``params`` has it. The copy computes what ``gru_switched(..., "keep",
    "after")`` computes. Raises ``ValueError`` where a shape does not fit.
    """
    check_gru_params(params)
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q, *b_hn = params
    vocab_size, num_hiddens = W_xz.shape
    layer = nn.GRU(vocab_size, num_hiddens, device=W_xz.device, dtype=W_xz.dtype)
    model = RNNModel(layer, vocab_size).to(device=W_xz.device, dtype=W_xz.dtype)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.cat([W_xr, W_xz, W_xh], dim=1).T)
        layer.weight_hh_l0.copy_(torch.cat([W_hr, W_hz, W_hh], dim=1).T)
        layer.bias_ih_l0.copy_(torch.cat([b_r, b_z, b_h]))
        layer.bias_hh_l0.zero_()
        if b_hn:
            layer.bias_hh_l0[2 * num_hiddens :].copy_(b_hn[0])
        model.linear.weight.copy_(W_hq.T)
        model.linear.bias.copy_(b_q)
    return model


def params_from_nn_gru(model: RNNModel, reset: str = "after") -> list[torch.Tensor]:
    """The weights of an ``RNNModel`` around a one-layer ``nn.GRU``, as scratch parameters.

    ``reset="after"`` returns 12 tensors, the last of them ``b_hn``, with which ``gru_switched``
    computes the same function. ``reset="before"`` returns the 11 of ``get_params``, ``b_hn``
    added to ``b_h``: the nearest thing that form can hold. All are fresh leaves that require
    gradients. Raises ``ValueError`` for a layer that is no ``nn.GRU``, has several layers or
    directions, or no biases.
    """
    layer = getattr(model, "rnn", None)
    if not isinstance(layer, nn.GRU) or layer.num_layers != 1 or layer.bidirectional:
        raise ValueError(f"{layer} cannot be copied: expected one nn.GRU layer, one direction.")
    if not layer.bias:
        raise ValueError("This nn.GRU has bias=False: expected one with biases.")
    if reset not in ("before", "after"):
        raise ValueError(f"reset={reset!r} is not known: use 'before' or 'after'.")
    W_xr, W_xz, W_xh = layer.weight_ih_l0.T.chunk(3, dim=1)
    W_hr, W_hz, W_hh = layer.weight_hh_l0.T.chunk(3, dim=1)
    b_ir, b_iz, b_in = layer.bias_ih_l0.chunk(3)
    b_hr, b_hz, b_hn = layer.bias_hh_l0.chunk(3)
    b_h = b_in if reset == "after" else b_in + b_hn
    params = [W_xz, W_hz, b_iz + b_hz, W_xr, W_hr, b_ir + b_hr, W_xh, W_hh, b_h]
    params += [model.linear.weight.T, model.linear.bias]
    params += [b_hn] if reset == "after" else []
    return [p.detach().clone().contiguous().requires_grad_(True) for p in params]


# --- checkpoints ------------------------------------------------------------------------------

FORMAT = "gru_helpers checkpoint 1"
_LAYERS = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or does not fit what it is asked for."""


def save_checkpoint(path, model, vocab: Vocab, **settings) -> Path:
    """Write ``model``, ``vocab`` and ``settings`` (numbers and strings) to one file.

    A scratch model is saved with its 11 parameters (12 with ``b_hn``), an ``RNNModel`` with its
    layer's settings and weights. The file is moved into place only when it is whole.
    """
    if len(vocab) != model.vocab_size:
        raise CheckpointError(
            f"The vocabulary has {len(vocab)} tokens and the model {model.vocab_size}: save a "
            "model with the vocabulary that it was trained with."
        )
    if isinstance(model, RNNModel):
        layer = model.rnn
        kind = {
            "class": type(layer).__name__,
            "num_layers": layer.num_layers,
            "bidirectional": layer.bidirectional,
            "bias": layer.bias,
            "dropout": layer.dropout,
        }
        if isinstance(layer, nn.RNN):
            kind["nonlinearity"] = layer.nonlinearity
        if isinstance(layer, nn.LSTM):
            kind["proj_size"] = layer.proj_size
        tensors = dict(model.state_dict())
    else:
        check_gru_params(model.params)
        kind = {"class": "scratch"}
        names = (*PARAM_NAMES, "b_hn")
        tensors = dict(zip(names, model.params, strict=False))
    content = {
        "format": FORMAT,
        "kind": kind,
        "vocab": list(vocab.idx_to_token),
        "num_hiddens": model.num_hiddens,
        "settings": settings,
        "tensors": {name: tensor.detach().cpu() for name, tensor in tensors.items()},
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(content, file)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def load_checkpoint(path, device=None, vocab: Vocab | None = None):
    """Read ``(model, vocab, settings)`` from a file; nothing in it is executed.

    ``device`` defaults to the CPU. With ``vocab``, a checkpoint of another vocabulary is refused.
    Raises ``CheckpointError``, in one sentence, for a file that is missing, damaged, no checkpoint
    of this package, or of another vocabulary.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}: check the name, or train one.")
    try:
        with zipfile.ZipFile(path):  # what torch.save writes is a zip file
            content = torch.load(path, map_location=device or "cpu", weights_only=True)
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
        raise CheckpointError(f"{path} does not fit together: {error}") from None
    if vocab is not None and vocab != found:
        raise CheckpointError(
            f"{path} was trained with another vocabulary ({len(found)} tokens; this one has "
            f"{len(vocab)}): load the text that it was trained on, or leave vocab out."
        )
    return model, found, settings


def _rebuild(content, vocab_size: int):
    """The model that a checkpoint's content describes."""
    kind, tensors = dict(content["kind"]), content["tensors"]
    num_hiddens = content["num_hiddens"]
    if not tensors:
        raise ValueError("it holds no tensors.")
    some = next(iter(tensors.values()))
    name = kind.pop("class")
    if name == "scratch":
        params = [tensor.requires_grad_(True) for tensor in tensors.values()]
        check_gru_params(params)
        if tuple(params[0].shape) != (vocab_size, num_hiddens):
            raise ValueError(f"W_xz is {tuple(params[0].shape)}, not {(vocab_size, num_hiddens)}.")
        forward_fn = gru if len(params) == 11 else _gru_reset_after
        model = RNNModelScratch(
            vocab_size, num_hiddens, some.device, get_params, init_gru_state, forward_fn
        )
        model.params = params
        return model
    layer = _LAYERS[name](vocab_size, num_hiddens, **kind)
    model = RNNModel(layer, vocab_size).to(device=some.device, dtype=some.dtype)
    model.load_state_dict(tensors)
    return model


def _gru_reset_after(inputs, state, params):
    """``gru_switched`` in the form of ``nn.GRU``, as a forward function."""
    return gru_switched(inputs, state, params, reset="after")
