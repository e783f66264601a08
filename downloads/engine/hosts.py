"""How many connections an origin bears, and when it wants to be left alone.

The engine asks a gate before every connection and tells it what it learnt. The gate here knows one process; the
platform supplies one that knows the fleet.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

Origin = tuple[str, str, int]


class HostGate(Protocol):
    """Thread-safe. ``enter`` never blocks; every True is followed by one ``leave``."""

    def enter(self, origin: Origin) -> bool:
        """Whether one more connection may be opened now."""

    def leave(self, origin: Origin) -> None: ...

    def learn(self, origin: Origin, *, limit: int | None = None, wait: float | None = None) -> None:
        """The origin refused more than ``limit`` connections, or asked for ``wait`` seconds of peace."""


class LocalGate:
    """The origins of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside: dict[Origin, int] = {}
        self._limits: dict[Origin, tuple[int, float]] = {}
        self._closed_until: dict[Origin, float] = {}

    def enter(self, origin: Origin) -> bool:
        with self._lock:
            now = time.monotonic()
            inside = self._inside.get(origin, 0)
            limit, expires = self._limits.get(origin, (0, 0.0))
            if now < self._closed_until.get(origin, 0.0) or (now < expires and inside >= limit):
                return False
            self._inside[origin] = inside + 1
            return True

    def leave(self, origin: Origin) -> None:
        with self._lock:
            left = self._inside.get(origin, 0) - 1
            if left > 0:
                self._inside[origin] = left
            else:
                self._inside.pop(origin, None)

    def learn(self, origin: Origin, *, limit: int | None = None, wait: float | None = None) -> None:
        with self._lock:
            now = time.monotonic()
            if limit is not None:
                # Forgotten after a while: what one busy minute taught is not true for ever.
                self._limits[origin] = (max(1, limit), now + 300.0)
            if wait is not None:
                self._closed_until[origin] = max(self._closed_until.get(origin, 0.0), now + wait)
