"""The honest race: its parts, its model, what disturbs it, what it measures, and its record."""

import itertools
import json
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from gru_helpers import CorpusError, FastGRUModel, ngram_probabilities
from gru_helpers.corpus import data_dir
from gru_helpers.studies import honest_race
from gru_helpers.studies.fit import Fit
from gru_helpers.studies.honest_race import FINAL, LIBRARY, SHORT, RaceGRU, Texts, train_once

TEXT = "the time traveller smiled at us over the lamp and the time machine stood there " * 40
TINY = replace(SHORT, minibatches=6, batch_size=4, num_steps=10, seeds=2)


@pytest.fixture
def texts(vocab):
    """Three parts of a repetitive text."""
    ids = torch.tensor(vocab[list(TEXT)])
    return Texts(ids[:2000], ids[2000:2300], ids[2300:2600], vocab, "a text")


@pytest.fixture(autouse=True)
def _few_units(monkeypatch):
    """Eight units, so that a run takes no time."""
    monkeypatch.setattr(honest_race, "NUM_HIDDENS", 8)


def test_the_parts_do_not_overlap_and_leave_nothing_out(monkeypatch, vocab):
    numbers = list(range(50_000))
    monkeypatch.setattr(
        honest_race, "load_corpus_time_machine", lambda corpus: (numbers, vocab, "numbers")
    )
    texts = honest_race.load_texts()
    assert texts.heldout.tolist() == numbers[10_000:20_000]
    assert texts.development.tolist() == numbers[-10_000:]
    parts = torch.cat([texts.train, texts.development, texts.heldout])
    assert sorted(parts.tolist()) == numbers


def test_undisturbed_it_is_the_fast_gru(vocab):
    model = RaceGRU(28, TINY).eval()
    same = FastGRUModel(28, 8, params=[*model.cells, model.W_hq, model.b_q])
    X = torch.randint(0, 28, (3, 12))
    logits, (H,) = model(X)
    expected, (expected_H,) = same(X)
    assert torch.equal(logits, expected)
    assert torch.equal(H, expected_H)
    first, state = model(X[:, :5])
    second, _ = model(X[:, 5:], state)
    assert torch.allclose(torch.cat([first, second]), logits, atol=1e-6)


def test_two_layers_hand_the_state_of_the_lower_to_the_upper():
    model = RaceGRU(28, replace(TINY, layers=2)).eval()
    X = torch.randint(1, 28, (2, 6))
    logits, (below, above) = model(X)
    assert below.shape == above.shape == (2, 4)
    params = list(model.cells)
    lower = FastGRUModel(28, 4, params=[*params[:9], torch.eye(4, 28), torch.zeros(28)])
    states = lower(X)[0][:, :4].view(6, 2, 4)
    upper = FastGRUModel(4, 4, params=[*params[9:], model.W_hq[:, :4], model.b_q[:4]])
    expected, (H,) = upper(states.transpose(0, 1))
    assert torch.allclose(logits[:, :4], expected, atol=1e-6)
    assert torch.allclose(above, H, atol=1e-6)


def test_texts_and_model_may_be_on_any_device(texts):
    """On one without numbers, where an operation with tensors of two devices fails all the same."""
    elsewhere = texts.to("meta")
    recipe = replace(TINY, layers=2, output_dropout=0.3)
    model = RaceGRU(28, recipe).to("meta")
    honest_race.loss_maker(model, elsewhere.train, recipe, seed=0)().backward()
    assert {param.grad.device.type for param in model.parameters()} == {"meta"}
    assert honest_race.probabilities(model, elsewhere.heldout).is_meta


@pytest.mark.parametrize("kind", ["noise", "dropout", "output_dropout"])
def test_each_disturbance_acts_in_training_only(kind):
    still = replace(TINY, noise=0.0, dropout=0.0, output_dropout=0.0)
    torch.manual_seed(0)
    model = RaceGRU(28, replace(still, **{kind: 0.5}))
    X = torch.randint(1, 28, (4, 20))
    assert not torch.equal(model(X)[0], model(X)[0])
    model.eval()
    assert torch.equal(model(X)[0], model(X)[0])
    quiet = RaceGRU(28, still)
    assert torch.equal(quiet(X)[0], quiet(X)[0])


def test_noise_hides_its_share_of_the_characters():
    torch.manual_seed(0)
    model = RaceGRU(28, replace(TINY, noise=0.25))
    X = torch.randint(1, 28, (100, 100))
    hidden = model.disturbed(X)
    assert ((hidden == X) | (hidden == 0)).all()
    assert (hidden == 0).double().mean().item() == pytest.approx(0.25, abs=0.03)


def test_rows_continue_and_every_epoch_cuts_elsewhere():
    recipe = replace(TINY, batch_size=2, num_steps=5)
    ids = torch.arange(40)
    batches = honest_race.minibatches(ids, recipe, torch.Generator().manual_seed(0))
    pairs = [next(batches) for _ in range(6)]
    assert [begins for begins, *_ in pairs] == [True, False, False, True, False, False]
    for (_, X, Y), (begins, after, _) in itertools.pairwise(pairs):
        assert torch.equal((X + 1) % 40, Y)
        assert begins or torch.equal((X[:, -1] + 1) % 40, after[:, 0])
    assert pairs[0][1][0, 0] != pairs[3][1][0, 0]


@pytest.mark.parametrize(
    "recipe",
    [TINY, replace(LIBRARY, minibatches=6, batch_size=4, num_steps=10)],
    ids=["fast", "nn.GRU"],
)
def test_a_run_is_the_same_from_the_same_seed(recipe, texts):
    (one, run), (two, _), (other, _) = (train_once(recipe, texts, seed) for seed in (3, 3, 4))
    p, same, different = (honest_race.probabilities(m, texts.heldout) for m in (one, two, other))
    assert torch.equal(p, same)
    assert not torch.equal(p, different)
    assert len(run.losses) == 6
    assert not one.training


def test_an_average_of_the_weights_lies_between_them(texts):
    last, _ = train_once(replace(TINY, averaging=0.0), texts)
    mean, _ = train_once(replace(TINY, averaging=0.5), texts)
    newest, _ = train_once(replace(TINY, averaging=1e-9), texts)
    pairs = list(zip(last.parameters(), newest.parameters(), strict=True))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in pairs)
    assert not torch.equal(last.W_hq, mean.W_hq)


def test_training_lowers_the_perplexity(texts):
    model, _ = train_once(replace(TINY, minibatches=150), texts)
    p = honest_race.probabilities(model, texts.heldout)
    assert p.shape == (299, 28)
    assert torch.allclose(p.sum(dim=1), torch.ones(299, dtype=torch.float64))
    assert honest_race.perplexity_on(p, texts.heldout) < 15


def test_the_perplexity_of_equal_chances_is_their_number():
    p = torch.full((4, 28), 1 / 28, dtype=torch.float64)
    assert honest_race.perplexity_on(p, torch.arange(5)) == pytest.approx(28)


def test_the_weight_of_a_mixture_is_the_best_one(texts):
    ids = torch.tensor([0, 0, 0, 0, 1])  # three in four: the first of two tokens
    sure = torch.tensor([[1.0, 0.0]] * 4, dtype=torch.float64)
    half = torch.tensor([[0.5, 0.5]] * 4, dtype=torch.float64)
    assert honest_race.best_weight(sure, half, ids) == 0.5  # 0.5 + 0.5 / 2 is three quarters
    model, _ = train_once(TINY, texts)
    counts = honest_race.count_all(texts)
    found = honest_race.measure_model(model, texts, counts)
    assert found["mixed"] <= max(
        found["heldout"], honest_race.perplexity_on(counts[1], texts.heldout)
    )
    expected = ngram_probabilities(texts.train, texts.heldout, honest_race.ORDER, 28)
    assert torch.equal(counts[1], expected)


def test_dynamic_evaluation_predicts_before_it_learns(texts):
    model, _ = train_once(TINY, texts)
    p = honest_race.probabilities(model, texts.heldout)
    still = honest_race.dynamic_probabilities(model, texts.heldout, lr=0.0)
    assert torch.allclose(p, still, atol=1e-5)
    moved = honest_race.dynamic_probabilities(model, texts.heldout, lr=0.5)
    assert torch.allclose(moved[:20], p[:20], atol=1e-6)
    assert honest_race.perplexity_on(moved, texts.heldout) < honest_race.perplexity_on(
        p, texts.heldout
    )


@pytest.fixture
def short_race(monkeypatch, texts, tmp_path):
    """A race of tiny recipes in an empty folder."""
    log = replace(TINY, label="first", seeds=1), replace(TINY, label="last")
    monkeypatch.setattr(honest_race, "LOG", log)
    monkeypatch.setattr(honest_race, "SHORT", log[0])
    monkeypatch.setattr(honest_race, "FINAL", log[1])
    monkeypatch.setattr(honest_race, "ABLATIONS", (replace(TINY, label="other", noise=0.0),))
    monkeypatch.setattr(honest_race, "load_texts", lambda corpus: texts)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "build" / "honest_race" / "honest_race.json"


def test_the_command_writes_every_line_and_measures_single_ones_anew(short_race, capsys):
    assert honest_race.main([]) == 0
    whole = json.loads(short_race.read_text())
    assert [line["label"] for line in whole["log"]] == ["first", "last"]
    assert [line["seeds"] for line in whole["log"] + whole["ablations"]] == [1, 2, 2]
    assert whole["dynamic"]["lr"] in honest_race.DYNAMIC_RATES
    assert "held-out" in capsys.readouterr().out
    assert honest_race.main(["--only", "last", "--seeds", "1"]) == 0
    again = json.loads(short_race.read_text())
    assert again["log"][0] == whole["log"][0]
    assert again["log"][1]["seeds"] == 1
    assert again["ablations"] == whole["ablations"]


def test_interrupting_it_keeps_what_was_finished(short_race, monkeypatch, capsys):
    real, stopped = honest_race.train_once, Fit(stop_reason="interrupted in minibatch 2")

    def interrupted(recipe, texts, seed):
        return real(recipe, texts, seed) if recipe.label == "first" else (nn.Identity(), stopped)

    monkeypatch.setattr(honest_race, "train_once", interrupted)
    assert honest_race.main([]) == 130
    assert [line["label"] for line in json.loads(short_race.read_text())["log"]] == ["first"]
    assert "what was finished is written" in capsys.readouterr().err


def test_without_the_book_it_says_so(monkeypatch, capsys):
    def no_book(corpus):
        raise CorpusError("there is no book here.")

    monkeypatch.setattr(honest_race, "load_texts", no_book)
    assert honest_race.main([]) == 1
    assert capsys.readouterr().err == "The honest race needs the book: there is no book here.\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "0"], "--seeds must be a positive integer, got 0."),
        (["--device", "cuda"], "--device cuda needs a GPU that PyTorch can use."),
        (["--only", "no such line"], "--only must name lines of the log"),
    ],
)
def test_wrong_options_are_named_on_stderr(options, message, monkeypatch, capsys):
    monkeypatch.setattr(honest_race, "load_texts", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        honest_race.main(options)
    assert message in capsys.readouterr().err


def test_the_record_is_that_of_these_recipes_and_reaches_its_aims():
    record = json.loads((data_dir() / honest_race.RECORD).read_text(encoding="utf-8"))
    for kind, recipes in (("log", honest_race.LOG), ("ablations", honest_race.ABLATIONS)):
        assert [line["label"] for line in record[kind]] == [recipe.label for recipe in recipes]
        for line, recipe in zip(record[kind], recipes, strict=True):
            assert line["minibatches"] == recipe.minibatches
            assert len(line["every_heldout"]) == line["seeds"]
    last = record["log"][-1]
    assert last["label"] == FINAL.label
    assert last["heldout"] <= 4.2
    assert last["mixed"] < 3.9
    assert last["mixed"] < record["counts"]["heldout"]
    assert math.isclose(record["counts"]["heldout"], 4.16, abs_tol=0.01)
