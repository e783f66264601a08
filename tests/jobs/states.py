"""Jobs brought into each state by the verbs that lead there, as in life."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from jobs import endings, lifecycle
from jobs.capacity import QUEUES
from jobs.models import Job, Node, State
from jobs.submission import checked

LATER = timedelta(hours=1)


def live_node(name: str = "here", slots: int = 4, kinds: tuple[str, ...] = ("echo",)) -> Node:
    """A node that holds its lease for long enough for any test."""
    expires_at = timezone.now() + LATER
    return Node.objects.create(
        id=uuid.uuid4(), name=name, queues=list(QUEUES), kinds=list(kinds), slots=slots, pid=1, expires_at=expires_at
    )


def submitted(count: int, **options: Any) -> list[Job]:
    ids = lifecycle.submit_many([checked("echo", **options)] * count)
    found = Job.objects.in_bulk(ids)
    return [found[one] for one in ids]


def claimed(*jobs: Job, node: Node | None = None) -> list[Job]:
    """The jobs as a worker gets them, all under one lease."""
    node = node or live_node()
    kinds = {job.kind for job in jobs}
    return lifecycle.claim([job.id for job in jobs], node=node.id, lease=uuid.uuid4(), kinds=kinds)


def job_in(state: State, kind: str = "echo", **options: Any) -> Job:
    """A job in that state. One that has been running still carries its lease, as the worker that ran it does."""
    if state is State.BLOCKED:
        return lifecycle.submit(
            kind, depends_on=[lifecycle.submit("echo", run_at=timezone.now() + LATER).id], **options
        )
    if state is State.SCHEDULED:
        return lifecycle.submit(kind, run_at=timezone.now() + LATER, **options)
    job = lifecycle.submit(kind, **options)
    if state is State.QUEUED:
        return job
    if state is State.PAUSED:
        lifecycle.pause([job.id])
        return as_stored(job)
    (job,) = claimed(job)
    ending = {
        State.RETRYING: lambda: endings.failed(job, "asked to fail"),
        State.COMPLETED: lambda: endings.completed(job, {"done": True}),
        State.FAILED: lambda: endings.gave_up(job, "asked to give up"),
        State.CANCELLED: lambda: endings.cancelled(job),
    }.get(state)
    if ending is not None:
        assert lifecycle.record([ending()]) == {job.id}
    return job


def as_stored(job: Job) -> Job:
    return Job.objects.get(id=job.id)


def state_of(job: Job) -> str:
    return as_stored(job).state


def outcomes(job: Job) -> list[tuple[int, str]]:
    """The job's history: number and outcome of each attempt that has ended."""
    return list(job.attempts.order_by("number").values_list("number", "outcome"))


def make_due(*jobs: Job) -> None:
    """The time has come: only the row says when."""
    Job.objects.filter(id__in=[job.id for job in jobs]).update(run_at=Now() - timedelta(seconds=1))


def a_hundred_thousand_dead_letters() -> None:
    """Of forty fingerprints, by plain SQL."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO jobs_job (id, kind, payload, metadata, priority, rank, lane, state, attempt, failures,
                                  max_retries, crashes, losses, reason, error, fingerprint, finished_at, started_at)
            SELECT gen_random_uuid(), 'echo', jsonb_build_object('n', n), '{}', 1, 0, 'compute', 'failed', 1, 1,
                   0, 0, 0, 'exhausted', 'ValueError: ' || n, 'ValueError at somewhere.number_' || n % 40,
                   now() - n * interval '1 second', now() - n * interval '2 seconds'
            FROM generate_series(1, 100000) n
            """
        )
