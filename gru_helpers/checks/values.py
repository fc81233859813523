"""Answers in any clothes: numbers, lists, arrays and tensors, read as plain tensors."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

LARGEST = 2_000_000  # numbers in one answer; more are not read
ROUNDING = 1e-9  # of the tolerance itself: 1 - 0.99 is a little more than 0.01
MANY = 20_000  # things that are not plain numbers


class NotThisKind(Exception):
    """An answer that is not of the kind asked for; the message is a sentence about it."""


def called(answer: object) -> str:
    """What an answer is, in a word or two: "a str", "a tensor of shape (2, 3)"."""
    if isinstance(answer, (Tensor, np.ndarray)):
        what = "tensor" if isinstance(answer, Tensor) else "array"
        return f"a{'n' if what == 'array' else ''} {what} of shape {tuple(answer.shape)}"
    if isinstance(answer, (list, tuple, set, frozenset, dict)):
        return f"a {type(answer).__name__} of {len(answer)}"
    name = type(answer).__name__
    return f"a{'n' if name[:1] in 'aeiouAEIOU' else ''} {name}"


def as_tensor(answer: Any) -> Tensor | None:
    """A number, an array or a tensor as a tensor of its own; None for anything else."""
    if isinstance(answer, Tensor):
        plain = answer.detach().cpu()
        plain = plain.to_dense() if plain.layout is not torch.strided else plain
        if plain.is_complex():
            raise NotThisKind("It holds complex numbers.")
        return plain.double() if plain.is_floating_point() else plain.clone()
    if isinstance(answer, (bool, np.bool_)):
        return torch.tensor(bool(answer))
    if isinstance(answer, numbers.Integral) and abs(int(answer)) < 2**62:
        return torch.tensor(int(answer))
    if isinstance(answer, numbers.Real):
        return torch.tensor(float(answer), dtype=torch.float64)
    if isinstance(answer, np.ndarray) or hasattr(answer, "__array__"):
        array = np.array(answer)
        if array.dtype.kind not in "biuf":
            raise NotThisKind(f"It is {called(answer)}, and holds no real numbers.")
        return torch.as_tensor(array.astype(np.int64 if array.dtype.kind in "biu" else float))
    return None


def flattened(answer: Any, depth: int = 0) -> Iterator[Tensor]:
    """The tensors of an answer, in order; lists of numbers become one tensor each."""
    tensor = as_tensor(answer)
    if tensor is not None:
        yield tensor
        return
    if isinstance(answer, (str, bytes, set, frozenset)) or depth > 20:
        raise NotThisKind(f"It holds {called(answer)}, where numbers are expected.")
    if isinstance(answer, Mapping):
        answer = list(answer.values())
    elif isinstance(answer, Iterable):
        answer = list(itertools.islice(answer, LARGEST + 1))
    else:
        raise NotThisKind(f"It holds {called(answer)}, where numbers are expected.")
    if len(answer) > LARGEST:
        raise NotThisKind(f"It holds more than {LARGEST:,} numbers.")
    if answer and all(isinstance(part, (int, float, np.number)) for part in answer):
        yield torch.tensor(np.array(answer, dtype=float))
        return
    if len(answer) > MANY:
        raise NotThisKind(f"It is {called(answer)}, and not of numbers.")
    parts = [list(flattened(part, depth + 1)) for part in answer]
    single = bool(parts) and all(len(part) == 1 for part in parts)
    shapes = {part[0].shape for part in parts} if single else set()
    if len(shapes) == 1 and (depth or not parts[0][0].dim()):
        yield torch.stack([part[0].double() for part in parts])
    else:
        yield from itertools.chain.from_iterable(parts)


def read_numbers(answer: Any) -> list[Tensor]:
    """The tensors of an answer; ``NotThisKind`` if it holds anything but numbers."""
    try:
        return list(flattened(answer))
    except NotThisKind:
        raise
    except Exception:
        raise NotThisKind(f"It is {called(answer)}, and cannot be read as numbers.") from None


def matched(given: list[Tensor], right: list[Tensor]) -> list[Tensor]:
    """``given`` in the pieces of ``right``, where it is the same numbers in other pieces.

    Four numbers may come as one tensor or as four, a stack as a list; an axis of size 1 in front
    may be missing or in excess. Where nothing fits, ``given`` comes back as it is.
    """
    if len(given) != len(right):
        if len(given) == 1 and given[0].dim() and len(given[0]) == len(right):
            given = list(given[0])
        elif len(right) == 1 and right[0].dim() and len(right[0]) == len(given):
            shapes = {part.shape for part in given}
            if len(shapes) == 1:
                given = [torch.stack([part.double() for part in given])]
    if len(given) != len(right):
        return given
    return [
        one.reshape(other.shape) if squeezed(one) == squeezed(other) else one
        for one, other in zip(given, right, strict=True)
    ]


def squeezed(tensor: Tensor) -> tuple[int, ...]:
    """A tensor's shape without the axes of size 1 in front."""
    return tuple(itertools.dropwhile(lambda size: size == 1, tensor.shape))


def close(given: Tensor, right: Tensor, absolute: float, relative: float) -> Tensor:
    """Where two tensors of one shape agree; nan agrees with nothing."""
    one, other = given.double(), right.double()
    near = (one - other).abs() <= absolute + relative * other.abs() + ROUNDING
    return near | ((one == other) & one.isinf())
