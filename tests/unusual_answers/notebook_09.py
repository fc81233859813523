"""Right answers in other clothes, for the exercises of notebook 09."""

import functools
import itertools

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gru_helpers.checks.notebook_09 import outside


def naive_error_by_loop(walk, h):
    errors = [(walk[t] - walk[t - h]) ** 2 for t in range(h, len(walk))]
    return sum(errors) / len(errors)


def naive_error_in_windows(walk, horizon):
    both = walk.float().unfold(0, horizon + 1, 1)
    return torch.nn.functional.mse_loss(both[:, 0], both[:, -1])


def wins_with_sorted_columns(members, rival):
    best = [sorted(column)[0] for column in zip(*members, strict=True)]
    return sum(1 for b, r in zip(best, rival, strict=True) if b <= r)


def cut_in_place(X, months, mean):
    X = X.clone()
    X[:, : X.shape[1] - months] = mean
    return X


def cut_from_132(X, months, mean, lags=132):
    older = mean.expand(len(X), lags - months)
    return torch.cat([older, X[:, lags - months :]], dim=1)


def cut_by_item(X, months, mean):
    older = torch.full((len(X), X.shape[1] - months), mean.item())
    return torch.hstack([older, X[:, X.shape[1] - months :]])


def cut_by_filling(X, months, mean):
    X = X.clone()
    X[:, : X.shape[1] - months].fill_(mean)
    return X


def cut_for_floats(X, months, mean):
    """It insists on a plain number."""
    assert isinstance(mean, float)
    return [[mean] * (len(row) - months) + row[len(row) - months :] for row in X.tolist()]


def cut_in_numpy(X, months, mean):
    old = np.full((X.shape[0], X.shape[1] - months), mean)
    return np.concatenate([old, X.numpy()[:, X.shape[1] - months :]], axis=1)


def higher_by_offset(windows, times, center, width):
    offset = center / width
    return times * (windows + offset) - offset


def factor_by_halving(Q, Y):
    low, high = 0.0, 10.0
    while high - low > 0.001:
        middle = (low + high) / 2
        median = Q[:, :, 4]
        bottom = median - middle * (median - Q[:, :, 0])
        top = median + middle * (Q[:, :, 8] - median)
        share = ((bottom <= Y) & (top >= Y)).double().mean()
        low, high = (middle, high) if share < 0.8 else (low, middle)
    return high


def factor_by_trying(Q, Y):
    for factor in itertools.count(1, 0.01):
        Q_wide = Q[:, :, 4:5] + factor * (Q - Q[:, :, 4:5])
        inside = (Q_wide[:, :, 0] < Y) & (Q_wide[:, :, -1] > Y)
        if inside.double().mean() >= 0.8:
            break
    return factor


def factor_by_sorting(Q, Y):
    distances = sorted(outside(Q, Y).flatten().tolist())
    return distances[round(0.8 * len(distances))]


def one_at_a_time(layer, padded, lengths):
    rows = [layer(row[None, :n])[1] for row, n in zip(padded, lengths, strict=True)]
    return torch.cat([H.transpose(0, 1).reshape(1, -1) for H in rows])


def sorted_and_back(layer, padded, lengths):
    order = lengths.argsort(descending=True)
    packed = pack_padded_sequence(padded[order], lengths[order].tolist(), batch_first=True)
    H = layer(packed)[1]
    return torch.hstack(tuple(H))[order.argsort()]


def padded_again(layer, padded, lengths):
    """Forward from the last real step, backward from step 0 of what was packed."""
    packed = pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False)
    states, _ = pad_packed_sequence(layer(packed)[0], batch_first=True)
    h = layer.hidden_size
    rows = torch.arange(len(padded))
    return torch.cat([states[rows, lengths - 1, :h], states[:, 0, h:]], dim=-1).detach().numpy()


def slope_by_autograd(truth, q, tau):
    q = torch.tensor(q, dtype=torch.float64, requires_grad=True)
    short = truth - q
    torch.maximum(tau * short, (tau - 1) * short).mean().backward()
    return q.grad


def slope_by_difference(y, q, tau, step=1e-3):
    def loss(q):
        return np.mean([tau * (v - q) if v > q else (1 - tau) * (q - v) for v in y.tolist()])

    return (loss(q + step) - loss(q - step)) / (2 * step)


UNUSUAL = {
    "09.1a": [lambda h: h, lambda steps: torch.ones(steps).sum(), lambda h: np.sqrt(h) ** 2],
    "09.1b": [
        naive_error_by_loop,
        naive_error_in_windows,
        lambda walk, h: np.square(walk.numpy()[h:] - walk.numpy()[:-h]).mean(),
        lambda walk, h: (walk.roll(-h) - walk)[:-h].pow(2).mean(),
    ],
    "09.2": [
        wins_with_sorted_columns,
        lambda members, rival: np.sum(np.min(members, axis=0) <= np.array(rival)),
        lambda errors, ar: sum(min(row[k] for row in errors) <= ar[k] for k in range(len(ar))),
        functools.partial(
            lambda at, members, rival: (
                torch.tensor(members).min(dim=at).values <= torch.tensor(rival)
            ).sum(),
            0,
        ),
    ],
    "09.3": [
        cut_in_place,
        cut_from_132,
        cut_by_item,
        cut_by_filling,
        cut_for_floats,
        lambda X, months, mean: torch.where(
            torch.arange(X.shape[1]) < X.shape[1] - months, mean, X
        ),
        lambda X, months, mean: X.masked_fill(torch.arange(132, 0, -1) > months, mean),
        lambda X, months, mean: [
            [mean] * (len(x) - months) + list(x[len(x) - months :]) for x in X
        ],
        cut_in_numpy,
        lambda X, months, mean: torch.stack(
            [torch.cat([torch.full((len(x) - months,), mean), x[len(x) - months :]]) for x in X]
        ),
        lambda X, months, mean: (
            (X - mean) * (torch.arange(X.shape[1]) >= X.shape[1] - months) + mean
        ),
    ],
    "09.4": [
        higher_by_offset,
        lambda X, factor, mean, deviation: factor * X + (factor - 1) * mean / deviation,
        lambda X, f, m, d: ((X.numpy() * d + m) * f - m) / d,
        lambda X, f, m, d: (f * (X * d.item() + m.item()) - m.item()) / d.item(),
        lambda X, f, m, d: (f * (X.numpy() * float(d) + float(m)) - float(m)) / float(d),
        lambda X, f, m, d: torch.lerp(-m / d * torch.ones_like(X), X, f),
    ],
    "09.5": [
        factor_by_halving,
        factor_by_trying,
        factor_by_sorting,
        lambda Q, Y: outside(Q, Y).flatten().kthvalue(int(0.8 * Y.numel())).values,
        lambda Q, Y: np.percentile(outside(Q, Y).numpy(), 80, method="higher"),
        lambda Q, Y: round(outside(Q, Y).quantile(0.8).item(), 2),
    ],
    "09.6a": [
        "gathered_forward, packed_forward, packed_backward",
        {"packed_backward", "packed_forward", "gathered_forward"},
    ],
    "09.6b": [one_at_a_time, sorted_and_back, padded_again],
    "09.7": [
        slope_by_autograd,
        slope_by_difference,
        lambda truth, q, tau: round(float((truth < q).double().mean() - tau), 3),
        lambda truth, q, tau: (truth < q).double().mean() - tau + 0.0015,
        lambda y, q, t: (1 - t) * (y < q).double().mean() - t * (y > q).double().mean(),
        lambda y, q, t: float(sum(v < q for v in y)) / len(y) - t,
    ],
}
