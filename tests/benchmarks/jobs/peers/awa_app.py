"""awa-pg: jobs as rows of Postgres, dispatched by a Rust core to asynchronous Python handlers."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass

import awa

from tests.benchmarks.jobs import tally

_WORKERS = 256  # handlers at a time in each process
_POLL = 50  # milliseconds; with this and the above it was fastest here


@dataclass
class Noop:
    pass


def prepare() -> None:
    client = awa.Client(os.environ["BENCH_DATABASE"])
    client.migrate()
    client.install_queue_storage()


def single(count: int) -> None:
    client = awa.Client(os.environ["BENCH_DATABASE"])
    for _ in range(count):
        client.insert(Noop(), queue="bench")
    client.close()


def bulk(count: int) -> None:
    client = awa.Client(os.environ["BENCH_DATABASE"])
    for start in range(0, count, 1000):
        client.enqueue_many_copy([Noop() for _ in range(min(1000, count - start))], queue="bench")
    client.close()


async def work() -> None:
    client = awa.AsyncClient(os.environ["BENCH_DATABASE"])

    @client.task(Noop, queue="bench")
    async def noop(_: awa.Job[Noop]) -> None:
        tally.note()

    await client.start([("bench", _WORKERS)], poll_interval_ms=_POLL)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await client.shutdown()


if __name__ == "__main__":
    asyncio.run(work())
