"""Where one scenario plays: servers, workers, dispatchers and web, all real, and a look at what is in the rows."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import psycopg
import redis

from project.local import programs
from project.local.ports import Port
from project.local.postgres import Postgres
from tests.chaos import ledger, servers
from tests.chaos.actor import Actor, Process
from tests.chaos.nursery import nursery
from tests.chaos.proxy import Road
from tests.debian.programs import PgBouncer

PROJECT = Path(__file__).resolve().parent.parent.parent
COMPUTE_QUEUES = "critical,high,medium,low"
IO_QUEUES = "critical.io,high.io,medium.io,low.io"
_POLL = 0.05
_PATIENCE = 60.0  # for Postgres to answer a question of ours
# On a machine that has much else to do: how many times longer to wait before something is taken to hang. What is
# measured against a bound is not changed by it.
PATIENCE_VARIABLE = "CHAOS_PATIENCE"


Environment = Mapping[str, str]  # what a process is told beside what all are
AS_ALL: Environment = MappingProxyType({})


class Broken(AssertionError):
    """A promise was not kept."""


class Stage:
    """`with Stage(home, directory)`: the servers run. Workers and dispatchers are the scenario's to start.

    `home` is the template's directory. Processes find Postgres and Valkey by way of `self.environment`.
    """

    def __init__(self, home: Path, directory: Path) -> None:
        self.directory = directory
        self.ledger = directory / "ledger"
        self.logs = directory / "logs"
        self._home = home
        self._stack = ExitStack()
        self._eye: psycopg.Connection[Any] | None = None

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True)
        self._group = self._stack.enter_context(servers.guarded())
        postgres = servers.copied_cluster(self._home, self.directory / "postgres", self._port())
        valkey = servers.valkey_at(self.directory / "valkey", self._port())
        self.postgres_url, self.redis_url = postgres.url, valkey.url
        self.postgres = servers.postgres_server(postgres, self._group, self.logs / "postgres.log")
        self.valkey = servers.valkey_server(valkey, self._group, self.logs / "valkey.log")
        self.postgres.start()
        self.valkey.start()
        servers.until_postgres_answers(postgres.url)
        servers.until_valkey_answers(valkey.url)
        self.redis = self._stack.enter_context(redis.Redis.from_url(valkey.url, decode_responses=True))
        self.environment = programs.environment(
            postgres_url=postgres.url,
            redis_url=valkey.url,
            download_root=self.directory / "downloads",
            scratch=self.directory,
            secret_key="chaos",
        )
        if servers.source() is servers.Source.PGBOUNCER:
            self.environment |= self._behind_pgbouncer(postgres)
        self.environment |= {
            "EXTRA_APPS": "tests.chaos.app",
            ledger.PATH_VARIABLE: str(self.ledger),
            "LOG_LEVEL": "WARNING",
        }
        return self

    def __exit__(self, *_: object) -> None:
        if self._eye is not None:
            self._eye.close()
        self._stack.close()

    def _behind_pgbouncer(self, postgres: Postgres) -> Environment:
        """What tells processes to take that way; what looks at the rows for us does not."""
        pgbouncer = PgBouncer(self.directory / "pgbouncer", self._port(), postgres)
        self._started(servers.pgbouncer_server(pgbouncer, self._group, self.logs / "pgbouncer.log"))
        servers.until_postgres_answers(pgbouncer.url)
        return {"POSTGRES_URL": pgbouncer.url, "DATABASE_TRANSACTION_POOLING": "1"}

    # --- processes ---------------------------------------------------------------------------------------------------

    def open_nursery(self) -> None:
        """From now on processes are forked ready-made. Once, with the settings loaded, before there are threads."""
        self.nursery = nursery(self._group)

    def worker(self, name: str, *, slots: int, io: bool = False, environment: Environment = AS_ALL) -> Actor:
        pool, queues = ("threads", IO_QUEUES) if io else ("prefork", COMPUTE_QUEUES)
        return self._celery(name, worker_words(name, pool, slots, queues), environment)

    def dispatcher(self, name: str, environment: Environment = AS_ALL) -> Actor:
        return self._celery(name, ["-A", "project", "beat", "-lINFO"], environment)

    def web(self, port: int, environment: Environment = AS_ALL) -> Actor:
        words = ["uvicorn", "project.asgi:application", "--host=127.0.0.1", f"--port={port}"]
        return self._started(Actor("web", self._program("web", words, environment)))

    def _celery(self, name: str, words: list[str], environment: Environment) -> Actor:
        """Forked; or, where it is told something of its own, started afresh, because settings are loaded once."""
        if environment:
            return self._started(Actor(name, self._program(name, ["celery", *words], environment)))
        return self._started(Actor(name, partial(self.nursery.start, words, self.logs / f"{name}.log")))

    def _program(self, name: str, words: list[str], environment: Environment) -> Callable[[], Process]:
        told = {**self.environment, **environment}
        command = [sys.executable, "-m", *words]
        return servers.program(command, self._group, PROJECT, told, self.logs / f"{name}.log")

    def _started(self, actor: Actor) -> Actor:
        actor.start()
        return actor

    def road_to_valkey(self) -> Road:
        """A road that can be cut; processes started with `REDIS_URL=road_url(road)` take it."""
        return self._stack.enter_context(Road(_port_of(self.redis_url)))

    def road_to_postgres(self) -> Road:
        """The same; processes started with `POSTGRES_URL=postgres_by(road)` take it."""
        return self._stack.enter_context(Road(_port_of(self.postgres_url)))

    def postgres_by(self, road: Road) -> str:
        return self.postgres_url.replace(f":{_port_of(self.postgres_url)}/", f":{road.port}/")

    def road_url(self, road: Road) -> str:
        return f"redis://:{servers.PASSWORD}@127.0.0.1:{road.port}/0"

    def free_port(self) -> int:
        return self._port()

    def _port(self) -> int:
        port = Port()
        self._stack.callback(port.release)
        return port.number

    def restart_postgres(self) -> None:
        """Start it again, also where the last traces of the killed server are not gone yet."""
        deadline = time.monotonic() + _PATIENCE
        while not self.postgres.alive() and time.monotonic() < deadline:
            self.postgres.start()
            while self.postgres.alive() and not self._connects():
                time.sleep(_POLL)

    def restart_valkey(self) -> None:
        self.valkey.start()
        servers.until_valkey_answers(self.redis_url)

    def _connects(self) -> bool:
        try:
            psycopg.connect(self.postgres_url, connect_timeout=2, sslmode="disable").close()
        except psycopg.Error:
            return False
        return True

    # --- looking -----------------------------------------------------------------------------------------------------

    def rows(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        """What the database says, by a way that no scenario touches; waits for a database that is away."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                if self._eye is None:
                    self._eye = psycopg.connect(
                        self.postgres_url, autocommit=True, connect_timeout=2, application_name="chaos"
                    )
                return self._eye.execute(query.encode(), params or None).fetchall()
            except (psycopg.OperationalError, psycopg.InterfaceError):
                self._eye = None
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL)

    def one(self, query: str, *params: Any) -> Any:
        return self.rows(query, *params)[0][0]

    def count(self, where: str, *params: Any) -> int:
        return int(self.one(f"SELECT count(*) FROM jobs_job WHERE {where}", *params))

    def until(self, met: Callable[[], Any], seconds: float, promise: str) -> float:
        """Wait until it is so. Returns the seconds that took; raises Broken with the promise when it is not in time."""
        began = time.monotonic()
        seconds *= patience()
        while not met():
            if time.monotonic() - began > seconds:
                raise Broken(f"{promise} (waited for {seconds:.0f} s)")
            time.sleep(_POLL)
        return time.monotonic() - began


def patience() -> float:
    return float(os.environ.get(PATIENCE_VARIABLE, "1"))


def worker_words(name: str, pool: str, slots: int, queues: str) -> list[str]:
    """The words after `celery` that start a worker."""
    options = [f"-n{name}@%h", f"-P{pool}", f"-c{slots}", f"-Q{queues}", "-lWARNING"]
    return ["-A", "project", "worker", *options, "--without-gossip", "--without-mingle"]


def _port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])
