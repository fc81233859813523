"""Find, fetch, check and clean the text that the lesson reads.

*The Time Machine* (H. G. Wells, 1895) is looked for in ``data/``, then in the folder or URL that
the environment variable ``GRU_DATA_MIRROR`` names, then downloaded once and checked. Where none of
these works, the bundled story takes its place, after one notice.
"""

from __future__ import annotations

import hashlib
import os
import queue
import re
import sys
import tempfile
import threading
from pathlib import Path

from ._files import write_whole
from ._validate import CorpusError

__all__ = ["CorpusError", "clean_lines", "data_dir", "fetch_book", "normalize", "read_corpus"]

BOOK_NAME = "The Time Machine"
BOOK_FILE = "timemachine.txt"
BOOK_BYTES = 178_979
BOOK_SHA1 = "090b5e7e70c295757f55df93cb0a180b9691891a"
BOOK_URLS = (
    "https://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt",
    "http://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt",
)
BUNDLED_NAME = "the bundled story"
BUNDLED_FILE = "bundled_story.txt"
MIRROR_VARIABLE = "GRU_DATA_MIRROR"
CONNECT_SECONDS, READ_SECONDS, ALL_SECONDS, RETRIES = 3, 10, 15, 1

_notices_given: set[str] = set()
_failed_downloads: dict[tuple[str, ...], str] = {}


def data_dir() -> Path:
    """The folder where the book is looked for and kept: ``data/`` beside the package.

    Where the package is installed without its repository, it is pooch's cache folder.
    """
    beside = Path(__file__).resolve().parent.parent / "data"
    if (beside / BUNDLED_FILE).is_file():
        return beside
    import pooch

    return Path(pooch.os_cache("gru_helpers"))


def bundled_path() -> Path:
    """The bundled story: in ``data/`` of the repository, or inside the installed package."""
    for folder in (data_dir(), Path(__file__).resolve().parent):
        if (folder / BUNDLED_FILE).is_file():
            return folder / BUNDLED_FILE
    raise CorpusError(
        f"The bundled story {BUNDLED_FILE!r} is missing from {data_dir()}: "
        "install the package again, or restore the file from the repository."
    )


def check_book(path: Path) -> Path:
    """Return ``path`` if it holds the usual teaching copy of the book, to the byte.

    Raises ``CorpusError`` with its size (a truncated file), its SHA-1 (a damaged one) or what
    the system says (a folder, or a file that one may not read).
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise CorpusError(
            f"{path} cannot be read ({error.strerror}): it must be a file that you may read. Mend "
            "that, or move it away, and it will be fetched again."
        ) from None
    if len(content) < BOOK_BYTES:
        raise CorpusError(
            f"{path} is truncated: it has {len(content):,} bytes, and {BOOK_NAME} has "
            f"{BOOK_BYTES:,}. Delete it, and it will be fetched again."
        )
    digest = hashlib.sha1(content).hexdigest()
    if digest != BOOK_SHA1:
        raise CorpusError(
            f"{path} is not the expected copy of {BOOK_NAME}: its SHA-1 is {digest}, and "
            f"{BOOK_SHA1} was expected. Delete it, and it will be fetched again."
        )
    return Path(path)


def fetch_book(
    folder: Path | None = None, mirror: str | None = None, try_again: bool = True
) -> Path:
    """The path of a checked copy of *The Time Machine*.

    It is looked for in ``folder`` (default ``data_dir()``), then in ``mirror`` (a folder, a URL, or
    those of the file itself; default: the environment variable ``GRU_DATA_MIRROR``), then
    downloaded with pooch, which checks the SHA-1 and shows progress; only a whole book is put into
    ``folder``.

    With ``try_again=False`` a download that has failed in this process is not waited for twice.
    Raises ``CorpusError`` where a copy is damaged and where none can be had.
    """
    folder = data_dir() if folder is None else Path(folder)
    mirror = os.environ.get(MIRROR_VARIABLE, "").strip() if mirror is None else mirror
    if os.path.exists(folder / BOOK_FILE):
        return check_book(folder / BOOK_FILE)
    if mirror and "://" not in mirror:
        # a relative folder is one seen from here, or from the repository (notebooks run elsewhere)
        places = [Path(os.path.expanduser(mirror)), data_dir().parent / mirror]
        places = [place / BOOK_FILE if os.path.isdir(place) else place for place in places]
        path = next(filter(os.path.exists, places), None)
        if path is None:
            raise CorpusError(
                f"{MIRROR_VARIABLE} names {mirror!r}, but no {BOOK_FILE} can be found there: "
                "correct the variable, or unset it."
            )
        return check_book(path)
    address = mirror.rstrip("/").removesuffix("/" + BOOK_FILE)
    urls = (f"{address}/{BOOK_FILE}",) if mirror else BOOK_URLS
    if not try_again and urls in _failed_downloads:
        raise CorpusError(_failed_downloads[urls])
    return _download(urls, folder)


def _download(urls: tuple[str, ...], folder: Path) -> Path:
    """Fetch the book into ``folder`` from the first of ``urls`` that has it, within 15 seconds."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise CorpusError(
            f"{BOOK_NAME} cannot be kept in {folder}, which cannot be written to: make it "
            f"writable, or set {MIRROR_VARIABLE} to a folder that holds {BOOK_FILE}."
        )
    _notify(
        f"Fetching {BOOK_NAME} ({BOOK_BYTES // 1000} kB; gives up after {ALL_SECONDS} seconds) ..."
    )
    # The limits of a download hold for each connection and each read: a name that is not resolved,
    # or a server that sends a byte now and then, takes longer. So a thread fetches, which is left
    # to itself when time is up; what it finds then is not used, so that no text changes later.
    found: queue.SimpleQueue[bytes | str] = queue.SimpleQueue()
    threading.Thread(target=lambda: found.put(_fetch(urls)), daemon=True).start()
    try:
        answer = found.get(timeout=ALL_SECONDS)
    except queue.Empty:
        answer = f"{', '.join(urls)}: no answer within {ALL_SECONDS} seconds"
    if isinstance(answer, bytes):
        try:
            return write_whole(folder / BOOK_FILE, answer)
        except OSError as error:
            raise CorpusError(str(error)) from None
    _failed_downloads[urls] = (
        f"{BOOK_NAME} could not be downloaded ({answer}). Connect to the internet once, or set "
        f"{MIRROR_VARIABLE} to a folder or URL that holds {BOOK_FILE}."
    )
    raise CorpusError(_failed_downloads[urls])


def _fetch(urls: tuple[str, ...]) -> bytes | str:
    """The book, fetched and checked by pooch, or why it cannot be had from any of ``urls``."""
    import pooch
    import requests

    pooch.get_logger().setLevel("ERROR")
    downloader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(), timeout=(CONNECT_SECONDS, READ_SECONDS)
    )
    reasons = []
    for url in urls:
        try:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
                registry = pooch.create(
                    path=place,
                    base_url="",
                    registry={BOOK_FILE: f"sha1:{BOOK_SHA1}"},
                    urls={BOOK_FILE: url},
                    retry_if_failed=RETRIES,
                )
                return Path(registry.fetch(BOOK_FILE, downloader=downloader)).read_bytes()
        except requests.exceptions.RequestException as error:
            number = "" if error.response is None else f" {error.response.status_code}"
            reasons.append(f"{url}: {type(error).__name__}{number}")
        except Exception as error:  # of the disk, or of what requests is built on
            reasons.append(f"{url}: {error or type(error).__name__}")
    return "; ".join(reasons)


def _notify(sentence: str) -> None:
    """Print ``sentence``, once in the life of a process."""
    if sentence not in _notices_given:
        _notices_given.add(sentence)
        print(sentence)


def read_corpus(corpus: str | Path = "auto", folder: Path | None = None) -> tuple[str, str]:
    """The raw text and its name.

    ``corpus`` is ``"auto"`` (the book if it can be had, else the bundled story after one notice),
    ``"book"`` (the book or a ``CorpusError``), ``"bundled"``, or the path of a text file.
    Raises ``CorpusError`` where the text is missing, damaged, empty or not UTF-8.
    """
    if corpus == "auto":
        try:
            return fetch_book(folder, try_again=False).read_text(encoding="utf-8"), BOOK_NAME
        except CorpusError as error:
            _notify(f"{error} Until then the lesson uses {BUNDLED_NAME}, written for it.")
            corpus = "bundled"
    if corpus == "book":
        return fetch_book(folder).read_text(encoding="utf-8"), BOOK_NAME
    path, name = (
        (bundled_path(), BUNDLED_NAME) if corpus == "bundled" else (Path(corpus), Path(corpus).name)
    )
    if not os.path.isfile(path):
        raise CorpusError(
            "corpus must be 'auto', 'book', 'bundled' or the path of a text file, got "
            f"{str(corpus)!r}, and no such file exists."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path} is not UTF-8 text (byte {error.start} cannot be read): save it as UTF-8."
        ) from None
    except OSError as error:
        raise CorpusError(
            f"{path} cannot be read ({error.strerror}): it must be a file that you may read."
        ) from None
    if not normalize(text):
        raise CorpusError(f"{path} contains no letters A to Z: give a text in English letters.")
    return text, name


def clean_lines(text: str) -> list[str]:
    """The lines of ``text`` in lower case, each run of non-letters one space, ends stripped."""
    return [normalize(line) for line in text.splitlines()]


def normalize(text: str) -> str:
    """``text`` as the corpus is written: lower case, letters only, single spaces between."""
    return re.sub("[^A-Za-z]+", " ", text).strip().lower()
