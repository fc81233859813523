"""The exercises of notebook 05, Comparison with nn.GRU."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..equations import PARAM_NAMES, gru_switched
from .core import Exercise, Mistake
from .kinds import Between, Built, Case, Function, Names, Numbers, Outcome, in_order
from .samples import drawn, nine
from .values import NotThisKind, read_numbers

WHAT_IT_IS = "What nn.GRU is"
SWITCHES = "The two switches"
LAB = "The equality lab"

# --- 1: our W_hz out of weight_hh_l0 ------------------------------------------------------------


def stacked_cases() -> list[Case]:
    """The weights of 256 units, with the size that the exercise names."""
    return [Case({"weight_hh_l0": drawn(768, 256, seed=1)}, "a weight of shape (768, 256)")]


W_HZ = (
    Mistake(
        "not_transposed",
        lambda W: W[256:512],
        "These are the right rows. But PyTorch multiplies by the transpose, and for a square "
        "block the shape does not tell.",
    ),
    Mistake(
        "reset_gate",
        lambda W: W[:256].T,
        "It is transposed, as it should be, but it is the first block. Which gate comes first?",
    ),
    Mistake(
        "candidate",
        lambda W: W[512:].T,
        "It is transposed, as it should be, but it is the last block, that of the candidate.",
    ),
    Mistake(
        "reset_gate_not_transposed",
        lambda W: W[:256],
        "This is the first block, as it stands: look up the order, and what PyTorch multiplies by.",
    ),
    Mistake(
        "candidate_not_transposed",
        lambda W: W[512:],
        "This is the last block, as it stands: look up the order, and what PyTorch multiplies by.",
    ),
    Mistake(
        "reshaped",
        lambda W: W.reshape(256, 768)[:, 256:512],
        "`reshape` and `view` read the same numbers row by row into another shape; they do not "
        "exchange rows and columns.",
    ),
    Mistake(
        "every_third_row",
        lambda W: W[1::3].T,
        "Every third row was taken. The blocks do not take turns: each stands whole, one below the "
        "other.",
    ),
    Mistake(
        "columns",
        lambda W: W[:, 256:512],
        "These are columns, of which there are only 256. The blocks lie one below the other.",
    ),
    Mistake(
        "transposed_then_rows",
        lambda W: W.T[256:512],
        "After the transpose the blocks lie side by side, and rows 256 to 512 do not exist.",
    ),
    Mistake(
        "all_of_it",
        lambda W: W.T,
        "All three blocks are in it. Which rows belong to the update gate?",
    ),
    Mistake(
        "one_row_short",
        lambda W: W[256:511].T,
        "The last row is missing: the end of a slice is not included.",
    ),
    Mistake(
        "one_row_early",
        lambda W: W[255:511].T,
        "All rows are one too early. Python counts from 0: where does the first block end?",
    ),
    Mistake(
        "one_row_late",
        lambda W: W[257:513].T,
        "All rows are one too late. Python counts from 0: where does the first block end?",
    ),
    Mistake(
        "negated",
        lambda W: -W[256:512].T,
        "The block is right, the sign is not. In the lab, which way does the z of `nn.GRU` point?",
        see=LAB,
    ),
)

# --- 2: how many parameters ---------------------------------------------------------------------

BLOCK = 28 * 256 + 256 * 256 + 2 * 256
OUTPUT = 256 * 28 + 28


class LayerCounts(Numbers):
    """The two numbers; in a dict the names may be ``"rnn"`` or ``"nn.RNN(28, 256)"`` as well."""

    def read(self, answer: Any) -> Tensor:
        """The numbers as one vector, that of the LSTM first."""
        if isinstance(answer, Mapping) and len(answer) == 2:
            lstm = ["lstm" in str(key).casefold() for key in answer]
            rnn = ["rnn" in str(key).casefold() for key in answer]
            if sum(lstm) == 1 and any(r for r, other in zip(rnn, lstm, strict=True) if not other):
                first, second = answer.values()
                answer = [first, second] if lstm[0] else [second, first]
        return super().read(answer)


def near_counts(lstm: float, rnn: float) -> Callable[[Tensor], bool]:
    """Whether both numbers are these, rounded in any way."""
    return lambda found: bool(((found - torch.tensor([lstm, rnn])).abs() < 1).all())


# --- 3: the two forms without b_hn --------------------------------------------------------------


def one_hot_inputs(num_steps: int, batch_size: int, num_inputs: int, seed: int) -> Tensor:
    """One-hot rows, (num_steps, batch_size, num_inputs)."""
    ids = drawn(num_steps * batch_size, num_inputs, seed=seed).argmax(dim=1)
    rows = torch.eye(num_inputs, dtype=torch.float64)[ids]
    return rows.reshape(num_steps, batch_size, num_inputs)


def lab_cases() -> list[Case]:
    """One step, several, and several from a state that is not zero.

    The sign of the largest difference is not the same in the last two.
    """
    cases = []
    for words, steps, begin, seed in (
        ("one step from a state of zeros", 1, 0.0, 32),
        ("four steps from a state of zeros", 4, 0.0, 32),
        ("four steps from another state", 4, 1.0, 45),
    ):
        params = [*nine(5, 4, seed=20), drawn(4, 5, seed=30), drawn(5, seed=31)]
        H = begin * drawn(2, 4, seed=seed)
        arguments = {"inputs": one_hot_inputs(steps, 2, 5, seed=40), "H": H, "params": params}
        cases.append(Case(arguments, words))
    return cases


def two_forms(
    inputs: Tensor,
    H: Tensor,
    params: list[Tensor],
    z_keeps: bool = True,
    b_hn: Tensor | None = None,
    before: bool = True,
) -> tuple[Tensor, Tensor]:
    """The logits of a form that resets before (or not), and those of nn.GRU."""
    added = [*params, torch.zeros_like(params[8]) if b_hn is None else b_hn]
    ours, _ = gru_switched(inputs, (H,), params if before else added, z_keeps, not before)
    return ours, gru_switched(inputs, (H,), added, reset_after=True)[0]


def apart(measure: Callable[[Tensor], Any], **changes: Any) -> Callable[..., Any]:
    """How far the two forms are apart, by a measure of the difference of their logits."""

    def function(inputs: Tensor, H: Tensor, params: list[Tensor]) -> Any:
        ours, theirs = two_forms(inputs, H, params, **changes)
        return measure(ours - theirs)

    return function


def largest(difference: Tensor) -> Tensor:
    """The largest size."""
    return difference.abs().max()


largest_difference = apart(largest)


def at_step(place: int) -> Callable[..., Any]:
    """The largest difference at one step."""

    def function(inputs: Tensor, H: Tensor, params: list[Tensor]) -> Tensor:
        ours, theirs = two_forms(inputs, H, params)
        return largest((ours - theirs).chunk(len(inputs))[place])

    return function


def joined(change: Callable[[Tensor, int], Tensor], own: bool = False) -> Callable[..., Any]:
    """The largest difference where one side's logits are changed, given the number of steps."""

    def function(inputs: Tensor, H: Tensor, params: list[Tensor]) -> Tensor:
        ours, theirs = two_forms(inputs, H, params)
        if own:
            return largest(change(ours, len(inputs)) - theirs)
        return largest(ours - change(theirs, len(inputs)))

    return function


def by_sequence(logits: Tensor, num_steps: int) -> Tensor:
    """The rows of the logits sorted by sequence and not by step."""
    return logits.unflatten(0, (num_steps, -1)).transpose(0, 1).flatten(0, 1)


def begun_apart(ours: float, theirs: float) -> Callable[..., Any]:
    """The largest difference where each side begins with so many times H."""

    def function(inputs: Tensor, H: Tensor, params: list[Tensor]) -> Tensor:
        mine, _ = two_forms(inputs, ours * H, params)
        return largest(mine - two_forms(inputs, theirs * H, params)[1])

    return function


def without_output_bias(own: bool) -> Callable[..., Any]:
    """The largest difference where one side lacks b_q."""

    def function(inputs: Tensor, H: Tensor, params: list[Tensor]) -> Tensor:
        ours, theirs = two_forms(inputs, H, params)
        return largest(ours - theirs + (-params[10] if own else params[10]))

    return function


def of_all_states(inputs: Tensor, H: Tensor, params: list[Tensor]) -> Tensor:
    """The largest difference of the states of all steps."""
    differences, ours, theirs = [], (H,), (H,)
    added = [*params, torch.zeros_like(params[8])]
    for X in inputs:
        ours = gru_switched(X[None], ours, params)[1]
        theirs = gru_switched(X[None], theirs, added, reset_after=True)[1]
        differences.append(ours[0] - theirs[0])
    return largest(torch.cat(differences))


def of_the_states(inputs: Tensor, H: Tensor, params: list[Tensor]) -> Tensor:
    """The largest difference of the last states."""
    added = [*params, torch.zeros_like(params[8])]
    ours = gru_switched(inputs, (H,), params)[1][0]
    return largest(ours - gru_switched(inputs, (H,), added, reset_after=True)[1][0])


def relative_difference(inputs: Tensor, H: Tensor, params: list[Tensor]) -> Tensor:
    """The largest difference as a part of the largest logit."""
    ours, theirs = two_forms(inputs, H, params)
    return largest(ours - theirs) / largest(theirs)


def with_bias(change: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Callable[..., Any]:
    """The largest difference where nn.GRU gets other biases b_h and b_hn, made from ours."""

    def function(inputs: Tensor, H: Tensor, params: list[Tensor]) -> Tensor:
        b_h, b_hn = change(params[8])
        theirs = [*params[:8], b_h, *params[9:], b_hn]
        ours, _ = gru_switched(inputs, (H,), params)
        return largest(ours - gru_switched(inputs, (H,), theirs, reset_after=True)[0])

    return function


def copied_wrongly(change: Callable[[list[Tensor]], list[Tensor]]) -> Callable[..., Any]:
    """The largest difference where nn.GRU gets other weights, made from ours."""

    def function(inputs: Tensor, H: Tensor, params: list[Tensor]) -> Tensor:
        theirs = [*change(params), torch.zeros_like(params[8])]
        ours, _ = gru_switched(inputs, (H,), params)
        return largest(ours - gru_switched(inputs, (H,), theirs, reset_after=True)[0])

    return function


FORMS = (
    Mistake(
        "copied_in_the_order_z_r_n",
        copied_wrongly(lambda p: [*p[3:6], *p[:3], *p[6:]]),
        "The two gates have each other's weights in `nn.GRU`, which stacks r first.",
        see=WHAT_IT_IS,
    ),
    Mistake(
        "copied_without_transpose",
        copied_wrongly(lambda p: [q.T if k in (1, 4, 7) else q for k, q in enumerate(p)]),
        "The state weights have gone into `nn.GRU` without a transpose: being square, they fit.",
        see=WHAT_IT_IS,
    ),
    Mistake(
        "same_form",
        apart(largest, before=False),
        "There is never a difference. Does your own side reset before the product? It is "
        "`reset_after=False` that the exercise asks for.",
        see=SWITCHES,
    ),
    Mistake(
        "z_reversed",
        apart(largest, z_keeps=False),
        "Your own side has z the wrong way round: the exercise keeps `z_keeps=True`, so that only "
        "the place of the reset gate differs.",
        see=SWITCHES,
    ),
    Mistake(
        "both_differ",
        apart(largest, z_keeps=False, before=False),
        "Your own side resets after the product and has z the wrong way round. The exercise asks "
        "for `z_keeps=True, reset_after=False`.",
        see=SWITCHES,
    ),
    Mistake(
        "bias_twice",
        with_bias(lambda b: (b, b)),
        "The bias of the candidate counts twice in `nn.GRU`: as b_h, and once more inside the "
        "reset, where there should be zeros.",
    ),
    Mistake(
        "bias_inside",
        with_bias(lambda b: (torch.zeros_like(b), b)),
        "The bias of the candidate has gone inside the reset. b_h stays outside, in `bias_ih_l0`; "
        "what stands inside is to be 0.",
    ),
    Mistake(
        "no_bias",
        with_bias(lambda b: (torch.zeros_like(b), torch.zeros_like(b))),
        "`nn.GRU` has no bias at all in its candidate. Only b_hn is to be 0; b_h is a parameter of "
        "both.",
    ),
    Mistake(
        "mean",
        apart(lambda difference: difference.abs().mean()),
        "This is the mean size of the differences. The lab looks at the largest.",
    ),
    Mistake(
        "sign_kept",
        apart(lambda difference: difference.max()),
        "The largest difference with its sign: one that is far below 0 is overlooked. Take the "
        "size first.",
    ),
    Mistake(
        "sign_kept_the_other_way_round",
        apart(lambda difference: (-difference).max()),
        "The largest difference with its sign: one that is far below 0 is overlooked. Take the "
        "size first.",
    ),
    Mistake(
        "norm",
        apart(lambda difference: difference.norm()),
        "This is the length of all differences together. The lab looks at the largest one.",
    ),
    Mistake(
        "squared",
        apart(lambda difference: difference.square().max()),
        "This is the square of the largest difference.",
    ),
    Mistake(
        "relative",
        relative_difference,
        "This is a part of the largest logit. The lab prints the difference itself.",
    ),
    Mistake(
        "first_step",
        at_step(0),
        "Only the first step is compared. From an empty state it has nothing to reset: take all.",
    ),
    Mistake(
        "last_step",
        at_step(-1),
        "Only the last step is compared. The largest difference may be at any of them.",
    ),
    Mistake(
        "states",
        of_the_states,
        "These are the last states. The lab compares the logits, which the output layer makes.",
    ),
    Mistake(
        "all_states",
        of_all_states,
        "These are the states of all steps. The lab compares the logits, which the output layer "
        "makes of them.",
    ),
    Mistake(
        "zeros_in_nn_gru",
        begun_apart(1, 0),
        "Both sides must begin with the same state. Where does `nn.GRU` begin?",
    ),
    Mistake(
        "zeros_in_ours",
        begun_apart(0, 1),
        "Both sides must begin with the same state. Where does your own side begin?",
    ),
    Mistake(
        "output_bias_left_out",
        without_output_bias(own=False),
        "The bias b_q of the output layer is missing behind `nn.GRU`.",
    ),
    Mistake(
        "own_output_bias_left_out",
        without_output_bias(own=True),
        "The bias b_q of the output layer is missing on your own side.",
    ),
    Mistake(
        "rows_by_sequence",
        joined(by_sequence),
        "The logits behind `nn.GRU` are sorted by sequence, and ours by step: all rows of step 0 "
        "come first.",
    ),
    Mistake(
        "own_rows_by_sequence",
        joined(by_sequence, own=True),
        "Your own logits are sorted by sequence, and those behind `nn.GRU` by step: all rows of "
        "step 0 come first.",
    ),
    Mistake(
        "starts_from_zeros",
        lambda inputs, H, params: largest_difference(inputs, 0 * H, params),
        "It begins with zeros whatever the state that is handed in: use H.",
    ),
)

# --- 4: the wrong order -------------------------------------------------------------------------


def swap_cases() -> list[Case]:
    """Weights and a bias of four units, three blocks each."""
    shapes = {"a weight of shape (12, 5)": (12, 5), "a bias of shape (12,)": (12,)}
    return [Case({"stacked": drawn(*shape, seed=41)}, words) for words, shape in shapes.items()]


def blocks(*order: int) -> Callable[[Tensor], Tensor]:
    """The three blocks in another order."""
    return lambda stacked: torch.cat([stacked.chunk(3)[place] for place in order])


def overwritten(stacked: Tensor) -> Tensor:
    """What becomes of it when the second block is read after the first has been written there."""
    stacked = stacked.clone()
    size = len(stacked) // 3
    stacked[:size] = stacked[size : 2 * size]
    stacked[size : 2 * size] = stacked[:size]
    return stacked


def by_second_axis(stacked: Tensor) -> Tensor:
    """The exchange with the second axis as the size of a block."""
    size = stacked.shape[1]
    return torch.cat([stacked[size : 2 * size], stacked[:size], stacked[2 * size :]])


def by_columns(stacked: Tensor) -> Tensor:
    """The exchange of blocks of columns."""
    r, z, n = stacked.chunk(3, dim=1)
    return torch.cat([z, r, n], dim=1)


def on_the_weight(change: Callable[[Tensor], Tensor]) -> Callable[[list[Outcome]], bool]:
    """Whether this has come of the first case, the weight, whatever becomes of a bias."""

    def recognized(outcomes: list[Outcome]) -> bool:
        made, expected = outcomes[0].numbers, change(swap_cases()[0].arguments["stacked"])
        same = len(made) == 1 and made[0].shape == expected.shape
        return same and torch.allclose(made[0].double(), expected, rtol=1e-4, atol=1e-5)

    return recognized


def taking_turns(stacked: Tensor) -> Tensor:
    """Rows 0 and 1 of every three exchanged."""
    return stacked.unflatten(0, (-1, 3))[:, [1, 0, 2]].flatten(0, 1)


# --- 5: seeds and sizes -------------------------------------------------------------------------

Savings = tuple[Tensor, Tensor]


def two_lists(answer: Any) -> Savings:
    """by_start and by_form, as long as each other."""
    if isinstance(answer, Mapping):
        with contextlib.suppress(NotThisKind):
            answer = in_order(answer, ("by_start", "by_form"))
    found = read_numbers(list(answer.values()) if isinstance(answer, Mapping) else answer)
    if len(found) == 1 and found[0].dim() == 2 and len(found[0]) == 2:
        found = list(found[0])
    if len(found) != 2 or found[0].numel() != found[1].numel() or found[0].numel() % 2:
        raise NotThisKind(
            "It is not two lists of the same length, by_start and by_form, with two numbers for "
            "each seed."
        )
    return found[0].double().flatten(), found[1].double().flatten()


LEAST = 4.0  # epochs that the better initialization saves, at least


def swapped_lists(found: Savings) -> bool:
    """Whether each list would be right in the place of the other."""
    return not savings_fault((found[1], found[0]))


def negative_savings(found: Savings) -> bool:
    """Whether the savings would be right with the other sign."""
    return not savings_fault((-found[0], found[1]))


def savings_fault(found: Savings) -> str:
    """What cannot be so in the two lists, or nothing."""
    by_start, by_form = found
    if not (by_start.isfinite().all() and by_form.isfinite().all()):
        return "One of the numbers is not finite."
    if len(by_start) < 4:
        return f"There are {len(by_start)} numbers in each list: two seeds make four."
    if by_start.min() < LEAST:
        return (
            "In by_start a number is near 0 or below it: with PyTorch's initialization every model "
            "should be clearly sooner at perplexity 8."
        )
    if by_form.abs().max() >= by_start.min():
        return (
            "In by_form a number is as large as one in by_start: are the weights of the two "
            "functions equal at the beginning, and the minibatches too?"
        )
    if by_start.mean() < 2 * by_form.abs().mean():
        return (
            "The numbers of by_form are not much smaller than those of by_start. Both lists hold "
            "differences of epochs, by_form those between two functions from the same weights."
        )
    if by_form.min() >= 8:
        return "Every number of by_form is large: are they differences between the two functions?"
    return ""


def raw_epochs(found: Savings) -> bool:
    """Whether these are the epochs themselves: all large, in both lists."""
    enough = len(found[0]) >= 4 and bool((torch.cat(found) >= 15).all())
    return enough and bool(savings_fault(found)) and not swapped_lists(found)


GROUPS = ("none", "biases", "recurrent", "input", "output", "all")


def group_epochs(answer: Any) -> Tensor:
    """Six numbers of epochs, in the order of ``GROUPS``; where each seed has a row, their means."""
    if isinstance(answer, Mapping):
        answer = in_order(answer, GROUPS)
    found = read_numbers(answer)
    if len(found) > 1 and len({part.shape for part in found}) == 1:
        found = [torch.stack([part.double() for part in found])]
    if len(found) == 1 and found[0].dim() == 2 and found[0].numel() > len(GROUPS):
        table = found[0].double()
        for axis, other in ((0, 1), (1, 0)):
            if table.shape[other] == len(GROUPS):
                answer = table.mean(dim=axis)
                break
    return Numbers(GROUPS).read(answer)


MOST = 72  # epochs to perplexity 8, at the lesson's rate


def group_fault(epochs: Tensor) -> str:
    """What cannot be so in the table of groups, or nothing."""
    if not (epochs.isfinite().all() and (epochs > 0).all()):
        return "They are numbers of epochs, and so above 0."
    none, *single, everything = epochs.tolist()
    if none > MOST:
        return "These are more epochs than we would expect of the lesson's rate and perplexity 8."
    whole = none - everything
    if whole < LEAST:
        return (
            "With all groups enlarged, the last number, the model should be clearly sooner there "
            "than with none, the first."
        )
    saved = dict(zip(GROUPS[1:-1], [(none - some) / whole for some in single], strict=True))
    order = "Are the groups in the order none, biases, recurrent, input, output, all?"
    if saved["biases"] > 0.4:
        return f"The biases alone save more than we would expect of them. {order}"
    for name in ("input", "output"):
        if saved[name] < 0.3:
            return f"Larger {name} weights alone save less than we would expect. {order}"
    if max(saved.values()) > 1.25:
        return f"One group alone saves more than all of them together. {order}"
    return ""


def saved_epochs(epochs: Tensor) -> bool:
    """Whether these are the savings and not the epochs."""
    return bool(epochs[0] == 0) and not group_fault(60 - epochs)


def summed_epochs(epochs: Tensor) -> bool:
    """Whether these would be right if they were divided by a number of seeds."""
    return bool(epochs[0] > MOST) and any(not group_fault(epochs / k) for k in (2, 3, 4, 5))


def in_order_of_parameters(epochs: Tensor) -> bool:
    """Whether input weights come where the biases should, as in the list of parameters."""
    none, first, second, third, fourth, everything = epochs
    return not group_fault(torch.stack([none, third, second, first, fourth, everything])) and bool(
        group_fault(epochs)
    )


# --- 6: all twelve parameters -------------------------------------------------------------------

TWELVE = (*PARAM_NAMES, "b_hn")


def twelve_cases() -> list[Case]:
    """One step, and four; b_hn is not zero."""
    cases = []
    for words, steps in (("one step", 1), ("four steps", 4)):
        params = [*nine(5, 3, seed=50), drawn(3, 5, seed=60), drawn(5, seed=61), drawn(3, seed=62)]
        state = (drawn(2, 3, seed=63),)
        arguments = {"inputs": one_hot_inputs(steps, 2, 5, seed=64), "state": state}
        cases.append(Case({**arguments, "params": params}, words))
    return cases


@dataclass(frozen=True)
class Forward(Function):
    """A forward_fn: the state that it returns has to be a tuple or list again."""

    def tried_in(
        self, function: Callable[..., Any], case: Case, dtype: torch.dtype, end: float
    ) -> Outcome:
        """The outcome of a call; H alone in the place of ``(H,)`` is trouble for the next one."""
        outcome = super().tried_in(function, case, dtype, end)
        value = outcome.call.value
        if not outcome.trouble and isinstance(value, (tuple, list)) and len(value) == 2:
            state = value[1]
            if isinstance(state, Tensor) and state.shape == case.arguments["state"][0].shape:
                outcome.trouble = "returns H alone as the new state"
        return outcome


def detached(params: list[Tensor], places: range) -> list[Tensor]:
    """The parameters, those at some places cut off from the graph."""
    return [p.detach() if place in places else p for place, p in enumerate(params)]


def run(
    candidate: Callable[..., Tensor] | None = None,
    new: Callable[..., Tensor] | None = None,
    output: Callable[..., Tensor] | None = None,
    join: Callable[[list[Tensor]], Tensor] = torch.cat,
    last: Callable[[Tensor, Tensor], Tensor] | None = None,
    carry: Callable[[Tensor], Tensor] | None = None,
    activation: Callable[[Tensor], Tensor] = torch.tanh,
    gates: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda Z, R: (Z, R),
) -> Callable[..., Any]:
    """The form that resets after the product, with parts of it replaced."""

    def forward(inputs: Tensor, state: tuple[Tensor], params: list[Tensor]) -> Any:
        W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q, b_hn = params
        (H,) = state
        outputs = []
        for X in inputs:
            old = H = carry(H) if carry else H
            Z = torch.sigmoid(X @ W_xz + H @ W_hz + b_z)
            R = torch.sigmoid(X @ W_xr + H @ W_hr + b_r)
            Z, R = gates(Z, R)
            inside = candidate or (lambda x, R, H, W, b, b_hn: x + R * (H @ W + b_hn) + b)
            H_tilde = activation(inside(X @ W_xh, R, H, W_hh, b_h, b_hn))
            H = (new or (lambda Z, H, c: Z * H + (1 - Z) * c))(Z, H, H_tilde)
            made = output or (lambda H, old, W, b: H @ W + b)
            outputs.append(made(H, old, W_hq, b_q))
        return join(outputs), (last(state[0], H) if last else H,)

    return forward


AFTER = (
    Mistake(
        "reset_before",
        run(lambda x, R, H, W, b, b_hn: x + (R * H) @ W + b),
        "This is the form with the reset gate before the product, and b_hn is never used.",
    ),
    Mistake(
        "reset_before_with_bias",
        run(lambda x, R, H, W, b, b_hn: x + (R * H) @ W + b + b_hn),
        "The reset gate acts before the product, and b_hn is one more bias beside b_h.",
    ),
    Mistake(
        "bias_outside_reset",
        run(lambda x, R, H, W, b, b_hn: x + R * (H @ W) + b + b_hn),
        "The bias b_hn stands outside the product with R, where it is only more of b_h.",
    ),
    Mistake(
        "second_bias_left_out",
        run(lambda x, R, H, W, b, b_hn: x + R * (H @ W) + b),
        "The twelfth parameter, b_hn, is never used.",
    ),
    Mistake(
        "first_bias_left_out",
        run(lambda x, R, H, W, b, b_hn: x + R * (H @ W + b_hn)),
        "The bias b_h is missing: this form has two in its candidate.",
    ),
    Mistake(
        "biases_exchanged",
        run(lambda x, R, H, W, b, b_hn: x + R * (H @ W + b) + b_hn),
        "The two biases of the candidate have changed places: which of them stands inside the "
        "product with R?",
    ),
    Mistake(
        "input_reset_too",
        run(lambda x, R, H, W, b, b_hn: R * (x + H @ W + b_hn) + b),
        "The reset gate scales the input too.",
    ),
    Mistake(
        "all_reset",
        run(lambda x, R, H, W, b, b_hn: R * (x + H @ W + b_hn + b)),
        "The reset gate scales everything in the candidate, the input and b_h too.",
    ),
    Mistake(
        "both_biases_reset",
        run(lambda x, R, H, W, b, b_hn: x + R * (H @ W + b_hn + b)),
        "Both biases of the candidate stand inside the product with R. Only one of them belongs "
        "there.",
    ),
    Mistake(
        "update_gate_for_reset",
        run(gates=lambda Z, R: (Z, Z)),
        "In the candidate stands Z, where the reset gate should be.",
    ),
    Mistake(
        "reset_reversed",
        run(lambda x, R, H, W, b, b_hn: x + (1 - R) * (H @ W + b_hn) + b),
        "The reset gate is the wrong way round: r = 1 lets the old state through.",
    ),
    Mistake(
        "sigmoid_for_tanh",
        run(activation=torch.sigmoid),
        "The candidate has the function of a gate: look up which one it needs.",
    ),
    Mistake(
        "softmax",
        run(output=lambda H, old, W, b: torch.softmax(H @ W + b, dim=1)),
        "These are probabilities. Logits are asked for: the loss takes the softmax itself.",
        see="03: The loop",
    ),
    Mistake(
        "logits_alone",
        lambda *given: run()(*given)[0],
        "Only the logits come back. The new state belongs to the result too.",
        see="03: The loop",
    ),
    Mistake(
        "results_exchanged",
        lambda *given: run()(*given)[::-1],
        "The two results have changed places: the logits come first.",
        see="03: The loop",
    ),
    Mistake(
        "starts_from_zeros",
        lambda inputs, state, params: run()(inputs, (0 * state[0],), params),
        "It begins with zeros whatever the state that is handed in.",
        see="03: The loop",
    ),
    Mistake(
        "reset_twice",
        run(lambda x, R, H, W, b, b_hn: x + R * ((R * H) @ W + b_hn) + b),
        "The reset gate acts twice, before the product and after it.",
    ),
    Mistake(
        "reset_left_out",
        run(lambda x, R, H, W, b, b_hn: x + H @ W + b_hn + b),
        "The reset gate is computed and never used.",
    ),
    Mistake(
        "z_reversed",
        run(new=lambda Z, H, c: (1 - Z) * H + Z * c),
        "In the last line of the step the two shares have changed places: with us, and in "
        "`nn.GRU`, z = 1 keeps.",
    ),
    Mistake(
        "outputs_not_joined",
        run(join=torch.stack),
        "The logits are (num_steps, batch_size, vocab_size). `RNNModelScratch` expects the steps "
        "one below the other.",
        see="03: The loop",
    ),
    Mistake(
        "rows_first",
        run(join=lambda outputs: torch.stack(outputs, dim=1).flatten(0, 1)),
        "The logits are sorted by sequence. They are to be sorted by step, all rows of step 0 "
        "first, as the labels are.",
        see="03: The loop",
    ),
    Mistake(
        "last_step_only",
        run(join=lambda outputs: outputs[-1]),
        "Only the logits of the last step come back.",
        see="03: The loop",
    ),
    Mistake(
        "states_for_logits",
        run(output=lambda H, old, W, b: H),
        "These are the states: the output layer is missing.",
        see="03: The loop",
    ),
    Mistake(
        "output_bias_left_out",
        run(output=lambda H, old, W, b: H @ W),
        "The bias of the output layer is missing.",
    ),
    Mistake(
        "output_of_the_old_state",
        run(output=lambda H, old, W, b: old @ W + b),
        "Each output is made from the state before its step, and so has not seen its input.",
        see="03: The loop",
    ),
    Mistake(
        "bare_state",
        lambda *given: (run()(*given)[0], run()(*given)[1][0]),
        "The new state is H alone. The next call begins with `(H,) = state`: hand the state back "
        "in the form in which it came.",
        see="03: The loop",
    ),
    Mistake(
        "no_gradient",
        lambda inputs, state, params: run()(inputs, state, detached(params, range(12))),
        "The numbers are right, but no gradient reaches params: are they copied on the way?",
        see="Gradients too",
    ),
    Mistake(
        "gradient_of_the_output_alone",
        lambda inputs, state, params: run()(
            inputs, state, [*detached(params[:9], range(9)), *params[9:11], params[11].detach()]
        ),
        "The numbers are right, but a gradient reaches only the output layer: are the other "
        "params copied on the way?",
        see="Gradients too",
    ),
    Mistake(
        "detached_at_every_step",
        run(carry=lambda H: H.detach()),
        "The numbers are right, but the state is detached at every step, so that no gradient goes "
        "back in time. `train` detaches it between minibatches.",
        see="Gradients too",
    ),
    Mistake(
        "first_state_returned",
        run(last=lambda first, H: first),
        "The logits are right. The state that comes back is the one that was handed in.",
    ),
)

EXERCISES = (
    Exercise(
        "05.1",
        "a function of weight_hh_l0 that returns our W_hz",
        Function(stacked_cases),
        lambda weight_hh_l0: weight_hh_l0[256:512].T,
        "The second block, transposed. A square block forgives a missing transpose, and so does "
        "every test of shapes.",
        WHAT_IT_IS,
        W_HZ,
    ),
    Exercise(
        "05.2",
        "two numbers of parameters: that of nn.LSTM(28, 256), that of nn.RNN(28, 256)",
        LayerCounts(("nn.LSTM", "nn.RNN")),
        lambda: (4 * BLOCK, BLOCK),
        "All three are made of equal blocks: one for the candidate, one more for each gate.",
        WHAT_IT_IS,
        (
            Mistake(
                "with_output_layer",
                lambda: ((3 * BLOCK + OUTPUT) * 4 / 3, (3 * BLOCK + OUTPUT) / 3),
                "You began with the number for the whole model, output layer included. That number "
                "cannot be divided by three, which is the warning.",
                when=near_counts((3 * BLOCK + OUTPUT) * 4 / 3, (3 * BLOCK + OUTPUT) / 3),
            ),
            Mistake(
                "from_our_model",
                lambda: (226_076 * 4 / 3, 226_076 / 3),
                "You began with the number for our own model. The layer of PyTorch has more "
                "biases, and no output layer.",
                when=near_counts(226_076 * 4 / 3, 226_076 / 3),
            ),
            Mistake(
                "output_layer_added",
                lambda: (4 * BLOCK + OUTPUT, BLOCK + OUTPUT),
                "An output layer is counted too. `nn.LSTM` and `nn.RNN` have none, as `nn.GRU`.",
            ),
            Mistake(
                "one_bias",
                lambda: (4 * (BLOCK - 256), BLOCK - 256),
                "Each block has one bias in your count. How many biases has `nn.GRU`?",
            ),
            Mistake(
                "our_convention",
                lambda: (4 * (BLOCK - 256) + OUTPUT, BLOCK - 256 + OUTPUT),
                "This is our own way to count: one bias for each block, and an output layer. What "
                "does the layer of PyTorch have?",
            ),
            Mistake(
                "no_bias",
                lambda: (4 * (BLOCK - 512), BLOCK - 512),
                "The biases are not counted.",
            ),
            Mistake(
                "lstm_as_gru",
                lambda: (3 * BLOCK, BLOCK),
                "The RNN is right. An LSTM has three gates; do not forget its candidate.",
            ),
            Mistake(
                "gates_alone",
                lambda: (3 * 3 * BLOCK // 2, 3 * BLOCK // 2),
                "You divided by the number of gates. A GRU has one block more than gates: that of "
                "the candidate.",
            ),
            Mistake(
                "cell_state_counted",
                lambda: (5 * BLOCK, BLOCK),
                "The RNN is right. The cell state of an LSTM is a state, and has no weights of its "
                "own.",
            ),
            Mistake(
                "exchanged",
                lambda: (BLOCK, 4 * BLOCK),
                "Both numbers are right, in the other order: the LSTM comes first.",
            ),
            Mistake(
                "of_the_gru",
                lambda: (3 * BLOCK * 3, 3 * BLOCK),
                "The RNN has the number of the GRU, and the LSTM three times as many: of how many "
                "blocks is a GRU made?",
            ),
        ),
    ),
    Exercise(
        "05.3",
        "a function of inputs, H and our eleven parameters (inputs, H, params) that returns the "
        "largest difference between our logits and those of nn.GRU with b_hn = 0",
        Function(lab_cases, may_write=True),
        largest_difference,
        "It is not gone: the reset gate stands elsewhere. Only the first step from a state of "
        "zeros, where nothing can be reset, is the same.",
        LAB,
        FORMS,
    ),
    Exercise(
        "05.4a",
        "a function of a tensor of nn.GRU, stacked in the order r, z, n, that returns a new tensor "
        "stacked in the order z, r, n",
        Function(swap_cases, may_write=True),
        blocks(1, 0, 2),
        "The shapes are those of before, and so no program can notice.",
        WHAT_IT_IS,
        (
            Mistake(
                "unchanged",
                blocks(0, 1, 2),
                "The order is that of before: is the result of the exchange returned? Or is the "
                "size of a block written as a number? This tensor has other blocks.",
            ),
            Mistake(
                "first_and_last",
                blocks(2, 1, 0),
                "The first and the last block have changed places: the candidate is in front.",
            ),
            Mistake(
                "last_two",
                blocks(0, 2, 1),
                "The last two blocks have changed places; r still stands first.",
            ),
            Mistake(
                "turned_round",
                blocks(1, 2, 0),
                "All three have moved by one place. Only r and z change theirs.",
            ),
            Mistake(
                "turned_the_other_way",
                blocks(2, 0, 1),
                "All three have moved by one place. Only r and z change theirs.",
            ),
            Mistake(
                "overwritten",
                overwritten,
                "The second block is in both places: it was written over the first, before that "
                "had been saved. A slice is a view, not a copy.",
            ),
            Mistake(
                "taking_turns",
                taking_turns,
                "Rows were exchanged as if the blocks took turns. Each stands whole, one below the "
                "other.",
            ),
            Mistake(
                "size_of_the_second_axis",
                by_second_axis,
                "The second axis is as long as a block only in `weight_hh_l0`. What is three "
                "blocks long in all four tensors?",
                when=on_the_weight(by_second_axis),
            ),
            Mistake(
                "columns",
                by_columns,
                "Columns have changed places. The blocks lie one below the other, in a bias too.",
                when=on_the_weight(by_columns),
            ),
            Mistake(
                "candidate_lost",
                lambda stacked: torch.cat([stacked.chunk(3)[place] for place in (1, 0)]),
                "The last block, that of the candidate, is missing.",
            ),
        ),
    ),
    Exercise(
        "05.4b",
        "how many times as large the perplexity of a trained model on its training text is, copied "
        "in the wrong order, as in the right one, before it is trained further: one number",
        Between(1.03, 100.0),
        3.5,
        "A trained model is damaged at once. With fresh weights both copies are alike, and a test "
        "finds nothing.",
        "And with trained weights?",
        (
            Mistake(
                "fresh_model",
                1.0,
                "The two are as good as each other. Are these trained weights? In a fresh model "
                "the two gates are exchangeable.",
                see="Why nobody notices",
                when=lambda ratio: 0.95 < ratio < 1.03,
            ),
            Mistake(
                "upside_down",
                0.28,
                "It is below 1, as if the wrong order were the better one. Is it divided the other "
                "way round, or is it an increase, or a logarithm? Or which text is it? An "
                "overfitted model can be worse on held-out text than a damaged one.",
                when=lambda ratio: 0 < ratio <= 0.95,
            ),
            Mistake(
                "no_difference",
                0.0,
                "That is the difference of two equal perplexities. Asked for is the ratio of those "
                "of a trained model.",
                when=lambda ratio: ratio == 0,
            ),
            Mistake(
                "difference",
                -9.8,
                "It is negative: a difference, and the wrong way round. Divide instead.",
                when=lambda ratio: ratio < 0,
            ),
            Mistake(
                "percent",
                354.0,
                "It is very large. Is it in percent, or is it a perplexity? Asked for is how many "
                "times as large the one perplexity is as the other.",
                when=lambda ratio: 100 < ratio < float("inf"),
            ),
        ),
    ),
    Exercise(
        "05.5a",
        "the two lists by_start and by_form for two more seeds: epochs saved, two numbers for each "
        "seed in each",
        Built(two_lists, savings_fault, "four numbers or more in each"),
        lambda: ([13, 12, 15, 14], [0, -1, 1, 0]),
        "At every seed the initialization saves far more than the function does.",
        "Trained side by side",
        (
            Mistake(
                "exchanged",
                lambda: ([0, -1, 1, 0], [13, 12, 15, 14]),
                "The lists have changed places: by_start first, what the initialization saves.",
                when=swapped_lists,
            ),
            Mistake(
                "sign",
                lambda: ([-13, -12, -15, -14], [0, -1, 1, 0]),
                "The numbers of by_start have the wrong sign: subtract the epochs with U(±1/√h) "
                "from those with N(0, 0.01²).",
                when=negative_savings,
            ),
            Mistake(
                "one_seed",
                lambda: ([13, 12], [0, -1]),
                "That is one seed. What a single seed shows may be chance; the exercise asks for "
                "two.",
                when=lambda found: len(found[0]) == 2,
            ),
            Mistake(
                "raw_epochs",
                lambda: ([39, 39, 41, 40], [26, 27, 26, 26]),
                "These look like epochs. Asked for are differences: what does each choice save?",
                when=raw_epochs,
            ),
            Mistake(
                "same_start",
                lambda: ([0, 0, 0, 0], [0, -1, 1, 0]),
                "The initialization saves nothing: do the models of `start` U really have "
                "PyTorch's weights? `params` must be set before training.",
                when=lambda found: (
                    len(found[0]) >= 4 and bool((torch.cat(found).abs() < LEAST).all())
                ),
            ),
        ),
    ),
    Exercise(
        "05.5b",
        "six numbers of epochs with 128 units (means over your seeds): U(±1/√h) for none, biases, "
        "recurrent, input, output, all",
        Built(group_epochs, group_fault),
        (41.0, 40.3, 36.7, 35.0, 35.0, 29.7),
        "The biases matter little, larger input or output weights help; how far they lead over the "
        "recurrent ones depends on the size.",
        "Which weights make the difference?",
        (
            Mistake(
                "savings",
                (0.0, 0.7, 4.3, 6.0, 6.0, 11.3),
                "These are epochs saved. Asked for are the epochs that each of them needs.",
                when=saved_epochs,
            ),
            Mistake(
                "order_of_the_parameters",
                (41.0, 35.0, 36.7, 40.3, 35.0, 29.7),
                "Biases and input weights seem to have changed places: the order is none, biases, "
                "recurrent, input, output, all.",
                when=in_order_of_parameters,
            ),
            Mistake(
                "sums",
                (82.0, 82.0, 74.0, 70.0, 72.0, 60.0),
                "These look like sums over your seeds. Asked for are means.",
                when=summed_epochs,
            ),
            Mistake(
                "all_and_none_exchanged",
                (29.7, 40.3, 36.7, 35.0, 35.0, 41.0),
                "The first number, with no group enlarged, is smaller than the last, with all of "
                "them: have these two changed places?",
                when=lambda epochs: (
                    bool(group_fault(epochs))
                    and not group_fault(epochs[[5, 1, 2, 3, 4, 0]])
                    and not saved_epochs(epochs)
                ),
            ),
        ),
    ),
    Exercise(
        "05.6a",
        "a forward_fn: a function of inputs, state and twelve parameters (inputs, state, params), "
        "the last of them b_hn, that returns the logits and the new state",
        Forward(
            twelve_cases,
            gradient=("params",),
            gradient_of_first=True,
            results=("the logits", "the new state"),
        ),
        run(),
        "This is the function that `nn.GRU` computes, with a bias that cannot be merged.",
        SWITCHES,
        AFTER,
    ),
    Exercise(
        "05.6b",
        "the names of those of our twelve parameters that each step moves twice as far in nn.GRU",
        Names(TWELVE),
        ("b_z", "b_r"),
        "Each is the sum of two parameters, and both get the full gradient: the same function, and "
        "another step.",
        "What differs, in one table",
        (
            Mistake(
                "rounding",
                (),
                "If nothing were moved further, the rest would be rounding; and in float64 that is "
                "far smaller. Which of our parameters are stored twice?",
            ),
            Mistake(
                "candidate_too",
                ("b_z", "b_r", "b_h"),
                "In the candidate there are two biases as well, but do both do the same? Look at "
                "their gradients.",
                see=SWITCHES,
            ),
            Mistake(
                "both_of_the_candidate",
                ("b_z", "b_r", "b_h", "b_hn"),
                "In the candidate there are two biases as well, but do both do the same? One of "
                "them stands inside the product with R.",
                see=SWITCHES,
            ),
            Mistake(
                "inner_bias_too",
                ("b_z", "b_r", "b_hn"),
                "The bias b_hn stands alone inside the product with R: is there a second one that "
                "does the same?",
                see=SWITCHES,
            ),
            Mistake(
                "output_bias_too",
                ("b_z", "b_r", "b_q"),
                "Look at b_q: the output layer is not part of `nn.GRU`. How many biases has it?",
            ),
            Mistake(
                "bias_of_the_candidate",
                ("b_h",),
                "The bias b_h has a companion, but one inside the product with R, which does "
                "something else. Which biases of `nn.GRU` are simply added?",
                see=SWITCHES,
            ),
            Mistake(
                "candidate_alone",
                ("b_h", "b_hn"),
                "It is the other way round: these two do different things. Which biases of "
                "`nn.GRU` are simply added?",
                see=SWITCHES,
            ),
            Mistake(
                "twelfth_alone",
                ("b_hn",),
                "The twelfth parameter is in both models once. Which ones has `nn.GRU` twice?",
            ),
            Mistake(
                "all_biases",
                ("b_z", "b_r", "b_h", "b_q", "b_hn"),
                "Not every bias is stored twice: how many has the output layer, and do the two of "
                "the candidate do the same?",
            ),
            Mistake(
                "weights_too",
                ("W_xz", "W_hz", "b_z", "W_xr", "W_hr", "b_r"),
                "Both gates, but not all of each: which of their tensors has `nn.GRU` twice?",
            ),
            Mistake(
                "everything",
                TWELVE,
                "If all were moved twice as far, it would be another learning rate, nothing more. "
                "Which of our parameters has `nn.GRU` twice?",
            ),
        ),
    ),
)
