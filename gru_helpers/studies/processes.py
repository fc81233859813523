"""One minibatch shared by several processes: ``python -m gru_helpers.studies.processes``.

Every process holds the same weights, takes its share of the rows and computes its gradients;
``DistributedDataParallel`` averages these over the processes (Li et al. 2020, *PyTorch
Distributed: experiences on accelerating data parallel training*), so that all take the same step.
The program starts itself again under ``torch.distributed.run``, which is what ``torchrun`` calls,
on this machine alone, with the backend gloo.

First comes the proof, in float64: the averaged gradients are those of one process that has all
rows, and after three steps of Adam the weights are too. Then the time of a training step: one
process with one thread, one with as many threads as there are processes, and the processes with
one thread each take turns. Results go to ``build/processes/processes.json``; with ``--record`` also
to ``data/processes.json``, which notebook 11 reports.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from ..corpus import data_dir
from ..fast import FastGRUModel
from .bench import check_positive, device_name, write_json

MODULE, RECORD = "gru_helpers.studies.processes", "processes.json"
VOCAB_SIZE, NUM_HIDDENS, NUM_STEPS = 28, 256, 35  # of the classic job
ROWS = (32, 128, 512)  # of the whole minibatch
ROUNDS, WARM_UP = 30, 3
ONE, THREADS, PROCESSES = "one thread", "threads", "processes"
PATIENCE = timedelta(seconds=120)  # for processes that never arrive
# gloo keeps to this machine; PyTorch for Windows comes without libuv
ENVIRONMENT = {
    "linux": {"GLOO_SOCKET_IFNAME": "lo"},
    "darwin": {"GLOO_SOCKET_IFNAME": "lo0"},
    "win32": {"USE_LIBUV": "0"},
}

Report = dict[str, Any]


# --- what every process does --------------------------------------------------------------------


def share(rows: Tensor, rank: int, num_processes: int) -> Tensor:
    """The rows of process ``rank``: every ``num_processes``-th, beginning with its own number."""
    return rows[rank::num_processes]


def backward(model: nn.Module, X: Tensor, Y: Tensor) -> None:
    """Fresh gradients of the mean loss on ``X`` and ``Y``, ``(batch_size, num_steps)`` each."""
    model.zero_grad()
    logits, _ = model(X)
    nn.functional.cross_entropy(logits, Y.T.reshape(-1)).backward()


def make_model(dtype: torch.dtype = torch.float32) -> FastGRUModel:
    """The same first weights in every process."""
    torch.manual_seed(0)
    return FastGRUModel(VOCAB_SIZE, NUM_HIDDENS, dtype=dtype)


def make_minibatch(num_rows: int) -> tuple[Tensor, Tensor]:
    """The same random tokens in every process: X and Y, ``(num_rows, NUM_STEPS)``."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, VOCAB_SIZE, (num_rows, NUM_STEPS + 1), generator=generator)
    return ids[:, :-1], ids[:, 1:]


def largest_difference(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """The largest absolute difference between two lists of tensors."""
    return max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True))


def proof(num_rows: int = 32) -> Report:
    """Gradients and weights of the processes together against those of one process alone."""
    rank, world = dist.get_rank(), dist.get_world_size()
    alone, shared = make_model(torch.float64), make_model(torch.float64)
    together = DistributedDataParallel(shared)
    optimizers = [torch.optim.Adam(model.parameters()) for model in (alone, shared)]
    X, Y = make_minibatch(num_rows)
    my_X, my_Y = share(X, rank, world), share(Y, rank, world)
    grads = []
    for _ in range(3):
        backward(alone, X, Y)
        backward(together, my_X, my_Y)  # the processes exchange gradients in here
        pair = [[param.grad.clone() for param in model.parameters()] for model in (alone, shared)]  # type: ignore[union-attr]
        grads.append(largest_difference(*pair))
        for optimizer in optimizers:
            optimizer.step()
    weights = [list(model.parameters()) for model in (alone, shared)]
    backward(shared, my_X, my_Y)  # without the wrapper nothing is exchanged
    local = largest_difference([p.grad for p in shared.parameters()], pair[0])  # type: ignore[misc]
    return {
        "rows": [num_rows, len(my_X)],
        "gradients": grads,
        "weights": largest_difference(*weights),
        "not_averaged": local,
    }


def timing(num_rows: int, rounds: int) -> Report:
    """Seconds of a training step in three arrangements that take turns, and of one all-reduce.

    The processes other than the first wait at a barrier, without work, while the first is alone.
    """
    rank, world = dist.get_rank(), dist.get_world_size()
    alone, shared = make_model(), make_model()
    together = DistributedDataParallel(shared)
    X, Y = make_minibatch(num_rows)
    my_X, my_Y = share(X, rank, world), share(Y, rank, world)
    models: tuple[nn.Module, ...] = (alone, together)
    optimizers = {model: torch.optim.Adam(model.parameters()) for model in models}
    flat = torch.zeros(sum(param.numel() for param in alone.parameters()))

    def timed(threads: int, model: nn.Module | None) -> float:
        torch.set_num_threads(threads)
        dist.barrier()
        started = time.perf_counter()
        if model is None:
            dist.all_reduce(flat)
        elif model is together:
            backward(model, my_X, my_Y)
            optimizers[model].step()
        elif rank == 0:
            backward(model, X, Y)
            optimizers[model].step()
        return time.perf_counter() - started

    jobs = {ONE: (1, alone), THREADS: (world, alone), PROCESSES: (1, together)}
    times: dict[str, list[float]] = {name: [] for name in (*jobs, "all-reduce")}
    for number in range(WARM_UP + rounds):
        for name, arguments in {**jobs, "all-reduce": (1, None)}.items():
            seconds = timed(*arguments)
            if number >= WARM_UP:
                times[name].append(seconds)
    return summary(num_rows, times)


def summary(num_rows: int, times: dict[str, list[float]]) -> Report:
    """Medians in seconds, quartiles, and median ratios to the processes' step, as plain numbers."""
    quartiles = {name: statistics.quantiles(values, n=4) for name, values in times.items()}
    return {
        "rows": num_rows,
        "rounds": len(times[ONE]),
        "seconds": {
            name: {"median": median, "quartiles": [low, high]}
            for name, (low, median, high) in quartiles.items()
        },
        "ratios": {
            name: statistics.median(
                a / b for a, b in zip(times[name], times[PROCESSES], strict=True)
            )
            for name in (ONE, THREADS)
        },
    }


def work(path: Path, rounds: int) -> None:
    """What a process does that ``torch.distributed.run`` has started; the first writes ``path``."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=PATIENCE)
    report: Report = {"device": device_name(), "torch": torch.__version__}
    report |= {"processes": dist.get_world_size(), "proof": proof()}
    report["parameters"] = sum(param.numel() for param in make_model().parameters())
    report["cases"] = [timing(num_rows, rounds) for num_rows in ROWS if rounds]
    if dist.get_rank() == 0:
        write_json(path, report)
    dist.destroy_process_group()


# --- who starts them ----------------------------------------------------------------------------


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def launch(num_processes: int = 2, rounds: int = 0) -> Report:
    """Start the processes on this machine and return their report; ``rounds`` 0: the proof only.

    Raises ``RuntimeError`` with the first error that was printed if one of them fails.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **ENVIRONMENT.get(sys.platform, {})}
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={num_processes}"]
    command += ["--master-addr=127.0.0.1", f"--master-port={free_port()}", "-m", MODULE]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / RECORD
        command += [f"--worker={path}", f"--rounds={rounds}"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode or not path.exists():
            errors = [line for line in done.stderr.splitlines() if "Error: " in line]
            raise RuntimeError(f"The processes failed: {(errors or ['no error was given'])[0]}")
        return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def proof_text(report: Report) -> str:
    """What the proof found, in two lines."""
    found, (whole, part) = report["proof"], report["proof"]["rows"]
    return (
        f"{report['processes']} processes with {part} rows each, one with {whole}, float64\n"
        f"largest difference of the gradients {max(found['gradients']):.1e}, "
        f"of the weights after three steps {found['weights']:.1e}"
    )


def case_text(case: Report) -> str:
    """One line of the table: rows, milliseconds of each arrangement, ratios."""
    milliseconds = (f"{1000 * found['median']:12.2f}" for found in case["seconds"].values())
    ratios = (f"{ratio:14.2f}" for ratio in case["ratios"].values())
    return f"{case['rows']:5}" + "".join(milliseconds) + "".join(ratios)


def head(num_processes: int) -> str:
    """The columns of that table."""
    names = (ONE, f"{num_processes} threads", f"{num_processes} processes", "all-reduce")
    columns = "".join(f"{name:>12}" for name in names)
    return f"{'rows':>5}{columns}{'gain over one':>14}{'over threads':>14}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="course.py processes", description="One minibatch shared by several processes."
    )
    parser.add_argument("--processes", type=int, default=2, help="how many (default: 2)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of timing (default: 30)")
    parser.add_argument("--quick", action="store_true", help="the proof only")
    parser.add_argument("--record", action="store_true", help=f"also write data/{RECORD}")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        work(options.worker, options.rounds)
        return 0
    check_positive(parser, processes=options.processes, rounds=options.rounds)
    try:
        report = launch(options.processes, 0 if options.quick else options.rounds)
    except KeyboardInterrupt:
        print("\nInterrupted: nothing was written.", file=sys.stderr)
        return 130
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{report['device']}, torch {report['torch']}", proof_text(report), sep="\n")
    if report["cases"]:
        print("Milliseconds a training step, medians, and medians of the rounds' ratios:")
        print(head(options.processes), *map(case_text, report["cases"]), sep="\n")
    write_json(Path("build", "processes", RECORD), report)
    if options.record and not options.quick:
        write_json(data_dir() / RECORD, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
