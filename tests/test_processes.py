"""One minibatch shared by processes: the proof, with two real ones, and the record."""

import json

import pytest
import torch

from gru_helpers.corpus import data_dir
from gru_helpers.studies import processes
from gru_helpers.studies.processes import ONE, PROCESSES, THREADS

FOUND = {
    "device": "a processor",
    "torch": "2",
    "processes": 2,
    "proof": {"rows": [32, 16], "gradients": [1e-17], "weights": 1e-15, "not_averaged": 0.1},
    "cases": [],
}


@pytest.fixture(scope="module")
def report():
    """What two processes report that are started once for this file; one round of timing each."""
    return processes.launch(2, rounds=2)


def test_two_processes_take_the_step_of_one(report):
    proof = report["proof"]
    assert report["processes"] == 2
    assert proof["rows"] == [32, 16]
    assert len(proof["gradients"]) == 3
    assert max(proof["gradients"]) < 1e-12
    assert proof["weights"] < 1e-12


def test_without_the_exchange_the_gradients_are_others(report):
    """So that the proof can fail: half the rows alone have another gradient."""
    assert report["proof"]["not_averaged"] > 1e-4


def test_every_arrangement_is_timed_for_every_size(report):
    assert [case["rows"] for case in report["cases"]] == list(processes.ROWS)
    for case in report["cases"]:
        assert list(case["seconds"]) == [ONE, THREADS, PROCESSES, "all-reduce"]
        assert all(times["median"] > 0 for times in case["seconds"].values())
        assert case["rounds"] == 2


def test_the_shares_of_the_processes_are_all_rows():
    rows = torch.arange(7)
    shares = [processes.share(rows, rank, 3) for rank in range(3)]
    assert [len(part) for part in shares] == [3, 2, 2]
    assert torch.equal(torch.cat(shares).sort().values, rows)


def test_ratios_are_medians_over_the_rounds():
    times = {ONE: [2.0, 8.0, 3.0], THREADS: [1.0, 2.0, 3.0], PROCESSES: [1.0, 2.0, 3.0]}
    found = processes.summary(32, times)
    assert found["ratios"] == {ONE: 2.0, THREADS: 1.0}
    assert found["seconds"][ONE]["median"] == 3


def test_a_failure_names_the_error():
    with pytest.raises(RuntimeError, match=r"The processes failed: .*StatisticsError: "):
        processes.launch(1, rounds=-processes.WARM_UP)  # no round, so no median


def test_the_command_writes_what_it_prints(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(processes, "launch", lambda number, rounds: {**FOUND, "rounds": rounds})
    monkeypatch.chdir(tmp_path)
    assert processes.main(["--quick"]) == 0
    assert "2 processes with 16 rows each, one with 32, float64" in capsys.readouterr().out
    written = json.loads((tmp_path / "build" / "processes" / "processes.json").read_text())
    assert written == {**FOUND, "rounds": 0}


@pytest.mark.parametrize("error", [RuntimeError("The processes failed: x"), KeyboardInterrupt()])
def test_without_a_report_nothing_is_written(error, monkeypatch, tmp_path, capsys):
    def fails(*arguments):
        raise error

    monkeypatch.setattr(processes, "launch", fails)
    monkeypatch.chdir(tmp_path)
    assert processes.main(["--record"]) in (1, 130)
    assert capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--processes", "--rounds"])
def test_wrong_options_are_named_on_stderr(option, monkeypatch, capsys):
    monkeypatch.setattr(processes, "launch", None)
    with pytest.raises(SystemExit):
        processes.main([option, "0"])
    assert f"{option} must be a positive integer, got 0." in capsys.readouterr().err


def test_the_record_has_the_proof_and_every_size():
    record = json.loads((data_dir() / processes.RECORD).read_text(encoding="utf-8"))
    assert record["processes"] == 2
    assert max(*record["proof"]["gradients"], record["proof"]["weights"]) < 1e-12
    assert [case["rows"] for case in record["cases"]] == list(processes.ROWS)
    assert record["parameters"] == sum(p.numel() for p in processes.make_model().parameters())
