"""Text to minibatches: find the corpus, clean it, number its characters, cut it up.

Tensors of token ids have shape ``(batch_size, num_steps)`` and dtype ``int64``. A minibatch is a
pair ``X, Y`` in which ``Y`` is ``X`` one step later: the answer to "which character comes next?".
"""

from __future__ import annotations

import collections
import functools
import hashlib
import os
import re
import sys
from pathlib import Path

import torch

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
CONNECT_SECONDS, READ_SECONDS, RETRIES = 3, 10, 1

_notices_given: set[str] = set()
_failed_downloads: dict[tuple[str, ...], str] = {}


class CorpusError(ValueError):
    """A text that is missing, damaged, or too small for the minibatches asked of it."""


# --- where the text comes from ---------------------------------------------------------------


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

    Raises ``CorpusError`` with the size (truncated file) or the SHA-1 (damaged file) that it has.
    """
    content = Path(path).read_bytes()
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

    It is looked for in ``folder`` (default ``data_dir()``), then in ``mirror`` (a folder or a URL;
    default: the environment variable ``GRU_DATA_MIRROR``), then downloaded into ``folder`` with
    pooch, which checks the SHA-1, shows progress and moves the file into place only when whole.

    With ``try_again=False`` a download that has failed in this process is not waited for twice.
    Raises ``CorpusError`` where a copy is damaged and where none can be had.
    """
    folder = data_dir() if folder is None else Path(folder)
    mirror = os.environ.get(MIRROR_VARIABLE, "").strip() if mirror is None else mirror
    if (folder / BOOK_FILE).is_file():
        return check_book(folder / BOOK_FILE)
    if mirror and "://" not in mirror:
        # a relative folder is one seen from here, or from the repository (notebooks run elsewhere)
        places = [Path(mirror).expanduser(), data_dir().parent / mirror]
        path = next((p / BOOK_FILE for p in places if (p / BOOK_FILE).is_file()), None)
        if path is None:
            raise CorpusError(
                f"{MIRROR_VARIABLE} names {mirror!r}, but there is no {BOOK_FILE} in that folder: "
                "correct the variable, or unset it."
            )
        return check_book(path)
    urls = (mirror.rstrip("/") + "/" + BOOK_FILE,) if mirror else BOOK_URLS
    if not try_again and urls in _failed_downloads:
        raise CorpusError(_failed_downloads[urls])
    return _download(urls, folder)


def _download(urls: tuple[str, ...], folder: Path) -> Path:
    """Fetch the book into ``folder`` from the first of ``urls`` that answers."""
    import pooch
    import requests

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
    _notice(f"Fetching {BOOK_NAME} ({BOOK_BYTES // 1000} kB; gives up after 15 seconds) ...")
    pooch.get_logger().setLevel("ERROR")
    fetch = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(), timeout=(CONNECT_SECONDS, READ_SECONDS)
    )
    reasons = []
    for url in urls:
        try:
            known_hash = f"sha1:{BOOK_SHA1}"
            shelf = pooch.create(
                path=folder,
                base_url="",
                registry={BOOK_FILE: known_hash},
                urls={BOOK_FILE: url},
                retry_if_failed=RETRIES,
            )
            return Path(shelf.fetch(BOOK_FILE, downloader=fetch))
        except requests.exceptions.RequestException as error:
            reasons.append(f"{url}: {type(error).__name__}")
        except (OSError, ValueError) as error:
            reasons.append(f"{url}: {error}")
    _failed_downloads[urls] = (
        f"{BOOK_NAME} could not be downloaded ({'; '.join(reasons)}). Connect to the internet "
        f"once, or set {MIRROR_VARIABLE} to a folder or URL that holds {BOOK_FILE}."
    )
    raise CorpusError(_failed_downloads[urls])


def _notice(sentence: str) -> None:
    """Print ``sentence``, once in the life of a process."""
    if sentence not in _notices_given:
        _notices_given.add(sentence)
        print(sentence)


def read_corpus(corpus: str = "auto", folder: Path | None = None) -> tuple[str, str]:
    """The raw text and its name.

    ``corpus`` is ``"auto"`` (the book if it can be had, else the bundled story after one notice),
    ``"book"`` (the book or a ``CorpusError``), ``"bundled"``, or the path of a text file.

    Raises ``CorpusError`` where the text is missing, damaged, empty or not UTF-8.
    """
    if corpus == "auto":
        try:
            return fetch_book(folder, try_again=False).read_text(encoding="utf-8"), BOOK_NAME
        except CorpusError as error:
            _notice(f"{error} Until then the lesson uses {BUNDLED_NAME}, written for it.")
            corpus = "bundled"
    if corpus == "book":
        return fetch_book(folder).read_text(encoding="utf-8"), BOOK_NAME
    path, name = (
        (bundled_path(), BUNDLED_NAME) if corpus == "bundled" else (Path(corpus), Path(corpus).name)
    )
    if not path.is_file():
        raise CorpusError(
            f"corpus={corpus!r} is neither 'auto', 'book' nor 'bundled', and no such file exists: "
            "give one of these three words, or the path of a text file."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path} is not UTF-8 text (byte {error.start} cannot be read): save it as UTF-8."
        ) from None
    if not normalize(text):
        raise CorpusError(f"{path} holds no letters A to Z: give a text in English letters.")
    return text, name


# --- from text to ids ------------------------------------------------------------------------


def clean_lines(text: str) -> list[str]:
    """The lines of ``text`` in lower case, each run of non-letters one space, ends stripped."""
    return [re.sub("[^A-Za-z]+", " ", line).strip().lower() for line in text.splitlines()]


def normalize(text: str) -> str:
    """``text`` as the corpus is written: lower case, letters only, single spaces between."""
    return re.sub("[^A-Za-z]+", " ", text).strip().lower()


def tokenize(lines: list[str], token: str = "char") -> list[list[str]]:
    """Split each line into characters (``token="char"``) or words (``token="word"``)."""
    if token not in ("char", "word"):
        raise ValueError(f"token={token!r} is not known: use 'char' or 'word'.")
    return [list(line) if token == "char" else line.split() for line in lines]


class Vocab:
    """Tokens and their ids: ``vocab["a"]`` is an id, ``vocab.to_tokens(2)`` a token.

    Id 0 is ``<unk>``, which stands for every token that is not known; the others follow in
    alphabetical order, so that two texts with the same alphabet have the same vocabulary.
    """

    def __init__(self, tokens=(), min_freq: int = 0, reserved_tokens=()):
        """Count ``tokens`` (a list, or a list of lists) and number those seen ``min_freq`` times.

        ``reserved_tokens`` get ids of their own whether they occur or not.
        """
        tokens = list(tokens)
        if tokens and isinstance(tokens[0], (list, tuple)):
            tokens = [token for line in tokens for token in line]
        counts = collections.Counter(tokens)
        self.token_freqs = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        known = {token for token, freq in counts.items() if freq >= min_freq}
        known = sorted(known | set(reserved_tokens) - {"<unk>"})
        self.idx_to_token = ["<unk>", *(token for token in known if token != "<unk>")]
        self.token_to_idx = {token: idx for idx, token in enumerate(self.idx_to_token)}

    @classmethod
    def from_list(cls, idx_to_token) -> Vocab:
        """The vocabulary in which each token's id is its place in the list, ``<unk>`` first."""
        if not idx_to_token or idx_to_token[0] != "<unk>":
            raise ValueError(f"{idx_to_token!r:.60} is no vocabulary: its first token is '<unk>'.")
        vocab = cls()
        vocab.idx_to_token = list(idx_to_token)
        vocab.token_to_idx = {token: idx for idx, token in enumerate(idx_to_token)}
        return vocab

    def __len__(self) -> int:
        """The number of tokens, ``<unk>`` among them."""
        return len(self.idx_to_token)

    def __getitem__(self, tokens):
        """The id of a token, or the list of ids of a list of tokens (unknown ones get 0)."""
        if isinstance(tokens, (list, tuple)):
            return [self[token] for token in tokens]
        return self.token_to_idx.get(tokens, self.unk)

    def __eq__(self, other) -> bool:
        """Two vocabularies are equal when they give every token the same id."""
        return isinstance(other, Vocab) and self.idx_to_token == other.idx_to_token

    __hash__ = None

    def __repr__(self) -> str:
        """The size and the tokens."""
        return f"Vocab of {len(self)}: {' '.join(map(repr, self.idx_to_token))}"

    def to_tokens(self, indices):
        """The token of an id, or the list of tokens of a list (or 1-D tensor) of ids."""
        if isinstance(indices, torch.Tensor):
            indices = indices.tolist()
        if isinstance(indices, (list, tuple)):
            return [self.to_tokens(idx) for idx in indices]
        if not 0 <= indices < len(self):
            raise IndexError(f"id {indices} is not in this vocabulary: ids run to {len(self) - 1}.")
        return self.idx_to_token[indices]

    @property
    def unk(self) -> int:
        """The id of the unknown token, 0."""
        return 0


def text_ids(text: str, vocab: Vocab, what: str = "text") -> list[int]:
    """The ids of ``text``, normalised as the corpus is; a space at its end is kept.

    Raises ``ValueError``, calling the text ``what``, where it holds no letters, or letters that
    ``vocab`` lacks.
    """
    normal = normalize(text)
    if not normal:
        raise ValueError(
            f"The {what} {text!r:.60} holds no letters A to Z: give the model at least one to "
            "go on from."
        )
    if text[-1:].isspace():
        normal += " "
    unknown = sorted(set(normal) - set(vocab.idx_to_token))
    if unknown:
        raise ValueError(
            f"The {what} {text!r:.60} has characters that this vocabulary lacks: {unknown}."
        )
    return vocab[list(normal)]


def load_corpus_time_machine(
    max_tokens: int = -1, join_with: str = "", corpus: str = "auto"
) -> tuple[list[int], Vocab, str]:
    """The corpus as a list of ids, its vocabulary, and the name of the text.

    The classic loader strips lines and joins them with nothing (``join_with=""``), which glues
    words at line ends ("ofcheerfulness"); published numbers depend on it. ``join_with=" "`` is
    the clean way. ``max_tokens`` keeps the first so many characters, -1 all of them. The
    vocabulary is that of the whole text and has 28 tokens.
    """
    text, name = read_corpus(corpus)
    if max_tokens == 0 or max_tokens < -1:
        raise ValueError(
            f"max_tokens={max_tokens} is not a length: give a positive number, or -1 for all."
        )
    lines = clean_lines(text)
    if join_with:
        lines = [line for line in lines if line]
    tokens = tokenize([join_with.join(lines)])[0]
    vocab = Vocab(tokens)
    ids = vocab[tokens]
    return (ids if max_tokens == -1 else ids[:max_tokens]), vocab, name


# --- from ids to minibatches -----------------------------------------------------------------


def _check_sizes(corpus, batch_size: int, num_steps: int, use_random_iter: bool) -> None:
    """Refuse sizes that leave no minibatch, naming the largest that would fit."""
    for name, value in (("batch_size", batch_size), ("num_steps", num_steps)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}={value!r} is not a size: give a whole number of 1 or more.")
    n = len(corpus)
    if use_random_iter:
        fits = (n - num_steps) // num_steps >= batch_size
        most_rows, most_steps = (n - num_steps) // num_steps, n // (batch_size + 1)
    else:
        fits = (n - 1 - num_steps) // batch_size >= num_steps
        most_rows, most_steps = (n - 1 - num_steps) // num_steps, (n - 1) // (batch_size + 1)
    if not fits:
        ways = [f"batch_size={most_rows}"] if most_rows >= 1 else []
        ways += [f"num_steps={most_steps}"] if most_steps >= 1 else []
        mend = f"the largest that fits is {' or '.join(ways)}" if ways else "use a longer text"
        raise CorpusError(
            f"batch_size={batch_size} with num_steps={num_steps} is too large for a text of "
            f"{n:,} tokens: {mend}."
        )


def _checks_fit(use_random_iter: bool):
    """Check the sizes when a sampler is called, not when its first minibatch is drawn."""

    def decorate(sampler):
        @functools.wraps(sampler)
        def checked(corpus, batch_size, num_steps, offset=None):
            _check_sizes(corpus, batch_size, num_steps, use_random_iter)
            return sampler(corpus, batch_size, num_steps, offset)

        return checked

    return decorate


@_checks_fit(use_random_iter=False)
def seq_data_iter_sequential(corpus, batch_size, num_steps, offset=None):
    """Yield minibatches ``X, Y`` in which row i goes on where row i of the one before ended.

    The text is cut into ``batch_size`` long rows after skipping ``offset`` tokens (default: drawn
    from 0 to ``num_steps`` with torch's generator, so each epoch cuts elsewhere).
    """
    if offset is None:
        offset = int(torch.randint(0, num_steps + 1, ()))
    ids = torch.as_tensor(corpus)
    num_tokens = (len(ids) - offset - 1) // batch_size * batch_size
    Xs = ids[offset : offset + num_tokens].reshape(batch_size, -1)
    Ys = ids[offset + 1 : offset + 1 + num_tokens].reshape(batch_size, -1)
    for i in range(0, Xs.shape[1] // num_steps * num_steps, num_steps):
        yield Xs[:, i : i + num_steps], Ys[:, i : i + num_steps]


@_checks_fit(use_random_iter=True)
def seq_data_iter_random(corpus, batch_size, num_steps, offset=None):
    """Yield minibatches ``X, Y`` of subsequences in random order; rows do not continue.

    ``offset`` (default: drawn from 0 to ``num_steps`` - 1 with torch's generator) is skipped.
    """
    if offset is None:
        offset = int(torch.randint(0, num_steps, ()))
    ids = torch.as_tensor(corpus)[offset:]
    num_subseqs = (len(ids) - 1) // num_steps
    starts = torch.randperm(num_subseqs) * num_steps
    for i in range(0, num_subseqs // batch_size * batch_size, batch_size):
        rows = starts[i : i + batch_size, None] + torch.arange(num_steps)
        yield ids[rows], ids[rows + 1]


class SeqDataLoader:
    """An iterator over minibatches that can be used epoch after epoch.

    Attributes: ``corpus`` (1-D tensor of ids), ``vocab``, ``corpus_name``, ``batch_size``,
    ``num_steps``, ``use_random_iter``, ``offset`` (``None``: a new one each epoch).
    """

    def __init__(
        self,
        corpus,
        vocab: Vocab,
        batch_size: int,
        num_steps: int,
        use_random_iter: bool = False,
        offset: int | None = None,
        corpus_name: str = "",
    ):
        """Hold ``corpus`` (ids) and the way to cut it; sizes that do not fit are refused here."""
        self.corpus = torch.as_tensor(corpus)
        _check_sizes(self.corpus, batch_size, num_steps, use_random_iter)
        self.vocab, self.corpus_name = vocab, corpus_name
        self.batch_size, self.num_steps = batch_size, num_steps
        self.use_random_iter, self.offset = use_random_iter, offset

    def __iter__(self):
        """Start an epoch."""
        cut = seq_data_iter_random if self.use_random_iter else seq_data_iter_sequential
        return cut(self.corpus, self.batch_size, self.num_steps, self.offset)

    def __repr__(self) -> str:
        """What is cut, and how."""
        way = "random" if self.use_random_iter else "sequential"
        return (
            f"{len(self.corpus):,} tokens of {self.corpus_name or 'a text'} in {way} minibatches "
            f"of {self.batch_size} rows and {self.num_steps} steps"
        )


def load_data_time_machine(
    batch_size: int,
    num_steps: int,
    use_random_iter: bool = False,
    max_tokens: int = 10000,
    *,
    join_with: str = "",
    corpus: str = "auto",
) -> tuple[SeqDataLoader, Vocab]:
    """The minibatches and the vocabulary of the first ``max_tokens`` characters of the text.

    ``X`` and ``Y`` have shape ``(batch_size, num_steps)``. ``iterator.corpus_name`` says which
    text it is. See ``load_corpus_time_machine`` for ``join_with`` and ``corpus``. Raises
    ``CorpusError`` where the sizes leave no minibatch, naming the largest that fits.
    """
    ids, vocab, name = load_corpus_time_machine(max_tokens, join_with, corpus)
    train_iter = SeqDataLoader(ids, vocab, batch_size, num_steps, use_random_iter, corpus_name=name)
    return train_iter, vocab


def load_train_heldout(
    batch_size: int,
    num_steps: int,
    max_tokens: int = 10000,
    heldout_tokens: int = 10000,
    *,
    use_random_iter: bool = False,
    join_with: str = "",
    corpus: str = "auto",
) -> tuple[SeqDataLoader, SeqDataLoader, Vocab]:
    """Training minibatches, held-out minibatches, and the vocabulary.

    The training part is that of ``load_data_time_machine`` with the same sizes; the held-out part
    is the ``heldout_tokens`` characters that follow it. ``max_tokens=-1`` trains on all but the
    last ``heldout_tokens``. Held-out minibatches are sequential and always cut at offset 0, so
    that the same model gets the same perplexity each time.
    """
    ids, vocab, name = load_corpus_time_machine(-1, join_with, corpus)
    split = len(ids) - heldout_tokens if max_tokens == -1 else max_tokens
    if heldout_tokens < 1 or split < 1 or split + heldout_tokens > len(ids):
        raise CorpusError(
            f"{max_tokens:,} tokens to train on and {heldout_tokens:,} to hold out do not fit in "
            f"{name}, which has {len(ids):,}: ask for fewer."
        )
    train_iter = SeqDataLoader(
        ids[:split], vocab, batch_size, num_steps, use_random_iter, corpus_name=name
    )
    heldout_iter = SeqDataLoader(
        ids[split : split + heldout_tokens],
        vocab,
        batch_size,
        num_steps,
        offset=0,
        corpus_name=name,
    )
    return train_iter, heldout_iter, vocab
