"""The parts of a moving picture: canvas, labels, bars, and what all explorers share."""

import gc
import tracemalloc
import weakref

import ipywidgets
import numpy as np
import pytest
import torch
from pictures import (
    NO_WARNINGS,
    SMALL,
    bars_of,
    build,
    check_display,
    check_replaced_in_place,
    check_words,
    minibatch,
    pixels,
    purple,
    size_of,
)
from PIL import Image, ImageDraw

from gru_helpers.widgets import GateExplorer, MinibatchStepper, OneUnitExplorer
from gru_helpers.widgets.canvas import (
    CLAMPED,
    NUM_BARS,
    Canvas,
    Label,
    NextCharacterBars,
    drawn_character,
    font,
    likeliest_in_words,
    spoken_character,
    to_pixels,
)

pytestmark = NO_WARNINGS


def drawn(label):
    """Rows and columns of the dark pixels of a label on an image of 200 by 100 pixels."""
    image = Image.new("RGB", (200, 100), "white")
    label.draw(ImageDraw.Draw(image), 100)
    return np.argwhere(np.asarray(image.convert("L")) < 200)


@pytest.mark.parametrize("style", [{}, {"mono": True}, {"bold": True}, {"color": "#ff0000"}])
def test_a_label_is_drawn_where_it_says(style):
    label = Label(50, 30, size=12.0, **style)
    assert len(drawn(label)) == 0, "an empty text draws nothing"
    label.text = "HH"
    (top, left), (bottom, right) = drawn(label).min(axis=0), drawn(label).max(axis=0)
    assert abs(left - 50) <= 3
    assert abs(bottom - 69) <= 1, "30 pixels from the lower edge"
    assert 9 <= bottom - top <= 15, "capitals of 12 points"
    assert abs(right - left - label.font.getlength("HH")) <= 5


@pytest.mark.parametrize(("anchor", "share"), [("ls", 0), ("ms", 0.5), ("rs", 1)])
def test_the_anchor_of_a_label(anchor, share):
    """``l`` begins at the place, ``m`` has its middle there, ``r`` ends there."""
    columns = drawn(Label(100, 50, anchor=anchor, text="MMM"))[:, 1]
    assert abs((1 - share) * columns.min() + share * columns.max() - 100) <= 3


def test_fonts_are_read_once():
    assert font(True, True, 13.0) is font(True, True, 13.0)
    assert font(True, True, 13.0) is not font(True, False, 13.0)


def test_a_space_is_seen_and_spoken():
    assert [drawn_character(c) for c in "a z"] == ["a", "_", "z"]
    assert [spoken_character(c) for c in "a z"] == ["a", "space", "z"]
    chances = torch.tensor([0.1, 0.2, 0.6, 0.1])
    assert likeliest_in_words(chances, "abc ", 2) == "c 60%, b 20%"
    assert likeliest_in_words(chances.roll(1), "abc ", 1) == "space 60%"


@pytest.mark.parametrize("height", [60, 200, 510, 530, 570])
def test_a_canvas_draws_what_is_animated_over_its_background(height):
    """At any size, also where a hundred times a hundredth of the height is a hair less than it."""
    canvas = Canvas(300, height)
    axes = canvas.axes(50, 20, 200, height - 40, xlim=(0, 1), ylim=(0, 1))
    line = canvas.animate(axes.plot([0, 1], [0.5, 0.5], color=CLAMPED, lw=6)[0])
    first = canvas.png()
    assert size_of(first) == (300, height)
    assert canvas.png() == first
    x, y = to_pixels(axes, 0.5, 0.5)
    assert (x, y) == pytest.approx((150, height / 2))
    middle = height // 2
    assert purple(first, 149, middle - 1, 152, middle + 2) == 9
    line.set_ydata([1, 1])
    assert canvas.png() != first
    line.set_visible(False)
    assert purple(canvas.png()) == 0
    canvas.invalidate_background()
    assert purple(canvas.png()) == 0, "what is hidden stays hidden"
    line.set_visible(True)
    line.set_ydata([0.5, 0.5])
    assert canvas.png() == first
    canvas.invalidate_background()
    assert canvas.png() == first, "drawn anew, it is the same"


def test_an_animated_image_is_no_part_of_the_background():
    """Where the image becomes transparent, the background is seen, not what it showed before."""
    canvas = Canvas(100, 100)
    axes = canvas.axes(10, 10, 80, 80, xticks=[], yticks=[])
    image = canvas.animate(axes.imshow([[0.0]], vmin=0, vmax=1))
    assert pixels(canvas.png())[50, 50].sum() < 600
    image.set_data([[np.nan]])
    assert pixels(canvas.png())[50, 50].tolist() == [255, 255, 255]


def test_what_is_still_is_drawn_again_for_another_key_only():
    """It lies below the rest, and a background drawn anew is no reason to forget it."""
    canvas = Canvas(100, 100)
    axes = canvas.axes(10, 10, 80, 80, xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    line = canvas.animate(axes.plot([0, 1], [0.5, 0.5], color=CLAMPED, lw=6)[0], still=True)
    dot = canvas.animate(axes.plot([0.5], [0.5], "o", color="white", ms=4)[0])
    first = canvas.png(key="middle")
    assert pixels(first)[50, 50].min() > 200, "the dot lies above the line"
    line.set_ydata([0.9, 0.9])
    assert canvas.png(key="middle") == first, "kept"
    dot.set_xdata([0.2])
    moved = canvas.png(key="middle")
    assert purple(moved, 48, 48, 52, 52) == 16, "what is not still moves"
    high = canvas.png(key="high")
    assert purple(high, 48, 48, 52, 52) == 0
    canvas.invalidate_background()
    assert canvas.png(key="high") == canvas.png() == high


def test_bars_and_their_numbers():
    """The likeliest by either come first; what is held is purple; small numbers are left out."""
    canvas = Canvas(300, 300)
    bars = NextCharacterBars(canvas, 50, 50, 200, 200)
    baseline = torch.tensor([0.001, 0.8, 0.149, 0.05])
    bars.show("ab c", baseline)
    assert [label.text for label in bars.names] == ["b", "_", "c", "a"] + [""] * (NUM_BARS - 4)
    assert bars_of(bars.baseline) == pytest.approx([0.8, 0.149, 0.05, 0.001])
    assert bars_of(bars.clamped) == []
    numbers = [row[0].text for row in bars.numbers]
    assert numbers == ["80%", "15%", "5%", ""] + [""] * (NUM_BARS - 4)
    inside, outside = bars.numbers[0][0], bars.numbers[1][0]
    assert (inside.anchor, inside.color) == ("rm", "white")
    assert (outside.anchor, outside.x) == ("lm", pytest.approx(50 + 200 * 0.149 + 5))
    alone = canvas.png()
    assert purple(alone) == 0
    bars.show("ab c", baseline, torch.tensor([0.9, 0.0, 0.05, 0.05]))
    assert [label.text for label in bars.names[:4]] == ["a", "b", "_", "c"]
    assert bars_of(bars.clamped) == pytest.approx([0.9, 0, 0.05, 0.05])
    assert [row[1].text for row in bars.numbers[:4]] == ["90%", "", "5%", "5%"]
    assert purple(canvas.png()) > 500
    bars.show("ab c", baseline)
    assert canvas.png() == alone


# --- what all explorers share -------------------------------------------------------------------


EXPLORERS = {
    "gates": lambda: GateExplorer(build(5, SMALL), SMALL, "a cab", held="Z", value=0.5),
    "minibatch": lambda: MinibatchStepper(build(5, SMALL), *minibatch(2, 5, SMALL), SMALL),
    "one unit": OneUnitExplorer,
}


@pytest.fixture(params=EXPLORERS)
def explorer(request):
    """An explorer of each kind."""
    return EXPLORERS[request.param]()


def first_slider(explorer):
    """A slider that can be moved over 0, 1 and 2."""
    return next(iter(explorer.controls.values()))


def test_it_shows_itself_with_and_without_a_kernel(explorer):
    first_slider(explorer).value = 2
    check_words(explorer)
    check_display(explorer)


def test_it_shows_itself_with_ipywidgets_7(explorer, monkeypatch):
    """There a widget has no bundle of its own: it displays itself, by ``_ipython_display_``."""
    monkeypatch.delattr(ipywidgets.Widget, "_repr_mimebundle_", raising=False)
    check_display(explorer)


def test_its_image_is_replaced_in_place(explorer):
    def move():
        first_slider(explorer).value = 2

    check_replaced_in_place(explorer, move)


def test_a_picture_that_is_not_shown_any_more_is_let_go(explorer):
    seen = []
    for value in (2, 0, 1, 2):
        first_slider(explorer).value = value
        seen.append(weakref.ref(explorer.picture))
    assert [picture() is not None for picture in seen] == [False] * 3 + [True]


def test_moving_on_and_on_takes_no_more_memory():
    """Thirty moves, not thousands: under ``tracemalloc`` each takes a tenth of a second.

    A picture is some 40 kB, so that keeping them all would take 1.2 MB.
    """
    slider = first_slider(EXPLORERS["gates"]())

    def move(times):
        for number in range(times):
            slider.value = number % 3
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    move(6)
    tracemalloc.start()
    try:
        before = move(9)
        after = move(30)
    finally:
        tracemalloc.stop()
    assert after - before < 100_000
