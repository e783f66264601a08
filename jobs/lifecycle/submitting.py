"""How a job begins: one by INSERT, many by COPY, and those with a unique key so that only one of them lives.

A unique key is held by the table itself: a partial index admits one live job of an owner and a kind with it. However
many processes submit it at once, one row is written, and the others meet it.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from django.db import connection, transaction

from jobs import dependencies, doorbell, limits, tracing, trail
from jobs.kinds import Kind
from jobs.lifecycle.verbs import rewrite
from jobs.models import Admission, Job, State, uuid7
from jobs.submission import Conflict, Submission, checked

_TRIES = 50  # each is lost only to a job that was written and has ended between two statements of ours


class KeyTaken(Exception):
    """Jobs that were refused because live ones have their unique keys: place in the call, and the job that lives."""

    def __init__(self, taken: Mapping[int, uuid.UUID]) -> None:
        super().__init__(f"A live job has this unique_key: {', '.join(map(str, dict.fromkeys(taken.values())))}.")
        self.taken = taken


def submit(kind: str, payload: dict[str, Any] | None = None, **options: Any) -> Job:
    """Write a job in the caller's transaction. Options and errors: submission.checked(); KeyTaken."""
    return place(checked(kind, payload, **options))[0]


def place(one: Submission) -> tuple[Job, bool]:
    """Write a checked job in the caller's transaction. False: it met a live one with its unique key, which is given.

    Raises KeyTaken and limits.BacklogFull.
    """
    if one.unique_key is not None or one.depends_on or one.limit_key:
        ((job_id, new),) = place_many([one])
        return Job.objects.get(id=job_id), new
    whole = transaction.atomic() if one.kind.on_submit else nullcontext()
    with tracing.submission(one.kind.name), whole:
        job = _insert(one)
        if one.kind.on_submit:
            one.kind.on_submit([job])
    trail.submitted(job)
    # robust: once the row is committed, no fault of the wake-up may turn into an error for the submitter.
    transaction.on_commit(doorbell.ring, robust=True)
    return job, True


def _insert(one: Submission) -> Job:
    """What is not known here comes back, and no more: this is the busiest statement that clients wait for."""
    row = _row(uuid7(), one)
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, row | {"run_at": one.run_at})
        found = dict(zip(_FOUND, cursor.fetchone(), strict=True))
    told = {name: None if row[name] is None else json.loads(row[name]) for name in ("payload", "metadata", "notify")}
    return Job.from_db(connection.alias, _BLANK, list((_BLANK | row | told | found).values()))


def submit_many(submissions: Sequence[Submission]) -> list[uuid.UUID]:
    """Write many checked jobs in the caller's transaction, all or none, by COPY. Returns their ids, in order.

    A job with a run_at starts as scheduled, even if it is due; the dispatcher's next round promotes it. For those with
    a unique key the job that there is now. Raises KeyTaken.
    """
    return [job_id for job_id, _ in place_many(submissions)]


def place_many(
    submissions: Sequence[Submission], ids: Sequence[uuid.UUID] | None = None, held: Collection[uuid.UUID] = ()
) -> list[tuple[uuid.UUID, bool]]:
    """As submit_many, and of each whether it is new.

    With `ids`, which are unused, they may wait for each other. Those in `held` wait for somebody to release them.
    """
    ids = ids or [uuid7() for _ in submissions]
    keyed = [at for at, one in enumerate(submissions) if one.unique_key is not None]
    with tracing.submission(f"{len(ids)} jobs"), transaction.atomic():
        if limited := Counter(one.limit_key for one in submissions if one.limit_key):
            limits.take_room(limited)
        met = _place_unique({at: (ids[at], submissions[at]) for at in keyed}) if keyed else {}
        plain = [(ids[at], one) for at, one in enumerate(submissions) if one.unique_key is None]
        if plain:
            _copy_bound(plain, held)
        _call_hooks((ids[at], one) for at, one in enumerate(submissions) if met.get(at, ids[at]) == ids[at])
    trail.submitted_many(ids)
    transaction.on_commit(doorbell.ring, robust=True)
    return [(met.get(at, one_id), met.get(at, one_id) == one_id) for at, one_id in enumerate(ids)]


def _copy_bound(jobs: Sequence[tuple[uuid.UUID, Submission]], held: Collection[uuid.UUID]) -> None:
    """Those that wait for others are bound to them."""
    waiting = {one_id: one for one_id, one in jobs if one.depends_on}
    states = dependencies.lock_parents(waiting, {one_id for one_id, _ in jobs}) if waiting else {}
    _copy(
        jobs,
        dependencies.blocked(waiting, states).union(held),
        {parent for one in waiting.values() for parent in one.depends_on},
    )
    if waiting:
        dependencies.bind(waiting, states)


def _call_hooks(written: Iterable[tuple[uuid.UUID, Submission]]) -> None:
    hooked: dict[Kind, list[Job]] = {}
    for one_id, one in written:
        if one.kind.on_submit:
            job = Job(id=one_id, kind=one.kind.name, payload=json.loads(one.payload))
            hooked.setdefault(one.kind, []).append(job)
    for kind, jobs in hooked.items():
        assert kind.on_submit is not None
        kind.on_submit(jobs)


# --- the rows --------------------------------------------------------------------------------------------------------

# What is known of a job before it has a state, in the order of COPY, with the types that JSON lacks.
_COLUMNS = {
    "id": "uuid",
    "kind": "text",
    "lane": "text",
    "payload": "jsonb",
    "metadata": "jsonb",
    "priority": "smallint",
    "rank": "smallint",
    "max_retries": "int",
    "timeout": "float8",
    "result_ttl": "float8",
    "owner_id": "int",
    "limit_key": "text",
    "admission": "smallint",
    "unique_key": "text",
    "batch_id": "uuid",
    "followed": "bool",
    "notify": "jsonb",
    "attempt": "int",
    "failures": "int",
    "crashes": "int",
    "losses": "int",
    "reason": "text",
    "error": "text",
    "request_id": "text",
    "traceparent": "text",
}
_NAMES = ", ".join(_COLUMNS)


def _row(one_id: uuid.UUID, one: Submission) -> dict[str, Any]:
    return {
        "id": one_id,
        "kind": one.kind.name,
        "lane": one.kind.lane.value,
        "payload": one.payload,
        "metadata": one.metadata,
        "priority": int(one.priority),
        "rank": one.rank,
        "max_retries": one.max_retries,
        "timeout": one.timeout,
        "result_ttl": one.result_ttl,
        "owner_id": one.owner_id,
        "limit_key": one.limit_key,
        "admission": Admission.HELD if one.limit_key else Admission.OPEN,
        "unique_key": one.unique_key,
        "batch_id": one.batch_id,
        "followed": bool(one.batch_id or one.notify),
        "notify": one.notify,
        **dict.fromkeys(("attempt", "failures", "crashes", "losses"), 0),
        "reason": "",
        "error": "",
        "request_id": trail.request_id.get(),
        "traceparent": tracing.traceparent.get(),
    }


_STATE = """
CASE WHEN run_at > now() THEN 'scheduled' ELSE 'queued' END, coalesce(greatest(run_at, now()), now()),
CASE WHEN run_at > now() THEN NULL ELSE now() END
"""
_FOUND = ("state", "created_at", "run_at", "ready_at")
_BLANK = {field.attname: field.get_default() for field in Job._meta.concrete_fields}  # noqa: SLF001 - a documented name

_INSERT = f"""
INSERT INTO jobs_job ({_NAMES}, state, run_at, ready_at)
SELECT {", ".join(f"%({name})s::{type_}" for name, type_ in _COLUMNS.items())}, {_STATE}
FROM (SELECT %(run_at)s::timestamptz AS run_at) AS given
RETURNING {", ".join(_FOUND)}
"""  # noqa: S608 - only our own text goes in


def _copy(jobs: Iterable[tuple[uuid.UUID, Submission]], blocked: set[uuid.UUID], followed: set[uuid.UUID]) -> None:
    # Django does not know of COPY, and would let the driver's own errors through: nobody expects those.
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(_COPY) as rows:
        for one_id, one in jobs:
            state, ready_at = (State.SCHEDULED, None) if one.run_at else (State.QUEUED, "now")
            if one_id in blocked:
                state, ready_at = State.BLOCKED, None
            row = _row(one_id, one)
            row["followed"] |= one_id in followed
            rows.write_row((*row.values(), state.value, one.run_at or "now", ready_at))


_COPY = f"COPY jobs_job ({_NAMES}, state, run_at, ready_at) FROM STDIN"


# --- unique keys -----------------------------------------------------------------------------------------------------


def _place_unique(jobs: Mapping[int, tuple[uuid.UUID, Submission]]) -> dict[int, uuid.UUID]:
    """For each the job that there is now: its own, or the live one that it met. Raises KeyTaken for all refused ones.

    Of several with one key in one call the last one counts where it replaces or reschedules, else the first; the
    others are given that one's job, unless they refuse.
    """
    chosen: dict[tuple[int | None, str, str | None], int] = {}
    for at, (_, one) in jobs.items():
        if one.on_conflict in (Conflict.REPLACE, Conflict.RESCHEDULE):
            chosen[one.owner_id, one.kind.name, one.unique_key] = at
        chosen.setdefault((one.owner_id, one.kind.name, one.unique_key), at)
    found, taken = _settle({at: jobs[at] for at in chosen.values()})
    for at, (_, one) in jobs.items():
        first = chosen[one.owner_id, one.kind.name, one.unique_key]
        match one.on_conflict:
            case Conflict.RETURN:
                refused = False
            case Conflict.REFUSE:
                refused = at != first or first in taken
            case _:
                refused = first in taken
        (taken if refused else found)[at] = taken[first] if first in taken else found[first]
    if taken:
        raise KeyTaken(dict(sorted(taken.items())))
    return found


def _settle(
    jobs: Mapping[int, tuple[uuid.UUID, Submission]],
) -> tuple[dict[int, uuid.UUID], dict[int, uuid.UUID]]:
    """Jobs whose keys differ: which of them are written or have met a live one, and which are refused by whom."""
    found: dict[int, uuid.UUID] = {}
    taken: dict[int, uuid.UUID] = {}
    for _ in range(_TRIES):
        left = {at: job for at, job in jobs.items() if at not in found and at not in taken}
        if not left:
            return found, taken
        given = json.dumps([_as_json(at, *job) for at, job in left.items()])
        found |= _answers(_INSERT_UNIQUE, given)
        living = {at: job_id for at, job_id in _answers(_LOOK, given).items() if at not in found}
        wishes = {at: left[at][1].on_conflict for at in living}
        found |= {at: job_id for at, job_id in living.items() if wishes[at] is Conflict.RETURN}
        taken |= {at: job_id for at, job_id in living.items() if wishes[at] is Conflict.REFUSE}
        if changes := {living[at]: left[at][1] for at in living if at not in found and at not in taken}:
            reached = rewrite(changes)
            running = set(
                Job.objects.filter(id__in=changes.keys() - reached, state=State.RUNNING).values_list("id", flat=True)
            )
            found |= {at: job_id for at, job_id in living.items() if job_id in reached}
            taken |= {at: job_id for at, job_id in living.items() if job_id in running}
    raise RuntimeError("Jobs with these unique keys come and go faster than they can be met.")


def _as_json(at: int, one_id: uuid.UUID, one: Submission) -> dict[str, Any]:
    row = _row(one_id, one) | {"id": str(one_id), "at": at}
    row |= {"payload": json.loads(one.payload), "metadata": json.loads(one.metadata)}
    row |= {"notify": one.notify and json.loads(one.notify), "batch_id": one.batch_id and str(one.batch_id)}
    return row | {"run_at": one.run_at and one.run_at.isoformat()}


def _answers(statement: str, given: str) -> dict[int, uuid.UUID]:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"given": given})
        return dict(cursor.fetchall())


_TYPES = ", ".join(f"{name} {type_}" for name, type_ in _COLUMNS.items())
_GIVEN = f"jsonb_to_recordset(%(given)s::jsonb) AS given(at int, {_TYPES}, run_at timestamptz)"

# In the order of the keys: so two calls that share some never wait for each other in a circle.
_INSERT_UNIQUE = f"""
WITH given AS (SELECT * FROM {_GIVEN}), written AS (
    INSERT INTO jobs_job ({_NAMES}, state, run_at, ready_at)
    SELECT {_NAMES}, {_STATE} FROM (SELECT * FROM given ORDER BY kind, unique_key) AS given
    ON CONFLICT DO NOTHING RETURNING id
)
SELECT given.at, given.id FROM written JOIN given USING (id)
"""  # noqa: S608 - only our own text goes in

_LOOK = f"""
SELECT given.at, job.id FROM {_GIVEN}
JOIN jobs_job job ON job.kind = given.kind AND job.unique_key = given.unique_key AND job.finished_at IS NULL
     AND job.owner_id IS NOT DISTINCT FROM given.owner_id
"""  # noqa: S608 - only our own text goes in
