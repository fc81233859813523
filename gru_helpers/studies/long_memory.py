"""A number, held: the task of notebook 08, its model, and a look at its gates.

The bodies of these definitions are those of the notebook; a test holds them together. A task like
this one, where random inputs lie between what is to be remembered and its use, goes back to
Hochreiter and Schmidhuber 1997, *Long Short-Term Memory*.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..equations import gru_step

__all__ = ["NumberHolder", "number_batch", "read_number", "train_holder"]


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
) -> tuple[NumberHolder, list[float]]:
    """A model trained until the mean squared error of 25 minibatches is below 0.002.

    Adam at 0.003, minibatches of 64 fresh sequences, gradients clipped at 1. Returns the model and
    the error of each minibatch.
    """
    torch.manual_seed(seed)
    model = NumberHolder(update_bias=update_bias)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    errors: list[float] = []
    while len(errors) < max_minibatches and (len(errors) < 25 or sum(errors[-25:]) / 25 > 0.002):
        X, y = number_batch(64, gap)
        error = ((model(X) - y) ** 2).mean()
        optimizer.zero_grad()
        error.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        errors.append(error.item())
    return model, errors


@torch.no_grad()
def read_number(
    model: NumberHolder, X: Tensor, hold: Callable[[str, Tensor], Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """What the model answers, step by step with ``gru_step``, and every update gate on the way.

    ``hold(name, value)`` may replace a gate at every step after the first (see ``gru_step``).
    Returns the answers, ``(batch_size,)``, and the gates, ``(num_steps, batch_size, num_hiddens)``.
    """
    W_x, W_h, b_x, b_h = model.rnn.parameters()  # stacked as r, z, n
    (W_xr, W_xz, W_xn), (W_hr, W_hz, W_hn) = W_x.T.chunk(3, 1), W_h.T.chunk(3, 1)
    (b_r, b_z, b_n), (b_hr, b_hz, b_hn) = b_x.chunk(3), b_h.chunk(3)
    params = W_xz, W_hz, b_z + b_hz, W_xr, W_hr, b_r + b_hr, W_xn, W_hn, b_n, b_hn
    H, gates = torch.zeros(len(X), model.rnn.hidden_size), []
    for t, X_t in enumerate(X.transpose(0, 1)):  # (batch_size, 2)
        Z, _, _, H = gru_step(X_t, H, params, reset_after=True, clamp=hold if t else None)
        gates.append(Z)
    return model.linear(H)[:, 0], torch.stack(gates)
