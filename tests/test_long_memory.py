"""The task of notebook 08: its data, its model, and the reading of its gates."""

import pytest
import torch

from gru_helpers.studies.long_memory import NumberHolder, number_batch, read_number, train_holder


def test_the_number_stands_first_and_is_marked():
    torch.manual_seed(0)
    X, y = number_batch(5, gap=7)
    assert X.shape == (5, 8, 2)
    assert torch.equal(y, X[:, 0, 0])
    assert torch.equal(X[:, :, 1], torch.eye(8)[0].expand(5, 8))
    assert X[:, :, 0].unique().numel() == 40


@pytest.mark.parametrize("update_bias", [None, 2.0])
def test_the_gates_are_those_of_the_model(update_bias):
    """Read step by step, it answers as ``nn.GRU`` does, and its gates begin at the bias."""
    torch.manual_seed(0)
    model, (X, _) = NumberHolder(8, update_bias), number_batch(3, gap=20)
    answers, Z = read_number(model, X)
    torch.testing.assert_close(answers, model(X).detach())
    assert Z.shape == (21, 3, 8)
    if update_bias:
        assert (Z.logit() - update_bias).abs().max() < 2
        assert (Z.logit() - update_bias).mean().abs() < 0.3


def test_a_gate_that_is_held_shut_keeps_the_first_state():
    """With z = 1 after step 0 the answer is that of the first step alone."""
    torch.manual_seed(0)
    model, (X, _) = NumberHolder(8), number_batch(3, gap=20)
    held, Z = read_number(model, X, lambda name, gate: gate**0 if name == "Z" else gate)
    torch.testing.assert_close(held, model(X[:, :1]).detach())
    assert torch.equal(Z[1:], torch.ones(20, 3, 8))
    assert Z[0].max() < 1


def test_training_stops_when_the_task_is_solved_or_the_time_is_up():
    model, errors = train_holder(seed=0, update_bias=2.0, gap=3)
    assert 25 <= len(errors) < 1000
    assert sum(errors[-25:]) / 25 < 0.002
    X, y = number_batch(256, gap=3)
    assert ((model(X) - y) ** 2).mean() < 0.003
    _, errors = train_holder(seed=0, update_bias=2.0, gap=3, max_minibatches=30)
    assert len(errors) == 30
