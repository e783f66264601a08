"""The log of a job over HTTP, from its beginning or from where one has read it to."""

from __future__ import annotations

import uuid
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs.api.access import reachable
from jobs.models import Job, LogLine

_MOST = 1000  # lines in one answer


def write_line(line: LogLine) -> dict[str, Any]:
    return {"id": line.pk, "attempt": line.attempt, "at": line.at, "level": line.level, "text": line.text}


class JobLogLines(APIView):
    """What its handler said, oldest first. `?after=` the id of a line: what came since; `?attempt=` that one alone."""

    def get(self, request: Request, pk: uuid.UUID) -> Response:
        lines = get_object_or_404(reachable(request, Job.objects.only("id")), pk=pk).log_lines.order_by("id")
        if (after := _number(request, "after")) is not None:
            lines = lines.filter(id__gt=after)
        if (attempt := _number(request, "attempt")) is not None:
            lines = lines.filter(attempt=attempt)
        return Response({"lines": [write_line(line) for line in lines[:_MOST]]})


def _number(request: Request, name: str) -> int | None:
    given = request.query_params.get(name)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise ValidationError({name: "must be a whole number"})
    return int(given)
