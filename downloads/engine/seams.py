"""Where two answers meet in the file, the same bytes are fetched from both and compared.

No header proves that an origin sends the bytes it says it sends. So a request that goes on behind bytes on disk asks
for the last of them again, and a connection whose tail was stolen reads a little into what the thief has fetched.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from downloads.engine.body import ShortBody
from downloads.engine.restart import Restart

if TYPE_CHECKING:
    from downloads.engine.body import Body, Unpacked
    from downloads.engine.keeper import Keeper
    from downloads.engine.partfile import PartFile
    from downloads.engine.plan import Lease, Plan

_WIDE = 64 * 1024
_NARROW = 1024
_SHARE_OF_FILE = 128
"""The wide comparisons of one file cost at most this part of it, over all its attempts; after that they are narrow."""


class Seams:
    """Counts what the comparisons cost (``compared`` bytes, over all lives), and stops splitting where one fails."""

    def __init__(self, plan: Plan, part: PartFile, keeper: Keeper, compared: int = 0) -> None:
        self.compared = compared
        self._plan = plan
        self._part = part
        self._keeper = keeper
        self._proven = False
        self._lock = threading.Lock()

    def unproven(self) -> tuple[int, int] | None:
        """Bytes to ask for once more before the file is believed: it was cut, and no cut has been looked at.

        They lie in front of the first cut, where they came from the first answer, and not at the start of the file,
        where an origin that ignores the offset would be right by accident.
        """
        cut = self._plan.first_cut
        return None if cut is None or self._proven else (cut - min(_WIDE, cut // 2), cut)

    def before(self, lease: Lease) -> int:
        """How many bytes in front of the lease to ask for again."""
        if lease.stolen or lease.end is None or not lease.done:
            return 0
        return min(self._width(), self._plan.held_before(lease.done))

    def after(self, lease: Lease, body: Body | Unpacked, at: int) -> None:
        """Read on into the bytes behind a finished lease, if they have been fetched by another connection.

        ``at`` is where the body stands: behind the end of the lease, if that was cut while the last bytes came in.
        """
        if lease.covered is None or lease.covered <= at:
            return
        self.compare(body, at, min(self._width(), self._plan.held_after(at), lease.covered - at))

    def known_start(self) -> int:
        """How many bytes at the start of the file a mirror can be held against."""
        return min(_WIDE, self._plan.held_after(0))

    def compare(self, body: Body | Unpacked, start: int, width: int) -> None:
        """Hold the next ``width`` bytes of the body against the file.

        Raises:
            Restart: if they differ. Nobody knows which of the two is right.

        """
        if width and not self.equal(body, start, width):
            raise Restart("the origin sent different bytes for the same range", ranges=False, keep=True)

    def equal(self, body: Body | Unpacked, start: int, width: int) -> bool:
        """Whether the next ``width`` bytes of the body are those on disk from ``start`` on."""
        with self._lock:
            self.compared += width
            self._keeper.spend(self.compared)
        fetched = memoryview(bytearray(width))
        filled = 0
        while filled < width:
            got = body.readinto(fetched[filled:])
            if not got:
                raise ShortBody("the answer ended before its first new byte")
            filled += got
        self._proven = True
        return self._part.read(start, start + width) == fetched

    def _budget(self) -> int:
        return max(4 * _WIDE, (self._plan.total or 0) // _SHARE_OF_FILE)

    def _width(self) -> int:
        return _WIDE if self.compared < self._budget() else _NARROW
