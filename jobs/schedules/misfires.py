"""Which of the times that have come get a job: one that is on time does, for those that are late a policy decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.models import Misfire, Schedule
from jobs.schedules.timing import Timing

MOST_AT_ONCE = 100  # jobs of one schedule in one round: more than a person means when they say "catch up"


@dataclass(frozen=True)
class Due:
    """Times that get a job, earliest first; how many got none, and the last of those."""

    times: list[datetime]
    missed: int
    missed_at: datetime | None


def decide(schedule: Schedule, timing: Timing, first: datetime, now: datetime) -> Due:
    """What of the times from `first` to `now` shall be fired."""
    count, latest = timing.passed(first, now, MOST_AT_ONCE)
    match schedule.misfire:
        case Misfire.SKIP:
            times = [time for time in latest if now - time <= timedelta(seconds=schedule.grace)]
        case Misfire.CATCH_UP:
            times = latest[-schedule.catch_up_limit :]
        case _:
            times = latest[-1:]
    missed_at = None
    if count > len(times):
        missed_at = latest[-len(times) - 1] if len(latest) > len(times) else first
    return Due(times, count - len(times), missed_at)
