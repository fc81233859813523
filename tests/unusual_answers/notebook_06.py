"""Right answers in other clothes, for the exercises of notebook 06."""

import itertools
from collections import defaultdict

import numpy as np
import torch

from gru_helpers import load_data_time_machine


def share_by_places(text, k):
    """As in the solution: a set of followers, then every place again."""
    followers = defaultdict(set)
    for end in range(k, len(text)):
        followers[text[end - k : end]].add(text[end])
    return np.mean([len(followers[text[end - k : end]]) == 1 for end in range(k, len(text))])


def share_in_a_slow_way(text, k):
    """For each place, once more through the whole text."""
    places = range(len(text) - k)
    certain = 0
    for i in places:
        here = text[i : i + k]
        certain += len({text[j + k] for j in places if text[j : j + k] == here}) == 1
    return certain / len(places)


def share_of_the_whole_length(text, k):
    """Divided by the length of the text, which is hardly another number."""
    seen = {}
    for start, end in zip(range(len(text)), range(k, len(text)), strict=False):
        seen.setdefault(text[start:end], []).append(text[end])
    return sum(len(v) for v in seen.values() if len(set(v)) == 1) / len(text)


def share_in_the_text(k):
    train_iter, vocab = load_data_time_machine(batch_size=32, num_steps=35)
    return share_by_places("".join(vocab.to_tokens(train_iter.corpus.tolist())), k)


def kept_by_loops(Z, length):
    stretches = itertools.product(range(Z.shape[1]), range(Z.shape[0] - length + 1))
    return max(np.prod(Z.numpy()[t : t + length, unit]) for unit, t in stretches)


def kept_by_sums_of_logs(Z, length):
    sums = torch.cat([torch.zeros(1, Z.shape[1]), Z.log().cumsum(dim=0)])
    return (sums[length:] - sums[:-length]).max().exp()


def ranked(values):
    """Mean ranks from 1 up, by sorting."""
    values = np.asarray(values)
    found = np.empty(len(values))
    for value in np.unique(values):
        same = values == value
        found[same] = (values < value).sum() + (same.sum() + 1) / 2
    return found


def by_the_formula(a, b, c):
    r = np.corrcoef([ranked(a), ranked(b), ranked(c)])
    return (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))


def by_the_inverse(a, b, c):
    """A partial correlation stands in the inverse of the matrix of correlations."""
    ranks = torch.tensor(np.stack([ranked(a), ranked(b), ranked(c)]))
    P = torch.linalg.inv(torch.corrcoef(ranks))
    return -P[0, 1] / (P[0, 0] * P[1, 1]).sqrt()


def by_polyfit(a, b, c):
    a, b, c = map(ranked, (a, b, c))
    left = [v - np.polyval(np.polyfit(c, v, 1), c) for v in (a, b)]
    return np.corrcoef(left)[0, 1]


def by_corrcoef(states, feature):
    everything = torch.cat([states.T, feature[None]])
    return torch.corrcoef(everything)[-1, :-1]


def by_standard_scores(states, feature):
    states = (states - states.mean(0)) / states.std(0, correction=0)
    feature = (feature - feature.mean()) / feature.std(correction=0)
    return (states * feature[:, None]).mean(0)


MODELS, MEASURES = ("scratch", "nn.GRU"), ("share with r > 0.9", "share with r < 0.1", "mean r")
PAIRS = ((-0.105, 0.034), (-0.031, -0.399), (-0.147, 0.380))
TABLE = tuple(zip(MEASURES, PAIRS, strict=True))

UNUSUAL = {
    "06.1": ["b_q", {"B_Q"}],
    "06.2a": [share_by_places, share_in_a_slow_way, share_of_the_whole_length],
    "06.2b": [share_in_the_text(5), round(share_in_the_text(5), 2)],
    "06.3a": [20.0, torch.tensor([20])],
    "06.3b": [[10, 28], {"most": 28, "fewest": 10}, {"The_Most": 28, "the fewest": 10.0}],
    "06.4a": [1.48, 1.5, torch.tensor(0.5).log() / torch.tensor([0.99] * 9 + [0.01]).log().mean()],
    "06.4b": [
        kept_by_loops,
        kept_by_sums_of_logs,
        lambda Z, k: torch.stack([Z[t : t + k].prod(0) for t in range(len(Z) - k + 1)]).amax(),
        lambda Z, k: max(Z[t : t + k].prod(0).max() for t in range(len(Z) + 1 - k)),
    ],
    "06.5a": [by_the_formula, by_the_inverse, by_polyfit],
    "06.5b": [
        [-0.11, -0.03, -0.15, 0.03, -0.40, 0.38],
        np.array([[-11, -3, -15], [3, -40, 38]]) / 100,
        {"nn.GRU": [0.03, -0.40, 0.38], "scratch": [-0.11, -0.03, -0.15]},
        {"nn_gru": torch.tensor([0.03, -0.40, 0.38]), "the scratch model": (-0.11, -0.03, -0.15)},
        dict(TABLE),
        {measure: dict(zip(MODELS, both, strict=True)) for measure, both in TABLE[::-1]},
        {(model, measure): both[k] for measure, both in TABLE for k, model in enumerate(MODELS)},
        {f"{m}, {model}": both[k] for m, both in TABLE for k, model in enumerate(MODELS)},
    ],
    "06.6": [
        {124, 214, 240, 246},
        [246, 240, 237, 198, 124],
        torch.isin(torch.arange(256), torch.tensor([124, 214, 240, 246])).nonzero(),
        [torch.tensor(124), 214, np.int64(240), 246],
        torch.tensor([[246.0, 240, 237, 198, 124, 0]]),
    ],
    "06.7a": [
        by_corrcoef,
        by_standard_scores,
        lambda states, feature: [np.corrcoef(s, feature)[0, 1] for s in states.T.numpy()],
        lambda states, feature: by_corrcoef(states.float(), feature.float())[:, None].flatten(),
    ],
    "06.7b": [
        {"vowels": 15, "spaces": 19, "place in the text": 136},
        {"Place_in_the_text": torch.tensor(136), "Spaces": 19.0, "the vowels": np.int64(15)},
    ],
    "06.7c": [0.176, 0.222, 0.24, 0.2318, torch.tensor(0.17)],
}
