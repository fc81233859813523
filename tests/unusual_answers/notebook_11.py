"""Right answers in other clothes, for the exercises of notebook 11."""

import statistics
from fractions import Fraction

import numpy as np
import torch
from torch.nn import functional as F


def gains_by_size(cases):
    """By the ratio that the record holds, under a name for each size."""
    return {
        (c["num_steps"], c["batch_size"], c["num_hiddens"]): c["ratios"]["fast GRU / lower bound"]
        for c in cases
    }


def step_by_step(inputs, slopes):
    total = torch.zeros(inputs.shape[2], slopes.shape[2])
    for X, dA in zip(inputs, slopes, strict=True):
        total += X.T @ dA
    return total


def by_autograd(inputs, slopes):
    W = torch.zeros(inputs.shape[-1], slopes.shape[-1], dtype=inputs.dtype, requires_grad=True)
    ((inputs @ W) * slopes).sum().backward()
    return W.grad


def ratios_of_lists(a, b):
    ratios = [float(x / y) for x, y in zip(a, b, strict=True)]
    return statistics.median(ratios), statistics.median(a) / statistics.median(b)


def with_thousandths(p_dev, q_dev, dev, p_heldout, q_heldout, heldout):
    """Weights on a finer grid, and losses by nll_loss."""
    w = torch.linspace(0, 1, 1001, dtype=p_dev.dtype)[:, None, None]
    at = {}
    for name, (p, q, ids) in {
        "dev": (p_dev, q_dev, dev),
        "heldout": (p_heldout, q_heldout, heldout),
    }.items():
        logs = (w * p + (1 - w) * q).log().flatten(0, 1)
        losses = F.nll_loss(logs, ids[1:].repeat(len(w)), reduction="none")
        at[name] = losses.view(len(w), -1).mean(1)
    return [at["heldout"][at[name].argmin()].exp() for name in ("dev", "heldout")]


def in_numpy(*parts):
    """Only places that came, and twentieths of weights in between refined."""
    found = []
    p_held, q_held = (x.numpy()[np.arange(9), parts[5][1:].numpy()] for x in parts[3:5])
    p_dev, q_dev = (x.numpy()[np.arange(9), parts[2][1:].numpy()] for x in parts[:2])
    grid = np.arange(0, 1.001, 0.01)
    for p, q in ((p_dev, q_dev), (p_held, q_held)):
        w = max(grid, key=lambda w, p=p, q=q: np.log(w * p + (1 - w) * q).sum())
        found.append(np.exp(-np.log(w * p_held + (1 - w) * q_held).mean()))
    return found


def lines_sorted(log, others):
    lines = sorted(log, key=lambda row: row["seconds"])[:-1] + list(others)
    by_dev = sorted(lines, key=lambda row: row["development"])
    return {"honest": by_dev[0]["heldout"], "lie": min(row["heldout"] for row in lines)}


def longest_by_minibatches(log, others):
    most = max(row["minibatches"] for row in log + others)
    rows = [row for row in log + others if row["minibatches"] < most]
    return [min(rows, key=lambda row: row[n])["heldout"] for n in ("development", "heldout")]


def medians_of_seeds(log, others):
    rows = [*log[:-1], *others]
    shown = {row["label"]: statistics.median(row["every_heldout"]) for row in rows}
    return shown[min(rows, key=lambda row: row["development"])["label"]], min(shown.values())


def repaired(gradients, rows):
    total = torch.zeros_like(gradients[0])
    for gradient, count in zip(gradients, rows, strict=True):
        total += gradient * count
    return total / sum(rows)


def with_factors(gradients, rows):
    size = sum(rows) / len(rows)
    return sum(n / size * g for n, g in zip(rows, gradients, strict=True)) / len(rows)


UNUSUAL = {
    "11.1a": [
        gains_by_size,
        lambda cases: np.array([c["ratios"]["fast GRU / lower bound"] for c in cases]),
        lambda cases: [round(c["ratios"]["fast GRU / lower bound"], 2) for c in cases],
    ],
    "11.1b": [
        [35, 32, 64, 35, 32, 1024],
        [
            {"num_hiddens": units, "num_steps": 35, "batch_size": 32, "rounds": 9, "seconds": {}}
            for units in (64, 1024)
        ],
        np.array([[35.0, 32, 64], [35, 32, 1024]]),
        torch.tensor([[35, 32, 64], [35, 32, 1024]]),
    ],
    "11.2a": [
        step_by_step,
        by_autograd,
        lambda x, d: torch.einsum("tbm,tbn->mn", x, d),
        lambda x, d: (x.mT @ d).sum(0),
        lambda x, d: np.tensordot(x.numpy(), d.numpy(), ((0, 1), (0, 1))),
    ],
    "11.2b": [782, 817.0, 771, torch.tensor(773)],
    "11.3a": [
        ratios_of_lists,
        lambda a, b: [(a / b).quantile(0.5), a.quantile(0.5) / b.quantile(0.5)],
        lambda a, b: (np.median(a.numpy() / b.numpy()), np.median(a) / np.median(b)),
    ],
    "11.3b": [(0.87, 1.95), {"B first": 1.96, "A first": 0.866}, [0.86, 1.93]],
    "11.4": [["temperature", "perplexity"], {"perplexity", "temperature"}],
    "11.5": ["same cuts, moving cuts, same cuts, moving cuts"],
    "11.6a": [with_thousandths, in_numpy],
    "11.6b": [lines_sorted, longest_by_minibatches, medians_of_seeds],
    "11.7a": [5 / 3, 1.67, Fraction(20, 12), torch.tensor([1.6667])],
    "11.7b": [
        repaired,
        with_factors,
        lambda g, n: torch.einsum("k...,k->...", torch.stack(g), torch.tensor(n).double()) / sum(n),
        lambda g, n: np.average([part.numpy() for part in g], axis=0, weights=n),
        lambda g, n: torch.cat(
            [part[None].repeat(k, 1, 1) for part, k in zip(g, n, strict=True)]
        ).mean(0),
    ],
    "11.7c": [
        lambda rows: np.array(rows) / np.mean(rows),
        lambda rows: torch.tensor(rows) / (sum(rows) / len(rows)),
        lambda rows: [Fraction(n * len(rows), sum(rows)) for n in rows],
    ],
}
