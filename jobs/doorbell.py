"""The wake-up: a submitter rings, the leading dispatcher stops waiting. Best effort; polling is the net below it."""

from __future__ import annotations

import logging
import os
import threading
import time

import redis

from jobs import redis_primary

logger = logging.getLogger(__name__)

KEY = "haulway:doorbell"
PLACES = "haulway:doorbell:places"  # a place within a limit has become free: the dispatcher hears it at its own pace
_QUIET_SECONDS = 1.0  # after a failure
_REST = 0.01  # seconds after a ring, as long as a dispatcher takes for a look: who asks meanwhile is rung for together

_client: redis.Redis | None = None
_asked = threading.Event()
_keys: set[str] = set()  # that are to be rung
_starting = threading.Lock()
_ringer = threading.Thread()


def _begin_afresh() -> None:
    """In a forked process, which inherits no thread, and perhaps a lock that a thread of its parent held just then."""
    global _asked, _keys, _starting, _ringer
    _asked, _keys, _starting, _ringer = threading.Event(), set(), threading.Lock(), threading.Thread()


os.register_at_fork(after_in_child=_begin_afresh)


def _redis() -> redis.Redis:
    global _client  # noqa: PLW0603 - one pool of connections for the process
    if _client is None:
        _client = redis_primary.connect(socket_timeout=1.0, socket_connect_timeout=0.5, max_connections=50)
    return _client


def ring(key: str = KEY) -> None:
    """Tell the dispatcher that there is something new, or a place free. Never raises: what it is about is in the rows.

    A thread of this process does it, and once for all who ask while it is at it: a submission need not wait for Redis,
    and a thousand in a second need not each speak to it. In a process that ends meanwhile, polling stands in.
    """
    global _ringer  # noqa: PLW0603 - one for the process
    _keys.add(key)
    _asked.set()
    if not _ringer.is_alive():
        with _starting:
            if not _ringer.is_alive():
                _ringer = threading.Thread(target=_ring_when_asked, name="doorbell", daemon=True)
                _ringer.start()


def _ring_when_asked() -> None:
    while True:
        _asked.wait()
        _asked.clear()
        try:
            pipe = _redis().pipeline(transaction=False)
            while _keys:
                key = _keys.pop()
                pipe.lpush(key, 1)
                pipe.ltrim(key, 0, 0)  # any number of rings is one ring: the list never grows
            pipe.execute()
            time.sleep(_REST)
        except redis.RedisError as error:
            logger.warning("Redis did not take the wake-up (%s); the dispatcher's next poll finds the job.", error)
            time.sleep(_QUIET_SECONDS)


def wait(seconds: float, *others: str) -> bool:
    """Wait for a ring, or one of these others, at most so long. True if it rang. Raises redis.RedisError where Redis is
    away.
    """
    client = _redis()
    if seconds <= 0:
        return client.rpop(KEY) is not None
    # Redis counts the wait itself; the socket gets a second more before it is declared dead.
    return client.blpop([KEY, *others], timeout=min(seconds, 0.9)) is not None
