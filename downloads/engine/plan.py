"""Which connection fetches which bytes.

The missing bytes are free or leased. A connection that has nothing to do takes what is free; when nothing is, it
takes the tail of the lease that would last longest, cut so that both end together at their present rates. Only the
victim's connection is spoilt by that (its answer covers more than it may keep); the thief keeps its own.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from isal.isal_zlib import crc32

from downloads.engine.checkpoint import Checkpoint, Ledger, Piece, cell_size
from downloads.engine.intervals import Interval, gaps, merged
from downloads.engine.meter import Meter

_BLIND_SHARE = 256 * 1024
"""What a thief takes at least while nobody's pace is known yet."""
_SMALLEST_SHARE = 32 * 1024
_WORTH = 0.05
"""Seconds by which a theft must bring the end nearer, over and above what the request costs."""


@dataclass(eq=False)
class Lease:
    """[start, end) given to one connection. ``end`` is None while nobody knows where the file ends.

    ``done`` is the first byte not yet written, ``claimed`` the first one a thief may take, ``covered`` the end of what
    the present answer will bring.
    """

    start: int
    end: int | None
    stolen: bool = False
    done: int = 0
    claimed: int = 0
    covered: int | None = None
    meter: Meter = field(default_factory=Meter)

    def __post_init__(self) -> None:
        self.done = self.claimed = self.start

    @property
    def complete(self) -> bool:
        return self.end is not None and self.done >= self.end


class Plan:
    """The bytes of one file: on disk, leased, free. Thread-safe; ``changed`` is notified when work appears or ends.

    ``splitting`` says whether leases may be cut, ``first_cut`` where the first of all stolen tails begins
    of which there are bytes, ``heard_at`` when the last byte was written (monotonic clock).
    """

    def __init__(self, checkpoint: Checkpoint | None = None) -> None:
        self.changed = threading.Condition()
        self.splitting = True
        self.total: int | None = None
        self.leases: list[Lease] = []
        self.meter = Meter()
        self._free: list[Interval] = []
        self._ledger = Ledger(cell_size(None))
        self.written = 0
        self.first_cut: int | None = None
        self.heard_at = time.monotonic()
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
            if not self.written:
                self._ledger = Ledger(cell_size(total))
            for lease in self.leases:
                if lease.end is None:
                    lease.end = total
            self.changed.notify_all()

    def take(self, pace: float | None, latency: float) -> Lease | None:
        """The next bytes for a connection, or None if there are none that it would bring sooner.

        ``pace`` is what it has managed so far (bytes a second, None if it is new), ``latency`` what a request takes.
        """
        with self.changed:
            lease: Lease | None
            if self._free:
                start, end = self._free.pop(0)
                lease = Lease(start, end if end >= 0 else None)
            else:
                lease = self._steal(pace, latency) if self.splitting else None
            if lease is not None:
                self.leases.append(lease)
            return lease

    def give_back(self, lease: Lease) -> None:
        """The connection is finished with the lease, or has failed in it. Harmless if done twice."""
        with self.changed:
            if lease not in self.leases:
                return
            self.leases.remove(lease)
            if not lease.complete:
                self._release(lease.done, lease.end)
            self.changed.notify_all()

    def claim(self, lease: Lease, count: int) -> int:
        """How many of the ``count`` bytes in hand still belong to the lease. Those cannot be stolen any more."""
        with self.changed:
            if lease.end is not None:
                count = min(count, lease.end - lease.done)
            lease.claimed = lease.done + count
            return count

    def write_down(self, lease: Lease, view: memoryview) -> list[Piece]:
        """The bytes, which were claimed before, are in the file. Gives what is to be remembered of them."""
        start = lease.done
        pieces = [Piece(a, b, crc32(view[a - start : b - start])) for a, b in self._cuts(start, len(view))]
        with self.changed:
            for piece in pieces:
                self._ledger.add(piece)
            if lease.stolen:
                self.first_cut = min(self.first_cut or lease.start, lease.start)
            lease.done += len(view)
            self.written += len(view)
            lease.meter.add(len(view))
            self.meter.add(len(view))
            self.heard_at = time.monotonic()
        return pieces

    def wake(self) -> None:
        """Something happened that the coordinator or an idle connection may want to see."""
        with self.changed:
            self.changed.notify_all()

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

    def held_before(self, offset: int) -> int:
        """How many bytes on disk end right at ``offset``."""
        with self.changed:
            return next((offset - a for a, b in self._held() if a < offset <= b), 0)

    def held_after(self, offset: int) -> int:
        """How many bytes on disk begin right at ``offset``."""
        with self.changed:
            return next((b - offset for a, b in self._held() if a <= offset < b), 0)

    def _held(self) -> list[Interval]:
        return merged((piece.start, piece.end) for piece in self._ledger.pieces)

    def _cuts(self, start: int, count: int) -> list[Interval]:
        return self._ledger.cuts(start, start + count)

    def _unlease_all(self) -> None:
        held = self._held()
        if self.total is not None:
            self._free = gaps(held, self.total)
        else:
            # -1 stands for "to the end, wherever that is". Such a stream has no gaps: it starts at the first byte.
            self._free = [(held[0][1] if held else 0, -1)]

    def _release(self, start: int, end: int | None) -> None:
        """Bytes nobody fetches now. The stream that runs into them takes them back if its answer still covers them."""
        for lease in self.leases:
            if end is not None and lease.end == start and lease.covered is not None and lease.covered >= end:
                lease.end = end
                return
        self._free = merged([*self._free, (start, end)]) if end is not None else [(start, -1)]

    def _steal(self, pace: float | None, latency: float) -> Lease | None:
        victims = [(lease, lease.meter.rate()) for lease in self.leases if lease.end is not None]
        known = [rate for _, rate in victims if rate > 0]
        pace = pace or (sum(known) / len(known) if known else 0.0)
        best: tuple[float, Lease, int] | None = None
        for lease, rate in victims:
            left = (lease.end or 0) - lease.claimed
            if rate <= 0 or pace <= 0:
                share, gain = left // 2, float(left) if left >= 2 * _BLIND_SHARE else 0.0
            else:
                share = int(left * pace / (pace + rate))
                gain = left / rate - (left / (pace + rate) + latency) - _WORTH
            if gain > 0 and share >= _SMALLEST_SHARE and (best is None or gain > best[0]):
                best = gain, lease, share
        if best is None:
            return None
        _, victim, share = best
        end = victim.end
        victim.end = (end or 0) - share
        return Lease(victim.end, end, stolen=True)
