"""The processes: whether somebody decides, somebody works, and all of them run the same release."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from django.db import connection
from django.db.models.functions import Now

from jobs import leadership
from jobs.capacity import queue_name
from jobs.doctor.findings import Finding, fault, warning, well
from jobs.models import Lane, Node, Priority


def examine() -> Iterator[Finding]:
    leader = leadership.leader()
    if leader is None:
        yield fault("dispatcher", "none leads, so nothing is sent to workers", "celery -A project beat")
    else:
        yield well("dispatcher", f"{leader.holder} leads, term {leader.term}")
    alive = list(Node.objects.filter(expires_at__gt=Now()))
    if not alive:
        yield fault("workers", "none is alive", "celery -A project worker")
    else:
        yield well("workers", f"{len(alive)} alive with {sum(node.slots for node in alive)} slots")
    yield from _releases(alive)
    yield from _orphans(alive)


def _releases(alive: list[Node]) -> Iterator[Finding]:
    releases = Counter(node.release or "unknown" for node in alive)
    if len(releases) > 1:
        told = ", ".join(f"{count} of {release}" for release, count in sorted(releases.items()))
        yield warning("workers", f"are of different releases: {told}", "Let the rollout finish, or restart the older.")


def _orphans(alive: list[Node]) -> Iterator[Finding]:
    """Jobs that are ready and that no live worker would take: their queue is served by none that knows their kind."""
    takers: dict[str, set[str]] = {}
    for node in alive:
        if not node.draining:
            for queue in node.queues:
                takers.setdefault(queue, set()).update(node.kinds)
    with connection.cursor() as cursor:
        cursor.execute(_READY_KINDS, [list(Lane.values), list(Priority.values)])
        waiting = [(queue_name(priority, lane), kind) for lane, priority, kind in cursor.fetchall()]
    for queue, kind in waiting:
        if queue not in takers:
            yield fault(
                "queues", f"jobs wait in {queue}, which no worker serves", f"celery -A project worker -Q {queue}"
            )
        elif kind not in takers[queue]:
            yield fault(
                "queues",
                f"{kind} jobs wait in {queue}, and no worker there knows that kind",
                f"Restart the workers of {queue} with the code that has the handler of {kind}.",
            )


# The kinds among the first of each queue: enough to tell, and a bounded look at any depth.
_READY_KINDS = """
SELECT DISTINCT queue.lane, queue.priority, head.kind
FROM (SELECT lane, priority FROM unnest(%s::text[]) lane, unnest(%s::smallint[]) priority) AS queue
CROSS JOIN LATERAL (
    SELECT kind FROM jobs_job
    WHERE state = 'queued' AND admission <> 1 AND lane = queue.lane AND priority = queue.priority
    ORDER BY rank DESC, ready_at, id LIMIT 200
) head
ORDER BY 1, 2, 3
"""
