"""Small float64 tensors to try functions on, always the same, from generators of their own."""

from __future__ import annotations

import torch
from torch import Tensor


def drawn(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    """Normal numbers from a generator of their own."""
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def nine(num_inputs: int, num_hiddens: int, seed: int) -> list[Tensor]:
    """The parameters of a step, with weights and biases large enough to tell forms apart."""
    shapes = [(num_inputs, num_hiddens), (num_hiddens, num_hiddens), (num_hiddens,)] * 3
    return [drawn(*shape, seed=seed + place) for place, shape in enumerate(shapes)]
