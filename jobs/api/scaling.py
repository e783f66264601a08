"""How many workers would do: for KEDA's metrics-api trigger, and for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.conf import settings
from pydantic import BaseModel, Field, field_validator
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import scaling
from jobs.api.openapi import OBJECT, door
from jobs.api.shapes import validated
from jobs.capacity import QUEUES


class Question(BaseModel):
    """`slots`: those of one worker. `target_wait`: seconds after which a job shall have begun."""

    queues: str = ",".join(QUEUES)
    slots: int = Field(default=1, ge=1, le=100_000)
    target_wait: float = Field(default_factory=lambda: settings.SCALING_TARGET_SECONDS, ge=1, le=86_400)

    @field_validator("queues")
    @classmethod
    def are_known(cls, value: str) -> str:
        unknown = set(value.split(",")) - set(QUEUES)
        if unknown:
            raise ValueError(f"there are no queues {', '.join(sorted(unknown))}; there are {', '.join(QUEUES)}")
        return value


class Scaling(APIView):
    """What waits and runs in some queues, and how many workers of so many slots they need. As open as /metrics."""

    def get_permissions(self) -> Sequence[Any]:
        return [] if settings.METRICS_OPEN else super().get_permissions()

    @door("How many workers would do", name="scaling", tag="workers", gives={200: OBJECT})
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
