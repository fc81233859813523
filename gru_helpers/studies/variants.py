"""Variants of the GRU at equal numbers of parameters: ``python -m gru_helpers.studies.variants``.

One loop, with the step swapped, on three tasks: the next character of text never seen, a number
held for 100 steps (notebook 08), and *selective copying*, where a few symbols lie scattered among
blanks and are to be given back in their order. For one seed all variants see the same minibatches.
Then two and three layers, two directions, and the time of a parallel scan against the loop.

Results go to ``build/variants/variants.json``; with ``--record`` also to ``data/variants.json``,
which notebook 10 reports. The bodies of the steps, of ``Layer``, ``num_params``, ``units_for``,
``copy_batch`` and ``scan`` are those of the notebook; a test holds them together.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..corpus import CorpusError, data_dir
from ..dataset import load_slice, load_train_heldout
from ..models import RNNModel
from ..trainer import UnfinishedError, require_finished, score
from .bench import check_positive, machine, write_json
from .fit import Fit, fit
from .long_memory import number_batch

__all__ = [
    "CELLS",
    "Cell",
    "Layer",
    "Net",
    "TextNet",
    "copy_batch",
    "copy_loss",
    "mask_batch",
    "mask_net",
    "num_params",
    "scan",
    "text_batch",
    "train_copy",
    "train_mask",
    "train_number",
    "train_text",
    "units_for",
]

RECORD = "variants.json"
TRAIN_TOKENS, HELDOUT_TOKENS = 100_000, 10_000
VOCAB, SYMBOLS = 28, 8
Tensors = Sequence[Tensor]


# --- the steps: what came from the input, the state, the recurrent weights; the new state ---------


def step_rnn(X: Tensors, state: Tensors, W: Tensors) -> tuple[Tensor, ...]:
    """The plain recurrent network (Elman 1990)."""
    (X_h,), (H,), (W_hh,) = X, state, W
    return (torch.tanh(X_h + H @ W_hh),)


def step_lstm(X: Tensors, state: Tensors, W: Tensors) -> tuple[Tensor, ...]:
    """The LSTM (Hochreiter & Schmidhuber 1997) with a forget gate (Gers et al. 2000)."""
    (X_f, X_i, X_o, X_c), (H, C), (W_hf, W_hi, W_ho, W_hc) = X, state, W
    F_t = torch.sigmoid(X_f + H @ W_hf)
    I_t = torch.sigmoid(X_i + H @ W_hi)
    O_t = torch.sigmoid(X_o + H @ W_ho)
    C = F_t * C + I_t * torch.tanh(X_c + H @ W_hc)
    return O_t * torch.tanh(C), C


def step_gru(X: Tensors, state: Tensors, W: Tensors) -> tuple[Tensor, ...]:
    """The GRU as taught (Cho et al. 2014): R before the product."""
    (X_z, X_r, X_h), (H,), (W_hz, W_hr, W_hh) = X, state, W
    Z = torch.sigmoid(X_z + H @ W_hz)
    R = torch.sigmoid(X_r + H @ W_hr)
    H_tilde = torch.tanh(X_h + (R * H) @ W_hh)
    return (Z * H + (1 - Z) * H_tilde,)


def step_gru_after(X: Tensors, state: Tensors, W: Tensors) -> tuple[Tensor, ...]:
    """The GRU of ``torch.nn.GRU``: R after the product, and a bias inside it."""
    (X_z, X_r, X_h), (H,), (W_hz, W_hr, W_hh, b_hn) = X, state, W
    Z = torch.sigmoid(X_z + H @ W_hz)
    R = torch.sigmoid(X_r + H @ W_hr)
    H_tilde = torch.tanh(X_h + R * (H @ W_hh + b_hn))
    return (Z * H + (1 - Z) * H_tilde,)


def step_no_reset(X: Tensors, state: Tensors, W: Tensors) -> tuple[Tensor, ...]:
    """R = 1: no reset gate (as in the Li-GRU of Ravanelli et al. 2018, which changes more)."""
    (X_z, X_h), (H,), (W_hz, W_hh) = X, state, W
    Z = torch.sigmoid(X_z + H @ W_hz)
    H_tilde = torch.tanh(X_h + H @ W_hh)
    return (Z * H + (1 - Z) * H_tilde,)


def step_mgu(X: Tensors, state: Tensors, W: Tensors) -> tuple[Tensor, ...]:
    """The minimal gated unit (Zhou et al. 2016): one gate for both, R = 1 - Z."""
    (X_z, X_h), (H,), (W_hz, W_hh) = X, state, W
    Z = torch.sigmoid(X_z + H @ W_hz)
    H_tilde = torch.tanh(X_h + ((1 - Z) * H) @ W_hh)
    return (Z * H + (1 - Z) * H_tilde,)


def step_z_of_x(X: Tensors, state: Tensors, W: Tensors) -> tuple[Tensor, ...]:
    """R = 1, and the update gate sees the input only."""
    (X_z, X_h), (H,), (W_hh,) = X, state, W
    Z = torch.sigmoid(X_z)
    H_tilde = torch.tanh(X_h + H @ W_hh)
    return (Z * H + (1 - Z) * H_tilde,)


def step_mingru(X: Tensors, state: Tensors, W: Tensors) -> tuple[Tensor, ...]:
    """The minGRU (Feng et al. 2024): gate and candidate see the input only, and no tanh."""
    (X_z, X_h), (H,) = X, state
    Z = torch.sigmoid(X_z)
    return (Z * H + (1 - Z) * X_h,)


class Cell(NamedTuple):
    """A step, and what it needs: how many input blocks, recurrent matrices, further biases."""

    step: Callable[[Tensors, Tensors, Tensors], tuple[Tensor, ...]]
    inputs: int
    matrices: int
    vectors: int = 0
    states: int = 1


CELLS = {
    "RNN": Cell(step_rnn, inputs=1, matrices=1),
    "LSTM": Cell(step_lstm, inputs=4, matrices=4, states=2),
    "GRU": Cell(step_gru, inputs=3, matrices=3),
    "reset after": Cell(step_gru_after, inputs=3, matrices=3, vectors=1),
    "R = 1": Cell(step_no_reset, inputs=2, matrices=2),
    "MGU": Cell(step_mgu, inputs=2, matrices=2),
    "z of x": Cell(step_z_of_x, inputs=2, matrices=1),
    "minGRU": Cell(step_mingru, inputs=2, matrices=0),
}
STACKED = {
    "GRU, 2 layers": ("GRU", 2),
    "minGRU, 2 layers": ("minGRU", 2),
    "minGRU, 3 layers": ("minGRU", 3),
}


# --- the loop -------------------------------------------------------------------------------------


class Layer(nn.Module):
    """The loop of notebook 03 around any step; all weights from U(±1/√h), as ``nn.GRU`` draws."""

    def __init__(
        self, cell: Cell, num_inputs: int, num_hiddens: int, keep_bias: float | None = None
    ):
        """``keep_bias``, if given, is the first bias of the gate that keeps, where there is one."""
        super().__init__()
        self.cell, self.num_hiddens = cell, num_hiddens

        def draw(count: int, *shape: int) -> list[nn.Parameter]:
            bound = num_hiddens**-0.5
            return [nn.Parameter(torch.empty(shape).uniform_(-bound, bound)) for _ in range(count)]

        self.W_x = nn.ParameterList(draw(cell.inputs, num_inputs, num_hiddens))
        self.b = nn.ParameterList(draw(cell.inputs, num_hiddens))
        recurrent = draw(cell.matrices, num_hiddens, num_hiddens)
        self.W_h = nn.ParameterList(recurrent + draw(cell.vectors, num_hiddens))
        if keep_bias is not None and cell.inputs > 1:
            nn.init.constant_(self.b[0], keep_bias)  # the gate that keeps stands first

    def forward(self, X: Tensor, state: Tensors | None = None) -> tuple[Tensor, Tensors]:
        """``X``, ``(num_steps, batch_size, num_inputs)``: all states H, and the last state."""
        if state is None:
            state = [X.new_zeros(X.shape[1], self.num_hiddens)] * self.cell.states
        blocks = [(X @ W_x + b).unbind() for W_x, b in zip(self.W_x, self.b, strict=True)]
        W, outputs = tuple(self.W_h), []
        for inputs in zip(*blocks, strict=True):  # each (batch_size, num_hiddens)
            state = self.cell.step(inputs, state, W)
            outputs.append(state[0])
        return torch.stack(outputs), state


class Net(nn.Module):
    """One or more layers of a cell, and a linear layer on the states of the last."""

    def __init__(
        self,
        cell: Cell,
        num_inputs: int,
        num_hiddens: int,
        num_outputs: int,
        num_layers: int = 1,
        keep_bias: float | None = None,
    ):
        """All layers have ``num_hiddens`` units."""
        super().__init__()
        widths = [num_inputs] + [num_hiddens] * (num_layers - 1)
        self.layers = nn.ModuleList(Layer(cell, w, num_hiddens, keep_bias) for w in widths)
        self.linear = nn.Linear(num_hiddens, num_outputs)

    def forward(self, X: Tensor, states: Any = None) -> tuple[Tensor, list[Tensors]]:
        """``X``, ``(num_steps, batch_size, num_inputs)``: outputs, and a state for each layer."""
        last = []
        for layer, state in zip(self.layers, states or [None] * len(self.layers), strict=True):
            X, state = layer(X, state)
            last.append(state)
        return self.linear(X), last


class TextNet(Net):
    """A ``Net`` over characters, to be used as ``RNNModel`` is."""

    vocab_size = VOCAB

    def forward(self, X: Tensor, states: Any = None) -> tuple[Tensor, list[Tensors]]:
        """Logits ``(num_steps * batch_size, vocab_size)`` of ids ``(batch_size, num_steps)``."""
        logits, states = super().forward(F.one_hot(X.T, VOCAB).float(), states)
        return logits.reshape(-1, VOCAB), states


def num_params(
    cell: Cell, num_inputs: int, num_hiddens: int, num_outputs: int, num_layers: int = 1
) -> int:
    """The number of parameters of a ``Net``."""
    total = (num_hiddens + 1) * num_outputs
    for width in [num_inputs] + [num_hiddens] * (num_layers - 1):
        total += cell.inputs * (width + 1) * num_hiddens
        total += cell.matrices * num_hiddens**2 + cell.vectors * num_hiddens
    return total


def units_for(
    cell: Cell, num_inputs: int, num_outputs: int, budget: int, num_layers: int = 1
) -> int:
    """The number of units whose ``num_params`` comes nearest to ``budget``."""

    def miss(num_hiddens: int) -> int:
        return abs(num_params(cell, num_inputs, num_hiddens, num_outputs, num_layers) - budget)

    return min(range(1, 2000), key=miss)


def make_net(
    kind: type[Net],
    name: str,
    num_inputs: int,
    num_outputs: int,
    units_of_gru: int,
    keep_bias: float,
    seed: int,
) -> Net:
    """The variant of this name, with as many parameters as a GRU with ``units_of_gru`` units."""
    cell_name, num_layers = STACKED.get(name, (name, 1))
    cell = CELLS[cell_name]
    budget = num_params(CELLS["GRU"], num_inputs, units_of_gru, num_outputs)
    num_hiddens = units_for(cell, num_inputs, num_outputs, budget, num_layers)
    torch.manual_seed(seed)
    return kind(cell, num_inputs, num_hiddens, num_outputs, num_layers, keep_bias)


def row_of(net: Net, run: Fit) -> dict[str, Any]:
    """What a record says of every run."""
    require_finished(run)
    size = sum(p.numel() for p in net.parameters())
    units = net.linear.in_features
    return {"units": units, "params": size, "minibatches": len(run.losses)}


# --- the tasks ------------------------------------------------------------------------------------


def train_number(
    name: str, seed: int, gap: int = 100, max_minibatches: int = 1000
) -> tuple[Net, dict[str, Any]]:
    """Hold a number (notebook 08) until the error is below 0.002; the error on fresh sequences."""
    net = make_net(Net, name, 2, 1, units_of_gru=30, keep_bias=2.0, seed=seed)

    def error(batch_size: int) -> Tensor:
        X, y = number_batch(batch_size, gap)
        outputs, _ = net(X.transpose(0, 1))
        return ((outputs[-1] - y) ** 2).mean()

    torch.manual_seed(seed)
    run = fit(net, lambda: error(64), max_minibatches, 0.003, solved_below=0.002, label=name)
    torch.manual_seed(99)
    with torch.no_grad():
        return net, row_of(net, run) | {"solved": run.solved, "error": error(1000).item()}


def copy_batch(
    batch_size: int, length: int = 32, count: int = 4, num_symbols: int = 8
) -> tuple[Tensor, Tensor]:
    """Sequences with ``count`` symbols at random places among blanks, then ``count`` questions.

    Returns ids ``(batch_size, length + count)``, in which ``num_symbols`` is the blank and
    ``num_symbols`` + 1 asks for the next symbol, and the symbols, ``(batch_size, count)``. A task
    of Gu & Dao 2023 (arXiv:2312.00752, section 4.1.1), smaller.
    """
    places = torch.rand(batch_size, length).argsort(dim=1)[:, :count].sort(dim=1).values
    symbols = torch.randint(num_symbols, (batch_size, count))
    X = torch.full((batch_size, length + count), num_symbols)  # blank
    X[:, length:] = num_symbols + 1  # the question
    return X.scatter(1, places, symbols), symbols


def copy_loss(net: Net, batch_size: int, length: int = 32) -> tuple[Tensor, Tensor]:
    """The cross-entropy at the four questions, and which were right, ``(batch_size, 4)``."""
    X, symbols = copy_batch(batch_size, length)
    outputs, _ = net(F.one_hot(X.T, SYMBOLS + 2).float())
    logits = outputs[length:].transpose(0, 1)  # (batch_size, 4, 8)
    loss = F.cross_entropy(logits.reshape(-1, SYMBOLS), symbols.reshape(-1))
    return loss, logits.argmax(dim=-1) == symbols


def train_copy(
    name: str, seed: int, length: int = 32, num_minibatches: int = 800
) -> tuple[Net, dict[str, Any]]:
    """Selective copying: the share of fresh sequences right in all symbols, and in each place."""
    net = make_net(Net, name, SYMBOLS + 2, SYMBOLS, units_of_gru=64, keep_bias=1.0, seed=seed)
    torch.manual_seed(seed)
    run = fit(
        net, lambda: copy_loss(net, 32, length)[0], num_minibatches, 0.01,
        one_cycle=True, label=name,
    )  # fmt: skip
    torch.manual_seed(99)
    with torch.no_grad():
        _, right = copy_loss(net, 1000, length)
    places = right.float().mean(dim=0).tolist()
    return net, row_of(net, run) | {"exact": right.all(dim=1).float().mean().item(), "at": places}


def text_batch(ids: Tensor, batch_size: int = 32, num_steps: int = 35) -> tuple[Tensor, Tensor]:
    """Windows at random places: ``X`` and ``Y``, one step later, ``(batch_size, num_steps)``."""
    first = torch.randint(len(ids) - num_steps, (batch_size, 1))
    X = first + torch.arange(num_steps)
    return ids[X], ids[X + 1]


def train_text(
    name: str, seed: int, text: tuple[Any, Any, Any], num_minibatches: int = 600
) -> tuple[Net, dict[str, Any]]:
    """The next character; the three scores of notebook 04 on held-out text.

    ``text`` holds the ids that are trained on, the held-out loader, and that for the temperature.
    """
    ids, heldout, tuning = text
    net = make_net(TextNet, name, VOCAB, VOCAB, units_of_gru=64, keep_bias=1.0, seed=seed)

    def next_loss() -> Tensor:
        X, Y = text_batch(ids)
        return F.cross_entropy(net(X)[0], Y.T.reshape(-1))

    torch.manual_seed(seed)
    run = fit(net, next_loss, num_minibatches, 0.01, one_cycle=True, label=name)
    row = row_of(net, run)
    scores = score(net, heldout, tuning_iter=tuning)
    names = ("perplexity", "rescaled", "hit_rate")
    return net, row | {name: getattr(scores, name) for name in names}


# --- two directions -------------------------------------------------------------------------------


def mask_batch(ids: Tensor, batch_size: int = 32, num_steps: int = 35) -> tuple[Tensor, Tensor]:
    """Windows in which three in twenty characters are hidden, id 0 in their place, and the text."""
    Y, _ = text_batch(ids, batch_size, num_steps)
    hidden = torch.rand(Y.shape) < 0.15
    return Y.masked_fill(hidden, 0), Y


def mask_net(two_directions: bool, units_of_gru: int = 64) -> RNNModel:
    """An ``nn.GRU`` in one or two directions, with as many parameters (one direction: 64 units)."""

    def build(num_hiddens: int, two: bool) -> RNNModel:
        return RNNModel(nn.GRU(VOCAB, num_hiddens, bidirectional=two), VOCAB)

    def size(num_hiddens: int, two: bool) -> int:
        directions = 1 + two
        gates = 3 * num_hiddens * (VOCAB + num_hiddens + 2)
        return directions * gates + VOCAB * (directions * num_hiddens + 1)

    budget = size(units_of_gru, False)
    units = min(range(1, 500), key=lambda n: abs(size(n, two_directions) - budget))
    return build(units, two_directions)


def train_mask(
    two_directions: bool, seed: int, ids: Tensor, heldout: Tensor, num_minibatches: int = 600
) -> tuple[RNNModel, dict[str, Any]]:
    """Restore hidden characters; the share right and the perplexity on held-out text."""
    torch.manual_seed(seed)
    net = mask_net(two_directions)

    def answers(ids: Tensor, batch_size: int) -> tuple[Tensor, Tensor]:
        X, Y = mask_batch(ids, batch_size)
        hidden = (X == 0).T.reshape(-1)
        return net(X)[0][hidden], Y.T.reshape(-1)[hidden]

    torch.manual_seed(seed)
    run = fit(
        net, lambda: F.cross_entropy(*answers(ids, 32)), num_minibatches, 0.01, one_cycle=True,
        label="two directions" if two_directions else "one direction",
    )  # fmt: skip
    require_finished(run)
    torch.manual_seed(99)
    with torch.no_grad():
        logits, labels = answers(heldout, 1000)
    right = (logits.argmax(dim=1) == labels).float().mean().item()
    return net, {
        "units": net.num_hiddens,
        "params": sum(p.numel() for p in net.parameters()),
        "hit_rate": right,
        "perplexity": F.cross_entropy(logits, labels).exp().item(),
    }


# --- the scan -------------------------------------------------------------------------------------


def scan(a: Tensor, b: Tensor) -> Tensor:
    """All ``h[t] = a[t] * h[t - 1] + b[t]`` from ``h = 0``, in log2 of the steps many rounds.

    ``a`` and ``b`` are ``(num_steps, ...)``. Hillis & Steele 1986, *Data parallel algorithms*.
    """
    reach = 1  # a[t], b[t] tell how h[t] follows from h[t - reach]
    while reach < len(a):
        b = torch.cat([b[:reach], a[reach:] * b[:-reach] + b[reach:]])
        a = torch.cat([a[:reach], a[reach:] * a[:-reach]])
        reach *= 2
    return b


def loop(a: Tensor, b: Tensor) -> Tensor:
    """The same, one step after the other."""
    h, states = torch.zeros_like(b[0]), []
    for a_t, b_t in zip(a.unbind(), b.unbind(), strict=True):
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states)


def scan_ratio(num_steps: int, batch_size: int, num_hiddens: int = 64, rounds: int = 5) -> float:
    """How many times as long as the scan the loop takes, forward and backward."""
    a, b = (torch.rand(num_steps, batch_size, num_hiddens, requires_grad=True) for _ in range(2))
    ratios = []
    for _ in range(rounds + 1):
        seconds = []
        for function in (loop, scan):
            started = time.perf_counter()
            torch.autograd.grad(function(a, b).sum(), (a, b))
            seconds.append(time.perf_counter() - started)
        ratios.append(seconds[0] / seconds[1])
    return statistics.median(ratios[1:])  # the first is a warm-up


# --- the record -----------------------------------------------------------------------------------


def gather(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The rows of several seeds as one: lists, but for units and parameters."""
    shared = {key: rows[0][key] for key in ("units", "params")}
    return shared | {key: [row[key] for row in rows] for key in rows[0] if key not in shared}


def load_text() -> tuple[Tensor, Any, Any]:
    """What is trained on, the held-out part after it, and a slice after that, of the book."""
    train, heldout, _ = load_train_heldout(32, 35, TRAIN_TOKENS, HELDOUT_TOKENS, corpus="book")
    end = TRAIN_TOKENS + HELDOUT_TOKENS
    return train.corpus, heldout, load_slice(32, 35, end, end + 5000, corpus="book")


def run(num_seeds: int, quick: bool) -> dict[str, Any]:
    """All variants on all tasks, printed as they come; ``quick``: 20 minibatches, one seed."""
    text, seeds = load_text(), range(1 if quick else num_seeds)
    few = (20,) if quick else ()
    record: dict[str, Any] = {"machine": machine(), "seeds": len(seeds)}
    tasks: dict[str, Callable[[str, int], tuple[Any, dict[str, Any]]]] = {
        "copy": lambda name, seed: train_copy(name, seed, 32, *few),
        "text": lambda name, seed: train_text(name, seed, text, *few),
        "number": lambda name, seed: train_number(name, seed, 100, *few),
    }
    for task, train in tasks.items():
        names = [*CELLS] + [*STACKED] * (task != "number")
        record[task] = {}
        for name in names:
            record[task][name] = gather([train(name, seed)[1] for seed in seeds])
            print(task, name, record[task][name], flush=True)
    record["mask"] = {}
    for two, name in ((False, "one direction"), (True, "two directions")):
        rows = [train_mask(two, seed, text[0], text[1].corpus, *few)[1] for seed in seeds]
        record["mask"][name] = gather(rows)
        print("mask", name, record["mask"][name], flush=True)
    lengths = (32, 64) if quick else (32, 64, 128, 256, 512, 1024, 2048, 4096)
    record["scan"] = {
        str(rows): {str(length): round(scan_ratio(length, rows), 2) for length in lengths}
        for rows in (1, 32)
    }
    print("scan: loop / scan", record["scan"])
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="course.py variants", description="Variants of the GRU, equal parameters, three tasks."
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each run (default: 3)")
    parser.add_argument("--quick", action="store_true", help="20 minibatches a run, one seed")
    parser.add_argument("--record", action="store_true", help=f"also write data/{RECORD}")
    options = parser.parse_args(arguments)
    check_positive(parser, seeds=options.seeds)
    torch.set_num_threads(1)
    try:
        record = run(options.seeds, options.quick)
    except CorpusError as error:
        print(f"The variants need the book: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, UnfinishedError):
        print("\nInterrupted: nothing was written.", file=sys.stderr)
        return 130
    write_json(Path("build", "variants", RECORD), record)
    if options.record and not options.quick:
        write_json(data_dir() / RECORD, record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
