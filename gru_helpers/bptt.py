"""The backward pass of the GRU by hand, one line for each equation, as taught in notebook 07.

``fast`` has the same arithmetic arranged for speed. Sources: Cho et al. 2014 (arXiv:1406.1078) for
the equations of the GRU, the documentation of ``torch.nn.GRU`` for the form that resets after the
product, Werbos 1990, "Backpropagation through time: what it does and how to do it", for the pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ._validate import check_gru_backward, check_gru_switched, checked_by
from .equations import gru_step

Saved = list[tuple[Tensor, ...]]


@checked_by(check_gru_switched, z_keeps=True)
def gru_forward(
    inputs: Tensor, state: Sequence[Tensor], params: Sequence[Tensor], reset_after: bool = False
) -> tuple[Tensor, tuple[Tensor], Saved]:
    """``gru`` that also returns what the backward pass needs of every step.

    Shapes as for ``gru``; ``reset_after`` and the twelfth parameter as for ``gru_switched``.
    Returns the outputs, the new ``(H,)`` and a list with ``(X, H_prev, Z, R, H_tilde, H)`` for each
    step. Raises ``ValueError`` for what does not fit in shape, type or device.
    """
    W_hq, b_q = params[9:11]
    (H,) = state
    outputs: list[Tensor] = []
    saved: Saved = []
    for X in inputs:  # (batch_size, vocab_size)
        H_prev = H  # (batch_size, num_hiddens)
        Z, R, H_tilde, H = gru_step(X, H_prev, params, reset_after=reset_after)
        outputs.append(H @ W_hq + b_q)  # (batch_size, vocab_size)
        saved.append((X, H_prev, Z, R, H_tilde, H))
    return torch.cat(outputs, dim=0), (H,), saved


def gru_step_backward(
    dH: Tensor,
    H_prev: Tensor,
    Z: Tensor,
    R: Tensor,
    H_tilde: Tensor,
    params: Sequence[Tensor],
    reset_after: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """One step back: from the gradient by the new state to those by all that it was made of.

    All five tensors are ``(batch_size, num_hiddens)``; ``params`` and ``reset_after`` as for
    ``gru_forward``. Returns ``dA_z, dA_r, dA_h, dN, dH_prev``, of the same shape: the gradients by
    what stands inside the two sigmoids and the tanh, by the product with W_hh (and b_hn), and by
    the old state.
    """
    _, W_hz, _, _, W_hr, _, _, W_hh, _, _, _, *b_hn = params
    dZ = dH * (H_prev - H_tilde)  # from H = Z * H_prev + (1 - Z) * H_tilde
    dH_tilde = dH * (1 - Z)
    dA_z = dZ * Z * (1 - Z)  # the derivative of the sigmoid
    dA_h = dH_tilde * (1 - H_tilde**2)  # the derivative of tanh
    if reset_after:
        dN = dA_h * R  # N = H_prev W_hh + b_hn, and R multiplies it
        dR, dH_h = dA_h * (H_prev @ W_hh + b_hn[0]), dN @ W_hh.T
    else:
        dN = dA_h  # N = (R * H_prev) W_hh
        dRH = dN @ W_hh.T
        dR, dH_h = dRH * H_prev, dRH * R
    dA_r = dR * R * (1 - R)
    dH_prev = dH * Z + dA_z @ W_hz.T + dH_h + dA_r @ W_hr.T  # roads 1 to 4
    return dA_z, dA_r, dA_h, dN, dH_prev


@checked_by(check_gru_backward)
def gru_backward(
    doutputs: Tensor,
    dH: Tensor,
    saved: Sequence[tuple[Tensor, ...]],
    params: Sequence[Tensor],
    reset_after: bool = False,
) -> tuple[Tensor, tuple[Tensor], list[Tensor]]:
    """The gradients of a loss, from the last step to the first, by the chain rule.

    ``doutputs`` is the loss's gradient with respect to the outputs of ``gru_forward``,
    ``(num_steps * batch_size, vocab_size)``; ``dH`` the one with respect to the last state,
    ``(batch_size, num_hiddens)``, zeros if it is not used; ``saved`` comes from ``gru_forward``.
    Returns the gradients with respect to the inputs, the first state and the parameters, each
    shaped as what it belongs to. Raises ``ValueError`` for a shape or a switch that does not fit.
    """
    W_xz, _, _, W_xr, _, _, W_xh, _, _, W_hq, *_ = params
    dparams = [torch.zeros_like(param) for param in params]
    dW_xz, dW_hz, db_z, dW_xr, dW_hr, db_r, dW_xh, dW_hh, db_h, dW_hq, db_q, *db_hn = dparams
    dinputs = []
    steps = zip(saved, doutputs.chunk(len(saved)), strict=True)
    for (X, H_prev, Z, R, H_tilde, H), dY in reversed(list(steps)):
        dW_hq += H.T @ dY  # (num_hiddens, vocab_size)
        db_q += dY.sum(dim=0)  # (vocab_size,)
        dH = dH + dY @ W_hq.T  # (batch_size, num_hiddens)
        grads = gru_step_backward(dH, H_prev, Z, R, H_tilde, params, reset_after)
        dA_z, dA_r, dA_h, dN, dH = grads  # (batch_size, num_hiddens) each
        dinputs.append(dA_z @ W_xz.T + dA_r @ W_xr.T + dA_h @ W_xh.T)  # (batch_size, vocab_size)
        dW_hz += H_prev.T @ dA_z  # (num_hiddens, num_hiddens)
        dW_hr += H_prev.T @ dA_r
        dW_hh += (H_prev if reset_after else R * H_prev).T @ dN
        for dA, dW_x, db in ((dA_z, dW_xz, db_z), (dA_r, dW_xr, db_r), (dA_h, dW_xh, db_h)):
            dW_x += X.T @ dA  # (vocab_size, num_hiddens)
            db += dA.sum(dim=0)  # (num_hiddens,)
        for db in db_hn:
            db += dN.sum(dim=0)
    return torch.stack(dinputs[::-1]), (dH,), dparams
