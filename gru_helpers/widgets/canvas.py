"""Figures that are drawn once and then updated in place, fast enough for a slider.

A ``Canvas`` keeps what never changes (axes, ticks, titles) as one image, the background, and draws
its animated artists on top of it, which takes a tenth of the time of a new figure ("blitting" in
matplotlib's documentation). A picture is a function of its arguments alone: a canvas that has
shown a thousand other things gives the same bytes as a new one.
"""

from __future__ import annotations

import functools
import io
import itertools
import math
import os
import zlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..plotting import BLACK, GREY

CLAMPED = "#7A1F70"  # a purple that differs from grey and black for color-blind readers too
DPI = 100
NUM_BARS = 8  # of the likeliest next characters
# Pictures are shown at nine tenths of their size where JupyterLab fills a window of 1280 pixels;
# letters of this size then have 12 points.
LETTERS = 13.5
FOOTNOTE_HEIGHT = 30


@dataclass
class Label:
    """Text of ``size`` points that changes from picture to picture, at a place in pixels.

    ``x`` and ``y`` count from the lower left corner. ``anchor`` is one of Pillow's: ``l``, ``m`` or
    ``r`` for left, middle or right, then ``s`` for the baseline or ``m`` for the middle. Pillow
    draws text some twenty times faster than matplotlib.
    """

    x: float
    y: float
    color: str = BLACK
    size: float = LETTERS
    mono: bool = False
    bold: bool = False
    anchor: str = "ls"
    text: str = ""

    @property
    def font(self) -> Any:
        """See ``font``."""
        return font(self.mono, self.bold, self.size)

    def draw(self, drawing: Any, height: int) -> None:
        """Write it on a Pillow drawing of this height."""
        if self.text:
            place = self.x, height - self.y
            drawing.text(place, self.text, self.color, self.font, anchor=self.anchor)


@functools.cache
def font(mono: bool, bold: bool, size: float) -> Any:
    """matplotlib's own DejaVu Sans as a Pillow font of ``size`` points."""
    import matplotlib
    from PIL import ImageFont

    name = f"DejaVuSans{'Mono' * mono}{'-Bold' * bold}.ttf"
    path = os.path.join(matplotlib.get_data_path(), "fonts", "ttf", name)
    return ImageFont.truetype(path, size * DPI / 72, layout_engine=ImageFont.Layout.BASIC)


def inches(pixels: int) -> float:
    """A size that is not a hair too small: 5.3 * 100 is 529.99…, which old matplotlib cuts off."""
    size = pixels / DPI
    return size if size * DPI >= pixels else math.nextafter(size, math.inf)


class Canvas:
    """A figure of ``width`` by ``height`` pixels: a background, animated artists and labels."""

    def __init__(self, width: int, height: int) -> None:
        """An empty figure; subclasses add axes, and name with ``animate`` what will change."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.size = width, height
        self.figure = Figure(figsize=(inches(width), inches(height)), dpi=DPI, facecolor="white")
        self._agg = FigureCanvasAgg(self.figure)
        self._animated: list[Any] = []
        self._still: list[Any] = []
        self._labels: list[Label] = []
        self._background: Any = None
        self._still_region: tuple[Hashable, Any] = (None, None)

    def axes(self, left: float, bottom: float, width: float, height: float, **style: Any) -> Any:
        """Axes at a place given in pixels."""
        w, h = self.size
        axes = self.figure.add_axes((left / w, bottom / h, width / w, height / h), **style)
        axes.tick_params(labelsize=LETTERS)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        return axes

    def animate(self, artist: Any, still: bool = False) -> Any:
        """Draw ``artist`` in every picture, above the background; returns it.

        What is ``still`` lies below the rest, and is drawn again only for another ``key`` of
        ``png``.
        """
        (self._still if still else self._animated).append(artist)
        return artist

    def label(self, x: float, y: float, *args: Any, **style: Any) -> Label:
        """Text that changes; see ``Label``."""
        self._labels.append(Label(x, y, *args, **style))
        return self._labels[-1]

    def text(self, x: float, y: float, words: str, **style: Any) -> None:
        """Text of the background, at a place in pixels."""
        w, h = self.size
        self.figure.text(x / w, y / h, words, **{"fontsize": LETTERS, **style})

    def invalidate_background(self) -> None:
        """Have the background drawn anew, because axes or ticks have changed."""
        self._background = None

    def png(self, key: Hashable = None) -> bytes:
        """The picture as it is now, as PNG; ``key`` stands for what the still artists show."""
        from PIL import Image, ImageDraw

        if self._background is None:
            self._background = self._draw_background()
            self._still_region = (None, None)
        drawn, region = self._still_region
        if key is None or key != drawn:
            self._agg.restore_region(self._background)
            for artist in self._still:
                self.figure.draw_artist(artist)
            region = self._agg.copy_from_bbox(self.figure.bbox)
            self._still_region = key, region
        self._agg.restore_region(region)
        for artist in self._animated:
            self.figure.draw_artist(artist)
        image = Image.frombytes("RGB", self.size, self._agg.buffer_rgba(), "raw", "RGBX")
        drawing = ImageDraw.Draw(image)
        for label in self._labels:
            label.draw(drawing, self.size[1])
        buffer = io.BytesIO()
        image.save(buffer, format="png", compress_level=1, compress_type=zlib.Z_RLE)  # the fastest
        return buffer.getvalue()

    def _draw_background(self) -> Any:
        """The figure without its animated artists.

        They are hidden, since before 3.11 matplotlib drew images whatever ``set_animated`` said.
        """
        visible = [artist for artist in (*self._still, *self._animated) if artist.get_visible()]
        for artist in visible:
            artist.set_visible(False)
        self._agg.draw()
        for artist in visible:
            artist.set_visible(True)
        return self._agg.copy_from_bbox(self.figure.bbox)


def with_footnote(png: bytes, words: str) -> bytes:
    """The picture of a PNG with a line of grey words below it, ``FOOTNOTE_HEIGHT`` pixels."""
    from PIL import Image, ImageDraw

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    width, height = picture.size
    image = Image.new("RGB", (width, height + FOOTNOTE_HEIGHT), "white")
    image.paste(picture)
    Label(12, 10, GREY, text=words).draw(ImageDraw.Draw(image), height + FOOTNOTE_HEIGHT)
    buffer = io.BytesIO()
    image.save(buffer, format="png")
    return buffer.getvalue()


def to_pixels(axes: Any, x: float, y: float) -> tuple[float, float]:
    """A point of ``axes`` in pixels from the lower left corner of the figure."""
    left, bottom = axes.transData.transform((x, y))
    return left, bottom


class NextCharacterBars:
    """Bars for the likeliest next characters, with clamps beside without, on a canvas."""

    def __init__(
        self, canvas: Canvas, left: float, bottom: float, width: float, height: float
    ) -> None:
        """Axes at this place in pixels, with room for the characters on their left."""
        from matplotlib.collections import LineCollection

        self.left, self.bottom, self.width = left, bottom, width
        axes = canvas.axes(left, bottom, width, height)
        axes.set(xlim=(0, 1), ylim=(0, height), yticks=[])
        axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        axes.set_xlabel("probability", fontsize=LETTERS, labelpad=0)
        self.baseline, self.clamped = (
            canvas.animate(axes.add_collection(LineCollection([], color=color)))
            for color in (BLACK, CLAMPED)
        )
        self.pitch = height / NUM_BARS
        self.heights = [height - self.pitch * (row + 0.5) for row in range(NUM_BARS)]
        style: dict[str, Any] = {"mono": True, "size": 16, "anchor": "rm"}
        self.names = [canvas.label(left - 10, bottom + y, **style) for y in self.heights]
        self.numbers = [[canvas.label(0, 0) for _ in range(2)] for _ in range(NUM_BARS)]

    def show(
        self, characters: Sequence[str], baseline: Tensor, clamped: Tensor | None = None
    ) -> None:
        """Bars for probabilities ``(vocab_size,)``; the likeliest by either come first."""
        largest = baseline if clamped is None else baseline.maximum(clamped)
        top = largest.topk(min(NUM_BARS, len(largest))).indices.tolist()
        for name, idx in itertools.zip_longest(self.names, top):
            name.text = "" if idx is None else drawn_character(characters[idx])
        one_lane = clamped is None
        shift, thickness = (0.0, 16) if one_lane else (self.pitch * 0.24, 14)
        self._show_lane(0, self.baseline, baseline[top].tolist(), shift, thickness)
        values = [] if clamped is None else clamped[top].tolist()
        self._show_lane(1, self.clamped, values, -shift, thickness)

    def _show_lane(
        self, lane: int, bars: Any, values: Sequence[float], shift: float, thickness: float
    ) -> None:
        """One of the two bars of each character, with its number if it can be seen."""
        bars.set_linewidth(thickness)
        ys = [y + shift for y in self.heights]
        bars.set_segments([[(0, y), (p, y)] for y, p in zip(ys, values, strict=False)])
        padded = [*values, *[0.0] * (NUM_BARS - len(values))]
        for row, y, p in zip(self.numbers, ys, padded, strict=True):
            number, inside = row[lane], p > 0.75
            number.text = f"{p:.0%}" if p >= 0.005 else ""
            number.x = self.left + self.width * p + (-5 if inside else 5)
            number.y = self.bottom + y
            number.anchor = "rm" if inside else "lm"
            number.color = "white" if inside else (BLACK, CLAMPED)[lane]


def drawn_character(character: str) -> str:
    """A character as it is drawn: a space as a low line."""
    return "_" if character == " " else character


def spoken_character(character: str) -> str:
    """A character as it is named in words."""
    return "space" if character == " " else character


def likeliest_in_words(probabilities: Tensor, characters: Sequence[str], count: int = 3) -> str:
    """The likeliest characters and their probabilities, for an alternative text."""
    top = probabilities.topk(min(count, len(probabilities)))
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return ", ".join(f"{spoken_character(characters[idx])} {p:.0%}" for idx, p in pairs)
