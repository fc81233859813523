"""The time to perplexity 1.1 on the classic data: ``python -m gru_helpers.speedrun``.

One model (a GRU with 256 hidden units and a linear output, 28 tokens), one text (the first 10,000
characters of *The Time Machine*), several recipes for training it. What counts is the perplexity
of the finished weights over one pass of the classic sequential minibatches: 32 rows, the state
carried along each row from zero, nothing averaged while the weights moved. A recipe without a
schedule has arrived at the first epoch after which that is 1.1 or less; one with a schedule runs
the epochs that it says. The seconds are those of training; measuring is not counted.

``LOG`` is the laboratory book: each recipe changes the one before in the way that its label says,
with rate and number of epochs fitted anew where that was needed. Results go to
``build/speedrun/speedrun.json``; with ``--record`` also to ``data/speedrun.json``, from which
notebook 07 tells the story.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from .bench import device_name
from .bptt import GRU
from .dataset import CorpusError, SeqDataLoader, data_dir, load_data_time_machine
from .gru import get_params, gru, init_gru_state
from .models import RNNModel, RNNModelScratch
from .trainer import detach_state, evaluate_perplexity, grad_clipping

TARGET, NUM_HIDDENS, MOST_EPOCHS = 1.1, 256, 1000
RECORD = "speedrun.json"


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are the classic recipe.

    ``model`` is ``"taught"`` (the loop of notebook 03), ``"nn.GRU"`` or ``"fast"``. ``start`` is
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
    start: float | str = 0.01
    input_scale: float = 1.0
    update_bias: float = 0.0
    batch_size: int = 32
    num_steps: int = 35
    offset: int | None = None
    num_epochs: int | None = None


TAUGHT = Recipe("classic recipe, taught loop", model="taught")
LIBRARY = Recipe("classic recipe, nn.GRU", model="nn.GRU", start="uniform")
FAST = replace(TAUGHT, label="the backward pass by hand", model="fast")
UNIFORM = replace(FAST, label="start as nn.GRU starts", start="uniform")
ADAM = replace(UNIFORM, label="Adam instead of SGD", optimizer="Adam", lr=0.005)
SAME_CUTS = replace(ADAM, label="rows cut in the same places always", offset=0)
SCHEDULE = replace(SAME_CUTS, label="rate up to 0.01 and down to 0", lr=0.01, num_epochs=48)
SHORTER = replace(SCHEDULE, label="14 steps a minibatch, not 35", num_steps=14, num_epochs=28)
LOUDER = replace(
    SHORTER, label="start N(0, 0.1²), inputs N(0, 1.6²)", start=0.1, input_scale=16.0, num_epochs=14
)
FINAL = replace(
    LOUDER, label="shorter averages in Adam, higher rate", betas=(0.85, 0.9), lr=0.014,
    num_epochs=11,
)  # fmt: skip
LOG = (TAUGHT, LIBRARY, FAST, UNIFORM, ADAM, SAME_CUTS, SCHEDULE, SHORTER, LOUDER, FINAL)
# changes to the last recipe that did not help
TRIED = (
    replace(FINAL, label="update bias 1", update_bias=1.0),
    replace(FINAL, label="update bias -1", update_bias=-1.0),
    replace(FINAL, label="64 rows", batch_size=64),
    replace(FINAL, label="16 rows", batch_size=16),
    replace(FINAL, label="10 steps a minibatch", num_steps=10),
    replace(FINAL, label="20 steps a minibatch", num_steps=20),
    replace(FINAL, label="recurrent weights half as large", start=0.05, input_scale=32.0),
    replace(FINAL, label="SGD with the same schedule, rate 8", optimizer="SGD", lr=8.0),
)


def make_model(recipe: Recipe, vocab_size: int):
    """The model of a recipe with its first weights, drawn from torch's generator."""
    if recipe.model == "nn.GRU":
        return RNNModel(nn.GRU(vocab_size, NUM_HIDDENS), vocab_size)
    if recipe.start == "uniform":
        model = GRU(vocab_size, NUM_HIDDENS)
    else:
        model = GRU(vocab_size, NUM_HIDDENS, params=get_params(vocab_size, NUM_HIDDENS, "cpu"))
    with torch.no_grad():
        for name, param in model.named_parameters():
            if param.dim() == 2 and recipe.start != "uniform":
                param *= recipe.start / 0.01  # get_params draws with a deviation of 0.01
            if name in ("W_xz", "W_xr", "W_xh"):
                param *= recipe.input_scale
        model.b_z += recipe.update_bias
    if recipe.model == "taught":
        scratch = RNNModelScratch(vocab_size, NUM_HIDDENS, "cpu", get_params, init_gru_state, gru)
        scratch.params = [p.detach().clone().requires_grad_(True) for p in model.params]
        return scratch
    return model


def measure(model, corpus, vocab) -> float:
    """The perplexity that counts: one pass of the classic minibatches with fixed weights."""
    return evaluate_perplexity(model, SeqDataLoader(corpus, vocab, 32, 35, offset=0), "cpu")


def rate(share: float, warm_up: float = 0.1) -> float:
    """The factor of the learning rate when this share of the run is over."""
    return share / warm_up if share < warm_up else (1 - share) / (1 - warm_up)


def train_once(recipe: Recipe, corpus, vocab, seed: int) -> dict:
    """Train from a seed until the recipe is over or has arrived.

    Returns ``epochs``, ``seconds`` of training, and ``perplexity``, measured after them.
    """
    torch.manual_seed(seed)
    model = make_model(recipe, len(vocab))
    data = SeqDataLoader(corpus, vocab, recipe.batch_size, recipe.num_steps, offset=recipe.offset)
    params = list(model.parameters())
    if recipe.optimizer == "Adam":
        updater = torch.optim.Adam(params, lr=recipe.lr, betas=recipe.betas)
    else:
        updater = torch.optim.SGD(params, lr=recipe.lr)
    epochs, seconds, perplexity = recipe.num_epochs or MOST_EPOCHS, 0.0, math.inf
    for epoch in range(epochs):
        began = time.perf_counter()
        state, batches = model.begin_state(recipe.batch_size, "cpu"), list(data)
        for number, (X, Y) in enumerate(batches):
            if recipe.num_epochs:
                updater.param_groups[0]["lr"] = recipe.lr * rate(
                    (epoch + number / len(batches)) / epochs
                )
            logits, state = model(X, detach_state(state))
            loss = nn.functional.cross_entropy(logits, Y.T.reshape(-1))
            updater.zero_grad()
            loss.backward()
            grad_clipping(params, 1)
            updater.step()
        seconds += time.perf_counter() - began
        if not recipe.num_epochs and loss < 1.5 * math.log(TARGET) + 0.2:
            perplexity = measure(model, corpus, vocab)
            if perplexity <= TARGET:
                epochs = epoch + 1
                break
    if recipe.num_epochs:
        perplexity = measure(model, corpus, vocab)
    return {"epochs": epochs, "seconds": seconds, "perplexity": perplexity, "model": model}


def summary(recipe: Recipe, runs) -> dict:
    """The medians of several runs of one recipe, and how many arrived."""
    return {
        "label": recipe.label,
        "epochs": int(statistics.median(run["epochs"] for run in runs)),
        "seconds": round(statistics.median(run["seconds"] for run in runs), 2),
        "perplexity": round(statistics.median(run["perplexity"] for run in runs), 3),
        "worst": round(max(run["perplexity"] for run in runs), 3),
        "arrived": sum(run["perplexity"] <= TARGET for run in runs),
        "seeds": len(runs),
    }


def row_text(row: dict) -> str:
    """One line of the table."""
    return (
        f"{row['label']:38}{row['epochs']:7}{row['seconds']:9.1f}{row['perplexity']:9.3f}"
        f"{row['worst']:9.3f}{row['arrived']:6} of {row['seeds']}"
    )


def machine() -> str:
    """Where this runs."""
    return f"{device_name()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}"


HEAD = f"{'':38} epochs  seconds    median    worst  arrived"


def main(arguments=None) -> int:
    """Run the recipes in turn and print the table."""
    parser = argparse.ArgumentParser(prog="course.py speedrun", description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each step of the log")
    parser.add_argument("--threads", type=int, help="threads of PyTorch")
    parser.add_argument("--quick", action="store_true", help="only the last recipe")
    parser.add_argument("--record", action="store_true", help="also write data/speedrun.json")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        data, vocab = load_data_time_machine(32, 35, corpus="book")
    except CorpusError as error:
        print(f"The speed run is a run on the book: {error}", file=sys.stderr)
        return 1
    print(f"{machine()}\n\n{HEAD}", flush=True)
    found = {"machine": machine(), "target": TARGET, "log": [], "tried": []}
    train_once(replace(FINAL, num_epochs=1), data.corpus, vocab, 0)  # warm-up
    for kind, recipes in (("log", LOG), ("tried", TRIED)):
        for recipe in (FINAL,) if options.quick else recipes:
            slow = recipe.optimizer == "SGD" and not recipe.num_epochs  # minutes each
            seeds = 5 if recipe is FINAL else 1 if slow else options.seeds
            runs = [train_once(recipe, data.corpus, vocab, seed) for seed in range(seeds)]
            found[kind].append(summary(recipe, runs))
            print(row_text(found[kind][-1]), flush=True)
        print("and, each instead of the last recipe:" if kind == "log" else "")
        if options.quick:
            break
    last = found["log"][-1]
    for row in found["log"][: 0 if options.quick else 2]:
        print(f"{row['label']}: {row['seconds'] / last['seconds']:.0f} times as long as the last")
    text = json.dumps(found, indent=1) + "\n"
    folder = Path("build") / "speedrun"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).write_text(text, encoding="utf-8")
    if options.record and not options.quick:
        (data_dir() / RECORD).write_text(text, encoding="utf-8")
    return 0 if last["arrived"] == last["seeds"] else 1


if __name__ == "__main__":
    sys.exit(main())
