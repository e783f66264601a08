"""The clerk of a slot: a thread that keeps the books while the slot's own thread runs handlers.

A slot that did all by itself would stand still after every chunk, first for Postgres and then until Celery hands it the
next one: with jobs of ten milliseconds for a sixth of its time. So the clerk records what has ended, gives back what
should wait here no longer, and shortly before a chunk is through takes the next message and claims its jobs. In the end
the slot waits for its clerk: Celery hears that a message is done when it, and all that followed, is recorded.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Self

from django.db import connection

from jobs import broker, doorbell, lifecycle, tally
from jobs.board import Board
from jobs.chunk import Chunk
from jobs.endings import Ending
from jobs.models import FINISHED
from jobs.outage import insist

logger = logging.getLogger(__name__)

_ROUND = 0.025  # seconds between two looks at what should be done, unless the slot calls or there can be nothing
_UNDISTURBED = 0.01  # seconds in which a slot begins a lone job, before its clerk takes turns with it
_AHEAD = 0.05  # seconds of work that are left when the next jobs are claimed
_RECORD_EVERY = 0.1  # seconds: how long a finished job of a chunk may wait for its mates to be recorded with it
_STALLED_AFTER = 0.5  # seconds after its claim: what has not begun until then is given back
_READS_ON = 5.0  # seconds: then Celery has its turn, which resizes the pool and recycles its processes between messages


class Clerk:
    """`with Clerk(…) as clerk`: from the claim of a slot's first chunk until everything that ended is recorded.

    The slot says `next_after(chunk)` when it is through with one. A single job that is not known to be short has no
    thread for company: there would be nothing to do.
    """

    def __init__(
        self,
        first: Chunk,
        claim: Callable[[Collection[uuid.UUID], str], Chunk | None],
        *,
        board: Board,
        paces: Mapping[str, float],
        queues: Sequence[str],
    ) -> None:
        """`paces`: seconds by kind. `queues`: those whose messages may follow, and of them the more urgent first."""
        self._chunk = first
        self._begins_alone = first.waiting == 1  # with more, urgent work may already be held up
        self._claim = claim
        self._board = board
        self._paces = paces
        self._queues = queues
        self._reads_until = time.monotonic() + _READS_ON
        self._recorded_at = time.monotonic()
        self._error: BaseException | None = None
        self._unrecorded: list[Ending] = []
        # What follows is shared with the slot's thread.
        self._changed = threading.Condition()
        self._done: list[Chunk] = []  # to be recorded
        self._following: Chunk | None = None
        self._looked = False  # for what follows the chunk that runs, and in time
        self._waited_for = False
        self._stopped = False
        self._gone = True  # until it has begun
        self._thread = threading.Thread(target=self._work, name="clerk", daemon=True)

    def __enter__(self) -> Self:
        if self._is_needed():
            self._begin()
        return self

    def _is_needed(self) -> bool:
        return self._chunk.waiting > 1 or (bool(self._queues) and self._chunk.left(self._paces) < _READS_ON)

    def _begin(self) -> None:
        connection.close()  # the clerk shall have it: a slot that has handlers to run needs none
        self._gone = False
        try:
            self._thread.start()
        except RuntimeError as error:  # a limit of memory or of threads: the slot records by itself, at the end
            logger.warning("A slot works without its clerk: %s.", error)
            self._gone = True

    def next_after(self, chunk: Chunk) -> Chunk | None:
        """All that this slot began of a chunk has ended. Gives the next one; none: it is Celery's turn."""
        self._let_go()
        with self._changed:
            self._done.append(chunk)
            self._waited_for = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._looked or self._gone)
            self._waited_for = False
            following, self._following = self._following, None
            if following is not None:
                self._chunk = following
                self._looked = False
            return following

    def __exit__(self, kind: object, *_: object) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        try:
            if self._thread.ident is not None:
                self._let_go()
                self._thread.join()
            if kind is None:
                self._record()  # what no clerk did, because none was needed, or an error ended it
        finally:
            for chunk in (*self._done, self._chunk, self._following):
                if chunk is not None:
                    chunk.free()
        if kind is None and self._error is not None:
            raise self._error

    def _let_go(self) -> None:
        """Of the connection that a handler may have left open, before this slot waits: where many slots share a pool
        they would hold all of it, and wait for clerks that wait for one.
        """
        if not self._gone:
            connection.close()

    # --- in the clerk's thread ---------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            if self._begins_alone:
                self._wait(min(_ROUND, max(_UNDISTURBED, self._chunk.left(self._paces) / 2)))
            while not self._stopped:
                self._round()
                self._wait(self._pause())
            self._record()
        except BaseException as error:  # noqa: BLE001 - the slot's thread raises it
            self._error = error
        finally:
            connection.close()
            with self._changed:
                self._gone = True
                self._changed.notify_all()

    def _wait(self, seconds: float | None) -> None:
        with self._changed:
            self._changed.wait_for(self._is_called, seconds)

    def _is_called(self) -> bool:
        return bool(self._stopped or self._done or (self._waited_for and not self._looked))

    def _pause(self) -> float | None:
        """Seconds to the next round; none where only the slot can say that there is something to do."""
        chunk = self._chunk
        if chunk.waiting or chunk.has_ended or self._following is not None:
            return _ROUND
        left = chunk.left(self._paces)
        return max(_ROUND, left - _AHEAD) if 0 < left < math.inf else None

    def _round(self) -> None:
        # A job that takes longer than expected has nothing left: who knows when it ends.
        if not self._looked and (self._waited_for or 0 < self._chunk.left(self._paces) < _AHEAD):
            self._look()
        self._make_way()
        self._record()
        connection.close()  # back to the pool: the clerk works a moment in every round

    def _look(self) -> None:
        """Claim what follows the chunk that runs."""
        following = None
        in_vain = self._waited_for  # if there is nothing; before the end of the chunk something may still come
        try:
            if self._queues and not self._board.draining and time.monotonic() < self._reads_until:
                message = broker.take(self._queues)
                if message is not None:
                    queue, ids = message
                    following = self._claim(ids, queue)
        except broker.BrokerDown:
            self._queues = []  # nothing more comes from there for now
        finally:
            with self._changed:
                self._following = following
                self._looked = following is not None or in_vain
                self._changed.notify_all()

    def _make_way(self) -> None:
        """Nothing waits behind a job that turns out long, nor before more urgent ones."""
        for chunk in (self._chunk, self._following):
            if chunk is None or not chunk.waiting:
                continue
            stalled = time.monotonic() - chunk.claimed_at > _STALLED_AFTER
            if stalled or self._board.draining or self._is_overtaken(chunk):
                chunk.hand_back()

    def _is_overtaken(self, chunk: Chunk) -> bool:
        """Whether more urgent jobs wait for a slot."""
        if chunk.queue not in self._queues:
            return False
        before = self._queues[: self._queues.index(chunk.queue)]
        try:
            return bool(before) and broker.holds_any(before)
        except broker.BrokerDown:
            self._queues = []
            return False

    def _record(self) -> None:
        """Record with results in hand: while Postgres is away they are kept, and written when it returns."""
        with self._changed:
            done = list(self._done)
        if not done and not self._unrecorded and time.monotonic() - self._recorded_at < _RECORD_EVERY:
            return
        self._recorded_at = time.monotonic()
        self._unrecorded += [ending for chunk in (*done, self._chunk) for ending in chunk.ended()]
        _write(self._unrecorded)
        self._unrecorded = []
        with self._changed:
            del self._done[: len(done)]
        for chunk in done:
            chunk.free()


def _write(ended: Sequence[Ending]) -> None:
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
