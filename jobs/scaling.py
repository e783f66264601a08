"""How many slots a set of queues needs, from what the database knows: what waits, what runs, what comes in, how long
each kind takes and how much of it fails. One decision for everybody: KEDA asks for it over HTTP, Celery's autoscaler
in the worker itself.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from django.db import connection
from django.db.models.functions import Now

from jobs import kinds, tally, waiting
from jobs.capacity import queue_name
from jobs.models import Lane, Node, Priority, State

_SAMPLE = 2000  # rows: what is measured stays a few milliseconds' look at any rate
_MINUTES = 5
_UNKNOWN_SECONDS = 1.0  # that a job takes of a kind that has never run
_USED = 0.8  # of the slots' time: beyond, waits grow steeply
_FAILING = 0.5  # of the attempts: what they call is down, and more workers would only fail faster
_FEWEST_TO_JUDGE = 20


@dataclass(frozen=True)
class Load:
    """One queue now. Rates are per second over the last minutes, `work` is the seconds of handlers that wait in it."""

    queue: str
    queued: int = 0
    running: int = 0
    oldest_seconds: float = 0.0
    in_per_second: float = 0.0
    out_per_second: float = 0.0
    run_seconds: float = _UNKNOWN_SECONDS
    work: float = 0.0
    attempts: int = 0  # of the sample, and how many of them failed
    failed: int = 0


@dataclass(frozen=True)
class Decision:
    """How many slots would do, and why so many."""

    slots: int
    because: str
    loads: Sequence[Load] = field(repr=False)
    slots_now: int = 0
    failing: float = 0.0

    def workers(self, slots_each: int) -> int:
        return math.ceil(self.slots / slots_each)


def decide(queues: Collection[str], target_wait: float) -> Decision:
    """The slots with which what waits in these queues is begun within `target_wait` seconds, while more comes in."""
    return judge([one for one in loads() if one.queue in queues], _slots(queues), target_wait)


def judge(loads: Sequence[Load], slots_now: int, target_wait: float) -> Decision:
    """The rule itself. Never fewer slots than jobs that run: nobody is sent away with work in hand."""
    queued, running = sum(one.queued for one in loads), sum(one.running for one in loads)
    attempts, failed = sum(one.attempts for one in loads), sum(one.failed for one in loads)
    failing = failed / attempts if attempts else 0.0
    keep_up = sum(one.in_per_second * one.run_seconds for one in loads)
    catch_up = sum(one.work for one in loads) / target_wait
    wanted = math.ceil((keep_up + catch_up) / _USED) if queued or running else 0
    because = "what waits shall be begun in time" if catch_up > keep_up else "what comes in shall be kept up with"
    if not wanted:
        because = "nothing waits and nothing runs"
    oldest = max((one.oldest_seconds for one in loads if one.queued), default=0.0)
    if oldest > target_wait and running >= _USED * slots_now and wanted <= slots_now:
        wanted, because = math.ceil(slots_now * 1.25) or 1, f"the first has waited {oldest:.0f} s, and all are busy"
    if attempts >= _FEWEST_TO_JUDGE and failing >= _FAILING and wanted > max(slots_now, 1):
        wanted, because = max(slots_now, 1), f"{failing:.0%} of the attempts fail: more workers would only fail faster"
    if running > wanted:
        wanted, because = running, "so many run"
    return Decision(wanted, because, loads, slots_now, failing)


def loads() -> list[Load]:
    """Every queue, the most urgent first."""
    lanes = {kind.name: kind.lane for kind in kinds.known()}
    counts: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    for one in tally.read("jobs"):
        if one.label in (State.QUEUED, State.RUNNING) and one.amount > 0:
            queue = queue_name(one.priority, lanes.get(one.kind, Lane.COMPUTE))
            counts[queue][one.label][one.kind] += int(one.amount)
    incoming, outgoing, waits, pace = _incoming(), _outgoing(), waiting.oldest(), _pace()
    found = []
    for priority in reversed(Priority):
        for lane in Lane:
            queue = queue_name(priority, lane)
            ready, running = counts[queue][State.QUEUED], counts[queue][State.RUNNING]
            ended = outgoing.get(queue, _Ended())
            found.append(
                Load(
                    queue=queue,
                    queued=sum(ready.values()),
                    running=sum(running.values()),
                    oldest_seconds=waits.get(queue) or 0.0,
                    in_per_second=incoming.get(queue, 0.0),
                    out_per_second=ended.rate,
                    run_seconds=ended.seconds or _mean(running, pace) or _mean(ready, pace) or _UNKNOWN_SECONDS,
                    work=sum(count * pace.get(kind, _UNKNOWN_SECONDS) for kind, count in ready.items()),
                    attempts=ended.attempts,
                    failed=ended.failed,
                )
            )
    return found


def _mean(counts: Mapping[str, int], pace: Mapping[str, float]) -> float:
    total = sum(counts.values())
    return sum(count * pace.get(kind, _UNKNOWN_SECONDS) for kind, count in counts.items()) / total if total else 0.0


def _pace() -> dict[str, float]:
    """Seconds that a job of each kind takes: lately, or ever since where it has not run lately."""
    runs: dict[str, float] = defaultdict(float)
    for one in tally.read("seconds"):
        runs[one.kind] += one.amount
    ever = {one.kind: one.amount / runs[one.kind] for one in tally.read("seconds_sum") if runs[one.kind] > 0}
    with connection.cursor() as cursor:
        cursor.execute(_LATELY, {"sample": _SAMPLE})
        return ever | dict(cursor.fetchall())


_LATELY = """
SELECT kind, avg(seconds)::float8 FROM (SELECT kind, seconds FROM jobs_attempt ORDER BY id DESC LIMIT %(sample)s) recent
WHERE seconds IS NOT NULL GROUP BY kind
"""


def _incoming() -> dict[str, float]:
    """Submissions per second and queue. Ids begin with the time, so the newest jobs are one end of an index."""
    with connection.cursor() as cursor:
        cursor.execute(_INCOMING, {"sample": _SAMPLE, "minutes": _MINUTES})
        return {queue_name(priority, lane): count / span for lane, priority, count, span in cursor.fetchall()}


# Where the sample is full its own length is what was looked at; where it is not, it reaches over all the minutes.
_INCOMING = """
WITH sample AS (SELECT lane, priority, created_at FROM jobs_job ORDER BY id DESC LIMIT %(sample)s),
     span AS (SELECT greatest(1.0, least(%(minutes)s * 60.0, CASE WHEN count(*) < %(sample)s THEN %(minutes)s * 60.0
              ELSE extract(epoch FROM now() - min(created_at)) END))::float8 AS seconds FROM sample)
SELECT lane, priority, count(*), span.seconds FROM sample, span
WHERE created_at > now() - %(minutes)s * interval '1 minute' GROUP BY lane, priority, span.seconds
"""


@dataclass(frozen=True)
class _Ended:
    rate: float = 0.0
    seconds: float | None = None
    attempts: int = 0
    failed: int = 0


def _outgoing() -> dict[str, _Ended]:
    """What ended per queue: attempts per second, how long they took, and how many failed."""
    with connection.cursor() as cursor:
        cursor.execute(_OUTGOING, {"sample": _SAMPLE, "minutes": _MINUTES})
        return {
            queue_name(priority, lane): _Ended(count / span, seconds, count, failed)
            for lane, priority, count, seconds, failed, span in cursor.fetchall()
        }


_OUTGOING = """
WITH sample AS (SELECT job_id, outcome, seconds, finished_at FROM jobs_attempt ORDER BY id DESC LIMIT %(sample)s),
     span AS (SELECT greatest(1.0, least(%(minutes)s * 60.0, CASE WHEN count(*) < %(sample)s THEN %(minutes)s * 60.0
              ELSE extract(epoch FROM now() - min(finished_at)) END))::float8 AS seconds FROM sample)
SELECT job.lane, job.priority, count(*), avg(sample.seconds)::float8,
       count(*) FILTER (WHERE outcome IN ('failed', 'timed_out', 'crashed')), span.seconds
FROM sample JOIN jobs_job job ON job.id = sample.job_id, span
WHERE sample.finished_at > now() - %(minutes)s * interval '1 minute'
GROUP BY job.lane, job.priority, span.seconds
"""


def _slots(queues: Collection[str]) -> int:
    """The slots of live workers that serve at least one of these queues."""
    alive = Node.objects.filter(expires_at__gt=Now(), draining=False).values_list("slots", "queues")
    return sum(slots for slots, served in alive if set(served) & set(queues))
