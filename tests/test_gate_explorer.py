"""The gate explorer: its words, its picture, its controls, and what a class may get wrong."""

import functools
import html
import math
import random
import re
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from pictures import (
    ENGLISH,
    NO_WARNINGS,
    SMALL,
    bars_of,
    build,
    check_display,
    check_replaced_in_place,
    check_shown,
    check_size,
    count,
    likeliest,
    pixels,
    purple,
    size_of,
)
from torch import nn

from gru_helpers import (
    Clamp,
    RNNModel,
    clamp_gates,
    gru_switched,
    half_lives,
    trace_gates,
)
from gru_helpers.gates import GATES, ORDERS, unit_order
from gru_helpers.plotting import compress_png
from gru_helpers.widgets import GateExplorer, GateSettings
from gru_helpers.widgets import gate_explorer as module
from gru_helpers.widgets.canvas import NUM_BARS, drawn_character
from gru_helpers.widgets.gate_explorer import (
    HOLDING,
    MAX_CHARS,
    NOTHING,
    PAGE_STEPS,
    TEXT,
    GateCanvas,
    clamp_in_words,
    error_picture,
    explorer_picture,
    page_of,
    perplexity_in_words,
)

pytestmark = NO_WARNINGS

LONG = (
    "the time traveller for so it will be convenient to speak of him was expounding a matter to us"
)
SENTENCE = "time flies like an arrow"


def look(step=0, place=0, gate="Z", order="index"):
    """What a picture shows of a trace."""
    return GateSettings("", step=step, place=place, gate=gate, order=order)


@pytest.fixture(scope="module")
def traces():
    """Traces of several models, vocabularies and lengths, with and without clamps, by name."""
    found = {}
    for name, hiddens, vocab, text in (
        ("long", 8, ENGLISH, LONG),
        ("short", 8, ENGLISH, "time flies"),
        ("few units", 3, ENGLISH, LONG),
        ("page and one", 3, ENGLISH, LONG[: PAGE_STEPS + 1]),
        ("small vocabulary", 5, SMALL, "a bc"),
        ("one character", 3, ENGLISH, "x"),
    ):
        model = build(hiddens, vocab)
        baseline = trace_gates(model, text, vocab)
        n = len(baseline)
        found[name] = baseline, vocab
        for words, clamp in (
            ("z = 1", Clamp("Z", 1.0)),
            ("half of h", Clamp("H", -0.5, start=n // 2)),
            ("one r", Clamp("R", 0.0, units=(1,), stop=max(1, n // 3))),
            ("mean z", Clamp.mean(baseline, "Z")),
        ):
            found[f"{name}, {words}"] = clamp_gates(model, baseline, clamp), vocab
    return found


@pytest.fixture
def canvas():
    return GateCanvas()


# --- words --------------------------------------------------------------------------------------


def test_every_step_is_on_its_page():
    """Pages begin at multiples of 60; the last one is full too, if the text is long enough."""
    for num_steps in (1, 2, 59, 60, 61, 100, 119, 120, 121, 300):
        for step in range(num_steps):
            first, steps = page_of(num_steps, step)
            assert 0 <= first <= step < first + steps <= num_steps
            assert steps == min(num_steps, PAGE_STEPS)
            assert first == step // PAGE_STEPS * PAGE_STEPS or first + steps == num_steps
    assert [page_of(150, step)[0] for step in (59, 60, 119, 120, 149)] == [0, 60, 60, 90, 90]


def test_perplexities_in_words():
    values = math.nan, 1.0, 9.876, 12.34, 99.4, 123.4, 12345.6, math.inf
    words = "unknown 1.00 9.88 12.3 99.4 123 12,346 inf"
    assert " ".join(map(perplexity_in_words, values)) == words


@pytest.mark.parametrize(
    ("clamp", "words"),
    [
        (Clamp("Z", 1), "update gate z held at 1.00 in all units from step 0"),
        (Clamp("R", 0.25, units=(3,)), "reset gate r held at 0.25 in unit 3 from step 0"),
        (Clamp("H", -0.5, units=(3, 7), start=4), "state held at -0.50 in units 3, 7 from step 4"),
        (
            Clamp("H_tilde", 0.0, start=2, stop=6),
            "candidate held at 0.00 in all units from step 2 to 5",
        ),
        (Clamp("Z", torch.tensor(0.5)), "update gate z held at 0.50 in all units from step 0"),
        (Clamp("Z", [0.5] * 8), "update gate z held at given values in all units from step 0"),
    ],
    ids=str,
)
def test_what_is_held_in_words(clamp, words):
    assert clamp_in_words(clamp) == words


def best(trace, step, vocab):
    """The three likeliest characters in words."""
    pairs = [
        (trace.probabilities[step, i].item(), vocab.idx_to_token[i]) for i in range(len(vocab))
    ]
    top = sorted(pairs, reverse=True)[:3]
    return ", ".join(f"{'space' if c == ' ' else c} {p:.0%}" for p, c in top)


@pytest.mark.parametrize("name", ["long", "long, half of h", "small vocabulary, z = 1"])
@pytest.mark.parametrize("gate", GATES)
def test_the_words_hold_the_numbers_of_the_trace(canvas, traces, name, gate):
    trace, vocab = traces[name]
    baseline = trace.baseline or trace
    step, unit = len(trace) - 2, 1
    alt = canvas.picture(trace, look(step, unit, gate), vocab, ("free text", "held text")).alt
    character = "space" if trace.text[step] == " " else trace.text[step]
    first, steps = page_of(len(trace), step)
    values = getattr(trace, gate)
    numbers = [f"{getattr(trace, key)[step, unit].item():.2f}" for key in GATES]
    expected = (
        f"Step {step} (of 0 to {len(trace) - 1}), after “{character}”: next comes "
        f"{best(baseline, step, vocab)}. "
        f"The heat map shows the {GATES[gate][0]} of {values.shape[1]} units from step {first} to "
        f"{first + steps - 1}, mean {values[first : first + steps].mean().item():.2f}. "
        "Unit 1: z {}, r {}, candidate {}, state {}, ".format(*numbers)
        + f"half-life {half_lives(baseline)[unit].item():.1f} steps. "
        f"Perplexity {perplexity_in_words(baseline.perplexity)}. The model goes on “free text”."
    )
    if trace.baseline:
        expected += (
            f" With {clamp_in_words(trace.clamps[0])}: next comes {best(trace, step, vocab)}; "
            f"perplexity {perplexity_in_words(trace.perplexity)}; it goes on “held text”."
        )
    assert alt == expected


# --- the picture --------------------------------------------------------------------------------


def test_what_a_canvas_has_shown_before_leaves_no_trace(canvas, traces):
    """A walk over texts, pages, steps, units, gates, orders, held or not."""
    rng = random.Random(0)
    names = list(traces)
    for move in range(44):
        if move % 2 == 0:
            trace, vocab = traces[rng.choice(names)]
            gate = rng.choice(list(GATES))
        step, place = rng.randrange(len(trace)), rng.randrange(trace.Z.shape[1])
        view = look(step, place, gate, rng.choice(ORDERS))
        rest = vocab, rng.choice([("", ""), ("he sa", "xyz")])
        shown = canvas.picture(trace, view, *rest)
        if move % 4 == 3:
            fresh = GateCanvas().picture(trace, view, *rest)
            assert shown.png == fresh.png, view
            assert shown.alt == fresh.alt


def test_going_to_another_page_and_model(canvas, traces):
    trace, vocab = traces["long, z = 1"]
    steps = (3, PAGE_STEPS + 3, 3, PAGE_STEPS + 3)
    first, second, again, once_more = (
        canvas.picture(trace, look(step, 2), vocab).png for step in steps
    )
    assert first == again != second == once_more
    few = traces["few units, z = 1"][0]
    shown, fresh = (c.picture(few, look(PAGE_STEPS + 3, 2), vocab) for c in (canvas, GateCanvas()))
    assert shown.png == fresh.png, "the same text, another model"


def test_each_argument_makes_a_difference(canvas, traces):
    trace, vocab = traces["long"]
    base = {"step": 5, "place": 2}
    changes = [
        {},
        {"step": 6},
        {"step": 70},
        {"place": 3},
        *({"gate": gate} for gate in ("R", "H_tilde", "H")),
        *({"order": order} for order in ORDERS[1:]),
    ]
    seen = [
        canvas.picture(trace, look(**base | change), vocab, ("he said", "")) for change in changes
    ]
    for texts in (("he sang", ""), ("he said", "so")):
        seen.append(canvas.picture(trace, look(**base), vocab, texts))
    for name in ("long, z = 1", "long, half of h", "long, one r", "short"):
        seen.append(canvas.picture(traces[name][0], look(**base), vocab, ("he said", "")))
    assert len({picture.png for picture in seen}) == len(seen) == 16
    for picture in seen:
        check_size(picture, (940, 490))


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
        canvas.picture(trace, look(step, 1, gate, order), vocab)
        units = unit_order(trace, order).tolist()
        shown = np.asarray(canvas.image.get_array())
        values = getattr(trace, gate).numpy()[first : first + steps]
        assert np.array_equal(shown, values[:, units].T)
        left, right, bottom = first - 0.5, first + steps - 0.5, len(units) - 0.5
        assert list(canvas.image.get_extent()) == [left, right, bottom, -0.5]
        assert canvas.heat.get_xlim() == (left, right)
        assert canvas.heat.get_ylim() == (bottom, -0.5), "the first of the order on top"
        lowest = -1 if gate in ("H", "H_tilde") else 0
        assert canvas.image.get_clim() == canvas.scale.ax.get_ylim() == (lowest, 1)
        marker_x, marker_y = canvas.row.get_data()
        assert list(marker_y) == [1]
        assert marker_x[0] < left
        rank = "" if order == "index" else f", place 1 by {order}"
        assert canvas.unit_title.text == f"unit {units[1]}{rank}"


@pytest.mark.parametrize("step", [0, 59, 60, len(LONG) - 1])
def test_the_axes_name_the_characters_of_the_page(canvas, traces, step):
    trace, vocab = traces["long"]
    canvas.picture(trace, look(step), vocab)
    first, steps = page_of(len(LONG), step)
    labels = [label.get_text() for label in canvas.heat.get_xticklabels()]
    assert labels == [drawn_character(c) for c in LONG[first : first + steps]]
    assert list(canvas.heat.get_xticks()) == list(range(first, first + steps))
    assert canvas.lines.get_xlim() == canvas.heat.get_xlim()
    ticks = list(canvas.lines.get_xticks())
    assert ticks == [x for x in range(first, first + steps) if x % 10 == 0]
    for column in canvas.columns:
        assert (column.get_x(), column.get_width()) == (step - 0.5, 1)
    assert list(canvas.now.get_xdata()) == [step, step]


def test_the_curves_are_those_of_the_unit(canvas, traces):
    for name, step in (("long", 70), ("long, half of h", 70), ("long, z = 1", 2)):
        trace, vocab = traces[name]
        first, steps = page_of(len(trace), step)
        canvas.picture(trace, look(step, 5), vocab)
        for gate, curve in canvas.curves.items():
            assert list(curve.get_xdata()) == list(range(first, first + steps))
            assert list(curve.get_ydata()) == getattr(trace, gate)[first:, 5].tolist()[:steps]
        baseline = trace.baseline
        assert canvas.baseline_state.get_visible() is (baseline is not None)
        if baseline is not None:
            expected = baseline.H[first:, 5].tolist()[:steps]
            assert list(canvas.baseline_state.get_ydata()) == expected


@pytest.mark.parametrize("name", ["short", "short, z = 1", "short, half of h", "small vocabulary"])
def test_the_bars_show_the_likeliest_characters(canvas, traces, name):
    trace, vocab = traces[name]
    baseline = trace.baseline or trace
    for step in range(len(trace)):
        canvas.picture(trace, look(step), vocab)
        clamped = trace.probabilities[step] if trace.baseline else None
        top = likeliest(baseline.probabilities[step], clamped)
        names = [label.text for label in canvas.bars.names]
        expected = [drawn_character(vocab.idx_to_token[i]) for i in top]
        assert names == expected + [""] * (NUM_BARS - len(top))
        values = [baseline.probabilities[step, i].item() for i in top]
        assert bars_of(canvas.bars.baseline) == pytest.approx(values)
        values = [] if clamped is None else [clamped[i].item() for i in top]
        assert bars_of(canvas.bars.clamped) == pytest.approx(values)
        assert canvas.bars_title.text == f"after “{drawn_character(trace.text[step])}” comes"


@pytest.mark.parametrize(
    ("clamps", "step", "held"),
    [
        (Clamp("Z", 1.0), 3, range(60)),
        (Clamp("Z", 1.0, start=4, stop=9), 3, range(4, 9)),
        (Clamp("Z", 1.0, start=4, stop=5), 3, [4]),
        (Clamp("Z", 1.0, start=50), 3, range(50, 60)),
        (Clamp("Z", 1.0, start=50), 90, range(50, len(LONG))),
        (Clamp("Z", 1.0, stop=500), 90, range(len(LONG) - PAGE_STEPS, len(LONG))),
        ([Clamp("Z", 1.0, start=2, stop=4), Clamp("R", 1.0, start=4, stop=7)], 0, range(2, 7)),
        ([Clamp("Z", 1.0, stop=3), Clamp("R", 1.0, start=8, stop=9)], 0, [0, 1, 2, 8]),
        (Clamp("Z", 1.0, stop=5), 80, []),
        (Clamp("Z", 1.0, start=80), 3, []),
    ],
    ids=str,
)
def test_the_bar_over_the_heat_map_spans_what_is_held(traces, clamps, step, held):
    baseline, vocab = traces["long"]
    canvas = GateCanvas()
    picture = canvas.picture(clamp_gates(build(8), baseline, clamps), look(step), vocab)
    ends = [x for x in canvas.held.get_xdata() if not math.isnan(x)]
    assert ends == [x for t in held for x in (t - 0.5, t + 0.5)]
    over_heat = purple(picture.png, 60, 20, 720, 46)
    assert over_heat > 50 if held else over_heat == 0
    picture = canvas.picture(baseline, look(step), vocab)
    assert purple(picture.png) == 0, "where nothing is held nothing is purple"


def test_titles_and_texts(canvas, traces):
    trace, vocab = traces["long, z = 1"]
    free, held = (perplexity_in_words(t.perplexity) for t in (trace.baseline, trace))
    canvas.picture(trace, look(40, gate="R"), vocab, ("old days", "aaa a"))
    assert canvas.title.text == f"reset gate r: perplexity {free}, held {held}"
    assert canvas.read.text == LONG[17:41].replace(" ", "_")
    assert [label.text for label in canvas.continuations] == ["old_days", "aaa_a"]
    end = canvas.read.x + canvas.read.font.getlength(canvas.read.text)
    assert all(label.x == end for label in canvas.continuations)
    assert canvas.held_label.text == "held"
    canvas.picture(trace.baseline, look(2, gate="H"), vocab, ("re", ""))
    assert canvas.title.text == f"state: perplexity {free}"
    assert canvas.read.text == "the"
    assert [label.text for label in canvas.continuations] == ["re", ""]
    assert canvas.held_label.text == ""


def test_fifty_characters_of_a_continuation_fit_on_the_picture(canvas, traces):
    trace, vocab = traces["long"]
    canvas.picture(trace, look(60), vocab, ("w" * 50, ""))
    label = canvas.continuations[0]
    assert label.x + label.font.getlength(label.text) < canvas.size[0]


@pytest.mark.parametrize("name", ["one character", "one character, z = 1"])
def test_a_text_of_one_character(canvas, traces, name):
    trace, vocab = traces[name]
    picture = canvas.picture(trace, look(), vocab)
    assert "perplexity unknown" in canvas.title.text
    assert "Perplexity unknown." in picture.alt
    assert picture.alt.startswith("Step 0 (of 0 to 0), after “x”")
    assert np.asarray(canvas.image.get_array()).shape == (3, 1)
    assert {curve.get_marker() for curve in canvas.curves.values()} == {"o"}, "a point, no line"
    trace, vocab = traces["short"]
    canvas.picture(trace, look(), vocab)
    assert {curve.get_marker() for curve in canvas.curves.values()} == {""}


def test_a_picture_without_a_trace_says_why():
    picture = error_picture("the text is empty.")
    assert picture.alt == "No picture: the text is empty."
    check_size(picture, (940, 120))
    assert (pixels(picture.png) < 200).sum() > 100


def test_the_saved_picture_shows_the_same_and_is_small(canvas):
    trace = trace_gates(build(256, scale=0.1), LONG, ENGLISH)
    png = canvas.picture(trace, look(3, gate="H"), ENGLISH).png
    small = compress_png(png)
    assert size_of(small) == size_of(png)
    assert len(small) < min(75_000, len(png) / 2), "as text in a notebook below 100 kB"
    assert np.abs(pixels(small) - pixels(png)).mean() < 2
    assert compress_png(png) == small


# --- the controls -------------------------------------------------------------------------------


@pytest.fixture
def model():
    return build(8, seed=1)


@pytest.fixture
def explorer(model):
    """The gate explorer with the reset gate held half open."""
    return GateExplorer(model, ENGLISH, SENTENCE, step=3, held="R", value=0.5)


def put(explorer, **values):
    """Move controls."""
    for name, value in values.items():
        explorer.controls[name].value = value


def check(explorer):
    """The picture on display is the pure function of the settings, byte for byte."""
    check_shown(explorer, explorer_picture(explorer.model, explorer.vocab, explorer.settings))
    assert explorer.problem == explorer.message.value == ""


def test_it_starts_with_a_sentence_of_its_own(model):
    explorer = GateExplorer(model, ENGLISH)
    assert explorer.settings == GateSettings(TEXT)
    assert explorer.trace.text == TEXT
    assert explorer.trace.clamps == ()
    check(explorer)


def test_it_can_start_at_any_settings(model):
    start = {"step": 5, "place": 2, "order": "mean z", "gate": "H", "held": "H_tilde"}
    start |= {"at": "value", "value": -0.35, "since": 4, "which": "this"}
    explorer = GateExplorer(model, ENGLISH, SENTENCE, **start)
    assert explorer.settings == GateSettings(SENTENCE, **start)
    check(explorer)


def test_it_explores_nn_gru_too():
    torch.manual_seed(0)
    model = RNNModel(nn.GRU(28, 8), 28)
    explorer = GateExplorer(model, ENGLISH, SENTENCE, held="Z", value=1.0)
    put(explorer, step=9)
    check(explorer)


@pytest.mark.parametrize(
    ("control", "value"),
    [
        ("step", 20),
        ("place", 3),
        ("order", "half-life"),
        ("gate", "H"),
        ("held", NOTHING),
        ("held", "Z"),
        ("at", "mean"),
        ("at", "frozen"),
        ("value", 0.85),
        ("since", 2),
        ("which", "this"),
    ],
    ids=str,
)
def test_each_control_changes_the_picture_to_that_of_its_settings(explorer, control, value):
    before, settings = explorer.image.value, explorer.settings
    put(explorer, **{control: value})
    value = None if value == NOTHING else value
    assert explorer.settings == replace(settings, **{control: value})
    assert explorer.image.value != before
    check(explorer)


def test_the_settings_say_what_is_held(explorer):
    def held():
        (clamp,) = explorer.trace.clamps
        assert (clamp.gate, clamp.stop) == ("R", None)
        return clamp.value, clamp.units, clamp.start

    baseline = trace_gates(explorer.model, SENTENCE, explorer.vocab)
    assert held() == (0.5, None, 0)
    put(explorer, which="this", order="mean z", place=2)
    unit = baseline.Z.mean(dim=0).argsort(descending=True)[2].item()
    assert held() == (0.5, (unit,), 0)
    assert explorer.settings.unit(baseline) == unit
    put(explorer, at="mean", since=4)
    value, *where = held()
    assert torch.equal(value, baseline.R.mean(dim=0))
    assert where == [(unit,), 4]
    put(explorer, at="frozen", which="all")
    value, *where = held()
    assert torch.equal(value, baseline.R[4])
    assert where == [None, 4]
    put(explorer, held=NOTHING)
    assert explorer.trace.clamps == ()


def test_a_walk_over_all_controls_ends_where_the_settings_say(explorer):
    """What was shown before leaves no trace, whatever was moved."""
    rng = random.Random(3)
    texts = [SENTENCE, "a", TEXT, "Fly, fly!", "the end of the world " * 5]
    for move in range(24):
        name = rng.choice(["step", "place", "since", "value", "choose", "choose", "text"])
        if name == "text":
            explorer.text.value = rng.choice(texts)
        elif name == "choose":
            chosen = explorer.controls[rng.choice(["order", "gate", "held", "at", "which"])]
            chosen.index = rng.randrange(len(chosen.options))
        else:
            slider = explorer.controls[name]
            slider.value = slider.min + (slider.max - slider.min) * rng.random() // 0.05 * 0.05
        if move % 8 == 7:
            check(explorer)


def test_one_change_is_one_drawing(explorer, monkeypatch):
    put(explorer, step=len(SENTENCE) - 1, since=len(SENTENCE) - 1, held="H", value=-0.5)
    drawn = count(monkeypatch, explorer, "draw")
    changes = [
        ("held", "Z"),  # which also moves the value, out of a range that is no longer there
        ("text", "fly"),  # which also moves the step and the start of the clamp
        ("text", TEXT),
        ("step", 7),
        ("place", 3),
        ("order", "mean z"),
        ("gate", "H"),
        ("value", 0.35),
        ("at", "mean"),
        ("which", "this"),
        ("since", 4),
        ("held", NOTHING),
    ]
    for number, (name, value) in enumerate(changes, 1):
        control = explorer.text if name == "text" else explorer.controls[name]
        control.value = value
        assert len(drawn) == number, (name, value)
        control.value = value
        assert len(drawn) == number, "nothing has changed"
    check(explorer)


def test_nothing_is_computed_twice(explorer, monkeypatch):
    read, clamped, continued = (
        count(monkeypatch, module, name) for name in ("trace_gates", "clamp_gates", "continue_text")
    )
    put(explorer, place=3, order="mean z", gate="H")
    assert (len(read), len(clamped), len(continued)) == (0, 0, 0)
    for step in range(4, 9):
        put(explorer, step=step)
    assert (len(read), len(clamped), len(continued)) == (0, 0, 10), "with clamps and without"
    put(explorer, value=0.25)
    assert (len(read), len(clamped)) == (0, 1)
    put(explorer, which="this", place=5)
    assert (len(read), len(clamped)) == (0, 3), "it is another unit that is held"
    explorer.text.value = "fly"
    assert (len(read), len(clamped)) == (1, 4)
    put(explorer, held=NOTHING, value=0.5, since=1, at="mean")
    assert (len(read), len(clamped)) == (1, 4), "what nothing holds is not computed"


def test_what_was_traced_is_let_go(explorer):
    seen = []
    for text, value in (("fly", 0.5), ("time", 0.25), ("time", 0.75)):
        explorer.text.value, explorer.controls["value"].value = text, value
        seen.append(weakref.ref(explorer.trace))
    assert [trace() is not None for trace in seen] == [False, False, True]


def test_the_sliders_follow_the_length_of_the_text(explorer):
    step, since = explorer.controls["step"], explorer.controls["since"]
    sliders = step, since, explorer.play
    assert [slider.max for slider in sliders] == [len(SENTENCE) - 1] * 3
    assert explorer.play.value == step.value == 3, "the player begins where the slider is"
    put(explorer, step=20, since=20)
    for text, at in ((TEXT, 20), ("fly", 2), ("f", 0), ("m" * MAX_CHARS, 0)):
        explorer.text.value = text
        assert [slider.max for slider in sliders] == [len(text) - 1] * 3
        assert (step.value, since.value) == (at, at)
        check(explorer)


def test_the_text_is_cleaned_as_the_corpus_is(explorer):
    explorer.text.value = "Time -- flies!"
    assert explorer.settings.text == "time flies"
    assert explorer.text.value == "Time -- flies!", "what was typed stays as it was typed"
    check(explorer)


def test_the_range_of_the_value_is_that_of_what_is_held(explorer):
    value = explorer.controls["value"]
    for gate, (_, low, high) in GATES.items():
        put(explorer, held=gate)
        assert (value.min, value.max) == (low, high)
    put(explorer, value=-0.5)
    check(explorer)
    put(explorer, held="Z")
    assert (value.min, value.value) == (0, 0)
    check(explorer)
    put(explorer, held=NOTHING)
    assert value.min == 0


def test_what_changes_nothing_cannot_be_moved(explorer):
    """The value while something else is held, and all that says how while nothing is."""

    def movable():
        return {name for name in HOLDING if not explorer.controls[name].disabled}

    for held, at, expected in (
        ("Z", "value", set(HOLDING)),
        ("Z", "mean", set(HOLDING) - {"value"}),
        ("H", "frozen", set(HOLDING) - {"value"}),
        (NOTHING, "value", set()),
        ("R", "value", set(HOLDING)),
    ):
        put(explorer, held=held, at=at)
        assert movable() == expected, (held, at)
        assert working(explorer)
        check(explorer)


def test_nothing_held_is_a_choice_that_is_seen(model):
    """A list whose value is None shows nothing at all."""
    explorer = GateExplorer(model, ENGLISH)
    held = explorer.controls["held"]
    for before in ("Z", "R"):
        assert (held.index, held.label) == (0, "nothing")
        assert explorer.settings.held is None
        put(explorer, held=before)
        assert explorer.settings.held == before
        put(explorer, held=NOTHING)


def test_from_here_takes_the_step_that_is_shown(explorer, monkeypatch):
    put(explorer, step=11)
    drawn = count(monkeypatch, explorer, "draw")
    explorer.here.click()
    assert explorer.settings.since == explorer.trace.clamps[0].start == 11
    assert len(drawn) == 1
    check(explorer)


def test_what_the_controls_offer(explorer):
    assert explorer.text.description
    assert explorer.here.tooltip
    assert getattr(explorer.play, "tooltip", "ipywidgets 7 has none")
    assert explorer.controls["order"].options == ORDERS
    names = [words for words, _, _ in GATES.values()]
    assert [words for words, _ in explorer.controls["gate"].options] == names
    assert [words for words, _ in explorer.controls["held"].options] == ["nothing", *names]


def test_another_text_keeps_the_size_of_the_image(explorer):
    def change():
        explorer.text.value = TEXT
        put(explorer, held=NOTHING)

    check_replaced_in_place(explorer, change)


# --- what a class may get wrong -----------------------------------------------------------------


def working(explorer):
    """Whether the controls are switched on, but for the text field and what holds nothing."""
    names = ("step", "place", "order", "gate", "held")
    controls = (*(explorer.controls[name] for name in names), explorer.play, explorer.here)
    (disabled,) = {control.disabled for control in controls}
    return not disabled


TOO_LONG = "The text must have at most 300 characters, got {}: give it a sentence or two."
TEXTS = [
    ("", "The text must contain at least one letter A to Z, got ''."),
    (" 1895 ", "The text must contain at least one letter A to Z, got ' 1895 '."),
    ("<1>", "The text must contain at least one letter A to Z, got '<1>'."),
    ("a" * 10_000, TOO_LONG.format("10,000")),
    ("a" * (MAX_CHARS + 1), TOO_LONG.format(301)),
]


def test_a_text_that_cannot_be_read_is_named_and_the_one_before_kept(explorer):
    before, settings, alt = explorer.image.value, explorer.settings, repr(explorer)
    for text, sentence in TEXTS:
        explorer.text.value = text
        assert explorer.problem == sentence
        assert f">{html.escape(sentence)}</p>" in explorer.message.value
        assert 'role="alert"' in explorer.message.value
        assert (explorer.image.value, explorer.settings, repr(explorer)) == (before, settings, alt)
        assert explorer.controls["step"].max == len(SENTENCE) - 1
        assert working(explorer)
    put(explorer, step=1)
    assert explorer.settings == replace(settings, step=1), "it still moves"
    assert explorer.image.value != before
    explorer.text.value = "fly"
    check(explorer)


@pytest.mark.parametrize(("text", "sentence"), [TEXTS[0], TEXTS[3]], ids=["empty", "long"])
def test_it_can_start_with_a_text_that_cannot_be_read(model, text, sentence):
    explorer = GateExplorer(model, ENGLISH, text)
    assert explorer.problem == sentence
    assert repr(explorer) == f"No picture: {sentence}"
    assert not working(explorer)
    assert not explorer.text.disabled
    check_display(explorer)
    explorer.text.value = SENTENCE
    assert working(explorer)
    assert explorer.controls["step"].max == len(SENTENCE) - 1
    check(explorer)


def test_letters_that_the_vocabulary_lacks_are_named():
    explorer = GateExplorer(build(8, SMALL), SMALL, "a cab")
    explorer.text.value = "cabbage"
    assert re.search(r"vocabulary.*'e', 'g'", explorer.problem)
    assert explorer.settings.text == "a cab"


MODELS = {
    "vocabulary": (
        lambda: build(8, SMALL),
        "The vocabulary has 28 tokens and the model 5: use the vocabulary that the model",
    ),
    "LSTM": (lambda: RNNModel(nn.LSTM(28, 8), 28), "got one built on LSTM."),
    "RNN": (lambda: RNNModel(nn.RNN(28, 8), 28), "got one built on RNN."),
    "two layers": (lambda: RNNModel(nn.GRU(28, 8, 2), 28), "num_layers=2"),
    "no model": (lambda: nn.Linear(28, 8), "got one built on Linear."),
}


@pytest.mark.parametrize(("make", "sentence"), MODELS.values(), ids=MODELS)
def test_a_model_that_does_not_fit_is_named_and_everything_switched_off(make, sentence):
    explorer = GateExplorer(make(), ENGLISH)
    assert sentence in explorer.problem
    assert html.escape(explorer.problem) in explorer.message.value
    assert repr(explorer) == f"No picture: {explorer.problem}"
    assert not working(explorer)
    assert explorer.text.disabled
    check_display(explorer)


def test_a_model_that_computes_something_else_is_named():
    z_writes = functools.partial(gru_switched, z_keeps=False)
    explorer = GateExplorer(build(8, forward_fn=z_writes), ENGLISH, SENTENCE)
    assert "computes something else, so its gates cannot be traced" in explorer.problem
    assert not working(explorer)


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        ({"order": "x"}, "order must be one of 'index', 'half-life', 'mean z', 'variance', got"),
        ({"gate": "z"}, "gate must be one of 'Z', 'R', 'H_tilde', 'H', got 'z'."),
        ({"held": "r"}, "held must be one of None, 'Z', 'R', 'H_tilde', 'H', got 'r'."),
        ({"at": "median"}, "at must be one of 'value', 'mean', 'frozen', got 'median'."),
        ({"which": None}, "which must be one of 'all', 'this', 'above', got None."),
        ({"text": None}, "text must be a string, got None."),
        ({"hold": "Z"}, "GateSettings.__init__() got an unexpected keyword argument 'hold'"),
    ],
    ids=str,
)
def test_settings_that_the_controls_do_not_offer(scratch, start, sentence):
    with pytest.raises((ValueError, TypeError)) as error:
        GateExplorer(scratch, ENGLISH, **start)
    assert str(error.value).startswith(sentence)
