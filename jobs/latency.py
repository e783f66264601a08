"""How long jobs wait and run: over the attempts that ended last, read from their rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

SAMPLE = 1000


@dataclass(frozen=True)
class Spread:
    """Seconds: half took less than p50, one in twenty more than p95, one in a hundred more than p99."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Latency:
    attempts: int
    since: datetime | None
    wait: Spread | None  # from ready to started
    run: Spread | None


def recent() -> Latency:
    """Of the last attempts; fewer than SAMPLE where fewer have ended."""
    with connection.cursor() as cursor:
        cursor.execute(_RECENT, {"sample": SAMPLE})
        count, since, wait, run = cursor.fetchone()
    return Latency(count, since, Spread(*wait) if wait else None, Spread(*run) if run else None)


# How long an attempt waited is in its job's row, until a later attempt moves it there.
_RECENT = """
SELECT count(*), min(finished_at),
       percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY waited) FILTER (WHERE waited >= 0),
       percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE seconds IS NOT NULL)
FROM (
    SELECT last.finished_at, last.seconds, CASE WHEN job.attempt = last.number
           THEN extract(epoch FROM last.started_at - job.ready_at)::float8 END AS waited
    FROM (SELECT job_id, number, started_at, finished_at, seconds FROM jobs_attempt ORDER BY id DESC LIMIT %(sample)s)
         AS last LEFT JOIN jobs_job job ON job.id = last.job_id
) AS sample
"""
