"""The two trained models that come with the course: what is in them, and how they are made."""

import hashlib
import json
import re

import pytest
import torch

from gru_helpers import (
    CheckpointError,
    CorpusError,
    History,
    RNNModel,
    RNNModelScratch,
    SeqDataLoader,
    corpus,
    evaluate_perplexity,
    load_checkpoint,
    load_corpus_time_machine,
    load_pretrained,
    predict,
    pretrained,
    trace_gates,
)
from gru_helpers.pretrained import MODELS, checkpoint_dir
from gru_helpers.studies import train_pretrained as training
from gru_helpers.studies.train_pretrained import PROVENANCE, main, train_pretrained

ALPHABET = ["<unk>", " ", *"abcdefghijklmnopqrstuvwxyz"]
FIRST_WORDS = "the time traveller for so it will be convenient to speak of him"

each_model = pytest.mark.parametrize("name", MODELS)


@pytest.fixture(scope="module")
def provenance():
    return json.loads((checkpoint_dir() / PROVENANCE).read_text(encoding="utf-8"))


# --- what is there ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "kind", "numbers"),
    [
        ((), RNNModelScratch, 226_076),
        (("gru",), RNNModelScratch, 226_076),
        (("nn_gru",), RNNModel, 226_844),
    ],
)
def test_the_models_have_the_classic_sizes(arguments, kind, numbers):
    model, vocab, settings = load_pretrained(*arguments)
    assert isinstance(model, kind)
    assert (model.vocab_size, model.num_hiddens) == (28, 256)
    assert sum(p.numel() for p in model.parameters()) == numbers
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in model.parameters())
    assert vocab.idx_to_token == ALPHABET
    assert settings["num_epochs"] == 500


@each_model
def test_the_provenance_is_that_of_the_files(name, provenance):
    assert set(provenance) == {f"{known}.pt" for known in MODELS}
    facts = dict(provenance[f"{name}.pt"])
    content = (checkpoint_dir() / f"{name}.pt").read_bytes()
    assert facts.pop("sha256") == hashlib.sha256(content).hexdigest()
    assert facts.pop("model") == MODELS[name]
    assert load_pretrained(name)[2] == facts
    assert facts["text"] == "the first 10000 characters of The Time Machine"
    assert facts["text_sha1"] == corpus.BOOK_SHA1
    assert (facts["batch_size"], facts["num_steps"], facts["num_epochs"]) == (32, 35, 500)
    assert 1 < facts["perplexity_of_the_weights"] < 1.15
    assert 1 < facts["perplexity_while_training"] < 1.15


@pytest.mark.parametrize(
    "words", ["`gru.pt`", "`nn_gru.pt`", f"`{PROVENANCE}`", "226,076 param", "226,844 param"]
)
def test_the_notes_beside_the_files_name_them(words):
    assert words in (checkpoint_dir() / "README.md").read_text(encoding="utf-8")


@each_model
def test_they_know_the_text_by_heart(name):
    model, vocab, _ = load_pretrained(name)
    known = FIRST_WORDS + "was expounding"
    assert predict(FIRST_WORDS, len(known) - len(FIRST_WORDS), model, vocab) == known
    trace = trace_gates(model, known, vocab)
    assert trace.perplexity < 1.5
    assert trace.losses[-1] < 0.1 < trace_gates(model, known[::-1], vocab).losses[-1]


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("gru", "the time traveller for so"),
        ("nn_gru", "the time traveller for so"),
        ("nn_gru", "the time traveller"),
    ],
)
def test_from_the_first_words_they_write_the_first_sentence(name, start):
    """From three words alone ``nn.GRU`` does; the scratch model then goes elsewhere."""
    model, vocab, _ = load_pretrained(name)
    assert predict(start, 55, model, vocab).startswith(FIRST_WORDS)


@each_model
def test_on_the_book_they_are_as_good_as_is_said(name):
    try:
        ids, vocab, _ = load_corpus_time_machine(10_000, corpus="book")
    except CorpusError as error:
        pytest.skip(f"the real book is not to be had: {error}")
    model, own, settings = load_pretrained(name)
    assert own == vocab
    rows = SeqDataLoader(ids, vocab, settings["batch_size"], settings["num_steps"], offset=0)
    perplexity = evaluate_perplexity(model, rows)
    assert perplexity == pytest.approx(settings["perplexity_of_the_weights"], rel=1e-3)


@pytest.mark.parametrize("wrong", ["lstm", "", "gru.pt", "../gru"])
def test_another_name_is_refused(wrong):
    message = f"name must be one of 'gru', 'nn_gru', got {wrong!r}."
    with pytest.raises(ValueError, match=re.escape(message)):
        load_pretrained(wrong)


@each_model
def test_a_file_that_is_missing_or_damaged_is_named(name, monkeypatch, tmp_path):
    whole = (checkpoint_dir() / f"{name}.pt").read_bytes()
    monkeypatch.setattr(pretrained, "checkpoint_dir", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=rf"There is no checkpoint .*{name}\.pt"):
        load_pretrained(name)
    (tmp_path / f"{name}.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=rf"{name}\.pt cannot be read as a checkpoint"):
        load_pretrained(name)


# --- how they are made --------------------------------------------------------------------------


@each_model
def test_training_again_gives_the_same_file(name, tmp_path):
    made = []
    for seed in (99, 7):  # that of the caller must not matter
        torch.manual_seed(seed)
        settings = train_pretrained(name, tmp_path, num_epochs=1, corpus="bundled")
        made.append((settings, (tmp_path / f"{name}.pt").read_bytes()))
    assert made[0] == made[1]
    settings, content = made[0]
    model, vocab, read = load_checkpoint(tmp_path / f"{name}.pt")
    assert read == settings
    assert settings["text"] == "the first 10000 characters of the bundled story"
    assert (settings["num_epochs"], settings["text_sha1"]) == (1, "")
    assert settings["torch"] == torch.__version__.partition("+")[0]
    assert (model.num_hiddens, len(vocab)) == (256, 28)
    ids, _, _ = load_corpus_time_machine(10_000, corpus="bundled")
    expected = evaluate_perplexity(model, SeqDataLoader(ids, vocab, 32, 35, offset=0))
    assert settings["perplexity_of_the_weights"] == pytest.approx(expected, abs=1e-3)
    assert len(content) == pytest.approx((checkpoint_dir() / f"{name}.pt").stat().st_size, rel=0.01)


def test_the_number_of_threads_is_restored(tmp_path):
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
    def no_book(*args, **kwargs):
        raise CorpusError("The Time Machine could not be downloaded.")

    folder = tmp_path / "checkpoints"
    folder.mkdir()
    old = {file: f"the old {file}" for file in ("gru.pt", "nn_gru.pt", PROVENANCE)}
    for file, content in old.items():
        (folder / file).write_text(content)
    monkeypatch.setattr(training, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(corpus, "fetch_book", no_book)
    assert main() == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        "The models are trained on the book, which is missing: The Time Machine could not be "
        "downloaded.\n"
    )
    assert {file.name: file.read_text() for file in folder.iterdir()} == old


def test_a_model_whose_training_was_interrupted_is_not_written(tmp_path, monkeypatch, capsys):
    stopped = History(perplexity=[20.0], stop_reason="interrupted in epoch 2")
    monkeypatch.setattr(training, "train", lambda *args, **look: stopped)
    with pytest.raises(KeyboardInterrupt):
        train_pretrained("gru", tmp_path, corpus="bundled")

    def interrupted(name, folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(training, "train_pretrained", interrupted)
    assert main() == 130
    assert capsys.readouterr().err == (
        "\nInterrupted: the model that was in training was not written.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_main_writes_both_models_and_their_provenance(tmp_path, monkeypatch, capsys):
    settings = {"seed": 0, "perplexity_of_the_weights": 1.25}

    def at_once(name, folder):
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.pt").write_bytes(name.encode())
        return settings

    monkeypatch.setattr(training, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(training, "train_pretrained", at_once)
    assert main() == 0
    facts = json.loads((tmp_path / "checkpoints" / PROVENANCE).read_text(encoding="utf-8"))
    assert facts == {
        f"{name}.pt": {
            "model": words,
            **settings,
            "sha256": hashlib.sha256(name.encode()).hexdigest(),
        }
        for name, words in MODELS.items()
    }
    printed = capsys.readouterr().out
    assert all(f"{name}.pt: perplexity 1.250" in printed for name in MODELS)
