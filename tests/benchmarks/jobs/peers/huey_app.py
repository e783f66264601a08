"""Huey on Redis. It stores results that are not None, so none here; it has no way to submit many at once."""

from __future__ import annotations

import os

from huey import RedisHuey

from tests.benchmarks.jobs import tally

huey = RedisHuey("bench", url=os.environ["REDIS_URL"])


@huey.task()
def noop() -> None:
    tally.note()


def single(count: int) -> None:
    for _ in range(count):
        noop()
