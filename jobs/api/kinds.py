"""The kinds over HTTP: what each does, and what it takes."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import kinds
from jobs.kinds import Kind


def write_kind(kind: Kind) -> dict[str, Any]:
    """A kind with the defaults of its jobs; `timeout` is in seconds, null for none."""
    return {
        "kind": kind.name,
        "summary": kind.summary,
        "lane": kind.lane,
        "max_retries": settings.MAX_RETRIES if kind.max_retries is None else kind.max_retries,
        "timeout": kind.timeout,
        "payload": kind.payload.model_json_schema(),
    }


class Kinds(APIView):
    """Every kind that this installation knows, those of its own apps included."""

    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        return Response({"kinds": [write_kind(kind) for kind in kinds.known()]})
