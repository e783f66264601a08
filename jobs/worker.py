"""What a pool slot does with a message: claim its jobs, run their handlers, record how each ended.

A chunk is claimed in one statement and recorded in one statement, or in a few when it takes long. The message itself
means nothing: jobs that are gone, cancelled, or claimed by somebody else meanwhile are simply not in the claim.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections import deque
from collections.abc import Collection, Sequence
from functools import partial
from typing import TypeVar

from django.db import connection

from jobs import broker, doorbell, kinds, lifecycle, tally
from jobs.attempt import Attempt
from jobs.board import Board, Slot
from jobs.capacity import QUEUES
from jobs.endings import Ending
from jobs.models import FINISHED, Job
from jobs.outage import insist

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

_RECORD_EVERY = 0.1  # seconds: how long a finished job of a chunk may wait for its mates to be recorded with it
_STALLED_AFTER = 0.5  # seconds: a chunk that takes longer gives back what it has not begun
_LOOK_EVERY = 0.025  # seconds after which a chunk makes way for more urgent jobs


class Slots:
    """Runs chunks for one node: each call of `run` occupies one slot of its pool."""

    def __init__(
        self, node: uuid.UUID, board: Board, *, shares_connections: bool, queues: Collection[str] = ()
    ) -> None:
        """`queues`: those that this node takes from."""
        self._node = node
        self._queues = queues
        self.board = board
        # In a process of many threads a connection goes back to the pool while a handler runs.
        self._shares_connections = shares_connections

    def run(self, ids: Sequence[uuid.UUID], queue: str = "") -> None:
        """Run these jobs, which came by that queue, as far as they still want running."""
        if self.board.draining:
            return  # the jobs are still queued in their rows; the dispatcher rings for them elsewhere
        lease = uuid.uuid4()
        known = [kind.name for kind in kinds.known()]
        with self.board.slot() as slot:
            slot.hold(lease)
            # Insisting: a process with a dead connection would otherwise take message after message to no effect.
            jobs = insist(lambda: lifecycle.claim(ids, node=self._node, lease=lease, kinds=known))
            self.release_connection()
            if jobs:
                _Chunk(self, slot, lease, jobs, self._before(queue)).work_through()

    def _before(self, queue: str) -> list[str]:
        """The queues that this node takes from before it takes from that one."""
        return [one for one in QUEUES[: QUEUES.index(queue)] if one in self._queues] if queue in QUEUES else []

    def release_connection(self) -> None:
        if self._shares_connections:
            connection.close()


class _Chunk:
    """The jobs of one claim. The slot's thread takes one after the other.

    A timer sees to it that nothing waits behind a job that turns out long: what has not begun is given back to run
    elsewhere, and what has ended is recorded. Between two jobs the chunk makes way for what waits in `before`, the
    queues that are more urgent than its own.
    """

    def __init__(self, slots: Slots, slot: Slot, lease: uuid.UUID, jobs: list[Job], before: Sequence[str]) -> None:
        self._slots = slots
        self._lease = lease
        self._slot = slot
        # Both are shared with the timer. Each entry is popped by one of the two, so none is lost or taken twice.
        self._waiting = deque(jobs)
        self._ended: deque[Ending] = deque()
        self._recorded_at = time.monotonic()
        self._before = before
        # At once: its message was perhaps taken long before its slot was free.
        self._look_at = self._recorded_at if before else math.inf

    def work_through(self) -> None:
        timer = threading.Timer(_STALLED_AFTER, self._unstick)
        if len(self._waiting) > 1:
            timer.start()
        while (job := self._next()) is not None:
            ending = Attempt(job, self._slot, self._slots.board, self._slots.release_connection).run()
            self._ended.append(ending)
            if time.monotonic() - self._recorded_at > _RECORD_EVERY:
                self._record()
        timer.cancel()
        if timer.is_alive():
            timer.join()
        self._record()
        self._slots.release_connection()

    def _next(self) -> Job | None:
        if self._slots.board.draining or (self._waiting and self._is_overtaken()):
            self._hand_back()
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _is_overtaken(self) -> bool:
        """Whether more urgent jobs wait for a slot. Asked now and then: the answer is a round trip to Redis."""
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + _LOOK_EVERY
        try:
            return broker.holds_any(self._before)
        except broker.BrokerDown:
            self._look_at = math.inf  # nothing more comes from there for now
            return False

    def _unstick(self) -> None:
        """In the timer's thread."""
        try:
            self._hand_back()
            self._record()
        finally:
            connection.close()

    def _hand_back(self) -> None:
        if unbegun := _all_of(self._waiting):
            insist(lambda: lifecycle.unclaim(self._lease, [job.id for job in unbegun]))
            doorbell.ring()

    def _record(self) -> None:
        """Record with results in hand: while Postgres is away they are kept, and written when it returns."""
        ended = _all_of(self._ended)
        self._recorded_at = time.monotonic()
        if not ended:
            return
        accepted = insist(lambda: lifecycle.record(ended))
        for late in (ending.job for ending in ended if ending.job.id not in accepted):
            logger.warning("Late: the result of %s (attempt %s) was refused.", late, late.attempt)
            insist(partial(tally.add, "late", late.kind, 1))
        if any(ending.state not in FINISHED for ending in ended):
            doorbell.ring()
        elif any(ending.job.limit_key for ending in ended):
            doorbell.ring(doorbell.PLACES)


def _all_of(shared: deque[Item]) -> list[Item]:
    """Empty it, entry by entry: the other thread may be popping too."""
    taken = []
    while True:
        try:
            taken.append(shared.popleft())
        except IndexError:
            return taken
