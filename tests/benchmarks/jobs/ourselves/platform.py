"""Haulway alone on the ground: its workers and dispatcher, jobs submitted from here, and what the tables say."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jobs import lifecycle
from jobs.kinds import known
from jobs.submission import checked
from tests.benchmarks.jobs import heat
from tests.benchmarks.jobs.ground import Ground
from tests.benchmarks.jobs.systems import HAULWAY, HAULWAY_DISPATCHER, SLOTS, haulway_worker

_AT_ONCE = 10_000


@contextmanager
def working(ground: Ground, slots: int = SLOTS) -> Iterator[None]:
    with ground.running([haulway_worker(slots), HAULWAY_DISPATCHER]):
        yield


def empty(ground: Ground) -> None:
    heat.prepare(ground, HAULWAY)


def submit(count: int, kind: str, payload: dict[str, Any] | None = None, **options: Any) -> list[uuid.UUID]:
    one = checked(kind, payload, **options)
    ids: list[uuid.UUID] = []
    for start in range(0, count, _AT_ONCE):
        ids += lifecycle.submit_many([one] * min(_AT_ONCE, count - start))
    return ids


def completed(ground: Ground) -> int:
    kinds = ", ".join(f"'{kind.name}'" for kind in known() if kind.name.startswith("bench."))
    return int(ask(ground, f"SELECT count(*) FROM jobs_job WHERE kind IN ({kinds}) AND state = 'completed'")[0])


def ask(ground: Ground, question: str) -> tuple[Any, ...]:
    """The first row of the answer."""
    with ground.connect() as connection:
        row = connection.execute(question).fetchone()
    assert row is not None
    return tuple(row)


def drain(ground: Ground, count: int, before: int = 0) -> heat.Drained:
    """Wait until so many more are recorded than the `before` that were already."""
    return heat.drain(ground, count, lambda: completed(ground) - before)
