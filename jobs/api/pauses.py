"""What is paused, and by whom; to pause and to resume."""

from __future__ import annotations

from datetime import datetime

from django.http import Http404
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from typing_extensions import TypedDict  # pydantic needs its newer form below Python 3.12

from jobs import pauses
from jobs.api.access import acting, name_of
from jobs.api.gates import ONE, named, scope_parameter
from jobs.api.openapi import door
from jobs.api.shapes import Line, Reckoned, read
from jobs.models import Gate, Scope


class PauseOrder(BaseModel):
    """Why, and until when; both may be left out."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Line = Field(default="", max_length=500)
    until: Reckoned | None = Field(default=None, description="It ends by itself then; null: when somebody resumes it.")


class PauseShown(TypedDict):
    """Something that starts nothing new."""

    scope: str
    target: str
    by: str
    reason: str
    since: datetime
    until: datetime | None


class PauseList(TypedDict):
    pauses: list[PauseShown]


class Pauses(APIView):
    """Every pause that stands."""

    of_everybody = True

    @door("All pauses", name="pauses", tag="pauses", gives={200: PauseList})
    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        return Response({"pauses": [write_pause(gate) for gate in pauses.paused()]})


class PauseOf(APIView):
    """`PUT` pauses a queue, kind or key, or everything; `DELETE` resumes it."""

    @door(
        "Hold back what has not begun",
        name="pause",
        tag="pauses",
        takes=PauseOrder,
        gives={200: PauseShown},
        example={"reason": "maintenance"},
        parameters=ONE,
        refuses=(404,),
    )
    def put(self, request: Request, scope: str, target: str = "") -> Response:
        scope, target = named(scope, target)
        order = read(PauseOrder, request)
        with acting(request, "pause", f"{scope} {target}".strip(), reason=order.reason):
            gate = pauses.pause(scope, target, by=name_of(request), reason=order.reason, until=order.until)
        return Response(write_pause(gate))

    @door("Let it go on", name="unpause", tag="pauses", gives={204: None}, parameters=ONE, refuses=(404,))
    def delete(self, request: Request, scope: str, target: str = "") -> Response:
        scope, target = named(scope, target)
        with acting(request, "resume", f"{scope} {target}".strip()):
            if not pauses.resume(scope, target):
                raise Http404
        return Response(status=status.HTTP_204_NO_CONTENT)


def write_pause(gate: Gate) -> PauseShown:
    assert gate.paused_at is not None
    return {
        "scope": gate.scope,
        "target": gate.target,
        "by": gate.paused_by,
        "reason": gate.pause_reason,
        "since": gate.paused_at,
        "until": gate.paused_until,
    }


_ALL = (scope_parameter(Scope.EVERYTHING),)


class PauseOfScope(PauseOf):
    """The same, of a scope that needs no target."""

    @door(
        "Hold back all that has not begun",
        name="pause_scope",
        tag="pauses",
        takes=PauseOrder,
        gives={200: PauseShown},
        example={"reason": "maintenance"},
        parameters=_ALL,
        refuses=(404,),
    )
    def put(self, request: Request, scope: str, target: str = "") -> Response:
        return super().put(request, scope, target)

    @door("Let all go on", name="unpause_scope", tag="pauses", gives={204: None}, parameters=_ALL, refuses=(404,))
    def delete(self, request: Request, scope: str, target: str = "") -> Response:
        return super().delete(request, scope, target)
