"""Workers and dispatchers as real processes, started by the commands that people use, to be hurt by tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import psutil
import redis
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from jobs import leadership
from jobs.models import Job, Node
from tests.waiting import PATIENCE, eventually

PROJECT = Path(__file__).resolve().parent.parent.parent

Found = TypeVar("Found")


def until(job: Job, *states: str) -> Job:
    """The job as it is once it has come to one of these states."""

    def look() -> Job | None:
        return Job.objects.filter(id=job.id, state__in=states).first()

    found: Job = eventually(look)
    return found


class Fleet:
    """`with Fleet(…) as fleet`: ends with every process of it gone."""

    def __init__(self, directory: Path, environment: Mapping[str, str], project: Path = PROJECT) -> None:
        self._directory = directory
        self._environment = environment
        self._project = project  # another tree than ours: the release before
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def worker(self, name: str, *words: str, apps: str = "") -> None:
        """Start a worker of two pool processes, unless it runs."""
        if not self.runs(name):
            alone = ("--without-gossip", "--without-mingle")  # they cost a second of the start
            words = words or ("-Pprefork", "-c2")
            self._start(name, "worker", f"-n{name}@%h", *alone, *words, WORKER_ID=name, EXTRA_APPS=apps)

    def dispatcher(self, name: str) -> None:
        """Start a dispatcher, unless it runs."""
        if not self.runs(name):
            self._start(name, "beat", "--schedule", str(self._directory / f"{name}.schedule"))

    def until_ready(self, *names: str) -> None:
        """Wait until these are ready for work."""
        signs = (" ready.", "beat: Starting")
        eventually(lambda: all(any(sign in self._log(name) for sign in signs) for name in names))

    def leads(self, name: str) -> bool:
        found = leadership.leader()
        return found is not None and found.holder.endswith(f"-{self._processes[name].pid}")

    def runs(self, name: str) -> bool:
        return name in self._processes and self._processes[name].poll() is None

    def terminate(self, name: str) -> None:
        self._processes[name].send_signal(signal.SIGTERM)

    def terminate_group(self, name: str) -> None:
        """As service managers do that tell every process of a service to stop."""
        os.killpg(self._processes[name].pid, signal.SIGTERM)

    def kill(self, name: str) -> None:
        if self.runs(name):
            os.killpg(self._processes[name].pid, signal.SIGKILL)
            self._processes[name].wait(PATIENCE)

    def exit_code(self, name: str) -> int:
        return self._processes[name].wait(PATIENCE)

    def pool_of(self, name: str) -> list[psutil.Process]:
        return psutil.Process(self._processes[name].pid).children()

    def _start(self, name: str, command: str, *words: str, **environment: str) -> None:
        with self._log_path(name).open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "project", command, "-lINFO", *words],
                cwd=self._project,
                env={**self._environment, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _log_path(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def _log(self, name: str) -> str:
        assert self.runs(name), self._log_path(name).read_text()[-4000:]
        return self._log_path(name).read_text()


ENVIRONMENT = {
    "LEASE_SECONDS": "3",
    "HEARTBEAT_SECONDS": "0.3",
    "DISPATCHER_LEASE_SECONDS": "2",
    "TIMEOUT_GRACE_SECONDS": "0.5",
    "CANCEL_GRACE_SECONDS": "1",
    "DRAIN_SECONDS": "5",
    "CRASH_BUDGET": "3",
    "ALLOW_DIAGNOSTICS": "1",
}


@contextmanager
def fleet_at_the_tests_database(directory: Path, blocker: Any) -> Iterator[Fleet]:
    """A fleet that works on the tables of the tests, which are emptied when it is gone."""
    with blocker.unblock():
        redis.Redis.from_url(settings.REDIS_URL).flushdb()
        database = urlsplit(settings.POSTGRES_URL)._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
        environment = {**os.environ, **ENVIRONMENT, "POSTGRES_URL": database, "REDIS_URL": settings.REDIS_URL}
        with Fleet(directory, environment) as fleet:
            yield fleet
        call_command("flush", verbosity=0, interactive=False)
        connection.close()


def node_of(job: Job) -> str:
    """The name of the worker that has the job."""
    assert job.node_id is not None
    return Node.objects.get(id=job.node_id).name
