"""The equations, against a reference that shares no code with them."""

import itertools
import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gru_helpers import PARAM_NAMES, get_params, gru, gru_switched, init_gru_state
from gru_helpers.gru import check_gru_params, check_gru_state

CPU = torch.device("cpu")
SWITCHES = list(itertools.product(("keep", "write"), ("before", "after")))


# --- the reference: numbers in lists, one unit at a time ---------------------------------------


def logistic(a):
    """1 / (1 + exp(-a)), by way of tanh."""
    return 0.5 * (1.0 + math.tanh(0.5 * a))


def affine(x, W, b, unit):
    """Sum of x[i] * W[i][unit], and b[unit]."""
    return math.fsum(x[i] * W[i][unit] for i in range(len(x))) + b[unit]


def reference_step(x, h, P, z_means="keep", reset="before"):
    """The new state of one row, a list of numbers."""
    units = range(len(h))
    none = [0.0] * len(h)
    z = [logistic(affine(x, P["W_xz"], P["b_z"], j) + affine(h, P["W_hz"], none, j)) for j in units]
    r = [logistic(affine(x, P["W_xr"], P["b_r"], j) + affine(h, P["W_hr"], none, j)) for j in units]
    new = []
    for j in units:
        if reset == "before":
            past = affine([r[i] * h[i] for i in units], P["W_hh"], none, j)
        else:
            past = r[j] * affine(h, P["W_hh"], P["b_hn"], j)
        candidate = math.tanh(affine(x, P["W_xh"], P["b_h"], j) + past)
        old_share = z[j] if z_means == "keep" else 1.0 - z[j]
        new.append(old_share * h[j] + (1.0 - old_share) * candidate)
    return new


def reference(inputs, H, params, z_means="keep", reset="before"):
    """Logits, all rows of step 0 first, and the last states: nested lists."""
    names = (*PARAM_NAMES, "b_hn")
    P = {name: p.tolist() for name, p in zip(names, params, strict=False)}
    states, logits = H.tolist(), []
    for X in inputs.tolist():
        for row, x in enumerate(X):
            h = states[row] = reference_step(x, states[row], P, z_means, reset)
            logits.append([affine(h, P["W_hq"], P["b_q"], k) for k in range(len(P["b_q"]))])
    return logits, states


# --- numbers to try it on ----------------------------------------------------------------------


def problem(seed, steps=4, batch=3, vocab=5, hiddens=6, scale=1.0, twelve=False):
    """Inputs, a state and parameters at random, float64."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=rng, dtype=torch.float64) * scale

    v, h = vocab, hiddens
    shapes = [(v, h), (h, h), (h,)] * 3 + [(h, v), (v,)] + ([(h,)] if twelve else [])
    return draw(steps, batch, v), torch.tanh(draw(batch, h)), [draw(*s) for s in shapes]


def close(found, expected, tolerance=1e-12):
    """Every element within ``tolerance`` of the list that is expected."""
    expected = torch.tensor(expected, dtype=torch.float64)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance


sizes = {
    "steps": st.integers(1, 5), "batch": st.integers(1, 4), "vocab": st.integers(1, 6),
    "hiddens": st.integers(1, 6), "scale": st.sampled_from([0.01, 0.3, 1.0, 5.0]),
    "seed": st.integers(0, 10_000),
}  # fmt: skip


@given(**sizes)
def test_gru_is_the_four_equations(**case):
    inputs, H, params = problem(**case)
    outputs, (new,) = gru(inputs, (H,), params)
    logits, states = reference(inputs, H, params)
    close(outputs, logits, 1e-11)
    close(new, states)


@pytest.mark.parametrize(("z_means", "reset"), SWITCHES)
@given(**sizes)
def test_gru_switched_is_each_of_its_four_forms(z_means, reset, **case):
    inputs, H, params = problem(**case, twelve=reset == "after")
    outputs, (new,) = gru_switched(inputs, (H,), params, z_means, reset)
    logits, states = reference(inputs, H, params, z_means, reset)
    close(outputs, logits, 1e-11)
    close(new, states)


def test_one_unit_with_numbers_worked_out_by_hand():
    """x = 1, h = 0.5: z = 1/2, r = 0.7311, candidate tanh(0.7311) = 0.6237, new h 0.5619."""
    numbers = [1.0, -2.0, 0.0, 0.5, 1.0, 0.0, 1.0, 2.0, -1.0, 1.0, 0.0]
    params = [
        torch.tensor([x]) if name.startswith("b") else torch.tensor([[x]])
        for name, x in zip(PARAM_NAMES, numbers, strict=True)
    ]
    outputs, (H,) = gru(torch.ones(1, 1, 1), (torch.full((1, 1), 0.5),), params)
    assert H.item() == pytest.approx(0.5619, abs=5e-5)
    assert outputs.item() == pytest.approx(0.5619, abs=5e-5)


def test_the_defaults_of_gru_switched_are_gru():
    inputs, H, params = problem(1)
    for ours, theirs in zip(
        gru(inputs, (H,), params), gru_switched(inputs, (H,), params), strict=True
    ):
        assert torch.equal(torch.as_tensor(ours[0]), torch.as_tensor(theirs[0]))


# --- what follows from the equations -----------------------------------------------------------


@pytest.mark.parametrize("reset", ["before", "after"])
def test_negating_the_z_weights_turns_one_writing_into_the_other(reset):
    inputs, H, params = problem(2, twelve=reset == "after")
    negated = [-p for p in params[:3]] + params[3:]
    keep, _ = gru_switched(inputs, (H,), params, "keep", reset)
    write, _ = gru_switched(inputs, (H,), negated, "write", reset)
    careless, _ = gru_switched(inputs, (H,), params, "write", reset)
    assert (keep - write).abs().max() < 1e-12
    assert (keep - careless).abs().max() > 0.1


def with_gates(params, z, r):
    """The parameters with gates held at 0 or 1 by their biases."""
    params = [p.clone() for p in params]
    params[2] += 1000 * (2 * z - 1)
    params[5] += 1000 * (2 * r - 1)
    return params


def plain_rnn(inputs, H, params):
    """All states of an ``nn.RNN`` with the candidate's weights."""
    _, _, _, _, _, _, W_xh, W_hh, b_h, _, _ = params
    layer = torch.nn.RNN(W_xh.shape[0], W_hh.shape[0], dtype=torch.float64)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(W_xh.T)
        layer.weight_hh_l0.copy_(W_hh.T)
        layer.bias_ih_l0.copy_(b_h)
        layer.bias_hh_l0.zero_()
        return layer(inputs, H[None])[0]


def test_r_1_and_z_0_is_a_plain_rnn_and_r_1_alone_is_not():
    inputs, H, params = problem(3)
    expected = plain_rnn(inputs, H, params)[-1]
    _, (both,) = gru(inputs, (H,), with_gates(params, z=0, r=1))
    assert (both - expected).abs().max() < 1e-12
    r_alone = with_gates(params, z=0, r=1)
    r_alone[2] = params[2]
    _, (r_only,) = gru(inputs, (H,), r_alone)
    _, (z_only,) = gru(inputs, (H,), with_gates(params, z=0, r=0))
    assert (r_only - expected).abs().max() > 0.01
    assert (z_only - expected).abs().max() > 0.01


def test_z_1_keeps_the_state_whatever_is_read():
    inputs, H, params = problem(4)
    _, (kept,) = gru(inputs, (H,), with_gates(params, z=1, r=1))
    _, (written,) = gru_switched(inputs, (H,), with_gates(params, z=1, r=1), z_means="write")
    assert torch.equal(kept, H)
    assert (written - H).abs().max() > 0.1


def test_r_0_forgets_the_past_in_the_candidate():
    inputs, H, params = problem(5, steps=1)
    _, (new,) = gru(inputs, (H,), with_gates(params, z=0, r=0))
    _, _, _, _, _, _, W_xh, _, b_h, _, _ = params
    assert torch.allclose(new, torch.tanh(inputs[0] @ W_xh + b_h), atol=1e-12)


def test_one_long_sequence_is_two_halves_with_the_state_carried():
    inputs, H, params = problem(6, steps=9)
    whole, (last,) = gru(inputs, (H,), params)
    first, state = gru(inputs[:4], (H,), params)
    second, (end,) = gru(inputs[4:], state, params)
    assert torch.equal(whole, torch.cat([first, second]))
    assert torch.equal(last, end)
    fresh, _ = gru(inputs[4:], (torch.zeros_like(H),), params)
    assert (fresh - second).abs().max() > 0.01, "without the state it is something else"


def test_rows_do_not_see_each_other():
    inputs, H, params = problem(7)
    outputs, (new,) = gru(inputs, (H,), params)
    alone, (new_alone,) = gru(inputs[:, 1:2], (H[1:2],), params)
    assert torch.allclose(outputs.reshape(4, 3, -1)[:, 1], alone, atol=1e-12)
    assert torch.allclose(new[1:2], new_alone, atol=1e-12)


def test_shapes_and_the_order_of_the_rows():
    inputs, H, params = problem(8, steps=7, batch=3)
    outputs, state = gru(inputs, (H,), params)
    assert outputs.shape == (7 * 3, 5)
    assert isinstance(state, tuple)
    assert state[0].shape == (3, 6)
    assert torch.equal(outputs[-3:], state[0] @ params[9] + params[10]), "the last step is last"


def test_the_caller_s_state_and_parameters_are_not_changed():
    inputs, H, params = problem(9)
    copies = [p.clone() for p in (H, *params)]
    gru(inputs, (H,), params)
    assert all(torch.equal(a, b) for a, b in zip(copies, (H, *params), strict=True))


# --- gradients ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [None, *SWITCHES], ids=str)
def test_gradients_pass_gradcheck(form):
    twelve = form is not None and form[1] == "after"
    inputs, H, params = problem(10, steps=3, batch=2, vocab=2, hiddens=2, twelve=twelve)
    leaves = [t.requires_grad_(True) for t in (inputs, H, *params)]

    def run(inputs, H, *params):
        if form is None:
            outputs, (new,) = gru(inputs, (H,), params)
        else:
            outputs, (new,) = gru_switched(inputs, (H,), params, *form)
        return outputs, new

    assert torch.autograd.gradcheck(run, leaves)


@pytest.mark.parametrize("place", range(11), ids=PARAM_NAMES)
def test_gradients_are_the_slopes_of_the_reference(place):
    """Central differences of the reference's loss, for every number of the parameter."""
    inputs, H, params = problem(11, steps=3, batch=2, vocab=3, hiddens=2)

    def loss(logits):
        return sum(math.sin(1 + i) * y for i, y in enumerate(itertools.chain(*logits)))

    param = params[place].requires_grad_(True)
    outputs, _ = gru(inputs, (H,), params)
    (outputs.flatten() * torch.sin(torch.arange(1.0, 19.0, dtype=torch.float64))).sum().backward()
    flat = param.detach().view(-1)
    for i in range(flat.numel()):
        value, ends = flat[i].item(), []
        for step in (1e-5, -1e-5):
            flat[i] = value + step
            ends.append(loss(reference(inputs, H, params)[0]))
        flat[i] = value
        slope = (ends[0] - ends[1]) / 2e-5
        assert param.grad.view(-1)[i].item() == pytest.approx(slope, rel=1e-6, abs=1e-8)


# --- parameters and first state ----------------------------------------------------------------


def test_get_params_are_eleven_leaves_in_the_taught_order():
    params = get_params(28, 256, CPU)
    v, h = 28, 256
    expected = {
        "W_xz": (v, h), "W_hz": (h, h), "b_z": (h,), "W_xr": (v, h), "W_hr": (h, h), "b_r": (h,),
        "W_xh": (v, h), "W_hh": (h, h), "b_h": (h,), "W_hq": (h, v), "b_q": (v,),
    }  # fmt: skip
    assert tuple(expected) == PARAM_NAMES
    assert [tuple(p.shape) for p in params] == list(expected.values())
    assert all(p.is_leaf and p.requires_grad and p.grad is None for p in params)
    assert sum(p.numel() for p in params) == 226_076
    assert len({p.data_ptr() for p in params}) == 11, "no two share their numbers"


def test_get_params_draws_from_a_narrow_normal_distribution():
    torch.manual_seed(0)
    for name, param in zip(PARAM_NAMES, get_params(28, 256, CPU), strict=True):
        if name.startswith("b"):
            assert not param.any()
            continue
        error = 0.01 / math.sqrt(param.numel())
        assert abs(param.mean().item()) < 4 * error
        assert abs(param.std().item() - 0.01) < 4 * error
        assert 0.03 < param.abs().max().item() < 0.06, "normal, with its tails"


def test_get_params_follows_the_seed():
    torch.manual_seed(1)
    first = get_params(3, 4, CPU)
    torch.manual_seed(1)
    again = get_params(3, 4, CPU)
    other = get_params(3, 4, CPU)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[0], first[3]), "the gates do not start alike"


def test_the_first_state_is_zero():
    (H,) = init_gru_state(3, 4, CPU)
    assert H.shape == (3, 4)
    assert not H.any()
    assert not H.requires_grad


# --- what is refused, with value, expectation and remedy ---------------------------------------


@pytest.mark.parametrize("value", [0, -1, 2.5, "8", True, None])
@pytest.mark.parametrize(
    ("function", "place", "name"),
    [(get_params, 0, "vocab_size"), (get_params, 1, "num_hiddens"),
     (init_gru_state, 0, "batch_size"), (init_gru_state, 1, "num_hiddens")],
)  # fmt: skip
def test_sizes_that_are_no_sizes(function, place, name, value):
    arguments = [4, 4, CPU]
    arguments[place] = value
    expected = rf"{name}={re.escape(repr(value))} is not a size: give a whole number of 1 or more"
    with pytest.raises(ValueError, match=expected):
        function(*arguments)


def test_sizes_are_checked_by_keyword_too():
    with pytest.raises(ValueError, match="num_hiddens=-4"):
        get_params(vocab_size=4, num_hiddens=-4, device=CPU)


@pytest.mark.parametrize("place", range(1, 11), ids=PARAM_NAMES[1:])
def test_a_parameter_of_the_wrong_shape_is_named(place):
    inputs, H, params = problem(0)
    params[place] = torch.zeros(7, 9, 2)
    expected = rf"{PARAM_NAMES[place]} has shape \(7, 9, 2\); expected \(.*\), since W_xz is \(5, 6"
    for forward in (gru, gru_switched):
        with pytest.raises(ValueError, match=expected) as caught:
            forward(inputs, (H,), params)
        assert "Check its size and its place" in str(caught.value)


def test_parameters_in_another_order_are_refused():
    inputs, H, params = problem(0)
    params[1], params[2] = params[2], params[1]
    with pytest.raises(ValueError, match="W_hz has shape"):
        gru(inputs, (H,), params)


def test_the_first_parameter_must_be_a_matrix():
    _, _, params = problem(0)
    with pytest.raises(ValueError, match=r"W_xz has shape \(6,\); expected \(vocab_size, num_hid"):
        check_gru_params([params[2], *params[1:]])


@pytest.mark.parametrize("count", [0, 9, 10, 13])
def test_the_wrong_number_of_parameters(count):
    inputs, H, params = problem(0)
    params = (params + params)[:count]
    for forward in (gru, gru_switched):
        with pytest.raises(ValueError, match=rf"{count} parameters were given.* has 11.*W_xz, W_h"):
            forward(inputs, (H,), params)


def test_gru_itself_does_not_take_the_twelfth_parameter():
    inputs, H, params = problem(0, twelve=True)
    with pytest.raises(ValueError, match=r"12 parameters.*takes the 11.*gru_switched"):
        gru(inputs, (H,), params)


def test_b_hn_of_the_wrong_shape():
    inputs, H, params = problem(0, twelve=True)
    params[11] = torch.zeros(3)
    with pytest.raises(ValueError, match=r"b_hn has shape \(3,\); expected \(6,\)"):
        gru_switched(inputs, (H,), params, reset="after")


@pytest.mark.parametrize(
    ("H", "words"),
    [(torch.zeros(3, 5), r"shape \(3, 5\); expected \(3, 6\)"),
     (torch.zeros(2, 6), r"shape \(2, 6\); expected \(3, 6\)"),
     (torch.zeros(1, 3, 6), r"shape \(1, 3, 6\); expected \(3, 6\)")],
    ids=["hidden units", "rows", "as nn.GRU has it"],
)  # fmt: skip
def test_a_state_of_the_wrong_shape(H, words):
    inputs, _, params = problem(0)
    with pytest.raises(ValueError, match=words + r".*\(batch_size, num_hiddens\).*init_gru_state"):
        gru(inputs, (H,), params)


@pytest.mark.parametrize("state", [torch.zeros(3, 6), (), (torch.zeros(3, 6),) * 2, None], ids=str)
def test_a_state_that_is_no_tuple_of_one(state):
    with pytest.raises(ValueError, match=r"expected a tuple \(H,\) .*init_gru_state"):
        check_gru_state(state, 3, 6)


@pytest.mark.parametrize(
    "inputs",
    [torch.zeros(4, 3, 7), torch.zeros(3, 5), torch.zeros(4, 3, dtype=torch.int64)],
    ids=["another vocabulary", "one step", "token ids"],
)
def test_inputs_that_are_not_one_hot_sequences(inputs):
    _, H, params = problem(0)
    shape = re.escape(str(tuple(inputs.shape)))
    with pytest.raises(ValueError, match=rf"shape {shape}; expected \(num_steps, batch_size, 5\)"):
        gru(inputs, (H,), params)


@pytest.mark.parametrize(
    ("switches", "words"),
    [(("kept", "before"), r"z_means='kept' is not known: use 'keep' or 'write'"),
     (("keep", "later"), r"reset='later' is not known: use 'before' or 'after'"),
     (("keep", "after"), r"reset='after' was given 11 parameters.*'after' takes those and b_hn")],
)  # fmt: skip
def test_switches_that_do_not_exist_or_do_not_fit(switches, words):
    inputs, H, params = problem(0)
    with pytest.raises(ValueError, match=words):
        gru_switched(inputs, (H,), params, *switches)


def test_b_hn_belongs_to_the_form_after_only():
    inputs, H, params = problem(0, twelve=True)
    with pytest.raises(ValueError, match=r"reset='before' was given 12 parameters.*takes the 11"):
        gru_switched(inputs, (H,), params, reset="before")
