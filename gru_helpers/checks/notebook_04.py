"""The exercises of notebook 04, Training."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..corpus import read_corpus
from ..dataset import load_corpus_time_machine
from .core import Exercise, Mistake
from .kinds import Between, Built, Case, Function, Numbers, Outcome, number
from .values import NotThisKind, called, read_numbers


def near(low: float, high: float) -> Callable[[float], bool]:
    """Whether a measured number lies in an interval."""
    return lambda value: low <= value <= high


# --- 1: perplexities and their mean -------------------------------------------------------------


def perplexity_of(*probabilities: float) -> float:
    """The perplexity of a model that gave these probabilities to what came."""
    return math.exp(-sum(map(math.log, probabilities)) / len(probabilities))


def three_numbers(together: float) -> tuple[float, float, float]:
    """Both single perplexities, and a number in the place of that of both together."""
    return perplexity_of(0.8), perplexity_of(0.1), together


def mean_cases() -> list[Case]:
    """Perplexities of equally long pieces of text."""
    pieces = ([3.0, 3.0], [1.25, 10.0], [2.0, 5.0, 28.0, 1.5])
    words = ("two equal perplexities", "1.25 and 10", "four different ones")
    return [Case({"perplexities": one}, said) for one, said in zip(pieces, words, strict=True)]


def geometric_mean(perplexities: list[float]) -> float:
    """The perplexity of pieces together."""
    return math.exp(sum(math.log(p) for p in perplexities) / len(perplexities))


def rounded_off(outcomes: list[Outcome]) -> bool:
    """Whether a function returns the right numbers to one digit, two or three."""
    right = [geometric_mean(outcome.case.arguments["perplexities"]) for outcome in outcomes]
    given = [outcome.numbers[0].item() for outcome in outcomes if len(outcome.numbers) == 1]
    off = [abs(one - other) for one, other in zip(given, right, strict=False)]
    return len(given) == len(right) and any(
        1e-4 < max(off) <= 0.5001 * 0.1**k and all(abs(g - round(g, k)) < 1e-9 for g in given)
        for k in (1, 2, 3)
    )


# --- 3: clipping too early ----------------------------------------------------------------------


def two_ratios(answer: Any) -> tuple[float, float]:
    """How many times the perplexity is too large, from the classic and from the wild start."""
    if isinstance(answer, (list, tuple)) and any(isinstance(part, bool) for part in answer):
        raise NotThisKind("It says yes or no, where the two ratios are asked for.")
    return tuple(Numbers(("classic", "wild")).read(answer).tolist())


def ratios_fault(ratios: tuple[float, float]) -> str:
    """Which of the two cannot have come from the two runs, or nothing."""
    classic, wild = ratios
    if not abs(classic - 1) < 0.005:
        return "The first ratio, that from the classic initialization, is not what comes out."
    if wild < 3:
        return "The second ratio, that from the wild initialization, is too small."
    return ""


# --- 5: text that has not been seen -------------------------------------------------------------

LEARNED, SHORTEST = 10_000, 1000


@functools.lru_cache(maxsize=2)
def ids_of(raw_text: str) -> Tensor:
    """The ids of the whole text that is in use."""
    return torch.tensor(load_corpus_time_machine()[0])


@functools.lru_cache(maxsize=2)
def letters_of(raw_text: str) -> str:
    """The ids of the whole text that is in use, each as a character."""
    return as_letters(ids_of(raw_text).tolist())


def as_letters(ids: list[int]) -> str:
    """Ids as characters of a string, in which others can be looked for."""
    return "".join(map(chr, ids))


def ids_in(answer: Any) -> list[int]:
    """The ids of a text, from a list, a tensor, minibatches or what the loader returns."""
    if isinstance(answer, tuple) and len(answer) == 3 and isinstance(answer[0], list):
        answer = answer[0]
    answer = getattr(answer, "corpus", answer)
    if isinstance(answer, (list, tuple)) and not answer:
        return []
    parts = read_numbers(answer)
    ids = torch.cat([part.flatten() for part in parts]) if parts else torch.zeros(0)
    if not bool(((ids >= 0) & (ids < 1000) & (ids == ids.round())).all()):
        raise NotThisKind(f"It is {called(answer)}, and holds numbers that are no ids.")
    return [int(value) for value in ids.tolist()]


def seen(ids: list[int]) -> int:
    """How many of the ids, which follow one another in the text, are among those learned."""
    text, piece = letters_of(read_corpus()[0]), as_letters(ids)
    place = text.find(piece, LEARNED)
    place = text.find(piece) if place < 0 else place
    return max(0, min(LEARNED, place + len(piece)) - place) if place >= 0 else 0


def heldout_fault(ids: list[int]) -> str:
    """Why this is no held-out text, or nothing."""
    if not ids:
        return "It is empty."
    if len(ids) < SHORTEST:
        return f"It has {len(ids)} characters: on so few, luck decides. Take {SHORTEST:,} or more."
    if as_letters(ids) not in letters_of(read_corpus()[0]):
        return "It is no piece of the text, as `load_corpus_time_machine` reads it."
    if seen(ids):
        return f"{seen(ids):,} of its {len(ids):,} characters are in the part that is learned."
    return ""


def piece(start: int, stop: int | None = None) -> Callable[[], list[int]]:
    """A recipe for a piece of the text."""
    return lambda: ids_of(read_corpus()[0])[start:stop].tolist()


def is_piece(start: int, stop: int | None = None) -> Callable[[list[int]], bool]:
    """Whether ids are just this piece of the text."""
    return lambda ids: bool(ids) and as_letters(ids) == letters_of(read_corpus()[0])[start:stop]


def from_the_start(ids: list[int]) -> bool:
    """Whether a piece is the beginning of the text, longer than what is learned."""
    return len(ids) > LEARNED and is_piece(0, len(ids))(ids) and not is_piece(0)(ids)


def ends_later(ids: list[int]) -> bool:
    """Whether a piece begins in what is learned and goes on behind it."""
    return len(ids) >= SHORTEST and 0 < seen(ids) < len(ids) and not is_piece(0, len(ids))(ids)


# --- 6: small models and counted pairs ----------------------------------------------------------

SIZES = (2, 4, 8, 32, 128)


def counts(
    gates: int = 3, biases: float = 1, output: bool = True, tokens: int = 28, inputs: bool = True
) -> list[float]:
    """The numbers of parameters of the five models, by default right."""
    return [
        gates * ((tokens * h if inputs else 0) + h * h + biases * h)
        + (h * tokens + (tokens if biases else 0) if output else 0)
        for h in SIZES
    ]


def counted_perplexity(train: Tensor, test: Tensor, n: int, tokens: int = 28) -> float:
    """What interpolated Kneser-Ney counts of runs of ``n`` come to (all in tables, for speed)."""
    runs = torch.stack([train[k : len(train) - n + 1 + k] for k in range(n)])
    counts = [torch.zeros((tokens,) * n, dtype=torch.float64)]
    one = torch.ones((), dtype=torch.float64)
    counts[0].index_put_(tuple(runs), one.expand(runs.shape[1]), accumulate=True)
    while counts[0].dim() > 1:  # a shorter run counts once for each token seen before it
        counts.insert(0, (counts[0] > 0).sum(dim=0).double())
    chances = torch.full((tokens,), 1 / tokens, dtype=torch.float64)
    for table in counts:
        taken, total = table.clamp(max=0.75), table.sum(dim=-1, keepdim=True)
        mixed = table - taken + taken.sum(dim=-1, keepdim=True) * chances
        chances = torch.where(total > 0, mixed / total, chances)
    places = tuple(test[k : len(test) - n + 1 + k] for k in range(n))
    return chances[places].log().mean().neg().exp().item()


def baseline(
    n: int, learned: int = 0, tested: int = LEARNED, length: int = LEARNED
) -> Callable[[], float]:
    """A recipe for the perplexity of counts in the text in use, 10,000 characters from there on."""

    def recipe() -> float:
        ids = ids_of(read_corpus()[0])
        train, test = ids[learned : learned + LEARNED], ids[tested : tested + length]
        return counted_perplexity(train, test, n)

    return recipe


def comes_to(recipe: Callable[[], float]) -> Callable[[Tensor], bool]:
    """Recognizes a perplexity by its recipe, if it has any digits."""
    return lambda found: found[0].item() % 1 != 0 and abs(found[0].item() - recipe()) <= 0.06


def transposed_baseline() -> float:
    """The perplexity where each letter is the context of the one before (each pair plus 1)."""
    ids = ids_of(read_corpus()[0])
    pairs = torch.ones(28, 28, dtype=torch.float64)
    one = torch.ones(LEARNED - 1, dtype=torch.float64)
    pairs.index_put_((ids[: LEARNED - 1], ids[1:LEARNED]), one, accumulate=True)
    chances = pairs / pairs.sum(dim=1, keepdim=True)
    test = ids[LEARNED : 2 * LEARNED]
    return chances[test[1:], test[:-1]].log().mean().neg().exp().item()


PERPLEXITY = "Perplexity: how many ways to be surprised"
CARRYING = "Carrying the state, and cutting it loose"
CLIPPING = "Clipping: a bound on the step"
STEP = "The training step"
WORK = "Clipping at work"
UNSEEN = "Honesty, part two: text it has not seen"
STOP = "What can be done: stop in time"

EXERCISES = (
    Exercise(
        "04.1a",
        "three perplexities: where the probability is always 0.8, where it is always 0.1, and of "
        "both together",
        Numbers(("0.8 alone", "0.1 alone", "together"), absolute=0.01),
        lambda: three_numbers(perplexity_of(0.8, 0.1)),
        "Alone, a perplexity is 1/p. Together they are not averaged as they stand: the logarithms "
        "are.",
        PERPLEXITY,
        (
            Mistake(
                "arithmetic_mean",
                lambda: three_numbers(5.625),
                "The two single ones are right. Their plain mean is what the exercise warns of: "
                "the mean is taken before the exponential.",
            ),
            Mistake(
                "mean_of_the_probabilities",
                lambda: three_numbers(1 / 0.45),
                "The two single ones are right. Then the probabilities are averaged; the mean is "
                "taken over their logarithms.",
            ),
            Mistake(
                "exponential_left_out",
                lambda: three_numbers(math.log(perplexity_of(0.8, 0.1))),
                "The two single ones are right. The third is the cross-entropy: its exponential is "
                "the perplexity.",
            ),
            Mistake(
                "cross_entropies",
                lambda: tuple(map(math.log, three_numbers(perplexity_of(0.8, 0.1)))),
                "These are cross-entropies. A perplexity is the exponential of one.",
            ),
            Mistake(
                "sum_in_place_of_mean",
                lambda: three_numbers(12.5),
                "The two single ones are right. Together, the logarithms are added up but not "
                "divided by how many there are.",
            ),
            Mistake(
                "two_bases",
                lambda: three_numbers(2 ** math.log(perplexity_of(0.8, 0.1))),
                "The two single ones are right. The third goes down with natural logarithms and "
                "back up with powers of 2.",
            ),
            Mistake(
                "two_bases_the_other_way",
                lambda: three_numbers(math.exp(math.log2(perplexity_of(0.8, 0.1)))),
                "The two single ones are right. The third goes down with logarithms to base 2 and "
                "back up with `exp`.",
            ),
            Mistake(
                "small_and_large_exchanged",
                lambda: (perplexity_of(0.1), perplexity_of(0.8), perplexity_of(0.8, 0.1)),
                "The numbers are right. Compare their order with the cell's comment.",
            ),
            Mistake(
                "together_first",
                lambda: (perplexity_of(0.8, 0.1), perplexity_of(0.8), perplexity_of(0.1)),
                "The numbers are right. Compare their order with the cell's comment.",
            ),
            Mistake(
                "last_two_exchanged",
                lambda: (perplexity_of(0.8), perplexity_of(0.8, 0.1), perplexity_of(0.1)),
                "The numbers are right. Compare their order with the cell's comment.",
            ),
            Mistake(
                "in_bits",
                lambda: tuple(map(math.log2, three_numbers(perplexity_of(0.8, 0.1)))),
                "These are losses in bits. Which power undoes a logarithm to base 2?",
            ),
            Mistake(
                "probabilities",
                lambda: tuple(1 / value for value in three_numbers(perplexity_of(0.8, 0.1))),
                "These are probabilities, all below 1. The minus sign in the exponent is missing.",
            ),
        ),
    ),
    Exercise(
        "04.1b",
        "a function of a list of single perplexities, of equally long pieces, that returns the "
        "perplexity of all together",
        Function(mean_cases),
        geometric_mean,
        "It is the geometric mean. Training loops that average the perplexities of minibatches get "
        "something larger.",
        PERPLEXITY,
        (
            Mistake(
                "arithmetic_mean",
                lambda perplexities: sum(perplexities) / len(perplexities),
                "That is the plain mean. The mean is to be taken of the losses, the logarithms.",
            ),
            Mistake(
                "harmonic_mean",
                lambda perplexities: len(perplexities) / sum(1 / p for p in perplexities),
                "That averages the probabilities. The mean is to be taken of their logarithms.",
            ),
            Mistake(
                "always_a_square_root",
                lambda perplexities: math.sqrt(math.prod(perplexities)),
                "That is right for two. With four pieces it is another root: divide the sum of the "
                "logarithms by how many there are.",
            ),
            Mistake(
                "product",
                lambda perplexities: math.prod(perplexities),
                "That is the product: the logarithms are added up and not divided by their number.",
            ),
            Mistake(
                "exponential_left_out",
                lambda perplexities: sum(map(math.log, perplexities)) / len(perplexities),
                "That is the mean loss. Its exponential is the perplexity.",
            ),
            Mistake(
                "two_bases",
                lambda perplexities: math.exp(math.log2(geometric_mean(perplexities))),
                "It goes down with logarithms to base 2 and back up with `exp`.",
            ),
            Mistake(
                "two_bases_the_other_way",
                lambda perplexities: 2 ** math.log(geometric_mean(perplexities)),
                "It goes down with natural logarithms and back up with powers of 2.",
            ),
            Mistake(
                "rounded",
                lambda perplexities: round(geometric_mean(perplexities), 2),
                "That is rounded. A function gives all its digits back; round where you print.",
                when=rounded_off,
            ),
            Mistake(
                "upside_down",
                lambda perplexities: 1 / geometric_mean(perplexities),
                "That is one over it, a probability: there is a minus sign too many.",
            ),
            Mistake(
                "perplexities_as_losses",
                lambda perplexities: math.exp(sum(perplexities) / len(perplexities)),
                "That takes the exponential of perplexities. They are exponentials already.",
            ),
            Mistake(
                "last_one",
                lambda perplexities: perplexities[-1],
                "That is the perplexity of the last piece alone.",
            ),
        ),
    ),
    Exercise(
        "04.2",
        "the held-out perplexity after 60 epochs with random sampling, divided by that with "
        "sequential sampling",
        Between(0.92, 1.09),
        1.002,
        "Hardly any difference, no more than between two seeds. Such a model lives on the last "
        "letter or two, and misses the state from before only at the first steps of a row.",
        CARRYING,
        (
            Mistake(
                "difference",
                0.02,
                "That looks like the difference. Asked for is the ratio of the two.",
                when=near(-0.75, 0.75),
            ),
            Mistake(
                "in_percent",
                100.2,
                "That looks like a ratio in percent.",
                when=near(90, 115),
            ),
            Mistake(
                "perplexity",
                10.4,
                "That looks like one of the two perplexities. Asked for is their ratio.",
                when=near(6, 20),
            ),
            Mistake(
                "expected_not_measured",
                1.3,
                "So much is what one might expect before the run. If it has been measured: was the "
                "held-out text cut sequentially in both cases, and do both runs have as many "
                "epochs?",
                when=near(1.09, 6),
            ),
        ),
    ),
    Exercise(
        "04.3a",
        "the largest perplexity of 5 epochs with the moved line, divided by the largest with the "
        "line in its place, from the same seed: for the classic and for the wild initialization "
        "(math.inf if it is no longer a number)",
        Built(two_ratios, ratios_fault),
        lambda: (1.0, 34.0),
        "From the classic start nothing shows, since no norm reaches 1 in these epochs. From the "
        "wild one the perplexity is lost.",
        WORK,
        (
            Mistake(
                "same_model_again",
                lambda: (0.93, 34.0),
                "The first should compare equals. Does the second run begin with a new model, of "
                "the same seed, or does it train the first one on?",
                when=lambda r: 0.5 <= r[0] < 0.99 and r[1] >= 3,
            ),
            Mistake(
                "no_difference_at_all",
                lambda: (1.0, 1.0),
                "The first is right. With the wild start the bug shows: are the weights really "
                "twenty times as large, and is clipping really called before `backward`?",
                when=lambda r: abs(r[0] - 1) < 0.005 and 0.9 <= r[1] <= 1.1,
            ),
            Mistake(
                "upside_down",
                lambda: (1.0, 1 / 34),
                "The second is upside down: the perplexity with the bug goes on top.",
                when=lambda r: abs(r[0] - 1) < 0.005 and 0 <= r[1] <= 1 / 3,
            ),
            Mistake(
                "exchanged",
                lambda: (34.0, 1.0),
                "If the two are exchanged: the classic initialization comes first, then the wild "
                "one.",
                when=lambda r: not r[0] < 3 and abs(r[1] - 1) < 0.005,
            ),
            Mistake(
                "differences",
                lambda: (0.0, 1700.0),
                "The first looks like a difference. Asked for are ratios.",
                when=lambda r: abs(r[0]) < 0.005,
            ),
            Mistake(
                "perplexities",
                lambda: (17.8, 1879.0),
                "The first looks like a perplexity. Asked for are ratios.",
                when=lambda r: 14 <= r[0] <= 26 and r[1] > 26,
            ),
        ),
    ),
    Exercise(
        "04.3b",
        "the norm that `grad_clipping` returns where it has been moved to, right after "
        "`optimizer.zero_grad()`",
        number("the norm", absolute=1e-9),
        0.0,
        "A norm of exactly 0 in every step is no calm training: the gradient is not there yet.",
        CLIPPING,
        (
            Mistake(
                "after_backward",
                0.4,
                "That looks like the norm after `backward`. Before it, what has `zero_grad` left?",
                when=lambda reading: bool(1e-9 < reading[0] < 1),
            ),
            Mistake(
                "bound",
                1.0,
                "That is the bound. `grad_clipping` returns the norm that it has found.",
            ),
            Mistake(
                "wild_norm",
                14.0,
                "That looks like the norm of a wild model after `backward`. Where the line stands "
                "now, what is there to measure?",
                when=lambda reading: bool(reading[0] > 1.000001),
            ),
        ),
    ),
    Exercise(
        "04.4a",
        "the largest of the rates 1, 2, 4, 8, 16 that still trains",
        number("the rate"),
        8,
        "At the next one clipping does not help: a gradient of length 1, times the rate, is still "
        "a step far longer than the whole vector of weights.",
        CLIPPING,
        (
            Mistake(
                "too_large",
                16,
                "Nothing overflows there. But does the perplexity come down, or does it stay near "
                "that of letters alone?",
            ),
            Mistake(
                "one_step_short",
                4,
                "That one trains. Larger ones may train too: try them with three seeds.",
            ),
            Mistake(
                "two_steps_short",
                2,
                "That one trains, and so do larger ones: the classic rate is timid.",
            ),
            Mistake(
                "classic",
                1,
                "That is the classic rate. Larger ones train too.",
            ),
        ),
    ),
    Exercise(
        "04.4b",
        "how many times as many epochs rate 1 needs to reach perplexity 10 as rate 8 does (with 32 "
        "units, from the means of three seeds)",
        Between(4.0, 7.0),
        5.2,
        "Less than eightfold: doubling the rate saves nearly half of the epochs, not quite half.",
        "The classic job: 500 epochs",
        (
            Mistake(
                "proportional",
                8.0,
                "That would be so if the product of rate and epochs were always the same. Count "
                "the epochs of the runs.",
                when=near(7.8, 8.2),
            ),
            Mistake(
                "upside_down",
                1 / 5.2,
                "That looks upside down: the slower rate goes on top.",
                when=near(0.14, 0.25),
            ),
            Mistake(
                "products",
                1.54,
                "That looks like the ratio of two products of rate and epochs. Leave out the rate.",
                when=near(1.2, 1.75),
            ),
            Mistake(
                "products_upside_down",
                0.65,
                "That looks like the ratio of two products of rate and epochs. Leave out the rate.",
                when=near(0.57, 0.85),
            ),
            Mistake(
                "rate_four",
                3.3,
                "That looks like the comparison with rate 4.",
                when=near(2.6, 3.7),
            ),
            Mistake(
                "never_reached",
                math.inf,
                "Does one of the two never reach it, or is something divided by 0? Give rate 1 "
                "epochs enough, and count from 1.",
                when=lambda value: value == math.inf,
            ),
            Mistake(
                "epochs",
                75.0,
                "That looks like a number of epochs, or a difference. Asked for is a ratio.",
                when=lambda value: 10 < value < math.inf,
            ),
        ),
    ),
    Exercise(
        "04.5a",
        "the ids of a text on which this model may be tested, in place of the friend's",
        Built(ids_in, heldout_fault, f"{SHORTEST:,} characters or more"),
        piece(10_000, 15_000),
        "It begins where the part that has been learned ends. Cut first, and then keep the two "
        "parts away from each other.",
        "What can be done: more text",
        (
            Mistake(
                "friend_s_text",
                piece(5_000, 10_000),
                "This is the friend's text. The first 10,000 characters are what the model learns: "
                "where does this piece lie?",
                when=is_piece(5_000, 10_000),
            ),
            Mistake(
                "first_half",
                piece(0, 5_000),
                "This is the first half of what the model learns.",
                when=is_piece(0, 5_000),
            ),
            Mistake(
                "text_learned",
                piece(0, 10_000),
                "This is just what the model learns.",
                when=is_piece(0, 10_000),
            ),
            Mistake(
                "nothing_left",
                list,
                "It is empty. `max_tokens` cuts the text before the slice does: with 10,000 "
                "characters, none comes after the 10,000th.",
                when=lambda ids: not ids,
            ),
            Mistake(
                "overlap",
                piece(5_000, 15_000),
                "It begins inside the part that is learned. What comes later is new, the rest is "
                "not.",
                when=ends_later,
            ),
            Mistake(
                "from_the_start",
                piece(0, 20_000),
                "It begins with the text, and so with the part that is learned. Hand in only ids "
                "that come after it.",
                when=from_the_start,
            ),
            Mistake(
                "whole_text",
                piece(0),
                "This is the whole text, with the part that is learned.",
                when=is_piece(0),
            ),
        ),
    ),
    Exercise(
        "04.5b",
        "how many of the friend's 5,000 held-out characters the model has been trained on",
        number("the number of characters"),
        5000,
        "All of them: the corpus is cut to 10,000 before the slice is taken, so this is the second "
        "half of what the model has learned by heart.",
        "What can be done: more text",
        (
            Mistake(
                "none",
                0,
                "Print the length of `load_corpus_time_machine(10_000)[0]`. What is left to slice "
                "after the part that has been learned?",
            ),
            Mistake(
                "half",
                2500,
                "Why half? Compare the slice with `train_iter.corpus`, place by place.",
            ),
            Mistake(
                "all_of_training",
                10_000,
                "That is the whole training text. The friend's has half as many characters.",
            ),
            Mistake(
                "share",
                1,
                "If that is a share, then give the number of characters.",
            ),
            Mistake(
                "percent",
                100,
                "If that is in percent, then give the number of characters.",
            ),
        ),
    ),
    Exercise(
        "04.6a",
        "the numbers of parameters with 2, 4, 8, 32 and 128 units",
        Numbers(tuple(f"{h} units" for h in SIZES)),
        counts,
        "The square matrices make the difference: with few units they are a trifle, with many they "
        "are nearly everything.",
        "02: What needs a value",
        (
            Mistake(
                "output_layer_left_out",
                lambda: counts(output=False),
                "That is the GRU alone: the output layer is missing.",
            ),
            Mistake(
                "biases_left_out",
                lambda: counts(biases=0),
                "The biases are missing.",
            ),
            Mistake(
                "no_output_bias",
                lambda: [count - 28 for count in counts()],
                "Count the vectors too: does the output layer have one?",
            ),
            Mistake(
                "no_biases_in_the_gru",
                lambda: [count - 3 * h for count, h in zip(counts(), SIZES, strict=True)],
                "Count the vectors too: the gates and the candidate have one each.",
            ),
            Mistake(
                "output_bias_of_the_state",
                lambda: [count - 28 + h for count, h in zip(counts(), SIZES, strict=True)],
                "The bias of the output layer has as many numbers as there are tokens, not as "
                "there are units.",
            ),
            Mistake(
                "letters_alone",
                lambda: counts(tokens=26),
                "Two tokens are missing: the space and `<unk>` have rows in the matrices as well.",
            ),
            Mistake(
                "largest_first",
                lambda: counts()[::-1],
                "The numbers are right, the largest model's first. Begin with the smallest.",
            ),
            Mistake(
                "one_square_matrix",
                lambda: [count - 2 * h * h for count, h in zip(counts(), SIZES, strict=True)],
                "A matrix from state to state is counted once. There are as many as from input to "
                "state.",
            ),
            Mistake(
                "one_set_of_weights",
                lambda: counts(gates=1),
                "One set of weights is counted, as in a plain RNN. A GRU has three.",
            ),
            Mistake(
                "two_biases",
                lambda: counts(biases=2),
                "Each bias inside the GRU is counted twice: that is `nn.GRU`. Ours has one.",
            ),
            Mistake(
                "lstm",
                lambda: counts(gates=4),
                "Four sets of weights are counted, as in an LSTM. A GRU has three.",
            ),
            Mistake(
                "gates_alone",
                lambda: counts(gates=2),
                "Two sets of weights are counted, those of the gates. The candidate has one too.",
            ),
            Mistake(
                "without_unk",
                lambda: counts(tokens=27),
                "One token is missing: `<unk>` has a row in the matrices as well.",
            ),
            Mistake(
                "from_state_to_state",
                lambda: counts(inputs=False),
                "The matrices that read a character are missing.",
            ),
        ),
    ),
    Exercise(
        "04.6b",
        "the held-out perplexity of the bigram baseline, by `ngram_probabilities` with the "
        "lesson's Kneser-Ney smoothing: counted in the training text, tested on the 10,000 "
        "characters after it",
        number("the perplexity", absolute=0.06),
        baseline(2),
        "This is the number to beat: one letter of context, and nothing but counting.",
        UNSEEN,
        (
            Mistake(
                "letters_alone",
                baseline(1),
                "That counts single letters, n = 1. A bigram looks at the letter before.",
            ),
            Mistake(
                "trigram",
                baseline(3),
                "That is the 3-gram, with two letters of context. A bigram has one.",
            ),
            Mistake(
                "tested_on_the_training_text",
                baseline(2, tested=0),
                "It is tested on the text in which it has been counted. Test on what comes after.",
                when=comes_to(baseline(2, tested=0)),
            ),
            Mistake(
                "counted_in_the_heldout_text",
                baseline(2, learned=LEARNED),
                "The pairs are counted in the held-out text itself. Count in the training text.",
            ),
            Mistake(
                "exponential_left_out",
                lambda: math.log(baseline(2)()),
                "That is the mean loss. The exponential is missing.",
                see=PERPLEXITY,
            ),
            Mistake(
                "tuning_slice",
                baseline(2, tested=2 * LEARNED, length=LEARNED // 2),
                "Which text is tested? That looks like the slice behind the held-out one.",
                when=comes_to(baseline(2, tested=2 * LEARNED, length=LEARNED // 2)),
            ),
            Mistake(
                "no_digits",
                lambda: round(baseline(2)()),
                "That is rounded to a whole number, and tells too little: hand in more digits.",
                when=lambda found: (
                    found[0].item() % 1 == 0 and abs(found[0].item() - baseline(2)()) <= 0.5
                ),
            ),
            Mistake(
                "in_bits",
                lambda: math.log2(baseline(2)()),
                "That is a loss in bits. Which power undoes a logarithm to base 2?",
                see=PERPLEXITY,
            ),
            Mistake(
                "two_bases",
                lambda: 2 ** math.log(baseline(2)()),
                "It goes down with natural logarithms and back up with powers of 2.",
                see=PERPLEXITY,
            ),
            Mistake(
                "transposed",
                transposed_baseline,
                "That is worse than equal chances, or nearly so. Which letter is the context, and "
                "which comes after it?",
                when=lambda found: bool(27 < found[0] < 40 and abs(found[0] - 28) > 1e-3),
            ),
            Mistake(
                "no_idea",
                28,
                "That is the perplexity of equal chances.",
            ),
        ),
    ),
    Exercise(
        "04.6c",
        "the number of units of the smallest of the five models that beats the bigram",
        Between(3.9, 8.1),
        4,
        "Smaller than many think: it has about as many parameters as there are different pairs of "
        "letters to count.",
        STOP,
        (
            Mistake(
                "too_small",
                2,
                "Its best held-out perplexity, over all 30 epochs: is it really below that of the "
                "bigram on the same text?",
            ),
            Mistake(
                "larger_than_needed",
                32,
                "That one beats it, but there is a smaller one. Do you take the best epoch, on the "
                "held-out text? Rate 0.02, 30 epochs?",
                when=near(16, 64),
            ),
            Mistake(
                "largest",
                128,
                "That one beats it if it is stopped in time. So do smaller ones.",
                when=near(100, 200),
            ),
            Mistake(
                "parameters",
                536,
                "That looks like a number of parameters. Asked for is the number of units.",
                when=lambda value: value > 200,
            ),
        ),
    ),
)
