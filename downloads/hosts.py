"""How many connections each origin gets from all downloads of all workers together, and when it gets none.

A place is an entry in Redis that expires unless its process renews it, so what a killed worker held comes back by
itself. What an origin taught one download (a limit, a time to wait) holds for all. While Redis is away each process
keeps to the limits by itself; what it then holds is entered as soon as Redis is back.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import redis
from django.conf import settings

from downloads.engine.hosts import LocalGate, Origin
from jobs import redis_primary

logger = logging.getLogger(__name__)

PLACE_SECONDS = 12.0  # without renewal
RENEW_SECONDS = 4.0
_LEARNT_SECONDS = 300  # what one busy minute taught is not true for ever
_QUIET_SECONDS = 2.0  # after a failure, so that a dead Redis costs nothing


def limit_of(origin: Origin) -> int:
    """Connections at once that the operator allows: by host and port, by host, or by default."""
    _, host, port = origin
    limits = settings.DOWNLOAD_HOST_LIMITS
    return int(limits.get(f"{host}:{port}", limits.get(host, settings.DOWNLOAD_HOST_CONNECTIONS)))


class FleetGate:
    """An engine.HostGate for all workers. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._redis: redis.Redis | None = None
        self._quiet_until = 0.0
        self._here = LocalGate()
        self._held: dict[Origin, list[str]] = {}
        self._renewal: threading.Thread | None = None

    def enter(self, origin: Origin) -> bool:
        with self._lock:
            if not self._room_here(origin):
                return False
            place = uuid.uuid4().hex
            if not self._room_in_fleet(origin, place):
                self._here.leave(origin)
                return False
            self._held.setdefault(origin, []).append(place)
            if self._renewal is None:
                self._renewal = threading.Thread(target=self._keep_renewing, name="download-places", daemon=True)
                self._renewal.start()
            return True

    def leave(self, origin: Origin) -> None:
        with self._lock:
            self._here.leave(origin)
            place = self._held[origin].pop()
            if not self._held[origin]:
                del self._held[origin]
            self._ask(lambda client: client.zrem(_inside(origin), place))

    def learn(self, origin: Origin, *, limit: int | None = None, wait: float | None = None) -> None:
        with self._lock:
            self._here.learn(origin, wait=wait)
            self._run(_LEARN, _keys(origin), limit or 0, int((wait or 0) * 1000), _LEARNT_SECONDS)

    def closed_for(self, origin: Origin) -> float:
        """Seconds for which the origin asked to be left alone; 0 if it did not."""
        milliseconds = self._ask(lambda client: client.pttl(_closed(origin))) or 0
        return max(0.0, float(milliseconds) / 1000)

    def free(self, origin: Origin) -> int:
        """How many connections more may be opened now, over the fleet; 0 also while that is not known."""
        return int(self._run(_FREE, _keys(origin), limit_of(origin)) or 0)

    def inside(self, origin: Origin) -> int:
        """How many connections the fleet has there now; those of this process while Redis is away."""
        found = self._run(_INSIDE, _keys(origin))
        return len(self._held.get(origin, ())) if found is None else int(found)

    # --- those who wait for a place ----------------------------------------------------------------------------------

    def queue(self, origin: Origin, job_id: uuid.UUID, urgency: int) -> int:
        """Stand in line, or keep one's place in it: the more urgent first, then who came first. Returns its length."""
        score = time.time() - urgency * 1e10
        self._ask(lambda client: client.zadd(_waiting(origin), {str(job_id): score}, nx=True))
        return int(self._ask(lambda client: client.zcard(_waiting(origin))) or 0)

    def unqueue(self, origin: Origin, job_id: uuid.UUID) -> None:
        self._ask(lambda client: client.zrem(_waiting(origin), str(job_id)))

    def next_in_line(self, origin: Origin, count: int) -> list[uuid.UUID]:
        """Take the first out of the line."""
        found = self._ask(lambda client: client.zpopmin(_waiting(origin), count)) or []
        return [uuid.UUID(member.decode()) for member, _ in found]

    # ------------------------------------------------------------------------------------------------------------------

    def _room_here(self, origin: Origin) -> bool:
        return len(self._held.get(origin, ())) < limit_of(origin) and self._here.enter(origin)

    def _room_in_fleet(self, origin: Origin, place: str) -> bool:
        answer = self._run(_ENTER, _keys(origin), limit_of(origin), place, int(PLACE_SECONDS * 1000))
        return answer is None or bool(answer)

    def _keep_renewing(self) -> None:
        while True:
            time.sleep(RENEW_SECONDS)
            with self._lock:
                if not self._held:
                    self._renewal = None
                    return
                for origin, places in self._held.items():
                    self._run(_RENEW, [_inside(origin)], int(PLACE_SECONDS * 1000), *places)

    def _run(self, script: str, keys: Sequence[str], *arguments: str | int) -> Any:
        return self._ask(lambda client: client.eval(script, len(keys), *keys, *arguments))

    def _ask(self, command: Callable[[redis.Redis], Any]) -> Any:
        """The answer; none while Redis is away."""
        if time.monotonic() < self._quiet_until:
            return None
        try:
            return command(self._client())
        except redis.RedisError as error:
            self._quiet_until = time.monotonic() + _QUIET_SECONDS
            logger.warning("Redis is away (%s): limits per host hold for this process alone.", error)
            return None

    def _client(self) -> redis.Redis:
        if self._redis is None:
            self._redis = redis_primary.connect(socket_timeout=1.0, socket_connect_timeout=0.5)
        return self._redis


def _name(origin: Origin) -> str:
    scheme, host, port = origin
    return f"haulway:host:{scheme}://{host}:{port}"


def _inside(origin: Origin) -> str:
    return f"{_name(origin)}:inside"


def _closed(origin: Origin) -> str:
    return f"{_name(origin)}:closed"


def _waiting(origin: Origin) -> str:
    return f"{_name(origin)}:waiting"


def _keys(origin: Origin) -> Sequence[str]:
    return _inside(origin), _closed(origin), f"{_name(origin)}:limit"


# Times are Redis's own, so that workers whose clocks disagree still agree on what has expired.
_COUNT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local inside = redis.call('ZCARD', KEYS[1])
"""
_MOST = """
local most = tonumber(ARGV[1])
local learnt = redis.call('GET', KEYS[3])
if learnt and tonumber(learnt) < most then most = tonumber(learnt) end
local closed = redis.call('EXISTS', KEYS[2]) == 1
"""
_ENTER = f"""
{_COUNT} {_MOST}
if closed or inside >= most then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3] * 2)
return 1
"""
_FREE = f"""
{_COUNT} {_MOST}
if closed then return 0 end
return math.max(0, most - inside)
"""
_INSIDE = f"""
{_COUNT}
return inside
"""
_RENEW = f"""
{_COUNT}
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1] * 2)
"""
# A download knows only its own connections; together with those of others the origin bore all but the one refused.
_LEARN = f"""
{_COUNT}
local limit, wait = tonumber(ARGV[1]), tonumber(ARGV[2])
if limit > 0 then redis.call('SET', KEYS[3], math.max(limit, inside - 1), 'EX', ARGV[3]) end
if wait > 0 and wait > redis.call('PTTL', KEYS[2]) then redis.call('SET', KEYS[2], 1, 'PX', wait) end
"""

gate = FleetGate()
