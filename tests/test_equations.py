"""The equations, against a reference that shares no code with them, and against torch's cells."""

import inspect
import itertools
import math

import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import agree, array, directions, named, problem, refused, refused_both_ways, sizes
from torch import nn

from gru_helpers import (
    PARAM_NAMES,
    get_params,
    gru,
    gru_backward,
    gru_forward,
    gru_step,
    gru_switched,
    init_gru_state,
    unroll,
)
from gru_helpers._validate import check_gru_params, checked_by

CPU = torch.device("cpu")
FORMS = pytest.mark.parametrize(
    ("z_keeps", "reset_after"), list(itertools.product((True, False), repeat=2))
)


# --- equal to the reference ---------------------------------------------------------------------


@given(**sizes)
def test_gru_is_the_four_equations(**case):
    inputs, H, *params = problem(**case)
    outputs, (new,) = gru(inputs, (H,), params)
    agree([outputs, new], reference.outputs(inputs, H, params))


@FORMS
@given(**sizes)
def test_gru_switched_is_each_of_its_four_forms(z_keeps, reset_after, **case):
    inputs, H, *params = problem(reset_after=reset_after, **case)
    outputs, (new,) = gru_switched(inputs, (H,), params, z_keeps, reset_after)
    agree([outputs, new], reference.outputs(inputs, H, params, z_keeps))


@FORMS
@given(few=st.booleans(), single=st.booleans(), **sizes)
def test_gru_step_is_one_step_of_each_form(z_keeps, reset_after, few, single, **case):
    """With and without the output layer among the parameters; a minibatch, or a single vector."""
    (X, *_), H, *params = problem(reset_after=reset_after, **case)
    expected = reference.step(named(params), array(X), array(H), z_keeps)
    if few:
        params = params[:9] + params[11:]
    if single:
        X, H, expected = X[0], H[0], [part[0] for part in expected]
    agree(gru_step(X, H, params, z_keeps, reset_after), expected)


@FORMS
@settings(max_examples=20)
@given(**sizes)
def test_gradients_are_those_of_the_reference(z_keeps, reset_after, **case):
    leaves = [x.requires_grad_() for x in problem(reset_after=reset_after, **case)]
    inputs, H, *params = leaves
    outputs, (new,) = gru_switched(inputs, (H,), params, z_keeps, reset_after)
    doutputs, dH = directions((outputs, new), case["seed"])
    found = torch.autograd.grad((outputs, new), leaves, (doutputs, dH))
    agree(found, reference.gradients(leaves, doutputs, dH, z_keeps))


def test_gradients_of_gru_are_those_of_the_reference():
    leaves = [x.requires_grad_() for x in problem(11)]
    outputs, (new,) = gru(leaves[0], leaves[1:2], leaves[2:])
    doutputs, dH = directions((outputs, new))
    found = torch.autograd.grad((outputs, new), leaves, (doutputs, dH))
    agree(found, reference.gradients(leaves, doutputs, dH))


def test_the_defaults_of_gru_switched_are_gru():
    inputs, H, *params = problem(1)
    (outputs, state), (switched, other) = (f(inputs, (H,), params) for f in (gru, gru_switched))
    assert torch.equal(outputs, switched)
    assert torch.equal(state[0], other[0])


def test_one_unit_with_numbers_worked_out_by_hand():
    """x = 1, h = 0.5: z = 1/2, r = 0.7311, candidate tanh(0.7311) = 0.6237, new h 0.5619."""
    numbers = [1.0, -2.0, 0.0, 0.5, 1.0, 0.0, 1.0, 2.0, -1.0, 1.0, 0.0]
    params = [
        torch.full((1,) if name.startswith("b") else (1, 1), number)
        for name, number in zip(PARAM_NAMES, numbers, strict=True)
    ]
    x, h = torch.ones(1, 1), torch.full((1, 1), 0.5)
    steps = [number.item() for number in gru_step(x, h, params)]
    assert steps == pytest.approx([0.5, 0.7311, 0.6237, 0.5619], abs=5e-5)
    outputs, (H,) = gru(x[None], (h,), params)
    assert [H.item(), outputs.item()] == pytest.approx([0.5619] * 2, abs=5e-5)


# --- the hook of a step -------------------------------------------------------------------------


def test_the_hook_is_called_in_the_order_of_the_equations():
    inputs, H, *params = problem(2)
    calls = []

    def look(name, values):
        calls.append((name, values))
        return values

    steps = gru_step(inputs[0], H, params, clamp=look)
    assert [name for name, _ in calls] == ["Z", "R", "H_tilde", "H"]
    for (_, seen), result, plain in zip(calls, steps, gru_step(inputs[0], H, params), strict=True):
        assert torch.equal(seen, result)
        assert torch.equal(seen, plain)


@FORMS
@pytest.mark.parametrize("gate", ["Z", "R", "H_tilde", "H"])
def test_what_the_hook_returns_is_used_further_on(z_keeps, reset_after, gate):
    (X, *_), H, *params = problem(3, reset_after)
    held = [(gate, 0.25, [1, 4], 0, None)]
    mask = torch.tensor([False, True, False, False, True, False])

    def clamp(name, values):
        return torch.where(mask, 0.25, values) if name == gate else values

    found = gru_step(X, H, params, z_keeps, reset_after, clamp)
    agree(found, reference.step(named(params), array(X), array(H), z_keeps, held))


# --- torch's own cells and layers ---------------------------------------------------------------


def nn_gru(kind, inputs, H, params):
    """``nn.GRUCell`` or ``nn.GRU`` with our 12 parameters: rows are r, z, n, and transposed."""
    P, (v, h) = dict(zip(reference.NAMES, params, strict=True)), params[0].shape
    rows = [("W_xr", "W_xz", "W_xh"), ("W_hr", "W_hz", "W_hh"), ("b_r", "b_z", "b_h")]
    weights = [torch.cat([P[name] for name in names], dim=-1).mT for names in rows[:2]]
    weights += [torch.cat([P[name] for name in rows[2]])]
    weights += [torch.cat([torch.zeros(2 * h, dtype=H.dtype), P["b_hn"]])]
    layer = kind(v, h, dtype=torch.float64)
    names = [name for name, _ in layer.named_parameters()]
    return torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), (inputs, H))


def test_reset_after_is_nn_gru_and_its_cell_in_results_and_gradients():
    leaves = [x.requires_grad_() for x in problem(4, reset_after=True)]
    inputs, H, *params = leaves
    agree(
        [gru_step(inputs[0], H, params, reset_after=True)[-1]],
        [nn_gru(nn.GRUCell, inputs[0], H, params)],
        1e-14,
    )
    outputs, (new,) = gru_switched(inputs, (H,), params, reset_after=True)
    states, last = nn_gru(nn.GRU, inputs, H[None], params)
    results = (states @ params[9] + params[10]).flatten(0, 1), last[0]
    agree([outputs, new], results, 1e-14)
    grads = directions(results)
    agree(
        torch.autograd.grad((outputs, new), leaves, grads),
        torch.autograd.grad(results, leaves, grads),
        1e-13,
    )
    before, _ = gru(inputs, (H,), params[:11])
    assert (before - outputs).abs().max() > 0.1, "reset before the product is another function"


@pytest.mark.parametrize("reset_after", [False, True])
def test_a_step_with_r_1_and_z_0_is_nn_rnn_cell(reset_after):
    (X, *_), H, *params = problem(5, reset_after)
    b_hn = params[11] if reset_after else torch.zeros(6, dtype=torch.float64)
    weights = {"weight_ih": params[6].mT, "weight_hh": params[7].mT, "bias_ih": params[8]}
    cell = nn.RNNCell(4, 6, dtype=torch.float64)
    expected = torch.func.functional_call(cell, {**weights, "bias_hh": b_hn}, (X, H))

    def stuck(*gates):
        def clamp(name, values):
            return torch.full_like(values, name == "R") if name in gates else values

        return gru_step(X, H, params, reset_after=reset_after, clamp=clamp)[-1]

    agree([stuck("Z", "R")], [expected], 1e-14)
    for alone in "ZR":
        assert (stuck(alone) - expected).abs().max() > 0.01


# --- what follows from the equations ------------------------------------------------------------


@pytest.mark.parametrize("reset_after", [False, True])
def test_negating_the_z_weights_turns_one_meaning_of_z_into_the_other(reset_after):
    inputs, H, *params = problem(6, reset_after)
    negated = [-p for p in params[:3]] + params[3:]
    keeps, _ = gru_switched(inputs, (H,), params, True, reset_after)
    writes, _ = gru_switched(inputs, (H,), negated, False, reset_after)
    careless, _ = gru_switched(inputs, (H,), params, False, reset_after)
    agree([writes], [keeps])
    assert (keeps - careless).abs().max() > 0.1


def with_gates(params, z, r):
    """The parameters with gates held at 0 or 1 by their biases."""
    params = [p.clone() for p in params]
    params[2] += 1000 * (2 * z - 1)
    params[5] += 1000 * (2 * r - 1)
    return params


def test_gates_at_0_and_at_1():
    inputs, H, *params = problem(7)
    _, (kept,) = gru(inputs, (H,), with_gates(params, z=1, r=1))
    assert torch.equal(kept, H), "z = 1 keeps the state whatever is read"
    _, (written,) = gru_switched(inputs, (H,), with_gates(params, z=1, r=1), z_keeps=False)
    assert (written - H).abs().max() > 0.1
    _, (new,) = gru(inputs, (H,), with_gates(params, z=0, r=0))
    agree([new], [torch.tanh(inputs[-1] @ params[6] + params[8])])  # nothing of the past
    _, (new,) = gru(inputs, (H,), with_gates(params, z=0, r=1))
    agree([new], [plain_rnn(inputs, H, params[6:9])])


def test_one_long_sequence_is_two_halves_with_the_state_carried():
    inputs, H, *params = problem(8, steps=9)
    whole, (last,) = gru(inputs, (H,), params)
    first, state = gru(inputs[:4], (H,), params)
    second, (end,) = gru(inputs[4:], state, params)
    assert torch.equal(whole, torch.cat([first, second]))
    assert torch.equal(last, end)
    fresh, _ = gru(inputs[4:], (torch.zeros_like(H),), params)
    assert (fresh - second).abs().max() > 0.01, "without the state it is something else"


def test_shapes_and_the_order_of_the_rows():
    inputs, H, *params = problem(10, steps=7)
    copies = [p.clone() for p in (inputs, H, *params)]
    outputs, state = gru(inputs, [H], params)
    assert outputs.shape == (7 * 3, 4)
    assert isinstance(state, tuple)
    assert state[0].shape == (3, 6)
    assert torch.equal(outputs[-3:], state[0] @ params[9] + params[10]), "the last step is last"
    for before, after in zip(copies, (inputs, H, *params), strict=True):
        assert torch.equal(before, after), "what was given is not changed"


# --- the loop around any step -------------------------------------------------------------------


def plain_rnn(inputs, H, params):
    """The last state of an ``nn.RNN`` with these W_xh, W_hh and b_h."""
    layer = nn.RNN(*params[0].shape, dtype=torch.float64)
    weights = [params[0].mT, params[1].mT, params[2], torch.zeros_like(params[2])]
    names = [name for name, _ in layer.named_parameters()]
    given = dict(zip(names, weights, strict=True))
    return torch.func.functional_call(layer, given, (inputs, H[None]))[1][0]


def test_unroll_around_a_plain_rnn_with_five_parameters():
    inputs, H, *params = problem(12)

    def rnn_step(X, H, params):
        W_xh, W_hh, b_h, *_ = params
        return (torch.tanh(X @ W_xh + H @ W_hh + b_h),)

    outputs, (last,) = unroll(inputs, (H,), params[6:], rnn_step)
    agree([last, outputs[-3:]], [plain_rnn(inputs, H, params[6:9]), last @ params[9] + params[10]])
    first, state = unroll(inputs[:2], (H,), params[6:], rnn_step)
    second, _ = unroll(inputs[2:], state, params[6:], rnn_step)
    assert torch.equal(torch.cat([first, second]), outputs)


# --- parameters and first state -----------------------------------------------------------------


def test_get_params_are_eleven_leaves_in_the_taught_order():
    params = get_params(28, 256, CPU)
    v, h = 28, 256
    assert reference.NAMES[:11] == PARAM_NAMES
    assert [tuple(p.shape) for p in params] == [(v, h), (h, h), (h,)] * 3 + [(h, v), (v,)]
    assert all(p.is_leaf and p.requires_grad and p.grad is None for p in params)
    assert sum(p.numel() for p in params) == 226_076
    assert len({p.data_ptr() for p in params}) == 11, "no two share their numbers"
    assert get_params(2, 3, "cpu")[0].device == init_gru_state(2, 3, "cpu")[0].device == CPU
    assert get_params(2, 3, "meta")[0].device == torch.device("meta")


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
    first, other = get_params(3, 4, CPU), get_params(3, 4, CPU)
    torch.manual_seed(1)
    again = get_params(3, 4, CPU)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[0], first[3]), "the gates do not start alike"


def test_the_first_state_is_zero():
    (H,) = init_gru_state(3, 4, CPU)
    assert H.shape == (3, 4)
    assert not H.any()
    assert not H.requires_grad


# --- checks in front of taught functions --------------------------------------------------------

CHECKED = (get_params, init_gru_state, gru, gru_step, unroll, gru_switched)
CHECKED += (gru_forward, gru_backward)


@pytest.mark.parametrize("function", CHECKED, ids=lambda f: f.__name__)
def test_a_check_changes_nothing_that_can_be_seen(function):
    bare = function.__wrapped__
    for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
        assert getattr(function, attribute) == getattr(bare, attribute)
    signature = inspect.signature(function)
    assert signature == inspect.signature(bare)
    closure = inspect.getclosurevars(function).nonlocals
    named = set(inspect.signature(closure["check"]).parameters)
    assert named <= {*signature.parameters, *closure["fixed"]}, "the check asks for no other"


def test_a_missing_argument_is_one_of_the_function_by_its_name():
    with pytest.raises(TypeError, match=r"^gru\(\) missing 1 required .* 'params'$"):
        gru(INPUTS, (H,))
    with pytest.raises(TypeError, match=r"^get_params\(\) got an unexpected .* 'hiddens'$"):
        get_params(4, hiddens=6)
    with pytest.raises(TypeError, match="has no len"):
        gru(INPUTS, (H,), iter(PARAMS))


def test_a_check_sees_the_arguments_as_they_were_given():
    seen = []

    def check(a, b=2, *, c=3):
        seen.append((a, b, c))
        if a < 0:
            raise ValueError("a must be positive, got -1.")

    @checked_by(check)
    def total(a, b=2, *, c=3):
        return a + b + c

    assert [total(1), total(1, 5), total(b=7, a=1), total(1, c=9)] == [6, 9, 11, 12]
    assert seen == [(1, 2, 3), (1, 5, 3), (1, 7, 3), (1, 2, 9)]
    for call in (lambda: total(-1), lambda: total(a=-1)):
        refused(call, "a must be positive, got -1.")


# --- what is refused ----------------------------------------------------------------------------

INPUTS, H, *PARAMS = problem(0)
B_HN = torch.zeros(6, dtype=torch.float64)
TWELVE = [*PARAMS, B_HN]
PLAIN = {"inputs": INPUTS, "state": (H,), "params": PARAMS}
WORKS = {
    get_params: {"vocab_size": 4, "num_hiddens": 6, "device": CPU},
    init_gru_state: {"batch_size": 4, "num_hiddens": 6, "device": CPU},
    gru: PLAIN,
    gru_switched: PLAIN,
    gru_step: {"X": INPUTS[0], "H": H, "params": PARAMS},
    unroll: {**PLAIN, "step": gru_step},
    check_gru_params: {"params": PARAMS},
}


def replaced(place, param):
    """The parameters with another one in a place."""
    return {"params": [*PARAMS[:place], param, *PARAMS[place + 1 :]]}


DEVICE = (
    "device must be one that PyTorch finds on this computer, such as 'cpu' or what try_gpu() "
    "returns, got"
)
INTEGER = "must be a positive integer, got"
MUST, WITH = "params must be ", "with reset_after="
ELEVEN = f"{MUST}the 11 tensors {', '.join(PARAM_NAMES)}, or 12 with b_hn at the end, got"
NOT_12 = f"{MUST}the 11 tensors of get_params, got 12: leave b_hn out, or call gru_switched"
NINE = f"{MUST}at least the 9 tensors {', '.join(PARAM_NAMES[:9])}, got 8."
B_HN_LAST = f"{MUST}10 or 12 tensors, b_hn the last, {WITH}True, got"
FEW = (
    f"{MUST}at most 11 tensors, the last two of them W_hq and b_q, or 12 with b_hn at the end, got"
)
MATRIX = "must have shape (vocab_size, num_hiddens)"
PLACE = "must have shape (6, 6), since W_xz is (4, 6), got (6,): check its size and its place"
OUTPUT = "The last two of params must be the output layer, W_hq (num_hiddens, vocab_size) and b_q"
STATE = "The state H must have shape (3, 6), which is (batch_size, num_hiddens), got"
TUPLE = "The state must be a tuple (H,) of one tensor, as init_gru_state returns it, got"
TYPE = "must be torch.float64 on cpu, as W_xz is, got"
DENSE = "The inputs must have shape (num_steps, batch_size, 4), time first, got shape"
IDS = "The inputs must be one-hot vectors, got token ids of shape (5, 3): encode them"
EMPTY = "The inputs must have at least one step, got 0."
ENDS = "X must end in 4 inputs and H in 6 units, since W_xz is (4, 6), got"

REFUSED = [
    (get_params, {"vocab_size": 0}, f"vocab_size {INTEGER} 0."),
    (get_params, {"vocab_size": "8"}, f"vocab_size {INTEGER} '8'."),
    (get_params, {"num_hiddens": -4}, f"num_hiddens {INTEGER} -4."),
    (get_params, {"num_hiddens": True}, f"num_hiddens {INTEGER} True."),
    (init_gru_state, {"batch_size": 2.5}, f"batch_size {INTEGER} 2.5."),
    (init_gru_state, {"num_hiddens": None}, f"num_hiddens {INTEGER} None."),
    (get_params, {"device": "cuda:99"}, f"{DEVICE} 'cuda:99'."),
    (init_gru_state, {"device": "gpu"}, f"{DEVICE} 'gpu'."),
    (check_gru_params, {"params": []}, f"{ELEVEN} 0."),
    (check_gru_params, replaced(0, B_HN), f"W_xz {MATRIX}, got (6,)."),
    (gru, {"params": PARAMS[:9]}, f"{ELEVEN} 9."),
    (gru, {"params": PARAMS[:10]}, f"{ELEVEN} 10."),
    (gru, {"params": [*TWELVE, B_HN]}, f"{ELEVEN} 13."),
    (gru, {"params": TWELVE}, NOT_12),
    (gru, {"params": [PARAMS[0], PARAMS[2], PARAMS[1], *PARAMS[3:]]}, f"W_hz {PLACE}"),
    (gru, replaced(3, PARAMS[3].half()), f"W_xr {TYPE} torch.float16 on cpu: convert with .to("),
    (gru, {"state": (H[:, :5],)}, f"{STATE} (3, 5): make one with init_gru_state."),
    (gru, {"state": (H[:2],)}, f"{STATE} (2, 6)"),
    (gru, {"state": (H[None],)}, f"{STATE} (1, 3, 6)"),
    (gru, {"state": (H.float(),)}, f"The state H {TYPE} torch.float32 on cpu"),
    (gru, {"state": (H.to("meta"),)}, f"The state H {TYPE} torch.float64 on meta"),
    (gru, {"state": H}, f"{TUPLE} Tensor."),
    (gru, {"state": ()}, f"{TUPLE} tuple of 0."),
    (gru, {"state": [H, H]}, f"{TUPLE} list of 2."),
    (gru, {"state": None}, f"{TUPLE} NoneType."),
    (gru, {"inputs": torch.zeros(5, 3, 7)}, f"{DENSE} (5, 3, 7) and type torch.float32."),
    (gru, {"inputs": INPUTS[0]}, f"{DENSE} (3, 4) and type torch.float64."),
    (gru, {"inputs": INPUTS[..., 0].bool()}, f"{DENSE} (5, 3) and type torch.bool."),
    (gru, {"inputs": INPUTS[:0]}, EMPTY),
    (gru, {"inputs": INPUTS.long()}, f"The inputs {TYPE} torch.int64 on cpu"),
    (gru, {"inputs": INPUTS[..., 0].int()}, IDS),
    (gru_switched, {"z_keeps": "keep"}, "z_keeps must be one of False, True, got 'keep'."),
    (gru_switched, {"reset_after": "no"}, "reset_after must be one of False, True, got 'no'."),
    (gru_switched, {"reset_after": True}, f"{MUST}12 tensors, b_hn the last, {WITH}True, got 11."),
    (gru_switched, {"params": TWELVE}, f"{MUST}11 tensors, {WITH}False, got 12."),
    (gru_switched, {"reset_after": True, "params": [*PARAMS, H]}, "b_hn must have shape (6,)"),
    (gru_switched, {"inputs": INPUTS[0]}, DENSE),
    (gru_step, {"params": PARAMS[:8]}, NINE),
    (gru_step, {"reset_after": True}, f"{B_HN_LAST} 11."),
    (gru_step, {"reset_after": True, "params": PARAMS[:9]}, f"{B_HN_LAST} 9."),
    (gru_step, {"X": INPUTS[0, :, :3]}, f"{ENDS} (3, 3) and (3, 6)."),
    (gru_step, {"H": H[:, :5]}, f"{ENDS} (3, 4) and (3, 5)."),
    (unroll, {"inputs": INPUTS[:0]}, EMPTY),
    (unroll, {"state": H}, f"{TUPLE} Tensor."),
    (unroll, {"params": [*TWELVE, B_HN]}, f"{FEW} 13."),
    (unroll, {"params": PARAMS[:1]}, f"{FEW} 1."),
    (unroll, {"params": PARAMS[:10]}, f"{OUTPUT} (vocab_size,), got (6,) and (6, 4)."),
]


@pytest.mark.parametrize("function", WORKS, ids=lambda f: f.__name__)
def test_without_the_mistake_the_call_works(function):
    function(**WORKS[function])


@pytest.mark.parametrize(("function", "changed", "words"), REFUSED)
def test_what_does_not_fit_is_refused_in_one_sentence(function, changed, words):
    refused_both_ways(function, WORKS[function], changed, words)


@pytest.mark.parametrize("place", range(1, 11), ids=PARAM_NAMES[1:])
def test_a_parameter_of_the_wrong_shape_is_named(place):
    shape = tuple(PARAMS[place].shape)
    words = f"{PARAM_NAMES[place]} must have shape {shape}, since W_xz is (4, 6), got (7, 9, 2)"
    for forward in (gru, gru_switched):
        refused_both_ways(forward, PLAIN, replaced(place, torch.zeros(7, 9, 2)), words)
