"""One clear sentence for each wrong argument: what was expected, and what was given.

``checked_by`` puts a check in front of a function, so that a taught function shows what it teaches.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
from collections.abc import Callable, Sequence, Sized
from typing import Any, TypeGuard, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.types import Device

F = TypeVar("F", bound=Callable[..., Any])

PARAM_NAMES = (
    *("W_xz", "W_hz", "b_z"),
    *("W_xr", "W_hr", "b_r"),
    *("W_xh", "W_hh", "b_h"),
    *("W_hq", "b_q"),
)


class CorpusError(ValueError):
    """A text that is missing, damaged, or too short for the minibatches asked of it."""


def checked_by(check: Callable[..., None], **fixed: object) -> Callable[[F], F]:
    """Call ``check`` before a function, with those of its arguments that ``check`` names.

    ``fixed`` are further arguments of ``check``. A call that lacks an argument is left to the
    function, which says so.
    """
    named = inspect.signature(check).parameters

    def decorate(function: F) -> F:
        places = [
            (place, name, parameter.default)
            for place, (name, parameter) in enumerate(
                inspect.signature(function).parameters.items()
            )
            if name in named
        ]

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            given = {
                name: args[place] if place < len(args) else kwargs.get(name, default)
                for place, name, default in places
            }
            if not any(value is inspect.Parameter.empty for value in given.values()):
                check(**given, **fixed)
            return function(*args, **kwargs)

        return cast("F", checked)

    return decorate


def _is_int(value: object) -> TypeGuard[int]:
    """Whether ``value`` is an integer, numpy's among them, and no truth value."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_positive_int(name: str, value: object) -> None:
    """Refuse anything but an integer of 1 or more."""
    if not _is_int(value) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}.")


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Refuse anything but one of ``choices``."""
    if value not in choices:
        listed = ", ".join(map(repr, choices))
        raise ValueError(f"{name} must be one of {listed}, got {value!r:.60}.")


def check_device(device: Device) -> None:
    """Refuse a device that this computer, or this build of PyTorch, lacks."""
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError, TypeError):
        raise ValueError(
            "device must be one that PyTorch finds on this computer, such as 'cpu' or what "
            f"try_gpu() returns, got {device!r:.60}."
        ) from None


# --- sizes --------------------------------------------------------------------------------------


def check_state_sizes(batch_size: int, num_hiddens: int, device: Device) -> None:
    """Refuse sizes below 1, and a device that there is not."""
    check_positive_int("batch_size", batch_size)
    check_positive_int("num_hiddens", num_hiddens)
    check_device(device)


def check_model_sizes(vocab_size: int, num_hiddens: int, device: Device) -> None:
    """Refuse sizes below 1, and a device that there is not."""
    check_positive_int("vocab_size", vocab_size)
    check_positive_int("num_hiddens", num_hiddens)
    check_device(device)


def check_batch(batch_size: int, device: Device) -> None:
    """Refuse a size below 1, and a device that there is not."""
    check_positive_int("batch_size", batch_size)
    check_device(device)


def check_model(model: object, device: Device = None) -> None:
    """Refuse what is no language model, and a device that there is not."""
    if not isinstance(model, nn.Module) or not _is_int(getattr(model, "vocab_size", None)):
        raise ValueError(
            "model must be a language model with a vocab_size, such as RNNModelScratch or "
            f"RNNModel, got {'None' if model is None else type(model).__name__}."
        )
    check_device(device)


def check_vocab(vocab: Sized, model: Any) -> None:
    """Refuse a vocabulary of another size than the model's ``vocab_size``."""
    if len(vocab) != model.vocab_size:
        raise ValueError(
            f"The vocabulary has {len(vocab)} tokens and the model {model.vocab_size}: use the "
            "vocabulary that the model was made for."
        )


def is_transformed() -> bool:
    """Whether ``torch.func`` or ``torch.export`` is at work, where no value can be looked at."""
    exporting = getattr(torch.compiler, "is_exporting", bool)  # PyTorch 2.4 lacks it
    return torch._C._are_functorch_transforms_active() or exporting()


def check_token_ids(X: Tensor, vocab_size: int) -> None:
    """Refuse anything but existing token ids, integers of shape ``(batch_size, num_steps)``.

    Whether they exist is not seen while the call is transformed.
    """
    if X.dim() != 2 or 0 in X.shape or X.dtype.is_floating_point or X.dtype == torch.bool:
        raise ValueError(
            "X must hold integer token ids of shape (batch_size, num_steps), got shape "
            f"{tuple(X.shape)} and type {X.dtype}."
        )
    if is_transformed():
        return
    lowest, highest = (int(bound) for bound in X.long().aminmax())
    if lowest < 0 or highest >= vocab_size:
        raise ValueError(
            f"Token ids must lie between 0 and {vocab_size - 1}, got "
            f"{lowest if lowest < 0 else highest}: was X made with another vocabulary?"
        )


def check_numbers(X: Tensor, shape: Sequence[int | None]) -> None:
    """Refuse anything but finite numbers of this shape, whose ``None`` may be any size but 0."""
    fits = isinstance(X, Tensor) and X.dtype.is_floating_point and X.dim() == len(shape)
    if not fits or not all(
        n and wanted in (None, n) for n, wanted in zip(X.shape, shape, strict=True)
    ):
        words = ", ".join("any" if size is None else str(size) for size in shape)
        found = f"{X.dtype} {tuple(X.shape)}" if isinstance(X, Tensor) else f"{X!r:.60}"
        raise ValueError(f"X must hold floating-point numbers of shape ({words}), got {found}.")
    if not bool(X.isfinite().all()):
        raise ValueError("X must hold finite numbers, got some that are infinite or nan.")


# --- minibatches --------------------------------------------------------------------------------


def check_sampling(
    corpus: Sequence[int] | Tensor,
    batch_size: int,
    num_steps: int,
    offset: int | None,
    use_random_iter: bool,
) -> None:
    """Refuse an offset that no epoch draws, and sizes that leave no minibatch at any offset."""
    check_positive_int("batch_size", batch_size)
    check_positive_int("num_steps", num_steps)
    most = num_steps - use_random_iter
    if offset is not None and not (_is_int(offset) and 0 <= offset <= most):
        raise ValueError(
            f"offset must be an integer from 0 to {most} (num_steps={num_steps}), or None, got "
            f"{offset!r}."
        )
    n = len(corpus)
    if use_random_iter:
        fits = (n - num_steps) // num_steps >= batch_size
        most_rows, most_steps = (n - num_steps) // num_steps, n // (batch_size + 1)
    else:
        fits = (n - 1 - num_steps) // batch_size >= num_steps
        most_rows, most_steps = (n - 1 - num_steps) // num_steps, (n - 1) // (batch_size + 1)
    if not fits:
        ways = [f"batch_size={most_rows}"] if most_rows >= 1 else []
        ways += [f"num_steps={most_steps}"] if most_steps >= 1 else []
        advice = f"the largest that fits is {' or '.join(ways)}" if ways else "use a longer text"
        raise CorpusError(
            f"batch_size={batch_size} with num_steps={num_steps} is too large for a text of "
            f"{n:,} tokens: {advice}."
        )


def check_max_tokens(max_tokens: int) -> None:
    """Refuse anything but a number of tokens, or -1 for all of them."""
    if not _is_int(max_tokens) or (max_tokens < 1 and max_tokens != -1):
        raise ValueError(
            f"max_tokens must be a positive integer, or -1 for all, got {max_tokens!r}."
        )


def check_ngram(
    train_ids: Sequence[int] | Tensor, test_ids: Sequence[int] | Tensor, n: int, num_tokens: int
) -> None:
    """Refuse sizes below 1, texts that are too short, and ids that ``num_tokens`` excludes."""
    check_positive_int("n", n)
    check_positive_int("num_tokens", num_tokens)
    for name, ids, least in (("train_ids", train_ids, n), ("test_ids", test_ids, 2)):
        if len(ids) < least:
            raise ValueError(f"{name} must have at least {least} tokens, got {len(ids)}.")
        lowest, highest = int(min(ids)), int(max(ids))
        if lowest < 0 or highest >= num_tokens:
            raise ValueError(
                f"{name} must lie between 0 and {num_tokens - 1}, got "
                f"{lowest if lowest < 0 else highest}: give ids of the vocabulary."
            )


def check_scored(logits: Tensor, labels: Tensor) -> None:
    """Refuse anything but finite logits ``(n, vocab_size)`` and n labels."""
    if logits.dim() != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ValueError(
            "logits must have shape (n, vocab_size) and labels (n,), with n of 1 or more, got "
            f"{tuple(logits.shape)} and {tuple(labels.shape)}."
        )
    if not bool(logits.isfinite().all()):
        raise ValueError(
            "The model's scores are not finite numbers: its training went wrong, so load or train "
            "another."
        )


# --- a GRU's parameters, state and inputs -------------------------------------------------------


def gru_param_shapes(vocab_size: int, num_hiddens: int) -> dict[str, tuple[int, ...]]:
    """The shape of each of the eleven parameters, by name, in the order of ``get_params``."""
    v, h = vocab_size, num_hiddens
    shapes: list[tuple[int, ...]] = [(v, h), (h, h), (h,)] * 3 + [(h, v), (v,)]
    return dict(zip(PARAM_NAMES, shapes, strict=True))


def check_gru_params(params: Sequence[Tensor]) -> None:
    """Refuse a list whose shapes do not fit each other, naming the first that is wrong.

    ``params`` are the 11 of ``get_params``, or 12 with ``b_hn`` at the end. The sizes are read
    from ``W_xz``, of shape ``(vocab_size, num_hiddens)``.
    """
    if len(params) not in (11, 12):
        raise ValueError(
            f"params must be the 11 tensors {', '.join(PARAM_NAMES)}, or 12 with b_hn at the end, "
            f"got {len(params)}."
        )
    W_xz = params[0]
    if W_xz.dim() != 2:
        raise ValueError(
            f"W_xz must have shape (vocab_size, num_hiddens), got {tuple(W_xz.shape)}."
        )
    shapes = gru_param_shapes(*W_xz.shape) | {"b_hn": (W_xz.shape[1],)}
    for (name, shape), param in zip(shapes.items(), params, strict=False):
        if tuple(param.shape) != shape:
            raise ValueError(
                f"{name} must have shape {shape}, since W_xz is {tuple(W_xz.shape)}, got "
                f"{tuple(param.shape)}: check its size and its place in the list."
            )


def check_one_state(state: object) -> None:
    """Refuse anything but a tuple or list of one."""
    if not isinstance(state, (tuple, list)) or len(state) != 1:
        size = f" of {len(state)}" if isinstance(state, (tuple, list)) else ""
        raise ValueError(
            "The state must be a tuple (H,) of one tensor, as init_gru_state returns it, got "
            f"{type(state).__name__}{size}."
        )


def check_gru_state(state: Sequence[Tensor], batch_size: int, num_hiddens: int) -> None:
    """Refuse anything but ``(H,)`` with H ``(batch_size, num_hiddens)``."""
    check_one_state(state)
    if tuple(state[0].shape) != (batch_size, num_hiddens):
        raise ValueError(
            f"The state H must have shape ({batch_size}, {num_hiddens}), which is (batch_size, "
            f"num_hiddens), got {tuple(state[0].shape)}: make one with init_gru_state."
        )


def check_reset_after(reset_after: bool, params: Sequence[object]) -> None:
    """Refuse a number of parameters that does not belong to the form of the reset gate."""
    check_choice("reset_after", reset_after, (False, True))
    if reset_after != (len(params) == 12):
        raise ValueError(
            f"params must be {'12 tensors, b_hn the last' if reset_after else '11 tensors'}, with "
            f"reset_after={reset_after}, got {len(params)}."
        )


def check_gru_call(
    inputs: Tensor, state: Sequence[Tensor], params: Sequence[Tensor], ids: bool = False
) -> None:
    """Refuse inputs, state and parameters that do not fit in shape, type or device.

    ``inputs`` are ``(num_steps, batch_size, vocab_size)``; with ``ids`` they may also be integer
    token ids ``(num_steps, batch_size)``.
    """
    check_gru_params(params)
    W_xz = params[0]
    vocab_size, num_hiddens = W_xz.shape
    dense = inputs.dim() == 3
    is_integer = not inputs.dtype.is_floating_point and inputs.dtype != torch.bool
    if inputs.dim() == 2 and is_integer:
        if not ids:
            raise ValueError(
                "The inputs must be one-hot vectors, got token ids of shape "
                f"{tuple(inputs.shape)}: encode them with torch.nn.functional.one_hot."
            )
        if inputs.device != W_xz.device:
            raise ValueError(
                f"The inputs must be on {W_xz.device}, as W_xz is, got {inputs.device}: move them "
                "with .to(W_xz.device)."
            )
        check_token_ids(inputs, vocab_size)
    elif not dense or inputs.shape[-1] != vocab_size:
        raise ValueError(
            f"The inputs must have shape (num_steps, batch_size, {vocab_size}), time first"
            f"{', or be integer token ids (num_steps, batch_size)' if ids else ''}, got shape "
            f"{tuple(inputs.shape)} and type {inputs.dtype}."
        )
    if inputs.shape[0] == 0:
        raise ValueError("The inputs must have at least one step, got 0.")
    check_gru_state(state, inputs.shape[1], num_hiddens)
    tensors = {"The state H": state[0]} | ({"The inputs": inputs} if dense else {})
    tensors |= dict(zip((*PARAM_NAMES, "b_hn"), params, strict=False))
    for name, tensor in tensors.items():
        if tensor.dtype != W_xz.dtype or tensor.device != W_xz.device:
            raise ValueError(
                f"{name} must be {W_xz.dtype} on {W_xz.device}, as W_xz is, got {tensor.dtype} on "
                f"{tensor.device}: convert with .to(W_xz)."
            )


def check_gru(inputs: Tensor, state: Sequence[Tensor], params: Sequence[Tensor]) -> None:
    """The check of ``gru``."""
    if len(params) == 12:
        raise ValueError(
            "params must be the 11 tensors of get_params, got 12: leave b_hn out, or call "
            "gru_switched with reset_after=True."
        )
    check_gru_call(inputs, state, params)


def check_gru_step(X: Tensor, H: Tensor, params: Sequence[Tensor], reset_after: bool) -> None:
    """The check of ``gru_step``, which is called at every step and must be quick."""
    if len(params) < 9:
        raise ValueError(
            f"params must be at least the 9 tensors {', '.join(PARAM_NAMES[:9])}, got "
            f"{len(params)}."
        )
    if reset_after and len(params) not in (10, 12):
        raise ValueError(
            "params must be 10 or 12 tensors, b_hn the last, with reset_after=True, got "
            f"{len(params)}."
        )
    if X.shape[-1] != params[0].shape[0] or H.shape[-1] != params[0].shape[1]:
        raise ValueError(
            f"X must end in {params[0].shape[0]} inputs and H in {params[0].shape[1]} units, since "
            f"W_xz is {tuple(params[0].shape)}, got {tuple(X.shape)} and {tuple(H.shape)}."
        )


def check_unroll(inputs: Tensor, state: Sequence[Tensor], params: Sequence[Tensor]) -> None:
    """The check of ``unroll``, whose parameters are those of any step."""
    if len(inputs) == 0:
        raise ValueError("The inputs must have at least one step, got 0.")
    check_one_state(state)
    if not 2 <= len(params) <= 12:
        raise ValueError(
            "params must be at most 11 tensors, the last two of them W_hq and b_q, or 12 with b_hn "
            f"at the end, got {len(params)}."
        )
    W_hq, b_q = params[:11][-2:]
    if W_hq.dim() != 2 or len(W_hq) != state[0].shape[-1] or b_q.shape != W_hq.shape[1:]:
        raise ValueError(
            "The last two of params must be the output layer, W_hq (num_hiddens, vocab_size) and "
            f"b_q (vocab_size,), got {tuple(W_hq.shape)} and {tuple(b_q.shape)}."
        )


def check_gru_switched(
    inputs: Tensor,
    state: Sequence[Tensor],
    params: Sequence[Tensor],
    z_keeps: bool,
    reset_after: bool,
) -> None:
    """The check of ``gru_switched`` and ``gru_forward``."""
    check_choice("z_keeps", z_keeps, (False, True))
    check_reset_after(reset_after, params)
    check_gru_call(inputs, state, params)


def check_gru_backward(
    doutputs: Tensor,
    dH: Tensor,
    saved: Sequence[tuple[Tensor, ...]],
    params: Sequence[Tensor],
    reset_after: bool,
) -> None:
    """The check of ``gru_backward``."""
    check_reset_after(reset_after, params)
    check_gru_params(params)
    if not saved:
        raise ValueError("saved must be the third result of gru_forward, got an empty list.")
    (batch_size, vocab_size), H_shape = saved[0][0].shape, tuple(saved[0][1].shape)
    rows = len(saved) * batch_size
    if tuple(doutputs.shape) != (rows, vocab_size):
        raise ValueError(
            f"doutputs must have shape ({rows}, {vocab_size}), as the outputs of gru_forward have, "
            f"got {tuple(doutputs.shape)}."
        )
    if tuple(dH.shape) != H_shape:
        raise ValueError(
            f"dH must have shape {H_shape}, as the state has, got {tuple(dH.shape)}: give zeros if "
            "the last state is not used."
        )


# --- training and generating --------------------------------------------------------------------


def check_text(name: str, text: object) -> None:
    """Refuse anything but a string."""
    if not isinstance(text, str):
        raise ValueError(f"The {name} must be a string, got {text!r:.60}.")


def check_training(num_epochs: int, lr: float, clip: float | None) -> None:
    """Refuse settings with which training cannot start."""
    check_positive_int("num_epochs", num_epochs)
    if not (isinstance(lr, numbers.Real) and 0 < lr < math.inf):
        raise ValueError(f"lr must be a positive number, got {lr!r}.")
    if clip is not None and not (isinstance(clip, numbers.Real) and clip > 0):
        raise ValueError(f"clip must be a positive number, or None, got {clip!r}.")


def check_count(name: str, value: object) -> None:
    """Refuse anything but an integer of 0 or more."""
    if not _is_int(value) or value < 0:
        raise ValueError(f"{name} must be a non-negative integer, got {value!r}.")


def check_temperature(temperature: float) -> None:
    """Refuse a temperature below 0."""
    if not (isinstance(temperature, numbers.Real) and temperature >= 0):
        raise ValueError(
            "temperature must be a number of 0 or more (0 takes the likeliest character), got "
            f"{temperature!r}."
        )
