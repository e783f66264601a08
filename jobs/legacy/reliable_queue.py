"""The doors of the older reliable queue (seed 003): a type and a payload that may be a bare string."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import lifecycle
from jobs.access.roles import Act
from jobs.api.access import owner_of
from jobs.api.idempotency import once
from jobs.api.openapi import door
from jobs.api.shapes import pointing, read
from jobs.legacy.shown import MonitorShown, TaskQueued
from jobs.legacy.words import TAG, totals


class BareTask(BaseModel):
    """A task whose payload may be a bare string."""

    model_config = ConfigDict(strict=True)

    type: str = Field(max_length=100)
    payload: dict[str, Any] | str = Field(default_factory=dict)


# What a bare string means to a type that had one: the kind that does it here, and its payload.
_BARE: dict[str, Callable[[str], tuple[str, dict[str, Any]]]] = {
    "email-notification": lambda address: (
        "send_email",
        {"recipient": address, "subject": "Notification", "body": "You have a notification."},
    ),
}


def _translated(task: BareTask) -> tuple[str, dict[str, Any]]:
    if isinstance(task.payload, dict):
        return task.type, task.payload
    known = _BARE.get(task.type)
    return known(task.payload) if known else (task.type, {"payload": task.payload})


class Producer(APIView):
    acts = {"POST": Act.SUBMIT}

    @door(
        "Submit a task of the older reliable queue",
        name="submit_bare_task",
        tag=TAG,
        takes=BareTask,
        gives={202: TaskQueued},
        example={"type": "email-notification", "payload": "user@example.com"},
        keyed=True,
    )
    @once
    def post(self, request: Request) -> Response:
        task = read(BareTask, request)
        kind, payload = _translated(task)
        # Of a bare string, whatever is wrong is wrong with it.
        places = {"/kind": "/type"} | ({"/payload/recipient": "/payload"} if isinstance(task.payload, str) else {})
        with pointing(places):
            job = lifecycle.submit(kind, payload, owner=owner_of(request))
        return Response({"status": "queued", "task_id": job.id}, status=status.HTTP_202_ACCEPTED)


class Monitor(APIView):
    """The two lists that its monitor showed, by their lengths."""

    @door("How many tasks wait and run", name="monitor", tag=TAG, gives={200: MonitorShown})
    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        found = totals()
        return Response({"tasks:pending": found["queued"], "tasks:processing": found["processing"]})
