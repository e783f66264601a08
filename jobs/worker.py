"""What a pool slot does with a message: claim its jobs, run their handlers, record how each ended.

A chunk is claimed in one statement and recorded in one statement, or in a few when it takes long. The message itself
means nothing: jobs that are gone, cancelled, or claimed by somebody else meanwhile are simply not in the claim.
"""

from __future__ import annotations

import logging
import time
import traceback
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from pydantic import ValidationError

from jobs import doorbell, endings, kinds, leases, lifecycle
from jobs.board import CANCEL, LEASE_LOST, Board, Slot
from jobs.endings import Ending
from jobs.kinds import Cancelled, Context, Draining, GiveUp, Hold, Interrupted, LeaseLost, OutOfTime, Snooze, TryLater
from jobs.models import FINISHED, Job, Reason
from jobs.storable import as_json

logger = logging.getLogger(__name__)

_RECORD_EVERY = 0.1  # seconds: how long a finished job of a chunk may wait for its mates to be recorded with it
_HAND_BACK_AFTER = 0.5  # seconds: a chunk that takes longer gives back what it has not begun
_PROGRESS_EVERY = 1.0
_MAX_RESULT_BYTES = 1024 * 1024


class Slots:
    """Runs chunks for one node: each call of `run` occupies one slot of its pool."""

    def __init__(self, node: uuid.UUID, board: Board, *, shares_connections: bool) -> None:
        self._node = node
        self._board = board
        # In a process of many threads a connection goes back to the pool while a handler runs.
        self._shares_connections = shares_connections

    def run(self, ids: Sequence[uuid.UUID]) -> None:
        if self._board.draining:
            return  # the jobs are still queued in their rows; the dispatcher rings for them elsewhere
        lease = uuid.uuid4()
        known = [kind.name for kind in kinds.known()]
        with self._board.slot() as slot:
            slot.hold(lease)
            jobs = lifecycle.claim(ids, node=self._node, lease=lease, kinds=known)
            self._release_connection()
            if jobs:
                self._work_through(jobs, slot)

    def _work_through(self, jobs: list[Job], slot: Slot) -> None:
        ended: list[Ending] = []
        began = recorded = time.monotonic()
        for place, job in enumerate(jobs):
            if place and (self._board.draining or time.monotonic() - began > _HAND_BACK_AFTER):
                self._hand_back(jobs[place:])
                break
            ended.append(_Attempt(job, slot, self._board, self._release_connection).run())
            if time.monotonic() - recorded > _RECORD_EVERY:
                self._record(ended)
                ended, recorded = [], time.monotonic()
        self._record(ended)

    def _record(self, ended: list[Ending]) -> None:
        """Record with results in hand: while Postgres is away they are kept, and written when it returns."""
        if not ended:
            return
        accepted = _insist(lambda: lifecycle.record(ended))
        self._release_connection()
        for ending in ended:
            if ending.job.id not in accepted:
                logger.warning("Late: the result of %s (attempt %s) was refused.", ending.job, ending.job.attempt)
        if any(ending.state not in FINISHED for ending in ended):
            doorbell.ring()

    def _hand_back(self, jobs: list[Job]) -> None:
        lease = jobs[0].lease
        assert lease is not None
        _insist(lambda: lifecycle.unclaim(lease, [job.id for job in jobs]))
        self._release_connection()
        doorbell.ring()

    def _release_connection(self) -> None:
        if self._shares_connections:
            connection.close()


class _Attempt:
    """One run of one job's handler, and the answers that its context gives meanwhile (kinds.Run)."""

    def __init__(self, job: Job, slot: Slot, board: Board, release_connection: Any) -> None:
        self._job = job
        self._slot = slot
        self._board = board
        self._release_connection = release_connection
        self._ends_at = time.monotonic() + job.timeout if job.timeout else None
        self._progress_at = 0.0
        self._late = False

    def run(self) -> Ending:
        began = time.monotonic()
        self._slot.start(self._job.id, self._ends_at + settings.TIMEOUT_GRACE_SECONDS if self._ends_at else 0.0)
        try:
            ending = self._outcome(self._job)
        finally:
            self._slot.stop()
        return replace(ending, seconds=time.monotonic() - began)

    def _outcome(self, job: Job) -> Ending:
        try:
            return self._call_handler(job)
        except Interrupted as interruption:
            return _interrupted(job, interruption)
        except (Snooze, Hold) as wish:
            return (
                endings.snoozed(job, wish.delay, str(wish))
                if isinstance(wish, Snooze)
                else endings.paused(job, str(wish))
            )
        except TryLater as plea:
            return endings.failed(job, str(plea), delay=plea.delay)
        except GiveUp as refusal:
            return endings.gave_up(job, str(refusal), traceback.format_exc())
        # Whatever a handler raises fails its attempt, and is kept with it; sys.exit() too, which libraries call.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            return endings.failed(job, f"{type(error).__name__}: {error}", traceback.format_exc())

    def _call_handler(self, job: Job) -> Ending:
        kind = kinds.get(job.kind)
        try:
            payload = kind.payload.model_validate(job.payload)
        except ValidationError as error:  # it did fit when it was submitted: the kind has changed since
            return endings.gave_up(job, f"The payload no longer fits its kind: {error}", reason=Reason.INVALID)
        context = Context(str(job.id), job.attempt, self, job.checkpoint)
        result = kind.function(payload, context)
        try:
            as_json(result, _MAX_RESULT_BYTES)
        except ValueError as error:
            raise ValueError(f"the result {error}") from error
        return endings.completed(job, result)

    # --- kinds.Run ---------------------------------------------------------------------------------------------------

    def interruption(self) -> Interrupted | None:
        asked = self._slot.asked()
        if self._late or asked == LEASE_LOST:
            return LeaseLost()
        if asked == CANCEL:
            return Cancelled()
        if self._ends_at is not None and time.monotonic() > self._ends_at:
            return OutOfTime()
        if self._board.handlers_must_stop:
            return Draining()
        return None

    def save_progress(self, progress: Mapping[str, Any]) -> None:
        if time.monotonic() - self._progress_at < _PROGRESS_EVERY:
            return
        self._progress_at = time.monotonic()
        try:
            self._hold(leases.save_progress(self._job, dict(progress)))
        except (OperationalError, InterfaceError) as error:
            # Progress is for people; the work itself does not stop for a database that is away.
            logger.warning("Progress of %s was not recorded: %s", self._job, error)
            connection.close()

    @contextmanager
    def held(self) -> Iterator[None]:
        with ExitStack() as stack:
            still = _insist(lambda: stack.enter_context(leases.held(self._job)))
            if still:
                yield
        self._hold(still)

    def save_checkpoint(self, checkpoint: Any) -> None:
        self._hold(_insist(lambda: leases.save_checkpoint(self._job, checkpoint)))

    def _hold(self, still: bool) -> None:
        self._release_connection()
        if not still:
            self._late = True
            raise LeaseLost


def _interrupted(job: Job, interruption: Interrupted) -> Ending:
    match interruption:
        case Cancelled():
            return endings.cancelled(job)
        case OutOfTime():
            return endings.timed_out(job)
        case Draining():
            return endings.released(job, "Its worker was shut down; it goes on elsewhere.")
        case _:
            return endings.released(job, "Another attempt has the job.")  # recorded nowhere: the lease is gone


def _insist(statement: Any) -> Any:
    """Run a guarded statement until the database has taken it. Each is safe to repeat: its guard sees to that."""
    pause = 0.1
    while True:
        try:
            return statement()
        except (OperationalError, InterfaceError) as error:
            logger.warning("Postgres is away (%s); trying again in %.1f s with the results in hand.", error, pause)
            connection.close()
            time.sleep(pause)
            pause = min(pause * 2, 2.0)
