"""The doors of the older scraper's queue (seed 004): jobs by target URL and a priority from 1 to 10, dead letters."""

from __future__ import annotations

from typing import Any, Literal

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import health, lifecycle, ranks
from jobs.access.roles import Act
from jobs.api.access import acting, owner_of, reachable
from jobs.api.idempotency import once
from jobs.api.openapi import door
from jobs.api.shapes import Whole, pointing, read, validated
from jobs.legacy.shown import AddedShown, DeadLettersShown, RequeuedShown, ScrapeStatsShown
from jobs.legacy.words import TAG, totals
from jobs.models import Job, State

_PREFIX = "scrape_"
_MOST_LISTED = 1000


class ScrapeJob(BaseModel):
    model_config = ConfigDict(strict=True)

    type: Literal["navigation", "category", "product"]
    target_url: str = Field(json_schema_extra={"format": "uri"})
    priority: Whole = Field(default=5, ge=1, le=10)
    metadata: dict[str, Any] = Field(default_factory=dict)


class Jobs(APIView):
    acts = {"POST": Act.SUBMIT}

    @door(
        "Submit a job of the older scraper",
        name="submit_scrape",
        tag=TAG,
        takes=ScrapeJob,
        gives={201: AddedShown},
        example={"type": "product", "target_url": "https://example.com/product/123", "priority": 5},
        keyed=True,
    )
    @once
    def post(self, request: Request) -> Response:
        given = read(ScrapeJob, request)
        place = ranks.of_ten(given.priority)
        with pointing({"/payload": ""}):
            job = lifecycle.submit(
                _PREFIX + given.type,
                {"target_url": given.target_url, "metadata": given.metadata},
                priority=place.priority,
                rank=place.rank,
                metadata=given.metadata,
                owner=owner_of(request),
            )
        return _success({"jobId": job.id}, status.HTTP_201_CREATED)


class Stats(APIView):
    @door("How the older scraper's queue is", name="scrape_stats", tag=TAG, gives={200: ScrapeStatsShown})
    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        found, checks = totals(), health.check()
        well = all(check.ok for check in checks.values())
        return _success(
            {
                "queue": {
                    "queued": found["queued"],
                    "running": found["processing"],
                    "completed": found["completed"],
                    "failed": found["failed"],
                },
                "health": {
                    "isRunning": checks["dispatcher"].ok,
                    "activeWorkers": health.alive_workers(),
                    "redisConnected": checks["redis"].ok,
                },
                "status": "healthy" if well else "unhealthy",
            }
        )


class Limit(BaseModel):
    limit: int = Field(default=10, ge=1, le=_MOST_LISTED)


class DeadLetters(APIView):
    """The oldest first, so that an index keeps its meaning while new ones arrive at the end."""

    @door(
        "The dead letters of the older scraper's queue",
        name="dead_letters",
        tag=TAG,
        gives={200: DeadLettersShown},
        parameters=[OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": _MOST_LISTED})],
    )
    def get(self, request: Request) -> Response:
        limit = validated(Limit, request.query_params.dict()).limit
        found = [_dead_letter(job) for job in _dead(request, Act.SEE)[:limit]]
        return Response({"success": True, "data": found, "count": len(found)})


class Index(BaseModel):
    model_config = ConfigDict(strict=True)

    index: Whole = Field(ge=0, le=_MOST_LISTED)


class Requeue(APIView):
    acts = {"POST": Act.CHANGE}

    @door(
        "Run a dead letter again",
        name="requeue_dead_letter",
        tag=TAG,
        takes=Index,
        gives={200: RequeuedShown},
        example={"index": 0},
        refuses=(404,),
    )
    def post(self, request: Request) -> Response:
        index = read(Index, request).index
        job = _dead(request, Act.CHANGE)[index : index + 1].first()
        if job is None:
            raise Http404
        with acting(request, "requeue", job.id):
            if not lifecycle.requeue([job.id]):
                raise Http404
        return _success({"id": job.id})


def _dead(request: Request, act: Act) -> Any:
    dead = Job.objects.filter(state=State.FAILED, kind__startswith=_PREFIX)
    return reachable(request, dead, act).order_by("id")


def _dead_letter(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "type": job.kind.removeprefix(_PREFIX),
        "target_url": job.payload.get("target_url"),
        "attempts": job.failures,
        "max_attempts": job.max_retries + 1,
        "last_error": job.error,
    }


def _success(data: dict[str, Any], code: int = status.HTTP_200_OK) -> Response:
    return Response({"success": True, "data": data}, status=code)
