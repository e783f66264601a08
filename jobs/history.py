"""How numbers moved over the last day: one row for every ten seconds, noted by the dispatcher that leads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from django.db import connection

STEP_SECONDS = 10
_KEPT_HOURS = 25


@dataclass(frozen=True)
class Point:
    """What happened in the time before `at`: jobs per second, and how many waited and ran at its end."""

    at: datetime
    submitted: float
    completed: float
    failed: float
    retried: float
    waiting: int
    running: int


def note() -> None:
    """Write down the sums of now, unless this time has its row. Cheap enough to be called every second."""
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, {"step": STEP_SECONDS})
        if cursor.rowcount:
            cursor.execute("DELETE FROM jobs_moment WHERE at < now() - %s * interval '1 hour'", [_KEPT_HOURS])


_SUMS = """
SELECT coalesce(sum(amount) FILTER (WHERE name = 'submitted'), 0)::bigint AS submitted,
       coalesce(sum(amount) FILTER (WHERE name = 'ended' AND label = 'completed'), 0)::bigint AS completed,
       coalesce(sum(amount) FILTER (WHERE name = 'ended' AND label = 'failed'), 0)::bigint AS failed,
       coalesce(sum(amount) FILTER (WHERE name = 'ended' AND label = 'retrying'), 0)::bigint AS retried,
       coalesce(sum(amount) FILTER (WHERE name = 'jobs' AND label IN ('queued', 'retrying')), 0)::bigint AS waiting,
       coalesce(sum(amount) FILTER (WHERE name = 'jobs' AND label = 'running'), 0)::bigint AS running
FROM (SELECT name, label, amount FROM jobs_total WHERE name IN ('jobs', 'submitted', 'ended')
      UNION ALL SELECT name, label, amount FROM jobs_tally WHERE name IN ('jobs', 'submitted', 'ended')) AS every
"""

# The sums are only read when the row is missing.
_NOTE = f"""
WITH slot AS (SELECT date_bin(%(step)s * interval '1 second', now(), 'epoch') AS at)
INSERT INTO jobs_moment (at, submitted, completed, failed, retried, waiting, running)
SELECT slot.at, sums.* FROM slot CROSS JOIN LATERAL ({_SUMS}) AS sums
WHERE NOT EXISTS (SELECT FROM jobs_moment held WHERE held.at = date_bin(%(step)s * interval '1 second', now(), 'epoch'))
ON CONFLICT DO NOTHING
"""  # noqa: S608 - only our own text goes in


def points(minutes: int, most: int = 360) -> list[Point]:
    """The last `minutes`, in at most `most` steps of equal length, oldest first. The last one ends now."""
    step = max(STEP_SECONDS, minutes * 60 // most)
    with connection.cursor() as cursor:
        cursor.execute(_POINTS, {"minutes": minutes, "step": step})
        rows = cursor.fetchall()
    found = []
    for before, row in pairwise(rows):
        seconds = (row[0] - before[0]).total_seconds()
        if seconds >= 1:
            submitted, completed, failed, retried = (
                max(0.0, (now - was) / seconds) for now, was in zip(row[1:5], before[1:5], strict=True)
            )
            found.append(Point(row[0], submitted, completed, failed, retried, waiting=row[5], running=row[6]))
    return found


_POINTS = f"""
SELECT at, submitted, completed, failed, retried, waiting, running FROM jobs_moment
WHERE at > now() - %(minutes)s * interval '1 minute' AND extract(epoch FROM at)::bigint %% %(step)s = 0
UNION ALL SELECT now(), sums.* FROM ({_SUMS}) AS sums
ORDER BY at
"""  # noqa: S608 - only our own text goes in
