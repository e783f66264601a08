"""From the call that submits a job to the first line of its handler, by the clock of this one machine."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from jobs import lifecycle
from tests.benchmarks.jobs import tally
from tests.benchmarks.jobs.ground import Ground
from tests.benchmarks.jobs.ourselves import platform
from tests.benchmarks.jobs.systems import SLOTS

_WORK = 0.010  # seconds: the jobs that make the load
_WARM = 2.0  # seconds that are not measured, in which the dispatcher learns how long the jobs take
_PATIENCE = 180.0

Waits = dict[str, float]  # p50, p99, most, in milliseconds; and how many


def idle(ground: Ground, count: int) -> Waits:
    """One job now and then on a platform that has nothing else to do."""
    platform.empty(ground)
    with platform.working(ground):
        _await_ready(ground)
        for _ in range(count):
            _submit("bench.short")
            time.sleep(random.uniform(0.01, 0.05))
        return _waits(ground, "bench.short", count)


def at_load(ground: Ground, load: float, seconds: float) -> Waits:
    """Jobs of 10 ms at a steady pace that keeps that share of the slots busy; the wait of each."""
    platform.empty(ground)
    with platform.working(ground):
        _await_ready(ground)
        _paced(load, _WARM, lambda: _submit("bench.work", _WORK))
        count = _paced(load, seconds, lambda: _submit("bench.long", _WORK))
        return _waits(ground, "bench.long", count)


def critical_in_flood(ground: Ground, load: float, seconds: float) -> Waits:
    """Critical jobs, ten a second, while low ones of 10 ms come in bursts of 100 that make that load.

    A load over 1 is a flood that the slots never catch up with.
    """
    platform.empty(ground)
    with platform.working(ground):
        _await_ready(ground)
        burst = 100
        every = burst * _WORK / SLOTS / load
        began, bursts, criticals = time.monotonic(), 0, 0
        while (now := time.monotonic() - began) < _WARM + seconds:
            if now >= bursts * every:
                platform.submit(burst, "bench.work", {"seconds": _WORK}, priority="low")
                bursts += 1
            if now >= _WARM + criticals * 0.1:
                _submit("bench.short", priority="critical")
                criticals += 1
            time.sleep(random.uniform(0.001, 0.01))
        return _waits(ground, "bench.short", criticals)


def _submit(kind: str, seconds: float = 0.0, priority: str = "medium") -> None:
    lifecycle.submit(kind, {"seconds": seconds, "submitted": time.time()}, priority=priority)


def _paced(load: float, seconds: float, call: Callable[[], None]) -> int:
    """Call at the pace of that load, at random moments as independent users would. Returns how often."""
    began, due, calls = time.monotonic(), 0.0, 0
    while due < seconds:
        time.sleep(max(0.0, due - (time.monotonic() - began)))
        call()
        calls += 1
        due += random.expovariate(load * SLOTS / _WORK)
    return calls


def _await_ready(ground: Ground) -> None:
    """Until the platform has run something in every slot."""
    platform.submit(50, "bench.noop")
    deadline = time.monotonic() + _PATIENCE
    while tally.total(ground.tally) < 50:
        if time.monotonic() > deadline:
            raise TimeoutError("the workers do not take jobs")
        time.sleep(0.05)


def _waits(ground: Ground, kind: str, count: int) -> Waits:
    deadline = time.monotonic() + _PATIENCE
    waits: Sequence[float] = []
    while len(waits) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(waits)} of {count} jobs were done")
        time.sleep(0.2)
        with ground.connect() as connection:
            question = "SELECT result::float8 * 1000 FROM jobs_job WHERE kind = %s AND state = 'completed'"
            waits = sorted(row[0] for row in connection.execute(question, [kind]).fetchall())
    return {"p50": waits[count // 2], "p99": waits[int(count * 0.99)], "most": waits[-1], "jobs": count}
