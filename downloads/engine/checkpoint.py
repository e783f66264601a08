"""What is known to be safely on disk, small enough to be written to a row every two seconds.

The file is cut on a fixed grid. Every piece on disk carries its CRC-32, so a successor can tell a byte that was
committed and then lost by the machine from one that is there. Neighbouring pieces inside one cell of the grid are
joined by combining their CRCs, which costs no second read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from isal.isal_zlib import crc32_combine

from downloads.engine.intervals import Interval, merged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CELL = 4 * 1024 * 1024
_MOST_CELLS = 1024


def cell_size(total: int | None) -> int:
    """The grid for a file of ``total`` bytes: 4 MiB, coarser for giants so that a checkpoint stays a few kilobytes."""
    cell = CELL
    while total is not None and total > cell * _MOST_CELLS:
        cell *= 2
    return cell


@dataclass(frozen=True)
class Piece:
    """Bytes [start, end) and their CRC-32."""

    start: int
    end: int
    crc: int


@dataclass(frozen=True)
class Validators:
    """What the origin says identifies this version of the file. ``etag`` is kept only if it is a strong one."""

    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True)
class Checkpoint:
    """Durable progress.

    ``total`` is None until the origin has said it; ``stated`` are the digests it stated.
    ``compared`` counts bytes that were fetched twice on purpose, to
    compare the two; ``ranges`` is False once the origin was caught lying about ranges.
    """

    total: int | None = None
    pieces: tuple[Piece, ...] = ()
    validators: Validators = field(default_factory=Validators)
    name: str = ""
    media_type: str = ""
    stated: Mapping[str, str] = field(default_factory=dict)
    compared: int = 0
    ranges: bool = True

    @property
    def intervals(self) -> tuple[Interval, ...]:
        return tuple(merged((piece.start, piece.end) for piece in self.pieces))

    @property
    def bytes_done(self) -> int:
        return sum(end - start for start, end in self.intervals)

    def to_json(self) -> dict[str, Any]:
        """A dict of plain values, fit for a JSON column."""
        return {
            "version": 1,
            "total": self.total,
            "pieces": [[piece.start, piece.end, piece.crc] for piece in self.pieces],
            "etag": self.validators.etag,
            "last_modified": self.validators.last_modified,
            "name": self.name,
            "media_type": self.media_type,
            "stated": dict(self.stated),
            "compared": self.compared,
            "ranges": self.ranges,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Checkpoint:
        """The reverse of to_json.

        Raises:
            ValueError: if it is not one, or one of a version that this engine does not know.

        """
        try:
            if value["version"] != 1:
                raise ValueError(f"checkpoint of version {value['version']!r}")
            return cls(
                total=value["total"],
                pieces=tuple(Piece(int(start), int(end), int(crc)) for start, end, crc in value["pieces"]),
                validators=Validators(value["etag"], value["last_modified"]),
                name=str(value["name"]),
                media_type=str(value["media_type"]),
                stated=dict(value["stated"]),
                compared=int(value["compared"]),
                ranges=bool(value["ranges"]),
            )
        except (KeyError, TypeError) as wrong:
            raise ValueError(f"not a checkpoint: {wrong!r}") from wrong


class Ledger:
    """The pieces on disk so far. Not thread-safe: its owner holds the lock."""

    def __init__(self, cell: int, pieces: Iterable[Piece] = ()) -> None:
        self.cell = cell
        self._by_start: dict[int, Piece] = {}
        self._by_end: dict[int, Piece] = {}
        for piece in pieces:
            self._put(piece)

    def cuts(self, start: int, end: int) -> list[Interval]:
        """[start, end) cut at the lines of the grid: a CRC is taken for each."""
        out: list[Interval] = []
        while start < end:
            line = min(end, (start // self.cell + 1) * self.cell)
            out.append((start, line))
            start = line
        return out

    def add(self, piece: Piece) -> None:
        before = self._by_end.get(piece.start)
        if before is not None and before.start // self.cell == piece.start // self.cell:
            self._drop(before)
            crc = crc32_combine(before.crc, piece.crc, piece.end - piece.start)
            piece = Piece(before.start, piece.end, crc)
        after = self._by_start.get(piece.end)
        if after is not None and after.start // self.cell == piece.start // self.cell:
            self._drop(after)
            piece = Piece(piece.start, after.end, crc32_combine(piece.crc, after.crc, after.end - after.start))
        self._put(piece)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return tuple(sorted(self._by_start.values(), key=lambda piece: piece.start))

    def _put(self, piece: Piece) -> None:
        self._by_start[piece.start] = piece
        self._by_end[piece.end] = piece

    def _drop(self, piece: Piece) -> None:
        del self._by_start[piece.start]
        del self._by_end[piece.end]
