"""What the studies have recorded: the JSON files in ``data/``, which the notebooks report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .._validate import check_choice
from ..corpus import data_dir

NAMES = (
    *("bench", "honest_race", "long_memory", "processes"),
    *("speedrun", "time_series", "variants"),
)


def read_record(name: str) -> Any:
    """The content of a record, ``data/name.json``, or where only the package is installed, its own.

    Raises ``ValueError`` for another name, and ``FileNotFoundError`` where the file is missing.
    """
    check_choice("name", name, NAMES)
    inside = Path(__file__).resolve().parent.parent / "records"
    for folder in (data_dir(), inside):
        if (folder / f"{name}.json").is_file():
            return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    raise FileNotFoundError(
        f"The record {name}.json is missing from {data_dir()}: restore it from the repository."
    )
