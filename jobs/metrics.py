"""What Prometheus reads: sums that the database keeps, so they are right over any number of processes and deaths.

Names and labels of tasks_*, queue_size and workers_active are those of the older task queue (seed 002).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from jobs import leadership, tally, waiting
from jobs.access.callers import caller_of
from jobs.access.roles import Act
from jobs.models import Node, Outcome, Priority, State

_WAITING = (State.BLOCKED, State.SCHEDULED, State.QUEUED, State.RETRYING)


class Ledger:
    """Collects from Postgres alone, a bounded number of series per kind."""

    def collect(self) -> Iterator[Metric]:
        yield from _tasks()
        yield _durations()
        yield from _queues()
        yield _workers()
        yield _dispatcher()
        yield _attempts()


def _tasks() -> Iterator[Metric]:
    submitted = CounterMetricFamily("tasks_submitted", "Jobs submitted.", labels=["type", "priority"])
    processed = CounterMetricFamily("tasks_processed", "Jobs that ended.", labels=["type", "status"])
    retries = CounterMetricFamily("task_retries", "Attempts that failed and are tried again.", labels=["type"])
    for one in tally.read("submitted"):
        submitted.add_metric([one.kind, Priority(one.priority).label], one.amount)
    ended: dict[tuple[str, str], float] = defaultdict(float)
    for one in tally.read("ended"):
        ended[one.kind, one.label] += one.amount
    for (kind, state), amount in sorted(ended.items()):
        if state == State.RETRYING:
            retries.add_metric([kind], amount)
        else:
            processed.add_metric([kind, state], amount)
    yield from (submitted, processed, retries)


def _durations() -> Metric:
    family = HistogramMetricFamily("task_duration_seconds", "How long handlers ran.", labels=["type"])
    buckets: dict[str, dict[str, float]] = defaultdict(dict)
    for one in tally.read("seconds"):
        buckets[one.kind][one.label] = one.amount
    sums = {one.kind: one.amount for one in tally.read("seconds_sum")}
    for kind, found in sorted(buckets.items()):
        running, cumulated = 0.0, []
        for bound in sorted({*found, "+Inf"}, key=float):
            running += found.get(bound, 0)
            cumulated.append((bound, running))
        family.add_metric([kind], cumulated, sums.get(kind, 0.0))
    return family


def _queues() -> Iterator[Metric]:
    size = GaugeMetricFamily("queue_size", "Jobs that wait.", labels=["priority"])
    states = GaugeMetricFamily("jobs", "Jobs by state.", labels=["state"])
    sizes, by_state = dict.fromkeys(Priority.values, 0.0), dict.fromkeys(State.values, 0.0)
    for one in tally.read("jobs"):
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


def _workers() -> Metric:
    alive = Node.objects.filter(expires_at__gt=Now()).count()
    return GaugeMetricFamily("workers_active", "Workers that renew their lease.", value=alive)


def _dispatcher() -> Metric:
    leads = leadership.leader() is not None
    return GaugeMetricFamily("dispatcher_leading", "1 while a dispatcher leads, 0 while none does.", value=int(leads))


def _attempts() -> Metric:
    """Among the outcomes: `lost`, jobs rescued from workers that vanished, and `crashed`."""
    family = CounterMetricFamily("job_attempts", "Attempts by how they ended.", labels=["type", "outcome"])
    for one in tally.read("attempts"):
        family.add_metric([one.kind, Outcome(one.label).value], one.amount)
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
