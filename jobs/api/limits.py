"""The limits of keys, kinds and queues: what they are, how much of each is taken, and to change them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import Http404
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from typing_extensions import TypedDict  # pydantic needs its newer form below Python 3.12

from jobs import limits
from jobs.api.access import acting, name_of
from jobs.api.gates import ONE, named
from jobs.api.openapi import door
from jobs.api.shapes import Whole, read
from jobs.models import Gate

_COUNT: dict[str, Any] = {"minimum": 1, "maximum": limits.MOST}


class LimitOrder(BaseModel):
    """What holds from now on, in the place of all limits that were there."""

    model_config = ConfigDict(extra="forbid", strict=True)

    concurrency: Whole | None = Field(
        default=None, description="Jobs at once, over all workers.", json_schema_extra=_COUNT
    )
    rate: Whole | None = Field(
        default=None, description="Starts in any `per` seconds, over all workers.", json_schema_extra=_COUNT
    )
    per: float | None = Field(
        default=None,
        description="Seconds.",
        json_schema_extra={"minimum": limits.SHORTEST_PER, "maximum": limits.LONGEST_PER},
    )
    backlog: Whole | None = Field(
        default=None, description="Unfinished jobs of a key; more are answered with 429.", json_schema_extra=_COUNT
    )


class LimitShown(TypedDict):
    """What holds for a queue, a kind or a key; null: no limit."""

    scope: str
    target: str
    concurrency: int | None
    rate: int | None
    per: float | None
    backlog: int | None
    by: str
    since: datetime


class LimitList(TypedDict):
    limits: list[LimitShown]


class AllLimits(APIView):
    """Every limit."""

    of_everybody = True

    @door("All limits", name="all_limits", tag="limits", gives={200: LimitList})
    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        return Response({"limits": [write_limits(gate) for gate in limits.standing()]})


class LimitsOf(APIView):
    """`PUT` sets the limits of a queue, a kind, a key, or all keys that begin alike; `DELETE` takes them away."""

    @door(
        "Set a limit",
        name="set_limit",
        tag="limits",
        takes=LimitOrder,
        gives={200: LimitShown},
        example={"concurrency": 5},
        parameters=ONE,
        refuses=(404,),
    )
    def put(self, request: Request, scope: str, target: str) -> Response:
        scope, target = named(scope, target)
        order = read(LimitOrder, request)
        wanted = limits.Limits(order.concurrency, order.rate, order.per, order.backlog)
        try:
            with acting(request, "limit", f"{scope} {target}", limits=order.model_dump()):
                gate = limits.set(scope, target, wanted, by=name_of(request))
        except limits.InvalidLimitError as error:
            raise ValidationError({error.field: str(error)} if error.field else str(error)) from error
        return Response(write_limits(gate))

    @door("Lift a limit", name="lift_limit", tag="limits", gives={204: None}, parameters=ONE, refuses=(404,))
    def delete(self, request: Request, scope: str, target: str) -> Response:
        scope, target = named(scope, target)
        with acting(request, "clear limits", f"{scope} {target}"):
            if not limits.clear(scope, target):
                raise Http404
        return Response(status=status.HTTP_204_NO_CONTENT)


def write_limits(gate: Gate) -> LimitShown:
    assert gate.limited_at is not None
    return {
        "scope": gate.scope,
        "target": gate.target,
        "concurrency": gate.concurrency,
        "rate": gate.rate,
        "per": gate.per,
        "backlog": gate.backlog,
        "by": gate.limited_by,
        "since": gate.limited_at,
    }
