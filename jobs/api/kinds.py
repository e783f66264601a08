"""The kinds over HTTP: what each does, and what it takes."""

from __future__ import annotations

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import kinds
from jobs.api.openapi import door
from jobs.api.shown import KindList, KindShown
from jobs.kinds import Kind


def write_kind(kind: Kind) -> KindShown:
    """A kind with the defaults of its jobs; `timeout` and `result_ttl` are in seconds, null for none."""
    return {
        "kind": kind.name,
        "summary": kind.summary,
        "lane": kind.lane.value,
        "max_retries": settings.MAX_RETRIES if kind.max_retries is None else kind.max_retries,
        "timeout": kind.timeout,
        "result_ttl": kind.result_ttl,
        "payload": kind.payload.model_json_schema(),
    }


class Kinds(APIView):
    """Every kind that this installation knows, those of its own apps included."""

    @door("What kinds of job there are", name="kinds", tag="kinds", gives={200: KindList})
    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        return Response({"kinds": [write_kind(kind) for kind in kinds.known()]})
