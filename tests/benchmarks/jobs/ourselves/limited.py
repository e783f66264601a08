"""No-op jobs without a key, a second, while ten customers keep the waiting lane busy: with and without limits.

The same jobs of the customers run beside in every case, thirty at once, so that the ratio is what the limits cost and
not what those jobs do: `beside` tells how many of them a second.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
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
_POLL = 0.1

_CASES: dict[str, Limits | None] = {
    "without limits": None,
    "3 at once of each key": Limits(concurrency=_EACH_AT_ONCE),
    "and 6 starts a second": Limits(concurrency=_EACH_AT_ONCE, rate=6, per=1.0),
}


def rates(ground: Ground, rounds: int, share: float) -> Iterator[tuple[int, str, dict[str, float]]]:
    """(round, case, {"rate": jobs/s, "beside": jobs of customers/s}), the cases in turns."""
    for number in range(rounds):
        for case, wanted in _CASES.items():
            yield number, case, _rates(ground, wanted, int(30_000 * share))


def medians(found: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """{case: medians, and "of without": the ratio of its rate to that of the first case}."""
    middle = {case: {name: median(one[name] for one in rounds) for name in rounds[0]} for case, rounds in found.items()}
    without = next(iter(middle.values()))["rate"]
    return {case: {**one, "of without": one["rate"] / without} for case, one in middle.items()}


def _rates(ground: Ground, wanted: Limits | None, count: int) -> dict[str, float]:
    platform.empty(ground)
    for gate in limits.standing():
        limits.clear(gate.scope, gate.target)
    if wanted:
        limits.set("key", "customer:*", wanted, by="bench")
    for number in range(_CUSTOMERS):
        platform.submit(_BACKLOG, "waiting", {"seconds": _SECONDS}, limit_key=f"customer:{number}")
    slots = _CUSTOMERS * _EACH_AT_ONCE
    with ground.running([haulway_worker(), haulway_waiting_worker(slots), HAULWAY_DISPATCHER]):
        while not (done := _done_beside(ground)):
            time.sleep(_POLL)
        began = time.monotonic()
        platform.submit(count, "bench.noop")
        rate = platform.drain(ground, count).rate
        return {"rate": rate, "beside": (_done_beside(ground) - done) / (time.monotonic() - began)}


def _done_beside(ground: Ground) -> int:
    question = "SELECT count(*) FROM jobs_job WHERE kind = 'waiting' AND state = 'completed'"
    return int(platform.ask(ground, question)[0])
