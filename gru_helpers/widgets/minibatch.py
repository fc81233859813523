"""The explorer of notebook 03: one minibatch on its way through the forward loop."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn

from ..dataset import Vocab
from ..gates import check_traceable, trace_minibatch
from ..plotting import BLACK, BLUE, GREY, Picture
from .canvas import (
    LETTERS,
    Canvas,
    NextCharacterBars,
    drawn_character,
    likeliest_in_words,
    spoken_character,
)
from .explorer import Explorer, labeled, play_buttons

MAX_ROWS, MAX_STEPS = 8, 60
MAX_UNITS = 40  # that are shown
LEFT, WIDTH = 70, 680  # of the characters and the states, in pixels


class MinibatchCanvas(Canvas):
    """A minibatch in the middle of the forward loop.

    Above, the characters with the column that a step reads; below, the state of one row up to this
    step; on the right the next characters.
    """

    def __init__(self, X: Tensor, Y: Tensor, gates: Mapping[str, Tensor], vocab: Vocab) -> None:
        """Lay out ``X`` and ``Y``, ids ``(batch_size, num_steps)``.

        ``gates`` is what ``trace_minibatch`` gives for ``X``. Raises ``ValueError`` for a minibatch
        that does not fit the picture.
        """
        rows, steps = X.shape
        if rows > MAX_ROWS or steps > MAX_STEPS:
            raise ValueError(
                f"X must have at most {MAX_ROWS} rows and {MAX_STEPS} steps, got {rows} and "
                f"{steps}: give a part of it, such as X[:{MAX_ROWS}, :{MAX_STEPS}]."
            )
        if Y.shape != X.shape:
            raise ValueError(f"Y must have the shape of X, {tuple(X.shape)}, got {tuple(Y.shape)}.")
        vocab_size, num_hiddens = gates["probabilities"].shape[-1], gates["H"].shape[-1]
        top = 34 + 28 * rows
        super().__init__(940, 354 + top)
        self.gates, self.vocab, self.Y = gates, vocab, Y
        self.characters = [vocab.to_tokens(row) for row in X]
        self.num_units = min(MAX_UNITS, num_hiddens)
        self._add_characters()
        self._add_states(steps)
        self.title = self.label(LEFT, 330 + top)
        self.state_title = self.label(LEFT, 308)
        shapes = (
            f"X ({rows}, {vocab_size})  →  Z, R, H_tilde, H ({rows}, {num_hiddens})  →  "
            f"Y ({rows}, {vocab_size})"
        )
        self.text(LEFT, 12, f"one pass: {shapes}", color=GREY, family="monospace")
        self.bars = NextCharacterBars(self, 790, 98, 138, 192 + top)
        self.bars_title = self.label(932, 330 + top, anchor="rs")

    def _add_characters(self) -> None:
        """All characters, a column for the step and a frame for the row."""
        rows, steps = self.Y.shape
        grid = self.axes(
            LEFT, 336, WIDTH, 28 * rows, xlim=(-0.5, steps - 0.5), ylim=(rows - 0.5, -0.5)
        )
        grid.set_yticks(range(rows), [f"row {i}" for i in range(rows)])
        grid.set_xticks([])
        grid.tick_params(length=0)
        grid.spines[:].set_visible(False)
        style = {"family": "monospace", "fontsize": LETTERS, "ha": "center", "va": "center"}
        for i, row in enumerate(self.characters):
            for j, character in enumerate(row):
                grid.text(j, i, drawn_character(character), **style)
        self.column = self.animate(grid.axvspan(0, 1, fc="none", ec=BLUE, lw=2, clip_on=False))
        self.cell = self.animate(grid.plot([], [], color=BLACK, lw=2, clip_on=False)[0])

    def _add_states(self, steps: int) -> None:
        """A heat map of the state, one row for each unit."""
        axes = self.axes(LEFT, 98, WIDTH, 200)
        extent = (-0.5, steps - 0.5, self.num_units - 0.5, -0.5)
        self.image = self.animate(
            axes.imshow([[0.0]], "PuOr", aspect="auto", interpolation="nearest", extent=extent)
        )
        bound = float(self.gates["H"].abs().max()) or 1.0
        self.image.set_clim(-bound, bound)
        axes.set(yticks=[], xlim=(-0.5, steps - 0.5))
        axes.set_xlabel("step", fontsize=LETTERS, labelpad=0)
        axes.set_xticks(range(0, steps, 5))

    def picture(self, step: int, row: int) -> Picture:
        """The picture at a step and a row: a function of these and of the minibatch alone."""
        states = self.gates["H"][:, row, : self.num_units].clone()
        states[step + 1 :] = math.nan  # not computed yet
        self.image.set_data(states.T.cpu().numpy())
        self.column.set(x=step - 0.5, width=1)
        left, right, above, below = step - 0.5, step + 0.5, row - 0.5, row + 0.5
        self.cell.set_data([left, right, right, left, left], [above, above, below, below, above])
        self.title.text = f"step {step}: one pass of the loop reads a whole column"
        bound = self.image.get_clim()[1]
        self.state_title.text = (
            f"the state of row {row}, {self.num_units} units "
            f"(orange −{bound:.2f}, violet {bound:.2f})"
        )
        read, label_id = self.characters[row][step], int(self.Y[row, step])
        label = self.vocab.to_tokens(label_id)
        probabilities = self.gates["probabilities"][step, row]
        chance = float(probabilities[label_id])
        after, answer = drawn_character(read), drawn_character(label)
        self.bars_title.text = f"after “{after}”; the label is “{answer}”, {chance:.1%}"
        self.bars.show(self.vocab.idx_to_token, probabilities)
        largest = float(self.gates["H"][step, row].abs().max())
        alt = (
            f"Step {step} of a minibatch: each of the {len(self.Y)} rows reads one character. Row "
            f"{row} reads “{spoken_character(read)}”; next comes "
            f"{likeliest_in_words(probabilities, self.vocab.idx_to_token)}, and the label is "
            f"“{spoken_character(label)}”, with {chance:.1%}. The state "
            "has been computed up to this step; in this row no unit is now further from zero than "
            f"{largest:.2f}."
        )
        return Picture(self.figure, alt, self.png())


class MinibatchStepper(Explorer):
    """Two sliders (step and row) over one minibatch on its way through the forward loop.

    ``X`` and ``Y`` are token ids, ``(batch_size, num_steps)``, at most 8 rows of 60 steps.
    """

    def __init__(
        self, model: nn.Module, X: Tensor, Y: Tensor, vocab: Vocab, step: int = 0, row: int = 0
    ) -> None:
        """Run ``model`` over ``X`` from a state of zeros, and start at ``step`` and ``row``.

        Raises ``ValueError`` for a minibatch that does not fit the picture or the model.
        """
        import ipywidgets

        check_traceable(model, vocab)
        self._canvas = MinibatchCanvas(X, Y, trace_minibatch(model, X), vocab)
        rows, steps = X.shape
        step_slider = ipywidgets.IntSlider(step, max=steps - 1, **labeled("step", "3em"))
        row_slider = ipywidgets.IntSlider(row, max=rows - 1, **labeled("row", "3em"))
        self.play = play_buttons(step_slider)
        controls = {"step": step_slider, "row": row_slider}
        super().__init__(
            controls, [step_slider, self.play, row_slider], words_beside=True, small=True
        )

    def draw(self) -> Picture:
        """See ``MinibatchCanvas.picture``."""
        return self._canvas.picture(**self.values)
