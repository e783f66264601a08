"""Progress of the downloads of one process: shown live, in one statement for all, by the attempt that counts."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from downloads.engine import Progress, Segment
from downloads.models import Download
from downloads.pulse import Watched, beat
from jobs import endings, lifecycle
from jobs.models import Job
from tests.downloads.conftest import Platform
from tests.origins import FileOrigin
from tests.origins.files import content
from tests.waiting import eventually

NOW = Progress(500, 1000, 250.0, 2.0, (Segment(0, 1000, 500, 250.0),), 1)


def claimed(platform: Platform, count: int) -> list[Job]:
    ids = [platform.submit("https://example.org/x") for _ in range(count)]
    return lifecycle.claim(ids, node=platform.node.id, lease=uuid.uuid4(), kinds=["download"])


def watched(job: Job) -> Watched:
    return Watched(job.id, job.attempt, progress=NOW)


def test_however_many_downloads_there_are_one_statement_writes_their_progress(platform: Platform) -> None:
    few, many = claimed(platform, 2), claimed(platform, 40)
    with CaptureQueriesContext(connection) as for_few:
        beat([watched(job) for job in few])
    with CaptureQueriesContext(connection) as for_many:
        beat([watched(job) for job in many])
    assert len(for_many) == len(for_few)
    assert set(Download.objects.values_list("bytes_done", "total_bytes", "bytes_per_second")) == {(500, 1000, 250.0)}


def test_an_attempt_that_lost_its_job_writes_no_progress(platform: Platform) -> None:
    (late,) = claimed(platform, 1)
    lifecycle.record([endings.lost(late)])
    beat([watched(late)])
    assert platform.row(late.id).bytes_done == 0
    lifecycle.claim([late.id], node=platform.node.id, lease=uuid.uuid4(), kinds=["download"])
    beat([watched(late)])
    assert platform.row(late.id).bytes_done == 0


def test_rate_time_left_and_every_connection_are_shown_while_a_download_runs(
    client: Client, platform: Platform
) -> None:
    with FileOrigin(content(12_000_000), rate=400_000) as origin:
        job_id = platform.submit(origin.url(), threads=3)

        def look() -> Any:
            return client.get(f"/api/v1/downloads/{job_id}").json()

        with platform.running(job_id):
            seen = eventually(lambda: body if len((body := look())["segments"]) == 3 else None)
            assert 0 < seen["bytes_done"] < seen["total_bytes"] == 12_000_000
            left = (seen["total_bytes"] - seen["bytes_done"]) / seen["bytes_per_second"]
            assert abs(seen["eta_seconds"] - left) < 0.1
            assert set(seen["segments"][0]) == {"start", "end", "done", "bytes_per_second"}
            assert client.get(f"/api/v1/jobs/{job_id}").json()["progress"]["fraction"] > 0
            client.post(f"/api/v1/downloads/{job_id}/pause")
    assert (look()["segments"], look()["bytes_per_second"], look()["eta_seconds"]) == ([], 0, None)
