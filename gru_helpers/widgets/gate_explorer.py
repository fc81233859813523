"""Sliders over the moving pictures of ``canvases``.

An explorer is a ``widgets.Image`` whose bytes are replaced when a control moves: nothing is
cleared, so nothing flickers. Where no kernel runs, its picture is shown as it was saved. What a
picture shows is a pure function of the settings. ipywidgets is imported when an explorer is made.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

from .canvases import GateCanvas, MinibatchCanvas, OneUnitCanvas, gate_picture, no_picture
from .gates import (
    GATES,
    ORDERS,
    Force,
    GateTrace,
    check_traceable,
    force_gates,
    trace_gates,
    trace_minibatch,
    unit_order,
    write_on,
)
from .plotting import Picture, smaller

TEXT_LIMIT = 300  # characters that the gate explorer takes
WRITTEN = 50  # characters that the model goes on to write
TEXT = "the time traveller for so it will be convenient to speak of him was expounding"
VIEW = "application/vnd.jupyter.widget-view+json"


class Explorer:
    """A picture, its words, and controls; subclasses make the controls and say what is drawn.

    ``widget`` is the ipywidgets box, ``image`` its first part and ``words`` its last, ``picture``
    is the ``Picture`` on display. As the last line of a cell the explorer shows itself.
    """

    def __init__(self, controls, watched):
        """Stack picture, ``controls`` and words; draw anew when a ``watched`` control changes."""
        import ipywidgets

        self.image, self.words = ipywidgets.Image(format="png"), ipywidgets.HTML()
        self.widget = ipywidgets.VBox([self.image, *controls, self.words])
        self._still = False
        self.redraw()
        for control in watched:
            control.observe(self._changed, names="value")

    def draw(self) -> Picture:
        """The picture of the settings."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Show the picture of the settings as they are now."""
        self.picture = self.draw()
        self.image.width, self.image.height = str(self.picture.width), str(self.picture.height)
        self.image.value = self.picture.png
        self.words.value = html.escape(self.picture.alt)

    def _changed(self, change=None) -> None:
        if not self._still:
            self.redraw()

    def __repr__(self) -> str:
        """What the picture shows."""
        return self.picture.alt

    def _repr_mimebundle_(self, include=None, exclude=None):
        """The live widget, the picture for where no kernel runs, and words."""
        bundle, facts = self.picture._repr_mimebundle_()
        bundle["image/png"] = smaller(self.picture.png)
        live = self.widget._repr_mimebundle_() or {}
        live = live[0] if isinstance(live, tuple) else live
        return {**bundle, **({VIEW: live[VIEW]} if VIEW in live else {})}, facts


def _wide(words: str, width: str = "32em", label: str = "11em", **look) -> dict:
    """The look of a control that has words before it."""
    return {
        "description": words,
        "style": {"description_width": label},
        "layout": {"width": width, "max_width": "100%"},
        **look,
    }


class OneUnitExplorer(Explorer):
    """Five sliders (input, old state, three biases) over a GRU with a single unit.

    ``values`` are the settings; see ``Explorer`` for the rest.
    """

    RANGES = (
        ("x", "input x", -3.0, 3.0, 1.0),
        ("h", "old state h", -1.0, 1.0, -0.8),
        ("b_z", "update bias b_z", -6.0, 6.0, 0.0),
        ("b_r", "reset bias b_r", -6.0, 6.0, 0.0),
        ("b_h", "candidate bias b_h", -3.0, 3.0, 0.0),
    )

    def __init__(self, **start: float):
        """Start at the given values of ``x``, ``h``, ``b_z``, ``b_r``, ``b_h``."""
        import ipywidgets

        unknown = set(start) - {row[0] for row in self.RANGES}
        if unknown:
            raise ValueError(
                f"{sorted(unknown)} is no slider of this explorer: use x, h, b_z, b_r or b_h."
            )
        for name, _, low, high, _ in self.RANGES:
            if not low <= start.get(name, low) <= high:
                raise ValueError(f"{name}={start[name]!r} is off the slider: {low:g} to {high:g}.")
        self.sliders = {
            name: ipywidgets.FloatSlider(
                value=start.get(name, value), min=low, max=high, step=0.1, readout_format=".1f",
                **_wide(words),
            )
            for name, words, low, high, value in self.RANGES
        }  # fmt: skip
        self.reset_button = ipywidgets.Button(
            description="Start values", tooltip="Put every slider back to where it started"
        )
        self.reset_button.on_click(self._reset)
        self._start, self._canvas = self.values, OneUnitCanvas()
        sliders = list(self.sliders.values())
        super().__init__([*sliders, self.reset_button], sliders)

    @property
    def values(self) -> dict[str, float]:
        """The settings of the sliders, rounded to their step."""
        return {name: round(slider.value, 1) for name, slider in self.sliders.items()}

    def draw(self) -> Picture:
        """See ``canvases.one_unit_picture``."""
        return self._canvas.picture(**self.values)

    def _reset(self, button=None) -> None:
        self._still = True
        for name, value in self._start.items():
            self.sliders[name].value = value
        self._still = False
        self.redraw()


class MinibatchStepper(Explorer):
    """Two sliders (step and row) over one minibatch on its way through the forward loop.

    ``X`` and ``Y`` are token ids, ``(batch_size, num_steps)``, at most 8 rows of 60 steps.
    """

    def __init__(self, model, X, Y, vocab, step: int = 0, row: int = 0):
        """Run ``model`` over ``X`` from a state of zeros, and start at ``step`` and ``row``.

        Raises ``ValueError`` for a minibatch that does not fit the picture or the model.
        """
        import ipywidgets

        self._canvas = MinibatchCanvas(X, Y, trace_minibatch(model, X), vocab)
        rows, steps = X.shape
        self.step = ipywidgets.IntSlider(value=step, max=steps - 1, **_wide("step"))
        self.row = ipywidgets.IntSlider(value=row, max=rows - 1, **_wide("row"))
        self.play = _play(self.step)
        line = ipywidgets.HBox([self.step, self.play], layout={"flex_flow": "row wrap"})
        super().__init__([line, self.row], [self.step, self.row])

    def draw(self) -> Picture:
        """See ``canvases.minibatch_picture``."""
        return self._canvas.picture(self.step.value, self.row.value)


def _play(slider):
    """Buttons that walk ``slider`` through its values, joined to it in the browser."""
    import ipywidgets

    play = ipywidgets.Play(
        value=slider.value,  # else the browser would move the slider to the start
        max=slider.max,
        interval=400,
        tooltip="Walk through the steps",
        layout={"width": "12em"},
    )
    ipywidgets.jslink((play, "value"), (slider, "value"))
    return play


# --- the gates of a trained model ---------------------------------------------------------------


@dataclass(frozen=True)
class GateSettings:
    """What the controls of the gate explorer say.

    ``step`` counts characters, ``place`` is that of the unit in ``order``, ``gate`` is what the
    heat map shows. ``held`` (``None``: nothing) is held at ``value``, at each unit's mean over the
    text, or at what it is at step ``since``, as ``at`` says, from ``since`` on, in all units or
    only in the one chosen, as ``only_this`` says.
    """

    text: str
    step: int = 0
    place: int = 0
    order: str = "index"
    gate: str = "Z"
    held: str | None = None
    at: str = "value"
    value: float = 0.0
    since: int = 0
    only_this: bool = False

    def __post_init__(self):
        """Refuse what the controls do not offer."""
        choices = {
            "order": ORDERS,
            "gate": tuple(GATES),
            "held": (None, *GATES),
            "at": ("value", "mean", "frozen"),
            "only_this": (False, True),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                told = ", ".join(map(repr, allowed))
                raise ValueError(f"{name}={getattr(self, name)!r} is not offered: use {told}.")
        if not isinstance(self.text, str):
            raise ValueError(f"text={self.text!r:.60} is no text: give a sentence in quotes.")

    def unit(self, trace: GateTrace) -> int:
        """The number of the chosen unit."""
        return int(unit_order(trace, self.order)[self.place])

    def force(self, trace: GateTrace) -> Force | None:
        """What is held, given the plain trace of the text."""
        if self.held is None:
            return None
        where = {"start": self.since, "units": (self.unit(trace),) if self.only_this else None}
        if self.at == "mean":
            return Force.mean(trace, self.held, **where)
        if self.at == "frozen":
            return Force.frozen(trace, self.held, self.since, units=where["units"])
        return Force(self.held, self.value, **where)


def _held(model, plain: GateTrace, settings: GateSettings) -> GateTrace:
    """The plain trace of a text, or what it becomes under the force of the settings."""
    force = settings.force(plain)
    return plain if force is None else force_gates(model, plain, force)


def _goes_on(model, vocab, trace: GateTrace, step: int) -> tuple[str, str]:
    """What the model writes after a step, unforced and forced."""
    forced = write_on(model, trace, vocab, step, WRITTEN) if trace.unforced else ""
    return write_on(model, trace.unforced or trace, vocab, step, WRITTEN), forced


def explorer_picture(model, vocab, settings: GateSettings) -> Picture:
    """The picture of the gate explorer with these settings: a function of its arguments alone."""
    trace = _held(model, trace_gates(model, settings.text, vocab), settings)
    return gate_picture(
        trace,
        settings.step,
        settings.unit(trace.unforced or trace),
        vocab,
        settings.gate,
        settings.order,
        _goes_on(model, vocab, trace, settings.step),
    )


class GateExplorer(Explorer):
    """See the gates of a trained GRU on any sentence, force them, watch the next character change.

    ``model`` is a scratch GRU or an ``RNNModel`` around ``nn.GRU``; ``text`` can be edited and has
    at most 300 characters. ``settings`` are the ``GateSettings`` on display, ``trace`` the
    ``GateTrace`` behind them. What a class may get wrong (an empty or an endless text, another
    vocabulary, a model without gates) is said in one sentence, ``problem``, above the text field.
    """

    def __init__(self, model, vocab, text: str = TEXT, **start):
        """Start at ``text``; ``start`` may set any other field of ``GateSettings``."""
        import ipywidgets

        self.model, self.vocab = model, vocab
        self.trace = self._plain = self._held_key = self._writing_key = None
        self._canvas, self._still = GateCanvas(), False
        self._make_controls(GateSettings(text, **start))
        self.message = ipywidgets.HTML()
        try:
            check_traceable(model, vocab)
        except ValueError as error:
            self.text.disabled = True
            self._say(str(error))
        else:
            self._read(text)
        self.text.observe(self._text_changed, names="value")
        self.held.observe(self._limit_value, names="value")
        super().__init__([self.message, *self._arranged()], self._watched)
        self._enable()

    def _make_controls(self, first: GateSettings) -> None:
        import ipywidgets as w

        gates = [(words, gate) for gate, (words, _, _) in GATES.items()]
        units = getattr(self.model, "num_hiddens", 1)
        self.text = w.Text(
            value=first.text, continuous_update=False, **_wide("text", width="62em", label="4em")
        )
        self.step = w.IntSlider(value=first.step, max=1000, **_wide("step", label="4em"))
        self.play = _play(self.step)
        self.place = w.IntSlider(
            value=first.place, max=units - 1, **_wide("unit, place", label="6em")
        )
        self.order = w.Dropdown(
            options=ORDERS, value=first.order, **_wide("units by", width="15em", label="5em")
        )
        self.gate = w.Dropdown(
            options=gates, value=first.gate, **_wide("heat map", width="18em", label="5em")
        )
        self.held = w.Dropdown(
            options=[("nothing", None), *gates], value=first.held,
            **_wide("force", width="17em", label="4em"),
        )  # fmt: skip
        self.at = w.Dropdown(
            options=[
                ("the value", "value"), ("its mean", "mean"), ("what it is there", "frozen"),
            ],
            value=first.at, **_wide("to", width="13em", label="2em"),
        )  # fmt: skip
        self.value = w.FloatSlider(
            value=first.value, min=-1.0, max=1.0, step=0.05, readout_format=".2f",
            **_wide("value", width="22em", label="4em"),
        )  # fmt: skip
        self.only_this = w.Dropdown(
            options=[("all units", False), ("this unit", True)], value=first.only_this,
            **_wide("in", width="11em", label="2em"),
        )  # fmt: skip
        self.since = w.IntSlider(
            value=first.since, max=1000, **_wide("from step", width="24em", label="5em")
        )
        self.here = w.Button(
            description="From here",
            tooltip="Force from the step that is shown",
            layout={"width": "8em"},
        )
        self.here.on_click(lambda _: setattr(self.since, "value", self.step.value))
        self._limit_value()
        self._watched = [
            *(self.step, self.place, self.order, self.gate),
            *(self.held, self.at, self.value, self.only_this, self.since),
        ]

    def _arranged(self) -> list:
        """The controls in rows, which wrap where the window is narrow."""
        from ipywidgets import HBox

        rows = (
            (self.text,),
            (self.step, self.play, self.gate),
            (self.place, self.order),
            (self.held, self.at, self.value),
            (self.only_this, self.since, self.here),
        )
        return [HBox(row, layout={"flex_flow": "row wrap"}) for row in rows]

    @property
    def settings(self) -> GateSettings:
        """What the controls say."""
        return GateSettings(
            text=self._plain.text if self._plain else self.text.value,
            step=self.step.value,
            place=self.place.value,
            order=self.order.value,
            gate=self.gate.value,
            held=self.held.value,
            at=self.at.value,
            value=round(self.value.value, 2),
            since=self.since.value,
            only_this=self.only_this.value,
        )

    def draw(self) -> Picture:
        """See ``explorer_picture``; traces and texts that have not changed are kept."""
        if self._plain is None:
            return no_picture(self.problem)
        settings = self.settings
        unit = settings.unit(self._plain)
        held = (settings.held, settings.at, settings.value, settings.since)
        held = settings.held and (*held, unit if settings.only_this else None)
        if self.trace is None or self._held_key != (self._plain, held):
            self.trace = _held(self.model, self._plain, settings)
            self._held_key = (self._plain, held)
        if self._writing_key != (self.trace, settings.step):
            self._writing = _goes_on(self.model, self.vocab, self.trace, settings.step)
            self._writing_key = (self.trace, settings.step)
        return self._canvas.picture(
            self.trace, settings.step, unit, self.vocab, settings.gate, settings.order,
            self._writing,
        )  # fmt: skip

    def _read(self, text: str) -> None:
        """Trace a new text, or say what is wrong with it and keep the one before."""
        if len(text) > TEXT_LIMIT:
            self._say(
                f"This text has {len(text):,} characters, and the explorer takes at most "
                f"{TEXT_LIMIT}: give it a sentence or two."
            )
            return
        try:
            self._plain = trace_gates(self.model, text, self.vocab)
        except ValueError as error:
            self._say(str(error))
            return
        self._say("")
        self._still = True
        for slider in (self.step, self.since, self.play):
            slider.max = len(self._plain) - 1
        self._still = False

    def _text_changed(self, change=None) -> None:
        self._read(self.text.value)
        self._enable()
        self.redraw()

    def _enable(self) -> None:
        """The controls work as soon as there is something to show."""
        for control in (*self._watched, self.play, self.here):
            control.disabled = self._plain is None

    def _limit_value(self, change=None) -> None:
        """The range of the value slider is that of what is held."""
        self._still = True
        self.value.min = GATES[self.held.value or "Z"][1]
        self._still = False

    def _say(self, problem: str) -> None:
        """Show a sentence, or take it away."""
        self.problem = problem
        look = 'role="alert" style="color:#a00000;font-weight:bold"'
        self.message.value = f"<p {look}>{html.escape(problem)}</p>" if problem else ""
