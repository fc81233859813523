"""The classic listing, with every name imported from the package."""

import pytest
import torch
from torch import nn

from gru_helpers import (
    CorpusError,
    RNNModel,
    RNNModelScratch,
    dataset,
    get_params,
    gru,
    init_gru_state,
    load_data_time_machine,
    predict,
    train,
    try_gpu,
)


def run_scratch(num_epochs):
    """The listing for the model from scratch."""
    batch_size, num_steps = 32, 35
    train_iter, vocab = load_data_time_machine(batch_size, num_steps)
    num_hiddens, device = 256, try_gpu()
    lr = 1
    model = RNNModelScratch(len(vocab), num_hiddens, device, get_params, init_gru_state, gru)
    return train(model, train_iter, vocab, num_epochs, lr, device), model, vocab


def run_concise(num_epochs):
    """The listing for ``nn.GRU``."""
    batch_size, num_steps = 32, 35
    train_iter, vocab = load_data_time_machine(batch_size, num_steps)
    vocab_size, num_hiddens, device = len(vocab), 256, try_gpu()
    lr = 1
    num_inputs = vocab_size
    gru_layer = nn.GRU(num_inputs, num_hiddens)
    model = RNNModel(gru_layer, len(vocab))
    model = model.to(device)
    return train(model, train_iter, vocab, num_epochs, lr, device), model, vocab


RUNS = pytest.mark.parametrize("run", [run_scratch, run_concise], ids=["scratch", "nn.GRU"])


@RUNS
def test_the_classic_listing_runs(run):
    """Three epochs with either text: from 28 towards the share of the letters."""
    torch.manual_seed(0)
    history, model, vocab = run(3)
    assert len(vocab) == 28
    assert history.epochs == 3
    assert history.perplexity == sorted(history.perplexity, reverse=True)
    assert 15 < history.perplexity[-1] < history.perplexity[0] < 30
    text = predict("time traveller", 10, model, vocab, try_gpu())
    assert text.startswith("time traveller")


@pytest.fixture
def real_book():
    """Skip unless the real book is in ``data/`` or in the mirror."""
    try:
        dataset.fetch_book()
    except CorpusError as error:
        pytest.skip(f"the published perplexity is that of the real book: {error}")


@pytest.mark.slow
@pytest.mark.usefixtures("real_book")
@RUNS
def test_the_classic_job_ends_at_its_published_perplexity(run):
    """500 epochs, two to three minutes on one thread: perplexity 1.1 as published, or lower."""
    torch.manual_seed(0)
    history, model, vocab = run(500)
    assert history.epochs == 500
    assert min(history.perplexity[-10:]) <= 1.1  # a single epoch may stumble
    book, _, _ = dataset.load_corpus_time_machine(20_000, corpus="book")
    book = "".join(vocab.to_tokens(book))
    text = predict("time traveller", 50, model, vocab, try_gpu())[len("time traveller") :]
    assert any(text[i : i + 15] in book for i in range(len(text) - 15)), "by now it recites"
