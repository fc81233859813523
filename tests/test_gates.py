"""Gates traced and held by force, against a reference that shares no code with the package."""

import math
import re
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gru_helpers import (
    PARAM_NAMES,
    Force,
    RNNModel,
    RNNModelScratch,
    Vocab,
    evaluate_perplexity,
    force_gates,
    get_params,
    gru,
    gru_switched,
    half_lives,
    init_gru_state,
    load_pretrained,
    predict,
    trace_gates,
    write_on,
)
from gru_helpers.gates import (
    GATES,
    ORDERS,
    check_traceable,
    correlations,
    own_derivatives,
    state_jacobians,
    text_features,
    trace_minibatch,
    unit_order,
)

CPU = torch.device("cpu")
KINDS = ("before", "after", "nn.GRU")
TEXT = "the time traveller smiled at us"
LETTERS = "abcdef"
ENGLISH = Vocab("abcdefghijklmnopqrstuvwxyz ")


# --- models with weights of a size that makes a difference --------------------------------------


def after_form(inputs, state, params):
    """``gru_switched`` with the reset gate after the matrix product."""
    return gru_switched(inputs, state, params, reset="after")


def write_form(inputs, state, params):
    """``gru_switched`` with z = 1 for writing."""
    return gru_switched(inputs, state, params, z_means="write")


def build(kind, hiddens=6, vocab_size=28, seed=0, scale=0.7, dtype=torch.float64):
    """A scratch model that resets before or after the product, or one around ``nn.GRU``."""
    rng = torch.Generator().manual_seed(seed)

    def draw(shape):
        return torch.randn(shape, generator=rng, dtype=torch.float64).mul(scale).to(dtype)

    if kind == "nn.GRU":
        model = RNNModel(nn.GRU(vocab_size, hiddens), vocab_size).to(dtype)
        with torch.no_grad():
            for param in model.parameters():
                param.copy_(draw(param.shape))
        return model
    forward_fn = {"before": gru, "after": after_form, "write": write_form}[kind]
    model = RNNModelScratch(vocab_size, hiddens, CPU, get_params, init_gru_state, forward_fn)
    shapes = [p.shape for p in model.params] + [(hiddens,)] * (kind == "after")
    model.params = [draw(shape).requires_grad_(True) for shape in shapes]
    return model


@pytest.fixture(params=KINDS)
def any_model(request):
    """Each kind of model in turn, float64, 6 units, 28 tokens."""
    return build(request.param)


# --- the reference: numpy, one character at a time ----------------------------------------------


def array(tensor):
    """The numbers of a tensor, float64."""
    return tensor.detach().numpy().astype(np.float64)


def weights(model):
    """Weights by name, read here from the layer where there is one: its rows are r, z, n."""
    if not isinstance(model, RNNModel):
        return {n: array(p) for n, p in zip((*PARAM_NAMES, "b_hn"), model.params, strict=False)}
    layer, n = model.rnn, model.num_hiddens
    W_x, W_h = array(layer.weight_ih_l0), array(layer.weight_hh_l0)
    b_x, b_h = array(layer.bias_ih_l0), array(layer.bias_hh_l0)
    r, z, c = slice(0, n), slice(n, 2 * n), slice(2 * n, 3 * n)
    return {
        "W_xz": W_x[z].T, "W_hz": W_h[z].T, "b_z": b_x[z] + b_h[z],
        "W_xr": W_x[r].T, "W_hr": W_h[r].T, "b_r": b_x[r] + b_h[r],
        "W_xh": W_x[c].T, "W_hh": W_h[c].T, "b_h": b_x[c], "b_hn": b_h[c],
        "W_hq": array(model.linear.weight).T, "b_q": array(model.linear.bias),
    }  # fmt: skip


def logistic(a):
    return 0.5 * (1 + np.tanh(0.5 * a))


def put(forces, gate, t, values):
    """``values``, with those of ``forces`` (gate, value, units, start, stop) in their places."""
    values = values.copy()
    for which, value, units, start, stop in forces:
        if which == gate and start <= t and (stop is None or t < stop):
            for u in range(len(values)) if units is None else units:
                values[u] = np.broadcast_to(value, values.shape)[u]
    return values


def reference_step(P, idx, H, forces=(), t=0):
    """Z, R, H_tilde and the new H after one character."""
    X = np.zeros(len(P["W_xz"]))
    X[idx] = 1
    Z = put(forces, "Z", t, logistic(X @ P["W_xz"] + H @ P["W_hz"] + P["b_z"]))
    R = put(forces, "R", t, logistic(X @ P["W_xr"] + H @ P["W_hr"] + P["b_r"]))
    after = "b_hn" in P
    past = R * (H @ P["W_hh"] + P["b_hn"]) if after else (R * H) @ P["W_hh"]
    H_tilde = put(forces, "H_tilde", t, np.tanh(X @ P["W_xh"] + past + P["b_h"]))
    return Z, R, H_tilde, put(forces, "H", t, Z * H + (1 - Z) * H_tilde)


def reference(model, ids, forces=(), H=None):
    """All gates, probabilities and losses by name."""
    P = weights(model)
    H = np.zeros(len(P["W_hz"])) if H is None else H
    rows = []
    for t, idx in enumerate(ids):
        rows.append(reference_step(P, idx, H, forces, t))
        H = rows[-1][-1]
    found = dict(zip(GATES, (np.array(part) for part in zip(*rows, strict=True)), strict=True))
    scores = found["H"] @ P["W_hq"] + P["b_q"]
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    found["probabilities"] = shares / shares.sum(axis=1, keepdims=True)
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
# fractions of two, so that a float32 on the way makes no difference
shares = st.integers(0, 64).map(lambda n: n / 64)


def case(kind, hiddens, text, seed, **look):
    """A model of these sizes, its vocabulary, and the ids of the text."""
    vocab = Vocab(LETTERS)
    model = build(kind, hiddens, len(vocab), seed, **look)
    return model, vocab, vocab[list(text)]


# --- tracing ------------------------------------------------------------------------------------


@given(**sizes)
def test_every_gate_is_that_of_the_equations(**sizes):
    model, vocab, ids = case(**sizes)
    trace = trace_gates(model, sizes["text"], vocab)
    agrees(trace, reference(model, ids))
    assert trace.Z.dtype == torch.float64
    assert trace.ids.tolist() == ids
    assert (trace.text, len(trace)) == (sizes["text"], len(ids))
    assert (trace.force, trace.unforced) == ((), None)


@settings(max_examples=20)
@given(**sizes)
def test_in_single_precision_too(**sizes):
    model, vocab, ids = case(**sizes, dtype=torch.float32)
    trace = trace_gates(model, sizes["text"], vocab)
    agrees(trace, reference(model, ids), 1e-5)
    assert trace.H.dtype == torch.float32


def one_hot(trace, model):
    return nn.functional.one_hot(trace.ids, model.vocab_size).to(trace.H.dtype)


def test_the_states_are_those_that_nn_gru_puts_out(vocab):
    model = build("nn.GRU")
    trace = trace_gates(model, TEXT, vocab)
    outputs, last = model.rnn(one_hot(trace, model)[:, None])
    assert torch.allclose(trace.H, outputs[:, 0], rtol=0, atol=1e-13)
    assert torch.allclose(trace.H[-1], last[0, 0], rtol=0, atol=1e-13)


def own_logits(model, trace, state=None):
    state = model.begin_state(1, CPU) if state is None else state
    return model(trace.ids[None], state)[0].detach()


def test_probabilities_and_losses_are_the_models_own(any_model, vocab):
    trace = trace_gates(any_model, TEXT, vocab)
    logits = own_logits(any_model, trace)
    assert torch.allclose(trace.probabilities, logits.softmax(dim=-1), rtol=0, atol=1e-13)
    losses = nn.functional.cross_entropy(logits[:-1], trace.ids[1:], reduction="none")
    assert torch.allclose(trace.losses, losses, rtol=0, atol=1e-12)
    pair = trace.ids[None, :-1], trace.ids[None, 1:]
    assert trace.perplexity == pytest.approx(evaluate_perplexity(any_model, [pair]), rel=1e-12)
    assert trace.perplexity == pytest.approx(math.exp(losses.mean()), rel=1e-12)


def test_a_text_of_one_character_has_no_loss(any_model, vocab):
    trace = trace_gates(any_model, "t", vocab)
    assert len(trace) == 1
    assert trace.losses.shape == (0,)
    assert math.isnan(trace.perplexity)
    assert trace.probabilities.shape == (1, 28)


def test_a_hopeless_model_has_infinite_perplexity(vocab):
    model = build("before")
    with torch.no_grad():
        model.params[-1][0] = 1e5
    assert trace_gates(model, TEXT, vocab).perplexity == math.inf


def test_nothing_in_the_model_changes(any_model, vocab):
    before = [p.detach().clone() for p in any_model.parameters()]
    trace = trace_gates(any_model, TEXT, vocab, Force("Z", 0.5))
    write_on(any_model, trace, vocab, 3, 5)
    state_jacobians(any_model, trace)
    for old, new in zip(before, any_model.parameters(), strict=True):
        assert torch.equal(old, new)
        assert new.requires_grad
        assert new.grad is None
    assert getattr(any_model, "training", True)


@pytest.mark.parametrize("split", [1, 7, len(TEXT) - 1])
def test_a_text_can_be_read_in_two_parts(any_model, vocab, split):
    whole = trace_gates(any_model, TEXT, vocab)
    second = whole.text[split:]
    assert second[0] != " ", "a space at the beginning would be taken away"
    states = [whole.H[split - 1], (whole.H[split - 1][None],), [whole.H[split - 1][None, None]]]
    for state in states:
        part = trace_gates(any_model, second, vocab, state=state)
        assert torch.equal(part.H_start, whole.H[split - 1])
        for name in (*GATES, "probabilities"):
            gap = (getattr(part, name) - getattr(whole, name)[split:]).abs().max()
            assert gap <= 1e-14, name


def test_the_start_is_zero_unless_a_state_is_given(any_model, vocab):
    plain = trace_gates(any_model, TEXT, vocab)
    assert not plain.H_start.any()
    assert same(plain, trace_gates(any_model, TEXT, vocab, state=any_model.begin_state(1, CPU)))
    start = torch.linspace(-0.9, 0.9, 6, dtype=torch.float64)
    trace = trace_gates(any_model, TEXT, vocab, state=(start[None],))
    agrees(trace, reference(any_model, trace.ids.tolist(), H=start.numpy()))


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
    held = force_gates(model, trace, [Force("Z", 1.0), Force("R", 0)])
    assert "6 units, 2 forced, perplexity" in repr(held)


# --- force --------------------------------------------------------------------------------------


@st.composite
def forces(draw, hiddens, num_steps):
    """Up to three forces that fit: as ``Force`` objects, and as the reference wants them."""
    made, plain = [], []
    for _ in range(draw(st.integers(1, 3))):
        gate = draw(st.sampled_from(list(GATES)))
        low = GATES[gate][1]
        number = shares.map(lambda share, low=low: low + (1 - low) * share)
        if draw(st.booleans()):
            value = draw(number)
            given = value
        else:
            value = np.array(draw(st.lists(number, min_size=hiddens, max_size=hiddens)))
            given = torch.tensor(value)
        numbers = st.lists(st.integers(0, hiddens - 1), min_size=1, max_size=hiddens)
        units = draw(st.none() | numbers)
        start = draw(st.integers(0, num_steps - 1))
        stop = draw(st.none() | st.integers(start + 1, num_steps + 3))
        made.append(Force(gate, given, units and tuple(units), start, stop))
        plain.append((gate, value, units, start, stop))
    return made, plain


@given(data=st.data(), **sizes)
def test_what_is_held_is_held_and_the_rest_follows_from_it(data, **sizes):
    model, vocab, ids = case(**sizes)
    made, plain = data.draw(forces(sizes["hiddens"], len(ids)))
    trace = trace_gates(model, sizes["text"], vocab, made)
    agrees(trace, reference(model, ids, plain))
    agrees(trace.unforced, reference(model, ids))
    assert trace.force == tuple(made)
    assert same(trace, force_gates(model, trace.unforced, made))
    first = min(f.start for f in made)
    for name in GATES:
        assert torch.equal(getattr(trace, name)[:first], getattr(trace.unforced, name)[:first])


@pytest.mark.parametrize("gate", GATES)
def test_before_the_start_nothing_changes_and_then_it_does(any_model, vocab, gate):
    trace = trace_gates(any_model, TEXT, vocab, Force(gate, 0.75, start=10))
    plain = trace.unforced
    for name in (*GATES, "probabilities"):
        forced, free = getattr(trace, name), getattr(plain, name)
        assert torch.equal(forced[:10], free[:10])
        assert not torch.equal(forced[10:], free[10:])
    assert (getattr(trace, gate)[10:] == 0.75).all()
    assert torch.equal(trace.losses[:10], plain.losses[:10])
    assert trace.perplexity != plain.perplexity


def test_only_the_units_and_steps_that_are_named(any_model, vocab):
    trace = trace_gates(any_model, TEXT, vocab, Force("R", 0.25, units=(1, 4), start=3, stop=9))
    held = trace.R == 0.25
    expected = torch.zeros_like(held)
    expected[3:9, [1, 4]] = True
    assert torch.equal(held, expected)


@pytest.mark.parametrize("gate", GATES)
def test_where_two_hold_the_same_unit_the_later_one_counts(any_model, vocab, gate):
    both = [Force(gate, 0.25), Force(gate, 0.75, units=(2,), start=4)]
    held = getattr(trace_gates(any_model, TEXT, vocab, both), gate)
    assert (held[4:, 2] == 0.75).all()
    assert (held[:4, 2] == 0.25).all()
    assert (held[:, [0, 1, 3, 4, 5]] == 0.25).all()
    held = getattr(trace_gates(any_model, TEXT, vocab, both[::-1]), gate)
    assert (held == 0.25).all()


def test_z_1_keeps_the_state_for_ever(any_model, vocab):
    start = torch.linspace(-1, 1, 6, dtype=torch.float64)
    trace = trace_gates(any_model, TEXT * 5, vocab, Force("Z", 1.0), state=start)
    assert torch.equal(trace.H, start.expand(len(trace), 6))
    trace = trace_gates(any_model, TEXT, vocab, Force("Z", 1.0, start=7))
    assert torch.equal(trace.H[6:], trace.H[6].expand(len(trace) - 6, 6))
    assert torch.equal(trace.H[6], trace.unforced.H[6])


def test_z_0_and_r_1_is_a_plain_rnn_and_neither_alone_is(any_model, vocab):
    P = {name: torch.tensor(values) for name, values in weights(any_model).items()}
    cell = nn.RNNCell(28, 6, dtype=torch.float64)
    with torch.no_grad():
        cell.weight_ih.copy_(P["W_xh"].T)
        cell.weight_hh.copy_(P["W_hh"].T)
        cell.bias_ih.copy_(P["b_h"])
        cell.bias_hh.copy_(P.get("b_hn", torch.zeros(6)))
    plain = trace_gates(any_model, TEXT, vocab)
    H, states = torch.zeros(1, 6, dtype=torch.float64), []
    with torch.no_grad():
        for x in one_hot(plain, any_model):
            H = cell(x[None], H)
            states.append(H[0])
    expected = torch.stack(states)
    z, r = Force("Z", 0.0), Force("R", 1.0)
    both = force_gates(any_model, plain, (z, r))
    assert torch.allclose(both.H, expected, rtol=0, atol=1e-12)
    for alone in (z, r):
        assert (force_gates(any_model, plain, alone).H - expected).abs().max() > 0.01


def test_without_both_gates_only_the_last_character_counts(any_model, vocab):
    none = (Force("R", 0.0), Force("Z", 0.0))
    trace = trace_gates(any_model, TEXT, vocab, none)
    seen = {}
    for character, H in zip(trace.text, trace.H, strict=True):
        assert torch.equal(seen.setdefault(character, H), H)
    assert len({tuple(H.tolist()) for H in seen.values()}) == len(set(trace.text))


@pytest.mark.parametrize("gate", GATES)
def test_held_at_what_it_is_anyway_nothing_changes(any_model, vocab, gate):
    plain = trace_gates(any_model, TEXT, vocab)
    own = [Force(gate, row, start=t, stop=t + 1) for t, row in enumerate(getattr(plain, gate))]
    assert same(force_gates(any_model, plain, own), plain)


@pytest.mark.parametrize("gate", GATES)
def test_held_at_the_mean_and_frozen(any_model, vocab, gate):
    plain = trace_gates(any_model, TEXT, vocab)
    mean = Force.mean(plain, gate, units=(0, 3), start=5)
    assert (mean.units, mean.start, mean.stop) == ((0, 3), 5, None)
    expected = array(getattr(plain, gate)).mean(axis=0)
    assert np.allclose(array(mean.value), expected, rtol=0, atol=1e-14)
    held = getattr(force_gates(any_model, plain, mean), gate)
    assert torch.equal(held[5:, [0, 3]], mean.value[[0, 3]].expand(len(plain) - 5, 2))

    frozen = Force.frozen(plain, gate, 8)
    assert (frozen.start, frozen.stop, frozen.units) == (8, None, None)
    trace = force_gates(any_model, plain, frozen)
    values = getattr(trace, gate)
    assert torch.equal(values[8:], getattr(plain, gate)[8].expand(len(plain) - 8, 6))
    assert torch.equal(trace.H[:9], plain.H[:9]), "at its own step it is what it was"
    elsewhere = Force.frozen(plain, gate, 8, start=2, stop=4, units=(1,))
    assert (elsewhere.start, elsewhere.stop, elsewhere.units) == (2, 4, (1,))
    assert torch.equal(elsewhere.value, getattr(plain, gate)[8])


def test_forcing_what_is_forced_begins_anew(any_model, vocab):
    plain = trace_gates(any_model, TEXT, vocab)
    once = force_gates(any_model, plain, Force("Z", 1.0))
    again = force_gates(any_model, once, Force("R", 0.0))
    assert again.unforced is once.unforced is plain
    assert same(again, force_gates(any_model, plain, Force("R", 0.0)))
    assert [f.gate for f in again.force] == ["R"]


def test_a_start_state_is_kept_under_force(any_model, vocab):
    start = torch.linspace(-0.9, 0.9, 6, dtype=torch.float64)
    trace = trace_gates(any_model, TEXT, vocab, Force("R", 0.5), state=start)
    expected = reference(any_model, trace.ids.tolist(), [("R", 0.5, None, 0, None)], start.numpy())
    agrees(trace, expected)


# --- going on -----------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0, 2, 3, 17, len(TEXT) - 1])
def test_a_model_goes_on_as_predict_does(any_model, vocab, step):
    trace = trace_gates(any_model, TEXT, vocab)
    written = write_on(any_model, trace, vocab, step, 25)
    assert trace.text[: step + 1] + written == predict(TEXT[: step + 1], 25, any_model, vocab)
    assert write_on(any_model, trace, vocab, step, 0) == ""


@settings(max_examples=40)
@given(data=st.data(), **sizes)
def test_what_is_held_stays_held_in_the_text_that_it_writes(data, **sizes):
    model, vocab, ids = case(**sizes)
    made, plain = data.draw(forces(sizes["hiddens"], len(ids)))
    step = data.draw(st.integers(0, len(ids) - 1))
    trace = trace_gates(model, sizes["text"], vocab, made)
    P, H = weights(model), reference(model, ids, plain)["H"][step]
    written = ""
    for t in range(step + 1, step + 7):
        idx = int((H @ P["W_hq"] + P["b_q"]).argmax())
        written += vocab.to_tokens(idx)
        *_, H = reference_step(P, idx, H, plain, t)
    assert write_on(model, trace, vocab, step, 6) == written


def test_a_state_that_is_kept_writes_one_character_for_ever(any_model, vocab):
    trace = trace_gates(any_model, TEXT, vocab, Force("Z", 1.0, start=4))
    written = write_on(any_model, trace, vocab, 20, 30)
    assert len(set(written)) == 1
    assert vocab[written[0]] == int(trace.probabilities[20].argmax())


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("z", [0.5, 0.25, 0.875, 1 - 2**-10])
def test_the_half_life_of_a_constant_gate(any_model, vocab, z):
    found = half_lives(trace_gates(any_model, TEXT, vocab, Force("Z", z)))
    assert found.tolist() == pytest.approx([math.log(0.5) / math.log(z)] * 6, rel=1e-12)


def test_the_half_life_of_gates_that_move_is_that_of_their_geometric_mean(any_model, vocab):
    trace = trace_gates(any_model, TEXT, vocab)
    left = array(trace.Z).prod(axis=0)
    for lives, share in zip(half_lives(trace).tolist(), left, strict=True):
        assert 0.5 ** (len(trace) / lives) == pytest.approx(share, rel=1e-9)


def test_a_gate_that_is_shut_has_no_half_life(any_model, vocab):
    assert not half_lives(trace_gates(any_model, TEXT, vocab, Force("Z", 0.0))).any()


HELD = [
    (),
    (("R", 0.5, [1], 2, 5),),
    (("Z", 0.75, None, 3, None), ("H_tilde", 0.25, [0, 2], 0, 6)),
    (("H", -0.5, [4], 1, 4),),
]


@pytest.mark.parametrize("plain", HELD, ids=str)
def test_jacobians_are_finite_differences(any_model, vocab, plain):
    made = [Force(g, v, u and tuple(u), start, stop) for g, v, u, start, stop in plain]
    trace = trace_gates(any_model, TEXT[:8], vocab, made)
    J = state_jacobians(any_model, trace)
    assert J.shape == (8, 6, 6)
    P, tiny = weights(any_model), 1e-5
    before = [np.zeros(6), *array(trace.H)[:-1]]
    for t, (idx, H) in enumerate(zip(trace.ids.tolist(), before, strict=True)):
        for j, nudge in enumerate(np.eye(6) * tiny):
            *_, up = reference_step(P, idx, H + nudge, plain, t)
            *_, down = reference_step(P, idx, H - nudge, plain, t)
            assert np.allclose(array(J)[t, :, j], (up - down) / (2 * tiny), rtol=0, atol=1e-8)


def test_jacobians_follow_the_product_rule(vocab):
    """dH/dH' = diag(Z) + diag(H' - H~) dZ/dH' + diag(1 - Z) dH~/dH', worked out by hand."""
    model = build("before")
    trace = trace_gates(model, TEXT[:6], vocab)
    P, J = weights(model), array(state_jacobians(model, trace))
    Z, R, C, H = (array(getattr(trace, name)) for name in GATES)
    before = np.vstack([np.zeros(6), H[:-1]])
    for t in range(6):
        z, r, c, h = Z[t], R[t], C[t], before[t]
        dZ = (z * (1 - z))[:, None] * P["W_hz"].T
        dR = (r * (1 - r))[:, None] * P["W_hr"].T
        inner = P["W_hh"].T @ (np.diag(r) + h[:, None] * dR)
        dC = (1 - c**2)[:, None] * inner
        expected = np.diag(z) + (h - c)[:, None] * dZ + (1 - z)[:, None] * dC
        assert np.allclose(J[t], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", ["before", "nn.GRU"])
def test_with_constant_gates_z_to_the_k_is_left_after_k_steps(kind, vocab):
    model = build(kind)
    b_z = torch.linspace(-2, 3, 6, dtype=torch.float64)
    with torch.no_grad():
        if kind == "nn.GRU":
            for name, param in model.rnn.named_parameters():
                param.zero_()
                if name == "bias_ih_l0":
                    param[6:12] = b_z
        else:
            for param in model.params[:9]:
                param.zero_()
            model.params[2].copy_(b_z)
    trace = trace_gates(model, TEXT, vocab)
    left = own_derivatives(state_jacobians(model, trace), 12)
    z = torch.sigmoid(b_z)
    lags = torch.arange(13)[:, None]
    assert left.shape == (13, 6)
    assert torch.allclose(left, z**lags, rtol=1e-12, atol=0)
    expected = [math.log(0.5) / math.log(share) for share in z.tolist()]
    assert half_lives(trace).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_own_derivatives_are_those_of_autograd_through_the_model(any_model, vocab, every):
    trace = trace_gates(any_model, TEXT[:9], vocab)
    before = torch.cat([trace.H_start[None], trace.H])
    shape = (1, 1, -1) if isinstance(any_model, RNNModel) else (1, -1)

    def derivative(now, lag):
        """Of the state after step ``now`` by that ``lag`` steps before, unit by unit."""
        if lag == 0:
            return torch.ones(6, dtype=torch.float64)
        ids = trace.ids[None, now - lag + 1 : now + 1]

        def last(H):
            _, (state,) = any_model(ids, (H.reshape(shape),))
            return state.reshape(-1)

        J = torch.autograd.functional.jacobian(last, before[now - lag + 1])
        return J.diagonal().abs()

    found = own_derivatives(state_jacobians(any_model, trace), 4, every)
    ends = list(range(8, 3, -every))
    for lag in range(5):
        expected = torch.stack([derivative(now, lag) for now in ends]).mean(dim=0)
        assert torch.allclose(found[lag], expected, rtol=0, atol=1e-12)


def test_with_z_held_at_1_all_of_it_is_left(any_model, vocab):
    trace = trace_gates(any_model, TEXT, vocab, Force("Z", 1.0))
    J = state_jacobians(any_model, trace)
    assert torch.equal(J, torch.eye(6, dtype=torch.float64).expand_as(J))
    left = own_derivatives(J, 10)
    assert torch.equal(left, torch.ones_like(left))


def test_of_a_state_that_is_held_nothing_goes_on(any_model, vocab):
    trace = trace_gates(any_model, TEXT, vocab, Force("H", 0.5))
    assert not state_jacobians(any_model, trace).any()


# --- what units follow --------------------------------------------------------------------------


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
    forced = force_gates(any_model, trace, Force("Z", 0.0))
    for by, key in keys.items():
        order = unit_order(trace, by)
        assert order.tolist() == sorted(range(6), key=lambda unit: -key[unit])
        assert torch.equal(unit_order(forced, by), order), "force does not change the order"
    assert torch.equal(unit_order(trace), torch.arange(6))


@pytest.mark.parametrize("by", ORDERS)
def test_units_that_are_alike_stay_in_their_order(vocab, by):
    model = build("before")
    with torch.no_grad():
        for param in model.params:
            param.zero_()
    assert unit_order(trace_gates(model, TEXT, vocab), by).tolist() == list(range(6))


def test_the_features_of_a_text():
    found = text_features("a bee  xe")
    assert found["space"].tolist() == [0, 1, 0, 0, 0, 1, 1, 0, 0]
    assert found["vowel"].tolist() == [1, 0, 0, 1, 1, 0, 0, 0, 1]
    assert found["place in the word"].tolist() == [1, 0, 1, 2, 3, 0, 0, 1, 2]
    assert found["place in the text"].tolist() == list(range(9))
    assert all(values.shape == (9,) for values in found.values())


@given(rows=st.integers(2, 12), columns=st.integers(1, 5), seed=st.integers(0, 10_000))
def test_correlations_are_those_of_numpy(rows, columns, seed):
    rng = np.random.default_rng(seed)
    values, feature = rng.normal(size=(rows, columns)), rng.normal(size=rows)
    found = correlations(torch.tensor(values), torch.tensor(feature))
    for column, r in zip(values.T, found.tolist(), strict=True):
        assert r == pytest.approx(np.corrcoef(column, feature)[0, 1], abs=1e-10)


def test_correlations_of_a_trace_with_its_text(vocab):
    trace = trace_gates(build("before"), TEXT, vocab)
    for feature in text_features(trace.text).values():
        expected = [np.corrcoef(column, feature)[0, 1] for column in array(trace.H).T]
        assert correlations(trace.H, feature).tolist() == pytest.approx(expected, abs=1e-10)


def test_what_never_changes_has_correlation_0():
    values = torch.tensor([[0.1, 1.0], [0.1, 2.0], [0.1, 4.0]])
    assert correlations(values, torch.tensor([1.0, 2.0, 4.0])).tolist() == pytest.approx([0, 1])
    assert correlations(values, torch.full((3,), 0.3)).tolist() == [0, 0]


# --- a minibatch --------------------------------------------------------------------------------


def minibatch(rows=3, steps=7, seed=0):
    return torch.randint(0, 28, (rows, steps), generator=torch.Generator().manual_seed(seed))


def test_a_minibatch_is_traced_as_the_model_runs_it(any_model):
    X = minibatch()
    found = trace_minibatch(any_model, X)
    assert list(found) == [*GATES, "probabilities"]
    for name in GATES:
        assert found[name].shape == (7, 3, 6)
    logits, (H,) = any_model(X, any_model.begin_state(3, CPU))
    own = logits.softmax(dim=-1).reshape(7, 3, 28)
    assert torch.allclose(found["probabilities"], own, rtol=0, atol=1e-13)
    assert torch.allclose(found["H"][-1], H.reshape(3, 6), rtol=0, atol=1e-13)
    assert not any(values.requires_grad for values in found.values())


def test_each_row_of_a_minibatch_is_a_trace(any_model):
    alphabet = Vocab.from_list(["<unk>", *map(chr, range(ord("a"), ord("z") + 1)), "!"])
    X = minibatch() % 26 + 1
    start = torch.rand(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for state in (None, (start,)):
        found = trace_minibatch(any_model, X, state)
        for row, ids in enumerate(X):
            text = "".join(alphabet.to_tokens(ids))
            trace = trace_gates(
                any_model, text, alphabet, state=None if state is None else start[row]
            )
            for name, values in found.items():
                assert torch.allclose(values[:, row], getattr(trace, name), rtol=0, atol=1e-13)


# --- what makes no sense ------------------------------------------------------------------------


def model_of(layer):
    return RNNModel(layer, 28)


def trace_of(model=None, text="time flies", vocab=None, **more):
    model = build("before") if model is None else model
    return trace_gates(model, text, vocab or ENGLISH, **more)


def forced(*args, **where):
    return trace_of(force=Force(*args, **where))


def jacobians(num_steps):
    return torch.zeros(num_steps, 2, 2)


REFUSED = [
    (lambda: Force("Q", 0.5), "gate='Q' is not known: use one of Z, R, H_tilde, H."),
    (lambda: Force.mean(trace_of(), "z"), "gate='z' is not known: use one of Z, R, H_tilde, H."),
    (lambda: Force.frozen(trace_of(), "h", 0), "gate='h' is not known"),
    (lambda: Force("Z", -0.1), "Z cannot be held at -0.1: give values from 0 to 1."),
    (lambda: Force("R", 1.5), "R cannot be held at 1.5: give values from 0 to 1."),
    (lambda: Force("H", -1.01), "H cannot be held at -1.01: give values from -1 to 1."),
    (lambda: Force("H_tilde", 2), "H_tilde cannot be held at 2: give values from -1 to 1."),
    (lambda: Force("Z", math.nan), "Z cannot be held at nan: give values from 0 to 1."),
    (lambda: Force("H", math.inf), "H cannot be held at inf: give values from -1 to 1."),
    (lambda: Force("Z", torch.tensor([0.5, math.nan])), "Z cannot be held at tensor"),
    (lambda: Force("Z", torch.tensor([0.5, -0.5])), "give values from 0 to 1."),
    (lambda: Force("Z", 0.5, start=-1),
     "start=-1, stop=None hold no step: give 0 <= start < stop."),
    (lambda: Force("Z", 0.5, start=3, stop=3), "start=3, stop=3 hold no step"),
    (lambda: Force.frozen(trace_of(), "Z", 10),
     "step=10 is not in the text: its steps are 0 to 9."),
    (lambda: Force.frozen(trace_of(), "Z", -1), "step=-1 is not in the text"),
    (lambda: forced("Z", 0.5, start=10),
     "Z is held from step 10 on, and the text has steps 0 to 9: choose an earlier start."),
    (lambda: forced("Z", torch.zeros(5)),
     "The value for Z has shape (5,); expected a number, or (6,), one for each unit."),
    (lambda: forced("Z", torch.zeros(1, 6)), "The value for Z has shape (1, 6)"),
    (lambda: forced("Z", 0.5, units=(2, 6)),
     "units=(2, 6) cannot be held: this model's units are 0 to 5."),
    (lambda: forced("Z", 0.5, units=(-1,)), "units=(-1,) cannot be held"),
    (lambda: forced("Z", 0.5, units=()), "units=() cannot be held"),
    (lambda: trace_of(text=""), "The text '' holds no letters A to Z"),
    (lambda: trace_of(text=" 1895, "), "The text ' 1895, ' holds no letters A to Z"),
    (lambda: trace_of(build("before", vocab_size=4), "cabbage", Vocab("abc")),
     "The text 'cabbage' has characters that this vocabulary lacks: ['e', 'g']."),
    (lambda: trace_of(vocab=Vocab("abc")),
     "The vocabulary has 4 tokens and the model 28: use the vocabulary that the model was trained "
     "with."),
    (lambda: check_traceable(build("before"), Vocab("abc")), "The vocabulary has 4 tokens"),
    (lambda: trace_of(model_of(nn.LSTM(28, 6))),
     "This model is built on LSTM, which has no update and reset gate: give a scratch GRU, or an "
     "RNNModel around nn.GRU."),
    (lambda: trace_of(model_of(nn.RNN(28, 6))), "built on RNN, which has no update and reset gate"),
    (lambda: trace_of(nn.GRU(28, 6)), "This is a bare nn.GRU, which does not predict characters"),
    (lambda: trace_minibatch(build("write"), minibatch()), "computes something else"),
    (lambda: trace_of(text="1" * 400), "111 holds no letters A to Z"),
    (lambda: trace_of(state=torch.full((6,), math.nan)), "The state has shape (6,); expected one"),
    (lambda: trace_of(state=()), "The state is (); expected one row of 6 numbers"),
    (lambda: trace_of(state=[0.0] * 6), "expected one row of 6 numbers"),
    (lambda: Force("Z", "a"), "Z cannot be held at 'a': give values from 0 to 1."),
    (lambda: Force("Z", 1.00000001), "Z cannot be held at 1.00000001"),
    (lambda: Force("Z", 0.5, units=3), "units=3 are no units: give their numbers, such as (3, 17)"),
    (lambda: Force("Z", 0.5, units=(0.5,)), "units=(0.5,) are no units"),
    (lambda: force_gates(build("before", hiddens=5), trace_of(), Force("Z", 0.5)),
     "The trace has 6 units and 28 tokens, and this model 5 and 28: give the model that was"),
    (lambda: write_on(build("before", hiddens=5), trace_of(), ENGLISH, 1, 5), "this model 5"),
    (lambda: write_on(build("before"), trace_of(), Vocab("abc"), 1, 5), "The vocabulary has 4"),
    (lambda: write_on(build("before"), trace_of(), ENGLISH, 1, -5),
     "num_chars=-5 is not a length: give 0 or more."),
    (lambda: own_derivatives(jacobians(10), 3, 0), "every=0 skips nothing: give 1 or more."),
    (lambda: trace_minibatch(build("before"), torch.zeros(2, 0, dtype=torch.long)),
     "X has shape (2, 0): give at least one row and one step."),
    (lambda: correlations(torch.zeros(5, 2), torch.zeros(4)),
     "There are 5 rows of values and 4 of the feature: take both from the same text."),
    (lambda: trace_of(nn.Linear(28, 6)), "built on Linear, which has no update"),
    (lambda: trace_minibatch(model_of(nn.LSTM(28, 6)), minibatch()), "built on LSTM"),
    (lambda: trace_of(model_of(nn.GRU(28, 6, 2))),
     "num_layers=2 and bidirectional=False; expected 1 and False"),
    (lambda: trace_of(model_of(nn.GRU(28, 6, bidirectional=True))),
     "num_layers=1 and bidirectional=True"),
    (lambda: trace_of(model_of(nn.GRU(28, 6, bias=False))), "bias=False"),
    (lambda: trace_of(build("write")),
     "its forward function computes something else, so its gates cannot be traced."),
    (lambda: trace_of(build("write", dtype=torch.float32)), "differ by"),
    (lambda: trace_of(state=(torch.zeros(2, 6),)),
     "The state has shape (2, 6); expected one row of 6 numbers, as begin_state(1, device) gives"),
    (lambda: trace_of(state=torch.zeros(5)), "The state has shape (5,); expected one row of 6"),
    (lambda: unit_order(trace_of(), "size"),
     "by='size' is no order of units: use one of index, half-life, mean z, variance."),
    (lambda: write_on(build("before"), trace_of(), None, 10, 5),
     "step=10 is not in the text: its steps are 0 to 9."),
    (lambda: write_on(build("before"), trace_of(), None, -1, 5), "step=-1 is not in the text"),
    (lambda: own_derivatives(jacobians(10), 10),
     "max_lag=10 does not fit a text of 10 steps: give 1 or more"),
    (lambda: own_derivatives(jacobians(10), 0), "max_lag=0 does not fit a text of 10 steps"),
    (lambda: trace_minibatch(build("before"), minibatch() + 1),
     "X holds the id 28, and this model knows ids from 0 to 27"),
    (lambda: trace_minibatch(build("before"), torch.zeros(2, 3)), "expected token ids"),
    (lambda: trace_minibatch(build("before"), minibatch()[0]), "X has shape (7,)"),
    (lambda: trace_minibatch(build("before"), minibatch(), (torch.zeros(2, 6),)),
     "The state H has shape (2, 6); expected (3, 6), which is (batch_size, num_hiddens)."),
    (lambda: trace_minibatch(build("before"), minibatch(), torch.zeros(3, 6)),
     "The state is a Tensor; expected a tuple (H,)"),
]  # fmt: skip


@pytest.mark.parametrize(("do", "words"), REFUSED, ids=[words[:50] for _, words in REFUSED])
def test_what_makes_no_sense_is_refused_in_one_sentence(do, words):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        do()
    told = str(error.value)
    assert told.endswith((".", "?"))
    assert "\n" not in told
    assert len(told) < 300


def test_a_long_value_is_cut_short_in_the_sentence():
    with pytest.raises(ValueError, match="cannot be held") as error:
        Force("Z", torch.full((256,), 2.0))
    assert len(str(error.value)) < 150


# --- speed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gru", "nn_gru"])
def test_two_hundred_characters_take_less_than_50_ms(name):
    """With and without force; the best of several runs, which a busy machine does not spoil."""
    model, vocab, _ = load_pretrained(name)
    text = (f"{TEXT} " * 7)[:200]
    plain = trace_gates(model, text, vocab)
    assert plain.Z.shape == (200, 256)

    def best(do):
        seconds = []
        for _ in range(7):
            began = time.perf_counter()
            do()
            seconds.append(time.perf_counter() - began)
        return min(seconds)

    assert best(lambda: trace_gates(model, text, vocab)) < 0.05
    assert best(lambda: force_gates(model, plain, Force("Z", 0.5))) < 0.05


# --- what went wrong once -----------------------------------------------------------------------


def test_a_unit_that_never_forgets_has_an_infinite_half_life():
    trace = trace_of(force=Force("Z", 1.0))
    assert (half_lives(trace) == math.inf).all()
    model = build("before")
    with torch.no_grad():
        model.params[2][3] = 1000.0  # z = 1 in unit 3
    assert unit_order(trace_of(model), "half-life")[0] == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_untrained_model_of_the_other_writing_is_found_out(dtype):
    """Its states are small, and so is the difference."""
    torch.manual_seed(0)
    model = RNNModelScratch(28, 64, CPU, get_params, init_gru_state, write_form)
    model.params = [p.detach().to(dtype) for p in model.params]
    with pytest.raises(ValueError, match="computes something else"):
        trace_of(model)


@pytest.mark.parametrize("kind", KINDS)
def test_large_weights_are_no_reason_to_doubt_a_model(kind):
    """Rounding grows from step to step there, but one step at a time the model is right."""
    trace = trace_of(build(kind, 256, scale=0.8, dtype=torch.float32), "the time traveller for so")
    assert len(trace) == 25


def test_a_number_is_held_exactly():
    assert trace_of(force=Force("Z", 0.3)).Z[0, 0].item() == 0.3


def test_lists_are_values_and_units_too():
    force = Force("Z", [0.1] * 6, units=[torch.tensor(2), np.int64(4)])
    assert force.units == (2, 4)
    Z = trace_of(force=force).Z
    assert (Z[:, [2, 4]] == 0.1).all()
    assert (Z[:, [0, 1, 3, 5]] != 0.1).all()
