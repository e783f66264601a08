"""What Prometheus reads: sums that the database keeps, so they are right over any number of processes and deaths.

Names and labels of tasks_*, queue_size and workers_active are those of the older task queue (seed 002).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from jobs import leadership, tally, waiting
from jobs.access.callers import caller_of
from jobs.access.roles import Act
from jobs.capacity import queue_name
from jobs.models import Node, Outcome, Priority, State

_NAMES = ("submitted", "ended", "seconds", "seconds_sum", "jobs", "attempts", "late", "bytes")
_WAITING = (State.BLOCKED, State.SCHEDULED, State.QUEUED, State.RETRYING)


Sums = Mapping[str, Sequence[tally.Sum]]


class Ledger:
    """Collects from Postgres alone, a bounded number of series per kind."""

    def collect(self) -> Iterator[Metric]:
        # In one read: all of one moment, and one pass over the tallies, of which there may be many.
        sums: dict[str, list[tally.Sum]] = {name: [] for name in _NAMES}
        for one in tally.read(*_NAMES):
            sums[one.name].append(one)
        yield from _tasks(sums)
        yield _durations(sums)
        yield from _queues(sums)
        yield from _lags()
        yield _workers()
        yield _dispatcher()
        yield from _attempts(sums)
        yield _bytes(sums)


def _tasks(sums: Sums) -> Iterator[Metric]:
    submitted = CounterMetricFamily("tasks_submitted", "Jobs submitted.", labels=["type", "priority"])
    processed = CounterMetricFamily("tasks_processed", "Jobs that ended.", labels=["type", "status"])
    retries = CounterMetricFamily("task_retries", "Attempts that failed and are tried again.", labels=["type"])
    for one in sums["submitted"]:
        submitted.add_metric([one.kind, Priority(one.priority).label], one.amount)
    ended: dict[tuple[str, str], float] = defaultdict(float)
    for one in sums["ended"]:
        ended[one.kind, one.label] += one.amount
    for (kind, state), amount in sorted(ended.items()):
        if state == State.RETRYING:
            retries.add_metric([kind], amount)
        else:
            processed.add_metric([kind, state], amount)
    yield from (submitted, processed, retries)


def _durations(sums: Sums) -> Metric:
    family = HistogramMetricFamily("task_duration_seconds", "How long handlers ran.", labels=["type"])
    buckets: dict[str, dict[str, float]] = defaultdict(dict)
    for one in sums["seconds"]:
        buckets[one.kind][one.label] = one.amount
    totals = {one.kind: one.amount for one in sums["seconds_sum"]}
    for kind, found in sorted(buckets.items()):
        running, cumulated = 0.0, []
        for bound in sorted({*found, "+Inf"}, key=float):
            running += found.get(bound, 0)
            cumulated.append((bound, running))
        family.add_metric([kind], cumulated, totals.get(kind, 0.0))
    return family


def _queues(sums: Sums) -> Iterator[Metric]:
    size = GaugeMetricFamily("queue_size", "Jobs that wait.", labels=["priority"])
    states = GaugeMetricFamily("jobs", "Jobs by state.", labels=["state"])
    sizes, by_state = dict.fromkeys(Priority.values, 0.0), dict.fromkeys(State.values, 0.0)
    for one in sums["jobs"]:
        by_state[one.label] += one.amount
        if one.label in _WAITING:
            sizes[one.priority] += one.amount
    for priority in Priority:
        size.add_metric([priority.label], sizes[priority])
    for state, amount in by_state.items():
        states.add_metric([state], amount)
    oldest = GaugeMetricFamily("queue_oldest_seconds", "How long the first ready job has waited.", labels=["queue"])
    for queue, seconds in waiting.oldest().items():
        oldest.add_metric([queue], seconds or 0.0)
    yield from (size, states, oldest)


def _lags() -> Iterator[Metric]:
    """How late jobs start, of those that started last, and how fresh the lead of the dispatcher is."""
    wait = GaugeMetricFamily(
        "queue_wait_seconds", "From ready to started, of the latest thousand attempts.", labels=["queue", "quantile"]
    )
    with connection.cursor() as cursor:
        cursor.execute(_WAITS, {"quantiles": list(_QUANTILES), "sample": _SAMPLE})
        for lane, priority, seconds in cursor.fetchall():
            for quantile, value in zip(_QUANTILES, seconds, strict=True):
                wait.add_metric([queue_name(priority, lane), str(quantile)], max(value, 0.0))
        cursor.execute("SELECT extract(epoch FROM now() - max(renewed_at))::float8 FROM jobs_leadership")
        renewed = cursor.fetchone()[0]
    yield wait
    age = GaugeMetricFamily("dispatcher_seen_seconds", "Since a dispatcher last said that it leads.")
    if renewed is not None:
        age.add_metric([], max(renewed, 0.0))
    yield age


_SAMPLE = 1000
_QUANTILES = (0.5, 0.95, 0.99)
_WAITS = """
SELECT job.lane, job.priority, percentile_cont(%(quantiles)s::float8[]) WITHIN GROUP (
           ORDER BY extract(epoch FROM latest.started_at - job.ready_at)::float8)
FROM (SELECT job_id, number, started_at FROM jobs_attempt ORDER BY id DESC LIMIT %(sample)s) latest
JOIN jobs_job job ON job.id = latest.job_id AND job.attempt = latest.number
WHERE job.ready_at IS NOT NULL GROUP BY job.lane, job.priority
"""


def _workers() -> Metric:
    alive = Node.objects.filter(expires_at__gt=Now()).count()
    return GaugeMetricFamily("workers_active", "Workers that renew their lease.", value=alive)


def _dispatcher() -> Metric:
    leads = leadership.leader() is not None
    return GaugeMetricFamily("dispatcher_leading", "1 while a dispatcher leads, 0 while none does.", value=int(leads))


def _attempts(sums: Sums) -> Iterator[Metric]:
    ends = CounterMetricFamily("job_attempts", "Attempts by how they ended.", labels=["type", "outcome"])
    rescued = CounterMetricFamily("jobs_rescued", "Jobs taken from workers that were lost.", labels=["type"])
    late = CounterMetricFamily("job_late_results", "Results refused: another attempt had the job.", labels=["type"])
    for one in sums["attempts"]:
        ends.add_metric([one.kind, Outcome(one.label).value], one.amount)
        if one.label == Outcome.LOST:
            rescued.add_metric([one.kind], one.amount)
    for one in sums["late"]:
        late.add_metric([one.kind], one.amount)
    yield from (ends, rescued, late)


def _bytes(sums: Sums) -> Metric:
    family = CounterMetricFamily("download_bytes", "Bytes that downloads have put on disk.", labels=["type"])
    for one in sums["bytes"]:
        family.add_metric([one.kind], one.amount)
    return family


def exposition(request: HttpRequest) -> HttpResponse:
    """`GET /metrics`: for whoever may see all jobs, and for all where METRICS_OPEN says so."""
    if not settings.METRICS_OPEN:
        caller = caller_of(request)
        if caller is None or not caller.may(Act.SEE):
            raise PermissionDenied
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Ledger())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=content_type)
