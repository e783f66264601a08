"""How an attempt can end, and what that means for its job: the rules of retry, dead letter and budget.

Each function takes the job as it was claimed and gives the ending to hand to lifecycle.record(). While the lease
holds nobody else changes those columns, so what is decided here from the claimed row is still true when recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings

from jobs import kinds
from jobs.models import Job, Outcome, Reason, State
from jobs.storable import as_text

# A node that is lost says nothing about which of its jobs did it, so this budget is far wider than that of crashes.
LOSS_BUDGET = 20
# Of a handler's own asking. Beyond lie dates that Postgres cannot hold, and one would spoil its whole batch.
_LONGEST_DELAY = 10 * 366 * 86_400  # seconds
_ERROR_LIMIT = 2_000  # characters
_TRACEBACK_LIMIT = 20_000
_FINGERPRINT_LIMIT = 200


@dataclass(slots=True)
class Ending:
    """The end of one attempt: the state that the job goes to, and what to remember."""

    job: Job
    outcome: Outcome
    state: State
    delay: timedelta | None = None
    failures: int = 0  # added to the job's count, as are crashes and losses
    crashes: int = 0
    losses: int = 0
    reason: Reason | None = None
    result: Any = None
    error: str = ""
    traceback: str = ""
    fingerprint: str = ""  # what failed, and where; the reason, where no error was raised
    seconds: float | None = None  # how long the handler ran

    def as_row(self) -> dict[str, Any]:
        """As lifecycle's statement takes it. What is empty is left out: of most endings that is nearly all."""
        row: dict[str, Any] = {
            "id": str(self.job.id),
            "lease": str(self.job.lease),
            "wanted": self.state,
            "outcome": self.outcome,
            "seconds": self.seconds,
            "result": self.result,
        }
        if self.outcome != Outcome.COMPLETED:
            row |= {
                "delay": None if self.delay is None else min(self.delay.total_seconds(), _LONGEST_DELAY),
                "failures": self.failures,
                "crashes": self.crashes,
                "losses": self.losses,
                "reason": self.reason,
                "error": as_text(self.error, _ERROR_LIMIT),
                "fingerprint": (as_text(self.fingerprint, _FINGERPRINT_LIMIT) or self.reason or "")
                if self.state is State.FAILED
                else "",
                "traceback": as_text(self.traceback, _TRACEBACK_LIMIT),
            }
        return row


def completed(job: Job, result: Any) -> Ending:
    return Ending(job, Outcome.COMPLETED, State.COMPLETED, result=result)


def failed(
    job: Job, error: str, traceback: str = "", delay: timedelta | None = None, *, fingerprint: str = ""
) -> Ending:
    """The handler raised: try again while retries are left, else it is a dead letter."""
    ending = _retry_or_bury(job, Outcome.FAILED, Reason.EXHAUSTED, error, traceback, delay)
    ending.fingerprint = fingerprint
    return ending


def timed_out(job: Job, error: str = "") -> Ending:
    error = error or f"The attempt took longer than its timeout of {job.timeout:g} s."
    return _retry_or_bury(job, Outcome.TIMED_OUT, Reason.TIMED_OUT, error, "")


def gave_up(
    job: Job, error: str, traceback: str = "", reason: Reason = Reason.GAVE_UP, *, fingerprint: str = ""
) -> Ending:
    ending = Ending(job, Outcome.GAVE_UP, State.FAILED, failures=1, reason=reason, error=error, traceback=traceback)
    ending.fingerprint = fingerprint
    return ending


def cancelled(job: Job) -> Ending:
    return Ending(job, Outcome.CANCELLED, State.CANCELLED, error="Cancelled while it ran.")


def snoozed(job: Job, delay: timedelta, note: str) -> Ending:
    return Ending(job, Outcome.SNOOZED, State.SCHEDULED, delay=delay, error=note)


def paused(job: Job, note: str) -> Ending:
    """Held, at no cost, until a person resumes it."""
    return Ending(job, Outcome.SNOOZED, State.PAUSED, error=note)


def released(job: Job, note: str) -> Ending:
    """Given back unfinished through no fault of its own: queued again in its old place, at no cost."""
    return Ending(job, Outcome.RELEASED, State.QUEUED, error=note)


def crashed(job: Job, error: str) -> Ending:
    """The process that ran it died under it. Run it again, unless it has done so too often."""
    if job.crashes + 1 >= settings.CRASH_BUDGET:
        error = f"{error} It has ended {job.crashes + 1} processes, so it is not tried again."
        return Ending(job, Outcome.CRASHED, State.FAILED, crashes=1, reason=Reason.WORKER_LOST, error=error)
    return Ending(job, Outcome.CRASHED, State.QUEUED, crashes=1, error=error)


def lost(job: Job) -> Ending:
    """Its node was not heard of for a lease. Run it again elsewhere."""
    error = f"Its worker was not heard of for {settings.LEASE_SECONDS:g} s."
    if job.losses + 1 >= LOSS_BUDGET:
        error = f"{error} That happened {job.losses + 1} times, so it is not tried again."
        return Ending(job, Outcome.LOST, State.FAILED, losses=1, reason=Reason.WORKER_LOST, error=error)
    return Ending(job, Outcome.LOST, State.QUEUED, losses=1, error=error)


def _retry_or_bury(
    job: Job, outcome: Outcome, reason: Reason, error: str, traceback: str, delay: timedelta | None = None
) -> Ending:
    if job.failures >= job.max_retries:
        return Ending(job, outcome, State.FAILED, failures=1, reason=reason, error=error, traceback=traceback)
    delay = delay or kinds.get(job.kind).backoff.delay(job.failures + 1)
    return Ending(job, outcome, State.RETRYING, delay=delay, failures=1, error=error, traceback=traceback)
