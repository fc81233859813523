"""Right answers in other clothes, for the exercises of notebook 10."""

import numpy as np
import torch
from torch import nn


def counted_by_torch(d, h):
    """Those that PyTorch has, less its second biases; the others from a formula."""
    count = lambda layer: sum(p.numel() for p in layer.parameters())  # noqa: E731
    one, lstm, gru = (count(kind(d, h)) for kind in (nn.RNN, nn.LSTM, nn.GRU))
    return {
        "RNN": one - h,
        "LSTM": lstm - 4 * h,
        "GRU": gru - 3 * h,
        "reset after": gru - 2 * h,
        "R = 1": 2 * h * (d + h + 1),
        "MGU": 2 * h * (d + h + 1),
        "z of x": h * (2 * d + 2 + h),
        "minGRU": 2 * h * (d + 1),
    }


class Layer(nn.Module):
    """As in the lesson, with a gate that leans on the number a little."""

    def __init__(self):
        super().__init__()
        self.W_x = nn.ParameterList(map(torch.tensor, ([[0.5], [-60.0]], [[1.0], [0.0]])))
        self.b = nn.ParameterList([torch.tensor([25.0]), torch.zeros(1)])


def start_in_place(a, b, start):
    b = b.clone()
    b[0] += a[0] * start
    return b


def start_by_stacking(a, b, start):
    first = torch.zeros_like(b).index_fill(0, torch.tensor(0), 1.0)
    return b + first * (a * start)


def start_by_rows(a, b, start):
    return [row + a[0] * start if t == 0 else row for t, row in enumerate(b)]


def numbered_in_a_loop(X, symbols_too, questions_too):
    """Names of its own for everything, given one after the other."""
    names, rows = {}, []
    for row in X.tolist():
        seen, asked, found = 0, 0, []
        for token in row:
            name = (token, seen if symbols_too else 0) if token < 8 else token
            if token == 9:
                name = (token, asked * questions_too)
                asked += 1
            seen += token < 8
            found.append(names.setdefault(name, len(names)))
        rows.append(found)
    return rows


def numbered_from_one(X, symbols_too, questions_too):
    place = (X < 8).cumsum(1) if symbols_too else 0
    asked = (X == 9).cumsum(1) if questions_too else 1
    return torch.where(X < 8, 100 + 10 * place + X, torch.where(X == 9, 50 + asked, 7)).float()


def faded_step_by_step(x, y):
    rows = []
    for i in range(4):
        state = 0.0
        for k in range(4):
            state = x * state + (1 - x) * (k == i)
        row = []
        for _ in range(4):
            state *= y
            row.append(state)
        rows.append(row)
    return rows


def units_without_symmetry(dtype=torch.float64):
    """Other factors, weights by least squares, and more units."""
    x = torch.tensor([0.05, 0.3, 0.55, 0.8, 0.97], dtype=torch.float64)
    y = torch.tensor([0.1, 0.4, 0.7, 0.95], dtype=torch.float64)
    x, y = (part.flatten() for part in torch.meshgrid(x, y, indexing="ij"))
    places = torch.arange(4)
    symbol = (1 - x) * x ** (3 - places[:, None])  # (4, units)
    system = (symbol[:, None] * y ** (1 + places[:, None])).reshape(16, -1)
    weights = torch.linalg.pinv(system) @ torch.eye(4, dtype=torch.float64).flatten()
    return [part.to(dtype) for part in (x, y, weights)]


def by_linear(d, h):
    return nn.Linear(d, h).weight.T


UNUSUAL = {
    "10.1": [
        counted_by_torch,
        lambda d, h: (
            np.array([1, 4, 3, 3, 2, 2, 2, 2]) * (d * h + h)
            + h * np.array([h, 4 * h, 3 * h, 3 * h + 1, 2 * h, 2 * h, h, 0])
        ),
        lambda d, h: torch.tensor(list(counted_by_torch(d, h).values())).float(),
    ],
    "10.2": [
        Layer(),
        {"b_h": 0, "W_xh": [[1], [0]], "b_z": 20, "W_xz": [[0], [-40]]},
        [0, -40, 20, 1, 0, 0],
        list(Layer().parameters()),
        {name: param.detach() for name, param in Layer().named_parameters()},
        (np.array([0, -30.0]), 15, np.array([1, -1]), 1),  # the mark and the bias cancel
        [torch.tensor([[0.0], [-50.0]]), torch.tensor([12.0]), torch.eye(2)[:1].T, torch.zeros(1)],
    ],
    "10.3": [start_in_place, start_by_stacking, start_by_rows],
    "10.4": [{"best": 3.0, "worst": 0.0, "middle": 1.0}, {1: 0.5, 0: 0.25, 3: 0.75}],
    "10.5a": [numbered_in_a_loop, numbered_from_one],
    "10.5b": [["both", "symbols only"]],
    "10.6a": [
        faded_step_by_step,
        lambda x, y: (1 - x) * np.outer(x ** np.arange(3, -1, -1), y ** np.arange(1, 5)),
    ],
    "10.6b": [
        units_without_symmetry(),
        units_without_symmetry(torch.float32),
        torch.stack(units_without_symmetry()),
        torch.stack(units_without_symmetry()).T,
        list(zip(*units_without_symmetry(), strict=True)),
        zip(*(part.tolist() for part in units_without_symmetry()), strict=True),
        (torch.stack(units_without_symmetry())[:2].T.tolist(), units_without_symmetry()[2]),
        {
            "x": units_without_symmetry()[0],
            "y": units_without_symmetry()[1].numpy(),
            "w": units_without_symmetry()[2].tolist(),
        },
    ],
    "10.7a": [
        by_linear,
        lambda d, h: (2 * torch.rand(d, h) - 1) / d**0.5,
        lambda d, h: nn.Parameter(nn.init.uniform_(torch.empty(d, h), -(d**-0.5), d**-0.5)),
        lambda d, h: torch.empty(d, h).uniform_(-(d**-0.5), d**-0.5).tolist(),
        lambda d, h: [torch.rand(h) * 2 / d**0.5 - d**-0.5 for _ in range(d)],
        lambda d, h: np.random.default_rng(0).uniform(-(d**-0.5), d**-0.5, (d, h)),
    ],
    "10.7b": [0.0019, 0.0024, 0.008],
}
