"""Right answers in other clothes, for the exercises of notebook 01."""

import functools

import numpy as np
import torch
from torch.nn import functional as F

from gru_helpers import gru_step


def step_with_linear(x, h, p):
    """The four equations by way of F.linear and torch.lerp."""
    gates = [torch.sigmoid(F.linear(x, p[k].T) + F.linear(h, p[k + 1].T, p[k + 2])) for k in (0, 3)]
    candidate = torch.tanh(F.linear(x, p[6].T, p[8]) + F.linear(gates[1] * h, p[7].T))
    return *gates, candidate, torch.lerp(candidate, h, gates[0])


class Step:
    def __call__(self, X, H, params, scale=1):
        return dict(zip("zrch", gru_step(X, H, params), strict=True))


def step_in_float32(X, H, params):
    """It adds a tensor of the default type to a product, which refuses float64 beside it."""
    return gru_step(X @ torch.eye(X.shape[1]), H, params)


def agree_by_trying(a, b):
    R, generator = torch.tensor([[a, b]], dtype=torch.float64), torch.Generator().manual_seed(1)
    H, W = (torch.randn(2, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    return torch.allclose((R * H[:1]) @ W, R * (H[:1] @ W))


def latch_that_feeds_itself():
    """Unit 1 holds itself up by a weight of its own; biases as rows, float32, numpy among them."""
    W_hh = torch.tensor([[20.0, 0.0], [0.0, 0.0]])
    none = np.zeros((2, 2))
    return (
        *(np.array([[-30, 0]]), none, torch.tensor([[12, -12]])),
        *(torch.zeros(1, 2), none, torch.zeros(1, 2)),
        *(torch.tensor([[6.0, 9.0]]), W_hh, torch.zeros(2)),
    )


UNUSUAL = {
    "01.1a": [
        step_with_linear,
        Step(),
        step_in_float32,
        functools.partial(gru_step, z_keeps=True),
        lambda *given: list(gru_step(*given)),
        lambda X, H, params: [part.float().numpy() for part in gru_step(X, H, params)],
        lambda X, H, params: torch.stack(gru_step(X, H, params)),
    ],
    "01.1b": ["Z, R, H_tilde", {"H_tilde", "R", "Z"}, np.array(["z", "r", "h_tilde"])],
    "01.2": [{"h_new": -0.071, "h_tilde": -0.277, "z": 0.245, "r": 0.637}],
    "01.3a": [torch.tensor([[0.3]], requires_grad=True)],
    "01.3b": ["W_xz W_hz b_z W_xr W_hr b_r W_xh W_hh b_h"],
    "01.3c": ["W_xz; W_hz; b_z; W_xh; W_hh; b_h"],
    "01.4": [{"half-life": 5.46, "b_z": 2}, (2, 5.5)],
    "01.5": [agree_by_trying, lambda a, b: torch.tensor([a == b]), lambda a, b: int(a == b)],
    "01.6": [[0, 0, 1], (1e-5, 0.001, 0.9999)],
    "01.8": [latch_that_feeds_itself()],
}
