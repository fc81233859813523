"""The training loop of notebooks 08 to 11, where minibatches are made as they are needed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..plotting import ProgressBar
from ..trainer import Interrupts

__all__ = ["Fit", "fit"]

WINDOW = 25  # minibatches over which a loss is averaged before it is believed


@dataclass
class Fit:
    """What happened in a run of ``fit``: the loss of each minibatch, and the seconds of all."""

    label: str = ""
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    solved: bool = False
    stop_reason: str = ""

    @property
    def interrupted(self) -> bool:
        """Whether somebody stopped the run; what it had reached is here."""
        return self.stop_reason.startswith("interrupted")

    @property
    def loss(self) -> float:
        """The mean of the last 25 minibatches, nan before the first."""
        last = self.losses[-WINDOW:]
        return sum(last) / len(last) if last else math.nan


def fit(
    model: nn.Module,
    next_loss: Callable[[], Tensor],
    num_minibatches: int,
    lr: float,
    *,
    optimizer: Callable[..., Optimizer] = torch.optim.Adam,
    one_cycle: bool = False,
    clip: float | None = 1.0,
    solved_below: float | None = None,
    label: str = "",
    progress: bool = False,
) -> Fit:
    """Train ``model`` on the losses that ``next_loss()`` computes, one for each minibatch.

    ``optimizer`` is given the parameters and ``lr=``; with ``one_cycle`` the rate rises to ``lr``
    over the first 30 % of the run and falls to nearly zero (Smith & Topin 2017, arXiv:1708.07120).
    Gradients are clipped at norm ``clip``. The run ends early when the mean loss of the last 25
    minibatches is below ``solved_below``. ``progress`` shows a bar. Interrupting it returns what
    was reached. Raises ``ValueError``, naming minibatch and rate, for a loss that is not finite.
    """
    chosen = optimizer(model.parameters(), lr=lr)
    cycle = torch.optim.lr_scheduler.OneCycleLR(chosen, lr, num_minibatches) if one_cycle else None
    run, started = Fit(label), time.perf_counter()
    bar = ProgressBar(num_minibatches, "minibatch", label) if progress else None
    model.train()
    with Interrupts() as interrupts:
        try:
            while len(run.losses) < num_minibatches and not run.solved:
                with interrupts.allowed():
                    loss = next_loss()
                    chosen.zero_grad()
                    loss.backward()
                    if clip is not None:
                        nn.utils.clip_grad_norm_(model.parameters(), clip)
                    chosen.step()
                if cycle:
                    cycle.step()
                run.losses.append(loss.item())
                if not math.isfinite(run.losses[-1]):
                    raise ValueError(
                        f"The loss became {run.losses[-1]:g} in minibatch {len(run.losses)} with "
                        f"lr={lr:g}: try a smaller rate, and re-create the model."
                    )
                if solved_below is not None and len(run.losses) >= WINDOW:
                    run.solved = run.loss < solved_below
                if bar:
                    bar.update(f"loss {run.loss:.4f}")
            ended = "solved after" if run.solved else "ran"
            run.stop_reason = f"{ended} {len(run.losses)} minibatches"
        except KeyboardInterrupt:
            run.stop_reason = f"interrupted in minibatch {len(run.losses) + 1}"
        finally:
            run.seconds = time.perf_counter() - started
            if bar:
                bar.close(len(run.losses), f"loss {run.loss:.4f}")
    return run
