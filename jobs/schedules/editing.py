"""How schedules are changed: written, paused, resumed, run by hand. API and admin come through here."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import connection, transaction
from django.db.models.functions import Now

from jobs import lifecycle
from jobs.models import Fire, FireOutcome, Overlap, Schedule
from jobs.schedules.definition import check, has_passed, submission_of
from jobs.schedules.firing import living_job
from jobs.submission import Fault, InvalidSubmission

_TIMING = ("cron", "time_zone", "every", "starts_at", "at")


class StillRunning(Exception):
    """Not run by hand: a job of it still lives, and its overlap policy is to skip."""

    def __init__(self, job: uuid.UUID) -> None:
        super().__init__(f"Its job {job} has not finished, and its overlap policy is to skip.")


def database_now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        found: datetime = cursor.fetchone()[0]
    return found


def write(schedule: Schedule) -> Schedule:
    """Store a new schedule, or a changed one. Raises InvalidSubmission with every fault; then nothing is written.

    When it fires next is reckoned anew if its timing has changed. Times that were due under the old one are let go.
    """
    with transaction.atomic():
        now = database_now()
        before = Schedule.objects.select_for_update().filter(pk=schedule.pk).first()
        schedule.starts_at = schedule.starts_at or now
        timing = check(schedule)
        if before is None or any(getattr(before, name) != getattr(schedule, name) for name in _TIMING):
            if has_passed(schedule, now):
                raise InvalidSubmission(Fault("/at", "must be in the future"))
            schedule.next_at = None if schedule.paused_at else timing.after(now)
        else:
            schedule.next_at = before.next_at
        schedule.save(force_insert=before is None)
    schedule.refresh_from_db()
    return schedule


def pause(ids: list[uuid.UUID], by: str = "") -> int:
    """Fire no more until resumed. Its jobs are not touched. Returns how many were not paused already."""
    rows = Schedule.objects.filter(pk__in=ids, paused_at=None)
    return rows.update(paused_at=Now(), paused_by=by, next_at=None)


def resume(ids: list[uuid.UUID]) -> int:
    """Fire again, from now on: what came meanwhile was meant not to run. Returns how many were paused."""
    with transaction.atomic():
        now = database_now()
        paused = list(Schedule.objects.select_for_update().filter(pk__in=ids, paused_at__isnull=False).order_by("pk"))
        for schedule in paused:
            schedule.paused_at, schedule.paused_by = None, ""
            schedule.next_at = check(schedule).after(now)
            schedule.save(update_fields=["paused_at", "paused_by", "next_at"])
    return len(paused)


def run_now(schedule_id: uuid.UUID, by: str = "") -> Fire:
    """Submit its job at once, paused or not. Its own times stay as they are.

    Raises Schedule.DoesNotExist, StillRunning, InvalidSubmission.
    """
    with transaction.atomic():
        schedule = Schedule.objects.select_for_update().get(pk=schedule_id)
        if schedule.overlap == Overlap.SKIP and (living := living_job(schedule)):
            raise StillRunning(living)
        (job_id,) = lifecycle.submit_many([submission_of(schedule)])
        return Fire.objects.create(
            schedule=schedule, at=_unused_moment(schedule), outcome=FireOutcome.SUBMITTED, job_id=job_id, by=by
        )


def _unused_moment(schedule: Schedule) -> datetime:
    """The schedule is locked by us, so what its history does not have now it will not have a moment later."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT greatest(clock_timestamp(), max(at) FILTER (WHERE at >= now()) + interval '1 microsecond')
            FROM jobs_fire WHERE schedule_id = %s
            """,
            [schedule.pk],
        )
        found: datetime = cursor.fetchone()[0]
    return found
