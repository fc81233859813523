"""The opponent of every model of text: counting the runs of up to n tokens."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ._validate import check_ngram, checked_by

# --- notebook 04 --------------------------------------------------------------------------------


@checked_by(check_ngram)
def ngram_probabilities(
    train_ids: Sequence[int] | Tensor,
    test_ids: Sequence[int] | Tensor,
    n: int,
    num_tokens: int,
    simple: bool = False,
) -> Tensor:
    """What an n-gram expects at each place of ``test_ids`` but the first, given those before it.

    Returns probabilities of shape ``(len(test_ids) - 1, num_tokens)``, float64. Each context of up
    to n - 1 tokens is mixed with the next shorter one, the empty one with equal chances.

    The default is interpolated Kneser-Ney smoothing with one absolute discount of 0.75 (Kneser &
    Ney 1995, *Improved backing-off for m-gram language modeling*; interpolated: Chen & Goodman
    1998, *An empirical study of smoothing techniques for language modeling*): a run shorter than n
    counts once for each token that was seen before it. ``simple`` counts every occurrence and adds
    5 tokens shared out by the shorter context (Dirichlet smoothing: MacKay & Peto 1995, *A
    hierarchical Dirichlet language model*).
    """
    train, test = tuple(map(int, train_ids)), tuple(map(int, test_ids))
    followers: dict[tuple, np.ndarray] = defaultdict(lambda: np.zeros(num_tokens))
    runs = Counter(zip(*(train[k:] for k in range(n)), strict=False))  # of n letters, counted
    for _ in range(n):  # runs of n letters, then n - 1, ... then single letters
        for run, count in runs.items():
            followers[run[:-1]][run[-1]] += count
        runs = Counter(run[1:] for run in (runs.elements() if simple else runs))
    rows = []
    for t in range(1, len(test)):
        p = np.full(num_tokens, 1 / num_tokens)
        for length in range(min(n, t + 1)):  # from the empty context to the longest known one
            context = test[t - length : t]
            if context not in followers:
                break
            counts = followers[context]
            if simple:
                p = (counts + 5 * p) / (counts.sum() + 5)
            else:
                taken = np.minimum(counts, 0.75)
                p = (counts - taken + taken.sum() * p) / counts.sum()
        rows.append(p)
    return torch.tensor(np.array(rows))  # (len(test) - 1, num_tokens)
