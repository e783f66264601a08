"""Whether the connections wait for their origin, or their origin for this machine."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

_SECONDS = 0.04
"""Between two looks: in less, one turn of the scheduler would count for much."""
_NEWEST = 0.3
"""The weight of the last look, so that a moment's pause is not taken for idleness."""


class Effort:
    """How much threads work, or would if they had a processor: 1.0 is one thread all the time.

    ``share`` is None until they were seen twice. Where the kernel does not tell, it is 0.
    """

    def __init__(self) -> None:
        self.share: float | None = None
        self._seen: dict[int, float] = {}
        self._seen_at = time.monotonic()

    def look(self, threads: Iterable[int]) -> None:
        """Called often, with the native ids of threads of this process."""
        now = time.monotonic()
        if now - self._seen_at < _SECONDS:
            return
        worked = {thread: _worked(thread) for thread in threads}
        if known := worked.keys() & self._seen.keys():
            latest = sum(worked[thread] - self._seen[thread] for thread in known) / (now - self._seen_at)
            self.share = latest if self.share is None else self.share + _NEWEST * (latest - self.share)
        self._seen, self._seen_at = worked, now


def _worked(thread: int) -> float:
    """Seconds that the thread has run, and those that it has waited for a processor while others ran."""
    try:
        ran, waited, _ = Path(f"/proc/self/task/{thread}/schedstat").read_text("ascii").split()
    except (OSError, ValueError):
        return 0.0
    return (int(ran) + int(waited)) / 1e9
