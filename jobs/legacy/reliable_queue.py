"""The doors of the older reliable queue (seed 003): a type and a payload that may be a bare string."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, Field
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import lifecycle
from jobs.access.roles import Act
from jobs.api.access import owner_of
from jobs.api.shapes import read
from jobs.legacy.words import totals


class Task(BaseModel):
    type: str = Field(max_length=100)
    payload: dict[str, Any] | str = Field(default_factory=dict)


# What a bare string means to a type that had one: the kind that does it here, and its payload.
_BARE: dict[str, Callable[[str], tuple[str, dict[str, Any]]]] = {
    "email-notification": lambda address: (
        "send_email",
        {"recipient": address, "subject": "Notification", "body": "You have a notification."},
    ),
}


def _translated(task: Task) -> tuple[str, dict[str, Any]]:
    if isinstance(task.payload, dict):
        return task.type, task.payload
    known = _BARE.get(task.type)
    return known(task.payload) if known else (task.type, {"payload": task.payload})


class Producer(APIView):
    acts = {"POST": Act.SUBMIT}

    def post(self, request: Request) -> Response:
        kind, payload = _translated(read(Task, request))
        job = lifecycle.submit(kind, payload, owner=owner_of(request))
        return Response({"status": "queued", "task_id": job.id}, status=status.HTTP_202_ACCEPTED)


class Monitor(APIView):
    """The two lists that its monitor showed, by their lengths."""

    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        found = totals()
        return Response({"tasks:pending": found["queued"], "tasks:processing": found["processing"]})
