"""No-op jobs a second in a table that is already full of finished jobs, and how long /metrics takes over it."""

from __future__ import annotations

import time
import uuid
from statistics import median

import psycopg
from django.test import Client, override_settings
from psycopg import sql

from jobs import endings, lifecycle
from tests.benchmarks.jobs.ground import Ground
from tests.benchmarks.jobs.ourselves import platform

_BATCH = 1_000_000
_TABLES = ("jobs_job", "jobs_attempt")


def rate(ground: Ground, rows: int, share: float) -> float:
    """With `rows` finished jobs, each with its attempt. What is there already is kept: ask for more and more rows."""
    ground.redis.flushall()
    ground.new_tally()
    if rows:
        fill(ground, rows)
    before = platform.completed(ground)
    count = int(30_000 * share)
    platform.submit(count, "bench.noop")
    with platform.working(ground):
        return platform.drain(ground, count, before).rate


def metrics() -> dict[str, float]:
    """Milliseconds of one GET /metrics, through everything but the network."""
    client, took = Client(SERVER_NAME="localhost"), []
    with override_settings(METRICS_OPEN=True):
        for _ in range(50):
            began = time.perf_counter()
            answer = client.get("/metrics")
            took.append((time.perf_counter() - began) * 1000)
            assert answer.status_code == 200
    return {"median": median(took), "most": max(took)}


def fill(ground: Ground, rows: int) -> None:
    """Bring the table to so many finished jobs: copies of one that was really done, by plain SQL."""
    with ground.connect() as connection:
        row = connection.execute("SELECT count(*) FROM jobs_job").fetchone()
        missing = rows - (int(row[0]) if row else 0)
        if missing <= 0:
            return
        template = _finished_job()
        # Indexes are built afterwards in one go, and the counters of the pages are of no interest here.
        indexes = connection.execute(_INDEXES, [list(_TABLES)]).fetchall()
        for name, _ in indexes:
            connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
        for table in _TABLES:
            connection.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(sql.Identifier(table)))
        for start in range(0, missing, _BATCH):
            _copy(connection, template, min(_BATCH, missing - start), older=missing - start)
        for table in _TABLES:
            connection.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(sql.Identifier(table)))
        for _, definition in indexes:
            connection.execute(definition)
        connection.execute("VACUUM ANALYZE jobs_job, jobs_attempt")


_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE tablename = ANY(%s) AND indexname NOT IN (SELECT conname FROM pg_constraint)
"""


def _finished_job() -> uuid.UUID:
    job = lifecycle.submit("echo")
    claimed = lifecycle.claim([job.id], node=uuid.uuid4(), lease=uuid.uuid4(), kinds=[job.kind])
    lifecycle.record([endings.completed(one, 0.0) for one in claimed])
    return job.id


def _copy(connection: psycopg.Connection[tuple[object, ...]], template: uuid.UUID, count: int, older: int) -> None:
    """Copies whose ids and times lie in the past, a millisecond apart, the oldest `older` ms and an hour ago; of
    five thousand customers, and one in a hundred a dead letter.
    """
    job = _columns(connection, "jobs_job") | {name: sql.SQL(value) for name, value in _VARIED.items()}
    job |= {"id": sql.SQL("uuidv7(at - now())")}
    job |= {column: sql.SQL("at") for column in job if column.endswith("_at") and column != "cancel_requested_at"}
    attempt = _columns(connection, "jobs_attempt")
    del attempt["id"]
    attempt |= {"job_id": sql.SQL("copied.id")}
    connection.execute(
        sql.SQL(
            """
            WITH copied AS (
                INSERT INTO jobs_job ({job_columns})
                SELECT {job_values} FROM jobs_job template, (
                    SELECT n, now() + (n - %(older)s) * interval '1 ms' - interval '1 hour' AS at
                    FROM generate_series(1, %(count)s) AS n
                ) AS moment WHERE template.id = %(template)s
                RETURNING id
            )
            INSERT INTO jobs_attempt ({attempt_columns})
            SELECT {attempt_values} FROM copied, jobs_attempt template WHERE template.job_id = %(template)s
            """
        ).format(
            job_columns=sql.SQL(", ").join(map(sql.Identifier, job)),
            job_values=sql.SQL(", ").join(job.values()),
            attempt_columns=sql.SQL(", ").join(map(sql.Identifier, attempt)),
            attempt_values=sql.SQL(", ").join(attempt.values()),
        ),
        {"older": older, "count": count, "template": template},
    )


_VARIED = {
    "payload": "jsonb_build_object('customer', n %% 5000)",
    "state": "CASE WHEN n %% 100 = 0 THEN 'failed' ELSE 'completed' END",
    "reason": "CASE WHEN n %% 100 = 0 THEN 'exhausted' ELSE '' END",
    "error": "CASE WHEN n %% 100 = 0 THEN 'TimeoutError: no answer in ' || n %% 60 || ' s' ELSE '' END",
    "fingerprint": "CASE WHEN n %% 100 = 0 THEN 'TimeoutError at shop.part_' || n / 100 %% 40 ELSE '' END",
}


def _columns(connection: psycopg.Connection[tuple[object, ...]], table: str) -> dict[str, sql.Composable]:
    """Each column, with the template's own value for it."""
    question = "SELECT column_name FROM information_schema.columns WHERE table_name = %s"
    names = [str(row[0]) for row in connection.execute(question, [table]).fetchall()]
    return {name: sql.Identifier("template", name) for name in names}
