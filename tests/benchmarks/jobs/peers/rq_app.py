"""RQ, with the worker class that does not fork for each job, and its pipelined bulk call."""

from __future__ import annotations

import os

import redis
from rq import Queue

from tests.benchmarks.jobs import tally

queue = Queue("default", connection=redis.Redis.from_url(os.environ["REDIS_URL"]))


def noop() -> None:
    tally.note()


def single(count: int) -> None:
    for _ in range(count):
        queue.enqueue(noop)


def bulk(count: int) -> None:
    for start in range(0, count, 1000):
        queue.enqueue_many([Queue.prepare_data(noop) for _ in range(min(1000, count - start))])
