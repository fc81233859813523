"""The moving pictures behind the sliders: figures that are drawn once and then only touched up.

A ``Canvas`` keeps the parts of a figure that stay (axes, ticks, titles) as one image and draws the
parts that move on top of it, which takes a tenth of the time of a new figure ("blitting" in
matplotlib's documentation). What it shows is a function of its arguments alone: a canvas that has
shown a thousand other things gives the same bytes as a fresh one.
"""

from __future__ import annotations

import functools
import io
import itertools
import math
import os

from .gates import GATES, GateTrace, half_lives, unit_order
from .plotting import BLACK, BLUE, GREEN, GREY, ORANGE, RED, SKY, Picture

FORCED = "#AA3377"  # the purple of Paul Tol's bright scheme, told from all the others by its depth
GATE_COLOURS = {"Z": BLUE, "R": ORANGE, "H_tilde": GREEN, "H": RED}
DPI = 100
PAGE = 60  # as many steps of a text are shown at once
STEPS_AHEAD = 20  # in the picture of one unit
MOST_ROWS, SHOWN_UNITS = 8, 40  # in the picture of a minibatch
CHOICES = 8  # as many of the next characters


class Label:
    """Text that moves, at a place in pixels from the lower left corner.

    ``anchor`` is one of Pillow's: ``l``, ``m`` or ``r`` for the place's side, ``s`` for the base
    line or ``m`` for the middle. Pillow draws text some twenty times faster than matplotlib.
    """

    def __init__(self, x, y, colour=BLACK, size=12.0, mono=False, bold=False, anchor="ls"):
        """An empty text of ``size`` points."""
        self.x, self.y, self.colour, self.anchor, self.text = x, y, colour, anchor, ""
        self.font = font("Mono" if mono else "", bold, size)

    def draw(self, drawing, height: int) -> None:
        """Write it on a Pillow drawing of this height."""
        if self.text:
            drawing.text(
                (self.x, height - self.y), self.text, self.colour, self.font, anchor=self.anchor
            )


@functools.cache
def font(family: str, bold: bool, size: float):
    """matplotlib's own DejaVu Sans as a Pillow font of ``size`` points."""
    import matplotlib
    from PIL import ImageFont

    name = f"DejaVuSans{family}{'-Bold' if bold else ''}.ttf"
    path = os.path.join(matplotlib.get_data_path(), "fonts", "ttf", name)
    return ImageFont.truetype(path, size * DPI / 72, layout_engine=ImageFont.Layout.BASIC)


class Canvas:
    """A figure of ``width`` by ``height`` pixels with a part that stays and a part that moves."""

    def __init__(self, width: int, height: int):
        """An empty figure; subclasses add axes, and say with ``moving`` what will change."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.size = width, height
        self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
        self._agg = FigureCanvasAgg(self.figure)
        self._moving, self._labels, self._still = [], [], None

    def axes(self, left: float, bottom: float, width: float, height: float, **look):
        """Axes at a place given in pixels."""
        w, h = self.size
        axes = self.figure.add_axes((left / w, bottom / h, width / w, height / h), **look)
        axes.tick_params(labelsize=11)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        return axes

    def moving(self, artist):
        """Draw ``artist`` anew in each picture, above all that stays; returns it."""
        self._moving.append(artist)
        return artist

    def label(self, x: float, y: float, *look, **more) -> Label:
        """Text that changes from picture to picture; see ``Label``."""
        self._labels.append(Label(x, y, *look, **more))
        return self._labels[-1]

    def text(self, x: float, y: float, words: str, **look) -> None:
        """Text that stays, at a place in pixels."""
        w, h = self.size
        self.figure.text(x / w, y / h, words, **{"fontsize": 12, **look})

    def still_changed(self) -> None:
        """Say that something that stays has changed, so that all is drawn again."""
        self._still = None

    def png(self) -> bytes:
        """The picture as it is now, as PNG."""
        from PIL import Image, ImageDraw

        if self._still is None:
            shown = [artist for artist in self._moving if artist.get_visible()]
            for artist in shown:
                artist.set_visible(False)
            self._agg.draw()
            self._still = self._agg.copy_from_bbox(self.figure.bbox)
            for artist in shown:
                artist.set_visible(True)
        else:
            self._agg.restore_region(self._still)
        for artist in self._moving:
            self.figure.draw_artist(artist)
        image = Image.frombuffer("RGBA", self.size, self._agg.buffer_rgba(), "raw", "RGBA", 0, 1)
        image = image.convert("RGB")
        drawing = ImageDraw.Draw(image)
        for label in self._labels:
            label.draw(drawing, self.size[1])
        buffer = io.BytesIO()
        image.save(buffer, format="png", compress_level=1)
        return buffer.getvalue()


def place(axes, x: float, y: float) -> tuple[float, float]:
    """The pixels, from the lower left corner of the figure, of a point of ``axes``."""
    return tuple(axes.transData.transform((x, y)))


def no_picture(why: str) -> Picture:
    """An empty picture that says why there is nothing to see."""
    canvas = Canvas(1000, 60)
    canvas.text(20, 24, "No picture: see the sentence below.", fontsize=13, color=GREY)
    return Picture(canvas.figure, f"No picture: {why}", canvas.png())


class Choices:
    """Bars for the likeliest next characters, forced beside unforced, on a canvas."""

    def __init__(self, canvas: Canvas, left: float, bottom: float, width: float, height: float):
        """Axes at this place in pixels, with room for the characters on their left."""
        from matplotlib.collections import LineCollection

        self.left, self.width = left, width
        axes = canvas.axes(left, bottom, width, height)
        axes.set(xlim=(0, 1), ylim=(0, height), yticks=[])
        axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        axes.set_xlabel("probability", fontsize=12)
        self.plain = canvas.moving(axes.add_collection(LineCollection([], color=BLACK)))
        self.forced = canvas.moving(axes.add_collection(LineCollection([], color=FORCED)))
        self.bottom, self.pitch = bottom, height / CHOICES
        self.heights = [height - self.pitch * (row + 0.5) for row in range(CHOICES)]
        look = {"mono": True, "size": 16, "anchor": "rm"}
        self.names = [canvas.label(left - 10, bottom + y, **look) for y in self.heights]
        self.numbers = [[canvas.label(0, 0, size=11) for _ in range(2)] for _ in range(CHOICES)]

    def show(self, characters, plain, forced=None) -> None:
        """Bars for probabilities ``(vocab_size,)``; the likeliest by either come first."""
        best = plain if forced is None else plain.maximum(forced)
        top = best.topk(min(CHOICES, len(best))).indices.tolist()
        for name, idx in itertools.zip_longest(self.names, top):
            name.text = "" if idx is None else visible(characters[idx])
        shift = 0 if forced is None else self.pitch * 0.2
        self._show_lane(0, self.plain, plain, top, shift, 16 if forced is None else 10)
        self._show_lane(1, self.forced, forced, top, -shift, 10)

    def _show_lane(self, lane: int, bars, values, top, shift: float, thickness: float) -> None:
        """One of the two bars of each character, with its number if it can be seen."""
        for row in self.numbers:
            row[lane].text = ""
        bars.set_linewidth(thickness)
        bars.set_segments([])
        if values is None:
            return
        chances = [
            (y + shift, float(values[idx])) for y, idx in zip(self.heights, top, strict=False)
        ]
        bars.set_segments([[(0, y), (p, y)] for y, p in chances])
        for row, (y, p) in zip(self.numbers, chances, strict=False):
            if p >= 0.005:
                number, inside = row[lane], p > 0.75
                number.text, number.y = f"{p:.0%}", self.bottom + y
                number.x = self.left + self.width * p + (-5 if inside else 5)
                number.anchor = "rm" if inside else "lm"
                number.colour = "white" if inside else (BLACK, FORCED)[lane]


def visible(character: str) -> str:
    """A character as it is drawn: a space as a low line."""
    return "_" if character == " " else character


# --- the gates of a trained model ---------------------------------------------------------------


class GateCanvas(Canvas):
    """The picture of the gate explorer; see ``gate_picture`` for what ``picture`` takes."""

    def __init__(self):
        """Lay out the axes and everything that will move."""
        super().__init__(1000, 580)
        self._page = self._heat = None
        self.heat = self.axes(86, 292, 590, 246)
        self.image = self.moving(
            self.heat.imshow([[0.0]], aspect="auto", interpolation="nearest", zorder=0)
        )
        self.scale = self.axes(690, 292, 12, 246)
        self.scale.spines[:].set_visible(False)
        self.lines = self.axes(86, 102, 590, 132)
        self.lines.set(ylim=(-1.08, 1.08), yticks=[-1, 0, 1])
        self.lines.axhline(0, color="#dddddd", lw=1, zorder=0)
        self.lines.set_xlabel("step", fontsize=12, labelpad=2)
        self.title = self.label(86, 555, size=13)
        self.unit_title = self.label(86, 241)
        names = {"Z": "z", "R": "r", "H_tilde": "candidate", "H": "state"}
        self.free_state = self.moving(self.lines.plot([], [], color=RED, lw=1.5, ls=":")[0])
        dashes = {"Z": "-", "R": "--", "H_tilde": "-.", "H": "-"}
        self.curves = {
            gate: self.moving(
                self.lines.plot(
                    [], [], color=c, lw=3 if gate == "H" else 2, ls=dashes[gate], zorder=3,
                    label=names[gate],
                )[0]
            )
            for gate, c in GATE_COLOURS.items()
        }  # fmt: skip
        self.lines.legend(
            handles=list(self.curves.values()), ncols=4, fontsize=11, frameon=False,
            loc="lower right", bbox_to_anchor=(1.02, 0.94), handlelength=1.5, columnspacing=0.8,
            handletextpad=0.4,
        )  # fmt: skip
        self.column = self.moving(self.heat.axvspan(0, 0, fill=False, ec="white", lw=2.5))
        self.column_edge = self.moving(self.heat.axvspan(0, 0, fill=False, ec=BLACK, lw=1))
        self.now = self.moving(self.lines.axvline(0, color=BLACK, lw=1.5, zorder=1))
        outside = {"clip_on": False, "zorder": 5}
        self.row = self.moving(
            self.heat.plot([0], [0], ">", color=BLACK, ms=9, **outside)[0]
        )  # left of the heat map, beside the row of the unit
        self.held = self.moving(self.heat.plot([], [], color=FORCED, lw=5, **outside)[0])
        self.choices = Choices(self, 790, 102, 196, 436)
        self.bars_title = self.label(760, 555, size=13)
        self.text(86, 33, "goes on", ha="right", color=GREY)
        self.read = self.label(94, 33, GREY, 13, mono=True)
        self.written = [
            self.label(0, y, colour, 13, mono=True, bold=True)
            for y, colour in ((33, BLACK), (10, FORCED))
        ]
        self.forced_name = self.label(86, 10, FORCED, anchor="rs")

    def picture(
        self, trace, step, unit, vocab, gate="Z", order="index", goes_on=("", "")
    ) -> Picture:
        """The picture at a step and a unit of a trace; see ``gate_picture``."""
        plain = trace.unforced or trace
        first, steps = page_of(len(trace), step)
        self._show_page(trace.text[first : first + steps], first, gate)
        self._show_heat(trace, first, steps, gate, order)
        span = slice(first, first + steps)
        xs = range(first, first + steps)
        for name in GATES:
            self.curves[name].set_data(xs, getattr(trace, name)[span, unit].tolist())
        self.free_state.set_data(xs, plain.H[span, unit].tolist())
        self.free_state.set_visible(plain is not trace)
        for box in (self.column, self.column_edge):
            box.set(x=step - 0.5, width=1)
        self.now.set_xdata([step, step])
        units = unit_order(trace, order)
        row = int((units == unit).nonzero())
        self.row.set_data([first - 0.5 - 0.012 * steps], [row])
        rank = "" if order == "index" else f", place {row + 1} by {order}"
        self.unit_title.text = f"unit {unit}{rank}"
        scores = f"perplexity {perplexity_words(plain.perplexity)}"
        if plain is not trace:
            scores += f", forced {perplexity_words(trace.perplexity)}"
        self.title.text = f"{GATES[gate][0]}: {scores}"
        self._show_held(trace, first, steps)
        self.bars_title.text = f"after “{visible(trace.text[step])}” comes"
        self.choices.show(
            vocab.idx_to_token,
            plain.probabilities[step],
            trace.probabilities[step] if plain is not trace else None,
        )
        self._show_writing(trace, step, goes_on, plain is not trace)
        alt = gate_words(trace, step, unit, vocab, gate, goes_on)
        return Picture(self.figure, alt, self.png())

    def _show_page(self, text: str, first: int, gate: str) -> None:
        """The axes for these steps and this gate, unless they are there already."""
        page = (text, first, gate)
        if page == self._page:
            return
        self._page = page
        last = first + len(text)
        signed = GATES[gate][1] < 0
        cmap, low = ("PuOr", -1) if signed else ("cividis", 0)
        self.image.set(cmap=cmap, clim=(low, 1))
        for axes in (self.heat, self.lines):
            axes.set_xlim(first - 0.5, last - 0.5)
        self.heat.set_xticks(range(first, last), [visible(c) for c in text])
        self.heat.tick_params(
            axis="x", labelsize=12 if len(text) > 45 else 14, labelfontfamily="monospace",
            length=0, pad=3,
        )  # fmt: skip
        self.heat.set_yticks([])
        self.lines.set_xticks(range(-(-first // 10) * 10, last, 10))
        self.scale.clear()
        self.scale.imshow(
            [[1 - y / 99 * (1 - low)] for y in range(100)], aspect="auto", cmap=cmap,
            vmin=low, vmax=1, extent=(0, 1, low, 1),
        )  # fmt: skip
        self.scale.set(xticks=[], yticks=[low, 0, 1] if signed else [0, 0.5, 1])
        self.scale.yaxis.tick_right()
        self.scale.tick_params(labelsize=11)
        self.still_changed()

    def _show_heat(self, trace, first, steps, gate, order) -> None:
        """The values of all units over these steps, unless they are shown already."""
        heat = (trace, first, steps, gate, order)
        if self._heat is not None and self._heat[0] is trace and self._heat[1:] == heat[1:]:
            return
        self._heat = heat
        units = unit_order(trace, order)
        values = getattr(trace, gate)[first : first + steps, units].T.cpu().numpy()
        self.image.set_data(values)
        self.image.set_extent((first - 0.5, first + steps - 0.5, len(units) - 0.5, -0.5))
        self.heat.set_ylim(len(units) - 0.5, -0.5)

    def _show_held(self, trace, first, steps) -> None:
        """A bar above the steps at which something is held."""
        xs = []
        for step in range(first, first + steps):
            if any(f.start <= step < (f.stop or math.inf) for f in trace.force):
                xs += [step - 0.5, step + 0.5]
            else:
                xs.append(math.nan)  # a gap in the line
        self.held.set_data(xs, [-0.018 * trace.Z.shape[1] - 0.5] * len(xs))

    def _show_writing(self, trace, step, goes_on, forced: bool) -> None:
        """The end of what was read, and what the model writes after it."""
        self.read.text = trace.text[max(0, step - 23) : step + 1].replace(" ", "_")
        start = self.read.x + self.read.font.getlength(self.read.text)
        for line, words in zip(self.written, goes_on, strict=True):
            line.x, line.text = start, words.replace(" ", "_")
        self.forced_name.text = "forced" if forced else ""


def page_of(num_steps: int, step: int) -> tuple[int, int]:
    """The first step and the number of steps of the page of a text that holds ``step``."""
    if num_steps <= PAGE:
        return 0, num_steps
    return min(step // PAGE * PAGE, num_steps - PAGE), PAGE


def perplexity_words(value: float) -> str:
    """A perplexity with three figures; a text of one character has none."""
    if math.isnan(value):
        return "unknown"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _favourites(probabilities, vocab, count: int = 3) -> str:
    """The likeliest characters in words."""
    top = probabilities.topk(min(count, len(probabilities)))
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return ", ".join(f"{_spoken(vocab.idx_to_token[idx])} {p:.0%}" for idx, p in pairs)


def _spoken(character: str) -> str:
    return "space" if character == " " else character


def gate_words(trace: GateTrace, step, unit, vocab, gate="Z", goes_on=("", "")) -> str:
    """What ``gate_picture`` shows, in words."""
    plain = trace.unforced or trace
    values = getattr(trace, gate)
    first, steps = page_of(len(trace), step)
    z, r, candidate, state = (
        float(getattr(trace, name)[step, unit]) for name in ("Z", "R", "H_tilde", "H")
    )
    words = [
        f"Step {step} (of 0 to {len(trace) - 1}), after “{_spoken(trace.text[step])}”: next comes "
        f"{_favourites(plain.probabilities[step], vocab)}",
        f"The heat map shows the {GATES[gate][0]} of {values.shape[1]} units from step {first} to "
        f"{first + steps - 1}, mean {values[first : first + steps].mean():.2f}",
        f"Unit {unit}: z {z:.2f}, r {r:.2f}, candidate {candidate:.2f}, state {state:.2f}, "
        f"half-life {float(half_lives(plain)[unit]):.1f} steps",
        f"Perplexity {perplexity_words(plain.perplexity)}",
    ]
    if goes_on[0]:
        words.append(f"The model goes on “{goes_on[0]}”")
    if plain is not trace:
        words.append(
            f"Forced ({'; '.join(map(force_words, trace.force))}): next comes "
            f"{_favourites(trace.probabilities[step], vocab)}; perplexity "
            f"{perplexity_words(trace.perplexity)}"
        )
        if goes_on[1]:
            words[-1] += f"; it goes on “{goes_on[1]}”"
    return ". ".join(words) + "."


def force_words(force) -> str:
    """What is held, in words."""
    value = f"{float(force.value):.2f}" if getattr(force.value, "ndim", 0) == 0 else "given values"
    if force.units is None:
        units = "all units"
    else:
        units = f"unit{'s' if len(force.units) > 1 else ''} {', '.join(map(str, force.units))}"
    stop = "" if force.stop is None else f" to {force.stop - 1}"
    return f"{GATES[force.gate][0]} held at {value} in {units} from step {force.start}{stop}"


def gate_picture(
    trace: GateTrace, step, unit, vocab, gate="Z", order="index", goes_on=("", "")
) -> Picture:
    """The picture of the gate explorer: a function of its arguments alone.

    Above, the values of ``gate`` (``"Z"``, ``"R"``, ``"H_tilde"`` or ``"H"``) for all units, in
    the ``order`` of ``unit_order``, over the page of the text that holds ``step``; below, the
    curves of ``unit``, and dotted its state if nothing were forced; on the right the next
    characters after ``step``; at the bottom ``goes_on``, what the model writes unforced and forced.
    """
    return GateCanvas().picture(trace, step, unit, vocab, gate, order, goes_on)


# --- one unit -----------------------------------------------------------------------------------


def one_unit_step(x, h, w_x=1.0, w_h=1.0, b_z=0.0, b_r=0.0, b_h=0.0):
    """One step of a GRU with one unit: the numbers ``(r, z, h_tilde, h_new)``.

    All three input weights are ``w_x``, all three state weights ``w_h``; the biases differ.
    """
    sigmoid = _sigmoid
    z = sigmoid(w_x * x + w_h * h + b_z)
    r = sigmoid(w_x * x + w_h * h + b_r)
    h_tilde = math.tanh(w_x * x + w_h * (r * h) + b_h)
    return r, z, h_tilde, z * h + (1 - z) * h_tilde


def one_unit_states(x, h, num_steps: int, **biases) -> list[float]:
    """The state ``h`` and the ``num_steps`` states after it, all with the same input ``x``."""
    states = [h]
    for _ in range(num_steps):
        states.append(one_unit_step(x, states[-1], **biases)[-1])
    return states


def _sigmoid(a: float) -> float:
    return 1 / (1 + math.exp(-a)) if a >= 0 else math.exp(a) / (1 + math.exp(a))


def one_unit_words(x, h, **biases) -> str:
    """What that figure shows, in words."""
    r, z, h_tilde, h_new = one_unit_step(x, h, **biases)
    settings = ", ".join(f"{name} = {value:.1f}" for name, value in biases.items())
    return (
        f"One GRU unit with x = {x:.1f}, old h = {h:.1f}, {settings}: reset gate {r:.2f}, update "
        f"gate {z:.2f}, candidate {h_tilde:.2f}, new h {h_new:.2f}."
    )


class OneUnitCanvas(Canvas):
    """The picture of the one-unit explorer of notebook 01; see ``one_unit_picture``."""

    def __init__(self):
        """Lay out three panels: the gates, the choice between old and candidate, what follows."""
        super().__init__(960, 350)
        gates = self.axes(70, 56, 160, 230)
        gates.set(xlim=(-0.6, 1.6), ylim=(0, 1.12))
        gates.set_xticks([0, 1], ["reset r", "update z"], fontsize=12)
        gates.set_ylabel("gate value", fontsize=12)
        bars = gates.bar([0, 1], [0, 0], color=[ORANGE, BLUE], width=0.6)
        self.bars = [self.moving(bar) for bar in bars]
        self.heights = [self.label(0, 0, size=13, anchor="ms") for _ in bars]
        line = self.axes(270, 56, 340, 230, xlim=(-1.25, 1.25), ylim=(-1.1, 1.6), yticks=[])
        line.spines["left"].set_visible(False)
        line.set_xlabel("value", fontsize=12)
        line.axhline(0, color=GREY, lw=1.2, zorder=0)
        self.way = self.moving(line.plot([], [], color=SKY, lw=6, alpha=0.6)[0])
        looks = (
            ("old h", BLUE, "o", 0.5),
            ("candidate", GREEN, "s", -0.55),
            ("new h", RED, "D", 1.05),
        )
        self.gates, self.line = gates, line
        self.points = [
            (
                name,
                y,
                self.moving(line.plot([], [], color=colour, lw=1)[0]),
                self.moving(line.plot([], [], color=colour, marker=marker, ms=12)[0]),
                self.label(0, 0, colour, 13, anchor="md" if y > 0 else "ma"),
            )
            for name, colour, marker, y in looks
        ]  # fmt: skip
        future = self.axes(680, 56, 264, 230, xlim=(-0.6, STEPS_AHEAD + 0.6), ylim=(-1.1, 1.1))
        future.set_xlabel("further steps with the same x", fontsize=12)
        future.set_ylabel("state h", fontsize=12, labelpad=0)
        future.grid(True, color="#dddddd", lw=0.7)
        self.future = self.moving(future.plot([], [], color=RED, marker="D", ms=5, lw=1.5)[0])
        self.text(70, 315, "gates", fontsize=13)
        self.text(270, 315, "new h = z · old h + (1 − z) · candidate", fontsize=13)
        self.text(680, 315, "what follows", fontsize=13)

    def picture(self, x, h, **biases) -> Picture:
        """The picture at these values; see ``one_unit_picture``."""
        r, z, h_tilde, h_new = one_unit_step(x, h, **biases)
        for bar, text, value in zip(self.bars, self.heights, (r, z), strict=True):
            bar.set_height(value)
            text.text = f"{value:.2f}"
            text.x, text.y = place(self.gates, bar.get_x() + 0.3, value + 0.02)
        self.way.set_data([h_tilde, h], [0, 0])
        for (name, y, stem, dot, text), value in zip(self.points, (h, h_tilde, h_new), strict=True):
            stem.set_data([value, value], [0, y])
            dot.set_data([value], [0])
            text.text = f"{name} {value:.2f}"
            text.x, text.y = place(self.line, value, y)
        self.future.set_data(range(STEPS_AHEAD + 1), one_unit_states(x, h, STEPS_AHEAD, **biases))
        return Picture(self.figure, one_unit_words(x, h, **biases), self.png())


def one_unit_picture(x, h, **biases) -> Picture:
    """One unit with all weights 1 at input ``x`` and old state ``h``: a function of these alone.

    The gates, the choice between the old state and the candidate, and the states that follow if
    the same input goes on. ``biases`` are ``b_z``, ``b_r``, ``b_h``, 0 where not given.
    """
    return OneUnitCanvas().picture(x, h, **biases)


# --- a minibatch ----------------------------------------------------------------------------------


class MinibatchCanvas(Canvas):
    """The picture of the minibatch stepper of notebook 03; see ``minibatch_picture``."""

    def __init__(self, X, Y, flow, vocab):
        """Lay out the characters of ``X``, the state of one row and the next characters."""
        rows, steps = X.shape
        if rows > MOST_ROWS or steps > PAGE:
            raise ValueError(
                f"X is {rows} rows of {steps} steps; the picture has room for {MOST_ROWS} rows of "
                f"{PAGE}: give a part of it, such as X[:{MOST_ROWS}, :{PAGE}]."
            )
        if Y.shape != X.shape:
            raise ValueError(
                f"Y has shape {tuple(Y.shape)} and X {tuple(X.shape)}: give the labels of X."
            )
        if len(vocab) != flow["probabilities"].shape[-1]:
            raise ValueError(
                f"The vocabulary has {len(vocab)} tokens and the model "
                f"{flow['probabilities'].shape[-1]}: use the one that the model was made with."
            )
        top = 40 + 30 * rows
        super().__init__(1000, 380 + top)
        self.flow, self.vocab, self.Y = flow, vocab, Y
        self.characters = [vocab.to_tokens(row) for row in X]
        grid = self.axes(86, 360, 590, 30 * rows, xlim=(-0.5, steps - 0.5), ylim=(rows - 0.5, -0.5))
        grid.set_yticks(range(rows), [f"row {i}" for i in range(rows)])
        grid.set_xticks([])
        grid.spines[:].set_visible(False)
        for i, row in enumerate(self.characters):
            for j, character in enumerate(row):
                grid.text(
                    j, i, visible(character), ha="center", va="center", family="monospace",
                    fontsize=14 if steps <= 45 else 12,
                )  # fmt: skip
        self.column = self.moving(grid.axvspan(0, 1, color=SKY, alpha=0.45, lw=0))
        self.cell = self.moving(grid.plot([], [], color=BLACK, lw=2, clip_on=False)[0])
        self.heat = self.axes(86, 92, 590, 220)
        self.units = min(SHOWN_UNITS, flow["H"].shape[-1])
        self.image = self.moving(
            self.heat.imshow(
                [[0.0]], aspect="auto", interpolation="nearest", cmap="PuOr", clim=(-1, 1),
                extent=(-0.5, steps - 0.5, self.units - 0.5, -0.5),
            )
        )  # fmt: skip
        self.heat.set(yticks=[], xlim=(-0.5, steps - 0.5))
        self.heat.set_xlabel("step", fontsize=12)
        self.heat.set_xticks(range(0, steps, 5))
        self.bound = float(flow["H"].abs().max()) or 1.0
        self.image.set_clim(-self.bound, self.bound)
        self.title = self.label(86, 350 + top, size=13)
        self.state_title = self.label(86, 322)
        self.text(86, 16, self._shapes(rows), fontsize=12, color=GREY, family="monospace")
        self.choices = Choices(self, 790, 92, 196, 236 + top)
        self.bars_title = self.label(730, 350 + top, size=13)

    def _shapes(self, rows: int) -> str:
        """The shapes of one pass of the loop."""
        v, h = len(self.vocab), self.flow["H"].shape[-1]
        return f"one pass: X ({rows}, {v})  ->  Z, R, H_tilde, H ({rows}, {h})  ->  Y ({rows}, {v})"

    def picture(self, step: int, row: int) -> Picture:
        """The picture at a step and a row; see ``minibatch_picture``."""
        states = self.flow["H"][:, row, : self.units].clone()
        states[step + 1 :] = math.nan  # not computed yet
        self.image.set_data(states.T.cpu().numpy())
        self.column.set(x=step - 0.5, width=1)
        left, right, up, down = step - 0.5, step + 0.5, row - 0.5, row + 0.5
        self.cell.set_data([left, right, right, left, left], [up, up, down, down, up])
        self.title.text = f"step {step}: one pass of the loop reads a whole column"
        self.state_title.text = f"the state of row {row}, {self.units} units, up to this step"
        read = visible(self.characters[row][step])
        label = self.vocab.to_tokens(int(self.Y[row, step]))
        self.bars_title.text = f"after “{read}”; the label is “{visible(label)}”"
        probabilities = self.flow["probabilities"][step, row]
        self.choices.show(self.vocab.idx_to_token, probabilities)
        furthest = float(self.flow["H"][step, row].abs().max())
        alt = (
            f"Step {step} of a minibatch: each of the {len(self.Y)} rows reads one character. Row "
            f"{row} reads “{_spoken(self.characters[row][step])}”; next comes "
            f"{_favourites(probabilities, self.vocab)}, and the label is “{_spoken(label)}”, with "
            f"{float(probabilities[int(self.Y[row, step])]):.1%}. The state has been computed up "
            f"to this step; in this row no unit is now further from zero than {furthest:.2f}."
        )
        return Picture(self.figure, alt, self.png())


def minibatch_picture(X, Y, flow, vocab, step: int, row: int) -> Picture:
    """A minibatch in the middle of the forward loop: a function of the arguments alone.

    ``X`` and ``Y`` are ids ``(batch_size, num_steps)``, ``flow`` is what ``trace_minibatch`` gives
    for ``X``. Above, the characters with the column that this step reads; below, the state of
    ``row`` up to this step; on the right the next characters. Raises ``ValueError`` for a minibatch
    that does not fit the picture.
    """
    return MinibatchCanvas(X, Y, flow, vocab).picture(step, row)
