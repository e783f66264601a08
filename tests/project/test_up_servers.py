from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis

from project.local.launch import UP
from tests.servers import RunningStack, running_stack

pytestmark = pytest.mark.timeout(300)  # servers start here, on a machine that may be busy
SERVERS = "--servers-only"
PATIENCE = 20.0


def gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def answers(stack: RunningStack) -> bool:
    try:
        with redis.Redis.from_url(stack.addresses.redis_url) as client:
            client.ping()
        psycopg.connect(stack.addresses.postgres_url).close()
    except (redis.RedisError, psycopg.Error):
        return False
    return True


def write(stack: RunningStack) -> None:
    with psycopg.connect(stack.addresses.postgres_url) as connection:
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('here')")
    with redis.Redis.from_url(stack.addresses.redis_url) as client:
        client.set("kept", "here")


def read(stack: RunningStack) -> tuple[object, object]:
    with (
        psycopg.connect(stack.addresses.postgres_url) as connection,
        redis.Redis.from_url(stack.addresses.redis_url, decode_responses=True) as client,
    ):
        row = connection.execute("SELECT word FROM kept").fetchone()
        return (row[0] if row else None), client.get("kept")


def thrown_away(stack: RunningStack) -> list[Path]:
    """The directories that end with the stack, which the guardian has been told."""
    passing = [Path(word) for word in stack.named("guardian.py").cmdline() if word.startswith("/")][2:]
    assert all(path.is_dir() for path in passing)
    return passing


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with spaces in its name, and a name far longer than a socket's may be."""
    return tmp_path_factory.mktemp("with spaces") / ("a long name " * 12).strip() / ("and one more " * 10).strip()


def test_data_outlives_an_ordered_stop_and_a_killed_parent_whom_no_child_outlives(data: Path) -> None:
    with running_stack("--data-dir", str(data), SERVERS) as stack:
        write(stack)
        assert stack.interrupt() == 0
    with running_stack("--data-dir", str(data), SERVERS) as stack:
        assert read(stack) == ("here", "here")
        family = stack.family
        stack.process.kill()
        assert gone(family)
    with running_stack("--data-dir", str(data), SERVERS) as stack:
        assert read(stack) == ("here", "here")


def test_a_second_start_on_the_same_data_is_refused_in_plain_words(data: Path) -> None:
    with running_stack("--data-dir", str(data), SERVERS) as stack:
        command = [*UP, "--data-dir", str(data), SERVERS]
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode != 0
        assert f"already running on {data} (process {stack.process.pid})" in second.stderr
        assert "--data-dir" in second.stderr
        assert second.stdout == ""
        assert answers(stack)


def test_a_start_that_was_interrupted_while_it_made_the_cluster_is_made_good(tmp_path: Path) -> None:
    half_made = tmp_path / "data" / "postgres.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    with running_stack("--data-dir", str(tmp_path / "data"), SERVERS) as stack:
        assert answers(stack)
    assert not half_made.exists()


def test_a_pid_file_whose_number_belongs_to_another_program_by_now_does_not_hinder_the_start(tmp_path: Path) -> None:
    with running_stack("--data-dir", str(tmp_path), SERVERS):
        pid_file = (tmp_path / "postgres" / "postmaster.pid").read_text()
    _, _, rest = pid_file.partition("\n")
    (tmp_path / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{rest}")
    with running_stack("--data-dir", str(tmp_path), SERVERS) as stack:
        assert answers(stack)


@pytest.mark.parametrize("words", ["valkey-server", "bin/postgres"])
def test_a_server_that_dies_is_started_again_and_said_so(words: str, tmp_path: Path) -> None:
    with running_stack("--data-dir", str(tmp_path), SERVERS, stderr=subprocess.PIPE) as stack:
        write(stack)
        victim = stack.named(words)
        victim.kill()
        assert gone([victim])
        assert eventually(lambda: answers(stack))
        assert read(stack)[0] == "here"
        stack.interrupt()
        assert stack.process.stderr is not None
        assert "was killed by SIGKILL; starting again" in stack.process.stderr.read()


def test_servers_let_nobody_in_without_the_password_and_listen_on_loopback_only() -> None:
    with running_stack("--ephemeral", SERVERS) as stack:
        redis_url, postgres_url = stack.addresses.redis_url, stack.addresses.postgres_url
        password = urlsplit(redis_url).password
        assert password
        with pytest.raises(redis.AuthenticationError):
            redis.Redis.from_url(redis_url.replace(f":{password}@", "")).ping()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(postgres_url, password="guessed")
        with pytest.raises(psycopg.OperationalError, match="no pg_hba"):
            psycopg.connect(postgres_url, user="postgres")
        listening = [
            connection.laddr.ip
            for process in stack.family
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert set(listening) == {"127.0.0.1"}
        shown = [word for process in stack.family for word in process.cmdline()]
        assert not [word for word in shown if password in word]


def test_secrets_are_for_the_owner_only_and_the_same_at_the_next_start(tmp_path: Path) -> None:
    with running_stack("--data-dir", str(tmp_path), SERVERS):
        first = (tmp_path / "secrets.json").read_text()
        for name in ("secrets.json", "stack.json", "valkey/valkey.conf"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    with running_stack("--data-dir", str(tmp_path), SERVERS):
        assert (tmp_path / "secrets.json").read_text() == first


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_an_ephemeral_stack_leaves_nothing_behind_however_it_ends(end: signal.Signals) -> None:
    with running_stack("--ephemeral", SERVERS) as stack:
        family, passing = stack.family, thrown_away(stack)
        assert Path(stack.addresses.data_dir) in passing
        stack.process.send_signal(end)
        assert gone(family)
        assert eventually(lambda: not [path for path in passing if path.exists()])


def test_a_stack_asked_to_end_with_its_parent_does_so(tmp_path: Path) -> None:
    command = f"'{UP[0]}' '{UP[1]}' up --json --with-parent {SERVERS} --data-dir '{tmp_path}' & wait"
    with subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline()
        children = psutil.Process(shell.pid).children(recursive=True)
        assert children
        shell.kill()
        assert gone(children)


def test_without_its_guardian_a_stack_stops_in_order_says_why_and_leaves_nothing_behind() -> None:
    with running_stack("--ephemeral", SERVERS, stderr=subprocess.PIPE) as stack:
        family, passing = stack.family, thrown_away(stack)
        stack.named("guardian.py").kill()
        assert gone(family[1:])
        assert stack.process.wait(PATIENCE) == 0
        assert stack.process.stderr is not None
        assert "guardian process was killed" in stack.process.stderr.read()
        assert not [path for path in passing if path.exists()]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run Postgres as somebody else")
def test_started_by_root_postgres_is_somebody_else_and_no_directory_on_the_way_is_opened(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with running_stack("--data-dir", str(closed / "data"), SERVERS) as stack:
        assert stack.named("bin/postgres").uids().effective != 0
        assert answers(stack)
        way = (closed, closed / "data", closed / "data" / "postgres")
        assert [path.stat().st_uid for path in way] == [0, 0, stack.named("bin/postgres").uids().real]
        assert [stat.S_IMODE(path.stat().st_mode) for path in way] == [0o700] * 3
