"""The explorer of sequences of numbers and tokens: its words, its picture, its controls."""

import random

import pytest
import torch
from pictures import NO_WARNINGS, check_display, check_shown, size_of
from torch import nn

from gru_helpers import Clamp
from gru_helpers.gates import clamp_gates, trace_sequence, unit_order
from gru_helpers.studies.long_memory import (
    LastStateModel,
    load_memory,
    number_batch,
    symbol_batch,
)
from gru_helpers.widgets import GateSettings, SequenceExplorer
from gru_helpers.widgets.gate_explorer import MAX_CHARS, NOTHING
from gru_helpers.widgets.sequence_explorer import SequenceCanvas

pytestmark = NO_WARNINGS
TOKENS = [*"ABCDEFGH", *"wxyz", "?"]


@pytest.fixture(scope="module")
def numbers():
    """The trained model that holds a number, sequences, and the answers."""
    torch.manual_seed(1)
    return load_memory("number"), *number_batch(5, 100)


@pytest.fixture(scope="module")
def symbols():
    torch.manual_seed(1)
    return load_memory("symbol"), *symbol_batch(5, 100)


@pytest.fixture
def explorer(numbers):
    """With the two best keepers open from step 1 on."""
    return SequenceExplorer(*numbers, step=50, place=1, held="Z", value=0.5, since=1, which="above")


def fresh(explorer):
    """The picture of another explorer that starts where this one is."""
    settings = explorer.settings
    other = SequenceExplorer(
        explorer.model,
        explorer.X[explorer.number.value : explorer.number.value + 1],
        explorer.y[explorer.number.value : explorer.number.value + 1],
        explorer._canvas.classes,
        explorer.tokens,
        **{name: value for name, value in vars(settings).items() if name != "text"},
    )
    return other.image.value


def test_it_starts_with_the_first_sequence_and_the_longest_keeper(numbers):
    model, X, y = numbers
    explorer = SequenceExplorer(model, X, y)
    trace = trace_sequence(model, X[0])
    assert explorer.settings == GateSettings("", order="half-life")
    torch.testing.assert_close(explorer.trace.Z, trace.Z)
    answer = trace.outputs[-1, 0].item()
    assert f"Asked for {y[0].item():.3f}; answers {answer:.3f} at the end" in repr(explorer)
    assert abs(answer - y[0].item()) < 0.1


def test_what_is_held_is_the_units_above_and_the_number_is_gone(explorer, numbers):
    model, X, y = numbers
    baseline = trace_sequence(model, X[0])
    units = tuple(unit_order(baseline, "half-life")[:2].tolist())
    (clamp,) = explorer.trace.clamps
    assert (clamp.gate, clamp.value, clamp.units, clamp.start) == ("Z", 0.5, units, 1)
    held = clamp_gates(model, baseline, Clamp("Z", 0.5, units, start=1)).outputs[-1, 0].item()
    assert abs(held - y[0].item()) > 0.1
    assert f"at the end {held:.3f}" in repr(explorer)


def test_another_sequence_is_read_when_it_is_chosen(explorer, numbers):
    model, X, _ = numbers
    before = explorer.image.value
    explorer.number.value = 3
    torch.testing.assert_close(explorer.trace.baseline.Z, trace_sequence(model, X[3]).Z)
    assert explorer.image.value != before
    assert explorer.settings.step == 50


@pytest.mark.parametrize(
    ("control", "value"),
    [
        ("step", 100),
        ("place", 3),
        ("order", "index"),
        ("gate", "H"),
        ("held", NOTHING),
        ("at", "mean"),
        ("value", 0.85),
        ("since", 2),
        ("which", "all"),
    ],
    ids=str,
)
def test_each_control_changes_the_picture_to_that_of_its_settings(explorer, control, value):
    before = explorer.image.value
    explorer.controls[control].value = value
    assert explorer.image.value != before
    assert explorer.image.value == fresh(explorer)


def test_a_walk_over_all_controls_leaves_no_trace(symbols):
    model, X, y = symbols
    explorer = SequenceExplorer(model, X, y, TOKENS[:8], TOKENS)
    rng = random.Random(3)
    for _ in range(16):
        name = rng.choice(["step", "place", "since", "value", "choose", "choose", "number"])
        if name == "choose":
            chosen = explorer.controls[rng.choice(["order", "gate", "held", "at", "which"])]
            chosen.index = rng.randrange(len(chosen.options))
        elif name == "number":
            explorer.number.value = rng.randrange(5)
        else:
            slider = explorer.controls[name]
            slider.value = slider.min + (slider.max - slider.min) * rng.random() // 0.05 * 0.05
    assert explorer.image.value == fresh(explorer)


def test_tokens_name_the_steps_and_classes_the_answers(symbols):
    model, X, y = symbols
    explorer = SequenceExplorer(model, X, y, TOKENS[:8], TOKENS)
    read = [TOKENS[token] for token in X[0].argmax(dim=1)]
    assert list(explorer.trace.text) == read
    asked = TOKENS[y[0]]
    assert f"(of 0 to 101), {asked}: the answer" in repr(explorer)
    assert f"Asked for “{asked}”; answers “{asked}” (" in repr(explorer)


def test_the_picture_shows_the_answer_and_what_was_asked(numbers):
    model, X, y = numbers
    canvas, baseline = SequenceCanvas(None, 0.0, 1.0), trace_sequence(model, X[0])
    view = GateSettings("", step=70)
    canvas.show(baseline, view, y[0].item())
    free, held = canvas.dots
    assert canvas.asked.get_ydata()[0] == pytest.approx(y[0].item())
    assert free.get_ydata()[0] == pytest.approx(baseline.outputs[70, 0].item())
    assert not held.get_visible()
    clamped = clamp_gates(model, baseline, Clamp("Z", 0.0, start=1))
    picture = canvas.show(clamped, view, None)
    assert held.get_visible()
    assert held.get_ydata()[0] == pytest.approx(clamped.outputs[70, 0].item())
    assert not canvas.asked.get_visible()
    assert size_of(picture.png) == size_of(canvas.show(baseline, view, 0.5).png)


def test_the_display_is_that_of_the_gate_explorer(explorer):
    check_display(explorer)
    check_shown(explorer, explorer._picture(explorer.trace, explorer.settings))


def test_without_answers_and_with_one_sequence(numbers):
    model, X, _ = numbers
    explorer = SequenceExplorer(model, X[:1])
    assert "Asked for" not in repr(explorer)
    assert "nswers" in repr(explorer)


def refusal(model, X, *args, **start):
    with pytest.raises(ValueError, match=r"\S") as error:
        SequenceExplorer(model, X, *args, **start)
    return str(error.value)


def test_what_does_not_fit_is_refused_in_a_sentence(numbers, symbols):
    model, X, y = numbers
    assert refusal(model, X[0]) == (
        "X must hold floating-point numbers of shape (any, any, any), got torch.float32 (101, 2)."
    )
    long = torch.zeros(1, MAX_CHARS + 2, 2)
    assert refusal(model, long) == (
        f"A sequence must have at most {MAX_CHARS + 1} steps, got {MAX_CHARS + 2}."
    )
    assert refusal(model, X, y[:2]) == "y must have an answer for each of 5 sequences, got 2."
    model, X, y = symbols
    assert refusal(model, X, y, TOKENS) == "classes must have 8 names, one for each, got 13."
    assert refusal(model, X, y, TOKENS[:8], "ab") == (
        "tokens must have 13 names, one for each, got 2."
    )
    assert "nn.GRU" in refusal(LastStateModel(nn.LSTM(13, 4, batch_first=True)), X)
    assert "order" in refusal(model, X, y, order="size")
