"""Haulway's own processes, as `up` runs them: the same command lines that anyone may run by hand."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings

from project.local.nursery import forked
from project.local.ports import LOOPBACK
from project.local.supervisor import Program, cores

LOOPBACK_NETWORKS = "127.0.0.0/8,::1/128"
WEB_GRACE_SECONDS = 5
IO_THREADS = 256  # they wait for others most of the time, so many of them cost little

WEB = "web"
WORKERS = ("compute", "io")
DISPATCHERS = ("dispatcher-1", "dispatcher-2")
FLOWER = "flower"


def environment(
    *, postgres_url: str, redis_url: str, download_root: Path, scratch: Path, secret_key: str
) -> dict[str, str]:
    """What the processes are told. A stack on loopback is its user's own, so it is open to him and may reach him."""
    # libpq would let PGHOST and the like of the surrounding shell override what the URL leaves unsaid.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    networks = [inherited.get("OUTBOUND_ALLOWED_NETWORKS", ""), LOOPBACK_NETWORKS]
    return {
        "DJANGO_SETTINGS_MODULE": "project.settings",
        **inherited,
        "POSTGRES_URL": postgres_url,
        "REDIS_URL": redis_url,
        "DOWNLOAD_ROOT": str(download_root),
        "SECRET_KEY": secret_key,
        "TMPDIR": str(scratch),  # what a killed process leaves there goes away with the stack
        "OPEN_ON_LOOPBACK": "1",
        "ALLOW_DIAGNOSTICS": "1",
        "OUTBOUND_ALLOWED_NETWORKS": ",".join(filter(None, networks)),
        "PYTHONUNBUFFERED": "1",
        "LOG_FORMAT": "console",  # people read along
    }


def web(port: int) -> Program:
    words = [
        "project.asgi:application",
        f"--host={LOOPBACK}",
        f"--port={port}",
        "--no-access-log",
        "--no-proxy-headers",
    ]
    words.append(f"--log-level={settings.LOG_LEVEL.lower()}")
    # Without a limit of its own, one open stream of events would hold the server for ever.
    words.append(f"--timeout-graceful-shutdown={WEB_GRACE_SECONDS}")
    return Program(WEB, forked("uvicorn", *words), stop_seconds=WEB_GRACE_SECONDS + 3)


def workers(drain_seconds: float) -> list[Program]:
    """One worker of processes for the kinds that compute, one of threads for the kinds that wait."""
    compute, io = WORKERS
    lanes = {
        compute: ["-Pprefork", f"-c{_slots(settings.WORKER_POOL_SIZE or cores())}", "-Qcritical,high,medium,low"],
        io: ["-Pthreads", f"-c{_slots(IO_THREADS)}", "-Qcritical.io,high.io,medium.io,low.io"],
    }
    return [
        _celery(
            name,
            ["worker", f"-n{name}@%h", *lane, "--without-gossip", "--without-mingle", f"-l{settings.LOG_LEVEL}"],
            stop_seconds=drain_seconds + 10,
        )
        for name, lane in lanes.items()
    ]


def _slots(wanted: int) -> int:
    return min(wanted, settings.WORKER_MAX_CONCURRENT_JOBS or wanted)


def dispatchers() -> list[Program]:
    return [_celery(name, ["beat", f"-l{settings.LOG_LEVEL}"]) for name in DISPATCHERS]


def flower(port: int) -> Program:
    return _celery(FLOWER, ["flower", f"--address={LOOPBACK}", f"--port={port}"])


def _celery(name: str, words: list[str], stop_seconds: float = 5.0) -> Program:
    return Program(name, forked("celery", "-A", "project", *words), stop_seconds=stop_seconds)
