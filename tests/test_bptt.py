"""The backward pass by hand, as taught, against complex steps of the reference."""

import itertools

import pytest
import reference
import torch
from hypothesis import given, settings
from reference import agree, array, directions, problem, refused_both_ways, sizes

from gru_helpers import gru, gru_backward, gru_forward, gru_step, gru_step_backward, gru_switched

RESETS = pytest.mark.parametrize("reset_after", [False, True])


def by_hand(leaves, reset_after, seed=0):
    """Outputs and last H, what they are multiplied by, and ``gru_backward``'s gradients."""
    inputs, H, *params = leaves
    outputs, (H_last,), saved = gru_forward(inputs, (H,), params, reset_after)
    doutputs, dH = directions((outputs, H_last), seed)
    dinputs, (dH_first,), dparams = gru_backward(doutputs, dH, saved, params, reset_after)
    return (outputs, H_last), (doutputs, dH), [dinputs, dH_first, *dparams]


@RESETS
@settings(max_examples=30)
@given(**sizes)
def test_both_passes_are_those_of_the_reference(reset_after, **case):
    leaves = problem(reset_after=reset_after, **case)
    results, weights, grads = by_hand(leaves, reset_after, case["seed"])
    agree(results, reference.outputs(leaves[0], leaves[1], leaves[2:]))
    agree(grads, reference.gradients(leaves, *weights))


@RESETS
def test_what_is_saved_of_each_step(reset_after):
    inputs, H, *params = problem(1, reset_after)
    _, (H_last,), saved = gru_forward(inputs, (H,), params, reset_after)
    found = reference.run(reference.named(params), array(inputs), array(H))
    H_prev = array(H)
    for t, (X, before, *gates) in enumerate(saved):
        agree([X, before], [inputs[t], H_prev])
        agree(gates, [found[name][t] for name in ("Z", "R", "H_tilde", "H")])
        H_prev = found["H"][t]
    assert len(saved) == len(inputs)
    assert torch.equal(saved[-1][-1], H_last)


@RESETS
def test_one_step_back_gives_the_gradients_inside_the_step(reset_after):
    """Those by what stands in the sigmoids and the tanh are those by the biases, row by row."""
    (X, *_), H, *params = problem(2, reset_after)
    params = [p.requires_grad_() for p in params]
    rows = {
        place: params[place].expand(3, 6).clone() for place in (2, 5, 8, 11) if place < len(params)
    }
    spread = [rows.get(place, p) for place, p in enumerate(params)]
    H.requires_grad_()
    Z, R, H_tilde, new = gru_step(X, H, spread, reset_after=reset_after)
    (dH,) = directions([new])
    expected = list(torch.autograd.grad(new, [*rows.values(), H], dH, retain_graph=True))
    if not reset_after:  # the product is added to what the bias is added to
        expected.insert(3, expected[2])
    agree(gru_step_backward(dH, H, Z, R, H_tilde, params, reset_after), expected)


def test_gru_backward_is_that_of_gru_itself():
    leaves = [x.requires_grad_() for x in problem(3)]
    results, weights, grads = by_hand(leaves, reset_after=False)
    outputs, (H_last,) = gru(leaves[0], leaves[1:2], leaves[2:])
    agree(results, (outputs, H_last), 0.0)
    agree(grads, torch.autograd.grad((outputs, H_last), leaves, weights))


@RESETS
def test_a_thousand_steps(reset_after):
    leaves = problem(4, reset_after, steps=1000, batch=2, hiddens=4, scale=0.5)
    leaves = [x.requires_grad_() for x in leaves]
    outputs, (H_last,) = gru_switched(*leaves[:1], leaves[1:2], leaves[2:], reset_after=reset_after)
    with torch.no_grad():
        _, weights, grads = by_hand(leaves, reset_after)
    agree(grads, torch.autograd.grad((outputs, H_last), leaves, weights), 1e-11)


@RESETS
@pytest.mark.parametrize("gates", list(itertools.product((-1000.0, 1000.0), repeat=2)), ids=str)
def test_saturated_gates(reset_after, gates):
    leaves = problem(5, reset_after)
    leaves[4] += gates[0]  # b_z
    leaves[7] += gates[1]  # b_r
    results, weights, grads = by_hand(leaves, reset_after)
    assert all(torch.isfinite(g).all() for g in grads)
    agree(grads, reference.gradients(leaves, *weights))
    if gates[0] > 0:
        assert torch.equal(results[1], leaves[1]), "Z = 1 keeps the state to the last bit"


# --- what is refused ----------------------------------------------------------------------------

INPUTS, H, *PARAMS = problem(0)
TWELVE = [*PARAMS, torch.zeros(6, dtype=torch.float64)]
OUTPUTS, (LAST,), SAVED = gru_forward(INPUTS, (H,), PARAMS)
WORKS = {
    gru_forward: {"inputs": INPUTS, "state": (H,), "params": PARAMS},
    gru_backward: {"doutputs": OUTPUTS, "dH": LAST, "saved": SAVED, "params": PARAMS},
}
BACK = "must have shape (15, 4), as the outputs of gru_forward have, got"
ZEROS = "must have shape (3, 6), as the state has, got"
IDS = "The inputs must be one-hot vectors, got token ids of shape (5, 3): encode them"

REFUSED = [
    ({"reset_after": "no"}, "reset_after must be one of False, True, got 'no'."),
    ({"reset_after": True}, "12 tensors, b_hn the last, with reset_after=True, got 11."),
    ({"params": TWELVE}, "params must be 11 tensors, with reset_after=False, got 12."),
    ({"params": [*PARAMS[:9], *PARAMS[10:], H]}, "W_hq must have shape (6, 4), since W_xz is (4"),
]
REFUSED = [(function, *row) for function in WORKS for row in REFUSED] + [
    (gru_forward, {"inputs": INPUTS[..., 0].long()}, IDS),
    (gru_forward, {"state": (H[:2],)}, "The state H must have shape (3, 6)"),
    (gru_backward, {"doutputs": OUTPUTS.view(5, 3, 4)}, f"doutputs {BACK} (5, 3, 4)."),
    (gru_backward, {"dH": LAST[:, 0]}, f"dH {ZEROS} (3,): give zeros if the last state is not"),
    (gru_backward, {"saved": []}, "saved must be the third result of gru_forward, got an empty"),
]


def test_without_the_mistake_the_calls_work():
    for function, arguments in WORKS.items():
        function(**arguments)


@pytest.mark.parametrize(("function", "changed", "words"), REFUSED)
def test_what_does_not_fit_is_refused_in_one_sentence(function, changed, words):
    refused_both_ways(function, WORKS[function], changed, words)
