"""The time to a perplexity on text never seen: ``python -m gru_helpers.studies.honest_race``.

Three parts of *The Time Machine*, read as the classic loader reads it: characters 10,000 to 20,000
are held out, the last 10,000 are the development part, all others are the training part. The model
is a GRU with at most 256 units in all; a recipe may train it for three minutes on two cores. Every
choice (sizes, rates, minibatches, the weight of a mixture) was made on the development part; the
held-out part is measured at the end of a run, in one stream from an empty state: 9,999 predictions.
The opponent is the best n-gram, interpolated Kneser-Ney, counted on the same training part.

In ``LOG`` each recipe changes the one before in the way that its label says; in ``ABLATIONS`` each
changes the recipe ``SHORT``, the last of the log but for its length. Results go to
``build/honest_race/honest_race.json`` after every line; with ``--record`` also to
``data/honest_race.json``, which notebook 11 reports. ``--only LABEL`` measures single lines anew
and keeps the others.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..corpus import CorpusError, data_dir
from ..dataset import Vocab, load_corpus_time_machine, seq_data_iter_sequential
from ..fast import FastGRUModel, GRUFunction
from ..models import RNNModel
from ..ngrams import ngram_probabilities
from ..trainer import detach_state
from .bench import check_positive, machine, write_json
from .fit import Fit, fit

NUM_HIDDENS, PART, ORDER = 256, 10_000, 6
RECORD = "honest_race.json"
RECURRENT = (1, 4, 7)  # the places of W_hz, W_hr and W_hh among the parameters of a GRU

Line = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """How to train. ``model`` is ``"fast"``, or ``"nn.GRU"``, which nothing disturbs.

    In each minibatch, ``noise`` is the share of input characters that are replaced by ``<unk>``,
    ``dropout`` the share of the recurrent weights that are set to 0, ``output_dropout`` that of the
    output layer. ``averaging`` is the decay of an average of the weights over the run, which is
    then the model; ``layers`` share the 256 units.
    """

    label: str
    minibatches: int = 2000
    lr: float = 0.006
    model: str = "fast"
    batch_size: int = 32
    num_steps: int = 64
    weight_decay: float = 0.01
    output_dropout: float = 0.0
    dropout: float = 0.0
    noise: float = 0.0
    averaging: float = 0.0
    layers: int = 1
    seeds: int = 1


LIBRARY = Recipe("nn.GRU, AdamW, one cycle of the rate", model="nn.GRU")
FAST = replace(LIBRARY, label="the backward pass by hand", model="fast")
DROPOUT = replace(FAST, label="recurrent weights dropped, 2 in 10", dropout=0.2)
NOISE = replace(DROPOUT, label="characters hidden, 1 in 10", noise=0.1)
SHORT = replace(NOISE, label="rate up to 0.01", lr=0.01, seeds=3)
FINAL = replace(SHORT, label="three minutes", minibatches=7000)
LOG = (LIBRARY, FAST, DROPOUT, NOISE, SHORT, FINAL)
# changes to SHORT, as many characters read as in it
ABLATIONS = (
    replace(SHORT, label="nothing hidden", noise=0.0, seeds=1),
    replace(SHORT, label="no weights dropped", dropout=0.0, seeds=1),
    replace(SHORT, label="weights dropped, 3 in 10", dropout=0.3, seeds=1),
    replace(SHORT, label="characters hidden, 2 in 10", noise=0.2, seeds=1),
    replace(SHORT, label="output weights dropped, 3 in 10", output_dropout=0.3, seeds=1),
    replace(SHORT, label="rate up to 0.02", lr=0.02, seeds=1),
    replace(SHORT, label="ten times the weight decay", weight_decay=0.1, seeds=1),
    replace(SHORT, label="64 rows", batch_size=64, minibatches=1000, seeds=1),
    replace(SHORT, label="averaged weights", averaging=0.99, seeds=1),
    replace(SHORT, label="two layers of 128 units", layers=2, seeds=1),
)
DYNAMIC_RATES = (0.01, 0.03, 0.1, 0.3)


@dataclass(frozen=True)
class Texts:
    """The three parts, 1-D tensors of ids, and what the text is called."""

    train: Tensor
    development: Tensor
    heldout: Tensor
    vocab: Vocab
    name: str

    def to(self, device: str) -> Texts:
        """The same texts on a device, on which models are then trained and measured."""
        return replace(
            self,
            train=self.train.to(device),
            development=self.development.to(device),
            heldout=self.heldout.to(device),
        )


def load_texts(corpus: str | Path = "auto") -> Texts:
    """Cut the text into its parts. Raises ``CorpusError`` where it is too short or missing."""
    numbers, vocab, name = load_corpus_time_machine(corpus=corpus)
    ids = torch.tensor(numbers)
    train = torch.cat([ids[:PART], ids[2 * PART : -PART]])
    return Texts(train, ids[-PART:], ids[PART : 2 * PART], vocab, name)


# --- the model and its training -----------------------------------------------------------------


class RaceGRU(nn.Module):
    """A GRU language model, used as ``FastGRUModel`` is, that is disturbed while it is trained."""

    def __init__(self, vocab_size: int, recipe: Recipe):
        """Draw the first weights as ``nn.GRU`` draws them."""
        super().__init__()
        self.recipe, self.num_hiddens = recipe, NUM_HIDDENS // recipe.layers
        sizes = [vocab_size, *[self.num_hiddens] * (recipe.layers - 1)]
        cells = [FastGRUModel(size, self.num_hiddens).params for size in sizes]
        self.cells = nn.ParameterList(param for params in cells for param in params[:9])
        bound = self.num_hiddens**-0.5
        self.W_hq = nn.Parameter(torch.empty(self.num_hiddens, vocab_size).uniform_(-bound, bound))
        self.b_q = nn.Parameter(torch.zeros(vocab_size))

    def disturbed(self, X: Tensor) -> Tensor:
        """``X`` with some of its characters hidden, in training only."""
        if not self.training:
            return X
        return torch.where(torch.rand(X.shape, device=X.device) < self.recipe.noise, 0, X)

    def forward(
        self, X: Tensor, state: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Logits ``(num_steps * batch_size, vocab_size)`` and the new state of each layer."""
        n, recipe, new_state = self.num_hiddens, self.recipe, []
        state = state or [self.b_q.new_zeros(len(X), n)] * recipe.layers
        inputs, params = self.disturbed(X).T, list(self.cells)
        output = F.dropout(self.W_hq, recipe.output_dropout, self.training), self.b_q
        # the output of a layer below is its H
        passed_on = torch.eye(n, device=X.device), self.b_q.new_zeros(n)
        for layer, H in enumerate(state, 1):
            cell, params = params[:9], params[9:]
            for i in RECURRENT:
                cell[i] = F.dropout(cell[i], recipe.dropout, self.training)
            last = output if layer == recipe.layers else passed_on
            outputs, H = GRUFunction.apply(inputs, H, *cell, *last)
            inputs = outputs.view(*X.T.shape, -1)
            new_state.append(H)
        return outputs, tuple(new_state)


def minibatches(
    ids: Tensor, recipe: Recipe, generator: torch.Generator
) -> Iterator[tuple[bool, Tensor, Tensor]]:
    """Whether an epoch begins, X and Y, without end; each epoch cuts the rows somewhere else."""
    while True:
        start = int(torch.randint(0, len(ids), (), generator=generator))
        pairs = seq_data_iter_sequential(
            ids.roll(-start), recipe.batch_size, recipe.num_steps, offset=0
        )
        for number, (X, Y) in enumerate(pairs):
            yield number == 0, X, Y


def loss_maker(model: nn.Module, ids: Tensor, recipe: Recipe, seed: int) -> Callable[[], Tensor]:
    """A function that returns the loss of the next minibatch, the state carried along the rows."""
    batches = minibatches(ids, recipe, torch.Generator().manual_seed(seed))
    state: tuple[Tensor, ...] | None = None

    def next_loss() -> Tensor:
        nonlocal state
        begins, X, Y = next(batches)
        logits, state = model(X, None if begins or state is None else detach_state(state))
        return F.cross_entropy(logits, Y.T.reshape(-1))

    return next_loss


def train_once(
    recipe: Recipe, texts: Texts, seed: int = 0, progress: bool = False
) -> tuple[nn.Module, Fit]:
    """The trained model, in evaluation mode, and how its training went."""
    torch.manual_seed(seed)
    size = len(texts.vocab)
    model: nn.Module = RaceGRU(size, recipe)
    if recipe.model == "nn.GRU":
        model = RNNModel(nn.GRU(size, NUM_HIDDENS), size)
    model.to(texts.train.device)
    next_loss = loss_maker(model, texts.train, recipe, seed)
    average = None
    if recipe.averaging:
        average = torch.optim.swa_utils.AveragedModel(
            model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.averaging)
        )
    params = list(model.parameters())

    def averaged_loss() -> Tensor:
        if average is not None:
            average.update_parameters(model)
        return next_loss()

    run = fit(
        model,
        averaged_loss,
        recipe.minibatches,
        recipe.lr,
        optimizer=functools.partial(torch.optim.AdamW, weight_decay=recipe.weight_decay),
        one_cycle=True,
        label=recipe.label,
        progress=progress,
    )
    if average is not None:
        averaged_loss()
        with torch.no_grad():
            for param, mean in zip(params, average.module.parameters(), strict=True):
                param.copy_(mean)
    return model.eval(), run


# --- what is measured ---------------------------------------------------------------------------


def probabilities(model: nn.Module, ids: Tensor) -> Tensor:
    """What the model expects at each place but the first, ``(len(ids) - 1, vocab_size)``, float64.

    One stream from an empty state, as ``ngram_probabilities`` counts it.
    """
    model.eval()
    with torch.no_grad():
        logits, _ = model(ids[None, :-1])
    return torch.softmax(logits.double(), dim=1)


def perplexity_on(p: Tensor, ids: Tensor) -> float:
    """The perplexity of probabilities ``(len(ids) - 1, vocab_size)`` of ``ids[1:]``."""
    return p.gather(1, ids[1:, None]).log().mean().neg().exp().item()


def best_weight(p: Tensor, q: Tensor, ids: Tensor) -> float:
    """The w, in hundredths, for which w p + (1 - w) q has the lowest perplexity on ``ids``."""
    weights = [i / 100 for i in range(101)]
    return min(weights, key=lambda w: perplexity_on(w * p + (1 - w) * q, ids))


def dynamic_probabilities(model: nn.Module, ids: Tensor, lr: float, num_steps: int = 20) -> Tensor:
    """``probabilities`` of a model that goes on learning from what it has been asked.

    After every ``num_steps`` predictions it takes one step of SGD on them. Source: Krause et al.
    2018, *Dynamic evaluation of neural sequence models*. The model is changed.
    """
    model.eval()
    optimizer, state, found = torch.optim.SGD(model.parameters(), lr), None, []
    for X, Y in zip(ids[None, :-1].split(num_steps, 1), ids[1:].split(num_steps), strict=True):
        logits, state = model(X, state)
        found.append(torch.softmax(logits.detach().double(), dim=1))
        optimizer.zero_grad()
        F.cross_entropy(logits, Y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        state = detach_state(state)
    return torch.cat(found)


def count_all(texts: Texts) -> tuple[Tensor, Tensor]:
    """The opponent's probabilities on the development part and on the held-out part."""
    train, size = texts.train.cpu(), len(texts.vocab)
    both = (texts.development, texts.heldout)
    dev, heldout = (ngram_probabilities(train, x.cpu(), ORDER, size).to(x.device) for x in both)
    return dev, heldout


def measure_model(model: nn.Module, texts: Texts, counts: tuple[Tensor, Tensor]) -> Line:
    """Perplexities on all parts, and on the held-out part that of the mixture with the counts.

    Of the training part, on its first 10,000 characters.
    """
    train = texts.train[:PART]
    dev, heldout = (probabilities(model, x) for x in (texts.development, texts.heldout))
    weight = best_weight(dev, counts[0], texts.development)
    mixed = weight * heldout + (1 - weight) * counts[1]
    return {
        "training": perplexity_on(probabilities(model, train), train),
        "development": perplexity_on(dev, texts.development),
        "heldout": perplexity_on(heldout, texts.heldout),
        "weight": weight,
        "mixed": perplexity_on(mixed, texts.heldout),
    }


def measure_dynamic(model: nn.Module, texts: Texts) -> Line:
    """Perplexities where the model goes on learning, its rate chosen on the development part."""
    found = {}
    for lr in DYNAMIC_RATES:
        p = dynamic_probabilities(copy.deepcopy(model), texts.development, lr)
        found[lr] = perplexity_on(p, texts.development)
    lr = min(found, key=lambda rate: found[rate])
    p = dynamic_probabilities(copy.deepcopy(model), texts.heldout, lr)
    return {"lr": lr, "development": found[lr], "heldout": perplexity_on(p, texts.heldout)}


def measure_line(
    recipe: Recipe, texts: Texts, counts: tuple[Tensor, Tensor], num_seeds: int
) -> tuple[Line, nn.Module]:
    """Medians over the seeds, every seed's held-out perplexity, and the model of seed 0.

    Raises ``KeyboardInterrupt`` when a run is interrupted.
    """
    runs: list[Line] = []
    models: list[nn.Module] = []
    for seed in range(num_seeds):
        model, run = train_once(recipe, texts, seed)
        if run.interrupted:
            raise KeyboardInterrupt
        runs.append({"seconds": run.seconds, **measure_model(model, texts, counts)})
        models.append(model)
    line: Line = {"label": recipe.label, "minibatches": recipe.minibatches, "seeds": num_seeds}
    line |= {name: round(statistics.median(run[name] for run in runs), 4) for name in runs[0]}
    line["every_heldout"] = [round(run["heldout"], 4) for run in runs]
    return line, models[0]


# --- the log ------------------------------------------------------------------------------------

HEAD = f"{'':38} minibatches  seconds  training  development  held-out    mixed  seeds"


def row_text(line: Line) -> str:
    """One line of the table."""
    return (
        f"{line['label']:38}{line['minibatches']:12}{line['seconds']:9.0f}"
        f"{line['training']:10.2f}{line['development']:13.2f}{line['heldout']:10.2f}{line['mixed']:9.2f}{line['seeds']:7}"
    )


def run(texts: Texts, only: Sequence[str], num_seeds: int, paths: Sequence[Path]) -> Line:
    """Measure all lines, or ``only`` those with these labels, and write the record after each."""
    counts, parts = count_all(texts), (texts.development, texts.heldout)
    opponent = [perplexity_on(*pair) for pair in zip(counts, parts, strict=True)]
    name = torch.cuda.get_device_name() if texts.train.is_cuda else machine()
    record: Line = {"machine": name, "log": [], "ablations": []}
    if only and paths[-1].exists():
        record = json.loads(paths[-1].read_text(encoding="utf-8"))
    record["counts"] = {"n": ORDER, "development": opponent[0], "heldout": opponent[1]}
    print(f"{name}\ncounts, {ORDER}-gram: held-out {opponent[1]:.2f}\n\n{HEAD}", flush=True)
    for kind, recipes in (("log", LOG), ("ablations", ABLATIONS)):
        before = {line["label"]: line for line in record[kind]}
        for recipe in recipes:
            if only and recipe.label not in only:
                continue
            seeds = min(recipe.seeds, num_seeds)
            before[recipe.label], model = measure_line(recipe, texts, counts, seeds)
            print(row_text(before[recipe.label]), flush=True)
            if recipe is FINAL:
                record["dynamic"] = measure_dynamic(model, texts)
                print(f"and it goes on learning: held-out {record['dynamic']['heldout']:.2f}")
            record[kind] = [before[r.label] for r in recipes if r.label in before]
            for path in paths:
                write_json(path, record)
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="course.py honest_race",
        description="The time to a perplexity on text never seen, recipe by recipe.",
    )
    labels = [recipe.label for recipe in (*LOG, *ABLATIONS)]
    parser.add_argument("--seeds", type=int, default=3, help="at most so many a line (default: 3)")
    parser.add_argument("--threads", type=int, help="threads of PyTorch (default: its own choice)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: cpu)")
    parser.add_argument("--only", nargs="+", metavar="LABEL", default=[], help="only these lines")
    parser.add_argument("--quick", action="store_true", help=f"only {SHORT.label!r}, one seed")
    parser.add_argument("--record", action="store_true", help=f"also write data/{RECORD}")
    options = parser.parse_args(arguments)
    check_positive(parser, seeds=options.seeds, threads=options.threads)
    if options.quick:
        options.only, options.seeds, options.record = [SHORT.label], 1, False
    if unknown := set(options.only) - set(labels):
        parser.error(f"--only must name lines of the log, {labels}, got {sorted(unknown)}.")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda needs a GPU that PyTorch can use.")
    if options.threads:
        torch.set_num_threads(options.threads)
    paths = [Path("build", "honest_race", RECORD)]
    if options.record:
        paths.append(data_dir() / RECORD)
    try:
        run(load_texts("book").to(options.device), options.only, options.seeds, paths)
    except CorpusError as error:
        print(f"The honest race needs the book: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted: what was finished is written.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
