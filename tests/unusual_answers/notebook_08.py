"""Right answers in other clothes, for the exercises of notebook 08."""

import functools
import math

import numpy as np
import torch


class Gate:
    """z and its bias in torch, by name."""

    def __call__(self, k, kept=0.5):
        z = torch.tensor(kept) ** (1 / k)
        return {"z": z, "b_z": torch.logit(z)}


def gate_without_z(k):
    """The bias from the odds; z from the bias."""
    b_z = -math.log(2 ** (1 / k) - 1)
    return [1 / (1 + math.exp(-b_z)), b_z]


def left_by_a_loop(Z, step):
    left = torch.ones(Z.shape[1], dtype=Z.dtype)
    for t in range(1, len(Z)):
        left *= 0.5 if t == step else Z[t]
    return left


def left_by_division(gates, open_step):
    return torch.exp(gates[1:].log().sum(0)) / gates[open_step] / 2


def left_in_numpy(Z, step):
    factors = np.where(np.arange(len(Z))[:, None] == step, np.float32(0.5), Z.numpy())
    return np.prod(factors[1:], axis=0)


def left_in_place(Z, step):
    Z = torch.clone(Z)
    Z[step] = 0.5
    return torch.cumprod(Z[1:], dim=0)[-1]


def keepers_by_power(Z, line):
    """Sorted by z, the highest first."""
    Z = Z[1:].reshape(-1, Z.shape[2])
    kept = Z.prod(dim=0) ** (1 / len(Z))
    order = kept.argsort(descending=True)
    return [int(unit) for unit in order if kept[unit] > line]


def batch_by_loop(batch_size):
    X = torch.zeros(batch_size, 100, 2)
    X[..., 0].uniform_()
    y = torch.zeros(batch_size, 1)
    for row in range(batch_size):
        for step in torch.randperm(10)[:2].tolist():
            X[row, step, 1] = 1
            y[row] += X[row, step, 0]
    return [X, y]


def a_mark_in_each_five(rows, num_steps=100):
    """One mark among steps 0 to 4, one among 5 to 9, in numpy and float64."""
    rng = np.random.default_rng(0)
    X = rng.random((rows, num_steps, 2))
    X[:, :, 1] = 0
    X[np.arange(rows), rng.integers(0, 5, rows), 1] = 1
    X[np.arange(rows), rng.integers(5, 10, rows), 1] = 1
    return X, np.einsum("bt,bt->b", X[..., 0], X[..., 1])[:, None]


UNUSUAL = {
    "08.1a": [
        Gate(),
        gate_without_z,
        functools.partial(Gate(), kept=0.5),
        lambda k: np.array([2 ** (-1 / k), np.log(1 / (2 ** (1 / k) - 1))]),
    ],
    "08.1b": [2.3, math.log(10), torch.tensor([2.31])],
    "08.2": [1e21, 2**70, np.float32(1.1e21), 0.5 ** (-70)],
    "08.3a": [left_by_a_loop, left_by_division, left_in_numpy, left_in_place],
    "08.3b": [{"correlation": 0.81, "error": 0.16}, (0.1573, 0.8135), [0.157, np.float64(0.814)]],
    "08.4a": ["The reset gate.", "'the reset gate'"],
    "08.4b": [
        lambda h: torch.tensor([h, h + h]),
        lambda h: [list(range(3 * h))[h], list(range(3 * h))[h] + h],
        lambda h: {"start": h, "stop": 2 * h},
        lambda h: slice(h, 2 * h),
        lambda n: (-2 * n, -n),
        lambda n: slice(-2 * n, -n),
        lambda n: range(n, 2 * n),
        lambda n: f"{n}:{2 * n}",
        lambda n: f"[{n} : {2 * n}]",
    ],
    "08.5": [38, 38.2, 0.7 * math.exp(4), np.log(2) * 55],
    "08.6": [
        keepers_by_power,
        lambda Z, line: Z[1:].log().mean(dim=(0, 1)).exp() > line,
        lambda Z, line: (Z[1:].log().mean(dim=(0, 1)) > math.log(line)).tolist(),
        lambda Z, line: np.flatnonzero(np.exp(np.log(Z[1:].numpy()).mean((0, 1))) > line),
        lambda Z, line: set(keepers_by_power(Z, line)),
        lambda Z, line: (Z[1:].log().mean(dim=(0, 1)).exp() > line).nonzero(),
        lambda Z, line: np.argwhere(np.exp(np.log(Z[1:].numpy()).mean((0, 1))) > line).T,
        lambda Z, line: (Z.float()[1:].log().mean(dim=1).mean(dim=0).exp() > line).nonzero().T[0],
    ],
    "08.7a": [(0.5, 0.87, 0.99), torch.tensor([0.51, 0.86, 0.9939])],
    "08.7b": [(1.0, 0.06), {"with the second": 0.1, "with the first": 0.99}, (1, 0)],
    "08.8": [
        batch_by_loop,
        a_mark_in_each_five,
        lambda batch_size: tuple(part.double() for part in batch_by_loop(batch_size)),
    ],
    "08.9a": ["G", ["g"], {"G": 0.0}],
    "08.9b": ["c"],
    "08.9c": [3.0, torch.tensor(3)],
}
