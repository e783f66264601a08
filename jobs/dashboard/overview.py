"""The first page: what is going on, what is wrong, and where to look."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from jobs import health, history, latency, pauses, tally, waiting
from jobs.capacity import queue_name
from jobs.dashboard import panels
from jobs.dashboard.fleet import Worker, covered, workers
from jobs.dashboard.page import page
from jobs.models import Job, Lane, Priority, State

SPANS = {"15m": 15, "1h": 60, "6h": 360, "24h": 1440}  # minutes
_SLOW_SECONDS = 60.0  # a queue whose first job has waited for longer is worth a look
_FAILURES_READ = 200
_FAILURES_SHOWN = 5


@dataclass(frozen=True)
class Alarm:
    """Something that a person should see to, and the page where that is done."""

    text: str
    action: str
    href: str


@dataclass(frozen=True)
class Queue:
    name: str
    waiting: int
    oldest: float | None  # seconds
    slots: dict[str, int]  # by lane, of the lanes that somebody serves

    @property
    def served(self) -> bool:
        return bool(self.slots)


@page
def overview(request: HttpRequest) -> HttpResponse:
    span = request.GET.get("span", "1h")
    minutes = SPANS.get(span, 60)
    counts = tally.counts()
    checks = health.check()
    fleet = workers()
    lanes = queues(fleet)
    context = {
        "section": "overview",
        "counts": counts,
        "empty": not any(counts.values()),
        "checks": checks,
        "alarms": _alarms(checks, lanes),
        "queues": lanes,
        "workers": fleet,
        "slots": sum(worker.node.slots for worker in fleet if worker.alive),
        "busy": sum(worker.busy for worker in fleet if worker.alive),
        "latency": latency.recent(),
        "failures": _failures(),
        "panels": panels.of(request),
        "span": span if span in SPANS else "1h",
        "spans": list(SPANS),
        **_curves(minutes),
    }
    return render(request, "dashboard/overview.html", context)


def _curves(minutes: int) -> dict[str, Any]:
    points = history.points(minutes)
    columns: list[list[float]] = [[round(point.at.timestamp()) for point in points]]
    columns += [[round(getattr(point, name), 3) for point in points] for name in ("completed", "failed", "submitted")]
    now = points[-1] if points else None
    return {"curves": json.dumps(columns), "now": now, "peak": max((point.completed for point in points), default=0.0)}


def queues(fleet: list[Worker]) -> list[Queue]:
    """Every queue of both lanes, the most urgent first."""
    ages = waiting.oldest()
    depths = dict.fromkeys(Priority.values, 0)
    for one in tally.read("jobs"):
        if one.label in (State.QUEUED, State.RETRYING):
            depths[one.priority] += int(one.amount)
    coverage = covered(fleet)
    found = []
    for priority in reversed(Priority):
        names = {lane.value: queue_name(priority, lane) for lane in Lane}
        known = [age for name in names.values() if (age := ages[name]) is not None]
        found.append(
            Queue(
                name=priority.label,
                waiting=depths[priority],
                oldest=max(known, default=None),
                slots={lane: slots for lane, name in names.items() if (slots := coverage.get(name))},
            )
        )
    return found


def _alarms(checks: dict[str, health.Check], lanes: list[Queue]) -> list[Alarm]:
    alarms = [
        Alarm(f"{name.capitalize()}: {check.detail}.", "Workers", reverse("dashboard:workers"))
        for name, check in checks.items()
        if not check.ok
    ]
    held = reverse("dashboard:queues")
    for queue in lanes:
        jobs = f"{reverse('dashboard:jobs')}?queue={queue.name}&state=queued"
        if queue.waiting and not queue.served:
            alarms.append(Alarm(f"No worker takes from {queue.name}, where {queue.waiting} wait.", "Show them", jobs))
        elif queue.oldest and queue.oldest > _SLOW_SECONDS:
            alarms.append(Alarm(f"The first job in {queue.name} has waited for {queue.oldest:.0f} s.", "Show it", jobs))
    alarms += [
        Alarm(f"{str(gate).capitalize()} is paused: {gate.pause_reason or 'no reason given'}.", "Queues", held)
        for gate in pauses.paused()
    ]
    return alarms


@dataclass
class Failure:
    """Dead letters that look alike."""

    kind: str
    what: str  # the class of the error, and where it came from
    error: str
    count: int
    latest: Job


def _failures() -> list[Failure]:
    """What the latest dead letters have in common."""
    groups: dict[tuple[str, str], Failure] = {}
    for job in Job.objects.filter(state=State.FAILED).order_by("-id")[:_FAILURES_READ]:
        if known := groups.get((job.kind, job.fingerprint)):
            known.count += 1
        else:
            what = job.fingerprint or job.reason
            groups[job.kind, job.fingerprint] = Failure(job.kind, what, job.error.partition("\n")[0], 1, job)
    return list(islice(sorted(groups.values(), key=lambda group: -group.count), _FAILURES_SHOWN))
