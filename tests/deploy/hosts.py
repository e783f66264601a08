"""Several hosts on one machine: network namespaces on a switch of their own, with real TCP between them.

It needs root and iproute2.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from project.local import programs
from project.local.datadir import make_scratch
from project.local.postgres import ENVIRONMENT, Postgres
from project.local.valkey import Valkey
from tests.chaos.servers import PASSWORD, guarded, program
from tests.deploy.tools import PROJECT
from tests.waiting import eventually

NETWORK = "10.177.41"
NUMBERS = {"centre": 1, "east": 2, "west": 3}  # the last part of each host's address
POSTGRES_PORT, REDIS_PORT, WEB_PORT = 5432, 6379, 8080
SLOTS = 4  # of each worker
DRAIN_SECONDS = 10
# Asks the database on its own host, as psql would: the rest of the machine has no way there.
_EYE = """
import json, sys, psycopg
with psycopg.connect(sys.argv[1], autocommit=True, connect_timeout=5) as connection:
    print("ready", flush=True)
    for line in sys.stdin:
        query, params = json.loads(line)
        print(json.dumps(connection.execute(query, params).fetchone()[0], default=str), flush=True)
"""
_SUBMIT = """
import json, sys, urllib.request as u
url, count, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
body = json.dumps({"jobs": [{"kind": "echo", "payload": {"sleep": seconds}}] * count}).encode()
u.build_opener(u.ProxyHandler({})).open(u.Request(url, body, {"Content-Type": "application/json"}), timeout=60)
"""


def ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False, timeout=20)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr}")
    return done.stdout


def possible() -> bool:
    """Whether this machine lets us make hosts."""
    name = f"hw{os.getpid()}-try"
    try:
        ip("netns", "add", name)
        ip("netns", "delete", name)
    except (OSError, RuntimeError):
        return False
    return True


class Hosts:
    """The centre has the servers, web and two dispatchers; each other host has a worker, once it is started there."""

    def __init__(self, scratch: Path, group: int) -> None:
        self._scratch = scratch
        self._group = group
        self._prefix = f"hw{os.getpid()}"
        self._spaces: list[str] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._eye: subprocess.Popen[str] | None = None
        self._environment = programs.environment(
            postgres_url=f"postgres://haulway:{PASSWORD}@{NETWORK}.1:{POSTGRES_PORT}/haulway",
            redis_url=f"redis://:{PASSWORD}@{NETWORK}.1:{REDIS_PORT}/0",
            download_root=scratch / "downloads",
            scratch=scratch,
            secret_key="three hosts",
        ) | {"DRAIN_SECONDS": str(DRAIN_SECONDS)}

    # --- the network -------------------------------------------------------------------------------------------------

    def wire(self) -> None:
        """Make all hosts and plug them into the switch."""
        self._space("switch")
        self._on("switch", "link", "add", "bridge", "type", "bridge")
        self._on("switch", "link", "set", "bridge", "up")
        for host, number in NUMBERS.items():
            space = self._space(host)
            self._on("switch", "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", space)
            self._on("switch", "link", "set", host, "master", "bridge", "up")
            self._on(host, "address", "add", f"{NETWORK}.{number}/24", "dev", "eth0")
            self._on(host, "link", "set", "eth0", "up")

    def unplug(self, host: str) -> None:
        """Pull its cable: no packet passes, and no connection is told."""
        self._on("switch", "link", "set", host, "down")

    def plug_in(self, host: str) -> None:
        self._on("switch", "link", "set", host, "up")

    def _space(self, host: str) -> str:
        space = f"{self._prefix}-{host}"
        ip("netns", "add", space)
        self._spaces.append(space)
        self._on(host, "link", "set", "lo", "up")
        return space

    def _on(self, host: str, *words: str) -> None:
        ip("-n", f"{self._prefix}-{host}", *words)

    # --- processes ---------------------------------------------------------------------------------------------------

    def start_centre(self) -> None:
        self._start_postgres()
        self._start_valkey()
        self._eye = eventually(self._open_eye)
        assert self._run("centre", "migrate", sys.executable, "manage.py", "migrate", "--verbosity=0").wait(100) == 0
        for number in (1, 2):
            self._run("centre", f"dispatcher-{number}", sys.executable, "-m", "celery", "-A", "project", "beat")
        web = ("-m", "uvicorn", "project.asgi:application", "--host=127.0.0.1", f"--port={WEB_PORT}", "--no-access-log")
        self._run("centre", "web", sys.executable, *web)
        eventually(lambda: self._submitted(1, 0))

    def start_worker(self, host: str) -> subprocess.Popen[bytes]:
        """A worker there; returns once it is known to the others."""
        command = ("-m", "celery", "-A", "project", "worker", f"-n{host}@%h", "--without-gossip", "--without-mingle")
        process = self._run(host, host, sys.executable, *command, "-Pprefork", f"-c{SLOTS}", WORKER_ID=host)
        eventually(lambda: self.one("SELECT count(*) FROM jobs_node WHERE name = %s AND expires_at > now()", host))
        return process

    def _start_postgres(self) -> None:
        postgres = Postgres(self._scratch / "postgres", self._scratch, POSTGRES_PORT, PASSWORD, durable=False)
        postgres.prepare()
        with (postgres.cluster / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all haulway {NETWORK}.0/24 scram-sha-256\n")
        account = postgres.account
        assert account is not None, "only root makes hosts"
        become = ["setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
        command = [*become, *postgres.command(), "-c", "listen_addresses=*"]
        self._start("centre", "postgres", command, postgres.cluster, ENVIRONMENT)

    def _start_valkey(self) -> None:
        valkey = Valkey(self._scratch / "valkey", REDIS_PORT, PASSWORD, durable=False)
        valkey.prepare()
        with (valkey.directory / "valkey.conf").open("a") as configuration:
            configuration.write(f"bind {NETWORK}.1\n")
        self._start("centre", "valkey", valkey.command(), valkey.directory, {})

    def _run(self, host: str, name: str, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """A process of ours on that host."""
        return self._start(host, name, list(command), PROJECT, {**self._environment, **environment})

    def _start(
        self, host: str, name: str, command: list[str], directory: Path, environment: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        words = ["ip", "netns", "exec", f"{self._prefix}-{host}", *command]
        told = {**environment, "PATH": os.environ["PATH"]}
        process = program(words, self._group, directory, told, self._scratch / f"{name}.log")()
        self._processes.append(process)
        return process

    # --- work, and what became of it ---------------------------------------------------------------------------------

    def submit(self, count: int, seconds: float) -> None:
        """Submit jobs that take so long, over the API."""
        assert self._submitted(count, seconds)

    def _submitted(self, count: int, seconds: float) -> bool:
        url = f"http://127.0.0.1:{WEB_PORT}/api/v1/jobs/bulk"
        words = (sys.executable, "-c", _SUBMIT, url, str(count), str(seconds))
        return self._run("centre", "submit", *words).wait(100) == 0

    def one(self, query: str, *params: Any) -> Any:
        """The first column of the first row."""
        assert self._eye is not None
        assert self._eye.stdin is not None
        assert self._eye.stdout is not None
        self._eye.stdin.write(json.dumps([query, params]) + "\n")
        self._eye.stdin.flush()
        return json.loads(self._eye.stdout.readline())

    def count(self, where: str) -> int:
        return int(self.one(f"SELECT count(*) FROM jobs_job WHERE {where}"))

    def _open_eye(self) -> subprocess.Popen[str] | None:
        words = ["ip", "netns", "exec", f"{self._prefix}-centre", sys.executable, "-c", _EYE]
        eye = subprocess.Popen(
            [*words, self._environment["POSTGRES_URL"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert eye.stdout is not None
        if eye.stdout.readline():
            return eye
        eye.communicate()
        return None

    # --- the end -----------------------------------------------------------------------------------------------------

    def logs(self) -> str:
        return "".join(f"--- {log.name}\n{log.read_text()[-2000:]}\n" for log in sorted(self._scratch.glob("*.log")))

    def close(self) -> None:
        if self._eye is not None:
            self._eye.communicate()
        for space in self._spaces:
            for pid in ip("netns", "pids", space).split():
                subprocess.run(["kill", "-9", pid], capture_output=True, check=False)
        for process in self._processes:
            process.wait(20)
        for space in self._spaces:
            ip("netns", "delete", space)


@contextmanager
def hosts() -> Iterator[Hosts]:
    """From when the centre answers to the end of the block. What its processes said is shown when the block fails."""
    scratch = make_scratch()
    with guarded(scratch) as group:
        made = Hosts(scratch, group)
        try:
            made.wire()
            made.start_centre()
            yield made
        except BaseException:
            sys.stderr.write(made.logs())
            raise
        finally:
            made.close()
