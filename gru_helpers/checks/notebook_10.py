"""The exercises of notebook 10, Variants."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .core import Exercise, Mistake
from .kinds import Between, Built, Case, Function, Names, Numbers, Outcome
from .samples import drawn
from .values import NotThisKind, read_numbers

LOOP, EQUAL, TASKS = "One loop, eight steps", "Equal parameters", "Three tasks"
TABLES, SCAN = "The tables", "The minGRU without a loop"

# --- 1: parameters ------------------------------------------------------------------------------

CELLS = ("RNN", "LSTM", "GRU", "reset after", "R = 1", "MGU", "z of x", "minGRU")
BLOCKS = (1, 4, 3, 3, 2, 2, 2, 2)
MATRICES = (1, 4, 3, 3, 2, 2, 1, 0)
FURTHER = (0, 0, 0, 1, 0, 0, 0, 0)


def size_cases() -> list[Case]:
    """Numbers of inputs and units, never the same."""
    return [Case({"d": d, "h": h}, f"d = {d}, h = {h}") for d, h in ((7, 11), (2, 30), (28, 64))]


def counts_with(
    blocks: tuple[int, ...] = BLOCKS,
    matrices: tuple[int, ...] = MATRICES,
    further: tuple[int, ...] = FURTHER,
    block: Callable[[int, int], int] = lambda d, h: d * h + h,
    plus: Callable[[int, int], int] = lambda d, h: 0,
) -> Any:
    """The eight counts, from how many blocks, matrices and further biases each has."""
    return lambda d, h: [
        b * block(d, h) + m * h * h + f * h + plus(d, h)
        for b, m, f in zip(blocks, matrices, further, strict=True)
    ]


# --- 2: a minGRU that holds a number ------------------------------------------------------------

STEPS, ERROR = 100, 0.002
FOUR = ("W_xz", "b_z", "W_xh", "b_h")


def four_weights(answer: Any) -> Tensor:
    """W_xz, b_z, W_xh, b_h as six numbers; also from a ``Layer``."""
    if hasattr(answer, "W_x") and hasattr(answer, "b"):  # a Layer, as the notebook builds it
        if len(getattr(answer, "W_h", ())):
            raise NotThisKind(
                "It is a layer of another cell: it has recurrent weights W_h, where a minGRU has "
                "none."
            )
        answer = [part for pair in zip(answer.W_x, answer.b, strict=True) for part in pair]
    if isinstance(answer, Mapping) and set(answer) == set(FOUR):
        answer = [answer[name] for name in FOUR]
    parts = [part.double().flatten() for part in read_numbers(answer)]
    if [len(part) for part in parts] == [2, 2, 1, 1]:  # the order of a Layer's parameters
        parts = [parts[place] for place in (0, 2, 1, 3)]
    found = torch.cat(parts or [torch.ones(0)])
    if len(found) != 6:
        raise NotThisKind(
            f"It holds {len(found):,} numbers, expected six: W_xz two, b_z one, W_xh two, b_h one."
        )
    if not found.isfinite().all():
        raise NotThisKind("It holds inf or nan.")
    return found


def held_states(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers, (STEPS + 1, 64), and states, of which the first has read the marked number."""
    generator = torch.Generator().manual_seed(2)
    numbers = torch.rand(STEPS + 1, 64, generator=generator, dtype=torch.float64)
    marks = torch.zeros_like(numbers)
    marks[0] = 1
    Z = torch.sigmoid(weights[0] * numbers + weights[1] * marks + weights[2])
    X_h = weights[3] * numbers + weights[4] * marks + weights[5]
    H, states = torch.zeros(64, dtype=torch.float64), []
    for z, x in zip(Z, X_h, strict=True):
        H = z * H + (1 - z) * x
        states.append(H)
    return numbers, torch.stack(states)


def held_error(weights: Tensor) -> float:
    """The mean squared error of the last state."""
    numbers, states = held_states(weights)
    return float(((states[-1] - numbers[0]) ** 2).mean())


def held_fault(weights: Tensor) -> str:
    """What the unit does wrong, or nothing."""
    error = held_error(weights)
    if error < ERROR:
        return ""
    numbers, states = held_states(weights)
    at_once = float(((states[0] - numbers[0]) ** 2).mean())
    if at_once < ERROR:
        return (
            f"It takes the number, but after {STEPS} steps the mean squared error is {error:.3g}."
        )
    return f"Just after the marked number the mean squared error is {at_once:.3g} already."


def holding(z: tuple[float, float, float], h: tuple[float, float, float] = (1, 0, 0)) -> Tensor:
    """Six numbers, from weights of number and mark and the bias of gate and candidate."""
    return torch.tensor([*z, *h], dtype=torch.float64)


def hold_trouble(weights: Tensor) -> str:
    """The name of a known mistake, or nothing."""
    works = lambda *changed: held_error(torch.cat(changed)) < ERROR  # noqa: E731
    gate, candidate = weights[:3], weights[3:]
    if held_error(weights) < ERROR:
        return ""
    exchange = torch.tensor([1, 0, 2])
    if works(-gate, candidate):
        return "gate_reversed"
    if works(gate[exchange], candidate[exchange]):
        return "columns_exchanged"
    if works(gate[exchange], candidate):
        return "gate_reads_the_number"
    if works(gate, candidate[exchange]):
        return "mark_held"
    plain = holding((0, 0, 0))[3:]
    numbers, states = held_states(weights)
    if works(gate, plain):
        return "other_number_written"
    if torch.sigmoid(gate[1] + gate[2]) > 0.99 and states[-1].abs().max() < 0.01:
        return "nothing_written"
    if ((states[0] - numbers[0]) ** 2).mean() < ERROR:
        written = ((states[-1] - numbers[-1]) ** 2).mean() < ERROR
        return "written_over" if written else "leaks"
    return "weights_too_small" if works(20 * gate, candidate) else ""


def hold_mistake(name: str, wrong: Tensor, hint: str, see: str = "") -> Mistake:
    """A mistake that ``hold_trouble`` recognizes."""
    return Mistake(name, lambda: wrong, hint, see, when=lambda w: hold_trouble(w) == name)


# --- 3: a scan from another start ---------------------------------------------------------------


def start_cases() -> list[Case]:
    """A single step, and sequences whose lengths are no powers of two."""
    cases = []
    for words, steps, shape in (
        ("one step", 1, (3,)),
        ("five steps", 5, (3,)),
        ("six steps of two rows", 6, (2, 3)),
    ):
        a, b = torch.sigmoid(drawn(steps, *shape, seed=1)), drawn(steps, *shape, seed=2)
        cases.append(Case({"a": a, "b": b, "start": drawn(*shape, seed=3)}, words))
    return cases


def changed_at(
    place: int | slice, change: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """A function that changes b at some places, from a, b and start there."""

    def changed(a: Tensor, b: Tensor, start: Tensor) -> Tensor:
        new = b.clone()
        new[place] = change(a[place], b[place], start)
        return new

    return changed


start_moved = changed_at(0, lambda a, b, start: b + a * start)


def second_step_changed(reading: list[Outcome]) -> bool:
    """Whether one step was too few, because there is no second."""
    one, *more = reading
    return "IndexError" in one.trouble and not any(outcome.trouble for outcome in more)


def states_from(a: Tensor, b: Tensor, start: Tensor) -> Tensor:
    """All states of the recurrence."""
    states = []
    for a_t, b_t in zip(a, b, strict=True):
        start = a_t * start + b_t
        states.append(start)
    return torch.stack(states)


def all_carried(a: Tensor, b: Tensor, start: Tensor) -> Tensor:
    """What the start adds to every state, added to every b."""
    return b + a.cumprod(0) * start


# --- 4: an order of biases -----------------------------------------------------------------------


@dataclass(frozen=True)
class Ranking(Numbers):
    """Numbers from worst to best; also a dict from each to what it has reached."""

    def read(self, answer: Any) -> Tensor:
        """The numbers in their order."""
        if isinstance(answer, Mapping) and all(type(key) in (int, float) for key in answer):
            (reached,) = read_numbers(list(answer.values())) or [torch.zeros(0)]
            answer = [list(answer)[place] for place in reached.flatten().argsort().tolist()]
        return super().read(answer)


# --- 5: numbered tokens -------------------------------------------------------------------------


@dataclass(frozen=True)
class Tokens(Function):
    """A function that gives ids; only which are equal counts, not how they are called."""

    def tried_in(
        self, function: Callable[..., Any], case: Case, dtype: torch.dtype, end: float
    ) -> Outcome:
        """The ids, each as the place where it first stands."""
        outcome = super().tried_in(function, case, dtype, end)
        found = outcome.numbers
        if len(found) > 1 and len({part.shape for part in found}) == 1:
            found = [torch.stack([part.double() for part in found])]
        outcome.numbers = [first_places(part) for part in found]
        return outcome

    def tell(self, reading: list[Outcome], right: list[Outcome]) -> str:
        """Two places whose ids are equal and should not be, or the other way round."""
        found = self.first_difference(reading, right)
        given = found[0].numbers if found and found[1] == "numbers" else []
        expected = right[reading.index(found[0])].numbers if found else []
        if not given or len(given) != 1 or given[0].shape != expected[0].shape:
            return super().tell(reading, right)
        one, other = given[0], expected[0]
        where = tuple((one != other).nonzero()[0].tolist())
        ours, theirs = int(one[where]), int(other[where])
        place = min(ours, theirs)
        there = (place // one.shape[1], place % one.shape[1])
        verb = "have the same id, and should" if ours < theirs else "have different ids, and should"
        words = found[0].case.words if found else ""
        return f"On {words}: the tokens at {there} and {where} {verb} not."


def first_places(ids: Tensor) -> Tensor:
    """For each id the place, in the flat tensor, where the same id stands first."""
    flat = ids.flatten()
    if flat.numel() > 1000:
        return ids
    return (flat[:, None] == flat).double().argmax(1).view(ids.shape).double()


BLANK, QUESTION = 8, 9


def token_cases() -> list[Case]:
    """Three sequences of ids, of the lesson's length, numbered in the three ways."""
    X = torch.full((3, 36), BLANK)
    X[:, 32:] = QUESTION
    symbols = torch.tensor([[3, 3, 0, 7], [2, 3, 0, 1], [7, 1, 3, 0]])
    X = X.scatter(1, torch.tensor([[2, 7, 15, 30], [0, 1, 20, 31], [5, 6, 7, 28]]), symbols)
    return [
        Case({"X": X, "symbols_too": symbols, "questions_too": questions}, words)
        for symbols, questions, words in (
            (True, False, "three sequences, symbols numbered"),
            (False, True, "three sequences, questions numbered"),
            (True, True, "three sequences, both numbered"),
            (False, False, "three sequences, nothing numbered"),
        )
    ]


def tokens_with(
    place: Callable[[Tensor], Tensor] = lambda is_symbol: is_symbol.cumsum(1) - 1,
    symbol: Callable[[Tensor, Tensor], Tensor] = lambda X, place: 8 * place + X,
    other: Callable[[Tensor, Tensor], Tensor] = lambda X, place: X + 24,
    first_question: int = 33,
    switches: Callable[[bool, bool], tuple[bool, bool]] = lambda s, q: (s, q),
) -> Any:
    """Ids for symbols with their places, a blank and questions."""

    def tokens(X: Tensor, symbols_too: bool, questions_too: bool) -> Tensor:
        symbols_too, questions_too = switches(symbols_too, questions_too)
        is_symbol = X < BLANK
        numbers = place(is_symbol) * int(symbols_too)
        found = torch.where(is_symbol, symbol(X, numbers), other(X, numbers))
        if questions_too:
            found[:, -4:] = first_question + torch.arange(4)
        return found

    return tokens


def over_all_rows(is_symbol: Tensor) -> Tensor:
    """Places counted on from one sequence to the next."""
    return is_symbol.flatten().cumsum(0).view(is_symbol.shape) - 1


def counted_over_all_rows(reading: list[Outcome]) -> bool:
    """Whether places go on from one sequence to the next, with ids of one's own or the lesson's."""
    kind = Tokens(token_cases)
    apart: dict[str, Any] = {"other": lambda X, place: X + 1000, "first_question": 2000}
    return any(
        kind.same(reading, kind.read(tokens_with(place=over_all_rows, **more)))
        for more in ({}, apart)
    )


# --- 6: order from fading -----------------------------------------------------------------------


def fading_cases() -> list[Case]:
    """Factors of a symbol and of a question."""
    pairs = ((0.9, 0.35), (0.5, 0.2), (0.1, 0.65))
    return [Case({"x": x, "y": y}, f"x = {x}, y = {y}") for x, y in pairs]


def fading_with(
    written: Callable[[float, float], float] = lambda x, y: 1 - x,
    symbols: Callable[[int], int] = lambda i: 3 - i,
    questions: Callable[[int], int] = lambda j: j + 1,
) -> Any:
    """The state of a unit, by the place i of its symbol and the question j."""
    return lambda x, y: torch.tensor(
        [[written(x, y) * x ** symbols(i) * y ** questions(j) for j in range(4)] for i in range(4)],
        dtype=torch.float64,
    )


fading = fading_with()
VALUES = (0.1, 0.35, 0.65, 0.9)
GRID = [(x, y) for x in VALUES for y in VALUES]


def readout(answer: Any) -> Tensor:
    """x, y and weight of each unit of a symbol, (3, number of units)."""
    found = [part.double() for part in read_numbers(answer)]
    if len(found) > 3 and all(part.shape == (3,) for part in found):  # a triple for each unit
        found = [torch.stack(found)]
    if len(found) == 2 and found[0].dim() == 2 and found[0].shape[1] == 2:  # pairs, and weights
        found = [*found[0].T, found[1]]
    if len(found) == 1 and found[0].dim() == 2 and 3 in found[0].shape:
        found = list(found[0] if len(found[0]) == 3 else found[0].T)
    found = [part.flatten() for part in found]
    if len(found) != 3 or not len(found[0]) == len(found[1]) == len(found[2]) > 0:
        lengths = ", ".join(str(len(part)) for part in found[:6])
        raise NotThisKind(f"Three lists of one length are expected; these have {lengths}.")
    if not all(part.isfinite().all() for part in found):
        raise NotThisKind("It holds inf or nan.")
    if len(found[0]) > 64:
        raise NotThisKind(f"It has {len(found[0])} units a symbol; sixteen are enough.")
    if not ((found[0] >= 0) & (found[0] <= 1) & (found[1] >= 0) & (found[1] <= 1)).all():
        raise NotThisKind("The factors x and y are gates, from 0 to 1.")
    return torch.stack(found)


def scores(units: Tensor, fade: Any = fading) -> Tensor:
    """What a symbol in place i adds to its score at question j, (4, 4)."""
    return sum(  # type: ignore[return-value]
        (w * fade(x, y) for x, y, w in units.T.tolist()), torch.zeros(4, 4, dtype=torch.float64)
    )


def tells(units: Tensor, fade: Any = fading) -> bool:
    """Whether question j is always answered with the symbol in place j.

    Equal symbols add up their scores, and a symbol that was not there scores 0: so the right one
    has to weigh more than all others together.
    """
    found = scores(units, fade)
    right = found.diagonal()
    return bool((right > (found.abs().sum(0) - right.abs()) + 1e-9).all())


def readout_fault(units: Tensor) -> str:
    """What is answered wrongly, or nothing."""
    if tells(units):
        return ""
    found = scores(units)
    right = found.diagonal()
    j = int((right <= found.abs().sum(0) - right.abs() + 1e-9).nonzero()[0])
    column = ", ".join(f"{value:.2g}" for value in found[:, j].tolist())
    return (
        f"At question {j + 1} of 4 a symbol scores {column} if it stands in place 1, 2, 3, 4: it "
        "can be answered wrongly."
    )


def solved(fade: Any = fading, wanted: Tensor | None = None, digits: int | None = None) -> Tensor:
    """The units of the grid, with weights solved for."""
    wanted = torch.eye(4, dtype=torch.float64) if wanted is None else wanted
    system = torch.stack([fade(x, y).flatten() for x, y in GRID], dim=1)
    weights = torch.linalg.lstsq(system, wanted.flatten()[:, None], driver="gelsd").solution[:, 0]
    weights = weights if digits is None else weights.round(decimals=digits)
    return torch.cat([torch.tensor(GRID, dtype=torch.float64).T, weights[None]])


FADINGS = {
    "order_reversed": fading_with(symbols=lambda i: i),
    "written_share_left_out": fading_with(written=lambda x, y: 1.0),
    "question_not_counted": fading_with(questions=lambda j: j),
    "own_symbol_counted": fading_with(symbols=lambda i: 4 - i),
    "factors_exchanged": lambda x, y: fading(y, x),
    "gates_reversed": lambda x, y: fading(1 - x, 1 - y),
    "written_share_and_question": fading_with(written=lambda x, y: 1.0, questions=lambda j: j),
}


def readout_trouble(units: Tensor) -> str:
    """The name of a known mistake, or nothing."""
    if tells(units):
        return ""
    for name, fade in FADINGS.items():
        if tells(units, fade):
            return name
    if (units[2] == 0).all() or tells(torch.stack([units[0], units[1], -units[2]])):
        return "nothing_or_negative"
    found = scores(units)
    if (found - found.mean()).abs().max() < 0.1 * found.abs().max():
        return "always_one"
    return ""


def readout_mistake(name: str, wrong: Callable[[], Tensor], hint: str) -> Mistake:
    """A mistake that ``readout_trouble`` recognizes."""
    return Mistake(name, wrong, hint, when=lambda units: readout_trouble(units) == name)


# --- 7: larger first weights --------------------------------------------------------------------


STRETCHED = 2.5


def alike(W: Tensor) -> Tensor:
    """1 if weights side by side, or one below the other, go together; 0 if they do not."""
    if W.dim() != 2 or min(W.shape) < 2:
        return W.new_zeros(())
    W = W - W.mean()
    shared = (W[:, 1:] * W[:, :-1]).mean(), (W[1:] * W[:-1]).mean()
    return (torch.stack(shared).max() > 0.4 * (W**2).mean()).double()


@dataclass(frozen=True)
class Drawn(Function):
    """A function that draws weights; only their spread counts, and that they are drawn."""

    def tried_in(
        self, function: Callable[..., Any], case: Case, dtype: torch.dtype, end: float
    ) -> Outcome:
        """The shape, smallest, largest and mean square in units of 1 / sqrt(d), and ``alike``.

        The limits are stretched, so that they are compared more closely than the mean square.
        """
        outcome = super().tried_in(function, case, dtype, end)
        rows = outcome.numbers
        if len(rows) > 1 and rows[0].dim() == 1 and len({row.shape for row in rows}) == 1:
            outcome.numbers = [torch.stack([row.double() for row in rows])]  # nested lists
        if not outcome.trouble and len(outcome.numbers) != 1:
            outcome.trouble = f"returns {len(outcome.numbers)} tensors, where one is expected"
        if outcome.trouble:
            outcome.numbers = []
            return outcome
        (W,) = outcome.numbers
        W = W.double() * case.arguments["d"] ** 0.5
        shape = torch.tensor([*W.shape[:4], *[0] * (4 - W.dim())], dtype=torch.float64)
        if W.numel():
            limits = STRETCHED * W.min(), STRETCHED * W.max()
            outcome.numbers = [torch.stack([*shape, *limits, (W**2).mean(), alike(W)])]
        return outcome

    def tell(self, reading: list[Outcome], right: list[Outcome]) -> str:
        """The shape, or the limits in words."""
        found = self.first_difference(reading, right)
        if found is None or found[1] != "numbers":
            return super().tell(reading, right)
        place = reading.index(found[0])
        given, words = found[0].numbers, found[0].case.words
        if len(given[0]) != 8 or (given[0][:4] != right[place].numbers[0][:4]).any():
            return f"On {words}: the shape is not (d, h)."
        if given[0][7]:
            return f"On {words}: neighbors are alike. Is every weight drawn by itself?"
        d = found[0].case.arguments["d"] ** 0.5
        low, high = (given[0][4:6] / d / STRETCHED).tolist()
        return f"On {words}: the weights lie between {low:.3f} and {high:.3f}."


def draw_cases() -> list[Case]:
    """Sizes with many weights each."""
    return [Case({"d": d, "h": h}, f"d = {d}, h = {h}") for d, h in ((10, 497), (2, 800))]


def uniform(low: Callable[[int, int], float], high: Callable[[int, int], float]) -> Any:
    """A function that draws (d, h) weights evenly between two limits."""
    return lambda d, h: torch.empty(d, h, dtype=torch.float64).uniform_(low(d, h), high(d, h))


def around(bound: Callable[[int, int], float]) -> Any:
    """Evenly from minus to plus a bound."""
    return uniform(lambda d, h: -bound(d, h), bound)


def looks_normal(reading: list[Outcome], scale: Callable[[float], float]) -> bool:
    """Whether weights have normal tails, and the standard deviation ``scale(d)``."""
    for outcome in reading:
        if outcome.trouble or len(outcome.numbers) != 1 or len(outcome.numbers[0]) != 8:
            return False
        wanted = outcome.case.arguments["d"] * scale(outcome.case.arguments["d"]) ** 2
        _, largest, square, _ = outcome.numbers[0][4:].tolist()
        if not (0.8 < square / wanted < 1.25 and largest / STRETCHED > 2.2 * square**0.5):
            return False
    return True


ALL_OF_THE_STATE = "It has a block for each equation; which of its equations see the old state?"

EXERCISES = (
    Exercise(
        "10.1",
        "a function of d and h that returns the eight numbers of parameters, in the order of "
        "`CELLS`: RNN, LSTM, GRU, reset after, R = 1, MGU, z of x, minGRU",
        Function(size_cases, absolute=0.0, relative=0.0, results=CELLS),
        counts_with(),
        "The recurrent matrices grow with the square of h: who has none can have many units.",
        EQUAL,
        (
            Mistake(
                "biases_left_out",
                counts_with(block=lambda d, h: d * h),
                "The biases are missing: each block from the input has one for each unit.",
                see=LOOP,
            ),
            Mistake(
                "biases_twice",
                counts_with(block=lambda d, h: d * h + 2 * h),
                "Each block has two biases here, as in `nn.GRU`. In the lesson's loop it has one.",
                see=LOOP,
            ),
            Mistake(
                "bias_for_each_input",
                counts_with(block=lambda d, h: d * h + d),
                "A bias belongs to a unit, not to an input.",
                see=LOOP,
            ),
            Mistake(
                "output_layer",
                counts_with(plus=lambda d, h: h + 1),
                "An output layer with one output is counted too: it is left out here.",
            ),
            Mistake(
                "output_layer_as_wide_as_the_input",
                counts_with(plus=lambda d, h: (h + 1) * d),
                "An output layer is counted too: it is left out here.",
            ),
            Mistake(
                "inputs_and_units_exchanged",
                lambda d, h: counts_with()(h, d),
                "The sizes d and h are exchanged: recurrent matrices lead from units to units.",
                see=LOOP,
            ),
            Mistake(
                "bias_inside_the_reset_left_out",
                counts_with(further=(0,) * 8),
                "Only the form with the reset after the product is wrong. What else stands in its "
                "candidate, beside the product that is reset?",
                see=LOOP,
            ),
            Mistake(
                "bias_inside_the_reset_for_all_grus",
                counts_with(further=(0, 0, 1, 1, 0, 0, 0, 0)),
                "Only the GRU is wrong: it has no bias inside the reset. That is the other form.",
                see=LOOP,
            ),
            Mistake(
                "lstm_with_three_blocks",
                counts_with((1, 3, *BLOCKS[2:]), (1, 3, *MATRICES[2:])),
                "Only the LSTM is wrong: it has three gates, and what they let in and out is "
                "computed too.",
                see=LOOP,
            ),
            Mistake(
                "gates_alone",
                counts_with((1, 3, 2, 2, 1, 1, 1, 1), (1, 3, 2, 2, 1, 1, 0, 0)),
                "Only the gates are counted. The candidate has weights of its own.",
                see=LOOP,
            ),
            Mistake(
                "no_reset_counted_as_gru",
                counts_with((1, 4, 3, 3, 3, *BLOCKS[5:]), (1, 4, 3, 3, 3, *MATRICES[5:])),
                "Only R = 1 is wrong: a gate that is always open needs no weights.",
                see=LOOP,
            ),
            Mistake(
                "mgu_with_two_gates",
                counts_with((1, 4, 3, 3, 2, 3, 2, 2), (1, 4, 3, 3, 2, 3, 1, 0)),
                "Only the MGU is wrong: its two gates come from the same weights.",
                see=LOOP,
            ),
            Mistake(
                "z_of_x_sees_the_state",
                counts_with(matrices=(1, 4, 3, 3, 2, 2, 2, 0)),
                f"Only z of x is wrong. {ALL_OF_THE_STATE}",
                see=LOOP,
            ),
            Mistake(
                "mingru_sees_the_state",
                counts_with(matrices=(1, 4, 3, 3, 2, 2, 1, 1)),
                f"Only the minGRU is wrong. {ALL_OF_THE_STATE}",
                see=LOOP,
            ),
            Mistake(
                "matrices_not_square",
                lambda d, h: [
                    b * (d * h + h) + m * h + f * h
                    for b, m, f in zip(BLOCKS, MATRICES, FURTHER, strict=True)
                ],
                "A recurrent matrix leads from every unit to every unit: how many numbers is that?",
                see=LOOP,
            ),
            Mistake(
                "no_recurrent_matrices",
                counts_with(matrices=(0,) * 8),
                "The recurrent matrices are missing, from units to units.",
                see=LOOP,
            ),
            Mistake(
                "bias_for_each_recurrent_matrix",
                counts_with(further=tuple(m + f for m, f in zip(MATRICES, FURTHER, strict=True))),
                "PyTorch keeps two biases for each block. How many does `Layer` draw?",
                see=LOOP,
            ),
            Mistake(
                "mingru_with_two_matrices",
                counts_with(matrices=(1, 4, 3, 3, 2, 2, 1, 2)),
                f"Only the minGRU is wrong. {ALL_OF_THE_STATE}",
                see=LOOP,
            ),
            Mistake(
                "mgu_with_one_block",
                counts_with((1, 4, 3, 3, 2, 1, 2, 2), (1, 4, 3, 3, 2, 1, 1, 0)),
                "Only the MGU is wrong: it has one gate, and beside it a candidate.",
                see=LOOP,
            ),
            Mistake(
                "output_layer_of_28",
                counts_with(plus=lambda d, h: (h + 1) * 28),
                "An output layer for 28 characters is counted too: it is left out here.",
            ),
            Mistake(
                "sorted",
                lambda d, h: sorted(counts_with()(d, h)),
                "The numbers are right, but sorted: give them in the order of `CELLS`.",
            ),
        ),
    ),
    Exercise(
        "10.2",
        "W_xz, b_z, W_xh, b_h of a minGRU with one unit (inputs: the number and its mark), or "
        "the `Layer` itself",
        Built(
            four_weights, held_fault, f"mean squared error below {ERROR} after {STEPS} more steps"
        ),
        lambda: holding((0, -40, 20)),
        "Easy to write down, and yet not learned in the table: ability and learning are two "
        "questions.",
        LOOP,
        (
            hold_mistake(
                "gate_reversed",
                holding((0, 40, -20)),
                "The gate is the wrong way round: here z = 1 keeps (in the paper, z = 1 writes).",
            ),
            hold_mistake(
                "columns_exchanged",
                holding((-40, 0, 20), (0, 1, 0)),
                "The two inputs have changed places in both matrices: the number comes first, "
                "then its mark.",
                see="08: A task that only memory can solve",
            ),
            hold_mistake(
                "gate_reads_the_number",
                holding((-40, 0, 20)),
                "The gate listens to the number. What tells it when to write?",
            ),
            hold_mistake(
                "mark_held",
                holding((0, -40, 20), (0, 1, 0)),
                "The gate does its job, but what is written is the mark.",
            ),
            hold_mistake(
                "other_number_written",
                holding((0, -40, 20), (2, 0, 0)),
                "The gate does its job. What is written is not the number itself: the minGRU's "
                "candidate has no tanh and needs no help.",
            ),
            hold_mistake(
                "nothing_written",
                holding((0, 0, 20)),
                "Nothing is ever written: the gate keeps, and does not fall when the mark comes.",
            ),
            hold_mistake(
                "written_over",
                holding((0, 0, -20)),
                "The state is overwritten at every step: it holds the last number, not the marked "
                "one.",
            ),
            hold_mistake(
                "leaks",
                holding((0, -40, 5)),
                "The number is taken, and lost a little at every step. How near 1 must z be for a "
                "hundred steps?",
                see="01: How long does a gate remember?",
            ),
            hold_mistake(
                "weights_too_small",
                holding((0, -4, 2)),
                "The signs are right, but the gate stays somewhere between 0 and 1. What is "
                "sigmoid(2)? And sigmoid(20)?",
                see="01: How long does a gate remember?",
            ),
        ),
    ),
    Exercise(
        "10.3",
        "a function of a, b and start, the state before the first step, that returns the b with "
        "which a scan from zero gives the same states",
        Function(start_cases),
        start_moved,
        "A start is one more thing that the first step adds; all later states follow from it.",
        SCAN,
        (
            Mistake(
                "start_ignored",
                lambda a, b, start: b.clone(),
                "Nothing has changed: then the states are those that begin at zero.",
            ),
            Mistake(
                "not_multiplied",
                changed_at(0, lambda a, b, start: b + start),
                "The place is right. But the first step does to the start what every step does "
                "to the state before it.",
            ),
            Mistake(
                "replaced_by_the_start",
                changed_at(0, lambda a, b, start: start + 0 * b),
                "The place is right. But the first step still adds what it added before, and does "
                "to the start what every step does to the state before it.",
            ),
            Mistake(
                "what_was_there_lost",
                changed_at(0, lambda a, b, start: a * start),
                "The place is right. But the first step still adds what it added before.",
            ),
            Mistake(
                "last_element",
                changed_at(-1, lambda a, b, start: b + a * start),
                "The last element has changed: in Python an index of -1 means the last. Here it "
                "is the step before the first.",
            ),
            Mistake(
                "all_elements",
                changed_at(slice(None), lambda a, b, start: b + a * start),
                "Every element has changed. The later steps hear of the start through the states "
                "before them.",
            ),
            Mistake(
                "added_to_all_with_its_share",
                all_carried,
                "That is what the start adds to the states, and here it is added to every b: so "
                "it counts again and again.",
            ),
            Mistake(
                "added_to_all",
                lambda a, b, start: b + start,
                "The start is added to every element. The later steps hear of it through the "
                "states before them.",
            ),
            Mistake(
                "states_returned",
                states_from,
                "These are the states, and they are right. Return the b that gives them.",
            ),
            Mistake(
                "written_share",
                changed_at(0, lambda a, b, start: b + (1 - a) * start),
                "The place is right. But what is kept of a state is a, not 1 - a.",
            ),
            Mistake(
                "prepended",
                lambda a, b, start: torch.cat([start[None], b]),
                "The start is put in front, as a step of its own. That would do with an a in front "
                "too, but it makes one state more; asked for is one changed element.",
            ),
            Mistake(
                "subtracted",
                changed_at(0, lambda a, b, start: b - a * start),
                "The place is right. Put t = 0 into the recurrence: which sign has the state "
                "before it?",
            ),
            Mistake(
                "what_is_added_kept_too",
                changed_at(0, lambda a, b, start: a * (start + b)),
                "The place is right. Is what the first step adds multiplied by a as well?",
            ),
            Mistake(
                "new_share_twice",
                changed_at(0, lambda a, b, start: a * start + (1 - a) * b),
                "The place is right. But b holds the share 1 - z already.",
            ),
            Mistake(
                "second_element",
                changed_at(1, lambda a, b, start: b + a * start),
                "The second element has changed, which a single step does not have. The first "
                "step is number 0.",
                when=second_step_changed,
            ),
        ),
    ),
    Exercise(
        "10.4",
        "the three biases 0, 1 and 3, from that with the smallest share of right sequences to "
        "that with the largest",
        Ranking(("worst", "middle", "best")),
        (0, 1, 3),
        "Its place in the table is that of the recipe, which gave every cell a bias of 1.",
        TABLES,
        (
            Mistake(
                "reversed",
                (3, 1, 0),
                "The other way round, or the bias was set with the wrong sign: what does a larger "
                "bias do to the forget gate, and what has to be kept here?",
                see=LOOP,
            ),
            Mistake(
                "recipe_best",
                (0, 3, 1),
                "Is the bias of the recipe the best one? It was chosen for all cells together. "
                "Train it, for as many minibatches as in the table.",
                see=TASKS,
            ),
            Mistake(
                "recipe_worst",
                (1, 0, 3),
                "Two are exchanged. Draw the weights anew for each bias, with the same seed, and "
                "show the same minibatches.",
                see=TASKS,
            ),
            Mistake(
                "zero_in_the_middle",
                (3, 0, 1),
                "The largest bias is not the worst here. Was each net drawn anew, and trained "
                "with the same seed for 800 minibatches?",
                see=TASKS,
            ),
            Mistake(
                "recipe_worst_zero_best",
                (1, 3, 0),
                "Without any help from its bias the forget gate forgets half at each step. Is "
                "that the best start?",
                see=LOOP,
            ),
            Mistake(
                "shares",
                (0.23, 0.73, 0.87),
                "These are the shares. Hand in the biases, in the order of their shares.",
                when=lambda shares: bool(
                    ((shares > 0) & (shares < 1)).any() and ((shares >= 0) & (shares <= 1)).all()
                ),
            ),
        ),
    ),
    Exercise(
        "10.5a",
        "a function of X, (batch_size, 36) ids as from `copy_batch`, and of symbols_too and "
        "questions_too, that returns ids of the same shape, numbered or not (which ids is free; "
        "which of them are equal is not)",
        Tokens(token_cases),
        tokens_with(),
        "The order is now written into the input, or not, and the cell need not find it.",
        TASKS,
        (
            Mistake(
                "place_and_symbol_added",
                tokens_with(symbol=lambda X, place: place + X),
                "Place and symbol are added up, so that a b in the first place has the id of an a "
                "in the second.",
            ),
            Mistake(
                "numbered_by_position",
                tokens_with(
                    place=lambda symbol: torch.arange(symbol.shape[1]).expand(symbol.shape),
                    other=lambda X, place: X + 1000,
                    first_question=2000,
                ),
                "The symbols are numbered by their step. It is the first symbol, the second, "
                "however many blanks stand before it.",
            ),
            Mistake(
                "counted_down_the_batch",
                tokens_with(place=lambda is_symbol: is_symbol.cumsum(0) - 1),
                "Symbols are counted over the sequences of the minibatch: the sum goes along the "
                "wrong axis.",
            ),
            Mistake(
                "blanks_numbered",
                tokens_with(
                    symbol=lambda X, place: 10 * place + X,
                    other=lambda X, place: torch.where(X == BLANK, 10 * place + X, 1000),
                    first_question=2000,
                ),
                "Blanks are numbered as well: how many symbols have come before can be read off "
                "each of them. Number only the symbols.",
            ),
            Mistake(
                "blank_taken_for_a_symbol",
                tokens_with(other=lambda X, place: X),
                "Blank and question keep the ids 8 and 9, which an a and a b in the second place "
                "have as well.",
            ),
            Mistake(
                "first_question_is_the_blank",
                tokens_with(first_question=32),
                "The first question has the id of the blank.",
            ),
            Mistake(
                "question_taken_for_the_blank",
                tokens_with(other=lambda X, place: torch.full_like(X, 32)),
                "Where questions are not numbered they have the id of the blank. A question is a "
                "token of its own, numbered or not.",
            ),
            Mistake(
                "counted_from_one",
                tokens_with(place=lambda is_symbol: is_symbol.cumsum(1)),
                "Places begin at 1, so that symbols in the fourth have ids which blank and "
                "questions have already.",
            ),
            Mistake(
                "switches_exchanged",
                tokens_with(switches=lambda s, q: (q, s)),
                "The two switches have changed places.",
            ),
            Mistake(
                "always_both",
                tokens_with(switches=lambda s, q: (s or q, s or q)),
                "Both are numbered as soon as one is asked for.",
            ),
            Mistake(
                "nothing_numbered",
                tokens_with(switches=lambda s, q: (False, False)),
                "Nothing is numbered, whatever the switches say.",
            ),
            Mistake(
                "always_everything",
                tokens_with(switches=lambda s, q: (True, True)),
                "Everything is numbered, whatever the switches say.",
            ),
            Mistake(
                "counted_over_all_rows",
                tokens_with(place=over_all_rows),
                "The count goes on from one sequence to the next: each sequence has a first "
                "symbol of its own.",
                when=counted_over_all_rows,
            ),
            Mistake(
                "symbol_lost",
                tokens_with(symbol=lambda X, place: 8 * place),
                "Symbols in the same place all have the same id: which symbol it is must be "
                "told too.",
            ),
            Mistake(
                "questions_from_nine",
                tokens_with(first_question=9),
                "The numbered questions have ids that symbols in the second place have already.",
            ),
            Mistake(
                "switches_negated",
                tokens_with(switches=lambda s, q: (not s, not q)),
                "The switches work the wrong way round: what is asked for is left out.",
            ),
        ),
    ),
    Exercise(
        "10.5b",
        "the names of the trainings in which more than a fifth of the sequences come out right",
        Names(("neither", "symbols only", "questions only", "both")),
        ("symbols only", "both"),
        "What was never written down cannot be asked for: the symbols do more.",
        TASKS,
        (
            Mistake(
                "questions_do_more",
                ("questions only", "both"),
                "Are the two switches exchanged? Or was it the prediction: what can a numbered "
                "question find in a state that does not hold the order?",
            ),
            Mistake(
                "both_alone",
                ("both",),
                "One of the two numberings does something by itself, though less than both. Were "
                "there 800 minibatches, in one cycle up to 0.01?",
            ),
            Mistake(
                "each_helps",
                ("symbols only", "questions only", "both"),
                "Does each of these reach a fifth? Was the net drawn anew for each training?",
            ),
            Mistake(
                "everything",
                ("neither", "symbols only", "questions only", "both"),
                "With neither, this is the minGRU of the lesson: what was its share? Was the net "
                "drawn anew for each training?",
            ),
            Mistake(
                "none",
                (),
                "With both it is the lesson's own experiment, which succeeds.",
            ),
            Mistake(
                "symbols_alone",
                ("symbols only",),
                "And with both?",
            ),
        ),
    ),
    Exercise(
        "10.6a",
        "a function of x and y, a unit's factors at a symbol and at a question, that returns "
        "(4, 4): the unit's state after question j if its own symbol stood in place i of four, "
        "with a candidate of 1 there and of 0 elsewhere (blanks keep everything)",
        Function(fading_cases),
        fading,
        "Every place leaves another trace: with several x and y the places can be told apart.",
        TASKS,
        (
            Mistake(
                "written_share_left_out",
                FADINGS["written_share_left_out"],
                "What the unit writes at its symbol is not the whole candidate: the gate that "
                "keeps x of the old state lets the rest of the new one in.",
                see=LOOP,
            ),
            Mistake(
                "kept_share_written",
                fading_with(written=lambda x, y: x),
                "At its symbol the unit writes with the other share: x is what it keeps.",
                see=LOOP,
            ),
            Mistake(
                "order_reversed",
                FADINGS["order_reversed"],
                "What stood first has faded the most: how many symbols come after place i?",
            ),
            Mistake(
                "own_symbol_counted",
                FADINGS["own_symbol_counted"],
                "The state fades once too often at symbols: it is written at its own symbol, and "
                "fades at those after it.",
            ),
            Mistake(
                "question_not_counted",
                FADINGS["question_not_counted"],
                "The answer to a question is read after its step, at which the state has faded "
                "already.",
            ),
            Mistake(
                "factors_exchanged",
                FADINGS["factors_exchanged"],
                "x and y have changed places: x at symbols, y at questions.",
            ),
            Mistake(
                "transposed",
                lambda x, y: fading(x, y).T,
                "The numbers are right, but transposed: the place i gives the row.",
            ),
            Mistake(
                "symbols_after_forgotten",
                fading_with(symbols=lambda i: 0),
                "The symbols that come after its own let the state fade too.",
            ),
            Mistake(
                "questions_forgotten",
                fading_with(questions=lambda j: 0),
                "The questions let the state fade too: otherwise all four find the same.",
            ),
            Mistake(
                "added_up",
                lambda x, y: torch.tensor(
                    [[(1 - x) * (x * (3 - i) + y * (j + 1)) for j in range(4)] for i in range(4)]
                ),
                "A state does not fade by an amount, but by a factor at each step: multiply.",
                see="01: How long does a gate remember?",
            ),
            Mistake(
                "written_share_and_question",
                FADINGS["written_share_and_question"],
                "Two things: what does the gate let in at the symbol, and has the state faded "
                "once more when a question is answered?",
                see=LOOP,
            ),
            Mistake(
                "gates_reversed",
                FADINGS["gates_reversed"],
                "x and y are what a gate keeps of the old state, not what it lets in.",
                see=LOOP,
            ),
            Mistake(
                "questions_reversed",
                fading_with(questions=lambda j: 4 - j),
                "The more questions have been asked, the more the state has faded: how many "
                "steps of a question have passed at the first?",
            ),
        ),
    ),
    Exercise(
        "10.6b",
        "x, y and the readout weight of each of a symbol's units: three lists of one length, such "
        "as sixteen",
        Built(readout, readout_fault, "every order of symbols answered rightly"),
        solved,
        "The cell can do it, with weights in the thousands that nearly cancel: that is not what "
        "training finds.",
        TASKS,
        (
            readout_mistake(
                "order_reversed",
                lambda: solved(FADINGS["order_reversed"]),
                "It gives the symbols back in reverse: what stood first has faded the most.",
            ),
            readout_mistake(
                "written_share_left_out",
                lambda: solved(FADINGS["written_share_left_out"]),
                "The weights fit units that write their whole candidate. A gate that keeps x of "
                "the old state lets only the rest of the new one in.",
            ),
            readout_mistake(
                "question_not_counted",
                lambda: solved(FADINGS["question_not_counted"]),
                "The weights fit states before the question's own step. The answer is read after "
                "it, and the state has faded once more.",
            ),
            readout_mistake(
                "own_symbol_counted",
                lambda: solved(FADINGS["own_symbol_counted"]),
                "The weights fit states that fade at their own symbol too. There they are written.",
            ),
            readout_mistake(
                "factors_exchanged",
                lambda: solved()[[1, 0, 2]],
                "x and y have changed places: x at symbols, y at questions.",
            ),
            readout_mistake(
                "always_one",
                lambda: solved(wanted=torch.ones(4, 4, dtype=torch.float64)),
                "Each symbol scores the same at every question, wherever it stood: asked for is 1 "
                "where place and question agree, and 0 elsewhere.",
            ),
            readout_mistake(
                "nothing_or_negative",
                lambda: solved() * torch.tensor([[1.0], [1.0], [-1.0]]),
                "The weights are all 0, or have the opposite sign: the right symbol gets the "
                "lowest score.",
            ),
            readout_mistake(
                "written_share_and_question",
                lambda: solved(FADINGS["written_share_and_question"]),
                "Two things: what does the gate let in at the symbol, and has the state faded "
                "once more when a question is answered?",
            ),
            readout_mistake(
                "gates_reversed",
                lambda: solved(FADINGS["gates_reversed"]),
                "x and y are what a gate keeps of the old state, not what it lets in.",
            ),
        ),
    ),
    Exercise(
        "10.7a",
        "a function of d and h that draws one matrix of input weights, (d, h), as the exercise "
        "says",
        Drawn(draw_cases, absolute=0.05),
        around(lambda d, h: d**-0.5),
        "The size of these weights no longer shrinks with the number of units.",
        TASKS,
        (
            Mistake(
                "as_before",
                around(lambda d, h: h**-0.5),
                "These are as small as before: it goes by the units. Let it go by the inputs.",
                see=LOOP,
            ),
            Mistake(
                "positive_only",
                uniform(lambda d, h: 0.0, lambda d, h: d**-0.5),
                "All weights are positive: `torch.rand` begins at 0. The range reaches as far "
                "below 0 as above.",
                see=LOOP,
            ),
            Mistake(
                "half_the_range",
                around(lambda d, h: d**-0.5 / 2),
                "The range is half as wide as it should be: does it reach from minus to plus?",
                see=LOOP,
            ),
            Mistake(
                "root_forgotten",
                around(lambda d, h: 1 / d),
                "The root is missing: one over the number of inputs is smaller.",
                see=LOOP,
            ),
            Mistake(
                "deviation_for_bound",
                around(lambda d, h: math.sqrt(3 / d)),
                "That is the standard deviation that was asked for as a bound.",
                see=LOOP,
            ),
            Mistake(
                "both_widths",
                around(lambda d, h: math.sqrt(6 / (d + h))),
                "That goes by the units too, as `xavier_uniform_` does, and `kaiming_uniform_` on "
                "a matrix (d, h). Here it goes by the inputs alone.",
                see=LOOP,
            ),
            Mistake(
                "bound_for_relu",
                around(lambda d, h: math.sqrt(6 / d)),
                "That is the wider bound of `kaiming_uniform_` as it stands, made for ReLU.",
                see=LOOP,
            ),
            Mistake(
                "normal",
                lambda d, h: torch.randn(d, h) * d**-0.5,
                "These are normal numbers, with tails beyond the bound. Draw evenly.",
                see=LOOP,
                when=lambda reading: looks_normal(reading, lambda d: d**-0.5),
            ),
            Mistake(
                "standard_normal",
                lambda d, h: torch.randn(d, h),
                "These are standard normal numbers, as large as they come.",
                see=LOOP,
                when=lambda reading: looks_normal(reading, lambda d: 1.0),
            ),
            Mistake(
                "not_drawn",
                lambda d, h: torch.linspace(-(d**-0.5), d**-0.5, d * h).view(d, h),
                "The range is right, but neighbors go together: every weight is drawn by itself.",
                see=LOOP,
                when=lambda reading: all(
                    len(o.numbers) == 1 and len(o.numbers[0]) == 8 and bool(o.numbers[0][7])
                    for o in reading
                ),
            ),
            Mistake(
                "unit_range",
                around(lambda d, h: 1.0),
                "These lie between -1 and 1, however many inputs there are.",
                see=LOOP,
            ),
            Mistake(
                "transposed",
                lambda d, h: torch.empty(h, d).uniform_(-(d**-0.5), d**-0.5),
                "The range is right, but the shape is (h, d): `nn.Linear` keeps its weights in "
                "this way. Here inputs come first.",
                see=LOOP,
            ),
            Mistake(
                "bound_upside_down",
                around(lambda d, h: d**0.5),
                "The bound grows with the number of inputs. One over the root is meant.",
                see=LOOP,
            ),
            Mistake(
                "normal_with_the_same_spread",
                lambda d, h: torch.randn(d, h) / (3 * d) ** 0.5,
                "The spread is right, but these are normal numbers, with tails beyond the "
                "bound. Draw evenly.",
                see=LOOP,
                when=lambda reading: looks_normal(reading, lambda d: (3 * d) ** -0.5),
            ),
        ),
    ),
    Exercise(
        "10.7b",
        "the mean squared error on the number, after 1,000 minibatches or when solved",
        Between(1e-5, 0.02),
        0.0025,
        "On the number its place was a matter of initialization; on copying it hardly is.",
        TABLES,
        (
            Mistake(
                "at_the_guess",
                1 / 12,
                "That is about the error of a guess. Were both input matrices drawn anew, inside "
                "`torch.no_grad()` or by `nn.init`, the gate's bias of 2 left alone?",
                see=TASKS,
                when=lambda error: 0.065 < error < 0.11,
            ),
            Mistake(
                "root_of_the_error",
                0.05,
                "Is that the root of the mean squared error, or a run much shorter than 1,000 "
                "minibatches?",
                see=TASKS,
                when=lambda error: 0.02 < error <= 0.065,
            ),
            Mistake(
                "minibatches",
                1000.0,
                "That is a number of minibatches. Hand in the error of the last one.",
                see=TASKS,
                when=lambda error: 100 <= error <= 1000,
            ),
        ),
    ),
)
