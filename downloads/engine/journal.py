"""Two small files beside the part file that say what was written, and compared, since the last checkpoint."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from downloads.engine.checkpoint import Piece
from downloads.engine.errors import storage_error

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_COMPARED = "compared"


def journal_paths(part: Path) -> tuple[Path, Path]:
    return part.with_name(f"{part.name}.journal0"), part.with_name(f"{part.name}.journal1")


def read_journal(part: Path) -> tuple[list[Piece], int]:
    """Every complete entry, and the bytes spent on comparisons; the caller checks the entries against the file."""
    pieces, compared = [], 0
    for path in journal_paths(part):
        try:
            lines = path.read_text("ascii").split("\n")
        except (OSError, UnicodeDecodeError):
            continue
        for line in lines[:-1]:
            words = line.split(" ")
            if len(words) == 3 and all(word.isdigit() for word in words):
                pieces.append(Piece(int(words[0]), int(words[1]), int(words[2])))
            elif len(words) == 2 and words[0] == _COMPARED and words[1].isdigit():
                compared = max(compared, int(words[1]))
    return pieces, compared


def remove_journal(part: Path) -> None:
    for path in journal_paths(part):
        path.unlink(missing_ok=True)


class Journal:
    """Appends to one file until the next checkpoint begins, then to the other.

    A file is emptied only when a checkpoint that has all its entries is safe. So whenever the process is killed, no
    entry is missing: neither one of its own nor one that it found from an earlier life.
    """

    def __init__(self, part: Path) -> None:
        try:
            self._files = [path.open("ab", buffering=0) for path in journal_paths(part)]
        except OSError as fault:
            raise storage_error(fault) from fault
        self._current = 0

    def add(self, pieces: Iterable[Piece]) -> None:
        self._write("".join(f"{piece.start} {piece.end} {piece.crc}\n" for piece in pieces))

    def spend(self, compared: int) -> None:
        """So many bytes, over all lives, have been or are about to be fetched twice to compare them."""
        self._write(f"{_COMPARED} {compared}\n")

    def turn_over(self) -> None:
        """What is added from now on need not be in the checkpoint that begins."""
        self._current = 1 - self._current

    def settle(self) -> None:
        """The checkpoint that began with the last turn_over() is safe."""
        os.ftruncate(self._files[1 - self._current].fileno(), 0)

    def clear(self) -> None:
        """The file begins anew: nothing that was said about it is true."""
        for file in self._files:
            os.ftruncate(file.fileno(), 0)

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _write(self, text: str) -> None:
        try:
            self._files[self._current].write(text.encode("ascii"))
        except OSError as fault:
            raise storage_error(fault) from fault
