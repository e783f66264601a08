"""A download that is paused, resumed, cancelled, tried again: what becomes of its bytes."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from django.test import Client

from downloads import cleaning, storage
from jobs import lifecycle
from jobs.models import State
from tests.downloads.conftest import Platform
from tests.origins import FileOrigin
from tests.origins.files import content
from tests.waiting import eventually

DATA = content(6_000_000)


def post(client: Client, job_id: Any, verb: str) -> Any:
    return client.post(f"/api/v1/downloads/{job_id}/{verb}", {}, content_type="application/json")


def leftovers(platform: Platform) -> list[str]:
    return [path.name for path in (platform.root / ".parts").iterdir()]


def test_a_running_download_pauses_and_resumes_with_its_bytes(client: Client, platform: Platform) -> None:
    with FileOrigin(DATA, rate=200_000) as origin:
        job_id = platform.submit(origin.url(), output="a.bin")
        with platform.running(job_id):
            eventually(lambda: platform.row(job_id).bytes_done > 500_000)
            assert post(client, job_id, "pause").json()["pause_requested"]
        paused = platform.row(job_id)
        assert (paused.job.state, paused.pause_requested, paused.bytes_per_second) == (State.PAUSED, False, 0)
        assert paused.job.failures == 0
        assert "Paused" in paused.job.error
        kept = paused.bytes_done
        assert kept > 0
        before, origin.rate = origin.sent, 1_000_000
        assert post(client, job_id, "resume").json()["state"] == "queued"
        done = platform.run(job_id)
        assert origin.sent - before < len(DATA) - kept + 700_000  # seams are compared, and some is under way
    assert done.job.state == State.COMPLETED
    assert (platform.root / "a.bin").read_bytes() == DATA
    assert leftovers(platform) == []


def test_a_pause_that_meets_a_waiting_download_holds_it_at_once(client: Client, platform: Platform) -> None:
    job_id = platform.submit("https://example.org/a")
    body = post(client, job_id, "pause").json()
    assert (body["state"], body["pause_requested"]) == ("paused", False)
    assert post(client, job_id, "resume").json()["state"] == "queued"
    assert post(client, job_id, "resume").status_code == 409


def test_a_pause_is_not_forgotten_when_the_attempt_ends_in_another_way(client: Client, platform: Platform) -> None:
    job_id = platform.submit("http://127.0.0.1:9/nothing")
    (job,) = lifecycle.claim([job_id], node=platform.node.id, lease=job_id, kinds=["download"])
    assert post(client, job_id, "pause").json()["state"] == "running"
    lifecycle.unclaim(job_id, [job.id])
    assert platform.run(job_id).job.state == State.PAUSED


def test_a_pause_of_a_running_download_can_be_taken_back(client: Client, platform: Platform) -> None:
    job_id = platform.submit("http://127.0.0.1:9/nothing")
    lifecycle.claim([job_id], node=platform.node.id, lease=job_id, kinds=["download"])
    post(client, job_id, "pause")
    answer = post(client, job_id, "resume")
    assert (answer.status_code, answer.json()["pause_requested"]) == (200, False)


def test_a_finished_download_is_neither_paused_nor_marked(client: Client, platform: Platform) -> None:
    with FileOrigin(b"small") as origin:
        done = platform.fetch(origin.url())
    assert post(client, done.pk, "pause").status_code == 409
    assert not platform.row(done.pk).pause_requested


def test_a_running_download_that_is_cancelled_takes_its_bytes_away(platform: Platform) -> None:
    with FileOrigin(DATA, rate=200_000) as origin:
        job_id = platform.submit(origin.url())
        with platform.running(job_id):
            eventually(lambda: platform.row(job_id).bytes_done > 0)
            platform.cancel(job_id)
    row = platform.row(job_id)
    assert (row.job.state, row.checkpoint) == (State.CANCELLED, None)
    assert leftovers(platform) == []


def test_a_paused_download_that_is_cancelled_takes_its_bytes_away(client: Client, platform: Platform) -> None:
    with FileOrigin(DATA, rate=200_000) as origin:
        job_id = platform.submit(origin.url())
        with platform.running(job_id):
            eventually(lambda: platform.row(job_id).bytes_done > 0)
            post(client, job_id, "pause")
        assert leftovers(platform)
        assert post(client, job_id, "cancel").json()["state"] == "cancelled"
    assert leftovers(platform) == []
    assert platform.row(job_id).checkpoint is None


def test_a_failed_download_keeps_its_bytes_for_the_next_try(client: Client, platform: Platform) -> None:
    with FileOrigin(DATA, rate=1_000_000) as origin:
        job_id = platform.submit(origin.url(), sha256="0" * 64)
        failed = platform.run(job_id)
        assert (failed.job.state, failed.job.reason) == (State.FAILED, "gave_up")
        assert leftovers(platform)
        cleaning.sweep()
        assert leftovers(platform)
        assert post(client, job_id, "retry").json()["state"] == "queued"


def test_the_sweep_removes_what_cancelled_and_forgotten_downloads_left(platform: Platform) -> None:
    cancelled, waiting = (platform.submit("https://example.org/a") for _ in range(2))
    lifecycle.cancel([cancelled])  # by a door that knows nothing of files
    strange = storage.part_file("00000000-0000-7000-8000-000000000001")
    young = storage.part_file("00000000-0000-7000-8000-000000000002")
    for part in (storage.part_file(cancelled), storage.part_file(waiting), strange, young):
        part.write_bytes(b"x")
        part.with_name(f"{part.name}.journal0").write_text("")
    long_ago = time.time() - 7200
    os.utime(strange, (long_ago, long_ago))
    os.utime(strange.with_name(f"{strange.name}.journal0"), (long_ago, long_ago))

    assert cleaning.sweep() == 2

    assert {name.partition(".")[0] for name in leftovers(platform)} == {str(waiting), young.name.partition(".")[0]}


@pytest.mark.parametrize("policy", ["overwrite", "rename", "fail", "skip"])
@pytest.mark.parametrize("named", [True, False])
def test_a_name_that_is_taken(platform: Platform, policy: str, named: bool) -> None:
    (platform.root / "a.bin").write_bytes(b"earlier")
    with FileOrigin(b"later") as origin:
        row = platform.fetch(origin.url("/a.bin"), if_exists=policy, **({"output": "a.bin"} if named else {}))
        asked = len(origin.seen)
    found = {path.name: path.read_bytes() for path in platform.root.iterdir() if path.is_file()}
    expected = {
        "overwrite": ("completed", {"a.bin": b"later"}, "a.bin"),
        "rename": ("completed", {"a.bin": b"earlier", "a (1).bin": b"later"}, "a (1).bin"),
        "fail": ("failed", {"a.bin": b"earlier"}, "a.bin"),
        "skip": ("completed", {"a.bin": b"earlier"}, "a.bin"),
    }[policy]
    assert (row.job.state, found, row.output) == expected
    assert asked == (0 if named and policy in ("fail", "skip") else 1)
