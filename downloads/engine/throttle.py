"""A bandwidth limit that may change at any moment, shared by the connections of one fetch."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_ASK_AGAIN = 0.25
_BURST = 0.1


class Throttle:
    """Counts what was read and says how long to pause before reading more."""

    def __init__(self, limit: Callable[[], float | None] | None) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._rate: float | None = None
        self._asked = float("-inf")
        self._paid_until = time.monotonic()

    @property
    def rate(self) -> float | None:
        """Bytes per second allowed now; None for no limit."""
        if self._limit is None:
            return None
        with self._lock:
            now = time.monotonic()
            if now - self._asked >= _ASK_AGAIN:
                self._asked = now
                self._rate = self._limit()
            return self._rate

    def spent(self, count: int) -> float:
        """Seconds to pause after ``count`` bytes."""
        rate = self.rate
        if rate is None:
            return 0.0
        with self._lock:
            now = time.monotonic()
            cost = count / max(rate, 1.0)
            self._paid_until = max(self._paid_until, now - _BURST) + cost
            return max(0.0, min(self._paid_until - now, 5.0))
