"""Right answers in other clothes, for the exercises of notebook 02."""

import itertools
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from gru_helpers import gru, gru_step


def loss_with_the_loop(params, batch):
    """The whole batch is read; the scores after its last character are thrown away."""
    inputs = F.one_hot(batch.T, 28).to(params[0].dtype)
    logits, _ = gru(inputs, (torch.zeros(len(batch), 16, dtype=params[0].dtype),), params)
    logits = logits.reshape(batch.shape[1], len(batch), 28)[:-1]
    return F.cross_entropy(logits.permute(1, 2, 0), batch[:, 1:])


def loss_step_by_step(p, ids):
    """In float32 alone, a mean of the steps' means."""
    H, total = torch.zeros(len(ids), 16), 0
    for t in range(ids.shape[1] - 1):
        H = gru_step(torch.eye(28)[ids[:, t]], H, p)[-1]
        total = total + F.cross_entropy(H @ p[-2] + p[-1], ids[:, t + 1])
    return total / (ids.shape[1] - 1)


def loss_by_row(params, batch):
    """Row after row, batch first, from log-probabilities."""
    losses = []
    for row in batch:
        H = torch.zeros(1, 16, dtype=params[1].dtype)
        for now, following in itertools.pairwise(row):
            H = gru_step(F.one_hot(now, 28)[None].to(H.dtype), H, params)[-1]
            losses.append(-(H @ params[9] + params[10]).log_softmax(dim=1)[0, following])
    return torch.stack(losses).mean()


def gradient_by_autograd(weights, p, y):
    """The unit's state is 0 to begin with; the other units' part of the scores is log p."""
    state = torch.zeros((), dtype=p.dtype, requires_grad=True)
    loss = -(y * torch.log_softmax(p.log() + weights * state, dim=0)).sum()
    return torch.autograd.grad(loss, state)


def changed_in_place(params, dtype):
    for p in params:
        p.data = p.data.to(dtype)
    return params


def by_numpy(params, dtype):
    return [torch.tensor(p.detach().numpy(), dtype=dtype, requires_grad=True) for p in params]


def without_grad(params, dtype):
    with torch.no_grad():
        copies = [p.to(dtype) for p in params]
    return tuple(p.requires_grad_() for p in copies)


def one_by_one(params, dtype):
    """A generator."""
    for p in params:
        yield p.detach().to(dtype).requires_grad_()


def eleven_by_name(params, dtype):
    """The eleven are unpacked, and there have to be eleven."""
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q = params
    named = (W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q)
    return [p.detach().clone().to(dtype).requires_grad_() for p in named]


def by_a_module(params, dtype):
    module = nn.Module()
    for number, p in enumerate(params):
        module.register_parameter(f"p{number}", nn.Parameter(p.detach()))
    return module.to(dtype).parameters()


def drawn_by_the_rule(n, seed, how):
    torch.manual_seed(seed)
    state = np.random.default_rng(seed)
    return {
        "torch": lambda: torch.empty(n).uniform_(1, 34).log(),
        "numpy": lambda: np.log(state.uniform(1, 34, (1, n))),
        "list": lambda: [math.log(1 + 33 * u) for u in torch.rand(n).tolist()],
        "parameter": lambda: nn.Parameter(torch.rand(n).mul(33).add(1).log()),
        "whole": lambda: torch.randint(1, 35, (n,)).float().log(),
        "spread": lambda: torch.linspace(1, 34, n).log(),
    }[how]()


UNUSUAL = {
    "02.1a": ["b_q, W_hq, W_xh, W_xr, W_xz", np.array(["W_hq", "b_q", "W_xz", "W_xr", "W_xh"])],
    "02.1b": [992_868, torch.tensor(992_868), np.int64(992_868), 992868.0],
    "02.2a": [loss_with_the_loop, loss_step_by_step, loss_by_row],
    "02.2b": [
        gradient_by_autograd,
        lambda w, probabilities, label: w @ probabilities - w[label.bool()],
        lambda w, p, y: sum(a * (b - c) for a, b, c in zip(w, p, y, strict=True)),
        lambda w, p, y: np.einsum("k,k->", w.numpy(), (p - y).numpy()),
    ],
    "02.3": [
        changed_in_place,
        by_numpy,
        without_grad,
        one_by_one,
        eleven_by_name,
        by_a_module,
        lambda params, dtype: map(nn.Parameter, [p.detach().to(dtype) for p in params]),
        lambda params, dtype: (p.detach().to(dtype).requires_grad_() for p in params),
        lambda params, dtype: dict(enumerate(one_by_one(params, dtype))).values(),
        lambda params, dtype: [nn.Parameter(p.detach().to(dtype)) for p in params],
        lambda params, dtype: nn.ParameterList(p.detach().to(dtype) for p in params),
        lambda ps, t: [p.data.clone().type(t).requires_grad_() for p in ps],
    ],
    "02.4a": [0.13, 0.14, 0.145, torch.tensor(0.1367), np.float32(0.1336)],
    "02.4b": [0, 0.0, torch.tensor(0.0134), 0.02],
    "02.5a": [
        *(drawn_by_the_rule(256, seed, "torch") for seed in range(300)),
        *(drawn_by_the_rule(n, n, "numpy") for n in (200, 256, 1024)),
        drawn_by_the_rule(256, 1, "torch")[None],
        drawn_by_the_rule(256, 1, "torch")[:, None],
        list(drawn_by_the_rule(256, 1, "torch")),
        *(drawn_by_the_rule(256, 3, how) for how in ("list", "parameter", "whole", "spread")),
    ],
    "02.5b": [
        lambda b: torch.log(torch.tensor(0.5)) / torch.log(torch.sigmoid(b)),
        lambda b: math.log(2) / F.softplus(-b),
        lambda b: [math.log2(0.5) / math.log2(1 / (1 + math.exp(-v))) for v in b.tolist()],
        lambda b: np.log(0.5) / np.log(1 / (1 + np.exp(-b.numpy()))),
    ],
    "02.5c": [1.6, 2.4, torch.tensor(1.93), np.float64(2.1)],
}
