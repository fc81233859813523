"""Language models around a recurrent layer, and weights to and from ``nn.GRU``.

Every model here is used in the same way, whatever is inside::

    Y, state = model(X)          # X: (batch_size, num_steps) token ids; the state starts at zero
    Y, state = model(X, state)   # and continues

``Y`` holds the logits, ``(num_steps * batch_size, vocab_size)``, all rows of step 0 first, so that
the labels that belong to it are ``labels.T.reshape(-1)``. The state is a tuple of tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.types import Device

from ._validate import (
    PARAM_NAMES,
    check_batch,
    check_gru_params,
    check_model_sizes,
    check_positive_int,
    check_token_ids,
)

State = tuple[Tensor, ...]
ForwardFn = Callable[[Tensor, Any, Any], tuple[Tensor, Any]]


def try_gpu() -> torch.device:
    """The first CUDA device if there is one, else the CPU."""
    return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


class RNNModelScratch(nn.Module):
    """A language model made of three functions: parameters, first state, forward pass.

    ``params`` are the tensors of ``get_params``, registered as parameters of the module; assign
    another list to exchange them. Raises ``ValueError`` for sizes below 1, for token ids that the
    model does not know, and, with the package's own ``gru``, for a state or a parameter whose
    shape does not fit.
    """

    def __init__(
        self,
        vocab_size: int,
        num_hiddens: int,
        device: Device,
        get_params: Callable[..., Sequence[Tensor]],
        init_state: Callable[..., Sequence[Tensor]],
        forward_fn: ForwardFn,
    ):
        """Make the parameters on ``device``."""
        super().__init__()
        check_model_sizes(vocab_size, num_hiddens, device)
        self.vocab_size, self.num_hiddens = vocab_size, num_hiddens
        self.init_state, self.forward_fn = init_state, forward_fn
        self.params = get_params(vocab_size, num_hiddens, device)

    @property
    def params(self) -> tuple[nn.Parameter, ...]:
        """The parameters, in the order of ``get_params``."""
        return tuple(self._parameters.values())  # type: ignore[arg-type]

    @params.setter
    def params(self, tensors: Sequence[Tensor]) -> None:
        names = [*PARAM_NAMES, "b_hn"]
        if len(tensors) not in (11, 12):
            names = [f"param_{i}" for i in range(len(tensors))]
        self._parameters.clear()
        for name, tensor in zip(names, tensors, strict=False):
            if not isinstance(tensor, nn.Parameter):
                tensor = nn.Parameter(tensor.detach(), requires_grad=tensor.requires_grad)
            self.register_parameter(name, tensor)

    def forward(self, X: Tensor, state: Sequence[Tensor] | None = None) -> tuple[Tensor, State]:
        """Logits ``(num_steps * batch_size, vocab_size)`` and the new state; see the module."""
        check_token_ids(X, self.vocab_size)
        state = self.begin_state(batch_size=len(X)) if state is None else state
        inputs = F.one_hot(X.T.long(), self.vocab_size).to(self.params[0].dtype)
        return self.forward_fn(inputs, state, self.params)

    def begin_state(self, batch_size: int, device: Device = None) -> State:
        """The state before the first step, of the parameters' type.

        ``device`` is the model's own unless another is given.
        """
        check_batch(batch_size, device)
        like = self.params[0]
        device = like.device if device is None else device
        state = self.init_state(batch_size, self.num_hiddens, device)
        return tuple(s.to(like.dtype) for s in state)

    def extra_repr(self) -> str:
        """What stands between the brackets of ``print(model)``."""
        name = getattr(self.forward_fn, "__name__", type(self.forward_fn).__name__)
        return f"{self.vocab_size}, {self.num_hiddens}, forward_fn={name}"


class RNNModel(nn.Module):
    """A language model around ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM``, any layers and directions.

    ``rnn_layer`` must take inputs of ``vocab_size`` features, time first (``batch_first=False``).
    """

    def __init__(self, rnn_layer: nn.RNNBase, vocab_size: int):
        """Add an output layer to ``rnn_layer``. Raises ``ValueError`` if the two do not fit."""
        super().__init__()
        check_positive_int("vocab_size", vocab_size)
        if not isinstance(rnn_layer, nn.RNNBase):
            raise ValueError(
                f"rnn_layer must be nn.RNN, nn.GRU or nn.LSTM, got {type(rnn_layer).__name__}."
            )
        if rnn_layer.input_size != vocab_size or rnn_layer.batch_first:
            raise ValueError(
                f"rnn_layer must take {vocab_size} features (the vocabulary) with batch_first="
                f"False, got {rnn_layer.input_size} with batch_first={rnn_layer.batch_first}."
            )
        self.rnn, self.vocab_size, self.num_hiddens = rnn_layer, vocab_size, rnn_layer.hidden_size
        self.num_directions = 2 if rnn_layer.bidirectional else 1
        # nn.LSTM with proj_size has fewer output features than hidden units
        self.num_outputs = rnn_layer.proj_size or rnn_layer.hidden_size
        self.linear = nn.Linear(self.num_outputs * self.num_directions, vocab_size)

    def forward(self, X: Tensor, state: Sequence[Tensor] | None = None) -> tuple[Tensor, State]:
        """Logits ``(num_steps * batch_size, vocab_size)`` and the new state; see the module."""
        check_token_ids(X, self.vocab_size)
        state = self.begin_state(batch_size=len(X)) if state is None else state
        inputs = F.one_hot(X.T.long(), self.vocab_size).to(self.linear.weight.dtype)
        shapes = self._state_shapes(len(X))
        is_sequence = isinstance(state, (tuple, list))
        given = [tuple(s.shape) for s in state] if is_sequence else type(state).__name__
        if given != shapes:
            raise ValueError(
                f"The state of nn.{type(self.rnn).__name__} for {len(X)} rows must be a tuple of "
                f"tensors of shapes {shapes}, got {given}: make one with begin_state."
            )
        is_lstm = isinstance(self.rnn, nn.LSTM)
        outputs, new = self.rnn(inputs, tuple(state) if is_lstm else state[0])
        logits = self.linear(outputs.reshape(-1, outputs.shape[-1]))
        return logits, (tuple(new) if is_lstm else (new,))

    def begin_state(self, batch_size: int, device: Device = None) -> State:
        """``(H,)``, or ``(H, C)`` for an LSTM: zeros, ``(layers * directions, batch, hidden)``.

        ``device`` is the model's own unless another is given.
        """
        check_batch(batch_size, device)
        like = self.linear.weight
        device = like.device if device is None else device
        return tuple(
            torch.zeros(shape, device=device, dtype=like.dtype)
            for shape in self._state_shapes(batch_size)
        )

    def _state_shapes(self, batch_size: int) -> list[tuple[int, ...]]:
        rows = self.rnn.num_layers * self.num_directions
        widths = [self.num_outputs] + [self.num_hiddens] * isinstance(self.rnn, nn.LSTM)
        return [(rows, batch_size, width) for width in widths]


# --- weights across -----------------------------------------------------------------------------


def params_to_rnn_model(params: Sequence[Tensor]) -> RNNModel:
    """An ``RNNModel`` around a one-layer ``nn.GRU`` that holds a copy of ``params``.

    Gate order, transposes and biases follow the documentation of ``torch.nn.GRU``: rows of
    ``weight_ih_l0`` are r, z, n; all our bias goes into ``bias_ih_l0``, and ``bias_hh_l0`` is zero
    but for ``b_hn``, if ``params`` has it. The copy computes what ``gru_switched(...,
    reset_after=True)`` computes. Raises ``ValueError`` where a shape does not fit.
    """
    check_gru_params(params)
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q, *b_hn = params
    vocab_size, num_hiddens = W_xz.shape
    layer: Any = nn.GRU(vocab_size, num_hiddens)
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


def params_from_rnn_model(model: RNNModel, reset_after: bool = True) -> list[Tensor]:
    """The weights of an ``RNNModel`` around a one-layer ``nn.GRU``, as scratch parameters.

    ``reset_after=True`` returns 12 tensors, the last of them ``b_hn``, with which ``gru_switched``
    computes the same function. ``reset_after=False`` returns the 11 of ``get_params``, ``b_hn``
    added to ``b_h``: the nearest thing that form can hold. All are fresh leaves that require
    gradients. Raises ``ValueError`` for a layer that is no ``nn.GRU``, has several layers or
    directions, or no biases.
    """
    layer: Any = getattr(model, "rnn", None)
    is_gru = isinstance(layer, nn.GRU)
    if not is_gru or layer.num_layers != 1 or layer.bidirectional:
        raise ValueError(
            f"The model must be built on nn.GRU with one layer and one direction, got {layer}: "
            "each layer and each direction has gates of its own."
        )
    if not layer.bias:
        raise ValueError("The nn.GRU of the model must have biases, got bias=False.")
    W_xr, W_xz, W_xh = layer.weight_ih_l0.T.chunk(3, dim=1)
    W_hr, W_hz, W_hh = layer.weight_hh_l0.T.chunk(3, dim=1)
    b_ir, b_iz, b_in = layer.bias_ih_l0.chunk(3)
    b_hr, b_hz, b_hn = layer.bias_hh_l0.chunk(3)
    b_h = b_in if reset_after else b_in + b_hn
    params = [W_xz, W_hz, b_iz + b_hz, W_xr, W_hr, b_ir + b_hr, W_xh, W_hh, b_h]
    params += [model.linear.weight.T, model.linear.bias]
    params += [b_hn] if reset_after else []
    return [p.detach().clone().contiguous().requires_grad_(True) for p in params]
