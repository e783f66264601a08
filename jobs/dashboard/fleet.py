"""The workers: which are alive, what each is doing, and what it has left to give."""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from jobs import leadership, leases
from jobs.access.roles import Act
from jobs.dashboard.page import acting, back, page, page_for, say
from jobs.models import Job, Lane, Node, State

_RUNNING_READ = 2000  # jobs; short ones are claimed by the hundred


@dataclass
class Worker:
    """A node and the jobs that it has now."""

    node: Node
    alive: bool
    jobs: list[Job] = field(default_factory=list)

    @property
    def busy(self) -> int:
        """Slots at work. A chunk of short jobs is claimed as one and run one after another."""
        return min(self.node.slots, len({job.lease for job in self.jobs}))

    @property
    def waits(self) -> bool:
        """Whether it serves the lane of kinds that wait for others."""
        return any(queue.endswith(f".{Lane.IO}") for queue in self.node.queues)

    @property
    def word(self) -> str:
        if not self.alive:
            return "lost"
        if self.node.draining or self.node.drain_asked:
            return "draining"
        return "busy" if self.busy else "idle"


def workers() -> list[Worker]:
    """Every node of the last day, the living first."""
    alive = ExpressionWrapper(Q(expires_at__gt=Now()), output_field=BooleanField())
    rows: list[Any] = list(Node.objects.annotate(alive=alive).order_by("-alive", "name", "-started_at"))
    found = {row.id: Worker(row, row.alive) for row in rows}
    running = Job.objects.filter(state=State.RUNNING).only("id", "kind", "lease", "node_id", "started_at", "progress")
    for job in running.order_by("started_at")[:_RUNNING_READ]:
        if job.node_id in found:
            found[job.node_id].jobs.append(job)
    return list(found.values())


def covered(fleet: list[Worker]) -> dict[str, int]:
    """Slots by Celery queue, of the workers that take messages."""
    slots: dict[str, int] = defaultdict(int)
    for worker in fleet:
        if worker.alive and not worker.node.draining:
            for queue in worker.node.queues:
                slots[queue] += worker.node.slots
    return dict(slots)


@page
def show_workers(request: HttpRequest) -> HttpResponse:
    fleet = workers()
    context = {
        "section": "workers",
        "workers": fleet,
        "alive": sum(worker.alive for worker in fleet),
        "slots": sum(worker.node.slots for worker in fleet if worker.alive),
        "busy": sum(worker.busy for worker in fleet if worker.alive),
        "memory": sum(worker.node.memory_bytes for worker in fleet if worker.alive),
        "leader": leadership.leader(),
    }
    return render(request, "dashboard/workers.html", context)


@page_for(Act.OPERATE)
@require_POST
def drain(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """The worker ends in order; whoever supervises it starts a fresh one."""
    with acting(request, "drain", [pk]) as detail:
        detail["reached"] = leases.ask_to_drain(pk)
    if detail["reached"]:
        say(request, "The worker drains: it takes nothing more, gives back what is long, and ends.")
    else:
        say(request, "", failed="That worker is gone already, or on its way.")
    return back(request, reverse("dashboard:workers"))
