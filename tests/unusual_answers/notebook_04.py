"""Right answers in other clothes, for the exercises of notebook 04."""

import math
import statistics

import numpy as np
import torch

from gru_helpers import load_corpus_time_machine, load_slice, load_train_heldout

TRAIN, HELD, VOCAB = load_train_heldout(32, 35)


def bigram(imaginary=None):
    """Pairs counted in a table: less 0.75 each, mixed with the shares of different neighbors."""
    first, second = TRAIN.corpus[:-1], TRAIN.corpus[1:]
    pairs = torch.zeros(28, 28, dtype=torch.float64)
    pairs.index_put_((first, second), torch.ones(1, dtype=torch.float64), accumulate=True)
    kinds = (pairs > 0).sum(dim=0).double()
    letters = (kinds - kinds.clamp(max=0.75)) + kinds.clamp(max=0.75).sum() / 28
    letters = letters / kinds.sum()
    total = pairs.sum(dim=1, keepdim=True)
    taken = pairs.clamp(max=0.75)
    if imaginary is None:
        table = (pairs - taken + taken.sum(dim=1, keepdim=True) * letters) / total
    else:
        share = (pairs.sum(dim=0) + 5 / 28) / (pairs.sum() + 5)
        table = (pairs + imaginary * share) / (total + imaginary)
    held = HELD.corpus
    return table[held[:-1], held[1:]].log().mean().neg().exp().item()


UNUSUAL = {
    "04.1a": [
        {"together": 3.54, "0.8 alone": 1.25, "0.1 alone": 10},
        torch.tensor([1 / 0.8, 1 / 0.1, math.sqrt(12.5)]),
    ],
    "04.1b": [
        statistics.geometric_mean,
        lambda values: math.prod(values) ** (1 / len(values)),
        lambda values: torch.tensor(values).log().mean().exp(),
        lambda values: np.exp(np.log(values).mean()),
        lambda values: 2 ** statistics.fmean(map(math.log2, values)),
    ],
    "04.2": [0.98, 1, torch.tensor(1.05), 0.93],
    "04.3a": [
        (1, math.inf),
        (1.0, math.nan),
        {"wild": 1e25, "classic": 1.0},
        torch.tensor([1.0, 13.8]),
        np.array([0.99999, 2e15]),
    ],
    "04.3b": [0, torch.tensor(0.0), np.float32(0)],
    "04.4a": [8.0, torch.tensor(8)],
    "04.4b": [74 / 14, 4.6, torch.tensor(5.5)],
    "04.5a": [
        HELD,
        HELD.corpus,
        load_corpus_time_machine()[0][-5000:],
        load_corpus_time_machine(15_000)[0][10_000:],
        np.array(load_corpus_time_machine(20_000)[0][10_000:]),
        load_slice(32, 35, 20_000, 25_000),
        TRAIN.corpus.new_tensor(load_corpus_time_machine()[0][12_345:20_000])[None],
    ],
    "04.5b": [5000.0, torch.tensor(5000)],
    "04.6a": [
        {f"{h} units": 3 * (28 * h + h * h + h) + 28 * h + 28 for h in (128, 32, 8, 4, 2)},
        np.array([270, 536, 1140, 6780, 63900]),
    ],
    "04.6b": [bigram(), bigram(imaginary=5), torch.tensor(bigram()), round(bigram(), 1)],
    "04.6c": [4, 8, torch.tensor(4)],
}
