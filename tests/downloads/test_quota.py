"""What the downloads of one owner may take together."""

from __future__ import annotations

import threading
import uuid

import pytest
from django.contrib.auth.models import User
from django.db import connection
from pytest_django import Settings

from downloads import quota, storage, verbs
from downloads.models import Download
from jobs import lifecycle
from jobs.models import State
from tests.downloads.conftest import Platform
from tests.origins import FileOrigin
from tests.origins.files import content
from tests.origins.misbehaving import Chunked

DATA = content(1_000_000)


@pytest.fixture
def ada(platform: Platform, settings: Settings) -> int:
    """An owner who may keep two and a half of the files."""
    settings.DOWNLOAD_QUOTA_BYTES = 2_500_000
    return int(User.objects.create(username="ada").pk)


def submit(url: str, output: str, owner: int | None) -> uuid.UUID:
    return lifecycle.submit("download", {"url": url, "output": output}, owner=owner).id


def test_a_file_for_which_the_owner_has_no_room_is_refused_and_leaves_nothing(platform: Platform, ada: int) -> None:
    with FileOrigin(DATA) as origin:
        states = []
        for name in ("a", "b", "c"):
            row = platform.run(submit(origin.url(), name, ada))
            states.append(row.job.state)
        assert states == [State.COMPLETED, State.COMPLETED, State.FAILED]
        assert "500000 left of 2500000" in row.job.error
        assert (row.job.reason, row.total_bytes, row.bytes_done) == ("gave_up", None, 0)
        assert not storage.part_file(row.pk).exists()
        assert quota.taken(ada) == 2_000_000
        assert platform.run(submit(origin.url(), "d", None)).job.state == State.COMPLETED


def test_room_comes_back_when_a_download_is_deleted(platform: Platform, ada: int) -> None:
    with FileOrigin(DATA) as origin:
        first, second, third = (submit(origin.url(), name, ada) for name in ("a", "b", "c"))
        for job_id in (first, second, third):
            platform.run(job_id)
        verbs.delete(first, keep_file=False)
        lifecycle.requeue([third])
        assert platform.run(third).job.state == State.COMPLETED


def test_a_file_of_unknown_length_is_stopped_where_the_room_ends(platform: Platform, ada: int) -> None:
    with Chunked(content(3_000_000)) as origin:
        row = platform.run(submit(origin.url(), "a", ada))
    assert (row.job.state, row.job.reason) == (State.FAILED, "gave_up")
    assert quota.taken(ada) == 0


def test_of_two_files_at_once_only_one_gets_the_last_room(platform: Platform, ada: int, settings: Settings) -> None:
    settings.DOWNLOAD_QUOTA_BYTES = 1_500_000
    with FileOrigin(DATA) as origin:
        ids = [submit(origin.url(), name, ada) for name in ("a", "b")]

        def run(job_id: uuid.UUID) -> None:
            try:
                platform.run(job_id)
            finally:
                connection.close()

        threads = [threading.Thread(target=run, args=[job_id]) for job_id in ids]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    found = sorted(Download.objects.filter(pk__in=ids).values_list("job__state", flat=True))
    assert found == [State.COMPLETED, State.FAILED]
