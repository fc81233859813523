"""Three years of sunspots ahead: ``python -m gru_helpers.studies.time_series [--record]``.

The data, the baselines, the model and the recipe of notebook 09, and a study. First every candidate
is trained on 1749 to 1909 and judged on 1910 to 1949. The best of them is then trained again, with
new seeds, on all months before 1950, and judged once from every month of 1950 to 2005 at which a
forecast of 36 months can be checked. Two diagnoses follow: the same GRUs on the same sun made lower
and higher; and the origins from 1980 on, forecast by GRUs that know the months before 1980.

The record is written to ``build/time_series/time_series.json``, with ``--record`` also to
``data/``, where notebook 09 draws it; ``--quick`` takes two epochs and two seeds. The bodies of the
taught definitions are those of the notebook.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..corpus import data_dir
from .bench import check_positive, machine, write_json
from .fit import Fit, fit

__all__ = [
    "AHEAD",
    "HORIZONS",
    "LAGS",
    "StepForecaster",
    "SunForecaster",
    "fit_linear",
    "iterate",
    "load_sunspots",
    "month",
    "pinball",
    "rmse",
    "train_forecaster",
    "windows",
]

LAGS, AHEAD = 132, 36  # months that a forecast reads, and months that it forecasts
HORIZONS = (1, 6, 12, 24, 36)
VALIDATION, TEST = 1910, 1950  # the years in which the two spans begin
RECENT = 1980  # the test span from here on is judged again, by what knows all months before it
CSV, RECORD = "sunspots.csv", "time_series.json"

Forecast = Callable[[Tensor], Tensor]


# --- data and baselines -------------------------------------------------------------------------


def load_sunspots() -> Tensor:
    """The monthly mean sunspot numbers of 1749 to 2008, ``(3120,)``.

    They are in ``data/`` of the repository, or inside the installed package.
    """
    for folder in (data_dir(), Path(__file__).resolve().parent.parent):
        if (folder / CSV).is_file():
            with (folder / CSV).open(encoding="utf-8", newline="") as lines:
                return torch.tensor([float(row["sunspots"]) for row in csv.DictReader(lines)])
    raise FileNotFoundError(
        f"{CSV} is missing from {data_dir()}: install the package again, or restore the file from "
        "the repository."
    )


def month(year: int) -> int:
    """The index of January of a year in the series."""
    return 12 * (year - 1749)


def windows(series: Tensor, lags: int = LAGS, ahead: int = AHEAD) -> tuple[Tensor, Tensor]:
    """Every stretch of ``lags`` months, and the ``ahead`` months that follow it.

    Returns ``(num_windows, lags)`` and ``(num_windows, ahead)``.
    """
    both = series.unfold(0, lags + ahead, 1)
    return both[:, :lags], both[:, lags:]


def rmse(forecasts: Tensor, truth: Tensor) -> list[float]:
    """The root of the mean squared error at each of ``HORIZONS``; both are ``(origins, 36)``."""
    errors = ((forecasts - truth) ** 2).mean(dim=0).sqrt()
    return [errors[horizon - 1].item() for horizon in HORIZONS]


def fit_linear(X: Tensor, Y: Tensor) -> Forecast:
    """Least squares with a constant: a function from ``(n, lags)`` to ``(n, ahead)``."""

    def with_constant(X: Tensor) -> Tensor:
        return torch.cat([X, torch.ones(len(X), 1)], dim=1).double()

    # "gelsd", for columns that may be all zero, as the last one of NLinear is
    weights = torch.linalg.lstsq(with_constant(X), Y.double(), driver="gelsd").solution
    return lambda X: (with_constant(X) @ weights).float()


def iterate(one_month: Forecast, X: Tensor, lags: int, ahead: int = AHEAD) -> Tensor:
    """Forecast month by month, each forecast being read as if it had been observed."""
    for _ in range(ahead):
        X = torch.cat([X, one_month(X[:, -lags:])], dim=1)
    return X[:, -ahead:]


def baselines(series: Tensor, X: Tensor, Y: Tensor) -> dict[str, list[float]]:
    """The errors from the windows ``X`` of the forecasts without a GRU, fitted on ``series``."""
    inputs, targets = windows(series)
    last = inputs[:, -1:]
    ar = {lags: fit_linear(*windows(series, lags, 1)) for lags in (24, LAGS)}
    direct, nlinear = fit_linear(inputs, targets), fit_linear(inputs - last, targets - last)
    forecasts = {
        "training mean": series.mean().expand_as(Y),
        "naive": X[:, -1:].expand_as(Y),
        "132 months earlier": X[:, :AHEAD],
        "AR(24), iterated": iterate(ar[24], X, 24),
        "AR(132), iterated": iterate(ar[LAGS], X, LAGS),
        "linear, direct": direct(X),
        "NLinear, direct": nlinear(X - X[:, -1:]) + X[:, -1:],
    }
    return {name: rmse(forecast, Y) for name, forecast in forecasts.items()}


# --- the models ---------------------------------------------------------------------------------


class SunForecaster(nn.Module):
    """A GRU that reads ``months`` numbers a step, and a layer that gives all forecasts at once."""

    def __init__(
        self,
        num_outputs: int = AHEAD,
        num_hiddens: int = 32,
        months: int = 4,
        slowest: int | None = 132,
        difference: bool = True,
    ):
        """With ``slowest`` the update biases are drawn for memories of up to that many steps.

        That is chrono initialization (Tallec and Ollivier 2018, arXiv:1804.11188). With
        ``difference`` the layer forecasts the change from the last value, and first of all none.
        """
        super().__init__()
        self.rnn = nn.GRU(months, num_hiddens, batch_first=True)
        self.linear = nn.Linear(num_hiddens, num_outputs)
        self.difference = difference
        if difference:
            nn.init.zeros_(self.linear.weight)  # untrained, it is the naive forecast
            nn.init.zeros_(self.linear.bias)
        if slowest is not None:
            _, _, b_x, b_h = self.rnn.parameters()
            with torch.no_grad():
                steps = torch.empty(num_hiddens).uniform_(1, slowest - 1)
                b_x[num_hiddens : 2 * num_hiddens] = steps.log()
                b_h[num_hiddens : 2 * num_hiddens] = 0

    def forward(self, X: Tensor) -> Tensor:
        """``X`` is ``(batch_size, lags)``, scaled; returns ``(batch_size, num_outputs)``."""
        steps = X.reshape(len(X), -1, self.rnn.input_size)  # (batch_size, num_steps, months)
        states, _ = self.rnn(steps)
        forecasts = self.linear(states[:, -1])
        return forecasts + X[:, -1:] if self.difference else forecasts


class StepForecaster(nn.Module):
    """A GRU that forecasts the next month only, and reads on from there."""

    def __init__(self, num_hiddens: int = 32):
        """Chrono initialization as in ``SunForecaster``; it too begins as the naive forecast."""
        super().__init__()
        like = SunForecaster(1, num_hiddens, months=1)
        self.rnn, self.linear = like.rnn, like.linear

    def forward(self, X: Tensor, ahead: int = AHEAD) -> Tensor:
        """``(batch_size, ahead)`` forecasts from the first ``LAGS`` months of ``X``.

        If ``X`` goes on with what came next, that is read instead of the model's own forecasts:
        teacher forcing (Williams and Zipser 1989).
        """
        X, truth = X[:, :LAGS], X[:, LAGS:]
        _, H = self.rnn(X[:, :, None])
        last, forecasts = X[:, -1:], []
        for k in range(ahead):
            forecasts.append(last + self.linear(H[0]))
            last = truth[:, k : k + 1] if truth.shape[1] else forecasts[-1]
            _, H = self.rnn(last[:, :, None], H)
        return torch.cat(forecasts, dim=1)


def squared_error(forecasts: Tensor, Y: Tensor) -> Tensor:
    """The mean squared error."""
    return ((forecasts - Y) ** 2).mean()


def pinball(forecasts: Tensor, Y: Tensor, levels: Tensor) -> Tensor:
    """The mean pinball loss of ``(n, ahead, num_levels)`` quantiles (Koenker and Bassett 1978)."""
    short = Y[:, :, None] - forecasts  # by how much each quantile is too low
    return torch.maximum(levels * short, (levels - 1) * short).mean()


def train_forecaster(
    model: nn.Module,
    X: Tensor,
    Y: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor] = squared_error,
    num_epochs: int = 30,
    label: str = "",
) -> Fit:
    """AdamW, minibatches of 64 windows, a rate that rises to 0.009 and falls (``fit``).

    A run with a ``label`` shows a progress bar.
    """
    waiting: list[Tensor] = []

    def next_loss() -> Tensor:
        if not waiting:
            waiting.extend(torch.randperm(len(X)).split(64))
        batch = waiting.pop()
        return loss(model(X[batch]), Y[batch])

    num_minibatches = num_epochs * math.ceil(len(X) / 64)
    look: dict[str, Any] = {"label": label, "progress": bool(label)}
    adamw = torch.optim.AdamW
    return fit(model, next_loss, num_minibatches, 0.009, optimizer=adamw, one_cycle=True, **look)


# --- the study ----------------------------------------------------------------------------------

# What is tried on the validation span: the first, and others that differ from it in one thing.
CANDIDATES: dict[str, dict[str, Any]] = {
    "4 months a step, 30 epochs": {},
    "1 month a step": {"months": 1},
    "12 months a step": {"months": 12},
    "15 epochs": {"num_epochs": 15},
    "60 epochs": {"num_epochs": 60},
    "16 units": {"num_hiddens": 16},
    "no difference": {"difference": False},
    "PyTorch's update bias": {"slowest": None},
    "chrono, up to 33 steps": {"slowest": 33},
}


def members(
    series: Tensor, X: Tensor, seeds: Sequence[int], num_epochs: int = 30, **setting: Any
) -> list[Tensor]:
    """The forecasts from the windows ``X`` of one GRU for each seed, trained on ``series``."""
    mean, deviation = series.mean(), series.std()
    inputs, targets = windows((series - mean) / deviation)
    forecasts = []
    for seed in seeds:
        torch.manual_seed(seed)
        model = SunForecaster(**setting)
        if train_forecaster(model, inputs, targets, num_epochs=num_epochs).interrupted:
            raise KeyboardInterrupt
        with torch.no_grad():
            forecasts.append(model((X - mean) / deviation) * deviation + mean)
    return forecasts


def forced_and_free(
    series: Tensor, X: Tensor, Y: Tensor, seed: int, num_epochs: int = 6
) -> dict[str, list[float]]:
    """The errors of one ``StepForecaster`` trained on the truth, and on its own forecasts.

    Both begin with the same weights and see the same minibatches; both read themselves at the end.
    """
    mean, deviation = series.mean(), series.std()
    inputs, targets = windows((series - mean) / deviation)
    errors = {}
    for name, read in (("forced", torch.cat([inputs, targets], dim=1)), ("free", inputs)):
        torch.manual_seed(seed)
        model = StepForecaster()
        if train_forecaster(model, read, targets, num_epochs=num_epochs).interrupted:
            raise KeyboardInterrupt
        with torch.no_grad():
            errors[name] = rmse(model((X - mean) / deviation) * deviation + mean, Y)
    return errors


def mean_forecast(forecasts: Sequence[Tensor]) -> Tensor:
    """The ensemble: the mean of its members' forecasts."""
    return torch.stack(list(forecasts)).mean(dim=0)


def run(quick: bool) -> dict[str, Any]:
    """Choose on the validation span, judge on the test span, print both tables; the record."""
    seeds, last_seeds = (range(2), range(10, 12)) if quick else (range(3), range(10, 20))
    short = {"num_epochs": 2} if quick else {}
    sunspots = load_sunspots()
    known, X, Y = (
        sunspots[: month(VALIDATION)],
        *windows(sunspots[month(VALIDATION) - LAGS : month(TEST)]),
    )
    record: dict[str, Any] = {"machine": machine(), "horizons": HORIZONS, "seeds": len(last_seeds)}
    record["validation"] = {}
    print(f"{machine()}\n\nmean error over the horizons, {VALIDATION} to {TEST - 1}", flush=True)
    for name, setting in CANDIDATES.items():
        forecasts = members(known, X, seeds, **(setting | short))
        single = [statistics.mean(rmse(forecast, Y)) for forecast in forecasts]
        together = statistics.mean(rmse(mean_forecast(forecasts), Y))
        record["validation"][name] = {"members": single, "ensemble": together}
        print(f"{name:30}{together:8.2f}", flush=True)
    record["validation baselines"] = baselines(known, X, Y)
    chosen = min(CANDIDATES, key=lambda name: record["validation"][name]["ensemble"])
    known, X, Y = sunspots[: month(TEST)], *windows(sunspots[month(TEST) - LAGS :])
    setting = CANDIDATES[chosen] | short
    heights = (1.0, 1.3, 0.85, (known.std() / sunspots[month(TEST) :].std()).item())
    raised = members(known, torch.cat([height * X for height in heights]), last_seeds, **setting)
    by_height = list(zip(*(member.chunk(len(heights)) for member in raised), strict=True))
    forecasts = list(by_height[0])
    halves = forecasts[: len(forecasts) // 2], forecasts[len(forecasts) // 2 :]
    record |= {
        "chosen": chosen,
        "baselines": baselines(known, X, Y),
        "members": [rmse(forecast, Y) for forecast in forecasts],
        "halves": [rmse(mean_forecast(half), Y) for half in halves],
        "ensemble": rmse(mean_forecast(forecasts), Y),
        "heights": {},
    }
    linear = fit_linear(*windows(known, LAGS, 1))
    for height, higher in zip(heights, by_height, strict=True):
        record["heights"][f"{height:.2f}"] = {
            "AR(132)": rmse(iterate(linear, height * X, LAGS) / height, Y),
            "ensemble": rmse(mean_forecast(higher) / height, Y),
        }
    print(f"\nchosen: {chosen}\n{'months ahead':30}" + "".join(f"{h:8}" for h in HORIZONS))
    for name, row in (record["baselines"] | {"GRU ensemble": record["ensemble"]}).items():
        print(f"{name:30}" + "".join(f"{value:8.1f}" for value in row), flush=True)
    runs = [forced_and_free(known, X, Y, seed, 1 if quick else 6) for seed in seeds]
    record["iterated"] = {name: [run[name] for run in runs] for name in ("forced", "free")}
    late = slice(month(RECENT) - month(TEST), None)
    record["recent"] = {
        f"before {year}": {
            "AR(132)": rmse(
                iterate(fit_linear(*windows(sunspots[: month(year)], LAGS, 1)), X[late], LAGS),
                Y[late],
            ),
            "ensemble": rmse(
                mean_forecast(members(sunspots[: month(year)], X[late], last_seeds, **setting)),
                Y[late],
            ),
        }
        for year in (TEST, RECENT)
    }
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="course.py sunspots", description="Choose and judge forecasts of the sunspots."
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default: 1)")
    parser.add_argument("--quick", action="store_true", help="two epochs and two seeds only")
    parser.add_argument("--record", action="store_true", help=f"also write data/{RECORD}")
    options = parser.parse_args(arguments)
    check_positive(parser, threads=options.threads)
    torch.set_num_threads(options.threads)
    try:
        record = run(options.quick)
    except KeyboardInterrupt:
        print("\nInterrupted: nothing was written.", file=sys.stderr)
        return 130
    write_json(Path("build", "time_series", RECORD), record)
    if options.record and not options.quick:
        write_json(data_dir() / RECORD, record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
