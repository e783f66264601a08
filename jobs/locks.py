"""Locks: what one running attempt keeps to itself over the whole fleet, by a key such as a URL.

A lock is a row that names the attempt which took it, by job and lease. It counts while that attempt holds its job and
the lock's own time is not over; the node's heartbeat renews both (jobs/leases.py). So a lock needs no clearing away:
when its job ends, is rescued or is given back, the lease is gone from the job's row and the key is free. Who comes
late, with a lease that is gone, neither extends nor frees what another holds.
"""

from __future__ import annotations

import hashlib
import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection, transaction

from jobs.kinds import Context, Snooze
from jobs.models import Job
from jobs.outage import insist

_LONGEST_KEY = 200
_WAITS = "Another job holds the lock '{key}'."
_MOST_PATIENCE = 10  # seconds, or up to twice as many, between two visits of a job that wants a lock

_Params = dict[str, str | float | uuid.UUID]


class LockLost(Exception):
    """The lock ran out while it was held, because its node could not renew it: somebody may have worked beside us."""


class Claim:
    """One attempt's wish for one key."""

    def __init__(self, job: Job, key: str, ttl: float, release_connection: Callable[[], None] = lambda: None) -> None:
        """Raises ValueError for a `ttl` that ends before the heartbeat could renew it."""
        if ttl < 3 * settings.HEARTBEAT_SECONDS:
            raise ValueError(f"A lock lasts for at least three heartbeats, {3 * settings.HEARTBEAT_SECONDS:g} s.")
        assert job.lease is not None, "only a running attempt takes locks"
        self._key = key
        self._params: dict[str, str | float | uuid.UUID] = {
            "key": _stored(key),
            "job": job.id,
            "lease": job.lease,
            "ttl": ttl,
        }
        self._release_connection = release_connection

    @contextmanager
    def held(self, ctx: Context, retry_delay: float, tries: int) -> Iterator[None]:
        """What handlers get by ctx.lock(), whose words say the rest."""
        self._insist_on_it(ctx, retry_delay, tries)
        try:
            yield
        except BaseException:
            self._give_back()
            raise
        if not self._give_back():
            raise LockLost(f"The lock {self._key!r} ran out while this attempt held it.")

    def acquire(self) -> bool:
        """Take the lock, unless another attempt holds it. Asking again for what one holds does no harm."""
        with transaction.atomic(), connection.cursor() as cursor:
            # One asks at a time, and each sees all that those before it did: a statement that had to wait for the row
            # itself would still judge the holder's job by what it saw before it waited.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%(key)s, 0))", self._params)
            cursor.execute(_ACQUIRE, self._params)
            return cursor.fetchone() is not None

    def free(self) -> bool:
        """Give the lock back. False: it is no longer this attempt's, and nothing has changed."""
        with connection.cursor() as cursor:
            cursor.execute(_FREE, self._params)
            return bool(cursor.rowcount)

    def _insist_on_it(self, ctx: Context, retry_delay: float, tries: int) -> None:
        for left in reversed(range(tries)):
            ctx.check()
            got = insist(self.acquire)
            self._release_connection()
            if got:
                return
            if left:
                time.sleep(retry_delay)
        # The longer it has waited, the less often it asks: many jobs on one key must not spend their time asking.
        patience = min(ctx.attempt, _MOST_PATIENCE) * random.uniform(1, 2)  # noqa: S311 - no secret
        raise Snooze(patience, _WAITS.format(key=self._key))

    def _give_back(self) -> bool:
        freed = insist(self.free)
        self._release_connection()
        return freed


_ACQUIRE = """
INSERT INTO jobs_lock (key, job_id, lease, ttl, expires_at)
SELECT %(key)s, id, lease, %(ttl)s, now() + %(ttl)s * interval '1 second'
FROM jobs_job WHERE id = %(job)s AND lease = %(lease)s AND state = 'running'
ON CONFLICT (key) DO UPDATE SET job_id = excluded.job_id, lease = excluded.lease, ttl = excluded.ttl,
                                expires_at = excluded.expires_at
WHERE jobs_lock.expires_at < now()
   OR (jobs_lock.job_id = excluded.job_id AND jobs_lock.lease = excluded.lease)
   OR NOT EXISTS (SELECT FROM jobs_job holder WHERE holder.id = jobs_lock.job_id AND holder.lease = jobs_lock.lease
                  AND holder.state = 'running')
RETURNING key
"""

_FREE = "DELETE FROM jobs_lock WHERE key = %(key)s AND job_id = %(job)s AND lease = %(lease)s"


def waited_for(note: str) -> str | None:
    """The key of the lock that a snoozed job waits for, out of the note that it left; none where it left another."""
    before, _, after = _WAITS.partition("{key}")
    return note[len(before) : -len(after)] if note.startswith(before) and note.endswith(after) else None


def holder(key: str) -> uuid.UUID | None:
    """The job that holds a lock now."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLDER, {"key": _stored(key)})
        row = cursor.fetchone()
    return row[0] if row else None


_HOLDER = """
SELECT job_id FROM jobs_lock held WHERE key = %(key)s AND expires_at > now()
AND EXISTS (SELECT FROM jobs_job job WHERE job.id = held.job_id AND job.lease = held.lease AND job.state = 'running')
"""


def prune() -> int:
    """Delete locks whose time is over: those that a crash left behind, for keys that nobody has asked for since."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM jobs_lock WHERE expires_at < now()")
        return int(cursor.rowcount)


def _stored(key: str) -> str:
    """The key as the row has it: long ones by their digest, because an index has a longest entry."""
    if len(key) <= _LONGEST_KEY:
        return key
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()
