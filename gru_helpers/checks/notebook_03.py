"""The exercises of notebook 03, The forward loop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..corpus import clean_lines, read_corpus
from .core import Exercise, Mistake
from .kinds import Between, Case, Function, Numbers, Outcome, Shapes, TensorOf, number
from .samples import drawn, nine
from .values import squeezed

# --- 1: shapes ----------------------------------------------------------------------------------

ROWS, STEPS, UNITS, TOKENS = 16, 20, 100, 28
THINGS = {
    "the minibatch's X": (ROWS, STEPS),
    "inputs": (STEPS, ROWS, TOKENS),
    "X inside the loop": (ROWS, TOKENS),
    "Z": (ROWS, UNITS),
    "Y inside the loop": (ROWS, TOKENS),
    "logits": (STEPS * ROWS, TOKENS),
    "labels": (STEPS * ROWS,),
}


def shapes_with(**changes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The seven shapes, by default right; each change names one, without the "'s"."""
    return [
        changes.get(name.replace("'s", "").replace(" ", "_"), shape)
        for name, shape in THINGS.items()
    ]


# --- 2 and 4: the loop --------------------------------------------------------------------------


def eleven(tokens: int, units: int) -> list[Tensor]:
    """The parameters of a small model."""
    return [*nine(tokens, units, seed=3), drawn(units, tokens, seed=20), drawn(tokens, seed=21)]


def ids_of(num_steps: int, batch_size: int, tokens: int) -> Tensor:
    """Ids with time first."""
    generator = torch.Generator().manual_seed(7)
    return torch.randint(tokens, (num_steps, batch_size), generator=generator)


def loop_cases(one_hot: bool) -> list[Case]:
    """A row from zeros, and three rows from a state that is not zero."""
    cases = []
    for words, num_steps, rows, scale in (
        ("one row of four steps, from a state of zeros", 4, 1, 0.0),
        ("three rows of two steps, from another state", 2, 3, 1.0),
    ):
        ids: Tensor = ids_of(num_steps, rows, 5)
        inputs = F.one_hot(ids, 5).double() if one_hot else ids
        state = (scale * drawn(rows, 4, seed=8),)
        cases.append(Case({"inputs": inputs, "state": state, "params": eleven(5, 4)}, words))
    return cases


def candidate(fed: Tensor, H: Tensor, R: Tensor, U: Tensor, b: Tensor) -> Tensor:
    """The sum inside the tanh."""
    return fed + (R * H) @ U + b


def loop_with(
    late: bool = False,
    fed: Callable[[Tensor, Tensor], Tensor] = lambda X, W: X @ W,
    params: Callable[[list[Tensor]], list[Tensor]] = lambda params: params,
    start: Callable[[Tensor], Tensor] = lambda H: H,
    inside: Callable[..., Tensor] = candidate,
    new: Callable[..., Tensor] = lambda H, Z, H_tilde: Z * H + (1 - Z) * H_tilde,
    carried: bool = True,
    scored: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda H, W, b: H @ W + b,
    finish: Callable[[list[Tensor]], Tensor] = lambda outputs: torch.cat(outputs, dim=0),
    returned: int = -1,
) -> Any:
    """The loop, with the scores before the new state (``late``), or something wrong in it.

    ``fed`` takes the place of the product with the input's matrix, ``returned`` says which state
    comes back; the other arguments are parts of the loop.
    """

    def loop(inputs: Tensor, state: Any, given: Any) -> tuple[Tensor, tuple[Tensor]]:
        W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q = params(list(given))
        (H,) = state
        H = start(H)
        outputs, states = [], [H]
        for X in inputs:
            Z = torch.sigmoid(fed(X, W_xz) + H @ W_hz + b_z)
            R = torch.sigmoid(fed(X, W_xr) + H @ W_hr + b_r)
            H_tilde = torch.tanh(inside(fed(X, W_xh), H, R, W_hh, b_h))
            H_new = new(H, Z, H_tilde)
            outputs.append(scored(H if late else H_new, W_hq, b_q))
            H = H_new if carried else H
            states.append(H_new)
        return finish(outputs), (states[returned],)

    return loop


def rows_of(X: Tensor, W: Tensor) -> Tensor:
    """The rows of a matrix that ids name."""
    return W[X]


def without_bias_terms(params: list[Tensor]) -> list[Tensor]:
    """The parameters with every bias at 0."""
    return [p * 0 if p.dim() == 1 else p for p in params]


LOOP = (
    Mistake(
        "reset_after_product",
        {"inside": lambda fed, H, R, U, b: fed + R * (H @ U) + b},
        "The reset gate multiplies the product with W_hh. In this course it acts before.",
    ),
    Mistake(
        "z_reversed",
        {"new": lambda H, Z, H_tilde: (1 - Z) * H + Z * H_tilde},
        "In the line of the new state the two shares have changed places.",
        see="01: Two ways to write the update gate",
    ),
    Mistake(
        "starts_from_zeros",
        {"start": torch.zeros_like},
        "The loop begins from zeros, whatever state it is given: the state of the minibatch "
        "before is lost.",
        see="State in, state out",
    ),
    Mistake(
        "states_in_place_of_scores",
        {"scored": lambda H, W, b: H},
        "The states are collected. The output layer, which turns each into scores, is missing.",
    ),
    Mistake(
        "output_bias_left_out",
        {"scored": lambda H, W, b: H @ W},
        "The scores lack the output layer's bias.",
    ),
    Mistake(
        "steps_in_an_axis_of_their_own",
        {"finish": torch.stack},
        "The numbers are right, but the steps have an axis of their own. `gru` joins them with "
        "`torch.cat`, one step below the other.",
    ),
    Mistake(
        "steps_side_by_side",
        {"finish": lambda outputs: torch.cat(outputs, dim=1)},
        "The numbers are right, but the steps stand side by side: `gru` joins them along dim 0.",
    ),
    Mistake(
        "reset_forgotten",
        {"inside": lambda fed, H, R, U, b: fed + H @ U + b},
        "The reset gate is not used: in the candidate it multiplies the old state.",
    ),
    Mistake(
        "last_step_only",
        {"finish": lambda outputs: outputs[-1]},
        "Only the scores of the last step come back. Every step has a next character to predict.",
    ),
)


def of_the_loop(*own: Mistake, **form: Any) -> tuple[Mistake, ...]:
    """Mistakes of an exercise's own, then those of every loop, made in a form of it."""
    right = loop_with(**form)
    around = (
        Mistake(
            "return_in_the_loop",
            lambda inputs, state, params: right(inputs[:1], state, params),
            "Only the first step is computed. Is the `return` indented as far as the loop's lines?",
        ),
        Mistake(
            "logits_alone",
            lambda inputs, state, params: right(inputs, state, params)[0],
            "Only the logits come back. The next minibatch begins from the new state: return it "
            "too, as `gru` does.",
            see="State in, state out",
        ),
    )
    return (
        *own,
        *(
            Mistake(known.name, loop_with(**form, **known.wrong), known.hint, see=known.see)
            for known in LOOP
        ),
        *around,
    )


def batch_was_first(outcomes: list[Outcome]) -> bool:
    """Whether the loop went over the rows of the first case: its state has a row for each step."""
    return [squeezed(part) for part in outcomes[0].numbers] == [(4, 5), (4, 4)]


def columns_taken(outcomes: list[Outcome]) -> bool:
    """Whether each of four ids gave the sums a row for each token, from columns of the matrices."""
    return bool(outcomes[0].numbers) and tuple(outcomes[0].numbers[0].shape) == (20, 5)


# --- 2: one step late ---------------------------------------------------------------------------


def relation_cases() -> list[Case]:
    """Scores of three steps, for one row and for two."""
    return [
        Case(
            {"logits": drawn(3 * rows, 4, seed=1), "batch_size": rows, "b_q": drawn(4, seed=2)},
            words,
        )
        for words, rows in (("a batch of one row", 1), ("a batch of two rows", 2))
    ]


def shifted(logits: Tensor, batch_size: int, b_q: Tensor) -> Tensor:
    """The scores of the changed loop."""
    return torch.cat([b_q.expand(batch_size, -1), logits[:-batch_size]])


# --- 5: the whole text, twice -------------------------------------------------------------------


@functools.lru_cache(maxsize=2)
def measured(raw_text: str) -> dict[str, int]:
    """What can be counted in a text that is joined with nothing and with spaces."""
    lines = clean_lines(raw_text)
    full = [line for line in lines if line]
    classic, clean = "".join(full), " ".join(full)
    words, other = set(classic.split()), set(clean.split())
    glued = words - other
    return {
        "longer": len(clean) - len(classic),
        "clean": len(clean),
        "lines": len(full),
        "all lines": len(lines),
        "glued": len(glued),
        "occurrences": sum(word in glued for word in classic.split()),
        "more words": len(words) - len(other),
        "lost": len(other - words),
        "either": len(words ^ other),
        "words": len(words),
        "first part": len(set(classic[:10_000].split()) - set(clean[:10_000].split())),
    }


def in_the_text(name: str, more: int = 0) -> Callable[[], int]:
    """A recipe for a count in the text that is in use."""
    return lambda: measured(read_corpus()[0])[name] + more


def counted(name: str, more: int = 0) -> Callable[[Tensor], bool]:
    """Whether a number is that count, perhaps with an empty word (``more``), of either sign."""

    def is_it(reading: Tensor) -> bool:
        count = measured(read_corpus()[0])[name]
        return abs(float(reading[0])) in (count, count + more)

    return is_it


def in_the_first_part(reading: Tensor) -> bool:
    """Whether a number is that of the first 10,000 characters, however they are cut."""
    near_it = abs(float(reading[0]) - measured(read_corpus()[0])["first part"]) <= 6
    return near_it and not counted("lost", 1)(reading)


# --- 6: temperature -----------------------------------------------------------------------------


@dataclass(frozen=True)
class OneRow(Function):
    """A function of the scores of one row, which may come with an axis for the batch or without."""

    def tried(self, function: Callable[..., Any], case: Case, end: float) -> Outcome:
        """The outcome with the axis, where without it there is no probability for each token."""
        outcome = super().tried(function, case, end)
        logits = case.arguments["logits"]
        if outcome.trouble or sum(part.numel() for part in outcome.numbers) != len(logits):
            arguments = {**case.arguments, "logits": logits[None]}
            other = super().tried(function, Case(arguments, case.words), end)
            if sum(part.numel() for part in other.numbers) == len(logits):
                return other
        return outcome


def temperature_cases() -> list[Case]:
    """Five scores at five temperatures, very low and very high ones among them."""
    logits = torch.tensor([9.5, 8.6, 7.0, -1.5, 7.8], dtype=torch.float64)
    return [
        Case({"logits": logits, "temperature": t}, f"a temperature of {t:g}")
        for t in (1.0, 0.25, 4.0, 0.01, 1000.0)
    ]


def overflows(outcomes: list[Outcome]) -> bool:
    """Whether all is right but the lowest temperature, where the exponentials are infinite."""
    for outcome in outcomes:
        logits, temperature = outcome.case.arguments.values()
        right = torch.softmax(logits / temperature, dim=-1)
        if temperature < 0.1:
            finite = all(bool(part.double().isfinite().all()) for part in outcome.numbers)
            if "OverflowError" not in outcome.trouble and (outcome.trouble or finite):
                return False
        elif not TensorOf(1e-5, 1e-4).same(outcome.numbers, [right]):
            return False
    return len(outcomes) == len(temperature_cases())


def one_character(outcomes: list[Outcome]) -> bool:
    """Whether each result is a single id."""
    return all(
        [part.numel() for part in outcome.numbers] == [1]
        and float(outcome.numbers[0]) in range(len(outcome.case.arguments["logits"]))
        for outcome in outcomes
    )


RESULTS = ("the tensor of logits", "the new state")


def near(low: float, high: float) -> Callable[[float], bool]:
    """Whether a measured number lies in an interval."""
    return lambda value: low <= value <= high


VECTORS = "From ids to vectors"
MINIBATCHES = "From ids to minibatches"
THE_LOOP = "The loop"
TEXT = "From a book to characters"
TALKS = "An untrained model talks"

EXERCISES = (
    Exercise(
        "03.1",
        "the seven shapes for a batch of 16, 20 steps, 100 units and 28 tokens",
        Shapes(tuple(THINGS)),
        lambda: list(THINGS.values()),
        "Outside the loop a minibatch has the batch first, the loop has time first, and inside it "
        "there are no steps at all.",
        THE_LOOP,
        (
            Mistake(
                "minibatch_time_first",
                lambda: shapes_with(the_minibatch_X=(STEPS, ROWS)),
                "A minibatch comes from the loader with the batch first; only `inputs` has time "
                "first.",
                see=VECTORS,
            ),
            Mistake(
                "minibatch_one_hot",
                lambda: shapes_with(the_minibatch_X=(ROWS, STEPS, TOKENS)),
                "A minibatch holds ids, one number for each character. The vectors come later.",
                see=VECTORS,
            ),
            Mistake(
                "inputs_batch_first",
                lambda: shapes_with(inputs=(ROWS, STEPS, TOKENS)),
                "`inputs` is made from `X.T`: what is the first axis of that?",
                see=VECTORS,
            ),
            Mistake(
                "inputs_are_ids",
                lambda: shapes_with(inputs=(STEPS, ROWS)),
                "`inputs` has been encoded: each id has become a vector.",
                see=VECTORS,
            ),
            Mistake(
                "x_of_all_steps",
                lambda: shapes_with(X_inside_the_loop=(STEPS, ROWS, TOKENS)),
                "Inside the loop, `X` is not the whole of `inputs` but what one pass gets.",
                see=VECTORS,
            ),
            Mistake(
                "x_is_the_minibatch",
                lambda: shapes_with(X_inside_the_loop=(ROWS, STEPS)),
                "That is the other `X`, the minibatch outside the loop. Inside it, the name stands "
                "for one step of one-hot vectors.",
            ),
            Mistake(
                "z_of_all_steps",
                lambda: shapes_with(Z=(STEPS, ROWS, UNITS)),
                "Inside the loop there is one step at a time; `Z` is made anew in each pass.",
            ),
            Mistake(
                "z_without_rows",
                lambda: shapes_with(Z=(UNITS,)),
                "Each row of the batch has a state and gates of its own.",
            ),
            Mistake(
                "y_is_the_labels",
                lambda: shapes_with(Y_inside_the_loop=(ROWS, STEPS)),
                "That is the other `Y`, the labels outside the loop. Inside it, the name stands "
                "for the logits of one step.",
            ),
            Mistake(
                "y_has_units",
                lambda: shapes_with(Y_inside_the_loop=(ROWS, UNITS)),
                "`Y` has passed through the output layer: there is one score for each token.",
            ),
            Mistake(
                "logits_in_three_axes",
                lambda: shapes_with(logits=(STEPS, ROWS, TOKENS)),
                "`torch.cat` makes no new axis: it puts the steps one below the other.",
            ),
            Mistake(
                "logits_of_one_step",
                lambda: shapes_with(logits=(ROWS, TOKENS)),
                "These are the logits of a single step. Those of all steps are joined.",
            ),
            Mistake(
                "batch_first_at_the_end",
                lambda: shapes_with(logits=(ROWS, STEPS, TOKENS), labels=(ROWS, STEPS)),
                "At the end nothing has the batch first: the logits of all steps stand one below "
                "the other, and the labels are flattened in the same order.",
                when=lambda shapes: (
                    shapes[:5] == tuple(THINGS.values())[:5]
                    and (shapes[5] == (ROWS, STEPS, TOKENS) or shapes[6] == (ROWS, STEPS))
                ),
            ),
            Mistake(
                "lesson_numbers",
                [(32, 35), (35, 32, 28), (32, 28), (32, 256), (32, 28), (1120, 28), (1120,)],
                "These are the shapes with the sizes of the lesson. The exercise has a batch, "
                "steps and units of its own.",
            ),
            Mistake(
                "labels_not_flattened",
                lambda: shapes_with(labels=(STEPS, ROWS)),
                "The labels are flattened, so that there is one for each line of the logits.",
            ),
            Mistake(
                "labels_one_hot",
                lambda: shapes_with(labels=(STEPS * ROWS, TOKENS)),
                "Labels are ids: one number for each line of the logits.",
            ),
        ),
    ),
    Exercise(
        "03.2a",
        "the changed `gru`: a function of inputs, state and params that returns the logits and the "
        "new state",
        Function(lambda: loop_cases(one_hot=True), results=RESULTS),
        loop_with(late=True),
        "The states are the same as before; each line of scores has not yet seen its character.",
        THE_LOOP,
        of_the_loop(
            Mistake(
                "nothing_moved",
                loop_with(),
                "This is `gru` as it stands in the lesson: the new state comes before the scores.",
            ),
            Mistake(
                "moved_out_of_the_loop",
                loop_with(late=True, carried=False),
                "The state stays what it was in all passes and changes once at the end. Is the "
                "moved line still indented as far as the loop's other lines?",
            ),
            Mistake(
                "never_updated",
                loop_with(late=True, carried=False, returned=0),
                "The state never changes: the line has gone, or stands below the `return`.",
            ),
            Mistake(
                "state_late_too",
                loop_with(late=True, returned=-2),
                "The scores are right, but the state that comes back is that of the step before.",
            ),
            Mistake(
                "candidate_in_place_of_the_state",
                loop_with(late=True, new=lambda H, Z, H_tilde: H_tilde),
                "The new state is the candidate alone: the moved line mixes it with the old state.",
            ),
            late=True,
        ),
    ),
    Exercise(
        "03.2b",
        "a function of the logits of the right `gru` from a state of zeros, batch_size and b_q "
        "that returns the logits of the changed one",
        Function(relation_cases),
        shifted,
        "The changed loop is one step late: it must guess two characters ahead of what it has "
        "read, and at first it has only its bias to go by.",
        THE_LOOP,
        (
            Mistake(
                "one_line_in_place_of_one_step",
                lambda logits, batch_size, b_q: torch.cat([b_q[None], logits[:-1]]),
                "That moves everything by one line. A step has as many lines as the batch has "
                "rows. (With one row there is no difference.)",
            ),
            Mistake(
                "too_early",
                lambda logits, batch_size, b_q: torch.cat(
                    [logits[batch_size:], b_q.expand(batch_size, -1)]
                ),
                "That moves the scores the other way: is a score that is made before the new state "
                "one of this step, one of the next, or one of the last?",
            ),
            Mistake(
                "zeros_first",
                lambda logits, batch_size, b_q: torch.cat(
                    [logits[:batch_size] * 0, logits[:-batch_size]]
                ),
                "All but the first step is right. There the state is zero, but what does the "
                "output layer make of it?",
            ),
            Mistake(
                "first_step_twice",
                lambda logits, batch_size, b_q: torch.cat(
                    [logits[:batch_size], logits[:-batch_size]]
                ),
                "All but the first step is right. In the first, no character has been seen.",
            ),
            Mistake(
                "last_step_first",
                lambda logits, batch_size, b_q: logits.roll(batch_size, 0),
                "All but the first step is right. It cannot know the last: what is the state then?",
            ),
            Mistake(
                "first_step_missing",
                lambda logits, batch_size, b_q: logits[:-batch_size],
                "These are the right numbers, but the changed loop gives scores at its first step "
                "as well. From what state?",
            ),
            Mistake(
                "one_line_for_the_first_step",
                lambda logits, batch_size, b_q: torch.cat([b_q[None], logits[:-batch_size]]),
                "The first step has a single line. How many rows does it have?",
            ),
            Mistake(
                "unchanged",
                lambda logits, batch_size, b_q: logits,
                "These are the right scores, as if nothing had been moved.",
            ),
            Mistake(
                "bias_everywhere",
                lambda logits, batch_size, b_q: b_q.expand(len(logits), -1),
                "Only in the first step is there nothing to go by but the bias. After that the "
                "state has seen characters.",
            ),
        ),
    ),
    Exercise(
        "03.3a",
        "how many of the 1,120 labels are in the wrong position",
        number("the number of labels"),
        1118,
        "Only the first and the last stay in place. Shapes and types are right, so nothing fails.",
        THE_LOOP,
        (
            Mistake("right_ones", 2, "That many are in the right position."),
            Mistake("all", 1120, "Nearly. Is there really none that stays where it was?"),
            Mistake("first_alone", 1119, "Nearly. Find all labels that stay, by numbering them."),
            Mistake(
                "share_or_percent",
                99.8,
                "That looks like a share or a percentage. The number of labels is asked for.",
                when=lambda reading: 0.99 < reading[0] < 1 or 99 < reading[0] < 100,
            ),
            Mistake(
                "as_if_square",
                1088,
                "The diagonal would stay in place if there were as many rows as steps. With 32 "
                "rows and 35 steps, compare the two places of the label of row i at step t.",
            ),
            Mistake(
                "as_if_square_by_steps",
                1085,
                "A diagonal would stay in place if there were as many rows as steps. With 32 rows "
                "and 35 steps, compare the two places of the label of row i at step t.",
            ),
            Mistake(
                "characters_compared",
                1040,
                "Did you compare characters? A wrong label can be the same letter by chance. "
                "Number the labels, so that all are different, and compare the numbers.",
                when=lambda reading: bool(1030 <= reading[0] <= 1070),
            ),
        ),
    ),
    Exercise(
        "03.3b",
        "the training perplexity at which a model with the wrong labels settles, to within 2",
        Between(15, 20.5),
        17.4,
        "That is the perplexity of the letter frequencies, the one thing that shuffling leaves "
        "intact. A falling curve is no proof that a model is right.",
        TALKS,
        (
            Mistake(
                "nothing_learned",
                28,
                "That would be a model that learns nothing. Shuffled labels still have something "
                "that can be learned: train a little longer, and look at the curve.",
                when=near(24, 29),
            ),
            Mistake(
                "stopped_early",
                22,
                "Nearly. Train a little longer, until the curve is flat.",
                when=lambda value: 20.5 < value < 24,
            ),
            Mistake(
                "bits",
                4.12,
                "If that is the loss in bits, the perplexity is 2 to this power. If it is the "
                "perplexity, the labels were the right ones.",
                when=near(4.05, 4.2),
            ),
            Mistake(
                "right_labels",
                5.3,
                "So low a value needs the right labels. Do both runs begin with a new model? Is "
                "`Y` really not transposed?",
                when=lambda value: 3.2 <= value <= 12 and not 4.05 <= value <= 4.2,
            ),
            Mistake(
                "loss",
                2.86,
                "That looks like the loss. Perplexity is its exponential.",
                when=near(2.5, 3.1),
            ),
            Mistake(
                "memorized",
                1.1,
                "So low a value means that the labels were in the right order after all, or that "
                "something other than the perplexity was printed.",
                when=near(0.9, 2.0),
            ),
        ),
    ),
    Exercise(
        "03.4",
        "a function of inputs (ids, num_steps by batch_size), state and params that returns the "
        "logits and the new state, as `gru` does, with the same gradients",
        Function(
            lambda: loop_cases(one_hot=False),
            gradient=("params",),
            results=RESULTS,
        ),
        loop_with(fed=rows_of),
        "A one-hot vector times a matrix is a look-up: values and gradients are the same.",
        VECTORS,
        of_the_loop(
            Mistake(
                "one_matrix_for_all",
                loop_with(fed=rows_of, params=lambda p: [*p[:3], p[0], *p[4:6], p[0], *p[7:]]),
                "The rows of `W_xz` are used for all three sums. Each has a matrix of its own.",
            ),
            Mistake(
                "mixed_matrices",
                loop_with(fed=rows_of, params=lambda p: [p[3], *p[1:3], p[0], *p[4:]]),
                "`W_xz` and `W_xr` have changed places.",
            ),
            Mistake(
                "matrix_of_the_reset_gate_twice",
                loop_with(fed=rows_of, params=lambda p: [*p[:6], p[3], *p[7:]]),
                "The rows of `W_xr` are used for the candidate too. It has a matrix of its own.",
            ),
            Mistake(
                "columns",
                loop_with(fed=lambda X, W: W[:, X]),
                "These are columns. Multiplied from the left by a one-hot vector, a matrix gives "
                "one of its rows.",
                when=columns_taken,
            ),
            Mistake(
                "one_step_late",
                loop_with(fed=rows_of, late=True),
                "The scores are made before the new state, as in exercise 2. Here the loop is that "
                "of the lesson.",
                see=THE_LOOP,
            ),
            Mistake(
                "one_row_for_the_batch",
                loop_with(fed=lambda X, W: W[X[0]]),
                "Every row of the batch gets the character of row 0: index with all ids of a step.",
            ),
            Mistake(
                "one_step_for_all",
                lambda inputs, state, params: loop_with(fed=rows_of)(
                    inputs[:1].expand_as(inputs), state, params
                ),
                "Every pass reads the first step again. In the loop, index with `X`.",
            ),
            Mistake(
                "cut_from_the_graph",
                loop_with(fed=lambda X, W: W.data[X]),
                "The values are right, but no gradient reaches the matrices that are looked up, so "
                "they would never be trained. Leave out `.data`, `detach` and `no_grad`.",
            ),
            Mistake(
                "no_gradients",
                loop_with(fed=rows_of, params=lambda p: [q.detach() for q in p]),
                "The values are right, but no parameter gets a gradient, so training would do "
                "nothing. Leave out `no_grad` and `detach`.",
            ),
            Mistake(
                "biases_left_out",
                loop_with(fed=rows_of, params=without_bias_terms),
                "The biases are missing. Only the three products with `X` become look-ups.",
            ),
            Mistake(
                "state_not_carried",
                loop_with(fed=rows_of, carried=False),
                "Each step begins from the state before the first: the new state has to be called "
                "`H` again.",
            ),
            Mistake(
                "batch_first",
                lambda ids, state, params: loop_with(fed=rows_of)(
                    ids.transpose(0, 1), state, params
                ),
                "The loop goes over the rows. The ids come with time first, as `inputs` does in "
                "the lesson: they are `X.T` already.",
                when=batch_was_first,
            ),
            fed=rows_of,
        ),
    ),
    Exercise(
        "03.5a",
        'how many characters longer the whole text is with `join_with=" "`',
        number("the number of characters"),
        in_the_text("longer"),
        "One space for every join between two lines that are not empty.",
        TEXT,
        (
            Mistake(
                "first_10000",
                0,
                "By default the first 10,000 characters are kept of either text, so that both are "
                "equally long. The exercise asks for the whole text.",
            ),
            Mistake(
                "lines_counted",
                in_the_text("lines"),
                "That is the number of lines that are not empty. How many joins are there between "
                "them?",
            ),
            Mistake(
                "empty_lines_counted",
                in_the_text("all lines", -1),
                "That is one for each line break in the file. Where a line is empty, no second "
                "space is put in.",
            ),
            Mistake(
                "all_lines",
                in_the_text("all lines"),
                "That is the number of lines in the file, empty ones among them. Compare the "
                "lengths of the two texts.",
            ),
            Mistake(
                "shorter",
                lambda: -in_the_text("longer")(),
                "The size is right, the sign is not: which text was taken from which?",
            ),
            Mistake(
                "whole_length",
                in_the_text("clean"),
                "That is the length of the longer text. Asked for is the difference.",
            ),
            Mistake(
                "glued_words",
                in_the_text("glued"),
                "That is the number of different glued words, the second question.",
            ),
        ),
    ),
    Exercise(
        "03.5b",
        "how many different words only the classic way has, in the whole text",
        number("the number of words"),
        in_the_text("glued"),
        "Fewer than joins: some occur several times, a short line is glued at both ends, and a few "
        "make a word that occurs anyway.",
        TEXT,
        (
            Mistake(
                "joins",
                in_the_text("longer"),
                "That is the number of joins. Not every join makes a word that is new.",
            ),
            Mistake(
                "occurrences",
                in_the_text("occurrences"),
                "That counts every occurrence. Asked for are different words.",
            ),
            Mistake(
                "difference_of_the_counts",
                in_the_text("more words"),
                "That is the difference between two numbers of words. But the classic way also "
                "loses words, those that occur only at a join. Take a difference of sets.",
                when=counted("more words", -1),
            ),
            Mistake(
                "lost_words",
                in_the_text("lost"),
                "These are the words that only the clean way has. It is the other way round.",
                when=counted("lost", 1),
            ),
            Mistake(
                "either_way",
                in_the_text("either"),
                "That counts the words that only one of the two ways has, whichever it is.",
                when=counted("either", 1),
            ),
            Mistake(
                "all_classic_words",
                in_the_text("words"),
                "These are all different words of the classic way. Take away those that the clean "
                "way has too.",
            ),
            Mistake(
                "first_10000",
                in_the_text("first part"),
                "So few come from the first 10,000 characters. The exercise asks for the whole "
                "text.",
                when=in_the_first_part,
            ),
        ),
    ),
    Exercise(
        "03.6a",
        "a function of the logits of one step (one row of scores) and temperature that returns the "
        "probabilities from which the next character is drawn",
        OneRow(temperature_cases),
        lambda logits, temperature: torch.softmax(logits / temperature, dim=-1),
        "What counts is the differences between scores, and the temperature divides these.",
        TALKS,
        (
            Mistake(
                "probabilities_divided",
                lambda logits, temperature: torch.softmax(logits, dim=-1) / temperature,
                "The softmax comes first here, so that the results no longer sum to 1. "
                "`multinomial` normalizes them without a word, and the temperature does nothing.",
            ),
            Mistake(
                "temperature_without_effect",
                lambda logits, temperature: torch.softmax(logits, dim=-1),
                "The temperature has no effect: is it used, and before the softmax?",
            ),
            Mistake(
                "multiplied",
                lambda logits, temperature: torch.softmax(logits * temperature, dim=-1),
                "The scores are multiplied by the temperature, which reverses its meaning.",
            ),
            Mistake(
                "softmax_left_out",
                lambda logits, temperature: logits / temperature,
                "These are scores, some of them negative. Probabilities need a softmax.",
            ),
            Mistake(
                "logarithms",
                lambda logits, temperature: torch.log_softmax(logits / temperature, dim=-1),
                "These are logarithms of the probabilities.",
            ),
            Mistake(
                "not_normalized",
                lambda logits, temperature: torch.exp(logits / temperature),
                "These are the right proportions, but they do not sum to 1.",
            ),
            Mistake(
                "overflow",
                lambda logits, temperature: (
                    torch.exp(logits / temperature) / torch.exp(logits / temperature).sum()
                ),
                "At a low temperature the exponentials overflow. What may be subtracted from all "
                "scores without changing the probabilities?",
                when=overflows,
            ),
            Mistake(
                "drawn",
                lambda logits, temperature: torch.multinomial(
                    torch.softmax(logits / temperature, dim=-1), 1
                ),
                "That is the character drawn. Asked for are the probabilities.",
                when=one_character,
            ),
            Mistake(
                "most_likely",
                lambda logits, temperature: F.one_hot(logits.argmax(), len(logits)).double(),
                "Everything goes to the most likely character. That is the limit of low "
                "temperatures alone.",
            ),
            Mistake(
                "likely_and_unlikely_exchanged",
                lambda logits, temperature: torch.softmax(-logits / temperature, dim=-1),
                "The least likely character gets the largest probability: there is a sign too "
                "many.",
            ),
        ),
    ),
    Exercise(
        "03.6b",
        "among how many equally likely characters the model chooses, in effect, near temperature 0 "
        "and at a very high one (two numbers)",
        Numbers(("near 0", "very high"), absolute=0.1),
        (1.0, 28.0),
        "Near 0 the most likely character wins every time; at the other end there is a die with "
        "28 sides, and even `<unk>` turns up.",
        TALKS,
        (
            Mistake(
                "exchanged",
                (28.0, 1.0),
                "It is the other way round: dividing by a small number makes differences large.",
            ),
            Mistake(
                "without_unk",
                (1.0, 27.0),
                "The first is right. At a very high temperature no token is left out, not even one "
                "that the model has never met.",
            ),
            Mistake(
                "letters_alone",
                (1.0, 26.0),
                "The first is right. Letters are not the only tokens.",
                see="From characters to ids",
            ),
            Mistake(
                "zero_characters",
                (0.0, 28.0),
                "The second is right. Near 0 there is still one character that gets chosen.",
            ),
            Mistake(
                "zero_characters_and_without_unk",
                (0.0, 27.0),
                "Near 0 there is still one character that gets chosen. And at a very high "
                "temperature no token is left out, not even one that the model has never met.",
            ),
            Mistake(
                "infinitely_many",
                (1.0, float("inf")),
                "The first is right. However high the temperature, there are only so many tokens "
                "to choose from.",
                see="From characters to ids",
            ),
            Mistake(
                "units",
                (1.0, 256.0),
                "The first is right. The second is the number of units. What is chosen is a token.",
                see="From characters to ids",
            ),
            Mistake(
                "letter_frequencies",
                (1.0, 17.4),
                "The first is right. The second is the perplexity of the letter frequencies. A "
                "very high temperature does away with these, too.",
                when=lambda reading: bool(abs(reading[0] - 1) < 0.1 and 15 <= reading[1] <= 20.5),
            ),
            Mistake(
                "no_effect_at_the_top",
                (1.0, 1.0),
                "The first is right. At a very high temperature, what is left of the differences "
                "between scores that are divided by it?",
            ),
            Mistake(
                "shares",
                (1.0, 1 / 28),
                "The second is the probability of each character. Asked for is their number.",
            ),
        ),
    ),
)
