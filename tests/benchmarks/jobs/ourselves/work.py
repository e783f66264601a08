"""Jobs that take a while: how much of what the slots allow is used, alone, mixed, and with more or fewer slots."""

from __future__ import annotations

import random

from jobs import lifecycle
from jobs.submission import checked
from tests.benchmarks.jobs.ground import Ground
from tests.benchmarks.jobs.ourselves import platform
from tests.benchmarks.jobs.systems import SLOTS

_MIX = ((0.70, "bench.noop", 0.0), (0.20, "bench.short", 0.001), (0.09, "bench.work", 0.010), (0.01, "bench.long", 0.1))


def of_length(ground: Ground, seconds: float, share: float) -> dict[str, float]:
    """{"rate": jobs/s, "allowed": what the slots allow, "used": their ratio, "steady": the same for the middle of the
    run}, with about eight seconds of work.
    """
    count = max(20, int(8 * share * SLOTS / seconds))
    platform.empty(ground)
    platform.submit(count, "bench.work", {"seconds": seconds})
    with platform.working(ground):
        drained = platform.drain(ground, count)
    allowed = SLOTS / seconds
    steady = drained.steady / allowed
    return {"rate": drained.rate, "allowed": allowed, "used": drained.rate / allowed, "steady": steady}


def mixed(ground: Ground, share: float) -> dict[str, float]:
    """Kinds of 0 to 100 ms, shuffled. {"rate", "used": share of the slots' time that handlers had}."""
    count = int(6_000 * share)
    kinds = [checked(kind, {"seconds": seconds} if seconds else {}) for _, kind, seconds in _MIX]
    draw = random.Random(5)
    jobs = draw.choices(kinds, [part for part, _, _ in _MIX], k=count)
    work = sum(_MIX[kinds.index(one)][2] for one in jobs)
    platform.empty(ground)
    lifecycle.submit_many(jobs)
    with platform.working(ground):
        drained = platform.drain(ground, count)
    each = work / count / SLOTS
    return {"rate": drained.rate, "used": drained.rate * each, "steady": drained.steady * each}


def with_slots(ground: Ground, slots: int, share: float) -> float:
    """No-op jobs/s with so many worker processes."""
    count = int(30_000 * share)
    platform.empty(ground)
    platform.submit(count, "bench.noop")
    with platform.working(ground, slots):
        return platform.drain(ground, count).rate
