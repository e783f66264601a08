"""taskiq on Redis: lists, which are its fastest, or streams, which redeliver what was not acknowledged."""

from __future__ import annotations

import asyncio
import os

from taskiq_redis import ListQueueBroker, RedisStreamBroker

from tests.benchmarks.jobs import tally

broker = (RedisStreamBroker if os.environ.get("BENCH_STREAMS") == "1" else ListQueueBroker)(os.environ["REDIS_URL"])


@broker.task(task_name="noop")
async def noop() -> None:
    tally.note()


def single(count: int) -> None:
    asyncio.run(_one_by_one(count))


def bulk(count: int) -> None:
    """No call of its own; an asynchronous program sends several at a time."""
    asyncio.run(_several(count))


async def _one_by_one(count: int) -> None:
    await broker.startup()
    for _ in range(count):
        await noop.kiq()
    await broker.shutdown()


async def _several(count: int) -> None:
    await broker.startup()
    for start in range(0, count, 50):
        await asyncio.gather(*(noop.kiq() for _ in range(min(50, count - start))))
    await broker.shutdown()
