"""Debian's server programs, in the shape of those out of wheels: prepared once, then described by a command line."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from project.local.datadir import StackError
from project.local.ports import LOOPBACK
from project.local.postgres import Account, Postgres
from project.local.valkey import Valkey
from tests.deploy.runbook import block

_PGBOUNCER = block("Settings behind PgBouncer", "ini")
_FOR_ROLE = block("Settings behind PgBouncer", "sql")  # what sessions would set for themselves, where they can
_SBIN = "/usr/bin:/usr/sbin"


class DebianPostgres(Postgres):
    """The newest that is installed. It lies where every account can start it."""

    initdb_options: ClassVar = ("--username=postgres", "--auth=reject", "--encoding=UTF8", "--locale=C.UTF-8")

    @property
    def binaries(self) -> Path:
        found = Path("/usr/lib/postgresql").glob("*/bin/postgres")
        newest = max(found, key=lambda path: int(path.parts[-3]), default=None)
        if newest is None:
            raise _missing("postgresql")
        return newest.parent

    def prepare(self) -> None:
        if not self.cluster.exists():
            self._make()
            self._run(self.cluster, "postgres", "postgres", first="--single", statements=_FOR_ROLE)


class DebianRedis(Valkey):
    """Redis reads what Valkey reads."""

    def command(self) -> list[str]:
        return [_installed("redis-server"), "valkey.conf"]


@dataclass
class PgBouncer:
    """As the runbook says to set it up, in front of a Postgres."""

    directory: Path
    port: int
    postgres: Postgres

    @property
    def url(self) -> str:
        return self.postgres.url.replace(f":{self.postgres.port}/", f":{self.port}/")

    @cached_property
    def account(self) -> Account | None:
        """It refuses to run as root, as Postgres does."""
        return self.postgres.account

    def prepare(self) -> None:
        self.directory.mkdir(mode=0o700)
        (self.directory / "users").write_text(f'"haulway" "{self.postgres.password}"\n')
        (self.directory / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={LOOPBACK} port={self.postgres.port}\n{_PGBOUNCER}"
            f"listen_addr = {LOOPBACK}\nlisten_port = {self.port}\nunix_socket_dir =\n"
            "auth_type = scram-sha-256\nauth_file = users\n"
        )
        if self.account:
            for path in (self.directory, *self.directory.iterdir()):
                shutil.chown(path, self.account.uid, self.account.gid)

    def command(self) -> list[str]:
        return [_installed("pgbouncer"), "pgbouncer.ini"]


def _installed(name: str) -> str:
    if found := shutil.which(name, path=_SBIN):
        return found
    raise _missing(name)


def _missing(package: str) -> StackError:
    return StackError(f"{package} is missing: apt-get install --no-install-recommends {package}")
