"""`make test-debian`: the tests against the servers that Debian ships, PostgreSQL and Redis, as many people run them.

With --pgbouncer between the tests and Postgres stands PgBouncer in transaction mode. All other words are pytest's.
"""

from __future__ import annotations

import argparse
import os
import pwd
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg

from project.local.datadir import make_scratch
from project.local.ports import LOOPBACK, Port
from project.local.postgres import ENVIRONMENT, UNPRIVILEGED
from tests.chaos.servers import guarded, program, until_postgres_answers, until_valkey_answers

PROJECT = Path(__file__).resolve().parent.parent
PASSWORD = secrets.token_hex(16)  # of servers that live as long as the tests
# Room for the races of the tests, and nothing waits for a disk.
_POSTGRES = ("max_connections=300", "fsync=off", "synchronous_commit=off", "full_page_writes=off")
_PGBOUNCER = f"""
[databases]
* = host={LOOPBACK} port={{postgres}}
[pgbouncer]
listen_addr = {LOOPBACK}
listen_port = {{port}}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {{users}}
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 60
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make test-debian", description=__doc__)
    parser.add_argument("--pgbouncer", action="store_true", help="put PgBouncer in transaction mode in between")
    options, words = parser.parse_known_args()
    scratch = make_scratch()
    with guarded(scratch) as group:
        servers = Servers(scratch, group)
        url = servers.postgres()
        # Without the name of the settings, which pytest would load before tests/conftest.py has prepared them.
        inherited = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
        environment = {
            **inherited,
            "HAULWAY_TEST_EXTERNAL": "1",
            "POSTGRES_URL": servers.pgbouncer(url) if options.pgbouncer else url,
            "REDIS_URL": servers.redis(),
            "DOWNLOAD_ROOT": str(scratch / "downloads"),
            "DATABASE_TRANSACTION_POOLING": str(int(options.pgbouncer)),
        }
        sys.stdout.write(f"{servers.told}\n")
        return subprocess.run(
            [sys.executable, "-m", "pytest", *words], cwd=PROJECT, env=environment, check=False
        ).returncode


class Servers:
    """Debian's programs, each with an empty directory of its own."""

    def __init__(self, scratch: Path, group: int) -> None:
        self.told = "Against "
        self._scratch = scratch
        self._group = group
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None

    def postgres(self) -> str:
        """Start it. Returns its address."""
        newest = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=None)
        if newest is None:
            raise SystemExit("PostgreSQL is missing: apt-get install --no-install-recommends postgresql")
        cluster, port = self._directory("postgres"), Port()
        (self._scratch / "password").write_text(PASSWORD)
        (self._scratch / "password").chmod(0o644)
        self._run(
            [
                str(newest / "initdb"),
                "-D.",
                "--username=haulway",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
                f"--pwfile={self._scratch / 'password'}",
            ],
            cluster,
        )
        words = [f"port={port.number}", f"listen_addresses={LOOPBACK}", "unix_socket_directories=", *_POSTGRES]
        self._start("postgres", [str(newest / "postgres"), "-D", ".", *(w for word in words for w in ("-c", word))])
        url = f"postgres://haulway:{PASSWORD}@{LOOPBACK}:{port.number}"
        until_postgres_answers(f"{url}/postgres")
        with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE haulway")
            # What sessions would set for themselves, where they can: see the runbook.
            connection.execute("ALTER ROLE haulway SET statement_timeout = '30s'")
            connection.execute("ALTER ROLE haulway SET idle_in_transaction_session_timeout = '60s'")
        self.told += f"PostgreSQL {newest.parent.name}"
        return f"{url}/haulway"

    def pgbouncer(self, postgres: str) -> str:
        """Start it before that Postgres. Returns the address through it."""
        program_ = self._installed("pgbouncer")
        directory, port = self._directory("pgbouncer"), Port()
        behind = postgres.rpartition(":")[2].partition("/")[0]
        (directory / "users").write_text(f'"haulway" "{PASSWORD}"\n')
        settings = _PGBOUNCER.format(postgres=behind, port=port.number, users=directory / "users")
        (directory / "pgbouncer.ini").write_text(settings)
        self._start("pgbouncer", [program_, "pgbouncer.ini"])
        url = postgres.replace(f":{behind}/", f":{port.number}/")
        until_postgres_answers(url)
        self.told += " behind PgBouncer in transaction mode"
        return url

    def redis(self) -> str:
        """Start it. Returns its address."""
        program_ = self._installed("redis-server")
        directory, port = self._directory("redis"), Port()
        (directory / "redis.conf").write_text(
            f"bind {LOOPBACK}\nport {port.number}\nrequirepass {PASSWORD}\nsave ''\nloglevel warning\n"
        )
        self._start("redis", [program_, "redis.conf"])
        url = f"redis://:{PASSWORD}@{LOOPBACK}:{port.number}/0"
        until_valkey_answers(url)
        shown = subprocess.run([program_, "--version"], capture_output=True, text=True, check=True).stdout
        self.told += f" and Redis {shown.split('v=')[1].split()[0]}"
        return url

    def _installed(self, name: str) -> str:
        if found := shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin"):
            return found
        raise SystemExit(f"{name} is missing: apt-get install --no-install-recommends {name}")

    def _directory(self, name: str) -> Path:
        directory = self._scratch / name
        directory.mkdir(mode=0o700)
        if self._user:
            shutil.chown(directory, self._user)
        return directory

    def _run(self, command: list[str], directory: Path) -> None:
        done = subprocess.run(
            command, cwd=directory, env=ENVIRONMENT, user=self._user, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stderr)

    def _start(self, name: str, command: list[str]) -> None:
        log = self._scratch / f"{name}.log"
        user = pwd.getpwnam(self._user).pw_uid if self._user else None
        program(command, self._group, self._scratch / name, ENVIRONMENT, log, user)()


if __name__ == "__main__":
    sys.exit(main())
