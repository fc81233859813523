"""The time to perplexity 1.1 on the classic data: ``python -m gru_helpers.studies.speedrun``.

One model (a GRU with 256 hidden units and a linear output, 28 tokens), one text (the first 10,000
characters of *The Time Machine*), several recipes for training it. What counts is the perplexity
of the finished weights over one pass of the classic sequential minibatches: 32 rows, the state
carried along each row from zero, nothing averaged while the weights moved. The last 32 characters
of a row fill no minibatch and do not count. A recipe without a schedule stops after the first
epoch at which that is 1.1 or less; one with a schedule runs the epochs that it says, a number tuned
in runs that are not reported. The seconds are those of training; measuring is not counted.

In ``LOG`` each recipe changes the one before in the way that its label says, with learning rate
and number of epochs tuned anew where that was needed. Results go to
``build/speedrun/speedrun.json``; with ``--record`` also to ``data/speedrun.json``, which
notebook 11 reports.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from ..corpus import CorpusError, data_dir
from ..dataset import SeqDataLoader, Vocab, load_data_time_machine
from ..equations import get_params, gru, init_gru_state
from ..fast import FastGRUModel
from ..models import RNNModel, RNNModelScratch
from ..trainer import evaluate_perplexity, train
from .bench import check_positive, machine, write_json

TARGET, NUM_HIDDENS, MAX_EPOCHS = 1.1, 256, 1000
RECORD = "speedrun.json"


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are the classic recipe.

    ``model`` is ``"taught"`` (the loop of notebook 03), ``"nn.GRU"`` or ``"fast"``. ``scale`` is
    the standard deviation of the first weights (``"uniform"``: as ``nn.GRU`` draws them), and the
    weights from the input are ``input_scale`` times that. ``offset`` is where the rows begin
    (``None``: somewhere else in each epoch). With ``num_epochs`` the learning rate rises over the
    first tenth of the run and then falls to zero, both linearly; without, it stays.
    """

    label: str
    model: str = "fast"
    optimizer: str = "SGD"
    lr: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    scale: float | str = 0.01
    input_scale: float = 1.0
    update_bias: float = 0.0
    batch_size: int = 32
    num_steps: int = 35
    offset: int | None = None
    num_epochs: int | None = None


TAUGHT = Recipe("classic recipe, taught loop", model="taught")
LIBRARY = Recipe("classic recipe, nn.GRU", model="nn.GRU", scale="uniform")
FAST = replace(TAUGHT, label="the backward pass by hand", model="fast")
UNIFORM = replace(FAST, label="initialized as nn.GRU is", scale="uniform")
ADAM = replace(UNIFORM, label="Adam instead of SGD", optimizer="Adam", lr=0.005)
SAME_CUTS = replace(ADAM, label="rows cut in the same places always", offset=0)
SCHEDULE = replace(SAME_CUTS, label="rate up to 0.01 and down to 0", lr=0.01, num_epochs=48)
SHORTER = replace(SCHEDULE, label="14 steps a minibatch, not 35", num_steps=14, num_epochs=28)
LARGER_SCALE = replace(
    SHORTER,
    label="weights N(0, 0.1²), inputs N(0, 1.6²)",
    scale=0.1,
    input_scale=16.0,
    num_epochs=14,
)
FINAL = replace(
    LARGER_SCALE,
    label="shorter averages in Adam, higher rate",
    betas=(0.85, 0.9),
    lr=0.014,
    num_epochs=11,
)
LOG = (TAUGHT, LIBRARY, FAST, UNIFORM, ADAM, SAME_CUTS, SCHEDULE, SHORTER, LARGER_SCALE, FINAL)
# changes to the last recipe that did not help
ABLATIONS = (
    replace(FINAL, label="update bias 1", update_bias=1.0),
    replace(FINAL, label="update bias -1", update_bias=-1.0),
    replace(FINAL, label="64 rows", batch_size=64),
    replace(FINAL, label="16 rows", batch_size=16),
    replace(FINAL, label="10 steps a minibatch", num_steps=10),
    replace(FINAL, label="20 steps a minibatch", num_steps=20),
    replace(FINAL, label="recurrent and output weights halved", scale=0.05, input_scale=32.0),
    replace(FINAL, label="SGD with the same schedule, rate 8", optimizer="SGD", lr=8.0),
)


def make_model(recipe: Recipe, vocab_size: int) -> nn.Module:
    """The model of a recipe with its first weights, drawn from torch's generator."""
    if recipe.model == "nn.GRU":
        return RNNModel(nn.GRU(vocab_size, NUM_HIDDENS), vocab_size)
    params = None if recipe.scale == "uniform" else get_params(vocab_size, NUM_HIDDENS, "cpu")
    model = FastGRUModel(vocab_size, NUM_HIDDENS, params=params)
    with torch.no_grad():
        for name, param in model.named_parameters():
            if param.dim() == 2 and isinstance(recipe.scale, float):
                param.mul_(recipe.scale / 0.01)  # get_params draws with a deviation of 0.01
            if name in ("W_xz", "W_xr", "W_xh"):
                param.mul_(recipe.input_scale)
            if name == "b_z":
                param.add_(recipe.update_bias)
    if recipe.model == "taught":
        first = model.params
        return RNNModelScratch(
            vocab_size, NUM_HIDDENS, "cpu", lambda *_: first, init_gru_state, gru
        )
    return model


def measure(model: nn.Module, corpus: Sequence[int] | Tensor, vocab: Vocab) -> float:
    """The perplexity that counts: one pass of the classic minibatches with fixed weights."""
    return evaluate_perplexity(model, SeqDataLoader(corpus, vocab, 32, 35, offset=0))


def rate(share: float, warm_up: float = 0.1) -> float:
    """The factor of the learning rate when this share of the run is over."""
    return share / warm_up if share < warm_up else (1 - share) / (1 - warm_up)


def train_once(
    recipe: Recipe, corpus: Sequence[int] | Tensor, vocab: Vocab, seed: int
) -> dict[str, Any]:
    """Train from a seed until the recipe is over or has reached ``TARGET``.

    Returns ``epochs``, ``seconds`` of training, the ``perplexity`` measured after them, the
    ``model``, and whether the run was ``interrupted``.
    """
    torch.manual_seed(seed)
    model = make_model(recipe, len(vocab))
    data = SeqDataLoader(corpus, vocab, recipe.batch_size, recipe.num_steps, offset=recipe.offset)
    optimizer: torch.optim.Optimizer = torch.optim.SGD(model.parameters(), recipe.lr)
    if recipe.optimizer == "Adam":
        optimizer = torch.optim.Adam(model.parameters(), recipe.lr, recipe.betas)
    quiet: dict[str, Any] = {"prefix": None, "progress": False, "plot": False}
    if recipe.num_epochs:
        steps = recipe.num_epochs * len(data)
        quiet["lr_scheduler"] = LambdaLR(optimizer, lambda done: rate(done / steps))
    epochs, seconds, perplexity, interrupted = 0, 0.0, math.inf, False
    while epochs < (recipe.num_epochs or MAX_EPOCHS) and perplexity > TARGET and not interrupted:
        history = train(
            model, data, vocab, recipe.num_epochs or 1, recipe.lr, optimizer=optimizer, **quiet
        )
        interrupted = history.interrupted
        epochs += history.epochs
        seconds += sum(history.seconds)
        is_near = history.epochs and history.perplexity[-1] < 1.3 * TARGET
        if recipe.num_epochs or interrupted or is_near:
            perplexity = measure(model, corpus, vocab)
    result = {"epochs": epochs, "seconds": seconds, "perplexity": perplexity, "model": model}
    return result | {"interrupted": interrupted}


def train_seeds(
    recipe: Recipe, corpus: Sequence[int] | Tensor, vocab: Vocab, num_seeds: int
) -> list[dict[str, Any]]:
    """``train_once`` from each seed; raises ``KeyboardInterrupt`` when a run is interrupted."""
    runs = []
    for seed in range(num_seeds):
        runs.append(train_once(recipe, corpus, vocab, seed))
        if runs[-1]["interrupted"]:
            raise KeyboardInterrupt
    return runs


def summary(recipe: Recipe, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The medians of several runs of one recipe, and how many reached ``TARGET``."""
    perplexities = [run["perplexity"] for run in runs]
    return {
        "label": recipe.label,
        "epochs": int(statistics.median(run["epochs"] for run in runs)),
        "seconds": round(statistics.median(run["seconds"] for run in runs), 2),
        "perplexity": round(statistics.median(perplexities), 3),
        "worst": round(max(perplexities), 3),
        "reached": sum(perplexity <= TARGET for perplexity in perplexities),
        "seeds": len(runs),
    }


HEAD = f"{'':38} epochs  seconds    median    worst  reached"


def row_text(row: dict[str, Any]) -> str:
    """One line of the table."""
    return (
        f"{row['label']:38}{row['epochs']:7}{row['seconds']:9.1f}{row['perplexity']:9.3f}"
        f"{row['worst']:9.3f}{row['reached']:6} of {row['seeds']}"
    )


def run(
    corpus: Sequence[int] | Tensor, vocab: Vocab, num_seeds: int, quick: bool
) -> dict[str, Any]:
    """Run the recipes in turn, or only the last of the log, and print the table; the record."""
    print(f"{machine()}\n\n{HEAD}", flush=True)
    record: dict[str, Any] = {"machine": machine(), "target": TARGET, "log": [], "ablations": []}
    train_seeds(replace(FINAL, num_epochs=1), corpus, vocab, 1)  # warm-up
    for kind, recipes in (("log", LOG), ("ablations", ABLATIONS)):
        for recipe in (FINAL,) if quick else recipes:
            slow = recipe.optimizer == "SGD" and not recipe.num_epochs  # minutes each
            seeds = 5 if recipe is FINAL else 1 if slow else num_seeds
            runs = train_seeds(recipe, corpus, vocab, seeds)
            record[kind].append(summary(recipe, runs))
            print(row_text(record[kind][-1]), flush=True)
        if quick:
            break
        print("and, each instead of the last recipe:" if kind == "log" else "")
    last = record["log"][-1]
    for row in record["log"][: 0 if quick else 2]:
        print(f"{row['label']}: {row['seconds'] / last['seconds']:.0f} times as long as the last")
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="course.py speedrun", description="The time to perplexity 1.1, recipe by recipe."
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each recipe (default: 3)")
    parser.add_argument("--threads", type=int, help="threads of PyTorch (default: its own choice)")
    parser.add_argument("--quick", action="store_true", help="only the last recipe of the log")
    parser.add_argument("--record", action="store_true", help=f"also write data/{RECORD}")
    options = parser.parse_args(arguments)
    check_positive(parser, seeds=options.seeds, threads=options.threads)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        data, vocab = load_data_time_machine(32, 35, corpus="book")
    except CorpusError as error:
        print(f"The speed run needs the book: {error}", file=sys.stderr)
        return 1
    try:
        record = run(data.corpus, vocab, options.seeds, options.quick)
    except KeyboardInterrupt:
        print("\nInterrupted: nothing was written.", file=sys.stderr)
        return 130
    write_json(Path("build", "speedrun", RECORD), record)
    if options.record and not options.quick:
        write_json(data_dir() / RECORD, record)
    last = record["log"][-1]
    return 0 if last["reached"] == last["seeds"] else 1


if __name__ == "__main__":
    sys.exit(main())
