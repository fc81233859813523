"""N-grams: against a reference that looks every count up, and properties of a distribution."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import agree, ngram, refused

from gru_helpers import ngram_probabilities

texts = st.lists(st.integers(0, 3), min_size=4, max_size=40)


@given(train=texts, test=texts, n=st.integers(1, 4), simple=st.booleans())
def test_the_probabilities_are_the_reference_s(train, test, n, simple):
    found = ngram_probabilities(train, test, n, 5, simple)
    expected = [ngram(train, test[:t], n, 5, simple) for t in range(1, len(test))]
    agree([found], [np.array(expected)])


@pytest.mark.parametrize("simple", [False, True])
@pytest.mark.parametrize("n", [1, 2, 6])
def test_they_are_a_distribution_over_all_tokens(n, simple, vocab):
    train = vocab[list("the time traveller for so it will be convenient to speak of him ")]
    test = [*vocab[list("was expounding a recondite matter to us")], 0]  # 0 was never seen
    found = ngram_probabilities(train, torch.tensor(test), n, len(vocab), simple)
    assert found.shape == (len(test) - 1, 28)
    assert found.dtype == torch.float64
    assert bool((found > 0).all())
    assert torch.allclose(found.sum(dim=1), torch.ones(len(test) - 1, dtype=torch.float64))


def test_a_letter_that_follows_one_word_only_is_not_expected_elsewhere():
    """Kneser-Ney's own example, "Francisco": frequent, but after one word alone."""
    train = [0, 1] * 20 + [2, 3, 4, 3, 5, 3, 6, 3]  # 1 only after 0; 3 after 2, 4, 5 and 6
    unseen = [7, 7]  # a context that was never seen: the empty one decides
    by_kinds, by_counts = (ngram_probabilities(train, unseen, 2, 8, s)[0] for s in (False, True))
    assert by_kinds[3] > by_kinds[1]
    assert by_counts[1] > by_counts[3]


def test_a_test_text_that_is_the_training_text_is_nearly_known():
    train = [0, 1, 2, 3, 4] * 50
    found = ngram_probabilities(train, train, 3, 5)
    right = found[torch.arange(len(train) - 1), torch.tensor(train[1:])]
    assert right[2:].min() > 0.98


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([0, 1, 2], [0, 1], 0, 4), "n must be a positive integer, got 0."),
        (([0, 1, 2], [0, 1], 2, 0), "num_tokens must be a positive integer, got 0."),
        (([0, 1], [0, 1], 3, 4), "train_ids must have at least 3 tokens, got 2."),
        (([0, 1, 2], [0], 2, 4), "test_ids must have at least 2 tokens, got 1."),
        (([0, 1, 4], [0, 1], 2, 4), "train_ids must lie between 0 and 3, got 4"),
        (([0, 1, 2], torch.tensor([0, -1]), 2, 4), "test_ids must lie between 0 and 3, got -1"),
    ],
)
def test_what_is_refused(arguments, words):
    refused(lambda: ngram_probabilities(*arguments), words)
