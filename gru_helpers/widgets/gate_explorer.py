"""The explorer of notebook 06: the gates of a trained GRU on any sentence, held or not."""

from __future__ import annotations

import functools
import math
import textwrap
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from .._validate import check_choice
from ..dataset import Vocab
from ..gates import (
    GATES,
    ORDERS,
    Clamp,
    GateTrace,
    check_traceable,
    clamp_gates,
    continue_text,
    half_lives,
    trace_gates,
    unit_order,
)
from ..plotting import BLACK, BLUE, GREEN, GREY, ORANGE, RED, Picture
from .canvas import (
    CLAMPED,
    LETTERS,
    Canvas,
    NextCharacterBars,
    drawn_character,
    likeliest_in_words,
    spoken_character,
)
from .explorer import Explorer, labeled, play_buttons

PAGE_STEPS = 60  # of the text that are shown at once
MAX_CHARS = 300  # of the text
CONTINUATION_CHARS = 50  # that the model continues the text with
NOTHING = "nothing"  # is held; ipywidgets shows no choice for the value None
HOLDING = ("at", "value", "which", "since")  # controls of what is held
LEFT, WIDTH = 56, 676  # of the heat map and the curves, in pixels
TEXT = "the time traveller for so it will be convenient to speak of him was expounding"
WHICH = {"all": "all units", "this": "this unit", "above": "it and all above"}  # are held
CURVES = {  # name, color, dash and width of each curve of a unit
    "Z": ("z", BLUE, "-", 2),
    "R": ("r", ORANGE, "--", 2),
    "H_tilde": ("candidate", GREEN, "-.", 2),
    "H": ("state", RED, "-", 3),
}


# --- the settings -------------------------------------------------------------------------------


@dataclass(frozen=True)
class GateSettings:
    """What the controls of the gate explorer say.

    ``step`` counts characters, ``place`` is that of the unit in ``order``, ``gate`` is what the
    heat map shows. ``held`` (``None``: nothing) is held at ``value``, at each unit's mean over the
    text, or at what it is at step ``since``, as ``at`` says, from ``since`` on, in all units, in
    the one chosen, or in it and all that stand above it, as ``which`` says.
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
    which: str = "all"

    def __post_init__(self) -> None:
        """Refuse what the controls do not offer."""
        if not isinstance(self.text, str):
            raise ValueError(f"text must be a string, got {self.text!r:.60}.")
        check_choice("order", self.order, ORDERS)
        check_choice("gate", self.gate, tuple(GATES))
        check_choice("held", self.held, (None, *GATES))
        check_choice("at", self.at, ("value", "mean", "frozen"))
        check_choice("which", self.which, tuple(WHICH))

    def unit(self, trace: GateTrace) -> int:
        """The number of the chosen unit."""
        return int(unit_order(trace, self.order)[self.place])

    def clamp(self, baseline: GateTrace) -> Clamp | None:
        """What is held, given the trace of the text without it."""
        if self.held is None:
            return None
        units = None
        if self.which != "all":
            last = self.place + 1
            first = self.place if self.which == "this" else 0
            units = tuple(unit_order(baseline, self.order)[first:last].tolist())
        if self.at == "mean":
            return Clamp.mean(baseline, self.held, units=units, start=self.since)
        if self.at == "frozen":
            return Clamp.frozen(baseline, self.held, self.since, units=units)
        return Clamp(self.held, self.value, units=units, start=self.since)

    def without_view(self) -> GateSettings:
        """The same settings of the clamp, with the rest at fixed values."""
        only_clamp = replace(self, step=0, gate="Z")
        return only_clamp if self.which != "all" else replace(only_clamp, place=0, order="index")


# --- words --------------------------------------------------------------------------------------


def page_of(num_steps: int, step: int, size: int = PAGE_STEPS) -> tuple[int, int]:
    """The first step and the number of steps of the page of ``size`` steps that holds ``step``."""
    if num_steps <= size:
        return 0, num_steps
    return min(step // size * size, num_steps - size), size


def perplexity_in_words(value: float) -> str:
    """A perplexity with three figures; a text of one character has none."""
    if math.isnan(value):
        return "unknown"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def clamp_in_words(clamp: Clamp) -> str:
    """What is held, in words."""
    exact = torch.as_tensor(clamp.value)
    value = f"{float(exact):.2f}" if exact.ndim == 0 else "given values"
    units = "all units"
    if clamp.units is not None:
        numbers = [str(unit) for unit in clamp.units]
        units = f"unit{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
    stop = "" if clamp.stop is None else f" to {clamp.stop - 1}"
    return f"{GATES[clamp.gate][0]} held at {value} in {units} from step {clamp.start}{stop}"


def gates_in_words(trace: GateTrace, view: GateSettings, page: tuple[int, int]) -> list[str]:
    """A sentence on the heat map of these steps, and one on the unit."""
    step, unit, (first, steps) = view.step, view.unit(trace), page
    values = getattr(trace, view.gate)[first : first + steps]
    z, r, candidate, state = (float(getattr(trace, name)[step, unit]) for name in GATES)
    half_life = float(half_lives(trace.baseline or trace)[unit])
    return [
        f"The heat map shows the {GATES[view.gate][0]} of {values.shape[1]} units from step "
        f"{first} to {first + steps - 1}, mean {values.mean():.2f}",
        f"Unit {unit}: z {z:.2f}, r {r:.2f}, candidate {candidate:.2f}, state {state:.2f}, "
        f"half-life {half_life:.1f} steps",
    ]


def gate_alt(
    trace: GateTrace, view: GateSettings, vocab: Vocab, continuations: tuple[str, str]
) -> str:
    """What ``GateCanvas.picture`` shows, in words."""
    baseline, step = trace.baseline or trace, view.step
    sentences = [
        f"Step {step} (of 0 to {len(trace) - 1}), after “{spoken_character(trace.text[step])}”: "
        f"next comes {likeliest_in_words(baseline.probabilities[step], vocab.idx_to_token)}",
        *gates_in_words(trace, view, page_of(len(trace), step)),
        f"Perplexity {perplexity_in_words(baseline.perplexity)}",
    ]
    if continuations[0]:
        sentences.append(f"The model goes on “{continuations[0]}”")
    if trace.baseline:
        sentences.append(
            f"With {'; '.join(map(clamp_in_words, trace.clamps))}: next comes "
            f"{likeliest_in_words(trace.probabilities[step], vocab.idx_to_token)}; perplexity "
            f"{perplexity_in_words(trace.perplexity)}"
        )
        if continuations[1]:
            sentences[-1] += f"; it goes on “{continuations[1]}”"
    return ". ".join(sentences) + "."


# --- the picture --------------------------------------------------------------------------------


class GateCanvas(Canvas):
    """The picture of the gate explorer: all gates of a trace, and one unit; ``page_steps`` at once.

    On the right and at the bottom stands what the model makes of them, added by ``_add_answers``.
    """

    page_steps = PAGE_STEPS

    def __init__(self) -> None:
        """Lay out the axes and everything that will change."""
        super().__init__(940, 490)
        self._page: tuple[tuple[str, ...], int, str, int] | None = None
        self._add_heat_map()
        self._add_curves()
        self._add_markers()
        self._add_answers()

    def _add_answers(self) -> None:
        """Bars for the next character, and what the model goes on with."""
        self.bars = NextCharacterBars(self, 806, 100, 122, 352)
        self.bars_title = self.label(932, 467, anchor="rs")
        self.text(80, 34, "goes on", ha="right", color=GREY)
        self.read = self.label(88, 34, GREY, mono=True)
        self.continuations = [
            self.label(0, y, color, mono=True, bold=True)
            for y, color in ((34, BLACK), (9, CLAMPED))
        ]
        self.held_label = self.label(80, 9, CLAMPED, anchor="rs")

    def _add_heat_map(self) -> None:
        """All units over a page of the text, and the scale of the colors."""
        self.heat = self.axes(LEFT, 252, WIDTH, 202, yticks=[])
        image = self.heat.imshow([[0.0]], aspect="auto", interpolation="nearest", zorder=0)
        self.image = self.animate(image, still=True)
        self.scale = self.figure.colorbar(image, cax=self.axes(LEFT + WIDTH + 6, 252, 10, 202))
        self.scale.outline.set_visible(False)
        self.title = self.label(LEFT, 467)

    def _add_curves(self) -> None:
        """Gates, candidate and state of one unit, and its state if nothing were held."""
        self.lines = self.axes(LEFT, 84, WIDTH, 112, ylim=(-1.08, 1.08), yticks=[-1, 0, 1])
        self.lines.axhline(0, color="#dddddd", lw=1, zorder=0)
        self.text(LEFT - 14, 62, "step", ha="right")
        self.unit_title = self.label(LEFT, 202)
        self.baseline_state = self.animate(self.lines.plot([], [], color=RED, lw=1.5, ls=":")[0])
        self.curves = {
            gate: self.animate(
                self.lines.plot([], [], color=color, ls=dash, lw=width, zorder=3, label=name)[0]
            )
            for gate, (name, color, dash, width) in CURVES.items()
        }
        place = {"loc": "lower right", "bbox_to_anchor": (1.02, 0.93), "frameon": False}
        spacing = {"handlelength": 1.5, "columnspacing": 0.8, "handletextpad": 0.4}
        handles = list(self.curves.values())
        self.lines.legend(handles=handles, ncols=4, fontsize=LETTERS, **place, **spacing)

    def _add_markers(self) -> None:
        """The step, the row of the unit, and a bar over the steps at which something is held."""
        self.columns = [
            self.animate(self.heat.axvspan(0, 0, fill=False, ec=color, lw=width))
            for color, width in (("white", 2.5), (BLACK, 1))
        ]
        self.now = self.animate(self.lines.axvline(0, color=BLACK, lw=1.5, zorder=1))
        outside = {"clip_on": False, "zorder": 5}
        self.row = self.animate(self.heat.plot([0], [0], ">", color=BLACK, ms=9, **outside)[0])
        self.held = self.animate(self.heat.plot([], [], color=CLAMPED, lw=5, **outside)[0])

    def picture(
        self,
        trace: GateTrace,
        view: GateSettings,
        vocab: Vocab,
        continuations: tuple[str, str] = ("", ""),
    ) -> Picture:
        """The picture of a trace: a function of the arguments alone.

        Above, the values of the gate of ``view`` for all units, in its order, over the page of the
        text that holds its step; below, the curves of its unit, and dotted its state if nothing
        were held; on the right the next characters after the step; at the bottom
        ``continuations``, what the model continues the text with while nothing is held, and while
        it is. What is held is read from ``trace``, not from ``view``.
        """
        self._show_gates(trace, view)
        baseline, clamped, step = trace.baseline or trace, trace.baseline is not None, view.step
        self.bars.show(
            vocab.idx_to_token,
            baseline.probabilities[step],
            trace.probabilities[step] if clamped else None,
        )
        self.bars_title.text = f"after “{drawn_character(trace.text[step])}” comes"
        held = f", held {perplexity_in_words(trace.perplexity)}" if clamped else ""
        scores = perplexity_in_words(baseline.perplexity) + held
        self.title.text = f"{GATES[view.gate][0]}: perplexity {scores}"
        self.held_label.text = "held" if clamped else ""
        self.read.text = "".join(trace.text[max(0, step - 23) : step + 1]).replace(" ", "_")
        start = self.read.x + self.read.font.getlength(self.read.text)
        for label, text in zip(self.continuations, continuations, strict=True):
            label.x, label.text = start, text.replace(" ", "_")
        return self._finished(trace, view, gate_alt(trace, view, vocab, continuations))

    def _finished(self, trace: GateTrace, view: GateSettings, alt: str) -> Picture:
        """The picture with its words; the heat map is drawn again only where it changes."""
        first, _ = page_of(len(trace), view.step, self.page_steps)
        return Picture(self.figure, alt, self.png(key=(trace, view.gate, view.order, first)))

    def _show_gates(self, trace: GateTrace, view: GateSettings) -> None:
        """The heat map, the curves and the markers."""
        step, gate, order = view.step, view.gate, view.order
        baseline, clamped = trace.baseline or trace, trace.baseline is not None
        first, steps = page_of(len(trace), step, self.page_steps)
        span, xs = slice(first, first + steps), range(first, first + steps)
        units = unit_order(trace, order)
        unit = int(units[view.place])
        self._show_page(tuple(trace.text[span]), first, gate, len(units))
        self.image.set_data(getattr(trace, gate)[span, units].T.cpu().numpy())
        for name, curve in self.curves.items():
            curve.set_data(xs, getattr(trace, name)[span, unit].tolist())
            curve.set_marker("o" if steps == 1 else "")
        self.baseline_state.set_data(xs, baseline.H[span, unit].tolist())
        self.baseline_state.set_visible(clamped)
        for column in self.columns:
            column.set(x=step - 0.5, width=1)
        self.now.set_xdata([step, step])
        self.row.set_data([first - 0.5 - 0.012 * steps], [view.place])
        self._show_held(trace, xs)
        rank = "" if order == "index" else f", place {view.place} by {order}"
        self.unit_title.text = f"unit {unit}{rank}"

    def _show_page(self, text: tuple[str, ...], first: int, gate: str, num_units: int) -> None:
        """The axes for these steps, this gate and all units, unless they are there already."""
        page = (text, first, gate, num_units)
        if page == self._page:
            return
        self._page = page
        last, bottom = first + len(text), num_units - 0.5
        signed = GATES[gate][1] < 0
        cmap, low = ("PuOr", -1) if signed else ("cividis", 0)
        self.image.set(cmap=cmap, clim=(low, 1), extent=(first - 0.5, last - 0.5, bottom, -0.5))
        self.heat.set_ylim(bottom, -0.5)
        for axes in (self.heat, self.lines):
            axes.set_xlim(first - 0.5, last - 0.5)
        names = [drawn_character(c) for c in text]
        if len(names) > PAGE_STEPS or max(map(len, names)) > 1:  # there is no room for them
            names = [""] * len(names)
        self.heat.set_xticks(range(first, last), names)
        self.heat.tick_params("x", labelfontfamily="monospace", length=0, pad=3)
        self.lines.set_xticks(range(-(-first // 10) * 10, last, 10))
        labels = ["−1", "0", "1"] if signed else ["0", "½", "1"]
        self.scale.set_ticks([low, (low + 1) / 2, 1], labels=labels)
        self.scale.ax.tick_params(labelsize=LETTERS, length=0, pad=3)
        self.invalidate_background()

    def _show_held(self, trace: GateTrace, xs: range) -> None:
        """The bar above the steps at which something is held; not a number is a gap in it."""
        ends = []
        for step in xs:
            held = any(c.start <= step < (c.stop or math.inf) for c in trace.clamps)
            ends += [step - 0.5, step + 0.5] if held else [math.nan]
        self.held.set_data(ends, [-0.018 * trace.Z.shape[1] - 0.5] * len(ends))


def error_picture(problem: str) -> Picture:
    """A picture of nothing but the sentence that says why."""
    canvas, words = Canvas(940, 120), f"No picture: {problem}"
    canvas.text(20, 60, textwrap.fill(words, 90), va="center")
    return Picture(canvas.figure, words, canvas.png())


def clamped_trace(model: nn.Module, baseline: GateTrace, settings: GateSettings) -> GateTrace:
    """The trace of a text with what the settings hold; ``baseline`` itself if that is nothing."""
    clamp = settings.clamp(baseline)
    return baseline if clamp is None else clamp_gates(model, baseline, clamp)


def continuations_of(
    model: nn.Module, vocab: Vocab, trace: GateTrace, step: int
) -> tuple[str, str]:
    """What the model continues the text with after a step: without clamps, and with them."""
    baseline = continue_text(model, trace.baseline or trace, vocab, step, CONTINUATION_CHARS)
    if trace.baseline is None:
        return baseline, ""
    return baseline, continue_text(model, trace, vocab, step, CONTINUATION_CHARS)


def explorer_picture(model: nn.Module, vocab: Vocab, settings: GateSettings) -> Picture:
    """The picture of the gate explorer with these settings: a function of its arguments alone."""
    baseline = trace_gates(model, settings.text, vocab)
    trace = clamped_trace(model, baseline, settings)
    continuations = continuations_of(model, vocab, trace, settings.step)
    return GateCanvas().picture(trace, settings, vocab, continuations)


# --- the explorer -------------------------------------------------------------------------------


class GatesExplorer(Explorer):
    """What the explorers of gates share: their controls, and what is held.

    Subclasses say in ``_read`` how the source, the widget above the picture, is traced, and draw.
    ``settings`` are the ``GateSettings`` on display, ``trace`` the ``GateTrace`` behind them.
    """

    def __init__(self, model: nn.Module, canvas: GateCanvas, start: GateSettings, source: Any):
        """Start at these settings; ``source`` is a widget, or ``None``."""
        self.model, self._canvas, self.source = model, canvas, source
        self.trace: GateTrace | None = None
        self.baseline: GateTrace | None = None
        # the latest trace is kept until something that it depends on changes
        self._clamped_trace = functools.lru_cache(maxsize=1)(
            functools.partial(clamped_trace, model)
        )
        controls, side = self._make_controls(start)
        self.controls = controls
        self._read_source()
        if source is not None:
            source.observe(self._source_changed, names="value")
        for name in ("held", "at"):
            controls[name].observe(self._enable, names="value")
        super().__init__(controls, side, top=[] if source is None else [source])
        self._enable()

    def _read(self) -> GateTrace:
        """The trace of the source as it is now; raises ``ValueError`` where there is none."""
        raise NotImplementedError

    def _make_controls(self, start: GateSettings) -> tuple[dict[str, Any], list[Any]]:
        """The controls by the names of their settings, and the widgets beside the picture."""
        import ipywidgets as w

        gates = [(words, gate) for gate, (words, _, _) in GATES.items()]
        at = [("the value", "value"), ("its mean", "mean"), ("what it is there", "frozen")]
        units = [(words, which) for which, words in WHICH.items()]
        layer = getattr(self.model, "rnn", self.model)
        last_unit = getattr(layer, "hidden_size", getattr(layer, "num_hiddens", 1)) - 1

        def slider(name: str, last: int, words: str) -> Any:
            return w.IntSlider(getattr(start, name), max=last, **labeled(words))

        def dropdown(name: str, options: Any, words: str) -> Any:
            return w.Dropdown(options=options, value=getattr(start, name), **labeled(words))

        step = slider("step", MAX_CHARS, "step")
        controls = {
            "step": step,
            "place": slider("place", last_unit, "unit, place"),
            "order": dropdown("order", ORDERS, "units by"),
            "gate": dropdown("gate", gates, "heat map"),
            "held": w.Dropdown(
                options=[("nothing", NOTHING), *gates],
                value=start.held or NOTHING,
                **labeled("hold"),
            ),
            "at": dropdown("at", at, "at"),
            "value": w.FloatSlider(start.value, min=-1.0, max=1.0, step=0.05, **labeled("value")),
            "which": dropdown("which", units, "in"),
            "since": slider("since", MAX_CHARS, "from step"),
        }
        self.play = play_buttons(step)
        self.here = w.Button(description="From here", tooltip="Hold from the step that is shown")
        self.here.on_click(self._hold_from_here)
        step, *rest = controls.values()
        return controls, [step, self.play, *rest, self.here]

    @property
    def settings(self) -> GateSettings:
        """What the controls say."""
        values = self.values
        if values["held"] == NOTHING:
            values["held"] = None
        return GateSettings(self._words(), **values)

    def _words(self) -> str:
        """The text that is read, if it is one."""
        return ""

    def draw(self) -> Picture:
        """The picture of the settings."""
        if self.baseline is None:
            return error_picture(self.problem)
        settings = self.settings
        self.trace = self._clamped_trace(self.baseline, settings.without_view())
        return self._picture(self.trace, settings)

    def _picture(self, trace: GateTrace, settings: GateSettings) -> Picture:
        """The picture of a trace."""
        raise NotImplementedError

    def _read_source(self) -> None:
        """Trace what the source says, or tell what is wrong with it and keep the one before."""
        try:
            self.baseline = self._read()
        except ValueError as error:
            self.problem = str(error)
            return
        self.problem = ""
        with self.without_redraw():
            for slider in (self.controls["step"], self.controls["since"], self.play):
                slider.max = len(self.baseline) - 1

    def _source_changed(self, change: Any) -> None:
        self._read_source()
        self._enable()
        self.redraw()

    def _hold_from_here(self, button: Any) -> None:
        self.controls["since"].value = self.controls["step"].value

    def _enable(self, change: Any = None) -> None:
        """What changes nothing cannot be moved; the value stays in the range of what is held."""
        self.here.disabled = self.play.disabled = self.baseline is None
        held, at = self.controls["held"].value, self.controls["at"].value
        for name, control in self.controls.items():
            idle = (name in HOLDING and held in (None, NOTHING)) or (
                name == "value" and at != "value"
            )
            control.disabled = idle or self.baseline is None
        with self.without_redraw():
            self.controls["value"].min = GATES.get(held, GATES["Z"])[1]


class GateExplorer(GatesExplorer):
    """See the gates of a trained GRU on any sentence, hold them, watch the next character change.

    ``model`` is a scratch GRU or an ``RNNModel`` around ``nn.GRU``; ``text`` can be edited and has
    at most 300 characters. ``settings`` are the ``GateSettings`` on display, ``trace`` the
    ``GateTrace`` behind them. What a class may get wrong (an empty or an endless text, another
    vocabulary, a model without gates) is said in one sentence, ``problem``.
    """

    def __init__(self, model: nn.Module, vocab: Vocab, text: str = TEXT, **start: Any) -> None:
        """Start at ``text``; ``start`` may set any other field of ``GateSettings``."""
        import ipywidgets

        self.vocab = vocab
        self._continuations = functools.lru_cache(maxsize=1)(
            functools.partial(continuations_of, model, vocab)
        )
        settings = GateSettings(text, **start)
        self.text = ipywidgets.Text(text, continuous_update=False, **labeled("text"))
        super().__init__(model, GateCanvas(), settings, self.text)

    def _read(self) -> GateTrace:
        text = self.text.value
        try:
            check_traceable(self.model, self.vocab)
        except ValueError:
            self.text.disabled = True
            raise
        if len(text) > MAX_CHARS:
            raise ValueError(
                f"The text must have at most {MAX_CHARS} characters, got {len(text):,}: give "
                "it a sentence or two."
            )
        return trace_gates(self.model, text, self.vocab)

    def _words(self) -> str:
        return "".join(self.baseline.text) if self.baseline else self.text.value

    def _picture(self, trace: GateTrace, settings: GateSettings) -> Picture:
        """See ``explorer_picture``."""
        continuations = self._continuations(trace, settings.step)
        return self._canvas.picture(trace, settings, self.vocab, continuations)
