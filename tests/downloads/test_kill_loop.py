"""A worker that is killed again and again in the middle of one download, through the whole platform."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from jobs import lifecycle
from jobs.models import Job, Outcome, State
from tests.jobs.fleet import Fleet
from tests.origins import Exchange, FileOrigin
from tests.origins.files import content
from tests.waiting import eventually

WORKER = ("worker", "-Pprefork", "-c1")


class Unreliable(FileOrigin):
    """Breaks one answer in three somewhere in the middle."""

    def body(self, exchange: Exchange, start: int, end: int) -> None:
        chance = random.Random(exchange.number)
        if chance.random() < 1 / 3:
            super().body(exchange, start, start + chance.randrange(end - start))
            exchange.close()
        else:
            super().body(exchange, start, end)


def kill(fleet: Fleet, *, whole: bool) -> None:
    """SIGKILL for the process that runs the job; or for the worker with all that belongs to it, which is replaced."""
    if whole:
        fleet.kill("worker")
        fleet.worker(*WORKER)
    else:
        for process in fleet.pool_of("worker"):
            process.kill()


def has_ended(attempt: Job) -> bool:
    return not Job.objects.filter(id=attempt.id, state=State.RUNNING, attempt=attempt.attempt).exists()


def killed_again_and_again(
    fleet: Fleet, root: Path, *, size: int, kills: int, rate: float
) -> tuple[float, Counter[str]]:
    """The part of the file that was sent more than once, and how the attempts ended."""
    chance = random.Random(7)
    fleet.worker(*WORKER)
    with Unreliable(content(size), rate=rate) as origin:
        job = lifecycle.submit("download", {"url": origin.url(), "output": "file.bin", "if_exists": "rename"})
        alive = Job.objects.filter(id=job.id, state=State.RUNNING)
        lives = 0
        while lives < kills:
            begun = eventually(alive.first)
            time.sleep(chance.uniform(0, 2.5))  # any moment of an attempt: beginning, fetching, saving
            assert not has_ended(begun), list(job.attempts.values_list("number", "outcome", "error"))[-2:]
            kill(fleet, whole=lives % 10 == 9)
            lives += 1
            eventually(partial(has_ended, begun))
        origin.rate = 5_000_000  # without one, what the loopback's buffers hold when a segment is cut would be counted
        eventually(lambda: Job.objects.filter(id=job.id, state=State.COMPLETED).exists())
        assert (root / "file.bin").read_bytes() == origin.data
        assert [path.name for path in root.iterdir() if path.is_file()] == ["file.bin"]
        assert list((root / ".parts").iterdir()) == []
        return origin.sent / size - 1, Counter(job.attempts.values_list("outcome", flat=True))


def test_a_worker_killed_six_times_brings_one_right_file_and_fetches_little_twice(fleet: Fleet, tmp_path: Path) -> None:
    twice, ends = killed_again_and_again(fleet, tmp_path / "downloads", size=30_000_000, kills=6, rate=500_000)
    assert ends[Outcome.COMPLETED] == 1
    assert ends[Outcome.CRASHED] + ends[Outcome.LOST] == 6
    assert twice <= 0.05


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_worker_killed_a_hundred_times_fetches_at_most_a_twentieth_twice(
    fleet: Fleet, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    twice, ends = killed_again_and_again(fleet, tmp_path / "downloads", size=200_000_000, kills=100, rate=250_000)
    record_property("fetched twice", f"{twice:.2%}")
    assert ends[Outcome.COMPLETED] == 1
    assert ends[Outcome.CRASHED] + ends[Outcome.LOST] == 100
    assert twice <= 0.05
