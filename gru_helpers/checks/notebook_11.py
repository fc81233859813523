"""The exercises of notebook 11, Speed and scale."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .core import Exercise, Mistake
from .kinds import Between, Case, Function, Names, Numbers, number
from .samples import drawn

Row = dict[str, Any]
TIME, HONEST, PROCESSES = "Where the time goes", "The honest race", "More than one process"

# --- 1: what the record says --------------------------------------------------------------------

TAUGHT, TORCH, FAST, AFTER = "taught loop", "nn.GRU", "fast GRU", "fast, after"
BOUND = "lower bound"
SIZE = ("num_steps", "batch_size", "num_hiddens")
ENDS = ("largest", "smallest")
PAIRS = ((TAUGHT, FAST), (TORCH, FAST), (TORCH, AFTER), (FAST, BOUND))


def timed(size: tuple[int, int, int], *milliseconds: float) -> Row:
    """A case as in the record; its ratios are those of its medians."""
    seconds = dict(
        zip((TAUGHT, TORCH, FAST, AFTER, BOUND), (ms / 1000 for ms in milliseconds), strict=True)
    )
    return {
        **dict(zip(SIZE, size, strict=True)),
        "vocab_size": 28,
        "rounds": 101,
        "seconds": {
            name: {"median": s, "quartiles": [(0.95 - 0.1 * place) * s, (1.1 + 0.1 * place) * s]}
            for place, (name, s) in enumerate(seconds.items())
        },
        "ratios": {f"{a} / {b}": seconds[a] / seconds[b] for a, b in PAIRS},
    }


def record_cases() -> list[Case]:
    """Times that were made up, of sizes that are in no order."""
    cases = [
        timed((35, 32, 256), 17.0, 14.0, 10.0, 9.0, 5.0),
        timed((10, 2, 64), 8.0, 5.0, 3.0, 3.3, 0.75),
        timed((20, 32, 1024), 150.0, 140.0, 100.0, 96.0, 80.0),
    ]
    return [
        Case({"cases": cases[:1]}, "one size"),
        Case({"cases": cases}, "three sizes, with times that were made up"),
    ]


def ratio_of(one: str, other: str) -> Callable[[Sequence[Row]], list[float]]:
    """A function that gives the ratio of two medians in each case."""

    def ratios(cases: Sequence[Row]) -> list[float]:
        seconds = [case["seconds"] for case in cases]
        return [s[one]["median"] / s[other]["median"] for s in seconds]

    return ratios


@dataclass(frozen=True)
class Sizes(Numbers):
    """Sizes as three numbers each, or as the cases of the record that have them."""

    def read(self, answer: Any) -> Tensor:
        """The numbers of all sizes in a row."""
        if isinstance(answer, (list, tuple)):
            answer = [
                [part[name] for name in SIZE]
                if isinstance(part, Mapping) and set(SIZE) <= set(part)
                else part
                for part in answer
            ]
        return super().read(answer)


def in_another_order(sizes: Tensor) -> bool:
    """Whether these are the right sizes, with steps, rows and units exchanged in both."""
    right = torch.tensor([[35, 32, 64], [35, 32, 1024]], dtype=torch.float64)
    orders = list(itertools.permutations(range(3)))[1:]
    return any(torch.equal(sizes.view(2, 3)[:, list(order)], right) for order in orders)


possible_gains = ratio_of(FAST, BOUND)


def after(change: Callable[[list[float]], Any]) -> Callable[[Sequence[Row]], Any]:
    """The right gains with something done to them."""
    return lambda cases: change(possible_gains(cases))


# --- 2: one product at the end ------------------------------------------------------------------


def product_cases() -> list[Case]:
    """One row and several; two axes of size 1 would hide what is wrong."""
    return [
        Case(
            {"inputs": drawn(5, rows, 3, seed=1), "slopes": drawn(5, rows, 4, seed=2)},
            "one row" if rows == 1 else f"{rows} rows",
        )
        for rows in (1, 2)
    ]


def at_once(inputs: Tensor, slopes: Tensor) -> Tensor:
    """The gradient of the matrix, as one product."""
    return inputs.flatten(0, 1).T @ slopes.flatten(0, 1)


# --- 3: two ways to compare ---------------------------------------------------------------------


def rounds_cases() -> list[Case]:
    """Odd numbers of rounds: there every median is one of the times."""
    slow = torch.tensor([1.0, 1.5, 1.0, 1.5, 1.5, 1.0, 1.5], dtype=torch.float64)
    torn = torch.tensor([1.0, 1.5, 1.0, 1.0, 1.5, 1.0, 1.0], dtype=torch.float64)
    noise = 1 + 0.01 * torch.tensor([3, 1, 4, 1.5, 5, 9, 2], dtype=torch.float64)
    steady = Case({"a": 1.3 * noise, "b": noise.flip(0)}, "a steady machine")
    torn_rounds = Case(
        {"a": 1.3 * slow * noise, "b": torn * noise.flip(0)},
        "a machine that is slow now and then, sometimes for one program only",
    )
    return [steady, torn_rounds]


def both_ratios(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The median of ratios and the ratio of medians."""
    return (a / b).median(), a.median() / b.median()


# --- 6: choosing, and reporting -----------------------------------------------------------------


def probabilities(ids: Tensor, right: Tensor, seed: int) -> Tensor:
    """Probabilities of four tokens, where what came has the probability ``right``."""
    others = drawn(len(ids) - 1, 4, seed=seed).exp()
    came = torch.zeros_like(others).scatter(1, ids[1:, None], 1.0)
    others = others * (1 - came)
    return right[:, None] * came + (1 - right[:, None]) * others / others.sum(1, keepdim=True)


def mixture_cases() -> list[Case]:
    """Two parts of nine places: in one the GRU should weigh more, in the other the counts."""
    arguments: dict[str, Any] = {}
    places = torch.arange(9, dtype=torch.float64)
    for part, ahead, seed in (("dev", 6, 1), ("heldout", 3, 5)):
        ids = drawn(10, seed=seed + 20).abs().mul(10).long() % 4
        gru = torch.where(places < ahead, 0.7 + 0.02 * places, 0.03 + 0.01 * places)
        counts = torch.where(places < ahead, 0.05 + 0.01 * places, 0.85 - 0.03 * places)
        arguments[f"p_{part}"] = probabilities(ids, gru, seed)
        arguments[f"q_{part}"] = probabilities(ids, counts, seed + 1)
        arguments[part] = ids
    return [Case(arguments, "two short parts")]


def perplexity(came: Tensor) -> Tensor:
    """The perplexity, from the probabilities of what came along the last axis."""
    return came.log().mean(-1).neg().exp()


def mixed(p: Tensor, q: Tensor, w: Tensor) -> Tensor:
    """The mixture in which ``p`` has the weight w."""
    return w * p + (1 - w) * q


def mixed_on(part: int, came: Sequence[Tensor], w: Any) -> Tensor:
    """The perplexity of the mixture on the development part, 0, or on the held-out part, 1."""
    return perplexity(mixed(came[2 * part], came[2 * part + 1], w))


def reported(**changes: Any) -> Any:
    """A function of both parts that reports two perplexities, with something wrong in it."""
    mix, choose = changes.get("mix", mixed), changes.get("choose", torch.argmin)
    apply, measure = changes.get("apply", mix), changes.get("measure", perplexity)
    asked = changes.get("asked", lambda ids: ids[1:])
    steps = changes.get("steps", 100)
    finish = changes.get("finish", lambda came, weights, shown: shown)

    def report(
        p_dev: Tensor, q_dev: Tensor, dev: Tensor, p_held: Tensor, q_held: Tensor, held: Tensor
    ) -> Any:
        pairs = ((p_dev, dev), (q_dev, dev), (p_held, held), (q_held, held))
        came = [p.gather(1, asked(ids)[:, None])[:, 0] for p, ids in pairs]
        grid = torch.arange(steps + 1, dtype=torch.float64)[:, None] / steps
        weights = [grid[choose(measure(mix(p, q, grid)))] for p, q in (came[:2], came[2:])]
        return finish(came, weights, [measure(apply(*came[2:], w)) for w in weights])

    return report


def geometric(p: Tensor, q: Tensor, w: Tensor) -> Tensor:
    """The geometric mean, which is no mixture."""
    return p**w * q ** (1 - w)


def line(label: str, minibatches: int, seconds: float, *columns: float, spread: float = 0) -> Row:
    """A line as in the record; with a spread, the median of three seeds."""
    names = ("training", "development", "heldout", "mixed")
    found = dict(zip(names, columns, strict=True))
    every = [found["heldout"] + shift for shift in ((0, -spread, spread) if spread else (0,))]
    return {
        "label": label,
        "minibatches": minibatches,
        "seeds": len(every),
        "seconds": seconds,
        **found,
        "weight": 0.5,
        "every_heldout": every,
    }


def lines_cases() -> list[Case]:
    """A record that was made up: the two columns choose differently.

    As in the record itself, the slowest line is not the longest run.
    """
    log = [
        line("plain", 2000, 60.0, 2.5, 6.3, 5.8, 4.06),
        line("dropped", 2000, 62.0, 3.6, 4.62, 4.27, 3.91),
        line("higher", 2000, 61.0, 3.5, 4.40, 4.36, 3.90, spread=0.04),
        line("three minutes", 7000, 180.0, 3.2, 4.2, 4.0, 3.8, spread=0.01),
    ]
    others = [
        line("nothing hidden", 2000, 60.0, 3.4, 4.43, 4.29, 3.93),
        line("64 rows", 1000, 55.0, 3.9, 4.58, 4.17, 3.97, spread=0.03),
        line("two layers", 2000, 900.0, 3.8, 4.71, 4.33, 3.87),
    ]
    return [Case({"log": log, "others": others}, "a record that was made up")]


def chosen(
    by: tuple[str, str] = ("development", "heldout"),
    shown: str | tuple[str, str] = "heldout",
    rows: Callable[[list[Row], list[Row]], list[Row]] = lambda log, others: log[:-1] + others,
    choose: Any = min,
) -> Any:
    """A function of the lines that reports what each column's choice reaches."""
    columns = (shown, shown) if isinstance(shown, str) else shown

    def report(log: list[Row], others: list[Row]) -> list[float]:
        lines = rows(log, others)
        picks = [choose(lines, key=lambda row, name=name: row[name]) for name in by]
        return [pick[column] for pick, column in zip(picks, columns, strict=True)]

    return report


# --- 7: unequal shares --------------------------------------------------------------------------


def share_cases() -> list[Case]:
    """Two shares as in the exercise, equal ones, and three."""
    cases = []
    for rows in ((20, 12), (16, 16), (1, 2, 5)):
        gradients = [drawn(3, 2, seed=30 + place) for place in range(len(rows))]
        words = f"shares of {', '.join(map(str, rows[:-1]))} and {rows[-1]} rows"
        cases.append(Case({"gradients": gradients, "rows": list(rows)}, words))
    return cases


def weighted(weights: Callable[[list[int]], list[float]]) -> Any:
    """A function that adds up the gradients with these weights."""

    def average(gradients: list[Tensor], rows: list[int]) -> Any:
        parts = zip(weights(rows), gradients, strict=True)
        return torch.stack([weight * gradient for weight, gradient in parts]).sum(0)

    return average


def factor_cases() -> list[Case]:
    """The rows alone."""
    return [Case({"rows": case.arguments["rows"]}, case.words) for case in share_cases()]


def factors(rows: list[int]) -> list[float]:
    """The factors on the losses after which a plain mean is right."""
    return [count * len(rows) / sum(rows) for count in rows]


EXERCISES = (
    Exercise(
        "11.1a",
        'a function of the cases, as in `read_record("bench")["cases"]`, that returns for each '
        "how many times as fast the fast GRU would be",
        Function(record_cases, relative=1e-3),
        possible_gains,
        "The lower bound is the time of the products alone: nobody gets below it in this way.",
        TIME,
        (
            Mistake(
                "share_of_the_products",
                ratio_of(BOUND, FAST),
                "That is the share of the time that goes into the products. How many times as "
                "fast is a program that needs a quarter of the time?",
            ),
            Mistake(
                "share_saved",
                after(lambda found: [1 - 1 / ratio for ratio in found]),
                "That is the share of the time that would be saved, not how many times as fast.",
            ),
            Mistake(
                "times_faster",
                after(lambda found: [ratio - 1 for ratio in found]),
                "This is too small by one everywhere: as fast as before is a factor of 1, not 0.",
            ),
            Mistake(
                "library_over_bound",
                ratio_of(TORCH, BOUND),
                "These are the factors of nn.GRU. It is about the fast GRU.",
            ),
            Mistake(
                "taught_over_bound",
                ratio_of(TAUGHT, BOUND),
                "These are the factors of the taught loop. It is about the fast GRU.",
            ),
            Mistake(
                "already_gained",
                ratio_of(TORCH, FAST),
                "That is how far the fast GRU is ahead of nn.GRU now. What would it be without "
                "everything but the products?",
            ),
            Mistake(
                "gained_over_the_loop",
                ratio_of(TAUGHT, FAST),
                "That is how far the fast GRU is ahead of the taught loop now. What would it be "
                "without everything but the products?",
            ),
            Mistake(
                "other_form",
                ratio_of(AFTER, BOUND),
                "These are the factors of the other form, that of nn.GRU.",
            ),
            Mistake(
                "difference_of_times",
                lambda cases: [
                    c["seconds"][FAST]["median"] - c["seconds"][BOUND]["median"] for c in cases
                ],
                "That is a difference of times, in seconds. A factor is a ratio.",
            ),
            Mistake(
                "sorted",
                after(sorted),
                "The factors are right, but sorted: give them in the order of the cases.",
            ),
            Mistake(
                "largest_alone",
                after(max),
                "That is the largest factor alone. One is asked for at each size.",
            ),
            Mistake(
                "percent",
                after(lambda found: [100 * ratio for ratio in found]),
                "These are percentages. How many times as fast is asked for, as a plain factor.",
            ),
            Mistake(
                "percent_faster",
                after(lambda found: [100 * ratio - 100 for ratio in found]),
                "That is how many percent faster. How many times as fast is asked for, as a "
                "plain factor.",
            ),
        ),
    ),
    Exercise(
        "11.1b",
        "two sizes, each as steps, rows, units: that with the largest factor, and that with the "
        "smallest",
        Sizes(
            tuple(
                f"{what} of the {which}" for which in ENDS for what in ("steps", "rows", "units")
            ),
            labels=True,
        ),
        ((35, 32, 64), (35, 32, 1024)),
        "Small sizes leave time to be saved in calls and element-wise work; where the matrices "
        "are large, the products are nearly all.",
        TIME,
        (
            Mistake(
                "exchanged",
                ((35, 32, 1024), (35, 32, 64)),
                "The two have changed places: where the products are nearly all of the time, "
                "little is left to gain.",
            ),
            Mistake(
                "milliseconds_above_the_bound",
                ((400, 32, 256), (35, 1, 256)),
                "That goes by milliseconds, and a long job has many of them. Go by the factor.",
            ),
            Mistake(
                "few_rows",
                ((35, 1, 256), (35, 32, 1024)),
                "With one row there is indeed much to gain. But another size has a larger factor.",
            ),
            Mistake(
                "ahead_of_the_others",
                ((35, 1, 256), (10, 32, 256)),
                "There the fast GRU is ahead of nn.GRU by most and by least. What is left to gain "
                "is told by another ratio.",
            ),
            Mistake(
                "few_steps",
                ((10, 32, 256), (400, 32, 256)),
                "The time grows with the steps, but the share of the products hardly changes. "
                "Which of the three numbers of a size changes it most?",
            ),
            Mistake(
                "another_order",
                ((64, 32, 35), (1024, 32, 35)),
                "Perhaps the right sizes, in another order: write steps, rows, units.",
                when=in_another_order,
            ),
        ),
    ),
    Exercise(
        "11.2a",
        "a function of the inputs of a matrix at all steps, (num_steps, batch_size, m), and the "
        "gradients of what it gave, (num_steps, batch_size, n), that returns the matrix's "
        "gradient, (m, n)",
        Function(product_cases),
        at_once,
        "One product in place of one for each step: with one row this saves the writing of a "
        "whole matrix at every step.",
        TIME,
        (
            Mistake(
                "summed_first",
                lambda inputs, slopes: torch.outer(inputs.sum((0, 1)), slopes.sum((0, 1))),
                "The sums are taken first, and then a product: so each step's input meets the "
                "gradients of all other steps. The products have to be added up.",
            ),
            Mistake(
                "summed_over_rows_first",
                lambda inputs, slopes: inputs.sum(1).T @ slopes.sum(1),
                "The rows are added up before the product: so each row's input meets the "
                "gradients of the other rows. (One row cannot tell.)",
            ),
            Mistake(
                "summed_over_steps_first",
                lambda inputs, slopes: inputs.sum(0).T @ slopes.sum(0),
                "The steps are added up before the product: so each step's input meets the "
                "gradients of all other steps.",
            ),
            Mistake(
                "transposed",
                lambda inputs, slopes: at_once(slopes, inputs),
                "The numbers are right, but transposed: a gradient has the shape of its matrix.",
            ),
            Mistake(
                "last_step",
                lambda inputs, slopes: inputs[-1].T @ slopes[-1],
                "That is the last step alone. All steps use the same matrix.",
                see="07: In matrices",
            ),
            Mistake(
                "first_step",
                lambda inputs, slopes: inputs[0].T @ slopes[0],
                "That is the first step alone. All steps use the same matrix.",
                see="07: In matrices",
            ),
            Mistake(
                "mean_over_steps",
                lambda inputs, slopes: at_once(inputs, slopes) / len(inputs),
                "That is the mean over the steps. The gradients of the steps are added up.",
            ),
            Mistake(
                "mean_over_everything",
                lambda inputs, slopes: at_once(inputs, slopes) / inputs[..., 0].numel(),
                "That is the mean over steps and rows. A mean, if there is one, is in the loss "
                "already, and in the gradients that arrive.",
            ),
            Mistake(
                "one_matrix_for_each_step",
                lambda inputs, slopes: inputs.transpose(1, 2) @ slopes,
                "That is one gradient for each step: add them up, or let the product do it.",
            ),
            Mistake(
                "rows_and_steps_exchanged",
                lambda inputs, slopes: (
                    inputs.transpose(0, 1).flatten(0, 1).T @ slopes.flatten(0, 1)
                ),
                "In one factor the steps come first, in the other the rows: so the wrong ones "
                "meet. (One row cannot tell.)",
            ),
            Mistake(
                "one_step_late",
                lambda inputs, slopes: at_once(inputs[:-1], slopes[1:]),
                "Each input meets the gradients of the next step. What is handed over here is "
                "already in step.",
            ),
            Mistake(
                "mean_over_rows",
                lambda inputs, slopes: at_once(inputs, slopes) / inputs.shape[1],
                "That is right for one row. A mean, if there is one, is in the gradients that "
                "arrive already.",
            ),
            Mistake(
                "first_row",
                lambda inputs, slopes: inputs[:, 0].T @ slopes[:, 0],
                "That is the first row alone. All rows use the same matrix.",
            ),
            Mistake(
                "negative",
                lambda inputs, slopes: -at_once(inputs, slopes),
                "The sign is wrong. It is the gradient, not the step that goes against it.",
            ),
        ),
    ),
    Exercise(
        "11.2b",
        "how many operations autograd has recorded for the outputs of `gru`: 35 steps, one row, "
        "weights that receive gradients (with the `AccumulateGrad` of each of these, or without)",
        Between(755, 830),
        782,
        "Each is a call on the way back, however little there is to do in it; the fast GRU is a "
        "single one.",
        TIME,
        (
            Mistake(
                "that_of_the_fast_gru",
                12,
                "So few are recorded for `fast_gru`, or for the last step alone. Walk back from "
                "the outputs of `gru` through all `next_functions`.",
                when=lambda count: 1 <= count < 18,
            ),
            Mistake(
                "one_step",
                22,
                "That is about one step of them. There are 35.",
                when=lambda count: 18 <= count < 35,
            ),
            Mistake(
                "steps_counted",
                35,
                "That is the number of steps. Each consists of many operations.",
                when=lambda count: count == 35,
            ),
            Mistake(
                "nothing_recorded",
                0,
                "Nothing has been recorded: do the parameters require gradients, and is autograd "
                "on?",
                when=lambda count: count == 0,
            ),
            Mistake(
                "walked_from_the_state",
                709,
                "Perhaps you walked back from the last state H. The outputs have operations of "
                "their own, at each step.",
                when=lambda count: 690 <= count <= 716,
            ),
            Mistake(
                "one_step_missing",
                749,
                "A few are missing, about as many as one step has. Were there 35 steps, not one "
                "fewer?",
                when=lambda count: 730 <= count < 755,
            ),
            Mistake(
                "counted_again",
                40_000,
                "Many are counted more than once: an operation can be reached on several ways. "
                "Remember those that you have seen.",
                when=lambda count: 3_000 < count < 1e12,
            ),
        ),
    ),
    Exercise(
        "11.3a",
        "a function of the times a and b of two programs that took turns (two tensors), that "
        "returns the median of the ratios a / b and the ratio of the medians",
        Function(rounds_cases, results=("the median of the ratios", "the ratio of the medians")),
        both_ratios,
        "In a round both programs meet the same machine, so that its ratio says more than two "
        "medians of different rounds.",
        TIME,
        (
            Mistake(
                "exchanged",
                lambda a, b: both_ratios(a, b)[::-1],
                "Both are there, in the other order: first the median of the ratios.",
            ),
            Mistake(
                "upside_down",
                lambda a, b: both_ratios(b, a),
                "Both are upside down: a / b, how many times as long a takes.",
            ),
            Mistake(
                "means",
                lambda a, b: ((a / b).mean(), a.mean() / b.mean()),
                "These are means. A median does not care how far a bad round is off.",
            ),
            Mistake(
                "mean_of_ratios",
                lambda a, b: ((a / b).mean(), a.median() / b.median()),
                "The second is right. The first is the mean of the ratios, not their median.",
            ),
            Mistake(
                "ratio_of_means",
                lambda a, b: ((a / b).median(), a.mean() / b.mean()),
                "The first is right. The second is the ratio of the means, not of the medians.",
            ),
            Mistake(
                "medians_twice",
                lambda a, b: (a.median() / b.median(),) * 2,
                "The second is right, and the first is the same once more. Form the ratio of each "
                "round first, then take the median.",
            ),
            Mistake(
                "ratios_twice",
                lambda a, b: ((a / b).median(),) * 2,
                "The first is right, and the second is the same once more.",
            ),
            Mistake(
                "sorted_first",
                lambda a, b: ((a.sort()[0] / b.sort()[0]).median(), a.median() / b.median()),
                "The times were sorted before the ratios were formed, so that different rounds "
                "meet. The rounds have to stay together.",
            ),
            Mistake(
                "minima",
                lambda a, b: ((a / b).min(), a.min() / b.min()),
                "These are the smallest, not the medians.",
            ),
            Mistake(
                "middle_round",
                lambda a, b: ((a / b)[len(a) // 2], a[len(a) // 2] / b[len(b) // 2]),
                "That is the round in the middle of the benchmark. A median is the middle of the "
                "sorted values.",
            ),
            Mistake(
                "all_pairs",
                lambda a, b: ((a[:, None] / b).median(), a.median() / b.median()),
                "Every time of one program meets every time of the other. A ratio belongs to "
                "one round.",
            ),
        ),
    ),
    Exercise(
        "11.3b",
        "time of A / time of B, measured one after the other with the jump between them, if A is "
        "truly 1.3 times as slow: with A first, and with B first",
        Numbers(("A first", "B first"), relative=0.03),
        (1.3 / 1.5, 1.3 * 1.5),
        "The drift falls on one program alone: the slower one may look faster than the other.",
        TIME,
        (
            Mistake(
                "no_drift",
                (1.3, 1.3),
                "That is the truth, which the measurement misses: the machine is slower in the "
                "second half, and only one of the two runs there.",
            ),
            Mistake(
                "exchanged",
                (1.3 * 1.5, 1.3 / 1.5),
                "The two have changed places: what runs second meets the slower machine.",
            ),
            Mistake(
                "doubled",
                (1.3 / 2, 1.3 * 2),
                "Half as long again is less than twice as long.",
            ),
            Mistake(
                "halved",
                (1.3 / 0.5, 1.3 * 0.5),
                "Half as long again is longer: what took 2 seconds takes 3, not 1.",
            ),
            Mistake(
                "upside_down",
                (1.5 / 1.3, 1 / (1.3 * 1.5)),
                "Both are upside down: A / B, how many times as long A takes.",
            ),
            Mistake(
                "added",
                (1.3 / 1.5, 1.3 + 0.5),
                "Everything takes half as long again, so that what takes "
                "longer also gains more: multiply.",
            ),
            Mistake(
                "only_a_slowed",
                (1.3, 1.3 * 1.5),
                "With A first the machine is slower as well, but for whom?",
            ),
            Mistake(
                "only_b_slowed",
                (1.3 / 1.5, 1.3),
                "With B first the machine is slower as well, but for whom?",
            ),
            Mistake(
                "both_slowed",
                (1.3 * 1.5, 1.3 * 1.5),
                "It is A that you slow down both times. With A first, who meets the slower half?",
            ),
            Mistake(
                "jump_added",
                (1.3 - 0.5, 1.3 + 0.5),
                "Everything takes half as long again: is that added, or multiplied?",
            ),
            Mistake(
                "jump_within_one_program",
                (1.3 / 1.25, 1.3 * 1.25),
                "There the jump falls into the middle of one program. It comes between the two.",
            ),
            Mistake(
                "exchanged_and_upside_down",
                (1 / (1.3 * 1.5), 1.5 / 1.3),
                "Both are upside down, and have changed places: A / B, and with A first at first.",
            ),
        ),
    ),
    Exercise(
        "11.4",
        "the names of the numbers on new text that grow by more than a quarter from 11 to 44 "
        "epochs",
        Names(("perplexity", "temperature", "rescaled", "right guesses")),
        ("perplexity", "temperature"),
        "What the model knows stays nearly the same; only its confidence grows, and perplexity "
        "pays for that.",
        "What the race does not show",
        (
            Mistake(
                "all_worse",
                ("perplexity", "temperature", "rescaled"),
                "By how much does the rescaled perplexity grow? Compare it with the spread of the "
                "seeds, and with a quarter.",
            ),
            Mistake(
                "perplexity_alone",
                ("perplexity",),
                "What has the model paid for with that? Look at the other numbers too.",
            ),
            Mistake(
                "temperature_alone",
                ("temperature",),
                "What does a model pay that is surer of itself and wrong as often?",
            ),
            Mistake(
                "both_perplexities",
                ("perplexity", "rescaled"),
                "One of these hardly moves, since one temperature takes back what confidence has "
                "cost. And the temperature?",
            ),
            Mistake(
                "longer_is_better",
                ("right guesses",),
                "Are there more right guesses after 44 epochs? And the other numbers?",
            ),
            Mistake(
                "none",
                (),
                "Something grows, and by much. Were the models trained anew, with "
                "`dataclasses.replace(FINAL, num_epochs=...)`, and measured on new text?",
            ),
            Mistake(
                "everything",
                ("perplexity", "temperature", "rescaled", "right guesses"),
                "Two of them hardly move. What does one temperature take back?",
            ),
        ),
    ),
    Exercise(
        "11.5",
        "four names: whose perplexity is lower by the classic measure, whose in one stream, both "
        "with 11 epochs; then the same with 22",
        Names(("same cuts", "moving cuts"), ordered=True),
        ("same cuts", "moving cuts") * 2,
        "A rule decides what is worth learning: fixed cuts answer the old rule, moving ones the "
        "new.",
        "Run it yourself",
        (
            Mistake(
                "reversed",
                ("moving cuts", "same cuts") * 2,
                "All four are the wrong way round. Which measure cuts the text just as fixed cuts "
                "do in training?",
            ),
            Mistake(
                "one_recipe_best",
                ("same cuts",) * 4,
                "By the classic measure, yes. In one stream: what have fixed cuts never been "
                "trained on, in the last places of each row?",
            ),
            Mistake(
                "moving_always",
                ("moving cuts",) * 4,
                "In one stream, yes. By the classic measure: who has trained on just those rows "
                "all the time?",
            ),
            Mistake(
                "measures_grouped",
                ("same cuts", "same cuts", "moving cuts", "moving cuts"),
                "Perhaps in another order: both measures with 11 epochs first, then both with 22.",
            ),
            Mistake(
                "only_the_shorter",
                ("same cuts", "moving cuts", "same cuts", "same cuts"),
                "With 11 epochs that is right. With 22: compare two runs of equal length, each "
                "made with `dataclasses.replace(FINAL, offset=..., num_epochs=...)`.",
            ),
            Mistake(
                "only_the_longer",
                ("same cuts", "same cuts", "same cuts", "moving cuts"),
                "With 22 epochs that is right. With 11: compare two runs of equal length, both in "
                "one stream.",
            ),
        ),
    ),
    Exercise(
        "11.6a",
        "a function of p_dev, q_dev, dev, p_heldout, q_heldout, heldout (probabilities of GRU and "
        "counts, and ids) that returns two held-out perplexities of the mixture, with weights in "
        "hundredths: one chosen on the development part, and one on the held-out part",
        Function(
            mixture_cases, absolute=0.01, relative=0.001, results=("the honest one", "the lie")
        ),
        reported(),
        "The lie can never look worse, and how much it gains nobody can tell from that part alone.",
        HONEST,
        (
            Mistake(
                "exchanged",
                reported(finish=lambda came, w, shown: shown[::-1]),
                "Both are there, in the other order: the honest one first.",
            ),
            Mistake(
                "measured_where_chosen",
                reported(
                    finish=lambda came, w, shown: (
                        mixed_on(0, came, w[0]),
                        shown[1],
                    )
                ),
                "The first is measured on the development part, where its weight was chosen. What "
                "is reported is measured on the held-out part, both times.",
            ),
            Mistake(
                "measured_on_development",
                reported(finish=lambda came, w, shown: [mixed_on(0, came, weight) for weight in w]),
                "Both are measured on the development part. What is reported is measured on the "
                "held-out part.",
            ),
            Mistake(
                "chosen_on_heldout_twice",
                reported(finish=lambda came, w, shown: (shown[1], shown[1])),
                "Both weights were chosen on the held-out part. The honest one comes from the "
                "development part.",
            ),
            Mistake(
                "chosen_on_development_twice",
                reported(finish=lambda came, w, shown: (shown[0], shown[0])),
                "Both weights were chosen on the development part. The lie looks at the held-out "
                "part.",
            ),
            Mistake(
                "weight_of_the_counts",
                reported(apply=lambda p, q, w: mixed(q, p, w)),
                "The weight was found for the GRU, and then given to the counts.",
            ),
            Mistake(
                "nothing_gained_by_mixing",
                reported(mix=geometric),
                "These are what the better of the two reaches alone. So it is with a geometric "
                "mean, or a weighted mean of the perplexities: a mixture adds probabilities.",
            ),
            Mistake(
                "labels_not_shifted",
                reported(asked=lambda ids: ids[:-1]),
                "The probabilities are asked about the character before. In row t they are those "
                "of ids[t + 1].",
            ),
            Mistake(
                "mean_of_probabilities",
                reported(measure=lambda came: 1 / came.mean(-1)),
                "The mean of the probabilities was taken. Perplexity takes the mean of their "
                "logarithms.",
                see="04: Perplexity: how many ways to be surprised",
            ),
            Mistake(
                "chosen_on_both",
                reported(
                    finish=lambda came, w, shown: (
                        mixed_on(1, came, sum(w) / 2),
                        shown[1],
                    )
                ),
                "The honest weight must not have seen the held-out part, not even half of it.",
            ),
            Mistake(
                "highest_perplexity",
                reported(choose=torch.argmax),
                "The weight with the highest perplexity was taken. The best one has the lowest.",
            ),
            Mistake(
                "weights_returned",
                reported(finish=lambda came, w, shown: w),
                "These are the two weights. Return what they reach on the held-out part.",
            ),
            Mistake(
                "logarithms",
                reported(finish=lambda came, w, shown: [one.log() for one in shown]),
                "These are the mean losses: a perplexity is exp of one.",
                see="04: Perplexity: how many ways to be surprised",
            ),
            Mistake(
                "gain_alone",
                reported(finish=lambda came, w, shown: shown[0] - shown[1]),
                "That is by how much the lie looks better. Return both perplexities.",
            ),
            Mistake(
                "tenths",
                reported(steps=10),
                "The weights are too coarse: hundredths are asked for.",
            ),
            Mistake(
                "parts_exchanged",
                reported(finish=lambda came, w, shown: [mixed_on(0, came, w[k]) for k in (1, 0)]),
                "Chosen on the held-out part and reported on the development part? The two "
                "parts have changed places.",
            ),
            Mistake(
                "weight_one_half",
                reported(finish=lambda came, w, shown: (mixed_on(1, came, 0.5), shown[1])),
                "The first has a weight of one half. Choose it, on the development part.",
            ),
            Mistake(
                "inverse_probabilities_averaged",
                reported(measure=lambda came: (1 / came).mean(-1)),
                "The mean of 1/p was taken. Perplexity takes the mean of the logarithms.",
                see="04: Perplexity: how many ways to be surprised",
            ),
            Mistake(
                "bits",
                reported(finish=lambda came, w, shown: [one.log2() for one in shown]),
                "These are bits for each character. Return perplexities.",
                see="04: Perplexity: how many ways to be surprised",
            ),
        ),
    ),
    Exercise(
        "11.6b",
        "a function of the lines log and others, as in the record's log and ablations, that "
        "returns the held-out perplexity of the line that the development column chooses, and of "
        "that which the held-out column chooses (all but the longest run, the last of the log)",
        Function(lines_cases, results=("the honest one", "the lie")),
        chosen(),
        "The held-out number of a line that the development column chose is honest, whoever wins.",
        HONEST,
        (
            Mistake(
                "exchanged",
                chosen(by=("heldout", "development")),
                "Both are there, in the other order: the honest one first.",
            ),
            Mistake(
                "longest_included",
                chosen(rows=lambda log, others: log + others),
                "The longest run is among the lines. It reads more text than all others (others "
                "took more seconds), and is left out here: where does it stand?",
            ),
            Mistake(
                "log_alone",
                chosen(rows=lambda log, others: log[:-1]),
                "Only the lines of the log were asked. The ablations belong to the choice too.",
            ),
            Mistake(
                "ablations_alone",
                chosen(rows=lambda log, others: others),
                "Only the ablations were asked. The lines of the log belong to the choice, but "
                "for its longest run.",
            ),
            Mistake(
                "development_reported",
                chosen(shown=("development", "heldout")),
                "The first is the development perplexity of the line. What is reported is the "
                "held-out one, both times.",
            ),
            Mistake(
                "development_reported_twice",
                chosen(shown="development"),
                "These are development perplexities. What is reported is the held-out one.",
            ),
            Mistake(
                "best_seed",
                lambda log, others: [
                    min(
                        min(log[:-1] + others, key=lambda row: row["development"])["every_heldout"]
                    ),
                    min(min(row["every_heldout"]) for row in log[:-1] + others),
                ],
                "These are the best seeds of the lines. The column `heldout` has one number for "
                "each line.",
            ),
            Mistake(
                "luckiest_seed",
                lambda log, others: [
                    min(log[:-1] + others, key=lambda row: row["development"])["heldout"],
                    min(min(row["every_heldout"]) for row in log[:-1] + others),
                ],
                "The lie is that of a single seed. It looks at the column `heldout`, which has "
                "one number for each line.",
            ),
            Mistake(
                "development_twice",
                chosen(by=("development", "development")),
                "Both lines were chosen by the development column.",
            ),
            Mistake(
                "record_read_inside",
                lambda log, others: (4.1389, 4.1389),
                "That is the lesson's own record. Use the lines that are handed over, `log` and "
                "`others`.",
            ),
            Mistake(
                "heldout_twice",
                chosen(by=("heldout", "heldout")),
                "Both lines were chosen by the held-out column.",
            ),
            Mistake(
                "largest",
                chosen(choose=max),
                "The lines with the largest perplexities were taken. Lower is better.",
            ),
            Mistake(
                "training_column",
                chosen(by=("training", "heldout")),
                "The first line was chosen by its training perplexity, which overfitting lowers.",
            ),
            Mistake(
                "mixed_column",
                chosen(shown="mixed"),
                "These are perplexities of mixtures. It is about the GRU alone.",
            ),
        ),
    ),
    Exercise(
        "11.7a",
        "how many times as much a row of the share of 12 counts as one of the share of 20, when "
        "the two means are averaged as before",
        number("the ratio", relative=0.01),
        lambda: 20 / 12,
        "Each mean counts one half, however many rows are behind it.",
        PROCESSES,
        (
            Mistake(
                "upside_down",
                12 / 20,
                "Upside down, or the rows of the larger share are thought to count for more: what "
                "does one of 12 get of one half, and one of 20?",
            ),
            Mistake(
                "equal",
                1.0,
                "That is so after the repair. As before, each share gets one half, however many "
                "rows it has.",
            ),
            Mistake(
                "against_an_honest_row",
                32 / 24,
                "That compares a row of the small share with what it should count. Compare it "
                "with a row of the large share.",
            ),
            Mistake(
                "half_forgotten",
                32 / 12,
                "That compares one twelfth with one of 32. Compare it with what a row of the "
                "large share gets.",
            ),
            Mistake(
                "squared",
                (20 / 12) ** 2,
                "The sizes of the shares have gone in twice. Each row's part: one half, divided "
                "by the rows of its share.",
            ),
            Mistake(
                "times_more",
                2 / 3,
                "How many times as much is asked for, not how much more.",
            ),
            Mistake(
                "percent",
                100 * 20 / 12,
                "That is a percentage. A ratio is asked for.",
                when=lambda found: bool(
                    ((found - torch.tensor([200 / 3, 500 / 3])).abs() < 1).any()
                ),
            ),
            Mistake(
                "one_share",
                0.375,
                "That is one share, or one row's part. Compare a row of the one share with a "
                "row of the other.",
                when=lambda found: bool(
                    (
                        (found - torch.tensor([3 / 8, 5 / 8, 1 / 12, 1 / 20, 1 / 24, 1 / 40])).abs()
                        < 0.001
                    ).any()
                ),
            ),
            Mistake(
                "against_one_of_all",
                32 / 20,
                "That compares one twentieth with one of 32. Compare a row of the one share "
                "with a row of the other.",
            ),
        ),
    ),
    Exercise(
        "11.7b",
        "a function of gradients, a list with one tensor from each process (of its mean loss), "
        "and rows, the list of their numbers of rows, that returns the gradient of the mean loss "
        "of all rows",
        Function(share_cases),
        weighted(lambda rows: [count / sum(rows) for count in rows]),
        "Every row weighs the same again, as in one process.",
        PROCESSES,
        (
            Mistake(
                "plain_mean",
                weighted(lambda rows: [1 / len(rows)] * len(rows)),
                "That is the plain mean, as before: a row of a small share counts for more.",
            ),
            Mistake(
                "sum_of_gradients",
                weighted(lambda rows: [1.0] * len(rows)),
                "The gradients are added up as they are, so that a row of a small share counts "
                "for more, and all for too much.",
            ),
            Mistake(
                "weights_reversed",
                weighted(lambda rows: [(1 / n) / sum(1 / m for m in rows) for n in rows]),
                "The weights are the wrong way round: now the small share counts for even more.",
            ),
            Mistake(
                "not_divided",
                weighted(lambda rows: [float(count) for count in rows]),
                "The gradients are weighted with their rows, that is right. Divide by all rows.",
            ),
            Mistake(
                "divided_by_processes",
                weighted(lambda rows: [count / len(rows) for count in rows]),
                "The gradients are weighted with their rows, that is right, but then divided by "
                "the number of processes. By what, so that equal gradients stay as they are?",
            ),
            Mistake(
                "divided_twice",
                weighted(lambda rows: [count / sum(rows) / len(rows) for count in rows]),
                "The weights are right, but the sum is divided by the number of processes once "
                "more: the weights add up to 1 already.",
            ),
            Mistake(
                "factors_without_mean",
                weighted(factors),
                "Those are the factors for a mean over the processes, and the mean is missing.",
            ),
            Mistake(
                "divided_by_own_rows",
                weighted(lambda rows: [1 / count for count in rows]),
                "Each gradient is divided by its rows. It is that of a mean: divided already.",
            ),
            Mistake(
                "largest_share",
                lambda gradients, rows: gradients[rows.index(max(rows))],
                "That is the gradient of the largest share alone.",
            ),
            Mistake(
                "rows_reversed",
                weighted(lambda rows: [count / sum(rows) for count in rows[::-1]]),
                "Each gradient has the rows of another share: the wrong ones meet.",
            ),
            Mistake(
                "divided_by_thirty_two",
                weighted(lambda rows: [count / 32 for count in rows]),
                "With 32 rows in all that is right. Let it depend on `rows`.",
            ),
        ),
    ),
    Exercise(
        "11.7c",
        "a function of rows, the list of the shares' numbers of rows, that returns the factor on "
        "each process's loss with which `DistributedDataParallel` needs no change",
        Function(factor_cases),
        factors,
        "Each share's rows, divided by the mean number of rows: the plain mean is right again.",
        PROCESSES,
        (
            Mistake(
                "mean_forgotten",
                lambda rows: [count / sum(rows) for count in rows],
                "These are right weights for a sum. But `DistributedDataParallel` takes the mean, "
                "and divides by the number of processes once more.",
            ),
            Mistake(
                "mean_forgotten_for_thirty_two",
                lambda rows: [count / 32 for count in rows],
                "With 32 rows these are right weights for a sum. But `DistributedDataParallel` "
                "takes the mean; and let it depend on `rows`.",
            ),
            Mistake(
                "upside_down",
                lambda rows: [sum(rows) / len(rows) / count for count in rows],
                "Upside down: the rows of the small share count for too much already.",
            ),
            Mistake(
                "upside_down_without_mean",
                lambda rows: [sum(rows) / count for count in rows],
                "Upside down: the rows of the small share count for too much already.",
            ),
            Mistake(
                "rows_as_they_are",
                lambda rows: list(rows),
                "In this proportion, yes. But equal shares need no factor: what is it for them?",
            ),
            Mistake(
                "no_factor",
                lambda rows: [1.0] * len(rows),
                "That is no repair.",
            ),
            Mistake(
                "against_the_largest",
                lambda rows: [count / max(rows) for count in rows],
                "In this proportion, yes. But together the factors are too small: what must they "
                "add up to, so that equal gradients stay as they are?",
            ),
            Mistake(
                "against_the_smallest",
                lambda rows: [count / min(rows) for count in rows],
                "In this proportion, yes. But together the factors are too large: what must they "
                "add up to, so that equal gradients stay as they are?",
            ),
            Mistake(
                "always_two_processes",
                lambda rows: [2 * count / sum(rows) for count in rows],
                "For two processes that is right. How often does the mean divide with three?",
            ),
            Mistake(
                "always_thirty_two",
                lambda rows: [count / 16 for count in rows],
                "For 32 rows and two processes that is right. Let it depend on `rows`.",
            ),
            Mistake(
                "one_over_rows",
                lambda rows: [1 / count for count in rows],
                "Upside down: the rows of the small share count for too much already. And equal "
                "shares need no factor.",
            ),
            Mistake(
                "against_the_first",
                lambda rows: [count / rows[0] for count in rows],
                "In this proportion, yes. But what must the factors add up to, so that equal "
                "gradients stay as they are?",
            ),
            Mistake(
                "reversed",
                lambda rows: factors(rows)[::-1],
                "These belong to the shares in the other order.",
            ),
        ),
    ),
)
