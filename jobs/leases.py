"""Leases: how a node keeps the jobs it runs, and what only the holder of a job may write.

A node renews one lease of its own, whatever it runs; each claim has a token. Whoever has lost either changes nothing.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from jobs.models import Job, Node, State


def renew(node: Node) -> list[tuple[uuid.UUID, uuid.UUID, bool]]:
    """Renew a node's lease on all its jobs, and the locks they hold, in one statement whatever their number.

    Returns (job, lease, cancel asked for) of those running jobs that the node should look at: all whose cancel was
    asked for, and all that run for longer than a lease, so that it finds those that none of its processes holds.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _RENEW,
            {
                "id": node.id,
                "name": node.name,
                "queues": json.dumps(node.queues),
                "kinds": json.dumps(node.kinds),
                "slots": node.slots,
                "draining": node.draining,
                "pid": node.pid,
                "memory": node.memory_bytes,
                "release": node.release,
                "lease": settings.LEASE_SECONDS,
            },
        )
        return [(row[0], row[1], row[2]) for row in cursor.fetchall()]


_RENEW = """
WITH renewed AS (
    INSERT INTO jobs_node (id, name, queues, kinds, slots, draining, pid, memory_bytes, release, expires_at)
    VALUES (%(id)s, %(name)s, %(queues)s, %(kinds)s, %(slots)s, %(draining)s, %(pid)s, %(memory)s,
            %(release)s, now() + %(lease)s * interval '1 second')
    ON CONFLICT (id) DO UPDATE SET seen_at = now(), expires_at = excluded.expires_at, draining = excluded.draining,
                                   memory_bytes = excluded.memory_bytes, queues = excluded.queues,
                                   slots = excluded.slots
), kept AS (
    UPDATE jobs_lock held SET expires_at = now() + held.ttl * interval '1 second'
    FROM jobs_job job
    WHERE job.node_id = %(id)s AND job.state = 'running' AND held.job_id = job.id AND held.lease = job.lease
          AND held.expires_at < now() + held.ttl * interval '1 second' / 2
)
SELECT id, lease, cancel_requested_at IS NOT NULL FROM jobs_job
WHERE node_id = %(id)s AND state = 'running'
      AND (cancel_requested_at IS NOT NULL OR started_at < now() - %(lease)s * interval '1 second')
"""


def ask_to_drain(node_id: uuid.UUID) -> bool:
    """A node shall take nothing more, give back what is long and end, as if its process had been told to stop. Returns
    whether it lives and had not begun to.
    """
    living = Node.objects.filter(id=node_id, expires_at__gt=Now(), draining=False)
    return bool(living.update(drain_asked=True))


def drain_is_asked(node: Node) -> bool:
    return Node.objects.filter(id=node.id, drain_asked=True).exists()


def lost(limit: int = 1000) -> list[Job]:
    """Running jobs whose node stopped renewing its lease: for the dispatcher to end as lost.

    Nobody can renew while Postgres is away, so after it starts every node has a full lease to be heard again.
    """
    return list(Job.objects.raw(_LOST, {"lease": settings.LEASE_SECONDS, "limit": limit}))


_LOST = """
SELECT job.* FROM jobs_job job LEFT JOIN jobs_node node ON node.id = job.node_id
WHERE job.state = 'running' AND (node.id IS NULL OR node.expires_at < now())
      AND pg_postmaster_start_time() < now() - %(lease)s * interval '1 second'
LIMIT %(limit)s
"""


def next_end() -> float:
    """Seconds until the first of the leases that stand runs out, unless it is renewed; infinite where none stands."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM min(expires_at) - now()) FROM jobs_node WHERE expires_at > now()")
        (seconds,) = cursor.fetchone()
    return math.inf if seconds is None else float(seconds)


def save_progress(job: Job, progress: Any) -> bool:
    """Show how far a running job is. False: the lease is gone and nothing was written."""
    return bool(_held(job).update(progress=progress))


def save_checkpoint(job: Job, checkpoint: Any) -> bool:
    """Keep what the next attempt goes on from. False: the lease is gone and nothing was written."""
    return bool(_held(job).update(checkpoint=checkpoint))


@contextmanager
def held(job: Job) -> Iterator[bool]:
    """A transaction that keeps the lease from changing hands until it ends. Gives whether the lease still holds."""
    with transaction.atomic():
        yield _held(job).select_for_update(no_key=True).exists()


def _held(job: Job) -> Any:
    return Job.objects.filter(id=job.id, lease=job.lease, state=State.RUNNING)
