"""What is left of each limit, counted from the rows: nothing here remembers anything from one round to the next.

A rate is a sliding window. A start counts from admission until its time after the start is over, wherever in between
it happened, so no window of that length ever holds more than the rate.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import NamedTuple

from django.db import connection

from jobs.gates import Gates
from jobs.models import Gate, Job, Priority, Scope

_MANY = 1_000_000  # jobs at once: where no limit says how many
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

    def take(self) -> None:
        self.places -= 1
        self.starts -= 1


def places_taken(keys: Iterable[str] | None = None) -> Counter[str]:
    """Every job that runs, and every one that was admitted and has not started, under the name of every limit that
    could count it. With `keys` those of these keys alone: an index finds them among any number that run.
    """
    which = _OF_ALL if keys is None else _OF_KEYS
    found: Counter[str] = Counter()
    with connection.cursor() as cursor:
        cursor.execute(_TAKEN.format(which=which), {"keys": list(keys or ())})
        for key, kind, priority, count in cursor.fetchall():
            for name in (f"key:{key}", f"kind:{kind}", f"queue:{Priority(priority).label}"):
                found[name] += count
    return found


# In one statement: between two a job could go from what waits to what runs, and be counted in neither.
_TAKEN = """
SELECT limit_key, kind, priority, count(*) FROM jobs_job
WHERE {which} (state = 'running' OR state = 'queued' AND admission = 2) GROUP BY 1, 2, 3
"""
_OF_ALL = ""
_OF_KEYS = "limit_key <> '' AND limit_key = ANY(%(keys)s) AND state IN ('running', 'queued') AND"


class Meters:
    """The limits that concern groups of jobs, shared between them: all read at once."""

    def __init__(self, gates: Gates, groups: Collection[tuple[Group, int]]) -> None:
        """`groups`: each with the priority of its queue. None but these are asked for."""
        self._gates = gates
        self._passed = {one: gates.of(Job(kind=one[0].kind, priority=one[1], limit_key=one[0].key)) for one in groups}
        metered = {
            name_of(gate, group.key): gate
            for (group, _), passed in self._passed.items()
            for gate in passed
            if is_metered(gate)
        }
        alone = all(gate.scope == Scope.KEY for gate in metered.values() if gate.concurrency is not None)
        places = places_taken({group.key for group, _ in groups} if alone else None) if metered else Counter()
        starts = starts_taken({name: gate for name, gate in metered.items() if gate.rate is not None})
        self._meters = {
            name: Meter(
                name,
                self._places_left(gate, places[name]),
                inf if gate.rate is None else gate.rate - starts[name],
                gate.rate is not None,
            )
            for name, gate in metered.items()
        }
        self.permits: list[tuple[str, Held]] = []  # starts that rates have to remember

    def room(self, group: Group, priority: int) -> int:
        """How many of the group could start now if nothing else did."""
        if any(self._gates.paused(gate) for gate in self._passed[group, priority]):
            return 0
        left = [min(meter.places, meter.starts) for meter in self._meters_of(group, priority)]
        return max(0, int(min([*left, _MANY])))

    def take(self, group: Group, priority: int, job: Held) -> bool:
        """Whether every limit has room and nothing is paused; if so, one place less in each."""
        if not self.room(group, priority):
            return False
        for meter in self._meters_of(group, priority):
            meter.take()
            if meter.rated:
                self.permits.append((meter.name, job))
        return True

    def concerns(self, group: Group, priority: int) -> bool:
        """Whether anything keeps that group from being open."""
        return any(is_metered(gate) or self._gates.paused(gate) for gate in self._passed[group, priority])

    def _meters_of(self, group: Group, priority: int) -> list[Meter]:
        return [self._meters[name_of(gate, group.key)] for gate in self._passed[group, priority] if is_metered(gate)]

    def _places_left(self, gate: Gate, taken: int) -> float:
        if gate.scope != Scope.KEY and self._gates.age(gate) < _SETTLING:
            return 0
        return inf if gate.concurrency is None else gate.concurrency - taken


def is_metered(gate: Gate) -> bool:
    return gate.concurrency is not None or gate.rate is not None


def name_of(gate: Gate, key: str) -> str:
    """What a limit is counted under: each key by itself, whatever rule it comes from."""
    return f"{gate.scope}:{key if gate.scope == Scope.KEY else gate.target}"


def window_of(gate: Gate) -> float:
    """Seconds for which a start counts against the gate's rate."""
    assert gate.per is not None
    return gate.per + min(_LATENESS, gate.per / 10)


def starts_taken(gates: Mapping[str, Gate]) -> Counter[str]:
    """How many starts of the window are taken under each name: those that were, and those that were admitted and are
    to come.
    """
    found: Counter[str] = Counter()
    if gates:
        with connection.cursor() as cursor:
            cursor.execute(_STARTS, {"names": list(gates), "windows": list(map(window_of, gates.values()))})
            found.update(dict(cursor.fetchall()))
    return found


# A later attempt has overwritten the time of its predecessor's start: then the permit counts for longer, never shorter.
_STARTS = """
SELECT wanted.name, count(*) FROM unnest(%(names)s::text[], %(windows)s::float8[]) AS wanted(name, seconds)
JOIN jobs_permit permit ON permit.key = wanted.name JOIN jobs_job job ON job.id = permit.job_id
WHERE CASE WHEN job.attempt >= permit.attempt THEN job.started_at > now() - wanted.seconds * interval '1 second'
           ELSE job.state = 'queued' AND job.admission = 2 END
GROUP BY wanted.name
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
