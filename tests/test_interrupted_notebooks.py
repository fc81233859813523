"""Every notebook that trains, with all runs interrupted: it goes on, or says what it needs."""

import inspect

import pytest
import torch
from notebook_rules import LESSONS, SOLUTIONS, Notebook, source, where

import gru_helpers
from gru_helpers import UnfinishedError
from gru_helpers.studies import fit as fit_module
from gru_helpers.studies import honest_race, long_memory, speedrun, time_series
from gru_helpers.studies.fit import fit

CALLS = " train(", " train_holder(", " train_forecaster("
TRAINING = [
    path
    for path in LESSONS + SOLUTIONS
    if any(name in path.read_text(encoding="utf-8") for name in CALLS)
]
# Cells that take seconds and give nothing to those that train: of 06. Of 11, those that do.
SLOW = {"s012", "s017", "s034", "s035", "s036"}
SPEED_RUN = {"p001", "p021", "p022", "p0220", "p0231", "p025", "p026"}
HONEST_RACE = {"p001", "h002", "h004", "h007", "h008"}


class Interrupted:
    """Minibatches whose reader presses Ctrl-C after so many epochs."""

    def __init__(self, data, epochs):
        self.data, self.epochs = data, epochs
        self.use_random_iter = getattr(data, "use_random_iter", False)

    def __len__(self):
        return len(self.data)

    def __iter__(self):
        self.epochs -= 1
        if self.epochs < 0:
            raise KeyboardInterrupt
        return iter(self.data)


@pytest.fixture(params=[0, 2], ids=["in the first epoch", "in the third epoch"])
def runs(request, monkeypatch):
    """The histories of all runs, each of which is interrupted."""
    train, histories = gru_helpers.train, []

    def interrupted(*args, **look):
        arguments = inspect.signature(train).bind(*args, **look).arguments
        epochs = min(request.param, arguments["num_epochs"] - 1)
        arguments["train_iter"] = Interrupted(arguments["train_iter"], epochs)
        histories.append(train(**arguments | {"progress": False, "plot": False}))
        assert histories[-1].interrupted
        return histories[-1]

    def fit_interrupted(model, next_loss, *args, **look):
        losses = iter([next_loss] * request.param)

        def stopped():
            try:
                return next(losses)()
            except StopIteration:
                raise KeyboardInterrupt from None

        histories.append(fit(model, stopped, *args, **look))
        assert histories[-1].interrupted
        return histories[-1]

    monkeypatch.setattr(gru_helpers, "train", interrupted)
    monkeypatch.setattr(fit_module, "fit", fit_interrupted)
    monkeypatch.setattr(long_memory, "fit", fit_interrupted)
    monkeypatch.setattr(time_series, "fit", fit_interrupted)
    monkeypatch.setattr(honest_race, "fit", fit_interrupted)
    monkeypatch.setattr(speedrun, "train", interrupted)
    threads = torch.get_num_threads()
    yield histories
    torch.set_num_threads(threads)


def run_cells(path, runs, chosen):
    """Run these cells of a notebook in turn; returns those that ask for a whole run."""
    notebook, names, refused = Notebook(path), {"__name__": "__main__"}, []
    for cell in filter(chosen, notebook.code):
        before = len(runs)
        try:
            exec(compile(source(cell), where(notebook, cell), "exec"), names)
        except UnfinishedError:
            refused.append(cell)
        assert len(runs) <= before + 1, "one stop ends a series"
    assert runs
    return refused


@pytest.mark.parametrize("path", TRAINING, ids=lambda path: path.stem)
def test_after_an_interrupt_cells_run_or_say_what_they_need(path, runs):
    refused = run_cells(path, runs, lambda cell: cell["id"] not in SLOW)
    assert refused


def test_an_interrupted_speed_run_can_be_measured(runs):
    (path,) = (path for path in LESSONS if path.name.startswith("11"))
    assert run_cells(path, runs, lambda cell: cell["id"] in SPEED_RUN) == []


def test_an_interrupted_honest_race_says_what_it_needs(runs):
    (path,) = (path for path in LESSONS if path.name.startswith("11"))
    refused = run_cells(path, runs, lambda cell: cell["id"] in HONEST_RACE)
    assert [cell["id"] for cell in refused] == ["h007", "h008"]
