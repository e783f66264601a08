"""Killed between publishing a file and recording it: the next attempt knows its own file."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from django.db import connection

from jobs import endings, lifecycle
from jobs.models import Job, State
from tests.downloads.conftest import Platform
from tests.origins import FileOrigin
from tests.origins.files import content

PROJECT = Path(__file__).resolve().parents[2]


def killed_after_publishing(platform: Platform, job_id: uuid.UUID, tmp_path: Path) -> None:
    """Run the job in a process that dies right after the rename; then give it back, as the dispatcher would."""
    told = connection.settings_dict
    where = f"postgres://{told['USER']}:{told['PASSWORD']}@{told['HOST'] or ''}:{told['PORT']}/{told['NAME']}"
    done = subprocess.run(
        [sys.executable, "-m", "tests.downloads.killed_after_publishing", str(job_id), str(platform.node.id), tmp_path],
        cwd=PROJECT,
        env=os.environ
        | {
            "POSTGRES_URL": where,
            "DOWNLOAD_ROOT": str(platform.root),
            "OUTBOUND_ALLOWED_NETWORKS": "127.0.0.0/8",
        },
        timeout=60,
        check=False,
    )
    assert done.returncode == -9
    lifecycle.record([endings.lost(job) for job in Job.objects.filter(id=job_id, state=State.RUNNING)])


@pytest.mark.parametrize("policy", ["overwrite", "rename", "fail", "skip"])
def test_the_file_is_neither_fetched_again_nor_published_twice(platform: Platform, tmp_path: Path, policy: str) -> None:
    data = content(2_000_000)
    with FileOrigin(data) as origin:
        job_id = platform.submit(origin.url("/a.bin"), if_exists=policy)
        killed_after_publishing(platform, job_id, tmp_path)
        asked = len(origin.seen)
        assert (platform.root / "a.bin").read_bytes() == data

        done = platform.run(job_id)

        assert (done.job.state, done.output, done.job.result["bytes"]) == (State.COMPLETED, "a.bin", len(data))
        assert len(origin.seen) == asked
    assert [path.name for path in platform.root.iterdir() if path.is_file()] == ["a.bin"]
    assert list((platform.root / ".parts").iterdir()) == []


def test_a_file_of_somebody_else_under_the_recorded_name_is_not_taken_for_ours(
    platform: Platform, tmp_path: Path
) -> None:
    data = content(2_000_000)
    with FileOrigin(data) as origin:
        job_id = platform.submit(origin.url("/a.bin"), if_exists="rename")
        killed_after_publishing(platform, job_id, tmp_path)
        (platform.root / "a.bin").unlink()
        (platform.root / "a.bin").write_bytes(b"mine")
        done = platform.run(job_id)
    assert (done.job.state, done.output) == (State.COMPLETED, "a (1).bin")
    assert (platform.root / "a.bin").read_bytes() == b"mine"
    assert (platform.root / "a (1).bin").read_bytes() == data
