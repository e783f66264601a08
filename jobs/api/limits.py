"""The limits of keys, kinds and queues: what they are, how much of each is taken, and to change them."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import gates, limits
from jobs.api.access import acting, name_of
from jobs.api.shapes import read
from jobs.models import Gate


class LimitOrder(BaseModel):
    """What holds from now on, in the place of all limits that were there."""

    model_config = ConfigDict(extra="forbid")

    concurrency: int | None = Field(default=None, description="Jobs at once, over all workers.")
    rate: int | None = Field(default=None, description="Starts in any `per` seconds, over all workers.")
    per: float | None = Field(default=None, description="Seconds.")
    backlog: int | None = Field(default=None, description="Unfinished jobs of a key; more are answered with 429.")


class AllLimits(APIView):
    """Every limit."""

    of_everybody = True

    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        return Response({"limits": [write_limits(gate) for gate in limits.standing()]})


class LimitsOf(APIView):
    """`PUT` sets the limits of a queue, a kind, a key, or all keys that begin alike; `DELETE` takes them away."""

    def put(self, request: Request, scope: str, target: str) -> Response:
        order = read(LimitOrder, request)
        wanted = limits.Limits(order.concurrency, order.rate, order.per, order.backlog)
        try:
            with acting(request, "limit", f"{scope} {target}", limits=order.model_dump()):
                gate = limits.set(scope, target, wanted, by=name_of(request))
        except (gates.UnknownGateError, limits.InvalidLimitError) as error:
            raise ValidationError(str(error)) from error
        return Response(write_limits(gate))

    def delete(self, request: Request, scope: str, target: str) -> Response:
        with acting(request, "clear limits", f"{scope} {target}"):
            if not limits.clear(scope, target):
                raise Http404
        return Response(status=status.HTTP_204_NO_CONTENT)


def write_limits(gate: Gate) -> dict[str, Any]:
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
