"""The speed run: its recipes, its schedule, what it measures, and its record."""

import json
from dataclasses import replace

import pytest
import torch

from gru_helpers import CorpusError, History, SeqDataLoader, evaluate_perplexity
from gru_helpers.corpus import data_dir
from gru_helpers.studies import speedrun
from gru_helpers.studies.speedrun import FAST, FINAL, LIBRARY, TAUGHT, make_model, rate, train_once

TEXT = "the time traveller smiled at us over the lamp and the time machine stood there " * 20


@pytest.fixture
def ids(vocab):
    """Some 1,600 characters: enough for the classic rows of 35 steps."""
    return vocab[list(TEXT)]


@pytest.fixture(autouse=True)
def _few_units(monkeypatch):
    """Eight units, so that an epoch takes no time."""
    monkeypatch.setattr(speedrun, "NUM_HIDDENS", 8)


@pytest.mark.parametrize("recipe", [TAUGHT, LIBRARY, FAST, FINAL], ids=lambda r: r.label)
def test_a_run_is_the_same_from_the_same_seed(recipe, ids, vocab):
    recipe = replace(recipe, num_epochs=2)
    first, second, other = (train_once(recipe, ids, vocab, seed) for seed in (3, 3, 4))
    assert first["perplexity"] == second["perplexity"] != other["perplexity"]
    assert first["epochs"] == 2
    assert first["seconds"] > 0


def test_the_taught_loop_and_the_fast_one_are_one_recipe(ids, vocab):
    """The same first weights and the same cuts, so that only the rounding differs."""
    taught, fast = (train_once(replace(r, num_epochs=3), ids, vocab, 1) for r in (TAUGHT, FAST))
    assert taught["perplexity"] == pytest.approx(fast["perplexity"], rel=1e-4)


def test_first_weights_are_what_the_recipe_says(vocab):
    torch.manual_seed(0)
    recipe = replace(FAST, scale=0.5, input_scale=3.0, update_bias=-2.0)
    model = make_model(recipe, len(vocab))
    for std, names in ((0.5, ("W_hz", "W_hr", "W_hh")), (1.5, ("W_xz", "W_xr", "W_xh"))):
        weights = torch.cat([getattr(model, name) for name in names])
        assert weights.std().item() == pytest.approx(std, rel=0.2)
    assert (model.b_z == -2).all()
    assert (model.b_r == 0).all()


def test_the_rate_rises_and_falls_to_nothing():
    assert (rate(0), rate(0.05), rate(0.1), rate(1)) == (0, 0.5, 1, 0)
    assert rate(0.55) == pytest.approx(0.5)
    assert max(rate(i / 100) for i in range(101)) == 1


@pytest.mark.parametrize("num_epochs", [4, None], ids=["schedule", "no schedule"])
def test_every_minibatch_gets_its_rate(num_epochs, ids, vocab, monkeypatch):
    rates, train = [], speedrun.train

    def spy(*args, optimizer, **kwargs):
        hook = optimizer.register_step_pre_hook(lambda o, *_: rates.append(o.param_groups[0]["lr"]))
        history = train(*args, optimizer=optimizer, **kwargs)
        hook.remove()
        return history

    monkeypatch.setattr(speedrun, "train", spy)
    monkeypatch.setattr(speedrun, "MAX_EPOCHS", 4)
    train_once(replace(FINAL, num_epochs=num_epochs), ids, vocab, seed=0)
    steps = 4 * len(SeqDataLoader(ids, vocab, FINAL.batch_size, FINAL.num_steps, offset=0))
    factors = [rate(i / steps) if num_epochs else 1 for i in range(steps)]
    assert rates == pytest.approx([FINAL.lr * factor for factor in factors])


def test_what_is_measured_is_one_pass_with_fixed_weights(ids, vocab):
    run = train_once(replace(FINAL, num_epochs=1), ids, vocab, seed=0)
    rows = SeqDataLoader(ids, vocab, 32, 35, offset=0)
    assert run["perplexity"] == evaluate_perplexity(run["model"], rows)


def test_a_recipe_without_a_schedule_stops_where_it_reaches_the_target(ids, vocab, monkeypatch):
    monkeypatch.setattr(speedrun, "TARGET", 20.0)
    recipe = replace(FAST, lr=2.0, scale=0.1)
    run = train_once(recipe, ids, vocab, seed=0)
    assert run["perplexity"] <= 20
    assert 1 < run["epochs"] < speedrun.MAX_EPOCHS
    monkeypatch.setattr(speedrun, "MAX_EPOCHS", run["epochs"] - 1)
    short = train_once(recipe, ids, vocab, seed=0)
    assert short["epochs"] == run["epochs"] - 1
    assert short["perplexity"] > 20


def test_the_summary_counts_who_reached_the_target():
    runs = [
        {"epochs": 5, "seconds": s, "perplexity": p} for s, p in ((1, 1.05), (3, 1.2), (2, 1.1))
    ]
    row = speedrun.summary(FINAL, runs)
    assert (row["seconds"], row["perplexity"], row["worst"]) == (2, 1.1, 1.2)
    assert (row["reached"], row["seeds"]) == (2, 3)
    assert "2 of 3" in speedrun.row_text(row)


def test_without_the_book_it_says_so(monkeypatch, capsys):
    def no_book(*args, **kwargs):
        raise CorpusError("there is no book here.")

    monkeypatch.setattr(speedrun, "load_data_time_machine", no_book)
    assert speedrun.main([]) == 1
    assert capsys.readouterr().err == "The speed run needs the book: there is no book here.\n"


@pytest.mark.parametrize("option", ["--seeds", "--threads"])
def test_wrong_options_are_named_on_stderr(option, monkeypatch, capsys):
    monkeypatch.setattr(speedrun, "load_data_time_machine", None)
    with pytest.raises(SystemExit):
        speedrun.main([option, "0"])
    assert f"{option} must be a positive integer, got 0." in capsys.readouterr().err


def test_interrupting_it_is_no_error_and_writes_nothing(ids, vocab, monkeypatch, tmp_path, capsys):
    data = SeqDataLoader(ids, vocab, 4, 10)
    monkeypatch.setattr(speedrun, "load_data_time_machine", lambda *a, **k: (data, vocab))
    stopped = History(stop_reason="interrupted in epoch 1")
    monkeypatch.setattr(speedrun, "train", lambda *args, **look: stopped)
    monkeypatch.chdir(tmp_path)
    assert speedrun.main(["--quick", "--record"]) == 130
    assert capsys.readouterr().err == "\nInterrupted: nothing was written.\n"
    assert list(tmp_path.iterdir()) == []


def test_the_quick_run_writes_its_result(ids, vocab, monkeypatch, tmp_path, capsys):
    data = SeqDataLoader(ids, vocab, 32, 35)
    monkeypatch.setattr(speedrun, "load_data_time_machine", lambda *a, **k: (data, vocab))
    monkeypatch.setattr(speedrun, "FINAL", replace(FINAL, num_epochs=1))
    monkeypatch.chdir(tmp_path)
    assert speedrun.main(["--quick"]) == 1, "one epoch does not reach the target"
    written = json.loads((tmp_path / "build" / "speedrun" / "speedrun.json").read_text())
    assert [row["reached"] for row in written["log"]] == [0]
    assert "0 of 5" in capsys.readouterr().out


def test_the_record_is_that_of_these_recipes_and_reaches_its_aims():
    record = json.loads((data_dir() / speedrun.RECORD).read_text(encoding="utf-8"))
    for kind, recipes in (("log", speedrun.LOG), ("ablations", speedrun.ABLATIONS)):
        assert [row["label"] for row in record[kind]] == [recipe.label for recipe in recipes]
        for row, recipe in zip(record[kind], recipes, strict=True):
            assert recipe.num_epochs in (None, row["epochs"])
    taught, library, *_, last = record["log"]
    assert record["target"] == speedrun.TARGET
    assert last["reached"] == last["seeds"] == 5
    assert taught["reached"] == library["reached"] == 1
    assert taught["seconds"] > 15 * last["seconds"]
    assert library["seconds"] > 10 * last["seconds"]
