"""The doors of the older scheduler of HTTP calls (seed 001): its job message as a body, and its health checks."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, BaseModel, Field
from rest_framework import status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import health, lifecycle
from jobs.access.roles import Act
from jobs.api.access import owner_of
from jobs.api.shapes import read
from jobs.legacy.words import timestamp, totals

_PARTS = {"queue": "dispatcher", "workers": "workers", "redis": "redis"}


class Message(BaseModel):
    """The message that lay in `job_queue:ready`. `timeout` is in seconds; `retry_count` were used up already."""

    id: str | None = None
    job_id: int | None = None
    api_url: str
    max_retry_count: int = Field(default=3, ge=0)
    retry_count: int = Field(default=0, ge=0)
    created_at: AwareDatetime | None = None
    scheduled_at: AwareDatetime | None = None
    timeout: float = Field(default=90, gt=0)


class JobMessages(APIView):
    acts = {"POST": Act.SUBMIT}

    def post(self, request: Request) -> Response:
        given = read(Message, request)
        told = {"id": given.id, "job_id": given.job_id}
        job = lifecycle.submit(
            "http_request",
            {"api_url": given.api_url, "timeout": given.timeout},
            run_at=given.scheduled_at,
            max_retries=max(0, given.max_retry_count - given.retry_count),
            metadata={name: value for name, value in told.items() if value is not None},
            owner=owner_of(request),
        )
        body: dict[str, Any] = {"id": job.id, "job_id": given.job_id, "status": "queued"}
        return Response(body, status=status.HTTP_202_ACCEPTED)


class PartHealth(APIView):
    """One part of the platform: 200, or 503. Open to probes, as /health is."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    part: str = ""

    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        found = health.check()[_PARTS[self.part]]
        body: dict[str, Any] = {"status": "healthy" if found.ok else "unhealthy", "detail": found.detail}
        if self.part == "queue":
            body["queue"] = totals()
        return Response(body | {"timestamp": timestamp()}, status=200 if found.ok else 503)
