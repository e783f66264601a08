"""What a run stands on: one Postgres and one Valkey, durable as `make up` has them, and processes that end with it."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import django
import psutil
import psycopg
import redis

from project.local import programs
from project.local.launch import launch
from project.local.migration import bring_up_to_date
from tests.benchmarks.jobs import tally
from tests.chaos.servers import guarded

PROJECT = Path(__file__).resolve().parents[3]
APP = "tests.benchmarks.jobs.app"
_SECRET_KEY = "bench"
_SECONDS_TO_END = 40.0


class Ground:
    """`with Ground()`: the servers run and Haulway's database is migrated."""

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self.directory = Path(tempfile.mkdtemp(prefix="bench-"))
        self._stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        # A directory that is kept means durable servers; `--ephemeral` ones would not wait for the disk.
        servers = launch("--servers-only", "--data-dir", str(self.directory / "data"))
        self._stack.callback(servers.stop)
        self._at_work = [servers.process.pid]
        self.postgres_url = servers.addresses.postgres_url
        self.redis_url = servers.addresses.redis_url
        # This process reads the settings now: it submits jobs and migrates, as the others do.
        os.environ |= {"POSTGRES_URL": self.postgres_url, "REDIS_URL": self.redis_url, "EXTRA_APPS": APP}
        os.environ["SECRET_KEY"] = _SECRET_KEY
        django.setup()
        logging.getLogger("haulway.jobs").setLevel(logging.WARNING)  # of what is submitted from here, not of theirs
        self.redis = self._stack.enter_context(redis.Redis.from_url(self.redis_url))
        self._group = self._stack.enter_context(guarded())
        self._tallies = 0
        self.environment = programs.environment(
            postgres_url=self.postgres_url,
            redis_url=self.redis_url,
            download_root=self.directory,
            scratch=self.directory,
            secret_key=_SECRET_KEY,
        )
        self.new_tally()
        bring_up_to_date(self.postgres_url, "bench", self.directory)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def new_tally(self) -> Path:
        """An empty directory for the counters of the processes that are started from now on."""
        self._tallies += 1
        self.tally = self.directory / f"tally-{self._tallies}"
        self.tally.mkdir()
        self.environment[tally.VARIABLE] = str(self.tally)
        return self.tally

    def database(self, name: str) -> str:
        """The URL of a database of that name, made if need be."""
        url = self.postgres_url.rpartition("/")[0] + "/" + name
        with self.connect() as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                connection.execute(f'CREATE DATABASE "{name}"')
        return url

    def connect(self, url: str = "") -> psycopg.Connection[Any]:
        return psycopg.connect(url or self.postgres_url, autocommit=True, connect_timeout=5)

    @contextmanager
    def running(
        self, commands: Sequence[Sequence[str]], environment: Mapping[str, str] | None = None
    ) -> Iterator[None]:
        """Processes of Python modules, `["celery", "-A", …]`, for as long as the block lasts."""
        with (self.directory / "processes.log").open("ab") as log:
            started = [
                subprocess.Popen(
                    [sys.executable, "-m", *command],
                    cwd=PROJECT,
                    env={**self.environment, **(environment or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    process_group=self._group,
                )
                for command in commands
            ]
        self._at_work[1:] = [process.pid for process in started]
        try:
            yield
        finally:
            del self._at_work[1:]
            _end(started)

    def processor_seconds(self) -> float:
        """Used so far by the servers and by what is running: hardly depends on who else keeps the machine busy."""
        used = 0.0
        for pid in self._at_work:
            parent = psutil.Process(pid)
            for process in (parent, *parent.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    used += sum(process.cpu_times()[:4])  # its own, and that of children that have ended
        return used


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """At once, with all that they have forked: what they would still do in order is no part of any measurement."""
    families = [child for process in processes for child in psutil.Process(process.pid).children(recursive=True)]
    for process in processes:
        process.kill()
        process.wait(_SECONDS_TO_END)
    for child in families:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(families, _SECONDS_TO_END)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    told = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    model = next((value.strip() for name, _, value in told if name.strip() == "model name"), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processors": len(os.sched_getaffinity(0)),
        "model": model,
        "memory_gib": round(memory),
        "python": sys.version.split()[0],
    }
