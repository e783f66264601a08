"""Why a job is not running, over HTTP."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from pydantic import Field
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from typing_extensions import TypedDict  # pydantic needs its newer form below Python 3.12

from jobs.api.access import reachable
from jobs.api.openapi import door
from jobs.api.shown import StateName
from jobs.explain import Reason, explain
from jobs.models import Job


class ReasonShown(TypedDict):
    """Something that keeps a job from running."""

    code: Annotated[str, Field(description="For machines; the same reason has the same code.")]
    sentence: str
    facts: Annotated[dict[str, Any], Field(description="What it rests on; each code has its own.")]


class ExplanationShown(ReasonShown):
    """The reason that counts, and those that would come after it."""

    job: uuid.UUID
    state: StateName
    also: list[ReasonShown]


class JobExplanation(APIView):
    """Why this job is where it is: a code, a sentence, what it rests on, and what else is in its way."""

    @door("Why a job is not running", name="explain_job", tag="jobs", gives={200: ExplanationShown}, refuses=(404,))
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        found = explain(get_object_or_404(reachable(request, Job.objects.all()), pk=pk))
        also = [_write(reason) for reason in found.also]
        return Response({"job": found.job.id, "state": found.job.state, **_write(found.reason), "also": also})


def _write(reason: Reason) -> ReasonShown:
    return {"code": reason.code, "sentence": reason.sentence, "facts": reason.facts}
