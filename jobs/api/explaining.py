"""Why a job is not running, over HTTP."""

from __future__ import annotations

import uuid
from typing import Any

from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs.api.access import reachable
from jobs.explain import Reason, explain
from jobs.models import Job


class JobExplanation(APIView):
    """Why this job is where it is: a code, a sentence, what it rests on, and what else is in its way."""

    def get(self, request: Request, pk: uuid.UUID) -> Response:
        found = explain(get_object_or_404(reachable(request, Job.objects.all()), pk=pk))
        also = [_write(reason) for reason in found.also]
        return Response({"job": found.job.id, "state": found.job.state, **_write(found.reason), "also": also})


def _write(reason: Reason) -> dict[str, Any]:
    return {"code": reason.code, "sentence": reason.sentence, "facts": reason.facts}
