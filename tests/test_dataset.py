"""Finding the text, cleaning it, numbering it, cutting it into minibatches."""

import hashlib
import http.server
import itertools
import re
import socket
import string
import threading
from contextlib import contextmanager

import pooch
import pytest
import requests
import torch
from hypothesis import given
from hypothesis import strategies as st

from gru_helpers import (
    CorpusError,
    SeqDataLoader,
    Vocab,
    dataset,
    load_corpus_time_machine,
    load_data_time_machine,
    load_train_heldout,
    normalize,
)

SEQUENTIAL, RANDOM = dataset.seq_data_iter_sequential, dataset.seq_data_iter_random


@pytest.fixture(scope="module")
def bundled_text():
    return dataset.bundled_path().read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def real_book():
    """The bytes of the real book, where ``data/`` or the mirror has it."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dataset, "BOOK_URLS", ("http://127.0.0.1:9/none",))
            patch.setattr(dataset, "RETRIES", 0)
            return dataset.fetch_book().read_bytes()
    except CorpusError as error:
        pytest.skip(f"the real book is not to be had: {error}")


# --- cleaning ----------------------------------------------------------------------------------


def test_normalize_keeps_letters_in_lower_case_and_single_spaces():
    assert normalize("  The Time\n\nTraveller (1895),\tby H. G. Wells!") == (
        "the time traveller by h g wells"
    )
    assert normalize("Ünïted 42") == "n ted"  # only the letters of the classic loader
    assert normalize("\n 1895 \n") == ""


def test_clean_lines_works_line_by_line():
    assert dataset.clean_lines("  A-b!\n\n12\nC'd") == ["a b", "", "", "c d"]


@given(st.text(alphabet=st.characters(codec="ascii"), max_size=60))
def test_cleaning_twice_changes_nothing(text):
    once = normalize(text)
    assert normalize(once) == once
    assert re.fullmatch("([a-z]+( [a-z]+)*)?", once)


def test_tokenize_into_characters_words_and_nothing_else():
    assert dataset.tokenize(["ab c"]) == [["a", "b", " ", "c"]]
    assert dataset.tokenize(["ab c", ""], "word") == [["ab", "c"], []]
    with pytest.raises(ValueError, match=r"token='line'.*'char' or 'word'"):
        dataset.tokenize(["ab"], "line")


# --- joining lines -----------------------------------------------------------------------------


@pytest.fixture
def two_lines(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("a spirit of\n\n  cheerfulness, too.\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("join_with", "expected"),
    [("", "a spirit ofcheerfulness too"), (" ", "a spirit of cheerfulness too")],
)
def test_lines_are_glued_by_default_and_joined_on_request(two_lines, join_with, expected):
    ids, vocab, name = load_corpus_time_machine(join_with=join_with, corpus=str(two_lines))
    assert "".join(vocab.to_tokens(ids)) == expected
    assert name == "lines.txt"


def test_gluing_is_the_default(two_lines):
    ids, vocab, _ = load_corpus_time_machine(corpus=str(two_lines))
    assert "ofcheerfulness" in "".join(vocab.to_tokens(ids))


@pytest.mark.parametrize("join_with", ["", " "])
def test_clean_join_of_the_bundled_story_is_its_normalised_text(bundled_text, join_with):
    ids, vocab, _ = load_corpus_time_machine(join_with=join_with, corpus="bundled")
    text = "".join(vocab.to_tokens(ids))
    expected = normalize(bundled_text)
    assert (text == expected) == (join_with == " ")
    assert text.replace(" ", "") == expected.replace(" ", "")


def test_max_tokens_cuts_the_text_and_not_the_vocabulary():
    whole, vocab, _ = load_corpus_time_machine(corpus="bundled")
    part, same, _ = load_corpus_time_machine(5, corpus="bundled")
    assert part == whole[:5]
    assert same == vocab


@pytest.mark.parametrize("max_tokens", [0, -2])
def test_max_tokens_that_is_no_length(max_tokens):
    with pytest.raises(ValueError, match=f"max_tokens={max_tokens} .*positive.*-1 for all"):
        load_corpus_time_machine(max_tokens, corpus="bundled")


# --- vocabulary --------------------------------------------------------------------------------


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
    assert vocab["é"] == 0
    assert vocab.to_tokens(0) == "<unk>"


@pytest.mark.parametrize("idx", [28, -1])
def test_ids_outside_the_vocabulary(vocab, idx):
    with pytest.raises(IndexError, match=f"id {idx} .*run to 27"):
        vocab.to_tokens(idx)


def test_vocabulary_counts_and_drops_rare_tokens():
    vocab = Vocab([["a", "b", "a"], ["c", "a", "b"]], min_freq=2, reserved_tokens=["<pad>"])
    assert vocab.token_freqs == [("a", 3), ("b", 2), ("c", 1)]
    assert vocab.idx_to_token == ["<unk>", "<pad>", "a", "b"]
    assert vocab["c"] == vocab.unk


def test_vocabulary_from_a_list(vocab):
    assert Vocab.from_list(vocab.idx_to_token) == vocab
    assert Vocab.from_list(["<unk>", "b", "a"]) != Vocab.from_list(["<unk>", "a", "b"])
    with pytest.raises(ValueError, match="its first token is '<unk>'"):
        Vocab.from_list(["a", "b"])


def test_corpus_name_says_which_text_it_is():
    train_iter, _ = load_data_time_machine(2, 5)
    assert train_iter.corpus_name in (dataset.BOOK_NAME, dataset.BUNDLED_NAME)
    train_iter, _ = load_data_time_machine(2, 5, corpus="bundled")
    assert train_iter.corpus_name == "the bundled story"
    assert "the bundled story" in repr(train_iter)


# --- the bundled story -------------------------------------------------------------------------


def test_bundled_story_is_long_enough_and_plain(bundled_text):
    assert len(normalize(bundled_text)) >= 25_000
    assert bundled_text.isascii()
    assert set(normalize(bundled_text)[:10_000]) == set(string.ascii_lowercase + " ")


def test_bundled_story_is_english(bundled_text):
    """Letter frequencies as in English: e first, and its share near an eighth."""
    letters = normalize(bundled_text).replace(" ", "")
    counts = {letter: letters.count(letter) / len(letters) for letter in string.ascii_lowercase}
    assert max(counts, key=counts.get) == "e"
    assert 0.10 < counts["e"] < 0.15
    assert counts["z"] < 0.01


def test_bundled_story_is_not_the_book(bundled_text, real_book):
    """No run of 60 characters of one stands in the other."""
    book, story = normalize(real_book.decode()), normalize(bundled_text)
    seen = {book[i : i + 60] for i in range(len(book) - 60)}
    assert not any(story[i : i + 60] in seen for i in range(len(story) - 60))


def test_the_real_book_is_the_classic_text(real_book):
    assert len(real_book) == 178_979
    ids, vocab, name = load_corpus_time_machine(corpus="book")
    text = "".join(vocab.to_tokens(ids))
    assert name == "The Time Machine"
    assert len(text) == 170_580  # as published with the classic loader
    assert text.startswith("the time machine by h g wells")
    assert "ofcheerfulness" in text


# --- sequential minibatches --------------------------------------------------------------------


def pairs(cut, n, batch_size, num_steps, offset=None):
    """The minibatches of a text whose ids are the places of its tokens."""
    return list(cut(torch.arange(n), batch_size, num_steps, offset))


@pytest.mark.parametrize("cut", [SEQUENTIAL, RANDOM])
def test_labels_are_the_next_tokens(cut):
    torch.manual_seed(0)
    batches = pairs(cut, 200, 3, 7)
    assert batches
    for X, Y in batches:
        assert X.shape == Y.shape == (3, 7)
        assert X.dtype == Y.dtype == torch.int64
        assert torch.equal(Y, X + 1)
        assert torch.equal(X, X[:, :1] + torch.arange(7))


def test_each_row_goes_on_in_the_next_minibatch():
    batches = pairs(SEQUENTIAL, 200, 3, 7, offset=4)
    assert len(batches) == 9
    for (X, Y), (following, _) in itertools.pairwise(batches):
        assert torch.equal(following[:, 0], X[:, -1] + 1)
        assert torch.equal(following[:, 0], Y[:, -1])


@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 300), st.data())
def test_sequential_sees_each_token_once(batch_size, num_steps, extra, data):
    """What is skipped is the offset and the tails that fill no minibatch, nothing else."""
    n = num_steps * (batch_size + 1) + 1 + extra
    offset = data.draw(st.integers(0, num_steps))
    batches = pairs(SEQUENTIAL, n, batch_size, num_steps, offset)
    seen = torch.cat([X for X, _ in batches], dim=1)  # (batch_size, steps of the epoch)
    assert len(seen.unique()) == seen.numel()
    row_length = (n - offset - 1) // batch_size
    assert seen[:, 0].tolist() == [offset + i * row_length for i in range(batch_size)]
    assert torch.equal(seen, seen[:, :1] + torch.arange(seen.shape[1]))
    assert 0 <= row_length - seen.shape[1] < num_steps
    assert 0 <= n - offset - 1 - batch_size * row_length < batch_size


def test_when_the_sizes_divide_the_text_every_token_is_seen():
    batches = pairs(SEQUENTIAL, 4 * 30 + 1, 4, 10, offset=0)
    seen = torch.cat([X for X, _ in batches], dim=1)
    assert seen.flatten().sort().values.tolist() == list(range(120))


def test_the_classic_sizes_give_eight_minibatches_an_epoch():
    train_iter, _ = load_data_time_machine(32, 35)
    assert len(train_iter.corpus) == 10_000
    for offset in (0, 17, 35):
        batches = list(SEQUENTIAL(train_iter.corpus, 32, 35, offset))
        assert len(batches) == 8
        assert batches[0][0].shape == (32, 35)
        assert torch.equal(batches[0][0][0], train_iter.corpus[offset : offset + 35])


# --- random minibatches ------------------------------------------------------------------------


@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 200), st.integers(0, 99))
def test_random_never_overlaps(batch_size, num_steps, extra, seed):
    torch.manual_seed(seed)
    n = num_steps * (batch_size + 1) + extra
    batches = pairs(RANDOM, n, batch_size, num_steps)
    seen = torch.cat([X.flatten() for X, _ in batches])
    assert len(seen.unique()) == seen.numel()
    assert int(seen.max()) <= n - 2  # the last token is only a label
    starts = torch.cat([X[:, 0] for X, _ in batches])
    assert len((starts % num_steps).unique()) == 1  # one grid, and its offset
    assert len(starts) % batch_size == 0


def test_random_order_is_random():
    torch.manual_seed(0)
    starts = torch.cat([X[:, 0] for X, _ in pairs(RANDOM, 1000, 2, 10)])
    steps = starts.diff()
    assert (steps == 10).float().mean() < 0.5
    assert (steps < 0).any()


@pytest.mark.parametrize(("cut", "highest"), [(SEQUENTIAL, 5), (RANDOM, 4)])
def test_every_offset_is_drawn(cut, highest):
    """With one row, the first token that is seen is the one at the offset."""
    torch.manual_seed(0)
    offsets = {int(min(X.min() for X, _ in pairs(cut, 31, 1, 5))) for _ in range(80)}
    assert offsets == set(range(highest + 1))


@pytest.mark.parametrize("use_random_iter", [False, True])
def test_same_seed_same_cuts_and_each_epoch_others(use_random_iter, vocab):
    loader = SeqDataLoader(torch.arange(500), vocab, 2, 25, use_random_iter)

    def epochs(seed):
        torch.manual_seed(seed)
        return [torch.stack([X for X, _ in loader]).tolist() for _ in range(6)]

    first = epochs(1)
    assert first == epochs(1)
    assert first != epochs(2)
    assert any(epoch != first[0] for epoch in first)


# --- sizes that do not fit ---------------------------------------------------------------------


def always_yields(cut, n, batch_size, num_steps):
    """Whether there is a whole minibatch at every offset that may be drawn."""
    offsets = range(num_steps + 1) if cut is SEQUENTIAL else range(num_steps)
    for offset in offsets:
        batches = pairs(cut, n, batch_size, num_steps, offset)
        if not batches or any(X.shape != (batch_size, num_steps) for X, _ in batches):
            return False
    return True


def refusal(cut, n, batch_size, num_steps):
    """What the sampler says when it refuses these sizes, else nothing."""
    try:
        cut(torch.arange(n), batch_size, num_steps)
    except CorpusError as error:
        return str(error)
    return ""


def largest_sizes(message):
    """The sizes that an error message recommends."""
    return {name: int(size) for name, size in re.findall(r"(\w+)=(\d+)(?= or|\.$)", message)}


@pytest.mark.parametrize("cut", [SEQUENTIAL, RANDOM])
@given(n=st.integers(0, 120), batch_size=st.integers(1, 12), num_steps=st.integers(1, 25))
def test_sizes_fit_at_every_offset_or_are_refused_with_the_largest_that_fit(
    cut, n, batch_size, num_steps
):
    message = refusal(cut, n, batch_size, num_steps)
    if not message:
        assert always_yields(cut, n, batch_size, num_steps)
        return
    best = largest_sizes(message)
    for name, size in best.items():
        sizes = {"batch_size": batch_size, "num_steps": num_steps, name: size}
        assert always_yields(cut, n, **sizes), "the size that is named must fit"
        sizes[name] += 1
        assert refusal(cut, n, **sizes), "and one more must not"
    if not best:
        assert "a longer text" in message
        assert refusal(cut, n, 1, num_steps)
        assert refusal(cut, n, batch_size, 1)


@pytest.mark.parametrize("use_random_iter", [False, True])
def test_sizes_are_refused_when_the_loader_is_made(use_random_iter):
    with pytest.raises(CorpusError, match=r"batch_size=5000 with num_steps=35 .*10,000.*=\d+"):
        load_data_time_machine(5000, 35, use_random_iter)


@pytest.mark.parametrize(
    ("sizes", "name"),
    [((0, 5), "batch_size=0"), ((-3, 5), "batch_size=-3"), ((2, -1), "num_steps=-1"),
     ((2.0, 5), "batch_size=2.0"), ((True, 5), "batch_size=True")],
)  # fmt: skip
def test_sizes_that_are_no_sizes(sizes, name):
    with pytest.raises(ValueError, match=f"{re.escape(name)} is not a size.*1 or more"):
        load_data_time_machine(*sizes)


# --- held-out text -----------------------------------------------------------------------------


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
    _, heldout_iter, _ = load_train_heldout(4, 5, use_random_iter=True)
    assert heldout_iter.use_random_iter is False
    first, second = list(heldout_iter), list(heldout_iter)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, second, strict=True))
    assert torch.equal(first[0][0][0], heldout_iter.corpus[:5])


@pytest.mark.parametrize("sizes", [(10_000, 10**7), (10**7, 100), (0, 100), (100, 0), (-1, 10**7)])
def test_parts_that_do_not_fit_in_the_text(sizes):
    with pytest.raises(CorpusError, match=r"do not fit in .*, which has [\d,]+: ask for fewer"):
        load_train_heldout(4, 5, *sizes)


# --- a book of a few bytes, to try what happens to the real one --------------------------------

BOOK = b"A small book.\nIt stands for the real one, byte by byte.\n" * 40


@pytest.fixture
def small_book(monkeypatch):
    """The package takes ``BOOK`` for the book, and remembers nothing of earlier attempts."""
    monkeypatch.setattr(dataset, "BOOK_BYTES", len(BOOK))
    monkeypatch.setattr(dataset, "BOOK_SHA1", hashlib.sha1(BOOK).hexdigest())
    monkeypatch.setattr(dataset, "_notices_given", set())
    monkeypatch.setattr(dataset, "_failed_downloads", {})
    monkeypatch.delenv(dataset.MIRROR_VARIABLE, raising=False)


def put(folder, content=BOOK):
    """Write a book into a folder."""
    path = folder / dataset.BOOK_FILE
    path.write_bytes(content)
    return path


@contextmanager
def server(*answers):
    """A local server that gives ``answers`` in turn, the last for ever; yields URL and requests.

    An answer is ``(status, body)`` or ``(status, body, promised length)``.
    """
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, body, *length = answers[min(len(asked), len(answers) - 1)]
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(length[0] if length else len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}", asked
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def closed_port():
    """A URL at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")


# --- where the book is found -------------------------------------------------------------------


@pytest.mark.usefixtures("small_book")
class TestFetchBook:
    def test_in_the_data_folder_before_any_mirror(self, empty_folder, tmp_path):
        mine = put(empty_folder)
        assert dataset.fetch_book(empty_folder, mirror=str(tmp_path / "nowhere")) == mine

    def test_in_a_mirror_folder(self, empty_folder, tmp_path):
        theirs = put(tmp_path)
        assert dataset.fetch_book(empty_folder, mirror=str(tmp_path)) == theirs
        assert list(empty_folder.iterdir()) == []

    def test_in_the_mirror_that_the_environment_names(self, empty_folder, tmp_path, monkeypatch):
        theirs = put(tmp_path)
        monkeypatch.setenv("GRU_DATA_MIRROR", f" {tmp_path} ")
        assert dataset.fetch_book(empty_folder) == theirs

    def test_from_a_mirror_url_into_the_data_folder(self, tmp_path):
        folder = tmp_path / "new" / "data"
        with server((200, BOOK)) as (url, asked):
            path = dataset.fetch_book(folder, mirror=url + "/")
            assert path == folder / dataset.BOOK_FILE
            assert dataset.fetch_book(folder, mirror=url) == path
        assert asked == [f"/{dataset.BOOK_FILE}"], "the second time it is in the folder"
        assert path.read_bytes() == BOOK
        assert [p.name for p in folder.iterdir()] == [dataset.BOOK_FILE]

    def test_the_second_address_when_the_first_fails(self, empty_folder, monkeypatch):
        with server((200, BOOK)) as (url, asked):
            urls = (closed_port() + "/none.txt", f"{url}/other.txt")
            monkeypatch.setattr(dataset, "BOOK_URLS", urls)
            assert dataset.fetch_book(empty_folder).read_bytes() == BOOK
        assert asked == ["/other.txt"]

    def test_a_transfer_that_fails_is_tried_again(self, empty_folder, monkeypatch):
        monkeypatch.setattr(dataset, "RETRIES", 1)
        monkeypatch.setattr(pooch.core.time, "sleep", lambda seconds: None)
        with server((200, BOOK[:9], len(BOOK)), (200, BOOK)) as (url, asked):
            assert dataset.fetch_book(empty_folder, mirror=url).read_bytes() == BOOK
        assert len(asked) == 2

    def test_the_server_is_given_only_so_long(self, empty_folder, monkeypatch):
        """A connection without a time limit would hang a class."""
        limits = []

        def refuse(*args, timeout=None, **kwargs):
            limits.append(timeout)
            raise requests.exceptions.ConnectTimeout("too slow")

        monkeypatch.setattr(requests, "get", refuse)
        with pytest.raises(CorpusError, match="ConnectTimeout"):
            dataset.fetch_book(empty_folder, mirror="http://127.0.0.1:1")
        assert limits == [(dataset.CONNECT_SECONDS, dataset.READ_SECONDS)]
        assert 0 < sum(limits[0]) <= 20

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            ((200, BOOK.replace(b"small", b"SMALL")), "hash"),
            ((200, BOOK[:100]), "hash"),
            ((200, BOOK[:100], len(BOOK)), "could not be downloaded"),
            ((404, b"no such file"), "HTTPError"),
            ((500, b"out of order"), "HTTPError"),
        ],
        ids=["wrong checksum", "too short", "cut off", "404", "500"],
    )
    def test_a_bad_transfer_leaves_nothing_behind(self, empty_folder, answer, words):
        with server(answer) as (url, _), pytest.raises(CorpusError) as caught:
            dataset.fetch_book(empty_folder, mirror=url)
        message = str(caught.value)
        assert words in message
        assert url in message
        assert "GRU_DATA_MIRROR" in message
        assert list(empty_folder.iterdir()) == []

    def test_a_mirror_that_does_not_answer(self, empty_folder):
        url = closed_port()
        with pytest.raises(CorpusError, match=r"could not be downloaded.*Connect to the internet"):
            dataset.fetch_book(empty_folder, mirror=url)

    def test_a_mirror_folder_without_the_book(self, empty_folder, tmp_path):
        with pytest.raises(CorpusError, match=r"GRU_DATA_MIRROR names .*correct.*or unset"):
            dataset.fetch_book(empty_folder, mirror=str(tmp_path))

    @pytest.mark.parametrize("place", ["data folder", "mirror"])
    @pytest.mark.parametrize(
        ("content", "words"),
        [(BOOK[:-1], "truncated"), (b"", "truncated"), (b"x" + BOOK[1:], "SHA-1"),
         (BOOK + b"more", "SHA-1")],
        ids=["truncated", "empty", "damaged", "longer"],
    )  # fmt: skip
    def test_a_damaged_copy_is_named_and_left_alone(
        self, empty_folder, tmp_path, place, content, words
    ):
        path = put(empty_folder if place == "data folder" else tmp_path, content)
        other = empty_folder / "mine.txt"
        other.write_text("my own notes", encoding="utf-8")
        with pytest.raises(CorpusError, match=words) as caught:
            dataset.fetch_book(empty_folder, mirror=str(tmp_path))
        assert str(path) in str(caught.value)
        assert path.read_bytes() == content
        assert other.read_text(encoding="utf-8") == "my own notes"

    def test_a_damaged_copy_is_not_replaced_by_a_download(self, empty_folder):
        path = put(empty_folder, b"damaged")
        with server((200, BOOK)) as (url, asked):
            with pytest.raises(CorpusError, match="Delete it"):
                dataset.fetch_book(empty_folder, mirror=url)
            assert asked == []
        assert path.read_bytes() == b"damaged"

    def test_a_download_touches_nothing_else(self, empty_folder):
        (empty_folder / "mine.txt").write_text("my own notes", encoding="utf-8")
        with server((200, BOOK)) as (url, _):
            dataset.fetch_book(empty_folder, mirror=url)
        assert (empty_folder / "mine.txt").read_text(encoding="utf-8") == "my own notes"
        assert len(list(empty_folder.iterdir())) == 2

    def test_a_folder_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").write_text("not a folder", encoding="utf-8")
        with server((200, BOOK)) as (url, asked):
            with pytest.raises(CorpusError, match=r"cannot be written to.*GRU_DATA_MIRROR"):
                dataset.fetch_book(tmp_path / "file" / "data", mirror=url)
            assert asked == []

    def test_a_folder_that_is_read_only(self, empty_folder, monkeypatch):
        monkeypatch.setattr(dataset.os, "access", lambda path, mode: False)
        with pytest.raises(CorpusError, match=r"cannot be written to.*writable"):
            dataset.fetch_book(empty_folder, mirror=closed_port())


# --- what the lesson does without it -----------------------------------------------------------


@pytest.mark.usefixtures("small_book")
class TestWithoutTheBook:
    def test_one_notice_then_the_bundled_story(self, empty_folder, monkeypatch, capsys):
        monkeypatch.setenv("GRU_DATA_MIRROR", closed_port())
        text, name = dataset.read_corpus(folder=empty_folder)
        assert name == dataset.BUNDLED_NAME
        assert text == dataset.bundled_path().read_text(encoding="utf-8")
        printed = capsys.readouterr().out
        assert printed.count("Until then the lesson uses the bundled story") == 1
        assert "could not be downloaded" in printed
        assert dataset.read_corpus(folder=empty_folder) == (text, name)
        assert capsys.readouterr().out == ""

    def test_a_failed_download_is_not_waited_for_twice(self, empty_folder, monkeypatch):
        with server((404, b"")) as (url, asked):
            monkeypatch.setenv("GRU_DATA_MIRROR", url)
            dataset.read_corpus(folder=empty_folder)
            assert len(asked) == 1
            dataset.read_corpus(folder=empty_folder)
            assert len(asked) == 1
            with pytest.raises(CorpusError):  # whoever asks for the book itself tries again
                dataset.read_corpus("book", folder=empty_folder)
            assert len(asked) == 2

    def test_a_damaged_copy_is_named_and_the_lesson_goes_on(self, empty_folder, capsys):
        path = put(empty_folder, b"damaged")
        _, name = dataset.read_corpus(folder=empty_folder)
        assert name == dataset.BUNDLED_NAME
        assert str(path) in capsys.readouterr().out
        assert path.read_bytes() == b"damaged"

    def test_a_read_only_folder_does_not_stop_the_lesson(self, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("not a folder", encoding="utf-8")
        monkeypatch.setenv("GRU_DATA_MIRROR", closed_port())
        _, name = dataset.read_corpus(folder=tmp_path / "file" / "data")
        assert name == dataset.BUNDLED_NAME

    def test_the_book_when_it_comes_back(self, empty_folder, tmp_path, monkeypatch):
        monkeypatch.setenv("GRU_DATA_MIRROR", closed_port())
        assert dataset.read_corpus(folder=empty_folder)[1] == dataset.BUNDLED_NAME
        put(empty_folder)
        assert dataset.read_corpus(folder=empty_folder) == (BOOK.decode(), dataset.BOOK_NAME)

    def test_asked_for_the_book_itself(self, empty_folder):
        with pytest.raises(CorpusError, match="could not be downloaded"):
            dataset.read_corpus("book", folder=empty_folder)


# --- a text of one's own -----------------------------------------------------------------------


def test_a_text_file_by_its_path(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("A text.", encoding="utf-8")
    assert dataset.read_corpus(str(path)) == ("A text.", "mine.txt")
    assert dataset.read_corpus(path) == ("A text.", "mine.txt")


@pytest.mark.parametrize(
    ("content", "words"),
    [("café".encode("latin-1"), r"is not UTF-8 text \(byte 3 .*save it as UTF-8"),
     (b"", "holds no letters"), ("1895 — 42".encode(), "holds no letters")],
    ids=["not UTF-8", "empty", "no letters"],
)  # fmt: skip
def test_a_text_file_that_cannot_be_used(tmp_path, content, words):
    path = tmp_path / "mine.txt"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=words) as caught:
        dataset.read_corpus(str(path))
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize("corpus", ["bok", "no/such/file.txt"])
def test_a_text_that_does_not_exist(corpus):
    with pytest.raises(CorpusError, match=f"{corpus!r} is neither 'auto', 'book' nor 'bundled'"):
        dataset.read_corpus(corpus)


def test_a_missing_bundled_story_says_what_to_do(monkeypatch):
    monkeypatch.setattr(dataset, "BUNDLED_FILE", "no_such_story.txt")
    monkeypatch.setattr(dataset, "data_dir", lambda: dataset.Path("nowhere"))
    with pytest.raises(CorpusError, match=r"no_such_story.txt.*install the package again"):
        dataset.read_corpus("bundled")


def test_a_relative_mirror_is_seen_from_the_repository_too(monkeypatch, empty_folder, tmp_path):
    """A notebook's folder is not the one in which the variable was set."""
    book = b"x" * dataset.BOOK_BYTES
    monkeypatch.setattr(dataset, "BOOK_SHA1", hashlib.sha1(book).hexdigest())
    monkeypatch.setattr(dataset, "data_dir", lambda: tmp_path / "repository" / "data")
    (tmp_path / "repository" / "stick").mkdir(parents=True)
    (tmp_path / "repository" / "stick" / dataset.BOOK_FILE).write_bytes(book)
    found = dataset.fetch_book(empty_folder, mirror="stick")
    assert found.read_bytes() == book
