"""The doors of the older task queue (seed 002): tasks by type and a priority from 0 to 3."""

from __future__ import annotations

import uuid
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from rest_framework import status
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import lifecycle
from jobs.access.roles import Act
from jobs.api.access import owner_of, reachable
from jobs.api.idempotency import once
from jobs.api.openapi import door
from jobs.api.shapes import Whole, pointing, read
from jobs.legacy.shown import StatsShown, TaskShown, TaskTaken
from jobs.legacy.words import TAG, WORDS, totals
from jobs.models import Job, Node
from jobs.sealed import masked
from jobs.submission import MAX_RETRIES_LIMIT


class Task(BaseModel):
    """A task as that system took it. Fields that it did not know are passed over, as they were there."""

    model_config = ConfigDict(strict=True)

    type: str = Field(max_length=100)
    payload: dict[str, Any] = Field(default_factory=dict)
    priority: Whole | None = Field(default=None, ge=0, le=3)
    max_retries: Whole | None = Field(default=None, ge=0, le=MAX_RETRIES_LIMIT)


class Tasks(APIView):
    acts = {"POST": Act.SUBMIT}

    @door(
        "Submit a task of the older task queue",
        name="submit_task",
        tag=TAG,
        takes=Task,
        gives={202: TaskTaken},
        example={"type": "echo", "priority": 2, "payload": {"hello": "world"}, "max_retries": 3},
        keyed=True,
    )
    @once
    def post(self, request: Request) -> Response:
        task = read(Task, request)
        options = {"priority": task.priority, "max_retries": task.max_retries}
        with pointing({"/kind": "/type"}):
            job = lifecycle.submit(task.type, task.payload, owner=owner_of(request), **options)
        return Response({"task_id": job.id, "status": "submitted"}, status=status.HTTP_202_ACCEPTED)


class TaskStatus(APIView):
    @door("A task as the older task queue showed it", name="task", tag=TAG, gives={200: TaskShown}, refuses=(404,))
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        job = get_object_or_404(reachable(request, Job.objects.all()), pk=pk)
        return Response(
            {
                "id": job.id,
                "type": job.kind,
                "priority": job.priority,
                "status": "pending" if WORDS[job.state] == "queued" else WORDS[job.state],
                "payload": masked(job.payload),
                "max_retries": job.max_retries,
                "retry_count": min(job.failures, job.max_retries),
                "created_at": job.created_at,
                "started_at": job.started_at,
                "completed_at": job.finished_at,
                "worker_id": _worker(job),
            }
        )


def _worker(job: Job) -> str:
    """The worker of its latest attempt, by name."""
    if job.node_id is None:
        return ""
    ended = job.attempts.filter(number=job.attempt).values_list("node", flat=True).first()
    return ended or Node.objects.filter(id=job.node_id).values_list("name", flat=True).first() or ""


class Stats(APIView):
    @door("How many tasks are in which state", name="task_stats", tag=TAG, gives={200: StatsShown})
    def get(self, request: Request) -> Response:  # noqa: ARG002
        found = totals()
        return Response(
            {
                "pending": found["queued"],
                "processing": found["processing"],
                "completed": found["completed"],
                "failed": found["failed"],
            }
        )
