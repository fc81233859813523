"""The benchmark, on sizes so small that it is about the machinery and not about the times."""

import json
import os

import pytest
import torch

from gru_helpers import params_from_rnn_model
from gru_helpers.corpus import data_dir
from gru_helpers.plotting import to_png
from gru_helpers.studies import bench
from gru_helpers.studies.bench import FAST, FAST_AFTER, LOWER_BOUND, TAUGHT, TORCH, Case

TINY = Case(num_steps=3, batch_size=2, num_hiddens=4, vocab_size=5)
SWEEPS = {"num_steps": (2, 3, 5), "batch_size": (1, 2), "num_hiddens": (4, 8)}


def sizes(case):
    """The three sizes that are varied."""
    return tuple(case[name] for name in bench.SWEEPS)


@pytest.mark.parametrize("sweeps", [bench.SWEEPS, bench.QUICK_SWEEPS], ids=["full", "quick"])
def test_the_classic_job_and_at_least_five_others_are_measured(sweeps):
    cases = bench.cases_of(sweeps)
    assert cases[0] == Case(35, 32, 256, 28)
    assert len(set(cases)) == len(cases) >= 6
    assert (Case(num_steps=400) in cases) == (sweeps is bench.SWEEPS)


def test_every_implementation_does_a_whole_training_step(monkeypatch):
    """They start from the same weights; what each computes is tested elsewhere."""
    models, training_step = [], bench.training_step

    def spy(model, X, labels):
        models.append(model)
        return training_step(model, X, labels)

    monkeypatch.setattr(bench, "training_step", spy)
    steps = bench.implementations(TINY)
    assert list(steps) == [TAUGHT, TORCH, FAST, FAST_AFTER, LOWER_BOUND]
    taught, concise, fast, fast_after = models
    others = (params_from_rnn_model(concise), fast.params, fast_after.params)
    for param, *copies in zip(taught.params, *others, strict=False):
        assert all(torch.equal(param, copy) for copy in copies)
    for step in steps.values():
        step()
    for model in models:
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    for one, other in zip(taught.params, fast.params, strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-3, atol=1e-6)


def test_the_lower_bound_multiplies_what_a_training_step_multiplies(monkeypatch):
    """Two multiplications and additions for each weight, row and pass, three passes in all."""
    done, mm = [], torch.mm
    step = bench.lower_bound_step(Case(num_steps=7, batch_size=3, num_hiddens=4, vocab_size=5))

    def counted(a, b, out):
        done.append(a.shape[0] * a.shape[1] * b.shape[1])
        return mm(a, b, out=out)

    monkeypatch.setattr(torch, "mm", counted)
    step()
    rows, n, v = 7 * 3, 4, 5
    assert sum(done) == 3 * rows * (3 * n * n + n * v)
    assert len(done) == 4 * 7 + 5


def test_implementations_take_turns_equally_often():
    times = bench.measure(TINY, 0.02)
    assert {len(values) for values in times.values()} == {len(times[LOWER_BOUND])}
    assert len(times[LOWER_BOUND]) >= bench.MIN_ROUNDS
    assert all(t > 0 for values in times.values() for t in values)


def test_the_summary_is_robust_against_one_round_that_was_disturbed():
    times = {TAUGHT: [4.0, 4.0, 400.0], TORCH: [3.0] * 3, FAST: [2.0, 2.0, 200.0]}
    times |= {FAST_AFTER: [2.0] * 3, LOWER_BOUND: [1.0, 1.0, 100.0]}
    result = bench.summary(TINY, times)
    assert (result["num_steps"], result["rounds"]) == (3, 3)
    assert result["seconds"][TAUGHT]["median"] == 4.0
    assert result["seconds"][TORCH]["quartiles"] == [3.0, 3.0]
    assert result["ratios"] == {
        "taught loop / fast GRU": 2.0,
        "nn.GRU / fast GRU": 1.5,
        "nn.GRU / fast, after": 1.5,
        "fast GRU / lower bound": 2.0,
    }


def test_the_command_prints_a_table_and_writes_its_files(tmp_path, monkeypatch, capsys):
    cases = bench.cases_of(SWEEPS, TINY)
    monkeypatch.setattr(bench, "cases_of", lambda _: cases)
    folder = tmp_path / "new" / "bench"
    assert bench.main(["--seconds", "0.1", "--threads", "1", "--folder", str(folder)]) == 0
    report = json.loads((folder / "times.json").read_text(encoding="utf-8"))
    assert report["threads"] == 1
    assert report["device"] == bench.device_name() != ""
    assert len(report["cases"]) == 5
    assert (folder / "times.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert f"{report['device']}, 1 thread(s), torch" in printed
    for result in report["cases"]:
        assert printed.count(bench.sizes_of(result) + " ") == 2, "once with times, once with ratios"
    assert max(len(line) for line in printed.splitlines() if " x " in line) < 150


def test_a_busy_machine_is_mentioned(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "getloadavg", lambda: (1.7, 0, 0), raising=False)
    bench.run([TINY], 0.01, tmp_path)
    assert "not idle (load 1.7)" in capsys.readouterr().out
    monkeypatch.delattr(os, "getloadavg")
    assert bench.run([TINY], 0.01, tmp_path)["load_before"] is None
    assert "not idle" not in capsys.readouterr().out


def test_the_picture_has_a_panel_for_each_size_and_a_line_for_each_implementation():
    names = bench.implementations(TINY)
    cases = [
        bench.summary(case, {name: [k, 2.0 * k, 3.0 * k] for name in names})
        for k, case in enumerate(bench.cases_of(SWEEPS, TINY), 1)
    ]
    figure = bench.figure_of({"device": "a processor", "threads": 2, "cases": cases})
    to_png(figure)
    assert [axes.get_xlabel() for axes in figure.axes] == ["steps", "batch size", "hidden units"]
    for axes, values in zip(figure.axes, SWEEPS.values(), strict=True):
        assert axes.get_xscale() == axes.get_yscale() == "log"
        assert len(axes.lines) == 5
        assert all(tuple(line.get_xdata()) == values for line in axes.lines)
    assert "a processor, 2 threads" in figure.get_suptitle()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seconds", "0"], "--seconds must be a positive number, got 0."),
        (["--seconds", "-1.5"], "--seconds must be a positive number, got -1.5."),
        (["--threads", "0"], "--threads must be a positive integer, got 0."),
    ],
)
def test_wrong_options_are_named_on_stderr(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(bench, "run", None)
    with pytest.raises(SystemExit) as ended:
        bench.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sweeps", "seconds"),
    [([], bench.SWEEPS, 120), (["--quick"], bench.QUICK_SWEEPS, 20)],
    ids=["full", "quick"],
)
def test_quick_is_quick(options, sweeps, seconds, monkeypatch):
    calls = []
    monkeypatch.setattr(bench, "run", lambda *arguments: calls.append(arguments[:2]))
    assert bench.main(options) == 0
    assert calls == [(bench.cases_of(sweeps), seconds)]


def test_interrupting_it_is_no_error(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "measure", interrupt)
    assert bench.main(["--quick"]) == 130
    assert "Interrupted: nothing was written" in capsys.readouterr().err


def test_the_profile_names_the_matrix_products(monkeypatch, capsys):
    monkeypatch.setattr(bench, "run", None)
    monkeypatch.setattr(bench, "Case", lambda: Case(num_steps=5, batch_size=16, num_hiddens=128))
    assert bench.main(["--profile"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "aten::" in line]
    assert {"aten::mm", "aten::addmm_"} <= {row[0] for row in rows}
    shares = [float(row[1].removesuffix("%")) for row in rows]
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("options", [[], ["--record"]], ids=["unasked", "asked"])
def test_the_record_is_replaced_on_request(options, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "cases_of", lambda sweeps: [TINY])
    monkeypatch.setattr(bench, "data_dir", lambda: tmp_path)
    assert bench.main(["--seconds", "0.1", "--folder", str(tmp_path / "build"), *options]) == 0
    record = tmp_path / bench.RECORD
    assert record.exists() == bool(options)
    if options:
        assert record.read_bytes() == (tmp_path / "build" / "times.json").read_bytes()


def test_the_record_that_came_with_the_course_is_whole():
    record = json.loads((data_dir() / bench.RECORD).read_text(encoding="utf-8"))
    cases = [vars(case) for case in bench.cases_of(bench.SWEEPS)]
    assert list(map(sizes, record["cases"])) == list(map(sizes, cases))
    assert record["device"]
    assert record["threads"] >= 1
    for result in record["cases"]:
        assert list(result["seconds"]) == [TAUGHT, TORCH, FAST, FAST_AFTER, LOWER_BOUND]
        assert list(result["ratios"]) == [f"{a} / {b}" for a, b in bench.RATIOS]
