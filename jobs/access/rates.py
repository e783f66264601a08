"""How much a caller may ask for: so many requests a minute, and so many unfinished jobs at once.

The counts are in Redis, so that they hold over all web processes, and one script does both in one exchange: the
requests as a bucket that drains evenly (GCRA), the jobs as a number that the database counts anew every few seconds and
submissions add to meanwhile. That never lets more in than is allowed, and at worst sees an end a few seconds late.

Without Redis nobody is stopped. The limits keep a client that runs wild from crowding out the others; they guard no
secret, and the platform goes on accepting while Redis is away. It is asked again after a pause, so that requests do not
each wait for it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import cache

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from jobs import redis_primary
from jobs.models import Job

WINDOW = 60.0  # seconds that a quota of requests is for
_COUNTED_EVERY = 5.0  # seconds that a count of unfinished jobs is built upon
_TIMEOUT = 0.25  # seconds: a limit is not worth a longer wait
_PAUSE = 5.0  # seconds without asking a Redis that has not answered

logger = logging.getLogger(__name__)


class TooMany(Exception):
    """Refused for now. `wait` is the number of seconds after which it may be worth another try."""

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


class TooManyRequests(TooMany):
    """The quota of requests is used up."""


class TooManyJobs(TooMany):
    """The owner has as many unfinished jobs as he may have."""


@dataclass(frozen=True)
class Allowance:
    """What one caller may ask for. `key` says whose requests are counted together; 0 or none: no limit."""

    key: str
    requests: int  # in WINDOW seconds
    owner: int | None = None
    jobs: int = 0  # unfinished ones at once


@dataclass(frozen=True)
class Left:
    """`requests` are left of the quota, which is whole again after `reset` seconds."""

    requests: int
    reset: float


def spend(allowance: Allowance, *, requests: int = 0, jobs: int = 0) -> Left | None:
    """Count a request, jobs that are to be submitted, or both. Raises TooManyRequests or TooManyJobs, and counts
    nothing then. None where nothing is limited, or where Redis is away.
    """
    if not (requests and allowance.requests) and not (jobs and allowance.jobs and allowance.owner):
        return None
    if time.monotonic() < _away.until:
        return None
    try:
        answer = _ask(allowance, requests, jobs)
        if answer[0] == "count":
            answer = _ask(allowance, requests, jobs, counted=_unfinished(allowance))
    except redis.RedisError as error:
        _away.until = time.monotonic() + _PAUSE
        logger.warning("Redis does not answer (%s): nothing is limited for %d s.", type(error).__name__, _PAUSE)
        return None
    match answer[0]:
        case "requests":
            raise TooManyRequests(
                f"At most {allowance.requests} requests in {WINDOW:.0f} seconds.", wait=float(answer[2])
            )
        case "jobs":
            raise TooManyJobs(
                f"{answer[1]} jobs of yours are unfinished, and at most {allowance.jobs} may be.", wait=_COUNTED_EVERY
            )
    return Left(int(answer[1]), float(answer[2]))


# The bucket is one number, the time at which it will have drained: one key for a client, however many it asks.
_SCRIPT = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6
local window, quota, requests = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local most, jobs, counted, every = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local limited = most > 0 and jobs > 0

if limited then
    local live = tonumber(redis.call('GET', KEYS[2]) or counted)
    if live < 0 then return {'count', '0', '0'} end
    if live + jobs > most then
        redis.call('SET', KEYS[2], live, 'NX', 'PX', every)
        return {'jobs', tostring(live), '0'}
    end
end

local left, drained = 0, now
if quota > 0 and requests > 0 then
    local each = window / quota
    drained = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + each * requests
    local wait = drained - window - now
    if wait > 1e-6 then return {'requests', '0', tostring(wait)} end
    redis.call('SET', KEYS[1], string.format('%.6f', drained), 'PX', math.ceil((drained - now) * 1000))
    left = math.floor((window - (drained - now)) / each + 1e-6)
end

if limited then
    redis.call('SET', KEYS[2], counted, 'NX', 'PX', every)
    redis.call('INCRBY', KEYS[2], jobs)
end
return {'', tostring(left), tostring(drained - now)}
"""


def _ask(allowance: Allowance, requests: int, jobs: int, counted: int = -1) -> list[str]:
    keys = [f"haulway:requests:{allowance.key}", f"haulway:unfinished:{allowance.owner}"]
    most = allowance.jobs if allowance.owner else 0
    numbers = [WINDOW, allowance.requests, requests, most, jobs, counted, int(_COUNTED_EVERY * 1000)]
    answer: list[str] = _script()(keys, numbers)
    return answer


def _unfinished(allowance: Allowance) -> int:
    """How many unfinished jobs the owner has; no further than matters, so that the count takes a bounded time."""
    live = Job.objects.filter(owner_id=allowance.owner, finished_at=None).order_by()
    return live[: allowance.jobs].count()


class _Away:
    until = 0.0


_away = _Away()


@cache
def _script() -> Script:
    client = redis_primary.connect(
        socket_timeout=_TIMEOUT,
        socket_connect_timeout=_TIMEOUT,
        retry=Retry(NoBackoff(), 1),
        decode_responses=True,
    )
    return client.register_script(_SCRIPT)
