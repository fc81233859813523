"""The one-unit explorer: its arithmetic, its picture, its sliders."""

import itertools
import math
import random

import pytest
from pictures import NO_WARNINGS, check_shown, check_size, count

from gru_helpers.widgets import OneUnitExplorer
from gru_helpers.widgets.canvas import to_pixels
from gru_helpers.widgets.one_unit import STEPS_AHEAD, OneUnitCanvas, one_unit_steps

pytestmark = NO_WARNINGS

START = {"x": 1.0, "h": -0.8, "b_z": 0.0, "b_r": 0.0, "b_h": 0.0}
EXTREME = {"x": -3.0, "h": 1.0, "b_z": 6.0, "b_r": -6.0, "b_h": 3.0}


def sigmoid(a):
    return 1 / (1 + math.exp(-a))


def by_hand(x, h, b_z=0.0, b_r=0.0, b_h=0.0):
    """The equations in plain numbers: ``(z, r, h_tilde, h_new)``."""
    z, r = sigmoid(x + h + b_z), sigmoid(x + h + b_r)
    h_tilde = math.tanh(x + r * h + b_h)
    return z, r, h_tilde, z * h + (1 - z) * h_tilde


def at_random(rng):
    """A value of each slider."""
    return {name: rng.uniform(low, high) for name, _, low, high in OneUnitExplorer.SLIDERS}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"x": 1, "h": -0.8}, (0.549834, 0.549834, 0.508076, -0.211149)),
        ({"x": 0, "h": 0}, (0.5, 0.5, 0, 0)),
        ({"x": 0, "h": 0, "b_z": -math.log(3), "b_r": math.log(3)}, (0.25, 0.75, 0, 0)),
        ({"x": 0, "h": 0, "b_h": math.atanh(-0.6)}, (0.5, 0.5, -0.6, -0.3)),
        ({"x": 1, "h": 0.3, "b_z": 1000, "b_r": -1000}, (1, 0, math.tanh(1), 0.3)),
        ({"x": 1, "h": 0.3, "b_z": -1000, "b_r": -1000}, (0, 0, math.tanh(1), math.tanh(1))),
    ],
    ids=str,
)
def test_one_step_at_values_that_can_be_worked_out(values, expected):
    """x = 1, h = -0.8: both gates are sigma(0.2) = 0.549834, and r h = -0.439867.

    The candidate is tanh(0.560133) = 0.508076, the new state
    0.549834 * -0.8 + 0.450166 * 0.508076 = -0.211149. Gates at their ends: z = 1 keeps the state,
    z = 0 takes the candidate, and r = 0 leaves only the input to it.
    """
    (step,) = one_unit_steps(**values)
    assert step == pytest.approx(expected, abs=2e-6)


def test_steps_follow_from_each_other():
    rng = random.Random(0)
    for _ in range(20):
        values = at_random(rng)
        steps = one_unit_steps(**values, num_steps=3)
        assert len(steps) == 3
        assert steps[0] == pytest.approx(by_hand(**values), rel=1e-12)
        for (*_, old), new in itertools.pairwise(steps):
            assert new == pytest.approx(by_hand(**{**values, "h": old}), rel=1e-12)


# --- the picture --------------------------------------------------------------------------------


def test_what_a_canvas_has_shown_before_leaves_no_trace():
    rng, canvas = random.Random(1), OneUnitCanvas()
    for move in range(45):
        values = at_random(rng)
        shown = canvas.picture(**values)
        if move % 5 == 4:
            fresh = OneUnitCanvas().picture(**values)
            assert shown.png == fresh.png, values
            assert shown.alt == fresh.alt
            check_size(shown, (700, 400))


def test_each_number_makes_a_difference():
    canvas = OneUnitCanvas()
    shown = [canvas.picture(**START).png]
    shown += [canvas.picture(**{**START, name: 0.5}).png for name in START]
    assert len(set(shown)) == 6
    assert max(map(len, shown)) < 75_000, "as text in a notebook below 100 kB"


def extent(label):
    """Left, right, lower and upper end of a label on its canvas."""
    left, top, right, bottom = label.font.getbbox(label.text, anchor=label.anchor)
    return label.x + left, label.x + right, label.y - bottom, label.y - top


def test_no_label_leaves_the_picture_or_covers_another():
    """Also where old state, candidate and new state lie together at an end of the line."""
    rng, canvas = random.Random(2), OneUnitCanvas()
    ends = [{"x": x, "h": h, "b_z": b_z} for x in (-3, 3) for h in (-1, 1) for b_z in (-6, 0, 6)]
    for values in [*ends, *(at_random(rng) for _ in range(60))]:
        canvas.picture(**values)
        labels = [extent(label) for *_, label in canvas.points]
        labels += [extent(label) for label in canvas.heights]
        for left, right, low, high in labels:
            assert 0 <= left < right <= canvas.size[0], values
            assert 0 <= low < high <= canvas.size[1], values
        for one, other in itertools.combinations(labels, 2):
            beside = one[1] <= other[0] or other[1] <= one[0]
            above = one[3] <= other[2] or other[3] <= one[2]
            assert beside or above, values


@pytest.mark.parametrize("values", [{"x": 1.0, "h": -0.8, "b_z": 2.0}, EXTREME], ids=str)
def test_the_picture_shows_its_numbers(values):
    canvas = OneUnitCanvas()
    alt = canvas.picture(**values).alt
    z, r, h_tilde, h_new = by_hand(**values)
    assert [bar.get_height() for bar in canvas.bars] == pytest.approx([r, z])
    assert [label.text for label in canvas.heights] == [f"{r:.2f}", f"{z:.2f}"]
    expected = {"old h": values["h"], "candidate": h_tilde, "new h": h_new}
    assert [name for name, *_ in canvas.points] == list(expected)
    for (name, value), (_, y, stem, dot, label) in zip(
        expected.items(), canvas.points, strict=True
    ):
        assert dot.get_xdata() == pytest.approx([value])
        assert stem.get_xdata() == pytest.approx([value] * 2)
        assert label.text == f"{name} {value:.2f}"
        left, right, *_ = extent(label)
        x, height = to_pixels(canvas.line, value, y)
        assert left <= x <= right
        assert label.y == pytest.approx(height)
    assert canvas.span.get_xdata() == pytest.approx([h_tilde, values["h"]])
    states = [values["h"], *(h for *_, h in one_unit_steps(**values, num_steps=STEPS_AHEAD))]
    assert list(canvas.future.get_ydata()) == states
    assert list(canvas.future.get_xdata()) == list(range(STEPS_AHEAD + 1))
    biases = "".join(f", {n} = {v:.1f}" for n, v in values.items() if n.startswith("b"))
    assert alt == (
        f"One GRU unit with x = {values['x']:.1f}, old h = {values['h']:.1f}{biases}: reset gate "
        f"{r:.2f}, update gate {z:.2f}, candidate {h_tilde:.2f}, new h {h_new:.2f}."
    )


# --- the sliders --------------------------------------------------------------------------------


def check(explorer, values):
    """The explorer has these values and shows their picture."""
    assert explorer.values == values
    check_shown(explorer, OneUnitCanvas().picture(**values))


def test_it_starts_where_it_is_told():
    check(OneUnitExplorer(), START)
    check(OneUnitExplorer(x=-2.0, b_z=3.0), {**START, "x": -2.0, "b_z": 3.0})


@pytest.mark.parametrize("name", START)
def test_moving_a_slider_changes_the_picture_to_that_of_its_value(name):
    explorer = OneUnitExplorer()
    for value in (0.7, -0.3):
        before = explorer.image.value
        explorer.controls[name].value = value
        assert explorer.image.value != before
        check(explorer, {**START, name: value})


def test_every_slider_has_a_range_and_small_steps():
    explorer = OneUnitExplorer()
    for name, slider in explorer.controls.items():
        assert slider.min <= START[name] <= slider.max
        assert slider.step == 0.1
    assert explorer.reset_button.tooltip


def test_one_move_is_one_drawing_and_the_button_puts_everything_back(monkeypatch):
    explorer = OneUnitExplorer(b_r=1.5)
    drawn = count(monkeypatch, explorer, "draw")
    for number, slider in enumerate(explorer.controls.values(), 1):
        slider.value = 0.9
        slider.value = 0.9
        assert len(drawn) == number, "one picture for a move, none where nothing moves"
    explorer.reset_button.click()
    assert len(drawn) == 6, "five sliders back, one picture"
    check(explorer, {**START, "b_r": 1.5})
    explorer.controls["x"].value = 0.4
    assert len(drawn) == 7, "and on it goes"


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        ({"x": 3.5}, "x must lie between -3 and 3, got 3.5."),
        ({"h": -1.1}, "h must lie between -1 and 1, got -1.1."),
        ({"b_z": math.nan}, "b_z must lie between -6 and 6, got nan."),
        ({"bz": 1.0}, "OneUnitExplorer.__init__() got an unexpected keyword argument 'bz'"),
    ],
    ids=str,
)
def test_start_values_that_are_refused(start, sentence):
    with pytest.raises((ValueError, TypeError)) as error:
        OneUnitExplorer(**start)
    assert str(error.value).startswith(sentence)
