"""Redis: whether it drops what it was given, and what lies in it that nobody fetches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db.models.functions import Now

from jobs import redis_primary
from jobs.capacity import QUEUES
from jobs.doctor.findings import Finding, fault, warning, well
from jobs.models import Node

PART = "redis"
_OLDEST = (6, 2)
_SKEW_SECONDS = 2.0


def examine() -> Iterator[Finding]:
    with redis_primary.connect(
        socket_timeout=settings.REDIS_TIMEOUT, socket_connect_timeout=settings.REDIS_TIMEOUT
    ) as client:
        info: dict[str, Any] = client.info()
        seconds, microseconds = client.time()
        lengths = {queue: int(client.llen(queue)) for queue in QUEUES}
    yield from _server(info)
    yield from _memory(info)
    yield from _persistence(info)
    skew = seconds + microseconds / 1e6 - time.time()
    if abs(skew) > _SKEW_SECONDS:
        yield warning(
            "clock", f"Redis is {skew:+.1f} s off this machine", "Run an NTP client (chrony) on both machines."
        )
    yield from _unserved(lengths)


def _server(info: dict[str, Any]) -> Iterator[Finding]:
    version = str(info["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        yield fault(PART, f"version {version} is too old", "Upgrade to Redis 6.2 or newer, or to Valkey.")
    elif info["role"] != "master":
        yield fault(PART, "is a replica, which takes no writes", "Point REDIS_URL at the primary, or use Sentinel.")
    else:
        yield well(PART, f"answers, version {version}")


def _memory(info: dict[str, Any]) -> Iterator[Finding]:
    policy, used, most = info.get("maxmemory_policy", "noeviction"), info["used_memory"], info.get("maxmemory", 0)
    if policy != "noeviction":
        yield fault(
            "eviction",
            f"maxmemory-policy is {policy}: under pressure Redis throws messages away, which delays jobs",
            "redis-cli CONFIG SET maxmemory-policy noeviction, and the same in redis.conf",
        )
    else:
        yield well("eviction", "noeviction")
    if most and used > most * 0.9:
        yield warning(
            PART,
            f"{used >> 20} of {most >> 20} MiB are used; when it is full nothing can be sent",
            "redis-cli --bigkeys shows what fills it; Haulway itself needs a few MiB.",
        )


def _persistence(info: dict[str, Any]) -> Iterator[Finding]:
    if info.get("aof_enabled"):
        yield well("persistence", "append-only file is on")
    else:
        yield warning(
            "persistence",
            "append-only file is off: after a restart of Redis jobs wait a few seconds until they are sent again,"
            " and Celery tasks of your own are lost",
            "redis-cli CONFIG SET appendonly yes, and the same in redis.conf",
        )
    if info.get("rdb_last_bgsave_status") == "err" or info.get("aof_last_write_status") == "err":
        yield fault("persistence", "the last write to disk failed", "See the log of Redis; its disk may be full.")


def _unserved(lengths: dict[str, int]) -> Iterator[Finding]:
    served = {queue for node in Node.objects.filter(expires_at__gt=Now()) for queue in node.queues}
    for queue, length in lengths.items():
        if length and queue not in served:
            yield warning(
                "queues",
                f"{length} messages lie in {queue}, which no worker serves",
                f"celery -A project worker -Q {queue}",
            )
