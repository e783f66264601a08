"""Admission: which of the jobs that stand before limits start next. The leading dispatcher asks in its rounds.

Jobs with a limit key, and jobs that a limit or pause of their kind or queue has come to concern, are `held`: they are
in no window. A held job is admitted when every limit that concerns it has room, the keys of a queue taking turns. The
claim takes no job that had to be admitted and is not, so a hint too many starts nothing.

What makes it exact: who admits holds a lock of the database, and counts what it sees then (jobs/meters.py). All that is
counted is in the rows, so a dispatcher that was replaced, frozen or doubled counts the same, and a job whose worker is
lost gives its place back when it is rescued.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from jobs.capacity import Capacity, queue_name
from jobs.gates import BARS, Gates
from jobs.meters import Group, Held, Meters
from jobs.models import Admission, Job, Lane, Permit, Priority, State

_LOCK = 7_235_001  # of all who admit, in Postgres' space of advisory locks
_GROUPS = 500  # of one queue that one round looks at; the next goes on after them
_OPENED_AT_ONCE = 2000
_PARKED_AT_ONCE = 500  # of each queue's first jobs

_EVERY = 0.05  # seconds between two rounds: each costs half a dozen statements, however little has become free

Turns = dict[Group, deque[Held]]


@dataclass
class Turnstile:
    """The turns that keys take, over the rounds of one dispatcher."""

    moving: bool = False  # whether the last round let something in, so that the next may too
    _queues: list[tuple[int, str]] = field(default_factory=list)  # that hold jobs, at the last look
    _last: dict[str, Group] = field(default_factory=dict)  # the last that was served in each queue
    _rests_until: float = 0.0

    @property
    def rest(self) -> float:
        """Seconds until it should look again, though places have become free: infinite while nobody waits for one."""
        return max(0.0, self._rests_until - time.monotonic()) if self._queues else inf

    def look(self) -> None:
        """See whether anything stands before its limits: as long as nothing does, rounds cost nothing."""
        self._queues = _held_queues()
        self.moving = self.moving and bool(self._queues)

    def round(self, capacity: Capacity) -> int:
        """Admit what may start now, no more than the queues' windows take. Returns how many."""
        self._rests_until = time.monotonic() + _EVERY
        self.moving = False
        queues = [queue for queue in self._queues if queue_name(*queue) in capacity.slots]
        if not queues:
            return 0
        with transaction.atomic():
            if not _locked():  # another dispatcher is at it
                return 0
            waiting = _admitted()
            lines = {queue: _line(*queue, self._last.get(queue_name(*queue))) for queue in queues}
            meters = Meters(Gates.read(), [(group, queue[0]) for queue, line in lines.items() for group in line])
            chosen: list[uuid.UUID] = []
            for (priority, lane), line in lines.items():
                room = capacity.messages(queue_name(priority, lane)) - waiting[priority, lane]
                chosen += self._choose(priority, lane, line, capacity, meters, room)
            _admit(chosen, meters.permits)
        self.moving = bool(chosen)
        return len(chosen)

    def _choose(
        self, priority: int, lane: str, line: list[Group], capacity: Capacity, meters: Meters, room: int
    ) -> list[uuid.UUID]:
        queue = queue_name(priority, lane)
        open_to: dict[Group, int] = {}
        for group in line:
            if group.kind not in capacity.kinds[queue]:
                continue
            if not group.key and not meters.concerns(group, priority):
                _open(priority, lane, group.kind)
            elif most := max(0, min(room, meters.room(group, priority))):
                open_to[group] = most
        turns = deque(_turns(priority, lane, open_to).items())
        chosen: list[uuid.UUID] = []
        while turns and len(chosen) < room:
            group, jobs = turns.popleft()
            if meters.take(group, priority, jobs[0]):
                chosen.append(jobs.popleft().id)
                self._last[queue] = group
                if jobs:
                    turns.append((group, jobs))
        return chosen


def _locked() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])


def _held_queues() -> list[tuple[int, str]]:
    """Priority and lane of the queues that hold jobs, the most urgent first: a look at an index for each."""
    with connection.cursor() as cursor:
        cursor.execute(_HELD, [list(Priority.values), list(Lane.values)])
        return [(row[0], row[1]) for row in cursor.fetchall()]


_HELD = """
SELECT queue.priority, queue.lane
FROM (SELECT priority, lane FROM unnest(%s::smallint[]) priority CROSS JOIN unnest(%s::text[]) lane) queue
WHERE EXISTS (SELECT FROM jobs_job WHERE state = 'queued' AND admission = 1
              AND lane = queue.lane AND priority = queue.priority)
ORDER BY queue.priority DESC, queue.lane
"""


def _admitted() -> Counter[tuple[int, str]]:
    """Jobs of each queue that were let in and have not started."""
    with connection.cursor() as cursor:
        cursor.execute(_ADMITTED)
        return Counter({(priority, lane): count for priority, lane, count in cursor.fetchall()})


_ADMITTED = "SELECT priority, lane, count(*) FROM jobs_job WHERE state = 'queued' AND admission = 2 GROUP BY 1, 2"


def _line(priority: int, lane: str, last: Group | None) -> list[Group]:
    """The groups of a queue in the order of their turns, the first after the one that was served last."""
    found: dict[Group, None] = {}
    for after in [Group("", "")] if last is None else [last, Group("", "")]:
        with connection.cursor() as cursor:
            place: dict[str, Any] = {
                "lane": lane,
                "priority": priority,
                "key": after.key,
                "kind": after.kind,
                "groups": _GROUPS,
            }
            cursor.execute(_LINE, place)
            found |= dict.fromkeys(map(Group._make, cursor.fetchall()))
        if len(found) >= _GROUPS:
            break
    return list(found)


# From group to group by the index: as many looks as there are groups, however many jobs each has.
_LINE = """
WITH RECURSIVE line AS (
    (SELECT limit_key, kind FROM jobs_job
     WHERE state = 'queued' AND admission = 1 AND lane = %(lane)s AND priority = %(priority)s
           AND (limit_key, kind) > (%(key)s, %(kind)s) ORDER BY limit_key, kind LIMIT 1)
    UNION ALL
    SELECT one.limit_key, one.kind FROM line CROSS JOIN LATERAL (
        SELECT limit_key, kind FROM jobs_job
        WHERE state = 'queued' AND admission = 1 AND lane = %(lane)s AND priority = %(priority)s
              AND (limit_key, kind) > (line.limit_key, line.kind) ORDER BY limit_key, kind LIMIT 1
    ) one
)
SELECT limit_key, kind FROM line LIMIT %(groups)s
"""


def _turns(priority: int, lane: str, most: Mapping[Group, int]) -> Turns:
    """The first jobs of each of these groups, at most so many, in the order of the groups."""
    if not most:
        return {}
    keys, kinds = zip(*most, strict=True)
    queue: dict[str, Any] = {
        "lane": lane,
        "priority": priority,
        "keys": [*keys],
        "kinds": [*kinds],
        "most": [*most.values()],
    }
    found: Turns = {group: deque() for group in most}
    with connection.cursor() as cursor:
        cursor.execute(_HEADS, queue)
        for key, kind, job_id, attempt in cursor.fetchall():
            found[Group(key, kind)].append(Held(job_id, attempt))
    return {group: jobs for group, jobs in found.items() if jobs}


_HEADS = """
SELECT turn.limit_key, turn.kind, head.id, head.attempt
FROM unnest(%(keys)s::text[], %(kinds)s::text[], %(most)s::int[]) AS turn(limit_key, kind, most) CROSS JOIN LATERAL (
    SELECT id, attempt, rank, ready_at FROM jobs_job
    WHERE state = 'queued' AND admission = 1 AND lane = %(lane)s AND priority = %(priority)s
          AND limit_key = turn.limit_key AND kind = turn.kind
    ORDER BY rank DESC, ready_at, id LIMIT turn.most
) head
ORDER BY head.rank DESC, head.ready_at, head.id
"""


def _admit(chosen: Sequence[uuid.UUID], permits: Iterable[tuple[str, Held]]) -> None:
    _mark(Job.objects.filter(id__in=chosen, admission=Admission.HELD), Admission.ADMITTED)
    Permit.objects.bulk_create(
        [Permit(key=name, job_id=job.id, attempt=job.attempt + 1) for name, job in permits], ignore_conflicts=True
    )


def _open(priority: int, lane: str, kind: str) -> None:
    """Jobs without a key that no limit or pause concerns any more."""
    held = Job.objects.filter(priority=priority, lane=lane, kind=kind, limit_key="", admission=Admission.HELD)
    ids = held.filter(state=State.QUEUED).order_by("-rank", "ready_at", "id").values_list("id", flat=True)
    _mark(held.filter(id__in=list(ids[:_OPENED_AT_ONCE])), Admission.OPEN)


def park(gates: Gates) -> bool:
    """Hold those of each queue's first jobs that a gate bars, so that they are in nobody's way. True: there are more.

    A queue that is paused as a whole is simply not looked at.
    """
    queues = [
        (priority.value, lane.value)
        for priority in Priority
        if priority.label not in gates.paused_queues
        for lane in Lane
    ]
    if not gates.bar_some or not queues:
        return False
    values = ", ".join(["(%s::smallint, %s)"] * len(queues))
    with connection.cursor() as cursor:
        cursor.execute(_BARRED.format(queues=values), [part for queue in queues for part in queue])
        barred = [row[0] for row in cursor.fetchall()]
    with transaction.atomic():
        _mark(Job.objects.filter(id__in=barred).exclude(admission=Admission.HELD), Admission.HELD)
    return len(barred) >= _PARKED_AT_ONCE


_BARRED = f"""
SELECT job.id FROM (VALUES {{queues}}) AS queue(priority, lane) CROSS JOIN LATERAL (
    SELECT id, kind, priority, limit_key, admission FROM jobs_job
    WHERE state = 'queued' AND admission <> 1 AND lane = queue.lane AND priority = queue.priority
    ORDER BY rank DESC, ready_at, id LIMIT {_PARKED_AT_ONCE}
) job WHERE {BARS}
"""  # noqa: S608 - only our own text goes in


def _mark(jobs: QuerySet[Job], admission: Admission) -> None:
    """In the order of their ids, as the lifecycle locks them; one that somebody else changes right now stays as it is.

    Within a transaction.
    """
    queued = jobs.filter(state=State.QUEUED).order_by("id").select_for_update(skip_locked=True, no_key=True)
    Job.objects.filter(id__in=list(queued.values_list("id", flat=True))).update(admission=admission)
