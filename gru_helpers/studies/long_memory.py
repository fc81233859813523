"""Tasks that only memory can solve: ``python -m gru_helpers.studies.long_memory``.

The first part holds the tasks of notebook 08, its model, and a look at its gates; the bodies of
these definitions are those of the notebook, and a test holds them together. Tasks like these, where
random inputs lie between what is to be remembered and its use, go back to Hochreiter and
Schmidhuber 1997, *Long Short-Term Memory*.

The second part is the study: which recurrent layer, initialized how, solves which task after how
many minibatches. 32 units, minibatches of 64 fresh sequences, Adam at 0.003, gradients clipped at
norm 1; a run ends when the mean loss of 25 minibatches is below the bound of its task, or after as
many minibatches as its task allows. Results go to ``build/long_memory/long_memory.json``; with
``--record`` also to ``data/long_memory.json``, which notebook 08 reports.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, one_hot

from .._validate import check_choice
from ..corpus import CorpusError, data_dir
from ..dataset import load_train_heldout
from ..gates import Clamp, trace_minibatch
from ..models import RNNModel
from ..pretrained import checkpoint_dir
from ..trainer import evaluate_perplexity, train
from .bench import check_positive, machine, write_json
from .fit import Fit, fit

__all__ = [
    "LastStateModel",
    "adding_batch",
    "chrono_bias",
    "gradient_by_step",
    "load_memory",
    "number_batch",
    "set_gate_bias",
    "symbol_batch",
    "train_holder",
    "train_memory",
]

RECORD, NUM_HIDDENS = "long_memory.json", 32

# --- notebook 08 --------------------------------------------------------------------------------


def number_batch(batch_size: int, gap: int) -> tuple[Tensor, Tensor]:
    """Sequences of ``gap`` + 1 random numbers in [0, 1), of which the first is to be remembered.

    Returns ``X``, ``(batch_size, gap + 1, 2)``, the number and a mark that is 1 at step 0 and 0
    after it, and the first numbers, ``(batch_size, 1)``.
    """
    X = torch.rand(batch_size, gap + 1, 2)
    X[:, :, 1] = 0
    X[:, 0, 1] = 1  # the mark: remember this one
    return X, X[:, 0, :1].clone()


def symbol_batch(batch_size: int, gap: int) -> tuple[Tensor, Tensor]:
    """One of 8 symbols, ``gap`` distractors out of 4 others, and a question mark.

    Returns ``X``, one-hot, ``(batch_size, gap + 2, 13)``, and the first symbols' ids,
    ``(batch_size,)``.
    """
    y = torch.randint(8, (batch_size, 1))
    distractors = torch.randint(8, 12, (batch_size, gap))
    question = torch.full((batch_size, 1), 12)
    return one_hot(torch.cat([y, distractors, question], 1), 13).float(), y[:, 0]


def adding_batch(batch_size: int, num_steps: int) -> tuple[Tensor, Tensor]:
    """Random numbers, of which one in each half is marked; the sum of these two is asked for.

    Returns ``X``, ``(batch_size, num_steps, 2)``, and the sums, ``(batch_size, 1)``. The form of
    Arjovsky, Shah and Bengio 2016, arXiv:1511.06464.
    """
    X = torch.rand(batch_size, num_steps, 2)
    X[:, :, 1] = 0
    half, rows = num_steps // 2, torch.arange(batch_size)
    X[rows, torch.randint(half, (batch_size,)), 1] = 1
    X[rows, torch.randint(half, num_steps, (batch_size,)), 1] = 1
    return X, (X[:, :, 0] * X[:, :, 1]).sum(dim=1, keepdim=True)


def chrono_bias(num_hiddens: int, longest: int) -> Tensor:
    """Biases ln u of the gate that keeps, u uniform on (1, longest - 1): half-lives of all lengths.

    Source: Tallec & Ollivier 2018, arXiv:1804.11188, section 3.
    """
    return torch.empty(num_hiddens).uniform_(1, longest - 1).log()


def set_gate_bias(rnn: nn.RNNBase, bias: float | Tensor, block: int = 1) -> None:
    """Set the two biases, which are added, of one block of an ``nn.GRU`` or ``nn.LSTM``.

    The blocks are r, z, n of a GRU and i, f, g, o of an LSTM, so that block 1 is the gate that
    keeps: the update gate, or the forget gate.
    """
    _, _, b_x, b_h = rnn.parameters()
    where = slice(block * rnn.hidden_size, (block + 1) * rnn.hidden_size)
    with torch.no_grad():
        b_x[where] = bias
        b_h[where] = 0


class LastStateModel(nn.Module):
    """A recurrent layer, and a linear layer that reads its last state."""

    def __init__(self, rnn: nn.RNNBase, num_outputs: int = 1):
        """``rnn`` has ``batch_first``."""
        super().__init__()
        self.rnn = rnn
        self.linear = nn.Linear(rnn.hidden_size, num_outputs)

    def forward(self, X: Tensor) -> Tensor:
        """``(batch_size, num_steps, num_inputs)`` to ``(batch_size, num_outputs)``."""
        states, _ = self.rnn(X)  # (batch_size, num_steps, num_hiddens)
        return self.linear(states[:, -1])


def train_memory(
    model: nn.Module,
    next_batch: Callable[[], tuple[Tensor, Tensor]],
    loss_of: Callable[[Tensor, Tensor], Tensor] = mse_loss,
    solved_below: float = 0.002,
    max_minibatches: int = 1000,
    label: str = "",
    progress: bool = True,
) -> Fit:
    """Train until the mean loss of 25 fresh minibatches is below ``solved_below``."""

    def next_loss() -> Tensor:
        X, y = next_batch()
        return loss_of(model(X), y)

    return fit(
        model,
        next_loss,
        max_minibatches,
        lr=0.003,
        solved_below=solved_below,
        label=label,
        progress=progress,
    )


def train_holder(
    seed: int, update_bias: float | None, gap: int, max_minibatches: int = 1000
) -> tuple[LastStateModel, Fit]:
    """A GRU of 32 units that has learned to hold a number, or has tried, and its run."""
    torch.manual_seed(seed)
    model = LastStateModel(nn.GRU(2, 32, batch_first=True))
    words = "PyTorch's bias"
    if update_bias is not None:
        set_gate_bias(model.rnn, update_bias)
        words = f"bias {update_bias:.0f}"
    run = train_memory(
        model,
        lambda: number_batch(64, gap),
        max_minibatches=max_minibatches,
        label=f"{words}, seed {seed}",
    )
    return model, run


def gradient_by_step(model: LastStateModel, X: Tensor) -> Tensor:
    """The norm of the gradient of the answers with respect to the state after each step.

    Relative to the last step; ``(num_steps,)``. Of an LSTM the state is (H, C).
    """
    state, states = None, []
    for X_t in X.split(1, dim=1):
        _, state = model.rnn(X_t, state)
        states.append(state if isinstance(state, tuple) else (state,))
    answer = model.linear(states[-1][0][0]).sum()
    norms = []
    for parts in states:
        grads = torch.autograd.grad(answer, parts, retain_graph=True, allow_unused=True)
        norms.append(torch.cat([grad.flatten() for grad in grads if grad is not None]).norm())
    return torch.stack(norms) / norms[-1]


# --- the study ----------------------------------------------------------------------------------


def repeat_batch(batch_size: int, gap: int) -> tuple[Tensor, Tensor]:
    """Ten of 8 symbols, ``gap`` - 1 blanks, a sign to begin, ten blanks in which to repeat them.

    Returns ``X``, one-hot, ``(batch_size, gap + 20, 10)``, and the ids, ``(batch_size, 10)``. The
    form of Arjovsky, Shah and Bengio 2016, arXiv:1511.06464.
    """
    y = torch.randint(8, (batch_size, 10))
    ids = torch.full((batch_size, gap + 20), 8)
    ids[:, :10], ids[:, gap + 9] = y, 9
    return one_hot(ids, 10).float(), y


class CopyModel(LastStateModel):
    """Reads the last ten states."""

    def forward(self, X: Tensor) -> Tensor:
        """``(batch_size, num_steps, 10)`` to ``(batch_size, 8, 10)``, logits of each symbol."""
        states, _ = self.rnn(X)
        return self.linear(states[:, -10:]).transpose(1, 2)


@dataclass(frozen=True)
class Task:
    """A task of the study: how its minibatches are made, and when it counts as solved."""

    next_batch: Callable[[int, int], tuple[Tensor, Tensor]]
    num_inputs: int
    num_outputs: int
    loss_of: Callable[[Tensor, Tensor], Tensor]
    solved_below: float
    max_minibatches: int
    model: type[LastStateModel] = LastStateModel


TASKS = {
    "number": Task(number_batch, 2, 1, mse_loss, 0.002, 1000),
    "symbol": Task(symbol_batch, 13, 8, cross_entropy, 0.05, 1000),
    "symbol, on": Task(symbol_batch, 13, 8, cross_entropy, 0.0, 1000),  # never stops early
    "adding": Task(adding_batch, 2, 1, mse_loss, 0.01, 3000),
    "copy": Task(repeat_batch, 10, 8, cross_entropy, 0.05, 2000, CopyModel),
}
# the models that come with the course: task, layer, minibatches
MODELS = {
    "number": ("number", "GRU, update bias 2", 600),
    "symbol": ("symbol", "GRU, update bias 2", 1000),
    "symbol_chrono": ("symbol", "GRU, chrono", 1000),
}
# name: kind of layer, bias of its keeping gate ("chrono": see chrono_bias), and whether the input
# gate of an LSTM gets the opposite
LAYERS: dict[str, tuple[str, float | str | None, bool]] = {
    "RNN": ("RNN", None, False),
    "LSTM": ("LSTM", None, False),
    "LSTM, forget bias 1": ("LSTM", 1.0, False),
    "LSTM, forget bias 2": ("LSTM", 2.0, False),
    "LSTM, chrono": ("LSTM", "chrono", True),
    "GRU": ("GRU", None, False),
    "GRU, update bias 2": ("GRU", 2.0, False),
    "GRU, chrono": ("GRU", "chrono", False),
    "GRU, update bias 4": ("GRU", 4.0, False),
    "LSTM, forget bias 2, input bias -2": ("LSTM", 2.0, True),
    "LSTM, chrono for the forget gate alone": ("LSTM", "chrono", False),
}
NEAR = tuple(LAYERS)[:8]
FEW = ("GRU", "GRU, update bias 2", "GRU, update bias 4", "GRU, chrono")
# part of the record: task, gaps, layers
PARTS: dict[str, tuple[str, tuple[int, ...], tuple[str, ...]]] = {
    "number": ("number", (30, 100), NEAR),
    "number, far": ("number", (300,), FEW),
    "number, input gate": ("number", (100,), tuple(LAYERS)[-2:]),
    "symbol": ("symbol", (30, 100), NEAR),
    "symbol, on": ("symbol, on", (30, 100), ("GRU, update bias 2", "GRU, chrono")),
    "adding": ("adding", (50, 100, 200), tuple(name for name in NEAR if name != "LSTM, chrono")),
    "copy": ("copy", (30, 100), ("RNN", "LSTM, chrono", "GRU", "GRU, chrono")),
}
ALL_PARTS = (*PARTS, "language", "guess", "models")


def make_model(task: Task, layer: str, gap: int) -> LastStateModel:
    """The model of a run, with its first weights from torch's generator."""
    kind, bias, opposite = LAYERS[layer]
    rnn = getattr(nn, kind)(task.num_inputs, NUM_HIDDENS, batch_first=True)
    model = task.model(rnn, task.num_outputs)
    if bias is not None:
        values = chrono_bias(NUM_HIDDENS, gap) if bias == "chrono" else torch.tensor(float(bias))
        set_gate_bias(rnn, values)
        if opposite:
            set_gate_bias(rnn, -values, block=0)
    return model


def run_one(
    task: Task, layer: str, gap: int, seed: int, max_minibatches: int | None = None
) -> tuple[LastStateModel, Fit]:
    """Train one model from a seed."""
    torch.manual_seed(seed)
    model = make_model(task, layer, gap)
    run = train_memory(
        model,
        lambda: task.next_batch(64, gap),
        task.loss_of,
        task.solved_below,
        max_minibatches or task.max_minibatches,
        progress=False,
    )
    return model, run


@torch.no_grad()
def quality(task: Task, outputs: Tensor, y: Tensor) -> float:
    """The mean squared error of numbers, the share of right answers for symbols."""
    if task.loss_of is mse_loss:
        return mse_loss(outputs, y).item()
    return (outputs.argmax(dim=1) == y).double().mean().item()


def number_interventions(model: LastStateModel, gap: int) -> dict[str, float]:
    """The error of the answers on 256 fresh sequences while gates are held in the gap.

    The keepers are the two units with the highest z through the gap (geometric mean), the busiest
    the eight with the lowest.
    """
    X, y = number_batch(256, gap)
    free = trace_minibatch(model, X)
    kept = free["Z"][1 : gap + 1].log().mean(dim=(0, 1)).exp()
    order = kept.argsort(descending=True).tolist()
    keepers, busiest, middle = order[:2], order[-8:], gap // 2 - 6
    clamps = {
        "nothing held": [],
        "keepers open": [Clamp("Z", 0.5, units=keepers, start=1, stop=gap + 1)],
        "keepers shut": [Clamp("Z", 1.0, units=keepers, start=1, stop=gap + 1)],
        "busiest open": [Clamp("Z", 0.5, units=busiest, start=1, stop=gap + 1)],
        "all at 0": [Clamp("Z", 0.0, start=1, stop=gap + 1)],
        "all at 0.5 for 12 steps": [Clamp("Z", 0.5, start=middle, stop=middle + 12)],
    }
    found = {
        name: mse_loss(trace_minibatch(model, X, clamps=held)["outputs"][-1], y).item()
        for name, held in clamps.items()
    }
    longest = torch.log(torch.tensor(0.5)).item() / kept.max().log().item()
    return found | {"best z": kept.max().item(), "longest half-life": longest}


def symbol_interventions(model: LastStateModel, gap: int) -> dict[str, float]:
    """What is left of the symbol on 512 fresh sequences while gates are held in the gap.

    The keepers are found for each symbol alone, in the sequences that begin with it: units with a
    z above 0.97 (geometric mean). The others are as many with the lowest.
    """
    X, y = symbol_batch(512, gap)
    logs = trace_minibatch(model, X)["Z"][1 : gap + 1].log().mean(dim=0)  # (512, num_hiddens)
    own = torch.stack([logs[y == symbol].mean(dim=0).exp() for symbol in range(8)])

    def right(*clamps: Clamp, rows: Tensor | slice = slice(None)) -> float:
        outputs = trace_minibatch(model, X[rows], clamps=clamps)["outputs"][-1]
        return (outputs.argmax(dim=1) == y[rows]).double().mean().item()

    def opened(lowest: bool) -> float:
        shares = []
        for symbol, kept in enumerate(own):
            count = int((kept > 0.97).sum())
            units = kept.argsort(descending=not lowest)[:count].tolist()
            held = [Clamp("Z", 0.5, units=units, start=1, stop=gap + 1)] if units else []
            shares.append(right(*held, rows=y == symbol))
        return statistics.mean(shares)

    middle = gap // 2 - 6
    return {
        "nothing held": right(),
        "own keepers open": opened(lowest=False),
        "others open": opened(lowest=True),
        "all at 0": right(Clamp("Z", 0.0, start=1, stop=gap + 1)),
        "all at 0.5 for 12 steps": right(Clamp("Z", 0.5, start=middle, stop=middle + 12)),
        "all at 1": right(Clamp("Z", 1.0, start=1, stop=gap + 1)),
        "best z": logs.mean(dim=0).exp().max().item(),
        "best z, own": own.amax(dim=1).median().item(),
    }


def result_of(
    name: str, gap: int, layer: str, seed: int, max_minibatches: int | None = None
) -> dict[str, Any]:
    """Train one model, and look at it: an entry of the record.

    Raises ``KeyboardInterrupt`` when the run is interrupted.
    """
    task = TASKS[name]
    torch.manual_seed(seed)
    fresh = make_model(task, layer, gap)
    model, run = run_one(task, layer, gap, seed, max_minibatches)
    if run.interrupted:
        raise KeyboardInterrupt
    entry: dict[str, Any] = {"gap": gap, "layer": layer, "seed": seed, "solved": run.solved}
    entry |= {"minibatches": len(run.losses), "loss": run.loss}
    if name.startswith(("number", "symbol")):
        X, y = task.next_batch(256, gap)
        entry["test"] = quality(task, model(X), y)
        if layer.startswith("GRU") and gap <= 100:
            numbers = task.loss_of is mse_loss
            entry["held"] = (
                number_interventions(model, gap) if numbers else symbol_interventions(model, gap)
            )
        if seed == 0 and gap == 100:
            entry["gradient before"] = gradient_by_step(fresh, X).tolist()
            entry["gradient after"] = gradient_by_step(model, X).tolist()
    return entry


def random_rnn(num_inputs: int, num_hiddens: int, scale: float) -> nn.RNN:
    """An ``nn.RNN`` whose weights and biases are all N(0, scale^2)."""
    rnn = nn.RNN(num_inputs, num_hiddens, batch_first=True)
    for param in rnn.parameters():
        param.normal_().mul_(scale)
    return rnn


def guess(num_nets: int, gap: int, num_hiddens: int = 4) -> dict[str, float]:
    """How often random weights solve a task: of ``num_nets`` RNNs, none of them trained.

    Weights are N(0, s^2) with s drawn from (0.5, 4). ``"two symbols"``: the share of nets whose
    sign at the end says which of two symbols (-1 or 1) came first, in 64 of 64 sequences with
    ``gap`` noisy steps N(0, 0.2^2) after it; ``"number"``: the smallest error of a net in giving
    back the first number of ``number_batch``, with a linear layer that was fitted to 256 sequences
    by least squares, on 256 others.
    """
    signs = torch.randint(2, (64, 1)).float() * 2 - 1
    noisy = torch.cat([signs[:, :, None], 0.2 * torch.randn(64, gap, 1)], dim=1)
    numbers, asked = number_batch(512, gap)
    solved, errors = 0, []
    with torch.no_grad():
        for _ in range(num_nets):
            scale = float(torch.empty(()).uniform_(0.5, 4))
            told, held = (
                random_rnn(num_inputs, num_hiddens, scale)(X)[0][:, -1]
                for num_inputs, X in ((1, noisy), (2, numbers))
            )
            right = (told[:, :1].sign() == signs).double().mean().item()
            solved += max(right, 1 - right) == 1
            held = torch.cat([held, torch.ones(512, 1)], dim=1)
            weights = torch.linalg.lstsq(held[:256], asked[:256], driver="gelsd").solution
            errors.append(mse_loss(held[256:] @ weights, asked[256:]).item())
    return {"nets": num_nets, "gap": gap, "two symbols": solved, "number": min(errors)}


def language(layer: str, seed: int, num_epochs: int = 7) -> dict[str, Any]:
    """A GRU of 64 units on the book's first 100,000 characters: does the bias help there?

    Adam at 0.003, minibatches of 32 rows of 35 characters. Perplexities are those of the 10,000
    characters that follow: of the whole stream, and of the last k characters from an empty state.
    """
    train_iter, heldout, vocab = load_train_heldout(32, 35, 100_000, corpus="book")
    torch.manual_seed(seed)
    model = RNNModel(nn.GRU(len(vocab), 64), len(vocab))
    bias = LAYERS[layer][1]
    if bias is not None:
        set_gate_bias(model.rnn, chrono_bias(64, 35) if bias == "chrono" else float(bias))
    history = train(
        model, train_iter, vocab, num_epochs, 0.003, optimizer=torch.optim.Adam,
        prefix=None, progress=False, plot=False,
    )  # fmt: skip
    if history.interrupted:
        raise KeyboardInterrupt
    entry: dict[str, Any] = {"layer": layer, "seed": seed}
    entry["perplexity"] = evaluate_perplexity(model, heldout)
    with torch.no_grad():
        for k in (5, 10, 20, 40):
            windows = heldout.corpus.unfold(0, k + 1, 1)  # (windows, k + 1)
            logits = model(windows[:, :-1])[0][-len(windows) :]
            entry[f"last {k}"] = cross_entropy(logits, windows[:, -1]).exp().item()
    Z = trace_minibatch(model, heldout.corpus[None, :2000])["Z"]
    kept = Z.log().mean(dim=(0, 1)).exp()
    return entry | {"best z": kept.max().item(), "median z": kept.median().item()}


def record_models(folder: Path) -> list[dict[str, Any]]:
    """Train the models that come with the course, with a gap of 100, and save them."""
    entries = []
    for name, (task, layer, minibatches) in MODELS.items():
        model, run = run_one(replace(TASKS[task], solved_below=0.0), layer, 100, 0, minibatches)
        if run.interrupted:
            raise KeyboardInterrupt
        entries.append({"model": name, "layer": layer, "gap": 100, "seed": 0})
        entries[-1] |= {"minibatches": minibatches, "loss": run.loss}
        torch.save(model.state_dict(), folder / f"memory_{name}.pt")
    return entries


def load_memory(name: str) -> LastStateModel:
    """A trained GRU that comes with the course: ``"number"``, ``"symbol"``, ``"symbol_chrono"``.

    ``python3 course.py memory --part models --record`` trains all again. Raises ``ValueError`` for
    another name.
    """
    check_choice("name", name, tuple(MODELS))
    task = TASKS[MODELS[name][0]]
    rnn = nn.GRU(task.num_inputs, NUM_HIDDENS, batch_first=True)
    model = LastStateModel(rnn, task.num_outputs)
    path = checkpoint_dir() / f"memory_{name}.pt"
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


def line_of(entry: dict[str, Any]) -> str:
    """One line of the table."""
    end = f"{entry['minibatches']:5}" if entry["solved"] else "never"
    return (
        f"  gap {entry['gap']:3}  {entry['layer']:20} seed {entry['seed']}  {end}"
        f"  loss {entry['loss']:.4f}"
    )


def run_part(part: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run one part of the record, and print it line by line."""
    if part == "guess":
        torch.manual_seed(0)
        found = guess(20 if options.quick else 1000, gap=30)
        print(f"  of {found['nets']} random nets {found['two symbols']} tell two symbols apart; ")
        print(f"  the smallest error of a number is {found['number']:.4f}")
        return [found]
    if part == "models":
        folder = checkpoint_dir() if options.record else Path("build", "long_memory")
        folder.mkdir(parents=True, exist_ok=True)
        return record_models(folder)
    if part == "language":
        entries = []
        for layer in FEW[:1] if options.quick else FEW:
            for seed in range(1 if options.quick else options.seeds):
                entries.append(language(layer, seed, 1 if options.quick else 7))
                print(f"  {entries[-1]}", flush=True)
        return entries
    name, gaps, layers = PARTS[part]
    entries = []
    for gap in gaps[:1] if options.quick else gaps:
        for layer in layers:
            for seed in range(1 if options.quick else options.seeds):
                entries.append(result_of(name, gap, layer, seed, 10 if options.quick else None))
                print(line_of(entries[-1]), flush=True)
    return entries


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="course.py memory", description="Which layer, initialized how, learns to remember."
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each run (default: 3)")
    parser.add_argument(
        "--part", choices=ALL_PARTS, action="append", help="only this part of the record"
    )
    parser.add_argument("--quick", action="store_true", help="one seed, ten minibatches, no record")
    parser.add_argument("--record", action="store_true", help=f"also write data/{RECORD}")
    options = parser.parse_args(arguments)
    check_positive(parser, seeds=options.seeds)
    record: dict[str, Any] = {}
    if (data_dir() / RECORD).is_file():  # the parts that are not renewed stay
        record = json.loads((data_dir() / RECORD).read_text(encoding="utf-8"))
    try:
        for part in options.part or ALL_PARTS:
            print(part, flush=True)
            record[part] = {"machine": machine(), "runs": run_part(part, options)}
            write_json(Path("build", "long_memory", RECORD), record)
            if options.record and not options.quick:
                write_json(data_dir() / RECORD, record)
    except CorpusError as error:
        print(f"The part language needs the book: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted: the parts that were finished are written.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
