"""The backward pass of the GRU by hand: readable first, then fast.

``gru_forward``, ``gru_step_backward`` and ``gru_backward`` are the pass as it is taught, one line
for each equation.
``GRUFunction`` is the same arithmetic arranged for speed, ``fast_gru`` and ``GRU`` give it the
interfaces of ``gru`` and of ``RNNModel``.

What makes it fast, without leaving PyTorch: token ids pick rows of the input weights instead of
multiplying one-hot vectors; the two gates share one product; all that can be computed for every
step at once is taken out of the loop over the steps (the input products, the derivatives of the
activations, the gradients of the weights); and memory is written in place and used again. What is
left above the matrix products (``python -m gru_helpers.bench`` measures them as the floor) is
mostly the tanh and the sigmoid of each step, then the derivatives of the activations, the rows
that are picked and their gradient, and the calls themselves.

Sources: Cho et al. 2014 (arXiv:1406.1078) for the equations of the GRU, the documentation of
``torch.nn.GRU`` for the form that resets after the product, Werbos 1990, "Backpropagation through
time: what it does and how to do it", for the pass itself.
"""

from __future__ import annotations

import functools
import math
import threading

import torch
from torch import nn
from torch.nn import functional as F

from .gru import (
    PARAM_NAMES,
    check_gru_params,
    check_gru_state,
    check_reset,
    check_size,
    gru_param_shapes,
    gru_switched,
)
from .models import check_token_ids

KEPT = 4  # how many passes' memory a thread keeps for its next calls


def check_gru_inputs(inputs, state, params) -> None:
    """Raise ``ValueError`` unless inputs, state and parameters fit in shape, type and device.

    ``inputs`` is ``(num_steps, batch_size, vocab_size)`` of the parameters' type, or token ids
    ``(num_steps, batch_size)``; ``state`` and ``params`` as for ``gru`` or ``gru_switched``.
    """
    check_gru_params(params)
    vocab_size, num_hiddens = params[0].shape
    if inputs.dim() == 2 and not inputs.dtype.is_floating_point:
        check_token_ids(inputs, vocab_size)
    elif inputs.dim() != 3 or inputs.shape[-1] != vocab_size:
        raise ValueError(
            f"The inputs have shape {tuple(inputs.shape)} and type {inputs.dtype}; expected "
            f"(num_steps, batch_size, {vocab_size}), time first, or token ids, whole numbers of "
            "shape (num_steps, batch_size)."
        )
    if inputs.shape[0] == 0:
        raise ValueError("The inputs have 0 steps: give at least one.")
    check_gru_state(state, inputs.shape[1], num_hiddens)
    dense = {"The inputs": inputs} if inputs.dim() == 3 else {}
    names = (*PARAM_NAMES[1:], "b_hn")
    others = {**dense, "The state H": state[0], **dict(zip(names, params[1:], strict=False))}
    for name, tensor in others.items():
        if tensor.dtype != params[0].dtype or tensor.device != params[0].device:
            raise ValueError(
                f"{name}: {tensor.dtype} on {tensor.device}; expected {params[0].dtype} on "
                f"{params[0].device}, as W_xz is. Convert it with .to(W_xz)."
            )


def _checks_forward(function):
    """Check the arguments of ``gru_forward`` before the call."""

    @functools.wraps(function)
    def checked(inputs, state, params, reset="before"):
        check_reset(reset, params)
        check_gru_inputs(inputs, state, params)
        if inputs.dim() == 2:
            raise ValueError(
                f"The inputs are token ids of shape {tuple(inputs.shape)}; expected one-hot "
                "vectors: make them with torch.nn.functional.one_hot."
            )
        return function(inputs, state, params, reset)

    return checked


def _checks_backward(function):
    """Check the arguments of ``gru_backward`` before the call."""

    @functools.wraps(function)
    def checked(doutputs, dH, saved, params, reset="before"):
        check_reset(reset, params)
        check_gru_params(params)
        if not saved:
            raise ValueError("saved is empty; expected the third result of gru_forward.")
        (batch_size, vocab_size), (_, num_hiddens) = saved[0][0].shape, saved[0][1].shape
        rows = len(saved) * batch_size
        if tuple(doutputs.shape) != (rows, vocab_size):
            raise ValueError(
                f"doutputs has shape {tuple(doutputs.shape)}; expected ({rows}, {vocab_size}), as "
                "the outputs of gru_forward have."
            )
        if tuple(dH.shape) != (batch_size, num_hiddens):
            raise ValueError(
                f"dH has shape {tuple(dH.shape)}; expected ({batch_size}, {num_hiddens}), as the "
                "state has: give zeros if the last state is not used."
            )
        return function(doutputs, dH, saved, params, reset)

    return checked


# --- as taught in notebook 07 ----------------------------------------------------------------


@_checks_forward
def gru_forward(inputs, state, params, reset="before"):
    """``gru`` that also returns what the backward pass needs of every step.

    Shapes as for ``gru``; ``reset`` and the twelfth parameter as for ``gru_switched``. Returns the
    outputs, the new ``(H,)`` and a list with ``(X, H_prev, Z, R, H_tilde, H)`` for each step.
    Raises ``ValueError`` for a shape, a type or a switch that does not fit.
    """
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q, *b_hn = params
    (H,) = state
    outputs, saved = [], []
    for X in inputs:  # (batch_size, vocab_size)
        H_prev = H  # (batch_size, num_hiddens)
        Z = torch.sigmoid(X @ W_xz + H_prev @ W_hz + b_z)  # (batch_size, num_hiddens)
        R = torch.sigmoid(X @ W_xr + H_prev @ W_hr + b_r)  # (batch_size, num_hiddens)
        if reset == "before":
            H_tilde = torch.tanh(X @ W_xh + (R * H_prev) @ W_hh + b_h)  # (batch_size, num_hiddens)
        else:
            H_tilde = torch.tanh(X @ W_xh + R * (H_prev @ W_hh + b_hn[0]) + b_h)
        H = Z * H_prev + (1 - Z) * H_tilde  # (batch_size, num_hiddens)
        outputs.append(H @ W_hq + b_q)  # (batch_size, vocab_size)
        saved.append((X, H_prev, Z, R, H_tilde, H))
    return torch.cat(outputs, dim=0), (H,), saved


def gru_step_backward(dH, H_prev, Z, R, H_tilde, params, reset="before"):
    """One step back: from the gradient by the new state to those by all that it was made of.

    All five tensors are ``(batch_size, num_hiddens)``; ``params`` and ``reset`` as for
    ``gru_forward``. Returns ``dA_z, dA_r, dA_h, dN, dH_prev``, of the same shape: the gradients by
    what stands inside the two sigmoids and the tanh, by the product with W_hh (and b_hn), and by
    the old state.
    """
    _, W_hz, _, _, W_hr, _, _, W_hh, _, _, _, *b_hn = params
    dZ = dH * (H_prev - H_tilde)  # from H = Z * H_prev + (1 - Z) * H_tilde
    dH_tilde = dH * (1 - Z)
    dA_z = dZ * Z * (1 - Z)  # the derivative of the sigmoid
    dA_h = dH_tilde * (1 - H_tilde**2)  # the derivative of tanh
    if reset == "before":
        dN = dA_h  # N = (R * H_prev) W_hh
        dRH = dN @ W_hh.T
        dR, dH_h = dRH * H_prev, dRH * R
    else:
        dN = dA_h * R  # N = H_prev W_hh + b_hn, and R multiplies it
        dR, dH_h = dA_h * (H_prev @ W_hh + b_hn[0]), dN @ W_hh.T
    dA_r = dR * R * (1 - R)
    dH_prev = dH * Z + dH_h + dA_z @ W_hz.T + dA_r @ W_hr.T  # four ways back
    return dA_z, dA_r, dA_h, dN, dH_prev


@_checks_backward
def gru_backward(doutputs, dH, saved, params, reset="before"):
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
        grads = gru_step_backward(dH, H_prev, Z, R, H_tilde, params, reset)
        dA_z, dA_r, dA_h, dN, dH = grads  # (batch_size, num_hiddens) each
        dinputs.append(dA_z @ W_xz.T + dA_r @ W_xr.T + dA_h @ W_xh.T)  # (batch_size, vocab_size)
        dW_hz += H_prev.T @ dA_z  # (num_hiddens, num_hiddens)
        dW_hr += H_prev.T @ dA_r
        dW_hh += (R * H_prev if reset == "before" else H_prev).T @ dN
        for dA, dW_x, db in ((dA_z, dW_xz, db_z), (dA_r, dW_xr, db_r), (dA_h, dW_xh, db_h)):
            dW_x += X.T @ dA  # (vocab_size, num_hiddens)
            db += dA.sum(dim=0)  # (num_hiddens,)
        for db in db_hn:
            db += dN.sum(dim=0)
    return torch.stack(dinputs[::-1]), (dH,), dparams


# --- the same, fast ---------------------------------------------------------------------------


class _ForwardMemory:
    """What a forward pass fills: sequences, and in ``steps`` the views of each step.

    ``A`` holds H_tilde, Z and R side by side; ``Hs`` the states from the first on; ``Ns`` is
    R * H_prev in the form "before" and H_prev W_hh + b_hn in the form "after".
    """

    def __init__(self, like, T, B, n):
        self.A = like.new_empty(T, B, 3 * n)
        self.Hs = like.new_empty(T + 1, B, n)
        self.Ns = like.new_empty(T, B, n)
        A, Hs, Ns = self.A, self.Hs, self.Ns
        self.H_tildes, self.Zs, self.Rs = A.chunk(3, dim=2)
        self.steps = _steps(Hs[:-1], Hs[1:], self.H_tildes, self.Zs, self.Rs, A[:, :, n:], Ns)


class _BackwardMemory:
    """What a backward pass fills, as ``_ForwardMemory``.

    ``dA`` holds dA_h, dA_z and dA_r side by side; ``dHs`` is the share of the states' gradients
    that comes from the outputs; ``dNs``, in a list, is there in the form "after" only; ``D`` has
    room for dH and dRH of one step.
    """

    def __init__(self, like, T, B, n, resets_after):
        self.dA = like.new_empty(T, B, 3 * n)
        self.dHs = like.new_empty(T + 1, B, n)
        self.dNs = [like.new_empty(T, B, n)] if resets_after else []
        self.D = like.new_empty(B, 2 * n)
        self.dA_hs, self.dA_zs, self.dA_rs = self.dA.chunk(3, dim=2)
        self.steps = _steps(
            self.dA_hs, self.dA_zs, self.dA_rs, self.dA[:, :, n:], self.dHs[:-1], *self.dNs
        )


def _steps(*sequences):
    """The steps of several sequences together, as views, in a list."""
    return list(zip(*(sequence.unbind() for sequence in sequences), strict=True))


class _Kept(threading.local):
    """Memory between two uses, a list for each thread.

    A fresh allocation of some megabytes costs a page fault for every page, which on a CPU takes
    longer than the arithmetic on it. What is in the list belongs to nobody; whoever takes it out
    owns it until it is given back. Other devices have an allocator that does this already.
    """

    def __init__(self):
        self.free = []

    def take(self, kind, like, *sizes):
        """Memory of this ``kind`` and of these sizes, of the type of ``like`` and where it is."""
        key = (kind, sizes, like.dtype, like.device, torch.is_inference_mode_enabled())
        for place in reversed(range(len(self.free))):  # the last one in may still be in the cache
            if self.free[place][0] == key:
                return self.free.pop(place)
        return key, kind(like, *sizes)

    def give(self, key, memory):
        """Keep ``memory`` for the next call, and no more than ``KEPT`` in all."""
        if memory.steps[0][0].is_cpu:
            self.free.append((key, memory))
            del self.free[:-KEPT]


_kept = _Kept()


def free_memory() -> None:
    """Let go of the memory that ``fast_gru`` keeps in this thread for its next calls."""
    _kept.free.clear()


def _flat(x):
    """``(num_steps, batch_size, features)`` as ``(num_steps * batch_size, features)``."""
    return x.flatten(0, 1)


def _fast_forward(inputs, H, params):
    """All steps of the GRU: the outputs, the last H, and the memory that was filled."""
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q, *b_hn = params
    key, memory = _kept.take(_ForwardMemory, H, *inputs.shape[:2], H.shape[1])
    W_x, b = torch.cat([W_xh, W_xz, W_xr], dim=1), torch.cat([b_h, b_z, b_r])
    if inputs.dim() == 2:
        torch.index_select(W_x + b, 0, inputs.reshape(-1), out=_flat(memory.A))
    else:
        torch.addmm(b, _flat(inputs), W_x, out=_flat(memory.A))
    W_zr = torch.cat([W_hz, W_hr], dim=1)  # (num_hiddens, 2 * num_hiddens)
    memory.Hs[0] = H
    for H_prev, H, H_tilde, Z, R, ZR, N in memory.steps:
        ZR.addmm_(H_prev, W_zr).sigmoid_()
        if b_hn:
            torch.addmm(b_hn[0], H_prev, W_hh, out=N)
            H_tilde.addcmul_(R, N).tanh_()
        else:
            torch.mul(R, H_prev, out=N)
            H_tilde.addmm_(N, W_hh).tanh_()
        torch.lerp(H_tilde, H_prev, Z, out=H)  # Z * H_prev + (1 - Z) * H_tilde
    outputs = torch.addmm(b_q, _flat(memory.Hs[1:]), W_hq)
    return outputs, H.clone(), (key, memory)


def _fast_backward(doutputs, dH_last, inputs, forward, params, wants_dinputs):
    """The gradients with respect to the inputs (or ``None``), the first state, the parameters.

    ``dA`` is filled with the derivatives of the activations first, at all steps at once; the loop
    multiplies them by what comes back.
    """
    W_xz, W_hz, _, W_xr, W_hr, _, W_xh, W_hh, _, W_hq, _, *b_hn = params
    V, n = W_xz.shape
    key, memory = _kept.take(_BackwardMemory, W_hh, *inputs.shape[:2], n, bool(b_hn))
    Hs, Ns, H_tildes, Zs, Rs = (getattr(forward, x) for x in ("Hs", "Ns", "H_tildes", "Zs", "Rs"))
    dA_hs, dA_zs, dA_rs, dHs = memory.dA_hs, memory.dA_zs, memory.dA_rs, memory.dHs
    sigmoid_backward = torch.ops.aten.sigmoid_backward
    torch.sub(Zs.new_ones(()), Zs, out=dA_hs)
    torch.ops.aten.tanh_backward(dA_hs, H_tildes, grad_input=dA_hs)  # (1 - Z) (1 - H_tilde²)
    torch.sub(Hs[:-1], H_tildes, out=dA_zs)
    sigmoid_backward(dA_zs, Zs, grad_input=dA_zs)  # (H_prev - H_tilde) Z (1 - Z)
    sigmoid_backward(Ns if b_hn else Hs[:-1], Rs, grad_input=dA_rs)  # N or H_prev, R (1 - R)
    dHs[0] = 0
    torch.mm(doutputs, W_hq.T, out=_flat(dHs[1:]))
    dH, dRH = memory.D.chunk(2, dim=1)  # (batch_size, num_hiddens) each
    torch.add(dHs[-1], dH_last, out=dH)
    W_zr = torch.cat([W_hz, W_hr], dim=1)  # (num_hiddens, 2 * num_hiddens)
    for (_, _, _, Z, R, _, _), (dA_h, dA_z, dA_r, dA_zr, dY, *dN) in zip(
        reversed(forward.steps), reversed(memory.steps), strict=True
    ):
        dA_h.mul_(dH)
        if b_hn:
            dA_z.mul_(dH)
            dA_r.mul_(dA_h)
            torch.mul(dA_h, R, out=dN[0])
            torch.addcmul(dY, dH, Z, out=dH).addmm_(dN[0], W_hh.T)
        else:
            torch.mm(dA_h, W_hh.T, out=dRH)
            dA_zr.mul_(memory.D)  # dA_z by dH and dA_r by dRH
            torch.addcmul(dY, dH, Z, out=dH).addcmul_(dRH, R)
        dH.addmm_(dA_zr, W_zr.T)
    dA = _flat(memory.dA)  # (num_steps * batch_size, 3 * num_hiddens)
    dW_hz, dW_hr = (_flat(Hs[:-1]).T @ dA[:, n:]).chunk(2, dim=1)
    if b_hn:
        dW_hh, db_hn = _flat(Hs[:-1]).T @ _flat(memory.dNs[0]), [_flat(memory.dNs[0]).sum(dim=0)]
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
    dH = dH.clone()
    _kept.give(key, memory)
    dparams = [dW_xz, dW_hz, db_z, dW_xr, dW_hr, db_r, dW_xh, dW_hh, db_h, dW_hq, db_q, *db_hn]
    return dinputs, dH, dparams


class GRUFunction(torch.autograd.Function):
    """``gru`` with the backward pass written by hand: ``apply(inputs, H, *params)``.

    Takes 11 parameters (reset before the product) or 12 (after it, ``b_hn`` the last), and dense
    inputs or token ids, time first; returns the outputs and the last H. It checks nothing: call
    ``fast_gru``.

    The memory that the forward pass fills is given back at the end of the backward pass; a second
    pass through a graph that was kept runs forward once more. Where the gradients themselves are
    to be differentiated (``create_graph=True``), autograd goes through ``gru_switched`` instead.
    """

    @staticmethod
    def forward(ctx, inputs, H, *params):
        """The outputs and the last H; keeps the memory with all that was computed."""
        outputs, H_last, filled = _fast_forward(inputs, H, params)
        ctx.save_for_backward(inputs, H, *params)
        ctx.filled = [filled]
        return outputs, H_last

    @staticmethod
    def backward(ctx, doutputs, dH_last):
        """The gradients with respect to inputs, H and each parameter."""
        if torch.is_grad_enabled():
            return _backward_by_autograd(ctx.needs_input_grad, ctx.saved_tensors, doutputs, dH_last)
        inputs, H, *params = ctx.saved_tensors
        key, forward = ctx.filled.pop() if ctx.filled else _fast_forward(inputs, H, params)[-1]
        dinputs, dH, dparams = _fast_backward(
            doutputs, dH_last, inputs, forward, params, ctx.needs_input_grad[0]
        )
        _kept.give(key, forward)
        return dinputs, dH, *dparams


def _backward_by_autograd(needed, arguments, doutputs, dH_last):
    """What ``GRUFunction.backward`` returns, as a graph that can be differentiated again."""
    # views, so that arguments that depend on each other are told apart
    inputs, H, *params = views = [argument.view_as(argument) for argument in arguments]
    if inputs.dim() == 2:
        inputs = F.one_hot(inputs.long(), len(params[0])).to(H.dtype)
    reset = "after" if len(params) == 12 else "before"
    outputs, (H_last,) = gru_switched(inputs, (H,), params, reset=reset)
    wanted = [view for view, need in zip(views, needed, strict=True) if need]
    grads = torch.autograd.grad((outputs, H_last), wanted, (doutputs, dH_last), create_graph=True)
    found = iter(grads)
    return tuple(next(found) if need else None for need in needed)


def fast_gru(inputs, state, params):
    """``gru``, some times faster: the same arguments, results and errors.

    ``inputs`` may also be token ids ``(num_steps, batch_size)``, which is faster again. With the
    twelfth parameter ``b_hn`` it is ``gru_switched(..., reset="after")``. Gradients of any order,
    with respect to inputs, state and parameters, as under autograd. A thread keeps the memory of
    its last calls for the next one; ``free_memory`` gives it back. Raises ``ValueError`` naming
    what does not fit in shape, type or device.
    """
    check_gru_inputs(inputs, state, params)
    if torch.is_grad_enabled() and any(x.requires_grad for x in (inputs, *state, *params)):
        outputs, H = GRUFunction.apply(inputs, *state, *params)
    else:
        outputs, H, filled = _fast_forward(inputs, *state, params)
        _kept.give(*filled)
    return outputs, (H,)


class GRU(nn.Module):
    """A language model around ``fast_gru``, used as ``RNNModel`` and ``RNNModelScratch`` are.

    ``model(X, state)`` takes token ids ``(batch_size, num_steps)``, or vectors ``(batch_size,
    num_steps, vocab_size)``, and a state ``(H,)``, H ``(batch_size, num_hiddens)``; it returns the
    logits ``(num_steps * batch_size, vocab_size)``, all rows of step 0 first, and the new state.
    ``params`` lists its parameters in the order of ``get_params``.
    """

    def __init__(
        self, vocab_size, num_hiddens, reset="before", params=None, device=None, dtype=None
    ):
        """Make the parameters, or copy ``params``.

        ``reset`` is ``"before"`` (the taught equations, 11 parameters) or ``"after"`` (those of
        ``nn.GRU``, 12). New parameters are drawn as ``nn.GRU`` draws its own, from U(-a, a) with
        a = 1 / sqrt(num_hiddens). Raises ``ValueError`` for sizes below 1, another ``reset``, and
        ``params`` that do not fit.
        """
        super().__init__()
        check_size("vocab_size", vocab_size)
        check_size("num_hiddens", num_hiddens)
        self.vocab_size, self.num_hiddens, self.reset = vocab_size, num_hiddens, reset
        shapes = gru_param_shapes(vocab_size, num_hiddens)
        if reset == "after":
            shapes["b_hn"] = (num_hiddens,)
        check_reset(reset, shapes if params is None else params)
        if params is None:
            bound = 1 / math.sqrt(num_hiddens)
            params = [
                torch.empty(shape, device=device, dtype=dtype).uniform_(-bound, bound)
                for shape in shapes.values()
            ]
        check_gru_params(params)
        if tuple(params[0].shape) != (vocab_size, num_hiddens):
            raise ValueError(
                f"W_xz has shape {tuple(params[0].shape)}; expected ({vocab_size}, {num_hiddens}), "
                "which is (vocab_size, num_hiddens)."
            )
        for name, param in zip(shapes, params, strict=True):
            copy = param.detach().to(device=device, dtype=dtype, copy=True).contiguous()
            self.register_parameter(name, nn.Parameter(copy))

    @property
    def params(self):
        """The 11 or 12 parameters, as ``gru`` or ``gru_switched`` takes them."""
        return list(self.parameters())

    def forward(self, X, state):
        """Logits and the new state; see the class. Raises ``ValueError`` for what does not fit."""
        if X.dim() not in (2, 3) or (X.dim() == 2 and X.dtype.is_floating_point):
            check_token_ids(X, self.vocab_size)
        return fast_gru(X.transpose(0, 1), state, self.params)

    def begin_state(self, batch_size, device):
        """The state before the first step: ``(H,)``, zeros of the parameters' type."""
        check_size("batch_size", batch_size)
        return (torch.zeros((batch_size, self.num_hiddens), device=device, dtype=self.W_xz.dtype),)

    def extra_repr(self):
        """What stands between the brackets of ``print(model)``."""
        return f"{self.vocab_size}, {self.num_hiddens}, reset={self.reset!r}"
