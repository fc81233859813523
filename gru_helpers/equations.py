"""The gated recurrent unit (GRU), written as it is taught.

The bodies of these functions are the same code, statement by statement, as the definitions in
notebooks 00, 02, 03 and 05; a test holds them together. Equations: Cho et al. 2014
(arXiv:1406.1078), in the notation of Zhang et al., *Dive into Deep Learning*, chapter "Gated
Recurrent Units"::

    Z_t       = sigmoid(X_t W_xz + H_{t-1} W_hz + b_z)            update gate
    R_t       = sigmoid(X_t W_xr + H_{t-1} W_hr + b_r)            reset gate
    H_tilde_t = tanh(X_t W_xh + (R_t * H_{t-1}) W_hh + b_h)       candidate hidden state
    H_t       = Z_t * H_{t-1} + (1 - Z_t) * H_tilde_t             hidden state
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.types import Device

from ._validate import (
    PARAM_NAMES,
    check_gru,
    check_gru_step,
    check_gru_switched,
    check_model_sizes,
    check_state_sizes,
    check_unroll,
    checked_by,
)

__all__ = [
    "PARAM_NAMES",
    "get_params",
    "gru",
    "gru_step",
    "gru_switched",
    "init_gru_state",
    "unroll",
]


# --- notebook 02 --------------------------------------------------------------------------------


@checked_by(check_model_sizes)
def get_params(vocab_size: int, num_hiddens: int, device: Device) -> list[Tensor]:
    """The eleven parameters of a GRU language model, as leaf tensors that require gradients.

    Returns the list ``W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q``: weights
    drawn from N(0, 0.01²), biases zero. ``W_x*`` are ``(vocab_size, num_hiddens)``, ``W_h*``
    ``(num_hiddens, num_hiddens)``, ``W_hq`` ``(num_hiddens, vocab_size)``, biases as wide as what
    they are added to. Raises ``ValueError`` for sizes below 1.
    """
    num_inputs = num_outputs = vocab_size

    def normal(shape: tuple[int, ...]) -> Tensor:
        return torch.randn(size=shape, device=device) * 0.01

    def three() -> tuple[Tensor, Tensor, Tensor]:
        return (
            normal((num_inputs, num_hiddens)),
            normal((num_hiddens, num_hiddens)),
            torch.zeros(num_hiddens, device=device),
        )

    W_xz, W_hz, b_z = three()  # update gate
    W_xr, W_hr, b_r = three()  # reset gate
    W_xh, W_hh, b_h = three()  # candidate hidden state
    W_hq = normal((num_hiddens, num_outputs))  # output layer
    b_q = torch.zeros(num_outputs, device=device)
    params = [W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q]
    for param in params:
        param.requires_grad_(True)
    return params


# --- notebook 03 --------------------------------------------------------------------------------


@checked_by(check_state_sizes)
def init_gru_state(batch_size: int, num_hiddens: int, device: Device) -> tuple[Tensor]:
    """The state before the first step: ``(H,)``, H of zeros, ``(batch_size, num_hiddens)``."""
    return (torch.zeros((batch_size, num_hiddens), device=device),)


@checked_by(check_gru)
def gru(
    inputs: Tensor, state: Sequence[Tensor], params: Sequence[Tensor]
) -> tuple[Tensor, tuple[Tensor]]:
    """Run the GRU over a minibatch of one-hot sequences, and its output layer at every step.

    ``inputs`` is ``(num_steps, batch_size, vocab_size)``, ``state`` is ``(H,)`` with H
    ``(batch_size, num_hiddens)``, ``params`` as from ``get_params``. Returns the logits
    ``(num_steps * batch_size, vocab_size)``, all rows of step 0 first, and the new ``(H,)``.
    Raises ``ValueError`` naming what does not fit in shape, type or device.
    """
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    outputs = []
    for X in inputs:  # (batch_size, vocab_size)
        Z = torch.sigmoid(X @ W_xz + H @ W_hz + b_z)  # (batch_size, num_hiddens)
        R = torch.sigmoid(X @ W_xr + H @ W_hr + b_r)  # (batch_size, num_hiddens)
        H_tilde = torch.tanh(X @ W_xh + (R * H) @ W_hh + b_h)  # (batch_size, num_hiddens)
        H = Z * H + (1 - Z) * H_tilde  # (batch_size, num_hiddens)
        Y = H @ W_hq + b_q  # (batch_size, vocab_size)
        outputs.append(Y)
    return torch.cat(outputs, dim=0), (H,)


# --- notebook 05 --------------------------------------------------------------------------------


@checked_by(check_gru_step)
def gru_step(
    X: Tensor,
    H: Tensor,
    params: Sequence[Tensor],
    z_keeps: bool = True,
    reset_after: bool = False,
    clamp: Callable[[str, Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One step of the GRU, in any of the four ways in which it is written: ``Z, R, H_tilde, H``.

    ``X`` is ``(..., vocab_size)``, ``H`` and the four results ``(..., num_hiddens)``. Of
    ``params`` the first nine of ``get_params`` are used. ``z_keeps``: Z = 1 keeps the old state
    (Cho et al. 2014, PyTorch); else it writes the candidate (Chung et al. 2014, arXiv:1412.3555).
    ``reset_after``: R multiplies the matrix product and its bias, the last of ``params``,
    ``b_hn``, ``(num_hiddens,)`` (documentation of ``torch.nn.GRU``); else it multiplies the state
    before the product. ``clamp(name, value)``, called with ``"Z"``, ``"R"``, ``"H_tilde"`` and
    ``"H"``, returns what is to take the value's place. Raises ``ValueError`` for too few
    parameters and sizes that do not fit.
    """
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, *others = params
    clamp = clamp or (lambda name, value: value)
    Z = clamp("Z", torch.sigmoid(X @ W_xz + H @ W_hz + b_z))  # (batch_size, num_hiddens)
    R = clamp("R", torch.sigmoid(X @ W_xr + H @ W_hr + b_r))  # (batch_size, num_hiddens)
    if reset_after:
        b_hn = others[-1]  # (num_hiddens,)
        H_tilde = torch.tanh(X @ W_xh + R * (H @ W_hh + b_hn) + b_h)
    else:
        H_tilde = torch.tanh(X @ W_xh + (R * H) @ W_hh + b_h)  # (batch_size, num_hiddens)
    H_tilde = clamp("H_tilde", H_tilde)
    keep = Z if z_keeps else 1 - Z  # (batch_size, num_hiddens)
    H = clamp("H", keep * H + (1 - keep) * H_tilde)  # (batch_size, num_hiddens)
    return Z, R, H_tilde, H


@checked_by(check_unroll)
def unroll(
    inputs: Tensor,
    state: Sequence[Tensor],
    params: Sequence[Tensor],
    step: Callable[..., tuple[Tensor, ...]],
) -> tuple[Tensor, tuple[Tensor]]:
    """The loop of ``gru`` around any ``step(X, H, params)`` whose last result is the new state.

    The last two of ``params`` are the output layer (``b_hn``, a twelfth, may follow them). Shapes
    and results as for ``gru``.
    """
    *_, W_hq, b_q = params[:11]
    (H,) = state
    outputs = []
    for X in inputs:  # (batch_size, vocab_size)
        *_, H = step(X, H, params)  # (batch_size, num_hiddens)
        outputs.append(H @ W_hq + b_q)  # (batch_size, vocab_size)
    return torch.cat(outputs, dim=0), (H,)


@checked_by(check_gru_switched)
def gru_switched(
    inputs: Tensor,
    state: Sequence[Tensor],
    params: Sequence[Tensor],
    z_keeps: bool = True,
    reset_after: bool = False,
) -> tuple[Tensor, tuple[Tensor]]:
    """``gru`` with the two switches of ``gru_step``; ``reset_after`` needs 12 parameters.

    Shapes, results and errors as for ``gru``.
    """
    step = functools.partial(gru_step, z_keeps=z_keeps, reset_after=reset_after)
    return unroll(inputs, state, params, step)
