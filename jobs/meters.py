"""What is left of each limit, counted from the rows: nothing here remembers anything from one round to the next.

A rate is a sliding window. A start counts from admission until its time after the start is over, wherever in between
it happened, so no window of that length ever holds more than the rate.
"""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import NamedTuple

from django.db import connection

from jobs.gates import Gates
from jobs.models import Gate, Job, Priority, Scope

_LATENESS = 0.5  # seconds, at most, and a tenth of the window: from the claim, which is counted, to the handler
_SETTLING = 1.0  # seconds: claims that began before a limit was set are in the rows by then


class Group(NamedTuple):
    """Jobs of one queue that the same limits concern."""

    key: str
    kind: str


class Held(NamedTuple):
    """A job that stands before its limits; `attempt` is the number of its latest."""

    id: uuid.UUID
    attempt: int


@dataclass
class Meter:
    """What is left of one limit; infinite where it says nothing."""

    name: str
    places: float  # at once
    starts: float  # in the window
    rated: bool

    @property
    def has_room(self) -> bool:
        return self.places >= 1 and self.starts >= 1

    def take(self) -> None:
        self.places -= 1
        self.starts -= 1


@dataclass
class Taken:
    """Places taken, under the name of every limit that could count them; admitted jobs that wait, by queue."""

    places: Counter[str] = field(default_factory=Counter)
    waiting: Counter[tuple[int, str]] = field(default_factory=Counter)

    @classmethod
    def count(cls) -> Taken:
        """Every job that runs, and every one that was admitted and has not started."""
        found = cls()
        with connection.cursor() as cursor:
            cursor.execute(_TAKEN)
            for key, kind, priority, lane, waits, count in cursor.fetchall():
                for name in (f"key:{key}", f"kind:{kind}", f"queue:{Priority(priority).label}"):
                    found.places[name] += count
                if waits:
                    found.waiting[priority, lane] += count
        return found


_TAKEN = """
SELECT limit_key, kind, priority, lane, state = 'queued', count(*) FROM jobs_job
WHERE state = 'running' OR (state = 'queued' AND admission = 2) GROUP BY 1, 2, 3, 4, 5
"""


class Meters:
    """The limits that concern each group, shared between them."""

    def __init__(self, gates: Gates, taken: Taken) -> None:
        self._gates = gates
        self._taken = taken
        self._meters: dict[str, Meter] = {}
        self.permits: list[tuple[str, Held]] = []  # starts that rates have to remember

    def take(self, group: Group, priority: int, job: Held) -> bool:
        """Whether every limit has room and nothing is paused; if so, one place less in each."""
        gates = self._gates_of(group, priority)
        if any(self._gates.paused(gate) for gate in gates):
            return False
        meters = [self._meter(gate, name_of(gate, group.key)) for gate in gates if is_metered(gate)]
        if not all(meter.has_room for meter in meters):
            return False
        for meter in meters:
            meter.take()
            if meter.rated:
                self.permits.append((meter.name, job))
        return True

    def concerns(self, group: Group, priority: int) -> bool:
        """Whether anything keeps that group from being open."""
        return any(is_metered(gate) or self._gates.paused(gate) for gate in self._gates_of(group, priority))

    def _gates_of(self, group: Group, priority: int) -> list[Gate]:
        return self._gates.of(Job(kind=group.kind, priority=priority, limit_key=group.key))

    def _meter(self, gate: Gate, name: str) -> Meter:
        if name not in self._meters:
            places = inf if gate.concurrency is None else gate.concurrency - self._taken.places[name]
            starts = inf if gate.rate is None else gate.rate - starts_taken(name, gate)
            if gate.scope != Scope.KEY and self._gates.age(gate) < _SETTLING:
                places = 0
            self._meters[name] = Meter(name, places, starts, gate.rate is not None)
        return self._meters[name]


def is_metered(gate: Gate) -> bool:
    return gate.concurrency is not None or gate.rate is not None


def name_of(gate: Gate, key: str) -> str:
    """What a limit is counted under: each key by itself, whatever rule it comes from."""
    return f"{gate.scope}:{key if gate.scope == Scope.KEY else gate.target}"


def window_of(gate: Gate) -> float:
    """Seconds for which a start counts against the gate's rate."""
    assert gate.per is not None
    return gate.per + min(_LATENESS, gate.per / 10)


def starts_taken(name: str, gate: Gate) -> int:
    """How many starts of the window are taken: those that were, and those that were admitted and are to come."""
    with connection.cursor() as cursor:
        cursor.execute(_STARTS, {"name": name, "window": window_of(gate)})
        return int(cursor.fetchone()[0])


# A later attempt has overwritten the time of its predecessor's start: then the permit counts for longer, never shorter.
_STARTS = """
SELECT count(*) FROM jobs_permit permit JOIN jobs_job job ON job.id = permit.job_id
WHERE permit.key = %(name)s
  AND CASE WHEN job.attempt >= permit.attempt THEN job.started_at > now() - %(window)s * interval '1 second'
           ELSE job.state = 'queued' AND job.admission = 2 END
"""


def next_start(name: str, gate: Gate) -> datetime | None:
    """When a start leaves the window, so that another may follow. None: those that are to come have not begun."""
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_START, {"name": name, "window": window_of(gate)})
        found: datetime | None = cursor.fetchone()[0]
        return found


_NEXT_START = """
SELECT min(job.started_at) + %(window)s * interval '1 second'
FROM jobs_permit permit JOIN jobs_job job ON job.id = permit.job_id
WHERE permit.key = %(name)s AND job.attempt >= permit.attempt
      AND job.started_at > now() - %(window)s * interval '1 second'
"""


def prune() -> None:
    """Forget starts that no window reaches back to any more, and those of jobs that are deleted."""
    with connection.cursor() as cursor:
        cursor.execute(_PRUNE)


_PRUNE = """
DELETE FROM jobs_permit permit WHERE NOT EXISTS (
    SELECT FROM jobs_job job WHERE job.id = permit.job_id
    AND (job.attempt < permit.attempt
         OR job.started_at > now() - (SELECT coalesce(max(per), 0) + 1 FROM jobs_gate) * interval '1 second'))
"""
