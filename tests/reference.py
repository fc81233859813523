"""The GRU in numpy, float64, written from the equations: it shares no code with the package.

Parameters are dictionaries by name; where ``b_hn`` is among them, the reset gate multiplies the
product. Arrays may have further axes in front, which is how ``gradients`` changes every number
at once. At the end stands what the tests of the mathematics share.
"""

import re

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

NAMES = ("W_xz", "W_hz", "b_z", "W_xr", "W_hr", "b_r", "W_xh", "W_hh", "b_h", "W_hq", "b_q", "b_hn")


# --- one step, and all of them -----------------------------------------------------------------


def affine(x, W, b=0.0):
    """``y[j] = sum over i of x[i] * W[i, j], plus b[j]``, for each row of ``x``."""
    return np.einsum("...bi,...ij->...bj", x, W) + (b if np.isscalar(b) else b[..., None, :])


def sigmoid(a):
    """``1 / (1 + exp(-a))``, by way of tanh, which does not overflow."""
    return 0.5 * (1 + np.tanh(0.5 * a))


def clamped(clamps, gate, t, values):
    """``values`` at step ``t``, those of ``clamps`` (gate, value, units, start, stop) put in."""
    values, n = values.copy(), values.shape[-1]
    for which, value, units, start, stop in clamps:
        if which == gate and start <= t and (stop is None or t < stop):
            for unit in range(n) if units is None else units:
                values[..., unit] = np.broadcast_to(value, (n,))[unit]
    return values


def step(P, X, H, z_keeps=True, clamps=(), t=0):
    """Z, R, H_tilde and the new H, ``(batch_size, num_hiddens)`` each."""
    Z = sigmoid(affine(X, P["W_xz"], P["b_z"]) + affine(H, P["W_hz"]))
    R = sigmoid(affine(X, P["W_xr"], P["b_r"]) + affine(H, P["W_hr"]))
    Z, R = clamped(clamps, "Z", t, Z), clamped(clamps, "R", t, R)
    past = R * affine(H, P["W_hh"], P["b_hn"]) if "b_hn" in P else affine(R * H, P["W_hh"])
    H_tilde = clamped(clamps, "H_tilde", t, np.tanh(affine(X, P["W_xh"], P["b_h"]) + past))
    old, new = (Z, 1 - Z) if z_keeps else (1 - Z, Z)
    return Z, R, H_tilde, clamped(clamps, "H", t, old * H + new * H_tilde)


def run(P, inputs, H, z_keeps=True, clamps=()):
    """All steps: Z, R, H_tilde, H and the logits by name, ``(num_steps, batch_size, ...)``."""
    rows = []
    for t in range(inputs.shape[-3]):
        rows.append(step(P, inputs[..., t, :, :], H, z_keeps, clamps, t))
        H = rows[-1][-1]
    results = (np.stack(part, axis=-3) for part in zip(*rows, strict=True))
    found = dict(zip(("Z", "R", "H_tilde", "H"), results, strict=True))
    found["logits"] = np.stack([affine(row[-1], P["W_hq"], P["b_q"]) for row in rows], axis=-3)
    return found


def outputs(inputs, H, params, z_keeps=True):
    """What ``gru`` returns for tensors: logits with all rows of step 0 first, and the last H."""
    found = run(named(params), array(inputs), array(H), z_keeps)
    return found["logits"].reshape(-1, found["logits"].shape[-1]), found["H"][-1]


def softmax(logits):
    """Probabilities along the last axis."""
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


# --- n-grams, from the definitions --------------------------------------------------------------


def ngram(text, context, n, num_tokens, simple=False):
    """The chance of each token after ``context``, from interpolated Kneser-Ney, discount 0.75.

    Chen & Goodman 1998, equations 2.2 and 2.3 in words: each count is looked up in ``text`` anew.
    """
    context = context[len(context) - min(n - 1, len(context)) :] if n > 1 else []

    def occurrences(run):
        return [i for i in range(len(text)) if text[i : i + len(run)] == run and text[i:]]

    def count(run):
        if simple or len(run) == n:  # a shorter run at the very beginning has nothing before it
            places = [i for i in occurrences(run) if i >= n - len(run)]
            return len(places)
        before = {
            tuple(text[i - (n - len(run)) : i][-1:]) for i in occurrences(run) if i >= n - len(run)
        }
        return len(before)

    chances = [1 / num_tokens] * num_tokens
    for length in range(len(context) + 1):
        tail = context[len(context) - length :]
        counts = [count([*tail, token]) for token in range(num_tokens)]
        total = sum(counts)
        if total and simple:
            chances = [(c + 5 * p) / (total + 5) for c, p in zip(counts, chances, strict=True)]
        elif total:
            kinds = sum(c > 0 for c in counts)
            chances = [
                max(c - 0.75, 0) / total + 0.75 * kinds / total * p
                for c, p in zip(counts, chances, strict=True)
            ]
    return np.array(chances)


def cross_entropy(logits, labels, temperature=1.0):
    """The mean of -ln of what softmax(logits / temperature) gives to the labels."""
    shares = softmax(array(logits) / temperature)
    return -np.log(shares[np.arange(len(labels)), array(labels).astype(int)]).mean()


# --- gradients, by complex steps ----------------------------------------------------------------


def derivatives(function, *arrays):
    """The derivative of ``function(*arrays)`` by each number of ``arrays``, exact to rounding.

    In its own copy of ``arrays``, along a new first axis, each number gets an imaginary part e;
    that of the result, over e, is the derivative. Returns one array for each of ``arrays``, its
    numbers along the first axis.
    """
    flat, tiny = np.concatenate([a.ravel() for a in arrays]), 1e-30
    copies = flat + 1j * tiny * np.eye(flat.size)
    ends = np.cumsum([a.size for a in arrays])[:-1]
    parts = np.split(copies, ends, axis=1)
    moved = (p.reshape(-1, *a.shape) for p, a in zip(parts, arrays, strict=True))
    return np.split(function(*moved).imag / tiny, ends)


def gradients(leaves, doutputs, dH, z_keeps=True):
    """Those of ``sum(doutputs * outputs) + sum(dH * H)`` by inputs, first H and parameters."""
    arrays, dY, dH = [array(leaf) for leaf in leaves], array(doutputs), array(dH)

    def loss(inputs, H, *params):
        found = run(dict(zip(NAMES, params, strict=False)), inputs, H, z_keeps)
        from_outputs = found["logits"] * dY.reshape(found["logits"].shape[1:])
        from_state = found["H"][..., -1, :, :] * dH
        return from_outputs.sum(axis=(1, 2, 3)) + from_state.sum(axis=(1, 2))

    found = derivatives(loss, *arrays)
    return [slopes.reshape(a.shape) for slopes, a in zip(found, arrays, strict=True)]


def state_jacobian(P, X, H, **how):
    """``J[i, j]``, the derivative of unit i after one step by unit j before it; ``H`` is 1-D."""
    (columns,) = derivatives(lambda H: step(P, X[None], H[..., None, :], **how)[-1][..., 0, :], H)
    return columns.T


# --- what the tests share -----------------------------------------------------------------------

sizes = {
    "steps": st.integers(1, 6),
    "batch": st.integers(1, 4),
    "vocab": st.integers(1, 6),
    "hiddens": st.integers(1, 6),
    "scale": st.sampled_from([0.01, 0.3, 1.0, 5.0]),
    "seed": st.integers(0, 10_000),
}


def array(tensor):
    """The numbers of a tensor, float64."""
    return tensor.detach().numpy().astype(np.float64)


def named(params):
    """Parameters in the order of ``get_params`` (and ``b_hn``) by name."""
    return {name: array(param) for name, param in zip(NAMES, params, strict=False)}


def problem(seed, reset_after=False, steps=5, batch=3, vocab=4, hiddens=6, scale=0.7):
    """Inputs, a state and the parameters at random, float64, as one list."""
    rng = torch.Generator().manual_seed(seed)
    v, h = vocab, hiddens
    shapes = [(steps, batch, v), (batch, h), *[(v, h), (h, h), (h,)] * 3, (h, v), (v,)]
    shapes += [(h,)] if reset_after else []
    return [torch.randn(s, generator=rng, dtype=torch.float64) * scale for s in shapes]


def directions(results, seed=0):
    """A gradient at random for each of some results."""
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(r.shape, generator=rng, dtype=r.dtype) for r in results]


def agree(found, expected, tolerance=1e-12):
    """Assert that all are equal to their partners, relative to the partner's largest element."""
    for place, (a, b) in enumerate(zip(found, expected, strict=True)):
        a, b = (x if isinstance(x, np.ndarray) else array(x) for x in (a, b))
        assert a.shape == b.shape, place
        bound = tolerance * max(1.0, np.abs(b).max(initial=0))
        assert np.abs(a - b).max(initial=0) <= bound, (place, np.abs(a - b).max())


def refused(call, words):
    """Assert that ``call()`` raises a ``ValueError`` of one plain sentence that has ``words``."""
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        call()
    sentence = str(caught.value)
    assert sentence.endswith((".", "?"))
    assert "\n" not in sentence
    assert len(sentence) < 300


def refused_both_ways(function, works, changed, words):
    """``refused`` for arguments that work but for what is ``changed``: in order, and by name."""
    others = works | changed
    in_order = [others.pop(name) for name in works]
    refused(lambda: function(*in_order, **others), words)
    refused(lambda: function(**works | changed), words)
