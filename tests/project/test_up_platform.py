from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from project.local.datadir import Addresses
from project.local.launch import MANAGE
from project.local.ports import LOOPBACK
from tests.servers import RunningStack, running_stack

pytestmark = pytest.mark.timeout(300)  # whole platforms start here, on a machine that may be busy
PATIENCE = 60.0
PROJECT = MANAGE.parent
ROLES = {"uvicorn": 1, "worker": 2, "beat": 2, "flower": 1, "valkey-server": 1, "bin/postgres": 1}


def submit(api: str | None, **job: Any) -> str:
    answer = requests.post(f"{api}/api/v1/jobs", json={"kind": "echo", **job}, timeout=10)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def outcome(api: str | None, job_id: str) -> str:
    """The state in which the job ends, or the one it is stuck in."""
    deadline = time.monotonic() + PATIENCE
    while True:
        job = requests.get(f"{api}/api/v1/jobs/{job_id}", timeout=10).json()
        if job["finished_at"] or time.monotonic() > deadline:
            return str(job["state"])
        time.sleep(0.1)


def roles(stack: RunningStack) -> dict[str, int]:
    """How many processes of the stack play each role, their own pools and back ends not counted."""
    group = stack.named("guardian.py").pid
    members = {process.pid: process for process in stack.family if os.getpgid(process.pid) == group}
    lines = [" ".join(process.cmdline()) for process in members.values() if process.ppid() not in members]
    return {word: sum(word in line for line in lines) for word in ROLES}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a platform") / "data"


def test_all_roles_run_and_an_interrupt_stops_them_in_order_with_exit_code_0(data: Path) -> None:
    with running_stack("--data-dir", str(data), "--port", "0", stderr=subprocess.PIPE) as stack:
        assert roles(stack) == ROLES
        health = requests.get(f"{stack.addresses.api}/health", timeout=10)
        assert (health.status_code, health.json()["status"]) == (200, "healthy")
        assert requests.get(f"{stack.addresses.flower}/", timeout=10).ok
        assert outcome(stack.addresses.api, submit(stack.addresses.api, payload={"word": "hello"})) == "completed"
        assert stat.S_IMODE((data / "stack.json").stat().st_mode) == 0o600
        family = stack.family
        assert stack.interrupt() == 0
        assert not psutil.wait_procs(family[1:], timeout=PATIENCE)[1]
        assert stack.process.stderr is not None
        assert stack.process.stderr.read() == ""
    assert not (data / "stack.json").exists()


def test_nothing_survives_a_killed_parent_and_what_was_accepted_is_done_after_the_next_start(data: Path) -> None:
    with running_stack("--data-dir", str(data), "--port", "0") as stack:
        done = submit(stack.addresses.api, payload={"word": "before"})
        assert outcome(stack.addresses.api, done) == "completed"
        interrupted = submit(stack.addresses.api, payload={"sleep": 3})
        family = stack.family
        stack.process.kill()
        _, alive = psutil.wait_procs(family, timeout=PATIENCE)
        assert not [process.cmdline() for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    with running_stack("--data-dir", str(data), "--port", "0") as stack:
        assert outcome(stack.addresses.api, done) == "completed"
        assert outcome(stack.addresses.api, interrupted) == "completed"


def test_a_worker_that_dies_is_started_again_and_said_so(data: Path) -> None:
    with running_stack("--data-dir", str(data), "--port", "0", stderr=subprocess.PIPE) as stack:
        stack.named("compute@").kill()
        assert outcome(stack.addresses.api, submit(stack.addresses.api, payload={})) == "completed"
        assert roles(stack) == ROLES
        stack.interrupt()
        assert stack.process.stderr is not None
        assert "compute      was killed by SIGKILL; starting again" in stack.process.stderr.read()


def test_a_taken_port_is_said_and_another_serves_the_api(data: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        taken = listener.getsockname()[1]
        with running_stack("--data-dir", str(data), "--port", str(taken), stderr=subprocess.PIPE) as stack:
            assert stack.addresses.api != f"http://{LOOPBACK}:{taken}"
            assert requests.get(f"{stack.addresses.api}/health", timeout=10).ok
            stack.interrupt()
            assert stack.process.stderr is not None
            assert f"Port {taken} is taken by" in stack.process.stderr.read()


def test_a_worker_started_by_hand_joins_a_running_stack(stack: Addresses) -> None:
    environment = os.environ | {
        "POSTGRES_URL": stack.postgres_url,
        "REDIS_URL": stack.redis_url,
        "DOWNLOAD_ROOT": stack.download_root,
    }
    command = [sys.executable, "-m", "celery", "-A", "project", "worker", "-nby-hand@%h", "-Pthreads", "-c2", "-lINFO"]
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stderr is not None
        assert any(" ready." in line for line in worker.stderr)
        answer = requests.get(f"{stack.api}/workers/stats", timeout=10).json()
        worker.terminate()
        assert worker.wait(PATIENCE) == 0
    assert [found["slots"] for found in answer["workers"] if found["name"].startswith("by-hand@")] == [2]
