"""The life of a job: everything that can happen to it, and nothing else writes `state`.

    submit ─► scheduled ──promote──► queued ──claim──► running ──┬─► completed
                  ▲                    ▲  ▲                      ├─► failed     (dead letter)
                  └──── snoozed ◄──────┼──┼────── record ────────┼─► cancelled, paused
                                       │  └────── released ◄─────┤
                  retrying ─promote────┘                         │
                     ▲──────────── failed, retries left ─────────┘
    pause: scheduled, queued, retrying ─► paused ─► resume        requeue: failed, cancelled ─► queued
    hasten: scheduled ─► queued

Each verb is one statement that names the states it starts from, so of two that race one wins and the other changes
nothing. A running job is held by a lease, a random token: `record` ends an attempt only while its token is in the
row. Who comes late (frozen, rescued, replaced) is told so, and nothing of what it did is kept.

Every verb works on sets. Times are the database's own. Nothing here publishes to the broker: `doorbell` only says
that there is something to look at.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterable, Sequence
from contextlib import nullcontext
from typing import Any

from django.db import connection, transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now

from jobs import doorbell
from jobs.endings import Ending
from jobs.kinds import Kind
from jobs.models import FINISHED, LIVE, WAITING, Job, Priority, State, uuid7
from jobs.submission import Submission, checked

# The verbs, and the states that each may start from and end in.
VERBS: dict[str, tuple[frozenset[State], frozenset[State]]] = {
    "promote": (frozenset({State.SCHEDULED, State.RETRYING}), frozenset({State.QUEUED})),
    "claim": (frozenset({State.QUEUED}), frozenset({State.RUNNING})),
    "unclaim": (frozenset({State.RUNNING}), frozenset({State.QUEUED, State.CANCELLED})),
    "hasten": (frozenset({State.SCHEDULED}), frozenset({State.QUEUED})),
    "record": (frozenset({State.RUNNING}), frozenset({*FINISHED, *WAITING, State.PAUSED})),
    "cancel": (frozenset({*WAITING, State.PAUSED, State.RUNNING}), frozenset({State.CANCELLED, State.RUNNING})),
    "pause": (frozenset(WAITING), frozenset({State.PAUSED})),
    "resume": (frozenset({State.PAUSED}), frozenset({State.QUEUED, State.SCHEDULED})),
    "requeue": (frozenset({State.FAILED, State.CANCELLED}), frozenset({State.QUEUED})),
}


def submit(kind: str, payload: dict[str, Any] | None = None, **options: Any) -> Job:
    """Write a job in the caller's transaction. Options and errors: submission.checked()."""
    one = checked(kind, payload, **options)
    row = {
        "id": uuid7(),
        "kind": one.kind.name,
        "lane": one.kind.lane,
        "payload": one.payload,
        "metadata": one.metadata,
        "priority": one.priority,
        "rank": one.rank,
        "run_at": one.run_at,
        "max_retries": one.max_retries,
        "timeout": one.timeout,
    }
    with transaction.atomic() if one.kind.on_submit else nullcontext():
        job = Job.objects.raw(_SUBMIT, row)[0]
        if one.kind.on_submit:
            one.kind.on_submit([job])
    # robust: once the row is committed, no fault of the wake-up may turn into an error for the submitter.
    transaction.on_commit(doorbell.ring, robust=True)
    return job


_SUBMIT = """
INSERT INTO jobs_job (id, kind, lane, payload, metadata, priority, rank, state, run_at, ready_at, max_retries,
                      timeout, attempt, failures, crashes, losses, reason, error)
SELECT %(id)s, %(kind)s, %(lane)s, %(payload)s::jsonb, %(metadata)s::jsonb, %(priority)s, %(rank)s,
       CASE WHEN due > now() THEN 'scheduled' ELSE 'queued' END,
       greatest(due, now()),
       CASE WHEN due > now() THEN NULL ELSE now() END,
       %(max_retries)s, %(timeout)s, 0, 0, 0, 0, '', ''
FROM (SELECT %(run_at)s::timestamptz AS due) AS given
RETURNING *
"""


def submit_many(submissions: Sequence[Submission]) -> list[uuid.UUID]:
    """Write many checked jobs in the caller's transaction, all or none, by COPY. Returns their ids, in order.

    A job with a run_at starts as scheduled, even if it is due; the dispatcher's next round promotes it.
    """
    ids = [uuid7() for _ in submissions]
    hooked: dict[Kind, list[Job]] = {}
    with transaction.atomic(), connection.cursor() as cursor:
        with cursor.copy(_COPY) as rows:
            for one_id, one in zip(ids, submissions, strict=True):
                due = one.run_at
                state, ready_at = (State.SCHEDULED, None) if due else (State.QUEUED, "now")
                rows.write_row(
                    (one_id, one.kind.name, one.kind.lane.value, one.payload, one.metadata, int(one.priority),
                     one.rank, state.value, due or "now", ready_at, one.max_retries, one.timeout, 0, 0, 0, 0, "", "")
                )  # fmt: skip
                if one.kind.on_submit:
                    job = Job(id=one_id, kind=one.kind.name, payload=json.loads(one.payload))
                    hooked.setdefault(one.kind, []).append(job)
        for kind, jobs in hooked.items():
            assert kind.on_submit is not None
            kind.on_submit(jobs)
    transaction.on_commit(doorbell.ring, robust=True)
    return ids


_COPY = """
COPY jobs_job (id, kind, lane, payload, metadata, priority, rank, state, run_at, ready_at, max_retries, timeout,
               attempt, failures, crashes, losses, reason, error) FROM STDIN
"""


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


def claim(ids: Collection[uuid.UUID], *, node: uuid.UUID, lease: uuid.UUID, kinds: Collection[str]) -> list[Job]:
    """Take those of `ids` that are still queued, under one lease, in the order given. Fewer, or none, is no error."""
    order = {one: place for place, one in enumerate(ids)}
    params = {"ids": list(order), "node": node, "lease": lease, "kinds": list(kinds)}
    return sorted(Job.objects.raw(_CLAIM, params), key=lambda job: order[job.id])


# SKIP LOCKED: a row that somebody else is claiming right now is theirs. Waiting for it would only confirm that.
# What running a job needs comes back, and no more: reading every column took as long as all the rest of a short job.
_CLAIM = """
UPDATE jobs_job SET state = 'running', lease = %(lease)s, node_id = %(node)s, attempt = attempt + 1,
                    started_at = now(), progress = NULL
WHERE id IN (SELECT id FROM jobs_job WHERE id = ANY(%(ids)s) AND state = 'queued' AND kind = ANY(%(kinds)s)
             FOR UPDATE SKIP LOCKED)
RETURNING id, kind, payload, checkpoint, state, attempt, failures, max_retries, crashes, losses, timeout, lease, node_id
"""


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


def record(endings: Collection[Ending]) -> set[uuid.UUID]:
    """End attempts, each only if its lease still holds; write their history in the same statement.

    Returns the ids that were accepted. An id that is missing came late: another attempt, or nobody, has the job.
    A job whose cancel was asked for meanwhile ends cancelled, however its attempt ended.
    """
    if not endings:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(_RECORD, {"endings": json.dumps([ending.as_row() for ending in endings])})
        return {row[0] for row in cursor.fetchall()}


# Who has a lease is running: a constraint of the table says so. To ask for the state as well would lead the planner to
# the index of running jobs, which it believes to hold one row, and to a loop over all of them for each of ours.
_RECORD = """
WITH ended AS (
    UPDATE jobs_job job SET
        state = ending.state, lease = NULL,
        finished_at = CASE WHEN ending.state IN ('completed', 'failed', 'cancelled') THEN now() END,
        run_at = coalesce(now() + ending.delay * interval '1 second', job.run_at),
        failures = job.failures + ending.failures, crashes = job.crashes + ending.crashes,
        losses = job.losses + ending.losses,
        reason = CASE WHEN ending.state = 'failed' THEN ending.reason ELSE '' END,
        error = ending.error, result = ending.result,
        checkpoint = CASE WHEN ending.state = 'completed' THEN NULL ELSE job.checkpoint END
    FROM (
        SELECT given.*, CASE WHEN locked.cancel_requested_at IS NULL THEN given.wanted ELSE 'cancelled' END AS state
        FROM jsonb_to_recordset(%(endings)s::jsonb) AS given(id uuid, lease uuid, wanted text, outcome text,
             delay float8, failures int, crashes int, losses int, reason text, error text, traceback text,
             result jsonb, seconds float8)
        JOIN jobs_job locked ON locked.id = given.id AND locked.lease = given.lease
        ORDER BY given.id FOR UPDATE OF locked
    ) ending
    WHERE job.id = ending.id AND job.lease = ending.lease
    RETURNING job.id, job.kind, job.attempt, job.started_at, job.node_id, ending.outcome, ending.error,
              ending.traceback, ending.seconds
)
INSERT INTO jobs_attempt (job_id, kind, number, outcome, started_at, finished_at, seconds, node, error, traceback)
SELECT ended.id, kind, attempt, outcome, ended.started_at, now(), seconds, coalesce(node.name, ''), error, traceback
FROM ended LEFT JOIN jobs_node node ON node.id = ended.node_id
RETURNING job_id
"""


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
    return _change(VERBS["pause"][0], ids, "state = 'paused'")


def resume(ids: Collection[uuid.UUID]) -> int:
    """Let paused jobs go on; those whose time has not come wait for it. Returns how many it reached."""
    reached = _change(
        VERBS["resume"][0],
        ids,
        """state = CASE WHEN run_at > now() THEN 'scheduled' ELSE 'queued' END,
           ready_at = CASE WHEN run_at > now() THEN NULL ELSE now() END""",
    )
    transaction.on_commit(doorbell.ring, robust=True)
    return reached


def requeue(ids: Collection[uuid.UUID]) -> int:
    """Run dead letters and cancelled jobs again, with a fresh budget of attempts. Returns how many it reached."""
    reached = _change(
        VERBS["requeue"][0],
        ids,
        """state = 'queued', run_at = now(), ready_at = now(), finished_at = NULL, cancel_requested_at = NULL,
           failures = 0, crashes = 0, losses = 0, reason = '', result = NULL""",
    )
    transaction.on_commit(doorbell.ring, robust=True)
    return reached


def hasten(ids: Collection[uuid.UUID]) -> int:
    """Queue scheduled jobs before their time, for what they waited for has come. Returns how many it reached."""
    reached = _change(VERBS["hasten"][0], ids, "state = 'queued', run_at = now(), ready_at = now()")
    transaction.on_commit(doorbell.ring, robust=True)
    return reached


def set_priority(ids: Collection[uuid.UUID], priority: Priority) -> int:
    """Move jobs to another queue; a running one keeps it for its next attempt. Returns how many: not finished ones.

    A rank is a place in the queue that a job leaves, so it is not taken along.
    """
    return _change(LIVE, ids, "priority = %(priority)s, rank = 0", priority=priority)


def _change(states: Iterable[State], ids: Collection[uuid.UUID], assignments: str, **values: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE jobs_job SET {assignments} WHERE id IN ({_LOCKED})",  # noqa: S608 - only our own text goes in
            {"ids": list(ids), "states": list(states), **values},
        )
        return int(cursor.rowcount)


def not_reached(verb: str, job_id: uuid.UUID) -> str:
    """Why a verb did not reach a job, in words for people."""
    state = Job.objects.filter(id=job_id).values_list("state", flat=True).first()
    if state is None:
        return "There is no such job."
    allowed = ", ".join(sorted(VERBS[verb][0]))
    return f"The job is {state}; {verb} works on jobs that are {allowed}."
