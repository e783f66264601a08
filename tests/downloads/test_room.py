"""Disks that are full: a download waits, says why, and goes on by itself when there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from downloads import room
from jobs import lifecycle
from jobs.models import Job, State
from tests.downloads.conftest import Platform
from tests.jobs.fleet import Fleet
from tests.origins import FileOrigin
from tests.origins.files import content
from tests.origins.misbehaving import Chunked
from tests.waiting import eventually

MIB = 1024 * 1024
DATA = content(6 * MIB)


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """A file system of 8 MiB in place of the directory."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tests", str(directory)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can only be mounted by root")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


@pytest.fixture
def full(platform: Platform, settings: Settings) -> Iterator[Path]:
    """The platform's disk has 4 MiB left. The file that takes the rest."""
    settings.DOWNLOAD_RESERVE_BYTES = 0
    with small_disk(platform.root) as root:
        filler = root / "filler"
        filler.write_bytes(bytes(4 * MIB))
        yield filler


def look(platform: Platform) -> Job:
    """Let the one that watches the disk look once."""
    (watch,) = Job.objects.filter(kind=room.KIND, state=State.SCHEDULED)
    lifecycle.hasten([watch.id])
    looked: Job = platform.attempt(watch.id)
    return looked


def test_a_download_that_does_not_fit_waits_says_why_and_goes_on_when_there_is_room(
    platform: Platform, full: Path
) -> None:
    with FileOrigin(DATA) as origin:
        big = platform.submit(origin.url("/big.bin"))
        waiting = platform.run(big)
        assert (waiting.job.state, waiting.job.failures) == (State.PAUSED, 0)
        assert "no room for the 6291456 bytes" in waiting.job.error
        with FileOrigin(b"small") as other:
            assert platform.fetch(other.url("/small.bin")).job.state == State.COMPLETED

        assert look(platform).state == State.SCHEDULED
        assert platform.row(big).job.state == State.PAUSED

        full.unlink()
        assert look(platform).result == {"resumed": 1}
        assert platform.row(big).job.state == State.QUEUED
        assert platform.run(big).job.state == State.COMPLETED
    assert (platform.root / "big.bin").read_bytes() == DATA


def test_a_disk_that_fills_up_in_the_middle_of_a_file_costs_none_of_its_bytes(platform: Platform, full: Path) -> None:
    with Chunked(DATA) as origin:  # nobody knows beforehand how long it is
        job_id = platform.submit(origin.url("/a.bin"))
        waiting = platform.run(job_id)
        assert (waiting.job.state, waiting.job.failures) == (State.PAUSED, 0)
        assert "no more bytes" in waiting.job.error
        assert waiting.bytes_done > 2 * MIB
        full.unlink()
        lifecycle.resume([job_id])
        assert platform.run(job_id).job.state == State.COMPLETED
    assert (platform.root / "a.bin").read_bytes() == DATA


def test_one_looks_at_the_disk_for_all_and_the_most_urgent_goes_first(platform: Platform, full: Path) -> None:
    with FileOrigin(DATA) as origin:
        low, high = (platform.submit(origin.url(f"/{name}"), output=name) for name in ("low", "high"))
        Job.objects.filter(id=high).update(priority=3)
        for job_id in (low, high):
            platform.run(job_id)
        full.unlink()
        assert look(platform).state == State.SCHEDULED  # there is room for one of them
        assert [platform.row(one).job.state for one in (low, high)] == [State.PAUSED, State.QUEUED]


def test_one_that_a_person_pauses_meanwhile_stays_paused(client: Client, platform: Platform, full: Path) -> None:
    with FileOrigin(DATA) as origin:
        job_id = platform.submit(origin.url())
        platform.run(job_id)
        answer = client.post(f"/api/v1/downloads/{job_id}/pause", {}, content_type="application/json")
        assert (answer.status_code, answer.json()["state"]) == (200, "paused")
        full.unlink()
        assert look(platform).result == {"resumed": 0}
    assert platform.row(job_id).job.state == State.PAUSED


def test_a_full_disk_that_is_emptied_needs_nobody(fleet: Fleet, tmp_path: Path) -> None:
    root = tmp_path / "downloads"
    root.mkdir()
    with small_disk(root), FileOrigin(DATA) as origin:
        filler = root / "filler"
        filler.write_bytes(bytes(4 * MIB))
        fleet.worker("worker", "-Pprefork", "-c2")
        job = lifecycle.submit("download", {"url": origin.url("/a.bin")})
        states = Job.objects.filter(id=job.id).values_list("state", flat=True)
        eventually(lambda: states.get() == State.PAUSED)
        filler.unlink()
        eventually(lambda: states.get() == State.COMPLETED)
        assert (root / "a.bin").read_bytes() == DATA
        eventually(lambda: not Job.objects.filter(kind=room.KIND).exclude(state=State.COMPLETED).exists())
