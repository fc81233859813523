"""The two trained models that come with the course: what is in them, and how they are made."""

import hashlib
import json
import re

import pytest
import torch

from gru_helpers import (
    CheckpointError,
    CorpusError,
    RNNModel,
    RNNModelScratch,
    SeqDataLoader,
    dataset,
    evaluate_perplexity,
    load_checkpoint,
    load_corpus_time_machine,
    load_pretrained,
    predict,
    pretrained,
    trace_gates,
)
from gru_helpers.pretrained import NAMES, PROVENANCE, checkpoint_dir, main, train_pretrained

ALPHABET = ["<unk>", " ", *"abcdefghijklmnopqrstuvwxyz"]


@pytest.fixture(params=NAMES)
def name(request):
    """Each of the two models in turn."""
    return request.param


@pytest.fixture(scope="module")
def provenance():
    return json.loads((checkpoint_dir() / PROVENANCE).read_text(encoding="utf-8"))


def no_book(*args, **look):
    raise CorpusError("The Time Machine could not be downloaded.")


# --- what is there ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "numbers"), [("gru", RNNModelScratch, 226_076), ("nn_gru", RNNModel, 226_844)]
)
def test_the_models_have_the_classic_sizes(name, kind, numbers):
    model, vocab, settings = load_pretrained(name)
    assert isinstance(model, kind)
    assert (model.vocab_size, model.num_hiddens) == (28, 256)
    assert sum(p.numel() for p in model.parameters()) == numbers
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert vocab.idx_to_token == ALPHABET
    assert settings["num_epochs"] == 500


def test_the_scratch_model_comes_first():
    model, _, _ = load_pretrained()
    named, _, _ = load_pretrained("gru")
    for one, other in zip(model.params, named.params, strict=True):
        assert torch.equal(one, other)


def test_the_provenance_is_that_of_the_files(name, provenance):
    assert set(provenance) == {f"{known}.pt" for known in NAMES}
    facts = dict(provenance[f"{name}.pt"])
    content = (checkpoint_dir() / f"{name}.pt").read_bytes()
    assert facts.pop("sha256") == hashlib.sha256(content).hexdigest()
    assert facts.pop("model") == NAMES[name]
    assert load_pretrained(name)[2] == facts
    assert facts["text"] == "the first 10000 characters of The Time Machine"
    assert facts["text_sha1"] == dataset.BOOK_SHA1
    assert (facts["batch_size"], facts["num_steps"], facts["num_epochs"]) == (32, 35, 500)
    assert 1 < facts["perplexity_of_the_weights"] < 1.15
    assert 1 < facts["perplexity_while_training"] < 1.15


def test_the_notes_beside_the_files_name_them(provenance):
    notes = (checkpoint_dir() / "README.md").read_text(encoding="utf-8")
    for file in (*provenance, PROVENANCE):
        assert f"`{file}`" in notes
    for known in NAMES:
        model, _, _ = load_pretrained(known)
        assert f"{sum(p.numel() for p in model.parameters()):,} parameters" in notes


def test_they_go_on_by_heart(name):
    model, vocab, _ = load_pretrained(name)
    start = "the time traveller for so it will be convenient to speak of him"
    known = "the time traveller for so it will be convenient to speak of himwas expounding"
    assert predict(start, len(known) - len(start), model, vocab) == known
    trace = trace_gates(model, known, vocab)
    assert trace.perplexity < 1.5
    (*_, after), (*_, strange) = trace.losses, trace_gates(model, known[::-1], vocab).losses
    assert after < 0.1 < strange


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("gru", "the time traveller for so"),
        ("nn_gru", "the time traveller for so"),
        ("nn_gru", "the time traveller"),
    ],
)
def test_from_the_first_words_they_write_the_first_sentence(name, start):
    """From three words alone ``nn.GRU`` does; the scratch model then takes another turn."""
    model, vocab, _ = load_pretrained(name)
    written = predict(start, 55, model, vocab)
    assert written.startswith("the time traveller for so it will be convenient to speak of him")


def test_on_the_book_they_are_as_good_as_is_said(name, provenance):
    try:
        ids, vocab, _ = load_corpus_time_machine(10_000, corpus="book")
    except CorpusError as error:
        pytest.skip(f"the real book is not to be had: {error}")
    model, own, settings = load_pretrained(name)
    assert own == vocab
    rows = SeqDataLoader(ids, vocab, settings["batch_size"], settings["num_steps"], offset=0)
    found = evaluate_perplexity(model, rows)
    assert found == pytest.approx(settings["perplexity_of_the_weights"], rel=1e-3)


@pytest.mark.parametrize("wrong", ["lstm", "", "gru.pt", "../gru"])
def test_another_name_is_refused(wrong):
    words = f"name={wrong!r} is no trained model: use gru or nn_gru."
    with pytest.raises(ValueError, match=re.escape(words)):
        load_pretrained(wrong)


def test_a_file_that_is_missing_or_damaged_is_named(monkeypatch, tmp_path, name):
    monkeypatch.setattr(pretrained, "checkpoint_dir", lambda: tmp_path)
    with pytest.raises(CheckpointError, match=rf"There is no checkpoint .*{name}\.pt"):
        load_pretrained(name)
    whole = (checkpoint_dir() / f"{name}.pt").read_bytes()
    (tmp_path / f"{name}.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        load_pretrained(name)


# --- how they are made --------------------------------------------------------------------------


def test_training_again_gives_the_same_file(tmp_path, name, capsys):
    made = []
    for attempt in ("first", "second"):
        torch.manual_seed(99 if attempt == "first" else 7)  # it must not matter
        settings = train_pretrained(name, tmp_path / attempt, num_epochs=1, corpus="bundled")
        made.append((settings, (tmp_path / attempt / f"{name}.pt").read_bytes()))
    assert made[0] == made[1]
    settings, content = made[0]
    model, vocab, read = load_checkpoint(tmp_path / "first" / f"{name}.pt")
    assert read == settings
    assert (settings["num_epochs"], settings["text_sha1"]) == (1, "")
    assert settings["text"] == "the first 10000 characters of the bundled story"
    assert settings["torch"] == torch.__version__.partition("+")[0]
    assert (model.num_hiddens, len(vocab)) == (256, 28)
    rows = load_corpus_time_machine(10_000, corpus="bundled")[0]
    rows = SeqDataLoader(rows, vocab, 32, 35, offset=0)
    expected = evaluate_perplexity(model, rows)
    assert settings["perplexity_of_the_weights"] == pytest.approx(expected, abs=1e-3)
    assert len(content) == pytest.approx((checkpoint_dir() / f"{name}.pt").stat().st_size, rel=0.01)


def test_the_number_of_threads_is_put_back(tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(CorpusError):
            train_pretrained("gru", tmp_path, corpus=str(tmp_path / "nothing.txt"))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert list(tmp_path.iterdir()) == []


def test_without_the_book_nothing_is_touched(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for file in ("gru.pt", "nn_gru.pt", PROVENANCE):
        (folder / file).write_text(f"the old {file}")
    monkeypatch.setattr(pretrained, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(dataset, "fetch_book", no_book)
    assert main() == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        "The models are trained on the book, which is not at hand: The Time Machine could not be "
        "downloaded.\n"
    )
    for file in folder.iterdir():
        assert file.read_text() == f"the old {file.name}"
    assert len(list(folder.iterdir())) == 3


def test_main_writes_both_models_and_their_provenance(tmp_path, monkeypatch, capsys):
    made = []

    def quickly(name, folder):
        made.append(name)
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.pt").write_bytes(name.encode())
        return {"seed": 0, "perplexity_of_the_weights": 1.25}

    monkeypatch.setattr(pretrained, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(pretrained, "train_pretrained", quickly)
    assert main() == 0
    assert made == list(NAMES)
    facts = json.loads((tmp_path / "checkpoints" / PROVENANCE).read_text(encoding="utf-8"))
    for name, words in NAMES.items():
        assert facts[f"{name}.pt"] == {
            "model": words, "seed": 0, "perplexity_of_the_weights": 1.25,
            "sha256": hashlib.sha256(name.encode()).hexdigest(),
        }  # fmt: skip
    told = capsys.readouterr().out
    assert all(f"{name}.pt: perplexity 1.250" in told for name in NAMES)
