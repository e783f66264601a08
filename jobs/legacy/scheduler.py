"""The doors of the older scheduler of HTTP calls (seed 001): its job message as a body, and its health checks."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from rest_framework import status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import health, lifecycle
from jobs.access.roles import Act
from jobs.api.access import owner_of
from jobs.api.idempotency import once
from jobs.api.openapi import door
from jobs.api.shapes import Moment, Whole, pointing, read
from jobs.legacy.shown import MessageTaken, PartHealthShown
from jobs.legacy.words import TAG, timestamp, totals
from jobs.submission import MAX_RETRIES_LIMIT

# Where the message has what a job has elsewhere.
_PLACES = {"/payload": "", "/run_at": "/scheduled_at", "/metadata": "/id"}
_PARTS = {"queue": "dispatcher", "workers": "workers", "redis": "redis"}


class Message(BaseModel):
    """The message that lay in `job_queue:ready`. `timeout` is in seconds; `retry_count` were used up already."""

    model_config = ConfigDict(strict=True)

    id: str | None = None
    job_id: Whole | None = None
    api_url: str = Field(json_schema_extra={"format": "uri"})
    max_retry_count: Whole = Field(default=3, ge=0, le=MAX_RETRIES_LIMIT)
    retry_count: Whole = Field(default=0, ge=0)
    created_at: Moment | None = None
    scheduled_at: Moment | None = None
    timeout: float = Field(default=90, gt=0, json_schema_extra={"maximum": 86_400})  # as the kind has it


class JobMessages(APIView):
    acts = {"POST": Act.SUBMIT}

    @door(
        "Submit an HTTP call as the message of the older scheduler",
        name="submit_message",
        tag=TAG,
        takes=Message,
        gives={202: MessageTaken},
        example={"id": "job_123", "job_id": 456, "api_url": "https://api.example.com/endpoint", "timeout": 90},
        keyed=True,
    )
    @once
    def post(self, request: Request) -> Response:
        given = read(Message, request)
        told = {"id": given.id, "job_id": given.job_id}
        with pointing(_PLACES):
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

    @door(
        "Whether one part of the platform is up",
        tag=TAG,
        gives={200: PartHealthShown, 503: PartHealthShown},
    )
    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        found = health.check()[_PARTS[self.part]]
        body: dict[str, Any] = {"status": "healthy" if found.ok else "unhealthy", "detail": found.detail}
        if self.part == "queue":
            body["queue"] = totals()
        return Response(body | {"timestamp": timestamp()}, status=200 if found.ok else 503)
