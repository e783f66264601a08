"""Whether fewer connections bring more bytes: some origins slow down under many, and only trying tells."""

from __future__ import annotations

import time
from collections import deque

_WINDOW = 1.5
_SETTLING = 0.7
_FIRST_TRIAL = 3.0
_RARER = 4
_LONGEST_REST = 60.0
_BETTER = 1.08


class Appetite:
    """Lets some connections go now and then, and takes them back unless the whole has become faster by it."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self._rest = _FIRST_TRIAL
        self._since = time.monotonic()
        self._running = 0
        self._step = 1
        self._before: float | None = None

    def change(self, running: int, written: int, missing: int | None) -> int:
        """How many connections to let go (positive) or to take back (negative) now.

        Called several times a second with the number that run, the bytes on disk and those still missing.
        """
        now = time.monotonic()
        self._samples.append((now, written))
        while self._samples[0][0] < now - _WINDOW:
            self._samples.popleft()
        if self._before is not None:
            return self._judge(now)
        if running != self._running:
            self._running, self._since = running, now
        rate = self._rate()
        # A trial must have time to pay.
        if running < 2 or now - self._since < self._rest or not rate or not missing or missing / rate < 2 * _WINDOW:
            return 0
        self._before, self._since = rate, now
        self._step = min(self._step, running - 1)
        return self._step

    def _judge(self, now: float) -> int:
        if now - self._since < _SETTLING + _WINDOW or self._before is None:
            return 0
        better = self._rate() > self._before * _BETTER
        self._before, self._since = None, now
        if better:
            self._rest, self._step = 0.0, self._step * 2
            return 0
        back, self._step = -self._step, 1
        self._rest = min(_LONGEST_REST, max(self._rest, _FIRST_TRIAL) * _RARER)
        return back

    def _rate(self) -> float:
        (began, first), (ended, last) = self._samples[0], self._samples[-1]
        return (last - first) / (ended - began) if ended > began else 0.0
