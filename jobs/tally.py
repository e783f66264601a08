"""How many, without counting: sums that the database keeps with every change, exact at any size of the tables."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

from jobs.models import State, Tally

_ROLLED_AT_ONCE = 20_000


@dataclass(frozen=True)
class Sum:
    """One number: `name` says of what, `priority` is -1 where it has none."""

    name: str
    kind: str
    priority: int
    label: str
    amount: float


def read(*names: str) -> list[Sum]:
    """All sums of those names, as of now. Reads a few rows per kind, however many jobs there are."""
    with connection.cursor() as cursor:
        cursor.execute(_READ, {"names": list(names)})
        return [Sum(*row) for row in cursor.fetchall()]


_READ = """
SELECT name, kind, priority, label, sum(amount) FROM (
    SELECT name, kind, priority, label, amount FROM jobs_total WHERE name = ANY(%(names)s)
    UNION ALL
    SELECT name, kind, priority, label, amount FROM jobs_tally WHERE name = ANY(%(names)s)
) AS every GROUP BY name, kind, priority, label
"""


def add(name: str, kind: str, amount: float) -> None:
    """Count something that no change of a row tells of."""
    Tally.objects.create(name=name, kind=kind, label="", amount=amount)


def counts() -> dict[str, int]:
    """How many jobs are in each state."""
    found = dict.fromkeys(State.values, 0)
    for one in read("jobs"):
        found[one.label] += int(one.amount)
    return found


def roll_up() -> None:
    """Move tallies into the totals, a bounded number at once. The leading dispatcher does it every second."""
    with connection.cursor() as cursor:
        cursor.execute(_ROLL_UP, {"limit": _ROLLED_AT_ONCE})


# One statement: whoever reads sees an amount in the tallies or in the totals, never in both or neither.
_ROLL_UP = """
WITH rolled AS (
    DELETE FROM jobs_tally WHERE id IN (SELECT id FROM jobs_tally ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
    RETURNING name, kind, priority, label, amount
)
INSERT INTO jobs_total AS held (name, kind, priority, label, amount)
SELECT name, kind, priority, label, sum(amount) FROM rolled GROUP BY name, kind, priority, label
ORDER BY name, kind, priority, label
ON CONFLICT (name, kind, priority, label) DO UPDATE SET amount = held.amount + excluded.amount
"""
