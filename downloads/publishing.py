"""Giving a finished file its name exactly once, whatever dies in between.

What is about to happen is recorded before it happens: the name, and what the disk says of the file. A rename changes
neither, so an attempt that comes after a crash knows its own file when it sees it, and fetches nothing again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from downloads import engine, storage
from downloads.engine import Fetched
from downloads.record import Record
from downloads.request import DownloadRequest
from jobs.kinds import GiveUp


class Taken(Exception):
    """There is a file of that name, and the request says to leave it alone."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is a file {name!r} already.")
        self.name = name


@dataclass(frozen=True)
class Mark:
    """A file as it can be known again: its path below the root, and what the disk says of it."""

    path: str
    inode: int
    size: int
    modified_ns: int

    @classmethod
    def read(cls, kept: dict[str, Any] | None) -> Mark | None:
        return cls(**kept) if kept else None

    @property
    def version(self) -> str:
        """Changes whenever somebody writes to the file; survives its being copied with its time."""
        return f"{self.size:x}-{self.modified_ns:x}"

    def names(self, found: os.stat_result) -> bool:
        """Whether that is the very file."""
        return found.st_ino == self.inode and self.describes(found)

    def describes(self, found: os.stat_result) -> bool:
        """Whether that is the file, or a copy that kept its time, such as a restored one: nobody has written to it."""
        return (found.st_size, found.st_mtime_ns) == (self.size, self.modified_ns)


def earlier(record: Record) -> str | None:
    """The path below the root, if an earlier attempt has given the file its name and died before it could say so."""
    mark = Mark.read(record.row.published)
    if mark is None:
        return None
    try:
        found = storage.located(mark.path).lstat()
    except (OSError, storage.EscapesRoot):
        return None
    if not mark.names(found):
        return None
    with record.held():
        record.settle()
    engine.discard(storage.part_file(record.row.pk))
    return mark.path


def look_ahead(request: DownloadRequest) -> None:
    """Raises Taken before anything is fetched for a name that cannot be had; GiveUp where it leads outside."""
    if request.output is None or request.if_exists not in ("fail", "skip"):
        return
    if os.path.lexists(_inside(storage.located, request.output)):
        raise Taken(request.output)


def publish(request: DownloadRequest, fetched: Fetched, record: Record) -> str:
    """Give the file its name while this attempt holds the job. Returns the path below the root.

    Raises Taken, GiveUp where the name leads outside, and what engine.publish raises.
    """
    name = request.output or fetched.name
    part = storage.part_file(record.row.pk)
    found = part.stat()
    for candidate in storage.alternatives(name) if request.if_exists == "rename" else [name]:
        target = _inside(storage.destination, candidate)
        mark = Mark(candidate, found.st_ino, found.st_size, found.st_mtime_ns)
        record.about_to_publish(asdict(mark), fetched)
        with record.held():
            try:
                engine.publish(part, target, overwrite=request.if_exists == "overwrite", size=fetched.size)
            except FileExistsError:
                continue
            record.settle()
            return candidate
    raise Taken(name)


def _inside(place: Callable[[str], Path], output: str) -> Path:
    try:
        return place(output)
    except storage.EscapesRoot as error:
        raise GiveUp(f"The output {error}.") from error
