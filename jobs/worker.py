"""What a pool slot does with a message: claim its jobs, run their handlers, record how each ended.

A chunk is claimed in one statement and recorded in one statement, or in a few when it takes long. The message itself
means nothing: jobs that are gone, cancelled, or claimed by somebody else meanwhile are simply not in the claim.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from contextlib import ExitStack

from django.db import connection

from jobs import kinds, lifecycle
from jobs.attempt import Attempt
from jobs.board import Board
from jobs.capacity import QUEUES
from jobs.chunk import Chunk
from jobs.clerk import Clerk
from jobs.outage import insist

_NEWEST = 0.25  # the weight of the last run in the pace of its kind


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
        self._paces: dict[str, float] = {}  # seconds that a job of a kind takes here

    def run(self, ids: Collection[uuid.UUID], queue: str = "") -> None:
        """Run these jobs, which came by that queue, as far as they still want running; and those that follow there."""
        if self.board.draining:
            return  # the jobs are still queued in their rows; the dispatcher rings for them elsewhere
        chunk = self._claim(ids, queue)
        if chunk is None:
            return
        with Clerk(chunk, self._claim, board=self.board, paces=self._paces, queues=self._up_to(queue)) as clerk:
            while chunk is not None:
                self._work_through(chunk)
                chunk = clerk.next_after(chunk)
        self.release_connection()

    def _claim(self, ids: Collection[uuid.UUID], queue: str) -> Chunk | None:
        lease = uuid.uuid4()
        known = [kind.name for kind in kinds.known()]
        with ExitStack() as stack:
            slot = stack.enter_context(self.board.slot())
            slot.hold(lease)
            # Insisting: a process with a dead connection would otherwise take message after message to no effect.
            jobs = insist(lambda: lifecycle.claim(ids, node=self._node, lease=lease, kinds=known))
            self.release_connection()
            return Chunk(slot, lease, jobs, queue, stack.pop_all().close) if jobs else None

    def _work_through(self, chunk: Chunk) -> None:
        while not self.board.draining and (job := chunk.begin()) is not None:
            took = chunk.end(Attempt(job, chunk.slot, self.board, self.release_connection).run())
            self._paces[job.kind] = took * _NEWEST + self._paces.get(job.kind, took) * (1 - _NEWEST)
        chunk.hand_back()

    def _up_to(self, queue: str) -> list[str]:
        """That queue, and before it those that this node takes from before."""
        return [one for one in QUEUES[: QUEUES.index(queue) + 1] if one in self._queues] if queue in QUEUES else []

    def release_connection(self) -> None:
        if self._shares_connections:
            connection.close()
