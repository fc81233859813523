"""What all explorers share: a picture that follows its controls, without flicker.

The bytes of one ``ipywidgets.Image`` are replaced when a control moves: nothing is cleared. Where
no kernel runs, the picture is shown as it was saved. ipywidgets is imported when an explorer is
made.
"""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..plotting import WIDGET_VIEW, Picture, compress_png
from .canvas import FOOTNOTE_HEIGHT, with_footnote

HOW_TO_WAKE = "To move it: Run > Run All Above Selected Cell, then this cell."


class Explorer:
    """A picture, its controls, and its words; subclasses make the controls and draw.

    ``controls`` are the widgets that decide what is drawn, by name, and ``values`` their values.
    ``picture`` is the ``Picture`` on display, ``widget`` the box with ``image``, the controls and
    ``caption``, the alternative text. ``problem`` is a sentence that lies over the picture. As the
    last line of a cell the explorer shows itself.
    """

    problem = ""
    _redraws = True

    def __init__(
        self,
        controls: Mapping[str, Any],
        side: Sequence[Any],
        top: Sequence[Any] = (),
        words_beside: bool = False,
        small: bool = False,
    ) -> None:
        """Watch ``controls``; the widgets of ``side`` stand beside the picture, ``top`` above.

        The caption stands below the picture, or beside it too. In a narrow window all stand above
        the picture; a ``small`` one can be read in a narrower window.
        """
        import ipywidgets as w

        page = Path(__file__).with_suffix(".html").read_text("utf-8")
        rules = w.HTML(page.replace("HOW_TO_WAKE", html.escape(HOW_TO_WAKE)))
        self.controls = controls
        self.image, self.message, self.caption = w.Image(format="png"), w.HTML(), w.HTML()
        picture = w.Box([self.image, _styled(rules, "over"), _styled(self.message, "over")])
        if small:
            _styled(picture, "small")
        words = [_styled(self.caption, "words")]
        beside, below = ([*side, *words], []) if words_beside else (side, words)
        rows = [_styled(w.Box(beside), "side"), _styled(picture, "picture"), *below]
        self.widget = _styled(
            w.Box([*(_styled(widget, "top") for widget in top), *rows]), "explorer"
        )
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
            problem = html.escape(self.problem)
            self.message.value = f'<p role="alert">{problem}</p>' if problem else ""

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
        """The live widget, and for where no kernel runs the picture and words."""
        data, metadata = self.picture._repr_mimebundle_()
        data["image/png"] = compress_png(with_footnote(self.picture.png, HOW_TO_WAKE))
        metadata["image/png"]["height"] += FOOTNOTE_HEIGHT
        data[WIDGET_VIEW] = self.widget.get_view_spec()
        return data, metadata


def _styled(widget: Any, name: str) -> Any:
    """``widget`` with a class that explorer.html has rules for; returns it."""
    return widget.add_class(f"gru-{name}")


def labeled(description: str, label_width: str = "5.6em") -> dict[str, Any]:
    """Keyword arguments of a control with words before it."""
    return {"description": description, "style": {"description_width": label_width}}


def play_buttons(slider: Any) -> Any:
    """Buttons that walk ``slider`` through its values, joined to it in the browser."""
    import ipywidgets

    play = ipywidgets.Play(
        value=slider.value,  # else the browser would move the slider to the start
        max=slider.max,
        interval=400,
    )
    if play.has_trait("tooltip"):  # since ipywidgets 8
        play.tooltip = "Walk through the steps"
    ipywidgets.jslink((play, "value"), (slider, "value"))
    return play
