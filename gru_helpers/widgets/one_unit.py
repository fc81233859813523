"""The explorer of notebook 01: a GRU with a single unit, and what its gates do."""

from __future__ import annotations

from typing import Any

import torch

from ..equations import gru_step
from ..plotting import BLUE, GREEN, GREY, ORANGE, RED, SKY, Picture
from .canvas import LETTERS, Canvas, to_pixels
from .explorer import Explorer, labeled

STEPS_AHEAD = 20  # steps, all with the same input


def one_unit_steps(
    x: float, h: float, b_z: float = 0.0, b_r: float = 0.0, b_h: float = 0.0, num_steps: int = 1
) -> list[tuple[float, float, float, float]]:
    """``num_steps`` steps with input ``x`` from state ``h``: ``(z, r, h_tilde, h_new)`` for each.

    All six weights are 1.
    """
    X, W = torch.tensor([[x], [1.0]], dtype=torch.float64)[:, :, None]  # (1, 1) each
    H = torch.tensor([[h]], dtype=torch.float64)
    biases = torch.tensor([[b_z], [b_r], [b_h]], dtype=torch.float64)
    params = [param for b in biases for param in (W, W, b)]
    steps = []
    for _ in range(num_steps):
        Z, R, H_tilde, H = gru_step(X, H, params)
        steps.append((Z.item(), R.item(), H_tilde.item(), H.item()))
    return steps


class OneUnitCanvas(Canvas):
    """Three panels: the gates, the choice between old and candidate, the states that follow."""

    def __init__(self) -> None:
        """Lay out the panels and what will change in them."""
        super().__init__(700, 400)
        self.line = self.axes(30, 252, 640, 110, xlim=(-1.15, 1.15), ylim=(-1, 1.5), yticks=[])
        self.line.spines["left"].set_visible(False)
        self.line.axhline(0, color=GREY, lw=1.2, zorder=0)
        self.span = self.animate(self.line.plot([], [], color=SKY, lw=6, alpha=0.6)[0])
        self.points = [
            self._point("old h", BLUE, "o", 0.45),
            self._point("candidate", GREEN, "s", -0.45),
            self._point("new h", RED, "D", 1.0),
        ]
        self.gates = self.axes(50, 48, 200, 140, xlim=(-0.6, 1.6), ylim=(0, 1.15))
        self.gates.set_xticks([0, 1], ["reset r", "update z"])
        self.gates.set_yticks([0, 0.5, 1], ["0", "½", "1"])
        bars = self.gates.bar([0, 1], [0, 0], color=[ORANGE, BLUE], width=0.6)
        self.bars = [self.animate(bar) for bar in bars]
        self.heights = [self.label(0, 0, anchor="ms") for _ in bars]
        future = self.axes(310, 48, 374, 140, xlim=(-0.6, STEPS_AHEAD + 0.6), ylim=(-1.1, 1.1))
        future.set_xlabel("steps with the same x", fontsize=LETTERS, labelpad=0)
        future.set_xticks(range(0, STEPS_AHEAD + 1, 5))
        future.set_yticks([-1, 0, 1])
        future.grid(True, color="#dddddd", lw=0.7)
        self.future = self.animate(future.plot([], [], color=RED, marker="D", ms=5, lw=1.5)[0])
        self.text(30, 376, "new h = z · old h + (1 − z) · candidate")
        self.text(50, 200, "gates")
        self.text(310, 200, "what follows: the state h")

    def _point(self, name: str, color: str, marker: str, y: float) -> tuple[Any, ...]:
        """A marker on the line of values, a stem from it up or down to ``y``, and its label."""
        stem = self.animate(self.line.plot([], [], color=color, lw=1)[0])
        dot = self.animate(self.line.plot([], [], color=color, marker=marker, ms=12)[0])
        return name, y, stem, dot, self.label(0, 0, anchor="ld" if y > 0 else "la")

    def picture(self, x: float, h: float, **biases: float) -> Picture:
        """The picture at input ``x`` and old state ``h``: a function of the arguments alone.

        ``biases`` are ``b_z``, ``b_r`` and ``b_h``, 0 where not given.
        """
        steps = one_unit_steps(x, h, **biases, num_steps=STEPS_AHEAD)
        z, r, h_tilde, h_new = steps[0]
        for bar, label, value in zip(self.bars, self.heights, (r, z), strict=True):
            bar.set_height(value)
            label.text = f"{value:.2f}"
            label.x, label.y = to_pixels(self.gates, bar.get_x() + 0.3, value + 0.02)
        self.span.set_data([h_tilde, h], [0, 0])
        values = (h, h_tilde, h_new)
        for (name, y, stem, dot, label), value in zip(self.points, values, strict=True):
            stem.set_data([value, value], [0, y])
            dot.set_data([value], [0])
            label.text = f"{name} {value:.2f}"
            middle, label.y = to_pixels(self.line, value, y)
            width = label.font.getlength(label.text)
            label.x = min(max(middle - width / 2, 4), self.size[0] - width - 4)  # all of it is seen
        self.future.set_data(range(STEPS_AHEAD + 1), [h, *(new for *_, new in steps)])
        settings = "".join(f", {name} = {value:.1f}" for name, value in biases.items())
        alt = (
            f"One GRU unit with x = {x:.1f}, old h = {h:.1f}{settings}: reset gate {r:.2f}, update "
            f"gate {z:.2f}, candidate {h_tilde:.2f}, new h {h_new:.2f}."
        )
        return Picture(self.figure, alt, self.png())


class OneUnitExplorer(Explorer):
    """Five sliders (input, old state, three biases) over a GRU with a single unit."""

    SLIDERS = (
        ("x", "input x", -3.0, 3.0),
        ("h", "old h", -1.0, 1.0),
        ("b_z", "bias b_z", -6.0, 6.0),
        ("b_r", "bias b_r", -6.0, 6.0),
        ("b_h", "bias b_h", -3.0, 3.0),
    )

    def __init__(
        self, x: float = 1.0, h: float = -0.8, b_z: float = 0.0, b_r: float = 0.0, b_h: float = 0.0
    ) -> None:
        """Start at these values; raises ``ValueError`` for one that its slider does not reach."""
        import ipywidgets

        start = {"x": x, "h": h, "b_z": b_z, "b_r": b_r, "b_h": b_h}
        for name, _, low, high in self.SLIDERS:
            if not low <= start[name] <= high:
                raise ValueError(
                    f"{name} must lie between {low:g} and {high:g}, got {start[name]!r}."
                )
        sliders = {
            name: ipywidgets.FloatSlider(
                start[name],
                min=low,
                max=high,
                step=0.1,
                readout_format=".1f",
                **labeled(words, "4.4em"),
            )
            for name, words, low, high in self.SLIDERS
        }
        self.reset_button = ipywidgets.Button(
            description="Start values", tooltip="Put every slider back to where it started"
        )
        self.reset_button.on_click(self._reset)
        self._start, self._canvas = start, OneUnitCanvas()
        super().__init__(
            sliders, [*sliders.values(), self.reset_button], words_beside=True, small=True
        )

    def draw(self) -> Picture:
        """See ``OneUnitCanvas.picture``."""
        return self._canvas.picture(**self.values)

    def _reset(self, button: Any) -> None:
        with self.without_redraw():
            for name, value in self._start.items():
                self.controls[name].value = value
        self.redraw()
