"""Rates that follow the present without jumping."""

from __future__ import annotations

import math
import time


class Meter:
    """Bytes per second over about the last ``seconds``, right from the first byte on. Not thread-safe."""

    def __init__(self, seconds: float = 1.5) -> None:
        self._window = seconds
        self._started = self._last = time.monotonic()
        self._sum = 0.0
        self.total = 0

    def add(self, count: int) -> None:
        now = time.monotonic()
        self._sum = self._sum * math.exp((self._last - now) / self._window) + count
        self._last = now
        self.total += count

    def rate(self) -> float:
        now = time.monotonic()
        age = now - self._started
        if age <= 0:
            return 0.0
        seen = self._sum * math.exp((self._last - now) / self._window)
        return seen / (self._window * -math.expm1(-age / self._window))

    @property
    def age(self) -> float:
        return time.monotonic() - self._started
