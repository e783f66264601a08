"""Postgres and Valkey, or Debian's: the server programs, and the group of processes that ends with a scenario."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

import psycopg
import redis

from project.local import guardian
from project.local.postgres import ENVIRONMENT, Postgres
from project.local.valkey import Valkey
from tests.chaos.actor import Actor
from tests.debian.programs import DebianPostgres, DebianRedis, PgBouncer

PASSWORD = "chaos"  # of servers that live for a minute on the loopback address
TEMPLATE = "template"
_SECONDS_TO_START = 30.0
_CONNECTIONS = 400  # more than `manage.py up` allows, because one scenario holds 300


class Source(StrEnum):
    """Where the server programs come from."""

    EMBEDDED = "embedded"  # wheels, as `manage.py up` has them
    DEBIAN = "debian"
    PGBOUNCER = "pgbouncer"  # Debian's, with PgBouncer in transaction mode in front of Postgres


def source() -> Source:
    """What HAULWAY_TEST_SERVERS says, for tests as for scenarios."""
    said = os.environ.get("HAULWAY_TEST_SERVERS") or Source.EMBEDDED
    if said not in list(Source):
        raise SystemExit(f"HAULWAY_TEST_SERVERS is one of {', '.join(Source)}, not {said}.")
    return Source(said)


def postgres_at(cluster: Path, scratch: Path, port: int, *, durable: bool) -> Postgres:
    which = Postgres if source() is Source.EMBEDDED else DebianPostgres
    return which(cluster, scratch, port, PASSWORD, durable=durable)


def valkey_at(directory: Path, port: int) -> Valkey:
    which = Valkey if source() is Source.EMBEDDED else DebianRedis
    return which(directory, port, PASSWORD, durable=False)


@contextmanager
def guarded(*throw_away: Path) -> Iterator[int]:
    """A process group whose members end with this process, however it ends; directories to remove then."""
    command = [sys.executable, "-IS", guardian.__file__, *map(str, throw_away)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0) as process:
        yield process.pid
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.read()


def copied_cluster(home: Path, target: Path, port: int) -> Postgres:
    """A copy of the template cluster, owner and modes included."""
    subprocess.run(["cp", "-a", str(home / TEMPLATE), str(target)], check=True, timeout=60)
    return postgres_at(target, home, port, durable=True)


def postgres_server(postgres: Postgres, group: int, log: Path) -> Actor:
    user = postgres.account.uid if postgres.account else None
    command = [*postgres.command(), "-c", f"max_connections={_CONNECTIONS}"]
    return Actor("postgres", program(command, group, postgres.cluster, ENVIRONMENT, log, user))


def valkey_server(valkey: Valkey, group: int, log: Path) -> Actor:
    valkey.prepare()
    return Actor("valkey", program(valkey.command(), group, valkey.directory, {}, log))


def pgbouncer_server(pgbouncer: PgBouncer, group: int, log: Path) -> Actor:
    pgbouncer.prepare()
    user = pgbouncer.account.uid if pgbouncer.account else None
    return Actor("pgbouncer", program(pgbouncer.command(), group, pgbouncer.directory, {}, log, user))


def program(
    command: Sequence[str],
    group: int,
    directory: Path,
    environment: Mapping[str, str],
    log: Path,
    user: int | None = None,
) -> Callable[[], subprocess.Popen[bytes]]:
    """How to start a program in a group of processes; what it says is added to its log."""

    def spawn() -> subprocess.Popen[bytes]:
        with log.open("ab") as file:
            return subprocess.Popen(
                command,
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                process_group=group,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )

    return spawn


def until_postgres_answers(url: str) -> None:
    _until(lambda: psycopg.connect(url, connect_timeout=2, sslmode="disable").close(), psycopg.Error)


def until_valkey_answers(url: str) -> None:
    def ping() -> None:
        with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
            client.ping()

    _until(ping, redis.RedisError)


def _until(attempt: Callable[[], None], failure: type[Exception]) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while True:
        try:
            return attempt()
        except failure:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
