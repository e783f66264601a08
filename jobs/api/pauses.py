"""What is paused, and by whom; to pause and to resume."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import gates, pauses
from jobs.api.access import acting, name_of
from jobs.api.shapes import read
from jobs.models import Gate


class PauseOrder(BaseModel):
    """Why, and until when; both may be left out."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", max_length=500)
    until: AwareDatetime | None = None


class Pauses(APIView):
    """Every pause that stands."""

    of_everybody = True

    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        return Response({"pauses": [write_pause(gate) for gate in pauses.paused()]})


class PauseOf(APIView):
    """`PUT` pauses a queue, kind or key, or everything; `DELETE` resumes it."""

    def put(self, request: Request, scope: str, target: str = "") -> Response:
        order = read(PauseOrder, request)
        try:
            with acting(request, "pause", f"{scope} {target}".strip(), reason=order.reason):
                gate = pauses.pause(scope, target, by=name_of(request), reason=order.reason, until=order.until)
        except gates.UnknownGateError as error:
            raise ValidationError(str(error)) from error
        return Response(write_pause(gate))

    def delete(self, request: Request, scope: str, target: str = "") -> Response:
        with acting(request, "resume", f"{scope} {target}".strip()):
            if not pauses.resume(scope, target):
                raise Http404
        return Response(status=status.HTTP_204_NO_CONTENT)


def write_pause(gate: Gate) -> dict[str, Any]:
    return {
        "scope": gate.scope,
        "target": gate.target,
        "by": gate.paused_by,
        "reason": gate.pause_reason,
        "since": gate.paused_at,
        "until": gate.paused_until,
    }
