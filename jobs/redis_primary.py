"""Clients of Redis: of the one server, or of whichever the sentinels say is the primary now."""

from __future__ import annotations

from typing import Any

import redis
from django.conf import settings
from redis.sentinel import Sentinel


def connect(**options: Any) -> redis.Redis:
    """A client with a pool of its own; `options` are those of redis.Redis. Nothing is sent before it is used."""
    if settings.REDIS_URL.startswith("rediss://") and settings.REDIS_CA_FILE:
        options["ssl_ca_certs"] = settings.REDIS_CA_FILE
    if not settings.REDIS_SENTINELS:
        return redis.Redis.from_url(settings.REDIS_URL, **options)
    address = redis.connection.parse_url(settings.REDIS_URL)  # type: ignore[no-untyped-call]
    timeouts = {name: value for name, value in options.items() if name.startswith("socket_")}
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        [(host, int(port)) for host, _, port in (place.rpartition(":") for place in settings.REDIS_SENTINELS)],
        sentinel_kwargs={**timeouts, "password": settings.REDIS_SENTINEL_PASSWORD or None},
    )
    known = {name: address[name] for name in ("username", "password", "db") if name in address}
    client: redis.Redis = sentinels.master_for(  # type: ignore[no-untyped-call]
        settings.REDIS_SENTINEL_MASTER, **known, **options
    )
    return client
