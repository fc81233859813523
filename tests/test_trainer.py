"""Perplexity, training, stopping, sampling."""

import itertools
import json
import math
import re

import pytest
import torch
from torch import nn

from gru_helpers import (
    History,
    RNNModel,
    RNNModelScratch,
    SeqDataLoader,
    TrainingError,
    Vocab,
    evaluate_perplexity,
    get_params,
    grad_clipping,
    gru,
    init_gru_state,
    predict,
    train,
)

CPU = torch.device("cpu")
TEXT = "the time traveller smiled at us over the lamp and the time machine stood there "


@pytest.fixture
def train_iter(vocab):
    """A few sentences in minibatches of 4 rows and 10 steps."""
    ids = vocab[list(TEXT * 4)]
    return SeqDataLoader(ids, vocab, 4, 10)


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


class Pretender:
    """Not a network: its logits are a function of the ids that it reads."""

    def __init__(self, vocab_size, logits_of):
        self.vocab_size, self.logits_of = vocab_size, logits_of
        self.theta = torch.zeros(1, requires_grad=True)
        self.states = []

    def begin_state(self, batch_size, device):
        return (torch.zeros(batch_size, 1),)

    def __call__(self, X, state):
        self.states.append(state)
        logits = self.logits_of(X.T.reshape(-1)) + 0 * self.theta
        return logits, (state[0] + X.shape[1] + 0 * self.theta,)

    def parameters(self):
        return [self.theta]


def always_knows(ids):
    """All weight on the next token of 1, 2, 3, ..., 27, 1, 2, ..."""
    return nn.functional.one_hot(ids % 27 + 1, 28).double() * 1000


def halves(ids):
    """Half of the weight on the next token, half on the one after."""
    return always_knows(ids) + always_knows(ids + 1)


@pytest.fixture
def alphabet(vocab):
    """The tokens 1 to 27 in a circle, so that the next is always known."""
    return SeqDataLoader([i % 27 + 1 for i in range(400)], vocab, 3, 9, offset=2)


# --- perplexity of known distributions ---------------------------------------------------------


@pytest.mark.parametrize(
    ("logits_of", "expected"),
    [
        (always_knows, 1),
        (lambda ids: torch.zeros(len(ids), 28), 28),
        (lambda ids: torch.full((len(ids), 28), 5.0), 28),
        (halves, 2),
        (lambda ids: always_knows(ids + 3), math.inf),
        (lambda ids: always_knows(ids) / 1000 * math.log(27), 2),  # probability 27 / 54
    ],
    ids=["always knows", "uniform", "uniform, shifted", "one of two", "always wrong", "one half"],
)
def test_perplexity_of_what_is_known(logits_of, expected, alphabet, vocab):
    pretender = Pretender(28, logits_of)
    assert evaluate_perplexity(pretender, alphabet) == pytest.approx(expected, rel=1e-6)
    history = train(pretender, alphabet, vocab, 1, 1.0, progress=False)
    assert history.perplexity == [pytest.approx(expected, rel=1e-6)]


def test_perplexity_is_one_over_the_geometric_mean_of_probabilities(model, heldout_iter):
    product, count = 0.0, 0
    state = model.begin_state(2, CPU)
    for X, Y in heldout_iter:
        logits, state = model(X, state)
        probabilities = torch.softmax(logits, 1).reshape(10, 2, 28)
        for row in range(2):
            for step in range(10):
                product += math.log(probabilities[step, row, Y[row, step]].item())
                count += 1
    expected = math.exp(-product / count)
    assert evaluate_perplexity(model, heldout_iter) == pytest.approx(expected, rel=1e-5)


def test_every_token_counts_the_same_in_minibatches_of_two_sizes(vocab):
    """Seven tokens that are known and one that is even: not the mean of two means."""
    data = [(torch.ones(1, 7).long(), torch.full((1, 7), 2)), (torch.ones(1, 1).long(),) * 2]

    def logits_of(ids):
        return always_knows(ids) if len(ids) == 7 else torch.zeros(1, 28)

    pretender = Pretender(28, logits_of)
    assert evaluate_perplexity(pretender, data) == pytest.approx(28 ** (1 / 8))
    history = train(pretender, data, vocab, 1, 1.0, progress=False)
    assert history.perplexity[0] == pytest.approx(28 ** (1 / 8))


def test_evaluating_twice_gives_the_same_number_and_changes_no_weight(model, heldout_iter):
    before = [p.detach().clone() for p in model.parameters()]
    seed = torch.random.get_rng_state()
    first = evaluate_perplexity(model, heldout_iter)
    assert first == evaluate_perplexity(model, heldout_iter)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(seed, torch.random.get_rng_state()), "and it draws no random number"


def test_measuring_switches_dropout_off_and_back_on(heldout_iter, vocab):
    torch.manual_seed(0)
    model = RNNModel(nn.GRU(28, 8, num_layers=2, dropout=0.5), 28).train()
    with torch.no_grad():
        model.linear.weight.mul_(50)
    first = evaluate_perplexity(model, heldout_iter)
    assert first == evaluate_perplexity(model, heldout_iter)
    texts = {predict("time", 30, model, vocab) for _ in range(4)}
    assert len(texts) == 1
    assert model.training


@pytest.mark.parametrize("use_random_iter", [False, True])
def test_evaluating_carries_the_state_unless_minibatches_are_random(vocab, use_random_iter):
    data = SeqDataLoader([1] * 200, vocab, 2, 10, use_random_iter, offset=0)
    pretender = Pretender(28, always_knows)
    evaluate_perplexity(pretender, data)
    starts = [state[0][0].item() for state in pretender.states]
    assert len(starts) > 3
    assert starts == [0 if use_random_iter else 10 * i for i in range(len(starts))]


def test_data_without_minibatches_is_refused(model, quiet, train_iter):
    """A generator can be read once only: the second epoch would find nothing."""
    with pytest.raises(ValueError, match=r"no minibatch.*SeqDataLoader"):
        evaluate_perplexity(model, [])
    with pytest.raises(ValueError, match=r"no minibatch.*SeqDataLoader"):
        quiet(model, data=[])
    with pytest.raises(ValueError, match=r"no minibatch.*SeqDataLoader"):
        quiet(model, data=iter(train_iter))


# --- clipping ----------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("clip", "longest"), [(1.0, 1.0), (0.01, 0.01), (None, math.inf)])
def test_no_step_is_longer_than_the_clip(scratch, quiet, clip, longest):
    """With lr=1, a step of plain SGD is its gradient."""
    lengths = []

    class Watched(torch.optim.SGD):
        def step(self):
            before = [p.detach().clone() for p in scratch.params]
            super().step()
            moved = [
                (a - b.detach()).flatten() for a, b in zip(before, scratch.params, strict=True)
            ]
            lengths.append(torch.cat(moved).norm().item())

    with torch.no_grad():
        for p in scratch.params:
            p.mul_(200)
    quiet(scratch, num_epochs=1, optimizer=Watched, clip=clip)
    assert lengths
    assert max(lengths) <= longest * 1.001
    assert max(lengths) > 1.2 if clip is None else max(lengths) > clip * 0.99


# --- what training does ------------------------------------------------------------------------


def fresh(kind, seed=0):
    """A new model of 28 tokens and 8 hidden units."""
    torch.manual_seed(seed)
    if kind == "scratch":
        return RNNModelScratch(28, 8, CPU, get_params, init_gru_state, gru)
    return RNNModel(kind(28, 8), 28)


@pytest.mark.parametrize("kind", ["scratch", nn.RNN, nn.GRU, nn.LSTM], ids=str)
def test_training_lowers_the_perplexity(kind, quiet):
    history = quiet(fresh(kind), 15, 0.02, optimizer=torch.optim.Adam)
    assert history.epochs == 15
    assert history.perplexity[-1] < 0.75 * history.perplexity[0]
    assert history.perplexity[0] < 40


@pytest.mark.parametrize("use_random_iter", [False, True])
@pytest.mark.parametrize("kind", ["scratch", nn.GRU], ids=str)
def test_same_seed_same_losses_to_the_bit(kind, use_random_iter, quiet, train_iter, vocab):
    data = SeqDataLoader(train_iter.corpus, vocab, 4, 10, use_random_iter)
    first = quiet(fresh(kind, 1), 4, data=data)
    again = quiet(fresh(kind, 1), 4, data=data)
    other = quiet(fresh(kind, 2), 4, data=data)
    assert first.perplexity == again.perplexity
    assert first.samples == again.samples
    assert first.perplexity != other.perplexity


def test_looking_on_does_not_change_the_run(quiet, heldout_iter):
    """Held-out text, samples and the bar leave the losses as they are."""
    plain = quiet(fresh("scratch"), 4)
    watched = quiet(
        fresh("scratch"), 4, heldout_iter=heldout_iter, heldout_every=1, sample_every=1,
        progress=True,
    )  # fmt: skip
    assert plain.perplexity == watched.perplexity


class Recorder:
    """A model that remembers each state that it is given and each that it returns."""

    def __init__(self, model):
        self.model, self.given, self.returned = model, [], []
        self.vocab_size = model.vocab_size

    def __call__(self, X, state):
        logits, new = self.model(X, state)
        if torch.is_grad_enabled():
            self.given.append(state[0])
            self.returned.append(new[0])
        return logits, new

    def begin_state(self, batch_size, device):
        return self.model.begin_state(batch_size, device)

    def parameters(self):
        return self.model.parameters()


def test_sequential_training_carries_the_state_and_cuts_the_graph(model, quiet):
    recorder = Recorder(model)
    quiet(recorder, num_epochs=2)
    per_epoch = len(recorder.given) // 2
    assert per_epoch >= 5
    assert all(state.grad_fn is None for state in recorder.given), "no graph grows"
    assert all(state.grad_fn is not None for state in recorder.returned)
    for i, state in enumerate(recorder.given):
        if i % per_epoch == 0:
            assert not state.any(), "each epoch starts anew"
        else:
            assert torch.equal(state, recorder.returned[i - 1])
            assert state.any()


def depth_of_graph(tensor):
    """The longest way back through the graph of ``tensor``, in operations."""
    depth, layer, seen = 0, {tensor.grad_fn}, set()
    while layer:
        depth += 1
        seen |= layer
        layer = {f for node in layer for f, _ in node.next_functions if f is not None} - seen
    return depth


def test_the_graph_is_as_deep_in_the_last_minibatch_as_in_the_first(scratch, quiet):
    recorder = Recorder(scratch)
    depths = []

    def measure(X, state):
        logits, new = Recorder.__call__(recorder, X, state)
        if torch.is_grad_enabled():
            depths.append(depth_of_graph(new[0]))
        return logits, new

    class Measuring(Recorder):
        __call__ = staticmethod(measure)

    quiet(Measuring(scratch), num_epochs=1)
    assert len(depths) >= 5
    assert len(set(depths[1:])) == 1
    assert depths[-1] <= depths[0] + 1


@pytest.mark.parametrize("how", ["loader", "argument"])
def test_random_training_starts_anew_for_each_minibatch(model, quiet, train_iter, vocab, how):
    recorder = Recorder(model)
    if how == "loader":
        quiet(recorder, data=SeqDataLoader(train_iter.corpus, vocab, 4, 10, use_random_iter=True))
    else:
        quiet(recorder, use_random_iter=True)
    assert len(recorder.given) > 5
    assert not any(state.any() for state in recorder.given)


def test_the_state_of_an_lstm_is_carried_whole(quiet):
    model = fresh(nn.LSTM)
    states = []
    forward = model.forward
    model.forward = lambda X, state: (states.append(state), forward(X, state))[1]
    quiet(model, num_epochs=1)
    assert all(len(state) == 2 for state in states)
    assert all(part.any() and part.grad_fn is None for part in states[1])


def test_sgd_does_what_sgd_does(scratch, quiet, train_iter):
    """Two minibatches by hand: parameter minus lr times the gradient of this minibatch alone."""
    data = list(SeqDataLoader(train_iter.corpus, None, 4, 10, offset=0))[:2]
    params = [p.detach().clone() for p in scratch.params]
    state = init_gru_state(4, 8, CPU)
    for X, Y in data:
        leaves = [p.clone().requires_grad_(True) for p in params]
        logits, (H,) = gru(nn.functional.one_hot(X.T, 28).float(), state, leaves)
        nn.functional.cross_entropy(logits, Y.T.reshape(-1)).backward()
        params = [(p - 0.5 * p.grad).detach() for p in leaves]
        state = (H.detach(),)
    quiet(scratch, num_epochs=1, lr=0.5, data=data, clip=None)
    for expected, new in zip(params, scratch.params, strict=True):
        assert torch.allclose(new, expected, atol=1e-7)


@pytest.mark.parametrize(
    "optimizer",
    [torch.optim.Adam, torch.optim.RMSprop,
     lambda params, lr: torch.optim.SGD(params, lr=lr, momentum=0.9)],
    ids=["Adam", "RMSprop", "a callable"],
)  # fmt: skip
def test_any_optimiser_on_request(optimizer, quiet):
    plain = quiet(fresh("scratch"), 3, 0.01)
    other = quiet(fresh("scratch"), 3, 0.01, optimizer=optimizer)
    assert other.epochs == 3
    assert other.perplexity[-1] < plain.perplexity[-1]


def test_the_optimiser_is_given_the_parameters_and_the_rate(scratch, quiet):
    given = {}

    def make(params, lr):
        given.update(params=params, lr=lr)
        return torch.optim.SGD(params, lr=lr)

    quiet(scratch, lr=0.125, optimizer=make)
    assert given["lr"] == 0.125
    assert all(a is b for a, b in zip(given["params"], scratch.params, strict=True))


def test_frozen_parameters_stay(concise, quiet):
    concise.linear.weight.requires_grad_(False)
    before = concise.linear.weight.clone()
    quiet(concise)
    assert torch.equal(concise.linear.weight, before)


# --- what training reports ---------------------------------------------------------------------


def test_history_has_an_entry_for_each_epoch(model, quiet):
    history = quiet(model, 4, label="mine")
    assert len(history.perplexity) == len(history.seconds) == len(history.tokens_per_second) == 4
    assert history.stopped == "ran all 4 epochs"
    assert history.label == "mine"
    assert history.device == "cpu"
    tokens = [s * t for s, t in zip(history.seconds, history.tokens_per_second, strict=True)]
    assert all(t == pytest.approx(round(t / 40) * 40) for t in tokens), "4 rows of 10 steps"


def test_history_keeps_the_largest_gradient_norm_before_clipping(quiet, train_iter):
    """The first minibatch of the first epoch, by hand; and clipping must not hide it."""
    pair = next(iter(SeqDataLoader(train_iter.corpus, None, 4, 10, offset=0)))
    by_hand = fresh("scratch")
    logits, _ = by_hand(pair[0], by_hand.begin_state(4, CPU))
    nn.functional.cross_entropy(logits, pair[1].T.reshape(-1)).backward()
    norm = torch.cat([p.grad.flatten() for p in by_hand.params]).norm().item()
    for clip in (None, 1.0, norm / 10):
        history = quiet(fresh("scratch"), 1, data=[pair], clip=clip)
        assert history.max_grad_norm == [pytest.approx(norm, rel=1e-5)]
    assert len(quiet(fresh("scratch"), 3).max_grad_norm) == 3


@pytest.mark.parametrize("kind", ["scratch", nn.GRU], ids=str)
def test_the_target_stops_the_run(kind, quiet):
    free = quiet(fresh(kind), 12, 0.02, optimizer=torch.optim.Adam)
    target, first = free.perplexity[5], free.epoch_of(free.perplexity[5])
    stopped = quiet(fresh(kind), 12, 0.02, optimizer=torch.optim.Adam, target_perplexity=target)
    assert stopped.epochs == first < 12
    assert stopped.perplexity[-1] <= target < min(stopped.perplexity[:-1])
    assert stopped.stopped == f"reached perplexity {target:g} at epoch {first}"
    assert [epoch for epoch, _ in stopped.samples] == [first]


def test_a_target_out_of_reach_changes_nothing(scratch, quiet):
    assert quiet(scratch, 2, target_perplexity=1.0).stopped == "ran all 2 epochs"


@pytest.mark.parametrize(
    ("num_epochs", "every", "expected"),
    [(5, 2, [2, 4, 5]), (4, 2, [2, 4]), (3, None, [1, 2, 3]), (40, None, list(range(2, 41, 2)))],
)
def test_heldout_perplexity_is_measured_on_request(
    scratch, quiet, heldout_iter, num_epochs, every, expected
):
    data = [next(iter(heldout_iter))]
    history = quiet(scratch, num_epochs, data=data, heldout_iter=heldout_iter, heldout_every=every)
    assert [epoch for epoch, _ in history.heldout] == expected
    assert history.heldout[-1][1] == evaluate_perplexity(scratch, heldout_iter)


def test_without_heldout_text_none_is_measured(scratch, quiet):
    assert quiet(scratch).heldout == []


def test_samples_go_on_from_the_prefix(scratch, quiet, vocab):
    history = quiet(scratch, 5, sample_every=2, prefix="The Lamp")
    assert [epoch for epoch, _ in history.samples] == [2, 4, 5]
    assert history.samples[-1][1] == predict("the lamp", 50, scratch, vocab)
    assert quiet(scratch, 3).samples[0][0] == 3, "by default the last epoch only"


def test_the_bar_moves_at_most_twice_a_second(scratch, quiet, monkeypatch):
    """Each move is a few messages, and a client that reads them late can hold some 2,000."""
    ticks, shown = itertools.count(), []
    monkeypatch.setattr(
        "tqdm.std.time", lambda: next(ticks) / 10
    )  # an epoch in a tenth of a second
    monkeypatch.setattr("tqdm.std.tqdm.display", lambda bar, *args, **look: shown.append(bar.n))
    quiet(scratch, num_epochs=200, progress=True, plot=False)
    assert shown[0] == 0
    assert shown[-1] == 200
    assert len(shown) < 60


def test_the_bar_names_the_perplexity(scratch, quiet, capsys):
    history = quiet(scratch, 2, progress=True)
    printed = capsys.readouterr()
    assert f"perplexity {history.perplexity[-1]:.2f}" in printed.err
    assert "2/2" in printed.err
    assert printed.out == ""
    quiet(scratch, 2)
    assert capsys.readouterr().err == ""


# --- runs that end early -----------------------------------------------------------------------


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
    assert history.stopped == f"interrupted in epoch {epoch}"
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_after_an_interruption_one_can_go_on(scratch, quiet, train_iter):
    quiet(scratch, 9, data=Failing(train_iter, 2, interrupt))
    assert quiet(scratch, 2).epochs == 2


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize(("epoch", "finished"), [(1, 0), (3, 2)])
def test_a_loss_that_is_not_finite_stops_the_run(
    scratch, quiet, train_iter, epoch, finished, number
):
    def spoil():
        with torch.no_grad():
            scratch.params[-1].fill_(number)

    with pytest.raises(TrainingError) as caught:
        quiet(scratch, 9, 0.25, data=Failing(train_iter, epoch, spoil), progress=True)
    message, history = str(caught.value), caught.value.history
    assert f"in epoch {epoch}" in message
    assert "lr=0.25" in message
    assert "a smaller learning rate (lr=0.025)" in message
    assert "make the model anew" in message
    assert history.epochs == finished
    assert all(math.isfinite(p) for p in history.perplexity)
    assert str(epoch) in history.stopped


def test_what_is_recommended_depends_on_the_clip(scratch, quiet):
    with torch.no_grad():
        scratch.params[-1].fill_(math.nan)
    with pytest.raises(TrainingError, match=r"switch clipping on \(clip=1\)"):
        quiet(scratch, clip=None)
    with pytest.raises(TrainingError, match="a clip below 2"):
        quiet(scratch, clip=2.0)


def test_far_too_large_a_learning_rate_is_explained(scratch, quiet):
    """Nothing is spoilt by hand here: the run itself goes astray."""
    with pytest.raises(TrainingError, match=r"lr=1e\+38"):
        quiet(scratch, 5, 1e38, clip=None)


# --- arguments that make no sense --------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"num_epochs": 0}, "num_epochs=0 is no number of epochs: give 1 or more"),
     ({"num_epochs": -2}, "num_epochs=-2 is"), ({"num_epochs": 2.5}, "num_epochs=2.5 is"),
     ({"num_epochs": True}, "num_epochs=True is"),
     ({"lr": 0}, "lr=0 is no learning rate: give a number above 0"), ({"lr": -1}, "lr=-1 is"),
     ({"lr": math.nan}, "lr=nan is"), ({"lr": math.inf}, "lr=inf is"), ({"lr": "1"}, "lr='1' is"),
     ({"clip": 0}, "clip=0 is no bound: give a number above 0, or None"),
     ({"clip": -1.0}, "clip=-1.0 is")],
    ids=str,
)  # fmt: skip
def test_arguments_with_which_training_cannot_start(model, quiet, arguments, words):
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(ValueError, match=re.escape(words)):
        quiet(model, **arguments)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_vocabulary_of_another_size(model, train_iter):
    with pytest.raises(ValueError, match=r"has 4 tokens and the model 28.*len\(vocab\)"):
        train(model, train_iter, Vocab(list("abc")), 1, 1.0, progress=False)


def test_a_prefix_that_cannot_be_used_is_found_before_the_training(scratch, quiet):
    """Not after minutes, when the first sample is due."""
    before = [p.detach().clone() for p in scratch.params]
    with pytest.raises(ValueError, match="holds no letters"):
        quiet(scratch, prefix="1895")
    assert all(torch.equal(a, b) for a, b in zip(before, scratch.params, strict=True))


# --- History -----------------------------------------------------------------------------------


def test_history_is_saved_and_read_back(scratch, quiet, heldout_iter, tmp_path):
    history = quiet(scratch, 3, heldout_iter=heldout_iter, label="mine")
    path = history.save(tmp_path / "new" / "run.json")
    assert History.load(path) == history
    assert json.loads(path.read_text(encoding="utf-8"))["perplexity"] == history.perplexity


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"perplexities": [3]}', "3", "{"])
def test_what_is_no_saved_history(tmp_path, content):
    path = tmp_path / "run.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"run\.json is not a saved History"):
        History.load(path)


def test_an_infinite_perplexity_is_saved_too(tmp_path):
    history = History(perplexity=[math.inf, 3.0])
    assert History.load(history.save(tmp_path / "run.json")) == history


@pytest.mark.parametrize(
    ("speeds", "expected"),
    [([1, 1, 10, 30, 20], 20), ([1, 1, 10, 20, 30, 40], 25), ([5], 5), ([4, 6], 5)],
)
def test_median_speed_leaves_out_the_warm_up(speeds, expected):
    assert History(tokens_per_second=speeds).median_tokens_per_second() == expected


def test_median_speed_of_no_epoch_and_with_another_warm_up():
    assert math.isnan(History().median_tokens_per_second())
    assert History(tokens_per_second=[9, 1, 2]).median_tokens_per_second(warm_up=0) == 2


def test_epoch_of_is_the_first_at_or_below():
    history = History(perplexity=[9.0, 5.0, 2.0, 3.0, 1.5])
    assert history.epoch_of(5.0) == 2
    assert history.epoch_of(2.5) == 3
    assert history.epoch_of(1.0) is None


def test_history_in_one_line():
    history = History(perplexity=[9.0, 5.25], heldout=[(2, 7.0)], stopped="ran all 2 epochs")
    assert repr(history) == "History: 2 epochs, perplexity 5.25, held-out 7.00; ran all 2 epochs"
    assert repr(History()) == "History: no epoch finished; not started"


# --- predict -----------------------------------------------------------------------------------


def test_predict_goes_on_from_the_prefix(model, vocab):
    text = predict("time", 12, model, vocab, CPU)
    assert text.startswith("time")
    assert len(vocab.to_tokens(vocab[list(text.replace("<unk>", "?"))])) == 16
    assert predict("time", 0, model, vocab) == "time"


def test_predict_takes_the_likeliest_character_each_time(vocab):
    pretender = Pretender(28, always_knows)
    assert predict("a", 5, pretender, vocab) == "abcdef"
    assert predict("xy", 4, pretender, vocab) == "xyz ab"


def test_predict_reads_the_whole_prefix(vocab):
    """The state that stands before the first prediction has seen every character before it."""
    pretender = Pretender(28, always_knows)
    predict("abcd", 2, pretender, vocab)
    assert [state[0].item() for state in pretender.states] == [0, 1, 2, 3, 4]


def test_predict_agrees_with_one_long_forward_pass(model, vocab):
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(30)
    text = predict("the time", 20, model, vocab)
    tokens = re.findall("<unk>|.", text)
    ids = torch.tensor([vocab[tokens]])
    logits, _ = model(ids, model.begin_state(1, CPU))
    assert ids[0, 8:].tolist() == logits.argmax(1)[7:-1].tolist()


def test_greedy_is_deterministic_and_needs_no_random_number(model, vocab):
    seed = torch.random.get_rng_state()
    assert predict("time", 20, model, vocab) == predict("time", 20, model, vocab)
    assert torch.equal(seed, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("prefix", "text"),
    [("The Time", "the time"), ("  time--traveller!", "time traveller"), ("it's 1895: a", "it s a"),
     ("time ", "time "), ("time\n", "time ")],
)  # fmt: skip
def test_the_prefix_is_normalised_as_the_corpus_is(scratch, vocab, prefix, text):
    assert predict(prefix, 0, scratch, vocab) == text
    assert predict(prefix, 9, scratch, vocab) == predict(text, 9, scratch, vocab)


def test_temperature_with_a_seed_is_reproducible(model, vocab):
    def sample(seed, temperature=1.0):
        return predict("time", 30, model, vocab, temperature=temperature, seed=seed)

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)
    assert sample(1) != sample(1, 5.0) or sample(2) != sample(2, 0.05)
    torch.manual_seed(3)
    first = sample(None)
    torch.manual_seed(3)
    assert first == sample(None), "without a seed of its own it follows torch's"


def test_temperature_shapes_the_distribution(vocab):
    """Logits 0 and ln 3 for b and c: shares 1/4 and 3/4 at temperature 1, 1/10 and 9/10 at 1/2."""
    logits = torch.full((28,), -torch.inf)
    logits[vocab["b"]], logits[vocab["c"]] = 0.0, math.log(3)
    pretender = Pretender(28, lambda ids: logits.repeat(len(ids), 1))
    for temperature, share in ((1.0, 0.75), (0.5, 0.9)):
        text = predict("a", 4000, pretender, vocab, temperature=temperature, seed=1)
        assert set(text[1:]) == {"b", "c"}
        assert text.count("c") / 4000 == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("prefix", ["", "   ", "1895!", "\n", "时间"])
def test_a_prefix_without_letters(scratch, vocab, prefix):
    words = f"{re.escape(repr(prefix))} holds no letters A to Z: give"
    with pytest.raises(ValueError, match=words):
        predict(prefix, 5, scratch, vocab)


@pytest.mark.parametrize(("prefix", "unknown"), [("abcxy", "x"), ("ab c", " "), ("ab ", " ")])
def test_characters_that_the_vocabulary_lacks(prefix, unknown):
    vocab = Vocab(list("abc"))
    pretender = Pretender(4, lambda ids: torch.zeros(len(ids), 4))
    with pytest.raises(ValueError, match=rf"this vocabulary lacks: \['{unknown}'"):
        predict(prefix, 5, pretender, vocab)


def test_a_vocabulary_of_another_size_than_the_model(model):
    with pytest.raises(ValueError, match="has 4 tokens and the model 28: use the vocabulary that"):
        predict("abc", 5, model, Vocab(list("abc")))


@pytest.mark.parametrize(
    ("look", "words"),
    [({"num_preds": -1}, "num_preds=-1 is not a length: give 0 or more"),
     ({"num_preds": 2.5}, "num_preds=2.5 is not a length"),
     ({"temperature": -0.5}, r"temperature=-0.5 is negative: give 0 \(greedy\) or more"),
     ({"temperature": math.nan}, "temperature=nan is")],
    ids=str,
)  # fmt: skip
def test_numbers_with_which_nothing_can_be_predicted(scratch, vocab, look, words):
    with pytest.raises(ValueError, match=words):
        predict("time", **{"num_preds": 3, **look}, model=scratch, vocab=vocab)


def test_without_a_prefix_there_are_no_samples(scratch, vocab, train_iter):
    history = train(scratch, train_iter, vocab, 2, 1, prefix=None, progress=False, plot=False)
    assert history.samples == []
