"""The speed run: its recipes, its clock, its measure, and the record that the notebook tells of."""

import json
from dataclasses import replace

import pytest
import torch

from gru_helpers import CorpusError, SeqDataLoader, evaluate_perplexity, speedrun
from gru_helpers.dataset import data_dir
from gru_helpers.speedrun import (
    FAST,
    FINAL,
    LIBRARY,
    LOG,
    TARGET,
    TAUGHT,
    TRIED,
    make_model,
    rate,
    row_text,
    summary,
    train_once,
)

TEXT = "the time traveller smiled at us over the lamp and the time machine stood there " * 20


@pytest.fixture
def corpus(vocab):
    """Some 1,600 characters: enough for the classic rows of 35 steps."""
    return vocab[list(TEXT)]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Eight units, so that an epoch takes no time."""
    monkeypatch.setattr(speedrun, "NUM_HIDDENS", 8)


def test_the_rate_rises_and_falls_to_nothing():
    assert (rate(0), rate(0.05), rate(0.1), rate(1)) == (0, 0.5, 1, 0)
    assert rate(0.55) == pytest.approx(0.5)
    assert max(rate(i / 100) for i in range(101)) == 1


@pytest.mark.parametrize("recipe", [TAUGHT, LIBRARY, FAST, FINAL], ids=lambda r: r.label)
def test_a_run_is_the_same_from_the_same_seed(recipe, corpus, vocab):
    recipe = replace(recipe, num_epochs=2)
    first, second = (train_once(recipe, corpus, vocab, seed=3) for _ in range(2))
    other = train_once(recipe, corpus, vocab, seed=4)
    assert first["perplexity"] == second["perplexity"] != other["perplexity"]
    assert first["epochs"] == 2
    assert first["seconds"] > 0


def test_the_taught_loop_and_the_fast_one_are_one_recipe(corpus, vocab):
    recipes = [replace(recipe, num_epochs=3, offset=0) for recipe in (TAUGHT, FAST)]
    taught, fast = (train_once(recipe, corpus, vocab, seed=1)["perplexity"] for recipe in recipes)
    assert taught == pytest.approx(fast, rel=1e-4)


def test_what_is_measured_is_one_pass_with_fixed_weights(corpus, vocab):
    model = train_once(replace(FINAL, num_epochs=1), corpus, vocab, seed=0)["model"]
    rows = SeqDataLoader(corpus, vocab, 32, 35, offset=0)
    assert speedrun.measure(model, corpus, vocab) == evaluate_perplexity(model, rows)


def test_a_recipe_without_a_schedule_stops_where_it_arrives(corpus, vocab, monkeypatch):
    monkeypatch.setattr(speedrun, "TARGET", 20.0)
    recipe = replace(FAST, lr=2.0, start=0.1)
    run = train_once(recipe, corpus, vocab, seed=0)
    assert run["perplexity"] <= 20
    assert 1 < run["epochs"] < speedrun.MOST_EPOCHS
    monkeypatch.setattr(speedrun, "MOST_EPOCHS", run["epochs"] - 1)
    assert not train_once(recipe, corpus, vocab, seed=0)["perplexity"] <= 20


def test_first_weights_are_what_the_recipe_says(vocab):
    recipe = replace(FAST, start=0.5, input_scale=3.0, update_bias=-2.0)
    torch.manual_seed(0)
    model = make_model(recipe, len(vocab))
    recurrent = torch.cat([model.W_hz, model.W_hr, model.W_hh]).std().item()
    inputs = torch.cat([model.W_xz, model.W_xr, model.W_xh]).std().item()
    assert recurrent == pytest.approx(0.5, rel=0.2)
    assert inputs == pytest.approx(1.5, rel=0.2)
    assert (model.b_z == -2).all()
    assert (model.b_r == 0).all()


def test_the_summary_counts_who_arrived():
    runs = [
        {"epochs": 5, "seconds": s, "perplexity": p} for s, p in ((1, 1.05), (3, 1.2), (2, 1.1))
    ]
    row = summary(FINAL, runs)
    assert (row["seconds"], row["perplexity"], row["worst"]) == (2, 1.1, 1.2)
    assert (row["arrived"], row["seeds"]) == (2, 3)
    assert "2 of 3" in row_text(row)


def test_without_the_book_it_says_so(monkeypatch, capsys):
    def none(*args, **more):
        raise CorpusError("there is no book here.")

    monkeypatch.setattr(speedrun, "load_data_time_machine", none)
    assert speedrun.main([]) == 1
    assert "is a run on the book: there is no book here." in capsys.readouterr().err


def test_the_quick_run_writes_its_result(corpus, vocab, monkeypatch, tmp_path, capsys):
    data = SeqDataLoader(corpus, vocab, 32, 35)
    monkeypatch.setattr(speedrun, "load_data_time_machine", lambda *a, **m: (data, vocab))
    monkeypatch.setattr(speedrun, "FINAL", replace(FINAL, num_epochs=1))
    monkeypatch.chdir(tmp_path)
    assert speedrun.main(["--quick"]) == 1, "one epoch does not arrive"
    written = json.loads((tmp_path / "build" / "speedrun" / "speedrun.json").read_text())
    assert written["log"][0]["arrived"] == 0
    assert "0 of 5" in capsys.readouterr().out


def test_the_record_is_that_of_these_recipes_and_reaches_its_aims():
    record = json.loads((data_dir() / "speedrun.json").read_text(encoding="utf-8"))
    for kind, recipes in (("log", LOG), ("tried", TRIED)):
        assert [row["label"] for row in record[kind]] == [recipe.label for recipe in recipes]
        for row, recipe in zip(record[kind], recipes, strict=True):
            assert recipe.num_epochs in (None, row["epochs"])
    taught, library, *_, last = record["log"]
    assert record["target"] == TARGET
    assert last["arrived"] == last["seeds"] == 5
    assert taught["arrived"] == library["arrived"] == 1
    assert taught["seconds"] > 15 * last["seconds"]
    assert library["seconds"] > 10 * last["seconds"]
