"""One system, one round: submit a backlog one by one and in bulk, then let the workers drain it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.jobs import tally
from tests.benchmarks.jobs.ground import PROJECT, Ground
from tests.benchmarks.jobs.systems import PEERS, System

_POLL = 0.02
_PATIENCE = 300.0  # seconds for a heat
_STEADY_FROM = 0.1  # of the backlog: start of the workers and their first steps are not measured, for anybody
_MIDDLE = (0.3, 0.9)  # of the backlog: what is neither start nor end


class HeatFailed(RuntimeError):
    """A system did not do its jobs."""


@dataclass(frozen=True)
class Heat:
    single: float  # submitted a second, one call after the other, by one process
    bulk: float | None  # by its call for many; none where it has none
    run: float  # jobs a second, recorded where the system records them
    processor: float  # microseconds of processor time for a job, over workers and servers


@dataclass(frozen=True)
class Drained:
    rate: float  # jobs a second, from when a tenth has run until all are recorded
    steady: float  # jobs a second in the middle, from three tenths to nine: without learning the pace, without the end
    processor: float  # seconds of processor time for a job


def run(ground: Ground, system: System, share: float = 1.0) -> Heat:
    """`share`: of the usual backlog."""
    prepare(ground, system)
    singles = max(50, int(system.singles * share))
    many = max(100, int(system.backlog * share)) - singles if system.bulk else 0
    single = singles / submit(ground, system, "single", singles)
    bulk = many / submit(ground, system, "bulk", many) if many > 0 else None
    before = _recorded(ground, system)()
    waiting = singles + max(many, 0)  # what opened the connections is drained with them, and not counted
    with ground.running(_commands(ground, system), _environment(ground, system)):
        drained = drain(ground, waiting, lambda: _recorded(ground, system)() - before)
    return Heat(single, bulk, drained.rate, drained.processor * 1e6)


def prepare(ground: Ground, system: System) -> None:
    """Empty servers: nobody pays for what another has left."""
    ground.redis.flushall()
    ground.new_tally()
    with ground.connect() as connection:
        connection.execute("TRUNCATE jobs_job, jobs_attempt, jobs_node CASCADE")
        if system.database:
            connection.execute(f'DROP DATABASE IF EXISTS "{system.database}" WITH (FORCE)')
    if system.database:
        ground.database(system.database)
        _python(ground, system, "-c", f"import {PEERS}.{system.module} as peer; peer.prepare()")


def submit(ground: Ground, system: System, way: str, count: int) -> float:
    """Seconds that a process of its own takes for it."""
    return float(
        _python(ground, system, "-m", "tests.benchmarks.jobs.client", f"{PEERS}.{system.module}", way, str(count))
    )


def drain(ground: Ground, count: int, recorded: Callable[[], int]) -> Drained:
    """Wait until so many jobs are recorded."""
    deadline = time.monotonic() + _PATIENCE
    passed: dict[float, tuple[int, float]] = {}  # part of the backlog: how many had run when we first saw it, and when
    used = 0.0
    done = 0
    while done < count:
        if time.monotonic() > deadline:
            raise HeatFailed(f"only {done} of {count} jobs were done in {_PATIENCE:.0f} s")
        time.sleep(_POLL)
        done = tally.total(ground.tally)
        for part in (_STEADY_FROM, *_MIDDLE):
            if part not in passed and done >= count * part:
                passed[part] = done, time.monotonic()
                used = used or ground.processor_seconds()
    while recorded() < count:
        if time.monotonic() > deadline:
            raise HeatFailed(f"{count} jobs were done and only {recorded()} recorded")
        time.sleep(_POLL)
    first, first_at = passed[_STEADY_FROM]
    rate = (count - first) / (time.monotonic() - first_at)
    (low, low_at), (high, high_at) = (passed[part] for part in _MIDDLE)
    steady = (high - low) / (high_at - low_at) if high_at > low_at else rate
    return Drained(rate, steady, (ground.processor_seconds() - used) / (count - first))


def _recorded(ground: Ground, system: System) -> Callable[[], int]:
    """How many jobs the system's own record says are finished; its counters where it keeps none."""
    if system.recorded.startswith("SELECT"):

        def ask() -> int:
            with ground.connect(_database(ground, system)) as connection:
                row = connection.execute(system.recorded).fetchone()
            return int(row[0]) if row else 0

        return ask
    if system.recorded:
        return lambda: int(ground.redis.zcard(system.recorded))
    return lambda: tally.total(ground.tally)


def _database(ground: Ground, system: System) -> str:
    return ground.database(system.database) if system.database else ground.postgres_url


def _environment(ground: Ground, system: System) -> dict[str, str]:
    environment = {**ground.environment, **system.environment}
    if system.database:
        environment["BENCH_DATABASE"] = _database(ground, system)
    return environment


def _commands(ground: Ground, system: System) -> list[list[str]]:
    return [[word.replace("{redis}", ground.redis_url) for word in command] for command in system.workers]


def _python(ground: Ground, system: System, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=PROJECT,
        env=_environment(ground, system),
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE,
    )
    if done.returncode:
        raise HeatFailed(f"{system.name}: {done.stderr[-2000:]}")
    return done.stdout
