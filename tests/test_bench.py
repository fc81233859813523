"""The benchmark, on sizes so small that it is about the machinery and not about the times."""

import json
import os

import pytest
import torch

from gru_helpers import bench, params_from_nn_gru
from gru_helpers.bench import FAST, FAST_AFTER, FLOOR, TAUGHT, TORCH, Case
from gru_helpers.dataset import data_dir
from gru_helpers.plotting import to_png

TINY = Case(num_steps=3, batch_size=2, num_hiddens=4, vocab_size=5)
SWEEPS = {"num_steps": (2, 3, 5), "batch_size": (1, 2), "num_hiddens": (4, 8)}


def test_the_classic_job_and_at_least_five_others_are_measured():
    for sweeps in (bench.SWEEPS, bench.QUICK_SWEEPS):
        cases = bench.cases_of(sweeps)
        assert cases[0] == Case(35, 32, 256, 28)
        assert len(cases) >= 6
        assert len(set(cases)) == len(cases)
    assert Case(num_steps=400) in bench.cases_of(bench.SWEEPS)


def test_every_contestant_does_a_whole_training_step(monkeypatch):
    """They start from the same weights; what each computes is tested elsewhere."""
    models = {}

    def spy(model, X, labels):
        models[len(models)] = model
        return original(model, X, labels)

    original = bench.training_step
    monkeypatch.setattr(bench, "training_step", spy)
    steps = bench.contestants(TINY)
    assert list(steps) == [TAUGHT, TORCH, FAST, FAST_AFTER, FLOOR]
    first = [p.detach().clone() for p in models[0].parameters()]
    for step in steps.values():
        step()
    grads = [[p.grad for p in model.parameters()] for model in models.values()]
    assert all(g is not None and g.isfinite().all() for row in grads for g in row)
    for a, b, c in zip(first, models[2].params, params_from_nn_gru(models[1]), strict=False):
        assert torch.equal(a, b)
        assert torch.equal(a, c)
    agree = zip(grads[0], grads[2], strict=True)
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in agree)


def test_the_floor_multiplies_what_a_training_step_multiplies(monkeypatch):
    """Two multiplications and additions for each weight, row and pass, three passes in all."""
    done, mm = [], torch.mm
    case = Case(num_steps=7, batch_size=3, num_hiddens=4, vocab_size=5)
    step = bench.floor_step(case)

    def counted(a, b, out):
        done.append(a.shape[0] * a.shape[1] * b.shape[1])
        return mm(a, b, out=out)

    monkeypatch.setattr(torch, "mm", counted)
    step()
    rows, n, v = 7 * 3, 4, 5
    assert sum(done) == 3 * rows * (3 * n * n + n * v)
    assert len(done) == 4 * 7 + 5


def test_contestants_take_turns_equally_often():
    times = bench.measure(TINY, 0.02)
    assert len({len(values) for values in times.values()}) == 1
    assert len(times[FLOOR]) >= bench.LEAST_ROUNDS
    assert all(t > 0 for values in times.values() for t in values)


def test_the_summary_is_robust_against_one_round_that_was_disturbed():
    times = {TAUGHT: [4.0, 4.0, 400.0], TORCH: [3.0] * 3, FAST: [2.0, 2.0, 200.0]}
    times |= {FAST_AFTER: [2.0] * 3, FLOOR: [1.0, 1.0, 100.0]}
    found = bench.summary(TINY, times)
    assert found["num_steps"] == 3
    assert found["rounds"] == 3
    assert found["seconds"][TAUGHT]["median"] == 4.0
    assert found["seconds"][TORCH]["quartiles"] == [3.0, 3.0]
    assert list(found["ratios"].values()) == [2.0, 1.5, 1.5, 2.0]
    assert "taught loop / fast GRU" in found["ratios"]


def test_the_command_prints_a_table_and_writes_its_files(tmp_path, monkeypatch, capsys):
    cases, threads = bench.cases_of(SWEEPS, TINY), torch.get_num_threads()
    monkeypatch.setattr(bench, "cases_of", lambda _: cases)
    folder = tmp_path / "new" / "bench"
    assert bench.main(["--seconds", "0.1", "--threads", "1", "--folder", str(folder)]) == 0
    assert torch.get_num_threads() == threads
    report = json.loads((folder / "times.json").read_text(encoding="utf-8"))
    assert report["threads"] == 1
    assert report["device"] == bench.device_name() != ""
    assert len(report["cases"]) == 5
    assert (folder / "times.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert f"{report['device']}, 1 thread(s), torch" in printed
    for result in report["cases"]:
        assert printed.count(bench.sizes_of(result) + " ") == 2, "once with times, once with ratios"
    rows = [line for line in printed.splitlines() if " x " in line]
    assert max(map(len, rows)) < 150


def test_a_busy_machine_is_mentioned(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "getloadavg", lambda: (1.7, 0, 0), raising=False)
    bench.run([TINY], 0.01, tmp_path)
    assert "not idle (load 1.7)" in capsys.readouterr().out
    monkeypatch.delattr(os, "getloadavg")
    assert bench.run([TINY], 0.01, tmp_path)["load_before"] is None
    assert "not idle" not in capsys.readouterr().out


def test_the_picture_has_a_panel_for_each_size_and_a_line_for_each_contestant():
    cases = [
        bench.summary(case, {name: [k, 2.0 * k, 3.0 * k] for name in bench.contestants(case)})
        for k, case in enumerate(bench.cases_of(SWEEPS, TINY), 1)
    ]
    figure = bench.figure_of({"device": "a processor", "threads": 2, "cases": cases})
    to_png(figure)
    assert [axes.get_xlabel() for axes in figure.axes] == ["steps", "batch size", "hidden units"]
    for axes, sizes in zip(figure.axes, SWEEPS.values(), strict=True):
        assert axes.get_xscale() == axes.get_yscale() == "log"
        assert len(axes.lines) == 5
        assert all(tuple(line.get_xdata()) == sizes for line in axes.lines)
    assert "a processor, 2 threads" in figure.get_suptitle()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--seconds", "0"], "--seconds 0 is no time: give a number above 0"),
     (["--threads", "0"], "--threads 0 is no number of threads: give 1 or more")],
)  # fmt: skip
def test_misuse_is_told_on_stderr(arguments, words, capsys):
    with pytest.raises(SystemExit) as ended:
        bench.main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_quick_is_quick(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(bench, "run", lambda cases, seconds, folder: asked.append((cases, seconds)))
    bench.main(["--quick"])
    bench.main([])
    assert asked[0] == (bench.cases_of(bench.QUICK_SWEEPS), 20)
    assert asked[1] == (bench.cases_of(bench.SWEEPS), 120)


def test_interrupting_it_is_no_error(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "measure", interrupt)
    assert bench.main(["--quick"]) == 130
    assert "Interrupted: nothing was written" in capsys.readouterr().err


def test_the_profile_names_the_matrix_products_first(capsys):
    table = bench.profile(bench.Case(num_steps=5, batch_size=16, num_hiddens=128), rounds=2)
    head, *rows = table.splitlines()
    assert "ms a step" in head
    assert {"aten::mm", "aten::addmm_"} <= {row.split()[0] for row in rows}
    shares = [float(row.split("%")[0].split()[-1]) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert 50 < sum(shares) <= 101


def test_the_record_is_kept_on_request(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "cases_of", lambda sweeps: [TINY])
    monkeypatch.setattr(bench, "data_dir", lambda: tmp_path)
    options = ["--quick", "--seconds", "0.1", "--folder", str(tmp_path)]
    assert bench.main(options) == 0
    assert not (tmp_path / bench.RECORD).exists()
    assert bench.main([*options, "--record"]) == 0
    assert json.loads((tmp_path / bench.RECORD).read_text())["cases"][0]["num_steps"] == 3


def test_the_record_that_came_with_the_course_is_whole():
    record = json.loads((data_dir() / bench.RECORD).read_text(encoding="utf-8"))
    sizes = [tuple(case[name] for name in bench.SWEEPS) for case in record["cases"]]
    cases = bench.cases_of(bench.SWEEPS)
    assert sizes == [tuple(getattr(case, name) for name in bench.SWEEPS) for case in cases]
    assert record["device"]
    assert record["threads"] >= 1
