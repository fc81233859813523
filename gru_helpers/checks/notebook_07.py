"""The exercises of notebook 07, Backpropagation through time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..equations import PARAM_NAMES, gru_step
from .core import Exercise, Mistake
from .kinds import Built, Case, Function, Names, Numbers
from .samples import drawn, nine
from .values import NotThisKind

ONE_UNIT = "One unit, one step back"
MATRICES = "In matrices"
PART_ONE = "Check, part one: against autograd"
PART_TWO = "Check, part two: without autograd"
JACOBIAN = "The Jacobian of one step"
ROADS = "Closing roads"
TERMS = ("kept", "update gate", "candidate", "reset gate")
Gradients = list[Tensor]

# --- 2: the two lines of the form that resets after ---------------------------------------------


def reset_cases() -> list[Case]:
    """One unit; and three rows of four units."""
    cases = []
    for words, rows, units in (("one unit", 1, 1), ("three rows of four units", 3, 4)):
        arguments = {
            "dA_h": drawn(rows, units, seed=1),
            "H_prev": drawn(rows, units, seed=2),
            "R": torch.sigmoid(drawn(rows, units, seed=3)),
            "W_hh": drawn(units, units, seed=4),
            "b_hn": drawn(units, seed=5),
        }
        cases.append(Case(arguments, words))
    return cases


def back_through_reset(dA_h: Tensor, H_prev: Tensor, R: Tensor, W: Tensor, b: Tensor) -> Gradients:
    """dN, dR and dH_h of the form that resets after the product."""
    dN = dA_h * R
    return [dN, dA_h * (H_prev @ W + b), dN @ W.T]


Lines = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Sequence[Tensor]]


def lines_with(
    dN: Lines | None = None, dR: Lines | None = None, dH_h: Lines | None = None
) -> Callable[..., Gradients]:
    """The three results, some of them replaced by something wrong."""

    def function(*given: Tensor) -> Gradients:
        right = back_through_reset(*given)
        changes = (dN, dR, dH_h)
        return [
            right[k] if change is None else change(*given)[0] for k, change in enumerate(changes)
        ]

    return function


def slope(gate: Tensor) -> Tensor:
    """The derivative of a sigmoid, from its value."""
    return gate * (1 - gate)


RESET_AFTER = (
    Mistake(
        "form_before",
        lambda d, H, R, W, b: [d, (d @ W.T) * H, (d @ W.T) * R],
        "These are the lines of the form that resets before the product. Here R multiplies the "
        "whole of N.",
    ),
    Mistake(
        "bias_left_out",
        lines_with(dR=lambda d, H, R, W, b: [d * (H @ W)]),
        "`dN` and `dH_h` are right. R multiplies all of N, and N is more than the product with "
        "W_hh.",
    ),
    Mistake(
        "factors_exchanged",
        lambda d, H, R, W, b: [d * (H @ W + b), d * R, (d * (H @ W + b)) @ W.T],
        "The factors have changed places: in a product each factor receives the gradient times the "
        "*other* one.",
    ),
    Mistake(
        "reset_left_out",
        lambda d, H, R, W, b: [d, d * (H @ W + b), d @ W.T],
        "`dR` is right. N stands inside the tanh with a factor in front, and that factor belongs "
        "in its gradient.",
    ),
    Mistake(
        "reset_left_out_of_the_product",
        lines_with(dN=lambda d, H, R, W, b: [d]),
        "`dR` and `dH_h` are right. What is returned as `dN` lacks the factor that stands before "
        "N.",
    ),
    Mistake(
        "reset_in_its_own_gradient",
        lines_with(dR=lambda d, H, R, W, b: [d * R * (H @ W + b)]),
        "`dN` and `dH_h` are right. In `dR` stands R itself: it receives the gradient times the "
        "other factor alone.",
    ),
    Mistake(
        "reset_left_out_of_the_state",
        lines_with(dH_h=lambda d, H, R, W, b: [d @ W.T]),
        "`dN` and `dR` are right. H_prev acts through N: its gradient begins with dN, not with "
        "dA_h.",
    ),
    Mistake(
        "reset_after_the_matrix",
        lines_with(dH_h=lambda d, H, R, W, b: [(d @ W.T) * R]),
        "`dN` and `dR` are right. On the way back R comes first here, and the matrix second. "
        "(One unit cannot tell.)",
    ),
    Mistake(
        "reset_twice",
        lines_with(dH_h=lambda d, H, R, W, b: [((d * R) @ W.T) * R]),
        "`dN` and `dR` are right. In dH_h the reset gate acts twice: it is in dN already.",
    ),
    Mistake(
        "not_transposed",
        lines_with(dH_h=lambda d, H, R, W, b: [(d * R) @ W]),
        "`dN` and `dR` are right. A gradient goes back through a product by the transpose; a "
        "square matrix forgives a missing one.",
    ),
    Mistake(
        "transposed_in_the_product",
        lines_with(dR=lambda d, H, R, W, b: [d * (H @ W.T + b)]),
        "`dN` and `dH_h` are right. In dR stands N itself, as it was computed on the way forward: "
        "without a transpose.",
    ),
    Mistake(
        "state_for_product",
        lines_with(dR=lambda d, H, R, W, b: [d * H]),
        "`dN` and `dH_h` are right. What does R multiply in this form: the old state, or its "
        "product?",
    ),
    Mistake(
        "matrix_on_the_way_to_the_gate",
        lines_with(dR=lambda d, H, R, W, b: [(d @ W.T) * H]),
        "`dN` and `dH_h` are right. The line for dR is that of the other form: here the gradient "
        "reaches R before the matrix.",
    ),
    Mistake(
        "slope_of_the_gate",
        lines_with(dR=lambda d, H, R, W, b: [d * (H @ W + b) * slope(R)]),
        "`dN` and `dH_h` are right. What you have is dA_r: the slope of the sigmoid comes one line "
        "later.",
    ),
    Mistake(
        "rows_added",
        lines_with(dN=lambda d, H, R, W, b: [(d * R).sum(dim=0)]),
        "`dR` and `dH_h` are right. The sum of the rows is the gradient of the bias; N itself "
        "has a row for each sequence.",
    ),
    Mistake(
        "bias_in_the_state",
        lines_with(dH_h=lambda d, H, R, W, b: [(d * R) @ W.T + b]),
        "`dN` and `dR` are right. A bias that is added does not change with H_prev, and adds "
        "nothing to its gradient.",
    ),
    Mistake(
        "order_exchanged",
        lambda *given: [back_through_reset(*given)[k] for k in (1, 0, 2)],
        "The numbers are right. The order is dN, dR, dH_h.",
    ),
    Mistake(
        "first_line_missing",
        lambda *given: back_through_reset(*given)[1:],
        "The results are two, dR and dH_h, and right. Return dN as well, in front.",
    ),
)

# --- 3: the four terms of dH_prev ---------------------------------------------------------------


def term_cases() -> list[Case]:
    """One unit; and three rows of four units, all as a step has left them."""
    cases = []
    for words, rows, units in (("one unit", 1, 1), ("three rows of four units", 3, 4)):
        params = [*nine(2, units, seed=10), drawn(units, 2, seed=20), drawn(2, seed=21)]
        X, H_prev = drawn(rows, 2, seed=22), drawn(rows, units, seed=23)
        Z, R, H_tilde, _ = gru_step(X, H_prev, params)
        dH = drawn(rows, units, seed=24)
        arguments = {"dH": dH, "H_prev": H_prev, "Z": Z, "R": R, "H_tilde": H_tilde}
        cases.append(Case({**arguments, "params": params}, words))
    return cases


def terms_with(
    dZ: Callable[..., Tensor] = lambda dH, H, c: dH * (H - c),
    dH_tilde: Callable[..., Tensor] = lambda dH, Z: dH * (1 - Z),
    slope_z: Callable[[Tensor], Tensor] = slope,
    slope_r: Callable[[Tensor], Tensor] = slope,
    slope_h: Callable[..., Tensor] = lambda c, H: 1 - c**2,
    kept: Callable[..., Tensor] = lambda dH, Z: dH * Z,
    dRH: Callable[..., Tensor] = lambda dA_h, W, R: dA_h @ W.T,
    dR: Callable[..., Tensor] = lambda dRH, dA_h, H, R: dRH * H,
    dH_h: Callable[..., Tensor] = lambda dRH, dA_h, R, W, H: dRH * R,
    straight: tuple[int, ...] = (),  # terms whose matrix is not transposed
    matrices: tuple[int, int, int] = (1, 4, 7),
    result: Callable[[Gradients], Any] = list,
) -> Callable[..., Any]:
    """The four terms, with parts of the right ones replaced."""

    def function(
        dH: Tensor, H_prev: Tensor, Z: Tensor, R: Tensor, H_tilde: Tensor, params: list[Tensor]
    ) -> Any:
        W_hz, W_hr, W_hh = (params[place] for place in matrices)
        dA_z = dZ(dH, H_prev, H_tilde) * slope_z(Z)
        dA_h = dH_tilde(dH, Z) * slope_h(H_tilde, H_prev)
        back = dRH(dA_h, W_hh, R)
        dA_r = dR(back, dA_h, H_prev, R) * slope_r(R)
        own = dH_h(back, dA_h, R, W_hh, H_prev)
        W_hz, W_hr = (W if k in straight else W.T for k, W in ((1, W_hz), (3, W_hr)))
        return result([kept(dH, Z), dA_z @ W_hz, own, dA_r @ W_hr])

    return function


FOUR = (
    Mistake(
        "not_transposed",
        terms_with(dRH=lambda dA_h, W, R: dA_h @ W, straight=(1, 3)),
        "No matrix is transposed. A gradient goes back through a product by the transpose; square "
        "matrices, and a single unit, forgive a missing one.",
    ),
    Mistake(
        "gates_not_transposed",
        terms_with(straight=(1, 3)),
        "Kept and candidate are right. The matrices of the two gates are not transposed.",
    ),
    Mistake(
        "update_gate_not_transposed",
        terms_with(straight=(1,)),
        "Only the update gate's term is wrong: its matrix is not transposed.",
    ),
    Mistake(
        "reset_gate_not_transposed",
        terms_with(straight=(3,)),
        "The first three terms are right. The reset gate's own matrix is not transposed.",
    ),
    Mistake(
        "candidate_not_transposed",
        terms_with(dRH=lambda dA_h, W, R: dA_h @ W),
        "Kept and update gate are right. W_hh is not transposed.",
    ),
    Mistake(
        "z_reversed",
        terms_with(
            dZ=lambda dH, H, c: dH * (c - H),
            dH_tilde=lambda dH, Z: dH * Z,
            kept=lambda dH, Z: dH * (1 - Z),
        ),
        "These are the terms of the other convention, in which z = 1 writes. Here it keeps.",
    ),
    Mistake(
        "kept_reversed",
        terms_with(kept=lambda dH, Z: dH * (1 - Z)),
        "The first term belongs to the candidate's share. How much of the old state is kept?",
    ),
    Mistake(
        "kept_without_gate",
        terms_with(kept=lambda dH, Z: dH),
        "The first term is all of dH, as if the old state were kept in full.",
    ),
    Mistake(
        "update_gate_sign",
        terms_with(dZ=lambda dH, H, c: dH * (c - H)),
        "Only the update gate's term is wrong, and that by its sign: what does the new state gain "
        "when z grows?",
    ),
    Mistake(
        "update_gate_half",
        terms_with(dZ=lambda dH, H, c: dH * H),
        "Z stands twice in the last equation: before the old state, and, with a minus, before the "
        "candidate.",
    ),
    Mistake(
        "update_gate_other_half",
        terms_with(dZ=lambda dH, H, c: -dH * c),
        "Z stands twice in the last equation: before the old state too.",
    ),
    Mistake(
        "update_gate_without_slope",
        terms_with(slope_z=torch.ones_like),
        "The update gate's term lacks the slope of the sigmoid.",
    ),
    Mistake(
        "reset_gate_without_slope",
        terms_with(slope_r=torch.ones_like),
        "The first three terms are right. The reset gate's lacks the slope of the sigmoid.",
    ),
    Mistake(
        "gates_without_slope",
        terms_with(slope_z=torch.ones_like, slope_r=torch.ones_like),
        "Kept and candidate are right. Both gates' terms lack the slope of the sigmoid.",
    ),
    Mistake(
        "gates_with_slope_of_tanh",
        terms_with(slope_z=lambda g: 1 - g**2, slope_r=lambda g: 1 - g**2),
        "Kept and candidate are right. The gates come from a sigmoid; the slope that you have is "
        "that of tanh.",
    ),
    Mistake(
        "slope_of_a_slope",
        terms_with(
            slope_z=lambda g: slope(torch.sigmoid(g)), slope_r=lambda g: slope(torch.sigmoid(g))
        ),
        "Kept and candidate are right. Z and R are values of a sigmoid already: you took it once "
        "more.",
    ),
    Mistake(
        "tanh_without_slope",
        terms_with(slope_h=lambda c, H: torch.ones_like(c)),
        "Kept and update gate are right. On the way into the candidate the slope of tanh is "
        "missing.",
    ),
    Mistake(
        "tanh_not_squared",
        terms_with(slope_h=lambda c, H: 1 - c),
        "Kept and update gate are right. Look at the slope of tanh again: is it one minus the "
        "candidate?",
    ),
    Mistake(
        "tanh_bracket_squared",
        terms_with(slope_h=lambda c, H: (1 - c) ** 2),
        "Kept and update gate are right. In the slope of tanh the square belongs to the candidate, "
        "not to the bracket.",
    ),
    Mistake(
        "tanh_taken_twice",
        terms_with(slope_h=lambda c, H: 1 - torch.tanh(c) ** 2),
        "Kept and update gate are right. H_tilde is a value of tanh already: you took it once "
        "more.",
    ),
    Mistake(
        "tanh_of_the_old_state",
        terms_with(slope_h=lambda c, H: 1 - H**2),
        "Kept and update gate are right. The slope of tanh is taken at the old state, and should "
        "be taken from the candidate.",
    ),
    Mistake(
        "sigmoid_slope_for_candidate",
        terms_with(slope_h=lambda c, H: slope(c)),
        "Kept and update gate are right. The candidate has the slope of a sigmoid, and comes from "
        "tanh.",
    ),
    Mistake(
        "candidate_in_full",
        terms_with(dH_tilde=lambda dH, Z: dH),
        "Kept and update gate are right. The candidate receives dH in full: what is its share in "
        "the new state?",
    ),
    Mistake(
        "candidate_with_z",
        terms_with(dH_tilde=lambda dH, Z: dH * Z),
        "Kept and update gate are right. The candidate's share is not Z.",
    ),
    Mistake(
        "form_after",
        terms_with(
            dR=lambda dRH, dA_h, H, R: dRH * H,
            dH_h=lambda dRH, dA_h, R, W, H: (dA_h * R) @ W.T,
        ),
        "In the candidate's term R comes before the matrix, as in `nn.GRU`. In the taught form "
        "the gradient passes W_hh first.",
    ),
    Mistake(
        "form_after_throughout",
        lambda dH, H, Z, R, c, p: terms_with(
            dR=lambda dRH, dA_h, H, R: dA_h * (H @ p[7]),
            dH_h=lambda dRH, dA_h, R, W, H: (dA_h * R) @ W.T,
        )(dH, H, Z, R, c, p),
        "Kept and update gate are right. The other two are those of the form that resets after the "
        "product, without its bias.",
    ),
    Mistake(
        "candidate_without_reset",
        terms_with(dH_h=lambda dRH, dA_h, R, W, H: dRH),
        "Only the candidate's term is wrong: what multiplies H_prev in the candidate?",
    ),
    Mistake(
        "reset_gate_without_state",
        terms_with(dR=lambda dRH, dA_h, H, R: dRH),
        "The first three terms are right. In the product R * H_prev, what does R receive?",
    ),
    Mistake(
        "reset_gate_without_matrix",
        terms_with(dR=lambda dRH, dA_h, H, R: dA_h * H),
        "The first three terms are right. On the way to the reset gate the gradient passes W_hh, "
        "too.",
    ),
    Mistake(
        "reset_gate_behind_reset",
        terms_with(dR=lambda dRH, dA_h, H, R: dRH * R * H),
        "The first three terms are right. The reset gate's road begins behind W_hh, before the "
        "product with R: it has no R but that of the slope.",
    ),
    Mistake(
        "reset_gate_through_its_candidate",
        terms_with(matrices=(1, 7, 7)),
        "The first three terms are right. The last step to the old state leads through the reset "
        "gate's own matrix.",
    ),
    Mistake(
        "gates_exchanged",
        terms_with(matrices=(4, 1, 7)),
        "Kept and candidate are right. The two gates have each other's matrix: the tensors come in "
        "the order z, r, h.",
    ),
    Mistake(
        "last_two_exchanged",
        terms_with(result=lambda terms: [terms[0], terms[1], terms[3], terms[2]]),
        "All numbers are right; the last two have changed places: candidate, then reset gate.",
    ),
    Mistake(
        "sum_alone",
        terms_with(result=sum),
        "This is dH_prev itself, and right. Return its four terms, each for itself.",
    ),
    Mistake(
        "kept_left_out",
        terms_with(result=lambda terms: terms[1:]),
        "The term of what is kept is missing; the others are right.",
    ),
)

# --- 4: the plain RNN ---------------------------------------------------------------------------


def rnn_cases() -> list[Case]:
    """One unit; and three rows of four units."""
    cases = []
    for words, rows, units in (("one unit", 1, 1), ("three rows of four units", 3, 4)):
        dH, H = drawn(rows, units, seed=30), torch.tanh(drawn(rows, units, seed=31))
        cases.append(Case({"dH": dH, "H": H, "W_hh": drawn(units, units, seed=32)}, words))
    return cases


def rnn_back(
    slope_h: Callable[[Tensor], Tensor] = lambda H: 1 - H**2,
    back: Callable[..., Tensor] = lambda dA, dH, H, W: dA @ W.T,
) -> Callable[..., Gradients]:
    """One step back of the plain RNN, with parts of it replaced."""

    def function(dH: Tensor, H: Tensor, W_hh: Tensor) -> Gradients:
        dA = dH * slope_h(H)
        return [dA, back(dA, dH, H, W_hh)]

    return function


RNN = (
    Mistake(
        "not_transposed",
        rnn_back(back=lambda dA, dH, H, W: dA @ W),
        "`dA` is right. A gradient goes back through a product by the transpose; a square matrix, "
        "and a single unit, forgive a missing one.",
    ),
    Mistake(
        "slope_left_out",
        rnn_back(slope_h=torch.ones_like),
        "The slope of tanh is missing: dA is what stands inside it, not dH.",
    ),
    Mistake(
        "slope_left_out_of_the_state",
        rnn_back(back=lambda dA, dH, H, W: dH @ W.T),
        "`dA` is right. The old state receives its gradient through dA, not from dH.",
    ),
    Mistake(
        "slope_after_the_matrix",
        rnn_back(back=lambda dA, dH, H, W: (dH @ W.T) * (1 - H**2)),
        "`dA` is right. On the way back the slope comes first, and the matrix second.",
    ),
    Mistake(
        "slope_twice",
        rnn_back(back=lambda dA, dH, H, W: (dA * (1 - H**2)) @ W.T),
        "`dA` is right, and has the slope in it. In dH_prev it acts once more.",
    ),
    Mistake(
        "not_squared",
        rnn_back(slope_h=lambda H: 1 - H),
        "Look at the slope of tanh again: is it one minus its value?",
    ),
    Mistake(
        "bracket_squared",
        rnn_back(slope_h=lambda H: (1 - H) ** 2),
        "In the slope of tanh the square belongs to its value, not to the bracket.",
    ),
    Mistake(
        "sigmoid_slope",
        rnn_back(slope_h=slope),
        "That is the slope of a sigmoid. The plain RNN has a tanh.",
    ),
    Mistake(
        "tanh_taken_twice",
        rnn_back(slope_h=lambda H: 1 - torch.tanh(H) ** 2),
        "H is a value of tanh already: you took it once more. From a value the slope needs no "
        "tanh.",
    ),
    Mistake(
        "sign",
        rnn_back(slope_h=lambda H: H**2 - 1),
        "The size is right, the sign is not: tanh rises everywhere.",
    ),
    Mistake(
        "kept_term_added",
        rnn_back(back=lambda dA, dH, H, W: dH + dA @ W.T),
        "`dA` is right. dH_prev has a second term, as if the old state were kept. A plain RNN has "
        "one road.",
    ),
    Mistake(
        "old_state_alone",
        lambda dH, H, W: rnn_back()(dH, H, W)[1],
        "This is dH_prev, and right. Return dA too, in front: the weights' gradients need it.",
    ),
    Mistake(
        "order_exchanged",
        lambda dH, H, W: rnn_back()(dH, H, W)[::-1],
        "Both are right, in the other order: dA first.",
    ),
    Mistake(
        "rows_added",
        lambda dH, H, W: [part.sum(dim=0) for part in rnn_back()(dH, H, W)],
        "The rows are added up. That is done for a bias; dA and dH_prev keep a row for each "
        "sequence.",
    ),
    Mistake(
        "weight_gradient",
        lambda dH, H, W: [dH * (1 - H**2), H.T @ (dH * (1 - H**2))],
        "`dA` is right. The other is on the way to a gradient of W_hh; what is asked for is that "
        "of the old state.",
    ),
)


def factor_cases() -> list[Case]:
    """Weights and states of one unit."""
    pairs = ((0.9, 0.0), (1.5, 0.5), (-2.0, 0.8), (3.0, -0.6))
    return [Case({"w_hh": w, "h": h}, f"w_hh = {w}, h = {h}") for w, h in pairs]


def tanh(value: float) -> float:
    """The hyperbolic tangent of one number."""
    return torch.tanh(torch.tensor(value, dtype=torch.float64)).item()


FACTOR = (
    Mistake(
        "weight_alone",
        lambda w, h: w,
        "Right where the state is 0. Elsewhere tanh has a slope, too.",
    ),
    Mistake("slope_alone", lambda w, h: 1 - h**2, "This is the slope of tanh. What else is there?"),
    Mistake(
        "not_squared",
        lambda w, h: w * (1 - h),
        "Look at the slope of tanh again: is it one minus its value?",
    ),
    Mistake(
        "bracket_squared",
        lambda w, h: w * (1 - h) ** 2,
        "In the slope of tanh the square belongs to its value, not to the bracket.",
    ),
    Mistake(
        "sigmoid_slope",
        lambda w, h: w * h * (1 - h),
        "That is the slope of a sigmoid. The plain RNN has a tanh.",
    ),
    Mistake(
        "tanh_taken_twice",
        lambda w, h: w * (1 - tanh(h) ** 2),
        "h is a value of tanh already: you took it once more.",
    ),
    Mistake(
        "weight_inside",
        lambda w, h: w * (1 - tanh(w * h) ** 2),
        "This takes the slope one step further on: h is the new state, and comes out of the tanh.",
    ),
    Mistake(
        "size_alone",
        lambda w, h: abs(w) * (1 - h**2),
        "The sign is lost: a negative weight turns the gradient round.",
    ),
    Mistake(
        "gru_factor",
        lambda w, h: h + (1 - h) * w,
        "This looks like a gate. The plain RNN has none: one road, two factors.",
    ),
    Mistake("added", lambda w, h: w + 1 - h**2, "One after the other means a product, not a sum."),
)

FIFTY = 50


def states_of(w: float, h: float) -> list[float]:
    """The state at first, and after each of fifty steps without input."""
    states = [h]
    for _ in range(FIFTY):
        states.append(tanh(w * states[-1]))
    return states


def derivative(w: float, h: float) -> float:
    """The derivative of the last of fifty states with respect to the first, without input."""
    product = 1.0
    for state in states_of(w, h)[1:]:
        product *= w * (1 - state**2)
    return product


def of_old_states(w: float, h: float) -> float:
    """The same product with the slopes at the old states."""
    product = 1.0
    for state in states_of(w, h)[:-1]:
        product *= w * (1 - state**2)
    return product


Example = tuple[float, float, float]


def example(answer: Any) -> Example:
    """w_hh, the first state, and what the derivative is said to be."""
    values = Numbers(("w_hh", "first state", "derivative")).read(answer).tolist()
    if not all(abs(value) < float("inf") for value in values):
        raise NotThisKind("One of the three numbers is not finite.")
    w, h, said = values
    if abs(w) > 5 or abs(h) >= 1:
        raise NotThisKind("Take a weight of at most 5 in size, and a first state between -1 and 1.")
    return w, h, said


def nearly(one: float, other: float) -> bool:
    """Whether two numbers agree to within a twentieth."""
    return abs(one - other) <= 0.05 * abs(other)


def example_fault(given: Example) -> str:
    """Why this is no example of a weight that is large enough, and yet in vain."""
    w, h, said = given
    if abs(w) < 1:
        return "The weight is below 1 in size."
    if not nearly(said, derivative(w, h)):
        return f"The derivative after {FIFTY} steps is not the one that you give."
    if abs(said) >= 1e-3:
        return "The derivative is right, but not below a thousandth in size."
    return ""


# --- 5: gates that are set by hand --------------------------------------------------------------


def gate_cases() -> list[Case]:
    """Six steps of one unit, with gates that stay and gates that move."""
    settings = {
        "gates at one half": ([0.5] * 6, [0.5] * 6),
        "gates that move": ([0.9, 0.2, 0.6, 0.1, 0.7, 0.4], [0.3, 0.8, 0.1, 0.9, 0.6, 0.2]),
        "an input written at step 2 and kept": ([0.5, 0.5, 0, 1, 1, 1], [1, 1, 0, 1, 1, 1]),
    }
    cases = []
    for words, (z, r) in settings.items():
        arguments = {"x": 0.4 * drawn(6, seed=40), "z": torch.tensor(z, dtype=torch.float64)}
        arguments["r"] = torch.tensor(r, dtype=torch.float64)
        cases.append(Case({**arguments, "w_xh": 1.3, "w_hh": 0.8}, words))
    return cases


def gradient_with(
    keep: Callable[[Tensor], Tensor] = lambda z: z,
    reset: Callable[[Tensor], Tensor] = lambda r: r,
    slope_h: Callable[..., Tensor] = lambda c, h: 1 - c**2,
    roads: Callable[..., Tensor] = lambda z, candidate: z + candidate,
    own: Callable[..., Tensor] = lambda d, w_xh: d * w_xh,
    added: float = 0.0,
    result: Callable[[Tensor], Any] = lambda gradient: gradient,
) -> Callable[..., Any]:
    """The gradient of the last state by each input, by hand, with parts of it replaced."""

    def function(x: Tensor, z: Tensor, r: Tensor, w_xh: float, w_hh: float) -> Any:
        z, r = keep(z), reset(r)
        h, steps = torch.zeros(()).double(), []
        for t in range(len(x)):
            c = torch.tanh(x[t] * w_xh + r[t] * h * w_hh)
            h = z[t] * h + (1 - z[t]) * c
            steps.append((c, h))
        dh, gradient = torch.ones(()).double(), torch.zeros(len(x)).double()
        for t in reversed(range(len(x))):
            c, h = steps[t]
            to_candidate = (1 - z[t]) * slope_h(c, h)
            gradient[t] = own(dh * to_candidate, w_xh)
            dh = added + dh * roads(z[t], to_candidate * r[t] * w_hh)
        return result(gradient)

    return function


def own_steps(x: Tensor, z: Tensor, r: Tensor, w_xh: float, w_hh: float) -> Tensor:
    """How each input changes the state of its own step."""
    ends = [gradient_with()(x[: t + 1], z, r, w_xh, w_hh)[-1] for t in range(len(x))]
    return torch.stack(ends)


def last_state(x: Tensor, z: Tensor, r: Tensor, w_xh: float, w_hh: float) -> Tensor:
    """The last state itself."""
    h = torch.zeros(()).double()
    for t in range(len(x)):
        h = z[t] * h + (1 - z[t]) * torch.tanh(x[t] * w_xh + r[t] * h * w_hh)
    return h


SENSITIVITY = (
    Mistake(
        "z_reversed",
        gradient_with(keep=lambda z: 1 - z),
        "In the state the two shares have changed places: here z = 1 keeps.",
    ),
    Mistake(
        "reset_left_out",
        gradient_with(reset=torch.ones_like),
        "The reset gate is never used: it multiplies the old state in the candidate.",
    ),
    Mistake(
        "reset_reversed",
        gradient_with(reset=lambda r: 1 - r),
        "The reset gate is the wrong way round: with r = 1 the candidate sees all of the old "
        "state.",
    ),
    Mistake(
        "kept_road_missing",
        gradient_with(roads=lambda z, candidate: candidate),
        "Right at the last step. The way back over what was kept is missing: z times the old "
        "state.",
    ),
    Mistake(
        "candidate_road_missing",
        gradient_with(roads=lambda z, candidate: z),
        "Right at the last step. Further back the old state also counts through the candidate that "
        "has read it.",
    ),
    Mistake(
        "nothing_goes_back",
        gradient_with(result=lambda g: torch.cat([0 * g[:-1], g[-1:]])),
        "Only the last input has a gradient: is the state detached, or made from its plain value, "
        "at every step?",
    ),
    Mistake(
        "own_step",
        own_steps,
        "This says how each input changes the state of its own step. Asked for is the last state.",
    ),
    Mistake(
        "sum_of_the_states",
        gradient_with(added=1.0),
        "Right at the last step only: this is the gradient of the sum of all states. Take the last "
        "one alone.",
    ),
    Mistake(
        "slope_left_out",
        gradient_with(slope_h=lambda c, h: torch.ones_like(c)),
        "The slope of tanh is missing.",
    ),
    Mistake(
        "slope_of_the_state",
        gradient_with(slope_h=lambda c, h: 1 - h**2),
        "The slope of tanh is taken from the new state. It belongs to the candidate, which comes "
        "out of the tanh.",
    ),
    Mistake(
        "input_weight_left_out",
        gradient_with(own=lambda d, w_xh: d),
        "The last factor is missing: the input enters with a weight.",
    ),
    Mistake(
        "state_weight_left_out",
        lambda x, z, r, w_xh, w_hh: gradient_with()(x, z, r, w_xh, 1.0),
        "The old state enters the candidate without its weight.",
    ),
    Mistake(
        "weights_exchanged",
        lambda x, z, r, w_xh, w_hh: gradient_with()(x, z, r, w_hh, w_xh),
        "The two weights have changed places: w_xh belongs to the input, w_hh to the state.",
    ),
    Mistake(
        "turned_round",
        gradient_with(result=lambda g: g.flip(0)),
        "The numbers are right, in the order in which the way back found them: turn them round.",
    ),
    Mistake(
        "shares",
        gradient_with(result=lambda g: g / g.sum()),
        "These are shares of the whole. Return the gradient itself.",
    ),
    Mistake(
        "state_returned",
        last_state,
        "This is the last state. Asked for is its gradient, a number for each input.",
    ),
)

# --- 6: truncated backpropagation ---------------------------------------------------------------

Saved = list[tuple[Tensor, ...]]


def truncated_cases() -> list[Case]:
    """Five steps of two rows, with windows of several lengths."""
    params = [*nine(3, 4, seed=50), drawn(4, 3, seed=60), drawn(3, seed=61)]
    H, saved = drawn(2, 4, seed=62), []
    for X in torch.eye(3, dtype=torch.float64)[drawn(5, 2, 3, seed=63).argmax(dim=-1)]:
        Z, R, H_tilde, H_new = gru_step(X, H, params)
        saved.append((X, H, Z, R, H_tilde, H_new))
        H = H_new
    arguments = {"doutputs": drawn(10, 3, seed=64), "saved": saved, "params": params}
    words = {5: "k = 5, with which nothing is cut", 1: "k = 1", 2: "k = 2"}
    return [Case({**arguments, "k": k}, text) for k, text in words.items()]


def backward(dYs: Sequence[Tensor | None], saved: Saved, params: list[Tensor]) -> Gradients:
    """The gradients of the eleven parameters; None for a step without a loss."""
    _, W_hz, _, _, W_hr, _, _, W_hh, _, W_hq, _ = params
    grads = [torch.zeros_like(param) for param in params]
    dH = torch.zeros_like(saved[0][1])
    for (X, H_prev, Z, R, H_tilde, H), dY in zip(reversed(saved), reversed(dYs), strict=True):
        if dY is not None:
            grads[9] += H.T @ dY
            grads[10] += dY.sum(dim=0)
            dH = dH + dY @ W_hq.T
        dA_z = dH * (H_prev - H_tilde) * slope(Z)
        dA_h = dH * (1 - Z) * (1 - H_tilde**2)
        dRH = dA_h @ W_hh.T
        dA_r = dRH * H_prev * slope(R)
        for place, dA, state in ((0, dA_z, H_prev), (3, dA_r, H_prev), (6, dA_h, R * H_prev)):
            grads[place] += X.T @ dA
            grads[place + 1] += state.T @ dA
            grads[place + 2] += dA.sum(dim=0)
        dH = dH * Z + dA_z @ W_hz.T + dRH * R + dA_r @ W_hr.T
    return grads


def sum_of(parts: list[Gradients], params: list[Tensor]) -> Gradients:
    """The gradients added up."""
    total = [torch.zeros_like(param) for param in params]
    for grads in parts:
        total = [one + other for one, other in zip(total, grads, strict=True)]
    return total


def truncated_with(
    start: Callable[[int, int], int] = lambda t, k: max(0, t + 1 - k),
    losses: Callable[[list[Tensor], int, int], list[Tensor | None]] = (
        lambda dYs, first, t: [*[None] * (t - first), dYs[t]]
    ),
    chosen: Callable[[int, int], Sequence[int]] = lambda steps, k: range(steps),
    result: Callable[[Gradients, int], Any] = lambda grads, steps: grads,
) -> Callable[..., Any]:
    """Each loss goes back on its own through its last steps, with parts of that replaced."""

    def function(doutputs: Tensor, saved: Saved, params: list[Tensor], k: int) -> Any:
        dYs = list(doutputs.chunk(len(saved)))
        parts = []
        for t in chosen(len(saved), k):
            first = start(t, k)
            parts.append(backward(losses(dYs, first, t), saved[first : t + 1], params))
        return result(sum_of(parts, params), len(saved))

    return function


def in_blocks(doutputs: Tensor, saved: Saved, params: list[Tensor], k: int) -> Gradients:
    """The text is cut into pieces of k steps, and each goes back on its own."""
    dYs = list(doutputs.chunk(len(saved)))
    starts = range(0, len(saved), k)
    parts = [backward(dYs[t : t + k], saved[t : t + k], params) for t in starts]
    return sum_of(parts, params)


def rows_for_steps(doutputs: Tensor, saved: Saved, params: list[Tensor], k: int) -> Gradients:
    """Row t of doutputs is taken for the loss of step t, in all rows."""
    rows = len(saved[0][1])
    repeated = torch.cat([doutputs[t].expand(rows, -1) for t in range(len(saved))])
    return truncated_with()(repeated, saved, params, k)


TRUNCATED = (
    Mistake(
        "one_step_too_many",
        truncated_with(start=lambda t, k: max(0, t - k)),
        "Right where nothing is cut. The windows are one step too long: the loss's own step is "
        "among the k.",
    ),
    Mistake(
        "nothing_cut",
        truncated_with(start=lambda t, k: 0),
        "This is the full gradient, whatever k is.",
    ),
    Mistake(
        "own_step_alone",
        truncated_with(start=lambda t, k: t),
        "Right for k = 1. Every loss goes back through its own step alone, whatever k is.",
    ),
    Mistake(
        "blocks",
        in_blocks,
        "The text is cut into pieces of k steps, as between minibatches. Then a loss at the "
        "beginning of a piece goes back through one step: let each have its own window.",
    ),
    Mistake(
        "last_k_steps",
        lambda doutputs, saved, params, k: backward(
            doutputs.chunk(len(saved))[-k:], saved[-k:], params
        ),
        "Only the last k steps are used, with their losses. All losses count, each with a window "
        "of its own.",
    ),
    Mistake(
        "last_loss_alone",
        truncated_with(chosen=lambda steps, k: [steps - 1]),
        "Only the loss of the last step goes back. Are the gradients of the windows added up, or "
        "does each take the place of the one before?",
    ),
    Mistake(
        "early_losses_left_out",
        truncated_with(chosen=lambda steps, k: range(k - 1, steps)),
        "The losses of the first steps are missing, those with fewer than k steps before them: "
        "they go back to the beginning.",
    ),
    Mistake(
        "losses_counted_again",
        truncated_with(losses=lambda dYs, first, t: [*dYs[first : t + 1]]),
        "Right for k = 1. In each window all its losses go back, so that they count several times. "
        "Let only the last step of a window have a loss.",
    ),
    Mistake(
        "loss_at_the_wrong_end",
        truncated_with(losses=lambda dYs, first, t: [dYs[t], *[None] * (t - first)]),
        "Right for k = 1. The loss enters at the first step of its window. It belongs to the last.",
    ),
    Mistake(
        "loss_at_every_step",
        truncated_with(losses=lambda dYs, first, t: [dYs[t]] * (t - first + 1)),
        "Right for k = 1. The loss enters at every step of its window: the others have to be "
        "filled with zeros.",
    ),
    Mistake(
        "mean_over_steps",
        truncated_with(result=lambda grads, steps: [grad / steps for grad in grads]),
        "The gradients are divided by the number of steps. They are added: a mean is in `doutputs` "
        "already, if there is one.",
    ),
    Mistake(
        "rows_for_steps",
        rows_for_steps,
        "A row of doutputs is taken for a step. It has a row for each sequence at each step, all "
        "of step 0 first.",
    ),
    Mistake(
        "output_layer_left_out",
        truncated_with(result=lambda grads, steps: grads[:9]),
        "The nine gradients inside the GRU are right. Return those of the output layer as well.",
    ),
    Mistake(
        "output_layer_cut_off",
        truncated_with(result=lambda grads, steps: [*grads[:9], 0 * grads[9], 0 * grads[10]]),
        "The nine gradients inside the GRU are right; those of the output layer are 0.",
    ),
)

GATES_SET = ("z at t'", "r at t'", "z after t'", "z before t' if r is 1 at every step")
INSIDE = PARAM_NAMES[:9]
GRADCHECKS = ("1 step: parameters", "2 steps: parameters", "1 step: H too")

EXERCISES = (
    Exercise(
        "07.1a",
        "the names of the terms of dH_prev that remain when z = 1 in all units",
        Names((*TERMS, "none")),
        ("kept",),
        "The gradient passes untouched, and nothing is learned from this step.",
        JACOBIAN,
        (
            Mistake(
                "update_gate_too",
                ("kept", "update gate"),
                "Kept is right. The update gate's term has the slope of its sigmoid in it: what is "
                "z (1 - z) here?",
            ),
            Mistake(
                "gates_too",
                ("kept", "update gate", "reset gate"),
                "Kept is right. Road 4 runs inside road 3, and what multiplies road 3?",
            ),
            Mistake(
                "reset_gate_too",
                ("kept", "reset gate"),
                "Kept is right. The reset gate acts only through the candidate: what multiplies "
                "that?",
            ),
            Mistake(
                "z_reversed",
                ("candidate", "reset gate"),
                "These remain when z = 0. Here z = 1 keeps.",
            ),
            Mistake(
                "candidate_closed_alone",
                ("update gate", "reset gate"),
                "What is the slope of a sigmoid at its end, and which of the four have it as a "
                "factor?",
            ),
            Mistake("all", TERMS, "Which of the four have a factor 1 - z?"),
            Mistake(
                "none",
                ("none",),
                "If none remained, nothing before this step could learn. Put z = 1 into each of "
                "the four.",
            ),
        ),
    ),
    Exercise(
        "07.1b",
        "the names of the terms that remain when z = 0 and r = 0 in all units",
        Names((*TERMS, "none")),
        ("none",),
        "The new state does not contain the old one, and closed gates have no slope: a small "
        "change would not open them.",
        JACOBIAN,
        (
            Mistake(
                "candidate",
                ("candidate",),
                "The candidate is written in full, but what of the old state does it see when r is "
                "0?",
            ),
            Mistake(
                "reset_gate",
                ("reset gate",),
                "Road 4 is the one that has no r in front; but it has the slope of the gate, "
                "r (1 - r).",
            ),
            Mistake(
                "candidate_and_reset_gate",
                ("candidate", "reset gate"),
                "These remain with z = 0 where r lies between its ends. Now r is 0: look at both "
                "terms.",
            ),
            Mistake(
                "gates",
                ("update gate", "reset gate"),
                "Both gates are at an end of their sigmoid: what is its slope there?",
            ),
            Mistake(
                "update_gate",
                ("update gate",),
                "The update gate's term contains z (1 - z), the slope of its sigmoid.",
            ),
            Mistake("kept", ("kept",), "What is kept is multiplied by z, and that is 0."),
            Mistake("all", TERMS, "Put z = 0 and r = 0 into each of the four."),
        ),
    ),
    Exercise(
        "07.2",
        "a function of dA_h, H_prev, R, W_hh and b_hn that returns dN, dR and dH_h",
        Function(reset_cases, results=("dN", "dR", "dH_h")),
        back_through_reset,
        "Each factor of R * N receives the other one; the gradient of b_hn is the sum of the rows "
        "of dN.",
        MATRICES,
        RESET_AFTER,
    ),
    Exercise(
        "07.3a",
        "a function of dH, H_prev, Z, R, H_tilde and params that returns the four terms of dH_prev "
        "in the taught form: kept, update gate, candidate, reset gate",
        Function(term_cases, results=TERMS),
        terms_with(),
        "Their sum is dH_prev; now any of them can be left out.",
        MATRICES,
        FOUR,
    ),
    Exercise(
        "07.3b",
        "the names of the parameters whose gradients go wrong when a term is left out over several "
        "steps",
        Names(PARAM_NAMES),
        INSIDE,
        "Everything inside the GRU needs the way back. The output layer does not.",
        MATRICES,
        (
            Mistake(
                "all_eleven",
                PARAM_NAMES,
                "Two of them need no way back: their gradients are made from the state and the "
                "loss of the same step.",
            ),
            Mistake(
                "state_weights",
                ("W_hz", "W_hr", "W_hh"),
                "These three stand in the way back, but what arrives through them goes into every "
                "dA, and so into what else?",
            ),
            Mistake(
                "state_weights_and_output",
                ("W_hz", "W_hr", "W_hh", "W_hq"),
                "`dH_prev` goes into every dA of the step before, and all the weights of a gate "
                "are made from it. Does the output layer need it?",
            ),
            Mistake(
                "weights_without_biases",
                ("W_xz", "W_hz", "W_xr", "W_hr", "W_xh", "W_hh"),
                "The biases are made from the same dA as the weights beside them.",
            ),
            Mistake(
                "without_input_weights",
                ("W_hz", "b_z", "W_hr", "b_r", "W_hh", "b_h"),
                "The input weights are made from the same dA as the others of their gate.",
            ),
            Mistake(
                "output_layer",
                ("W_hq", "b_q"),
                "It is the other way round: these two are the only ones that need no way back.",
            ),
            Mistake(
                "output_weights_too",
                (*INSIDE, "W_hq"),
                "The gradient of W_hq is H.T @ dY, from one and the same step. What of dH_prev is "
                "in it?",
            ),
            Mistake(
                "none",
                (),
                "With a single step none would. Where does dH_prev go when there is a step before?",
            ),
        ),
    ),
    Exercise(
        "07.3c",
        "the four terms in the order of the damage, in the taught form and the example of part one "
        "(mean relative error of the parameters' gradients): the one that costs most first",
        Names(TERMS, ordered=True),
        ("kept", "candidate", "update gate", "reset gate"),
        "The least damage is the most dangerous: the loss still falls, and nothing looks wrong.",
        PART_ONE,
        (
            Mistake(
                "order_of_the_roads",
                TERMS,
                "That is the order of their numbers. Compare the relative errors.",
            ),
            Mistake(
                "least_first",
                ("reset gate", "update gate", "candidate", "kept"),
                "That is from the least to the most.",
            ),
            Mistake(
                "as_in_the_trained_model",
                ("candidate", "kept", "update gate", "reset gate"),
                "That is how it is over thirty steps of a trained model. The example of part one "
                "has random weights.",
                see=ROADS,
            ),
            Mistake(
                "gates_exchanged",
                ("kept", "candidate", "reset gate", "update gate"),
                "The first two are right. That is how it mostly is in the form of `nn.GRU`: is "
                "your `reset_after` False?",
            ),
            Mistake(
                "update_gate_first",
                ("update gate", "kept", "candidate", "reset gate"),
                "Compare the norm of the error with that of the right gradient, for each term.",
            ),
        ),
    ),
    Exercise(
        "07.3d",
        "the cases in which gradcheck notices that a term is missing",
        Names(GRADCHECKS),
        GRADCHECKS[1:],
        "With one step dH_prev goes to the first state and nowhere else: check that too, or take "
        "two steps.",
        PART_TWO,
        (
            Mistake(
                "never",
                (),
                "In one of the cases dH_prev is a result itself. Try it with "
                "`raise_exception=False`.",
            ),
            Mistake(
                "always",
                GRADCHECKS,
                "With a single step, which parameter's gradient has dH_prev in it?",
            ),
            Mistake(
                "state_only",
                GRADCHECKS[2:],
                "That is right. And with two steps, what does the first of them receive?",
            ),
            Mistake(
                "two_steps_only",
                GRADCHECKS[1:2],
                "That is right. And with one step, where does dH_prev come out?",
            ),
            Mistake(
                "parameters_only",
                GRADCHECKS[:2],
                "With one step dH_prev reaches no parameter. Where does it go?",
            ),
            Mistake(
                "one_step_parameters",
                GRADCHECKS[:1],
                "This is the case in which it cannot: with one step dH_prev reaches no parameter.",
            ),
            Mistake(
                "one_step",
                (GRADCHECKS[0], GRADCHECKS[2]),
                "With one step, which parameter's gradient has dH_prev in it? And with two?",
            ),
        ),
    ),
    Exercise(
        "07.4a",
        "a function of dH, H (the new state) and W_hh that returns dA and dH_prev",
        Function(rnn_cases, results=("dA", "dH_prev")),
        rnn_back(),
        "One road with two factors, a slope and a matrix: there is no z to pass by.",
        MATRICES,
        RNN,
    ),
    Exercise(
        "07.4b",
        "a function of w_hh and h (the new state) that returns the factor of a step back",
        Function(factor_cases),
        lambda w_hh, h: w_hh * (1 - h**2),
        "The slope is never above 1, so a weight below 1 in size lets the gradient vanish.",
        ONE_UNIT,
        FACTOR,
    ),
    Exercise(
        "07.4c",
        "three numbers that show that a large weight is not enough: w_hh (from 1 to 5 in size), a "
        "first state, and the derivative of the state fifty steps later (inputs and bias are 0)",
        Built(example, example_fault, "a derivative below 0.001, given to within 5 %"),
        lambda: (3.0, 0.5, derivative(3.0, 0.5)),
        "From nearly everywhere the state moves to where the slope makes up for the weight.",
        ONE_UNIT,
        (
            Mistake(
                "weight_below_one",
                lambda: (0.9, 0.5, derivative(0.9, 0.5)),
                "With this weight the gradient vanishes whatever the state is. The question is "
                "whether a weight of 1 or more can save it.",
                when=lambda given: abs(given[0]) < 1,
            ),
            Mistake(
                "state_at_zero",
                lambda: (1.5, 0.0, 1.5**FIFTY),
                "A state of exactly 0 stays there, and tanh has its full slope: this is the one "
                "case in which the gradient does not vanish. Begin elsewhere.",
                when=lambda given: abs(given[0]) >= 1 and given[1] == 0,
            ),
            Mistake(
                "too_near_one",
                lambda: (1.0, 0.5, derivative(1.0, 0.5)),
                "It shrinks, but slowly: so near 1 the state stays where the slope is large. Take "
                "a larger weight.",
                when=lambda given: (
                    1 <= abs(given[0]) < 1.3
                    and given[1] != 0
                    and nearly(given[2], derivative(*given[:2]))
                    and abs(given[2]) >= 1e-3
                ),
            ),
            Mistake(
                "slope_left_out",
                lambda: (1.5, 0.5, 1.5**FIFTY),
                "This is the weight to the power of fifty: the slopes are missing.",
                when=lambda given: (
                    abs(given[0]) >= 1 and given[1] != 0 and nearly(given[2], given[0] ** FIFTY)
                ),
            ),
            Mistake(
                "slope_of_the_old_state",
                lambda: (1.5, 0.5, of_old_states(1.5, 0.5)),
                "The slopes are taken at the old states. Each belongs to the state that comes out "
                "of its tanh.",
                when=lambda given: (
                    abs(given[0]) >= 1
                    and given[1] != 0
                    and nearly(given[2], of_old_states(*given[:2]))
                    and not nearly(given[2], derivative(*given[:2]))
                ),
            ),
            Mistake(
                "one_step",
                lambda: (3.0, 0.5, 3 * (1 - tanh(1.5) ** 2)),
                "This is the factor of a single step. Multiply those of all fifty.",
                when=lambda given: (
                    abs(given[0]) >= 1
                    and given[1] != 0
                    and nearly(given[2], given[0] * (1 - tanh(given[0] * given[1]) ** 2))
                ),
            ),
            Mistake(
                "last_state",
                lambda: (3.0, 0.5, states_of(3.0, 0.5)[-1]),
                "This is the state after fifty steps. Asked for is how it depends on the first.",
                when=lambda given: (
                    abs(given[0]) >= 1
                    and given[1] != 0
                    and nearly(given[2], states_of(*given[:2])[-1])
                    and not nearly(given[2], derivative(*given[:2]))
                ),
            ),
        ),
    ),
    Exercise(
        "07.5a",
        "a function of x, z and r (a number for each step), w_xh and w_hh that returns the "
        "gradient of the last state with respect to each input, for one unit that begins at 0 "
        "without bias",
        Function(gate_cases),
        gradient_with(),
        "With gates that are set, two roads remain: what is kept, and the candidate.",
        ONE_UNIT,
        SENSITIVITY,
    ),
    Exercise(
        "07.5b",
        "four numbers from 0 to 1: " + ", ".join(GATES_SET),
        Numbers(GATES_SET, absolute=0.01),
        (0.0, 0.0, 1.0, 1.0),
        "Write once, then keep; and what has never been written need not be reset.",
        ONE_UNIT,
        (
            Mistake(
                "z_reversed",
                (1.0, 0.0, 0.0, 0.0),
                "Every z is the wrong way round: here z = 1 keeps the old state.",
            ),
            Mistake(
                "open_before",
                (0.0, 0.0, 1.0, 0.0),
                "The first three are right. If the past is written before t' and nothing can reset "
                "it, it leaks into the candidate at t'.",
                when=lambda found: (
                    bool(((found[:3] - torch.tensor([0.0, 0.0, 1.0])).abs() <= 0.01).all())
                    and abs(found[3].item() - 1) > 0.01
                ),
            ),
            Mistake(
                "old_state_seen",
                (0.0, 1.0, 1.0, 1.0),
                "With r = 1 the candidate at t' still contains what was written before.",
            ),
            Mistake(
                "nothing_written",
                (1.0, 0.0, 1.0, 1.0),
                "With z = 1 at t' this input is never written.",
            ),
            Mistake(
                "written_over",
                (0.0, 0.0, 0.0, 1.0),
                "At t' that is right. But then every later step replaces the state again.",
            ),
            Mistake(
                "z_reversed_at_first",
                (1.0, 0.0, 0.0, 1.0),
                "At t' and after it, z is the wrong way round: write first, then keep.",
            ),
        ),
    ),
    Exercise(
        "07.6",
        "a function of doutputs, saved, params and k that returns the gradients of the eleven "
        "parameters when each step's loss goes back through k steps, its own among them",
        Function(truncated_cases, results=PARAM_NAMES),
        truncated_with(),
        "The backward pass is linear in what enters it, so each loss may go back alone; with k as "
        "large as the text nothing is cut.",
        MATRICES,
        TRUNCATED,
    ),
)
