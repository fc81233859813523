"""Train the two models that come with the course again.

``python3 course.py checkpoint``, which is ``python -m gru_helpers.studies.train_pretrained``, runs
the classic recipe for each and writes them to ``data/checkpoints``, where ``load_pretrained`` finds
them.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..checkpoints import save_checkpoint
from ..corpus import BOOK_NAME, BOOK_SHA1, CorpusError, data_dir
from ..dataset import SeqDataLoader, load_data_time_machine
from ..equations import get_params, gru, init_gru_state
from ..models import RNNModel, RNNModelScratch
from ..pretrained import MODELS
from ..trainer import evaluate_perplexity, train

BATCH_SIZE, NUM_STEPS, NUM_HIDDENS, NUM_EPOCHS, LEARNING_RATE, SEED = 32, 35, 256, 500, 1, 0
PROVENANCE = "provenance.json"


def train_pretrained(
    name: str, folder: Path, num_epochs: int = NUM_EPOCHS, corpus: str = "book"
) -> dict[str, Any]:
    """Run the classic job for one of ``MODELS`` and write it to ``folder``; returns its settings.

    On one thread, so that another run on the same machine gives the same weights to the bit. An
    interrupted run writes nothing and raises ``KeyboardInterrupt``.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train_iter, vocab = load_data_time_machine(BATCH_SIZE, NUM_STEPS, corpus=corpus)
        torch.manual_seed(SEED)
        v, h = len(vocab), NUM_HIDDENS
        model = (
            RNNModelScratch(v, h, "cpu", get_params, init_gru_state, gru)
            if name == "gru"
            else RNNModel(nn.GRU(v, h), v)
        )
        history = train(
            model, train_iter, vocab, num_epochs, LEARNING_RATE, "cpu", label=name, prefix=None
        )
        if history.interrupted:
            raise KeyboardInterrupt
        rows = SeqDataLoader(train_iter.corpus, vocab, BATCH_SIZE, NUM_STEPS, offset=0)
        settings = {
            "text": f"the first {len(train_iter.corpus)} characters of {train_iter.corpus_name}",
            "text_sha1": BOOK_SHA1 if train_iter.corpus_name == BOOK_NAME else "",
            "batch_size": BATCH_SIZE,
            "num_steps": NUM_STEPS,
            "num_epochs": num_epochs,
            "optimizer": f"SGD, lr {LEARNING_RATE}, gradient norm clipped at 1",
            "seed": SEED,
            "torch": torch.__version__.partition("+")[0],
            "perplexity_while_training": round(history.perplexity[-1], 4),
            "perplexity_of_the_weights": round(evaluate_perplexity(model, rows), 4),
        }
        save_checkpoint(folder / f"{name}.pt", model, vocab, **settings)
    finally:
        torch.set_num_threads(threads)
    return settings


def main() -> int:
    """Train both models and write them, with what they were made of, to the repository."""
    folder = data_dir() / "checkpoints"
    facts = {}
    try:
        for name, words in MODELS.items():
            settings = train_pretrained(name, folder)
            digest = hashlib.sha256((folder / f"{name}.pt").read_bytes()).hexdigest()
            facts[f"{name}.pt"] = {"model": words, **settings, "sha256": digest}
            print(f"{folder / name}.pt: perplexity {settings['perplexity_of_the_weights']:.3f}")
    except CorpusError as error:
        print(f"The models are trained on the book, which is missing: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted: the model that was in training was not written.", file=sys.stderr)
        return 130
    (folder / PROVENANCE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
