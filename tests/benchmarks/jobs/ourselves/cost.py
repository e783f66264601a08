"""What a job costs the servers: write-ahead log and commits in Postgres, memory in Valkey."""

from __future__ import annotations

import time

from django.db import connection

from jobs import lifecycle
from tests.benchmarks.jobs.ground import Ground
from tests.benchmarks.jobs.ourselves import platform

_STATISTICS_LAG = 1.5  # seconds until the other back ends have reported what they did
_SETTLED = 4.0  # seconds until the dispatcher has filled its window


def of_postgres(ground: Ground, share: float) -> dict[str, float]:
    """WAL bytes and commits for one job: submitted alone, submitted among many, and run from claim to record."""
    found: dict[str, float] = {}
    platform.empty(ground)
    singles, many = int(1_000 * share), int(30_000 * share)

    def one_by_one() -> None:
        for _ in range(singles):
            lifecycle.submit("bench.noop")

    def run() -> None:
        with platform.working(ground):
            platform.drain(ground, singles + many)

    for name, count, action in (
        ("single", singles, one_by_one),
        ("bulk", many, lambda: platform.submit(many, "bench.noop")),
        ("run", singles + many, run),
    ):
        before = _counters(ground)
        action()
        after = _counters(ground)
        found[f"{name}_wal_bytes"] = (after[0] - before[0]) / count
        found[f"{name}_commits"] = (after[1] - before[1]) / count
    return found


def of_valkey(ground: Ground, waiting: int) -> float:
    """MiB that Valkey uses with so many jobs waiting, while the workers are at it."""
    platform.empty(ground)
    platform.submit(waiting, "bench.long", {"seconds": 0.5})
    with platform.working(ground):
        time.sleep(_SETTLED)
        memory = ground.redis.info("memory")["used_memory"]
    return float(memory) / 2**20


def _counters(ground: Ground) -> tuple[float, float]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")  # else what this process did is reported much later
    time.sleep(_STATISTICS_LAG)
    wal, commits = platform.ask(
        ground,
        "SELECT wal_bytes, (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()) "
        "FROM pg_stat_wal",
    )
    return float(wal), float(commits)
