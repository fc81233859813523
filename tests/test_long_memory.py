"""The tasks of notebook 08: their data, the model, its training, and the study of them."""

import json
import math

import pytest
import torch
from torch import nn

from gru_helpers.corpus import data_dir
from gru_helpers.gates import trace_minibatch
from gru_helpers.studies import long_memory
from gru_helpers.studies.long_memory import (
    LAYERS,
    MODELS,
    PARTS,
    TASKS,
    LastStateModel,
    adding_batch,
    chrono_bias,
    gradient_by_step,
    guess,
    load_memory,
    make_model,
    number_batch,
    number_interventions,
    repeat_batch,
    set_gate_bias,
    symbol_batch,
    symbol_interventions,
    train_holder,
    train_memory,
)

# --- the tasks ----------------------------------------------------------------------------------


def test_the_number_stands_first_and_is_marked():
    torch.manual_seed(0)
    X, y = number_batch(5, gap=7)
    assert X.shape == (5, 8, 2)
    assert torch.equal(y, X[:, 0, :1])
    assert torch.equal(X[:, :, 1], torch.eye(8)[0].expand(5, 8))
    assert X[:, :, 0].unique().numel() == 40


def test_the_symbol_stands_first_and_is_asked_for_at_the_end():
    torch.manual_seed(0)
    X, y = symbol_batch(200, gap=6)
    assert X.shape == (200, 8, 13)
    ids = X.argmax(dim=2)
    assert torch.equal(X.sum(dim=2), torch.ones(200, 8))
    assert torch.equal(ids[:, 0], y)
    assert set(y.tolist()) == set(range(8))
    assert set(ids[:, 1:-1].flatten().tolist()) == {8, 9, 10, 11}
    assert (ids[:, -1] == 12).all()


def test_one_number_in_each_half_is_marked_and_the_sum_asked_for():
    torch.manual_seed(0)
    X, y = adding_batch(300, 10)
    assert torch.equal(X[:, :5, 1].sum(dim=1), torch.ones(300))
    assert torch.equal(X[:, 5:, 1].sum(dim=1), torch.ones(300))
    assert (X[:, :, 1].sum(dim=0) > 0).all(), "at every place"
    marked = X[:, :, 0][X[:, :, 1] == 1].view(300, 2)
    torch.testing.assert_close(marked.sum(dim=1, keepdim=True), y)


def test_the_symbols_to_copy_stand_first():
    torch.manual_seed(0)
    X, y = repeat_batch(50, gap=30)
    ids = X.argmax(dim=2)
    assert X.shape == (50, 50, 10)
    assert torch.equal(ids[:, :10], y)
    assert (ids[:, 39] == 9).all()
    blanks = torch.cat([ids[:, 10:39], ids[:, 40:]], dim=1)
    assert (blanks == 8).all()


# --- the model ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "block"), [("GRU", 1), ("LSTM", 1), ("LSTM", 0)])
def test_a_bias_is_that_of_its_gate_alone(kind, block):
    torch.manual_seed(0)
    rnn = getattr(nn, kind)(3, 4, batch_first=True)
    before = [param.clone() for param in rnn.parameters()]
    set_gate_bias(rnn, torch.arange(4.0), block)
    where = slice(4 * block, 4 * block + 4)
    _, _, b_x, b_h = rnn.parameters()
    assert torch.equal(b_x[where] + b_h[where], torch.arange(4.0))
    for old, new in zip(before, rnn.parameters(), strict=True):
        same = torch.ones(len(old), dtype=torch.bool)
        same[where] = old.dim() == 2
        assert torch.equal(old[same], new[same])


def test_a_forget_bias_of_twenty_keeps_an_lstm_s_cell():
    """The order of the blocks is PyTorch's: i, f, g, o."""
    lstm = nn.LSTM(1, 2, batch_first=True)
    set_gate_bias(lstm, 30.0)
    set_gate_bias(lstm, -30.0, block=0)
    start = torch.zeros(1, 1, 2), torch.tensor([[[0.3, -0.6]]])
    _, (_, C) = lstm(torch.randn(1, 50, 1), start)
    torch.testing.assert_close(C, start[1])


@pytest.mark.parametrize("update_bias", [None, 2.0])
def test_the_gates_begin_at_the_bias(update_bias):
    """Read step by step, the model answers as ``nn.GRU`` does."""
    torch.manual_seed(0)
    model, (X, _) = LastStateModel(nn.GRU(2, 8, batch_first=True)), number_batch(3, gap=20)
    if update_bias is not None:
        set_gate_bias(model.rnn, update_bias)
    trace = trace_minibatch(model, X)
    torch.testing.assert_close(trace["outputs"][-1], model(X).detach())
    assert (trace["Z"].logit() - (update_bias or 0)).mean().abs() < 0.3


def test_chrono_half_lives_reach_as_far_as_the_gap():
    torch.manual_seed(0)
    z = torch.sigmoid(chrono_bias(10_000, 100).double())
    half_lives = math.log(0.5) / z.log()
    assert 60 < half_lives.max() < 70  # 99 ln 2
    assert half_lives.median() == pytest.approx(50 * math.log(2), rel=0.05)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_the_gradient_by_step_is_that_of_the_states(kind):
    """Against finite differences of the state after one step, in float64."""
    torch.manual_seed(0)
    model = LastStateModel(getattr(nn, kind)(2, 3, batch_first=True)).double()
    X = torch.rand(1, 6, 2, dtype=torch.float64)
    norms = gradient_by_step(model, X)
    assert norms.shape == (6,)
    assert norms[-1] == 1
    _, state = model.rnn(X[:, :3])
    parts = state if isinstance(state, tuple) else (state,)
    flat = torch.cat([part.flatten() for part in parts]).detach()

    def answer(values):
        rebuilt = tuple(values.view(len(parts), 1, 1, 3))
        states, _ = model.rnn(X[:, 3:], rebuilt if kind == "LSTM" else rebuilt[0])
        return model.linear(states[:, -1]).sum()

    eps, steps = 1e-6, torch.eye(len(flat), dtype=torch.float64)
    slopes = [(answer(flat + eps * e) - answer(flat - eps * e)) / (2 * eps) for e in steps]
    last = model.linear.weight.norm()  # of the last state the answer is linear
    assert norms[2].item() == pytest.approx((torch.stack(slopes).norm() / last).item(), rel=1e-5)


# --- training -----------------------------------------------------------------------------------


def test_training_stops_when_the_task_is_solved_or_the_time_is_up():
    model, run = train_holder(seed=0, update_bias=2.0, gap=3)
    assert run.solved
    assert run.label == "bias 2, seed 0"
    assert 25 <= len(run.losses) < 1000
    X, y = number_batch(256, gap=3)
    assert ((model(X) - y) ** 2).mean() < 0.003
    _, run = train_holder(seed=0, update_bias=None, gap=3, max_minibatches=30)
    assert len(run.losses) == 30
    assert not run.solved
    assert run.label == "PyTorch's bias, seed 0"


def test_the_study_and_the_notebook_train_alike():
    """The same seed gives the same run, whichever of them trains."""
    _, ours = train_holder(1, 2.0, gap=4, max_minibatches=30)
    _, study = long_memory.run_one(TASKS["number"], "GRU, update bias 2", 4, 1, 30)
    assert ours.losses == study.losses


def test_symbols_are_learned():
    torch.manual_seed(0)
    model = LastStateModel(nn.GRU(13, 32, batch_first=True), 8)
    run = train_memory(
        model, lambda: symbol_batch(64, 3), nn.functional.cross_entropy, 0.05, progress=False
    )
    assert run.solved


# --- interventions and gradients ----------------------------------------------------------------


def test_the_models_that_come_with_the_course_do_what_they_are_said_to():
    torch.manual_seed(0)
    found = number_interventions(load_memory("number"), 100)
    (error, correlation), (lost, uncorrelated) = found["nothing held"], found["keepers open"]
    assert error < 0.0005 < 0.08 < lost
    assert abs(uncorrelated) < 0.2 < 0.99 < correlation
    assert max(found["busiest open"][0], found["keepers shut"][0]) < 0.001
    assert found["two best open"][1] > 0.9  # shifted, not lost
    assert found["keepers"] == 8
    assert found["best z"] > 0.999
    by_gates, by_weights = (
        symbol_interventions(load_memory(name), 100) for name in ("symbol", "symbol_chrono")
    )
    for found in (by_gates, by_weights):
        assert found["nothing held"] > 0.99
        assert found["best z"] < 0.96 < 0.99 < found["best z, own"]
    assert by_gates["all at 0"] < 0.4 < 0.7 < by_weights["all at 0"]
    assert by_gates["own keepers open"] < 0.6 < 0.9 < by_gates["others open"]


def test_another_name_is_refused():
    with pytest.raises(ValueError, match="name must be one of"):
        load_memory("word")


def test_a_guess_finds_two_symbols_now_and_then_and_no_number():
    torch.manual_seed(0)
    found = guess(60, gap=10)
    assert found["nets"] == 60
    assert 0 < found["two symbols"] < 30
    assert 0.002 < found["number"] < 1 / 12


# --- the record ---------------------------------------------------------------------------------


def test_the_record_has_every_run_of_every_part():
    record = json.loads((data_dir() / long_memory.RECORD).read_text(encoding="utf-8"))
    assert set(record) == set(long_memory.ALL_PARTS)
    for part, (_, gaps, layers) in PARTS.items():
        found = [(r["gap"], r["layer"], r["seed"]) for r in record[part]["runs"]]
        assert found == [(g, name, s) for g in gaps for name in layers for s in range(3)], part
    assert [r["model"] for r in record["models"]["runs"]] == list(MODELS)


def test_a_quick_run_writes_no_record(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(long_memory, "data_dir", lambda: tmp_path)
    arguments = ["--quick", "--record", "--part", "number", "--part", "guess", "--seeds", "1"]
    assert long_memory.main(arguments) == 0
    written = json.loads((tmp_path / "build/long_memory/long_memory.json").read_text("utf-8"))
    assert list(written) == ["number", "guess"]
    assert [r["minibatches"] for r in written["number"]["runs"]] == [10] * 8
    assert not (tmp_path / "long_memory.json").exists()
    assert "gap  30  RNN" in capsys.readouterr().out


def test_every_layer_can_be_made():
    for name in LAYERS:
        assert make_model(TASKS["copy"], name, 30)(repeat_batch(2, 30)[0]).shape == (2, 8, 10)
