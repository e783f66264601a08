"""What a schedule may be: refused at the door with every fault named, as jobs are."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from jobs.models import Misfire, Overlap, Schedule
from jobs.schedules.misfires import MOST_AT_ONCE
from jobs.schedules.timing import Cron, Every, Once, Timing
from jobs.submission import Fault, InvalidSubmission, Submission, checked

SHORTEST, LONGEST = 1.0, 366 * 86_400.0  # seconds of an interval
LONGEST_GRACE = 86_400.0
_UNWRITTEN = datetime(2000, 1, 1, tzinfo=UTC)  # the start of an interval that is only looked at, not written yet
_NO_ZONE = "must be the name of a time zone, such as Europe/Berlin"
_TIMINGS = ("cron", "every", "at")


def timing_of(schedule: Schedule) -> Timing:
    """Raises InvalidSubmission where it has none, several, or one that makes no sense."""
    given = [name for name in _TIMINGS if getattr(schedule, name) not in (None, "")]
    if len(given) != 1:
        raise InvalidSubmission(Fault(f"/{given[1] if given else 'cron'}", "say one of cron, every and at"))
    if schedule.at is not None:
        return Once(schedule.at)
    if schedule.every is not None:
        if not SHORTEST <= schedule.every <= LONGEST:
            raise InvalidSubmission(Fault("/every", f"must be from {SHORTEST:.0f} to {LONGEST:.0f} seconds"))
        start = schedule.starts_at or _UNWRITTEN
        return Every(timedelta(seconds=schedule.every), start.astimezone(UTC))
    if schedule.time_zone not in available_timezones():
        raise InvalidSubmission(Fault("/time_zone", _NO_ZONE))
    try:
        return Cron.parse(schedule.cron, ZoneInfo(schedule.time_zone))
    except ValueError as error:
        raise InvalidSubmission(Fault("/cron", str(error))) from error


def submission_of(schedule: Schedule) -> Submission:
    """The job that it submits. Raises InvalidSubmission."""
    return checked(
        schedule.kind,
        schedule.payload,
        metadata=schedule.metadata,
        priority=schedule.priority,
        max_retries=schedule.max_retries,
        timeout=schedule.timeout,
    )


def check(schedule: Schedule) -> Timing:
    """Raises InvalidSubmission with all its faults. Secrets of its payload are sealed."""
    faults = _faults(schedule)
    timing: Timing | None = None
    try:
        timing = timing_of(schedule)
    except InvalidSubmission as error:
        faults.extend(error.faults)
    try:
        schedule.payload = json.loads(submission_of(schedule).payload)
    except InvalidSubmission as error:
        faults.extend(error.faults)
    if faults or timing is None:
        raise InvalidSubmission(*faults)
    return timing


def _faults(schedule: Schedule) -> list[Fault]:
    faults = []
    if not (schedule.name.strip() and schedule.name.isprintable() and len(schedule.name) <= 200):
        faults.append(Fault("/name", "must be a line of 1 to 200 characters"))
    elif Schedule.objects.filter(name=schedule.name).exclude(pk=schedule.pk).exists():
        faults.append(Fault("/name", "another schedule has this name"))
    if not schedule.cron and schedule.time_zone not in available_timezones():  # with one, its timing is judged by it
        faults.append(Fault("/time_zone", _NO_ZONE))
    if schedule.misfire not in Misfire.values:
        faults.append(Fault("/misfire", f"must be one of {', '.join(Misfire.values)}"))
    if schedule.overlap not in Overlap.values:
        faults.append(Fault("/overlap", f"must be one of {', '.join(Overlap.values)}"))
    if not 0 <= schedule.grace <= LONGEST_GRACE:
        faults.append(Fault("/grace", f"must be from 0 to {LONGEST_GRACE:.0f} seconds"))
    if not 1 <= schedule.catch_up_limit <= MOST_AT_ONCE:
        faults.append(Fault("/catch_up_limit", f"must be from 1 to {MOST_AT_ONCE}"))
    return faults


def has_passed(schedule: Schedule, now: datetime) -> bool:
    """Whether it is for one moment, and that is over."""
    return schedule.at is not None and schedule.at <= now
