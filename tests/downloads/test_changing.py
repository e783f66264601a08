"""A file that changes at its origin while it is fetched, or while its download is paused, is never published mixed."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from jobs.models import State
from tests.downloads.conftest import Platform
from tests.origins import FileOrigin
from tests.origins.files import content
from tests.waiting import eventually

OLD, NEW = content(6_000_000), content(6_000_000, seed=2)
SHOWN_BY: dict[str, dict[str, Any]] = {
    "its ETag": {"etag": '"v2"'},
    "its date": {"last_modified": "Tue, 03 Nov 2020 10:00:00 GMT"},
    "its length": {"data": NEW[:-1]},
    "its bytes alone": {"etag": None, "last_modified": None},
}


def change(origin: FileOrigin, shown_by: str) -> None:
    origin.data = NEW
    for name, value in SHOWN_BY[shown_by].items():
        setattr(origin, name, value)


def first_version(shown_by: str) -> FileOrigin:
    """What does not show the change is the same, or missing, from the beginning."""
    origin = FileOrigin(OLD, rate=400_000)
    if shown_by != "its ETag":
        origin.etag = None
    if shown_by != "its date":
        origin.last_modified = None
    return origin


def post(client: Client, job_id: Any, verb: str) -> Any:
    return client.post(f"/api/v1/downloads/{job_id}/{verb}", {}, content_type="application/json")


@pytest.mark.parametrize("shown_by", SHOWN_BY)
def test_a_file_that_changes_in_mid_download_is_published_in_one_version(platform: Platform, shown_by: str) -> None:
    with first_version(shown_by) as origin:
        job_id = platform.submit(origin.url("/a.bin"), threads=4)
        with platform.running(job_id):
            eventually(lambda: origin.sent > 1_500_000)
            change(origin, shown_by)
            origin.rate = 4_000_000
        assert platform.row(job_id).job.state == State.COMPLETED
        # Answers that had begun bring the old one to their end: that one whole is as right as the new one.
        assert (platform.root / "a.bin").read_bytes() in (OLD, origin.data)


@pytest.mark.parametrize("shown_by", SHOWN_BY)
def test_a_file_that_changes_during_a_pause_is_fetched_anew(client: Client, platform: Platform, shown_by: str) -> None:
    with first_version(shown_by) as origin:
        job_id = platform.submit(origin.url("/a.bin"), threads=4)
        with platform.running(job_id):
            eventually(lambda: platform.row(job_id).bytes_done > 500_000)
            post(client, job_id, "pause")
        assert platform.row(job_id).job.state == State.PAUSED
        change(origin, shown_by)
        origin.rate = 4_000_000
        post(client, job_id, "resume")
        done = platform.run(job_id)
        assert done.job.state == State.COMPLETED
        assert (platform.root / "a.bin").read_bytes() == origin.data
    assert any("Started again" in note for note in done.notes)
