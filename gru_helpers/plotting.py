"""Figures: each function takes data and returns a matplotlib ``Figure``; nothing is shown.

``show(figure, alt)`` displays one in a notebook with an alternative text. Colors are those of
Okabe and Ito (https://jfly.uni-koeln.de/color/), safe for color-blind readers; lines differ in
dashes as well as in color. matplotlib is imported when the first figure is made.
"""

from __future__ import annotations

import io
import itertools
import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK, GREY = "#CC79A7", "#56B4E9", "#222222", "#767676"
COLORS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY)
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
DPI = 110
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"  # how a notebook names a living widget
COMPRESS_ABOVE = 70_000  # bytes of a PNG; a notebook keeps it as text, a third longer


def new_figure(width: float = 7.5, height: float = 4.0) -> Figure:
    """An empty ``Figure`` of ``width`` by ``height`` inches, laid out to fit its labels."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def _new_axes(width: float, height: float) -> tuple[Figure, Any]:
    """A new figure with one set of axes."""
    figure = new_figure(width, height)
    return figure, figure.add_subplot()


def _style(axes: Any, xlabel: str, ylabel: str, title: str = "") -> None:
    """Labels, light grid, no box."""
    axes.set_xlabel(xlabel, fontsize=12)
    axes.set_ylabel(ylabel, fontsize=12)
    axes.set_title(title, fontsize=12, loc="left")
    axes.tick_params(labelsize=11)
    axes.grid(True, color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _line_styles() -> Iterator[dict[str, Any]]:
    """Color and dash for each of any number of curves; the first six differ in both."""
    pairs = zip(COLORS, DASHES, strict=True)
    return itertools.cycle({"color": color, "linestyle": dash, "lw": 2} for color, dash in pairs)


def to_png(figure: Figure) -> bytes:
    """The figure as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, pil_kwargs={"compress_level": 6})
    return buffer.getvalue()


class Picture:
    """An image with its alternative text, as Jupyter displays it."""

    def __init__(self, figure: Figure, alt: str, png: bytes | None = None) -> None:
        """Draw ``figure``, unless its ``png`` is given; ``alt`` says in words what it shows."""
        if not alt.strip():
            raise ValueError("alt must say in words what the picture shows, got an empty text.")
        self.png, self.alt = png or to_png(figure), " ".join(alt.split())
        self.width, self.height = (round(s * figure.dpi) for s in figure.get_size_inches())

    def __repr__(self) -> str:
        """The alternative text, which is also what a terminal shows."""
        return self.alt

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The image and its alternative text as data, then the metadata of the image."""
        metadata = {"alt": self.alt, "width": self.width, "height": self.height}
        return {"image/png": self.png, "text/plain": self.alt}, {"image/png": metadata}


def compress_png(png: bytes) -> bytes:
    """The same picture in at most 256 colors: a third of the bytes, to be saved in a notebook."""
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.open(io.BytesIO(png)).quantize(256, dither=Image.Dither.NONE)
    image.save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def show(figure: Figure, alt: str) -> Picture:
    """``figure`` as a ``Picture``; as the last line of a cell it is displayed.

    A large one is reduced to 256 colors, so that the notebook stays small.
    """
    picture = Picture(figure, alt)
    if len(picture.png) > COMPRESS_ABOVE:
        picture.png = compress_png(picture.png)
    return picture


class LivePicture:
    """One output in a notebook whose image is replaced in place, so that it does not flicker."""

    def __init__(self, alt: str) -> None:
        """Nothing is displayed before the first ``show``."""
        self.alt = alt
        self.handle: Any = None

    def show(self, figure: Figure) -> None:
        """Display ``figure``, in the place of the one before it."""
        from IPython.display import display

        data, metadata = Picture(figure, self.alt)._repr_mimebundle_()
        if self.handle is None:
            self.handle = display(data, metadata=metadata, raw=True, display_id=True)
        else:
            self.handle.update(data, metadata=metadata, raw=True)


# --- training ---------------------------------------------------------------------------------


def plot_history(
    histories: Sequence[Any],
    num_epochs: int | None = None,
    baselines: Mapping[str, float] | None = None,
    title: str = "",
) -> Figure:
    """Perplexity against epoch for several runs, on a logarithmic axis.

    ``histories`` are ``History`` objects, ``baselines`` maps a name to a perplexity that is drawn
    as a horizontal line, ``num_epochs`` fixes the width of the axis. Held-out perplexities, and a
    run of one epoch, are drawn with markers. The last text sample of a single run stands below its
    curve.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    figure, axes = _new_axes(7.5, 4.2)
    for history, style in zip(histories, _line_styles(), strict=False):
        epochs = range(1, history.epochs + 1)
        style["marker"] = "o" if history.epochs == 1 else ""
        axes.plot(epochs, history.perplexity, label=history.label or "training text", **style)
        if history.heldout:
            x, y = zip(*history.heldout, strict=True)
            name = f"{history.label}, held-out" if history.label else "held-out text"
            color = style["color"] if len(histories) > 1 else RED
            axes.plot(x, y, color=color, marker="o", ms=5, label=name)
    dashes = itertools.cycle((":", "-.", "--", "-"))
    for (name, value), dash in zip((baselines or {}).items(), dashes, strict=False):
        axes.axhline(value, color=GREY, linestyle=dash, lw=1.4, label=f"{name} {value:.1f}")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    if num_epochs:
        axes.set_xlim(0, num_epochs)
    axes.set_ylim(bottom=0.95 * _round_below(axes.dataLim.ymin, axes.dataLim.ymax))
    _style(axes, "epoch", "perplexity", title)
    axes.legend(fontsize=10, frameon=False)
    if len(histories) == 1 and histories[0].samples:
        epoch, sample = histories[0].samples[-1]
        figure.supxlabel(
            f"written at epoch {epoch}: {sample}", fontsize=10, color=GREY, family="monospace"
        )
    return figure


def _round_below(low: float, high: float) -> float:
    """The largest of 1, 2, 3, 5, 10, … at or below ``low`` that is a third of ``high`` or less.

    So that a curve fills the height, and one that is level looks level.
    """
    bound = min(low, high / 3)
    if not 1 < bound < math.inf:
        return 1.0
    decade = 10.0 ** math.floor(math.log10(bound))
    return max(step * decade for step in (1, 2, 3, 5) if step * decade <= bound)


# The bar and the live curve are redrawn this often; the curve so seldom that it takes a twentieth
# of the time, but no more seldom than every LONGEST_WAIT seconds. A bar that moves ten times a
# second overflows the queue of a client that reads late.
REDRAW_SECONDS, LONGEST_WAIT, REDRAW_SHARE = 0.5, 2.0, 0.05


def perplexity_in_words(value: float) -> str:
    """As the bar and a ``History`` show it; one that is out of hand in three digits."""
    return f"perplexity {value:.2f}" if value < 1e6 else f"perplexity {value:.3g}"


class TrainingView:
    """The progress bar and the live curve of one training run, whose ``History`` grows."""

    def __init__(
        self, history: Any, num_epochs: int, progress: bool = True, plot: bool | None = None
    ) -> None:
        """Show a bar if ``progress``, and the curve if ``plot`` (``None``: in a notebook)."""
        self.history, self.num_epochs = history, num_epochs
        self.next_drawing = 0.0
        self.picture: Any = None
        if _in_notebook() if plot is None else plot:
            self.picture = LivePicture(f"Training curve of {history.label or 'this run'}")
        self.bar = ProgressBar(num_epochs, "epoch", history.label) if progress else None

    def update(self) -> None:
        """Advance the bar; redraw the curve if the last drawing is old enough."""
        if self.bar is not None:
            self.bar.update(perplexity_in_words(self.history.perplexity[-1]))
        started = time.monotonic()
        if self.picture is not None and started > self.next_drawing:
            self._draw()
            ended = time.monotonic()
            wait = max(REDRAW_SECONDS, (ended - started) / REDRAW_SHARE)
            self.next_drawing = ended + min(wait, LONGEST_WAIT)

    def close(self) -> None:
        """Show the last state of both; of a bar in a notebook, where it would vanish, as text."""
        if self.bar is not None:
            done = self.history.epochs
            words = perplexity_in_words(self.history.perplexity[-1]) if done else ""
            self.bar.close(done, words)
        if self.picture is not None and self.history.epochs:
            self._draw()

    def _draw(self) -> None:
        self.picture.show(plot_history([self.history], num_epochs=self.num_epochs))


class ProgressBar:
    """A bar of tqdm that counts, and whose last state stays in a saved notebook as text."""

    def __init__(self, total: int, unit: str, label: str = "") -> None:
        """Show it at zero of ``total``."""
        look = {"total": total, "unit": unit, "desc": label or None, "mininterval": REDRAW_SECONDS}
        self.bar, self.output = _new_bar(_in_notebook(), **look)

    def update(self, words: str) -> None:
        """Advance by one; ``words`` stand behind the bar."""
        self.bar.set_postfix_str(words, refresh=False)
        self.bar.update(1)

    def close(self, done: int, words: str = "") -> None:
        """Leave the last state; in a notebook, where a finished bar would vanish, as text."""
        if words:
            self.bar.set_postfix_str(words)
        self.bar.update(done - self.bar.n)
        last_state = str(self.bar)
        self.bar.close()
        if self.output is not None:
            self.output.update({"text/plain": last_state}, raw=True)


def _new_bar(in_notebook: bool, **look: Any) -> tuple[Any, Any]:
    """A progress bar, and in a notebook the handle of the output that shows it (else ``None``)."""
    if in_notebook:
        from IPython.display import display
        from tqdm.auto import tqdm as chosen
        from tqdm.notebook import tqdm_notebook

        if issubclass(chosen, tqdm_notebook):
            bar = chosen(display=False, **look)
            view = {WIDGET_VIEW: bar.container.get_view_spec()}
            return bar, display(view | {"text/plain": str(bar)}, raw=True, display_id=True)
    from tqdm import tqdm

    return tqdm(**look), None


def _in_notebook() -> bool:
    """Whether the code runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


def plot_bars(
    values: Mapping[str, float], xlabel: str, title: str = "", log: bool = False
) -> Figure:
    """One horizontal bar for each name, with its value written behind it.

    A logarithmic axis (``log``) begins at 1.
    """
    figure, axes = _new_axes(7.5, 1.1 + 0.42 * len(values))
    names = list(values)
    axes.barh(names, list(values.values()), color=BLUE, height=0.65)
    labels = [f"  {value:.1f}" if value >= 10 else f"  {value:.2f}" for value in values.values()]
    axes.bar_label(axes.containers[0], labels, fontsize=11)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    if log:
        axes.set_xscale("log")
        axes.set_xlim(1, 2 * max(values.values()))
        axes.xaxis.set_major_formatter("{x:g}")
    _style(axes, xlabel, "", title)
    axes.grid(False, axis="y")
    return figure


def _name_few_decades(axes: Any) -> None:
    """Where a logarithmic axis spans less than three decades, name 1, 2 and 5 of each."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    low, high = axes.get_ylim()
    if high < 1000 * low:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def plot_lines(
    curves: Mapping[str, tuple[Iterable[float], Iterable[float]]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    log: str = "",
    marks: Mapping[str, float] | None = None,
    styles: Mapping[str, Mapping[str, Any]] | None = None,
) -> Figure:
    """Several curves. ``curves`` maps a name to ``(xs, ys)``; ``log`` may hold ``x`` and ``y``.

    ``marks`` maps a name to a height at which a horizontal line is drawn, ``styles`` the name of a
    curve to a style other than the usual one, as in ``ROADS``.
    """
    figure, axes = _new_axes(7.5, 3.9)
    for (name, (xs, ys)), usual in zip(curves.items(), _line_styles(), strict=False):
        axes.plot(xs, ys, label=name, **(styles or {}).get(name, usual))
    for name, height in (marks or {}).items():
        axes.axhline(height, color=GREY, linestyle="-", lw=1, label=name)
    if "x" in log:
        axes.set_xscale("log")
    if "y" in log:
        axes.set_yscale("log")
        _name_few_decades(axes)
    _style(axes, xlabel, ylabel, title)
    axes.legend(fontsize=10, frameon=False)
    return figure


def plot_step_times(
    panels: Mapping[str, Mapping[str, tuple[Sequence[int], Sequence[float], Sequence[Any]]]],
    lower_bound: str,
    title: str = "",
) -> Figure:
    """Milliseconds a step against several sizes, one panel for each, both axes logarithmic.

    ``panels`` maps the name of a size to curves, ``{name: (sizes, medians, quartiles)}`` with a
    pair of quartiles for each median, drawn as a bar. The curve named ``lower_bound`` is grey.
    """
    from matplotlib.ticker import LogLocator

    figure = new_figure(10.0, 4.3)
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for (xlabel, curves), axes in zip(panels.items(), row, strict=True):
        styles = _line_styles()
        for name, (sizes, medians, quartiles) in curves.items():
            style = {"color": GREY, "lw": 2} if name == lower_bound else next(styles)
            axes.plot(sizes, medians, marker="o", ms=4, label=name, **style)
            axes.vlines(sizes, *zip(*quartiles, strict=True), color=style["color"], lw=1.2)
        axes.set(xscale="log", yscale="log")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        _style(axes, xlabel, "")
    row[0].set_ylabel("milliseconds a step", fontsize=12)
    handles, labels = row[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(title, fontsize=12)
    return figure


# --- gates ------------------------------------------------------------------------------------


def plot_gate_histograms(gates: Mapping[str, Tensor], title: str = "") -> Figure:
    """Histograms of gate values between 0 and 1, one panel for each name.

    ``gates`` maps a name to a tensor of any shape; the share in the saturated ends (below 0.1 and
    above 0.9, shaded) is written into each panel. All panels have the same scale, and one half is
    the middle of a bin.
    """
    figure = new_figure(8.5, 2.9)
    panels = figure.subplots(1, len(gates), sharex=True, sharey=True, squeeze=False)[0]
    for (name, values), axes in zip(gates.items(), panels, strict=True):
        values = values.detach().flatten().cpu()
        share = [100 / len(values)] * len(values)  # of each value, in percent
        axes.hist(values.numpy(), bins=25, range=(0, 1), weights=share, color=BLUE)
        saturated = ((values < 0.1) | (values > 0.9)).float().mean().item()
        axes.axvspan(0, 0.1, color=ORANGE, alpha=0.25, lw=0)
        axes.axvspan(0.9, 1, color=ORANGE, alpha=0.25, lw=0)
        _style(axes, "gate value", "", f"{name}\n{saturated:.0%} saturated")
        axes.set_xticks([0, 0.5, 1])
    panels[0].set_ylabel("gates in a bin (%)", fontsize=12)
    figure.suptitle(title, fontsize=12)
    return figure


def gate_diagram(stage: int = 3, numbers: Mapping[str, float] | None = None) -> Figure:
    """One step of the GRU, in three stages: the gates; then the candidate; then the new state.

    ``numbers`` are written beside the symbols: ``x``, ``h``, ``z``, ``r``, ``r_h`` (r times h),
    ``h_tilde`` and ``h_new``. What a stage adds is drawn in full, the rest of it is grey. Raises
    ``ValueError`` for another stage.
    """
    from matplotlib.patches import Arc, FancyBboxPatch

    if stage not in (1, 2, 3):
        raise ValueError(f"stage must be 1, 2 or 3, got {stage!r}.")
    figure = new_figure(9.0, 4.4)
    figure.set_layout_engine("none")  # all stages at the same size
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 18.5), ylim=(0, 8.8))
    axes.axis("off")
    pale = "#dddddd"
    state: dict[str, Any] = {"color": RED, "lw": 3.2}
    old: dict[str, Any] = {"color": RED, "lw": 1.8}
    reset: dict[str, Any] = {"color": ORANGE, "lw": 2, "ls": "--"}
    update: dict[str, Any] = {"color": BLUE, "lw": 2}
    candidate: dict[str, Any] = {"color": GREEN, "lw": 2, "ls": "-."}
    source: dict[str, Any] = {"color": BLACK, "lw": 1.8}

    def line(since: int, style: dict[str, Any], *points: tuple[float, float]) -> None:
        """A line with an arrow at its end, pale before its stage."""
        style = style if stage >= since else {"color": pale, "lw": 1.5}
        xs, ys = zip(*points, strict=True)
        axes.plot(xs, ys, solid_joinstyle="round", zorder=1 + (stage >= since), **style)
        head = {"arrowstyle": "-|>", "color": style["color"], "lw": 0, "mutation_scale": 17}
        (x0, y0), (x1, y1) = points[-2:]
        length = max(abs(x1 - x0), abs(y1 - y0))
        near = x1 - 0.3 * (x1 - x0) / length, y1 - 0.3 * (y1 - y0) / length
        axes.annotate("", (x1, y1), near, arrowprops=head, zorder=3)

    def words(since: int, x: float, y: float, text: str, name: str = "", **style: Any) -> None:
        """A symbol, and its number if there is one."""
        if numbers and name in numbers:
            text = f"{text} = {numbers[name]:.2f}"
        color = BLACK if stage >= since else pale
        style = {"fontsize": 13, "ha": "center", "va": "center", "color": color, **style}
        axes.text(x, y, text, zorder=5, **style)

    def box(since: int, x: float, y: float, text: str, color: str, width: float = 1.9) -> None:
        drawn = stage >= since
        patch = FancyBboxPatch(
            (x - width / 2, y - 0.45), width, 0.9, boxstyle="round,pad=0.05", zorder=4,
            fc="white", ec=color if drawn else pale, lw=2.5,
        )  # fmt: skip
        axes.add_patch(patch)
        words(since, x, y, text, fontsize=13)

    top, low, sky = 6.7, 1.0, 8.1
    z_x, r_x, product_x, h_x, mix_x = 3.2, 6.8, 9.3, 11.7, 14.4
    # the old state runs along the top; the update gate's line passes above it, over a bridge
    line(3, state, (1.5, top), (mix_x - 0.62, top))
    if stage < 3:  # as far as it is used
        axes.plot([1.5, r_x - 0.5 if stage == 1 else product_x], [top, top], zorder=2, **old)
    for since, x in ((1, z_x - 0.5), (1, r_x - 0.5), (2, product_x)):
        end = 4.95 if since == 2 else 3.55
        line(since, old, (x, top), (x, end))
    for since, x in ((1, z_x), (1, r_x), (2, h_x)):
        line(since, source, (1.5, low), (x, low), (x, 2.5))
    line(2, reset, (r_x + 0.5, 3.5), (r_x + 0.5, 4.6), (product_x - 0.38, 4.6))
    line(2, old, (product_x + 0.35, 4.6), (h_x - 0.5, 4.6), (h_x - 0.5, 3.55))
    line(3, candidate, (h_x + 0.5, 3.5), (h_x + 0.5, 4.6), (mix_x, 4.6), (mix_x, top - 0.5))
    up = z_x + 0.5
    bridge = update if stage == 3 else {"color": pale, "lw": 1.5}
    axes.plot([up, up], [3.5, top - 0.35], zorder=1, **bridge)
    axes.add_patch(Arc((up, top), 0.7, 0.7, theta1=-90, theta2=90, zorder=3, **bridge))
    line(3, update, (up, top + 0.35), (up, sky), (mix_x, sky), (mix_x, top + 0.5))
    line(3, state, (mix_x + 0.62, top), (15.7, top))
    for since, x in ((1, z_x - 0.5), (1, r_x - 0.5), (2, product_x)):
        axes.plot(x, top, "o", ms=6, color=RED if stage >= since else pale, zorder=4)
    for since, x in ((1, z_x), (2, r_x)):
        if stage >= since:
            axes.plot(x, low, "o", ms=6, color=BLACK, zorder=4)
    box(1, z_x, 3, r"$\sigma$  update", BLUE, 2.2)
    box(1, r_x, 3, r"$\sigma$  reset", ORANGE, 2.2)
    box(2, h_x, 3, "tanh  candidate", GREEN, 3.2)
    for since, x, text in ((2, product_x, "×"), (3, mix_x, "mix")):
        y, size = (4.6, 20) if since == 2 else (top, 34)
        edge = BLACK if stage >= since else pale
        axes.plot(x, y, "o", ms=size, mfc="white", mec=edge, mew=1.6, zorder=4)
        words(since, x, y, text, fontsize=13 if since == 2 else 12)
    words(1, 0.75, top, "$h_{t-1}$", fontsize=14)
    words(1, 0.75, low, "$x_t$", fontsize=14)
    words(3, 16.3, top, "$h_t$", fontsize=14)
    if numbers:
        for since, x, y, name in ((1, 0.75, top - 0.7, "h"), (1, 0.75, low - 0.6, "x"),
                                  (3, 16.3, top - 0.7, "h_new")):  # fmt: skip
            words(since, x, y, f"{numbers[name]:.2f}")
    words(1, up + 0.25, 4.3, "$z$", "z", ha="left")
    words(1, (r_x + product_x) / 2, 4.95, "$r$", "r")
    words(
        2, (product_x + h_x) / 2 + 0.1, 4.97, r"$r\,h_{t-1}$" if not numbers else r"$r\,h$", "r_h"
    )
    words(2, 13.3, 4.95, r"$\tilde h$", "h_tilde")
    if stage == 3:
        axes.text(mix_x + 0.25, 7.6, "keep $z$ of the old,\n$1 - z$ of the candidate", fontsize=11,
                  ha="left", va="center", color=BLACK)  # fmt: skip
    return figure


# The roads on which a gradient passes a step, by number: the name and the style of each.
# ``gate_diagram`` has the same colors.
ROADS: dict[int, tuple[str, dict[str, Any]]] = {
    1: ("kept", {"color": RED, "lw": 3.4, "linestyle": "-"}),
    2: ("update gate", {"color": BLUE, "lw": 2.2, "linestyle": (0, (6, 1.2))}),
    3: ("candidate", {"color": GREEN, "lw": 2.2, "linestyle": "-."}),
    4: ("reset gate", {"color": ORANGE, "lw": 2.2, "linestyle": (0, (2, 1))}),
}


def road_diagram(values: Sequence[float] | None = None) -> Figure:
    """The four roads from the gradient of the new state, on the right, to that of the old one.

    Each road is a line of factors, with its number and style in ``ROADS``; road 4 leaves road 3
    behind W_hh. ``values``, one for each road, are written where the roads arrive, and their sum.
    """
    from matplotlib.patches import FancyBboxPatch

    figure = new_figure(9.0, 4.0)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 18.5), ylim=(0.3, 8.5))
    axes.axis("off")
    left, right, fork = 2.9, 16.3, 9.0
    heights = {1: 7.4, 2: 5.4, 3: 3.4, 4: 1.4}
    factors: dict[int, tuple[tuple[float, str], ...]] = {
        1: ((12.1, "$z$"),),
        2: ((14.3, r"$h_{t-1} - \tilde h$"), (12.1, "$z(1-z)$"), (10.2, r"$W_{hz}^{\top}$")),
        3: (
            (14.3, "$1 - z$"),
            (12.1, r"$1 - \tilde h^2$"),
            (10.2, r"$W_{hh}^{\top}$"),
            (7.7, "$r$"),
        ),
        4: ((9.0, "$h_{t-1}$"), (7.3, "$r(1-r)$"), (5.72, r"$W_{hr}^{\top}$")),
    }
    words: dict[str, Any] = {"fontsize": 13, "ha": "center", "va": "center", "zorder": 5}
    for number, (name, style) in ROADS.items():
        y, color = heights[number], style["color"]
        way = ([fork, fork, left + 0.7], [heights[3], y, y])
        axes.plot(*(way if number == 4 else ([right, left + 0.7], [y, y])), zorder=1, **style)
        head = {"arrowstyle": "-|>", "color": color, "lw": 0, "mutation_scale": 22}
        axes.annotate("", (left + 0.32, y), (left + 0.8, y), arrowprops=head)
        frame = {"boxstyle": "round,pad=0.35", "fc": "white", "ec": color, "lw": 2}
        for x, factor in factors[number]:
            axes.text(x, y, factor, bbox=frame, **words)
        x, y = (10.6, y) if number == 4 else (6.0, y + 0.68)
        axes.plot(x, y, "o", ms=16, color=color, zorder=4)
        axes.text(x, y - 0.03, str(number), **words | {"color": "white", "weight": "bold"})
        axes.text(x + 0.5, y, name, **words | {"ha": "left"})
        if values:
            axes.text(
                left + 1.4,
                heights[number] + 0.55,
                f"{values[number - 1]:+.4f}".replace("-", "−"),
                **words,
            )
    axes.plot([right] * 2, [heights[3], heights[1]], color=BLACK, lw=2)
    axes.plot([right, right + 0.6], [heights[2]] * 2, color=BLACK, lw=2)
    axes.plot(fork, heights[3], "o", ms=7, color=GREEN, zorder=4)
    low, high = heights[4] - 0.5, heights[1] + 0.5
    bar: dict[str, Any] = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": BLACK, "lw": 2}
    axes.add_patch(FancyBboxPatch((left - 0.3, low), 0.6, high - low, **bar))
    axes.text(left, (low + high) / 2, "+", **words | {"fontsize": 17})
    axes.text(17.6, heights[2], "$dh_t$", **words | {"fontsize": 15})
    axes.text(1.1, 4.7, "$dh_{t-1}$", **words | {"fontsize": 15})
    if values:
        axes.text(1.1, 3.9, f"{sum(values):+.4f}".replace("-", "−"), **words)
    return figure


# The family of the GRU: name, who and when, place, and whether its state is diagonal, that is,
# whether a unit's next state depends on no other unit's old one.
FAMILY: dict[str, tuple[str, float, float, bool]] = {
    "RNN": ("Elman 1990", 1.2, 5.6, False),
    "LSTM": ("Hochreiter, Schmidhuber\n1997", 4.2, 5.6, False),
    "forget gate": ("Gers et al. 2000", 7.6, 5.6, False),
    "GRU": ("Cho et al. 2014", 10.6, 5.6, False),
    "MGU": ("Zhou et al. 2016", 15.3, 7.4, False),
    "Li-GRU": ("Ravanelli et al. 2018", 15.3, 5.6, False),
    "QRNN": ("Bradbury et al. 2016", 4.2, 1.7, True),
    "SRU": ("Lei et al. 2018", 7.6, 1.7, True),
    "RWKV": ("Peng et al. 2023", 11.0, 1.7, True),
    "Mamba": ("Gu, Dao 2023", 14.2, 1.7, True),
    "minGRU": ("Feng et al. 2024", 15.3, 3.8, True),
}
DESCENT = (
    ("RNN", "LSTM", "gates"),
    ("LSTM", "forget gate", ""),
    ("forget gate", "GRU", ""),
    ("GRU", "MGU", "$R = 1 - Z$"),
    ("GRU", "Li-GRU", "no $R$, ReLU"),
    ("GRU", "minGRU", "all see $x$ only"),
)


def family_tree() -> Figure:
    """The family of the GRU: blue and full, units mixed at every step; orange and dashed, not."""
    figure = new_figure(10.0, 4.9)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-0.6, 17.4), ylim=(0.1, 8.8))
    axes.axis("off")
    words: dict[str, Any] = {"ha": "center", "va": "center", "color": BLACK}
    for parent, child, change in DESCENT:
        (_, x0, y0, _), (_, x1, y1, _) = FAMILY[parent], FAMILY[child]
        arrow: dict[str, Any] = {"arrowstyle": "-|>", "color": BLACK, "lw": 1.6}
        arrow |= {"shrinkA": 18 + 4 * len(parent), "shrinkB": 20 + 4 * len(child)}
        axes.annotate("", (x1, y1), (x0, y0), arrowprops=arrow, zorder=1)
        middle = (x0 + x1) / 2 - 0.15, (y0 + y1) / 2 + (0.3 if y0 == y1 else 0)
        paper: dict[str, Any] = {"fc": "white", "ec": "none", "pad": 1.5}
        axes.text(*middle, change, fontsize=11, bbox=paper, zorder=3, **words)
    for name, (source, x, y, diagonal) in FAMILY.items():
        color, dash = (ORANGE, (0, (4, 2))) if diagonal else (BLUE, "-")
        frame: dict[str, Any] = {"boxstyle": "round,pad=0.4", "fc": "white", "ec": color}
        frame |= {"lw": 2.6, "ls": dash}
        axes.text(x, y, name, fontsize=13, weight="bold", bbox=frame, zorder=4, **words)
        axes.text(x, y - 0.58, source, fontsize=10, zorder=4, **words | {"va": "top"})
    rule: dict[str, Any] = {"fontsize": 12, "ha": "left", "va": "center"}
    axes.text(-0.3, 8.2, "full frame: the units are mixed at every step", color=BLACK, **rule)
    axes.text(-0.3, 3.1, "dashed frame: every unit on its own", color=BLACK, **rule)
    return figure


# --- minibatches ------------------------------------------------------------------------------


def plot_minibatches(batches: Sequence[Tensor], vocab: Any, title: str = "") -> Figure:
    """The characters of the first minibatches, side by side: row i of each in row i.

    ``batches`` is a list of ``X``, ``(batch_size, num_steps)``; a space is drawn as a low line.
    """
    from matplotlib.patches import Rectangle

    num_rows = batches[0].shape[0]
    figure, axes = _new_axes(8.5, 0.9 + 0.42 * num_rows)
    start = 0.0
    tints = itertools.cycle(("#cfe6f5", "#fbe5bd", "#cdebdf", "#f7d3bf"))
    style: dict[str, Any] = {"ha": "center", "va": "center", "family": "monospace", "fontsize": 12}
    for number, (X, tint) in enumerate(zip(batches, tints, strict=False)):
        rows, steps = X.shape
        corner = (start - 0.5, -0.5)
        axes.add_patch(Rectangle(corner, steps, rows, fc=tint, ec="none", zorder=0))
        for i, row in enumerate(X):
            for j, token in enumerate(vocab.to_tokens(row)):
                axes.text(start + j, i, token.replace(" ", "_"), **style)
        axes.text(start + steps / 2 - 0.5, -0.75, f"minibatch {number}", ha="center", fontsize=11)
        start += steps + 1
    axes.set(xlim=(-1, start - 0.5), ylim=(num_rows - 0.4, -1.2), xticks=[])
    axes.set_yticks(range(num_rows), [f"row {i}" for i in range(num_rows)], fontsize=11)
    axes.set_title(title, fontsize=12, loc="left")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def plot_heat(values: Tensor, xlabel: str, ylabel: str, title: str = "") -> Figure:
    """A heat map of ``values``, ``(num_steps, features)``, each from 0 to 1; steps go right."""
    figure, axes = _new_axes(8.5, 3.9)
    image = axes.imshow(
        values.T.numpy(), "cividis", aspect="auto", interpolation="nearest", vmin=0, vmax=1
    )
    _style(axes, xlabel, ylabel, title)
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, pad=0.01, fraction=0.05)
    return figure


def plot_fan(
    panels: Mapping[str, tuple[Tensor, Tensor, Tensor]], xlabel: str, ylabel: str
) -> Figure:
    """Forecasts as fans, side by side.

    ``panels`` maps a name to the past, ``(num_past,)``, the truth, ``(ahead,)``, and the quantiles
    of the forecast, ``(ahead, num_levels)``, an odd number of them from low to high.
    """
    figure = new_figure(10.0, 3.9)
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for (name, (past, truth, quantiles)), axes in zip(panels.items(), row, strict=True):
        axes.plot(range(1 - len(past), 1), past, color=BLACK, lw=1.5, label="known")
        months, middle = range(1, len(truth) + 1), quantiles.shape[1] // 2
        for k in range(middle):
            low, high = quantiles[:, k].numpy(), quantiles[:, -1 - k].numpy()
            axes.fill_between(months, low, high, color=BLUE, alpha=0.17, lw=0)
        axes.plot(months, quantiles[:, middle], color=BLUE, lw=2.5, label="median")
        axes.plot(months, truth, color=RED, lw=1.8, ls="--", label="truth")
        _style(axes, xlabel, ylabel if axes is row[0] else "", name)
    row[0].legend(fontsize=11, frameon=False)
    return figure


def plot_flow(
    panels: Mapping[str, Tensor], characters: str, title: str = "", tokens: Sequence[str] = ()
) -> Figure:
    """Several heat maps over the same steps of a text, one below the other.

    ``panels`` maps a name to a tensor ``(num_steps, features)``. Signed values are drawn around
    zero, others as probabilities, from 0 to 1. ``characters`` stand along the axis; beside a panel
    whose features are ``tokens`` stands every fifth of them.
    """
    figure = new_figure(8.5, 1.2 + 1.6 * len(panels))
    stack = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for (name, values), axes in zip(panels.items(), stack, strict=True):
        values = values.detach().cpu()
        signed = values.min() < 0
        cmap, bound = ("PuOr", float(values.abs().max())) if signed else ("cividis", 1.0)
        image = axes.imshow(values.T.numpy(), cmap, aspect="auto", interpolation="nearest")
        image.set_clim(-bound if signed else 0.0, bound)
        axes.set_ylabel(name, fontsize=11)
        named = range(2, len(tokens), 5) if values.shape[1] == len(tokens) else range(0)
        axes.set_yticks(named, [tokens[i] for i in named])
        axes.tick_params(labelsize=11, labelfontfamily="monospace")
        figure.colorbar(image, ax=axes, pad=0.01, fraction=0.05)
    stack[-1].set_xticks(range(len(characters)), [c.replace(" ", "_") for c in characters])
    stack[-1].set_xlabel("step: the character that is read", fontsize=12)
    stack[0].set_title(title, fontsize=12, loc="left")
    return figure
