"""What all explorers share: a picture that follows its controls, without flicker.

The bytes of one ``ipywidgets.Image`` are replaced when a control moves: nothing is cleared. Where
no kernel runs, the picture is shown as it was saved. ipywidgets is imported when an explorer is
made.
"""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..plotting import Picture, compress_png

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class Explorer:
    """A picture, its controls, and its words; subclasses make the controls and draw.

    ``controls`` are the widgets that decide what is drawn, by name, and ``values`` their values.
    ``picture`` is the ``Picture`` on display, ``widget`` the box with ``image`` on top and
    ``caption``, the alternative text, at the bottom. As the last line of a cell the explorer shows
    itself.
    """

    _redraws = True

    def __init__(self, controls: Mapping[str, Any], rows: Sequence[Any]) -> None:
        """Stack the picture, the ``rows`` of widgets and the caption, and watch ``controls``."""
        import ipywidgets

        self.controls = controls
        self.image, self.caption = ipywidgets.Image(format="png"), ipywidgets.HTML()
        self.widget = ipywidgets.VBox([self.image, *rows, self.caption])
        self.redraw()
        for control in controls.values():
            control.observe(self.redraw, names="value")

    @property
    def values(self) -> dict[str, Any]:
        """The value of each control, a decimal number as its readout shows it."""
        return {
            name: float(format(control.value, control.readout_format))
            if isinstance(control.value, float)
            else control.value
            for name, control in self.controls.items()
        }

    def draw(self) -> Picture:
        """The picture of ``values``."""
        raise NotImplementedError

    def redraw(self, change: Any = None) -> None:
        """Show the picture of the controls as they are now."""
        if self._redraws:
            self.picture = self.draw()
            self.image.width, self.image.height = str(self.picture.width), str(self.picture.height)
            self.image.value = self.picture.png
            self.caption.value = html.escape(self.picture.alt)

    @contextlib.contextmanager
    def without_redraw(self) -> Iterator[None]:
        """Let several controls move without a picture for each."""
        self._redraws = False
        try:
            yield
        finally:
            self._redraws = True

    def __repr__(self) -> str:
        """What the picture shows."""
        return self.picture.alt

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live widget, the picture for where no kernel runs, and words."""
        data, metadata = self.picture._repr_mimebundle_()
        data["image/png"] = compress_png(self.picture.png)
        data[WIDGET_VIEW] = self.widget.get_view_spec()
        return data, metadata


def labelled(description: str, width: str = "32em", label_width: str = "11em") -> dict[str, Any]:
    """Keyword arguments of a control with words before it."""
    return {
        "description": description,
        "style": {"description_width": label_width},
        "layout": {"width": width, "max_width": "100%"},
    }


def play_buttons(slider: Any) -> Any:
    """Buttons that walk ``slider`` through its values, joined to it in the browser."""
    import ipywidgets

    play = ipywidgets.Play(
        value=slider.value,  # else the browser would move the slider to the start
        max=slider.max,
        interval=400,
        layout={"width": "12em"},
    )
    if play.has_trait("tooltip"):  # since ipywidgets 8
        play.tooltip = "Walk through the steps"
    ipywidgets.jslink((play, "value"), (slider, "value"))
    return play


def wrapping_row(*widgets: Any) -> Any:
    """Widgets side by side, in several lines where the window is narrow."""
    import ipywidgets

    return ipywidgets.HBox(widgets, layout={"flex_flow": "row wrap"})
