"""The task of notebook 08: its data, its model, and its training."""

import pytest
import torch

from gru_helpers.gates import trace_minibatch
from gru_helpers.studies.long_memory import NumberHolder, number_batch, train_holder


def test_the_number_stands_first_and_is_marked():
    torch.manual_seed(0)
    X, y = number_batch(5, gap=7)
    assert X.shape == (5, 8, 2)
    assert torch.equal(y, X[:, 0, 0])
    assert torch.equal(X[:, :, 1], torch.eye(8)[0].expand(5, 8))
    assert X[:, :, 0].unique().numel() == 40


@pytest.mark.parametrize("update_bias", [None, 2.0])
def test_the_gates_begin_at_the_bias(update_bias):
    """Read step by step, the model answers as ``nn.GRU`` does."""
    torch.manual_seed(0)
    model, (X, _) = NumberHolder(8, update_bias), number_batch(3, gap=20)
    trace = trace_minibatch(model, X)
    torch.testing.assert_close(trace["outputs"][-1][:, 0], model(X).detach())
    if update_bias:
        assert (trace["Z"].logit() - update_bias).abs().max() < 2
        assert (trace["Z"].logit() - update_bias).mean().abs() < 0.3
    else:
        assert trace["Z"].logit().mean().abs() < 0.3


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
