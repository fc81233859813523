"""A number, held: the task of notebook 08, its model, and its training.

The bodies of these definitions are those of the notebook; a test holds them together. A task like
this one, where random inputs lie between what is to be remembered and its use, goes back to
Hochreiter and Schmidhuber 1997, *Long Short-Term Memory*.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .fit import Fit, fit

__all__ = ["NumberHolder", "number_batch", "train_holder"]


def number_batch(batch_size: int, gap: int) -> tuple[Tensor, Tensor]:
    """Sequences of ``gap`` + 1 random numbers in [0, 1), of which the first is to be remembered.

    Returns ``X``, ``(batch_size, gap + 1, 2)``, the number and a mark that is 1 at step 0 and 0
    after it, and the first numbers, ``(batch_size,)``.
    """
    X = torch.rand(batch_size, gap + 1, 2)
    X[:, :, 1] = 0
    X[:, 0, 1] = 1  # the mark: remember this one
    return X, X[:, 0, 0].clone()


class NumberHolder(nn.Module):
    """``nn.GRU`` over numbers, and a linear layer that reads its last state."""

    def __init__(self, num_hiddens: int = 32, update_bias: float | None = None):
        """The update gate's bias is set to ``update_bias``, or left as PyTorch draws it."""
        super().__init__()
        self.rnn = nn.GRU(2, num_hiddens, batch_first=True)
        self.linear = nn.Linear(num_hiddens, 1)
        if update_bias is not None:
            _, _, b_x, b_h = self.rnn.parameters()  # two biases, which are added
            with torch.no_grad():
                b_x[num_hiddens : 2 * num_hiddens] = update_bias  # the order is r, z, n
                b_h[num_hiddens : 2 * num_hiddens] = 0

    def forward(self, X: Tensor) -> Tensor:
        """``X`` is ``(batch_size, num_steps, 2)``; returns one number a row, ``(batch_size,)``."""
        states, _ = self.rnn(X)  # (batch_size, num_steps, num_hiddens)
        return self.linear(states[:, -1])[:, 0]  # (batch_size,)


def train_holder(
    seed: int, update_bias: float | None, gap: int, max_minibatches: int = 1000
) -> tuple[NumberHolder, Fit]:
    """A model trained until the mean squared error of 25 minibatches is below 0.002.

    Adam at 0.003, minibatches of 64 fresh sequences, gradients clipped at 1. Returns the model and
    its run, which has the error of each minibatch and shows a progress bar.
    """
    torch.manual_seed(seed)
    model = NumberHolder(update_bias=update_bias)

    def next_loss() -> Tensor:
        X, y = number_batch(64, gap)
        return ((model(X) - y) ** 2).mean()

    words = "PyTorch's bias" if update_bias is None else f"bias {update_bias:.0f}"
    label = f"{words}, seed {seed}"
    run = fit(
        model, next_loss, max_minibatches, 0.003, solved_below=0.002, label=label, progress=True
    )
    return model, run
