"""The explorer of notebook 08: the gates of a GRU that reads numbers, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from .._validate import check_numbers
from ..gates import GATES, GateTrace, trace_sequence
from ..plotting import BLACK, GREY, Picture
from .canvas import CLAMPED, NextCharacterBars, likeliest_in_words
from .explorer import labeled
from .gate_explorer import (
    MAX_CHARS,
    GateCanvas,
    GateSettings,
    GatesExplorer,
    clamp_in_words,
    gates_in_words,
    page_of,
)

WORDS_LEFT = 88  # where the words at the bottom begin, in pixels


class SequenceCanvas(GateCanvas):
    """The picture of the sequence explorer.

    On the right stands the answer that the model would give after the step: bars for ``classes``,
    or where there are none the first of its outputs on a scale from ``low`` to ``high``.
    """

    page_steps = 150

    def __init__(self, classes: Sequence[str] | None, low: float, high: float) -> None:
        """Lay out the axes and everything that will change."""
        self.classes, self.low, self.high = classes, low, high
        super().__init__()

    def _add_answers(self) -> None:
        """The answer after the step, and at the bottom the one after the last."""
        self.bars_title = self.label(932, 467, anchor="rs")
        if self.classes is not None:
            self.bars = NextCharacterBars(self, 806, 100, 122, 352)
        else:
            pad = 0.05 * (self.high - self.low)
            scale = self.axes(852, 84, 60, 370, xlim=(-1, 1), xticks=[])
            scale.set_ylim(self.low - pad, self.high + pad)
            self.asked = self.animate(scale.axhline(0, color=GREY, lw=3))
            styles = ((BLACK, "o", 12), (CLAMPED, "D", 10))
            self.dots = [
                self.animate(scale.plot([0], [0], marker, color=color, ms=size, zorder=3)[0])
                for color, marker, size in styles
            ]
        self.words = [self.label(WORDS_LEFT, y, color) for y, color in ((34, BLACK), (9, CLAMPED))]

    def show(self, trace: GateTrace, view: GateSettings, target: Any) -> Picture:
        """The picture of a trace, whose answer should be ``target`` (``None``: not known)."""
        self._show_gates(trace, view)
        baseline, step = trace.baseline or trace, view.step
        traces = [baseline] if trace.baseline is None else [baseline, trace]
        self.title.text = GATES[view.gate][0]
        self.bars_title.text = f"after step {step}"
        if self.classes is not None:
            clamped = trace.probabilities[step] if trace.baseline else None
            self.bars.show(self.classes, baseline.probabilities[step], clamped)
        else:
            self.asked.set_visible(target is not None)
            self.asked.set_ydata([target or 0.0] * 2)
            for dot, shown in zip(self.dots, [baseline, trace], strict=True):
                dot.set_ydata([shown.outputs[step, 0].item()])
            self.dots[1].set_visible(trace.baseline is not None)
        told = "" if target is None else f"asked for {self._in_words(target)}; "
        last = [f"{told}answers {self._answer(shown)} at the end" for shown in traces]
        for label, words in zip(self.words, [*last, ""], strict=False):
            label.text = words
        if trace.baseline is not None:
            self.words[1].text = f"held: answers {self._answer(trace)} at the end"
        return self._finished(trace, view, self._alt(trace, view, last[0]))

    def _in_words(self, value: Any) -> str:
        return f"{value:.3f}" if self.classes is None else f"“{self.classes[value]}”"

    def _answer(self, trace: GateTrace) -> str:
        """What the model answers after the last step."""
        if self.classes is None:
            return self._in_words(trace.outputs[-1, 0].item())
        best = int(trace.probabilities[-1].argmax())
        return f"{self._in_words(best)} ({trace.probabilities[-1, best]:.0%})"

    def _alt(self, trace: GateTrace, view: GateSettings, told: str) -> str:
        """What ``show`` shows, in words."""
        baseline, step = trace.baseline or trace, view.step

        def now(shown: GateTrace) -> str:
            if self.classes is None:
                return f"{shown.outputs[step, 0].item():.3f}"
            return likeliest_in_words(shown.probabilities[step], self.classes)

        sentences = [
            f"Step {step} (of 0 to {len(trace) - 1}), {trace.text[step]}: the answer after it "
            f"would be {now(baseline)}",
            *gates_in_words(trace, view, page_of(len(trace), step, self.page_steps)),
            told[0].upper() + told[1:],
        ]
        if trace.baseline:
            sentences.append(
                f"With {'; '.join(map(clamp_in_words, trace.clamps))}: after the step "
                f"{now(trace)}; at the end {self._answer(trace)}"
            )
        return ". ".join(sentences) + "."


class SequenceExplorer(GatesExplorer):
    """See the gates of a GRU that reads numbers, hold them, and watch its answer.

    ``model`` holds an ``nn.GRU`` of one layer as ``rnn`` and a linear layer as ``linear``. ``X``
    are sequences, ``(batch_size, num_steps, num_inputs)``, one-hot vectors for tokens, among which
    a slider chooses. ``y`` are the answers asked for: numbers, or ids of ``classes``, the names of
    the outputs. ``tokens`` are the names of the inputs where these are one-hot vectors; otherwise a
    step is called by its first number. Raises ``ValueError`` for another model, and for sequences
    or names that do not fit it.
    """

    def __init__(
        self,
        model: nn.Module,
        X: Tensor,
        y: Tensor | None = None,
        classes: Sequence[str] | None = None,
        tokens: Sequence[str] | None = None,
        **start: Any,
    ) -> None:
        """Start at the first sequence; ``start`` may set any field of ``GateSettings``."""
        import ipywidgets

        check_numbers(X, (None, None, None))
        if X.shape[1] > MAX_CHARS + 1:
            raise ValueError(
                f"A sequence must have at most {MAX_CHARS + 1} steps, got {X.shape[1]}."
            )
        if y is not None and len(y) != len(X):
            raise ValueError(f"y must have an answer for each of {len(X)} sequences, got {len(y)}.")
        self.X, self.y, self.tokens = X, y, tokens
        low, high = (0.0, 1.0) if y is None else (float(y.min()), float(y.max()))
        canvas = SequenceCanvas(classes, min(low, 0.0), max(high, 1.0))
        outputs = trace_sequence(model, X[0]).outputs  # raises what is wrong with model and X
        for name, names, width in (("tokens", tokens, X), ("classes", classes, outputs)):
            if names is not None and len(names) != width.shape[-1]:
                raise ValueError(
                    f"{name} must have {width.shape[-1]} names, one for each, got {len(names)}."
                )
        self.number = ipywidgets.IntSlider(0, max=len(X) - 1, **labeled("sequence"))
        settings = GateSettings("", **{"order": "half-life", **start})
        super().__init__(model, canvas, settings, self.number if len(X) > 1 else None)

    def _read(self) -> GateTrace:
        X, names = self.X[self.number.value], None
        if self.tokens is not None:
            names = [self.tokens[token] for token in X.argmax(dim=-1)]
        return trace_sequence(self.model, X, names)

    def _picture(self, trace: GateTrace, settings: GateSettings) -> Picture:
        assert isinstance(self._canvas, SequenceCanvas)
        target = None if self.y is None else self.y[self.number.value].reshape(-1)[0].item()
        return self._canvas.show(trace, settings, target)
