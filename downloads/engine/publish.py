"""Giving a complete part file its name, so that a reader sees all of it or nothing, whatever dies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from downloads.engine.errors import storage_error
from downloads.engine.journal import remove_journal

if TYPE_CHECKING:
    from pathlib import Path


def publish(part: Path, destination: Path, *, overwrite: bool, size: int | None = None) -> None:
    """Make ``part`` durable and move it to ``destination`` on the same file system.

    Raises:
        FileExistsError: if there is a file already and ``overwrite`` is false. The part file stays.
        ValueError: if the part file is not ``size`` bytes long.
        NoSpace, StorageFault: if the disk refuses.

    """
    try:
        with part.open("rb") as file:
            actual = os.fstat(file.fileno()).st_size
            if size is not None and actual != size:
                raise ValueError(f"the part file has {actual} bytes where {size} were fetched")
            os.fsync(file.fileno())
        if overwrite:
            part.replace(destination)
        else:
            # link, not rename: rename would replace a file that appeared a moment ago.
            os.link(part, destination)
            part.unlink()
        discard(part)
        _sync_directory(destination.parent)
        if part.parent != destination.parent:
            _sync_directory(part.parent)
    except FileExistsError:
        raise
    except OSError as fault:
        raise storage_error(fault) from fault


def discard(part: Path) -> None:
    """Remove a part file and everything the engine keeps beside it."""
    part.unlink(missing_ok=True)
    part.with_name(f"{part.name}.old").unlink(missing_ok=True)
    remove_journal(part)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
