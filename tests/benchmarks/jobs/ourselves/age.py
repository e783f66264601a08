"""No-op jobs a second in a table that is already full of finished jobs."""

from __future__ import annotations

from tests.benchmarks.jobs.ground import Ground
from tests.benchmarks.jobs.ourselves import platform

_BATCH = 1_000_000


def rate(ground: Ground, rows: int, share: float) -> float:
    """With `rows` finished jobs, each with its attempt. What is there already is kept: ask for more and more rows."""
    ground.redis.flushall()
    ground.new_tally()
    fill(ground, rows)
    before = platform.completed(ground)
    count = int(30_000 * share)
    platform.submit(count, "bench.noop")
    with platform.working(ground):
        return platform.drain(ground, count, before)


def fill(ground: Ground, rows: int) -> None:
    """Bring the table to so many finished jobs, by plain SQL: a million takes some seconds."""
    with ground.connect() as connection:
        row = connection.execute("SELECT count(*) FROM jobs_job").fetchone()
        missing = rows - (int(row[0]) if row else 0)
        if missing <= 0:
            return
        # Indexes are built afterwards in one go, and the counters of the pages are of no interest here.
        indexes = connection.execute(_INDEXES).fetchall()
        for name, _ in indexes:
            connection.execute(f'DROP INDEX "{name}"')
        for table in ("jobs_job", "jobs_attempt"):
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for start in range(0, missing, _BATCH):
            connection.execute(_FILL, {"rows": min(_BATCH, missing - start), "older": f"{missing - start} ms"})
        for table in ("jobs_job", "jobs_attempt"):
            connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        for _, definition in indexes:
            connection.execute(definition)
        connection.execute("VACUUM ANALYZE jobs_job, jobs_attempt")


_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE tablename IN ('jobs_job', 'jobs_attempt') AND indexname NOT IN (SELECT conname FROM pg_constraint)
"""
_FILL = """
WITH finished AS (
    INSERT INTO jobs_job (id, kind, lane, payload, metadata, priority, state, created_at, run_at, ready_at, started_at,
                          finished_at, max_retries, attempt, failures, crashes, losses, reason, error, node_id)
    SELECT uuidv7(n * interval '1 ms' - %(older)s::interval - interval '1 hour'), 'filled', 'compute', '{"n": 1}',
           '{}', 1, 'completed', at, at, at, at, at, 3, 1, 0, 0, 0, '', '', gen_random_uuid()
    FROM (SELECT n, now() + n * interval '1 ms' - %(older)s::interval - interval '1 hour' AS at
          FROM generate_series(1, %(rows)s) AS n) AS moment
    RETURNING id, finished_at
)
INSERT INTO jobs_attempt (job_id, kind, number, outcome, started_at, finished_at, seconds, node, error, traceback)
SELECT id, 'filled', 1, 'completed', finished_at, finished_at, 0.01, 'filled', '', '' FROM finished
"""
