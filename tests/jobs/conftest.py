from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from pydantic import BaseModel

from jobs import doorbell, kinds
from jobs.kinds import Backoff, Context, Kind, Lane
from jobs.window import QUEUES


class Anything(BaseModel):
    """A payload with one field that must be a number if it is there."""

    n: int = 0


AddKind = Callable[..., Kind]


@pytest.fixture
def add_kind(monkeypatch: pytest.MonkeyPatch) -> AddKind:
    """Adds a kind for the length of a test."""

    def add(name: str, function: Callable[[Any, Context], Any] = lambda payload, ctx: None, **options: Any) -> Kind:
        defaults: dict[str, Any] = {
            "payload": Anything,
            "lane": Lane.COMPUTE,
            "max_retries": None,
            "timeout": None,
            "backoff": Backoff(),
            "on_submit": None,
        }
        kind = Kind(name=name, function=function, **{**defaults, **options})
        monkeypatch.setitem(kinds._registry, name, kind)
        return kind

    return add


@pytest.fixture
def empty_redis() -> redis.Redis:
    """Redis without a message or a ring of ours."""
    client = redis.Redis.from_url(django_settings.REDIS_URL, socket_timeout=5)
    client.delete(*QUEUES, doorbell.KEY)
    return client
