"""Why a job is where it is, and what would move it: in a sentence, and for machines.

The answers come from where the decisions are made: the same gates, counts and orders that the dispatcher goes by.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from jobs import forecast, health, leadership, locks, meters
from jobs.capacity import queue_name
from jobs.gates import Gates
from jobs.models import FINISHED, Admission, Batch, Gate, Job, Node, Priority, Scope, State

_HOLDERS = 10  # jobs that are named


@dataclass(frozen=True)
class Reason:
    """`code` for machines, a sentence for people, and what it rests on as plain JSON values."""

    code: str
    sentence: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanation:
    """The reason that counts, and those that would come after it."""

    job: Job
    reason: Reason
    also: list[Reason]


def explain(job: Job) -> Explanation:
    """Why this job is not running, or what it is doing. Asks the database and, for a waiting job, Redis."""
    first, *also = _reasons(job)
    return Explanation(job, first, also)


def _reasons(job: Job) -> Iterator[Reason]:
    if job.state in FINISHED:
        yield _finished(job)
    elif job.state == State.RUNNING:
        yield from _running(job)
    elif job.state == State.PAUSED:
        note = f" It said: {job.error}" if job.error else ""
        yield Reason("held", f"Somebody paused this job; resume lets it go on.{note}", {"note": job.error})
    else:
        yield from _waits(job)
        barred = [*_platform(), *_paused(job), *_unserved(job)]
        yield from barred
        if job.state == State.QUEUED:
            limits = list(_limits(job))
            yield from limits
            if not barred and not limits:
                yield _behind(job)


def _finished(job: Job) -> Reason:
    assert job.finished_at is not None
    at = {"at": job.finished_at}
    if job.state == State.FAILED:
        said = f"It is a dead letter ({job.reason}): {job.error}"
        return Reason("dead_letter", said, {**at, "reason": job.reason, "error": job.error})
    return Reason(job.state, f"It is {job.state}, since {_clock(job.finished_at)}.", at)


def _running(job: Job) -> Iterator[Reason]:
    assert job.started_at is not None
    assert job.node_id is not None
    node = Node.objects.filter(id=job.node_id).first()
    name = node.name if node else "a worker that is gone"
    facts = {"worker": name, "since": job.started_at, "attempt": job.attempt}
    if node is None or node.expires_at < timezone.now():
        wait = settings.LEASE_SECONDS
        yield Reason("worker_silent", f"{name} is not heard of; the job is rescued within {wait:g} s of that.", facts)
    elif job.cancel_requested_at is not None:
        asked = {**facts, "asked_at": job.cancel_requested_at}
        yield Reason("cancelling", f"Its cancel was asked for at {_clock(job.cancel_requested_at)}.", asked)
    yield Reason("running", f"It runs on {name} since {_clock(job.started_at)}, attempt {job.attempt}.", facts)


def _waits(job: Job) -> Iterator[Reason]:
    """What the job itself waits for, before it is anybody's turn."""
    if job.state == State.BLOCKED:
        yield _blocked(job)
        return
    facts = {"run_at": job.run_at}
    late = job.run_at <= timezone.now()
    when = "as soon as the dispatcher comes to it" if late else f"at {_clock(job.run_at)}"
    if job.state == State.RETRYING:
        said = f"Attempt {job.attempt} failed ({job.error}); it is tried again {when}."
        more = {"attempt": job.attempt, "failures": job.failures, "max_retries": job.max_retries, "error": job.error}
        yield Reason("retrying", said, {**facts, **more})
    elif job.state == State.SCHEDULED:
        if (key := locks.waited_for(job.error)) is not None:
            holder = locks.holder(key)
            held = f"job {holder} holds it" if holder else "it is free now"
            locked = {**facts, "lock": key, "holder": holder}
            yield Reason("locked", f"It wants the lock {key!r} and asks for it {when}; {held}.", locked)
        elif job.attempt and job.error:
            yield Reason("snoozed", f"It asked to be called again {when}: {job.error}", {**facts, "note": job.error})
        else:
            yield Reason("scheduled", f"It is scheduled for {_clock(job.run_at)}.", facts)


def _blocked(job: Job) -> Reason:
    """It waits for other jobs, or for all of a batch."""
    batch = Batch.objects.filter(callback_id=job.id, finished_at=None).first()
    if batch is not None:
        left = Job.objects.filter(batch_id=batch.id, finished_at=None).count()
        facts = {"batch": str(batch.id), "left": left, "size": batch.size}
        return Reason(
            "waits_for_batch", f"It waits for a batch, of whose {batch.size} jobs {left} have not ended.", facts
        )
    unmet = job.dependencies.filter(met=False)
    parents = Job.objects.filter(id__in=unmet.values("parent_id")).values_list("id", "state")
    named = [{"job": str(one), "state": state} for one, state in parents[:_HOLDERS]]
    said = ", ".join(f"{one['job']} ({one['state']})" for one in named)
    return Reason("waits_for_jobs", f"It waits for {unmet.count()} jobs to end: {said}.", {"jobs": named})


def _platform() -> Iterator[Reason]:
    if leadership.leader() is None:
        yield Reason("dispatcher_down", "No dispatcher leads: start one with `celery -A project beat`.")
    if not (redis := health.redis_check()).ok:
        yield Reason("redis_down", f"Redis {redis.detail}; jobs wait in Postgres until it is back.")


def _paused(job: Job) -> Iterator[Reason]:
    gates = Gates.read()
    for gate in gates.of(job):
        if gates.paused(gate):
            what = {Scope.EVERYTHING: "Everything is"}.get(Scope(gate.scope), f"The {gate.scope} {gate.target} is")
            until = f" until {_clock(gate.paused_until)}" if gate.paused_until else ""
            why = f": {gate.pause_reason}" if gate.pause_reason else ""
            assert gate.paused_at is not None
            yield Reason(
                "paused",
                f"{what} paused{until}, by {gate.paused_by} at {_clock(gate.paused_at)}{why}",
                {"scope": gate.scope, "target": gate.target, "by": gate.paused_by, "reason": gate.pause_reason,
                 "since": gate.paused_at, "until": gate.paused_until},
            )  # fmt: skip


def _unserved(job: Job) -> Iterator[Reason]:
    queue = queue_name(job.priority, job.lane)
    alive = list(Node.objects.filter(expires_at__gt=Now(), draining=False))
    listening = [node for node in alive if queue in node.queues]
    facts = {"queue": queue, "kind": job.kind, "workers": sorted(node.name for node in alive)}
    if not alive:
        yield Reason("no_worker", "No worker is alive: start one with `celery -A project worker`.", facts)
    elif not listening:
        yield Reason("queue_unserved", f"No live worker listens to the queue {queue}.", facts)
    elif not any(job.kind in node.kinds for node in listening):
        said = f"No live worker of the queue {queue} knows the kind {job.kind}."
        yield Reason("kind_unknown", said, facts)


def _limits(job: Job) -> Iterator[Reason]:
    """Limits without room. A job that is admitted has its place within each."""
    if job.admission == Admission.ADMITTED:
        return
    gates = Gates.read()
    taken = meters.places_taken()
    full = False
    metered = [gate for gate in gates.of(job) if meters.is_metered(gate)]
    for gate in metered:
        name = meters.name_of(gate, job.limit_key)
        what = f"The {gate.scope} {job.limit_key if gate.scope == Scope.KEY else gate.target}"
        facts = {"scope": gate.scope, "target": gate.target, "key": job.limit_key}
        turn = forecast.of_limited(job, gate)
        ahead = {"ahead": turn.ahead, "starts_in": turn.starts_in}
        if gate.concurrency is not None and taken[name] >= gate.concurrency:
            full = True
            said = f"{what} has {taken[name]} of its {gate.concurrency} places taken. {turn.words}"
            places = {"concurrency": gate.concurrency, "taken": taken[name], "held_by": _holders(job, gate)}
            yield Reason("limit_concurrency", said, {**facts, **places, **ahead})
        if gate.rate is not None and (starts := meters.starts_taken({name: gate})[name]) >= gate.rate:
            full = True
            free = meters.next_start(name, gate)
            at = f"; the next may start at {_clock(free)}" if free else ""
            said = f"{what} has had {starts} of {gate.rate} starts in {gate.per:g} s{at}. {turn.words}"
            rate = {"rate": gate.rate, "per": gate.per, "starts": starts, "next_start_at": free}
            yield Reason("limit_rate", said, {**facts, **rate, **ahead})
    if metered and not full and job.admission == Admission.HELD:
        turn = forecast.of_limited(job, metered[-1])
        yield Reason("turn", f"Its limits have room and its turn comes. {turn.words}", {"ahead": turn.ahead})


def _holders(job: Job, gate: Gate) -> list[str]:
    same = {
        Scope.KEY: Q(limit_key=job.limit_key),
        Scope.KIND: Q(kind=job.kind),
        Scope.QUEUE: Q(priority=job.priority),
    }[Scope(gate.scope)]
    inside = Q(state=State.RUNNING) | Q(state=State.QUEUED, admission=Admission.ADMITTED)
    return [str(found) for found in Job.objects.filter(same, inside).values_list("id", flat=True)[:_HOLDERS]]


def _behind(job: Job) -> Reason:
    found = forecast.of(job, Gates.read())
    assert job.ready_at is not None
    facts: dict[str, Any] = {
        "ahead": found.ahead,
        "more": found.more,
        "starts_in": found.starts_in,
        "starts_at": None if found.starts_in is None else timezone.now() + timedelta(seconds=found.starts_in),
        "per_second": found.per_second,
        "queue": queue_name(job.priority, job.lane),
    }
    if not found.ahead:
        return Reason("next", "It is next: the dispatcher sends it to a worker now.", facts)
    if job.priority < Priority.CRITICAL:
        facts["overtakes_at"] = job.ready_at + timedelta(seconds=settings.AGEING_SECONDS)
    return Reason("behind", f"{found.words[0].upper()}{found.words[1:]}", facts)


def _clock(moment: datetime) -> str:
    local = timezone.localtime(moment)
    return local.strftime("%H:%M:%S" if local.date() == timezone.localdate() else "%d %B %Y %H:%M")
