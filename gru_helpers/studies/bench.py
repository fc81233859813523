"""How long a training step takes: ``python -m gru_helpers.studies.bench``.

One step is the forward pass, the loss and the backward pass, without an optimizer. Measured are
the taught loop under autograd, ``nn.GRU``, the fast GRU in both forms of the reset gate ("after" is
that of ``nn.GRU``), and the matrix products alone, a lower bound: those of both passes, written
into memory that is there already. No GRU that multiplies the same matrices in the same order can
be faster.

All of them run in one process and take turns, since the speed of a machine drifts: a ratio is the
median of the ratios of single rounds. Besides the table there are ``times.json`` and ``times.png``
in ``build/bench``.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..corpus import data_dir
from ..equations import get_params, gru, init_gru_state
from ..fast import FastGRUModel
from ..models import RNNModelScratch, params_to_rnn_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TAUGHT, TORCH, FAST, FAST_AFTER = "taught loop", "nn.GRU", "fast GRU", "fast, after"
LOWER_BOUND = "lower bound"
RATIOS = ((TAUGHT, FAST), (TORCH, FAST), (TORCH, FAST_AFTER), (FAST, LOWER_BOUND))
WARM_UP, MIN_ROUNDS = 2, 3
RECORD = "bench.json"  # in data/, drawn by notebook 11

Step = Callable[[], None]
Report = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """The sizes of a training step; the defaults are the classic job's."""

    num_steps: int = 35
    batch_size: int = 32
    num_hiddens: int = 256
    vocab_size: int = 28


SWEEPS: dict[str, Sequence[int]] = {
    "num_steps": (10, 35, 100, 400),
    "batch_size": (1, 8, 32, 128),
    "num_hiddens": (64, 256, 512, 1024),
}
QUICK_SWEEPS: dict[str, Sequence[int]] = {
    "num_steps": (10, 35, 100),
    "batch_size": (4, 32, 64),
    "num_hiddens": (64, 128, 256),
}
AXIS_LABELS = {"num_steps": "steps", "batch_size": "batch size", "num_hiddens": "hidden units"}


def cases_of(sweeps: Mapping[str, Sequence[int]], start: Case | None = None) -> list[Case]:
    """``start`` (default: the classic job), and it with one size changed at a time."""
    start = start or Case()
    cases = [start]
    for name, values in sweeps.items():
        cases += [replace(start, **{name: value}) for value in values]
    return list(dict.fromkeys(cases))


# --- what is measured ---------------------------------------------------------------------------


def training_step(model: nn.Module, X: Tensor, labels: Tensor) -> Step:
    """A function that does one training step of ``model``."""
    params = list(model.parameters())

    def step() -> None:
        for param in params:
            param.grad = None
        logits, _ = model(X)
        nn.functional.cross_entropy(logits, labels).backward()

    return step


def lower_bound_step(case: Case, device: str = "cpu") -> Step:
    """A function that does the matrix products of one training step.

    In each step of the loop: H into both gates, R * H into the candidate, and the gradients back
    through both. Once: the output layer, its two gradients, and the gradients of the state's
    weights. The input's weights are rows that are looked up, not multiplied.
    """
    T, B, n, v = case.num_steps, case.batch_size, case.num_hiddens, case.vocab_size
    randn = functools.partial(torch.randn, device=device)
    H, dA_h, dA_zr = randn(B, n), randn(B, n), randn(B, 2 * n)
    W_hh, W_zr, W_hq = randn(n, n), randn(n, 2 * n), randn(n, v)
    Hs, dA_hs, dA_zrs = (randn(T * B, width) for width in (n, n, 2 * n))
    doutputs = randn(T * B, v)
    loop = [(H, W_zr), (H, W_hh)] * T + [(dA_h, W_hh.T), (dA_zr, W_zr.T)] * T
    once = [(Hs, W_hq), (doutputs, W_hq.T), (Hs.T, doutputs), (Hs.T, dA_hs), (Hs.T, dA_zrs)]
    shapes = {(a.shape[0], b.shape[1]) for a, b in loop + once}
    buffers = {shape: torch.empty(shape, device=device) for shape in shapes}
    products = [(a, b, buffers[a.shape[0], b.shape[1]]) for a, b in loop + once]

    def step() -> None:
        for a, b, out in products:
            torch.mm(a, b, out=out)

    return step


def implementations(case: Case, device: str = "cpu") -> dict[str, Step]:
    """What is measured: a function for each name, all on the same numbers."""
    params = get_params(case.vocab_size, case.num_hiddens, device)
    after = [*params, torch.zeros(case.num_hiddens, device=device)]
    sizes = case.vocab_size, case.num_hiddens
    shape = case.batch_size, case.num_steps
    X = torch.randint(0, case.vocab_size, shape, device=device)
    labels = torch.randint(0, case.vocab_size, (math.prod(shape),), device=device)
    models: dict[str, nn.Module] = {
        TAUGHT: RNNModelScratch(*sizes, device, lambda *_: params, init_gru_state, gru),
        TORCH: params_to_rnn_model(params),
        FAST: FastGRUModel(*sizes, params=params),
        FAST_AFTER: FastGRUModel(*sizes, reset_after=True, params=after),
    }
    steps = {name: training_step(model, X, labels) for name, model in models.items()}
    return {**steps, LOWER_BOUND: lower_bound_step(case, device)}


def measure(case: Case, seconds: float, device: str = "cpu") -> dict[str, list[float]]:
    """Seconds of every step of every implementation; they take turns for about ``seconds``.

    A GPU works on while Python goes on: a step is over when ``synchronize`` says so.
    """
    steps = implementations(case, device)
    finish = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    for step in steps.values():
        for _ in range(WARM_UP):
            step()
    finish()
    times: dict[str, list[float]] = {name: [] for name in steps}
    end = time.perf_counter() + seconds
    for first in itertools.cycle(range(len(steps))):  # each round starts with another one
        if len(times[LOWER_BOUND]) >= MIN_ROUNDS and time.perf_counter() > end:
            break
        names = list(steps)
        for name in names[first:] + names[:first]:
            started = time.perf_counter()
            steps[name]()
            finish()
            times[name].append(time.perf_counter() - started)
    return times


def summary(case: Case, times: Mapping[str, list[float]]) -> Report:
    """Sizes, median and quartiles in seconds, and the rounds' median ratios, as plain numbers."""
    quartiles = {name: statistics.quantiles(values, n=4) for name, values in times.items()}
    return {
        **asdict(case),
        "rounds": len(times[LOWER_BOUND]),
        "seconds": {
            name: {"median": median, "quartiles": [low, high]}
            for name, (low, median, high) in quartiles.items()
        },
        "ratios": {
            f"{a} / {b}": statistics.median(x / y for x, y in zip(times[a], times[b], strict=True))
            for a, b in RATIOS
        },
    }


def device_name() -> str:
    """The processor, as the system calls it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine() -> str:
    """The processor, the threads and the version of PyTorch, for the head of a table."""
    return f"{device_name()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}"


# --- how it is reported -------------------------------------------------------------------------


def table_row(first: str, entries: Iterable[str], last: object = "") -> str:
    """A line of a table: the first column to the left, the others to the right."""
    line = f"{first:<18}" + "".join(f"{entry:>24}" for entry in entries) + f"{last:>8}"
    return line.rstrip()


def sizes_of(result: Report) -> str:
    """Steps, batch size and hidden units of a case."""
    return f"{result['num_steps']} x {result['batch_size']} x {result['num_hiddens']}"


def times_row(result: Report) -> str:
    """The milliseconds of a case: medians, with quartiles in brackets."""
    entries = []
    for seconds in result["seconds"].values():
        low, high = (1000 * quartile for quartile in seconds["quartiles"])
        entries.append(f"{1000 * seconds['median']:.3g} ({low:.3g}, {high:.3g})")
    return table_row(sizes_of(result), entries, result["rounds"])


def figure_of(report: Report) -> Figure:
    """The report's times against steps, batch size and hidden units."""
    from ..plotting import plot_step_times

    start, panels = report["cases"][0], {}
    for size, label in AXIS_LABELS.items():
        fixed = [other for other in asdict(Case()) if other != size]
        line = [c for c in report["cases"] if all(c[other] == start[other] for other in fixed)]
        line.sort(key=lambda case: case[size])
        panels[label] = {
            name: (
                [case[size] for case in line],
                [1000 * case["seconds"][name]["median"] for case in line],
                [[1000 * s for s in case["seconds"][name]["quartiles"]] for case in line],
            )
            for name in start["seconds"]
        }
    threads = f"{report['threads']} thread" + "s" * (report["threads"] > 1)
    return plot_step_times(panels, LOWER_BOUND, f"One training step, {report['device']}, {threads}")


def report_of(
    cases: Sequence[Case],
    seconds: float,
    on_result: Callable[[Report], object] | None = None,
    device: str = "cpu",
) -> Report:
    """Measure ``cases`` in ``seconds`` altogether; ``on_result`` gets each result at once."""
    name = torch.cuda.get_device_name() if device.startswith("cuda") else device_name()
    report: Report = {"device": name, "threads": torch.get_num_threads()}
    report |= {"torch": torch.__version__, "cases": []}
    for case in cases:
        report["cases"].append(summary(case, measure(case, seconds / len(cases), device)))
        if on_result:
            on_result(report["cases"][-1])
    return report


def write_json(path: Path, content: Report) -> None:
    """Write ``content`` to ``path``, whose folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def run(cases: Sequence[Case], seconds: float, folder: Path) -> Report:
    """Measure ``cases``, print the table, write ``times.json`` and ``times.png``."""
    from ..plotting import to_png

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    print(machine())
    if load is not None and load > 0.5:
        print(
            f"This machine is not idle (load {load:.1f}): trust the ratios more than the times, "
            "and neither of them much if there are several threads."
        )
    print("Milliseconds a training step, median (quartiles), for steps x batch x hidden units:")
    print(table_row("", (TAUGHT, TORCH, FAST, FAST_AFTER, LOWER_BOUND), "rounds"))
    report = report_of(cases, seconds, lambda result: print(times_row(result), flush=True))
    report["load_before"] = load
    print("Ratios, median of all rounds:")
    print(table_row("", report["cases"][0]["ratios"]))
    for result in report["cases"]:
        print(table_row(sizes_of(result), [f"{r:.2f}" for r in result["ratios"].values()]))
    write_json(folder / "times.json", report)
    (folder / "times.png").write_bytes(to_png(figure_of(report)))
    print(f"Written: {folder / 'times.json'} and {folder / 'times.png'}")
    return report


def profile(case: Case, rounds: int = 20) -> str:
    """Where the time of ``rounds`` steps of the fast GRU goes, operation by operation: a table.

    ``mm`` and ``addmm`` are the matrix products, the lower bound; the rest comes on top.
    """
    step = implementations(case)[FAST]
    for _ in range(WARM_UP):
        step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(rounds):
            step()
    return profiler.key_averages().table("self_cpu_time_total", 16, max_name_column_width=40)


def check_positive(parser: argparse.ArgumentParser, **values: float | None) -> None:
    """End with one sentence where an option of the command line was given as 0 or less."""
    for name, value in values.items():
        if value is not None and not value > 0:
            kind = "integer" if isinstance(value, int) else "number"
            parser.error(f"--{name} must be a positive {kind}, got {value:g}.")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="course.py bench", description="How long a training step takes, on a CPU."
    )
    parser.add_argument("--seconds", type=float, default=120, help="for all cases (default: 120)")
    parser.add_argument("--threads", type=int, help="threads of PyTorch (default: its own choice)")
    parser.add_argument("--quick", action="store_true", help="small sizes only, 20 seconds")
    parser.add_argument(
        "--profile", action="store_true", help="show where the fast GRU spends its time instead"
    )
    parser.add_argument("--record", action="store_true", help=f"also write data/{RECORD}")
    parser.add_argument("--folder", type=Path, default=Path("build", "bench"), help="for the files")
    options = parser.parse_args(arguments)
    check_positive(parser, seconds=options.seconds, threads=options.threads)
    sweeps, seconds = SWEEPS, options.seconds
    if options.quick:
        sweeps, seconds = QUICK_SWEEPS, min(seconds, 20)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    if options.profile:
        print(profile(Case()))
        return 0
    try:
        report = run(cases_of(sweeps), seconds, options.folder)
    except KeyboardInterrupt:
        print("\nInterrupted: nothing was written.", file=sys.stderr)
        return 130
    if options.record:
        write_json(data_dir() / RECORD, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
