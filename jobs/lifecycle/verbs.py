"""What happens to jobs between their attempts: each verb one statement, over sets of jobs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.db import IntegrityError, connection, transaction

from jobs import doorbell
from jobs.gates import BEFORE_LIMITS
from jobs.models import FINISHED, LIVE, WAITING, Job, Priority, State
from jobs.submission import Conflict, Submission

_TRIES = 20  # each is lost only to a submission that came in between

# The verbs, and the states that each may start from and end in.
VERBS: dict[str, tuple[frozenset[State], frozenset[State]]] = {
    "promote": (frozenset({State.SCHEDULED, State.RETRYING}), frozenset({State.QUEUED})),
    "release": (frozenset({State.BLOCKED}), frozenset({State.QUEUED, State.SCHEDULED})),
    "abandon": (frozenset({State.BLOCKED}), frozenset({State.CANCELLED})),
    "claim": (frozenset({State.QUEUED}), frozenset({State.RUNNING})),
    "unclaim": (frozenset({State.RUNNING}), frozenset({State.QUEUED, State.CANCELLED})),
    "hasten": (frozenset({State.SCHEDULED}), frozenset({State.QUEUED})),
    "record": (frozenset({State.RUNNING}), frozenset({*FINISHED, *WAITING, State.PAUSED})),
    "cancel": (frozenset(LIVE), frozenset({State.CANCELLED, State.RUNNING})),
    "pause": (frozenset(WAITING), frozenset({State.PAUSED})),
    "resume": (frozenset({State.PAUSED}), frozenset({State.QUEUED, State.SCHEDULED})),
    "requeue": (frozenset({State.FAILED, State.CANCELLED}), frozenset({State.QUEUED, State.BLOCKED})),
    "discard": (frozenset({State.FAILED}), frozenset({State.CANCELLED})),
    "rewrite": (frozenset({*WAITING, State.PAUSED}), frozenset({State.QUEUED, State.SCHEDULED, State.PAUSED})),
}


def promote(limit: int = 1000) -> int:
    """Queue what has become due. Returns how many; `limit` bounds the time that the rows stay locked."""
    with connection.cursor() as cursor:
        cursor.execute(_PROMOTE, {"limit": limit})
        return int(cursor.rowcount)


_PROMOTE = """
UPDATE jobs_job SET state = 'queued', ready_at = now()
WHERE id IN (SELECT id FROM jobs_job WHERE state IN ('scheduled', 'retrying') AND run_at <= now()
             ORDER BY run_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""


def release(ids: Collection[uuid.UUID]) -> int:
    """Let jobs go that waited for others; those whose time has not come wait for it. Returns how many it reached."""
    return _change(VERBS["release"][0], ids, _WHEN_DUE)


_WHEN_DUE = """
state = CASE WHEN run_at > now() THEN 'scheduled' ELSE 'queued' END,
ready_at = CASE WHEN run_at > now() THEN NULL ELSE now() END
"""


def abandon(reasons: Mapping[uuid.UUID, str]) -> int:
    """Cancel jobs that waited for others in vain, each with its reason. Returns how many it reached."""
    return _change(
        VERBS["abandon"][0],
        reasons.keys(),
        "state = 'cancelled', finished_at = now(), error = %(reasons)s::jsonb ->> id::text",
        reasons=json.dumps({str(one_id): why for one_id, why in reasons.items()}),
    )


def cancel(ids: Collection[uuid.UUID]) -> list[Job]:
    """Cancel what waits, at once; ask what runs to stop. Returns the jobs it reached; finished ones are not."""
    return list(Job.objects.raw(_CANCEL, {"ids": list(ids), "states": list(VERBS["cancel"][0])}))


# In the order of their ids: so two sets that overlap never wait for each other in a circle.
_LOCKED = """
SELECT id FROM jobs_job WHERE id = ANY(%(ids)s) AND state = ANY(%(states)s) ORDER BY id FOR NO KEY UPDATE
"""

_CANCEL = f"""
UPDATE jobs_job SET
    cancel_requested_at = coalesce(cancel_requested_at, now()),
    finished_at = CASE WHEN state = 'running' THEN NULL ELSE now() END,
    state = CASE WHEN state = 'running' THEN state ELSE 'cancelled' END
WHERE id IN ({_LOCKED})
RETURNING *
"""  # noqa: S608 - only our own text goes in


def pause(ids: Collection[uuid.UUID]) -> int:
    """Hold jobs that wait. Running ones are not touched. Returns how many it reached."""
    return _change(VERBS["pause"][0], ids, f"state = 'paused', {BEFORE_LIMITS}")


def resume(ids: Collection[uuid.UUID]) -> int:
    """Let paused jobs go on; those whose time has not come wait for it. Returns how many it reached."""
    reached = _change(VERBS["resume"][0], ids, _WHEN_DUE)
    transaction.on_commit(doorbell.ring, robust=True)
    return reached


def requeue(ids: Collection[uuid.UUID], payload: str | None = None) -> int:
    """Run dead letters and cancelled jobs again, with a fresh budget of attempts. Returns how many it reached.

    One whose unique key a live job has by now is left as it is. One that waited for others waits for those of them
    that live, having been requeued before or with it; the rest it does without, for that is what the person decided.
    `payload`: checked JSON to run on instead of their own; then a checkpoint of the old one says nothing.
    """
    params: dict[str, Any] = {"ids": list(ids), "states": list(VERBS["requeue"][0]), "payload": payload}
    for _ in range(_TRIES):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(_LOCKED, params)  # first: what jobs/flow.py has done to them by then, we see
                # Those alone, whose states hold by now: what came to be dead meanwhile would be locked out of order.
                cursor.execute(_REQUEUE, params | {"ids": [row[0] for row in cursor.fetchall()]})
                reached = int(cursor.rowcount)
        except IntegrityError:  # somebody has just submitted a job with such a key; now it can be seen
            continue
        transaction.on_commit(doorbell.ring, robust=True)
        return reached
    raise RuntimeError("Jobs with these unique keys come and go too fast to be requeued.")


_WAITS = """
EXISTS (SELECT FROM jobs_dependency waits JOIN jobs_job parent ON parent.id = waits.parent_id
        WHERE waits.child_id = job.id AND NOT waits.met AND (parent.finished_at IS NULL OR parent.id = ANY(%(ids)s)))
"""

_REQUEUE = f"""
UPDATE jobs_job job SET
    state = CASE WHEN {_WAITS} THEN 'blocked' ELSE 'queued' END, run_at = now(),
    ready_at = CASE WHEN {_WAITS} THEN NULL ELSE now() END, finished_at = NULL, cancel_requested_at = NULL,
    failures = 0, crashes = 0, losses = 0, reason = '', fingerprint = '', result = NULL,
    payload = coalesce(%(payload)s::jsonb, payload), {BEFORE_LIMITS},
    checkpoint = CASE WHEN %(payload)s::jsonb IS NULL THEN checkpoint END
WHERE id = ANY(%(ids)s) AND (unique_key IS NULL OR NOT EXISTS (
    SELECT FROM jobs_job other
    WHERE other.kind = job.kind AND other.unique_key = job.unique_key AND other.id <> job.id
          AND other.owner_id IS NOT DISTINCT FROM job.owner_id
          AND (other.finished_at IS NULL OR other.id = ANY(%(ids)s) AND other.id > job.id
               AND other.state = ANY(%(states)s))
))
"""  # noqa: S608 - only our own text goes in


def discard(ids: Collection[uuid.UUID]) -> int:
    """Give dead letters up: they count as cancelled, and can still be requeued. Returns how many it reached."""
    return _change(VERBS["discard"][0], ids, "state = 'cancelled', reason = '', fingerprint = ''")


def hasten(ids: Collection[uuid.UUID]) -> int:
    """Queue scheduled jobs before their time, for what they waited for has come. Returns how many it reached."""
    reached = _change(VERBS["hasten"][0], ids, "state = 'queued', run_at = now(), ready_at = now()")
    transaction.on_commit(doorbell.ring, robust=True)
    return reached


def rewrite(wishes: Mapping[uuid.UUID, Submission]) -> set[uuid.UUID]:
    """Give jobs that have not begun the time of what was submitted now, and where it shall replace them all the rest.

    Paused ones stay paused. Returns the ids of those it reached.
    """
    rows = [
        {
            "id": str(job_id),
            "run_at": one.run_at and one.run_at.isoformat(),
            "replaces": one.on_conflict is Conflict.REPLACE,
            "payload": json.loads(one.payload),
            "metadata": json.loads(one.metadata),
            "priority": one.priority,
            "rank": one.rank,
            "max_retries": one.max_retries,
            "timeout": one.timeout,
            "result_ttl": one.result_ttl,
            "limit_key": one.limit_key,
        }
        for job_id, one in wishes.items()
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            _REWRITE,
            {"rows": json.dumps(rows), "ids": list(wishes), "states": list(VERBS["rewrite"][0])},
        )
        reached = {row[0] for row in cursor.fetchall()}
    transaction.on_commit(doorbell.ring, robust=True)
    return reached


_REWRITE = f"""
UPDATE jobs_job job SET
    state = CASE WHEN job.state = 'paused' THEN 'paused' WHEN given.run_at > now() THEN 'scheduled' ELSE 'queued' END,
    run_at = coalesce(greatest(given.run_at, now()), now()),
    ready_at = CASE WHEN given.run_at > now() THEN NULL ELSE coalesce(job.ready_at, now()) END,
    payload = CASE WHEN replaces THEN given.payload ELSE job.payload END,
    metadata = CASE WHEN replaces THEN given.metadata ELSE job.metadata END,
    priority = CASE WHEN replaces THEN given.priority ELSE job.priority END,
    rank = CASE WHEN replaces THEN given.rank ELSE job.rank END,
    max_retries = CASE WHEN replaces THEN given.max_retries ELSE job.max_retries END,
    timeout = CASE WHEN replaces THEN given.timeout ELSE job.timeout END,
    result_ttl = CASE WHEN replaces THEN given.result_ttl ELSE job.result_ttl END,
    limit_key = CASE WHEN replaces THEN given.limit_key ELSE job.limit_key END,
    admission = CASE WHEN CASE WHEN replaces THEN given.limit_key ELSE job.limit_key END = '' THEN 0 ELSE 1 END,
    checkpoint = CASE WHEN replaces THEN NULL ELSE job.checkpoint END,
    failures = CASE WHEN replaces THEN 0 ELSE job.failures END
FROM jsonb_to_recordset(%(rows)s::jsonb) AS given(id uuid, run_at timestamptz, replaces bool, payload jsonb,
     metadata jsonb, priority smallint, rank smallint, max_retries int, timeout float8, result_ttl float8,
     limit_key text)
WHERE job.id = given.id AND job.id IN ({_LOCKED})
RETURNING job.id
"""  # noqa: S608 - only our own text goes in


def set_priority(ids: Collection[uuid.UUID], priority: Priority) -> int:
    """Move jobs to another queue; a running one keeps it for its next attempt. Returns how many: not finished ones.

    A rank is a place in the queue that a job leaves, so it is not taken along.
    """
    return _change(LIVE, ids, f"priority = %(priority)s, rank = 0, {BEFORE_LIMITS}", priority=priority)


def _change(states: Iterable[State], ids: Collection[uuid.UUID], assignments: str, **values: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE jobs_job SET {assignments} WHERE id IN ({_LOCKED})",  # noqa: S608 - only our own text goes in
            {"ids": list(ids), "states": list(states), **values},
        )
        return int(cursor.rowcount)


def not_reached(verb: str, job_id: uuid.UUID) -> str:
    """Why a verb did not reach a job, in words for people."""
    job = Job.objects.filter(id=job_id).first()
    if job is None:
        return "There is no such job."
    state = job.state
    if verb == "requeue" and state in VERBS[verb][0]:
        return "A live job has its unique_key."
    allowed = ", ".join(sorted(VERBS[verb][0]))
    return f"The job is {state}; {verb} works on jobs that are {allowed}."
