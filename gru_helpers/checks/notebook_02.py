"""The exercises of notebook 02, Parameter initialization."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..equations import gru_step
from .core import Exercise, Mistake
from .kinds import Between, Built, Case, Function, Names, Outcome, number
from .samples import drawn
from .values import NotThisKind, called, read_numbers

NAMES = ("W_xz", "W_hz", "b_z", "W_xr", "W_hr", "b_r", "W_xh", "W_hh", "b_h", "W_hq", "b_q")
TOKENS, UNITS = 28, 16  # those of exercise 2, for functions that have them built in


# --- 1: what depends on the vocabulary ----------------------------------------------------------


def counted(v: int = 100, h: int = 512, square: int = 3, biases: int = 3, outputs: int = 1) -> int:
    """The number of parameters, by default right."""
    return 3 * v * h + square * h * h + biases * h + outputs * h * v + v


# --- 2: units that are all the same -------------------------------------------------------------


def loss_cases() -> list[Case]:
    """A small batch, for the equal units of the exercise and for units that differ."""
    batch = torch.randint(TOKENS, (3, 6), generator=torch.Generator().manual_seed(1))
    shapes = [(TOKENS, UNITS), (UNITS, UNITS), (UNITS,)] * 3 + [(UNITS, TOKENS), (TOKENS,)]
    equal = [torch.full(shape, 0.01 if len(shape) == 2 else 0.0).double() for shape in shapes]
    drawn_ones = [drawn(*shape, seed=10 + k, scale=0.7) for k, shape in enumerate(shapes)]
    return [
        Case({"params": equal, "batch": batch}, "a model whose weights are all 0.01"),
        Case({"params": drawn_ones, "batch": batch}, "a model with different weights"),
    ]


def loss_with(
    states: slice = slice(1, None),
    inputs: slice = slice(None, -1),
    labels: Callable[[Tensor], Tensor] = lambda batch: batch[:, 1:].T,
    bias: float = 1.0,
    squash: Callable[[Tensor], Tensor] = lambda logits: logits,
    finish: Callable[[Tensor], Tensor] = lambda losses: losses.mean(),
) -> Any:
    """The mean loss over all steps, with something wrong in it."""

    def loss_of(params: list[Tensor], batch: Tensor) -> Tensor:
        Hs = [torch.zeros(len(batch), len(params[1]), dtype=params[1].dtype)]
        for X in F.one_hot(batch[:, inputs].T, len(params[0])).to(params[0].dtype):
            Hs.append(gru_step(X, Hs[-1], params)[-1])
        logits = torch.stack(Hs[states]) @ params[9] + bias * params[10]
        losses = F.cross_entropy(
            squash(logits).flatten(0, 1), labels(batch).reshape(-1), reduction="none"
        )
        return finish(losses.reshape(logits.shape[:2]))

    return loss_of


def loss_gone_back(params: list[Tensor], batch: Tensor) -> Tensor:
    """The right loss, from which the function itself goes backward."""
    loss: Tensor = loss_with()(params, batch)
    loss.backward()
    return loss


def state_gradient_cases() -> list[Case]:
    """One unit's weights to five tokens: all equal, all different, and with the other sign."""
    p, y = torch.softmax(drawn(5, seed=1), dim=0), torch.eye(5, dtype=torch.float64)[3]
    equal = torch.full((5,), 0.01, dtype=torch.float64)
    return [
        Case({"weights": equal, "p": p, "y": y}, "equal weights"),
        Case({"weights": drawn(5, seed=2), "p": p, "y": y}, "weights that differ"),
        Case({"weights": -drawn(5, seed=3), "p": p, "y": y}, "other weights"),
    ]


# --- 3: copies that nobody trains ---------------------------------------------------------------


def conversion_cases() -> list[Case]:
    """Eleven small parameters in double precision, to be brought to single precision."""
    shapes = [(3, 2), (2, 2), (2,)] * 3 + [(2, 3), (3,)]
    params = [drawn(*shape, seed=k).requires_grad_() for k, shape in enumerate(shapes)]
    return [Case({"params": params, "dtype": torch.float32}, "eleven small tensors")]


def made(params: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """The first of the two ways."""
    return [p.detach().to(dtype).requires_grad_(True) for p in params]


def has_optimizer(outcomes: list[Outcome]) -> bool:
    """Whether an optimizer comes back, alone or with the tensors."""
    values = [outcome.call.value for outcome in outcomes]
    values += [part for value in values if isinstance(value, (list, tuple)) for part in value]
    return any(isinstance(value, torch.optim.Optimizer) for value in values)


# --- 5: half-lives of many lengths --------------------------------------------------------------

LONGEST, FEWEST = 35, 200
CHANCE = 2.7  # honest draws differ by more once in a million times


def bias_vector(answer: Any) -> Tensor:
    """The biases of the units, as one vector."""
    parts = read_numbers(answer)
    if any(part.numel() > 1 for part in parts):
        several = len(parts) > 1
        if several or parts[0].dim() > 2 or parts[0].numel() != max(parts[0].shape):
            held = called(answer if several else parts[0])
            raise NotThisKind(f"It is {held}, not a vector with one number for each unit.")
    vector = torch.cat([part.double().flatten() for part in parts]) if parts else torch.zeros(0)
    if len(vector) < FEWEST:
        raise NotThisKind(
            f"It is {called(answer)}, and holds {len(vector)} numbers, not one for each unit "
            f"(at least {FEWEST})."
        )
    return vector


def distance(values: Tensor, low: float, high: float) -> float:
    """How far values are from being uniform between two ends, in units of what chance does."""
    n = len(values)
    share = ((values.sort().values - low) / (high - low)).clamp(0, 1)
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    gap = torch.maximum((steps[1:] - share).abs(), (share - steps[:-1]).abs()).max()
    return gap.item() * math.sqrt(n)


def rule_fault(biases: Tensor, longest: float = LONGEST - 1) -> str:
    """What is not as the rule has it, or nothing."""
    if not biases.isfinite().all():
        return "Some of the biases are inf or nan."
    if biases.min() < -1e-6:
        below = int((biases < -1e-6).sum())
        return f"{below} of the {len(biases)} biases are negative, and none should be."
    if biases.max() > math.log(longest) + 1e-6:
        return f"The largest bias is {biases.max():.2f}: that is more than the rule can give."
    if distance(biases.exp(), 1, longest) > CHANCE:
        return "The range is right, but within it the biases are not spread as the rule has it."
    return ""


def follows(biases: Tensor, longest: float = LONGEST - 1) -> bool:
    """Whether the biases can have come from the rule."""
    return not rule_fault(biases, longest)


def by_the_rule(low: float = 1, high: float = LONGEST - 1, n: int = 256) -> Tensor:
    """Biases as the rule has them, drawn with a generator of their own."""
    u = torch.rand(n, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return (low + (high - low) * u).log()


def undone(inverse: Callable[[Tensor], Tensor]) -> Callable[[Tensor], bool]:
    """Whether something that has been done to the right biases can be undone."""
    return lambda biases: not follows(biases) and follows(inverse(biases))


def half_lives(biases: Tensor) -> Tensor:
    """Steps until half of a state is left, for each unit."""
    return math.log(0.5) / torch.sigmoid(biases).log()


def bias_of(half_life: Tensor) -> Tensor:
    """The inverse of ``half_lives``."""
    return torch.logit(0.5 ** (1 / half_life))


def half_life_cases() -> list[Case]:
    """Biases of five units."""
    biases = torch.tensor([2.0, 0.0, 4.0, 0.7, 3.5], dtype=torch.float64)
    return [Case({"b_z": biases}, "the biases 2, 0, 4, 0.7 and 3.5")]


def shares(outcomes: list[Outcome]) -> Tensor:
    """The numbers that have come back, as shares of the right half-lives."""
    right = half_lives(half_life_cases()[0].arguments["b_z"])
    fits = outcomes[0].numbers and outcomes[0].numbers[0].shape == right.shape
    return outcomes[0].numbers[0].double() / right if fits else torch.zeros(0)


def whole_steps(outcomes: list[Outcome]) -> bool:
    """Whether the half-lives are right but for rounding, up, down or to the nearest."""
    right = half_lives(half_life_cases()[0].arguments["b_z"])
    steps = shares(outcomes) * right if len(shares(outcomes)) else torch.zeros(0)
    return len(steps) > 0 and bool(
        ((steps - right).abs() < 1 + 1e-6).all() and ((steps - steps.round()).abs() < 1e-6).all()
    )


def mixed_logarithms(outcomes: list[Outcome]) -> bool:
    """Whether one logarithm has another base than the other."""
    found, two, ten = shares(outcomes), math.log(2), math.log(10)
    factors = (two, ten, 1 / ten, ten / two, two / ten)  # 1 / two is the time constant
    return len(found) > 0 and any(bool(((found - f).abs() < 1e-4).all()) for f in factors)


def near(low: float, high: float) -> Callable[[float], bool]:
    """Whether a measured number lies in an interval."""
    return lambda value: low <= value <= high


GATES = "The gates before training"
LEAVES = "Why `requires_grad_` comes last"
SCALES = "Four scales"
BIAS = "The update gate's bias: choosing a memory"
REMEMBER = "01: How long does a gate remember?"

EXERCISES = (
    Exercise(
        "02.1a",
        "the names of the tensors whose shape depends on the size of the vocabulary",
        Names(NAMES),
        ("W_xz", "W_xr", "W_xh", "W_hq", "b_q"),
        "What reads a character on its way in, and what scores one on its way out.",
        "What needs a value",
        (
            Mistake(
                "output_bias_left_out",
                ("W_xz", "W_xr", "W_xh", "W_hq"),
                "These four do. But there is one score for each token: what is added to it?",
            ),
            Mistake(
                "inputs_only",
                ("W_xz", "W_xr", "W_xh"),
                "These read a character. At the other end, something scores every token.",
            ),
            Mistake(
                "outputs_only",
                ("W_hq", "b_q"),
                "These score the tokens. At the other end, something reads them.",
            ),
            Mistake(
                "output_left_out_biases_in",
                ("W_xz", "b_z", "W_xr", "b_r", "W_xh", "b_h"),
                "There is a bias for each unit, whatever is read. And the output layer is missing.",
            ),
            Mistake(
                "biases_of_the_state",
                ("W_xz", "b_z", "W_xr", "b_r", "W_xh", "b_h", "W_hq", "b_q"),
                "Three are too many: a bias inside the GRU has a number for each unit, not for "
                "each token.",
            ),
            Mistake(
                "depends_on_the_units",
                NAMES[:-1],
                "These are the tensors whose shape depends on the number of units.",
            ),
            Mistake(
                "independent_ones",
                ("W_hz", "b_z", "W_hr", "b_r", "W_hh", "b_h"),
                "It is the other way round: these lead from state to state and stay as they are.",
            ),
            Mistake(
                "all_matrices",
                tuple(name for name in NAMES if name[0] == "W"),
                "These are the seven matrices. Some of them lead from state to state: do they see "
                "a character at all? And what is added to the scores?",
            ),
            Mistake("all", NAMES, "Do the matrices from state to state see a character at all?"),
        ),
    ),
    Exercise(
        "02.1b",
        "the number of parameters with 100 tokens and 512 units",
        number("the number of parameters"),
        counted,
        "It is 3 (vh + hh + h) + hv + v, and most of it is still in the three square matrices.",
        "Step by step",
        (
            Mistake(
                "output_bias_left_out",
                lambda: counted() - 100,
                "Exactly one of the eleven tensors is missing, and it is the smallest.",
            ),
            Mistake(
                "output_bias_by_units",
                lambda: counted() - 100 + 512,
                "The bias of the output layer is added to the scores: it has a number for each "
                "token, not for each unit.",
            ),
            Mistake(
                "three_output_matrices",
                lambda: counted(outputs=3),
                "The output matrix is counted three times: there is only one output layer.",
            ),
            Mistake(
                "three_output_layers",
                lambda: counted(outputs=3) + 200,
                "The whole output layer is counted three times: there is only one.",
            ),
            Mistake(
                "output_left_out",
                lambda: counted(outputs=0) - 100,
                "That is the GRU alone: the output layer is missing.",
            ),
            Mistake(
                "output_matrix_left_out",
                lambda: counted(outputs=0),
                "The output layer's bias is counted, but not its matrix.",
            ),
            Mistake(
                "those_of_the_vocabulary",
                lambda: counted(square=0, biases=0),
                "That is the number in the tensors that depend on the vocabulary. The model has "
                "others too.",
            ),
            Mistake(
                "square_matrices_alone",
                lambda: 3 * 512 * 512,
                "These are the three square matrices alone. What reads the characters, what scores "
                "them, and the biases are missing.",
            ),
            Mistake(
                "the_lesson_s_model",
                lambda: counted(v=28, h=256),
                "That is the lesson's own model. Here both sizes are others.",
            ),
            Mistake(
                "biases_left_out",
                lambda: counted(biases=0) - 100,
                "These are the matrices alone: all four biases are missing.",
            ),
            Mistake(
                "hidden_biases_left_out",
                lambda: counted(biases=0),
                "The three biases inside the GRU are missing: a number for each unit, three times.",
            ),
            Mistake(
                "one_of_three",
                lambda: counted() - 2 * (100 * 512 + 512 * 512 + 512),
                "That is one set of two matrices and a bias. How many things need such a set?",
            ),
            Mistake(
                "two_gates_only",
                lambda: counted() - (100 * 512 + 512 * 512 + 512),
                "Two sets are counted, those of the gates. The candidate needs one as well.",
            ),
            Mistake(
                "four_sets",
                lambda: counted() + (100 * 512 + 512 * 512 + 512),
                "Four sets are counted: that is an LSTM. A GRU has two gates and a candidate.",
            ),
            Mistake(
                "tokens_and_units_exchanged",
                lambda: counted(v=512, h=100),
                "That is a model with 512 tokens and 100 units.",
            ),
            Mistake(
                "tokens_of_the_lesson",
                lambda: counted(v=28),
                "That is the lesson's vocabulary with the new number of units.",
            ),
            Mistake(
                "units_of_the_lesson",
                lambda: counted(h=256),
                "That is the new vocabulary with the lesson's number of units.",
            ),
            Mistake(
                "two_biases_each",
                lambda: counted(biases=6),
                "Each bias inside the GRU is counted twice. `nn.GRU` has two, ours has one.",
            ),
        ),
    ),
    Exercise(
        "02.2a",
        "a function of params (the eleven) and batch that returns the mean loss over all steps, as "
        "a tensor to go backward from",
        Function(loss_cases, gradient=("params",)),
        loss_with(),
        "Every character but the first is predicted once, from the state after those before it.",
        "How far back does the gradient reach?",
        (
            Mistake(
                "labels_not_transposed",
                loss_with(labels=lambda batch: batch[:, 1:]),
                "The scores come step by step and the labels row by row: `run_gates` puts the "
                "steps first, and the labels have to follow. (Equal weights cannot tell.)",
                see=GATES,
            ),
            Mistake(
                "labels_not_shifted",
                loss_with(labels=lambda batch: batch[:, :-1].T),
                "The label of each step is the character that has just been read. It should be the "
                "one that comes next.",
            ),
            Mistake(
                "labels_are_the_inputs",
                loss_with(inputs=slice(None), labels=lambda batch: batch.T),
                "Inputs and labels are the same characters: the label of each step is the one that "
                "has just been read. It should be the one that comes next.",
            ),
            Mistake(
                "starts_with_zeros",
                loss_with(states=slice(None, -1), inputs=slice(None), labels=lambda batch: batch.T),
                "The first character is predicted from zeros. Which is the first that anything has "
                "been read for? (`Hs` begins with the state before the first step.)",
                see=GATES,
            ),
            Mistake(
                "labels_rolled",
                loss_with(inputs=slice(None), labels=lambda batch: batch.roll(-1, dims=1).T),
                "The last step of each row is asked for the row's first character: `roll` puts it "
                "there. Nothing is known of what follows the last character.",
            ),
            Mistake(
                "went_backward",
                loss_gone_back,
                "Your function has gone backward itself. Return the loss and leave that to the "
                "caller.",
                when=lambda outcomes: any(
                    one.went_back and one.gradients.get("params") is None for one in outcomes
                ),
            ),
            Mistake(
                "bits",
                loss_with(finish=lambda losses: losses.mean() / math.log(2)),
                "That is the mean in bits, from logarithms to base 2. A loss is in nats, as "
                "`cross_entropy` has it.",
            ),
            Mistake(
                "state_before_reading",
                loss_with(states=slice(None, -1)),
                "The scores of each step are made from the state before it: `Hs` begins with the "
                "zeros from which the reading starts.",
                see=GATES,
            ),
            Mistake(
                "last_step_only",
                loss_with(finish=lambda losses: losses[-1].mean()),
                "That is the loss of the last step, as in `gradient_by_lag`. Here all steps count.",
            ),
            Mistake(
                "summed",
                loss_with(finish=lambda losses: losses.sum()),
                "The losses are added up, over all rows and steps. A mean is asked for: otherwise "
                "the learning rate means something else.",
            ),
            Mistake(
                "summed_over_steps",
                loss_with(finish=lambda losses: losses.mean(dim=1).sum()),
                "It is the mean over the rows, but the sum over the steps.",
            ),
            Mistake(
                "summed_over_rows",
                loss_with(finish=lambda losses: losses.mean(dim=0).sum()),
                "It is the mean over the steps, but the sum over the rows.",
            ),
            Mistake(
                "softmax_first",
                loss_with(squash=lambda logits: logits.softmax(dim=-1)),
                "`cross_entropy` wants the scores and applies a softmax of its own; here it gets "
                "probabilities, and squashes them once more.",
            ),
            Mistake(
                "perplexity",
                loss_with(finish=lambda losses: losses.mean().exp()),
                "That is the exponential of the mean loss.",
            ),
            Mistake(
                "output_bias_left_out",
                loss_with(bias=0.0),
                "The scores lack the output layer's bias.",
            ),
        ),
    ),
    Exercise(
        "02.2b",
        "a function of one unit's weights to the tokens (weights), the probabilities (p) and the "
        "label as a one-hot vector (y) that returns the gradient of the loss by this unit's state",
        Function(state_gradient_cases),
        lambda weights, p, y: weights @ (p - y),
        "With equal weights it is 0, since p and y both sum to 1: nothing gets past the output "
        "layer in the first step.",
        "Step by step",
        (
            Mistake(
                "label_left_out",
                lambda weights, p, y: weights @ p,
                "The label does not occur in it. The gradient of the loss by a score is the "
                "probability minus what the label says.",
            ),
            Mistake(
                "sign_reversed",
                lambda weights, p, y: weights @ (y - p),
                "The sign is the other one: a score that is too probable must go down, so its "
                "gradient is positive.",
            ),
            Mistake(
                "size_alone",
                lambda weights, p, y: (weights @ (p - y)).abs(),
                "The size is right, but a gradient has a sign too: it can be negative.",
            ),
            Mistake(
                "weights_left_out",
                lambda weights, p, y: (p - y).sum(),
                "It is 0 whatever is handed in. That is the result for equal weights; asked for is "
                "the formula, in which each score's gradient reaches the unit through its own "
                "weight.",
            ),
            Mistake(
                "not_summed",
                lambda weights, p, y: weights * (p - y),
                "That is a vector, one number for each token. A unit feeds all scores, so their "
                "shares add up.",
            ),
            Mistake(
                "mean_over_tokens",
                lambda weights, p, y: (weights * (p - y)).mean(),
                "The shares of the tokens are averaged. They add up: each token's score is a road "
                "of its own back to the unit.",
            ),
            Mistake(
                "label_alone",
                lambda weights, p, y: -(weights @ y),
                "Only the score of the right character counts in it. But every score is in the "
                "softmax, and so in the loss.",
            ),
            Mistake(
                "gradient_of_the_scores",
                lambda weights, p, y: p - y,
                "That is the gradient by the scores. One step further back is the state, behind "
                "the weights.",
            ),
            Mistake(
                "logarithm_of_p",
                lambda weights, p, y: -(weights @ y) / (p @ y),
                "That treats the probability as if it were the score: between the two is the "
                "softmax, which has a derivative of its own.",
            ),
        ),
    ),
    Exercise(
        "02.3",
        "a function of params (the eleven) and a dtype that returns the same numbers in that "
        "dtype, as tensors that an optimizer can change",
        Function(conversion_cases, graph=True, absolute=0.0, relative=0.0, may_write=True),
        made,
        "They are leaves again: a new tensor cut from its past, or the old one with new contents.",
        LEAVES,
        (
            Mistake(
                "student_s_line",
                lambda params, dtype: [p.to(dtype) for p in params],
                "These are results of a conversion and not leaves, just as the student's; "
                "`requires_grad_` does not change that. What has to go is the past.",
            ),
            Mistake(
                "gradients_not_asked_for",
                lambda params, dtype: [p.detach().to(dtype) for p in params],
                "They are cut from their past, and that is right, but now they do not require "
                "gradients, so training would skip them.",
            ),
            Mistake(
                "not_converted",
                lambda params, dtype: list(params),
                "They can be trained, but the dtype is not the one asked for. Is `dtype` used, and "
                "the result of the conversion? In a loop, `p = ...` leaves the list as it was.",
            ),
            Mistake(
                "with_the_optimizer",
                lambda params, dtype: (made(params, dtype), torch.optim.SGD(made(params, dtype))),
                "The tensors alone are asked for; the optimizer is made from them outside.",
                when=has_optimizer,
            ),
            Mistake(
                "arrays",
                lambda params, dtype: [p.detach().to(dtype).numpy() for p in params],
                "These are arrays or lists, not tensors: an optimizer can change only tensors.",
                when=lambda outcomes: bool(outcomes[0].numbers) and not outcomes[0].graph,
            ),
            Mistake(
                "only_the_first",
                lambda params, dtype: [params[0].detach().to(dtype).requires_grad_(True)],
                "Only the first tensor comes back: is the `return` inside the loop?",
            ),
            Mistake(
                "set_to_zero",
                lambda params, dtype: [
                    torch.zeros_like(p, dtype=dtype, requires_grad=True) for p in params
                ],
                "They are leaves of the right dtype, but the numbers in them are gone.",
            ),
        ),
    ),
    Exercise(
        "02.4a",
        "the standard deviation of the weights of 256 units at which the gradient at lag 34 is as "
        "large as that at lag 0",
        Between(0.128, 0.147, relative=0.03),
        0.137,
        "From one seed to the next it hardly moves. The balance depends on the width: times the "
        "square root of the number of units, it is a little above 2.",
        SCALES,
        (
            Mistake(
                "best_of_the_four",
                0.1,
                "That is the best of the lesson's four, where the gradient has faded to a "
                "hundredth. Look at scales above it.",
            ),
            Mistake(
                "rule_of_thumb",
                0.125,
                "That is 2 divided by the square root of 256, where the largest eigenvalue is "
                "about 1. Measured, most of the gradient is still lost there.",
            ),
            Mistake(
                "coarse_grid",
                0.15,
                "Near, but the gradient is still a few times too large: search in smaller steps, "
                "or halve the interval again and again.",
                when=near(0.147, 0.175),
            ),
            Mistake(
                "twice_the_classic_too_far",
                0.2,
                "There the gradient has already grown more than tenfold. Look at the last column "
                "on a scale of powers of ten, below this scale.",
            ),
            Mistake(
                "scale_of_nn_gru",
                0.036,
                "That is the standard deviation of U(±1/16), where the gradient still vanishes.",
            ),
            Mistake(
                "one_over_the_root",
                0.0625,
                "That is 1 divided by the square root of 256, the bound of `nn.GRU`. As a standard "
                "deviation it still lets the gradient vanish.",
            ),
            Mistake(
                "bound_of_a_uniform_choice",
                0.237,
                "That looks like the bound of a uniform choice. Asked for is the standard "
                "deviation, which is smaller.",
                when=near(0.222, 0.255),
            ),
            Mistake(
                "variance",
                0.0188,
                "That looks like the variance. Asked for is the standard deviation, its root.",
                when=near(0.0175, 0.0205),
            ),
            Mistake(
                "factor_over_the_classic",
                13.7,
                "That looks like the factor over the classic 0.01. Asked for is the standard "
                "deviation itself.",
                when=near(12.8, 14.7),
            ),
            Mistake(
                "times_root_of_the_width",
                2.2,
                "That looks like the scale times the square root of the number of units. Asked for "
                "is the scale.",
                when=near(2.0, 2.4),
            ),
            Mistake(
                "other_width",
                0.293,
                "That would be so with 64 units. The lesson's model has 256: the balance depends "
                "on the width.",
            ),
        ),
    ),
    Exercise(
        "02.4b",
        "the share of update gates, from 0 to 1, that are saturated at that scale",
        Between(0.0, 0.03),
        0.002,
        "Healthy: the gates differ from unit to unit, and hardly any is saturated.",
        SCALES,
        (
            Mistake(
                "complement",
                0.998,
                "That is the share that is not saturated.",
                when=near(0.95, 1.0),
            ),
            Mistake(
                "mean_of_the_gates",
                0.5,
                "That looks like the mean of the gates. Saturated are those below 0.1 or above "
                "0.9: count them.",
                when=near(0.45, 0.55),
            ),
            Mistake(
                "scale_one",
                0.84,
                "That is the share at a standard deviation of 1. Measure at the scale that you "
                "have found.",
                when=near(0.75, 0.94),
            ),
            Mistake(
                "in_percent",
                0.2,
                "Is that in percent? Asked for is a share from 0 to 1. If it is a share: are the "
                "gates those of the scale that you have found?",
                when=near(0.03, 0.44),
            ),
            Mistake(
                "a_number_of_gates",
                500,
                "That looks like a count. Divide by the number of gates, over all steps, rows and "
                "units.",
                when=lambda value: value > 1.5,
            ),
        ),
    ),
    Exercise(
        "02.5a",
        "the biases b_z of 256 units (at least 200) by Tallec and Ollivier's rule, T_max = 35, as "
        "a vector",
        Built(bias_vector, rule_fault),
        by_the_rule,
        "They are spread so that the half-lives, from one step to about two thirds of T_max, are "
        "all equally frequent.",
        BIAS,
        (
            Mistake(
                "sign_reversed",
                lambda: -by_the_rule(),
                "The sign is the other one. The rule sets the gate that keeps, and here z = 1 "
                "keeps.",
                when=undone(lambda biases: -biases),
            ),
            Mistake(
                "logarithm_left_out",
                lambda: by_the_rule().exp(),
                "These are the uniform numbers themselves. The bias is their logarithm; as they "
                "stand, nearly every gate would be stuck at 1.",
                when=undone(torch.log),
            ),
            Mistake(
                "uniform_biases",
                lambda: torch.linspace(0, math.log(LONGEST - 1), 256, dtype=torch.float64),
                "The range is right, but the logarithm is drawn uniformly. The rule draws a number "
                "uniformly and then takes its logarithm.",
                when=lambda b: (
                    not follows(b)
                    and 0 <= b.min() <= b.max() <= math.log(LONGEST) + 1e-6
                    and distance(b, 0, math.log(LONGEST - 1)) < CHANCE
                ),
            ),
            Mistake(
                "one_too_many",
                lambda: by_the_rule(high=LONGEST),
                "Some biases are a little too large: what is the upper end of the interval in the "
                "rule? It is not T_max itself.",
                when=lambda b: b.max() > math.log(LONGEST - 1) + 1e-6 and follows(b, LONGEST),
            ),
            Mistake(
                "from_zero",
                lambda: by_the_rule(low=0),
                "A few biases are negative: the interval in the rule does not begin at 0.",
                when=lambda b: (
                    b.min() < -1e-6 and (b < 0).double().mean() < 0.12 and follows(b.clamp(min=0))
                ),
            ),
            Mistake(
                "between_zero_and_one",
                lambda: by_the_rule(low=0, high=1),
                "All biases are negative, so every gate is below one half. They look like "
                "logarithms of numbers between 0 and 1, which is where `torch.rand` draws.",
                when=lambda b: (
                    b.isfinite().all()
                    and b.max() <= 0
                    and b.max() - b.min() > 1e-6
                    and not follows(-b)
                ),
            ),
            Mistake(
                "other_logarithm",
                lambda: by_the_rule() / math.log(10),
                "The numbers look like logarithms to another base. In PyTorch, as in `math`, the "
                "natural one is `log`.",
                when=lambda b: (
                    not follows(b) and (follows(b * math.log(10)) or follows(b * math.log(2)))
                ),
            ),
            Mistake(
                "gates",
                lambda: torch.sigmoid(by_the_rule()),
                "These look like the gates that the rule gives. Asked for are the biases, before "
                "the sigmoid.",
                when=undone(torch.logit),
            ),
            Mistake(
                "half_lives",
                lambda: half_lives(by_the_rule()),
                "These look like the half-lives that the rule gives. Asked for are the biases.",
                when=undone(bias_of),
            ),
            Mistake(
                "all_equal",
                lambda: torch.full((256,), 2.6, dtype=torch.float64),
                "All units have the same bias. The rule draws one for each.",
                when=lambda b: b.isfinite().all() and b.max() - b.min() < 1e-6,
            ),
        ),
    ),
    Exercise(
        "02.5b",
        "a function of the biases (b_z, a tensor) that returns the half-life of each unit, where "
        "the bias alone sets the gate",
        Function(half_life_cases),
        half_lives,
        "It is ln(1/2) / ln z with z the sigmoid of the bias: for large biases, 0.7 times the "
        "exponential of it.",
        REMEMBER,
        (
            Mistake(
                "time_constant",
                lambda b_z: -1 / torch.sigmoid(b_z).log(),
                "That is the time after which 1/e is left, or one of the two logarithms is to "
                "base 2 and the other is not. A half-life is the time to one half.",
            ),
            Mistake(
                "written_share",
                lambda b_z: math.log(0.5) / (1 - torch.sigmoid(b_z)).log(),
                "Large biases give short half-lives here: the share that is kept is z, and not "
                "1 - z.",
            ),
            Mistake(
                "sigmoid_left_out",
                lambda b_z: math.log(0.5) / b_z.log(),
                "The bias is not the gate: the sigmoid is missing.",
            ),
            Mistake(
                "bias_as_logarithm",
                lambda b_z: math.log(0.5) / -b_z,
                "The bias stands where ln z belongs: first comes the sigmoid, then the logarithm.",
            ),
            Mistake(
                "rule_of_thumb",
                lambda b_z: math.log(2) * b_z.exp(),
                "That is the approximation for gates near 1. At a bias of 0 the gate is one half, "
                "and what is the half-life then?",
            ),
            Mistake(
                "mean_stay",
                lambda b_z: 1 / (1 - torch.sigmoid(b_z)),
                "One over the written share is near the time to 1/e. The half-life is the k for "
                "which z to the power k is one half.",
            ),
            Mistake(
                "linear",
                lambda b_z: 0.5 / (1 - torch.sigmoid(b_z)),
                "A state does not lose the same amount at each step, but the same share.",
            ),
            Mistake(
                "upside_down",
                lambda b_z: torch.sigmoid(b_z).log() / math.log(0.5),
                "The two logarithms have changed places: a gate nearer 1 must remember longer.",
            ),
            Mistake(
                "sign_left_out",
                lambda b_z: math.log(2) / torch.sigmoid(b_z).log(),
                "A time cannot be negative: is it the logarithm of 2, or that of one half?",
            ),
            Mistake(
                "whole_steps",
                lambda b_z: half_lives(b_z).ceil(),
                "They are rounded to whole steps. Leave them as they are, fractions included.",
                when=whole_steps,
            ),
            Mistake(
                "mixed_logarithms",
                lambda b_z: math.log(0.5) / torch.sigmoid(b_z).log10(),
                "All are off by one factor: are the two logarithms to the same base?",
                when=mixed_logarithms,
            ),
            Mistake(
                "exponential_of_the_bias",
                lambda b_z: b_z.exp(),
                "That only undoes the logarithm of the rule. First comes the gate, the sigmoid of "
                "the bias; then the formula of the half-life.",
            ),
            Mistake(
                "mean_stay_times_log_2",
                lambda b_z: math.log(2) / (1 - torch.sigmoid(b_z)),
                "That is near for gates close to 1, not for others: 1 - z stands where a logarithm "
                "of z belongs.",
            ),
            Mistake(
                "product",
                lambda b_z: math.log(0.5) * torch.sigmoid(b_z).log(),
                "The two logarithms are multiplied. From z to the power k = 1/2, solve for k.",
            ),
        ),
    ),
    Exercise(
        "02.5c",
        "the gradient at lag 34 of 256 units with the rule, divided by that with a constant bias "
        "of the same mean (each relative to lag 0)",
        Between(1.5, 2.9, relative=0.03),
        2.1,
        "The slow units add more to the gradient than the fast ones take away.",
        BIAS,
        (
            Mistake(
                "upside_down",
                0.48,
                "Is that the constant's gradient divided by the rule's? It is the other way round.",
                when=near(0.41, 0.67),
            ),
            Mistake(
                "constant_zero",
                5.6e8,
                "That looks like a comparison with a bias of 0. Compare with a constant that has "
                "the same mean as the biases of the rule.",
                when=lambda value: value > 1e4,
            ),
            Mistake(
                "constant_four",
                0.37,
                "That looks like a comparison with a bias of 4. Compare with a constant that has "
                "the same mean as the biases of the rule.",
                when=near(0.34, 0.405),
            ),
            Mistake(
                "mean_of_the_uniform_numbers",
                1.35,
                "The constant looks too large: is it the logarithm of a mean, or the bias of the "
                "mean half-life? Take the mean of the biases themselves. Or is it the increase, "
                "not the ratio?",
                when=near(1.1, 1.49),
            ),
            Mistake(
                "mean_of_the_gates",
                4.3,
                "That is too much. Is the constant the one that gives the same mean gate? Take "
                "the mean of the biases themselves. Or has the ratio been squared?",
                when=near(2.9, 7.0),
            ),
            Mistake(
                "not_a_ratio",
                0.2,
                "That looks like one of the two gradients, relative to lag 0. Asked for is how "
                "many times one is the other.",
                when=near(0.06, 0.25),
            ),
            Mistake(
                "logarithm_left_out",
                0.94,
                "Are the biases the uniform numbers, without their logarithm? Then nearly all "
                "gates are stuck at 1. Or is it the increase, not the ratio?",
                when=near(0.9, 0.975),
            ),
            Mistake(
                "increase",
                0.85,
                "That looks like the increase, the ratio less 1. Asked for is the ratio itself.",
                when=near(0.68, 0.9),
            ),
            Mistake(
                "in_percent",
                229,
                "Is that in percent? Asked for is how many times one is the other.",
                when=near(100, 300),
            ),
            Mistake(
                "no_difference",
                1.0,
                "Equal means do not make equal gradients. Was the rule's bias really used, one "
                "number for each unit?",
                when=near(0.98, 1.02),
            ),
        ),
    ),
)
