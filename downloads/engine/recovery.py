"""What an earlier attempt left behind, believed only as far as the file still holds it."""

from __future__ import annotations

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
    held = []
    # A journal without a checkpoint says nothing about which version of the file its bytes belong to.
    known = checkpoint.total is not None or checkpoint.pieces
    journal, compared = read_journal(path) if known else ([], 0)
    for piece in _disjoint([*checkpoint.pieces, *journal]):
        alive()
        if (checkpoint.total is None or piece.end <= checkpoint.total) and part.holds(piece):
            held.append(piece)
    if checkpoint.total is None:
        held = _unbroken(held)
    ledger = Ledger(cell_size(checkpoint.total))
    for piece in held:
        ledger.add(piece)
    return replace(checkpoint, pieces=ledger.pieces, compared=max(checkpoint.compared, compared))


def _disjoint(pieces: Iterable[Piece]) -> list[Piece]:
    """Larger pieces first: an entry of the journal that a checkpoint has taken in is left out."""
    chosen: list[Piece] = []
    for piece in sorted(pieces, key=lambda one: (one.start, -one.end)):
        if not chosen or piece.start >= chosen[-1].end:
            chosen.append(piece)
    return chosen


def _unbroken(pieces: list[Piece]) -> list[Piece]:
    """A stream of unknown length has no gaps: what does not reach back to the first byte is of no use."""
    end, kept = 0, []
    for piece in pieces:
        if piece.start != end:
            break
        kept.append(piece)
        end = piece.end
    return kept
