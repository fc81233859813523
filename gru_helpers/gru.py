"""The gated recurrent unit, written as it is taught.

The bodies of the functions in the first half are the same code, statement by statement, as the
definitions in notebooks 02 and 03 (a test holds them together); the decorators only add checks
with clear messages. Equations: Cho et al. 2014 (arXiv:1406.1078), in the notation of Zhang et
al., *Dive into Deep Learning*, chapter "Gated Recurrent Units"::

    Z_t       = sigmoid(X_t W_xz + H_{t-1} W_hz + b_z)            update gate
    R_t       = sigmoid(X_t W_xr + H_{t-1} W_hr + b_r)            reset gate
    H_tilde_t = tanh(X_t W_xh + (R_t * H_{t-1}) W_hh + b_h)       candidate hidden state
    H_t       = Z_t * H_{t-1} + (1 - Z_t) * H_tilde_t             hidden state
"""

from __future__ import annotations

import functools
import inspect

import torch

PARAM_NAMES = (
    *("W_xz", "W_hz", "b_z"),
    *("W_xr", "W_hr", "b_r"),
    *("W_xh", "W_hh", "b_h"),
    *("W_hq", "b_q"),
)


def check_size(name: str, value) -> None:
    """Raise ``ValueError`` unless ``value`` is a whole number of 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}={value!r} is not a size: give a whole number of 1 or more.")


def gru_param_shapes(vocab_size: int, num_hiddens: int) -> dict[str, tuple[int, ...]]:
    """The shape of each of the eleven parameters, by name, in the order of ``get_params``."""
    v, h = vocab_size, num_hiddens
    shapes = [(v, h), (h, h), (h,)] * 3 + [(h, v), (v,)]
    return dict(zip(PARAM_NAMES, shapes, strict=True))


def check_gru_params(params) -> None:
    """Raise ``ValueError`` naming the first parameter whose shape does not fit the others.

    ``params`` is the list of ``get_params``: 11 tensors, or 12 with ``b_hn`` at the end (the
    second candidate bias of the reset-after form, see ``gru_switched``). The sizes are read from
    ``W_xz``, of shape ``(vocab_size, num_hiddens)``.
    """
    params = list(params)
    if len(params) not in (11, 12):
        raise ValueError(
            f"{len(params)} parameters were given, and a GRU with its output layer has 11, in "
            f"this order: {', '.join(PARAM_NAMES)}."
        )
    if params[0].dim() != 2:
        raise ValueError(
            f"W_xz has shape {tuple(params[0].shape)}; expected (vocab_size, num_hiddens)."
        )
    shapes = gru_param_shapes(*params[0].shape)
    if len(params) == 12:
        shapes["b_hn"] = (params[0].shape[1],)
    for (name, shape), param in zip(shapes.items(), params, strict=True):
        if tuple(param.shape) != shape:
            raise ValueError(
                f"{name} has shape {tuple(param.shape)}; expected {shape}, since W_xz is "
                f"{tuple(params[0].shape)}. Check its size and its place in the list."
            )


def check_gru_state(state, batch_size: int, num_hiddens: int) -> None:
    """Raise ``ValueError`` unless ``state`` is ``(H,)``, H ``(batch_size, num_hiddens)``."""
    if not isinstance(state, (tuple, list)) or len(state) != 1:
        raise ValueError(
            f"The state is a {type(state).__name__}; expected a tuple (H,) with one tensor, as "
            "init_gru_state returns it."
        )
    if tuple(state[0].shape) != (batch_size, num_hiddens):
        raise ValueError(
            f"The state H has shape {tuple(state[0].shape)}; expected ({batch_size}, "
            f"{num_hiddens}), which is (batch_size, num_hiddens). Make one with init_gru_state."
        )


def check_reset(reset, params) -> None:
    """Raise ``ValueError`` unless ``reset`` is known and ``params`` are as many as it takes."""
    if reset not in ("before", "after"):
        raise ValueError(f"reset={reset!r} is not known: use 'before' or 'after'.")
    if (reset == "after") != (len(params) == 12):
        raise ValueError(
            f"reset={reset!r} was given {len(params)} parameters: 'before' takes the 11 of "
            "get_params, 'after' takes those and b_hn."
        )


def _checks_sizes(function):
    """Check the arguments whose names end in ``_size`` or ``_hiddens`` before the call."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(*args, **kwargs):
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if name.endswith(("_size", "_hiddens")):
                check_size(name, value)
        return function(*args, **kwargs)

    return checked


def _checks_shapes(function):
    """Check inputs, state and parameters of a GRU's forward function before the call."""
    takes_b_hn = "reset" in inspect.signature(function).parameters

    @functools.wraps(function)
    def checked(inputs, state, params, *args, **kwargs):
        check_gru_params(params)
        if len(params) == 12 and not takes_b_hn:
            raise ValueError(
                "12 parameters were given, and gru takes the 11 of get_params: leave b_hn out, or "
                "call gru_switched with reset='after'."
            )
        vocab_size, num_hiddens = params[0].shape
        if inputs.dim() != 3 or inputs.shape[-1] != vocab_size:
            raise ValueError(
                f"The inputs have shape {tuple(inputs.shape)}; expected (num_steps, batch_size, "
                f"{vocab_size}): one-hot vectors, time first."
            )
        check_gru_state(state, inputs.shape[1], num_hiddens)
        return function(inputs, state, params, *args, **kwargs)

    return checked


def _checks_switches(function):
    """Check the two switches of ``gru_switched`` against each other and the parameters."""

    @functools.wraps(function)
    def checked(inputs, state, params, z_means="keep", reset="before"):
        if z_means not in ("keep", "write"):
            raise ValueError(f"z_means={z_means!r} is not known: use 'keep' or 'write'.")
        check_reset(reset, params)
        return function(inputs, state, params, z_means, reset)

    return checked


# --- as taught in notebook 02 ----------------------------------------------------------------


@_checks_sizes
def get_params(vocab_size, num_hiddens, device):
    """The eleven parameters of a GRU language model, as leaf tensors that require gradients.

    Returns the list ``W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q``: weights
    drawn from N(0, 0.01²), biases zero. ``W_x*`` are ``(vocab_size, num_hiddens)``, ``W_h*``
    ``(num_hiddens, num_hiddens)``, ``W_hq`` ``(num_hiddens, vocab_size)``, biases as wide as what
    they are added to. Raises ``ValueError`` for sizes below 1.
    """
    num_inputs = num_outputs = vocab_size

    def normal(shape):
        return torch.randn(size=shape, device=device) * 0.01

    def three():
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


# --- as taught in notebook 03 ----------------------------------------------------------------


@_checks_sizes
def init_gru_state(batch_size, num_hiddens, device):
    """The state before the first step: ``(H,)``, H of zeros, ``(batch_size, num_hiddens)``."""
    return (torch.zeros((batch_size, num_hiddens), device=device),)


@_checks_shapes
def gru(inputs, state, params):
    """Run the GRU over a minibatch of one-hot sequences, and its output layer at every step.

    ``inputs`` is ``(num_steps, batch_size, vocab_size)``, ``state`` is ``(H,)`` with H
    ``(batch_size, num_hiddens)``, ``params`` as from ``get_params``. Returns the logits
    ``(num_steps * batch_size, vocab_size)``, all rows of step 0 first, and the new ``(H,)``.
    Raises ``ValueError`` naming the state or the parameter whose shape does not fit.
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


# --- as taught in notebook 05 ----------------------------------------------------------------


@_checks_switches
@_checks_shapes
def gru_switched(inputs, state, params, z_means="keep", reset="before"):
    """``gru`` with two switches, for the four ways in which GRUs are written.

    ``z_means="keep"``: Z = 1 keeps the old state (Cho et al. 2014, PyTorch). ``"write"``: Z = 1
    writes the candidate (Chung et al. 2014, arXiv:1412.3555). ``reset="before"``: R multiplies
    the state before the matrix product. ``"after"``: it multiplies the product and its bias, as
    ``torch.nn.GRU`` does (see its documentation); ``params`` then has a twelfth tensor ``b_hn``,
    ``(num_hiddens,)``. Shapes and errors as for ``gru``.
    """
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q, *b_hn = params
    (H,) = state
    outputs = []
    for X in inputs:  # (batch_size, vocab_size)
        Z = torch.sigmoid(X @ W_xz + H @ W_hz + b_z)  # (batch_size, num_hiddens)
        R = torch.sigmoid(X @ W_xr + H @ W_hr + b_r)  # (batch_size, num_hiddens)
        if reset == "before":
            H_tilde = torch.tanh(X @ W_xh + (R * H) @ W_hh + b_h)  # (batch_size, num_hiddens)
        else:
            H_tilde = torch.tanh(X @ W_xh + R * (H @ W_hh + b_hn[0]) + b_h)
        keep = Z if z_means == "keep" else 1 - Z  # (batch_size, num_hiddens)
        H = keep * H + (1 - keep) * H_tilde  # (batch_size, num_hiddens)
        outputs.append(H @ W_hq + b_q)  # (batch_size, vocab_size)
    return torch.cat(outputs, dim=0), (H,)
