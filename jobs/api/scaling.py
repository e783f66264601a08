"""How many workers would do: for KEDA's metrics-api trigger, and for people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter
from pydantic import BaseModel, Field, field_validator
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from typing_extensions import TypedDict  # pydantic needs its newer form below Python 3.12

from jobs import scaling
from jobs.api.openapi import door
from jobs.api.shapes import validated
from jobs.capacity import QUEUES

_MOST_SLOTS, _LONGEST = 100_000, 86_400  # slots of one worker, seconds
_NAMES = "|".join(map(re.escape, QUEUES))
_ASKED = [
    OpenApiParameter(
        "queues",
        {"type": "string", "pattern": rf"^({_NAMES})(,({_NAMES}))*$"},
        description="Several by comma; all if left out.",
    ),
    OpenApiParameter(
        "slots", {"type": "integer", "minimum": 1, "maximum": _MOST_SLOTS}, description="Those of one worker."
    ),
    OpenApiParameter(
        "target_wait",
        {"type": "number", "minimum": 1, "maximum": _LONGEST},
        description="Seconds after which a job shall have begun.",
    ),
]


class Question(BaseModel):
    queues: str = ",".join(QUEUES)
    slots: int = Field(default=1, ge=1, le=_MOST_SLOTS)
    target_wait: float = Field(default_factory=lambda: settings.SCALING_TARGET_SECONDS, ge=1, le=_LONGEST)

    @field_validator("queues")
    @classmethod
    def are_known(cls, value: str) -> str:
        unknown = set(value.split(",")) - set(QUEUES)
        if unknown:
            raise ValueError(f"there are no queues {', '.join(sorted(unknown))}; there are {', '.join(QUEUES)}")
        return value


class LoadShown(TypedDict):
    """One queue now. Rates are per second over the last minutes."""

    queue: str
    queued: int
    running: int
    oldest_seconds: float
    in_per_second: float
    out_per_second: float
    run_seconds: Annotated[float, Field(description="That one of its jobs takes.")]
    work: Annotated[float, Field(description="Seconds of handlers that wait in it.")]
    attempts: Annotated[int, Field(description="Of the sample that all this is judged by.")]
    failed: int


class ScalingShown(TypedDict):
    """What waits and runs in the queues that were asked for, and how many workers they need."""

    target_wait: float
    queued: int
    running: int
    oldest_seconds: float
    slots: Annotated[int, Field(description="Those there are.")]
    failing: Annotated[float, Field(description="Share of the latest attempts.")]
    suggested_slots: int
    suggested_workers: int
    because: str
    queues: list[LoadShown]


class Scaling(APIView):
    """What waits and runs in some queues, and how many workers of so many slots they need. As open as /metrics."""

    def get_permissions(self) -> Sequence[Any]:
        return [] if settings.METRICS_OPEN else super().get_permissions()

    @door("How many workers would do", name="scaling", tag="workers", gives={200: ScalingShown}, parameters=_ASKED)
    def get(self, request: Request) -> Response:
        asked = validated(Question, request.query_params.dict())
        decision = scaling.decide(asked.queues.split(","), asked.target_wait)
        return Response(
            {
                "target_wait": asked.target_wait,
                "queued": sum(one.queued for one in decision.loads),
                "running": sum(one.running for one in decision.loads),
                "oldest_seconds": max((one.oldest_seconds for one in decision.loads), default=0.0),
                "slots": decision.slots_now,
                "failing": round(decision.failing, 3),
                "suggested_slots": decision.slots,
                "suggested_workers": decision.workers(asked.slots),
                "because": decision.because,
                "queues": [asdict(one) for one in decision.loads],
            }
        )
