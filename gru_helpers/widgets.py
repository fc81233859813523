"""Sliders over the figures of ``plotting``.

An explorer is a ``widgets.Image`` whose bytes are replaced when a slider moves: nothing is cleared,
so nothing flickers. Where no kernel runs, its picture is shown as it was saved. The arithmetic is
in pure functions that are tested without a browser. ipywidgets is imported when an explorer is
made.
"""

from __future__ import annotations

import math


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


def one_unit_figure(x, h, **biases):
    """The figure of ``OneUnitExplorer`` at these values: a pure function of them."""
    from .plotting import plot_one_unit

    r, z, h_tilde, h_new = one_unit_step(x, h, **biases)
    return plot_one_unit(h, r, z, h_tilde, h_new, one_unit_states(x, h, 20, **biases))


def one_unit_words(x, h, **biases) -> str:
    """What that figure shows, in words."""
    r, z, h_tilde, h_new = one_unit_step(x, h, **biases)
    settings = ", ".join(f"{name} = {value:.1f}" for name, value in biases.items())
    return (
        f"One GRU unit with x = {x:.1f}, old h = {h:.1f}, {settings}: reset gate {r:.2f}, update "
        f"gate {z:.2f}, candidate {h_tilde:.2f}, new h {h_new:.2f}."
    )


class OneUnitExplorer:
    """Five sliders (input, old state, three biases) over a GRU with a single unit.

    ``widget`` is the ipywidgets box, ``values`` the settings, ``picture`` the ``Picture`` on
    display. As the last line of a cell the explorer shows itself.
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
                value=start.get(name, value), min=low, max=high, step=0.1, description=words,
                readout_format=".1f", style={"description_width": "11em"}, layout={"width": "32em"},
            )
            for name, words, low, high, value in self.RANGES
        }  # fmt: skip
        self.reset_button = ipywidgets.Button(
            description="Start values", tooltip="Put every slider back to where it started"
        )
        self._start = self.values
        self.image = ipywidgets.Image(format="png")
        self.words = ipywidgets.HTML()
        self._draw()
        for slider in self.sliders.values():
            slider.observe(self._draw, names="value")
        self.reset_button.on_click(self._reset)
        controls = ipywidgets.VBox([*self.sliders.values(), self.reset_button])
        self.widget = ipywidgets.VBox([self.image, self.words, controls])

    @property
    def values(self) -> dict[str, float]:
        """The settings of the sliders, rounded to their step."""
        return {name: round(slider.value, 1) for name, slider in self.sliders.items()}

    def _draw(self, change=None) -> None:
        from .plotting import Picture

        self.picture = Picture(one_unit_figure(**self.values), one_unit_words(**self.values))
        self.image.width, self.image.height = str(self.picture.width), str(self.picture.height)
        self.image.value = self.picture.png
        self.words.value = self.picture.alt

    def _reset(self, button=None) -> None:
        for name, value in self._start.items():
            self.sliders[name].value = value

    def __repr__(self) -> str:
        """What the picture shows."""
        return self.picture.alt

    def _repr_mimebundle_(self, include=None, exclude=None):
        """The live widget, the picture for where no kernel runs, and words."""
        bundle, facts = self.picture._repr_mimebundle_()
        live = self.widget._repr_mimebundle_() or {}
        live = live[0] if isinstance(live, tuple) else live
        view = "application/vnd.jupyter.widget-view+json"
        return {**bundle, **({view: live[view]} if view in live else {})}, facts
