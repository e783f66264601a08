"""Celery, as its guide on optimising asks for many short tasks: a high prefetch, no results, pooled connections."""

from __future__ import annotations

import os

from celery import Celery

from tests.benchmarks.jobs import tally

app = Celery("bench", broker=os.environ["REDIS_URL"])
app.conf.update(
    task_ignore_result=True,
    task_acks_late=os.environ.get("BENCH_ACKS_LATE") == "1",
    worker_prefetch_multiplier=64,
    worker_enable_remote_control=False,
)


@app.task(name="noop")
def noop() -> None:
    tally.note()


def single(count: int) -> None:
    for _ in range(count):
        noop.delay()


def bulk(count: int) -> None:
    """A pipeline to Redis, which kombu has and Celery does not use by itself: as Haulway's dispatcher publishes."""
    with app.producer_or_acquire() as producer, producer.batch(1000):
        for _ in range(count):
            noop.apply_async(producer=producer, retry=False)
