"""Two small files beside the part file that say what was written to it since the last checkpoints."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from downloads.engine.checkpoint import Piece
from downloads.engine.errors import storage_error

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def journal_paths(part: Path) -> tuple[Path, Path]:
    return part.with_name(f"{part.name}.journal0"), part.with_name(f"{part.name}.journal1")


def read_journal(part: Path) -> list[Piece]:
    """Every complete entry; the caller checks each against the file."""
    pieces = []
    for path in journal_paths(part):
        try:
            lines = path.read_text("ascii").split("\n")
        except (OSError, UnicodeDecodeError):
            continue
        for line in lines[:-1]:
            words = line.split(" ")
            if len(words) == 3 and all(word.isdigit() for word in words):
                pieces.append(Piece(int(words[0]), int(words[1]), int(words[2])))
    return pieces


def remove_journal(part: Path) -> None:
    for path in journal_paths(part):
        path.unlink(missing_ok=True)


class Journal:
    """Appends to one file until the next checkpoint begins, then to the other.

    So the entries that an unfinished checkpoint would make superfluous are there until it is finished.
    """

    def __init__(self, part: Path) -> None:
        try:
            self._files = [path.open("ab", buffering=0) for path in journal_paths(part)]
        except OSError as fault:
            raise storage_error(fault) from fault
        self._current = 0

    def add(self, pieces: Iterable[Piece]) -> None:
        text = "".join(f"{piece.start} {piece.end} {piece.crc}\n" for piece in pieces)
        try:
            self._files[self._current].write(text.encode("ascii"))
        except OSError as fault:
            raise storage_error(fault) from fault

    def turn_over(self) -> None:
        after = 1 - self._current
        os.ftruncate(self._files[after].fileno(), 0)
        self._current = after

    def clear(self) -> None:
        """The file begins anew: nothing that was said about it is true."""
        for file in self._files:
            os.ftruncate(file.fileno(), 0)

    def close(self) -> None:
        for file in self._files:
            file.close()
