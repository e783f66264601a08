"""Limits: how many jobs of a key, a kind or a queue may run at once, how often they may start, how many may wait.

They hold over the whole fleet and exactly; jobs/admission.py sees to that. A limit that is set or changed counts from
the next start. A rule for keys may end in a star: `host:*` gives each key that begins so the same limits of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from jobs import doorbell, gates
from jobs.models import LIVE, Gate, Job, Scope

MOST = 1_000_000
SHORTEST_PER, LONGEST_PER = 0.1, 24 * 3600.0  # seconds


class BacklogFull(Exception):
    """A key has as many unfinished jobs as it may have; nothing was written."""

    def __init__(self, key: str, ceiling: int, waiting: int) -> None:
        super().__init__(f"The limit key {key!r} has {waiting} unfinished jobs, and its backlog ends at {ceiling}.")
        self.key = key
        self.ceiling = ceiling


class InvalidLimitError(ValueError):
    """A limit that cannot be; says what can, and which field is wrong, where it is one alone."""

    def __init__(self, detail: str, field: str = "") -> None:
        super().__init__(detail)
        self.field = field


@dataclass(frozen=True)
class Limits:
    """`concurrency`: jobs at once. `rate`: starts in any `per` seconds. `backlog`: unfinished jobs, of keys only."""

    concurrency: int | None = None
    rate: int | None = None
    per: float | None = None
    backlog: int | None = None


def set(scope: str, target: str, limits: Limits, *, by: str) -> Gate:  # noqa: A001 - `limits.set` is what it does
    """Put these limits in the place of what was there. Raises gates.UnknownGateError and InvalidLimitError."""
    scope, target = gates.checked(scope, target)
    _check(scope, limits)
    values = {
        "concurrency": limits.concurrency,
        "rate": limits.rate,
        "per": None if limits.rate is None else limits.per,
        "backlog": limits.backlog,
        "limited_by": by[:255],
        "limited_at": Now(),
    }
    gate, _ = Gate.objects.update_or_create(scope=scope, target=target, defaults=values)
    gate.refresh_from_db()
    transaction.on_commit(doorbell.ring, robust=True)
    return gate


def clear(scope: str, target: str) -> bool:
    """Take all limits away. False: there were none."""
    with transaction.atomic():
        reached = Gate.objects.filter(_limited(), scope=scope, target=target).update(
            concurrency=None, rate=None, per=None, backlog=None, limited_by="", limited_at=None
        )
        Gate.objects.exclude(_limited()).filter(paused_at__isnull=True).delete()
    transaction.on_commit(doorbell.ring, robust=True)
    return bool(reached)


def standing() -> list[Gate]:
    """Every limit, by scope and target."""
    return list(Gate.objects.filter(_limited()).order_by("scope", "target"))


def take_room(counts: Mapping[str, int]) -> None:
    """Make sure that each key has room for so many more jobs, until the transaction ends. Raises BacklogFull.

    Who submits to one key waits for who is doing so already, so that two cannot take the last place.
    """
    rules = gates.Gates(tuple(Gate.objects.filter(scope=Scope.KEY)))
    for key, more in sorted(counts.items()):
        ceiling = next((gate.backlog for gate in rules.of_key(key) if gate.backlog is not None), None)
        if ceiling is None:
            continue
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('backlog ' || %s, 0))", [key])
        unfinished = Job.objects.filter(limit_key=key, state__in=LIVE).exclude(limit_key="")
        waiting = unfinished[:ceiling].count()
        if waiting + more > ceiling:
            raise BacklogFull(key, ceiling, waiting)


def _limited() -> Q:
    return Q(concurrency__isnull=False) | Q(rate__isnull=False) | Q(backlog__isnull=False)


def _check(scope: Scope, limits: Limits) -> None:
    if scope is Scope.EVERYTHING:
        raise InvalidLimitError("Limits are for a queue, a kind or a key; everything can be paused.")
    if limits.backlog is not None and scope is not Scope.KEY:
        raise InvalidLimitError("A backlog is the limit of a key.", "backlog")
    given = {name: getattr(limits, name) for name in ("concurrency", "rate", "backlog")}
    if all(value is None for value in given.values()):
        raise InvalidLimitError("Say at least one of concurrency, rate with per, and backlog.")
    for name, value in given.items():
        if value is not None and not 1 <= value <= MOST:
            raise InvalidLimitError(f"{name} is a whole number from 1 to {MOST}; to stop all starts, pause it.", name)
    if (limits.rate is None) != (limits.per is None):
        raise InvalidLimitError("A rate has its time: rate starts in any per seconds.")
    if limits.per is not None and not SHORTEST_PER <= limits.per <= LONGEST_PER:
        raise InvalidLimitError(f"per is from {SHORTEST_PER:g} to {LONGEST_PER:g} seconds.", "per")
