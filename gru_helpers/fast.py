"""The backward pass of ``bptt`` arranged for speed, and a model built on it.

What makes it fast, without leaving PyTorch: token ids pick rows of the input weights instead of
multiplying one-hot vectors; the two gates share one product; all that can be computed for every
step at once is taken out of the loop over the steps (the input products, the derivatives of the
activations, the gradients of the weights); and results are written in place. What is left above
the matrix products (``python -m gru_helpers.studies.bench`` measures them as the lower bound) is
mostly the tanh and the sigmoid of each step, then the derivatives of the activations, the rows
that are picked and their gradient, and the calls themselves.

Sources: as for ``bptt``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.types import Device

from ._validate import (
    check_batch,
    check_gru_call,
    check_gru_params,
    check_model_sizes,
    check_reset_after,
    check_token_ids,
    gru_param_shapes,
    is_transformed,
)
from .equations import gru_switched


def _flat(x: Tensor) -> Tensor:
    """``(num_steps, batch_size, features)`` as ``(num_steps * batch_size, features)``."""
    return x.flatten(0, 1)


def _by_step(*sequences: Tensor) -> list[tuple[Tensor, ...]]:
    """The steps of several sequences together, as views."""
    return list(zip(*(sequence.unbind() for sequence in sequences), strict=True))


def _forward(
    inputs: Tensor, H: Tensor, params: Sequence[Tensor]
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
    """All steps of the GRU: the outputs, the last H, and what the backward pass needs.

    That is ``A``, ``(num_steps, batch_size, 3 * num_hiddens)``, with H_tilde, Z and R side by side;
    ``Hs``, the states from the first on; and ``Ns``, which is R * H_prev, or, with ``b_hn``,
    H_prev W_hh + b_hn.
    """
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q, *b_hn = params
    T, B, n = *inputs.shape[:2], H.shape[1]
    A, Hs, Ns = H.new_empty(T, B, 3 * n), H.new_empty(T + 1, B, n), H.new_empty(T, B, n)
    W_x, b = torch.cat([W_xh, W_xz, W_xr], dim=1), torch.cat([b_h, b_z, b_r])
    if inputs.dim() == 2:
        torch.index_select(W_x + b, 0, inputs.reshape(-1), out=_flat(A))
    else:
        torch.addmm(b, _flat(inputs), W_x, out=_flat(A))
    W_zr = torch.cat([W_hz, W_hr], dim=1)  # (num_hiddens, 2 * num_hiddens)
    Hs[0] = H
    for (H_prev, H), (H_tilde, Z, R, ZR, N) in zip(
        itertools.pairwise(Hs.unbind()),
        _by_step(*A.chunk(3, dim=2), A[:, :, n:], Ns),
        strict=True,
    ):
        ZR.addmm_(H_prev, W_zr).sigmoid_()
        if b_hn:
            torch.addmm(b_hn[0], H_prev, W_hh, out=N)
            H_tilde.addcmul_(R, N).tanh_()
        else:
            torch.mul(R, H_prev, out=N)
            H_tilde.addmm_(N, W_hh).tanh_()
        torch.lerp(H_tilde, H_prev, Z, out=H)  # Z * H_prev + (1 - Z) * H_tilde
    return torch.addmm(b_q, _flat(Hs[1:]), W_hq), H.clone(), (A, Hs, Ns)


def _backward(
    doutputs: Tensor,
    dH_last: Tensor,
    inputs: Tensor,
    saved: Sequence[Tensor],
    params: Sequence[Tensor],
    wants_dinputs: bool,
) -> tuple[Tensor | None, Tensor, list[Tensor]]:
    """The gradients with respect to the inputs (or ``None``), the first state, the parameters.

    ``dA`` is filled with the derivatives of the activations first, at all steps at once; the loop
    multiplies them by what comes back.
    """
    W_xz, W_hz, _, W_xr, W_hr, _, W_xh, W_hh, _, W_hq, _, *b_hn = params
    A, Hs, Ns = saved
    V, n = W_xz.shape
    H_tildes, Zs, Rs = A.chunk(3, dim=2)
    dA = torch.empty_like(A)  # dA_h, dA_z and dA_r side by side
    dHs = torch.empty_like(Hs)  # the share of the states' gradients that comes from the outputs
    dA_hs, dA_zs, dA_rs = dA.chunk(3, dim=2)
    sigmoid_backward = torch.ops.aten.sigmoid_backward
    torch.sub(Zs.new_ones(()), Zs, out=dA_hs)
    torch.ops.aten.tanh_backward(dA_hs, H_tildes, grad_input=dA_hs)  # (1 - Z) (1 - H_tilde²)
    torch.sub(Hs[:-1], H_tildes, out=dA_zs)
    sigmoid_backward(dA_zs, Zs, grad_input=dA_zs)  # (H_prev - H_tilde) Z (1 - Z)
    sigmoid_backward(Ns if b_hn else Hs[:-1], Rs, grad_input=dA_rs)  # N or H_prev, R (1 - R)
    dHs[0] = 0
    torch.mm(doutputs, W_hq.T, out=_flat(dHs[1:]))
    dNs = torch.empty_like(Ns) if b_hn else dA_hs
    D = W_hh.new_empty(A.shape[1], 2 * n)  # what multiplies dA_z and dA_r: dH, and dRH or dA_h
    dH, dR = D.chunk(2, dim=1)  # (batch_size, num_hiddens) each
    torch.add(dHs[-1], dH_last, out=dH)
    W_zr = torch.cat([W_hz, W_hr], dim=1)  # (num_hiddens, 2 * num_hiddens)
    steps = _by_step(Zs, Rs, dA_hs, dA[:, :, n:], dNs, dHs[:-1])
    for Z, R, dA_h, dA_zr, dN, dY in reversed(steps):
        dA_h.mul_(dH)
        if b_hn:
            torch.mul(dA_h, R, out=dN)
            dR.copy_(dA_h)
            dA_zr.mul_(D)
            torch.addcmul(dY, dH, Z, out=dH).addmm_(dN, W_hh.T)
        else:
            torch.mm(dA_h, W_hh.T, out=dR)
            dA_zr.mul_(D)
            torch.addcmul(dY, dH, Z, out=dH).addcmul_(dR, R)
        dH.addmm_(dA_zr, W_zr.T)
    dA = _flat(dA)  # (num_steps * batch_size, 3 * num_hiddens)
    dW_hz, dW_hr = (_flat(Hs[:-1]).T @ dA[:, n:]).chunk(2, dim=1)
    if b_hn:
        dW_hh, db_hn = _flat(Hs[:-1]).T @ _flat(dNs), [_flat(dNs).sum(dim=0)]
    else:
        dW_hh, db_hn = _flat(Ns).T @ dA[:, :n], []
    if inputs.dim() == 2:
        dW_x = torch.ops.aten.embedding_dense_backward(dA, inputs.reshape(-1), V, -1, False)
        db = dW_x.sum(dim=0)  # each token picks one row, so this is dA.sum(dim=0), from less
    else:
        dW_x = _flat(inputs).T @ dA
        db = dA.sum(dim=0)
    dinputs = None
    if wants_dinputs:
        dinputs = (dA @ torch.cat([W_xh, W_xz, W_xr], dim=1).T).view(inputs.shape)
    dW_xh, dW_xz, dW_xr = dW_x.chunk(3, dim=1)
    db_h, db_z, db_r = db.chunk(3)
    dW_hq, db_q = _flat(Hs[1:]).T @ doutputs, doutputs.sum(dim=0)
    dparams = [dW_xz, dW_hz, db_z, dW_xr, dW_hr, db_r, dW_xh, dW_hh, db_h, dW_hq, db_q, *db_hn]
    return dinputs, dH.clone(), dparams


class GRUFunction(torch.autograd.Function):
    """``gru`` with the backward pass written by hand: ``apply(inputs, H, *params)``.

    Takes 11 parameters (reset before the product) or 12 (after it, ``b_hn`` the last), and dense
    inputs or token ids, time first; returns the outputs and the last H. It checks nothing: call
    ``fast_gru``. Where the gradients themselves are to be differentiated (``create_graph=True``),
    autograd goes through ``gru_switched`` instead.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, H: Tensor, *params: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs and the last H; saves what the backward pass needs."""
        outputs, H_last, saved = _forward(inputs, H, params)
        ctx.save_for_backward(inputs, H, *saved, *params)
        return outputs, H_last

    @staticmethod
    def backward(ctx: Any, doutputs: Tensor, dH_last: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """The gradients with respect to inputs, H and each parameter."""
        inputs, H, A, Hs, Ns, *params = ctx.saved_tensors
        if torch.is_grad_enabled():
            arguments = (inputs, H, *params)
            return _backward_by_autograd(ctx.needs_input_grad, arguments, doutputs, dH_last)
        wants_dinputs = ctx.needs_input_grad[0]
        dinputs, dH, dparams = _backward(
            doutputs, dH_last, inputs, (A, Hs, Ns), params, wants_dinputs
        )
        return dinputs, dH, *dparams


def _backward_by_autograd(
    needed: Sequence[bool], arguments: Sequence[Tensor], doutputs: Tensor, dH_last: Tensor
) -> tuple[Tensor | None, ...]:
    """What ``GRUFunction.backward`` returns, as a graph that can be differentiated again."""
    # views, so that arguments that depend on each other are told apart
    inputs, H, *params = views = [argument.view_as(argument) for argument in arguments]
    outputs, (H_last,) = _as_taught(inputs, (H,), params)
    wanted = [view for view, need in zip(views, needed, strict=True) if need]
    grads = torch.autograd.grad((outputs, H_last), wanted, (doutputs, dH_last), create_graph=True)
    found = iter(grads)
    return tuple(next(found) if need else None for need in needed)


def _as_taught(
    inputs: Tensor, state: Sequence[Tensor], params: Sequence[Tensor]
) -> tuple[Tensor, tuple[Tensor]]:
    """``fast_gru`` by the taught loop, which PyTorch can transform and differentiate."""
    if inputs.dim() == 2:
        one_hot = torch.eye(len(params[0]), dtype=params[0].dtype, device=inputs.device)
        inputs = one_hot[inputs.long()]
    return gru_switched(inputs, state, params, reset_after=len(params) == 12)


def _is_autocast(device_type: str) -> bool:
    """Whether products are to be taken in another type, where the device has that at all."""
    available = torch.amp.is_autocast_available(device_type)
    return available and torch.is_autocast_enabled(device_type)


def fast_gru(
    inputs: Tensor, state: Sequence[Tensor], params: Sequence[Tensor]
) -> tuple[Tensor, tuple[Tensor]]:
    """``gru``, faster: the same arguments, results and errors.

    ``inputs`` may also be integer token ids ``(num_steps, batch_size)``, which is faster again.
    With the twelfth parameter ``b_hn`` it is ``gru_switched(..., reset_after=True)``. Gradients of
    any order, with respect to inputs, state and parameters, as under autograd. Under autocast,
    ``torch.func`` and ``torch.export`` it is the taught loop, no faster than that. Raises
    ``ValueError`` naming what does not fit in shape, type or device.
    """
    check_gru_call(inputs, state, params, ids=True)
    if _is_autocast(inputs.device.type) or is_transformed():
        return _as_taught(inputs, state, params)
    if inputs.dim() == 2:
        inputs = inputs.long()
    if torch.is_grad_enabled() and any(x.requires_grad for x in (inputs, *state, *params)):
        outputs, H = GRUFunction.apply(inputs, *state, *params)
    else:
        outputs, H, _ = _forward(inputs, state[0], params)
    return outputs, (H,)


class FastGRUModel(nn.Module):
    """A language model around ``fast_gru``, used as ``RNNModel`` and ``RNNModelScratch`` are.

    ``model(X, state)`` takes token ids ``(batch_size, num_steps)``, or vectors ``(batch_size,
    num_steps, vocab_size)``, and a state ``(H,)``, H ``(batch_size, num_hiddens)`` (``None``:
    zeros); it returns the logits ``(num_steps * batch_size, vocab_size)``, all rows of step 0
    first, and the new state. ``params`` lists its parameters in the order of ``get_params``.
    """

    def __init__(
        self,
        vocab_size: int,
        num_hiddens: int,
        reset_after: bool = False,
        params: Sequence[Tensor] | None = None,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ):
        """Make the parameters, or copy ``params``.

        ``reset_after=False`` are the taught equations (11 parameters), ``True`` those of
        ``nn.GRU`` (12). New parameters are drawn as ``nn.GRU`` draws its own, from U(-a, a) with
        a = 1 / sqrt(num_hiddens). Raises ``ValueError`` for sizes below 1 and ``params`` that do
        not fit.
        """
        super().__init__()
        check_model_sizes(vocab_size, num_hiddens, device)
        self.vocab_size, self.num_hiddens, self.reset_after = vocab_size, num_hiddens, reset_after
        shapes = gru_param_shapes(vocab_size, num_hiddens)
        if reset_after:
            shapes["b_hn"] = (num_hiddens,)
        if params is None:
            bound = 1 / math.sqrt(num_hiddens)
            params = [
                torch.empty(shape, device=device, dtype=dtype).uniform_(-bound, bound)
                for shape in shapes.values()
            ]
        check_reset_after(reset_after, params)
        check_gru_params(params)
        if tuple(params[0].shape) != (vocab_size, num_hiddens):
            raise ValueError(
                f"W_xz must have shape ({vocab_size}, {num_hiddens}), which is (vocab_size, "
                f"num_hiddens), got {tuple(params[0].shape)}."
            )
        for name, param in zip(shapes, params, strict=True):
            copy = param.detach().to(device=device, dtype=dtype, copy=True).contiguous()
            self.register_parameter(name, nn.Parameter(copy))

    @property
    def params(self) -> list[nn.Parameter]:
        """The 11 or 12 parameters, as ``gru`` or ``gru_switched`` takes them."""
        return list(self.parameters())

    def forward(
        self, X: Tensor, state: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor]]:
        """Logits and the new state; see the class. Raises ``ValueError`` for what does not fit."""
        if X.dim() != 3:
            check_token_ids(X, self.vocab_size)
        state = self.begin_state(len(X)) if state is None else state
        return fast_gru(X.transpose(0, 1), state, self.params)

    def begin_state(self, batch_size: int, device: Device = None) -> tuple[Tensor]:
        """The state before the first step: ``(H,)``, zeros of the parameters' type.

        ``device`` is the model's own unless another is given.
        """
        check_batch(batch_size, device)
        like = self.params[0]
        device = like.device if device is None else device
        return (torch.zeros((batch_size, self.num_hiddens), device=device, dtype=like.dtype),)

    def extra_repr(self) -> str:
        """What stands between the brackets of ``print(model)``."""
        return f"{self.vocab_size}, {self.num_hiddens}, reset_after={self.reset_after}"
