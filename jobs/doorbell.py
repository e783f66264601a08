"""The wake-up: a submitter rings, the leading dispatcher stops waiting. Best effort; polling is the net below it."""

from __future__ import annotations

import logging
import time

import redis

from jobs import redis_primary

logger = logging.getLogger(__name__)

KEY = "haulway:doorbell"
_QUIET_SECONDS = 1.0  # after a failure, so that a dead Redis costs submitters nothing

_client: redis.Redis | None = None
_quiet_until = 0.0


def _redis() -> redis.Redis:
    global _client  # noqa: PLW0603 - one pool of connections for the process
    if _client is None:
        _client = redis_primary.connect(socket_timeout=1.0, socket_connect_timeout=0.5, max_connections=50)
    return _client


def ring() -> None:
    """Tell the dispatcher that there is something new. Never raises: the job is safe in its row already."""
    global _quiet_until  # noqa: PLW0603
    if time.monotonic() < _quiet_until:
        return
    try:
        pipe = _redis().pipeline(transaction=False)
        pipe.lpush(KEY, 1)
        pipe.ltrim(KEY, 0, 0)  # any number of rings is one ring: the list never grows
        pipe.execute()
    except redis.RedisError as error:
        _quiet_until = time.monotonic() + _QUIET_SECONDS
        logger.warning("Redis did not take the wake-up (%s); the dispatcher's next poll finds the job.", error)


def wait(seconds: float) -> bool:
    """Wait for a ring, at most so long. True if it rang. Raises redis.RedisError where Redis is away."""
    client = _redis()
    if seconds <= 0:
        return client.rpop(KEY) is not None
    # Redis counts the wait itself; the socket gets a second more before it is declared dead.
    return client.blpop([KEY], timeout=min(seconds, 0.9)) is not None
