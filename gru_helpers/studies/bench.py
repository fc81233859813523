"""How long a training step takes: ``python -m gru_helpers.bench``.

One step is the forward pass, the loss and the backward pass; no optimiser. Measured are the taught
loop under autograd, ``nn.GRU``, our fast GRU in both forms of the reset gate (``nn.GRU`` has the
form "after"), and the floor: the matrix products of both passes alone, written into memory that
is there already. No GRU that multiplies the same matrices in the same order can be faster.

All of them run in one process and take turns, since the speed of a machine drifts: a ratio is the
median of the ratios of single rounds. Besides the table there are ``times.json`` and ``times.png``
in ``build/bench``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from .bptt import GRU, free_memory
from .dataset import data_dir
from .gru import get_params, gru, init_gru_state
from .models import RNNModelScratch, params_to_nn_gru

TAUGHT, TORCH, FAST, FAST_AFTER, FLOOR = (
    *("taught loop", "nn.GRU", "fast GRU", "fast, after"),
    "floor",
)
RATIOS = ((TAUGHT, FAST), (TORCH, FAST), (TORCH, FAST_AFTER), (FAST, FLOOR))
WARM_UP, LEAST_ROUNDS = 2, 3
RECORD = "bench.json"  # in data/, the record that notebook 07 draws


@dataclass(frozen=True)
class Case:
    """The sizes of a training step; the defaults are the classic job's."""

    num_steps: int = 35
    batch_size: int = 32
    num_hiddens: int = 256
    vocab_size: int = 28


SWEEPS = {
    "num_steps": (10, 35, 100, 400),
    "batch_size": (1, 8, 32, 128),
    "num_hiddens": (64, 256, 512, 1024),
}
QUICK_SWEEPS = {
    "num_steps": (10, 35, 100),
    "batch_size": (4, 32, 64),
    "num_hiddens": (64, 128, 256),
}


def cases_of(sweeps, start: Case | None = None) -> list[Case]:
    """``start`` (default: the classic job), and it with one size changed at a time."""
    start = start or Case()
    cases = [start]
    for name, values in sweeps.items():
        cases += [replace(start, **{name: value}) for value in values]
    return list(dict.fromkeys(cases))


# --- what is measured -------------------------------------------------------------------------


def training_step(model, X, labels):
    """A function without arguments that does one training step of ``model``."""
    params = list(model.parameters())

    def step():
        for param in params:
            param.grad = None
        logits, _ = model(X, model.begin_state(X.shape[0], X.device))
        nn.functional.cross_entropy(logits, labels).backward()

    return step


def floor_step(case: Case):
    """A function without arguments that does the matrix products of one training step.

    In each step of the loop: H into both gates, R * H into the candidate, and the gradients back
    through both. Once: the output layer, its two gradients, and the gradients of the state's
    weights. The input's weights are rows that are looked up, not multiplied.
    """
    T, B, n, v = case.num_steps, case.batch_size, case.num_hiddens, case.vocab_size
    H, dA_h, dA_zr = torch.randn(B, n), torch.randn(B, n), torch.randn(B, 2 * n)
    W_hh, W_zr, W_hq = torch.randn(n, n), torch.randn(n, 2 * n), torch.randn(n, v)
    Hs, dA_hs, dA_zrs = (torch.randn(T * B, width) for width in (n, n, 2 * n))
    doutputs = torch.randn(T * B, v)
    loop = [(H, W_zr), (H, W_hh)] * T + [(dA_h, W_hh.T), (dA_zr, W_zr.T)] * T
    once = [(Hs, W_hq), (doutputs, W_hq.T), (Hs.T, doutputs), (Hs.T, dA_hs), (Hs.T, dA_zrs)]
    shapes = {(a.shape[0], b.shape[1]) for a, b in loop + once}
    room = {shape: torch.empty(shape) for shape in shapes}
    products = [(a, b, room[a.shape[0], b.shape[1]]) for a, b in loop + once]

    def step():
        for a, b, out in products:
            torch.mm(a, b, out=out)

    return step


def contestants(case: Case) -> dict:
    """What takes turns in ``measure``: a function for each name, on the same numbers."""
    device = torch.device("cpu")
    params = get_params(case.vocab_size, case.num_hiddens, device)
    after = [*params, torch.zeros(case.num_hiddens)]
    sizes = case.vocab_size, case.num_hiddens
    X = torch.randint(0, case.vocab_size, (case.batch_size, case.num_steps))
    labels = torch.randint(0, case.vocab_size, (case.num_steps * case.batch_size,))
    models = {
        TAUGHT: RNNModelScratch(*sizes, device, lambda *_: params, init_gru_state, gru),
        TORCH: params_to_nn_gru(params),
        FAST: GRU(*sizes, "before", params=params),
        FAST_AFTER: GRU(*sizes, "after", params=after),
    }
    steps = {name: training_step(model, X, labels) for name, model in models.items()}
    return {**steps, FLOOR: floor_step(case)}


def measure(case: Case, seconds: float) -> dict[str, list[float]]:
    """Seconds of every step of every contestant; they take turns for about ``seconds``."""
    steps = contestants(case)
    for step in steps.values():
        for _ in range(WARM_UP):
            step()
    times = {name: [] for name in steps}
    ends = time.perf_counter() + seconds
    for first in itertools.cycle(range(len(steps))):  # each round starts with another one
        if len(times[FLOOR]) >= LEAST_ROUNDS and time.perf_counter() > ends:
            break
        names = list(steps)
        for name in names[first:] + names[:first]:
            started = time.perf_counter()
            steps[name]()
            times[name].append(time.perf_counter() - started)
    free_memory()
    return times


def summary(case: Case, times: dict[str, list[float]]) -> dict:
    """Sizes, median and quartiles in seconds, and the rounds' median ratios, as plain numbers."""
    quartiles = {name: statistics.quantiles(values, n=4) for name, values in times.items()}
    return {
        **asdict(case),
        "rounds": len(times[FLOOR]),
        "seconds": {
            name: {"median": middle, "quartiles": [low, high]}
            for name, (low, middle, high) in quartiles.items()
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


# --- how it is told ---------------------------------------------------------------------------


def table_row(first: str, entries, last="") -> str:
    """A line of a table: the first column to the left, the others to the right."""
    line = f"{first:<18}" + "".join(f"{entry:>24}" for entry in entries) + f"{last:>8}"
    return line.rstrip()


def sizes_of(result: dict) -> str:
    """Steps, batch size and hidden units of a case."""
    return f"{result['num_steps']} x {result['batch_size']} x {result['num_hiddens']}"


def times_row(result: dict) -> str:
    """The milliseconds of a case: medians, with quartiles in brackets."""
    entries = []
    for found in result["seconds"].values():
        low, high = (1000 * quartile for quartile in found["quartiles"])
        entries.append(f"{1000 * found['median']:.3g} ({low:.3g}, {high:.3g})")
    return table_row(sizes_of(result), entries, result["rounds"])


def figure_of(report: dict):
    """The report's times against steps, batch size and hidden units, as a ``Figure``."""
    from .plotting import plot_step_times

    start, panels = report["cases"][0], {}
    for name, label in (
        ("num_steps", "steps"), ("batch_size", "batch size"), ("num_hiddens", "hidden units")
    ):  # fmt: skip
        others = [size for size in asdict(Case()) if size != name]
        line = [c for c in report["cases"] if all(c[size] == start[size] for size in others)]
        line.sort(key=lambda case: case[name])
        panels[label] = {
            contestant: (
                [case[name] for case in line],
                [1000 * case["seconds"][contestant]["median"] for case in line],
                [[1000 * s for s in case["seconds"][contestant]["quartiles"]] for case in line],
            )
            for contestant in start["seconds"]
        }
    threads = f"{report['threads']} thread" + "s" * (report["threads"] > 1)
    return plot_step_times(panels, FLOOR, f"One training step, {report['device']}, {threads}")


def report_of(cases: list[Case], seconds: float, tell=None) -> dict:
    """Measure ``cases`` in ``seconds`` altogether; ``tell`` gets each result as soon as it is."""
    report = {"device": device_name(), "threads": torch.get_num_threads()}
    report |= {"torch": torch.__version__, "cases": []}
    for case in cases:
        report["cases"].append(summary(case, measure(case, seconds / len(cases))))
        if tell:
            tell(report["cases"][-1])
    return report


def run(cases: list[Case], seconds: float, folder: Path) -> dict:
    """Measure ``cases``, print the table, write ``times.json`` and ``times.png``."""
    from .plotting import to_png

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    print(f"{device_name()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}")
    if (load or 0) > 0.5:
        print(
            f"This machine is not idle (load {load:.1f}): the ratios are worth more than the "
            "times, and with several threads neither is worth much."
        )
    print("Milliseconds a training step, median (quartiles), for steps x batch x hidden units:")
    print(table_row("", (TAUGHT, TORCH, FAST, FAST_AFTER, FLOOR), "rounds"))
    report = report_of(cases, seconds, lambda case: print(times_row(case), flush=True))
    report["load_before"] = load
    print("Ratios, median of all rounds:")
    print(table_row("", report["cases"][0]["ratios"]))
    for result in report["cases"]:
        print(table_row(sizes_of(result), [f"{r:.2f}" for r in result["ratios"].values()]))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "times.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (folder / "times.png").write_bytes(to_png(figure_of(report)))
    print(f"Written: {folder / 'times.json'} and {folder / 'times.png'}")
    return report


def profile(case: Case, rounds: int = 20) -> str:
    """Where the time of the fast GRU goes, operation by operation: a table.

    ``mm`` and ``addmm`` are the matrix products, which the floor has too; the rest stands above.
    """
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as recording

    step = contestants(case)[FAST]
    for _ in range(WARM_UP):
        step()
    with recording(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(rounds):
            step()
    rows = sorted(found.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows)
    lines = [f"{'operation':36} {'ms a step':>9} {'share':>6} {'calls':>6}"]
    for row in rows[:16]:
        spent = row.self_cpu_time_total
        lines.append(
            f"{row.key:36} {spent / 1000 / rounds:9.2f} {spent / total:6.0%} "
            f"{row.count / rounds:6.0f}"
        )
    return "\n".join(lines)


def main(arguments=None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m gru_helpers.bench", description="How long a training step takes, on a CPU."
    )
    parser.add_argument("--seconds", type=float, default=120, help="for all cases (default: 120)")
    parser.add_argument("--threads", type=int, help="threads of PyTorch (default: its own choice)")
    parser.add_argument("--quick", action="store_true", help="small sizes only, 20 seconds")
    parser.add_argument(
        "--profile", action="store_true", help="show where the fast GRU spends its time instead"
    )
    parser.add_argument("--record", action="store_true", help="also write data/bench.json")
    parser.add_argument("--folder", type=Path, default=Path("build", "bench"), help="for the files")
    options = parser.parse_args(arguments)
    if not options.seconds > 0:
        parser.error(f"--seconds {options.seconds:g} is no time: give a number above 0")
    if options.threads is not None and options.threads < 1:
        parser.error(f"--threads {options.threads} is no number of threads: give 1 or more")
    sweeps, seconds = SWEEPS, options.seconds
    if options.quick:
        sweeps, seconds = QUICK_SWEEPS, min(seconds, 20)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(options.threads or before)
        torch.manual_seed(0)
        if options.profile:
            print(profile(Case()))
        else:
            report = run(cases_of(sweeps), seconds, options.folder)
            if options.record:
                text = json.dumps(report, indent=1) + "\n"
                (data_dir() / RECORD).write_text(text, encoding="utf-8")
    except KeyboardInterrupt:
        print("\nInterrupted: nothing was written.", file=sys.stderr)
        return 130
    finally:
        torch.set_num_threads(before)
    return 0


if __name__ == "__main__":
    sys.exit(main())
