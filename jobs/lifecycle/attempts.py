"""The verbs of workers: how an attempt begins, and how it ends."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Sequence
from typing import Any

from django.db import connection
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now

from jobs import trail
from jobs.endings import Ending
from jobs.gates import BARS, BEFORE_LIMITS
from jobs.models import Job, State


def claim(ids: Collection[uuid.UUID], *, node: uuid.UUID, lease: uuid.UUID, kinds: Collection[str]) -> list[Job]:
    """Take those of `ids` that are still queued, under one lease, in the order given. Fewer, or none, is no error."""
    order = {one: place for place, one in enumerate(ids)}
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"ids": list(order), "node": node, "lease": lease, "kinds": list(kinds)})
        claimed = list(map(_job, cursor.fetchall()))
    return sorted(claimed, key=lambda job: order[job.id])


def _job(row: Sequence[Any]) -> Job:
    """Without what Django does to read rows of any kind, which took a fifth of the time that a claim takes."""
    values = list(row)
    for at in _JSON:
        values[at] = None if values[at] is None else json.loads(values[at])
    return Job.from_db(connection.alias, _NEEDED, values)


# What running a job needs, and no more: reading every column took as long as all the rest of a short job.
_NEEDED = {
    *("id", "kind", "payload", "checkpoint", "state", "attempt", "failures", "max_retries", "crashes", "losses"),
    *("timeout", "limit_key", "lease", "node_id", "owner_id", "request_id", "traceparent"),
}
_READ = [field.attname for field in Job._meta.concrete_fields if field.attname in _NEEDED]  # noqa: SLF001 - Django's documented name
_JSON = [_READ.index(name) for name in ("payload", "checkpoint")]


# SKIP LOCKED: a row that somebody else is claiming right now is theirs. Waiting for it would only confirm that.
# An array rather than IN: the planner would join the two, and read the whole table to do so.
# What its gates hold back stays where it is, whoever has a hint of it. The admission is used up by the start.
_CLAIM = f"""
UPDATE jobs_job SET state = 'running', lease = %(lease)s, node_id = %(node)s, attempt = attempt + 1,
                    started_at = now(), progress = NULL, {BEFORE_LIMITS}
WHERE id = ANY(ARRAY(
    SELECT id FROM jobs_job job WHERE id = ANY(%(ids)s) AND state = 'queued' AND kind = ANY(%(kinds)s)
           AND admission <> 1 AND NOT {BARS} FOR UPDATE SKIP LOCKED
))
RETURNING {", ".join(_READ)}
"""  # noqa: S608 - only our own text goes in


def unclaim(lease: uuid.UUID, ids: Collection[uuid.UUID]) -> int:
    """Give back jobs that were claimed and not begun, as if never claimed. Returns how many.

    One whose cancel was asked for meanwhile is cancelled: nobody has begun it, so nobody shall.
    """
    asked = Q(cancel_requested_at__isnull=False)
    return Job.objects.filter(id__in=ids, lease=lease, state=State.RUNNING).update(
        state=Case(When(asked, then=Value(State.CANCELLED)), default=Value(State.QUEUED)),
        finished_at=Case(When(asked, then=Now())),
        lease=None,
        attempt=F("attempt") - 1,
    )


def record(endings: Collection[Ending], *, wait: bool = True) -> set[uuid.UUID]:
    """End attempts, each only if its lease still holds; write their history in the same statement.

    Returns the ids that were accepted. An id that is missing came late: another attempt, or nobody, has the job.
    A job whose cancel was asked for meanwhile ends cancelled, however its attempt ended.
    Without `wait`, rows that somebody has locked are left out. A worker that was cut off in the middle of a transaction
    keeps its locks until the database ends its session, a minute later.
    """
    if not endings:
        return set()
    rows = json.dumps([ending.as_row() for ending in endings])
    with connection.cursor() as cursor:
        cursor.execute(_RECORD if wait else _RECORD_UNLOCKED, {"endings": rows})
        accepted = {row[0] for row in cursor.fetchall()}
    trail.ended([ending for ending in endings if ending.job.id in accepted])
    return accepted


# Who has a lease is running: a constraint of the table says so. To ask for the state as well would lead the planner to
# the index of running jobs, which it believes to hold one row, and to a loop over all of them for each of ours.
_RECORD = """
WITH ended AS (
    UPDATE jobs_job job SET
        state = ending.state, lease = NULL,
        finished_at = CASE WHEN ending.state IN ('completed', 'failed', 'cancelled') THEN now() END,
        run_at = coalesce(now() + ending.delay * interval '1 second', job.run_at),
        failures = job.failures + coalesce(ending.failures, 0), crashes = job.crashes + coalesce(ending.crashes, 0),
        losses = job.losses + coalesce(ending.losses, 0),
        reason = CASE WHEN ending.state = 'failed' THEN coalesce(ending.reason, '') ELSE '' END,
        error = coalesce(ending.error, ''),
        fingerprint = CASE WHEN ending.state = 'failed' THEN coalesce(ending.fingerprint, '') ELSE '' END,
        result = ending.result,
        checkpoint = CASE WHEN ending.state = 'completed' THEN NULL ELSE job.checkpoint END
    FROM (
        SELECT given.*, CASE WHEN locked.cancel_requested_at IS NULL THEN given.wanted ELSE 'cancelled' END AS state
        FROM jsonb_to_recordset(%(endings)s::jsonb) AS given(id uuid, lease uuid, wanted text, outcome text,
             delay float8, failures int, crashes int, losses int, reason text, error text, fingerprint text,
             traceback text, result jsonb, seconds float8)
        JOIN jobs_job locked ON locked.id = given.id AND locked.lease = given.lease
        ORDER BY given.id FOR UPDATE OF locked
    ) ending
    WHERE job.id = ending.id AND job.lease = ending.lease
    RETURNING job.id, job.kind, job.attempt, job.started_at, job.node_id, ending.outcome, ending.error,
              ending.traceback, ending.seconds
)
INSERT INTO jobs_attempt (job_id, kind, number, outcome, started_at, finished_at, seconds, node, error, traceback)
SELECT ended.id, kind, attempt, outcome, ended.started_at, now(), seconds, coalesce(node.name, ''), coalesce(error, ''),
       coalesce(traceback, '')
FROM ended LEFT JOIN jobs_node node ON node.id = ended.node_id
RETURNING job_id
"""
_RECORD_UNLOCKED = _RECORD.replace("FOR UPDATE OF locked", "FOR UPDATE OF locked SKIP LOCKED")
