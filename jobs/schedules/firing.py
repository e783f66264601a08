"""Firing: the job and the mark that its time is done are written in one transaction, and no time is marked twice.

So a dispatcher that dies in between has done nothing, and of two that meet one passes by. The leading dispatcher
calls `fire` in its rounds; who leads matters to nobody here.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Value
from django.db.models.functions import Now

from jobs import lifecycle
from jobs.models import LIVE, Fire, FireOutcome, Job, Overlap, Schedule
from jobs.schedules.definition import submission_of, timing_of
from jobs.schedules.misfires import decide
from jobs.submission import InvalidSubmission

logger = logging.getLogger(__name__)

_PRUNED = 1000  # rows of history at once
_OVERLAPPED = "A job of an earlier fire had not finished."


def fire(limit: int = 50, now: datetime | None = None) -> int:
    """Fire what is due, on at most `limit` schedules. Returns how many schedules it dealt with.

    By the database's clock; `now` is for tests that hold the clock in their own hands.
    """
    moment = Now() if now is None else Value(now)
    due = Schedule.objects.filter(next_at__lte=moment)
    if not due.exists():
        return 0
    with transaction.atomic():
        rows = due.annotate(moment=moment).order_by("next_at", "pk").select_for_update(skip_locked=True)[:limit]
        found = list(rows)
        for schedule in found:
            _fire(schedule, schedule.moment)
    return len(found)


def _fire(schedule: Schedule, now: datetime) -> None:
    """One schedule, whose row is ours until the transaction ends. What is wrong with it must not stop the others."""
    assert schedule.next_at is not None
    try:
        with transaction.atomic():
            timing = timing_of(schedule)
            due = decide(schedule, timing, schedule.next_at, now)
            fires = _submitted(schedule, due.times)
            if due.missed_at is not None and not due.times:
                fires = [Fire(schedule=schedule, at=due.missed_at, outcome=FireOutcome.MISSED)]
            fires[0].missed = due.missed - (not due.times)
            Fire.objects.bulk_create(fires)
            following = timing.after(now)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        logger.exception("Schedule %s could not be fired.", schedule.name)
        note = f"{type(error).__name__}: {error}"
        Fire.objects.create(schedule=schedule, at=schedule.next_at, outcome=FireOutcome.REFUSED, note=note)
        following = _after_fault(schedule, now)
    Schedule.objects.filter(pk=schedule.pk).update(next_at=following)


def _submitted(schedule: Schedule, times: Sequence[datetime]) -> list[Fire]:
    """The fires of these times, with their jobs."""
    go = list(times)
    if schedule.overlap == Overlap.SKIP:
        go = [] if living_job(schedule) else go[:1]
    try:
        ids = lifecycle.submit_many([submission_of(schedule)] * len(go)) if go else []
    except InvalidSubmission as error:
        return [Fire(schedule=schedule, at=time, outcome=FireOutcome.REFUSED, note=str(error)) for time in times]
    fires = [
        Fire(schedule=schedule, at=time, outcome=FireOutcome.SUBMITTED, job_id=job_id)
        for time, job_id in zip(go, ids, strict=True)
    ]
    return fires + [
        Fire(schedule=schedule, at=time, outcome=FireOutcome.OVERLAPPED, note=_OVERLAPPED) for time in times[len(go) :]
    ]


def living_job(schedule: Schedule) -> uuid.UUID | None:
    """The job of its latest fire, if that has not come to an end."""
    fired = schedule.fires.filter(job_id__isnull=False).order_by("-at").values_list("job_id", flat=True)
    latest = fired.first()
    return latest if latest and Job.objects.filter(pk=latest, state__in=LIVE).exists() else None


def _after_fault(schedule: Schedule, now: datetime) -> datetime | None:
    """Its next time, so that one fault does not silence it; none where it is the timing that is at fault."""
    try:
        return timing_of(schedule).after(now)
    except InvalidSubmission:
        return None


def prune() -> int:
    """Delete history that is older than RETENTION_DAYS, a bounded number of rows. Returns how many."""
    if not settings.RETENTION_DAYS:
        return 0
    old = Fire.objects.filter(fired_at__lt=Now() - timedelta(days=settings.RETENTION_DAYS)).order_by("fired_at")
    deleted, _ = Fire.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:_PRUNED])).delete()
    return deleted
