"""The exercises of notebook 06, The gate explorer."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..corpus import clean_lines, read_corpus
from ..equations import PARAM_NAMES
from .core import Exercise, Mistake
from .kinds import (
    Between,
    Built,
    Case,
    Function,
    Names,
    Numbers,
    Outcome,
    TensorOf,
    number,
    plain_word,
)
from .samples import drawn
from .values import NotThisKind, read_numbers

LOOKS_BACK = "How many characters back?"
KEEPS = "Does any unit keep?"
HOLD = "Hold a gate"
SENTENCE = "A famous sentence, tested"
CANNOT_TELL = "What such pictures cannot tell"
KNOWN = "".join(
    [
        "the time traveller for so it will be convenient to speak of him",
        "was expounding a recondite matter to us his grey eyes shone and",
        "twinkled and his usually pale face was flushed and animated the",
        "fire burned brightly and the soft radiance of the incandescent",
    ]
)


def agrees_on(
    cases: Callable[[], Sequence[Case]], places: tuple[int, ...], *functions: Callable[..., Any]
) -> Callable[[list[Outcome]], bool]:
    """Whether a student's function does what one of these does, on some of the cases alone."""

    def when(reading: list[Outcome]) -> bool:
        tried = [(outcome, cases()[place]) for place, outcome in enumerate(reading)]
        seen = [tried[place] for place in places if place < len(tried)]
        return len(seen) == len(places) and any(
            all(
                not outcome.trouble
                and TensorOf(1e-5, 1e-4).same(
                    outcome.numbers, [torch.as_tensor(function(**case.arguments))]
                )
                for outcome, case in seen
            )
            for function in functions
        )

    return when


# --- 2: places with one possible next character -------------------------------------------------

WORDS = ("the", "then", "time", "tin", "man", "many", "a", "an", "and", "hand", "he", "heat")


def word_text(count: int) -> str:
    """That many words out of a dozen."""
    places = drawn(count, len(WORDS), seed=1).argmax(dim=1)
    return " ".join(WORDS[place] for place in places)


def text_cases() -> list[Case]:
    """A text of few words, with several numbers of characters."""
    text = word_text(150)
    return [Case({"text": text, "k": k}, f"a text of {len(text)}, k = {k}") for k in (1, 3, 6)]


def followed(text: str, k: int) -> dict[str, Counter[str]]:
    """What follows each k characters in a row, and how often."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for end in range(k, len(text)):
        found[text[end - k : end]][text[end]] += 1
    return found


@functools.lru_cache(maxsize=64)
def share_certain(text: str, k: int) -> float:
    """The share of the places at which the last k characters leave one possible next one."""
    found = followed(text, k).values()
    return sum(sum(c.values()) for c in found if len(c) == 1) / (len(text) - k)


def of_contexts(text: str, k: int) -> float:
    """The share of the contexts, each counted once."""
    found = followed(text, k).values()
    return sum(len(c) == 1 for c in found) / max(len(found), 1)


def so_far(text: str, k: int) -> float:
    """The share, judged by the text up to each place alone."""
    followers: dict[str, set[str]] = defaultdict(set)
    certain = 0
    for end in range(k, len(text)):
        followers[text[end - k : end]].add(text[end])
        certain += len(followers[text[end - k : end]]) == 1
    return certain / (len(text) - k)


def guessed(text: str, k: int) -> float:
    """The share of the places at which the most frequent next character comes."""
    return sum(max(c.values()) for c in followed(text, k).values()) / (len(text) - k)


def occurring_once(text: str, k: int) -> float:
    """The share of the places whose context occurs only there."""
    return sum(sum(c.values()) == 1 for c in followed(text, k).values()) / (len(text) - k)


def repeated(text: str, k: int) -> float:
    """The share, without the contexts that occur only once."""
    return share_certain(text, k) - occurring_once(text, k)


def while_filled(text: str, k: int, guessing: bool = False) -> float:
    """The share with one follower known before a place is read; ``guessing``: and it is right."""
    followers: dict[str, set[str]] = defaultdict(set)
    certain = 0
    for end in range(k, len(text)):
        found = followers[text[end - k : end]]
        certain += found == {text[end]} if guessing else len(found) == 1
        found.add(text[end])
    return certain / (len(text) - k)


def guessed_while_filled(text: str, k: int) -> float:
    """The share of the places that a table guesses right while it is being filled."""
    return while_filled(text, k, guessing=True)


def in_blocks(text: str, k: int) -> float:
    """The share, where only every k-th place is looked at."""
    places = range(0, len(text) - k, k)
    followers: dict[str, set[str]] = defaultdict(set)
    for start in places:
        followers[text[start : start + k]].add(text[start + k])
    return sum(len(followers[text[i : i + k]]) == 1 for i in places) / len(places)


WHILE_FILLED = (
    "The table is read while it is still being filled, so that only what came before counts: "
    "first read the whole text."
)
SHARE = (
    Mistake(
        "contexts_counted",
        of_contexts,
        "Every k characters are counted once, however often they occur. The share is that of the "
        "places in the text.",
    ),
    Mistake(
        "judged_too_early",
        so_far,
        "A place is judged by the text before it alone. First collect what follows in the whole "
        "text, then count.",
    ),
    Mistake("read_while_filled", while_filled, WHILE_FILLED),
    Mistake("guessed_while_filled", guessed_while_filled, WHILE_FILLED),
    Mistake(
        "cut_into_blocks",
        in_blocks,
        "Only every k-th place is looked at: the k characters before a place overlap with those "
        "before the next.",
    ),
    Mistake(
        "occurring_once",
        occurring_once,
        "These are the places whose k characters occur nowhere else. They may occur again, as long "
        "as the same character follows.",
    ),
    Mistake(
        "repeated_only",
        repeated,
        "Characters in a row that occur only once are left out. They too leave one possible next "
        "one.",
    ),
    Mistake(
        "guessed_right",
        guessed,
        "This is how often the most frequent next character comes. Asked for are the places at "
        "which no other ever comes.",
    ),
    Mistake(
        "one_character_more",
        lambda text, k: share_certain(text, k + 1),
        "It looks at one character too many. Look at the ends of the slice.",
    ),
    Mistake(
        "one_character_less",
        lambda text, k: share_certain(text, k - 1),
        "It looks at one character too few. Look at the ends of the slice.",
    ),
    Mistake(
        "turned_round",
        lambda text, k: share_certain(text[::-1], k),
        "It asks which character comes before the k characters, not after them.",
    ),
    Mistake(
        "percent",
        lambda text, k: 100 * share_certain(text, k),
        "This is in percent. A share lies between 0 and 1.",
    ),
    Mistake(
        "number_of_places",
        lambda text, k: share_certain(text, k) * (len(text) - k),
        "This is a number of places: divide by how many there are.",
    ),
    Mistake(
        "the_others",
        lambda text, k: 1 - share_certain(text, k),
        "This is the share of the other places, where several characters are possible.",
    ),
)


LENGTH = 10_000


@functools.lru_cache(maxsize=4)
def joined(raw: str) -> str:
    """A text as this course reads it."""
    return "".join(clean_lines(raw))


def text_in_use() -> str:
    """The text that this course finds here, all of it."""
    return joined(read_corpus()[0])


def share_of_all(text: str, k: int) -> float:
    """``share_certain`` with each k + 1 characters as one number: fast for a long text."""
    letters = torch.tensor(list(text.encode())) % 32
    codes = letters.unfold(0, k + 1, 1) @ 32 ** torch.arange(k, -1, -1)
    pairs, count = codes.unique(return_counts=True)
    _, place, followers = (pairs // 32).unique(return_inverse=True, return_counts=True)
    return count[followers[place] == 1].sum().item() / count.sum().item()


@functools.lru_cache(maxsize=4)
def shares_of(text: str) -> dict[str, float]:
    """The share for five characters, and what comes of it by mistake."""
    start = text[:LENGTH]
    ways: dict[str, Callable[[str, int], float]] = {
        "right": share_certain,
        "contexts_counted": of_contexts,
        "judged_too_early": so_far,
        "read_while_filled": while_filled,
        "guessed_while_filled": guessed_while_filled,
        "occurring_once": occurring_once,
        "repeated_only": repeated,
        "guessed_right": guessed,
        "cut_into_blocks": in_blocks,
        "one_character_more": lambda text, k: share_certain(text, k + 1),
        "one_character_less": lambda text, k: share_certain(text, k - 1),
        "the_others": lambda text, k: 1 - share_certain(text, k),
    }
    found = {name: way(start, 5) for name, way in ways.items()}
    found["known_lines"] = share_certain(KNOWN, 5)
    found["whole_text"] = share_of_all(text, 5)
    return found


NEAR = 0.006


def measured(name: str = "right") -> float:
    """A share in the text in use."""
    return shares_of(text_in_use())[name]


def nearest(found: Tensor) -> str:
    """The mistake whose share is the nearest one, or nothing if none is near."""
    far = {name: abs(found.item() - share) for name, share in shares_of(text_in_use()).items()}
    name = min(far, key=far.__getitem__)
    return name if far[name] <= NEAR + 1e-9 else ""


def share_mistake(name: str, hint: str) -> Mistake:
    """A mistake in measuring the share; where two are near, the nearer one is meant."""
    return Mistake(name, lambda: measured(name), hint, when=lambda found: nearest(found) == name)


# --- 4: half-life of a gate that changes, and what a unit keeps ---------------------------------


def kept_cases() -> list[Case]:
    """Gates of seven steps and four units, in which no two ways to count agree.

    The best two steps in a row are the last two.
    """
    Z = torch.sigmoid(2 * drawn(7, 4, seed=214) + 1)
    lengths = {1: "one step alone", 2: "two steps in a row", 4: "four steps in a row"}
    lengths[len(Z)] = "all steps in a row"
    return [Case({"Z": Z, "length": length}, words) for length, words in lengths.items()]


def windows(Z: Tensor, length: int) -> Tensor:
    """All stretches of steps: (number of stretches, num_hiddens, length)."""
    return Z.unfold(0, length, 1)


def best_kept(Z: Tensor, length: int) -> Tensor:
    """The largest share of its state that a unit keeps over a stretch."""
    return windows(Z, length).prod(dim=-1).max()


def without_the_last(Z: Tensor, length: int) -> Tensor:
    """The same, without the stretch that ends with the text; 0 where there is no other."""
    return torch.cat([windows(Z, length)[:-1].prod(dim=-1), torch.zeros(1, Z.shape[1])]).max()


def one_step_more(Z: Tensor, length: int) -> Tensor:
    """The same for one step more, where there is one."""
    return best_kept(Z, min(length + 1, len(Z)))


def cut_to(Z: Tensor, length: int, steps: int) -> Tensor:
    """The same, for so many steps from each beginning, or fewer at the end of the text."""
    beginnings = range(len(Z) - length + 1)
    return torch.stack([Z[step : step + steps].prod(dim=0).max() for step in beginnings]).max()


def along_the_units(Z: Tensor, length: int) -> Tensor:
    """A product over neighboring units."""
    return Z.T.unfold(0, min(length, Z.shape[1]), 1).prod(dim=-1).max()


def across_units(Z: Tensor, length: int) -> Tensor:
    """The product of the largest gates, which belong to several units."""
    return windows(Z.max(dim=1, keepdim=True).values, length).prod(dim=-1).max()


def from_the_mean(Z: Tensor, length: int) -> Tensor:
    """What each unit's half-life leaves after so many steps."""
    return Z.log().mean(dim=0).mul(length).exp().max()


KEPT = (
    Mistake(
        "first_steps_only",
        lambda Z, length: Z[:length].prod(dim=0).max(),
        "Only the first steps of the text are looked at: a stretch may begin anywhere.",
    ),
    Mistake(
        "last_steps_only",
        lambda Z, length: Z[-length:].prod(dim=0).max(),
        "Only the last steps of the text are looked at: a stretch may begin anywhere.",
    ),
    Mistake(
        "last_stretch_forgotten",
        without_the_last,
        "The last stretch is not looked at: how many beginnings are there?",
        when=agrees_on(kept_cases, (0, 1, 2), without_the_last),
    ),
    Mistake(
        "past_the_end",
        lambda Z, length: torch.stack(
            [Z[step : step + length].prod(dim=0).max() for step in range(len(Z))]
        ).max(),
        "The last stretches are too short: they end where the text does.",
    ),
    Mistake(
        "without_overlap",
        lambda Z, length: (
            Z[: len(Z) // length * length].unflatten(0, (-1, length)).prod(dim=1).max()
        ),
        "The text is cut into pieces that do not overlap: a stretch may begin at any step.",
    ),
    Mistake(
        "mean_gate",
        lambda Z, length: windows(Z, length).mean(dim=-1).max(),
        "This is a mean of the gates. After several steps their product is left.",
    ),
    Mistake(
        "sum_of_gates",
        lambda Z, length: windows(Z, length).sum(dim=-1).max(),
        "The gates are added. After several steps their product is left.",
    ),
    Mistake(
        "lowest_gate",
        lambda Z, length: windows(Z, length).amin(dim=-1).max(),
        "This is the lowest gate of a stretch. The other steps take their share too.",
    ),
    Mistake(
        "highest_gate",
        lambda Z, length: Z.max(),
        "This is the largest gate of all: how much is kept over one step.",
    ),
    Mistake(
        "several_units",
        across_units,
        "At each step the largest gate of all units is taken, so that the steps belong to several "
        "units. Multiply within a unit first.",
    ),
    Mistake(
        "along_the_units",
        along_the_units,
        "The product runs over the units at one step. It should run over the steps of one unit.",
        when=agrees_on(kept_cases, (0, 1, 2), along_the_units),
    ),
    Mistake(
        "half_life",
        from_the_mean,
        "This comes from the mean of ln z over the whole text, as the half-life does. The question "
        "is about the best stretch.",
    ),
    Mistake(
        "whole_text",
        lambda Z, length: Z.prod(dim=0).max(),
        "The product runs over the whole text, not over so many steps.",
    ),
    Mistake(
        "one_step_more",
        one_step_more,
        "The stretches are one step too long.",
        when=agrees_on(
            kept_cases,
            (0, 1, 2),
            one_step_more,
            lambda Z, length: cut_to(Z, length, length + 1),
        ),
    ),
    Mistake(
        "one_step_less",
        lambda Z, length: best_kept(Z, length - 1),
        "The stretches are one step too short.",
        when=agrees_on(
            kept_cases,
            (0, 1, 2),
            lambda Z, length: best_kept(Z, length - 1),
            lambda Z, length: cut_to(Z, length, length - 1),
        ),
    ),
    Mistake(
        "power_of_the_largest",
        lambda Z, length: Z.max() ** length,
        "The largest gate does not come several times in a row. Multiply the gates that do.",
    ),
    Mistake(
        "geometric_mean",
        lambda Z, length: best_kept(Z, length) ** (1 / length),
        "This is the mean share per step. Asked for is what is left after all the steps.",
    ),
    Mistake(
        "percent",
        lambda Z, length: 100 * best_kept(Z, length),
        "This is in percent. A share lies between 0 and 1.",
    ),
    Mistake(
        "each_unit",
        lambda Z, length: windows(Z, length).prod(dim=-1).amax(dim=0),
        "These are the best stretches of each unit. Asked for is the largest of them, one number.",
    ),
    Mistake(
        "each_step",
        lambda Z, length: windows(Z, length).prod(dim=-1).amax(dim=1),
        "This is the best unit of each stretch. Asked for is the largest of all, one number.",
    ),
    Mistake(
        "smallest",
        lambda Z, length: windows(Z, length).prod(dim=-1).min(),
        "This is the smallest share that is kept.",
    ),
    Mistake(
        "written_share",
        lambda Z, length: windows(1 - Z, length).prod(dim=-1).max(),
        "The product is one of 1 - z, the shares that are written. Here z keeps.",
    ),
    Mistake(
        "mean_over_stretches",
        lambda Z, length: windows(Z, length).prod(dim=-1).mean(dim=0).max(),
        "This is what the best unit keeps on average. Look for the best stretch.",
    ),
)

FOUR_Z = [0.99] * 9 + [0.01]


def life(mean_log: float) -> float:
    """The half-life for a mean of ln z."""
    return math.log(0.5) / mean_log


MEAN_LOG = sum(map(math.log, FOUR_Z)) / 10

# --- 5: rank correlations -----------------------------------------------------------------------


def rank_cases() -> list[Case]:
    """Three measures of thirty units, connected with one another; without ties and with."""
    swing = drawn(30, seed=5)
    a, b = swing + 0.9 * drawn(30, seed=6), 0.6 * swing - 0.7 * drawn(30, seed=7)
    b = b - 0.4 * a
    cases = []
    for words, rounded in (("values that all differ", False), ("values of which some tie", True)):
        values = [v.round() if rounded else v.exp() for v in (a, b, swing)]
        cases.append(Case(dict(zip(("a", "b", "swing"), values, strict=True)), words))
    return cases


def ranks(values: Tensor) -> Tensor:
    """The rank of each value; equal values share their mean rank."""
    above = (values[:, None] > values).double() + 0.5 * (values[:, None] == values).double()
    return above.sum(dim=1)


def in_order(values: Tensor) -> Tensor:
    """Ranks that put equal values one after the other."""
    return values.argsort(stable=True).argsort().double()


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's correlation."""
    return torch.corrcoef(torch.stack([a.double(), b.double()]))[0, 1]


def rest(values: Tensor, given: Tensor, constant: bool = True) -> Tensor:
    """What is left of values when that which another explains linearly is taken away."""
    ones = [torch.ones_like(given)] if constant else []
    others = torch.stack([*ones, given], dim=1)
    return values - others @ torch.linalg.lstsq(others, values[:, None]).solution[:, 0]


def partial(
    rank: Callable[[Tensor], Tensor] = ranks,
    left: Callable[[Tensor, Tensor], Tensor] = rest,
    right: Callable[[Tensor, Tensor], Tensor] = rest,
) -> Callable[..., Tensor]:
    """A correlation of ranks, with the swing taken away in some way from either."""

    def function(a: Tensor, b: Tensor, swing: Tensor) -> Tensor:
        a, b, swing = (rank(v.double()) for v in (a, b, swing))
        return correlation(left(a, swing), right(b, swing))

    return function


def as_it_is(values: Tensor, given: Tensor) -> Tensor:
    """Nothing is taken away."""
    return values


def through_zero(values: Tensor, given: Tensor) -> Tensor:
    """The rest of a fit without a constant."""
    return rest(values, given, constant=False)


def without_denominator(a: Tensor, b: Tensor, swing: Tensor) -> Tensor:
    """The numerator of the formula for partial correlations."""
    a, b, swing = map(ranks, (a, b, swing))
    return correlation(a, b) - correlation(a, swing) * correlation(b, swing)


def raw_rest_then_ranks(a: Tensor, b: Tensor, swing: Tensor) -> Tensor:
    """The ranks of what is left of the values."""
    return correlation(ranks(rest(a, swing)), ranks(rest(b, swing)))


def ranked_again(a: Tensor, b: Tensor, swing: Tensor) -> Tensor:
    """The ranks of what is left of the ranks."""
    a, b, swing = map(ranks, (a, b, swing))
    return correlation(ranks(rest(a, swing)), ranks(rest(b, swing)))


one_argsort = partial(rank=lambda values: values.argsort().double())
PARTIAL = (
    Mistake(
        "swing_not_taken_away",
        partial(left=as_it_is, right=as_it_is),
        "This is the plain rank correlation: the swing plays no part in it.",
    ),
    Mistake(
        "from_the_second_only",
        partial(left=as_it_is),
        "The swing is taken away from b alone. It has to go from both ranks.",
    ),
    Mistake(
        "from_the_first_only",
        partial(right=as_it_is),
        "The swing is taken away from a alone. It has to go from both ranks.",
    ),
    Mistake(
        "values_for_ranks",
        partial(rank=lambda v: v),
        "The swing is taken away, but from the values: first make ranks of all three.",
    ),
    Mistake(
        "ranks_too_late",
        raw_rest_then_ranks,
        "The swing is taken away from the values, and then come the ranks. The ranks come first.",
    ),
    Mistake(
        "ranked_again",
        ranked_again,
        "The residuals are ranked again: correlate them as they are.",
    ),
    Mistake(
        "one_argsort",
        one_argsort,
        "`argsort` gives places, not ranks: it says which unit comes first, not which rank a unit "
        "has.",
        when=agrees_on(rank_cases, (0,), one_argsort),
    ),
    Mistake(
        "swing_not_ranked",
        lambda a, b, swing: correlation(rest(ranks(a), swing), rest(ranks(b), swing)),
        "The swing itself is taken away from the ranks. Take its rank.",
    ),
    Mistake(
        "no_constant",
        partial(left=through_zero, right=through_zero),
        "The line that is taken away goes through 0. It needs a constant, a column of ones.",
    ),
    Mistake(
        "subtracted",
        partial(left=lambda v, given: v - given, right=lambda v, given: v - given),
        "The rank of the swing is subtracted as it is. Take away only what it explains: fit a line "
        "first.",
    ),
    Mistake(
        "divided",
        partial(left=lambda v, given: v / given, right=lambda v, given: v / given),
        "The ranks are divided by that of the swing. Fit a line, and take it away.",
    ),
    Mistake(
        "the_fits_compared",
        partial(left=lambda v, g: v - rest(v, g), right=lambda v, g: v - rest(v, g)),
        "These are the lines that were fitted, which always agree. What is left is the difference "
        "from them.",
    ),
    Mistake(
        "numerator_alone",
        without_denominator,
        "The numerator of the formula is right; it still has to be divided.",
    ),
    Mistake(
        "ties_in_order",
        partial(rank=in_order),
        "Right where all values differ. Equal values have to share their mean rank, or chance "
        "decides; many units never have r below 0.1.",
    ),
    Mistake(
        "squared",
        lambda a, b, swing: partial()(a, b, swing) ** 2,
        "This is the square: the sign is lost.",
    ),
    Mistake(
        "sign_lost",
        lambda a, b, swing: partial()(a, b, swing).abs(),
        "This is the size alone: the sign is lost.",
    ),
)
MODELS = ("scratch", "nn.GRU")
MEASURES = ("share with r > 0.9", "share with r < 0.1", "mean r")
LEFT = tuple(f"{model}, {measure}" for model in MODELS for measure in MEASURES)


def short(*names: Any) -> str:
    """Names in one, in any order, without case, points and the word model."""
    plain = [plain_word(name).replace(".", " ").replace(" model", "") for name in names]
    return ", ".join(sorted(plain))


def by_name(answer: Mapping[Any, Any]) -> dict[Any, Any]:
    """A dict of models, of measures or of both, one in the other, with the names in ``LEFT``."""
    both = {short(model, name): f"{model}, {name}" for model in MODELS for name in MEASURES}
    inside = dict.fromkeys(map(short, MODELS), MEASURES) | dict.fromkeys(
        map(short, MEASURES), MODELS
    )
    found: dict[Any, Any] = {}
    for key, value in answer.items():
        names = key if isinstance(key, tuple) else tuple(str(key).split(", "))
        if isinstance(value, Mapping):
            found |= {short(*names, inner): part for inner, part in value.items()}
        elif short(*names) in inside:
            parts = torch.cat([part.double().flatten() for part in read_numbers(value)]).tolist()
            inner_names = inside[short(*names)]
            found |= {
                short(*names, inner): part
                for inner, part in zip(inner_names, parts, strict=len(parts) == len(inner_names))
            }
        else:
            found[short(*names)] = value
    return {both.get(name, name): value for name, value in found.items()}


@dataclass(frozen=True)
class OfTwoModels(Numbers):
    """Numbers of two models, which may also come in dicts of the models or of the measures."""

    def read(self, answer: Any) -> Tensor:
        """The numbers as one vector."""
        return super().read(by_name(answer) if isinstance(answer, Mapping) else answer)


# --- 6: a small set of units --------------------------------------------------------------------

ENOUGH, MOST = 10.0, 8


@functools.cache
def trained() -> tuple[list[int], list[Tensor]]:
    """The known text as ids, and the parameters of the model that comes with the course."""
    package = Path(__file__).resolve().parents[1]
    folders = (package.parent / "data" / "checkpoints", package / "checkpoints")
    path = next(folder / "gru.pt" for folder in folders if (folder / "gru.pt").is_file())
    stored = torch.load(path, map_location="cpu", weights_only=True)
    return [stored["vocab"].index(character) for character in KNOWN], list(
        stored["tensors"].values()
    )


@torch.no_grad()
def read_without(units: tuple[int, ...]) -> tuple[float, Tensor]:
    """The perplexity of the known text with states held at 0, and each unit's half-life."""
    ids, (W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q) = trained()
    keep = torch.ones(W_hz.shape[0])
    keep[list(units)] = 0.0
    H, loss, logs = torch.zeros_like(keep), 0.0, torch.zeros_like(keep)
    for x, y in itertools.pairwise(ids):
        Z = torch.sigmoid(W_xz[x] + H @ W_hz + b_z)
        R = torch.sigmoid(W_xr[x] + H @ W_hr + b_r)
        H = keep * (Z * H + (1 - Z) * torch.tanh(W_xh[x] + (R * H) @ W_hh + b_h))
        loss -= torch.log_softmax(H @ W_hq + b_q, dim=0)[y].item()
        logs += Z.log()
    return math.exp(loss / (len(ids) - 1)), math.log(0.5) / (logs / (len(ids) - 1))


@functools.lru_cache(maxsize=64)
def perplexity_without(units: tuple[int, ...]) -> float:
    """The perplexity of the known text with the states of these units held at 0."""
    return read_without(units)[0]


@functools.cache
def keepers(count: int) -> tuple[int, ...]:
    """The units with the longest half-lives."""
    return tuple(sorted(read_without(())[1].argsort(descending=True)[:count].tolist()))


def of_truth_values(answer: Any) -> bool:
    """Whether it is a mask: True and False, in a list, an array or a tensor."""
    if isinstance(answer, (list, tuple)):
        return bool(answer) and all(map(of_truth_values, answer[:300]))
    if isinstance(answer, Tensor):
        return answer.dtype is torch.bool
    return isinstance(answer, (bool, np.bool_)) or (
        isinstance(answer, np.ndarray) and answer.dtype == np.bool_
    )


def set_of_units(answer: Any) -> tuple[int, ...]:
    """The numbers of the units, in order, each once."""
    if isinstance(answer, (set, frozenset, range, dict)):
        answer = list(answer)
    if of_truth_values(answer):
        raise NotThisKind(
            "It holds True and False: hand in the numbers, for instance `mask.nonzero()`."
        )
    parts = read_numbers(answer)
    if len(parts) == 1 and not parts[0].dim():
        raise NotThisKind("It is one number: is it how many units? Hand in which.")
    found = [part.double().flatten() for part in parts]
    if sum(map(len, found)) == 256 and set(torch.cat(found).tolist()) <= {0.0, 1.0}:
        raise NotThisKind(
            "It holds 256 zeros and ones: hand in the numbers, for instance `mask.nonzero()`."
        )
    if not found or not 0 < sum(map(len, found)) <= 256:
        raise NotThisKind("It holds no units, or more than the 256 that there are.")
    numbers = torch.cat(found).tolist()
    if any(value not in range(256) for value in numbers):
        raise NotThisKind("The units have the whole numbers from 0 to 255.")
    return tuple(sorted({int(value) for value in numbers}))


def units_fault(units: tuple[int, ...]) -> str:
    """What is not right with a set of units, or nothing."""
    found = perplexity_without(units)
    if found <= ENOUGH:
        return f"With the states of these {len(units)} at 0 the perplexity is only {found:.1f}."
    if len(units) > MOST:
        return f"That is enough, but {len(units)} units are many: a few are enough."
    return ""


def are_keepers(units: tuple[int, ...]) -> bool:
    """Whether all are among the quarter with the longest half-lives, and not enough."""
    return set(units) <= set(keepers(64)) and perplexity_without(units) <= ENOUGH


# --- 7: correlation with a feature --------------------------------------------------------------


def feature_cases() -> list[Case]:
    """States of four units at nine steps; a feature of 0s and 1s, and one of numbers."""
    states = torch.tanh(drawn(9, 4, seed=8) + drawn(4, seed=9))
    yes_or_no = torch.tensor([0, 1, 0, 0, 1, 0, 1, 0, 0], dtype=torch.float64)
    place = torch.arange(9, dtype=torch.float64)
    return [
        Case({"states": states, "feature": yes_or_no}, "a feature of 0s and 1s"),
        Case({"states": states, "feature": place}, "the place in the text"),
    ]


def centered(values: Tensor) -> Tensor:
    """Values minus their mean over the steps."""
    return values - values.mean(dim=0)


def cosine(states: Tensor, feature: Tensor) -> Tensor:
    """The cosine of each column with the feature."""
    return feature @ states / (states.norm(dim=0) * feature.norm())


def correlations(states: Tensor, feature: Tensor) -> Tensor:
    """Pearson's correlation of each unit's state with the feature."""
    return cosine(centered(states), centered(feature))


BY_CHANCE = 0.247  # above the 95 % quantile for spaces, below the mean for the place in the text
FEATURE = (
    Mistake(
        "means_left_in",
        cosine,
        "This is a cosine. A correlation first takes the mean away, from the feature and from each "
        "unit's state.",
    ),
    Mistake(
        "one_mean_for_all",
        lambda states, feature: cosine(states - states.mean(), centered(feature)),
        "One mean of all states is taken away. Each unit has its own mean over the steps.",
    ),
    Mistake(
        "mean_over_units",
        lambda states, feature: cosine(
            states - states.mean(dim=1, keepdim=True), centered(feature)
        ),
        "At each step the mean over the units is taken away. It should be each unit's mean over "
        "the steps.",
    ),
    Mistake(
        "feature_alone_centered",
        lambda states, feature: cosine(states, centered(feature)),
        "Only the feature has lost its mean; the size of the states is taken with theirs.",
    ),
    Mistake(
        "states_alone_centered",
        lambda states, feature: cosine(centered(states), feature),
        "Only the states have lost their means; the size of the feature is taken with its own.",
    ),
    Mistake(
        "covariance",
        lambda states, feature: centered(feature) @ centered(states) / (len(feature) - 1),
        "This is the covariance, which is large for units that swing widely. Divide by both "
        "standard deviations.",
    ),
    Mistake(
        "covariance_by_n",
        lambda states, feature: centered(feature) @ centered(states) / len(feature),
        "This is the covariance, which is large for units that swing widely. Divide by both "
        "standard deviations.",
    ),
    Mistake(
        "not_divided",
        lambda states, feature: centered(feature) @ centered(states),
        "The sum of the products is right. It still has to be divided by both sizes, or the widest "
        "swing wins.",
    ),
    Mistake(
        "two_kinds_of_deviation",
        lambda states, feature: correlations(states, feature) * (len(feature) - 1) / len(feature),
        "It is a little too small: the mean of the products divides by n, and `std` by n - 1. "
        "Take one of them.",
    ),
    Mistake(
        "the_other_two_kinds",
        lambda states, feature: correlations(states, feature) * len(feature) / (len(feature) - 1),
        "It is a little too large: the sum of the products is divided by n - 1, and the deviations "
        "by n. Take one of them.",
    ),
    Mistake(
        "sign_lost",
        lambda states, feature: correlations(states, feature).abs(),
        "The sign is lost. Leave it here, and take the size when you look for the best.",
    ),
    Mistake(
        "squared",
        lambda states, feature: correlations(states, feature).square(),
        "This is the square of the correlation.",
    ),
    Mistake(
        "ranks",
        lambda states, feature: torch.stack(
            [correlation(ranks(column), ranks(feature)) for column in states.T]
        ),
        "This is the correlation of the ranks. For the exercise take the states as they are.",
    ),
    Mistake(
        "best_unit_alone",
        lambda states, feature: correlations(states, feature).abs().max(),
        "One number comes back. Return all correlations first, one for each unit.",
    ),
    Mistake(
        "number_of_the_best",
        lambda states, feature: correlations(states, feature).abs().argmax(),
        "The number of a unit comes back. Return all correlations first, one for each unit.",
        when=agrees_on(
            feature_cases,
            (0, 1),
            lambda states, feature: correlations(states, feature).abs().argmax(),
            lambda states, feature: correlations(states, feature).argmax(),
        ),
    ),
    Mistake(
        "slope",
        lambda states, feature: (
            correlations(states, feature)
            * (centered(states).norm(dim=0) / centered(feature).norm())
        ),
        "This is a slope: the product is divided by the feature's variance alone. Divide by both "
        "standard deviations.",
    ),
    Mistake(
        "slope_of_the_feature",
        lambda states, feature: (
            correlations(states, feature)
            / (centered(states).norm(dim=0) / centered(feature).norm())
        ),
        "This is a slope: the product is divided by the variances of the states alone. Divide by "
        "both standard deviations.",
    ),
    Mistake(
        "sign_alone",
        lambda states, feature: correlations(states, feature).sign(),
        "The signs alone come back.",
    ),
    Mistake(
        "wrong_sign",
        lambda states, feature: -correlations(states, feature),
        "The sizes are right, and all signs are wrong: a unit that rises with the feature has a "
        "positive correlation.",
    ),
    Mistake(
        "a_step_late",
        lambda states, feature: correlations(states[1:], feature[:-1]),
        "The states are compared with the feature of the step before. `trace.H[t]` has read "
        "character t.",
    ),
    Mistake(
        "a_step_early",
        lambda states, feature: correlations(states[:-1], feature[1:]),
        "The states are compared with the feature of the next step. `trace.H[t]` has read "
        "character t.",
    ),
)

EXERCISES = (
    Exercise(
        "06.1",
        "the names of the parameters that still matter with z = 1 at all steps, from a state of "
        "zeros",
        Names(PARAM_NAMES),
        ("b_q",),
        "The state stays zero, and the output layer has only its bias: one guess for all places.",
        HOLD,
        (
            Mistake(
                "output_weights_too",
                ("W_hq", "b_q"),
                "That would be so from any other state. What does a state of zeros make of W_hq?",
            ),
            Mistake(
                "output_weights_alone",
                ("W_hq",),
                "W_hq multiplies the state, and what is the state here? Something else is added.",
            ),
            Mistake(
                "update_gate",
                ("W_xz", "W_hz", "b_z"),
                "These make the update gate, and it is held: whatever they say, z is 1.",
            ),
            Mistake(
                "update_gate_and_output",
                ("W_xz", "W_hz", "b_z", "W_hq", "b_q"),
                "The update gate is held, so that its parameters have no say; and what does the "
                "output layer read?",
            ),
            Mistake(
                "candidate_and_output",
                ("W_xh", "W_hh", "b_h", "W_hq", "b_q"),
                "With z = 1 nothing of the candidate gets in. What does the output layer read?",
            ),
            Mistake(
                "all_biases",
                ("b_z", "b_r", "b_h", "b_q"),
                "The biases inside the step act on gates and candidate, and none of these gets "
                "into the state.",
            ),
            Mistake(
                "all_but_the_update_gate",
                ("W_xr", "W_hr", "b_r", "W_xh", "W_hh", "b_h", "W_hq", "b_q"),
                "Where would reset gate and candidate come in? They act on what is written, and "
                "nothing is written.",
            ),
            Mistake(
                "candidate",
                ("W_xh", "W_hh", "b_h"),
                "These make the candidate: what share of it gets in at z = 1?",
            ),
            Mistake(
                "all_of_them",
                tuple(PARAM_NAMES),
                "Which of them can a held gate still hear?",
            ),
            Mistake(
                "none",
                (),
                "If none mattered, the prediction would be the same for every model. What does the "
                "output layer add to a state of zeros?",
            ),
        ),
    ),
    Exercise(
        "06.2a",
        "a function of text and k that returns the share of the places at which the k characters "
        "before leave only one possible next character",
        Function(text_cases, absolute=0.01, relative=0.0),
        share_certain,
        "A table that looks up the last characters could recite a text at all these places.",
        LOOKS_BACK,
        SHARE,
    ),
    Exercise(
        "06.2b",
        "the share for k = 5 in the first 10,000 characters of your text, from 0 to 1",
        number("the share", absolute=NEAR),
        measured,
        "Five characters decide at most places, while the model with five is no better than letter "
        "frequencies.",
        LOOKS_BACK,
        (
            share_mistake(
                "contexts_counted",
                "Every five characters are counted once, however often they occur. The share is "
                "that of the places.",
            ),
            share_mistake(
                "judged_too_early",
                "A place is judged by the text before it alone. First collect what follows in the "
                "whole text, then count.",
            ),
            share_mistake("read_while_filled", WHILE_FILLED),
            share_mistake("guessed_while_filled", WHILE_FILLED),
            share_mistake(
                "occurring_once",
                "These are the places whose five characters occur nowhere else.",
            ),
            share_mistake(
                "repeated_only",
                "Five characters that occur only once are left out. They too leave one possible "
                "next one.",
            ),
            share_mistake(
                "guessed_right",
                "This is how often the most frequent next character comes, not where no other "
                "ever comes.",
            ),
            share_mistake(
                "cut_into_blocks",
                "Only every fifth place seems to be looked at: the five characters before a place "
                "overlap with those before the next.",
            ),
            share_mistake(
                "one_character_more",
                "It is the share for one character more: look at the ends of the slice.",
            ),
            share_mistake(
                "one_character_less",
                "It is the share for one character less: look at the ends of the slice.",
            ),
            share_mistake(
                "the_others",
                "This is the share of the other places, where several characters are possible.",
            ),
            share_mistake(
                "known_lines",
                "This is the share in the four known lines, or for more characters than five. Take "
                "the first 10,000 characters of the text.",
            ),
            share_mistake(
                "whole_text",
                "This is the share in the whole text. The model has read the first 10,000 "
                "characters, and the exercise asks about these.",
            ),
            Mistake(
                "percent",
                lambda: 100 * measured(),
                "This is in percent. A share lies between 0 and 1.",
                when=lambda found: abs(found.item() / 100 - measured()) <= NEAR,
            ),
            Mistake(
                "number_of_places",
                lambda: measured() * (LENGTH - 5),
                "This is a number of places: divide by how many there are.",
                when=lambda found: abs(found.item() / LENGTH - measured()) <= NEAR,
            ),
        ),
    ),
    Exercise(
        "06.3a",
        "the number of characters that the scratch model has read with its own gate, from step 60 "
        "on, when it first writes the next 20 right",
        number("the number"),
        20,
        "After that the hold is forgotten, whatever it did to the state.",
        HOLD,
        (
            Mistake(
                "one_too_few",
                19,
                "Is the character of step 60 counted, the first that is read freely? "
                "And is step 60 free: `stop` is not included in a hold.",
            ),
            Mistake(
                "step_number",
                79,
                "This is the number of a step. Count the characters read since the hold has ended.",
                when=lambda found: found[0].item() in (79, 80),
            ),
            Mistake(
                "counted_from_the_hold",
                40,
                "This counts from the beginning of the hold. Count from its end.",
                when=lambda found: found[0].item() in (39, 40),
            ),
            Mistake(
                "one_character_only",
                1,
                "After so few the next character alone may be right by luck. The next 20 have to "
                "be.",
            ),
            Mistake(
                "not_held",
                0,
                "With z held at 0 the model is not right at once: has the hold reached the trace "
                "that you let it continue?",
            ),
            Mistake(
                "other_model",
                21,
                "Is this the scratch model, and not `nn.GRU`? And is the first free character "
                "number 1?",
            ),
        ),
    ),
    Exercise(
        "06.3b",
        "the fewest and the most characters, for holds of 20 steps from steps 20, 40, 60, …, 160",
        Numbers(("the fewest", "the most")),
        (10, 28),
        "The number belongs to the place: some need fewer, some more, none many more than the "
        "model ever looks back.",
        HOLD,
        (
            Mistake(
                "other_model",
                (9, 21),
                "These are the numbers of `nn.GRU`. Take the scratch model.",
                when=lambda found: found.tolist() in ([9, 21], [8, 20]),
            ),
            Mistake(
                "held_for_five_steps",
                (15, 26),
                "This is what holds of 5 steps give. Here they last 20.",
            ),
            Mistake(
                "counted_from_the_hold",
                (30, 48),
                "These count from the beginning of each hold. Count from its end.",
            ),
            Mistake(
                "one_too_small",
                (9, 27),
                "Every number is one too small: does the count begin at 0 or at 1?",
            ),
            Mistake(
                "one_too_large",
                (11, 29),
                "Every number is one too large: does the count begin at 0 or at 1?",
            ),
            Mistake(
                "held_at_one",
                (11, 48),
                "Was z held at 0, or at 1?",
            ),
            Mistake(
                "exchanged",
                (28, 10),
                "The other way round: the fewest first.",
            ),
        ),
    ),
    Exercise(
        "06.4a",
        "the half-life, in steps",
        number("the half-life", relative=0.02),
        lambda: life(MEAN_LOG),
        "One step in ten does it all: a product is ruined by its smallest factor.",
        KEEPS,
        (
            Mistake(
                "mean_of_z",
                lambda: life(math.log(sum(FOUR_Z) / 10)),
                "This comes from the mean of z. Shares are multiplied from step to step, so take "
                "the mean of ln z.",
            ),
            Mistake(
                "mean_of_half_lives",
                lambda: sum(life(math.log(z)) for z in FOUR_Z) / 10,
                "This is a mean of two half-lives. Take the mean of ln z first.",
            ),
            Mistake(
                "never_wiped",
                lambda: life(math.log(0.99)),
                "This is the half-life without the tenth step. What does that step leave?",
            ),
            Mistake(
                "sum_for_mean",
                lambda: life(10 * MEAN_LOG),
                "This is in rounds of ten steps: divide the sum of ln z by the number of steps.",
                when=lambda found: abs(found[0].item() - life(10 * MEAN_LOG)) < 0.001,
            ),
            Mistake(
                "divided_twice",
                lambda: life(MEAN_LOG / 10),
                "This is ten times too long: the sum of ln z is divided by the number of steps "
                "twice.",
            ),
            Mistake(
                "wiping_step_alone",
                lambda: life(math.log(0.01)),
                "This is the half-life with the low gate at every step. It comes at one of ten.",
                when=lambda found: abs(found[0].item() - life(math.log(0.01))) < 0.001,
            ),
            Mistake(
                "counts_exchanged",
                lambda: life((math.log(0.99) + 9 * math.log(0.01)) / 10),
                "The two counts have changed places: the low gate comes once in ten.",
            ),
            Mistake(
                "time_constant",
                lambda: -1 / MEAN_LOG,
                "This is the time after which 1/e is left. Half is left sooner.",
                see="01: How long does a gate remember?",
            ),
            Mistake(
                "first_step_below_half",
                10,
                "That is where half is passed in one round; asked for is the half-life of the mean "
                "of ln z.",
            ),
            Mistake(
                "geometric_mean",
                lambda: math.exp(MEAN_LOG),
                "This is the geometric mean of z. After how many steps of such a z is half left?",
            ),
            Mistake(
                "sign",
                lambda: -life(MEAN_LOG),
                "The size is right: both logarithms are negative, so that the sign goes.",
            ),
            Mistake(
                "two_logarithms",
                lambda: life(MEAN_LOG / math.log(10)),
                "Two kinds of logarithm were mixed: take the natural one above and below.",
            ),
            Mistake(
                "mean_of_logs_alone",
                lambda: MEAN_LOG,
                "This is the mean of ln z. The half-life is ln ½ divided by it.",
            ),
        ),
    ),
    Exercise(
        "06.4b",
        "a function of Z, (num_steps, num_hiddens), and length that returns the largest share of "
        "its state that any unit keeps over so many steps in a row",
        Function(kept_cases),
        best_kept,
        "A short half-life does not exclude that a unit keeps something between two wipes; few do.",
        KEEPS,
        KEPT,
    ),
    Exercise(
        "06.5a",
        "a function of three measures of the units (a, b, swing) that returns the rank correlation "
        "of a and b, with what the rank of swing explains taken away from both",
        Function(rank_cases, absolute=1e-4),
        partial(),
        "This compares units of equal swing.",
        SENTENCE,
        PARTIAL,
    ),
    Exercise(
        "06.5b",
        "six numbers, what is left of " + "; ".join(LEFT),
        OfTwoModels(LEFT, absolute=0.03),
        (-0.105, -0.031, -0.147, 0.034, -0.399, 0.380),
        "In the scratch model hardly anything is left; in nn.GRU nothing of near 1, all of near 0, "
        "and the mean of r has turned round.",
        SENTENCE,
        (
            Mistake(
                "nothing_taken_away",
                (-0.752, -0.223, -0.582, -0.535, -0.390, -0.119),
                "These are the numbers of the lesson's table, from which nothing was taken away; "
                "or the swing is the mean of the state: take its standard deviation.",
            ),
            Mistake(
                "from_the_half_life_only",
                (-0.053, -0.030, -0.115, 0.020, -0.394, 0.327),
                "The swing is taken away from the half-life alone. It has to go from both ranks.",
            ),
            Mistake(
                "from_the_gate_only",
                (-0.058, -0.017, -0.081, 0.024, -0.287, 0.274),
                "The swing is taken away from the measure of r alone. It has to go from both "
                "ranks.",
            ),
            Mistake(
                "values_for_ranks",
                (-0.000, 0.111, -0.128, 0.038, -0.302, 0.373),
                "The swing is taken away from the values. First make ranks of all three.",
            ),
            Mistake(
                "ranks_too_late",
                (-0.015, 0.083, -0.191, 0.069, -0.376, 0.412),
                "The swing is taken away from the values, and then come the ranks. The ranks come "
                "first.",
            ),
            Mistake(
                "ranked_again",
                (-0.099, 0.007, -0.157, 0.044, -0.394, 0.404),
                "The residuals are ranked again: correlate them as they are.",
            ),
            Mistake(
                "numerator_alone",
                (-0.029, -0.016, -0.063, 0.015, -0.284, 0.235),
                "This is the numerator of the formula: it still has to be divided.",
            ),
            Mistake(
                "swing_not_ranked",
                (-0.208, -0.110, -0.160, 0.037, -0.399, 0.377),
                "The swing itself is taken away from the ranks. Take its rank.",
            ),
            Mistake(
                "ties_in_order",
                (-0.114, -0.087, -0.147, 0.032, -0.385, 0.380),
                "Equal values have to share their mean rank, or chance decides; many units never "
                "have r below 0.1.",
            ),
            Mistake(
                "sign_lost",
                (0.105, 0.031, 0.147, 0.034, 0.399, 0.380),
                "These are the sizes alone: the signs are lost.",
            ),
            Mistake(
                "no_constant",
                (0.169, 0.533, 0.266, 0.231, 0.342, 0.514),
                "The line that is taken away goes through 0: it needs a constant.",
            ),
            Mistake(
                "range_for_swing",
                (-0.193, -0.027, -0.222, -0.181, -0.313, 0.128),
                "The swing seems to be largest minus smallest state. The exercise takes the "
                "standard deviation.",
            ),
            Mistake(
                "size_for_swing",
                (-0.541, 0.215, -0.508, -0.209, -0.392, 0.252),
                "The swing seems to be the mean size of the state. The exercise takes its standard "
                "deviation.",
            ),
            Mistake(
                "models_exchanged",
                (0.034, -0.399, 0.380, -0.105, -0.031, -0.147),
                "The numbers are right; the two models have changed places.",
            ),
            Mistake(
                "two_by_two",
                (-0.105, 0.034, -0.031, -0.399, -0.147, 0.380),
                "The numbers are right; the order is another: first all three of the scratch "
                "model.",
            ),
        ),
    ),
    Exercise(
        "06.6",
        "the numbers of the units whose states, held at 0, give the known text a perplexity above "
        "10",
        Built(set_of_units, units_fault, f"at most {MOST} of them"),
        (124, 214, 240, 246),
        "A handful of 256 are enough if they are chosen: those with short half-lives, wide swings "
        "and large output weights.",
        HOLD,
        (
            Mistake(
                "too_many",
                tuple(range(60)),
                "The perplexity is high enough, but many of these are not needed: at random it "
                "takes a few dozen. Hold each unit alone first, and order them by the damage.",
                when=lambda units: MOST < len(units) <= 128 and perplexity_without(units) > ENOUGH,
            ),
            Mistake(
                "nearly_all",
                tuple(range(240)),
                "More than half of all units: are these perhaps the ones to leave alone?",
                when=lambda units: len(units) > 128,
            ),
            Mistake(
                "the_keepers",
                lambda: keepers(5),
                "These are units with long half-lives, and the model hardly misses them. Measure "
                "the damage that each unit does alone, and start from the other end.",
                see=KEEPS,
                when=lambda units: len(units) <= 128 and are_keepers(units),
            ),
            Mistake(
                "one_unit",
                (246,),
                "No unit does it alone. Take several together.",
                when=lambda units: (
                    len(units) == 1
                    and not are_keepers(units)
                    and perplexity_without(units) <= ENOUGH
                ),
            ),
            Mistake(
                "not_enough",
                (106, 246),
                "The perplexity is not above 10 yet. Begin with the units that do most damage "
                "alone, add the next ones, and then try sets of the first dozen.",
                when=lambda units: (
                    1 < len(units) <= 128
                    and not are_keepers(units)
                    and perplexity_without(units) <= ENOUGH
                ),
            ),
        ),
    ),
    Exercise(
        "06.7a",
        "a function of states, (num_steps, num_hiddens), and feature, (num_steps,), that returns "
        "the correlation of each unit's state with the feature, with its sign",
        Function(feature_cases),
        correlations,
        "A correlation does not ask how far a state swings, only whether it follows.",
        CANNOT_TELL,
        FEATURE,
    ),
    Exercise(
        "06.7b",
        "three unit numbers of the scratch model, those whose states on `known` correlate best, in "
        "size, with spaces, vowels (a, e, i, o, u) and the place in the text",
        Numbers(("spaces", "vowels", "place in the text"), labels=True),
        (19, 15, 136),
        "Some unit of 256 correlates with anything; which one says little yet.",
        CANNOT_TELL,
        (
            Mistake(
                "sign_kept",
                (19, 56, 54),
                "These are the largest with their sign. A unit that falls where a vowel comes "
                "follows the vowels too: take the size.",
            ),
            Mistake(
                "update_gate",
                (184, 201, 52),
                "These are units whose update gates correlate best. The question is about states.",
            ),
            Mistake(
                "reset_gate",
                (110, 184, 178),
                "These are units whose reset gates correlate best. The question is about states.",
            ),
            Mistake(
                "other_model",
                (132, 128, 245),
                "These are units of `nn.GRU`. Take the scratch model.",
            ),
            Mistake(
                "next_character",
                (233, 46, 116),
                "The states are compared with the feature of the next character: `trace.H[t]` has "
                "read character t.",
            ),
            Mistake(
                "character_before",
                (230, 66, 136),
                "The states are compared with the feature of the character before: `trace.H[t]` "
                "has read character t.",
            ),
            Mistake(
                "covariance",
                (246, 15, 136),
                "With the covariance those win that swing widely. Divide by the standard "
                "deviations.",
            ),
            Mistake(
                "ranks",
                (246, 15, 116),
                "These are the units with the best correlations of ranks. Take the states as they "
                "are.",
            ),
            Mistake(
                "place_in_the_word",
                (19, 15, 107),
                "The third unit is that of the place in the word. Here the place in the text is "
                "asked for.",
            ),
            Mistake(
                "counted_from_one",
                (20, 16, 137),
                "The units seem to be counted from 1. The first one is unit 0.",
            ),
            Mistake(
                "correlations",
                (0.493, 0.451, 0.219),
                "These are correlations. Asked for are the numbers of the units that have them.",
                when=lambda found: bool(((found.abs() < 1) & (found != 0)).all()),
            ),
        ),
    ),
    Exercise(
        "06.7c",
        "the correlation, in size, that the best of 256 units typically reaches by chance, for "
        "spaces in permuted blocks of 20 characters: the mean or the 95 % quantile of a few "
        "hundred permutations",
        Between(0.15, BY_CHANCE),
        0.17,
        "That is a good part of what the best unit has with the real spaces. For the place in the "
        "text chance does as well as the best unit.",
        CANNOT_TELL,
        (
            Mistake(
                "place_in_the_text",
                0.259,
                "This is what the place in the text reaches by chance, or a quantile above "
                "95 % for spaces. Take the spaces, and a few hundred permutations.",
                when=lambda value: BY_CHANCE < value <= 0.28,
            ),
            Mistake(
                "too_rare",
                0.33,
                "By chance so much is rare for spaces. Is it the largest of all permutations, or "
                "that of another feature?",
                when=lambda value: 0.28 < value <= 0.44,
            ),
            Mistake(
                "percent",
                17.8,
                "This is in percent. A correlation lies between -1 and 1.",
                when=lambda value: 1 < abs(value) <= 100,
            ),
            Mistake(
                "one_unit",
                0.1,
                "That is what a single unit reaches by chance. The best of 256 has 256 chances: "
                "take the largest of all units in each permutation.",
                when=lambda value: 0.03 < value < 0.125,
            ),
            Mistake(
                "real_feature",
                0.493,
                "That is the best unit for the real spaces. Is the feature permuted, and are the "
                "states left as they are?",
                when=lambda value: 0.44 < value < 0.53,
            ),
            Mistake(
                "signs_cancel",
                0.0,
                "Near 0: with their signs the correlations of chance cancel in a mean. Take the "
                "size, and then the largest.",
                when=lambda value: abs(value) <= 0.03,
            ),
        ),
    ),
)
