"""Moving pictures: what they show is right, and depends on nothing but their arguments."""

import io
import math
import random
import re
import string

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from gru_helpers import (
    Force,
    RNNModelScratch,
    Vocab,
    force_gates,
    get_params,
    gru,
    half_lives,
    init_gru_state,
    trace_gates,
)
from gru_helpers.canvases import (
    CHOICES,
    FORCED,
    MOST_ROWS,
    PAGE,
    SHOWN_UNITS,
    STEPS_AHEAD,
    Canvas,
    GateCanvas,
    Label,
    MinibatchCanvas,
    OneUnitCanvas,
    font,
    force_words,
    gate_picture,
    gate_words,
    minibatch_picture,
    no_picture,
    one_unit_picture,
    one_unit_states,
    one_unit_step,
    one_unit_words,
    page_of,
    perplexity_words,
    place,
    visible,
)
from gru_helpers.gates import GATES, ORDERS, trace_minibatch, unit_order
from gru_helpers.plotting import smaller

pytestmark = pytest.mark.filterwarnings("error")

PNG = b"\x89PNG\r\n\x1a\n"
ENGLISH = Vocab(string.ascii_lowercase + " ")
SMALL = Vocab("abc ")
LONG = (
    "the time traveller for so it will be convenient to speak of him was expounding a matter to us"
)


def build(hiddens, vocab, seed=0, scale=0.8):
    """A scratch model with weights of a size that makes a difference."""
    torch.manual_seed(seed)
    model = RNNModelScratch(
        len(vocab), hiddens, torch.device("cpu"), get_params, init_gru_state, gru
    )
    model.params = [torch.randn(p.shape) * scale for p in model.params]
    return model


def size_of(png):
    """Width and height, from the header of the file."""
    assert png.startswith(PNG)
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def check_size(picture, size):
    """The file, the attributes and what is said of the canvas agree."""
    assert size_of(picture.png) == (picture.width, picture.height) == tuple(size)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def purple(png, left, top, right, bottom):
    """How many pixels of a part of the picture have the colour of what is forced."""
    wanted = np.array([int(FORCED[i : i + 2], 16) for i in (1, 3, 5)])
    part = pixels(png)[top:bottom, left:right]
    return int((np.abs(part - wanted).sum(axis=-1) < 60).sum())


@pytest.fixture(scope="module")
def traces():
    """Traces of several models, vocabularies and lengths, free and forced, by name."""
    found = {}
    for name, hiddens, vocab, text in (
        ("long", 8, ENGLISH, LONG),
        ("short", 8, ENGLISH, "time flies"),
        ("page and one", 3, ENGLISH, LONG[: PAGE + 1]),
        ("small vocabulary", 5, SMALL, "a bc"),
        ("one character", 3, ENGLISH, "x"),
    ):
        model = build(hiddens, vocab)
        plain = trace_gates(model, text, vocab)
        n = len(plain)
        found[name] = plain, vocab
        for words, force in (
            ("z = 1", Force("Z", 1.0)),
            ("half of h", Force("H", -0.5, start=n // 2)),
            ("one r", Force("R", 0.0, units=(1,), stop=max(1, n // 3))),
            ("mean z", Force.mean(plain, "Z")),
        ):
            found[f"{name}, {words}"] = force_gates(model, plain, force), vocab
    return found


@pytest.fixture
def canvas():
    return GateCanvas()


# --- small parts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_steps", "step", "page"),
    [(1, 0, (0, 1)), (60, 59, (0, 60)), (61, 0, (0, 60)), (61, 59, (0, 60)), (61, 60, (1, 60)),
     (120, 60, (60, 60)), (150, 119, (60, 60)), (150, 120, (90, 60)), (150, 149, (90, 60))],
)  # fmt: skip
def test_the_page_of_a_step(num_steps, step, page):
    assert page_of(num_steps, step) == page


def test_every_step_is_on_its_page():
    for num_steps in (1, 2, 59, 60, 61, 100, 119, 120, 121, 300):
        for step in range(num_steps):
            first, steps = page_of(num_steps, step)
            assert 0 <= first <= step < first + steps <= num_steps
            assert steps == min(num_steps, PAGE)


@pytest.mark.parametrize(
    ("value", "words"),
    [(math.nan, "unknown"), (1.0, "1.00"), (9.876, "9.88"), (12.34, "12.3"), (99.4, "99.4"),
     (123.4, "123"), (12345.6, "12,346"), (math.inf, "inf")],
)  # fmt: skip
def test_perplexities_in_words(value, words):
    assert perplexity_words(value) == words


@pytest.mark.parametrize(
    ("force", "words"),
    [(Force("Z", 1), "update gate z held at 1.00 in all units from step 0"),
     (Force("R", 0.25, units=(3,)), "reset gate r held at 0.25 in unit 3 from step 0"),
     (Force("H", -0.5, units=(3, 7), start=4), "state held at -0.50 in units 3, 7 from step 4"),
     (Force("H_tilde", 0.0, start=2, stop=6),
      "candidate held at 0.00 in all units from step 2 to 5"),
     (Force("Z", torch.tensor(0.5)), "update gate z held at 0.50 in all units from step 0"),
     (Force("Z", torch.rand(8)), "update gate z held at given values in all units from step 0")],
)  # fmt: skip
def test_what_is_held_in_words(force, words):
    assert force_words(force) == words


def test_a_space_is_seen():
    assert [visible(c) for c in "a z"] == ["a", "_", "z"]


@pytest.mark.parametrize("look", [{}, {"mono": True}, {"bold": True}, {"colour": "#ff0000"}])
def test_a_label_is_drawn_where_it_says(look):
    image = Image.new("RGB", (200, 100), "white")
    drawing = ImageDraw.Draw(image)
    label = Label(50, 30, size=12.0, **look)
    label.draw(drawing, 100)
    assert image.getextrema() == ((255, 255),) * 3, "an empty text draws nothing"
    label.text = "HH"
    label.draw(drawing, 100)
    drawn = np.argwhere(np.asarray(image.convert("L")) < 200)
    (top, left), (bottom, right) = drawn.min(axis=0), drawn.max(axis=0)
    assert abs(left - 50) <= 3
    assert abs(bottom - 69) <= 1, "30 pixels from the lower edge"
    assert 9 <= bottom - top <= 15, "capitals of 12 points"
    assert abs(right - left - label.font.getlength("HH")) <= 5


def test_the_anchor_of_a_label():
    """``r`` ends at the place, ``m`` has its middle there."""
    spans = {}
    for anchor in ("ls", "ms", "rs"):
        image = Image.new("RGB", (200, 100), "white")
        label = Label(100, 50, anchor=anchor)
        label.text = "MMM"
        label.draw(ImageDraw.Draw(image), 100)
        dark = np.argwhere(np.asarray(image.convert("L")) < 128)[:, 1]
        spans[anchor] = dark.min(), dark.max()
    assert abs(spans["ls"][0] - 100) <= 3
    assert abs(spans["rs"][1] - 100) <= 3
    assert abs(sum(spans["ms"]) / 2 - 100) <= 2


def test_fonts_are_read_once():
    assert font("Mono", True, 13.0) is font("Mono", True, 13.0)
    assert font("Mono", True, 13.0) is not font("Mono", False, 13.0)


def test_no_picture_says_why():
    picture = no_picture("the text is empty.")
    assert picture.alt == "No picture: the text is empty."
    check_size(picture, (1000, 60))
    assert (pixels(picture.png) < 200).sum() > 100


def test_a_canvas_draws_what_moves_over_what_stays():
    canvas = Canvas(300, 200)
    axes = canvas.axes(50, 40, 200, 120, xlim=(0, 1), ylim=(0, 1))
    line = canvas.moving(axes.plot([0, 1], [0.5, 0.5], color=FORCED, lw=6)[0])
    one = canvas.png()
    assert size_of(one) == (300, 200)
    assert canvas.png() == one
    assert purple(one, 55, 0, 240, 200) > 500
    x, y = place(axes, 0.5, 0.5)
    assert (x, y) == pytest.approx((150, 100))
    assert purple(one, 149, 99, 152, 102) == 9
    line.set_ydata([1, 1])
    assert canvas.png() != one
    line.set_visible(False)
    assert purple(canvas.png(), 0, 0, 300, 200) == 0
    line.set_visible(True)
    line.set_ydata([0.5, 0.5])
    assert canvas.png() == one
    canvas.still_changed()
    assert canvas.png() == one, "drawn anew, it is the same"


def test_a_smaller_file_shows_the_same():
    model = build(256, ENGLISH, scale=0.1)
    png = gate_picture(trace_gates(model, LONG, ENGLISH), 3, 0, ENGLISH, "H").png
    small = smaller(png)
    assert size_of(small) == size_of(png)
    assert len(small) < min(75_000, len(png) / 2), "as text in a notebook below 100 kB"
    gap = np.abs(pixels(small) - pixels(png))
    assert gap.mean() < 2
    assert smaller(png) == small


# --- the gates of a model -----------------------------------------------------------------------


def test_what_a_gate_canvas_has_shown_before_leaves_no_trace(canvas, traces):
    """A walk over texts, pages, steps, units, gates, orders, forced or not."""
    rng = random.Random(0)
    names = list(traces)
    for move in range(44):
        if move % 2 == 0:
            trace, vocab = traces[rng.choice(names)]
            gate = rng.choice(list(GATES))
        look = (
            rng.randrange(len(trace)), rng.randrange(trace.Z.shape[1]), vocab, gate,
            rng.choice(ORDERS), rng.choice([("", ""), ("he sa", "xyz")]),
        )  # fmt: skip
        shown = canvas.picture(trace, *look)
        if move % 4 == 3:
            fresh = gate_picture(trace, *look)
            assert shown.png == fresh.png, look
            assert shown.alt == fresh.alt


def test_going_to_another_page_and_back(canvas, traces):
    trace, vocab = traces["long, z = 1"]
    first = canvas.picture(trace, 3, 2, vocab).png
    second = canvas.picture(trace, PAGE + 3, 2, vocab).png
    assert first != second
    assert canvas.picture(trace, 3, 2, vocab).png == first
    assert canvas.picture(trace, PAGE + 3, 2, vocab).png == second


def test_each_argument_makes_a_difference(canvas, traces):
    trace, vocab = traces["long"]
    base = {"step": 5, "unit": 2, "gate": "Z", "order": "index", "goes_on": ("he said", "")}
    changes = [
        {}, {"step": 6}, {"step": 70}, {"unit": 3}, {"gate": "R"}, {"gate": "H_tilde"},
        {"gate": "H"}, {"order": "half-life"}, {"order": "mean z"}, {"order": "variance"},
        {"goes_on": ("he sang", "")}, {"goes_on": ("he said", "so")},
    ]  # fmt: skip
    seen = [canvas.picture(trace, vocab=vocab, **{**base, **change}) for change in changes]
    for name in ("long, z = 1", "long, half of h", "long, one r", "short"):
        seen.append(canvas.picture(traces[name][0], vocab=vocab, **base))
    assert len({picture.png for picture in seen}) == len(seen)
    for picture in seen:
        check_size(picture, (1000, 580))
        check_size(picture, canvas.size)


@pytest.mark.parametrize(
    ("name", "step", "looks"),
    [
        ("long, half of h", len(LONG) - 1, list(zip(GATES, ORDERS, strict=True))),
        ("long", 0, [("H", "variance"), ("H", "mean z"), ("R", "half-life")]),
        ("short, z = 1", 4, [("Z", order) for order in ORDERS]),
    ],
    ids=["long, last page", "long, first page", "short"],
)
def test_the_heat_map_is_the_trace_in_the_order_given(canvas, traces, name, step, looks):
    trace, vocab = traces[name]
    first, steps = page_of(len(trace), step)
    for gate, order in looks:
        canvas.picture(trace, step, 1, vocab, gate, order)
        units = unit_order(trace, order).tolist()
        shown = np.asarray(canvas.image.get_array())
        values = getattr(trace, gate).numpy()[first : first + steps]
        assert shown.shape == (len(units), steps)
        for row, unit in enumerate(units):
            assert np.array_equal(shown[row], values[:, unit])
        bottom = len(units) - 0.5
        assert canvas.image.get_extent() == [first - 0.5, first + steps - 0.5, bottom, -0.5]
        assert canvas.heat.get_xlim() == (first - 0.5, first + steps - 0.5)
        assert canvas.heat.get_ylim() == (bottom, -0.5), "the first of the order on top"
        assert canvas.image.get_clim() == (-1 if gate in ("H", "H_tilde") else 0, 1)
        marker_x, marker_y = canvas.row.get_data()
        assert list(marker_y) == [units.index(1)]
        assert marker_x[0] < first - 0.5


@pytest.mark.parametrize("step", [0, 59, 60, len(LONG) - 1])
def test_the_axes_name_the_characters_of_the_page(canvas, traces, step):
    trace, vocab = traces["long"]
    canvas.picture(trace, step, 0, vocab)
    first, steps = page_of(len(LONG), step)
    labels = [label.get_text() for label in canvas.heat.get_xticklabels()]
    assert labels == [visible(c) for c in LONG[first : first + steps]]
    assert list(canvas.heat.get_xticks()) == list(range(first, first + steps))
    assert canvas.lines.get_xlim() == canvas.heat.get_xlim()
    ticks = list(canvas.lines.get_xticks())
    assert ticks == [x for x in range(first, first + steps) if x % 10 == 0]
    for box in (canvas.column, canvas.column_edge):
        assert (box.get_x(), box.get_width()) == (step - 0.5, 1)
    assert list(canvas.now.get_xdata()) == [step, step]


def test_the_curves_are_those_of_the_unit(canvas, traces):
    for name, step in (("long", 70), ("long, half of h", 70), ("long, z = 1", 2)):
        trace, vocab = traces[name]
        first, steps = page_of(len(trace), step)
        canvas.picture(trace, step, 5, vocab)
        for gate, curve in canvas.curves.items():
            assert list(curve.get_xdata()) == list(range(first, first + steps))
            assert list(curve.get_ydata()) == getattr(trace, gate)[first:, 5].tolist()[:steps]
        free = trace.unforced
        assert canvas.free_state.get_visible() is (free is not None)
        if free is not None:
            assert list(canvas.free_state.get_ydata()) == free.H[first:, 5].tolist()[:steps]


def likeliest(probabilities, forced=None):
    best = probabilities if forced is None else torch.maximum(probabilities, forced)
    return sorted(range(len(best)), key=lambda idx: -float(best[idx]))[:CHOICES]


def bars_of(lane):
    """Lengths of the bars of one colour, from the top down."""
    segments = [np.asarray(segment) for segment in lane.get_segments()]
    assert all(segment[0, 0] == 0 for segment in segments)
    heights = [segment[0, 1] for segment in segments]
    assert heights == sorted(heights, reverse=True)
    return [float(segment[1, 0]) for segment in segments]


@pytest.mark.parametrize("name", ["short", "short, z = 1", "short, half of h", "small vocabulary"])
def test_the_bars_show_the_likeliest_characters(canvas, traces, name):
    trace, vocab = traces[name]
    plain = trace.unforced or trace
    for step in range(len(trace)):
        canvas.picture(trace, step, 0, vocab)
        forced = trace.probabilities[step] if trace.unforced else None
        top = likeliest(plain.probabilities[step], forced)
        names = [label.text for label in canvas.choices.names]
        assert names == [visible(vocab.idx_to_token[i]) for i in top] + [""] * (CHOICES - len(top))
        expected = [plain.probabilities[step, i].item() for i in top]
        assert bars_of(canvas.choices.plain) == pytest.approx(expected)
        told = [[label.text for label in row] for row in canvas.choices.numbers]
        lanes = [expected, []]
        if forced is not None:
            lanes[1] = [forced[i].item() for i in top]
        assert bars_of(canvas.choices.forced) == pytest.approx(lanes[1])
        for lane, values in enumerate(lanes):
            words = [f"{p:.0%}" if p >= 0.005 else "" for p in values]
            assert [row[lane] for row in told] == words + [""] * (CHOICES - len(words))
        assert canvas.bars_title.text == f"after “{visible(trace.text[step])}” comes"


def test_the_bar_over_the_heat_map_spans_what_is_held(canvas, traces):
    model, vocab = build(8, ENGLISH), ENGLISH
    plain, _ = traces["long"]
    over_heat = (60, 20, 720, 46)
    for force, step, span in (
        (Force("Z", 1.0), 3, (0, 59)),
        (Force("Z", 1.0, start=4, stop=9), 3, (4, 8)),
        (Force("Z", 1.0, start=4, stop=5), 3, (4, 4)),
        (Force("Z", 1.0, start=50), 3, (50, 59)),
        (Force("Z", 1.0, start=50), 90, (50, len(LONG) - 1)),
        (Force("Z", 1.0, stop=500), 90, (len(LONG) - PAGE, len(LONG) - 1)),
        ([Force("Z", 1.0, start=2, stop=4), Force("R", 1.0, start=4, stop=7)], 0, (2, 6)),
        ([Force("Z", 1.0, stop=3), Force("R", 1.0, start=8, stop=9)], 0, (0, 1, 2, 8)),
    ):
        picture = canvas.picture(force_gates(model, plain, force), step, 0, vocab)
        steps = span if len(span) > 2 else range(span[0], span[1] + 1)
        ends = [x for x in canvas.held.get_xdata() if not math.isnan(x)]
        assert ends == [x for held in steps for x in (held - 0.5, held + 0.5)]
        assert purple(picture.png, *over_heat) > 50
    for force, step in ((Force("Z", 1.0, stop=5), 80), (Force("Z", 1.0, start=80), 3)):
        picture = canvas.picture(force_gates(model, plain, force), step, 0, vocab)
        assert purple(picture.png, *over_heat) == 0, "not on this page"
    picture = canvas.picture(plain, 3, 0, vocab)
    assert all(math.isnan(x) for x in canvas.held.get_xdata())
    assert purple(picture.png, 0, 0, 1000, 580) == 0, "where nothing is held nothing is purple"


def test_titles(canvas, traces):
    trace, vocab = traces["long, z = 1"]
    plain = trace.unforced
    free, held = (perplexity_words(t.perplexity) for t in (plain, trace))
    canvas.picture(trace, 5, 2, vocab, "R", "half-life")
    assert canvas.title.text == f"reset gate r: perplexity {free}, forced {held}"
    rank = unit_order(plain, "half-life").tolist().index(2) + 1
    assert canvas.unit_title.text == f"unit 2, place {rank} by half-life"
    canvas.picture(plain, 5, 2, vocab, "H")
    assert canvas.title.text == f"state: perplexity {free}"
    assert canvas.unit_title.text == "unit 2"


def test_what_was_read_and_what_is_written(canvas, traces):
    trace, vocab = traces["long, z = 1"]
    canvas.picture(trace, 40, 0, vocab, goes_on=("old days", "aaa a"))
    assert canvas.read.text == LONG[17:41].replace(" ", "_")
    assert [line.text for line in canvas.written] == ["old_days", "aaa_a"]
    end = canvas.read.x + canvas.read.font.getlength(canvas.read.text)
    assert all(line.x == end for line in canvas.written)
    assert canvas.forced_name.text == "forced"
    canvas.picture(trace.unforced, 2, 0, vocab, goes_on=("re", ""))
    assert canvas.read.text == "the"
    assert [line.text for line in canvas.written] == ["re", ""]
    assert canvas.forced_name.text == ""


def test_fifty_written_characters_fit_on_the_picture(canvas, traces):
    trace, vocab = traces["long"]
    canvas.picture(trace, 60, 0, vocab, goes_on=("w" * 50, ""))
    line = canvas.written[0]
    assert line.x + line.font.getlength(line.text) < canvas.size[0]


@pytest.mark.parametrize("name", ["long", "long, half of h", "small vocabulary, z = 1"])
@pytest.mark.parametrize("gate", GATES)
def test_the_words_hold_the_numbers_of_the_trace(traces, name, gate):
    trace, vocab = traces[name]
    plain = trace.unforced or trace
    step, unit = len(trace) - 2, 1
    words = gate_words(trace, step, unit, vocab, gate, ("free text", "held text"))

    def best(t):
        pairs = [
            (t.probabilities[step, i].item(), vocab.idx_to_token[i]) for i in range(len(vocab))
        ]
        top = sorted(pairs, reverse=True)[:3]
        return ", ".join(f"{'space' if c == ' ' else c} {p:.0%}" for p, c in top)

    character = "space" if trace.text[step] == " " else trace.text[step]
    assert words.startswith(
        f"Step {step} (of 0 to {len(trace) - 1}), after “{character}”: next comes {best(plain)}. "
    )
    values = getattr(trace, gate)
    told = re.search(
        r"The heat map shows the (.*) of (\d+) units from step (\d+) to (\d+), "
        r"mean (-?\d\.\d\d)\.",
        words,
    )
    first, last = int(told[3]), int(told[4])
    assert (first, last - first + 1) == page_of(len(trace), step)
    mean = values[first : last + 1].double().mean().item()
    assert told[1] == GATES[gate][0]
    assert int(told[2]) == values.shape[1]
    assert float(told[5]) == pytest.approx(mean, abs=0.0051)
    numbers = re.search(
        r"Unit 1: z (.*), r (.*), candidate (.*), state (.*), half-life (.*) steps\.", words
    )
    for number, key in zip(numbers.groups(), GATES, strict=False):
        assert number == f"{getattr(trace, key)[step, unit].item():.2f}"
    assert numbers[5] == f"{half_lives(plain)[unit].item():.1f}"
    assert f"Perplexity {perplexity_words(plain.perplexity)}. " in words
    assert "The model goes on “free text”" in words
    assert ("Forced (" in words) is (trace.unforced is not None)
    if trace.unforced:
        assert words.endswith(
            f"Forced ({force_words(trace.force[0])}): next comes {best(trace)}; perplexity "
            f"{perplexity_words(trace.perplexity)}; it goes on “held text”."
        )
    assert words.endswith(".")


def test_the_words_are_those_of_the_picture(canvas, traces):
    trace, vocab = traces["short, one r"]
    picture = canvas.picture(trace, 3, 2, vocab, "R", "variance", ("ab", "cd"))
    assert picture.alt == gate_words(trace, 3, 2, vocab, "R", ("ab", "cd"))
    assert repr(picture) == picture.alt


def test_a_text_of_one_character(canvas, traces):
    for name in ("one character", "one character, z = 1"):
        trace, vocab = traces[name]
        picture = canvas.picture(trace, 0, 0, vocab)
        assert "perplexity unknown" in canvas.title.text
        assert "Perplexity unknown." in picture.alt
        assert "Step 0 (of 0 to 0), after “x”" in picture.alt
        assert np.asarray(canvas.image.get_array()).shape == (3, 1)


# --- one unit -----------------------------------------------------------------------------------


def settings_at_random(rng):
    return {
        "x": rng.uniform(-3, 3), "h": rng.uniform(-1, 1), "b_z": rng.uniform(-6, 6),
        "b_r": rng.uniform(-6, 6), "b_h": rng.uniform(-3, 3),
    }  # fmt: skip


def test_what_a_one_unit_canvas_has_shown_before_leaves_no_trace():
    rng, canvas = random.Random(1), OneUnitCanvas()
    for move in range(45):
        values = settings_at_random(rng)
        shown = canvas.picture(**values)
        if move % 5 == 4:
            fresh = one_unit_picture(**values)
            assert shown.png == fresh.png, values
            assert shown.alt == fresh.alt == one_unit_words(**values)
            check_size(shown, canvas.size)


def test_each_number_of_one_unit_makes_a_difference():
    canvas = OneUnitCanvas()
    start = {"x": 1.0, "h": -0.8, "b_z": 0.0, "b_r": 0.0, "b_h": 0.0}
    shown = {canvas.picture(**start).png}
    for name in start:
        shown.add(canvas.picture(**{**start, name: 0.5}).png)
    assert len(shown) == 6
    assert max(map(len, shown)) < 75_000


@pytest.mark.parametrize(
    "values",
    [{"x": 1.0, "h": -0.8, "b_z": 2.0}, {"x": -3.0, "h": 1.0, "b_z": 6.0, "b_r": -6.0, "b_h": 3.0}],
    ids=str,
)
def test_the_picture_of_one_unit_shows_its_numbers(values):
    canvas = OneUnitCanvas()
    picture = canvas.picture(**values)
    assert (picture.width, picture.height) == (960, 350)
    r, z, h_tilde, h_new = one_unit_step(**values)
    assert [bar.get_height() for bar in canvas.bars] == [r, z]
    assert [label.text for label in canvas.heights] == [f"{r:.2f}", f"{z:.2f}"]
    expected = {"old h": values["h"], "candidate": h_tilde, "new h": h_new}
    assert [name for name, *_ in canvas.points] == list(expected)
    for name, y, stem, dot, label in canvas.points:
        assert list(dot.get_xdata()) == [expected[name]]
        assert list(stem.get_xdata()) == [expected[name]] * 2
        assert label.text == f"{name} {expected[name]:.2f}"
        assert (label.x, label.y) == place(canvas.line, expected[name], y)
        half = label.font.getlength(label.text) / 2
        assert half < label.x < canvas.size[0] - half
    assert list(canvas.way.get_xdata()) == [h_tilde, values["h"]]
    biases = {name: value for name, value in values.items() if name.startswith("b")}
    states = one_unit_states(values["x"], values["h"], STEPS_AHEAD, **biases)
    assert list(canvas.future.get_ydata()) == states
    assert list(canvas.future.get_xdata()) == list(range(STEPS_AHEAD + 1))


# --- a minibatch --------------------------------------------------------------------------------


def draw_minibatch(rows, steps, vocab=ENGLISH, hiddens=5, seed=0):
    """X, Y and what flows through a model, at random."""
    rng = torch.Generator().manual_seed(seed)
    X, Y = torch.randint(1, len(vocab), (2, rows, steps), generator=rng)
    return X, Y, trace_minibatch(build(hiddens, vocab), X), vocab


def test_what_a_minibatch_canvas_has_shown_before_leaves_no_trace():
    rng, content = random.Random(2), draw_minibatch(3, 12)
    canvas = MinibatchCanvas(*content)
    for move in range(32):
        step, row = rng.randrange(12), rng.randrange(3)
        shown = canvas.picture(step, row)
        if move % 4 == 3:
            fresh = minibatch_picture(*content, step, row)
            assert shown.png == fresh.png, (step, row)
            assert shown.alt == fresh.alt
            check_size(shown, canvas.size)


def test_each_step_and_row_has_a_picture_of_its_own():
    canvas = MinibatchCanvas(*draw_minibatch(2, 6))
    shown = {canvas.picture(step, row).png for step in range(6) for row in range(2)}
    assert len(shown) == 12
    other = MinibatchCanvas(*draw_minibatch(2, 6, seed=1)).picture(0, 0).png
    assert other not in shown


def test_a_minibatch_is_shown_as_far_as_it_has_come():
    X, Y, flow, vocab = draw_minibatch(3, 12)
    canvas = MinibatchCanvas(X, Y, flow, vocab)
    canvas.picture(11, 2)
    for step, row in ((4, 1), (0, 0), (11, 2)):
        canvas.picture(step, row)
        shown = np.ma.filled(canvas.image.get_array(), np.nan)
        states = flow["H"][:, row].numpy().T
        assert shown.shape == states.shape == (5, 12)
        assert np.array_equal(shown[:, : step + 1], states[:, : step + 1])
        assert np.isnan(shown[:, step + 1 :]).all()
        assert not flow["H"].isnan().any(), "the states themselves stay as they are"
        assert (canvas.column.get_x(), canvas.column.get_width()) == (step - 0.5, 1)
        xs, ys = canvas.cell.get_data()
        assert (min(xs), max(xs)) == (step - 0.5, step + 0.5)
        assert (min(ys), max(ys)) == (row - 0.5, row + 0.5)
    bound = float(flow["H"].abs().max())
    assert canvas.image.get_clim() == (-bound, bound)


def test_the_words_and_bars_of_a_minibatch():
    X, Y, flow, vocab = draw_minibatch(3, 12)
    canvas = MinibatchCanvas(X, Y, flow, vocab)
    for step, row in ((4, 1), (11, 2)):
        alt = canvas.picture(step, row).alt
        p = flow["probabilities"][step, row]
        read, label = (visible(vocab.to_tokens(int(ids[row, step]))) for ids in (X, Y))
        assert canvas.bars_title.text == f"after “{read}”; the label is “{label}”"
        assert canvas.title.text.startswith(f"step {step}:")
        assert f"the state of row {row}, 5 units" in canvas.state_title.text
        top = likeliest(p)
        names = [name.text for name in canvas.choices.names]
        assert names == [visible(vocab.idx_to_token[i]) for i in top]
        assert bars_of(canvas.choices.plain) == pytest.approx([p[i].item() for i in top])
        assert bars_of(canvas.choices.forced) == []
        said = [c.replace("_", "space") for c in (read, label)]
        assert alt.startswith(
            f"Step {step} of a minibatch: each of the 3 rows reads one character. Row {row} reads "
            f"“{said[0]}”; next comes "
        )
        assert f"the label is “{said[1]}”, with {p[int(Y[row, step])].item():.1%}." in alt
        largest = flow["H"][step, row].abs().max().item()
        assert f"{largest:.2f}" in alt


def test_the_characters_and_the_shapes_are_written_out():
    X, Y, flow, vocab = draw_minibatch(2, 9)
    canvas = MinibatchCanvas(X, Y, flow, vocab)
    grid = canvas.figure.axes[0]
    drawn = [text.get_text() for text in grid.texts]
    assert drawn == [visible(c) for row in X for c in vocab.to_tokens(row)]
    assert [label.get_text() for label in grid.get_yticklabels()] == ["row 0", "row 1"]
    words = [text.get_text() for text in canvas.figure.texts]
    assert "one pass: X (2, 28)  ->  Z, R, H_tilde, H (2, 5)  ->  Y (2, 28)" in words


def test_of_many_units_the_first_are_shown():
    X, Y, flow, vocab = draw_minibatch(1, 3, hiddens=SHOWN_UNITS + 10)
    canvas = MinibatchCanvas(X, Y, flow, vocab)
    canvas.picture(2, 0)
    shown = np.ma.filled(canvas.image.get_array(), np.nan)
    assert np.array_equal(shown, flow["H"][:, 0, :SHOWN_UNITS].numpy().T)
    assert f"{SHOWN_UNITS} units" in canvas.state_title.text


def test_a_small_vocabulary_has_fewer_bars():
    canvas = MinibatchCanvas(*draw_minibatch(2, 4, vocab=SMALL))
    canvas.picture(3, 1)
    names = [label.text for label in canvas.choices.names]
    assert sorted(names[:5]) == ["<unk>", "_", "a", "b", "c"]
    assert names[5:] == [""] * (CHOICES - 5)


@pytest.mark.parametrize(("rows", "steps"), [(1, 1), (MOST_ROWS, PAGE)])
def test_the_smallest_and_the_largest_minibatch(rows, steps):
    content = draw_minibatch(rows, steps)
    picture = minibatch_picture(*content, steps - 1, rows - 1)
    assert size_of(picture.png) == (picture.width, picture.height)
    assert picture.width == 1000
    assert picture.height <= 700, "fits a screen"


@pytest.mark.parametrize(("rows", "steps"), [(MOST_ROWS + 1, 5), (2, PAGE + 1), (32, 35)])
def test_a_minibatch_that_is_too_large_is_refused(rows, steps):
    words = (
        f"X is {rows} rows of {steps} steps; the picture has room for 8 rows of 60: give a part "
        "of it, such as X[:8, :60]."
    )
    with pytest.raises(ValueError, match=re.escape(words)):
        minibatch_picture(*draw_minibatch(rows, steps), 0, 0)
