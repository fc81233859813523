"""A file is written whole, or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import time
from pathlib import Path

LEFT_BEHIND_SECONDS = 3600  # a temporary file of this age has no process that still writes it


def write_whole(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write ``content`` to a file, making its folder if need be; a file of that name is replaced.

    It is written beside its place, under a name that ends in ``.part``, and moved there when it is
    whole, with the permissions of any new file. What a killed process left of the same file is
    removed an hour later at the earliest. Raises ``OSError``, in words, where this is not possible;
    then the old file is as it was.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.glob(f"{glob.escape(path.name)}.*.part"):
            with contextlib.suppress(OSError):  # somebody else may remove it at the same time
                if old.stat().st_mtime < time.time() - LEFT_BEHIND_SECONDS:
                    old.unlink()
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise type(error)(
            f"{path} could not be written ({error.strerror}): make room on the disk, or choose a "
            "place where you may write."
        ) from None
    return path
