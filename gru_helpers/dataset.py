"""Text to minibatches: number the characters of a text and cut it up.

Tensors of token ids have shape ``(batch_size, num_steps)`` and dtype ``int64``. A minibatch is a
pair ``X, Y`` in which ``Y`` is ``X`` one step later: the answer to "which character comes next?".
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from ._validate import (
    CorpusError,
    check_count,
    check_max_tokens,
    check_positive_int,
    check_sampling,
    check_text,
    checked_by,
)
from .corpus import clean_lines, normalize, read_corpus

Minibatch = tuple[Tensor, Tensor]


# --- notebook 03 --------------------------------------------------------------------------------


@checked_by(check_sampling, use_random_iter=False)
def seq_data_iter_sequential(
    corpus: Sequence[int] | Tensor,
    batch_size: int,
    num_steps: int,
    offset: int | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Minibatch]:
    """Yield minibatches ``X, Y`` in which row i continues where row i of the last one ended.

    The text is cut into ``batch_size`` long rows after skipping ``offset`` tokens (default: drawn
    from 0 to ``num_steps``, with ``generator`` or torch's own, so each epoch cuts elsewhere).
    """
    if offset is None:
        offset = int(torch.randint(0, num_steps + 1, (), generator=generator))
    ids = torch.as_tensor(corpus)
    num_tokens = (len(ids) - offset - 1) // batch_size * batch_size
    Xs = ids[offset : offset + num_tokens].reshape(batch_size, -1)
    Ys = ids[offset + 1 : offset + 1 + num_tokens].reshape(batch_size, -1)
    for i in range(0, Xs.shape[1] // num_steps * num_steps, num_steps):
        yield Xs[:, i : i + num_steps], Ys[:, i : i + num_steps]


@checked_by(check_sampling, use_random_iter=True)
def seq_data_iter_random(
    corpus: Sequence[int] | Tensor,
    batch_size: int,
    num_steps: int,
    offset: int | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Minibatch]:
    """Yield minibatches ``X, Y`` of subsequences in random order; rows do not continue.

    ``offset`` (default: drawn from 0 to ``num_steps`` - 1) tokens are skipped first; it and the
    order are drawn with ``generator``, or torch's own.
    """
    if offset is None:
        offset = int(torch.randint(0, num_steps, (), generator=generator))
    ids = torch.as_tensor(corpus)[offset:]
    num_subseqs = (len(ids) - 1) // num_steps
    starts = torch.randperm(num_subseqs, generator=generator) * num_steps
    for i in range(0, num_subseqs // batch_size * batch_size, batch_size):
        rows = starts[i : i + batch_size, None] + torch.arange(num_steps)
        yield ids[rows], ids[rows + 1]


# --- characters and ids -------------------------------------------------------------------------


class Vocab:
    """Tokens and their ids: ``vocab["a"]`` is an id, ``vocab.to_tokens(2)`` a token.

    Id 0 is ``<unk>``, which stands for every token that is not known; the others follow in
    alphabetical order, so that two texts with the same alphabet have the same vocabulary.
    """

    def __init__(
        self,
        tokens: Iterable[Any] = (),
        min_freq: int = 0,
        reserved_tokens: Iterable[str] = (),
    ):
        """Number the ``tokens`` (strings, or lists of them) that occur ``min_freq`` times or more.

        ``reserved_tokens`` get ids of their own whether they occur or not.
        """
        tokens = list(tokens)
        if tokens and isinstance(tokens[0], (list, tuple)):
            tokens = [token for line in tokens for token in line]
        counts = collections.Counter(tokens)
        self.token_freqs = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        known = {token for token, freq in counts.items() if freq >= min_freq} | {*reserved_tokens}
        self._number(["<unk>", *sorted(known - {"<unk>"})])

    def _number(self, tokens: Sequence[str]) -> None:
        """Give each token its place in the list as its id."""
        self.idx_to_token = list(tokens)
        self.token_to_idx = {token: idx for idx, token in enumerate(tokens)}

    @classmethod
    def from_list(cls, idx_to_token: Sequence[str]) -> Vocab:
        """The vocabulary in which each token's id is its place in the list, ``<unk>`` first."""
        if not idx_to_token or idx_to_token[0] != "<unk>":
            raise ValueError(f"A vocabulary must begin with '<unk>', got {idx_to_token!r:.60}.")
        vocab = cls()
        vocab._number(idx_to_token)
        return vocab

    def __len__(self) -> int:
        """The number of tokens, ``<unk>`` among them."""
        return len(self.idx_to_token)

    @overload
    def __getitem__(self, tokens: str) -> int: ...

    @overload
    def __getitem__(self, tokens: list[str] | tuple[str, ...]) -> list[int]: ...

    def __getitem__(self, tokens: str | list[str] | tuple[str, ...]) -> int | list[int]:
        """The id of a token, or the list of ids of a list of tokens (unknown ones get 0)."""
        if isinstance(tokens, (list, tuple)):
            return [self[token] for token in tokens]
        return self.token_to_idx.get(tokens, self.unk)

    def __eq__(self, other: object) -> bool:
        """Two vocabularies are equal when they give every token the same id."""
        return isinstance(other, Vocab) and self.idx_to_token == other.idx_to_token

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """The size and the tokens."""
        return f"Vocab of {len(self)}: {' '.join(map(repr, self.idx_to_token))}"

    @overload
    def to_tokens(self, indices: int) -> str: ...

    @overload
    def to_tokens(self, indices: list[int] | tuple[int, ...] | Tensor) -> list[str]: ...

    def to_tokens(self, indices: int | list[int] | tuple[int, ...] | Tensor) -> str | list[str]:
        """The token of an id, or the list of tokens of a list (or 1-D tensor) of ids."""
        if isinstance(indices, Tensor):
            indices = indices.tolist()
        if isinstance(indices, (list, tuple)):
            return [self.to_tokens(idx) for idx in indices]
        if not 0 <= indices < len(self):
            raise IndexError(f"Ids must lie between 0 and {len(self) - 1}, got {indices}.")
        return self.idx_to_token[indices]

    @property
    def unk(self) -> int:
        """The id of the unknown token, 0."""
        return 0


def encode_text(text: str, vocab: Vocab, name: str = "text") -> list[int]:
    """The ids of ``text``, normalised as the corpus is; a space at its end is kept.

    Raises ``ValueError``, calling the text ``name``, where it is no string, has no letters, or
    letters that ``vocab`` lacks.
    """
    check_text(name, text)
    normal = normalize(text)
    if not normal:
        raise ValueError(f"The {name} must contain at least one letter A to Z, got {text!r:.60}.")
    if text[-1:].isspace():
        normal += " "
    unknown = sorted(set(normal) - set(vocab.idx_to_token))
    if unknown:
        raise ValueError(
            f"The {name} {text!r:.60} has characters that this vocabulary lacks: {unknown}."
        )
    return vocab[list(normal)]


# --- loaders ------------------------------------------------------------------------------------


class SeqDataLoader:
    """An iterator over minibatches that can be used epoch after epoch.

    Attributes: ``corpus`` (1-D tensor of ids), ``vocab``, ``corpus_name``, ``batch_size``,
    ``num_steps``, ``use_random_iter``, ``offset`` (``None``: a new one each epoch), ``generator``
    (what offsets and orders are drawn with; ``None``: torch's own).
    """

    def __init__(
        self,
        corpus: Sequence[int] | Tensor,
        vocab: Vocab,
        batch_size: int,
        num_steps: int,
        use_random_iter: bool = False,
        offset: int | None = None,
        corpus_name: str = "",
        generator: torch.Generator | None = None,
    ):
        """Hold ``corpus`` (ids) and how to cut it. Raises ``CorpusError`` if no minibatch fits."""
        self.corpus = torch.as_tensor(corpus)
        check_sampling(self.corpus, batch_size, num_steps, offset, use_random_iter)
        self.vocab, self.corpus_name = vocab, corpus_name
        self.batch_size, self.num_steps = batch_size, num_steps
        self.use_random_iter, self.offset, self.generator = use_random_iter, offset, generator

    def __iter__(self) -> Iterator[Minibatch]:
        """Start an epoch."""
        cut = seq_data_iter_random if self.use_random_iter else seq_data_iter_sequential
        return cut(self.corpus, self.batch_size, self.num_steps, self.offset, self.generator)

    def __len__(self) -> int:
        """The number of minibatches of an epoch.

        Where each epoch draws its own offset, that of offset 0: an epoch may have one less.
        """
        tokens = len(self.corpus) - 1 - (self.offset or 0)
        if self.use_random_iter:
            return tokens // self.num_steps // self.batch_size
        return tokens // self.batch_size // self.num_steps

    def __repr__(self) -> str:
        """What is cut, and how."""
        order = "random" if self.use_random_iter else "sequential"
        return (
            f"{len(self.corpus):,} tokens of {self.corpus_name or 'a text'} in {order} minibatches "
            f"of {self.batch_size} rows and {self.num_steps} steps"
        )


def load_corpus_time_machine(
    max_tokens: int = -1, join_with: str = "", corpus: str | Path = "auto"
) -> tuple[list[int], Vocab, str]:
    """The corpus as a list of ids, its vocabulary, and the name of the text.

    The classic loader strips lines and joins them with nothing (``join_with=""``), which glues
    words at line ends ("ofcheerfulness"); published numbers depend on it. ``join_with=" "`` is
    the clean way. ``max_tokens`` keeps the first so many characters, -1 all of them. The
    vocabulary is that of the whole text and has 28 tokens. ``corpus`` as for ``read_corpus``.
    """
    check_max_tokens(max_tokens)
    text, name = read_corpus(corpus)
    lines = clean_lines(text)
    if join_with:
        lines = [line for line in lines if line]
    tokens = list(join_with.join(lines))
    vocab = Vocab(tokens)
    ids = vocab[tokens]
    return (ids if max_tokens == -1 else ids[:max_tokens]), vocab, name


def load_data_time_machine(
    batch_size: int,
    num_steps: int,
    use_random_iter: bool = False,
    max_tokens: int = 10000,
    *,
    join_with: str = "",
    corpus: str | Path = "auto",
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
    corpus: str | Path = "auto",
) -> tuple[SeqDataLoader, SeqDataLoader, Vocab]:
    """Training minibatches, held-out minibatches, and the vocabulary.

    The training part is that of ``load_data_time_machine`` with the same sizes; the held-out part
    is the ``heldout_tokens`` characters that follow it. ``max_tokens=-1`` trains on all but the
    last ``heldout_tokens``. Held-out minibatches are sequential and always cut at offset 0, so
    that the same model gets the same perplexity each time. Raises ``CorpusError`` where the two
    parts do not fit in the text.
    """
    check_max_tokens(max_tokens)
    check_positive_int("heldout_tokens", heldout_tokens)
    ids, vocab, name = load_corpus_time_machine(-1, join_with, corpus)
    split = len(ids) - heldout_tokens if max_tokens == -1 else max_tokens
    if split < 1 or split + heldout_tokens > len(ids):
        raise CorpusError(
            f"max_tokens={max_tokens} and heldout_tokens={heldout_tokens} do not fit in {name}, "
            f"which has {len(ids):,} tokens: ask for fewer."
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


def load_slice(
    batch_size: int,
    num_steps: int,
    start: int,
    stop: int,
    *,
    join_with: str = "",
    corpus: str | Path = "auto",
) -> SeqDataLoader:
    """Sequential minibatches of the characters from ``start`` to before ``stop``, cut at offset 0.

    Characters 20,000 to 25,000 lie behind both parts of ``load_train_heldout``, in the bundled
    story too: something to choose a number on that neither part may choose. Raises ``CorpusError``
    where the text ends before ``stop``.
    """
    check_count("start", start)
    check_positive_int("stop", stop)
    ids, vocab, name = load_corpus_time_machine(-1, join_with, corpus)
    if not start < stop <= len(ids):
        raise CorpusError(
            f"start={start} and stop={stop} name no part of {name}, which has {len(ids):,} tokens."
        )
    part = ids[start:stop]
    return SeqDataLoader(part, vocab, batch_size, num_steps, offset=0, corpus_name=name)
