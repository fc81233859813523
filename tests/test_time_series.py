"""The sunspots of notebook 09: the data, the baselines, the models, and the record."""

import pytest
import torch

from gru_helpers import corpus
from gru_helpers.gates import trace_minibatch
from gru_helpers.studies import time_series
from gru_helpers.studies.records import read_record
from gru_helpers.studies.time_series import (
    AHEAD,
    LAGS,
    StepForecaster,
    SunForecaster,
    baselines,
    fit_linear,
    iterate,
    load_sunspots,
    month,
    pinball,
    rmse,
    train_forecaster,
    windows,
)


def test_the_series_is_whole():
    sunspots = load_sunspots()
    assert sunspots.shape == (12 * 260,)
    assert sunspots.min() >= 0
    assert sunspots[month(1749)].item() == pytest.approx(58.0)
    assert sunspots[month(2009) - 1].item() == pytest.approx(0.8)


def test_an_installed_package_has_the_series_too(monkeypatch, tmp_path):
    """``data_dir()`` is then a cache folder, and the file lies inside the package."""
    package = tmp_path / "gru_helpers"
    (package / "studies").mkdir(parents=True)
    (package / "sunspots.csv").write_text("year,month,sunspots\n1749,1,58.0\n", encoding="utf-8")
    monkeypatch.setattr(time_series, "data_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(time_series, "__file__", str(package / "studies" / "time_series.py"))
    assert load_sunspots().tolist() == [58.0]
    (package / "sunspots.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"sunspots\.csv is missing"):
        load_sunspots()


def test_the_wheel_takes_the_series_along():
    text = (corpus.data_dir().parent / "pyproject.toml").read_text(encoding="utf-8")
    assert '"data/sunspots.csv" = "gru_helpers/sunspots.csv"' in text


def test_windows_are_consecutive_and_the_origins_are_those_of_1950_to_2005():
    X, Y = windows(torch.arange(10.0), lags=4, ahead=2)
    assert X[0].tolist() == [0, 1, 2, 3]
    assert Y[0].tolist() == [4, 5]
    assert len(X) == 5
    sunspots = load_sunspots()
    X, Y = windows(sunspots[month(1950) - LAGS :])
    assert Y[0, 0] == sunspots[month(1950)]
    assert Y[-1, -1] == sunspots[-1]
    assert len(X) == month(2009) - month(1950) - AHEAD + 1


def test_least_squares_finds_a_recurrence_and_iterates_it():
    series = torch.tensor([1.0, 1.0, *[0.0] * 60])
    for t in range(2, len(series)):
        series[t] = 1.2 * series[t - 1] - 0.9 * series[t - 2] + 1
    step = fit_linear(*windows(series, 2, 1))
    X, Y = windows(series, 2, 20)
    torch.testing.assert_close(iterate(step, X, 2, 20), Y, rtol=1e-3, atol=1e-3)


def test_a_column_of_zeros_changes_nothing():
    """The last input of NLinear is always 0."""
    torch.manual_seed(0)
    X, Y = torch.randn(300, 20), torch.randn(300, 3)
    padded = torch.cat([X, torch.zeros(300, 1)], dim=1)
    for _ in range(5):
        torch.testing.assert_close(fit_linear(padded, Y)(padded), fit_linear(X, Y)(X))


def test_the_scale_of_a_series_does_not_matter_to_the_baselines():
    sunspots = load_sunspots()
    X, Y = windows(sunspots[month(1950) - LAGS :])
    known = sunspots[: month(1950)]
    errors = baselines(known, X, Y)
    scaled = baselines(known / 40 - 1, X / 40 - 1, Y / 40 - 1)
    for name, row in errors.items():
        assert [40 * error for error in scaled[name]] == pytest.approx(row, rel=1e-3)
    # one month ahead both are the same regression, fitted on 35 windows more or less
    assert errors["linear, direct"][0] == pytest.approx(errors["AR(132), iterated"][0], rel=0.01)
    assert errors["NLinear, direct"] == pytest.approx(errors["linear, direct"], rel=0.01)


@pytest.mark.parametrize("months", [1, 4, 12])
def test_an_untrained_forecaster_is_naive_and_reads_as_gru_step_does(months):
    torch.manual_seed(0)
    X, model = torch.randn(3, LAGS), SunForecaster(months=months)
    torch.testing.assert_close(model(X), X[:, -1:].expand(3, AHEAD))
    torch.nn.init.normal_(model.linear.weight)
    trace = trace_minibatch(model, X.reshape(3, -1, months))
    forecasts = trace["outputs"][-1] + X[:, -1:]
    torch.testing.assert_close(forecasts, model(X).detach(), rtol=1e-4, atol=1e-4)
    assert trace["Z"].shape == (LAGS // months, 3, 32)


def test_teacher_forcing_changes_what_is_read_and_never_looks_ahead():
    torch.manual_seed(0)
    X, truth, model = torch.randn(3, LAGS), torch.randn(3, AHEAD), StepForecaster()
    torch.nn.init.normal_(model.linear.weight)
    free, forced = model(X), model(torch.cat([X, truth], dim=1))
    assert torch.equal(free[:, 0], forced[:, 0])
    assert not torch.allclose(free[:, 1], forced[:, 1])
    torch.testing.assert_close(model(torch.cat([X, free], dim=1)), free)
    other = truth.clone()
    other[:, 10:] += 1
    changed = model(torch.cat([X, other], dim=1))
    torch.testing.assert_close(changed[:, :11], forced[:, :11])


def test_the_pinball_loss_is_least_at_the_quantile():
    torch.manual_seed(0)
    levels = torch.tensor([0.1, 0.5, 0.9])
    Y = torch.randn(20_000, 1)
    right = torch.quantile(Y[:, 0], levels).expand(len(Y), 1, 3)
    least = pinball(right, Y, levels)
    for shift in (-0.3, 0.3):
        assert pinball(right + shift, Y, levels) > least
    median = pinball(torch.zeros(len(Y), 1, 1), Y, torch.tensor([0.5]))
    torch.testing.assert_close(median, Y.abs().mean() / 2)


def test_training_beats_the_naive_forecast_of_a_wave():
    torch.manual_seed(0)
    X, Y = windows(torch.sin(torch.arange(500) / 10))
    model = SunForecaster(num_hiddens=8, months=12)
    run = train_forecaster(model, X, Y)
    assert len(run.losses) == 30 * 6
    with torch.no_grad():
        errors = rmse(model(X), Y)
    assert errors[-1] < 0.5 * rmse(X[:, -1:].expand_as(Y), Y)[-1]


def test_the_record_holds_the_baselines_as_they_are_now():
    record = read_record("time_series")
    sunspots = load_sunspots()
    X, Y = windows(sunspots[month(1950) - LAGS :])
    for name, row in baselines(sunspots[: month(1950)], X, Y).items():
        assert record["baselines"][name] == pytest.approx(row, rel=1e-3)
    assert len(record["members"]) == record["seeds"] == 10
    best = min(record["validation"].items(), key=lambda item: item[1]["ensemble"])
    assert record["chosen"] == best[0]


def test_the_record_diagnoses_the_members_that_it_judged():
    """The sun as it is gives the ensemble; AR(132) does not care how high the sun is."""
    record = read_record("time_series")
    heights = record["heights"]
    assert heights["1.00"]["ensemble"] == pytest.approx(record["ensemble"], rel=1e-4)
    linear = record["baselines"]["AR(132), iterated"]
    assert heights["1.00"]["AR(132)"] == pytest.approx(linear, rel=1e-3)
    for height in heights.values():
        assert height["AR(132)"] == pytest.approx(linear, rel=0.06)
    sunspots = load_sunspots()
    X, Y = windows(sunspots[month(1980) - LAGS :])
    for year in (1950, 1980):
        one_month = fit_linear(*windows(sunspots[: month(year)], LAGS, 1))
        expected = pytest.approx(rmse(iterate(one_month, X, LAGS), Y), rel=1e-3)
        assert record["recent"][f"before {year}"]["AR(132)"] == expected
