"""Numbering the characters of a text, cutting it into minibatches, loading both."""

import itertools
import re
import string

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gru_helpers import (
    CorpusError,
    SeqDataLoader,
    Vocab,
    load_corpus_time_machine,
    load_data_time_machine,
    load_slice,
    load_train_heldout,
    normalize,
)
from gru_helpers.corpus import BOOK_NAME, BUNDLED_NAME, read_corpus
from gru_helpers.dataset import encode_text, seq_data_iter_random, seq_data_iter_sequential

CUTS = {False: seq_data_iter_sequential, True: seq_data_iter_random}
both = pytest.mark.parametrize("use_random_iter", [False, True], ids=["sequential", "random"])


# --- vocabulary ---------------------------------------------------------------------------------


@pytest.mark.parametrize("corpus", ["auto", "bundled"])
def test_vocabulary_has_28_tokens_with_either_text(corpus, vocab):
    _, found, _ = load_corpus_time_machine(corpus=corpus)
    assert len(found) == 28
    assert found == vocab
    assert found.idx_to_token == ["<unk>", " ", *string.ascii_lowercase]
    assert found["<unk>"] == found.unk == 0


def test_vocabulary_goes_there_and_back(vocab):
    tokens = list("the time traveller")
    assert vocab.to_tokens(vocab[tokens]) == tokens
    assert vocab.to_tokens(torch.tensor(vocab[tokens])) == tokens
    assert vocab[tuple(tokens)] == vocab[tokens]
    assert vocab["é"] == 0
    assert vocab.to_tokens(0) == "<unk>"
    assert vocab.to_tokens(27) == "z"


def test_vocabulary_counts_and_drops_rare_tokens():
    vocab = Vocab([["b", "a", "a"], ["c", "a", "b"]], min_freq=2, reserved_tokens=["<pad>"])
    assert vocab.token_freqs == [("a", 3), ("b", 2), ("c", 1)]
    assert vocab.idx_to_token == ["<unk>", "<pad>", "a", "b"]
    assert vocab["c"] == vocab.unk
    assert Vocab(["<unk>", "a"]).idx_to_token == ["<unk>", "a"]
    assert repr(Vocab("ba")) == "Vocab of 3: '<unk>' 'a' 'b'"


def test_vocabulary_from_a_list(vocab):
    assert Vocab.from_list(vocab.idx_to_token) == vocab
    assert Vocab.from_list(["<unk>", "b", "a"]) != Vocab.from_list(["<unk>", "a", "b"])
    assert Vocab.from_list(["<unk>", "b", "a"])["a"] == 2
    assert vocab != vocab.idx_to_token


@pytest.mark.parametrize(
    ("text", "normal"),
    [("The Time", "the time"), ("  it's 1895: a", "it s a"), ("time ", "time "), ("a\n", "a ")],
)
def test_a_text_is_encoded_as_the_corpus_is_written(vocab, text, normal):
    assert encode_text(text, vocab) == vocab[list(normal)]


# --- joining lines ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        ({}, "a spirit ofcheerfulness too"),
        ({"join_with": ""}, "a spirit ofcheerfulness too"),
        ({"join_with": " "}, "a spirit of cheerfulness too"),
    ],
)
def test_lines_are_glued_by_default_and_joined_on_request(tmp_path, look, expected):
    path = tmp_path / "lines.txt"
    path.write_text("a spirit of\n\n  cheerfulness, too.\n", encoding="utf-8")
    ids, vocab, name = load_corpus_time_machine(corpus=path, **look)
    assert "".join(vocab.to_tokens(ids)) == expected
    assert name == "lines.txt"


@pytest.mark.parametrize("join_with", ["", " "])
def test_clean_join_of_the_bundled_story_is_its_normalised_text(join_with):
    ids, vocab, _ = load_corpus_time_machine(join_with=join_with, corpus="bundled")
    text, expected = "".join(vocab.to_tokens(ids)), normalize(read_corpus("bundled")[0])
    assert (text == expected) == (join_with == " ")
    assert text.replace(" ", "") == expected.replace(" ", "")


def test_max_tokens_cuts_the_text_and_not_the_vocabulary():
    whole, vocab, _ = load_corpus_time_machine(corpus="bundled")
    part, same, _ = load_corpus_time_machine(5, corpus="bundled")
    assert part == whole[:5]
    assert same == vocab


# --- sequential minibatches ---------------------------------------------------------------------


def cut_places(use_random_iter, n, batch_size, num_steps, offset=None):
    """The minibatches of a text whose ids are the places of its tokens."""
    return list(CUTS[use_random_iter](torch.arange(n), batch_size, num_steps, offset))


@both
@pytest.mark.parametrize("kind", [torch.tensor, list, np.array])
def test_labels_are_the_next_tokens(use_random_iter, kind):
    batches = list(CUTS[use_random_iter](kind(range(200)), 3, 7))
    assert batches
    for X, Y in batches:
        assert X.shape == Y.shape == (3, 7)
        assert X.dtype == Y.dtype == torch.int64
        assert torch.equal(Y, X + 1)
        assert torch.equal(X, X[:, :1] + torch.arange(7))


def test_each_row_continues_in_the_next_minibatch():
    batches = cut_places(False, 200, 3, 7, offset=4)
    assert len(batches) == 9
    for (X, Y), (following, _) in itertools.pairwise(batches):
        assert torch.equal(following[:, 0], X[:, -1] + 1)
        assert torch.equal(following[:, 0], Y[:, -1])


@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 300), st.data())
def test_sequential_sees_each_token_once(batch_size, num_steps, extra, data):
    """What is skipped is the offset and the tails that fill no minibatch, nothing else."""
    n = num_steps * (batch_size + 1) + 1 + extra
    offset = data.draw(st.integers(0, num_steps))
    batches = cut_places(False, n, batch_size, num_steps, offset)
    seen = torch.cat([X for X, _ in batches], dim=1)  # (batch_size, steps of the epoch)
    assert len(seen.unique()) == seen.numel()
    row_length = (n - offset - 1) // batch_size
    assert seen[:, 0].tolist() == [offset + i * row_length for i in range(batch_size)]
    assert torch.equal(seen, seen[:, :1] + torch.arange(seen.shape[1]))
    assert 0 <= row_length - seen.shape[1] < num_steps
    assert 0 <= n - offset - 1 - batch_size * row_length < batch_size


def test_when_the_sizes_divide_the_text_every_token_is_seen():
    batches = cut_places(False, 4 * 30 + 1, 4, 10, offset=0)
    seen = torch.cat([X for X, _ in batches], dim=1)
    assert seen.flatten().sort().values.tolist() == list(range(120))


def test_the_classic_sizes_give_eight_minibatches_an_epoch():
    train_iter, _ = load_data_time_machine(32, 35)
    assert len(train_iter.corpus) == 10_000
    assert len(train_iter) == 8
    for offset in (0, 17, 35):
        batches = list(seq_data_iter_sequential(train_iter.corpus, 32, 35, offset))
        assert len(batches) == 8
        assert batches[0][0].shape == (32, 35)
        assert torch.equal(batches[0][0][0], train_iter.corpus[offset : offset + 35])


# --- random minibatches -------------------------------------------------------------------------


@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 200), st.integers(0, 99))
def test_random_never_overlaps(batch_size, num_steps, extra, seed):
    torch.manual_seed(seed)
    n = num_steps * (batch_size + 1) + extra
    batches = cut_places(True, n, batch_size, num_steps)
    seen = torch.cat([X.flatten() for X, _ in batches])
    assert len(seen.unique()) == seen.numel()
    assert int(seen.max()) <= n - 2  # the last token is only a label
    starts = torch.cat([X[:, 0] for X, _ in batches])
    assert len((starts % num_steps).unique()) == 1  # one grid, and its offset
    assert len(starts) % batch_size == 0


def test_random_order_is_random():
    torch.manual_seed(0)
    starts = torch.cat([X[:, 0] for X, _ in cut_places(True, 1000, 2, 10)])
    steps = starts.diff()
    assert (steps == 10).float().mean() < 0.5
    assert (steps < 0).any()


# --- offsets, generators, lengths ---------------------------------------------------------------


@both
def test_every_offset_is_drawn(use_random_iter):
    """With one row, the first token that is seen is the one at the offset."""
    torch.manual_seed(0)
    epochs = [cut_places(use_random_iter, 31, 1, 5) for _ in range(80)]
    offsets = {int(min(X.min() for X, _ in epoch)) for epoch in epochs}
    assert offsets == set(range(5 if use_random_iter else 6))


def epochs_of(loader, number=6):
    """The minibatches of some epochs, as lists."""
    return [torch.stack([X for X, _ in loader]).tolist() for _ in range(number)]


@both
def test_same_seed_same_cuts_and_each_epoch_others(use_random_iter, vocab):
    loader = SeqDataLoader(torch.arange(500), vocab, 2, 25, use_random_iter)
    torch.manual_seed(1)
    first = epochs_of(loader)
    torch.manual_seed(1)
    assert first == epochs_of(loader)
    torch.manual_seed(2)
    assert first != epochs_of(loader)
    assert any(epoch != first[0] for epoch in first)


@both
def test_a_generator_of_its_own_leaves_torch_s_alone(use_random_iter, vocab):
    def epochs(seed):
        generator = torch.Generator().manual_seed(seed)
        return epochs_of(
            SeqDataLoader(torch.arange(500), vocab, 2, 25, use_random_iter, generator=generator)
        )

    before = torch.random.get_rng_state()
    first = epochs(1)
    torch.rand(3)
    torch.random.set_rng_state(before)
    assert first == epochs(1)
    assert first != epochs(2)
    assert torch.equal(before, torch.random.get_rng_state())


@both
def test_a_fixed_offset_cuts_every_epoch_alike(use_random_iter, vocab):
    loader = SeqDataLoader(torch.arange(500), vocab, 2, 25, use_random_iter, offset=7)
    starts = torch.tensor(epochs_of(loader))[..., 0]  # (epochs, minibatches, rows)
    places = starts if use_random_iter else starts[..., 0]
    assert set((places % 25).flatten().tolist()) == {7}


@both
@given(st.integers(1, 5), st.integers(1, 8), st.integers(0, 120))
def test_the_length_is_the_number_of_minibatches(use_random_iter, batch_size, num_steps, extra):
    """With an offset of its own in each epoch, one less at most."""
    n = num_steps * (batch_size + 1) + 1 + extra
    longest = len(SeqDataLoader(range(n), None, batch_size, num_steps, use_random_iter))
    for offset in range(num_steps + (not use_random_iter)):
        loader = SeqDataLoader(range(n), None, batch_size, num_steps, use_random_iter, offset)
        number = len(list(loader))
        assert len(loader) == number
        assert longest - 1 <= number <= longest
        assert offset > 0 or number == longest


# --- sizes that do not fit ----------------------------------------------------------------------


def always_yields(use_random_iter, n, batch_size, num_steps):
    """Whether there is a whole minibatch at every offset that may be drawn."""
    for offset in range(num_steps + (not use_random_iter)):
        batches = cut_places(use_random_iter, n, batch_size, num_steps, offset)
        if not batches or any(X.shape != (batch_size, num_steps) for X, _ in batches):
            return False
    return True


def refusal(use_random_iter, n, batch_size, num_steps):
    """What the sampler says when it refuses these sizes, else nothing."""
    try:
        CUTS[use_random_iter](torch.arange(n), batch_size, num_steps)
    except CorpusError as error:
        return str(error)
    return ""


@both
@given(n=st.integers(0, 120), batch_size=st.integers(1, 12), num_steps=st.integers(1, 25))
def test_sizes_fit_at_every_offset_or_are_refused_with_the_largest_that_fit(
    use_random_iter, n, batch_size, num_steps
):
    message = refusal(use_random_iter, n, batch_size, num_steps)
    if not message:
        assert always_yields(use_random_iter, n, batch_size, num_steps)
        return
    best = re.findall(r"(\w+)=(\d+)(?= or|\.$)", message)
    for name, size in best:
        sizes = {"batch_size": batch_size, "num_steps": num_steps, name: int(size)}
        assert always_yields(use_random_iter, n, **sizes), "the size that is named must fit"
        sizes[name] += 1
        assert refusal(use_random_iter, n, **sizes), "and one more must not"
    if not best:
        assert message.endswith(": use a longer text.")
        assert refusal(use_random_iter, n, 1, num_steps)
        assert refusal(use_random_iter, n, batch_size, 1)


# --- loaders ------------------------------------------------------------------------------------


def test_the_loader_says_which_text_it_is():
    train_iter, _ = load_data_time_machine(2, 5)
    assert train_iter.corpus_name in (BOOK_NAME, BUNDLED_NAME)
    train_iter, vocab = load_data_time_machine(2, 5, True, corpus="bundled")
    assert train_iter.corpus_name == "the bundled story"
    assert train_iter.vocab is vocab
    assert repr(train_iter) == (
        "10,000 tokens of the bundled story in random minibatches of 2 rows and 5 steps"
    )


def test_training_and_heldout_text_are_disjoint_and_adjacent():
    ids, _, _ = load_corpus_time_machine()
    train_iter, heldout_iter, vocab = load_train_heldout(32, 35)
    assert len(train_iter.corpus) == len(heldout_iter.corpus) == 10_000
    assert train_iter.corpus.tolist() == ids[:10_000]
    assert heldout_iter.corpus.tolist() == ids[10_000:20_000]
    classic, same_vocab = load_data_time_machine(32, 35)
    assert torch.equal(train_iter.corpus, classic.corpus)
    assert vocab == same_vocab


def test_all_but_the_end_can_be_trained_on():
    ids, _, _ = load_corpus_time_machine(corpus="bundled")
    train_iter, heldout_iter, _ = load_train_heldout(4, 5, -1, 3000, corpus="bundled")
    assert train_iter.corpus.tolist() + heldout_iter.corpus.tolist() == ids
    assert len(heldout_iter.corpus) == 3000


def test_heldout_text_is_always_cut_in_the_same_places():
    train_iter, heldout_iter, _ = load_train_heldout(4, 5, use_random_iter=True)
    assert train_iter.use_random_iter is True
    assert heldout_iter.use_random_iter is False
    first, second = list(heldout_iter), list(heldout_iter)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, second, strict=True))
    assert torch.equal(first[0][0][0], heldout_iter.corpus[:5])


@pytest.mark.parametrize("corpus", ["auto", "bundled"])
def test_a_slice_lies_behind_training_and_heldout_text(corpus):
    ids, vocab, _ = load_corpus_time_machine(corpus=corpus)
    tuning_iter = load_slice(32, 35, 20_000, 25_000, corpus=corpus)
    assert tuning_iter.corpus.tolist() == ids[20_000:25_000]
    assert tuning_iter.offset == 0
    assert len(tuning_iter) == 4
    assert tuning_iter.vocab == vocab


@pytest.mark.parametrize("places", [(5, 5), (6, 5), (0, 10**7), (10**7, 10**7 + 1)])
def test_slices_that_are_no_part_of_the_text(places):
    words = "start={} and stop={} name no part of".format(*places)
    with pytest.raises(CorpusError, match=words + r" .*, which has [\d,]+ tokens\."):
        load_slice(4, 5, *places)


# --- what is refused, and in which words --------------------------------------------------------

VOCAB, ALPHABET = Vocab(list("abc")), Vocab(string.ascii_lowercase + " ")
SEQUENTIAL, RANDOM = seq_data_iter_sequential, seq_data_iter_random
NOT_POSITIVE = "{} must be a positive integer, got {!r}."
NOT_A_COUNT = "max_tokens must be a positive integer, or -1 for all, got {}."
TOO_LARGE = "batch_size={} with num_steps={} is too large for a text of {} tokens: {}."
OFFSET = "offset must be an integer from 0 to {} (num_steps=5), or None, got {}."
NO_STRING = "The {} must be a string, got {!r}."
UNKNOWN = "A vocabulary must begin with '<unk>', got {}."
IDS = "Ids must lie between 0 and 3, got {}."
NO_LETTERS = "The text must contain at least one letter A to Z, got {!r}."
LACKS = "The {} has characters that this vocabulary lacks: {}."
ADVICE = "the largest that fits is batch_size=284 or num_steps=1"
REFUSED = [
    (SEQUENTIAL, (range(99), 0, 5), NOT_POSITIVE.format("batch_size", 0)),
    (SEQUENTIAL, (range(99), -3, 5), NOT_POSITIVE.format("batch_size", -3)),
    (RANDOM, (range(99), 2, -1), NOT_POSITIVE.format("num_steps", -1)),
    (SeqDataLoader, (range(99), VOCAB, 2.0, 5), NOT_POSITIVE.format("batch_size", 2.0)),
    (load_data_time_machine, (True, 5), NOT_POSITIVE.format("batch_size", True)),
    (load_data_time_machine, ("2", 5), NOT_POSITIVE.format("batch_size", "2")),
    (load_data_time_machine, (5000, 35), TOO_LARGE.format(5000, 35, "10,000", ADVICE)),
    (load_data_time_machine, (5000, 35, True), TOO_LARGE.format(5000, 35, "10,000", ADVICE)),
    (SEQUENTIAL, (range(2), 2, 2), TOO_LARGE.format(2, 2, 2, "use a longer text")),
    (SEQUENTIAL, (range(99), 2, 5, 6), OFFSET.format(5, 6)),
    (RANDOM, (range(99), 2, 5, 5), OFFSET.format(4, 5)),
    (SeqDataLoader, (range(99), VOCAB, 2, 5, True, -1), OFFSET.format(4, -1)),
    (SeqDataLoader, (range(99), VOCAB, 2, 5, False, 1.0), OFFSET.format(5, 1.0)),
    (load_corpus_time_machine, (0,), NOT_A_COUNT.format(0)),
    (load_corpus_time_machine, (-2,), NOT_A_COUNT.format(-2)),
    (load_data_time_machine, (2, 5, False, 9.5), NOT_A_COUNT.format(9.5)),
    (load_data_time_machine, (2, 5, False, "100"), NOT_A_COUNT.format("'100'")),
    (load_train_heldout, (4, 5, 0, 100), NOT_A_COUNT.format(0)),
    (load_slice, (4, 5, -1, 100), "start must be a non-negative integer, got -1."),
    (load_slice, (4, 5, 0, 0), NOT_POSITIVE.format("stop", 0)),
    (load_train_heldout, (4, 5, 100, 0), NOT_POSITIVE.format("heldout_tokens", 0)),
    (Vocab.from_list, (["a", "b"],), UNKNOWN.format(["a", "b"])),
    (Vocab.from_list, ([],), UNKNOWN.format([])),
    (VOCAB.to_tokens, (4,), IDS.format(4)),
    (VOCAB.to_tokens, ([0, -1],), IDS.format(-1)),
    *[(encode_text, (t, ALPHABET), NO_LETTERS.format(t)) for t in ("", " \n", "1895!", "时间")],
    (encode_text, (None, ALPHABET), NO_STRING.format("text", None)),
    (encode_text, (b"ab", ALPHABET, "prefix"), NO_STRING.format("prefix", b"ab")),
    (encode_text, ("abcxy", VOCAB, "prefix"), LACKS.format("prefix 'abcxy'", ["x", "y"])),
    (encode_text, ("ab c", VOCAB), LACKS.format("text 'ab c'", [" "])),
    (encode_text, ("ab ", VOCAB), LACKS.format("text 'ab '", [" "])),
]


@pytest.mark.parametrize(("function", "arguments", "sentence"), REFUSED)
def test_what_is_refused_and_in_which_words(function, arguments, sentence):
    with pytest.raises((ValueError, IndexError)) as caught:
        function(*arguments)
    assert str(caught.value) == sentence
    assert isinstance(caught.value, CorpusError) == ("too large for a text" in sentence)


@pytest.mark.parametrize("sizes", [(10_000, 10**7), (10**7, 100), (-1, 10**7), (100, 10**7)])
def test_parts_that_do_not_fit_in_the_text(sizes):
    words = "max_tokens={} and heldout_tokens={} do not fit in".format(*sizes)
    with pytest.raises(CorpusError, match=words + r" .*, which has [\d,]+ tokens: ask for fewer\."):
        load_train_heldout(4, 5, *sizes)


@both
def test_sizes_may_be_numpy_s(use_random_iter):
    sizes = (np.int64(2), np.int32(5))
    assert len(list(CUTS[use_random_iter](torch.arange(100), *sizes, np.int64(0)))) == 9
