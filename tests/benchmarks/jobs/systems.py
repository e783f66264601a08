"""Who takes part: how each system's workers are started, how its records are counted, and what of it is durable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SLOTS = 2  # worker processes of every system
PEERS = "tests.benchmarks.jobs.peers"
_CELERY_WORKER = ("worker", "-Pprefork", f"-c{SLOTS}", "--without-gossip", "--without-mingle", "-lERROR")

HAULWAY_DISPATCHER = ("celery", "-A", "project", "beat", "-lWARNING")


def haulway_worker(slots: int = SLOTS) -> tuple[str, ...]:
    """A worker of the computing lane, as `make up` starts one."""
    words = ("worker", "-Pprefork", f"-c{slots}", "-Qcritical,high,medium,low", "--without-gossip", "--without-mingle")
    return ("celery", "-A", "project", *words, "-lWARNING")


def haulway_waiting_worker(slots: int) -> tuple[str, ...]:
    """A worker of the waiting lane."""
    queues = "-Qcritical.io,high.io,medium.io,low.io"
    words = ("worker", "-nwaiting@%h", "-Pthreads", f"-c{slots}", queues, "--without-gossip", "--without-mingle")
    return ("celery", "-A", "project", *words, "-lWARNING")


@dataclass(frozen=True)
class System:
    name: str
    module: str  # under peers/
    workers: Sequence[Sequence[str]]  # modules with their words, run by python -m
    backlog: int  # jobs to drain: a few seconds' worth
    singles: int  # of them, submitted one by one
    keeps: str  # what record of a finished job is kept
    survives: str  # whether waiting jobs survive the loss of the whole broker
    bulk: bool = True
    database: str = ""  # its own in the one Postgres, made afresh for each heat; none for those on Redis alone
    recorded: str = ""  # SQL, or for Redis a sorted set: how many jobs are recorded as finished
    environment: Mapping[str, str] = field(default_factory=dict)


def _celery(module: str) -> tuple[str, ...]:
    return ("celery", "-A", f"{PEERS}.{module}", *_CELERY_WORKER)


HAULWAY = System(
    "Haulway",
    "haulway",
    (haulway_worker(), HAULWAY_DISPATCHER),
    backlog=40_000,
    singles=2_000,
    keeps="job and every attempt, in Postgres",
    survives="yes",
    recorded="SELECT count(*) FROM jobs_job WHERE state = 'completed'",
)

SYSTEMS = (
    HAULWAY,
    System(
        "Celery, acks early",
        "celery_app",
        (_celery("celery_app"),),
        backlog=4_000,
        singles=2_000,
        keeps="none",
        survives="no",
    ),
    System(
        "Celery, acks late",
        "celery_app",
        (_celery("celery_app"),),
        backlog=4_000,
        singles=2_000,
        keeps="none",
        survives="no",
        environment={"BENCH_ACKS_LATE": "1"},
    ),
    System(
        "Celery + django-celery-results",
        "celery_results",
        (_celery("celery_results"),),
        backlog=1_500,
        singles=500,
        keeps="result, in Postgres",
        survives="no",
        database="celery_results",
        recorded="SELECT count(*) FROM django_celery_results_taskresult WHERE status = 'SUCCESS'",
    ),
    System(
        "Celery + results, connections kept",
        "celery_results",
        (_celery("celery_results"),),
        backlog=1_500,
        singles=500,
        keeps="result, in Postgres",
        survives="no",
        database="celery_results",
        recorded="SELECT count(*) FROM django_celery_results_taskresult WHERE status = 'SUCCESS'",
        environment={"BENCH_KEEP_CONNECTIONS": "1"},
    ),
    System(
        "RQ",
        "rq_app",
        (("rq.cli", "worker-pool", f"-n{SLOTS}", "-wrq.worker.SimpleWorker", "-q", "-u{redis}", "default"),),
        backlog=3_000,
        singles=1_000,
        keeps="result for 500 s, in Redis",
        survives="no",
        recorded="rq:finished:default",
    ),
    System(
        "Dramatiq",
        "dramatiq_app",
        (("dramatiq", f"{PEERS}.dramatiq_app", "--processes", str(SLOTS)),),
        backlog=8_000,
        singles=2_000,
        keeps="none",
        survives="no",
    ),
    System(
        "Procrastinate",
        "procrastinate_app",
        tuple(
            ("procrastinate", "--app", f"{PEERS}.procrastinate_app.app", "--log-level=error", "worker", "-c20")
            for _ in range(SLOTS)
        ),
        backlog=1_500,
        singles=500,
        keeps="job and its events, in Postgres",
        survives="yes (has no broker)",
        database="procrastinate",
        recorded="SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'",
    ),
    System(
        "Huey",
        "huey_app",
        (("huey.bin.huey_consumer", f"{PEERS}.huey_app.huey", "-kprocess", f"-w{SLOTS}", "-q", "-n"),),
        backlog=6_000,
        singles=6_000,
        keeps="none",
        survives="no",
        bulk=False,
    ),
    System(
        "taskiq, lists",
        "taskiq_app",
        (("taskiq", "worker", f"{PEERS}.taskiq_app:broker", f"-w{SLOTS}", "--log-level=ERROR"),),
        backlog=8_000,
        singles=2_000,
        keeps="none",
        survives="no",
    ),
    System(
        "taskiq, streams",
        "taskiq_app",
        (("taskiq", "worker", f"{PEERS}.taskiq_app:broker", f"-w{SLOTS}", "--log-level=ERROR"),),
        backlog=6_000,
        singles=2_000,
        keeps="none",
        survives="no",
        environment={"BENCH_STREAMS": "1"},
    ),
    System(
        "awa-pg (Python worker)",
        "awa_app",
        tuple((f"{PEERS}.awa_app",) for _ in range(SLOTS)),
        backlog=12_000,
        singles=1_000,
        keeps="job, in Postgres",
        survives="yes (has no broker)",
        database="awa",  # counted by its handlers: to count in its own view of 4,000 jobs took 20 s
    ),
)
