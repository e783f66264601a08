"""The jobs of one claim. Two threads have them in hand: the slot's own runs them, its clerk keeps the books."""

from __future__ import annotations

import math
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from typing import TypeVar

from jobs import doorbell, lifecycle
from jobs.board import Slot
from jobs.endings import Ending
from jobs.models import Job
from jobs.outage import insist

Item = TypeVar("Item")


class Chunk:
    """`slot`: its entry on the board, which `free` gives back. `queue`: where its message came from."""

    def __init__(self, slot: Slot, lease: uuid.UUID, jobs: list[Job], queue: str, free: Callable[[], None]) -> None:
        self.slot = slot
        self.queue = queue
        self.free = free
        self.claimed_at = time.monotonic()
        self._lease = lease
        # Each entry is popped by one of the two threads, so none is lost or taken twice.
        self._waiting = deque(jobs)
        self._ended: deque[Ending] = deque()
        self._running: tuple[str, float] | None = None  # kind, and when it began

    @property
    def waiting(self) -> int:
        """Jobs that have not begun."""
        return len(self._waiting)

    @property
    def has_ended(self) -> bool:
        """Whether something of it is to be recorded."""
        return bool(self._ended)

    def begin(self) -> Job | None:
        """The next job to run; none is left, or what was left has been given back."""
        try:
            job = self._waiting.popleft()
        except IndexError:
            return None
        self._running = job.kind, time.monotonic()
        return job

    def end(self, ending: Ending) -> float:
        """The job that runs has ended. Returns the seconds that it took, with all that belongs to it."""
        assert self._running is not None
        _, began = self._running
        self._running = None
        self._ended.append(ending)
        return time.monotonic() - began

    def left(self, paces: Mapping[str, float]) -> float:
        """Seconds until all have run, by the seconds that a job of each kind takes; infinite where one is not known."""
        seconds = sum(paces.get(job.kind, math.inf) for job in self._waiting.copy())
        if running := self._running:
            kind, began = running
            seconds += max(0.0, paces.get(kind, math.inf) - (time.monotonic() - began))
        return seconds

    def ended(self) -> list[Ending]:
        """What has ended since this was last asked: whoever asks records it."""
        return _all_of(self._ended)

    def hand_back(self) -> None:
        """What has not begun shall run elsewhere."""
        if unbegun := _all_of(self._waiting):
            insist(lambda: lifecycle.unclaim(self._lease, [job.id for job in unbegun]))
            doorbell.ring()


def _all_of(shared: deque[Item]) -> list[Item]:
    """Empty it, entry by entry: the other thread may be popping too."""
    taken = []
    while True:
        try:
            taken.append(shared.popleft())
        except IndexError:
            return taken
