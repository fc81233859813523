"""Perplexity, training, stopping, sampling."""

import functools
import itertools
import json
import math
import re
import signal
import threading

import numpy as np
import pytest
import torch
from reference import array, cross_entropy, refused
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, StepLR

from gru_helpers import (
    History,
    RNNModel,
    RNNModelScratch,
    Scores,
    SeqDataLoader,
    TrainingError,
    UnfinishedError,
    Vocab,
    detach_state,
    evaluate_perplexity,
    fit_temperature,
    get_params,
    grad_clipping,
    gru,
    init_gru_state,
    plotting,
    predict,
    require_finished,
    score,
    train,
)

CPU = torch.device("cpu")
TEXT = "the time traveller smiled at us over the lamp and the time machine stood there "


@pytest.fixture
def train_iter(vocab):
    """A few sentences in minibatches of 4 rows and 10 steps."""
    return SeqDataLoader(vocab[list(TEXT * 4)], vocab, 4, 10)


@pytest.fixture
def minibatches(train_iter):
    """The minibatches of one epoch, in a list."""
    return list(SeqDataLoader(train_iter.corpus, None, 4, 10, offset=0))


@pytest.fixture
def heldout_iter(vocab):
    """Other text, always cut in the same places."""
    ids = vocab[list("we all followed him down the long passage to his laboratory " * 3)]
    return SeqDataLoader(ids, vocab, 2, 10, offset=0)


@pytest.fixture
def quiet(train_iter, vocab):
    """``train`` on the sentences, without a bar."""

    def run(model, num_epochs=3, lr=1.0, data=train_iter, **look):
        return train(model, data, vocab, num_epochs, lr, CPU, **{"progress": False, **look})

    return run


def fresh(kind="scratch", seed=0):
    """A new model of 28 tokens and 8 hidden units."""
    torch.manual_seed(seed)
    if kind == "scratch":
        return RNNModelScratch(28, 8, CPU, get_params, init_gru_state, gru)
    return RNNModel(kind(28, 8), 28)


def weights(model):
    """A copy of the parameters."""
    return [p.detach().clone() for p in model.parameters()]


def same(ours, theirs):
    """Whether two lists of tensors are equal to the bit."""
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


class Oracle(nn.Module):
    """Not a network: its logits are a function of the ids, its state counts the steps."""

    def __init__(self, logits_of):
        super().__init__()
        self.vocab_size, self.logits_of = 28, logits_of
        self.theta = nn.Parameter(torch.zeros(1))
        self.steps_read = []

    def forward(self, X, state=None):
        steps = state[0] if state is not None else torch.zeros(1)
        self.steps_read.append(int(steps))
        logits = self.logits_of(X.T.reshape(-1)) + 0 * self.theta
        return logits, (steps + X.shape[1] + 0 * self.theta,)


def always_knows(ids):
    """All weight on the next token of 1, 2, 3, ..., 27, 1, 2, ..."""
    return nn.functional.one_hot(ids % 27 + 1, 28).double() * 1000


@pytest.fixture
def alphabet(vocab):
    """The tokens 1 to 27 in a circle, so that the next is always known."""
    return SeqDataLoader([i % 27 + 1 for i in range(400)], vocab, 3, 9, offset=2)


# --- perplexity of known distributions ----------------------------------------------------------


@pytest.mark.parametrize(
    ("logits_of", "expected"),
    [
        (always_knows, 1),
        (lambda ids: torch.zeros(len(ids), 28), 28),
        (lambda ids: torch.full((len(ids), 28), 5.0), 28),
        (lambda ids: always_knows(ids) + always_knows(ids + 1), 2),
        (lambda ids: always_knows(ids + 3), math.inf),
        (lambda ids: always_knows(ids) / 1000 * math.log(27), 2),  # probability 27 / 54
    ],
    ids=["always knows", "uniform", "uniform, shifted", "one of two", "always wrong", "one half"],
)
def test_perplexity_of_what_is_known(logits_of, expected, alphabet, vocab):
    oracle = Oracle(logits_of)
    assert evaluate_perplexity(oracle, alphabet) == pytest.approx(expected, rel=1e-6)
    if math.isfinite(expected):
        history = train(oracle, alphabet, vocab, 1, 1.0, progress=False)
        assert history.perplexity == [pytest.approx(expected, rel=1e-6)]


def test_perplexity_is_one_over_the_geometric_mean_of_probabilities(model, heldout_iter):
    total, count, state = 0.0, 0, None
    for X, Y in heldout_iter:
        logits, state = model(X, state)
        probabilities = torch.softmax(logits, 1).reshape(10, 2, 28)
        for row, step in itertools.product(range(2), range(10)):
            total += math.log(probabilities[step, row, Y[row, step]].item())
            count += 1
    expected = math.exp(-total / count)
    assert evaluate_perplexity(model, heldout_iter) == pytest.approx(expected, rel=1e-5)


def test_every_token_counts_the_same_in_minibatches_of_two_sizes(vocab):
    """Seven tokens that are known and one that is even: not the mean of two means."""
    data = [(torch.ones(1, 7).long(), torch.full((1, 7), 2)), (torch.ones(1, 1).long(),) * 2]
    oracle = Oracle(lambda ids: always_knows(ids) if len(ids) == 7 else torch.zeros(1, 28))
    assert evaluate_perplexity(oracle, data) == pytest.approx(28 ** (1 / 8))
    history = train(oracle, data, vocab, 1, 1.0, progress=False)
    assert history.perplexity[0] == pytest.approx(28 ** (1 / 8))


def test_evaluating_twice_gives_the_same_number_and_changes_nothing(model, heldout_iter):
    before, seed = weights(model), torch.random.get_rng_state()
    first = evaluate_perplexity(model, heldout_iter)
    assert first == evaluate_perplexity(model, heldout_iter)
    assert same(before, model.parameters())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(seed, torch.random.get_rng_state()), "and it draws no random number"


@pytest.mark.parametrize("training", [True, False])
def test_measuring_switches_dropout_off_and_leaves_the_mode_as_it_was(
    heldout_iter, vocab, training
):
    torch.manual_seed(0)
    model = RNNModel(nn.GRU(28, 8, num_layers=2, dropout=0.5), 28).train(training)
    with torch.no_grad():
        model.linear.weight.mul_(50)
    assert evaluate_perplexity(model, heldout_iter) == evaluate_perplexity(model, heldout_iter)
    assert model.training == training
    assert len({predict("time", 30, model, vocab) for _ in range(4)}) == 1
    assert model.training == training
    with pytest.raises(ValueError, match="no minibatch"):
        evaluate_perplexity(model, [])
    assert model.training == training


@pytest.mark.parametrize("use_random_iter", [False, True])
def test_evaluating_carries_the_state_unless_minibatches_are_random(vocab, use_random_iter):
    data = SeqDataLoader([1] * 200, vocab, 2, 10, use_random_iter, offset=0)
    oracle = Oracle(always_knows)
    evaluate_perplexity(oracle, data)
    assert len(oracle.steps_read) > 3
    assert oracle.steps_read == [0 if use_random_iter else 10 * i for i in range(len(data))]


def test_data_without_minibatches_is_refused(model, quiet, train_iter):
    """A generator can be read once only: the second epoch would find nothing."""
    for call in (
        lambda: evaluate_perplexity(model, []),
        lambda: quiet(model, data=[]),
        lambda: quiet(model, data=iter(train_iter)),
    ):
        with pytest.raises(ValueError, match="no minibatch") as caught:
            call()
        assert str(caught.value) == (
            "The data gave no minibatch: an iterator is used up after one pass, so give a "
            "SeqDataLoader, or a list of minibatches."
        )


# --- scores -------------------------------------------------------------------------------------


def guesses(seed, sureness, n=300):
    """Logits that are right a little more often than chance, times ``sureness``; and the labels."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(28, (n,), generator=rng)
    logits = torch.randn(n, 28, generator=rng) + 2 * nn.functional.one_hot(labels, 28)
    return logits * sureness, labels


@pytest.mark.parametrize("sureness", [0.2, 1.0, 6.0])
def test_scores_of_logits_are_the_reference_s(sureness):
    (logits, labels), tuning = guesses(0, sureness), guesses(1, sureness)
    scores = Scores.of(logits, labels, tuning)
    grid = np.exp(np.linspace(-3, 3, 6001))
    best = min(grid, key=lambda T: cross_entropy(*tuning, T))
    assert scores.temperature == pytest.approx(best, rel=2e-3)
    assert scores.perplexity == pytest.approx(np.exp(cross_entropy(logits, labels)), rel=1e-9)
    rescaled = np.exp(cross_entropy(logits, labels, scores.temperature))
    assert scores.rescaled == pytest.approx(rescaled, rel=1e-9)
    hits = sum(row.argmax() == y for row, y in zip(array(logits), labels.tolist(), strict=True))
    assert scores.hit_rate == pytest.approx(hits / len(labels))


def test_the_temperature_undoes_what_multiplies_the_logits():
    plain = fit_temperature(*guesses(0, 1.0))
    assert fit_temperature(*guesses(0, 7.0)) == pytest.approx(7 * plain, rel=1e-5)
    assert Scores.of(*guesses(2, 7.0), guesses(0, 7.0)).rescaled == pytest.approx(
        Scores.of(*guesses(2, 1.0), guesses(0, 1.0)).rescaled
    )


def test_the_temperature_where_there_is_none():
    logits, labels = guesses(0, 1.0)
    assert fit_temperature(torch.zeros(5, 28), labels[:5]) == 1  # none changes anything
    right = nn.functional.one_hot(labels, 28).float()
    assert 0.01 <= fit_temperature(right, labels) < 0.1  # sharp enough to be certain
    assert fit_temperature(-right, labels) == pytest.approx(100, rel=1e-6)
    scores = Scores.of(logits, labels)
    assert math.isnan(scores.temperature)
    assert math.isnan(scores.rescaled)


def test_score_reads_as_evaluate_perplexity_does(model, heldout_iter, train_iter, minibatches):
    for data in (heldout_iter, minibatches):
        scores = score(model, data, tuning_iter=minibatches)
        assert scores.perplexity == pytest.approx(evaluate_perplexity(model, data), rel=1e-5)
    alone = score(model, minibatches, CPU, minibatches)  # fitted on the text itself
    assert alone.rescaled <= alone.perplexity
    assert score(model, heldout_iter, CPU, minibatches).temperature == alone.temperature
    oracle = Oracle(torch.zeros(28, 28).__getitem__)
    score(oracle, minibatches)
    assert oracle.steps_read == [10 * i for i in range(len(minibatches))]
    oracle.steps_read.clear()
    score(oracle, SeqDataLoader(train_iter.corpus, None, 4, 10, use_random_iter=True))
    assert set(oracle.steps_read) == {0}


def test_score_of_what_is_known(alphabet):
    scores = score(Oracle(always_knows), alphabet)
    assert (scores.perplexity, scores.hit_rate) == (pytest.approx(1), 1)
    wrong = score(Oracle(lambda ids: always_knows(ids + 3)), alphabet)
    assert (wrong.perplexity, wrong.hit_rate) == (math.inf, 0)


def test_score_leaves_the_model_in_its_mode(model, minibatches):
    for training in (True, False):
        model.train(training)
        score(model, minibatches, tuning_iter=minibatches)
        assert model.training is training


def test_what_score_refuses(model, minibatches):
    refused(lambda: score(None, minibatches), "model must be a language model")
    refused(lambda: score(model, []), "The data gave no minibatch")
    refused(lambda: score(model, minibatches, tuning_iter=[]), "The data gave no minibatch")
    refused(lambda: score(model, minibatches, "nowhere"), "device must be one that PyTorch finds")
    logits, labels = guesses(0, 1.0)
    shapes = "logits must have shape (n, vocab_size) and labels (n,), with n of 1 or more, got "
    refused(lambda: Scores.of(logits, labels[1:]), shapes + "(300, 28) and (299,).")
    refused(lambda: fit_temperature(logits[:0], labels[:0]), shapes + "(0, 28) and (0,).")
    for bad in (math.nan, math.inf, -math.inf):
        broken = logits.clone()
        broken[3, 4] = bad
        refused(lambda broken=broken: Scores.of(broken, labels), "scores are not finite numbers")
        refused(
            lambda broken=broken: Scores.of(logits, labels, (broken, labels)), "not finite numbers"
        )


# --- clipping -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-3, 0.1, 1.0, 50.0])
@pytest.mark.parametrize("theta", [0.5, 1.0, 5.0])
def test_clipping_agrees_with_torch(scale, theta):
    rng = torch.Generator().manual_seed(0)
    ours = [torch.zeros(shape, requires_grad=True) for shape in ((3, 4), (5,), (2, 2, 2), (1,))]
    theirs = [torch.zeros_like(p, requires_grad=True) for p in ours]
    for a, b in zip(ours[:3], theirs[:3], strict=True):  # the fourth has no gradient
        a.grad = torch.randn(a.shape, generator=rng) * scale
        b.grad = a.grad.clone()
    norm = grad_clipping(ours, theta)
    expected = nn.utils.clip_grad_norm_(theirs, theta)
    assert norm == pytest.approx(expected.item(), rel=1e-6)
    assert isinstance(norm, float)
    for a, b in zip(ours[:3], theirs[:3], strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-5)
    assert ours[3].grad is None


def test_clipping_keeps_the_direction_and_short_gradients():
    p = torch.zeros(2, requires_grad=True)
    p.grad = torch.tensor([3.0, 4.0])
    assert grad_clipping([p], 1.0) == 5.0
    assert torch.allclose(p.grad, torch.tensor([0.6, 0.8]))
    grad_clipping([p], 2.0)
    assert torch.allclose(p.grad, torch.tensor([0.6, 0.8])), "short ones are left as they are"


def test_clipping_takes_a_model_or_its_parameters(model):
    assert grad_clipping(model, 1.0) == 0.0, "no gradient yet"
    model(torch.zeros((2, 5), dtype=torch.int64))[0].square().sum().backward()
    norm = math.sqrt(sum(p.grad.square().sum().item() for p in model.parameters()))
    assert grad_clipping(model, norm / 2) == pytest.approx(norm)
    assert grad_clipping(model.parameters(), 1.0) == pytest.approx(norm / 2)


# --- what training does -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["scratch", nn.RNN, nn.GRU, nn.LSTM], ids=str)
def test_training_lowers_the_perplexity(kind, quiet):
    model = fresh(kind).eval()
    history = quiet(model, 15, 0.02, optimizer=torch.optim.Adam)
    assert history.epochs == 15
    assert history.perplexity[-1] < 0.75 * history.perplexity[0]
    assert history.perplexity[0] < 40
    assert model.training, "the mode that training needs"


@pytest.mark.parametrize("use_random_iter", [False, True])
@pytest.mark.parametrize("kind", ["scratch", nn.GRU], ids=str)
def test_same_seed_same_losses_to_the_bit(kind, use_random_iter, quiet, train_iter, vocab):
    data = SeqDataLoader(train_iter.corpus, vocab, 4, 10, use_random_iter)
    first, again, other = (quiet(fresh(kind, seed), 4, data=data) for seed in (1, 1, 2))
    assert first.perplexity == again.perplexity
    assert first.samples == again.samples
    assert first.perplexity != other.perplexity


def test_watching_does_not_change_the_run(quiet, heldout_iter):
    """Held-out text, samples and the bar leave the losses as they are."""
    look = {"heldout_iter": heldout_iter, "heldout_every": 1, "sample_every": 1, "progress": True}
    assert quiet(fresh(), 4).perplexity == quiet(fresh(), 4, **look).perplexity


def by_hand(model, data, num_epochs, make_optimizer, make_scheduler=None, clip=None):
    """A training loop as one writes it: the perplexity of each epoch."""
    optimizer = make_optimizer(model.parameters())
    scheduler = make_scheduler(optimizer) if make_scheduler else None
    perplexities = []
    for _ in range(num_epochs):
        state, losses = None, []
        for X, Y in data:
            state = detach_state(state) if state else None
            logits, state = model(X, state)
            loss = nn.functional.cross_entropy(logits, Y.T.reshape(-1))
            optimizer.zero_grad()
            loss.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            if scheduler:
                scheduler.step()
            losses.append(loss.item())
        perplexities.append(math.exp(sum(losses) / len(losses)))
    return perplexities


SGD, ADAM = torch.optim.SGD, torch.optim.Adam
MOMENTUM = functools.partial(SGD, momentum=0.9)
HALVED = functools.partial(StepLR, step_size=5, gamma=0.5)  # twice in an epoch, and not at its end


@pytest.mark.parametrize("instance", [False, True], ids=["made by train", "instances"])
@pytest.mark.parametrize("scheduler", [None, HALVED], ids=["constant", "halved"])
@pytest.mark.parametrize("optimizer", [SGD, ADAM, MOMENTUM], ids=["SGD", "Adam", "a callable"])
def test_training_is_the_loop_that_one_writes_to_the_bit(
    quiet, minibatches, optimizer, scheduler, instance
):
    """With the class, a callable or an instance, of optimizer and scheduler alike."""
    expected = fresh()
    perplexities = by_hand(
        expected, minibatches, 3, functools.partial(optimizer, lr=0.02), scheduler
    )
    model, given, schedule, lr = fresh(), optimizer, scheduler, 0.02
    if instance:
        given, lr = optimizer(model.parameters(), lr=0.02), 77.0  # which is not used
        schedule = scheduler and scheduler(given)
    look = {"optimizer": given, "lr_scheduler": schedule, "clip": None, "data": minibatches}
    history = quiet(model, 3, lr, **look)
    assert same(weights(model), weights(expected))
    assert history.perplexity == pytest.approx(perplexities, rel=1e-6)


@pytest.mark.parametrize("clip", [1.0, 0.01])
def test_the_default_is_clipped_sgd(quiet, minibatches, clip):
    expected, model = fresh(), fresh()
    by_hand(expected, minibatches, 3, functools.partial(SGD, lr=0.5), clip=clip)
    quiet(model, 3, 0.5, data=minibatches, **({} if clip == 1 else {"clip": clip}))
    for a, b in zip(weights(model), weights(expected), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_an_optimizer_is_given_the_rate_and_what_requires_gradients(concise, quiet):
    given = {}

    def make(params, lr):
        given.update(params=list(params), lr=lr)
        return SGD(given["params"], lr=lr)

    concise.linear.weight.requires_grad_(False)
    before = concise.linear.weight.clone()
    quiet(concise, lr=0.125, optimizer=make)
    assert given["lr"] == 0.125
    trainable = [p for p in concise.parameters() if p is not concise.linear.weight]
    assert [id(p) for p in given["params"]] == [id(p) for p in trainable]
    assert torch.equal(concise.linear.weight, before), "what is frozen stays"


def test_an_instance_keeps_its_momentum_from_call_to_call(quiet, minibatches):
    once, twice = fresh(), fresh()
    quiet(once, 4, optimizer=MOMENTUM(once.parameters(), lr=0.1), data=minibatches)
    optimizer = MOMENTUM(twice.parameters(), lr=0.1)
    scheduler = LambdaLR(optimizer, lambda step: 1.0)
    quiet(twice, 2, optimizer=optimizer, data=minibatches)
    quiet(twice, 2, optimizer=optimizer, lr_scheduler=scheduler, data=minibatches)
    assert same(weights(once), weights(twice))
    assert scheduler.last_epoch == 2 * len(minibatches), "a step after each minibatch"


def test_gradients_that_were_there_before_do_not_count(quiet, minibatches):
    """Neither in parameters that are trained, nor in one that was frozen afterwards."""
    clean, used = fresh(nn.GRU), fresh(nn.GRU)
    for model in (clean, used):
        model.linear.bias.requires_grad_(False)
    for p in used.parameters():
        p.grad = torch.full_like(p, 1e3)
    histories = [quiet(model, data=minibatches) for model in (clean, used)]
    assert same(weights(clean), weights(used))
    assert histories[0].max_grad_norm == histories[1].max_grad_norm


def test_a_model_in_float64_and_one_whose_params_were_assigned(quiet, minibatches):
    single, double, assigned = fresh(), fresh().double(), fresh(seed=5)
    assigned.params = [p.detach().clone().requires_grad_(True) for p in single.params]
    expected = quiet(single, data=minibatches)
    assert quiet(assigned, data=minibatches).perplexity == expected.perplexity
    assert same(weights(assigned), weights(single))
    history = quiet(double, data=minibatches)
    assert history.perplexity == pytest.approx(expected.perplexity, rel=1e-4)
    assert {p.dtype for p in double.parameters()} == {torch.float64}


def test_the_model_is_moved_to_the_device(scratch, quiet, monkeypatch):
    moved = []
    monkeypatch.setattr(scratch, "to", moved.append)
    quiet(scratch, 1)
    assert moved == [CPU]


class Recorder(nn.Module):
    """A model that remembers each state that it is given in training and each that it returns."""

    def __init__(self, model):
        super().__init__()
        self.model, self.vocab_size, self.given, self.returned = model, model.vocab_size, [], []

    def forward(self, X, state=None):
        logits, new = self.model(X, state)
        if torch.is_grad_enabled():
            self.given.append(state)
            self.returned.append(new)
        return logits, new


@pytest.mark.parametrize("kind", ["scratch", nn.GRU, nn.LSTM], ids=str)
def test_sequential_training_carries_the_state_and_cuts_the_graph(kind, quiet):
    recorder = Recorder(fresh(kind))
    quiet(recorder, num_epochs=2)
    per_epoch = len(recorder.given) // 2
    assert per_epoch >= 5
    for i, state in enumerate(recorder.given):
        if i % per_epoch == 0:
            assert state is None, "each epoch starts anew"
        else:
            assert same(state, recorder.returned[i - 1])
            assert all(part.any() and part.grad_fn is None for part in state), "no graph grows"
    assert all(part.grad_fn is not None for state in recorder.returned for part in state)
    assert {len(state) for state in recorder.returned} == {2 if kind is nn.LSTM else 1}


@pytest.mark.parametrize("how", ["loader", "argument"])
def test_random_training_starts_anew_for_each_minibatch(model, quiet, train_iter, how):
    recorder = Recorder(model)
    if how == "loader":
        quiet(recorder, data=SeqDataLoader(train_iter.corpus, None, 4, 10, use_random_iter=True))
    else:
        quiet(recorder, use_random_iter=True)
    assert len(recorder.given) > 5
    assert set(recorder.given) == {None}
    recorder = Recorder(model)
    quiet(recorder, use_random_iter=False, num_epochs=1)
    assert recorder.given[1] is not None


# --- what training reports ----------------------------------------------------------------------


def test_history_has_an_entry_for_each_epoch(model, quiet):
    history = quiet(model, 4, label="mine")
    for entries in (history.perplexity, history.seconds, history.tokens_per_second):
        assert len(entries) == 4
    assert len(history.max_grad_norm) == 4
    assert history.stop_reason == "ran all 4 epochs"
    assert history.label == "mine"
    assert history.device == "cpu"
    assert history.heldout == []
    tokens = [s * t for s, t in zip(history.seconds, history.tokens_per_second, strict=True)]
    assert all(t == pytest.approx(round(t / 40) * 40) for t in tokens), "4 rows of 10 steps"


def test_history_keeps_the_largest_gradient_norm_before_clipping(quiet, minibatches):
    """The first minibatch, by hand; and clipping must not hide it."""
    X, Y = minibatches[0]
    expected = fresh()
    nn.functional.cross_entropy(expected(X)[0], Y.T.reshape(-1)).backward()
    norm = torch.cat([p.grad.flatten() for p in expected.params]).norm().item()
    for clip in (None, 1.0, norm / 10):
        history = quiet(fresh(), 1, 1e-9, data=[(X, Y)], clip=clip)
        assert history.max_grad_norm == [pytest.approx(norm, rel=1e-5)]
    constant = (torch.zeros_like(X), torch.zeros_like(Y))  # learnt at once: a smaller gradient
    assert quiet(fresh(), 1, 1e-9, data=[constant, (X, Y)]).max_grad_norm[0] > norm * 1.01
    assert quiet(fresh(), 1, 1e-9, data=[(X, Y), constant]).max_grad_norm[0] > norm * 1.01


@pytest.mark.parametrize("kind", ["scratch", nn.GRU], ids=str)
def test_the_target_stops_the_run(kind, quiet):
    free = quiet(fresh(kind), 12, 0.02, optimizer=ADAM)
    target, first = free.perplexity[5], free.epoch_of(free.perplexity[5])
    stopped = quiet(fresh(kind), 12, 0.02, optimizer=ADAM, target_perplexity=target)
    assert stopped.epochs == first < 12
    assert stopped.perplexity[-1] <= target < min(stopped.perplexity[:-1])
    assert stopped.stop_reason == f"reached perplexity {target:g} at epoch {first}"
    assert [epoch for epoch, _ in stopped.samples] == [first]
    assert quiet(fresh(kind), 2, target_perplexity=1.0).stop_reason == "ran all 2 epochs"


@pytest.mark.parametrize(
    ("num_epochs", "every", "expected"),
    [(5, 2, [2, 4, 5]), (4, 2, [2, 4]), (3, None, [1, 2, 3]), (40, None, list(range(2, 41, 2)))],
)
def test_heldout_perplexity_is_measured_on_request(
    scratch, quiet, heldout_iter, minibatches, num_epochs, every, expected
):
    data = minibatches[:1]
    history = quiet(scratch, num_epochs, data=data, heldout_iter=heldout_iter, heldout_every=every)
    assert [epoch for epoch, _ in history.heldout] == expected
    assert history.heldout[-1][1] == evaluate_perplexity(scratch, heldout_iter)


def test_samples_continue_the_prefix(scratch, quiet, vocab):
    history = quiet(scratch, 5, sample_every=2, prefix="The Lamp")
    assert [epoch for epoch, _ in history.samples] == [2, 4, 5]
    assert history.samples[-1][1] == predict("the lamp", 50, scratch, vocab)
    assert [epoch for epoch, _ in quiet(scratch, 3).samples] == [3], "by default the last only"
    assert quiet(scratch, 3, prefix=None).samples == []


def test_the_bar_moves_at_most_twice_a_second(scratch, quiet, minibatches, monkeypatch):
    """Each move is a few messages, and a client that reads them late can hold some 2,000."""
    ticks, shown = itertools.count(), []
    monkeypatch.setattr(
        "tqdm.std.time", lambda: next(ticks) / 10
    )  # an epoch in a tenth of a second
    monkeypatch.setattr("tqdm.std.tqdm.display", lambda bar, *args, **look: shown.append(bar.n))
    quiet(scratch, 200, data=minibatches[:1], progress=True, plot=False)
    assert shown[0] == 0
    assert shown[-1] == 200
    assert len(shown) < 60


def test_the_bar_names_the_perplexity(scratch, quiet, capsys):
    history = quiet(scratch, 2, progress=True)
    printed = capsys.readouterr()
    assert f"perplexity {history.perplexity[-1]:.2f}" in printed.err
    assert "2/2" in printed.err
    assert printed.out == ""
    quiet(scratch, 5, progress=True, target_perplexity=1e9)
    assert "1/5" in capsys.readouterr().err, "the last epoch of a run that stops early counts"
    quiet(scratch, 2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("drawing", "apart"), [(0.01, 10), (0.07, 28), (5.0, 40)], ids=["quick", "slow", "very slow"]
)
def test_the_live_curve_is_redrawn_seldom_and_at_the_end(
    scratch, quiet, minibatches, monkeypatch, drawing, apart
):
    """Every half second, where a drawing is slow in a twentieth of the time, at least every 2 s."""
    clock, drawn = [100.0], []

    class Picture:
        def __init__(self, alt):
            assert alt == "Training curve of mine"

        def show(self, figure):
            drawn.append(figure)
            clock[0] += drawing - 0.05

    def tick():
        clock[0] += 0.05  # an epoch takes so long
        return clock[0]

    monkeypatch.setattr(plotting, "LivePicture", Picture)
    monkeypatch.setattr(plotting, "plot_history", lambda runs, num_epochs: runs[0].epochs)
    monkeypatch.setattr(plotting.time, "monotonic", tick)
    quiet(scratch, 200, plot=True, label="mine", data=minibatches[:1])
    assert drawn[0] == 1
    assert drawn[-1] == 200
    waits = [after - before for before, after in itertools.pairwise(drawn[:-1])]
    assert len(waits) > 2
    assert all(apart <= wait <= apart + 2 for wait in waits)


# --- runs that end early ------------------------------------------------------------------------


class Failing:
    """Minibatches, until in one epoch something happens before the second of them."""

    use_random_iter = False

    def __init__(self, data, epoch, happens):
        self.data, self.epoch, self.happens, self.started = data, epoch, happens, 0

    def __iter__(self):
        self.started += 1
        for i, pair in enumerate(self.data):
            if self.started == self.epoch and i == 1:
                self.happens()
            yield pair


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize(("epoch", "finished"), [(1, 0), (3, 2)])
def test_interrupting_returns_what_was_reached(
    model, quiet, train_iter, heldout_iter, epoch, finished
):
    data = Failing(train_iter, epoch, interrupt)
    history = quiet(model, 9, data=data, heldout_iter=heldout_iter, progress=True)
    assert history.epochs == finished
    assert len(history.seconds) == len(history.tokens_per_second) == finished
    assert [e for e, _ in history.heldout] == list(range(1, finished + 1))
    assert history.stop_reason == f"interrupted in epoch {epoch}"
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert quiet(model, 2).epochs == 2, "and one can go on"


def test_an_interrupted_run_is_measured_once_more(scratch, quiet, train_iter, heldout_iter, vocab):
    """So that what follows has a held-out perplexity to draw and a text to print."""
    data = Failing(train_iter, 6, interrupt)
    history = quiet(scratch, 9, data=data, heldout_iter=heldout_iter, heldout_every=3)
    assert [epoch for epoch, _ in history.heldout] == [3, 5]
    assert history.heldout[-1][1] == evaluate_perplexity(scratch, heldout_iter)
    assert history.samples == [(5, predict("time traveller", 50, scratch, vocab))]


def test_interrupting_the_last_measurement_is_in_the_last_epoch(scratch, quiet, heldout_iter):
    data = Failing(heldout_iter, 1, interrupt)
    history = quiet(scratch, 2, heldout_iter=data, heldout_every=2)
    assert history.epochs == 2
    assert history.stop_reason == "interrupted in epoch 2"


def test_one_sentence_where_an_interrupted_run_is_needed_whole(quiet, train_iter):
    whole = quiet(fresh(), 2)
    stopped = quiet(fresh(), 9, data=Failing(train_iter, 3, interrupt), label="mine")
    unnamed = quiet(fresh(), 9, data=Failing(train_iter, 1, interrupt))
    assert (whole.interrupted, stopped.interrupted) == (False, True)
    require_finished()
    require_finished(whole, History())
    for run, name, epoch in ((stopped, "The run 'mine'", 3), (unnamed, "A run", 1)):
        with pytest.raises(UnfinishedError) as caught:
            require_finished(whole, run)
        assert str(caught.value) == (
            f"{name} was interrupted in epoch {epoch} and is needed whole here: run the cell that "
            "trains it again."
        )


@pytest.fixture
def ctrl_c():
    """Presses Ctrl-C, which in Python raises KeyboardInterrupt in the main thread."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def test_ctrl_c_while_a_run_is_set_up_waits(scratch, quiet, ctrl_c):
    """The first optimizer of a process imports for a second, and must not be cut short."""
    made = []

    def make(params, lr):
        ctrl_c()
        ctrl_c()
        made.append(SGD(params, lr=lr))
        return made[0]

    history = quiet(scratch, optimizer=make)
    assert made
    assert (history.epochs, history.stop_reason) == (0, "interrupted in epoch 1")
    assert quiet(scratch, 2).epochs == 2


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_in_an_epoch_stops_it_at_once_and_only_once(
    scratch, quiet, minibatches, heldout_iter, ctrl_c, times
):
    read = []

    def data():
        try:
            yield minibatches[0]
            ctrl_c()
            read.append("more")
        finally:
            if times == 2:
                ctrl_c()  # while the first is on its way
            read.append("closed")

    class Data:
        def __iter__(self):
            return data() if len(read) == 2 else iter(minibatches)

    read += ["", ""]
    history = quiet(scratch, 9, data=Data(), heldout_iter=heldout_iter)
    assert read[2:] == ["closed"]
    assert history.stop_reason == "interrupted in epoch 1"


def test_a_second_ctrl_c_ends_the_measuring(scratch, quiet, train_iter, heldout_iter, ctrl_c):
    heldout, held_back = Failing(heldout_iter, 1, ctrl_c), Failing(train_iter, 3, ctrl_c)
    history = quiet(scratch, 9, data=held_back, heldout_iter=heldout, heldout_every=9)
    assert heldout.started == 1
    assert history.heldout == []
    assert history.stop_reason == "interrupted in epoch 3"


def test_ctrl_c_while_the_curve_is_drawn_waits(scratch, quiet, minibatches, ctrl_c, monkeypatch):
    """The first drawing imports matplotlib; the last belongs to a run that is over."""
    drawn = []

    def show(picture, figure):
        ctrl_c()
        drawn.append(figure)

    monkeypatch.setattr(plotting.LivePicture, "show", show)
    history = quiet(scratch, 9, data=minibatches[:1], plot=True)
    assert (history.epochs, history.stop_reason) == (1, "interrupted in epoch 2")
    assert len(drawn) == 2
    monkeypatch.setattr(plotting.TrainingView, "update", lambda view: None)
    history = quiet(scratch, 2, data=minibatches[:1], plot=True)
    assert (history.epochs, history.stop_reason) == (2, "ran all 2 epochs")


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None], ids=["ignored", "another"])
def test_where_ctrl_c_means_something_else_it_is_left_alone(scratch, quiet, ctrl_c, handler):
    signal.signal(signal.SIGINT, handler)

    def make(params, lr):
        assert signal.getsignal(signal.SIGINT) is handler
        ctrl_c()
        return SGD(params, lr=lr)

    assert quiet(scratch, 2, optimizer=make).epochs == 2
    assert signal.signal(signal.SIGINT, signal.default_int_handler) is handler


def test_training_runs_in_other_threads_too(scratch, quiet):
    """Where no handler of signals can be set."""
    histories = []
    thread = threading.Thread(target=lambda: histories.append(quiet(scratch, 2)))
    thread.start()
    thread.join()
    assert histories[0].epochs == 2


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize(("epoch", "finished"), [(1, 0), (3, 2)])
@pytest.mark.parametrize(
    ("clip", "advice"), [(None, "switch clipping on (clip=1)"), (2.0, "a clip below 2")]
)
def test_a_loss_that_is_not_finite_stops_the_run(
    scratch, quiet, train_iter, epoch, finished, number, clip, advice
):
    def spoil():
        with torch.no_grad():
            scratch.params[-1].fill_(number)

    optimizer = SGD(scratch.parameters(), lr=0.25)
    data = Failing(train_iter, epoch, spoil)
    with pytest.raises(TrainingError) as caught:
        quiet(scratch, 9, 7.0, data=data, progress=True, optimizer=optimizer, clip=clip)
    assert str(caught.value) == (
        f"The loss became nan in epoch {epoch} with lr=0.25: try a smaller learning rate "
        f"(lr=0.025) or {advice}, and re-create the model; its weights are unusable."
    )
    history = caught.value.history
    assert history.epochs == finished
    assert all(math.isfinite(p) for p in history.perplexity)
    assert history.stop_reason == f"the perplexity stopped being finite in epoch {epoch}"


@pytest.mark.parametrize("lr", [1e6, 1e9, 1e38])
def test_far_too_large_a_learning_rate_is_explained(scratch, quiet, lr):
    """Nothing is spoilt by hand here: the run itself diverges."""
    with pytest.raises(TrainingError, match=re.escape(f"in epoch 1 with lr={lr:g}: try a smaller")):
        quiet(scratch, 5, lr, clip=None)


def test_a_finite_loss_whose_perplexity_overflows_stops_the_run_too(alphabet, vocab):
    """A run of infinite perplexities would say nothing."""
    with pytest.raises(TrainingError) as caught:
        train(Oracle(lambda ids: always_knows(ids + 3)), alphabet, vocab, 3, 1.0, progress=False)
    assert str(caught.value) == (
        "The loss became 1000 (perplexity inf) in epoch 1 with lr=1: try a smaller learning rate "
        "(lr=0.1) or a clip below 1, and re-create the model; its weights are unusable."
    )
    assert caught.value.history.epochs == 0


# --- History ------------------------------------------------------------------------------------


def test_history_is_saved_and_read_back(scratch, quiet, heldout_iter, tmp_path):
    history = quiet(scratch, 3, heldout_iter=heldout_iter, label="mine")
    path = history.save(tmp_path / "new" / "run.json")
    assert History.load(path) == history
    assert json.loads(path.read_text(encoding="utf-8"))["perplexity"] == history.perplexity
    infinite = History(perplexity=[math.inf, 3.0])
    assert History.load(infinite.save(path)) == infinite


@pytest.mark.parametrize(
    "content", ["", "[1, 2]", '{"perplexities": [3]}', "3", "{", '{"heldout": 3}']
)
def test_what_is_no_saved_history(tmp_path, content):
    path = tmp_path / "run.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"run\.json is not a saved History: ."):
        History.load(path)


@pytest.mark.parametrize(
    ("speeds", "look", "expected"),
    [
        ([1, 1, 10, 30, 20], {}, 20),
        ([1, 1, 10, 20, 30, 40], {}, 25),
        ([5], {}, 5),
        ([4, 6], {}, 5),
        ([9, 1, 2], {"warm_up": 0}, 2),
        ([], {}, math.nan),
    ],
)
def test_median_speed_leaves_out_the_warm_up(speeds, look, expected):
    history = History(tokens_per_second=speeds)
    assert history.median_tokens_per_second(**look) == pytest.approx(expected, nan_ok=True)


def test_epoch_of_is_the_first_at_or_below():
    history = History(perplexity=[9.0, 5.0, 2.0, 3.0, 1.5])
    assert [history.epoch_of(p) for p in (5.0, 2.5, 1.0)] == [2, 3, None]


def test_history_in_one_line():
    history = History(perplexity=[9.0, 5.25], heldout=[(2, 7.0)], stop_reason="ran all 2 epochs")
    assert repr(history) == "History: 2 epochs, perplexity 5.25, held-out 7.00; ran all 2 epochs"
    assert repr(History(perplexity=[9.0])) == "History: 1 epochs, perplexity 9.00; running"
    assert repr(History()) == "History: no epoch finished; not started"


# --- predict ------------------------------------------------------------------------------------


def test_predict_continues_the_prefix(model, vocab):
    seed = torch.random.get_rng_state()
    text = predict("time", 12, model, vocab, CPU)
    assert text.startswith("time")
    assert len(text.replace("<unk>", "?")) == 16
    assert predict("time", 12, model, vocab) == text
    assert predict("time", 0, model, vocab) == "time"
    assert torch.equal(seed, torch.random.get_rng_state()), "greedy: no random number"


def test_predict_takes_the_likeliest_character_each_time(vocab):
    assert predict("a", 5, Oracle(always_knows), vocab) == "abcdef"
    assert predict("xy", 4, Oracle(always_knows), vocab) == "xyz ab"


def test_predict_reads_the_whole_prefix(vocab):
    """The state that stands before the first prediction has seen every character before it."""
    oracle = Oracle(always_knows)
    predict("abcd", 2, oracle, vocab)
    assert oracle.steps_read == [0, 1, 2, 3, 4]


def test_predict_agrees_with_one_long_forward_pass(model, vocab):
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(30)
    ids = torch.tensor([vocab[re.findall("<unk>|.", predict("the time", 20, model, vocab))]])
    logits, _ = model(ids)
    assert ids[0, 8:].tolist() == logits.argmax(1)[7:-1].tolist()


@pytest.mark.parametrize(
    ("prefix", "text"), [("The Time", "the time"), ("it's 1895: a", "it s a"), ("time\n", "time ")]
)
def test_the_prefix_is_normalised_as_the_corpus_is(scratch, vocab, prefix, text):
    assert predict(prefix, 0, scratch, vocab) == text
    assert predict(prefix, 9, scratch, vocab) == predict(text, 9, scratch, vocab)


def test_temperature_with_a_seed_is_reproducible(model, vocab):
    def sample(seed, temperature=1.0):
        return predict("time", 30, model, vocab, temperature=temperature, seed=seed)

    before = torch.random.get_rng_state()
    assert sample(1) == sample(1)
    assert sample(1) != sample(2)
    assert torch.equal(before, torch.random.get_rng_state()), "a generator of its own"
    torch.manual_seed(3)
    first = sample(None)
    torch.manual_seed(3)
    assert first == sample(None), "without a seed of its own it follows torch's"


def test_temperature_shapes_the_distribution(vocab):
    """Logits 0 and ln 3 for b and c: shares 1/4 and 3/4 at temperature 1, 1/10 and 9/10 at 1/2."""
    logits = torch.full((28,), -torch.inf)
    logits[vocab["b"]], logits[vocab["c"]] = 0.0, math.log(3)
    oracle = Oracle(lambda ids: logits.repeat(len(ids), 1))
    for temperature, share in ((1.0, 0.75), (0.5, 0.9)):
        text = predict("a", 4000, oracle, vocab, temperature=temperature, seed=1)
        assert set(text[1:]) == {"b", "c"}
        assert text.count("c") / 4000 == pytest.approx(share, abs=0.03)


# --- what is refused, and in which words --------------------------------------------------------

OTHER = (
    "The vocabulary has 4 tokens and the model 28: use the vocabulary that the model was made for."
)
EPOCHS = "num_epochs must be a positive integer, got {}."
RATE = "lr must be a positive number, got {}."
CLIP = "clip must be a positive number, or None, got {}."
COUNT = "num_preds must be a non-negative integer, got {}."
TEMPERATURE = "temperature must be a number of 0 or more (0 takes the likeliest character), got {}."
LETTERS = "The prefix must contain at least one letter A to Z, got {}."
OPTIMIZER = (
    "The optimizer must hold all parameters of the model that require gradients: make it from "
    "model.parameters(), after they were last assigned."
)
SCHEDULER = "The lr_scheduler must belong to the optimizer that train is given."


NO_MODEL = (
    "model must be a language model with a vocab_size, such as RNNModelScratch or RNNModel, got {}."
)
NO_DEVICE = (
    "device must be one that PyTorch finds on this computer, such as 'cpu' or what try_gpu() "
    "returns, got {!r}."
)
NO_MODELS = [
    *[(None, "None"), ("gru", "str"), (fresh, "function")],
    *[(nn.Linear(3, 3), "Linear"), (nn.GRU(28, 8), "GRU")],
]


def of_another(make):
    """What ``make`` makes for another model's parameters."""
    return make(SGD(fresh(seed=9).parameters(), lr=1.0))


REFUSED = [
    *[(train, {"num_epochs": n}, EPOCHS.format(n)) for n in (0, -2, 2.5, True)],
    *[(train, {"lr": lr}, RATE.format(repr(lr))) for lr in (0, -1, math.nan, math.inf, "1")],
    *[(train, {"clip": clip}, CLIP.format(repr(clip))) for clip in (0, -1.0, math.nan, "1")],
    (train, {"vocab": Vocab(list("abc"))}, OTHER),
    (train, {"prefix": "1895"}, LETTERS.format("'1895'")),
    (train, {"optimizer": of_another(lambda optimizer: optimizer)}, OPTIMIZER),
    (train, {"optimizer": lambda params, lr: SGD(params[:-1], lr=lr)}, OPTIMIZER),
    (train, {"lr_scheduler": of_another(HALVED)}, SCHEDULER),
    (train, {"lr_scheduler": lambda optimizer: of_another(HALVED)}, SCHEDULER),
    (predict, {"vocab": Vocab(list("abc"))}, OTHER),
    *[(predict, {"prefix": text}, LETTERS.format(repr(text))) for text in ("", "1895!", "时间")],
    *[(predict, {"num_preds": n}, COUNT.format(repr(n))) for n in (-1, 2.5, True)],
    *[(predict, {"temperature": t}, TEMPERATURE.format(repr(t))) for t in (-0.5, math.nan, "1")],
    (predict, {"prefix": None}, "The prefix must be a string, got None."),
    (train, {"prefix": 3}, "The prefix must be a string, got 3."),
    *[
        (function, {"device": device}, NO_DEVICE.format(device))
        for function in (train, predict, evaluate_perplexity)
        for device in ("cuda:99", "gpu", 0.5)
    ],
    *[
        (function, {"model": wrong}, NO_MODEL.format(name))
        for function in (train, predict, evaluate_perplexity)
        for wrong, name in NO_MODELS
    ],
]


@pytest.mark.parametrize(("function", "arguments", "sentence"), REFUSED)
def test_what_is_refused_and_in_which_words(
    model, vocab, train_iter, function, arguments, sentence
):
    """Before the weights move: not after minutes, when the first sample is due."""
    before = weights(model)
    good = {"train_iter": train_iter, "num_epochs": 1, "lr": 1.0, "progress": False}
    if function is predict:
        good = {"prefix": "time", "num_preds": 3}
    good |= {"model": model, "vocab": vocab}
    if function is evaluate_perplexity:
        good = {"model": model, "data_iter": train_iter}
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        function(**{**good, **arguments})
    assert str(caught.value) == sentence
    assert same(before, model.parameters())


def test_an_optimizer_made_before_the_params_were_assigned_is_refused(scratch, quiet):
    optimizer = SGD(scratch.parameters(), lr=1.0)
    scratch.params = [p.detach().clone().requires_grad_(True) for p in scratch.params]
    with pytest.raises(ValueError, match="after they were last assigned"):
        quiet(scratch, optimizer=optimizer)


@pytest.mark.parametrize("temperature", [0, 1])
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_model_whose_training_went_wrong_writes_nothing(scratch, vocab, temperature, number):
    with torch.no_grad():
        scratch.params[-1][3] = number
    with pytest.raises(ValueError, match="scores are not finite numbers: its training went wrong"):
        predict("time", 3, scratch, vocab, temperature=temperature)


def test_a_perplexity_that_is_out_of_hand_takes_little_room():
    assert "perplexity 9.13e+14;" in repr(History(perplexity=[913226475638236.12]))
    assert "perplexity 999999.00;" in repr(History(perplexity=[999999.0]))
