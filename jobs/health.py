"""Whether the platform can do its work: each part that it needs, and in which state it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Sum
from django.db.models.functions import Now

from jobs import leadership, redis_primary
from jobs.models import Node

_TIMEOUT = 2.0


@dataclass(frozen=True)
class Check:
    """One part: `ok`, and a sentence that says how it is, or what is missing."""

    ok: bool
    detail: str


def check() -> dict[str, Check]:
    """Look at every part that is needed. Never raises; a part that cannot be asked is not ok."""
    return {
        "postgres": _asked(_postgres),
        "redis": _asked(_redis),
        "dispatcher": _asked(_dispatcher),
        "workers": _asked(_workers),
    }


def report(checks: dict[str, Check]) -> dict[str, Any]:
    return {
        "status": "healthy" if all(one.ok for one in checks.values()) else "unhealthy",
        "checks": {name: {"status": "up" if one.ok else "down", "detail": one.detail} for name, one in checks.items()},
    }


def _asked(look: Callable[[], Check]) -> Check:
    try:
        return look()
    except (DatabaseError, InterfaceError, redis.RedisError, OSError) as error:
        # The class alone: the driver's message names hosts and users, and this page is open to probes.
        return Check(ok=False, detail=f"does not answer ({type(error).__name__})")


def _postgres() -> Check:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return Check(ok=True, detail="answers")


def _redis() -> Check:
    with redis_primary.connect(
        socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, retry_on_timeout=False
    ) as client:
        client.ping()
    return Check(ok=True, detail="answers")


def redis_check() -> Check:
    """Redis alone."""
    return _asked(_redis)


def _dispatcher() -> Check:
    leader = leadership.leader()
    if leader is None:
        return Check(ok=False, detail="none leads: start one with `celery -A project beat`")
    return Check(ok=True, detail=f"{leader.holder} leads")


def alive_workers() -> int:
    return Node.objects.filter(expires_at__gt=Now(), draining=False).count()


def _workers() -> Check:
    alive = Node.objects.filter(expires_at__gt=Now(), draining=False)
    count, slots = alive.count(), alive.aggregate(total=Sum("slots"))["total"] or 0
    if not count:
        return Check(ok=False, detail="none is alive: start one with `celery -A project worker`")
    return Check(ok=True, detail=f"{count} alive with {slots} slots")
