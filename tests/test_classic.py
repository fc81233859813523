"""Classic listings run with nothing changed but their import lines."""

import re

import pytest
import torch
from matplotlib import pyplot

from gru_helpers import CorpusError, classic, corpus, load_corpus_time_machine, predict

D2L_IMPORT = "from d2l import torch as d2l\n"
CLASSIC_IMPORT = "from gru_helpers import classic as d2l\n"
PACKAGE_IMPORT = """
from gru_helpers import (
    RNNModel, RNNModelScratch, load_data_time_machine, predict, train, try_gpu
)
"""
TRAIN = "history = train(net, train_iter, vocab, num_epochs, lr,"

HEAD = """
import torch
from torch import nn
from torch.nn import functional as F
from d2l import torch as d2l

batch_size, num_steps = 32, 35
train_iter, vocab = d2l.load_data_time_machine(batch_size, num_steps)
vocab_size, num_hiddens, device = len(vocab), 256, d2l.try_gpu()
num_epochs, lr = 500, 1
"""
TAIL = """
d2l.train_ch8(net, train_iter, vocab, lr, num_epochs, device)
print(d2l.predict_ch8('time traveller', 10, net, vocab, device))
d2l.plt.show()
"""
EQUATIONS = """
def get_params(vocab_size, num_hiddens, device):
    def weights(rows, columns):
        return 0.01 * torch.randn(rows, columns, device=device)
    def gate():
        return (weights(vocab_size, num_hiddens), weights(num_hiddens, num_hiddens),
                torch.zeros(num_hiddens, device=device))
    params = [*gate(), *gate(), *gate(), weights(num_hiddens, vocab_size),
              torch.zeros(vocab_size, device=device)]
    for p in params:
        p.requires_grad_(True)
    return params

def init_gru_state(batch_size, num_hiddens, device):
    return torch.zeros((batch_size, num_hiddens), device=device),

def gru(inputs, state, params):
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q = params
    H, = state
    Ys = []
    for X in inputs:
        Z = torch.sigmoid(X @ W_xz + H @ W_hz + b_z)
        R = torch.sigmoid(X @ W_xr + H @ W_hr + b_r)
        H_new = torch.tanh(X @ W_xh + (R * H) @ W_hh + b_h)
        H = Z * H + (1 - Z) * H_new
        Ys.append(H @ W_hq + b_q)
    return torch.cat(Ys, dim=0), (H,)
"""
OWN_SCRATCH_CLASS = """
class RNNModelScratch:
    def __init__(self, vocab_size, num_hiddens, device, get_params, init_state, forward_fn):
        self.vocab_size, self.num_hiddens = vocab_size, num_hiddens
        self.params = get_params(vocab_size, num_hiddens, device)
        self.init_state, self.forward_fn = init_state, forward_fn

    def __call__(self, X, state):
        return self.forward_fn(F.one_hot(X.T, self.vocab_size).float(), state, self.params)

    def begin_state(self, batch_size, device):
        return self.init_state(batch_size, self.num_hiddens, device)
"""
OWN_CONCISE_CLASS = """
class RNNModel(nn.Module):
    def __init__(self, rnn_layer, vocab_size):
        super().__init__()
        self.rnn, self.vocab_size = rnn_layer, vocab_size
        self.linear = nn.Linear(rnn_layer.hidden_size, vocab_size)

    def forward(self, X, state):
        Y, state = self.rnn(F.one_hot(X.T.long(), self.vocab_size).float(), state)
        return self.linear(Y.reshape(-1, Y.shape[-1])), state

    def begin_state(self, device, batch_size=1):
        return torch.zeros((1, batch_size, self.rnn.hidden_size), device=device)
"""
MAKE_SCRATCH = """
net = d2l.RNNModelScratch(len(vocab), num_hiddens, device, get_params, init_gru_state, gru)
"""
MAKE_CONCISE = """
gru_layer = nn.GRU(vocab_size, num_hiddens)
net = d2l.RNNModel(gru_layer, vocab_size=len(vocab))
net = net.to(device)
"""


def with_own_class(listing, definition):
    """The listing with the model's class written out in front."""
    return listing.replace("\nnet = d2l.", f"{definition}\nnet = ", 1)


def with_package_names(listing):
    """The listing with the package's own names, and ``train`` in their order."""
    return (
        listing.replace(D2L_IMPORT, PACKAGE_IMPORT)
        .replace("d2l.train_ch8(net, train_iter, vocab, lr, num_epochs,", TRAIN)
        .replace("predict_ch8", "predict")
        .replace("d2l.plt.show()", "")
        .replace("d2l.", "")
    )


def all_ways(listing, own_class):
    """The listing, that of tutorials which say Module for Model, and the two above."""
    modules = listing.replace("RNNModel", "RNNModule")
    return listing, modules, with_own_class(listing, own_class), with_package_names(listing)


LISTINGS = {
    "scratch": all_ways(HEAD + EQUATIONS + MAKE_SCRATCH + TAIL, OWN_SCRATCH_CLASS),
    "concise": all_ways(HEAD + MAKE_CONCISE + TAIL, OWN_CONCISE_CLASS),
}
each_kind = pytest.mark.parametrize("kind", LISTINGS)


def run(listing, num_hiddens=256, num_epochs=500):
    """Run a listing with its import line replaced and the sizes given; returns its names."""
    listing = listing.replace(D2L_IMPORT, CLASSIC_IMPORT)
    listing = listing.replace("256", str(num_hiddens)).replace("500", str(num_epochs))
    names = {}
    torch.manual_seed(0)
    exec(listing, names)
    return names


@each_kind
def test_all_ways_to_write_a_listing_train_the_same_model(kind, capsys):
    """From the same seed the weights are the same, whoever wrote the class of the model."""
    trained = []
    for listing in LISTINGS[kind]:
        names = run(listing, num_hiddens=16, num_epochs=3)
        net, device = names["net"], names["device"]
        trained.append(list(net.params if hasattr(net, "params") else net.parameters()))
        printed = capsys.readouterr().out
        assert re.search(r"^time traveller.{10}$", printed, re.MULTILINE)
        if "train_ch8" in listing:
            shape = rf"perplexity (\d+\.\d), \d+\.\d tokens/sec on {device}\n"
            shape += r"time traveller.{50}\ntraveller.{50}\n"
            assert 10 < float(re.search(shape, printed)[1]) < 28
    first, *others = trained
    for params in others:
        assert all(torch.equal(one, other) for one, other in zip(first, params, strict=True))
    untrained = run(LISTINGS[kind][0].replace("d2l.train_ch8", "print"), num_hiddens=16)["net"]
    assert not torch.allclose(first[-1], list(untrained.parameters())[-1], atol=0.1)


def test_an_interrupted_first_epoch_prints_nothing(scratch, vocab, capsys):
    class Interrupted:
        def __iter__(self):
            raise KeyboardInterrupt

    history = classic.train_ch8(scratch, Interrupted(), vocab, 1, 3, "cpu")
    assert history.epochs == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("layer", [torch.nn.GRU, torch.nn.LSTM])
def test_begin_state_takes_the_device_first(layer):
    net = classic.RNNModel(layer(28, 4, num_layers=2), 28)
    for state in (
        net.begin_state("cpu", 3),
        net.begin_state("cpu", batch_size=3),
        net.begin_state(batch_size=3, device="cpu"),
    ):
        assert [tuple(s.shape) for s in state] == [(2, 3, 4)] * len(state)
    X = torch.zeros((3, 5), dtype=torch.int64)
    assert torch.equal(net(X)[0], net(X, state)[0])


def test_try_gpu_takes_an_index(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [str(classic.try_gpu(*i)) for i in ((), (1,), (2,))] == ["cuda:0", "cuda:1", "cpu"]


def test_other_names_of_the_book():
    ids, vocab = classic.load_corpus_time_machine(max_tokens=50)
    assert (len(ids), len(vocab)) == (50, 28)
    assert classic.plt is pyplot
    assert all(hasattr(classic, name) for name in classic.__all__)
    with pytest.raises(AttributeError, match="no attribute 'train_ch9'"):
        _ = classic.train_ch9


@pytest.mark.slow
@each_kind
def test_the_classic_job_ends_at_its_published_perplexity(kind):
    """500 epochs, two to three minutes on one thread: perplexity 1.1 as published, or lower."""
    try:
        corpus.fetch_book()
    except CorpusError as error:
        pytest.skip(f"the published perplexity is that of the real book: {error}")
    names = run(with_package_names(LISTINGS[kind][0]))
    history, vocab = names["history"], names["vocab"]
    assert history.epochs == 500
    assert min(history.perplexity[-10:]) <= 1.1  # a single epoch may stumble
    book = "".join(vocab.to_tokens(load_corpus_time_machine(20_000, corpus="book")[0]))
    text = predict("time traveller", 50, names["net"], vocab)[len("time traveller") :]
    assert any(text[i : i + 15] in book for i in range(len(text) - 15)), "by now it recites"
