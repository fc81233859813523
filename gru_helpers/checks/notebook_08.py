"""The exercises of notebook 08, Long memory."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .calling import call
from .core import Exercise, Mistake
from .kinds import Built, Case, Choice, Function, Names, Numbers, Outcome, number
from .samples import drawn
from .values import NotThisKind, called, close, read_numbers

UNTRAINED = "What an untrained gate lets through"
PROOF = "The proof: open them"
GATES = "What the gates do"

# --- 1: half of a number after k steps ----------------------------------------------------------


def logit(z: float) -> float:
    """The bias whose sigmoid is z."""
    return math.log(z / (1 - z))


def gate_for(k: int) -> tuple[float, float]:
    """The gate that leaves half after k steps, and its bias."""
    z = 0.5 ** (1 / k)
    return z, logit(z)


@dataclass(frozen=True)
class Two(Function):
    """A function that returns two numbers."""

    def tell(self, reading: list[Outcome], right: list[Outcome]) -> str:
        """That they are not two, before anything else."""
        counts = [sum(part.numel() for part in one.numbers) for one in reading if not one.trouble]
        if counts and counts[0] != 2:
            held = f"{counts[0]} number{'' if counts[0] == 1 else 's'}"
            return f"Your function returns {held}, not two: {' and '.join(self.results)}."
        return super().tell(reading, right)


def half_cases() -> list[Case]:
    """A single step, a few steps, and many."""
    return [Case({"k": k}, f"k = {k}") for k in (1, 3, 10, 100, 1000)]


HALF = (
    Mistake(
        "one_over_e_is_left",
        lambda k: (math.exp(-1 / k), logit(math.exp(-1 / k))),
        "This z leaves 1/e after k steps. One half is asked for.",
        see="01: How long does a gate remember?",
    ),
    Mistake(
        "same_amount_each_step",
        lambda k: (1 - 0.5 / k, logit(1 - 0.5 / k)),
        "With this z a half would be lost if each step took the same amount. It takes the same "
        "share of what is still there.",
        see="01: How long does a gate remember?",
    ),
    Mistake(
        "one_minus_one_over_k",
        lambda k: (1 - 1 / k, math.log(k - 1) if k > 1 else -math.inf),
        "With z = 1 - 1/k about 1/e is left after k steps. One half is asked for.",
        see="01: How long does a gate remember?",
    ),
    Mistake(
        "one_step_short",
        lambda k: gate_for(k - 1) if k > 1 else (0.0, -math.inf),
        "This z leaves half after k - 1 steps. Each of the k steps multiplies once.",
    ),
    Mistake(
        "log_to_base_2",
        lambda k: (gate_for(k)[0], gate_for(k)[1] / math.log(2)),
        "z is right. The sigmoid has e in it, so that the natural logarithm undoes it, not that "
        "to the base 2.",
    ),
    Mistake(
        "odds_in_place_of_the_bias",
        lambda k: (gate_for(k)[0], 1 / (1 - gate_for(k)[0])),
        "z is right. The second is one over the share that is written: which number does the "
        "sigmoid turn into z?",
    ),
    Mistake(
        "written_share",
        lambda k: (1 - gate_for(k)[0], -gate_for(k)[1]),
        "That is 1 - z, the share that is written, and its bias. Here z is the share that is kept.",
    ),
    Mistake(
        "left_after_k_steps_of_one_half",
        lambda k: (0.5**k, logit(0.5**k)),
        "That is what k steps leave if z is one half. Here z is unknown, and one half is what k "
        "steps shall leave.",
    ),
    Mistake(
        "sign_of_the_bias",
        lambda k: (gate_for(k)[0], -gate_for(k)[1]),
        "z is right, the bias has the wrong sign: put it into the sigmoid, and see which z comes "
        "out.",
    ),
    Mistake(
        "bias_is_the_log_of_z",
        lambda k: (gate_for(k)[0], math.log(gate_for(k)[0])),
        "z is right. Its bias is what the sigmoid makes z of, and the logarithm alone does not "
        "undo a sigmoid.",
    ),
    Mistake(
        "other_logarithm",
        lambda k: (gate_for(k)[0], gate_for(k)[1] / math.log(10)),
        "z is right. The sigmoid has e in it, so that the natural logarithm undoes it, not that "
        "to the base 10.",
    ),
    Mistake(
        "form_for_large_k",
        lambda k: (gate_for(k)[0], math.log(k / math.log(2))),
        "z is right. The bias is nearly right where k is large; a form without an approximation "
        "holds for every k.",
    ),
    Mistake(
        "chrono_bias",
        lambda k: (k / (1 + k), math.log(k)),
        "That is the bias of chrono initialization for u = k. Its half-life is only about 0.7 u.",
        see="Which layer, which bias, how far?",
    ),
    Mistake(
        "one_step_too_many",
        lambda k: gate_for(k + 1),
        "This z leaves half after k + 1 steps. Each of the k steps multiplies once.",
    ),
    Mistake(
        "order_exchanged",
        lambda k: gate_for(k)[::-1],
        "Both are right, but they are asked for in the other order.",
    ),
)

# --- 3: a single open step ----------------------------------------------------------------------


def left_after(Z: Tensor, step: int) -> Tensor:
    """What is left at the end of the states after step 0, with z at 0.5 at one step."""
    kept = Z.clone()
    kept[step] = 0.5
    return kept[1:].prod(dim=0)


def clamped(start: Callable[[int], int], stop: Callable[[int, int], int]) -> Any:
    """The share that is left with z at 0.5 at other steps than that one."""

    def left(Z: Tensor, step: int) -> Tensor:
        kept = Z.clone()
        kept[start(step) : stop(step, len(Z))] = 0.5
        return kept[1:].prod(dim=0)

    return left


def gate_cases() -> list[Case]:
    """Gates near 1, of a few keepers."""
    cases = []
    for num_steps, keepers, step in ((8, 3, 4), (20, 2, 13), (11, 4, 2)):
        Z = torch.sigmoid(2.5 + drawn(num_steps, keepers, seed=81))
        cases.append(Case({"Z": Z, "step": step}, f"{num_steps} steps, of which {step} is open"))
    return cases


SHARE_LEFT = (
    Mistake(
        "nothing_opened",
        clamped(lambda step: 0, lambda step, end: 0),
        "This is what is left if the gates are left alone: none of them is held.",
    ),
    Mistake(
        "halved_besides",
        lambda Z, step: 0.5 * Z[1:].prod(dim=0),
        "The clamp takes the place of that step's z. Here it is multiplied to it.",
    ),
    Mistake(
        "open_from_there_on",
        clamped(lambda step: step, lambda step, end: end),
        "The gates are held at that step and at all after it: a clamp without `stop` does so.",
    ),
    Mistake(
        "open_until_there",
        clamped(lambda step: 1, lambda step, end: step + 1),
        "The gates are held at all steps up to that one. Only the single step is to be held.",
    ),
    Mistake(
        "all_open",
        clamped(lambda step: 1, lambda step, end: end),
        "All steps are held at 0.5. That was the intervention of the lesson; now it is one step.",
    ),
    Mistake(
        "step_before",
        clamped(lambda step: step - 1, lambda step, end: step),
        "The step before is held. Steps count from 0, as in the lesson, where step 0 has the mark.",
    ),
    Mistake(
        "step_after",
        clamped(lambda step: step + 1, lambda step, end: step + 2),
        "The step after is held. Steps count from 0, as in the lesson, where step 0 has the mark.",
    ),
    Mistake(
        "step_left_out",
        lambda Z, step: Z[1:].prod(dim=0) / Z[step],
        "The open step is left out of the product. At 0.5 it still multiplies.",
    ),
    Mistake(
        "only_from_step",
        lambda Z, step: 0.5 * Z[step + 1 :].prod(dim=0),
        "The product begins at the open step. Which steps lie between step 0 and the end?",
    ),
    Mistake(
        "only_after_step",
        lambda Z, step: Z[step + 1 :].prod(dim=0),
        "The product begins after the open step. Which steps lie between step 0 and the end?",
    ),
    Mistake(
        "only_to_step",
        lambda Z, step: 0.5 * Z[1:step].prod(dim=0),
        "The product ends with the open step. Which steps lie between step 0 and the end?",
    ),
    Mistake(
        "relative",
        lambda Z, step: 0.5 / Z[step],
        "That compares with the model whose gates are left alone. Which share of the state is "
        "left?",
    ),
    Mistake(
        "last_step_left_out",
        lambda Z, step: 0.5 * Z[1:-1].prod(dim=0) / Z[step],
        "The last step is missing in the product: Python's `stop` is the first place that is not "
        "meant.",
    ),
    Mistake(
        "step_1_left_out",
        lambda Z, step: 0.5 * Z[2:].prod(dim=0) / Z[step],
        "Step 1 is missing in the product: it is the first that multiplies what step 0 has "
        "written.",
    ),
    Mistake(
        "lost_share",
        lambda Z, step: 1 - left_after(Z, step),
        "That is the share that is lost. Asked for is what is left.",
    ),
    Mistake(
        "percent",
        lambda Z, step: 100 * left_after(Z, step),
        "That is in percent. A share lies between 0 and 1.",
    ),
    Mistake(
        "mean_over_the_keepers",
        lambda Z, step: left_after(Z, step).mean(),
        "That is a mean over the keepers. Return one share for each of them.",
    ),
    Mistake(
        "step_0_counted",
        lambda Z, step: left_after(Z, step) * Z[0],
        "The gate of step 0 is a factor here. It belongs to the step that writes the number: what "
        "is asked for is left of the state after it.",
    ),
    Mistake(
        "set_to_zero",
        lambda Z, step: 0 * left_after(Z, step),
        "At 0 nothing would be left. The exercise holds z at another value.",
    ),
    Mistake(
        "mean_of_the_gates",
        lambda Z, step: left_after(Z, step) ** (1 / (len(Z) - 1)),
        "That is a mean z of a step (the geometric one). What is left is the product of all of "
        "them.",
        see=UNTRAINED,
    ),
    Mistake(
        "sum_for_product",
        lambda Z, step: (Z[1:].sum(dim=0) - Z[step] + 0.5) / (len(Z) - 1),
        "That is the mean of the gates. Each step keeps a share of what the step before has left.",
        see=UNTRAINED,
    ),
    Mistake(
        "written_shares",
        lambda Z, step: (1 - Z[1:]).prod(dim=0) / (1 - Z[step]) * 0.5,
        "The factors are 1 - z, the shares that are written. Here z is the share that is kept.",
        see=UNTRAINED,
    ),
)


@dataclass(frozen=True)
class Finely(Numbers):
    """Several numbers, each with a tolerance of its own."""

    each: tuple[float, ...] = ()

    @property
    def precision(self) -> str:
        """The tolerances in words."""
        return "to within " + ", ".join(f"{within:g}" for within in self.each)

    def far(self, reading: Tensor, right: Tensor) -> Tensor:
        """Which numbers are too far from the right ones."""
        scale = torch.tensor(self.each, dtype=torch.float64)
        return ~close(reading / scale, right / scale, 1.0, 0.0)

    def same(self, reading: Tensor, right: Tensor) -> bool:
        """Whether each number is near enough."""
        return not self.far(reading, right).any()

    def tell(self, reading: Tensor, right: Tensor) -> str:
        """What is said of the first wrong one, and of it alone."""
        place = int(self.far(reading, right).nonzero()[0])
        before = right.clone()
        before[place] = reading[place]
        return Numbers(self.names).tell(before, right)


def around(*numbers: float, within: float = 0.02) -> Callable[[Tensor], bool]:
    """Recognizes numbers near these."""
    return lambda found: all(
        abs(one - other) <= within for one, other in zip(found.tolist(), numbers, strict=True)
    )


def nearly_right(found: Tensor) -> bool:
    """Whether error and correlation are near the right ones, and not quite there."""
    right = Finely(("error", "correlation"), each=ERROR_AND_CORRELATION)
    near = around(0.1573, 0.8135, within=0.025)(found)
    return near and not right.same(found, torch.tensor([0.1573, 0.8135]))


ERROR_AND_CORRELATION = (0.0029, 0.004)


# --- 4: the blocks of a bias --------------------------------------------------------------------


def as_slice(found: Any) -> Any:
    """Start and stop as a slice, from two numbers, a range, or words such as "32:64"."""
    if isinstance(found, str):
        words = re.fullmatch(r"\W*?(-?\d+)\s*:\s*(-?\d+)\W*", found)
        return slice(int(words[1]), int(words[2])) if words else found
    if isinstance(found, range) and found.step == 1:
        return slice(found.start, found.stop)
    if isinstance(found, (tuple, list)) and [type(part) for part in found] == [int, int]:
        return slice(*found)
    return found


def start_and_stop(found: Any, size: int) -> Any:
    """Start and stop of a block of a bias of that size, from its end if they are negative."""
    block = as_slice(found)
    if not isinstance(block, slice) or block.step not in (None, 1):
        return found
    start, stop = block.start or 0, size if block.stop is None else block.stop
    return slice(start, stop).indices(size)[:2] if min(start, stop) < 0 else (start, stop)


@dataclass(frozen=True)
class Block(Two):
    """A function that returns start and stop, or a slice, a range or words for them."""

    def tried(self, function: Callable[..., Any], case: Case, end: float) -> Outcome:
        """The outcome as two numbers."""

        @functools.wraps(function)
        def numbers(*arguments: Any) -> Any:
            return start_and_stop(function(*arguments), 3 * case.arguments["num_hiddens"])

        return super().tried(numbers, case, end)


def block_cases() -> list[Case]:
    """Layers of several widths."""
    return [Case({"num_hiddens": h}, f"{h} units") for h in (32, 5, 1)]


# --- 6: the keepers above a line ----------------------------------------------------------------


@dataclass(frozen=True)
class Units(Function):
    """A function of gates that finds units: their places in any order, or a mask of all."""

    def tried(self, function: Callable[..., Any], case: Case, end: float) -> Outcome:
        """The outcome, its units in ascending order."""

        @functools.wraps(function)
        def listed(*arguments: Any) -> Any:
            found = function(*arguments)
            return sorted(found) if isinstance(found, (set, frozenset)) else found

        outcome = super().tried(listed, case, end)
        if not outcome.trouble and not outcome.numbers:  # an empty list
            outcome.numbers = [torch.zeros(0, dtype=torch.float64)]
        if len(outcome.numbers) == 1 and max(outcome.numbers[0].shape, default=0) == (
            outcome.numbers[0].numel()
        ):
            found, count = outcome.numbers[0].flatten(), case.arguments["Z"].shape[-1]
            if len(found) == count and ((found == 0) | (found == 1)).all():
                found = found.nonzero()[:, 0]
            outcome.numbers = [found.double().sort().values]
        return outcome


def keepers(Z: Tensor, line: float) -> Tensor:
    """The units whose z after step 0 is above the line, as a geometric mean."""
    return (keepers_mean(Z) > line).nonzero()[:, 0]


def keepers_mean(Z: Tensor) -> Tensor:
    """The geometric mean z of each unit after step 0."""
    return Z[1:].log().mean(dim=(0, 1)).exp()


def keeper_cases() -> list[Case]:
    """Nine units, from open to nearly shut; gates move, and step 0 writes."""
    cases = []
    for num_steps, rows, line, seed in ((12, 3, 0.9, 83), (7, 4, 0.75, 84), (30, 2, 0.6, 85)):
        middle = torch.linspace(0.0, 6.0, 9, dtype=torch.float64).flip(0)
        middle = middle[torch.tensor([3, 0, 5, 8, 1, 6, 2, 7, 4])]
        by_row = drawn(1, rows, 9, seed=seed + 10, scale=2)  # rows differ
        Z = torch.sigmoid(middle + by_row + drawn(num_steps, rows, 9, seed=seed, scale=1.5))
        Z[0] = 0.2
        Z[:, :, 3].clamp_(max=0.5)  # one unit is never above the line
        just_above = int(keepers(Z, line)[keepers_mean(Z)[keepers(Z, line)].argmin()])
        Z[-1 if num_steps == 7 else 1, :, just_above] = 0.02  # it opens at an end of the gap
        cases.append(Case({"Z": Z, "line": line}, f"nine units and the line {line}"))
    return cases


def units_by(score: Callable[[Tensor], Tensor]) -> Any:
    """The units whose gates have another score above the line."""
    return lambda Z, line: (score(Z) > line).nonzero()[:, 0]


KEEPERS = (
    Mistake(
        "arithmetic_mean",
        units_by(lambda Z: Z[1:].mean(dim=(0, 1))),
        "This takes the plain mean of the gates. What is left is a product, so that the geometric "
        "mean counts: one open step does more harm than the plain mean tells.",
        see=GATES,
    ),
    Mistake(
        "step_0_counted",
        units_by(lambda Z: Z.log().mean(dim=(0, 1)).exp()),
        "Step 0 is in the mean: there the keepers write, and their gates are open.",
        see=GATES,
    ),
    Mistake(
        "below_the_line",
        lambda Z, line: (Z[1:].log().mean(dim=(0, 1)).exp() < line).nonzero()[:, 0],
        "These are the units below the line, the ones that let new things in. Here z = 1 keeps.",
    ),
    Mistake(
        "never_below_the_line",
        units_by(lambda Z: Z[1:].amin(dim=(0, 1))),
        "These units are above the line at every single step. The line is one for a mean over the "
        "gap.",
        see=GATES,
    ),
    Mistake(
        "once_above_the_line",
        units_by(lambda Z: Z[1:].amax(dim=(0, 1))),
        "These units are above the line at some step. The line is one for a mean over the gap.",
        see=GATES,
    ),
    Mistake(
        "first_sequence_only",
        units_by(lambda Z: Z[1:, 0].log().mean(dim=0).exp()),
        "Only the first sequence is looked at. The mean goes over steps and sequences.",
        see=GATES,
    ),
    Mistake(
        "last_step_only",
        units_by(lambda Z: Z[-1].log().mean(dim=0).exp()),
        "Only the last step is looked at. A keeper keeps through the whole gap.",
        see=GATES,
    ),
    Mistake(
        "last_step_left_out",
        units_by(lambda Z: Z[1:-1].log().mean(dim=(0, 1)).exp()),
        "The last step is not in the mean: Python's `stop` is the first place that is not meant.",
        see=GATES,
    ),
    Mistake(
        "step_1_left_out",
        units_by(lambda Z: Z[2:].log().mean(dim=(0, 1)).exp()),
        "Step 1 is not in the mean. The gap begins right after step 0, where the keepers write.",
        see=GATES,
    ),
    Mistake(
        "how_many",
        lambda Z, line: len(keepers(Z, line)),
        "That is how many they are. Return which ones, as their places.",
        see=GATES,
    ),
    Mistake(
        "their_gates",
        lambda Z, line: keepers_mean(Z)[keepers(Z, line)],
        "That is their z. Return which units they are, as their places.",
        see=GATES,
    ),
    Mistake(
        "counted_from_one",
        lambda Z, line: keepers(Z, line) + 1,
        "Each place is one too large: units count from 0.",
        see=GATES,
    ),
    Mistake(
        "line_of_the_lesson",
        lambda Z, line: keepers(Z, 0.99),
        "The line is fixed at that of the lesson. Take the argument.",
    ),
    Mistake(
        "median",
        units_by(lambda Z: Z[1:].flatten(0, 1).median(dim=0).values),
        "This takes the median of the gates. What is left is a product, so that the geometric "
        "mean counts.",
        see=GATES,
    ),
    Mistake(
        "exponential_left_out",
        units_by(lambda Z: Z[1:].log().mean(dim=(0, 1))),
        "No unit is found. If the mean of the logarithms is compared with the line: it is never "
        "positive, and its exponential is missing.",
        see=GATES,
    ),
    Mistake(
        "all_units_ranked",
        lambda Z, line: keepers_mean(Z).argsort(descending=True),
        "These are all units, in their order. Only those above the line are asked for.",
        see=GATES,
    ),
    Mistake(
        "what_is_left",
        units_by(lambda Z: Z[1:].log().sum(dim=0).mean(dim=0).exp()),
        "This compares what is left after all steps with the line. The line is one for z, a mean "
        "of a single step.",
        see=GATES,
    ),
    Mistake(
        "axes_exchanged",
        units_by(lambda Z: Z[:, 1:].log().mean(dim=(0, 1)).exp()),
        "The first sequence is left out, and step 0 is not: the axes are steps, sequences, units.",
        see=GATES,
    ),
)

# --- 8: both marks early ------------------------------------------------------------------------

ROWS, STEPS, EARLY = 64, 100, 10
FEW = 5  # rows of a second batch

Batch = tuple[Tensor, Tensor, int]  # X, y, and the rows of the second batch


def early_batch(batch_size: int, num_steps: int = STEPS, first: int = EARLY) -> Any:
    """Two different steps of the first ten carry a mark."""
    X = torch.rand(batch_size, num_steps, 2)
    X[:, :, 1] = 0
    places = torch.rand(batch_size, first).argsort(dim=1)[:, :2]
    X[:, :, 1].scatter_(1, places, 1.0)
    return X, (X[:, :, 0] * X[:, :, 1]).sum(dim=1, keepdim=True)


def batch_of(answer: Any) -> Batch:
    """What a function that makes a batch returns for 64 rows, and how many rows for a few."""
    X, y = made_by(answer, ROWS)
    return X, y, len(made_by(answer, FEW)[0])


def made_by(answer: Any, rows: int) -> tuple[Tensor, Tensor]:
    """What a function that makes a batch returns."""
    if not callable(answer):
        raise NotThisKind(
            f"It is {called(answer)}, not a function: hand in its name, without brackets."
        )
    made = call(answer, {"batch_size": rows})
    if made.trouble:
        raise NotThisKind(f"Your function {made.trouble}.")
    if not isinstance(made.value, (tuple, list)) or len(made.value) != 2:
        raise NotThisKind(f"Your function returns {called(made.value)}, not X and y.")
    parts = read_numbers(list(made.value))
    if len(parts) != 2 or parts[0].dim() != 3 or parts[0].shape[2] != 2:
        raise NotThisKind(
            f"X is {called(made.value[0])}; it needs three axes: sequences, steps, and the two of "
            "number and mark."
        )
    return parts[0].double(), parts[1].double()


def early_fault(batch: Batch) -> str:
    """What is wrong with a batch, or nothing."""
    X, y, few = batch
    if X.shape[:2] != (ROWS, STEPS):
        return f"For a batch of {ROWS}, X has {X.shape[0]} sequences of {X.shape[1]} steps."
    if few != FEW:
        return f"For a batch of {FEW}, X has {few} sequences."
    numbers, marks = X.unbind(dim=2)
    if not ((marks == 0) | (marks == 1)).all():
        return "A mark is 1 or 0; yours hold other numbers too."
    if not (marks.sum(dim=1) == 2).all():
        return f"Some sequence has {int(marks.sum(dim=1).min())} marks, or more than two."
    if marks[:, EARLY:].any():
        return "Some mark falls on a step after the first ten."
    if (marks == marks[0]).all():
        return "The marks are in the same places in every sequence."
    unmarked = (marks[:, :EARLY].sum(dim=0) == 0).nonzero().flatten().tolist()
    if unmarked:
        return f"In {ROWS} sequences no mark falls on step {unmarked[-1]}, which is one of the ten."
    if not (numbers.min() >= 0 and numbers.max() <= 1 and 0.2 < numbers.std() < 0.4):
        return "The numbers are not drawn evenly between 0 and 1."
    if y.shape != (ROWS, 1):
        return f"y has the shape {tuple(y.shape)}, expected ({ROWS}, 1), as the model's output has."
    if not torch.allclose(y, marked(batch), atol=1e-5):
        return "y is not the sum of the two numbers that are marked."
    return ""


def marked(batch: Batch) -> Tensor:
    """The sums that are asked for."""
    numbers, marks = batch[0].unbind(dim=2)
    return (numbers * marks).sum(dim=1, keepdim=True)


def with_places(places: Callable[[int], Tensor], num_steps: int = STEPS) -> Callable[[int], Any]:
    """A function that makes a batch with marks in these places, ``(batch_size, 2)``."""

    def batch(batch_size: int) -> Any:
        X = torch.rand(batch_size, num_steps, 2)
        X[:, :, 1] = 0
        X[:, :, 1].scatter_(1, places(batch_size), 1.0)
        return X, (X[:, :, 0] * X[:, :, 1]).sum(dim=1, keepdim=True)

    return batch


def in_halves(batch_size: int) -> Tensor:
    """A place in each half of the sequence."""
    half = STEPS // 2
    return torch.randint(half, (batch_size, 2)) + torch.tensor([0, half])


def with_target(target: Callable[[Tensor], Tensor]) -> Callable[[int], Any]:
    """A function that makes a batch with other targets."""

    def batch(batch_size: int) -> Any:
        X, _ = early_batch(batch_size)
        return X, target(X)

    return batch


def is_target(target: Callable[[Tensor], Tensor]) -> Callable[[Batch], bool]:
    """Recognizes such targets where the sequences are right."""

    def known(batch: Batch) -> bool:
        X, y, few = batch
        wrong = target(X)
        fine = not early_fault((X, marked(batch), few))
        return fine and y.shape == wrong.shape and torch.allclose(y, wrong, atol=1e-5)

    return known


def places_wrong(fault: Callable[[Tensor], Any]) -> Callable[[Batch], bool]:
    """Recognizes marks (of 0 and 1, ``(sequences, steps)``) in wrong places."""

    def known(batch: Batch) -> bool:
        marks = batch[0][:, :, 1]
        return bool(((marks == 0) | (marks == 1)).all()) and bool(fault(marks))

    return known


def two_of(marks: Tensor, start: int, stop: int) -> bool:
    """Whether every sequence has two marks, and all steps from start to stop have some."""
    used = marks.any(dim=0).nonzero().flatten().tolist()
    places = bool((marks != marks[0]).any()) and used == list(range(start, stop))
    return places and bool((marks.sum(dim=1) == 2).all()) and marks.shape[1] == STEPS


def flat(X: Tensor) -> Tensor:
    """The right targets without their last axis."""
    return (X[:, :, 0] * X[:, :, 1]).sum(dim=1)


EARLY_MARKS = (
    Mistake(
        "marks_anywhere",
        lambda: with_places(in_halves),
        "That is the task of the lesson: a mark in each half. Now both fall on the first ten "
        "steps.",
        when=places_wrong(
            lambda marks: (
                marks.shape[1] == STEPS
                and marks[:, : STEPS // 2].any()
                and marks[:, STEPS // 2 :].any()
            )
        ),
    ),
    Mistake(
        "marks_at_the_end",
        lambda: with_places(lambda rows: torch.rand(rows, EARLY).argsort(dim=1)[:, :2] + 90),
        "The marks fall on the last ten steps: the shortest ways of all.",
        when=places_wrong(
            lambda marks: (
                marks.shape[1] == STEPS
                and not marks[:, :-EARLY].any()
                and marks[:, -EARLY:].any().item()
            )
        ),
    ),
    Mistake(
        "two_marks_on_one_step",
        lambda: with_places(lambda rows: torch.randint(EARLY, (rows, 2))),
        "Both marks are drawn on their own, so that now and then they fall on the same step, and "
        "one number is left to add.",
        when=places_wrong(
            lambda marks: (
                not marks[:, EARLY:].any()
                and {1, 2} == set(marks.sum(dim=1).tolist())
                and marks.shape[1] == STEPS
            )
        ),
    ),
    Mistake(
        "short_sequences",
        lambda: with_places(lambda rows: torch.rand(rows, EARLY).argsort(dim=1)[:, :2], EARLY),
        "The sequences end with the tenth step. The ninety distractors after it are what makes "
        "the way long.",
        when=lambda batch: batch[0].shape[1] == EARLY,
    ),
    Mistake(
        "same_places_in_every_sequence",
        lambda: with_places(lambda rows: torch.tensor([[2, 7]]).expand(rows, 2)),
        "The marks are drawn once for the whole batch. Each sequence needs places of its own.",
        when=places_wrong(
            lambda marks: (
                marks.shape[1] == STEPS
                and not marks[:, EARLY:].any()
                and marks[0].sum().item() == 2
                and (marks == marks[0]).all().item()
            )
        ),
    ),
    Mistake(
        "marks_not_cleared",
        lambda: with_marks_left,
        "The second channel still holds the random numbers it was made with: a mark is 1, and "
        "where there is none stands 0.",
        when=lambda batch: bool(((batch[0][:, :, 1] > 0) & (batch[0][:, :, 1] < 1)).any()),
    ),
    Mistake(
        "first_nine",
        lambda: with_places(lambda rows: torch.rand(rows, EARLY - 1).argsort(dim=1)[:, :2]),
        "No mark ever falls on the last of the ten steps: `torch.randint(9, ...)` ends with 8.",
        when=places_wrong(lambda marks: two_of(marks, 0, EARLY - 1)),
    ),
    Mistake(
        "never_step_0",
        lambda: with_places(lambda rows: 1 + torch.rand(rows, EARLY - 1).argsort(dim=1)[:, :2]),
        "No mark ever falls on step 0, which is the first of the ten.",
        when=places_wrong(lambda marks: two_of(marks, 1, EARLY)),
    ),
    Mistake(
        "first_eleven",
        lambda: with_places(lambda rows: torch.rand(rows, EARLY + 1).argsort(dim=1)[:, :2]),
        "Some mark falls on step 10, the eleventh: steps count from 0.",
        when=places_wrong(lambda marks: two_of(marks, 0, EARLY + 1)),
    ),
    Mistake(
        "batch_size_ignored",
        lambda: lambda batch_size: early_batch(ROWS),
        "However large a batch is asked for, as many sequences come: nothing depends on "
        "`batch_size`.",
        when=lambda batch: batch[2] == len(batch[0]) != FEW,
    ),
    Mistake(
        "flat_targets",
        lambda: with_target(flat),
        "The targets have one axis, the model's output has two: `mse_loss` would compare each "
        "answer with every target.",
        when=is_target(flat),
    ),
    Mistake(
        "mean_of_the_two",
        lambda: with_target(lambda X: flat(X)[:, None] / 2),
        "The target is the mean of the two marked numbers. What is asked for is their sum.",
        when=is_target(lambda X: flat(X)[:, None] / 2),
    ),
    Mistake(
        "sum_of_the_first_ten",
        lambda: with_target(lambda X: X[:, :EARLY, 0].sum(dim=1, keepdim=True)),
        "The target adds all of the first ten numbers, marked or not.",
        when=is_target(lambda X: X[:, :EARLY, 0].sum(dim=1, keepdim=True)),
    ),
    Mistake(
        "sum_of_all",
        lambda: with_target(lambda X: X[:, :, 0].sum(dim=1, keepdim=True)),
        "The target adds all numbers of the sequence, marked or not.",
        when=is_target(lambda X: X[:, :, 0].sum(dim=1, keepdim=True)),
    ),
)


def with_marks_left(batch_size: int) -> Any:
    """Marks written over random numbers that were never cleared."""
    X = torch.rand(batch_size, STEPS, 2)
    places = torch.rand(batch_size, EARLY).argsort(dim=1)[:, :2]
    X[:, :, 1].scatter_(1, places, 1.0)
    return X, X[:, :, 0].gather(1, places).sum(dim=1, keepdim=True)


# --- 9: symbols -------------------------------------------------------------------------------

SYMBOLS = tuple("ABCDEFGH")


def half_life(z: float) -> float:
    """Steps until half of a state is left."""
    return math.log(0.5) / math.log(z)


def sigmoid(a: float) -> float:
    """The logistic function of one number."""
    return 1 / (1 + math.exp(-a))


EXERCISES = (
    Exercise(
        "08.1a",
        "a function of k that returns z and b_z",
        Two(half_cases, absolute=1e-4, relative=1e-3, results=("z", "b_z")),
        gate_for,
        "The bias grows with the logarithm of the steps: long memory is cheap to ask for.",
        UNTRAINED,
        HALF,
    ),
    Exercise(
        "08.1b",
        "by how much the bias grows for a memory ten times as long, from 100 steps to 1,000",
        number("the growth", absolute=0.03),
        lambda: gate_for(1000)[1] - gate_for(100)[1],
        "For large k the bias is nearly ln(k / ln 2), so that every factor in k is a sum in b_z.",
        UNTRAINED,
        (
            Mistake(
                "ratio_of_the_biases",
                lambda: gate_for(1000)[1] / gate_for(100)[1],
                "That is the one bias over the other. Take their difference: it is the same "
                "for every large k.",
            ),
            Mistake(
                "base_10",
                1.0,
                "That is a logarithm to the base 10. The sigmoid has e in it.",
                when=lambda found: bool(-0.03 < found[0] - 1 <= 0.004 or 1.01 <= found[0] < 1.03),
            ),
            Mistake(
                "base_2",
                math.log2(10),
                "That is a logarithm to the base 2. The sigmoid has e in it.",
            ),
            Mistake("factor_ten", 10.0, "The memory grows by that factor. The bias does not."),
            Mistake(
                "ten_times_the_bias",
                lambda: 9 * gate_for(100)[1],
                "With ten times the bias the gate is far nearer to 1 than ten times the memory "
                "asks for.",
            ),
            Mistake(
                "new_bias",
                lambda: gate_for(1000)[1],
                "That is the bias for 1,000 steps. By how much does it differ from that for 100?",
            ),
            Mistake(
                "old_bias",
                lambda: gate_for(100)[1],
                "That is the bias for 100 steps. By how much does that for 1,000 differ from it?",
            ),
            Mistake(
                "ratio_of_the_gates",
                lambda: gate_for(1000)[0] / gate_for(100)[0],
                "That is the one z over the other. Take the difference of the biases.",
                when=lambda found: bool(1.004 < found[0] < 1.01),
            ),
            Mistake(
                "growth_of_z",
                lambda: gate_for(1000)[0] - gate_for(100)[0],
                "That is by how much z grows. The bias is what the sigmoid makes z of.",
            ),
            Mistake(
                "wrong_sign",
                lambda: gate_for(100)[1] - gate_for(1000)[1],
                "The size is right. Is the bias larger or smaller for the longer memory?",
            ),
        ),
    ),
    Exercise(
        "08.2",
        "how many times as much of the first number a gate of one half leaves after 30 steps as "
        "after 100",
        number("the factor", relative=0.2),
        2.0**70,
        "A billionth is little, and a gradient to learn from; a millionth of a billionth of that "
        "is none.",
        UNTRAINED,
        (
            Mistake(
                "steps_apart",
                70.0,
                "By so many steps the two gaps differ. And what does each step do to what is left?",
            ),
            Mistake(
                "one_step_short",
                2.0**69,
                "That is one step short. Count the steps between the two gaps.",
            ),
            Mistake(
                "one_step_too_many",
                2.0**71,
                "That is one step too many. Count the steps between the two gaps.",
            ),
            Mistake(
                "share_after_100",
                2.0**-100,
                "That is what 100 steps leave. How many times as much do 30 leave?",
            ),
            Mistake(
                "ratio_of_the_gaps",
                100 / 30,
                "That is the one gap over the other. A share is lost at each step, not an amount.",
            ),
            Mistake(
                "other_way_round",
                2.0**-70,
                "That is what is left after 100 steps over what is left after 30.",
            ),
            Mistake(
                "share_after_30",
                2.0**-30,
                "That is what 30 steps leave (and the difference, too). How many times as much is "
                "it as what 100 steps leave?",
            ),
            Mistake(
                "one_over_share_after_30",
                2.0**30,
                "That is the first number over what 30 steps leave of it. Compare what the two "
                "gaps leave.",
            ),
            Mistake(
                "bias_2",
                lambda: sigmoid(2.0) ** -70,
                "That is the factor with a bias of 2. With PyTorch's bias a gate is near one half.",
            ),
            Mistake(
                "base_e",
                lambda: math.exp(70),
                "A gate of one half leaves 1/2 at each step, not 1/e.",
            ),
        ),
    ),
    Exercise(
        "08.3a",
        "a function of Z and step, the gates (num_steps, num_keepers) and the step where z is held "
        "at 0.5, that returns which share of each keeper's state after step 0 is left at the end",
        Function(gate_cases, absolute=0.0, relative=1e-3),
        left_after,
        "One open step is one factor of one half in a long product: much, and not everything.",
        PROOF,
        SHARE_LEFT,
    ),
    Exercise(
        "08.3b",
        'error and correlation of `load_memory("number")` on the lesson\'s X and y, with its '
        "keepers' z at 0.5 at the single step 50",
        Finely(("error", "correlation"), each=ERROR_AND_CORRELATION),
        (0.1573, 0.8135),
        "The error is worse than that of a guess, and still the answers follow the number: they "
        "are shifted, and less exact.",
        PROOF,
        (
            Mistake(
                "order_exchanged",
                (0.8135, 0.157),
                "Both are right, but the error comes first.",
            ),
            Mistake(
                "nothing_held",
                (0.0001, 0.9996),
                "So good is the model with nothing held. Does the clamp stop after the step that "
                "it starts with? And which value does it hold?",
                when=lambda found: bool(found[0] < 0.01 and found[1] > 0.99),
            ),
            Mistake(
                "all_steps_open",
                (0.33, -0.0133),
                "With one open step more is left: here the keepers are open from step 1 to the "
                "end.",
                when=around(0.33, -0.0133, within=0.006),
            ),
            Mistake(
                "open_until_there",
                (0.3443, -0.0145),
                "Here the keepers are open from the first step up to 50, where a single one is "
                "to be held.",
                when=around(0.3443, -0.0145, within=0.006),
            ),
            Mistake(
                "open_from_there_on",
                (0.3517, -0.0641),
                "Here the keepers are open from step 50 to the end: a clamp without `stop` does "
                "so.",
                when=lambda found: abs(found[0] - 0.3517) < 0.01 and abs(found[1] + 0.0641) < 0.025,
            ),
            Mistake(
                "every_unit_open",
                (0.2194, 0.7799),
                "Here all 32 units are open at step 50, not the keepers alone.",
                when=around(0.2194, 0.7799, within=0.015),
            ),
            Mistake(
                "gates_at_zero",
                (0.5124, 0.1831),
                "Here the keepers are held at 0, and the whole state of each is replaced.",
                when=around(0.5124, 0.1831),
            ),
            Mistake(
                "other_units",
                (0.0117, 0.9992),
                "Here the units that are no keepers are open at step 50.",
                when=around(0.0117, 0.9992, within=0.0012),
            ),
            Mistake(
                "step_next_to_it",
                (0.1605, 0.8179),
                "Very near. Is it step 50, counted from 0, and are X and y those of the lesson, "
                "drawn after `torch.manual_seed(99)`?",
                when=nearly_right,
            ),
            Mistake(
                "one_digit",
                (0.2, 0.8),
                "That is rounded to one digit, and tells too little: hand in more digits.",
            ),
            Mistake(
                "correlation_squared",
                (0.1573, 0.6619),
                "The error is right. The correlation has been squared.",
            ),
            Mistake(
                "two_keepers_only",
                (0.0294, 0.9752),
                "Here only the first two of the keepers are open. Count those above 0.99.",
                when=lambda found: bool(0.01 < found[0] < 0.06 and 0.94 < found[1] < 0.99),
            ),
            Mistake(
                "root_of_the_error",
                (0.157**0.5, 0.8135),
                "The correlation is right. The error is the mean of the squares, without a root.",
            ),
        ),
    ),
    Exercise(
        "08.4a",
        "what the friend's line changes",
        Choice(("the update gate", "the reset gate", "the candidate", "nothing")),
        "the reset gate",
        "The gates are stacked as r, z, n, and the first block belongs to r.",
        "05: What nn.GRU is",
        (
            Mistake(
                "update_gate",
                "the update gate",
                "Then the bias would have made a difference. In which order does PyTorch stack "
                "the gates?",
            ),
            Mistake(
                "candidate",
                "the candidate",
                "The candidate is one of three blocks. Is it the first?",
            ),
            Mistake(
                "nothing",
                "nothing",
                "The line does write into the bias: look at it. Only the update gate stays where "
                "it was.",
            ),
        ),
    ),
    Exercise(
        "08.4b",
        "a function of num_hiddens that returns start and stop, where `b_x[start:stop] = 2` sets "
        "the bias of the update gate",
        Block(block_cases, results=("start", "stop")),
        lambda num_hiddens: (num_hiddens, 2 * num_hiddens),
        "`set_gate_bias` does the same, and sets the second bias to 0, since both are added.",
        "05: What nn.GRU is",
        (
            Mistake(
                "friends_block",
                lambda num_hiddens: (0, num_hiddens),
                "That is the friend's line. Which gate comes first in PyTorch?",
            ),
            Mistake(
                "32_units_always",
                lambda num_hiddens: (32, 64),
                "That is the block of a layer with 32 units. Here the layer may have any width.",
            ),
            Mistake(
                "last_block",
                lambda num_hiddens: (2 * num_hiddens, 3 * num_hiddens),
                "That block belongs to the candidate.",
            ),
            Mistake(
                "to_the_end",
                lambda num_hiddens: (num_hiddens, 3 * num_hiddens),
                "That sets two blocks: the candidate's bias becomes 2 as well.",
            ),
            Mistake(
                "last_row_left_out",
                lambda num_hiddens: (num_hiddens, 2 * num_hiddens - 1),
                "One unit is left out: Python's `stop` is the first place that is not meant.",
            ),
            Mistake(
                "counted_from_one",
                lambda num_hiddens: (num_hiddens + 1, 2 * num_hiddens),
                "One unit is left out: Python counts places from 0.",
            ),
            Mistake(
                "one_too_far",
                lambda num_hiddens: (num_hiddens + 1, 2 * num_hiddens + 1),
                "The block begins one place too far: Python counts places from 0.",
            ),
            Mistake(
                "start_and_length",
                lambda num_hiddens: (num_hiddens, num_hiddens),
                "The second number is the length of the block. A slice needs the place where it "
                "stops.",
            ),
        ),
    ),
    Exercise(
        "08.5",
        "the half-life at a bias of 4, in steps",
        number("the half-life", absolute=0.4),
        lambda: half_life(sigmoid(4.0)),
        "A unit then keeps for dozens of steps before any training, and writes little at each.",
        UNTRAINED,
        (
            Mistake(
                "one_over_e",
                lambda: -1 / math.log(sigmoid(4.0)),
                "After that many steps 1/e is left. A half-life asks for one half.",
            ),
            Mistake(
                "one_over_share",
                lambda: 1 / (1 - sigmoid(4.0)),
                "That is one over the share that is written: near the time to 1/e, not to one "
                "half.",
            ),
            Mistake(
                "e_to_the_bias",
                lambda: math.exp(4.0),
                "That is e to the power of the bias, z / (1 - z). How many steps is it until one "
                "half is left?",
            ),
            Mistake(
                "gate",
                lambda: sigmoid(4.0),
                "That is z itself. After how many such steps is one half left?",
                when=lambda found: bool(0.975 < found[0] < 0.99),
            ),
            Mistake(
                "bias_3",
                lambda: half_life(sigmoid(3.0)),
                "That is the half-life at a bias of 3.",
            ),
            Mistake(
                "bias_5",
                lambda: half_life(sigmoid(5.0)),
                "That is the half-life at a bias of 5.",
            ),
            Mistake(
                "left_after_100_steps",
                lambda: sigmoid(4.0) ** 100,
                "That is what 100 steps leave. After how many is one half left?",
                when=lambda found: bool(0.16 <= found[0] <= 0.166),
            ),
            Mistake(
                "upside_down",
                lambda: math.log(sigmoid(4.0)) / math.log(0.5),
                "That is upside down: one over the number of steps.",
                when=lambda found: bool(0.025 < found[0] < 0.027),
            ),
            Mistake(
                "wrong_sign",
                lambda: -half_life(sigmoid(4.0)),
                "The size is right. A number of steps is positive.",
            ),
            Mistake(
                "two_bases",
                lambda: math.log10(0.5) / math.log(sigmoid(4.0)),
                "Above and below stand logarithms to different bases. Take the same for both.",
            ),
            Mistake(
                "same_amount_each_step",
                lambda: 0.5 / (1 - sigmoid(4.0)),
                "A state does not lose the same amount at each step, but the same share.",
            ),
            Mistake(
                "bias_2",
                lambda: half_life(sigmoid(2.0)),
                "That is the half-life at a bias of 2.",
            ),
            Mistake(
                "bias_twice",
                lambda: half_life(sigmoid(8.0)),
                "That is the half-life at 8: the two biases of `nn.GRU` are added, and one of them "
                "has to be 0.",
            ),
            Mistake(
                "written_share",
                lambda: half_life(sigmoid(-4.0)),
                "That is the half-life of 1 - z. Here z = 1 keeps.",
                when=lambda found: bool(0.168 < found[0] < 0.18),
            ),
            Mistake(
                "tanh_for_sigmoid",
                lambda: half_life(math.tanh(4.0)),
                "A gate is the sigmoid of its bias. This z comes from tanh.",
            ),
        ),
    ),
    Exercise(
        "08.6",
        "a function of Z and line that returns the units whose z is above the line through the gap "
        "(steps 1 to the last, geometric mean); Z is (num_steps, batch_size, num_hiddens)",
        Units(keeper_cases, results=("the units",)),
        keepers,
        "The line is ours. Lower it, and open as many other units as a control each time.",
        PROOF,
        KEEPERS,
    ),
    Exercise(
        "08.7a",
        'three numbers for `load_memory("number")` on the lesson\'s X: the mean z of its keepers '
        "at step 0, at step 0 without its mark, and at step 50 with a second mark",
        Finely(("step 0", "step 0 without mark", "second mark"), each=(0.03, 0.03, 0.004)),
        (0.504, 0.869, 0.9939),
        "At the second mark the keepers stay shut: it takes the mark and the empty state to open "
        "them.",
        GATES,
        (
            Mistake(
                "every_unit",
                (0.663, 0.8516, 0.8789),
                "These are means over all 32 units. The keepers are those above the lesson's line.",
            ),
            Mistake(
                "other_units",
                (0.716, 0.846, 0.841),
                "These are means over the units that are no keepers.",
            ),
            Mistake(
                "written_shares",
                (0.496, 0.131, 0.006),
                "These are 1 - z. Here z = 1 keeps.",
            ),
            Mistake(
                "means_over_all_steps",
                (0.9936, 0.9864, 0.9938),
                "These are means over all steps, or of one late step. The question is about single "
                "steps: 0, 0 and 50.",
            ),
            Mistake(
                "mark_moved",
                (0.504, 0.869, 0.954),
                "The first two are right. For the third, step 0 has to keep its mark: the one at "
                "step 50 is a second one.",
            ),
            Mistake(
                "mark_kept_at_step_0",
                (0.504, 0.504, 0.994),
                "The second is z with the mark still there. Set `X[:, 0, 1]` to 0 in a copy.",
            ),
            Mistake(
                "backwards",
                (0.994, 0.869, 0.504),
                "The numbers are right, in the wrong order: step 0, step 0 without its mark, step "
                "50.",
            ),
            Mistake(
                "last_two_exchanged",
                (0.504, 0.9939, 0.869),
                "The numbers are right. Compare their order with that of the question.",
            ),
            Mistake(
                "first_sequence_only",
                (0.5393, 0.8841, 0.9894),
                "Is that the first sequence alone? The mean goes over all of them.",
                when=around(0.5393, 0.8841, 0.9894, within=0.003),
            ),
            Mistake(
                "no_second_mark",
                (0.504, 0.869, 0.9989),
                "The first two are right. The third is z where no mark is: set `X[:, 50, 1]` to 1 "
                "in a copy, and look at step 50, counted from 0.",
                when=lambda found: (
                    around(0.504, 0.869, 0.9989, within=0.007)(found) and bool(found[2] > 0.998)
                ),
            ),
            Mistake(
                "best_unit",
                (0.5242, 0.8786, 0.9998),
                "Is that the best keeper alone? The mean goes over all above the line.",
                when=lambda found: (
                    around(0.5242, 0.8786, 0.9998, within=0.008)(found) and bool(found[2] > 0.998)
                ),
            ),
        ),
    ),
    Exercise(
        "08.7b",
        "two correlations of the same model's answers, with a second mark at step 50: with the "
        "first number, and with the number at step 50",
        Numbers(("with the first", "with the second"), absolute=0.1),
        (0.9996, 0.063),
        "The model was never asked to write twice, and has not learned that a mark means *write*.",
        PROOF,
        (
            Mistake(
                "order_exchanged",
                (0.063, 0.9996),
                "That would be a model that follows the second mark. Which number is which?",
            ),
            Mistake(
                "mark_moved",
                (0.602, 0.343),
                "Here step 0 has lost its mark. Both marks are to be there.",
            ),
            Mistake(
                "errors",
                (0.003, 0.147),
                "These are mean squared errors. Correlations are asked for.",
                when=lambda found: abs(found[0] - 0.003) < 0.01 and abs(found[1] - 0.147) < 0.03,
            ),
            Mistake(
                "twice_the_same",
                (0.9996, 0.9996),
                "Both are the correlation with the first number. The second is `X[:, 50, 0]`.",
            ),
            Mistake(
                "sign",
                (-0.9996, -0.063),
                "A correlation of that sign would mean that the answers fall where the number "
                "rises.",
            ),
        ),
    ),
    Exercise(
        "08.8",
        "a function of batch_size that returns X and y, for sequences of 100 steps with both marks "
        "among the first ten",
        Built(batch_of, early_fault),
        lambda: early_batch,
        "The task has no short ways any more. Whether it became harder, training tells.",
        "Adding: two numbers from a hundred",
        EARLY_MARKS,
    ),
    Exercise(
        "08.9a",
        "the symbols that `symbol_chrono` loses with every z at 0 for the whole gap",
        Names(SYMBOLS),
        ("G",),
        "The other seven live in the recurrent weights, and are as safe as before.",
        "Name a symbol",
        (
            Mistake(
                "other_model",
                ("B", "D", "E", "F", "G", "H"),
                "That is the model that was trained with a bias of 2. Take the one from chrono "
                "initialization.",
            ),
            Mistake(
                "kept_ones",
                ("A", "B", "C", "D", "E", "F", "H"),
                "These are the ones that it still names.",
            ),
            Mistake(
                "none",
                (),
                "Nothing is lost if nothing is held, or if every z is held at 1. Which value lets "
                "a state go?",
            ),
            Mistake(
                "what_it_says_instead",
                ("C",),
                "That is what the model says. Which symbol was it asked for?",
            ),
            Mistake(
                "both",
                ("C", "G"),
                "One of them is only said in place of the other, and right where it is asked for.",
            ),
            Mistake(
                "reset_gates_held",
                ("A", "B", "C", "D", "E", "H"),
                "That happens if every r is held at 0. Hold Z.",
            ),
            Mistake("all", SYMBOLS, "Count each symbol alone: most of them survive."),
        ),
    ),
    Exercise(
        "08.9b",
        "what it says instead",
        Choice(SYMBOLS),
        "C",
        "The two symbols have one place in the state: where one is kept, the other falls in.",
        "Name a symbol",
        (
            Mistake(
                "step_0_held_too",
                "E",
                "So it is if z is held at step 0 as well, where the symbol is written. The gap "
                "begins at step 1.",
            ),
            Mistake(
                "the_lost_symbol",
                "G",
                "That is the symbol that it loses. What does it name in its place?",
            ),
        ),
    ),
    Exercise(
        "08.9c",
        "the smallest number of open steps, counted from step 1, after which less than half of "
        "the lost symbol's sequences are named right",
        number("the number of steps", absolute=0.1),
        3,
        "A few steps decide; for the other symbols a hundred change nothing.",
        "Name a symbol",
        (
            Mistake(
                "stop_of_the_clamp",
                4,
                "From step 1 on, a clamp holds as many steps as `stop - start` tells.",
            ),
            Mistake(
                "one_too_few",
                2,
                "Count the open steps again, and after them the sequences that are named right.",
            ),
            Mistake("one_step", 1, "After one open step all of them are still right."),
            Mistake(
                "none_right",
                19,
                "After so many none is right any more. When is it less than half?",
                when=lambda found: bool(15 <= found[0] <= 50),
            ),
            Mistake(
                "whole_gap",
                100,
                "It is lost long before the end of the gap. Let `stop` grow from 2 on.",
                when=lambda found: bool(99 <= found[0] <= 102),
            ),
        ),
    ),
)
