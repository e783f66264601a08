"""Which connection fetches which bytes.

The missing bytes are free or leased. A connection that has nothing to do takes what is free; when nothing is, it
takes the tail of the lease that would last longest, cut so that both end together at their present rates. Only the
victim's connection is spoilt by that (its answer covers more than it may keep); the thief keeps its own.
"""

from __future__ import annotations

import threading
import zlib
from dataclasses import dataclass, field

from downloads.engine.checkpoint import Checkpoint, Ledger, Piece, cell_size
from downloads.engine.intervals import Interval, gaps, merged
from downloads.engine.meter import Meter

SMALLEST_SHARE = 256 * 1024
_WORTH_STEALING = 0.05
"""Seconds of work a victim must have left: less than a request takes is not worth a request."""


@dataclass(eq=False)
class Lease:
    """[start, end) given to one connection. ``end`` is None while nobody knows where the file ends.

    ``done`` is the first byte not yet written, ``claimed`` the first one a thief may take, ``covered`` the end of what
    the present answer will bring.
    """

    start: int
    end: int | None
    done: int = 0
    claimed: int = 0
    covered: int | None = None
    cut: bool = False
    meter: Meter = field(default_factory=Meter)

    def __post_init__(self) -> None:
        self.done = self.claimed = self.start

    @property
    def left(self) -> int | None:
        return None if self.end is None else self.end - self.claimed

    @property
    def complete(self) -> bool:
        return self.end is not None and self.done >= self.end


class Plan:
    """The bytes of one file: on disk, leased, free. Thread-safe; ``changed`` is notified when work appears or ends."""

    def __init__(self, checkpoint: Checkpoint | None = None) -> None:
        self.changed = threading.Condition()
        self.splitting = True
        self.total: int | None = None
        self.leases: list[Lease] = []
        self.meter = Meter()
        self._free: list[Interval] = []
        self._ledger = Ledger(cell_size(None))
        self.written = 0
        if checkpoint is not None:
            self.total = checkpoint.total
            self._ledger = Ledger(cell_size(self.total), checkpoint.pieces)
            self.written = checkpoint.bytes_done
            self.splitting = checkpoint.ranges
        self._unlease_all()

    def set_total(self, total: int) -> None:
        """The origin has said how long the file is."""
        with self.changed:
            self.total = total
            for lease in self.leases:
                if lease.end is None:
                    lease.end = total
            self.changed.notify_all()

    def forget(self) -> None:
        """Start again with an empty file of unknown length. Nobody may hold a lease."""
        with self.changed:
            self.total, self.written = None, 0
            self._ledger = Ledger(cell_size(None))
            self._unlease_all()

    def take(self, rate: float | None = None) -> Lease | None:
        """The next bytes for a connection that has managed ``rate`` bytes a second so far; None if there are none."""
        with self.changed:
            if self._free:
                start, end = self._free.pop(0)
                lease = Lease(start, end if end >= 0 else None)
            else:
                stolen = self._steal(rate) if self.splitting else None
                if stolen is None:
                    return None
                lease = stolen
            self.leases.append(lease)
            return lease

    def give_back(self, lease: Lease) -> None:
        """The connection is finished with the lease, or has failed in it."""
        with self.changed:
            self.leases.remove(lease)
            if not lease.complete:
                self.release(lease.done, lease.end)
            self.changed.notify_all()

    def claim(self, lease: Lease, count: int) -> int:
        """How many of the ``count`` bytes in hand still belong to the lease. Those cannot be stolen any more."""
        with self.changed:
            if lease.end is not None:
                count = min(count, lease.end - lease.done)
            lease.claimed = max(lease.claimed, lease.done + count)
            return count

    def write_down(self, lease: Lease, view: memoryview) -> None:
        """The bytes, which were claimed before, are in the file."""
        start = lease.done
        pieces = [Piece(a, b, zlib.crc32(view[a - start : b - start])) for a, b in self._cuts(start, len(view))]
        with self.changed:
            for piece in pieces:
                self._ledger.add(piece)
            lease.done += len(view)
            self.written += len(view)
            lease.meter.add(len(view))
            self.meter.add(len(view))

    def finish_at(self, lease: Lease) -> None:
        """A stream of unknown length ended properly where the lease stands."""
        with self.changed:
            lease.end = lease.done
            self.total = lease.done

    @property
    def complete(self) -> bool:
        return self.total is not None and self.written >= self.total

    @property
    def missing(self) -> int | None:
        return None if self.total is None else self.total - self.written

    def pieces(self) -> tuple[Piece, ...]:
        with self.changed:
            return self._ledger.pieces

    def holds(self, start: int, end: int) -> bool:
        with self.changed:
            return self._ledger.covers(start, end)

    def _cuts(self, start: int, count: int) -> list[Interval]:
        return self._ledger.cuts(start, start + count)

    def _unlease_all(self) -> None:
        held = [(piece.start, piece.end) for piece in self._ledger.pieces]
        if self.total is not None:
            self._free = gaps(held, self.total)
        else:
            # -1 stands for "to the end, wherever that is".
            reached = held and merged(held)[0]
            self._free = [(reached[1] if reached and reached[0] == 0 else 0, -1)]

    def release(self, start: int, end: int | None) -> None:
        """Bytes nobody fetches now. The stream that runs into them takes them back if its answer still covers them."""
        for lease in self.leases:
            if end is not None and lease.end == start and lease.covered is not None and lease.covered >= end:
                lease.end = end
                lease.cut = lease.covered > end
                return
        self._free = merged([*self._free, (start, end)]) if end is not None else [(start, -1)]

    def _steal(self, rate: float | None) -> Lease | None:
        def time_left(lease: Lease) -> float:
            pace = lease.meter.rate()
            return (lease.left or 0) / pace if pace > 0 else float(lease.left or 0)

        worthy = [one for one in self.leases if (one.left or 0) >= 2 * SMALLEST_SHARE]
        victim = max(worthy, key=time_left, default=None)
        if victim is None or victim.end is None or victim.left is None:
            return None
        pace = victim.meter.rate()
        if pace > 0 and victim.left / pace < _WORTH_STEALING:
            return None
        share = rate / (rate + pace) if rate and pace > 0 else 0.5
        taken = int(victim.left * share)
        taken = max(SMALLEST_SHARE, min(taken, victim.left - SMALLEST_SHARE))
        end = victim.end
        victim.end = end - taken
        victim.cut = True
        return Lease(victim.end, end)
