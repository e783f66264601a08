"""Schedules as tests want them: with the clock in the test's hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from jobs.models import Fire, Schedule
from jobs.schedules import editing
from jobs.schedules.definition import timing_of

_numbers = count(1)
# A Saturday evening; the night that follows is the one in which Berlin puts its clocks back.
START = datetime(2026, 10, 24, 18, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def scheduled(start: datetime = START, **options: Any) -> Schedule:
    """A schedule that was written as everybody's are, and whose time then begins at `start`."""
    options = {"name": f"schedule {next(_numbers)}", "kind": "echo"} | options
    if not {"cron", "every", "at"} & options.keys():
        options["cron"] = "* * * * *"
    schedule = editing.write(Schedule(**options))
    if schedule.every is not None:
        schedule.starts_at = start
    schedule.next_at = timing_of(schedule).after(start)
    schedule.save()
    return schedule


def fires(schedule: Schedule) -> list[tuple[int, str, int]]:
    """Its history as minutes after START, outcome, and how many times before it were missed."""
    found = Fire.objects.filter(schedule=schedule).order_by("at")
    return [((fire.at - START) // MINUTE, fire.outcome, fire.missed) for fire in found]
