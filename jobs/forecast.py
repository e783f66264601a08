"""When a waiting job will start: how many stand before it, and how fast such jobs have been going lately."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from django.db import connection
from django.db.models.functions import Now

from jobs.capacity import queue_name
from jobs.gates import Gates
from jobs.models import Admission, Gate, Job, Node, Priority

_COUNTED = 100_000  # jobs before it; more are "more than that"
_RECENT = 4000  # attempts that a rate is measured by
_FEWEST = 20
_GAP = 1.0  # seconds without an end: the fleet had nothing to do, so what was before says nothing of its rate
_SHORT = 0.2  # seconds: of shorter jobs what is done between them takes a share that only a measured rate knows
_OVERHEAD = 0.002  # seconds a job, where nothing was measured


@dataclass(frozen=True)
class Forecast:
    """`ahead`: jobs that go first, `more` where they were not counted to the end. `starts_in`: seconds, if known."""

    ahead: int
    more: bool
    starts_in: float | None
    per_second: float | None  # the rate that it rests on

    @property
    def words(self) -> str:
        number = f"more than {self.ahead:,}" if self.more else f"{self.ahead:,}"
        jobs = "job stands" if self.ahead == 1 and not self.more else "jobs stand"
        if self.starts_in is None:
            return f"{number} {jobs} before it; nothing like them has run lately, so when it starts is not known."
        return f"{number} {jobs} before it; it starts in about {_spoken(self.starts_in)}."


def of(job: Job, gates: Gates) -> Forecast:
    """For a queued job that nothing bars."""
    nodes = [node for node in Node.objects.filter(expires_at__gt=Now(), draining=False) if _queue(job) in node.queues]
    slots = sum(node.slots for node in nodes)
    ahead = _ahead(job, gates, {queue for node in nodes for queue in node.queues})
    count = ahead.total()
    rate = _rate(job, ahead, slots)
    starts_in = None if rate is None else count / rate
    return Forecast(min(count, _COUNTED), count > _COUNTED, starts_in, rate)


def of_limited(job: Job, gate: Gate) -> Forecast:
    """For a job whose turn within a limit has not come."""
    same = Job.objects.filter(
        state=job.state, lane=job.lane, priority=job.priority, limit_key=job.limit_key, kind=job.kind,
        admission=Admission.HELD,
    )  # fmt: skip
    earlier = same.extra(  # a comparison of rows, which the index understands
        where=["(-rank, ready_at, id) < (%s, %s, %s)"], params=[-job.rank, job.ready_at, job.id]
    )
    count = earlier[: _COUNTED + 1].count()
    rates = []
    if gate.rate is not None and gate.per is not None:
        rates.append(gate.rate / gate.per)
    if gate.concurrency is not None and (mean := _means().get(job.kind)):
        rates.append(gate.concurrency / max(mean, _OVERHEAD))
    rate = min(rates, default=None)
    return Forecast(min(count, _COUNTED), count > _COUNTED, None if rate is None else (count + 1) / rate, rate)


def _queue(job: Job) -> str:
    return queue_name(job.priority, job.lane)


def _ahead(job: Job, gates: Gates, served: set[str]) -> Counter[str]:
    """Open jobs that go first, by kind: of the queues that the same workers serve, and that are not paused."""
    queues = [
        level.value
        for level in Priority
        if level >= job.priority
        and queue_name(level, job.lane) in served
        and (level.label not in gates.paused_queues or level == job.priority)
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            _AHEAD,
            {"lane": job.lane, "queues": queues, "priority": job.priority, "rank": job.rank, "ready_at": job.ready_at,
             "id": job.id, "paused": list(gates.paused_kinds), "most": _COUNTED + 1},
        )  # fmt: skip
        return Counter(dict(cursor.fetchall()))


_AHEAD = """
SELECT kind, count(*) FROM (
    SELECT kind FROM jobs_job
    WHERE state = 'queued' AND admission <> 1 AND lane = %(lane)s AND priority = ANY(%(queues)s)
      AND (priority > %(priority)s OR rank > %(rank)s
           OR (rank = %(rank)s AND (ready_at, id) < (%(ready_at)s, %(id)s)))
      AND kind <> ALL(%(paused)s)
    LIMIT %(most)s
) ahead GROUP BY kind
"""


def _rate(job: Job, ahead: Counter[str], slots: int) -> float | None:
    """Starts a second, for what stands before this job."""
    if not slots:
        return None
    means = _means()
    known = {kind: means[kind] for kind in (ahead or [job.kind]) if kind in means}
    if not known:
        return None
    work = sum(ahead[kind] * mean for kind, mean in known.items())
    mean = work / sum(ahead[kind] for kind in known) if work else max(known.values())
    if mean < _SHORT and (measured := _measured(job)) is not None:
        return measured
    return slots / max(mean, _OVERHEAD)


def _means() -> dict[str, float]:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT kind, avg(seconds) FROM (SELECT kind, seconds FROM jobs_attempt ORDER BY id DESC LIMIT 1000) recent
            WHERE seconds IS NOT NULL GROUP BY kind
            """
        )
        return dict(cursor.fetchall())


def _measured(job: Job) -> float | None:
    """Ends a second since the fleet last had nothing to do; none unless this job has waited for all that time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT finished_at FROM jobs_attempt ORDER BY id DESC LIMIT %s", [_RECENT])
        ends: list[datetime] = sorted((row[0] for row in cursor.fetchall()), reverse=True)
    run = len(ends)
    for place, (later, earlier) in enumerate(pairwise(ends), start=1):
        if later - earlier > timedelta(seconds=_GAP):
            run = place
            break
    since = [end for end in ends[:run] if job.ready_at is None or end >= job.ready_at]
    if len(since) < _FEWEST:
        return None
    seconds = (since[0] - since[-1]).total_seconds()
    return len(since) / seconds if seconds > 0 else None


def _spoken(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
