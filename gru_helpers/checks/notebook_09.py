"""The exercises of notebook 09, Time series."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from .core import Exercise, Mistake
from .kinds import Case, Function, Names, Outcome
from .samples import drawn

LAGS = 132  # months in a window of the lesson

# --- 1: the error of naive on a random walk -----------------------------------------------------


def horizon_cases() -> list[Case]:
    """Horizons of the lesson."""
    return [Case({"h": h}, f"h = {h}") for h in (1, 6, 12, 36)]


def measured(walk: Tensor, h: int) -> Tensor:
    """The mean squared error of naive after h steps, over all origins of a walk."""
    return ((walk[h:] - walk[:-h]) ** 2).mean()


def near_the_formula(outcomes: list[Outcome]) -> bool:
    """Whether each number is nearly h, and they are not all h."""
    values = [
        float(outcome.numbers[0]) / outcome.case.arguments["h"]
        if [part.numel() for part in outcome.numbers] == [1]
        else 0.0
        for outcome in outcomes
    ]
    return all(abs(value - 1) < 0.05 for value in values) and any(
        abs(value - 1) > 1e-3 for value in values
    )


def walk_cases() -> list[Case]:
    """Two short walks."""
    cases = []
    for length, h in ((20, 1), (40, 6), (33, 12)):
        walk = (0.3 + drawn(length, seed=length)).cumsum(dim=0)
        cases.append(Case({"walk": walk, "h": h}, f"a walk of {length} steps and h = {h}"))
    return cases


def over_all_horizons(walk: Tensor, h: int) -> Tensor:
    """The mean over the horizons from 1 to h, each from all its origins."""
    return torch.stack([measured(walk, k) for k in range(1, h + 1)]).mean()


def over_all_horizons_of_windows(walk: Tensor, h: int) -> Tensor:
    """The same from the origins of horizon h alone."""
    windows = walk.unfold(0, h + 1, 1)
    return ((windows[:, 1:] - windows[:, :1]) ** 2).mean()


ALL_HORIZONS = (
    "The mean goes over all horizons from 1 to h. The error after exactly h steps is asked for."
)

MEASURED = (
    Mistake("all_horizons", over_all_horizons, ALL_HORIZONS, see="The series"),
    Mistake(
        "all_horizons_of_windows",
        over_all_horizons_of_windows,
        ALL_HORIZONS,
        see="The series",
    ),
    Mistake(
        "rolled",
        lambda walk, h: ((walk - walk.roll(h)) ** 2).mean(),
        "`roll` puts the last h values before the first ones, and they are compared with each "
        "other. Leave these h out.",
    ),
    Mistake(
        "one_origin_short",
        lambda walk, h: ((walk[h:-1] - walk[: -h - 1]) ** 2).mean(),
        "One origin is missing, the last of which the truth is known.",
    ),
    Mistake(
        "divided_by_all",
        lambda walk, h: ((walk[h:] - walk[:-h]) ** 2).sum() / len(walk),
        "The sum is divided by the length of the walk. There are fewer errors than values.",
    ),
    Mistake(
        "variance_without_correction",
        lambda walk, h: (walk[h:] - walk[:-h]).var(correction=0),
        "That is the variance of the errors: their mean is taken off before they are squared.",
    ),
    Mistake(
        "by_algebra",
        lambda walk, h: float(h),
        "That is what the algebra says of steps with variance 1. Measure it on the walk.",
    ),
    Mistake(
        "root_taken",
        lambda walk, h: measured(walk, h).sqrt(),
        "That is the root of the mean squared error. Here it is asked for without the root.",
    ),
    Mistake(
        "one_step_only",
        lambda walk, h: measured(walk, 1),
        "Only neighbors are compared, whatever h is. Naive repeats a value that is h steps old.",
    ),
    Mistake(
        "one_step_too_many",
        lambda walk, h: measured(walk, h + 1),
        "The values compared are h + 1 steps apart.",
    ),
    Mistake(
        "absolute_errors",
        lambda walk, h: (walk[h:] - walk[:-h]).abs().mean(),
        "These errors are not squared.",
    ),
    Mistake(
        "not_squared",
        lambda walk, h: (walk[h:] - walk[:-h]).mean(),
        "These errors are not squared, so that those above and those below cancel.",
    ),
    Mistake(
        "variance",
        lambda walk, h: (walk[h:] - walk[:-h]).var(),
        "That is the variance of the errors: their mean is taken off before they are squared.",
    ),
    Mistake(
        "summed_again",
        lambda walk, h: measured(walk.cumsum(dim=0), h),
        "The walk is summed once more. What the function gets is the walk, not its steps.",
    ),
    Mistake(
        "sum_for_mean",
        lambda walk, h: ((walk[h:] - walk[:-h]) ** 2).sum(),
        "The squares are added up. Their mean is asked for.",
    ),
    Mistake(
        "every_hth_origin",
        lambda walk, h: measured(walk[::h], 1),
        "Here only every h-th month is an origin. The lesson forecasts from all of them.",
        see="The series",
    ),
    Mistake(
        "from_the_start",
        lambda walk, h: ((walk[h:] - walk[0]) ** 2).mean(),
        "Everything is compared with the first value. Each value is to be compared with the one "
        "h steps before it.",
    ),
    Mistake(
        "divided_by_h",
        lambda walk, h: measured(walk, h) / h,
        "The errors are divided by h as well: that is the error for each step.",
    ),
)

# --- 2: the best of ten -------------------------------------------------------------------------


def race_cases() -> list[Case]:
    """Errors of several GRUs, and those of a rival; on one horizon they are level."""
    cases = []
    for rows, horizons, seed in ((10, 5, 15), (4, 9, 30), (6, 12, 45)):
        members = 30 + 4 * drawn(rows, horizons, seed=seed)
        rival = 27 + 3 * drawn(horizons, seed=seed + 1)
        rival[1] = members[:, 1].min()  # level
        rival[2] = members[:, 2].min() - 0.01  # just ahead
        arguments = {"members": members.tolist(), "rival": rival.tolist()}
        cases.append(Case(arguments, f"{rows} GRUs and {horizons} horizons"))
    return cases


def wins_by(errors: Callable[[Tensor], Tensor]) -> Any:
    """On how many horizons some errors, made of those of all members, beat the rival's."""

    def wins(members: list[list[float]], rival: list[float]) -> int:
        found = errors(torch.tensor(members, dtype=torch.float64))
        return int((found <= torch.tensor(rival, dtype=torch.float64)).sum())

    return wins


best_wins = wins_by(lambda members: members.amin(dim=0))


def turned(members: list[list[float]], rival: list[float]) -> int:
    """The count if a row of the members were a horizon."""
    return sum(min(row) <= r for row, r in zip(members, rival, strict=False))


def is_turned(outcomes: list[Outcome]) -> bool:
    """Whether each outcome is that, or two lengths that do not fit."""
    unfit = r"zip\(\) argument 2 is|size of tensor a|could not be broadcast"
    return all(
        bool(re.search(unfit, outcome.trouble))
        if outcome.trouble
        else [part.tolist() for part in outcome.numbers] == [turned(**outcome.case.arguments)]
        for outcome in outcomes
    )


def strictly_below(members: list[list[float]], rival: list[float]) -> int:
    """On how many horizons the best of the members is below the rival."""
    return sum(min(column) < r for *column, r in zip(*members, rival, strict=True))


BEST = (
    Mistake(
        "strictly_below",
        strictly_below,
        "A level result counts: at *or* below.",
    ),
    Mistake(
        "transposed",
        turned,
        "Here a row of `members` is one GRU, as in the record. The lesson's variable of that name "
        "is turned the other way.",
        when=is_turned,
    ),
    Mistake(
        "one_by_one",
        lambda members, rival: [
            min(column) <= r for *column, r in zip(*members, rival, strict=True)
        ],
        "These are the horizons one by one, won or not. Count those that are won.",
    ),
    Mistake(
        "worst_of_them",
        wins_by(lambda members: members.amax(dim=0)),
        "That counts for the largest error of each horizon. The best GRU has the smallest.",
    ),
    Mistake(
        "median",
        wins_by(lambda members: members.median(dim=0).values),
        "That counts for the median of the GRUs. The exercise takes the best of them.",
    ),
    Mistake(
        "mean",
        wins_by(lambda members: members.mean(dim=0)),
        "That counts for the mean of the errors. The exercise takes the best of them.",
    ),
    Mistake(
        "one_gru_for_all_horizons",
        wins_by(lambda members: members[members.mean(dim=1).argmin()]),
        "Here one GRU is taken for all horizons, the best on the whole. The exercise takes another "
        "one for each: that is the point.",
    ),
    Mistake(
        "most_wins_of_one_gru",
        lambda members, rival: max(wins_by(lambda one: one[0])([row], rival) for row in members),
        "Here one GRU is taken for all horizons, the one that wins most often. The exercise takes "
        "another one for each: that is the point.",
    ),
    Mistake(
        "best_at_one_month",
        wins_by(lambda members: members[members[:, 0].argmin()]),
        "Here the best at the first horizon is taken for all of them. The exercise takes another "
        "one for each: that is the point.",
    ),
    Mistake(
        "best_at_the_last_horizon",
        wins_by(lambda members: members[members[:, -1].argmin()]),
        "Here the best at the last horizon is taken for all of them. The exercise takes another "
        "one for each: that is the point.",
    ),
    Mistake(
        "losses_counted",
        lambda members, rival: len(rival) - best_wins(members, rival),
        "That counts where the rival is ahead. A smaller error wins.",
    ),
    Mistake(
        "at_or_above",
        lambda members, rival: sum(
            min(column) >= r for *column, r in zip(*members, rival, strict=True)
        ),
        "That counts where the best is at or above the rival. A smaller error wins.",
    ),
    Mistake(
        "all_wins_counted",
        lambda members, rival: sum(
            error <= other for row in members for error, other in zip(row, rival, strict=True)
        ),
        "That counts every GRU that wins on a horizon. A horizon counts once.",
    ),
    Mistake(
        "share",
        lambda members, rival: best_wins(members, rival) / len(rival),
        "That is the share of the horizons. Their number is asked for.",
    ),
)

# --- 3: how far back ----------------------------------------------------------------------------


def cut_off(X: Tensor, months: int, mean: float) -> Tensor:
    """All but the last months replaced by a mean."""
    kept = torch.arange(X.shape[1]) >= X.shape[1] - months
    return torch.where(kept, X, torch.as_tensor(mean, dtype=X.dtype))


def cut_cases() -> list[Case]:
    """A few windows, as long as those of the lesson, cut here and there."""
    cases = []
    for rows, months in ((9, 6), (5, 96), (4, LAGS)):
        X = 50 + 20 * drawn(rows, LAGS, seed=rows)
        arguments = {"X": X, "months": months, "mean": torch.tensor(44.0).double()}
        cases.append(Case(arguments, f"{rows} windows of {LAGS} months, of which {months} stay"))
    return cases


@dataclass(frozen=True)
class Scaling(Function):
    """A function that gets a mean as the lesson has it, a tensor without axes, or as a number."""

    def tried(self, function: Callable[..., Any], case: Case, end: float) -> Outcome:
        """The outcome with plain numbers, where the function insists on them."""
        outcome = super().tried(function, case, end)
        if outcome.trouble.startswith("raises"):
            arguments = {
                name: part.item() if isinstance(part, Tensor) and not part.dim() else part
                for name, part in case.arguments.items()
            }
            other = super().tried(function, Case(arguments, case.words), end)
            return outcome if other.trouble else other
        return outcome


@dataclass(frozen=True)
class Cutting(Scaling):
    """One that must not write into its windows; what is wrong anyway may do it."""

    def same(self, reading: list[Outcome], right: list[Outcome]) -> bool:
        """Whether the numbers agree and, where they are the right ones, what is written."""
        truth = [[cut_off(**outcome.case.arguments)] for outcome in right]
        numbers = [outcome.numbers for outcome in right]
        if all(map(self.plain.same, numbers, truth)):
            return super().same(reading, right)
        return Function(self.cases, may_write=True).same(reading, right)


def cut_in_place(X: Tensor, months: int, mean: float) -> Tensor:
    """The same, written into the windows."""
    X[:, : X.shape[1] - months] = mean
    return X


CUT = (
    Mistake(
        "writes_into_its_windows",
        cut_in_place,
        "The numbers are right here, but the function writes into X. In the lesson the windows "
        "share their memory with the series: begin with `X.clone()`.",
        see="The series",
    ),
    Mistake(
        "last_months_replaced",
        lambda X, months, mean: torch.cat(
            [X[:, : X.shape[1] - months], torch.full_like(X[:, X.shape[1] - months :], mean)], dim=1
        ),
        "The last months are replaced, and the older ones stay: it is to be the other way round.",
    ),
    Mistake(
        "first_months_stay",
        lambda X, months, mean: cut_off(X.flip(1), months, mean).flip(1),
        "The first months of each window stay, which are the oldest. The last ones are next to the "
        "forecast.",
    ),
    Mistake(
        "cut_instead_of_replaced",
        lambda X, months, mean: X[:, -months:],
        "The windows become shorter. The GRU reads as many steps as before, with the mean in the "
        "place of what is taken away.",
    ),
    Mistake(
        "zeros",
        lambda X, months, mean: cut_off(X, months, 0.0),
        "Zeros stand there, which would be a sun without spots. The training mean is asked for.",
    ),
    Mistake(
        "mean_of_each_window",
        lambda X, months, mean: (
            cut_off(X, months, 0.0)
            + (1 - cut_off(torch.ones_like(X), months, 0.0)) * X.mean(dim=1, keepdim=True)
        ),
        "Each window has its own mean in it, in which the months taken away live on.",
    ),
    Mistake(
        "mean_of_all_windows",
        lambda X, months, mean: cut_off(X, months, float(X.mean())),
        "The mean of these windows stands there, which belong to the years that judge. The "
        "training mean is an argument.",
    ),
    Mistake(
        "one_month_too_few",
        lambda X, months, mean: cut_off(X, months - 1, mean),
        "One month too few stays.",
    ),
    Mistake(
        "first_replaced",
        lambda X, months, mean: torch.cat(
            [torch.full_like(X[:, :months], mean), X[:, months:]], dim=1
        ),
        "The first `months` months are replaced. `months` says how many of the last ones stay.",
    ),
    Mistake(
        "years",
        lambda X, months, mean: cut_off(X, 12 * months, mean),
        "Twelve times as many months stay: `months` counts months already.",
    ),
    Mistake(
        "steps_of_the_gru",
        lambda X, months, mean: cut_off(X, months // 4, mean),
        "A quarter of the months stays: `months` counts months, not steps of four months.",
    ),
    Mistake(
        "one_month_too_many_in_a_slice",
        lambda X, months, mean: torch.cat(
            [
                torch.full_like(X[:, : X.shape[1] - months - 1], mean),
                X[:, X.shape[1] - months - 1 :],
            ],
            dim=1,
        ),
        "One month too many stays.",
    ),
    Mistake(
        "one_month_too_many",
        lambda X, months, mean: cut_off(X, months + 1, mean),
        "One month too many stays.",
    ),
    Mistake(
        "rows_replaced",
        lambda X, months, mean: cut_off(X.T, months, mean).T,
        "Whole windows are replaced: the first axis counts windows, the second months.",
    ),
    Mistake(
        "last_value_repeated",
        lambda X, months, mean: torch.where(
            torch.arange(X.shape[1]) >= X.shape[1] - months, X, X[:, -1:]
        ),
        "The last value stands there. The training mean is asked for.",
    ),
)

# --- 4: another height of the sun ---------------------------------------------------------------


def higher_sun(X: Tensor, factor: float, mean: float, deviation: float) -> Tensor:
    """Scaled windows of a sun that is ``factor`` times as high."""
    return (factor * (X * deviation + mean) - mean) / deviation


def height_cases() -> list[Case]:
    """Scaled windows, made higher and lower."""
    return [
        Case(
            {
                "X": drawn(3, 5, seed=seed),
                "factor": factor,
                "mean": torch.tensor(48.0).double(),
                "deviation": torch.tensor(38.0).double(),
            },
            f"the factor {factor}",
        )
        for factor, seed in ((1.0, 7), (1.4, 8), (0.7, 9))
    ]


def own_statistics(X: Tensor, factor: float, mean: float, deviation: float) -> Tensor:
    """The higher sun, scaled by itself."""
    sun = factor * (X * deviation + mean)
    return (sun - sun.mean()) / sun.std()


HEIGHTS = (
    Mistake(
        "scaled_numbers_multiplied",
        lambda X, factor, mean, deviation: factor * X,
        "The scaled numbers are multiplied. Their 0 is the mean of the sun, not a sun without "
        "spots: so the lows become deeper and the mean stays.",
    ),
    Mistake(
        "offset_not_taken_off",
        lambda X, factor, mean, deviation: factor * (X + mean / deviation),
        "After the factor the mean has to be taken off again, as the GRU reads scaled numbers.",
    ),
    Mistake(
        "offset_not_put_on",
        lambda X, factor, mean, deviation: factor * X - mean / deviation,
        "The mean is taken off, but was never put on: the factor belongs to the sun itself.",
    ),
    Mistake(
        "sun_itself",
        lambda X, factor, mean, deviation: factor * (X * deviation + mean),
        "That is the higher sun in spots. The GRU reads scaled numbers.",
    ),
    Mistake(
        "scaled_anew",
        lambda X, factor, mean, deviation: X,
        "The higher sun is scaled by its own mean and deviation, and nothing is left of the "
        "height. The scaler stays that of the years that are learned from.",
        see="Break it",
    ),
    Mistake(
        "own_statistics",
        own_statistics,
        "The higher sun is scaled by its own mean and deviation. The scaler stays that of the "
        "years that are learned from.",
        see="Break it",
    ),
    Mistake(
        "wrong_sign",
        lambda X, factor, mean, deviation: factor * X - (factor - 1) * mean / deviation,
        "What is added to the scaled numbers has the wrong sign: a higher sun has a higher mean.",
    ),
    Mistake(
        "units",
        lambda X, factor, mean, deviation: factor * X + (factor - 1) * mean,
        "What is added to the scaled numbers is in spots. In which units are these numbers?",
    ),
    Mistake(
        "scaled_twice",
        lambda X, factor, mean, deviation: (factor * ((X - mean) / deviation) - mean) / deviation,
        "X is scaled once more. It is scaled already, and must first become the sun itself.",
    ),
    Mistake(
        "deviation_multiplied",
        lambda X, factor, mean, deviation: (
            (factor * (X * deviation + mean) - mean) / (factor * deviation)
        ),
        "The mean of the scaler stays, its deviation is multiplied. Both stay those of the years "
        "that are learned from.",
    ),
    Mistake(
        "unscaled_first",
        lambda X, factor, mean, deviation: (factor * X - mean) / deviation,
        "X is taken for the sun itself. It is scaled already.",
    ),
    Mistake(
        "factor_divides",
        lambda X, factor, mean, deviation: higher_sun(X, 1 / factor, mean, deviation),
        "The factor divides: a high sun becomes a low one.",
    ),
    Mistake(
        "only_shifted",
        lambda X, factor, mean, deviation: X + (factor - 1) * mean / deviation,
        "All months are raised by the same amount. A sun of another height has higher peaks, and "
        "lows as low as before.",
    ),
)

# --- 5: how much wider a fan has to be ----------------------------------------------------------


def from_level(Q: Tensor, Y: Tensor, level: Tensor) -> Tensor:
    """How far from a level the truth is; at the edges of the band it is 1."""
    above = (Y - level) / (Q[:, :, -1] - level)
    below = (level - Y) / (level - Q[:, :, 0])
    return torch.maximum(above, below)


def outside(Q: Tensor, Y: Tensor) -> Tensor:
    """How far from the median the truth is."""
    return from_level(Q, Y, Q[:, :, 4])


def widening(Q: Tensor, Y: Tensor) -> Tensor:
    """The factor with which the band covers 80 %."""
    return outside(Q, Y).flatten().quantile(0.8)


def fan_cases() -> list[Case]:
    """Lopsided fans, too narrow for the truth."""
    cases = []
    for origins, ahead, narrow, seed, off in ((150, 6, 0.75, 41, -0.5), (90, 8, 0.5, 42, 0.0)):
        steps = torch.tensor([-0.9, -0.85, -0.8, -0.75, 0.0, 1.8, 2.0, 2.2, 2.8]).double()
        middle = 50 + 10 * drawn(origins, ahead, seed=seed)
        width = torch.linspace(6, 18, ahead).double()
        Q = middle[:, :, None] + narrow * width[:, None] * steps
        spread = 0.3 + 2.5 * torch.linspace(0, 1, ahead) ** 4
        noise = spread * drawn(origins, ahead, seed=seed + 5)
        Y = middle + width * (torch.where(noise > 0, 2.0, 1.0) * noise + off)
        cases.append(Case({"Q": Q, "Y": Y}, f"forecasts from {origins} origins for {ahead} months"))
    return cases


def covered(Q: Tensor, Y: Tensor) -> Tensor:
    """The share of the truth between the outer levels."""
    return ((Q[:, :, 0] <= Y) & (Q[:, :, -1] >= Y)).double().mean()


OTHER_LEVEL = (
    "The distances are measured from another level. Which of the nine is the median, counted from "
    "0?"
)


def almost(outcomes: list[Outcome]) -> bool:
    """Whether each factor is the right one to within 0.12."""
    return all(
        [part.numel() for part in outcome.numbers] == [1]
        and abs(float(outcome.numbers[0]) - float(widening(**outcome.case.arguments))) < 0.12
        for outcome in outcomes
    ) and not Function(fan_cases, absolute=0.02, relative=0.01).same(
        outcomes, Function(fan_cases).read(widening)
    )


WIDER = (
    Mistake(
        "large_steps",
        lambda Q, Y: torch.ceil(10 * widening(Q, Y)) / 10,
        "Near: search in smaller steps.",
        when=almost,
    ),
    Mistake(
        "level_above_the_median",
        lambda Q, Y: from_level(Q, Y, Q[:, :, 5]).flatten().quantile(0.8),
        OTHER_LEVEL,
    ),
    Mistake(
        "level_below_the_median",
        lambda Q, Y: from_level(Q, Y, Q[:, :, 3]).flatten().quantile(0.8),
        OTHER_LEVEL,
    ),
    Mistake(
        "mean_of_the_levels",
        lambda Q, Y: from_level(Q, Y, Q.mean(dim=2)).flatten().quantile(0.8),
        "The distances are measured from the mean of the nine levels. In a lopsided fan the median "
        "is somewhere else.",
    ),
    Mistake(
        "coverage_over_80",
        lambda Q, Y: 0.8 / covered(Q, Y),
        "That is 80 % over what is covered now. A band of twice the width does not cover twice as "
        "much.",
    ),
    Mistake(
        "coverage",
        lambda Q, Y: covered(Q, Y),
        "That is the share that is covered now. By which factor must the band be wider?",
    ),
    Mistake(
        "level_09",
        lambda Q, Y: outside(Q, Y).flatten().quantile(0.9),
        "With this factor 90 % are covered. 0.9 is a level of the fan; the share that shall lie "
        "inside is another number.",
    ),
    Mistake(
        "above_only",
        lambda Q, Y: ((Y - Q[:, :, 4]) / (Q[:, :, -1] - Q[:, :, 4])).flatten().quantile(0.8),
        "Only the distances above the median count here. Truth that lies far below it is outside, "
        "too.",
    ),
    Mistake(
        "below_only",
        lambda Q, Y: ((Q[:, :, 4] - Y) / (Q[:, :, 4] - Q[:, :, 0])).flatten().quantile(0.8),
        "Only the distances below the median count here. Truth that lies far above it is outside, "
        "too.",
    ),
    Mistake(
        "half_of_the_whole_width",
        lambda Q, Y: (
            ((Y - Q[:, :, 4]).abs() / (Q[:, :, -1] - Q[:, :, 0]) * 2).flatten().quantile(0.8)
        ),
        "The distance is measured in half the width of the band. The fan is lopsided: its two "
        "halves have widths of their own.",
    ),
    Mistake(
        "whole_width",
        lambda Q, Y: ((Y - Q[:, :, 4]).abs() / (Q[:, :, -1] - Q[:, :, 0])).flatten().quantile(0.8),
        "The distance is measured in the whole width of the band, from the lowest level to the "
        "highest. From the median it is only the way to one edge.",
    ),
    Mistake(
        "middle_of_the_band",
        lambda Q, Y: (
            ((Y - (Q[:, :, 0] + Q[:, :, -1]) / 2).abs() / (Q[:, :, -1] - Q[:, :, 0]) * 2)
            .flatten()
            .quantile(0.8)
        ),
        "The distance is measured from the middle of the band. The median is the fifth level.",
    ),
    Mistake(
        "mean_distance",
        lambda Q, Y: outside(Q, Y).mean(),
        "That is the mean of the distances. How far out may a case be, if 80 % shall be inside?",
    ),
    Mistake(
        "last_month_only",
        lambda Q, Y: outside(Q, Y)[:, -1].quantile(0.8),
        "Only the last month ahead is looked at. The coverage is one of all months.",
    ),
    Mistake(
        "mean_of_the_months",
        lambda Q, Y: outside(Q, Y).quantile(0.8, dim=0).mean(),
        "Each month ahead gets a factor of its own, and their mean is taken. One factor is to "
        "serve all months together.",
    ),
    Mistake(
        "largest_distance_of_each_origin",
        lambda Q, Y: outside(Q, Y).amax(dim=1).quantile(0.8),
        "With this factor 80 % of the origins have all their months inside. The coverage counts "
        "single months.",
    ),
    Mistake(
        "twenty_percent",
        lambda Q, Y: outside(Q, Y).flatten().quantile(0.2),
        "With this factor 20 % are inside, not outside.",
    ),
    Mistake(
        "one_over_the_factor",
        lambda Q, Y: 1 / widening(Q, Y),
        "That is one over the factor: the band would become narrower.",
    ),
)

# --- 6: two directions, and padding -------------------------------------------------------------


def lengths_case(lengths: tuple[int, ...], num_hiddens: int, seed: int) -> Case:
    """A bidirectional layer and padded sequences."""
    layer = nn.GRU(2, num_hiddens, batch_first=True, bidirectional=True).double()
    for place, param in enumerate(layer.parameters()):
        param.data = drawn(*param.shape, seed=seed + place)
    cycles = [drawn(length, 2, seed=seed + length) for length in lengths]
    padded = pad_sequence(cycles, batch_first=True)
    arguments = {"layer": layer, "padded": padded, "lengths": torch.tensor(lengths)}
    return Case(arguments, f"sequences of {', '.join(map(str, lengths))} steps")


def padded_cases() -> list[Case]:
    """Sequences of equal lengths, sorted ones, and unsorted ones."""
    return [
        lengths_case((5, 5), 3, 300),
        lengths_case((7, 4, 2), 3, 400),
        lengths_case((3, 6, 5, 2), 2, 500),
    ]


def packed_state(layer: Any, padded: Tensor, lengths: Tensor) -> Tensor:
    """The last states of both directions, ``(2, num_sequences, num_hiddens)``."""
    packed = pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False)
    state: Tensor = layer(packed)[1]
    return state


def joined(state: Tensor) -> Tensor:
    """Both directions side by side."""
    return torch.cat([state[0], state[1]], dim=1)


def both_ways(layer: Any, padded: Tensor, lengths: Tensor) -> Tensor:
    """What each sequence gives alone, forward and backward, side by side."""
    return joined(packed_state(layer, padded, lengths))


def gathered(layer: Any, padded: Tensor, lengths: Tensor, back: int = 1) -> Tensor:
    """The states at the last real step."""
    states: Tensor = layer(padded)[0]
    return states[torch.arange(len(padded)), (lengths - back).clamp(min=0)]


def backward_at_0(layer: Any, padded: Tensor, lengths: Tensor) -> Tensor:
    """The forward half at the last real step, the backward half at step 0."""
    h = layer.hidden_size
    return torch.cat([gathered(layer, padded, lengths)[:, :h], layer(padded)[0][:, 0, h:]], dim=1)


def still_sorted(layer: Any, padded: Tensor, lengths: Tensor) -> Tensor:
    """The packed states in the order of the sorted lengths."""
    order = lengths.argsort(descending=True, stable=True)
    return both_ways(layer, padded[order], lengths[order])


TWO_WAYS = (
    Mistake(
        "gathered_at_the_last_step",
        gathered,
        "The states are gathered at the last real step. There the forward half is right; the "
        "backward half has read the padding, and of the sequence a single step.",
    ),
    Mistake(
        "last_of_the_padded_steps",
        lambda layer, padded, lengths: layer(padded)[0][:, -1],
        "These are the states at the last step of the longest sequence: for the others that is "
        "padding.",
    ),
    Mistake(
        "backward_at_step_0",
        backward_at_0,
        "The backward half at step 0 has read the whole sequence, but it came through the padding, "
        "with a state that was no longer zero.",
    ),
    Mistake(
        "not_packed",
        lambda layer, padded, lengths: joined(layer(padded)[1]),
        "The last states are taken, but the layer has read the padding as well.",
    ),
    Mistake(
        "reshaped",
        lambda layer, padded, lengths: packed_state(layer, padded, lengths).reshape(
            len(padded), -1
        ),
        "The numbers are right, and put beside each other in the wrong order: `reshape` of "
        "(2, sequences, units) takes the directions apart, not the sequences.",
    ),
    Mistake(
        "halves_exchanged",
        lambda layer, padded, lengths: joined(packed_state(layer, padded, lengths).flip(0)),
        "Both halves are right, in the wrong order: forward comes first.",
    ),
    Mistake(
        "one_direction",
        lambda layer, padded, lengths: packed_state(layer, padded, lengths)[0],
        "That is the forward half alone.",
    ),
    Mistake(
        "backward_alone",
        lambda layer, padded, lengths: packed_state(layer, padded, lengths)[-1],
        "That is the backward half alone: `H[-1]` of a bidirectional layer.",
    ),
    Mistake(
        "added",
        lambda layer, padded, lengths: packed_state(layer, padded, lengths).sum(dim=0),
        "The two halves are added. They belong side by side.",
    ),
    Mistake(
        "halves_not_joined",
        lambda layer, padded, lengths: packed_state(layer, padded, lengths),
        "The states are right, but stand one direction after the other: join them along the units.",
    ),
    Mistake(
        "sorted_and_left_so",
        still_sorted,
        "The sequences were sorted by their lengths, and the states are still in that order.",
    ),
    Mistake(
        "packed_and_padded_again",
        lambda layer, padded, lengths: torch.cat(
            [
                both_ways(layer, padded, lengths)[:, : layer.hidden_size],
                torch.stack(
                    [
                        layer(row[None, :n])[0][0, -1, layer.hidden_size :]
                        for row, n in zip(padded, lengths.tolist(), strict=True)
                    ]
                ),
            ],
            dim=1,
        ),
        "It is packed, but then both halves are taken at the last real step: there the backward "
        "half has read a single step.",
        see="10: Two directions",
    ),
)

# --- 7: the slope of the pinball loss -----------------------------------------------------------


def slope(truth: Tensor, q: float, tau: float) -> Tensor:
    """By how much the mean pinball loss grows for each small unit by which q is raised."""
    return (truth < q).double().mean() - tau


def slope_cases() -> list[Case]:
    """Numbers of which some lie below q, none near it."""
    truth = torch.tensor([0.4, 2.5, 1.0, 3.1, 0.2, 5.0, 1.7, 2.2, 8.0, 0.9]).double()
    return [
        Case({"truth": truth, "q": q, "tau": tau}, f"q = {q} and tau = {tau}")
        for q, tau in ((1.3, 0.9), (1.3, 0.1), (4.0, 0.25), (9.0, 0.7))
    ]


SLOPE = (
    Mistake(
        "wrong_sign",
        lambda truth, q, tau: -slope(truth, q, tau),
        "The size is right, the sign is not: where too little of the truth lies below q, raising "
        "q pays, and the loss falls.",
    ),
    Mistake(
        "share_above",
        lambda truth, q, tau: (truth > q).double().mean() - tau,
        "The share of the truth above q stands where that below it belongs.",
    ),
    Mistake(
        "share_alone",
        lambda truth, q, tau: (truth < q).double().mean(),
        "That is the share below q. It is one part: what does the level take off?",
    ),
    Mistake(
        "weights_exchanged",
        lambda truth, q, tau: (
            tau * (truth < q).double().mean() - (1 - tau) * (truth > q).double().mean()
        ),
        "The two weights have changed places: a truth above q costs tau for each unit, one below "
        "it 1 - tau.",
    ),
    Mistake(
        "below_only",
        lambda truth, q, tau: (1 - tau) * (truth < q).double().mean(),
        "That is what the truths below q cost more. Those above q cost less at the same time.",
    ),
    Mistake(
        "above_only",
        lambda truth, q, tau: -tau * (truth > q).double().mean(),
        "That is what the truths above q cost less. Those below q cost more at the same time.",
    ),
    Mistake(
        "both_added",
        lambda truth, q, tau: (
            (1 - tau) * (truth < q).double().mean() + tau * (truth > q).double().mean()
        ),
        "The two parts have different signs: raising q makes it worse for the truths below it, and "
        "better for those above.",
    ),
    Mistake(
        "sum_for_mean",
        lambda truth, q, tau: len(truth) * slope(truth, q, tau),
        "The slopes of all truths are added up. The loss is a mean.",
    ),
    Mistake(
        "loss_itself",
        lambda truth, q, tau: torch.maximum(tau * (truth - q), (tau - 1) * (truth - q)).mean(),
        "That is the loss itself. By how much does it grow if q does?",
    ),
    Mistake(
        "quantile",
        lambda truth, q, tau: truth.quantile(tau),
        "That is the quantile of this level, where the slope is 0. Asked for is the slope at q.",
    ),
)

WALK = "Where nothing beats naive"
GRU = "A GRU that reads numbers"
FAN = "A fan instead of a line"
LENGTHS = "Sequences of unequal length"
HALVES = ("gathered_forward", "gathered_backward", "packed_forward", "packed_backward")

EXERCISES = (
    Exercise(
        "09.1a",
        "a function of h that returns the mean squared error of naive after h steps",
        Function(horizon_cases, relative=1e-3),
        lambda h: float(h),
        "Independent steps add their variances, and so the root of the error grows as the root of "
        "h.",
        WALK,
        (
            Mistake(
                "root",
                lambda h: h**0.5,
                "That is the root of the mean squared error, as in the tables of the lesson. Asked "
                "for is the mean squared error.",
            ),
            Mistake(
                "square",
                lambda h: float(h * h),
                "That is so if all steps are equal. Here they are independent, and partly cancel.",
            ),
            Mistake(
                "always_one",
                lambda h: 1.0,
                "That is the error after one step. What do h independent steps add up to?",
            ),
            Mistake(
                "twice",
                lambda h: 2.0 * h,
                "That is the variance of the difference of two walks. Naive's forecast is a value "
                "of the same walk, already known.",
            ),
            Mistake(
                "one_less",
                lambda h: h - 1.0,
                "One step too few: one step ahead, the error is one whole step.",
            ),
            Mistake(
                "one_more",
                lambda h: h + 1.0,
                "One step too many: one step ahead, the error is a single step.",
            ),
            Mistake(
                "zero",
                lambda h: 0.0,
                "The errors have a mean of 0. Their squares have not.",
            ),
            Mistake(
                "measured",
                lambda h: 1.004 * h,
                "Near, as a measurement is; here the formula is asked for.",
                when=near_the_formula,
            ),
            Mistake(
                "mean_absolute_error",
                lambda h: (2 * h / math.pi) ** 0.5,
                "That is the mean absolute error of normal steps. Here the errors are squared.",
            ),
            Mistake(
                "sum_over_horizons",
                lambda h: h * (h + 1) / 2,
                "That is the sum over the horizons from 1 to h. Each horizon has its own error.",
                see="The series",
            ),
            Mistake(
                "mean_over_horizons",
                lambda h: (h + 1) / 2,
                "That is the mean over the horizons from 1 to h. Each horizon has its own error.",
                see="The series",
            ),
        ),
    ),
    Exercise(
        "09.1b",
        "a function of walk and h that returns the mean squared error of naive after h steps, over "
        "all origins of the walk",
        Function(walk_cases),
        measured,
        "On a walk of a million steps this comes near to what the algebra says.",
        WALK,
        MEASURED,
    ),
    Exercise(
        "09.2",
        "a function of members and rival, the errors of some GRUs (a row for each, a column for "
        "each horizon) and of another method, that returns on how many horizons the best of the "
        "members is at or below the rival",
        Function(race_cases),
        best_wins,
        "It counts a win that nobody could have had: the best was chosen by the errors that are "
        "reported.",
        GRU,
        BEST,
    ),
    Exercise(
        "09.3",
        "a function of X, months and mean that returns X, (origins, lags), with all but the last "
        "months of each row replaced by the mean",
        Cutting(cut_cases),
        cut_off,
        "The GRU reads as many steps as before, and knows only the last of them.",
        GRU,
        CUT,
    ),
    Exercise(
        "09.4",
        "a function of X, factor, mean and deviation that returns what scaled windows X become if "
        "the sun is factor times as high, scaled as before",
        Scaling(height_cases),
        higher_sun,
        "On scaled numbers a higher sun is not only a factor: their zero is the mean.",
        GRU,
        HEIGHTS,
    ),
    Exercise(
        "09.5",
        "a function of Q and Y, quantiles (origins, ahead, 9) for the levels 0.1 to 0.9 and the "
        "truth, that returns by which factor the distances from the median must be multiplied for "
        "the band from 0.1 to 0.9 to cover 80 %",
        Function(fan_cases, absolute=0.02, relative=0.01),
        widening,
        "It mends the years that it was taken from, by construction, and promises nothing for "
        "others.",
        FAN,
        WIDER,
    ),
    Exercise(
        "09.6a",
        "which halves are what each cycle gives alone: gathered at the last month, and packed",
        Names(HALVES),
        ("gathered_forward", "packed_forward", "packed_backward"),
        "Only packing lets the backward half begin where the sequence ends.",
        LENGTHS,
        (
            Mistake(
                "padding_forgotten",
                HALVES,
                "In one of them a half has read the padding before it came to the cycle.",
            ),
            Mistake(
                "all_of_gathering_wrong",
                ("packed_forward", "packed_backward"),
                "At the last month one half has not met the padding yet.",
            ),
            Mistake(
                "forward_only",
                ("gathered_forward", "packed_forward"),
                "The layer reads packed sequences backward as well, and does not see the padding.",
            ),
            Mistake(
                "packing_forward_only",
                ("gathered_forward", "gathered_backward", "packed_forward"),
                "Which of the two ways lets the backward half begin at the padding?",
            ),
            Mistake(
                "halves_exchanged",
                ("gathered_backward", "packed_forward", "packed_backward"),
                "At the last month, which half has read the whole cycle, and which has just come "
                "out of the padding?",
                see="10: Two directions",
            ),
            Mistake(
                "packed_backward_alone",
                ("packed_backward",),
                "The forward half is right more often: see what the lesson finds for one "
                "direction.",
            ),
            Mistake(
                "none",
                (),
                "Compare each half alone: `found[:, :num_hiddens]` and `found[:, num_hiddens:]`.",
            ),
        ),
    ),
    Exercise(
        "09.6b",
        "a function of layer, padded and lengths that returns the last states of a bidirectional "
        "layer (batch_first) for each sequence, forward and backward side by side: "
        "(num_sequences, 2 * num_hiddens)",
        Function(padded_cases),
        both_ways,
        "Each sequence gives what it gives alone, in both directions.",
        LENGTHS,
        TWO_WAYS,
    ),
    Exercise(
        "09.7",
        "a function of truth, q and tau that returns by how much the mean pinball loss grows for "
        "each small unit by which q is raised (no truth equals q)",
        Function(slope_cases, absolute=0.002, relative=1e-3),
        slope,
        "It is below 0 as long as too little lies below q, and above 0 after that: the least is "
        "where the share is tau.",
        FAN,
        SLOPE,
    ),
)
