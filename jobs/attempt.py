"""One run of one job: its handler, the answers that its context gives meanwhile, and how the run ended."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from pydantic import ValidationError

from jobs import endings, fingerprints, kinds, leases, locks, memory, sealed, trail
from jobs.board import CANCEL, LEASE_LOST, Board, Slot
from jobs.endings import Ending
from jobs.joblog import JobLog
from jobs.kinds import Cancelled, Context, Draining, GiveUp, Hold, Interrupted, LeaseLost, OutOfTime, Snooze, TryLater
from jobs.models import Job, Reason
from jobs.outage import insist
from jobs.storable import as_json
from jobs.submission import InvalidSubmission, faults_of

logger = logging.getLogger(__name__)

_PROGRESS_EVERY = 1.0
_MAX_RESULT_BYTES = 1024 * 1024


class Attempt:
    """One run of one job's handler, and the answers that its context gives meanwhile (context.Run)."""

    def __init__(self, job: Job, slot: Slot, board: Board, release_connection: Callable[[], None]) -> None:
        self._job = job
        self._slot = slot
        self._board = board
        self._release_connection = release_connection
        self._ends_at = time.monotonic() + job.timeout if job.timeout else None
        self._progress_at = 0.0
        self._late = False
        self._log = JobLog(job)
        self._secrets: frozenset[str] = frozenset()  # of the payload, in clear: to be kept out of what is written down

    def run(self) -> Ending:
        began = time.monotonic()
        self._slot.start(self._job.id, self._ends_at + settings.TIMEOUT_GRACE_SECONDS if self._ends_at else 0.0)
        try:
            with trail.of(self._job):
                ending = self._outcome(self._job)
        finally:
            self._slot.stop()
            self._write_log()
        ending.seconds = time.monotonic() - began
        if self._secrets:
            ending.error = sealed.without(self._secrets, ending.error)
            ending.traceback = sealed.without(self._secrets, ending.traceback)
            ending.result = sealed.without(self._secrets, ending.result)
        return ending

    def _outcome(self, job: Job) -> Ending:
        try:
            return self._call_handler(job)
        except Interrupted as interruption:
            return _interrupted(job, interruption)
        except Snooze as wish:
            return endings.snoozed(job, wish.delay, str(wish))
        except Hold as wish:
            return endings.paused(job, str(wish))
        except TryLater as plea:
            return endings.failed(job, str(plea), delay=plea.delay, fingerprint=fingerprints.of(plea))
        except GiveUp as refusal:
            return endings.gave_up(job, str(refusal), traceback.format_exc(), fingerprint=fingerprints.of(refusal))
        except MemoryError:  # without a traceback: its frames hold what the handler ate, and to format it takes more
            return endings.failed(job, memory.exceeded(), fingerprint="MemoryError")
        # Whatever a handler raises fails its attempt, and is kept with it; sys.exit() too, which libraries call.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            message = f"{type(error).__name__}: {error}"
            return endings.failed(job, message, traceback.format_exc(), fingerprint=fingerprints.of(error))

    def _call_handler(self, job: Job) -> Ending:
        kind = kinds.get(job.kind)
        try:
            payload = kind.payload.model_validate(job.payload)
        except ValidationError as error:  # it did fit when it was submitted: the kind has changed since
            faults = str(InvalidSubmission(*faults_of(error)))  # which leave the values out: they may be secret
            return endings.gave_up(job, f"The payload no longer fits its kind: {faults}", reason=Reason.INVALID)
        if kind.keeps_secrets:
            self._secrets = sealed.revealed(payload)
        context = Context(str(job.id), job.attempt, self, job.checkpoint, job.owner_id, self._secrets)
        result = kind.function(payload, context)
        try:
            as_json(result, _MAX_RESULT_BYTES)
        except ValueError as error:
            raise ValueError(f"the result {error}") from error
        return endings.completed(job, result)

    # --- context.Run -------------------------------------------------------------------------------------------------

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

    def keep_line(self, level: int, text: str) -> None:
        if self._log.say(level, text):
            self._write_log()

    def _write_log(self) -> None:
        if self._log.write() and not connection.in_atomic_block:  # else the handler's own transaction has it
            self._release_connection()

    def save_progress(self, progress: Mapping[str, Any]) -> None:
        if time.monotonic() - self._progress_at < _PROGRESS_EVERY:
            return
        self._progress_at = time.monotonic()
        try:
            self._hold(leases.save_progress(self._job, sealed.without(self._secrets, dict(progress))))
        except (OperationalError, InterfaceError) as error:
            # Progress is for people; the work itself does not stop for a database that is away.
            logger.warning("Progress of %s was not recorded: %s", self._job, error)
            connection.close()

    @contextmanager
    def held(self) -> Iterator[None]:
        with ExitStack() as stack:
            still = insist(lambda: stack.enter_context(leases.held(self._job)))
            if still:
                yield
        self._hold(still)

    def save_checkpoint(self, checkpoint: Any) -> None:
        self._hold(insist(lambda: leases.save_checkpoint(self._job, checkpoint)))

    def lock(
        self, ctx: Context, key: str, *, ttl: float | None, retry_delay: float, tries: int
    ) -> AbstractContextManager[None]:
        lock = locks.Claim(self._job, key, settings.LOCK_TTL_SECONDS if ttl is None else ttl, self._release_connection)
        return lock.held(ctx, retry_delay, tries)

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
