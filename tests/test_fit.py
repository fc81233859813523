"""The training loop of notebook 08, for minibatches that are made as they are needed."""

import pytest
import torch
from torch import nn

from gru_helpers import UnfinishedError, require_finished
from gru_helpers.studies.fit import fit


def linear_problem():
    torch.manual_seed(0)
    model, truth = nn.Linear(3, 1), torch.tensor([[1.0, -2.0, 0.5]])

    def next_loss():
        X = torch.randn(16, 3)
        return ((model(X) - X @ truth.T) ** 2).mean()

    return model, next_loss


def test_it_stops_when_the_task_is_solved():
    model, next_loss = linear_problem()
    run = fit(model, next_loss, 2000, 0.05, solved_below=1e-3)
    assert run.solved
    assert 25 <= len(run.losses) < 2000
    assert run.loss == pytest.approx(sum(run.losses[-25:]) / 25)
    assert run.loss < 1e-3
    assert run.loss == pytest.approx(next_loss().item(), abs=1e-3)
    assert run.stop_reason == f"solved after {len(run.losses)} minibatches"
    require_finished(run)


def test_it_is_the_loop_written_out():
    """Adam on clipped gradients, with the one-cycle rate, to the bit."""
    model, next_loss = linear_problem()
    run = fit(model, next_loss, 40, 0.05, one_cycle=True, clip=0.5)
    fitted = model.weight.detach().clone()
    model, next_loss = linear_problem()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, 40)
    for _ in range(40):
        loss = next_loss()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        cycle.step()
    assert torch.equal(fitted, model.weight)
    assert len(run.losses) == 40
    assert not run.solved
    assert run.stop_reason == "ran 40 minibatches"


def test_an_interrupt_returns_what_was_reached():
    model, next_loss = linear_problem()
    losses = iter([next_loss, next_loss])

    def interrupted():
        try:
            return next(losses)()
        except StopIteration:
            raise KeyboardInterrupt from None

    run = fit(model, interrupted, 40, 0.05, label="short")
    assert run.interrupted
    assert len(run.losses) == 2
    with pytest.raises(UnfinishedError, match="'short' was interrupted in minibatch 3"):
        require_finished(run)


def test_a_loss_that_is_not_finite_is_refused_with_the_rate():
    model, next_loss = linear_problem()
    with pytest.raises(ValueError, match=r"inf in minibatch 1 with lr=0\.05: try a smaller rate"):
        fit(model, lambda: next_loss() / 0, 40, 0.05)


def test_the_bar_shows_the_loss(capsys):
    model, next_loss = linear_problem()
    run = fit(model, next_loss, 30, 0.05, label="line", progress=True)
    shown = capsys.readouterr().err
    assert "line: 100%" in shown
    assert f"loss {run.loss:.4f}" in shown
