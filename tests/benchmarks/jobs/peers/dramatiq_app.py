"""Dramatiq on Redis, with its default middleware and threads."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from tests.benchmarks.jobs import tally

broker = RedisBroker(url=os.environ["REDIS_URL"])
dramatiq.set_broker(broker)


@dramatiq.actor
def noop() -> None:
    tally.note()


def single(count: int) -> None:
    for _ in range(count):
        noop.send()


def bulk(count: int) -> None:
    dramatiq.group(noop.message() for _ in range(count)).run()
