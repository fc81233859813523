"""Finding the text, fetching and checking it, cleaning it."""

import errno
import hashlib
import http.server
import os
import re
import socket
import string
import threading
from contextlib import contextmanager
from pathlib import Path

import pooch
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from gru_helpers import CorpusError, corpus, normalize
from gru_helpers.corpus import BOOK_FILE, BOOK_NAME, BUNDLED_NAME, fetch_book, read_corpus

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")


# --- cleaning -----------------------------------------------------------------------------------


def test_normalize_keeps_letters_in_lower_case_and_single_spaces():
    assert normalize("  The Time\n\nTraveller (1895),\tby H. G. Wells!") == (
        "the time traveller by h g wells"
    )
    assert normalize("Ünïted 42") == "n ted"  # only the letters of the classic loader
    assert normalize("\n 1895 \n") == ""


def test_clean_lines_works_line_by_line():
    assert corpus.clean_lines("  A-b!\n\n12\nC'd") == ["a b", "", "", "c d"]


@given(st.text(alphabet=st.characters(codec="ascii"), max_size=60))
def test_cleaning_twice_changes_nothing(text):
    once = normalize(text)
    assert normalize(once) == once
    assert re.fullmatch("([a-z]+( [a-z]+)*)?", once)


# --- the two texts ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def story():
    """The bundled story, normalized."""
    return normalize(read_corpus("bundled")[0])


@pytest.fixture
def book():
    """The bytes of the real book, where ``data/`` or the mirror has it."""
    try:
        return fetch_book().read_bytes()
    except CorpusError as error:
        pytest.skip(f"the real book is not available: {error}")


def test_the_bundled_story_is_long_enough_and_plain(story):
    assert len(story) >= 25_000
    assert corpus.bundled_path().read_text(encoding="utf-8").isascii()
    assert set(story[:10_000]) == set(string.ascii_lowercase + " ")


def test_the_bundled_story_is_english(story):
    """Letter frequencies as in English: e first, and its share near an eighth."""
    letters = story.replace(" ", "")
    shares = {letter: letters.count(letter) / len(letters) for letter in string.ascii_lowercase}
    assert max(shares, key=shares.get) == "e"
    assert 0.10 < shares["e"] < 0.15
    assert shares["z"] < 0.01


def test_the_bundled_story_is_not_the_book(story, book):
    """No run of 60 characters of one stands in the other."""
    text = normalize(book.decode())
    seen = {text[i : i + 60] for i in range(len(text) - 59)}
    assert not any(story[i : i + 60] in seen for i in range(len(story) - 59))


def test_the_real_book_is_the_classic_text(book):
    assert len(book) == 178_979
    text, name = read_corpus("book")
    assert name == "The Time Machine"
    glued = "".join(corpus.clean_lines(text))
    assert len(glued) == 170_580  # as published with the classic loader
    assert glued.startswith("the time machine by h g wells")
    assert "ofcheerfulness" in glued


# --- a book of a few bytes, to try what happens to the real one ---------------------------------

BOOK = b"A small book.\nIt stands for the real one, byte by byte.\n" * 40


@pytest.fixture
def small_book(monkeypatch):
    """The package takes ``BOOK`` for the book, and remembers nothing of earlier attempts."""
    monkeypatch.setattr(corpus, "BOOK_BYTES", len(BOOK))
    monkeypatch.setattr(corpus, "BOOK_SHA1", hashlib.sha1(BOOK).hexdigest())
    monkeypatch.setattr(corpus, "_notices_given", set())
    monkeypatch.setattr(corpus, "_failed_downloads", {})
    monkeypatch.delenv("GRU_DATA_MIRROR", raising=False)


def put(folder, content=BOOK):
    """Write a book into a folder."""
    path = folder / BOOK_FILE
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


# --- where the book is found --------------------------------------------------------------------


@pytest.mark.usefixtures("small_book")
class TestFetchBook:
    def test_in_the_data_folder_before_any_mirror(self, empty_folder, tmp_path):
        mine = put(empty_folder)
        assert fetch_book(empty_folder, mirror=str(tmp_path / "nowhere")) == mine

    def test_in_a_mirror_folder(self, empty_folder, tmp_path):
        theirs = put(tmp_path)
        assert fetch_book(empty_folder, mirror=str(tmp_path)) == theirs
        assert list(empty_folder.iterdir()) == []

    def test_in_the_mirror_that_the_environment_names(self, empty_folder, tmp_path, monkeypatch):
        theirs = put(tmp_path)
        monkeypatch.setenv("GRU_DATA_MIRROR", f" {tmp_path} ")
        assert fetch_book(empty_folder) == theirs

    @pytest.mark.parametrize("place", ["here", "repository"])
    def test_in_a_relative_mirror_seen_from_here_or_from_the_repository(
        self, empty_folder, tmp_path, monkeypatch, place
    ):
        """A notebook's folder is not the one in which the variable was set."""
        for folder in ("here", "repository"):
            (tmp_path / folder / "stick").mkdir(parents=True)
        theirs = put(tmp_path / place / "stick")
        monkeypatch.chdir(tmp_path / "here")
        monkeypatch.setattr(corpus, "data_dir", lambda: tmp_path / "repository" / "data")
        assert fetch_book(empty_folder, mirror="stick").resolve() == theirs.resolve()

    def test_from_a_mirror_url_into_the_data_folder(self, tmp_path):
        folder = tmp_path / "new" / "data"
        with server((200, BOOK)) as (url, asked):
            path = fetch_book(folder, mirror=url + "/books/")
            assert path == folder / BOOK_FILE
            assert fetch_book(folder, mirror=url) == path
        assert asked == [f"/books/{BOOK_FILE}"], "the second time it is in the folder"
        assert path.read_bytes() == BOOK
        assert [p.name for p in folder.iterdir()] == [BOOK_FILE]

    def test_at_the_second_address_when_the_first_fails(self, empty_folder, monkeypatch):
        with server((200, BOOK)) as (url, asked):
            urls = (closed_port() + "/none.txt", f"{url}/other.txt")
            monkeypatch.setattr(corpus, "BOOK_URLS", urls)
            assert fetch_book(empty_folder).read_bytes() == BOOK
        assert asked == ["/other.txt"]

    def test_a_transfer_that_fails_is_tried_again(self, empty_folder, monkeypatch):
        monkeypatch.setattr(corpus, "RETRIES", 1)
        with server((200, BOOK[:9], len(BOOK)), (200, BOOK)) as (url, asked):
            assert fetch_book(empty_folder, mirror=url).read_bytes() == BOOK
        assert len(asked) == 2

    def test_the_server_is_given_only_so_long(self, empty_folder, monkeypatch):
        """A connection without a time limit would hang a class."""
        limits = []

        def refuse(*args, timeout=None, **kwargs):
            limits.append(timeout)
            raise requests.exceptions.ConnectTimeout("too slow")

        monkeypatch.setattr(requests, "get", refuse)
        with pytest.raises(CorpusError, match="ConnectTimeout"):
            fetch_book(empty_folder, mirror="http://127.0.0.1:1")
        assert limits == [(corpus.CONNECT_SECONDS, corpus.READ_SECONDS)]
        assert 0 < sum(limits[0]) <= 20

    def test_time_is_up_for_all_addresses_together(self, empty_folder, monkeypatch, capsys):
        """A server that sends a byte now and then keeps every single limit."""
        over, asked = threading.Event(), []

        def trickle(url, **kwargs):
            asked.append(url)
            over.wait()
            raise requests.exceptions.ReadTimeout("too slow")

        monkeypatch.setattr(requests, "get", trickle)
        monkeypatch.setattr(corpus, "RETRIES", 1)
        monkeypatch.setattr(corpus, "ALL_SECONDS", 0.01)
        monkeypatch.setattr(corpus, "BOOK_URLS", ("http://a/book", "http://b/book"))
        try:
            with pytest.raises(CorpusError, match=r"http://b/book: no answer within 0.01 seconds"):
                fetch_book(empty_folder)
        finally:
            over.set()
        assert set(asked) <= {"http://a/book"}, "the second is not asked when time is up"
        assert "gives up after 0.01 seconds" in capsys.readouterr().out
        assert not (empty_folder / BOOK_FILE).exists()

    @pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
    def test_the_book_is_as_readable_as_any_new_file(self, empty_folder):
        """A teacher's copy is read by a class."""
        other = empty_folder / "other"
        other.touch()
        with server((200, BOOK)) as (url, _):
            path = fetch_book(empty_folder, mirror=url)
        assert path.stat().st_mode == other.stat().st_mode

    def test_a_full_disk_leaves_nothing_behind(self, empty_folder, monkeypatch):
        def full(path, content):
            path.touch()
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", full)
        with server((200, BOOK)) as (url, _), pytest.raises(CorpusError) as caught:
            fetch_book(empty_folder, mirror=url)
        assert str(caught.value) == (
            f"{empty_folder / BOOK_FILE} could not be written (No space left on device): make room "
            "on the disk, or choose a place where you may write."
        )
        assert list(empty_folder.iterdir()) == []

    def test_a_book_that_comes_too_late_changes_no_text(self, empty_folder, monkeypatch):
        """The lesson has gone on with the bundled story, and stays with it."""
        over, done = threading.Event(), threading.Event()
        fetch_file, fetch = pooch.HTTPDownloader.__call__, corpus._fetch

        def slow(*args):
            over.wait()
            fetch_file(*args)

        def fetch_and_tell(urls):
            try:
                return fetch(urls)
            finally:
                done.set()

        monkeypatch.setattr(pooch.HTTPDownloader, "__call__", slow)
        monkeypatch.setattr(corpus, "_fetch", fetch_and_tell)
        monkeypatch.setattr(corpus, "ALL_SECONDS", 0.01)
        with server((200, BOOK)) as (url, asked):
            with pytest.raises(CorpusError, match="no answer within"):
                fetch_book(empty_folder, mirror=url)
            over.set()
            assert done.wait(20)
            assert asked
        assert list(empty_folder.iterdir()) == []

    def test_a_mirror_may_name_the_file_itself(self, tmp_path, empty_folder):
        theirs = put(tmp_path)
        assert fetch_book(empty_folder, mirror=str(theirs)) == theirs
        with server((200, BOOK)) as (url, asked):
            fetch_book(empty_folder, mirror=f"{url}/books/{BOOK_FILE}")
        assert asked == [f"/books/{BOOK_FILE}"]

    @pytest.mark.parametrize("place", ["data folder", "mirror"])
    def test_a_folder_in_the_place_of_the_book(self, empty_folder, tmp_path, place):
        path = (empty_folder if place == "data folder" else tmp_path) / BOOK_FILE
        path.mkdir()
        with pytest.raises(CorpusError) as caught:
            fetch_book(empty_folder, mirror=str(tmp_path))
        assert re.fullmatch(
            rf"{re.escape(str(path))} cannot be read \([\w ]+\): it must be a file that you may "
            r"read\. Mend that, or move it away, and it will be fetched again\.",
            str(caught.value),
        )

    def test_a_download_is_announced_once_and_touches_nothing_else(self, empty_folder, capsys):
        (empty_folder / "mine.txt").write_text("my own notes", encoding="utf-8")
        with server((200, BOOK)) as (url, _):
            fetch_book(empty_folder, mirror=url).unlink()
            fetch_book(empty_folder, mirror=url)
        assert (empty_folder / "mine.txt").read_text(encoding="utf-8") == "my own notes"
        assert len(list(empty_folder.iterdir())) == 2
        assert capsys.readouterr().out.count("Fetching The Time Machine") == 1

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            ((200, BOOK.replace(b"small", b"SMALL")), "hash"),
            ((200, BOOK[:100]), "hash"),
            ((200, BOOK[:100], len(BOOK)), "could not be downloaded"),
            ((404, b"no such file"), "HTTPError 404"),
            ((500, b"out of order"), "HTTPError 500"),
            ((200, BOOK * 9), "hash"),
        ],
        ids=["wrong checksum", "too short", "cut off", "404", "500", "too long"],
    )
    def test_a_bad_transfer_leaves_nothing_behind(self, empty_folder, answer, words):
        with server(answer) as (url, _), pytest.raises(CorpusError) as caught:
            fetch_book(empty_folder, mirror=url)
        message = str(caught.value)
        assert all(part in message for part in (words, url, "GRU_DATA_MIRROR"))
        assert list(empty_folder.iterdir()) == []

    @pytest.mark.parametrize("place", ["data folder", "mirror"])
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (BOOK[:-1], f"is truncated: it has {len(BOOK) - 1:,} bytes, and {BOOK_NAME} has"),
            (b"", "is truncated: it has 0 bytes"),
            (b"x" + BOOK[1:], f"its SHA-1 is {hashlib.sha1(b'x' + BOOK[1:]).hexdigest()}, and"),
            (BOOK + b"more", "is not the expected copy of The Time Machine: its SHA-1 is"),
        ],
        ids=["truncated", "empty", "damaged", "longer"],
    )
    def test_a_damaged_copy_is_named_and_neither_changed_nor_replaced(
        self, empty_folder, tmp_path, monkeypatch, place, content, words
    ):
        """Whose copy it is, and whether anything is lost with it, only the reader knows."""
        path = put(empty_folder if place == "data folder" else tmp_path, content)
        monkeypatch.setattr(corpus, "_download", lambda *args: pytest.fail("downloaded"))
        with pytest.raises(CorpusError, match=re.escape(words)) as caught:
            fetch_book(empty_folder, mirror=str(tmp_path))
        assert str(path) in str(caught.value)
        assert str(caught.value).endswith("Delete it, and it will be fetched again.")
        assert path.read_bytes() == content

    def test_a_folder_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").write_text("not a folder", encoding="utf-8")
        with server((200, BOOK)) as (url, asked):
            with pytest.raises(CorpusError, match=r"cannot be written to: .*GRU_DATA_MIRROR"):
                fetch_book(tmp_path / "file" / "data", mirror=url)
            assert asked == []

    def test_a_folder_that_is_read_only(self, empty_folder, monkeypatch):
        monkeypatch.setattr(corpus.os, "access", lambda path, mode: False)
        with pytest.raises(CorpusError, match=r"cannot be written to: make it writable"):
            fetch_book(empty_folder, mirror=closed_port())


def test_without_the_repository_downloads_are_kept_in_the_user_s_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(corpus, "__file__", str(tmp_path / "site-packages" / "package" / "a.py"))
    assert corpus.data_dir() == Path(pooch.os_cache("gru_helpers"))


# --- what the lesson does without the book ------------------------------------------------------


@pytest.mark.usefixtures("small_book")
class TestWithoutTheBook:
    def test_one_notice_then_the_bundled_story(self, empty_folder, monkeypatch, capsys):
        monkeypatch.setenv("GRU_DATA_MIRROR", closed_port())
        text, name = read_corpus(folder=empty_folder)
        assert name == BUNDLED_NAME
        assert text == corpus.bundled_path().read_text(encoding="utf-8")
        printed = capsys.readouterr().out
        assert printed.count("Until then the lesson uses the bundled story") == 1
        assert "could not be downloaded" in printed
        assert read_corpus(folder=empty_folder) == (text, name)
        assert capsys.readouterr().out == ""

    def test_a_failed_download_is_not_waited_for_twice(self, empty_folder, monkeypatch):
        with server((404, b"")) as (url, asked):
            monkeypatch.setenv("GRU_DATA_MIRROR", url)
            read_corpus(folder=empty_folder)
            assert len(asked) == 1
            read_corpus(folder=empty_folder)
            assert len(asked) == 1
            with pytest.raises(CorpusError):  # whoever asks for the book itself tries again
                read_corpus("book", folder=empty_folder)
            assert len(asked) == 2

    @pytest.mark.parametrize(
        "trouble", ["a damaged copy", "no folder to write to", "a copy that one may not read"]
    )
    def test_the_lesson_goes_on(self, empty_folder, monkeypatch, capsys, trouble):
        monkeypatch.setenv("GRU_DATA_MIRROR", closed_port())
        path = put(empty_folder, b"damaged")
        if trouble == "a copy that one may not read":
            refuse_to_read(monkeypatch, path)
        folder = path / "data" if trouble == "no folder to write to" else empty_folder
        assert read_corpus(folder=folder)[1] == BUNDLED_NAME
        assert str(path) in capsys.readouterr().out
        with path.open("rb") as file:
            assert file.read() == b"damaged"

    def test_the_book_is_used_when_it_comes_back(self, empty_folder, monkeypatch):
        monkeypatch.setenv("GRU_DATA_MIRROR", closed_port())
        assert read_corpus(folder=empty_folder)[1] == BUNDLED_NAME
        put(empty_folder)
        assert read_corpus(folder=empty_folder) == (BOOK.decode(), BOOK_NAME)


# --- a text of one's own, and what is refused ---------------------------------------------------


def test_a_text_file_by_its_path(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("A text.", encoding="utf-8")
    assert read_corpus(str(path)) == ("A text.", "mine.txt")
    assert read_corpus(path) == ("A text.", "mine.txt")


NO_SUCH_CORPUS = (
    "corpus must be 'auto', 'book', 'bundled' or the path of a text file, got {!r}, and no such "
    "file exists."
)
NOT_DOWNLOADED = (
    "The Time Machine could not be downloaded (http://127.0.0.1:9/timemachine.txt: "
    "ConnectionError). Connect to the internet once, or set GRU_DATA_MIRROR to a folder or URL "
    "that holds timemachine.txt."
)
REFUSED = {
    "unknown name": (lambda folder: read_corpus("bok"), NO_SUCH_CORPUS.format("bok")),
    "no such file": (
        lambda folder: read_corpus("no/file.txt"),
        NO_SUCH_CORPUS.format("no/file.txt"),
    ),
    "not UTF-8": (
        lambda folder: read_corpus(written(folder, "café".encode("latin-1"))),
        "mine.txt is not UTF-8 text (byte 3 cannot be read): save it as UTF-8.",
    ),
    "empty": (
        lambda folder: read_corpus(written(folder, b"")),
        "mine.txt contains no letters A to Z: give a text in English letters.",
    ),
    "no letters": (
        lambda folder: read_corpus(written(folder, "1895 — 42".encode())),
        "mine.txt contains no letters A to Z: give a text in English letters.",
    ),
    "no book in the mirror": (
        lambda folder: fetch_book(folder, mirror="nowhere"),
        "GRU_DATA_MIRROR names 'nowhere', but no timemachine.txt can be found there: correct the "
        "variable, or unset it.",
    ),
    "no answer": (lambda folder: fetch_book(folder, "http://127.0.0.1:9"), NOT_DOWNLOADED),
    "no answer, book wanted": (lambda folder: read_corpus("book", folder), NOT_DOWNLOADED),
}


def refuse_to_read(monkeypatch, refused):
    """As for a file of somebody else's; who runs the tests may be allowed to read everything."""

    def refusing(read):
        def checked(path, **kwargs):
            if path == refused:
                raise PermissionError(errno.EACCES, "Permission denied")
            return read(path, **kwargs)

        return checked

    for name in ("read_bytes", "read_text"):
        monkeypatch.setattr(Path, name, refusing(getattr(Path, name)))


def written(folder, content):
    """The path of a file of one's own, relative to the folder in which the test runs."""
    (folder / "mine.txt").write_bytes(content)
    return "mine.txt"


@pytest.mark.usefixtures("small_book")
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_and_in_which_words(case, empty_folder, monkeypatch):
    call, sentence = REFUSED[case]
    monkeypatch.chdir(empty_folder)
    with pytest.raises(CorpusError) as caught:
        call(empty_folder)
    assert str(caught.value) == sentence


def test_a_text_of_one_s_own_that_one_may_not_read(tmp_path, monkeypatch):
    path = tmp_path / "mine.txt"
    path.write_text("A text.", encoding="utf-8")
    refuse_to_read(monkeypatch, path)
    with pytest.raises(CorpusError) as caught:
        read_corpus(path)
    assert str(caught.value) == (
        f"{path} cannot be read (Permission denied): it must be a file that you may read."
    )


def test_a_missing_bundled_story_says_what_to_do(monkeypatch):
    monkeypatch.setattr(corpus, "BUNDLED_FILE", "no_such_story.txt")
    monkeypatch.setattr(corpus, "data_dir", lambda: Path("nowhere"))
    with pytest.raises(CorpusError, match=r"no_such_story.txt.*install the package again"):
        read_corpus("bundled")
