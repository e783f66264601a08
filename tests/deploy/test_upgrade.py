"""From the release before to this one under load: old and new code at work side by side, and nobody notices."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
import requests

from project.local.ports import LOOPBACK, Port
from tests.deploy.tools import PROJECT
from tests.jobs.fleet import Fleet
from tests.servers import running_stack
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
BEFORE = "00d8392"  # v0.1.0, which knew no more than the migrations 0001 and 0002 of jobs


class Load(threading.Thread):
    """Submits jobs one after the other, to whichever web process serves now, and notes every answer but acceptance."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.api = ""
        self.accepted: list[str] = []
        self.refused: list[str] = []
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(0.02):
            try:
                answer = requests.post(
                    f"{self.api}/api/v1/jobs", json={"kind": "echo", "payload": {"sleep": 0.05}}, timeout=20
                )
            except requests.RequestException as error:
                self.refused.append(repr(error))
                continue
            if answer.status_code == 202:
                self.accepted.append(answer.json()["id"])
            else:
                self.refused.append(answer.text)

    def more(self, count: int) -> None:
        """Wait until so many more were accepted."""
        goal = len(self.accepted) + count
        eventually(lambda: len(self.accepted) >= goal)

    def stop(self) -> None:
        self._stopped.set()
        self.join(30)


def web(tree: Path, port: int, environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """A web process of that tree, once it answers."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "project.asgi:application", f"--port={port}", "--no-access-log"],
            cwd=tree,
            env=dict(environment),
            stdout=file,
            stderr=subprocess.STDOUT,
        )

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return requests.get(f"http://{LOOPBACK}:{port}/health", timeout=5).status_code in (200, 503)
        except requests.RequestException:
            return False

    eventually(answers)
    return process


def migrate(tree: Path, environment: Mapping[str, str]) -> None:
    command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    subprocess.run(command, cwd=tree, env=dict(environment), check=True, timeout=100)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the release before, out of the history."""
    if subprocess.run(["git", "cat-file", "-e", BEFORE], cwd=PROJECT, capture_output=True, check=False).returncode:
        pytest.skip("the history is not here: this needs a full clone")
    tree = tmp_path_factory.mktemp("before")
    archive = subprocess.run(["git", "archive", BEFORE], cwd=PROJECT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", tree], input=archive.stdout, check=True)
    return tree


def test_an_upgrade_under_load_loses_no_job_and_refuses_no_request(before: Path, tmp_path: Path) -> None:
    old_port, new_port, load = Port(), Port(), Load()
    logs = [tmp_path / name for name in ("old", "new")]
    for place in logs:
        place.mkdir()
    with ExitStack() as kept, running_stack("--ephemeral", "--servers-only") as stack:
        for port in (old_port, new_port):
            kept.callback(port.release)
        environment = os.environ | {
            "POSTGRES_URL": stack.addresses.postgres_url,
            "REDIS_URL": stack.addresses.redis_url,
            "DOWNLOAD_ROOT": stack.addresses.download_root,
            "OPEN_ON_LOOPBACK": "1",
        }
        migrate(before, environment)
        with Fleet(logs[0], environment, before) as old, Fleet(logs[1], environment) as new:
            old_web = web(before, old_port.number, environment, tmp_path / "old-web.log")
            old.dispatcher("old-dispatcher")
            old.worker("old-worker")
            old.until_ready("old-dispatcher", "old-worker")
            load.api = f"http://{LOOPBACK}:{old_port.number}"
            load.start()
            load.more(20)

            migrate(PROJECT, environment)
            load.more(20)  # the old code alone, on the new tables
            new.dispatcher("new-dispatcher")
            new.worker("new-worker")
            new.until_ready("new-dispatcher", "new-worker")
            new_web = web(PROJECT, new_port.number, environment, tmp_path / "new-web.log")
            load.more(20)  # workers of both
            load.api = f"http://{LOOPBACK}:{new_port.number}"
            load.more(20)  # the new web, dispatched by the old leader
            old.terminate("old-dispatcher")
            load.more(20)
            old.terminate("old-worker")
            assert old.exit_code("old-worker") == 0
            load.more(20)
            load.stop()
            finished = time.monotonic() + 60
            with psycopg.connect(stack.addresses.postgres_url, autocommit=True) as eye:
                left = "SELECT count(*) FROM jobs_job WHERE state <> 'completed'"
                while eye.execute(left).fetchone() != (0,) and time.monotonic() < finished:
                    time.sleep(0.1)
                assert load.refused == []
                completed = eye.execute("SELECT id::text FROM jobs_job WHERE state = 'completed'").fetchall()
                assert {row[0] for row in completed} == set(load.accepted)
                burnt = "SELECT count(*) FROM jobs_job WHERE failures > 0 OR crashes > 0 OR losses > 0"
                assert eye.execute(burnt).fetchone() == (0,)
            for process in (old_web, new_web):
                process.send_signal(signal.SIGTERM)
                process.wait(30)
