"""Explorers: the arithmetic of one unit, and sliders that show what the pure functions draw."""

import gc
import html
import itertools
import math
import random
import re
import time
import tracemalloc
import weakref
from dataclasses import replace

import pytest
import torch
from torch import nn

from gru_helpers import (
    Force,
    RNNModel,
    RNNModelScratch,
    Vocab,
    get_params,
    gru,
    gru_switched,
    init_gru_state,
    load_pretrained,
    trace_gates,
    widgets,
)
from gru_helpers.canvases import (
    minibatch_picture,
    one_unit_picture,
    one_unit_states,
    one_unit_step,
    one_unit_words,
)
from gru_helpers.gates import GATES, ORDERS, trace_minibatch
from gru_helpers.plotting import smaller
from gru_helpers.widgets import (
    TEXT,
    TEXT_LIMIT,
    GateExplorer,
    GateSettings,
    MinibatchStepper,
    OneUnitExplorer,
    explorer_picture,
)

START = {"x": 1.0, "h": -0.8, "b_z": 0.0, "b_r": 0.0, "b_h": 0.0}
VIEW = "application/vnd.jupyter.widget-view+json"
SENTENCE = "time flies like an arrow"


def count(monkeypatch, owner, name):
    """Replace a function by one that also counts its calls, in the list that is returned."""
    calls, real = [], getattr(owner, name)

    def counted(*args, **kwargs):
        calls.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)
    return calls


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


# --- the sliders of one unit ------------------------------------------------------------------


def picture_at(values):
    """The PNG that the pure functions give."""
    return one_unit_picture(**values).png


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


def test_one_move_is_one_drawing(monkeypatch):
    explorer = OneUnitExplorer()
    drawn = count(monkeypatch, explorer, "draw")
    explorer.sliders["x"].value = 0.4
    assert len(drawn) == 1
    explorer.sliders["x"].value = 0.4
    assert len(drawn) == 1, "nothing has changed"
    explorer.reset_button.click()
    assert len(drawn) == 2, "five sliders back, one picture"


def check_display(explorer):
    """What a notebook shows: the live widget, and picture and words for where no kernel runs."""
    data, metadata = explorer._repr_mimebundle_()
    assert set(data) == {"image/png", "text/plain", VIEW}
    assert data[VIEW]["model_id"] == explorer.widget.model_id
    assert data["image/png"] == smaller(explorer.picture.png)
    assert explorer.picture.png == explorer.image.value
    assert data["text/plain"] == metadata["image/png"]["alt"] == repr(explorer)
    assert "VBox(" not in data["text/plain"]
    facts = metadata["image/png"]
    size = str(facts["width"]), str(facts["height"])
    assert (explorer.image.width, explorer.image.height) == size
    assert explorer.words.value == html.escape(repr(explorer))
    assert explorer.widget.children[0] is explorer.image
    assert explorer.words in explorer.widget.children


def test_it_shows_itself_with_and_without_a_kernel():
    explorer = OneUnitExplorer()
    explorer.sliders["x"].value = -1.0
    check_display(explorer)


# --- models to look into ------------------------------------------------------------------------


def write_form(inputs, state, params):
    """``gru_switched`` with z = 1 for writing."""
    return gru_switched(inputs, state, params, z_means="write")


def build(vocab, hiddens=8, forward_fn=gru):
    """A scratch model with weights of a size that makes a difference."""
    torch.manual_seed(1)
    cpu = torch.device("cpu")
    model = RNNModelScratch(len(vocab), hiddens, cpu, get_params, init_gru_state, forward_fn)
    model.params = [torch.randn(p.shape) * 0.8 for p in model.params]
    return model


@pytest.fixture
def model(vocab):
    return build(vocab)


@pytest.fixture
def explorer(model, vocab):
    """The gate explorer with the reset gate held half open."""
    return GateExplorer(model, vocab, SENTENCE, step=3, held="R", value=0.5)


def check_gates(explorer):
    """The picture on display is the pure function of the settings, byte for byte."""
    expected = explorer_picture(explorer.model, explorer.vocab, explorer.settings)
    assert explorer.image.value == explorer.picture.png == expected.png
    assert repr(explorer) == explorer.picture.alt == expected.alt
    assert explorer.words.value == html.escape(expected.alt)
    assert explorer.problem == explorer.message.value == ""


# --- the gate explorer --------------------------------------------------------------------------


def test_the_gate_explorer_starts_with_its_sentence(model, vocab):
    explorer = GateExplorer(model, vocab)
    assert explorer.settings == GateSettings(TEXT)
    assert explorer.trace.text == TEXT
    assert explorer.trace.force == ()
    check_gates(explorer)


def test_it_can_start_at_any_settings(model, vocab):
    wanted = GateSettings(
        SENTENCE, step=5, place=2, order="mean z", gate="H", held="H_tilde", at="value",
        value=-0.35, since=4, only_this=True,
    )  # fmt: skip
    fields = {name: value for name, value in vars(wanted).items() if name != "text"}
    explorer = GateExplorer(model, vocab, SENTENCE, **fields)
    assert explorer.settings == wanted
    check_gates(explorer)


def test_it_explores_nn_gru_too(vocab):
    torch.manual_seed(0)
    explorer = GateExplorer(RNNModel(nn.GRU(28, 8), 28), vocab, SENTENCE, held="Z", value=1.0)
    explorer.step.value = 9
    check_gates(explorer)


MOVES = [
    ("step", 20), ("place", 3), ("order", "half-life"), ("gate", "H"), ("held", None),
    ("held", "Z"), ("at", "mean"), ("at", "frozen"), ("value", 0.85), ("since", 2),
    ("only_this", True),
]  # fmt: skip


@pytest.mark.parametrize(("control", "value"), MOVES, ids=str)
def test_each_control_changes_the_picture_to_that_of_its_settings(explorer, control, value):
    before, settings = explorer.image.value, explorer.settings
    getattr(explorer, control).value = value
    assert explorer.settings == replace(settings, **{control: value})
    assert explorer.image.value != before
    check_gates(explorer)


def test_the_settings_say_what_is_held(explorer):
    plain = trace_gates(explorer.model, SENTENCE, explorer.vocab)
    (force,) = explorer.trace.force
    assert (force.gate, force.value, force.units, force.start, force.stop) == (
        *("R", 0.5, None, 0, None),
    )
    explorer.only_this.value, explorer.order.value, explorer.place.value = True, "mean z", 2
    (force,) = explorer.trace.force
    unit = plain.Z.mean(dim=0).argsort(descending=True)[2].item()
    assert force.units == (unit,)
    assert explorer.settings.unit(plain) == unit
    explorer.at.value, explorer.since.value = "mean", 4
    (force,) = explorer.trace.force
    assert torch.equal(force.value, Force.mean(plain, "R").value)
    assert (force.units, force.start) == ((unit,), 4)
    explorer.at.value, explorer.only_this.value = "frozen", False
    (force,) = explorer.trace.force
    assert torch.equal(force.value, plain.R[4])
    assert (force.units, force.start) == (None, 4)
    explorer.held.value = None
    assert explorer.trace.force == ()


def test_a_walk_over_all_controls_ends_where_the_settings_say(explorer):
    """What was shown before leaves no trace, whatever was moved."""
    rng = random.Random(3)
    texts = [SENTENCE, "a", TEXT, "Fly, fly!", "the end of the world " * 5]
    for move in range(24):
        control = rng.choice(["step", "place", "since", "value", "choose", "choose", "text"])
        if control == "text":
            explorer.text.value = rng.choice(texts)
        elif control == "choose":
            chosen = getattr(explorer, rng.choice(["order", "gate", "held", "at", "only_this"]))
            chosen.index = rng.randrange(len(chosen.options))
        else:
            slider = getattr(explorer, control)
            slider.value = slider.min + (slider.max - slider.min) * rng.random() // 0.05 * 0.05
        if move % 8 == 7:
            check_gates(explorer)


def test_one_change_is_one_drawing(explorer, monkeypatch):
    explorer.step.value = explorer.since.value = len(SENTENCE) - 1
    explorer.held.value, explorer.value.value = "H", -0.5
    drawn = count(monkeypatch, explorer, "draw")
    changes = [
        ("held", "Z"),  # which also moves the value, out of a range that is no longer there
        ("text", "fly"),  # which also moves the step and the start of the force
        ("text", TEXT), ("step", 7), ("place", 3), ("order", "mean z"), ("gate", "H"),
        ("value", 0.35), ("at", "mean"), ("only_this", True), ("since", 4), ("held", None),
    ]  # fmt: skip
    for number, (control, value) in enumerate(changes, 1):
        getattr(explorer, control).value = value
        assert len(drawn) == number, (control, value)
        getattr(explorer, control).value = value
        assert len(drawn) == number, "nothing has changed"
    check_gates(explorer)


def test_nothing_is_computed_twice(explorer, monkeypatch):
    read = count(monkeypatch, widgets, "trace_gates")
    held = count(monkeypatch, widgets, "force_gates")
    written = count(monkeypatch, widgets, "write_on")
    for control, value in (("place", 3), ("order", "mean z"), ("gate", "H")):
        getattr(explorer, control).value = value
    assert (len(read), len(held), len(written)) == (0, 0, 0)
    for step in range(4, 9):
        explorer.step.value = step
    assert (len(read), len(held), len(written)) == (0, 0, 10), "forced and unforced"
    explorer.value.value = 0.25
    assert (len(read), len(held)) == (0, 1)
    explorer.only_this.value = True
    explorer.place.value = 5
    assert (len(read), len(held)) == (0, 3), "it is another unit that is held"
    explorer.text.value = "fly"
    assert (len(read), len(held)) == (1, 4)
    explorer.held.value = None
    explorer.value.value, explorer.since.value, explorer.at.value = 0.5, 1, "mean"
    assert (len(read), len(held)) == (1, 4), "what nothing holds is not computed"


def test_the_sliders_follow_the_length_of_the_text(explorer):
    sliders = (explorer.step, explorer.since, explorer.play)
    assert [slider.max for slider in sliders] == [len(SENTENCE) - 1] * 3
    assert explorer.play.value == explorer.step.value == 3, "the player begins where the slider is"
    explorer.step.value = explorer.since.value = 20
    explorer.text.value = TEXT
    assert [slider.max for slider in sliders] == [len(TEXT) - 1] * 3
    assert (explorer.step.value, explorer.since.value) == (20, 20)
    explorer.text.value = "fly"
    assert [slider.max for slider in sliders] == [2, 2, 2]
    assert (explorer.step.value, explorer.since.value) == (2, 2)
    check_gates(explorer)
    explorer.text.value = "f"
    assert [slider.max for slider in sliders] == [0, 0, 0]
    check_gates(explorer)
    assert "Perplexity unknown" in repr(explorer)
    explorer.text.value = "m" * TEXT_LIMIT
    assert explorer.step.max == TEXT_LIMIT - 1
    assert explorer.problem == ""


def test_the_text_is_cleaned_as_the_corpus_is(explorer):
    explorer.text.value = "Time -- flies!"
    assert explorer.settings.text == "time flies"
    assert explorer.text.value == "Time -- flies!", "what was typed stays as it was typed"
    check_gates(explorer)


def test_the_range_of_the_value_is_that_of_what_is_held(explorer):
    for gate, (_, low, high) in GATES.items():
        explorer.held.value = gate
        assert (explorer.value.min, explorer.value.max) == (low, high)
    explorer.value.value = -0.5
    check_gates(explorer)
    explorer.held.value = "Z"
    assert (explorer.value.min, explorer.value.value) == (0, 0)
    check_gates(explorer)
    explorer.held.value = None
    assert explorer.value.min == 0


def test_from_here_takes_the_step_that_is_shown(explorer, monkeypatch):
    explorer.step.value = 11
    drawn = count(monkeypatch, explorer, "draw")
    explorer.here.click()
    assert explorer.settings.since == explorer.since.value == 11
    assert len(drawn) == 1
    assert explorer.trace.force[0].start == 11
    check_gates(explorer)


def test_the_gate_explorer_shows_itself_with_and_without_a_kernel(explorer):
    explorer.step.value = 5
    check_display(explorer)


def test_every_control_has_words(explorer):
    controls = [*explorer._watched, explorer.text]
    assert all(control.description for control in controls)
    assert explorer.here.tooltip
    assert explorer.play.tooltip
    assert explorer.order.options == ORDERS
    names = [words for words, _, _ in GATES.values()]
    assert [words for words, _ in explorer.gate.options] == names
    assert [words for words, _ in explorer.held.options] == ["nothing", *names]


def test_the_image_is_replaced_and_its_size_stays(explorer):
    image, size = explorer.image, (explorer.image.width, explorer.image.height)
    children = explorer.widget.children
    explorer.text.value, explorer.held.value = TEXT, None
    assert explorer.image is image
    assert (image.width, image.height) == size == ("1000", "580")
    assert explorer.widget.children == children


# --- what a class may get wrong -----------------------------------------------------------------


def working(explorer):
    """Whether all controls but the text field are switched on; none may differ."""
    controls = (*explorer._watched, explorer.play, explorer.here)
    (disabled,) = {control.disabled for control in controls}
    return not disabled


MISTAKES = [
    ("", "The text '' holds no letters A to Z"),
    (" 1895 ", "The text ' 1895 ' holds no letters A to Z"),
    ("a" * 10_000, "This text has 10,000 characters, and the explorer takes at most 300"),
    ("a" * (TEXT_LIMIT + 1), "This text has 301 characters"),
    ("<1>", "The text '<1>' holds no letters"),
]


def test_a_text_that_cannot_be_read_is_named_and_the_one_before_kept(explorer):
    before, settings, alt = explorer.image.value, explorer.settings, repr(explorer)
    for text, words in MISTAKES:
        explorer.text.value = text
        assert explorer.problem.startswith(words)
        assert explorer.problem.endswith(".")
        assert f">{html.escape(explorer.problem)}</p>" in explorer.message.value
        assert 'role="alert"' in explorer.message.value
        assert (explorer.image.value, explorer.settings, repr(explorer)) == (before, settings, alt)
        assert explorer.step.max == len(SENTENCE) - 1
        assert working(explorer)
    explorer.step.value = 1
    assert explorer.settings == replace(settings, step=1), "it still moves"
    assert explorer.image.value != before
    explorer.text.value = "fly"
    check_gates(explorer)


@pytest.mark.parametrize(("text", "words"), [MISTAKES[0], MISTAKES[2]], ids=["empty", "long"])
def test_it_can_start_with_a_text_that_cannot_be_read(model, vocab, text, words):
    explorer = GateExplorer(model, vocab, text)
    assert explorer.problem.startswith(words)
    assert repr(explorer) == f"No picture: {explorer.problem}"
    assert not working(explorer)
    assert not explorer.text.disabled
    check_display(explorer)
    explorer.text.value = SENTENCE
    assert working(explorer)
    assert explorer.step.max == len(SENTENCE) - 1
    check_gates(explorer)


def test_letters_that_the_vocabulary_lacks_are_named():
    vocab = Vocab("abc ")
    explorer = GateExplorer(build(vocab), vocab, "a cab")
    explorer.text.value = "cabbage"
    assert "characters that this vocabulary lacks: ['e', 'g']" in explorer.problem
    assert explorer.settings.text == "a cab"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda vocab: build(Vocab("abc")), "The vocabulary has 28 tokens and the model 4"),
        (lambda vocab: RNNModel(nn.LSTM(28, 8), 28), "built on LSTM, which has no update and"),
        (lambda vocab: RNNModel(nn.RNN(28, 8), 28), "built on RNN, which has no update and"),
        (
            lambda vocab: RNNModel(nn.GRU(28, 8, 2), 28),
            "num_layers=2 and bidirectional=False; expected 1 and False",
        ),
        (lambda vocab: nn.Linear(28, 8), "built on Linear, which has no update and"),
    ],
    ids=["vocabulary", "LSTM", "RNN", "two layers", "no model"],
)
def test_a_model_that_does_not_fit_is_named_and_everything_switched_off(vocab, make, words):
    explorer = GateExplorer(make(vocab), vocab)
    assert words in explorer.problem
    assert html.escape(explorer.problem) in explorer.message.value
    assert repr(explorer) == f"No picture: {explorer.problem}"
    assert not working(explorer)
    assert explorer.text.disabled
    check_display(explorer)


def test_a_model_that_computes_something_else_is_named(vocab):
    explorer = GateExplorer(build(vocab, forward_fn=write_form), vocab, SENTENCE)
    assert "computes something else, so its gates cannot be traced" in explorer.problem
    assert not working(explorer)


# --- the minibatch stepper ----------------------------------------------------------------------


def minibatch(rows=3, steps=9):
    """X and Y at random."""
    rng = torch.Generator().manual_seed(4)
    return torch.randint(1, 28, (2, rows, steps), generator=rng)


@pytest.fixture
def stepper(model, vocab):
    X, Y = minibatch()
    return MinibatchStepper(model, X, Y, vocab, step=2, row=1)


@pytest.mark.parametrize(
    "moves", [[], [("step", 8)], [("row", 0)], [("step", 0), ("row", 2)]], ids=str
)
def test_the_stepper_shows_its_step_and_row(stepper, model, vocab, moves):
    at = {"step": 2, "row": 1}
    for control, value in moves:
        before = stepper.image.value
        getattr(stepper, control).value = at[control] = value
        assert stepper.image.value != before
    X, Y = minibatch()
    expected = minibatch_picture(X, Y, trace_minibatch(model, X), vocab, **at)
    assert stepper.image.value == expected.png
    assert repr(stepper) == expected.alt
    assert stepper.words.value == html.escape(expected.alt)


def test_the_stepper_steps_through_nn_gru_too(vocab):
    torch.manual_seed(0)
    (X, Y), model = minibatch(), RNNModel(nn.GRU(28, 8), 28)
    stepper = MinibatchStepper(model, X, Y, vocab)
    stepper.step.value = 8
    expected = minibatch_picture(X, Y, trace_minibatch(model, X), vocab, 8, 0)
    assert stepper.image.value == expected.png


def test_one_step_is_one_drawing_and_no_computing(stepper, monkeypatch):
    drawn = count(monkeypatch, stepper, "draw")
    computed = count(monkeypatch, widgets, "trace_minibatch")
    for number in range(1, 5):
        stepper.step.value = 2 + number
        assert len(drawn) == number
    stepper.row.value = 0
    assert len(drawn) == 5
    assert computed == []


def test_the_stepper_has_a_control_for_every_step_and_row(stepper):
    assert (stepper.step.min, stepper.step.max, stepper.play.max) == (0, 8, 8)
    assert (stepper.row.min, stepper.row.max) == (0, 2)
    assert stepper.play.value == stepper.step.value == 2, "the player begins where the slider is"
    assert stepper.step.description
    assert stepper.row.description
    check_display(stepper)
    size = stepper.image.width, stepper.image.height
    stepper.row.value = 0
    assert (stepper.image.width, stepper.image.height) == size


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda m, v: MinibatchStepper(m, *minibatch(9, 9), v), "X is 9 rows of 9 steps"),
        (lambda m, v: MinibatchStepper(m, *minibatch(2, 61), v), "room for 8 rows of 60"),
        (lambda m, v: MinibatchStepper(m, *minibatch() + 1, v), "X holds the id 28"),
        (
            lambda m, v: MinibatchStepper(RNNModel(nn.LSTM(28, 8), 28), *minibatch(), v),
            "built on LSTM, which has no update and reset gate",
        ),
    ],
    ids=["rows", "steps", "ids", "LSTM"],
)
def test_a_minibatch_that_does_not_fit_is_refused(model, vocab, make, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        make(model, vocab)


# --- time and memory ----------------------------------------------------------------------------


def test_a_move_takes_less_than_50_ms():
    """At 256 units; the best of twenty moves, which a busy machine does not spoil."""
    model, vocab, _ = load_pretrained()
    explorer = GateExplorer(model, vocab)

    def best(slider):
        seconds = []
        for value in range(1, 21):
            began = time.perf_counter()
            slider.value = value
            seconds.append(time.perf_counter() - began)
        return min(seconds)

    assert best(explorer.step) < 0.05
    assert best(explorer.place) < 0.05
    explorer.held.value, explorer.value.value = "Z", 0.5
    explorer.step.value = 0
    assert best(explorer.step) < 0.05


def moving(kind, model, vocab):
    """An explorer of each kind, and the slider to move over 0, 1 and 2."""
    if kind == "gates":
        explorer = GateExplorer(model, vocab, "fly", held="Z", value=0.5)
        return explorer, explorer.step
    if kind == "minibatch":
        explorer = MinibatchStepper(model, *minibatch(1, 3), vocab)
        return explorer, explorer.step
    explorer = OneUnitExplorer()
    return explorer, explorer.sliders["x"]


@pytest.mark.parametrize("kind", ["gates", "minibatch", "one unit"])
def test_a_picture_that_is_not_shown_any_more_is_let_go(model, vocab, kind):
    explorer, slider = moving(kind, model, vocab)
    seen = []
    for value in (1, 2, 0, 1, 2):
        slider.value = value
        seen.append(weakref.ref(explorer.picture))
    assert [picture() is not None for picture in seen] == [False] * 4 + [True]


def test_what_was_traced_is_let_go(explorer):
    seen = []
    for text, value in (("fly", 0.5), ("time", 0.25), ("time", 0.75)):
        explorer.text.value, explorer.value.value = text, value
        seen.append(weakref.ref(explorer.trace))
    assert [trace() is not None for trace in seen] == [False, False, True]


def test_moving_on_and_on_takes_no_more_memory(model, vocab):
    """Thirty moves, not thousands: under ``tracemalloc`` each takes a tenth of a second.

    A picture is some 40 kB, so that keeping them all would take 1.2 MB.
    """
    _, slider = moving("gates", model, vocab)

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


@pytest.mark.parametrize(
    ("start", "words"),
    [({"order": "x"}, "order='x' is not offered: use 'index', 'half-life'"),
     ({"gate": "z"}, "gate='z' is not offered: use 'Z', 'R'"),
     ({"held": "r"}, "held='r' is not offered"),
     ({"at": "median"}, "at='median' is not offered: use 'value', 'mean', 'frozen'"),
     ({"text": None}, "text=None is no text: give a sentence in quotes.")],
    ids=str,
)  # fmt: skip
def test_settings_that_the_controls_do_not_offer(scratch, vocab, start, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        GateExplorer(scratch, vocab, **start)
