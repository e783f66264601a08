"""No-op jobs without a key, a second, while ten customers keep the waiting lane busy: with and without limits."""

from __future__ import annotations

from statistics import median

from jobs import limits
from jobs.limits import Limits
from tests.benchmarks.jobs.ground import Ground
from tests.benchmarks.jobs.ourselves import platform
from tests.benchmarks.jobs.systems import HAULWAY_DISPATCHER, haulway_waiting_worker, haulway_worker

_CUSTOMERS = 10
_EACH_AT_ONCE = 3  # without limits, too: the waiting worker has as many threads as the limits let run
_BACKLOG = 500  # of each customer: more than are done meanwhile
_SECONDS = 0.5  # that one of them waits

_CASES: dict[str, Limits | None] = {
    "without limits": None,
    "3 at once of each key": Limits(concurrency=_EACH_AT_ONCE),
    "and 6 starts a second": Limits(concurrency=_EACH_AT_ONCE, rate=6, per=1.0),
}


def rates(ground: Ground, rounds: int, share: float) -> dict[str, dict[str, float]]:
    """{case: {"rate": jobs/s, "of without": its ratio to the first case}}, medians of rounds taken in turns."""
    found: dict[str, list[float]] = {case: [] for case in _CASES}
    for _ in range(rounds):
        for case, wanted in _CASES.items():
            found[case].append(_rate(ground, wanted, int(30_000 * share)))
    rate = {case: median(measured) for case, measured in found.items()}
    first = next(iter(rate.values()))
    return {case: {"rate": one, "of without": one / first} for case, one in rate.items()}


def _rate(ground: Ground, wanted: Limits | None, count: int) -> float:
    platform.empty(ground)
    for gate in limits.standing():
        limits.clear(gate.scope, gate.target)
    if wanted:
        limits.set("key", "customer:*", wanted, by="bench")
    for number in range(_CUSTOMERS):
        platform.submit(_BACKLOG, "waiting", {"seconds": _SECONDS}, limit_key=f"customer:{number}")
    platform.submit(count, "bench.noop")
    slots = _CUSTOMERS * _EACH_AT_ONCE
    with ground.running([haulway_worker(), haulway_waiting_worker(slots), HAULWAY_DISPATCHER]):
        return platform.drain(ground, count).rate
