"""The exercises of notebook 01, The gate equations."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..equations import gru_step
from .core import Exercise, Mistake
from .kinds import Built, Case, Function, Names, Numbers, number
from .samples import drawn, nine
from .values import NotThisKind, read_numbers

NAMES = ("W_xz", "W_hz", "b_z", "W_xr", "W_hr", "b_r", "W_xh", "W_hh", "b_h")


# --- 1: the four equations ----------------------------------------------------------------------


def step_cases() -> list[Case]:
    """Two rows and four units, which three inputs feed; and one unit alone."""
    cases = []
    for words, rows, inputs, units in (("one unit", 1, 1, 1), ("four units", 2, 3, 4)):
        X, H = drawn(rows, inputs, seed=1), drawn(rows, units, seed=2)
        cases.append(Case({"X": X, "H": H, "params": nine(inputs, units, seed=3)}, words))
    return cases


def step_with(**changes: Any) -> Any:
    """A step with something wrong: each change takes the place of a part of the right one."""

    def step(X: Tensor, H: Tensor, params: list[Tensor]) -> tuple[Tensor, ...]:
        params = changes.get("params", lambda given: given)(params)
        W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h = params
        Z = torch.sigmoid(X @ W_xz + H @ W_hz + b_z)
        R = torch.sigmoid(X @ W_xr + H @ W_hr + b_r)
        candidate = changes.get("candidate", lambda X, H, Z, R, W, U, b: X @ W + (R * H) @ U + b)
        squash = changes.get("squash", torch.tanh)
        H_tilde = squash(candidate(X, H, Z, R, W_xh, W_hh, b_h))
        new = changes.get("new", lambda H, Z, H_tilde: Z * H + (1 - Z) * H_tilde)
        return Z, R, H_tilde, new(H, Z, H_tilde)

    return step


def with_reset_state(X: Tensor, H: Tensor, params: list[Tensor]) -> tuple[Tensor, ...]:
    """A step whose last line mixes the candidate with the reset state."""
    Z, R, H_tilde, _ = gru_step(X, H, params)
    return Z, R, H_tilde, Z * (R * H) + (1 - Z) * H_tilde


def with_reset_gate_mixing(X: Tensor, H: Tensor, params: list[Tensor]) -> tuple[Tensor, ...]:
    """A step whose last line mixes by the reset gate."""
    Z, R, H_tilde, _ = gru_step(X, H, params)
    return Z, R, H_tilde, R * H + (1 - R) * H_tilde


def turned(results: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The results with the gates in each other's place."""
    return results[1], results[0], *results[2:]


def last_first(results: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The results with the last first."""
    return results[-1], *results[:-1]


def without_biases(params: list[Tensor]) -> list[Tensor]:
    """The parameters with every bias at 0."""
    return [p * 0 if place % 3 == 2 else p for place, p in enumerate(params)]


def gates_exchanged(params: list[Tensor]) -> list[Tensor]:
    """The parameters with those of the two gates in each other's place."""
    return [*params[3:6], *params[:3], *params[6:]]


def transposed(params: list[Tensor]) -> list[Tensor]:
    """The parameters with the square matrices transposed."""
    return [p.T if place % 3 == 1 else p for place, p in enumerate(params)]


EQUATIONS = "The same in matrices"
STEP = (
    Mistake(
        "z_reversed",
        step_with(new=lambda H, Z, H_tilde: (1 - Z) * H + Z * H_tilde),
        "In the last line the two shares have changed places: here z = 1 keeps the old state.",
        see="Two ways to write the update gate",
    ),
    Mistake(
        "reset_after_product",
        step_with(candidate=lambda X, H, Z, R, W, U, b: X @ W + R * (H @ U) + b),
        "The reset gate multiplies the product with W_hh. In this course it acts before: the "
        "state is reset first, and then multiplied. (One unit cannot tell the two apart.)",
    ),
    Mistake(
        "reset_left_out",
        step_with(candidate=lambda X, H, Z, R, W, U, b: X @ W + H @ U + b),
        "The candidate sees the whole old state: the reset gate is computed and never used.",
    ),
    Mistake(
        "reset_on_input",
        step_with(candidate=lambda X, H, Z, R, W, U, b: R * (X @ W + H @ U) + b),
        "The reset gate scales the input as well. It decides about the old state alone.",
    ),
    Mistake(
        "update_gate_in_candidate",
        step_with(candidate=lambda X, H, Z, R, W, U, b: X @ W + (Z * H) @ U + b),
        "The candidate uses the update gate where the reset gate belongs.",
    ),
    Mistake(
        "sigmoid_for_candidate",
        step_with(squash=torch.sigmoid),
        "The candidate is squashed by a sigmoid, so that it can never be negative.",
    ),
    Mistake(
        "candidate_not_squashed",
        step_with(squash=lambda a: a),
        "The candidate is a plain sum: the function that keeps it between -1 and 1 is missing.",
    ),
    Mistake(
        "biases_left_out",
        step_with(params=without_biases),
        "The biases are missing: each of the three sums has one.",
    ),
    Mistake(
        "biases_twice",
        step_with(params=lambda p: [2 * q if k % 3 == 2 else q for k, q in enumerate(p)]),
        "Each bias is added twice. Here a sum has one; `nn.GRU` has two, of which both count.",
    ),
    Mistake(
        "gates_exchanged",
        step_with(params=gates_exchanged),
        "The two gates have each other's weights: the nine tensors come in the order z, r, h.",
    ),
    Mistake(
        "matrices_transposed",
        step_with(params=transposed),
        "The state is multiplied by transposed matrices. Rows of the state stand on the left: "
        "H @ W, where W[i, j] leads from unit i to unit j.",
    ),
    Mistake(
        "old_state_returned",
        step_with(new=lambda H, Z, H_tilde: H),
        "The last result is the old state: the mixture of old state and candidate is missing.",
    ),
    Mistake(
        "candidate_returned",
        step_with(new=lambda H, Z, H_tilde: H_tilde),
        "The last result is the candidate: it still has to be mixed with the old state.",
    ),
    Mistake(
        "candidate_in_full",
        step_with(new=lambda H, Z, H_tilde: Z * H + H_tilde),
        "The candidate enters in full. The two shares must add up to 1.",
    ),
    Mistake(
        "old_state_in_full",
        step_with(new=lambda H, Z, H_tilde: H + (1 - Z) * H_tilde),
        "The old state enters in full. The two shares must add up to 1.",
    ),
    Mistake(
        "reset_state_mixed",
        with_reset_state,
        "The new state is mixed with R * H: was the name H used again for the reset state?",
    ),
    Mistake(
        "reset_gate_mixes",
        with_reset_gate_mixing,
        "The reset gate mixes old state and candidate. Which gate does that?",
    ),
    Mistake(
        "reset_reversed",
        step_with(candidate=lambda X, H, Z, R, W, U, b: X @ W + ((1 - R) * H) @ U + b),
        "The candidate sees 1 - R of the old state. Here r = 1 lets all of the past through.",
    ),
    Mistake(
        "another_order",
        lambda X, H, params: turned(gru_step(X, H, params)),
        "The right tensors, R first. Look at the order that is asked for.",
    ),
    Mistake(
        "new_state_first",
        lambda X, H, params: last_first(gru_step(X, H, params)),
        "The right tensors, the new state first. Look at the order that is asked for.",
    ),
    Mistake(
        "new_state_only",
        lambda X, H, params: gru_step(X, H, params)[-1],
        "The new state is right, but it came alone: the gates and the candidate are asked for too.",
    ),
)

# --- 2: a second step by hand -------------------------------------------------------------------


def sigmoid(a: float) -> float:
    """The logistic function of one number."""
    return 1 / (1 + math.exp(-a))


def second_step(
    x: float = 0.0, h: float | None = None, b_h: float = -1.0, reset: bool = True
) -> tuple[float, float, float, float]:
    """One step of "One unit, four numbers", by default from the state after the first."""
    h = second_step(1.0, 0.5)[-1] if h is None else h
    z, r = sigmoid(1.0 * x - 2.0 * h), sigmoid(0.5 * x + 1.0 * h)
    h_tilde = math.tanh(1.0 * x + 2.0 * ((r if reset else 1.0) * h) + b_h)
    return z, r, h_tilde, z * h + (1 - z) * h_tilde


def second_of_old_mixture() -> tuple[float, float, float, float]:
    """The second step, whose mixture takes the state before the first."""
    z, r, h_tilde, _ = second_step()
    return z, r, h_tilde, z * 0.5 + (1 - z) * h_tilde


def second_exchanged() -> tuple[float, float, float, float]:
    """The second step with its last two numbers in each other's place."""
    z, r, h_tilde, h_new = second_step()
    return z, r, h_new, h_tilde


def second_with_old_gate() -> tuple[float, float, float, float]:
    """The second step, whose candidate takes the reset gate of the first."""
    h, old_r = second_step(1.0, 0.5)[-1], second_step(1.0, 0.5)[1]
    z, r, _, _ = second_step()
    h_tilde = math.tanh(2.0 * (old_r * h) - 1.0)
    return z, r, h_tilde, z * h + (1 - z) * h_tilde


def second_with_signs_lost() -> tuple[float, float, float, float]:
    """The second step, whose gates are 1 / (1 + e^a)."""
    h = second_step(1.0, 0.5)[-1]
    z, r = 1 - sigmoid(-2.0 * h), 1 - sigmoid(h)
    h_tilde = math.tanh(2.0 * (r * h) - 1.0)
    return z, r, h_tilde, z * h + (1 - z) * h_tilde


def second_reversed() -> tuple[float, float, float, float]:
    """The second step, where z writes; the first was right."""
    z, r, h_tilde, _ = second_step()
    h = second_step(1.0, 0.5)[-1]
    return z, r, h_tilde, (1 - z) * h + z * h_tilde


# --- 4: the other convention --------------------------------------------------------------------


def half_life(z: float) -> float:
    """Steps until half of a state is left."""
    return math.log(0.5) / math.log(z)


# --- 5: before or after the product -------------------------------------------------------------


def gate_cases() -> list[Case]:
    """Pairs of gates."""
    pairs = ((0.0, 0.0), (1.0, 1.0), (0.5, 0.5), (0.3, 0.3), (0.0, 1.0), (1.0, 0.0), (0.2, 0.8))
    return [Case({"R_1": a, "R_2": b}, f"R_1 = {a}, R_2 = {b}") for a, b in pairs]


def compared_exactly(R_1: float, R_2: float) -> bool:
    """Whether the two forms agree to the last bit, in an example."""
    return R_1 == R_2 and R_1 in (0.0, 0.5, 1.0)


# --- 8: a unit that remembers, and one that does not --------------------------------------------


def latch_params(answer: Any) -> list[Tensor]:
    """The nine tensors of a GRU with one input and two units."""
    params = read_numbers(list(answer) if isinstance(answer, (list, tuple)) else answer)
    shapes = [(1, 2), (2, 2), (2,)] * 3
    if len(params) != 9:
        raise NotThisKind(f"It holds {len(params)} tensors, expected nine, {NAMES[0]} to b_h.")
    for name, param, shape in zip(NAMES, params, shapes, strict=True):
        given = tuple(param.shape)
        if given != shape and not (len(shape) == 1 and given == (1, *shape)):
            what = "rows are inputs, columns are units" if len(shape) == 2 else "one for each unit"
            raise NotThisKind(f"{name} has the shape {given}, expected {shape}: {what}.")
    return [p.double().reshape(shape) for p, shape in zip(params, shapes, strict=True)]


QUIET, AFTER = 100, 100


def latch_states(params: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Bits and states of four sequences; each has its first 1 at step ``QUIET``."""
    bits = torch.zeros(QUIET + 1 + AFTER, 4, dtype=torch.float64)
    bits[QUIET] = 1
    bits[QUIET + 1 : QUIET + 3, 1] = bits[QUIET + 30, 2] = bits[-1, 2] = bits[QUIET + 1 :, 3] = 1
    H, states = torch.zeros(4, 2, dtype=torch.float64), []
    for bit in bits:
        H = gru_step(bit[:, None], H, params)[-1]
        states.append(H)
    return bits, torch.stack(states)  # (num_steps, 4), (num_steps, 4, 2)


def latch_fault(params: list[Tensor]) -> str:
    """What the two units do wrong, or nothing."""
    bits, states = latch_states(params)
    first, second = states[..., 0], states[..., 1]
    if not (first[:QUIET].abs() < 0.1).all():
        worst = first[:QUIET].flatten()[first[:QUIET].abs().argmax()]
        return f"Unit 1 is {worst:.2f} before the first 1, not within 0.1 of 0."
    if not (first[QUIET] > 0.9).all():
        return f"Unit 1 is {first[QUIET].min():.2f} just after the first 1, not above 0.9."
    if not (first[QUIET:] > 0.9).all():
        return f"Unit 1 falls to {first[QUIET:].min():.2f} in the {AFTER} steps after the first 1."
    if not (second[bits == 1] > 0.9).all():
        return f"Unit 2 is {second[bits == 1].min():.2f} on a 1, not above 0.9."
    if not (second[bits == 0].abs() < 0.1).all():
        worst = second[bits == 0][second[bits == 0].abs().argmax()]
        return f"Unit 2 is {worst:.2f} on a 0, not within 0.1 of 0."
    return ""


def works(params: list[Tensor]) -> bool:
    """Whether the parameters do the job."""
    return not latch_fault(params)


def flipped(params: list[Tensor]) -> list[Tensor]:
    """The parameters with the opposite update gate."""
    return [-p if place < 3 else p for place, p in enumerate(params)]


def swapped(params: list[Tensor]) -> list[Tensor]:
    """The parameters with the two units in each other's place."""
    return [p.flip(0, 1) if p.shape == (2, 2) else p.flip(-1) for p in params]


def latch(
    first: tuple[float, float] = (-20.0, 10.0), second: tuple[float, float] = (0.0, -10.0)
) -> list[Tensor]:
    """Parameters from the weight and the bias of each unit's update gate."""
    none = torch.zeros(2, 2)
    return [
        *(torch.tensor([[first[0], second[0]]]), none, torch.tensor([first[1], second[1]])),
        *(torch.zeros(1, 2), none, torch.zeros(2)),
        *(torch.tensor([[5.0, 5.0]]), none, torch.zeros(2)),
    ]


def leaks(params: list[Tensor]) -> bool:
    """Whether unit 1 takes the first 1 and loses it again."""
    first = latch_states(params)[1][..., 0]
    return bool((first[QUIET] > 0.9).all() and (first[QUIET:] <= 0.9).any())


def gone_at_once(params: list[Tensor]) -> bool:
    """Whether unit 1 takes the first 1 and has dropped it at the next step."""
    first = latch_states(params)[1][..., 0]
    return bool((first[QUIET] > 0.9).all() and first[QUIET + 1, 0].abs() < 0.1)


def candidate_too_small(params: list[Tensor]) -> bool:
    """Whether a larger candidate alone would do."""
    larger = [10 * p if place >= 6 else p for place, p in enumerate(params)]
    return not works(params) and works(larger)


def goes_negative(params: list[Tensor]) -> bool:
    """Whether a state is near -1."""
    return bool((latch_states(params)[1] < -0.9).any())


def feeds_itself(params: list[Tensor]) -> bool:
    """Whether without W_hh the parameters would do the job."""
    return works([0 * p if place == 7 else p for place, p in enumerate(params)])


def second_keeps(params: list[Tensor]) -> bool:
    """Whether unit 1 is right, and unit 2 still remembers a 1 a step later."""
    bits, states = latch_states(params)
    fine = (states[QUIET:, :, 0] > 0.9).all() and (states[bits == 1][:, 1] > 0.9).all()
    return bool(fine and (states[QUIET + 1, 0, 1] >= 0.1))


EXERCISES = (
    Exercise(
        "01.1a",
        "a function of X, H and the nine tensors (X, H, params) that returns Z, R, H_tilde and the "
        "new state",
        Function(step_cases, results=("Z", "R", "H_tilde", "the new state")),
        gru_step,
        "These are the four equations, for any number of rows and units.",
        EQUATIONS,
        STEP,
    ),
    Exercise(
        "01.1b",
        "the names of those left sides that lie between -1 and 1 whatever the old state is",
        Names(("Z", "R", "H_tilde", "H")),
        ("Z", "R", "H_tilde"),
        "The new state has no range of its own: it lies between the old state and the candidate.",
        EQUATIONS,
        (
            Mistake(
                "state_always_inside",
                ("Z", "R", "H_tilde", "H"),
                "The state does not come from a sigmoid or tanh: it is an average of two numbers. "
                "What if one of them is 3?",
            ),
            Mistake(
                "sigmoid_only",
                ("Z", "R"),
                "Between 0 and 1 is also between -1 and 1; and what are the values of tanh?",
            ),
            Mistake(
                "tanh_only",
                ("H_tilde",),
                "A gate lies between 0 and 1, and so between -1 and 1 too.",
            ),
        ),
    ),
    Exercise(
        "01.2",
        "the four numbers of the second step: z, r, h_tilde, h_new",
        Numbers(("z", "r", "h_tilde", "h_new"), absolute=0.003),
        second_step,
        "The state follows its candidate below 0: with x = 0 the bias of the candidate decides.",
        "One unit, four numbers",
        (
            Mistake(
                "old_state",
                lambda: second_step(0.0, 0.5),
                "This is a step from h = 0.5, the state before the first step: the second begins "
                "where the first has ended.",
            ),
            Mistake(
                "first_step_again",
                lambda: second_step(1.0, 0.5),
                "These are the numbers of the first step. Later cells use the names again: run the "
                "cell of the section first, and set x and h.",
            ),
            Mistake(
                "x_still_one",
                lambda: second_step(1.0),
                "This step still reads x = 1.",
            ),
            Mistake(
                "bias_left_out",
                lambda: second_step(b_h=0.0),
                "The bias of the candidate has gone together with x. It acts at every step, "
                "whatever the input.",
            ),
            Mistake(
                "bias_twice",
                lambda: second_step(b_h=-2.0),
                "The bias of the candidate counts twice.",
            ),
            Mistake(
                "z_reversed",
                second_reversed,
                "z, r and the candidate are right; the new state mixes them the wrong way round. "
                "Here z = 1 keeps the old state.",
            ),
            Mistake(
                "reset_left_out",
                lambda: second_step(reset=False),
                "The candidate sees the whole old state: the reset gate is missing in it.",
            ),
            Mistake(
                "old_state_in_the_mixture",
                second_of_old_mixture,
                "z, r and the candidate are right. Which old state is mixed with the candidate?",
            ),
            Mistake(
                "from_the_candidate",
                lambda: second_step(0.0, second_step(1.0, 0.5)[2]),
                "This step begins with the candidate of the first. The next step begins with the "
                "new state.",
            ),
            Mistake(
                "from_zero",
                lambda: second_step(0.0, 0.0),
                "This step begins with a state of 0. The second begins where the first has ended.",
            ),
            Mistake(
                "old_reset_gate",
                second_with_old_gate,
                "The candidate takes the reset gate of the first step. The gates are computed anew "
                "at every step.",
            ),
            Mistake(
                "sign_of_the_exponent",
                second_with_signs_lost,
                "Both gates are 1 minus what they should be. Look at the sign in the exponent of "
                "the sigmoid.",
            ),
            Mistake(
                "last_two_exchanged",
                second_exchanged,
                "The four numbers are right, and the last two are in each other's place.",
            ),
        ),
    ),
    Exercise(
        "01.3a",
        "the state after step 1,000, a number",
        number("the state", absolute=1e-6),
        0.3,
        "With z = 1 a state is copied exactly, however many steps there are.",
        "What the gates do at 0 and at 1",
        (
            Mistake("forgotten", 0.0, "That would be a unit that lets its state go: z near 0."),
            Mistake(
                "z_six",
                lambda: 0.3 * sigmoid(6.0) ** 990,
                "That is a gate of a little less than 1. Here z is 1, exactly.",
            ),
            Mistake("candidate", 1.0, "With z = 1 no part of the candidate gets in."),
        ),
    ),
    Exercise(
        "01.3b",
        "the names of the tensors whose column gets no gradient when the unit is alone",
        Names(NAMES),
        NAMES,
        "Two factors are 0: 1 - z, before the candidate, and z (1 - z), the slope of the gate.",
        "What the gates do at 0 and at 1",
        (
            Mistake(
                "slope_left_out",
                ("W_xh", "W_hh", "b_h"),
                "These are multiplied by 1 - z = 0, that is right. But what is the slope of the "
                "sigmoid where z is 1? And what does the reset gate act on?",
            ),
            Mistake(
                "reset_left_out",
                ("W_xz", "W_hz", "b_z", "W_xh", "W_hh", "b_h"),
                "That is so if there are neighbors. The reset gate of a lone unit acts inside that "
                "unit's candidate, and where does the candidate go?",
            ),
            Mistake(
                "slope_alone",
                ("W_xz", "W_hz", "b_z"),
                "The slope of the update gate is 0, that is right. And by what is the candidate "
                "multiplied?",
            ),
            Mistake(
                "update_left_out",
                ("W_xr", "W_hr", "b_r", "W_xh", "W_hh", "b_h"),
                "What does the candidate's share leave of everything in it: that is right. But the "
                "update gate itself: what is the slope of the sigmoid where z is 1?",
            ),
            Mistake("none", (), "Set b_z to 50, go backward, and look at the gradients."),
        ),
    ),
    Exercise(
        "01.3c",
        "the names of the tensors whose column gets no gradient when the unit has neighbors",
        Names(NAMES),
        ("W_xz", "W_hz", "b_z", "W_xh", "W_hh", "b_h"),
        "The reset gate also decides what the neighbors see of this unit, and learns from that.",
        "What the gates do at 0 and at 1",
        (
            Mistake(
                "as_if_alone",
                NAMES,
                "As if the unit were alone. Which gate of this unit scales what its neighbors see "
                "in (R * H) @ W_hh?",
            ),
            Mistake(
                "slope_left_out",
                ("W_xh", "W_hh", "b_h"),
                "The candidate's share is 0, that is right. And what is the slope of the sigmoid "
                "where z is 1?",
            ),
            Mistake(
                "recurrent_matrices_learn",
                ("W_xz", "b_z", "W_xh", "b_h"),
                "It is about the column that feeds this unit. What this unit sends to others is a "
                "row.",
            ),
            Mistake(
                "reset_alone",
                ("W_xr", "W_hr", "b_r"),
                "At the reset gate: does anything still read what it scales?",
            ),
            Mistake(
                "slope_alone",
                ("W_xz", "W_hz", "b_z"),
                "The slope of the update gate is 0, that is right. And by what is the candidate "
                "multiplied?",
            ),
            Mistake("none", (), "Set b_z to 50, go backward, and look at the gradients."),
        ),
    ),
    Exercise(
        "01.4",
        "two numbers: the b_z to set here, and the half-life in steps",
        Numbers(("b_z", "half-life"), absolute=0.02, relative=0.005),
        lambda: (2.0, half_life(sigmoid(2.0))),
        "Only the sign changes between the conventions, and with it what the unit does.",
        "Two ways to write the update gate",
        (
            Mistake(
                "sign_copied",
                lambda: (-2.0, half_life(sigmoid(-2.0))),
                "The bias is copied with its sign. There z = 1 writes, here z = 1 keeps.",
            ),
            Mistake(
                "sign_copied_half_life_right",
                lambda: (-2.0, half_life(sigmoid(2.0))),
                "The half-life is right, the bias is not: which sign gives the z that you used?",
            ),
            Mistake(
                "written_share",
                lambda: (2.0, half_life(sigmoid(-2.0))),
                "The bias is right. The half-life is that of the share that is written, 1 - z.",
            ),
            Mistake(
                "time_constant",
                lambda: (2.0, -1 / math.log(sigmoid(2.0))),
                "The bias is right. This is the time after which 1/e is left, not one half.",
                see="How long does a gate remember?",
            ),
            Mistake(
                "one_over_share",
                lambda: (2.0, 1 / (1 - sigmoid(2.0))),
                "The bias is right. One over the written share is only near the time to 1/e; the "
                "half-life is the k for which z to the power k is one half.",
                see="How long does a gate remember?",
            ),
            Mistake(
                "bias_as_gate",
                lambda: (2.0, 0.5 / (1 - sigmoid(2.0))),
                "The bias is right. A state does not lose the same amount at each step, but the "
                "same share.",
                see="How long does a gate remember?",
            ),
            Mistake(
                "gate_in_place_of_half_life",
                lambda: (2.0, sigmoid(2.0)),
                "The bias is right. The second number is the gate that it gives, and not yet a "
                "number of steps.",
                see="How long does a gate remember?",
            ),
            Mistake(
                "exchanged",
                lambda: (half_life(sigmoid(2.0)), 2.0),
                "Both numbers are right, and in each other's place.",
            ),
            Mistake(
                "negative_half_life",
                lambda: (2.0, -half_life(sigmoid(2.0))),
                "The bias is right. A half-life is no negative number: which two logarithms are "
                "divided?",
                see="How long does a gate remember?",
            ),
            Mistake(
                "half_life_of_another_bias",
                lambda: (2.0, 1.0),
                "The bias is right. That is the half-life at z = 0.5, of a bias of 0.",
                see="How long does a gate remember?",
            ),
            Mistake(
                "gate_in_place_of_bias",
                lambda: (sigmoid(2.0), half_life(sigmoid(2.0))),
                "The first number is the gate that the bias gives. What is asked for is the bias.",
            ),
        ),
    ),
    Exercise(
        "01.5",
        "a function of two numbers, R_1 and R_2, the gates of two units, that returns True where "
        "the two forms agree for every H and W_hh, and False elsewhere",
        Function(gate_cases, absolute=0.0, relative=0.0),
        lambda R_1, R_2: R_1 == R_2,
        "Equal gates are a common factor, whatever their value, and leave the sum as it is.",
        EQUATIONS,
        (
            Mistake(
                "only_at_the_ends",
                lambda R_1, R_2: R_1 == R_2 and R_1 in (0, 1),
                "Both at 0 and both at 1 are cases, but are they the only ones? Try both at 0.5.",
            ),
            Mistake(
                "each_at_an_end",
                lambda R_1, R_2: R_1 in (0, 1) and R_2 in (0, 1),
                "It is not enough that each gate is 0 or 1: try 0 for one, and 1 for the other.",
            ),
            Mistake(
                "open_only",
                lambda R_1, R_2: R_1 == 1 and R_2 == 1,
                "Where both are 1 there is nothing to reset. But try both at 0, and both at 0.5.",
            ),
            Mistake(
                "shut_only",
                lambda R_1, R_2: R_1 == 0 and R_2 == 0,
                "Where both are 0 nothing of the state is left. But try both at 1, and at 0.5.",
            ),
            Mistake(
                "always",
                lambda R_1, R_2: True,
                "That is so with one unit. With two, try gates that differ.",
            ),
            Mistake(
                "never",
                lambda R_1, R_2: False,
                "There are gates for which both forms agree. Which factor can be taken out of a "
                "sum?",
            ),
            Mistake("reversed", lambda R_1, R_2: R_1 != R_2, "It is the other way round."),
            Mistake(
                "rounding",
                compared_exactly,
                "For equal gates that are no power of a half your function finds a difference: it "
                "is rounding. Compare with `torch.allclose`.",
            ),
        ),
    ),
    Exercise(
        "01.6",
        "three numbers from 0 to 1: z at step t', r at step t', z at the steps after t'",
        Numbers(("z at t'", "r at t'", "z after t'"), absolute=0.01),
        (0.0, 0.0, 1.0),
        "Replace everything at t', then carry it untouched. After t' r does not matter, and before "
        "t' nothing does.",
        "What the gates do at 0 and at 1",
        (
            Mistake(
                "z_reversed",
                (1.0, 0.0, 0.0),
                "Which convention is this: does z = 1 keep the old state here, or write?",
                see="Two ways to write the update gate",
            ),
            Mistake(
                "nothing_written_and_seen",
                (1.0, 1.0, 1.0),
                "With z = 1 at t' this input is never written.",
            ),
            Mistake(
                "seen_and_written_over",
                (0.0, 1.0, 0.0),
                "With r = 1 the past gets into the candidate at t', and every later step replaces "
                "the state again.",
            ),
            Mistake(
                "biases",
                (-50.0, -50.0, 50.0),
                "These are biases. What gates do they give?",
            ),
            Mistake(
                "old_state_seen",
                (0.0, 1.0, 1.0),
                "With r = 1 the candidate at t' still contains the old state.",
            ),
            Mistake(
                "nothing_written",
                (1.0, 0.0, 1.0),
                "With z = 1 at t' this input is never written.",
            ),
            Mistake(
                "written_over",
                (0.0, 0.0, 0.0),
                "At t' that is right. But then every later step replaces the state again.",
            ),
            Mistake(
                "z_reversed_and_seen",
                (1.0, 1.0, 0.0),
                "z is the wrong way round; and should the candidate at t' see the old state?",
            ),
        ),
    ),
    Exercise(
        "01.8",
        "the nine tensors, in the order of `gru_step`, of a GRU with one input and two units",
        Built(
            latch_params,
            latch_fault,
            f"states within 0.1 of 0 or above 0.9, for {QUIET} steps before the first 1 and "
            f"{AFTER} after it",
        ),
        latch,
        "A gate near 1 keeps a value, and a candidate that feeds on its own state renews it; a "
        "unit with neither knows the present alone.",
        "What the gates do at 0 and at 1",
        (
            Mistake(
                "wrong_sign",
                lambda: flipped(latch()),
                "The update gates have the opposite sign: here z = 1 keeps, so unit 1's has to "
                "fall when a 1 arrives.",
                when=lambda params: works(flipped(params)),
            ),
            Mistake(
                "weights_too_small",
                lambda: [p / 10 for p in latch()],
                "The signs are right, but the weights are too small: the gates stay somewhere "
                "between 0 and 1. What is sigmoid(1)? And sigmoid(10)?",
                when=lambda params: (
                    not (works(params) or leaks(params) or candidate_too_small(params))
                    and works([10 * p for p in params])
                ),
            ),
            Mistake(
                "leaks",
                lambda: latch(first=(-20.0, 4.0)),
                "Unit 1 takes the first 1 and then loses it, a little at every step. How near 1 "
                "must z be for a hundred steps?",
                see="How long does a gate remember?",
                when=lambda params: (
                    leaks(params) and not works(swapped(params)) and not gone_at_once(params)
                ),
            ),
            Mistake(
                "gone_at_once",
                lambda: latch(first=(0.0, -20.0)),
                "Unit 1 takes the first 1 and drops it at the next 0, where everything is "
                "replaced: what is to keep the 1?",
                when=lambda params: gone_at_once(params) and not works(swapped(params)),
            ),
            Mistake(
                "candidate_too_small",
                lambda: [p / 5 if k == 6 else p for k, p in enumerate(latch())],
                "The gates are right, but the candidate is too small. What is tanh(1)?",
                when=candidate_too_small,
            ),
            Mistake(
                "order_of_the_gates",
                lambda: gates_exchanged(latch()),
                "The two gates have each other's tensors: the nine come in the order z, r, h.",
                when=lambda params: works(gates_exchanged(params)) and not works(params),
            ),
            Mistake(
                "candidate_of_minus_one",
                lambda: [
                    p - 10 if k == 8 else 3 * p if k == 6 else p for k, p in enumerate(latch())
                ],
                "A unit goes to -1 where it should be at 0: tanh of a large negative number is not "
                "0. What must the sum be for a candidate of 0?",
                when=goes_negative,
            ),
            Mistake(
                "second_unit_keeps",
                lambda: latch(second=(-20.0, 10.0)),
                "Unit 1 is right. Unit 2 still remembers a 1 after it has gone: its update gate "
                "has to stay near 0 always.",
                when=lambda params: second_keeps(params) and not feeds_itself(params),
            ),
            Mistake(
                "second_unit_feeds_on_a_state",
                lambda: [p + 20 * torch.eye(2) if k == 7 else p for k, p in enumerate(latch())],
                "Unit 1 is right. Unit 2 remembers through its candidate: what does it read "
                "through W_hh?",
                when=lambda params: second_keeps(params) and feeds_itself(params),
            ),
            Mistake(
                "units_swapped",
                lambda: swapped(latch()),
                "The two units have each other's job.",
                when=lambda params: works(swapped(params)),
            ),
        ),
    ),
)
