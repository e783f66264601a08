"""What an earlier attempt left behind, believed only as far as the file still holds it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING

from downloads.engine.checkpoint import Ledger, cell_size
from downloads.engine.journal import read_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from downloads.engine.checkpoint import Checkpoint, Piece
    from downloads.engine.partfile import PartFile


def recover(checkpoint: Checkpoint, path: Path, part: PartFile, alive: Callable[[], None]) -> Checkpoint:
    """The checkpoint without what a power cut took, and with what a killed process wrote after it.

    ``alive`` is called between pieces, and may raise to stop the reading.
    """
    # A journal without a checkpoint says nothing about which version of the file its bytes belong to.
    known = checkpoint.total is not None or checkpoint.pieces
    journal, compared = read_journal(path) if known else ([], 0)

    def is_there(piece: Piece) -> bool:
        alive()
        return (checkpoint.total is None or piece.end <= checkpoint.total) and part.holds(piece)

    held = _added([], checkpoint.pieces, is_there)
    held = _added(held, journal, is_there)
    if checkpoint.total is None:
        held = _unbroken(held)
    ledger = Ledger(cell_size(checkpoint.total))
    for piece in held:
        ledger.add(piece)
    return replace(checkpoint, pieces=ledger.pieces, compared=max(checkpoint.compared, compared))


def _added(held: list[Piece], pieces: Iterable[Piece], is_there: Callable[[Piece], bool]) -> list[Piece]:
    """What is held, and those of the pieces beside it that are there too; in order, none over another.

    The checkpoint's come first, the journal's after them: that has entries which the checkpoint has taken in, and may
    have some of another file, if a fresh link led to one.
    """
    starts, found, end = [piece.start for piece in held], list(held), 0
    for piece in sorted(pieces, key=lambda one: (one.start, -one.end)):
        after = bisect_right(starts, piece.start)
        free = after == 0 or held[after - 1].end <= piece.start
        if free and piece.start >= end and (after == len(held) or piece.end <= held[after].start) and is_there(piece):
            found.append(piece)
            end = piece.end
    return sorted(found, key=lambda piece: piece.start)


def _unbroken(pieces: list[Piece]) -> list[Piece]:
    """A stream of unknown length has no gaps: what does not reach back to the first byte is of no use."""
    end, kept = 0, []
    for piece in pieces:
        if piece.start != end:
            break
        kept.append(piece)
        end = piece.end
    return kept
