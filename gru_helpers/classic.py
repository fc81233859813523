"""The names of *Dive into Deep Learning*, for listings that were written for its ``d2l`` package.

Such a listing for PyTorch (of the Chinese edition, the earlier English ones, or a tutorial built
on them) runs with nothing changed but its import line::

    from gru_helpers import classic as d2l

What has the same meaning there is the function or class of this package; the few that are written
out below differ in the order of their arguments or in what they print.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.types import Device

from . import dataset, models
from .dataset import (
    Minibatch,
    Vocab,
    load_data_time_machine,
    seq_data_iter_random,
    seq_data_iter_sequential,
)
from .equations import get_params, gru, init_gru_state
from .models import RNNModelScratch, State
from .trainer import History, grad_clipping, predict, train

__all__ = [
    "RNNModel",
    "RNNModelScratch",
    "RNNModule",
    "RNNModuleScratch",
    "Vocab",
    "get_params",
    "grad_clipping",
    "gru",
    "init_gru_state",
    "load_corpus_time_machine",
    "load_data_time_machine",
    "predict",
    "predict_ch8",
    "seq_data_iter_random",
    "seq_data_iter_sequential",
    "train",
    "train_ch8",
    "try_gpu",
]


def __getattr__(name: str) -> Any:
    """``plt``, matplotlib's pyplot, which is imported only when a listing shows a figure."""
    if name == "plt":
        import matplotlib.pyplot

        return matplotlib.pyplot
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def try_gpu(i: int = 0) -> torch.device:
    """The CUDA device ``i`` if there is one, else the CPU."""
    return torch.device(f"cuda:{i}" if torch.cuda.device_count() > i else "cpu")


def load_corpus_time_machine(max_tokens: int = -1) -> tuple[list[int], Vocab]:
    """The corpus as a list of ids, and its vocabulary."""
    ids, vocab, _ = dataset.load_corpus_time_machine(max_tokens)
    return ids, vocab


class RNNModel(models.RNNModel):
    """``gru_helpers.RNNModel``, but ``begin_state`` takes the device first."""

    def begin_state(self, device: Device = None, batch_size: int = 1) -> State:  # type: ignore[override]
        """The state before the first step, for ``batch_size`` rows."""
        return super().begin_state(batch_size, device)


RNNModuleScratch = RNNModelScratch
RNNModule = RNNModel


class _AnyModel(nn.Module):
    """A model of this package, or one whose class the listing defines, used in the same way.

    The latter may insist on a state, hold it in a bare tensor, and be no ``nn.Module`` if it has
    ``params``.
    """

    def __init__(self, net: Any):
        super().__init__()
        self.net, self.vocab_size = net, net.vocab_size

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        is_module = isinstance(self.net, nn.Module)
        return super().parameters(recurse) if is_module else iter(self.net.params)

    def forward(self, X: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        first = self.net.begin_state(batch_size=len(X), device=X.device)
        bare = isinstance(first, Tensor)
        if state is not None:
            first = state[0] if bare else state
        logits, last = self.net(X, first)
        return logits, (last,) if bare else last


def predict_ch8(prefix: str, num_preds: int, net: Any, vocab: Vocab, device: Device = None) -> str:
    """``predict``, also with a model whose class the listing defines."""
    return predict(prefix, num_preds, _AnyModel(net), vocab, device)


def train_ch8(
    net: Any,
    train_iter: Iterable[Minibatch],
    vocab: Vocab,
    lr: float,
    num_epochs: int,
    device: Device = None,
    use_random_iter: bool | None = None,
) -> History:
    """``train`` with the learning rate before the number of epochs.

    Prints the perplexity, the speed (the median over the epochs) and two samples at the end.
    """
    history = train(
        _AnyModel(net), train_iter, vocab, num_epochs, lr, device, use_random_iter, prefix=None
    )
    if history.epochs:
        print(
            f"perplexity {history.perplexity[-1]:.1f}, "
            f"{history.median_tokens_per_second():.1f} tokens/sec on {history.device}"
        )
        for prefix in ("time traveller", "traveller"):
            print(predict_ch8(prefix, 50, net, vocab, device))
    return history
