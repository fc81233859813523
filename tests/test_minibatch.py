"""The minibatch stepper: its picture and its sliders."""

import random
import re

import numpy as np
import pytest
import torch
from pictures import (
    ENGLISH,
    NO_WARNINGS,
    SMALL,
    bars_of,
    build,
    check_shown,
    check_size,
    count,
    likeliest,
    minibatch,
)
from torch import nn

from gru_helpers import RNNModel
from gru_helpers.gates import trace_minibatch
from gru_helpers.widgets import MinibatchStepper
from gru_helpers.widgets import minibatch as module
from gru_helpers.widgets.canvas import NUM_BARS, drawn_character
from gru_helpers.widgets.minibatch import MAX_ROWS, MAX_STEPS, MAX_UNITS, MinibatchCanvas

pytestmark = NO_WARNINGS


def content(rows=3, steps=12, vocab=ENGLISH, hiddens=5, seed=0):
    """X, Y, what flows through a model, and the vocabulary."""
    X, Y = minibatch(rows, steps, vocab, seed)
    return X, Y, trace_minibatch(build(hiddens, vocab), X), vocab


def test_what_a_canvas_has_shown_before_leaves_no_trace():
    rng, shown_here = random.Random(2), content()
    canvas = MinibatchCanvas(*shown_here)
    for move in range(32):
        step, row = rng.randrange(12), rng.randrange(3)
        shown = canvas.picture(step, row)
        if move % 4 == 3:
            fresh = MinibatchCanvas(*shown_here).picture(step, row)
            assert shown.png == fresh.png, (step, row)
            assert shown.alt == fresh.alt
            check_size(shown, canvas.size)


def test_each_step_and_row_has_a_picture_of_its_own():
    canvas = MinibatchCanvas(*content(2, 6))
    shown = {canvas.picture(step, row).png for step in range(6) for row in range(2)}
    assert len(shown) == 12
    assert MinibatchCanvas(*content(2, 6, seed=1)).picture(0, 0).png not in shown


def test_a_minibatch_is_shown_as_far_as_it_has_come():
    X, Y, gates, vocab = content()
    canvas = MinibatchCanvas(X, Y, gates, vocab)
    canvas.picture(11, 2)
    for step, row in ((4, 1), (0, 0), (11, 2)):
        canvas.picture(step, row)
        shown = np.ma.filled(canvas.image.get_array(), np.nan)
        states = gates["H"][:, row].numpy().T
        assert shown.shape == states.shape == (5, 12)
        assert np.array_equal(shown[:, : step + 1], states[:, : step + 1])
        assert np.isnan(shown[:, step + 1 :]).all()
        assert not gates["H"].isnan().any(), "the states themselves stay as they are"
        assert (canvas.column.get_x(), canvas.column.get_width()) == (step - 0.5, 1)
        xs, ys = canvas.cell.get_data()
        assert (min(xs), max(xs)) == (step - 0.5, step + 0.5)
        assert (min(ys), max(ys)) == (row - 0.5, row + 0.5)
    bound = float(gates["H"].abs().max())
    assert canvas.image.get_clim() == (-bound, bound)


def test_the_words_and_the_bars():
    X, Y, gates, vocab = content()
    canvas = MinibatchCanvas(X, Y, gates, vocab)
    for step, row in ((4, 1), (11, 2)):
        alt = canvas.picture(step, row).alt
        p = gates["probabilities"][step, row]
        read, label = (drawn_character(vocab.to_tokens(int(ids[row, step]))) for ids in (X, Y))
        chance = f"{p[int(Y[row, step])].item():.1%}"
        assert canvas.bars_title.text == f"after “{read}”; the label is “{label}”, {chance}"
        assert canvas.title.text.startswith(f"step {step}:")
        assert f"the state of row {row}, 5 units" in canvas.state_title.text
        bound = f"{gates['H'].abs().max().item():.2f}"
        assert canvas.state_title.text.endswith(f"(orange −{bound}, violet {bound})")
        top = likeliest(p)
        names = [name.text for name in canvas.bars.names]
        assert names == [drawn_character(vocab.idx_to_token[i]) for i in top]
        assert bars_of(canvas.bars.baseline) == pytest.approx([p[i].item() for i in top])
        assert bars_of(canvas.bars.clamped) == []
        spoken = [c.replace("_", "space") for c in (read, label)]
        assert alt.startswith(
            f"Step {step} of a minibatch: each of the 3 rows reads one character. Row {row} reads "
            f"“{spoken[0]}”; next comes "
        )
        assert f"the label is “{spoken[1]}”, with {p[int(Y[row, step])].item():.1%}." in alt
        assert alt.endswith(f" {gates['H'][step, row].abs().max().item():.2f}.")


def test_the_characters_and_the_shapes_are_written_out():
    X, Y, gates, vocab = content(2, 9)
    canvas = MinibatchCanvas(X, Y, gates, vocab)
    grid = canvas.figure.axes[0]
    drawn = [text.get_text() for text in grid.texts]
    assert drawn == [drawn_character(c) for row in X for c in vocab.to_tokens(row)]
    assert [label.get_text() for label in grid.get_yticklabels()] == ["row 0", "row 1"]
    words = [text.get_text() for text in canvas.figure.texts]
    assert "one pass: X (2, 28)  →  Z, R, H_tilde, H (2, 5)  →  Y (2, 28)" in words


def test_of_many_units_the_first_are_shown():
    X, Y, gates, vocab = content(1, 3, hiddens=MAX_UNITS + 10)
    canvas = MinibatchCanvas(X, Y, gates, vocab)
    canvas.picture(2, 0)
    shown = np.ma.filled(canvas.image.get_array(), np.nan)
    assert np.array_equal(shown, gates["H"][:, 0, :MAX_UNITS].numpy().T)
    assert f"{MAX_UNITS} units" in canvas.state_title.text


def test_a_small_vocabulary_has_fewer_bars():
    canvas = MinibatchCanvas(*content(2, 4, vocab=SMALL))
    canvas.picture(3, 1)
    names = [label.text for label in canvas.bars.names]
    assert sorted(names[:5]) == ["<unk>", "_", "a", "b", "c"]
    assert names[5:] == [""] * (NUM_BARS - 5)


@pytest.mark.parametrize(("rows", "steps"), [(1, 1), (MAX_ROWS, MAX_STEPS)])
def test_the_smallest_and_the_largest_minibatch(rows, steps):
    canvas = MinibatchCanvas(*content(rows, steps))
    picture = canvas.picture(steps - 1, rows - 1)
    check_size(picture, canvas.size)
    assert picture.width == 940
    assert picture.height <= 700, "fits a screen"


# --- the sliders --------------------------------------------------------------------------------


@pytest.fixture(params=["scratch", "nn.GRU"])
def model(request):
    """Each of the two models in turn."""
    torch.manual_seed(0)
    return build(8) if request.param == "scratch" else RNNModel(nn.GRU(28, 8), 28)


@pytest.fixture
def stepper(model):
    return MinibatchStepper(model, *minibatch(), ENGLISH, step=2, row=1)


@pytest.mark.parametrize(
    "moves", [[], [("step", 8)], [("row", 0)], [("step", 0), ("row", 2)]], ids=str
)
def test_the_stepper_shows_its_step_and_row(stepper, model, moves):
    expected = {"step": 2, "row": 1}
    for control, value in moves:
        before = stepper.image.value
        stepper.controls[control].value = expected[control] = value
        assert stepper.image.value != before
    assert stepper.values == expected
    X, Y = minibatch()
    canvas = MinibatchCanvas(X, Y, trace_minibatch(model, X), ENGLISH)
    check_shown(stepper, canvas.picture(**expected))


def test_one_move_is_one_drawing_and_no_computing(stepper, monkeypatch):
    drawn = count(monkeypatch, stepper, "draw")
    computed = count(monkeypatch, module, "trace_minibatch")
    for number in range(1, 5):
        stepper.controls["step"].value = 2 + number
        assert len(drawn) == number
    stepper.controls["row"].value = 0
    assert len(drawn) == 5
    assert computed == []


def test_the_stepper_has_a_control_for_every_step_and_row(stepper):
    step, row = stepper.controls["step"], stepper.controls["row"]
    assert (step.min, step.max, stepper.play.max) == (0, 8, 8)
    assert (row.min, row.max) == (0, 2)
    assert stepper.play.value == step.value == 2, "the player begins where the slider is"
    assert getattr(stepper.play, "tooltip", "ipywidgets 7 has none")


GOOD = minibatch()
TOO_LARGE = "X must have at most 8 rows and 60 steps, got {} and {}: give a part of it, such as"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"X": minibatch(9, 9)[0]}, TOO_LARGE.format(9, 9)),
        ({"X": minibatch(2, 61)[0]}, TOO_LARGE.format(2, 61)),
        ({"X": minibatch(32, 35)[0]}, TOO_LARGE.format(32, 35) + " X[:8, :60]."),
        ({"Y": GOOD[1][:, :-1]}, "Y must have the shape of X, (3, 9), got (3, 8)."),
        ({"X": GOOD[0] + 1}, "Token ids must lie between 0 and 27, got 28"),
        ({"vocab": SMALL}, "The vocabulary has 5 tokens and the model 28"),
        ({"model": RNNModel(nn.LSTM(28, 8), 28)}, "built on LSTM"),
    ],
    ids=["rows", "steps", "the classic size", "labels", "ids", "vocabulary", "LSTM"],
)
def test_what_is_refused(change, sentence):
    arguments = {"model": build(8), "X": GOOD[0], "Y": GOOD[1], "vocab": ENGLISH, **change}
    with pytest.raises(ValueError, match=re.escape(sentence)):
        MinibatchStepper(**arguments)
