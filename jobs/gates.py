"""Which gates a job has to pass before it may start: the one rule of it, for statements and for Python.

A pause is asked for by the claim itself, so a hint that lies in Redis already starts nothing. A limit is passed by
being admitted: the dispatcher counts and marks the job, and the claim takes no job that has to be admitted and is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models.functions import Now

from jobs.models import Gate, Job, Priority, Scope

# A job that starts, or leaves the queue, stands before its limits again; with a key it is held there from the start.
BEFORE_LIMITS = "admission = CASE WHEN limit_key = '' THEN 0 ELSE 1 END"

# True for the row `job` of jobs_job where a gate keeps it from starting. The table is tiny and nearly always empty.
BARS = """
EXISTS (
    SELECT FROM jobs_gate gate
    WHERE CASE gate.scope
              WHEN 'everything' THEN true
              WHEN 'kind' THEN gate.target = job.kind
              WHEN 'queue' THEN gate.target = (ARRAY['low', 'medium', 'high', 'critical'])[job.priority + 1]
              ELSE job.limit_key <> '' AND CASE WHEN right(gate.target, 1) = '*'
                                                THEN starts_with(job.limit_key, left(gate.target, -1))
                                                ELSE gate.target = job.limit_key END
          END
      AND (gate.paused_at IS NOT NULL AND (gate.paused_until IS NULL OR gate.paused_until > now())
           OR job.admission = 0 AND (gate.concurrency IS NOT NULL OR gate.rate IS NOT NULL))
)
"""


@dataclass(frozen=True)
class Gates:
    """All gates, as one look at the table found them."""

    rows: tuple[Gate, ...] = ()
    at: datetime | None = None  # by the database's clock

    @classmethod
    def read(cls) -> Gates:
        rows = tuple(Gate.objects.annotate(at=Now()).order_by("scope", "target"))
        return cls(rows, rows[0].at if rows else None)

    def of(self, job: Job) -> list[Gate]:
        """The gates that a job has to pass, the widest first; of the rules for keys only the closest."""
        found = [
            gate
            for gate in self.rows
            if gate.scope == Scope.EVERYTHING
            or (gate.scope == Scope.QUEUE and gate.target == job.queue)
            or (gate.scope == Scope.KIND and gate.target == job.kind)
        ]
        return found + self.of_key(job.limit_key)

    def of_key(self, key: str) -> list[Gate]:
        """Every pause of a key counts; of its limits those of the closest rule do."""
        if not key:
            return []
        fitting = sorted(
            (gate for gate in self.rows if gate.scope == Scope.KEY and covers(gate.target, key)),
            key=lambda gate: (not gate.target.endswith("*"), len(gate.target)),
            reverse=True,
        )
        closest = next((gate for gate in fitting if has_limits(gate)), None)
        return [gate for gate in fitting if gate is closest or self.paused(gate)]

    def paused(self, gate: Gate) -> bool:
        return gate.paused_at is not None and (
            gate.paused_until is None or self.at is None or gate.paused_until > self.at
        )

    def age(self, gate: Gate) -> float:
        """Seconds since its limits were set."""
        assert self.at is not None
        assert gate.limited_at is not None
        return (self.at - gate.limited_at).total_seconds()

    @property
    def bar_some(self) -> bool:
        """Whether a job may be barred that is not held yet: by anything but the limits of keys."""
        return any(self.paused(gate) or (gate.scope != Scope.KEY and has_limits(gate)) for gate in self.rows)

    @property
    def all_paused(self) -> bool:
        return any(gate.scope == Scope.EVERYTHING for gate in self._closed())

    @property
    def paused_queues(self) -> frozenset[str]:
        """Names of priorities; each closes both lanes."""
        if self.all_paused:
            return frozenset(Priority.labels)
        return frozenset(gate.target for gate in self._closed() if gate.scope == Scope.QUEUE)

    @property
    def paused_kinds(self) -> frozenset[str]:
        return frozenset(gate.target for gate in self._closed() if gate.scope == Scope.KIND)

    def _closed(self) -> Iterable[Gate]:
        return (gate for gate in self.rows if self.paused(gate))


def covers(target: str, key: str) -> bool:
    return key.startswith(target[:-1]) if target.endswith("*") else key == target


def has_limits(gate: Gate) -> bool:
    return gate.concurrency is not None or gate.rate is not None or gate.backlog is not None


class UnknownGateError(ValueError):
    """There can be no such gate; says what there can be, and which of `scope` and `target` is wrong."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


def checked(scope: str, target: str) -> tuple[Scope, str]:
    """Scope and target of a gate that can be. Raises UnknownGateError."""
    if scope not in Scope.values:
        raise UnknownGateError("scope", f"There is no scope {scope!r}; there are {', '.join(Scope.values)}.")
    found = Scope(scope)
    if found is Scope.EVERYTHING and target:
        raise UnknownGateError("target", "Everything has no target.")
    if found is Scope.QUEUE and target not in Priority.labels:
        raise UnknownGateError("target", f"There is no queue {target!r}; there are {', '.join(Priority.labels)}.")
    if found is not Scope.EVERYTHING and not (0 < len(target) <= 200 and target.isprintable()):
        raise UnknownGateError("target", f"Say which {scope}: 1 to 200 characters that can be printed.")
    return found, target
