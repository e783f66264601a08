"""Whose doing a line of the log is about: the request that is answered, and the job that runs.

Both are set once and looked at only when a line is written, so they cost a job that logs nothing next to nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jobs import tracing
from jobs.endings import Ending
from jobs.models import Job, Outcome

logger = logging.getLogger("haulway.jobs")

# The id of the request that is being answered; empty where none is. jobs/api sets it.
request_id: ContextVar[str] = ContextVar("request_id", default="")
_job: ContextVar[Job | None] = ContextVar("job", default=None)

_LONG = 0.1  # seconds: jobs that take longer have a line of their own, shorter ones only where lines cost nothing


@contextmanager
def of(job: Job) -> Iterator[None]:
    """Every line until the end of the block names this job."""
    token = _job.set(job)
    try:
        yield
    finally:
        _job.reset(token)


def fields() -> dict[str, Any]:
    """What a line of the log is given beside its own words."""
    found: dict[str, Any] = {}
    if own := request_id.get():
        found["request_id"] = own
    if (job := _job.get()) is not None:
        found |= {"job_id": str(job.id), "kind": job.kind, "attempt": job.attempt}
        if job.request_id:
            found["request_id"] = job.request_id
    return found


def submitted(job: Job) -> None:
    logger.info("submitted", extra={"job_id": str(job.id), "kind": job.kind, "state": job.state})


def submitted_many(ids: Sequence[Any]) -> None:
    """One line for a whole bulk: its ids are of one moment, and between the first and the last of it."""
    if ids:
        logger.info("submitted in bulk", extra={"jobs": len(ids), "first": str(ids[0]), "last": str(ids[-1])})


def sent(queue: str, ids: Iterable[Any]) -> None:
    """The dispatcher has sent a message. One for a job that travels alone; chunks are told at the level DEBUG."""
    named = [str(one) for one in ids]
    alone = len(named) == 1
    if logger.isEnabledFor(logging.INFO if alone else logging.DEBUG):
        told: dict[str, Any] = {"job_id": named[0]} if alone else {"jobs": named}
        logger.log(logging.INFO if alone else logging.DEBUG, "sent", extra={"queue": queue, **told})


def ended(endings: Sequence[Ending]) -> None:
    """Attempts have ended, and their ends were accepted. Short ones that went well are told at the level DEBUG."""
    for ending in endings:
        job, well = ending.job, ending.outcome == Outcome.COMPLETED
        quick = well and job.attempt == 1 and (ending.seconds or 0.0) < _LONG
        level = logging.DEBUG if quick else logging.INFO if well else logging.WARNING
        if logger.isEnabledFor(level):
            with of(job):
                told: dict[str, Any] = {
                    "outcome": ending.outcome.value,
                    "state": ending.state.value,
                    "error": ending.error,
                }
                seconds = {} if ending.seconds is None else {"seconds": round(ending.seconds, 3)}
                logger.log(level, "ended", extra={name: value for name, value in told.items() if value} | seconds)
        tracing.ended(ending)
