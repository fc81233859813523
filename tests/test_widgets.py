"""The explorer of one unit: its arithmetic, its picture, its sliders."""

import itertools
import math
import re

import pytest
import torch

from gru_helpers import gru, plotting
from gru_helpers.widgets import (
    OneUnitExplorer,
    one_unit_figure,
    one_unit_states,
    one_unit_step,
    one_unit_words,
)

START = {"x": 1.0, "h": -0.8, "b_z": 0.0, "b_r": 0.0, "b_h": 0.0}
VIEW = "application/vnd.jupyter.widget-view+json"


# --- the arithmetic ---------------------------------------------------------------------------


def test_one_step_worked_out_by_hand():
    """x = 1, h = -0.8: both gates are sigma(0.2) = 0.549834, and r h = -0.439867.

    The candidate is tanh(0.560133) = 0.508076, the new state
    0.549834 * -0.8 + 0.450166 * 0.508076 = -0.211149.
    """
    expected = (0.549834, 0.549834, 0.508076, -0.211149)
    assert one_unit_step(1.0, -0.8) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"x": 0, "h": 0}, (0.5, 0.5, 0, 0)),
        ({"x": 0, "h": 0.5, "w_h": 0}, (0.5, 0.5, 0, 0.25)),
        ({"x": 0, "h": 0, "b_z": math.log(3), "b_r": -math.log(3)}, (0.25, 0.75, 0, 0)),
        ({"x": 0, "h": 1, "w_h": 0, "b_z": math.log(3), "b_h": math.atanh(-0.6)},
         (0.5, 0.75, -0.6, 0.6)),
        ({"x": 2, "h": 0, "w_x": 0.5}, (0.731059, 0.731059, 0.761594, 0.204824)),
    ],
    ids=str,
)  # fmt: skip
def test_one_step_at_values_with_known_gates(values, expected):
    assert one_unit_step(**values) == pytest.approx(expected, abs=1e-6)


def test_gates_at_their_ends():
    r, z, _, h_new = one_unit_step(1.0, 0.3, b_z=1000, b_r=-1000)
    assert (r, z, h_new) == (0, 1, 0.3), "z = 1 keeps"
    r, z, h_tilde, h_new = one_unit_step(1.0, 0.3, b_z=-1000, b_r=-1000)
    assert (z, h_new) == (0, h_tilde)
    assert h_tilde == math.tanh(1.0), "r = 0: only the input is left"


def test_one_unit_is_the_gru_with_one_unit():
    number = torch.tensor([[0.7]], dtype=torch.float64)
    one = torch.ones_like(number)
    b_z, b_r, b_h = (torch.tensor([b], dtype=torch.float64) for b in (0.3, -0.4, 0.1))
    params = [one, one, b_z, one, one, b_r, one, one, b_h, one, torch.zeros_like(b_z)]
    _, (H,) = gru(number[None], (torch.full_like(number, -0.5),), params)
    assert one_unit_step(0.7, -0.5, b_z=0.3, b_r=-0.4, b_h=0.1)[-1] == pytest.approx(H.item())


def test_states_go_on_from_each_other():
    states = one_unit_states(1.0, -0.8, 3, b_z=1.0)
    assert len(states) == 4
    assert states[0] == -0.8
    for old, new in itertools.pairwise(states):
        assert new == one_unit_step(1.0, old, b_z=1.0)[-1]


# --- the picture ------------------------------------------------------------------------------


def test_the_figure_shows_the_numbers():
    figure = one_unit_figure(1.0, -0.8, b_z=2.0)
    r, z, h_tilde, h_new = one_unit_step(1.0, -0.8, b_z=2.0)
    bars, line, future = figure.axes
    assert [bar.get_height() for bar in bars.containers[0]] == [r, z]
    words = {text.get_text() for text in line.texts}
    assert words == {"old h -0.80", f"candidate {h_tilde:.2f}", f"new h {h_new:.2f}"}
    assert list(future.lines[0].get_ydata()) == one_unit_states(1.0, -0.8, 20, b_z=2.0)


def test_the_words_say_what_the_figure_shows():
    words = one_unit_words(1.0, -0.8, b_z=0.0)
    assert "x = 1.0, old h = -0.8, b_z = 0.0" in words
    for number in ("reset gate 0.55", "update gate 0.55", "candidate 0.51", "new h -0.21"):
        assert number in words


# --- the sliders ------------------------------------------------------------------------------


def picture_at(values):
    """The PNG that the pure functions give."""
    return plotting.to_png(one_unit_figure(**values))


def test_the_explorer_starts_with_the_picture_of_its_values():
    explorer = OneUnitExplorer()
    assert explorer.values == START
    assert explorer.image.value == picture_at(START)
    assert explorer.words.value == repr(explorer) == one_unit_words(**START)


def test_the_explorer_starts_where_it_is_told():
    explorer = OneUnitExplorer(x=-2.0, b_z=3.0)
    assert explorer.values == {**START, "x": -2.0, "b_z": 3.0}
    assert explorer.image.value == picture_at(explorer.values)


@pytest.mark.parametrize("name", START)
@pytest.mark.parametrize("value", [0.7, -0.3])
def test_moving_a_slider_changes_the_picture_to_that_of_its_value(name, value):
    explorer = OneUnitExplorer()
    before = explorer.image.value
    explorer.sliders[name].value = value
    assert explorer.values == {**START, name: value}
    assert explorer.image.value == picture_at({**START, name: value}) != before
    assert repr(explorer) == explorer.words.value == one_unit_words(**{**START, name: value})


def test_the_size_of_the_image_is_fixed_so_that_nothing_jumps():
    explorer = OneUnitExplorer()
    size = explorer.image.width, explorer.image.height
    assert all(int(number) > 100 for number in size)
    explorer.sliders["b_h"].value = 3.0
    assert (explorer.image.width, explorer.image.height) == size


def test_the_same_image_widget_is_used_throughout():
    """Its bytes are replaced; nothing is cleared, so nothing flickers."""
    explorer = OneUnitExplorer()
    image, children = explorer.image, explorer.widget.children
    explorer.sliders["x"].value = -1.0
    assert explorer.image is image
    assert explorer.widget.children == children


def test_the_button_puts_everything_back():
    explorer = OneUnitExplorer(b_r=1.5)
    start = explorer.image.value
    for slider in explorer.sliders.values():
        slider.value = 0.9
    assert explorer.image.value != start
    explorer.reset_button.click()
    assert explorer.values == {**START, "b_r": 1.5}
    assert explorer.image.value == start


def test_every_slider_has_words_and_a_range():
    for name, slider in OneUnitExplorer().sliders.items():
        assert slider.description
        assert slider.min <= START[name] <= slider.max
        assert slider.step == 0.1
    assert OneUnitExplorer().reset_button.tooltip


@pytest.mark.parametrize(
    ("start", "words"),
    [({"x": 3.5}, "x=3.5 is off the slider: -3 to 3"),
     ({"h": -1.1}, "h=-1.1 is off the slider: -1 to 1"),
     ({"b_z": math.nan}, "b_z=nan is off the slider: -6 to 6"),
     ({"bz": 1.0}, r"['bz'] is no slider of this explorer: use x, h, b_z, b_r or b_h")],
    ids=str,
)  # fmt: skip
def test_start_values_that_make_no_sense(start, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        OneUnitExplorer(**start)


def test_it_shows_itself_with_and_without_a_kernel():
    explorer = OneUnitExplorer()
    explorer.sliders["x"].value = -1.0
    data, metadata = explorer._repr_mimebundle_()
    assert set(data) == {"image/png", "text/plain", VIEW}
    assert data[VIEW]["model_id"] == explorer.widget.model_id
    assert data["image/png"] == explorer.image.value
    assert data["text/plain"] == metadata["image/png"]["alt"] == repr(explorer)
    assert "VBox(" not in data["text/plain"]
