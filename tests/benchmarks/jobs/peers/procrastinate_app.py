"""Procrastinate: jobs as rows of Postgres, on asynchronous workers."""

from __future__ import annotations

import os

import procrastinate

from tests.benchmarks.jobs import tally

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["BENCH_DATABASE"]))
_submitter = procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=os.environ["BENCH_DATABASE"]))


@app.task(name="noop")
async def noop() -> None:
    tally.note()


def prepare() -> None:
    with _submitter.open():
        _submitter.schema_manager.apply_schema()


def single(count: int) -> None:
    with _submitter.open():
        job = _submitter.configure_task("noop")
        for _ in range(count):
            job.defer()


def bulk(count: int) -> None:
    with _submitter.open():
        job = _submitter.configure_task("noop")
        for start in range(0, count, 1000):
            job.batch_defer(*[{} for _ in range(min(1000, count - start))])
