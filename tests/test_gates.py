"""Gates traced and clamped, against a reference that shares no code with the package."""

import functools
import math

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import array, refused
from torch import nn

from gru_helpers import (
    Clamp,
    RNNModel,
    RNNModelScratch,
    Vocab,
    clamp_gates,
    continue_text,
    evaluate_perplexity,
    get_params,
    gru,
    gru_switched,
    half_lives,
    init_gru_state,
    predict,
    trace_gates,
)
from gru_helpers.gates import (
    GATES,
    ORDERS,
    check_traceable,
    state_jacobians,
    trace_minibatch,
    trace_sequence,
    unit_order,
)

CPU = torch.device("cpu")
KINDS = ("before", "after", "nn.GRU")
TEXT = "the time traveller smiled at us"
LETTERS = "abcdef"
START = torch.linspace(-0.9, 0.9, 6, dtype=torch.float64)


# --- models with weights of a size that makes a difference --------------------------------------


def build(kind, hiddens=6, vocab_size=28, seed=0, scale=0.7, dtype=torch.float64):
    """A scratch model that resets before or after the product, or one around ``nn.GRU``.

    ``"write"`` is a scratch model in which z = 1 writes, which cannot be traced.
    """
    rng = torch.Generator().manual_seed(seed)

    def draw(shape):
        return torch.randn(shape, generator=rng, dtype=torch.float64).mul(scale).to(dtype)

    if kind == "nn.GRU":
        model = RNNModel(nn.GRU(vocab_size, hiddens), vocab_size).to(dtype)
        with torch.no_grad():
            for param in model.parameters():
                param.copy_(draw(param.shape))
        return model
    forward_fn = {
        "before": gru,
        "after": functools.partial(gru_switched, reset_after=True),
        "write": functools.partial(gru_switched, z_keeps=False),
    }[kind]
    model = RNNModelScratch(vocab_size, hiddens, CPU, get_params, init_gru_state, forward_fn)
    shapes = [p.shape for p in model.params] + [(hiddens,)] * (kind == "after")
    model.params = [draw(shape).requires_grad_(True) for shape in shapes]
    return model


@pytest.fixture(params=KINDS)
def any_model(request):
    """Each kind of model in turn, float64, 6 units, 28 tokens."""
    return build(request.param)


def weights(model):
    """Weights by name, read here from the layer where there is one: its rows are r, z, n."""
    if not isinstance(model, RNNModel):
        return reference.named(model.params)
    parts = [np.split(array(param), 3) for param in model.rnn.parameters()]
    (W_xr, W_xz, W_xh), (W_hr, W_hz, W_hh), (b_xr, b_xz, b_h), (b_hr, b_hz, b_hn) = parts
    found = [W_xz.T, W_hz.T, b_xz + b_hz, W_xr.T, W_hr.T, b_xr + b_hr, W_xh.T, W_hh.T, b_h]
    found += [array(model.linear.weight).T, array(model.linear.bias), b_hn]
    return dict(zip(reference.NAMES, found, strict=True))


def expected_trace(model, ids, clamps=(), H=None):
    """All gates, probabilities and losses by name, from the reference."""
    P = weights(model)
    inputs = np.eye(len(P["W_xz"]))[ids][:, None]
    H = np.zeros(len(P["W_hz"])) if H is None else array(H)
    found = {
        name: part[:, 0] for name, part in reference.run(P, inputs, H[None], clamps=clamps).items()
    }
    found["probabilities"] = reference.softmax(found.pop("logits"))
    chances = [found["probabilities"][t, ids[t + 1]] for t in range(len(ids) - 1)]
    found["losses"] = -np.log(np.array(chances))
    return found


def agrees(trace, expected, tolerance=1e-12):
    """Everything in ``trace`` within ``tolerance`` of the reference (losses ten times that)."""
    for name, values in expected.items():
        found = getattr(trace, name)
        assert not found.requires_grad
        assert tuple(found.shape) == values.shape, name
        gap = np.abs(array(found) - values).max(initial=0)
        assert gap <= tolerance * (10 if name == "losses" else 1), f"{name}: {gap}"


def same(one, other):
    """Whether two traces hold the same numbers to the bit."""
    names = (*GATES, "probabilities", "losses")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


sizes = {
    "kind": st.sampled_from(KINDS),
    "hiddens": st.integers(1, 6),
    "text": st.text(LETTERS, min_size=1, max_size=12),
    "seed": st.integers(0, 10_000),
}


def case(kind, hiddens, text, seed, **look):
    """A model of these sizes, its vocabulary, and the ids of the text."""
    vocab = Vocab(LETTERS)
    model = build(kind, hiddens, len(vocab), seed, **look)
    return model, vocab, vocab[list(text)]


# --- tracing ------------------------------------------------------------------------------------


@given(dtype=st.sampled_from([torch.float64, torch.float32]), **sizes)
def test_every_gate_is_that_of_the_equations(dtype, **sizes):
    model, vocab, ids = case(**sizes, dtype=dtype)
    trace = trace_gates(model, sizes["text"], vocab)
    agrees(trace, expected_trace(model, ids), 1e-12 if dtype == torch.float64 else 1e-5)
    assert trace.Z.dtype == trace.losses.dtype == dtype
    assert trace.ids.tolist() == ids
    assert (trace.text, len(trace)) == (sizes["text"], len(ids))
    assert (trace.clamps, trace.baseline) == ((), None)


def test_the_trace_is_what_the_model_puts_out(any_model, vocab):
    trace = trace_gates(any_model, TEXT, vocab)
    logits, (H,) = any_model(trace.ids[None])
    logits = logits.detach()
    assert torch.allclose(trace.H[-1], H.reshape(-1), rtol=0, atol=1e-13)
    assert torch.allclose(trace.probabilities, logits.softmax(dim=-1), rtol=0, atol=1e-13)
    losses = nn.functional.cross_entropy(logits[:-1], trace.ids[1:], reduction="none")
    assert torch.allclose(trace.losses, losses, rtol=0, atol=1e-12)
    pair = trace.ids[None, :-1], trace.ids[None, 1:]
    assert trace.perplexity == pytest.approx(evaluate_perplexity(any_model, [pair]), rel=1e-12)
    assert trace.perplexity == pytest.approx(math.exp(losses.mean()), rel=1e-12)


def test_perplexity_at_its_ends(any_model, vocab):
    trace = trace_gates(any_model, "t", vocab)
    assert (len(trace), trace.losses.shape, trace.probabilities.shape) == (1, (0,), (1, 28))
    assert math.isnan(trace.perplexity), "one character has no loss"
    with torch.no_grad():
        (any_model.linear.bias if isinstance(any_model, RNNModel) else any_model.params[10])[0] = (
            1e5
        )
    assert trace_gates(any_model, TEXT, vocab).perplexity == math.inf


def test_nothing_in_the_model_changes(any_model, vocab):
    before = [p.detach().clone() for p in any_model.parameters()]
    trace = trace_gates(any_model, TEXT, vocab, Clamp("Z", 0.5))
    continue_text(any_model, trace, vocab, 3, 5)
    state_jacobians(any_model, trace)
    for old, new in zip(before, any_model.parameters(), strict=True):
        assert torch.equal(old, new)
        assert new.requires_grad
        assert new.grad is None
    assert any_model.training


@pytest.mark.parametrize("split", [1, 7, len(TEXT) - 1])
def test_a_text_can_be_read_in_two_parts(any_model, vocab, split):
    whole = trace_gates(any_model, TEXT, vocab)
    second, H = whole.text[split:], whole.H[split - 1]
    assert second[0] != " ", "a space at the beginning would be taken away"
    for state in (H, (H[None],), [H[None, None]]):
        part = trace_gates(any_model, second, vocab, state=state)
        assert torch.equal(part.H_start, H)
        for name in (*GATES, "probabilities"):
            gap = (getattr(part, name) - getattr(whole, name)[split:]).abs().max()
            assert gap <= 1e-14, name


def test_the_start_is_zero_unless_a_state_is_given(any_model, vocab):
    plain = trace_gates(any_model, TEXT, vocab)
    ids = plain.ids.tolist()
    assert not plain.H_start.any()
    assert same(plain, trace_gates(any_model, TEXT, vocab, state=any_model.begin_state(1)))
    trace = trace_gates(any_model, TEXT, vocab, Clamp("R", 0.5), state=(START[None],))
    agrees(trace.baseline, expected_trace(any_model, ids, H=START))
    agrees(trace, expected_trace(any_model, ids, [("R", 0.5, None, 0, None)], START))


@pytest.mark.parametrize(
    ("given", "read"),
    [("Time-Machine, 1895!", "time machine"), ("  a\n\nb ", "a b "), ("A", "a"), ("ab\t", "ab ")],
)
def test_the_text_is_cleaned_as_the_corpus_is(vocab, given, read):
    trace = trace_gates(build("before"), given, vocab)
    assert trace.text == read
    assert trace.ids.tolist() == vocab[list(read)]


def test_a_trace_says_what_it_is(vocab):
    model = build("before")
    trace = trace_gates(model, TEXT, vocab)
    assert repr(trace) == f"GateTrace: 31 steps, 6 units, perplexity {trace.perplexity:.2f}"
    held = clamp_gates(model, trace, [Clamp("Z", 1.0), Clamp("R", 0)])
    assert "6 units, 2 clamped, perplexity" in repr(held)


# --- clamps -------------------------------------------------------------------------------------


@st.composite
def clamps(draw, hiddens, num_steps):
    """Up to three that fit: as ``Clamp`` objects, and as the reference wants them."""
    made, plain = [], []
    for _ in range(draw(st.integers(1, 3))):
        gate = draw(st.sampled_from(list(GATES)))
        low = GATES[gate][1]
        # fractions of two, so that a float32 on the way makes no difference
        number = st.integers(0, 64).map(lambda n, low=low: low + (1 - low) * n / 64)
        value = draw(number | st.lists(number, min_size=hiddens, max_size=hiddens))
        units = draw(
            st.none() | st.lists(st.integers(0, hiddens - 1), min_size=1, max_size=hiddens)
        )
        start = draw(st.integers(0, num_steps - 1))
        stop = draw(st.none() | st.integers(start + 1, num_steps + 3))
        given = torch.tensor(value) if isinstance(value, list) else value
        made.append(Clamp(gate, given, units, start, stop))
        plain.append((gate, value, units, start, stop))
    return made, plain


@given(data=st.data(), **sizes)
def test_what_is_held_is_held_and_the_rest_follows_from_it(data, **sizes):
    model, vocab, ids = case(**sizes)
    made, plain = data.draw(clamps(sizes["hiddens"], len(ids)))
    trace = trace_gates(model, sizes["text"], vocab, made)
    agrees(trace, expected_trace(model, ids, plain))
    agrees(trace.baseline, expected_trace(model, ids))
    assert trace.clamps == tuple(made)
    assert same(trace, clamp_gates(model, trace.baseline, made))
    first = min(c.start for c in made)
    for name in (*GATES, "probabilities", "losses"):
        before = (getattr(t, name)[:first] for t in (trace, trace.baseline))
        assert torch.equal(*before), "before the start nothing changes"


def test_z_1_keeps_the_state_for_ever(any_model, vocab):
    trace = trace_gates(any_model, TEXT * 5, vocab, Clamp("Z", 1.0), state=START)
    assert torch.equal(trace.H, START.expand(len(trace), 6))
    trace = trace_gates(any_model, TEXT, vocab, Clamp("Z", 1.0, start=7))
    assert torch.equal(trace.H[6:], trace.H[6].expand(len(trace) - 6, 6))
    assert torch.equal(trace.H[6], trace.baseline.H[6])


@pytest.mark.parametrize("gate", GATES)
def test_held_at_the_mean_and_frozen(any_model, vocab, gate):
    plain = trace_gates(any_model, TEXT, vocab)
    mean = Clamp.mean(plain, gate, units=(0, 3), start=5)
    assert (mean.units, mean.start, mean.stop) == ((0, 3), 5, None)
    expected = array(getattr(plain, gate)).mean(axis=0)
    assert np.allclose(array(mean.value), expected, rtol=0, atol=1e-14)
    held = getattr(clamp_gates(any_model, plain, mean), gate)
    assert torch.equal(held[5:, [0, 3]], mean.value[[0, 3]].expand(len(plain) - 5, 2))

    frozen = Clamp.frozen(plain, gate, 8)
    assert (frozen.start, frozen.stop, frozen.units) == (8, None, None)
    trace = clamp_gates(any_model, plain, frozen)
    values = getattr(trace, gate)
    assert torch.equal(values[8:], getattr(plain, gate)[8].expand(len(plain) - 8, 6))
    assert torch.equal(trace.H[:9], plain.H[:9]), "at its own step it is what it was"
    elsewhere = Clamp.frozen(plain, gate, 8, start=2, stop=4, units=(1,))
    assert (elsewhere.start, elsewhere.stop, elsewhere.units) == (2, 4, (1,))
    assert torch.equal(elsewhere.value, getattr(plain, gate)[8])


def test_clamping_what_is_clamped_begins_anew(any_model, vocab):
    plain = trace_gates(any_model, TEXT, vocab)
    once = clamp_gates(any_model, plain, Clamp("Z", 1.0))
    again = clamp_gates(any_model, once, Clamp("R", 0.0))
    assert again.baseline is once.baseline is plain
    assert same(again, clamp_gates(any_model, plain, Clamp("R", 0.0)))
    assert [c.gate for c in again.clamps] == ["R"]


def test_values_and_units_in_other_forms(vocab):
    """A number is held to its last bit; lists, arrays and iterators will do."""
    model = build("before")
    assert trace_gates(model, TEXT, vocab, Clamp("Z", 0.3)).Z[0, 0].item() == 0.3
    for value in ([0.1] * 6, np.full(6, 0.1)):
        clamp = Clamp("Z", value, units=iter([torch.tensor(2), np.int64(4)]))
        assert clamp.units == (2, 4)
        held = trace_gates(model, TEXT, vocab, iter([clamp])).Z == 0.1
        assert held[:, [2, 4]].all()
        assert not held[:, [0, 1, 3, 5]].any()


# --- continuing the text ------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0, 2, 3, 17, len(TEXT) - 1])
def test_a_model_continues_as_predict_does(any_model, vocab, step):
    trace = trace_gates(any_model, TEXT, vocab)
    written = continue_text(any_model, trace, vocab, step, 25)
    assert trace.text[: step + 1] + written == predict(TEXT[: step + 1], 25, any_model, vocab)
    assert continue_text(any_model, trace, vocab, step, 0) == ""


@settings(max_examples=40)
@given(data=st.data(), **sizes)
def test_what_is_held_stays_held_in_the_text_that_follows(data, **sizes):
    model, vocab, ids = case(**sizes)
    made, plain = data.draw(clamps(sizes["hiddens"], len(ids)))
    step = data.draw(st.integers(0, len(ids) - 1))
    trace = trace_gates(model, sizes["text"], vocab, made)
    ids = ids[: step + 1]
    for _ in range(6):
        ids.append(int(expected_trace(model, ids, plain)["probabilities"][-1].argmax()))
    written = "".join(vocab.to_tokens(ids[step + 1 :]))
    assert continue_text(model, trace, vocab, step, 6) == written


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("z", [0.5, 0.25, 0.875, 1 - 2**-10, 0.0, 1.0])
def test_the_half_life_of_a_constant_gate(any_model, vocab, z):
    """None where the gate is open, infinite where it never forgets."""
    expected = {0.0: 0.0, 1.0: math.inf}.get(z) if z in (0, 1) else math.log(0.5) / math.log(z)
    found = half_lives(trace_gates(any_model, TEXT, vocab, Clamp("Z", z)))
    assert found.tolist() == pytest.approx([expected] * 6, rel=1e-12)


def test_the_half_life_of_gates_that_move_is_that_of_their_geometric_mean(any_model, vocab):
    trace = trace_gates(any_model, TEXT, vocab)
    left = array(trace.Z).prod(axis=0)
    for lives, share in zip(half_lives(trace).tolist(), left, strict=True):
        assert 0.5 ** (len(trace) / lives) == pytest.approx(share, rel=1e-9)


HELD = [
    (),
    (("R", 0.5, [1], 2, 5),),
    (("Z", 0.75, None, 3, None), ("H_tilde", 0.25, [0, 2], 0, 6)),
    (("H", -0.5, [4], 1, 4),),
]


@pytest.mark.parametrize("plain", HELD, ids=str)
def test_jacobians_are_those_of_the_reference(any_model, vocab, plain):
    trace = trace_gates(any_model, TEXT[:8], vocab, [Clamp(*c) for c in plain], state=START)
    P, before = weights(any_model), [array(START), *array(trace.H)[:-1]]
    for t, J in enumerate(state_jacobians(any_model, trace)):
        X = np.eye(28)[trace.ids[t]]
        expected = reference.state_jacobian(P, X, before[t], clamps=plain, t=t)
        assert np.allclose(array(J), expected, rtol=0, atol=1e-13)
    assert len(trace) == t + 1


def test_what_is_left_of_a_state_that_is_kept_or_held(any_model, vocab):
    trace = trace_gates(any_model, TEXT, vocab, Clamp("Z", 1.0))
    J = state_jacobians(any_model, trace)
    assert torch.equal(J, torch.eye(6, dtype=torch.float64).expand_as(J))
    trace = trace_gates(any_model, TEXT, vocab, Clamp("H", 0.5))
    assert not state_jacobians(any_model, trace).any()


# --- the order of units --------------------------------------------------------------------------


def test_units_in_four_orders(any_model, vocab):
    trace = trace_gates(any_model, TEXT, vocab)
    Z, H = array(trace.Z), array(trace.H)
    keys = {
        "index": -np.arange(6),
        "half-life": math.log(0.5) / np.log(Z).mean(axis=0),
        "mean z": Z.mean(axis=0),
        "variance": H.var(axis=0),
    }
    assert tuple(keys) == ORDERS
    held = clamp_gates(any_model, trace, Clamp("Z", 0.0))
    for by, key in keys.items():
        order = unit_order(trace, by)
        assert order.tolist() == sorted(range(6), key=lambda unit: -key[unit])
        assert torch.equal(unit_order(held, by), order), "clamps do not change the order"
    assert torch.equal(unit_order(trace), torch.arange(6))


@pytest.mark.parametrize("by", ORDERS)
def test_units_that_are_alike_stay_in_their_order(vocab, by):
    model = build("before")
    with torch.no_grad():
        for param in model.params:
            param.zero_()
        assert unit_order(trace_gates(model, TEXT, vocab), by).tolist() == list(range(6))
        model.params[2][3] = 1000.0  # z = 1 in unit 3, which never forgets
    first = unit_order(trace_gates(model, TEXT, vocab), by)[0]
    assert first == (3 if by in ("half-life", "mean z") else 0)


# --- a minibatch --------------------------------------------------------------------------------

X = torch.randint(0, 28, (3, 7), generator=torch.Generator().manual_seed(0))


def test_each_row_of_a_minibatch_is_that_of_the_reference(any_model):
    H = torch.rand(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for state in (None, (H,)):
        found = trace_minibatch(any_model, X.int(), state)
        assert list(found) == [*GATES, "probabilities", "outputs"]
        assert torch.equal(found["probabilities"], found.pop("outputs").softmax(dim=-1))
        for row, ids in enumerate(X.tolist()):
            expected = expected_trace(any_model, ids, H=None if state is None else H[row])
            for name, values in found.items():
                assert not values.requires_grad
                assert np.allclose(array(values[:, row]), expected[name], rtol=0, atol=1e-13)
    own, (last,) = any_model(X)
    found = trace_minibatch(any_model, X)
    probabilities = own.softmax(dim=-1).reshape(7, 3, 28)
    assert torch.allclose(found["probabilities"], probabilities, rtol=0, atol=1e-13)
    assert torch.allclose(found["H"][-1], last.reshape(3, 6), rtol=0, atol=1e-13)


# --- models that compute something else ---------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_untrained_model_of_the_other_writing_is_found_out(dtype, vocab):
    """Its states are small, and so is the difference."""
    torch.manual_seed(0)
    model = build("write", 64, dtype=dtype)
    model.params = [p.to(dtype) for p in get_params(28, 64, CPU)]
    refused(lambda: trace_gates(model, TEXT, vocab), "computes something else")


@pytest.mark.parametrize("kind", KINDS)
def test_large_weights_are_no_reason_to_doubt_a_model(kind, vocab):
    """Rounding grows from step to step there, but one step at a time the model is right."""
    model = build(kind, 256, scale=0.8, dtype=torch.float32)
    assert len(trace_gates(model, "the time traveller for so", vocab)) == 25


@pytest.mark.parametrize("broken", ["state", "logits"])
def test_a_model_whose_results_are_not_numbers_is_found_out(broken, vocab):
    model, nan = build("before"), math.nan

    def forward_fn(inputs, state, params):
        outputs, (H,) = gru(inputs, state, params)
        return (outputs, (H * nan,)) if broken == "state" else (outputs * nan, (H,))

    model.forward_fn = forward_fn
    refused(lambda: trace_gates(model, TEXT, vocab), "differ by nan%")


# --- what is refused ----------------------------------------------------------------------------

ENGLISH = Vocab("abcdefghijklmnopqrstuvwxyz ")


def trace(model=None, text="time flies", vocab=ENGLISH, **more):
    return trace_gates(model or build("before"), text, vocab, **more)


def held(*args, **where):
    return trace(clamps=Clamp(*args, **where))


def around(layer, *sizes, **options):
    return RNNModel(layer(28, 6, *sizes, **options), 28)


def infinite():
    model = build("before")
    with torch.no_grad():
        model.params[4][0, 0] = math.inf
    return model


def minibatch(X=X, state=None, model=None):
    return trace_minibatch(model or build("before"), X, state)


def go_on(step=1, num_chars=5, model=None, vocab=ENGLISH):
    return continue_text(model or build("before"), trace(), vocab, step, num_chars)


GATE = "gate must be one of 'Z', 'R', 'H_tilde', 'H', got"
SHARE, SIGNED = "must be clamped to values from 0 to 1, got", "clamped to values from -1 to 1, got"
STEPS = "A clamp must act on at least one step, start < stop, got"
STEP = "step must lie between 0 and 9, got"
SHAPE = "The value for Z must be a number, or have shape (6,), one for each unit, got"
UNITS = "units must lie between 0 and 5, at least one, got"
NUMBERS = "units must be the numbers of units, such as (3, 17), got"
LACKS = "The text 'cabbage' has characters that this vocabulary lacks:"
LETTER = "The text must contain at least one letter A to Z, got"
VOCAB = "The vocabulary has 4 tokens and the model 28: use the vocabulary that the model was made"
NO_GATES = (
    "The model must have an update and a reset gate (a scratch GRU, or an RNNModel around nn.GRU"
)
LAYERS = "The model must be built on nn.GRU with one layer and one direction, got GRU(28, 6, "
OTHER = "its forward function computes something else, so its gates cannot be traced."
SIZES = (
    "The model must be the one that was traced, with 6 units and 28 inputs, got one with 5 and 28."
)
ROW = "The state must be one row of 6 numbers, as begin_state(1, device) gives it, got"
MINIBATCH = "X must hold integer token ids of shape (batch_size, num_steps), got shape"

REFUSED = [
    (lambda: Clamp("Q", 0.5), f"{GATE} 'Q'."),
    (lambda: Clamp.mean(trace(), "z"), f"{GATE} 'z'."),
    (lambda: Clamp.frozen(trace(), "h", 0), f"{GATE} 'h'."),
    (lambda: Clamp("Z", -0.1), f"Z {SHARE} -0.1."),
    (lambda: Clamp("Z", math.nan), f"Z {SHARE} nan."),
    (lambda: Clamp("Z", "a"), f"Z {SHARE} 'a'."),
    (lambda: Clamp("Z", 1.00000001), f"Z {SHARE} 1.00000001."),
    (lambda: Clamp("Z", [0.5, -0.5]), f"Z {SHARE} [0.5, -0.5]."),
    (lambda: Clamp("Z", torch.tensor([0.5, math.nan])), f"Z {SHARE} tensor([0.5000, nan])."),
    (lambda: Clamp("Z", torch.full((256, 2), 2.0)), f"Z {SHARE} tensor([[2., 2.], [2., 2.], "),
    (lambda: Clamp("H", -1.01), f"H must be {SIGNED} -1.01."),
    (lambda: Clamp("H_tilde", 2), f"H_tilde must be {SIGNED} 2."),
    (lambda: Clamp("Z", 0.5, start=-1), "start must be a non-negative integer, got -1."),
    (lambda: Clamp("Z", 0.5, start=0.5), "start must be a non-negative integer, got 0.5."),
    (lambda: Clamp("Z", 0.5, stop=2.5), "stop must be a non-negative integer, got 2.5."),
    (lambda: Clamp("Z", 0.5, start=3, stop=3), f"{STEPS} start=3 and stop=3."),
    (lambda: Clamp("Z", 0.5, units=3), f"{NUMBERS} 3."),
    (lambda: Clamp("Z", 0.5, units=(0.5,)), f"{NUMBERS} (0.5,)."),
    (lambda: Clamp.frozen(trace(), "Z", 10), f"{STEP} 10."),
    (lambda: Clamp.frozen(trace(), "Z", -1), f"{STEP} -1."),
    (lambda: held("Z", 0.5, start=10), "a clamp must be one of steps 0 to 9, got 10."),
    (lambda: held("Z", torch.zeros(5)), f"{SHAPE} (5,)."),
    (lambda: held("Z", 0.5, units=(2, 6)), f"{UNITS} (2, 6)."),
    (lambda: held("Z", 0.5, units=(-1,)), f"{UNITS} (-1,)."),
    (lambda: held("Z", 0.5, units=()), f"{UNITS} ()."),
    (lambda: trace(text=" 1895, "), f"{LETTER} ' 1895, '."),
    (lambda: trace(text="1" * 400), f"{LETTER} '1111"),
    (lambda: trace(build("before", 6, 4), "cabbage", Vocab("abc")), f"{LACKS} ['e', 'g']."),
    (lambda: trace(vocab=Vocab("abc")), VOCAB),
    (lambda: check_traceable(build("before"), Vocab("abc")), VOCAB),
    (lambda: go_on(vocab=Vocab("abc")), VOCAB),
    (lambda: trace(around(nn.LSTM)), f"{NO_GATES}), got one built on LSTM."),
    (lambda: trace(around(nn.RNN)), f"{NO_GATES}), got one built on RNN."),
    (lambda: trace(nn.Linear(28, 6)), f"{NO_GATES}), got one built on Linear."),
    (lambda: trace(nn.GRU(28, 6)), "The model must have outputs, got a bare nn.GRU: wrap it"),
    (lambda: trace(around(nn.GRU, 2)), f"{LAYERS}num_layers=2"),
    (lambda: trace(around(nn.GRU, bidirectional=True)), f"{LAYERS}bidirectional=True"),
    (lambda: trace(around(nn.GRU, bias=False)), "must have biases, got bias=False."),
    (lambda: trace(infinite()), "The model has weights that are not finite numbers: its training"),
    (lambda: trace(build("write")), OTHER),
    (lambda: minibatch(model=build("write")), OTHER),
    (lambda: clamp_gates(build("before", 5), trace(), Clamp("Z", 0.5)), SIZES),
    (lambda: state_jacobians(build("before", 5), trace()), SIZES),
    (lambda: go_on(model=build("before", 5)), SIZES),
    (lambda: go_on(step=10), f"{STEP} 10."),
    (lambda: go_on(step=-1), f"{STEP} -1."),
    (lambda: go_on(num_chars=-5), "num_chars must be a non-negative integer, got -5."),
    (lambda: trace(state=(torch.zeros(2, 6),)), f"{ROW} shape (2, 6)."),
    (lambda: trace(state=torch.zeros(5)), f"{ROW} shape (5,)."),
    (lambda: trace(state=torch.full((6,), math.nan)), f"{ROW} numbers that are nan."),
    (lambda: trace(state=[0.0] * 6), f"{ROW} [0.0, 0.0"),
    (lambda: unit_order(trace(), "size"), "by must be one of 'index', 'half-life', 'mean z', 'var"),
    (lambda: minibatch(X + 1), "Token ids must lie between 0 and 27, got 28: was X made with"),
    (lambda: minibatch(torch.zeros(2, 3)), f"{MINIBATCH} (2, 3) and type torch.float32."),
    (lambda: minibatch(X[0]), f"{MINIBATCH} (7,) and type torch.int64."),
    (lambda: minibatch(X[:, :0]), f"{MINIBATCH} (3, 0) and type torch.int64."),
    (lambda: minibatch(state=(torch.zeros(2, 6),)), "The state H must have shape (3, 6), which is"),
    (lambda: minibatch(state=torch.zeros(3, 6)), "The state must be a tuple (H,) of one tensor"),
]


@pytest.mark.parametrize(("call", "words"), REFUSED, ids=[words[:40] for _, words in REFUSED])
def test_what_makes_no_sense_is_refused_in_one_sentence(call, words):
    refused(call, words)


# --- sequences of numbers -----------------------------------------------------------------------


class Reader(nn.Module):
    """A layer and what reads its states, of numbers instead of tokens; its forward reads the last.

    Its weights are those of ``build("nn.GRU")`` for as many inputs.
    """

    def __init__(self, batch_first, num_outputs=3):
        super().__init__()
        self.rnn = nn.GRU(4, 6, batch_first=batch_first).double()
        self.linear = nn.Linear(6, num_outputs).double()
        rng = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for param in self.parameters():
                param.copy_(torch.randn(param.shape, generator=rng, dtype=torch.float64) * 0.7)

    def forward(self, X):
        return self.linear(self.rnn(X)[0][:, -1])


NUMBERS = torch.randn(
    (2, 9, 4), generator=torch.Generator().manual_seed(3), dtype=torch.float64
)  # (batch_size, num_steps, num_inputs)


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_sequence_of_numbers_is_traced_as_the_reference_says(batch_first):
    model = Reader(batch_first)
    P = weights_of_reader(model)
    held = [("Z", 0.5, [1, 4], 2, 7)]
    clamp = Clamp("Z", 0.5, units=(1, 4), start=2, stop=7)
    H = torch.linspace(-0.5, 0.5, 6, dtype=torch.float64)
    minibatch = trace_minibatch(model, NUMBERS, (H.expand(2, 6),), clamps=clamp)
    for row, numbers in enumerate(NUMBERS):
        plain = trace_sequence(model, numbers, state=H)
        clamped = trace_sequence(model, numbers, clamps=clamp, state=H)
        for found, clamps in ((plain, []), (clamped, held)):
            start = array(H)[None]
            expected = reference.run(P, array(numbers)[:, None], start, clamps=clamps)
            for name in GATES:
                assert np.allclose(array(getattr(found, name)), expected[name][:, 0], atol=1e-13)
            assert np.allclose(array(found.outputs), expected["logits"][:, 0], atol=1e-13)
            assert torch.allclose(found.probabilities, found.outputs.softmax(dim=-1))
            assert torch.equal(found.inputs, numbers)
        assert same(clamped.baseline, plain)
        for name in (*GATES, "outputs"):
            assert torch.allclose(getattr(clamped, name), minibatch[name][:, row], atol=1e-14)
    if batch_first:
        assert torch.allclose(trace_minibatch(model, NUMBERS)["outputs"][-1], model(NUMBERS))


def weights_of_reader(model):
    """As ``weights``, for a ``Reader``."""
    wrapped = RNNModel(nn.GRU(4, 6), 4).double()
    wrapped.rnn.load_state_dict(model.rnn.state_dict())
    wrapped.linear = model.linear
    return weights(wrapped)


def test_a_sequence_has_names_and_no_perplexity():
    model, numbers = Reader(batch_first=True), NUMBERS[0]
    found = trace_sequence(model, numbers)
    assert found.text == tuple(f"{row[0]:.2f}" for row in numbers.tolist())
    assert trace_sequence(model, numbers, names="abcdefghi").text == tuple("abcdefghi")
    assert len(found) == 9
    assert math.isnan(found.perplexity)
    assert repr(found) == "GateTrace: 9 steps, 6 units"
    assert half_lives(found).shape == (6,)
    J = state_jacobians(model, found)
    later = trace_sequence(model, numbers[4:5], state=found.H[3] + 1e-6 * torch.eye(6)[2])
    assert torch.allclose((later.H[0] - found.H[4]) / 1e-6, J[4, :, 2], atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda m: trace_sequence(m, NUMBERS), r"of shape \(any, 4\), got torch.float64 \(2, 9, 4"),
        (lambda m: trace_sequence(m, NUMBERS[0, :, :3]), r"\(any, 4\), got torch.float64 \(9, 3"),
        (lambda m: trace_sequence(m, torch.ones(9, 4, dtype=torch.long)), "floating-point numbers"),
        (lambda m: trace_sequence(m, NUMBERS[0] / 0), "finite numbers"),
        (lambda m: trace_sequence(m, NUMBERS[0], names="abc"), "each of the 9 steps, got 3"),
        (lambda m: trace_minibatch(m, NUMBERS[0]), r"\(any, any, 4\), got torch.float64 \(9, 4"),
        (lambda m: trace_gates(m, "abc", Vocab("abc")), "which reads rows of 4 numbers"),
        (lambda m: trace_sequence(Reader(True).linear, NUMBERS[0]), "built on Linear"),
        (
            lambda m: trace_minibatch(m, NUMBERS, clamps=Clamp("Z", 1.0, units=(9,))),
            "units must lie between 0 and 5",
        ),
    ],
)
def test_what_is_no_sequence_of_numbers_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        wrong(Reader(batch_first=True))
