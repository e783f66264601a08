"""Result files: written by real attempts, read over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client
from pytest_django.fixtures import Settings

from jobs import endings, files, lifecycle, retention
from jobs.attempt import Attempt
from jobs.board import Board
from jobs.kinds import Context, LeaseLost
from jobs.models import Job, State
from jobs.worker import Slots
from tests.jobs.conftest import AddKind
from tests.jobs.states import as_stored, claimed, job_in, live_node

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _root(settings: Settings, tmp_path: Path) -> None:
    settings.OPEN_ON_LOOPBACK = True
    settings.DOWNLOAD_ROOT = tmp_path / "root"


def context_of(job: Job, tmp_path: Path) -> Context:
    with Board(tmp_path, 1).slot() as slot:
        return Context(str(job.id), job.attempt, Attempt(job, slot, Board(tmp_path, 1), lambda: None))


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Job]:
    """A running job that has written a file."""

    def write(content: bytes = b"0123456789", name: str = "report.csv") -> Job:
        (job,) = claimed(lifecycle.submit("echo"))
        with context_of(job, tmp_path).files.write(name) as file:
            file.write(content)
        return job

    return write


def test_a_result_file_is_listed_with_its_job_and_served(written: Callable[..., Job], client: Client) -> None:
    job = written()
    (listed,) = client.get(f"/api/v1/jobs/{job.id}").json()["files"]
    assert listed == {"name": "report.csv", "bytes": 10, "path": f"/api/v1/jobs/{job.id}/files/report.csv"}
    answer = client.get(listed["path"])
    assert b"".join(answer.streaming_content) == b"0123456789"  # type: ignore[attr-defined]
    assert (answer["Content-Type"], answer["Content-Length"]) == ("text/csv", "10")
    assert answer["Content-Disposition"] == 'attachment; filename="report.csv"'
    assert answer["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("asked", "status", "body", "said"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=4-99", 206, b"456789", "bytes 4-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=1-2,4-5", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_a_range_of_a_result_file_is_served(
    written: Callable[..., Job], client: Client, asked: str, status: int, body: bytes, said: str | None
) -> None:
    job = written()
    answer: Any = client.get(f"/api/v1/jobs/{job.id}/files/report.csv", headers={"range": asked})
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    assert (answer.status_code, content, answer.get("Content-Range")) == (status, body, said)


def test_what_is_known_is_not_sent_again_and_a_changed_file_is_sent_whole(
    written: Callable[..., Job], client: Client
) -> None:
    path = f"/api/v1/jobs/{written().id}/files/report.csv"
    etag = client.head(path)["ETag"]

    def status(**headers: str) -> int:
        answer = client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer.close()
        return answer.status_code

    assert status(if_none_match=etag) == 304
    assert status(range="bytes=1-", if_range=etag) == 206
    assert status(range="bytes=1-", if_range='"older"') == 200


@pytest.mark.parametrize("name", ["nothing.csv", ".hidden", "..", "%2e%2e", "%2e%2e%2fx", "a%00b"])
def test_other_names_lead_nowhere(written: Callable[..., Job], client: Client, name: str) -> None:
    assert client.get(f"/api/v1/jobs/{written().id}/files/{name}").status_code == 404


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a\\b", "a\x00b", "a\nb", "é", "x" * 129])
def test_a_handler_cannot_write_outside_its_folder(tmp_path: Path, name: str) -> None:
    (job,) = claimed(lifecycle.submit("echo"))
    with pytest.raises(files.BadName), context_of(job, tmp_path).files.write(name):
        pass


def test_a_link_in_the_folder_is_not_followed(written: Callable[..., Job], client: Client, tmp_path: Path) -> None:
    job = written()
    folder = tmp_path / "root" / files.FOLDER / str(job.id)
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    assert client.get(f"/api/v1/jobs/{job.id}/files/link").status_code == 404


def test_a_file_whose_handler_fails_while_writing_does_not_appear(tmp_path: Path) -> None:
    (job,) = claimed(lifecycle.submit("echo"))
    with pytest.raises(TypeError), context_of(job, tmp_path).files.write("report.csv") as file:
        file.write("not bytes")  # type: ignore[call-overload]
    assert files.listing(job.id) == []
    assert list((tmp_path / "root" / files.FOLDER / str(job.id)).iterdir()) == []


def test_a_late_attempt_cannot_replace_the_file_of_the_next_one(tmp_path: Path) -> None:
    (early,) = claimed(lifecycle.submit("echo"))
    late = context_of(early, tmp_path).files.write("report.csv")
    late.__enter__().write(b"late")
    lifecycle.record([endings.lost(early)])
    (next_one,) = claimed(as_stored(early))
    with context_of(next_one, tmp_path).files.write("report.csv") as file:
        file.write(b"next")
    with pytest.raises(LeaseLost):
        late.__exit__(None, None, None)
    with files.opened(early.id, "report.csv") as kept:
        assert kept.read() == b"next"


def test_what_a_killed_attempt_left_half_written_is_swept_by_the_next(tmp_path: Path) -> None:
    (job,) = claimed(lifecycle.submit("echo"))
    folder = tmp_path / "root" / files.FOLDER / str(job.id)
    folder.mkdir(parents=True)
    (folder / ".report.csv.0").write_bytes(b"half")
    with context_of(job, tmp_path).files.write("report.csv") as file:
        file.write(b"whole")
    assert [one.name for one in folder.iterdir()] == ["report.csv"]


def test_files_go_with_their_job(settings: Settings, tmp_path: Path) -> None:
    settings.RETENTION_DAYS = 1
    jobs = [job_in(State.COMPLETED), job_in(State.COMPLETED), job_in(State.COMPLETED)]
    folders = [tmp_path / "root" / files.FOLDER / str(job.id) for job in jobs]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "report.csv").touch()
    Job.objects.filter(id=jobs[0].id).update(finished_at=Now() - timedelta(days=2))
    assert retention.prune() == 1
    assert retention.delete([jobs[1].id]) == 1
    assert [folder.exists() for folder in folders] == [False, False, True]


def test_a_handler_writes_files_and_logs_with_the_name_of_its_job(
    add_kind: AddKind, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def report(payload: Any, ctx: Context) -> None:
        ctx.log.warning("writing %d bytes", 3)
        with ctx.files.write("a.txt") as file:
            file.write(b"abc")

    add_kind("reporting", report)
    job = lifecycle.submit("reporting")
    (tmp_path / "board").mkdir()
    Slots(live_node().id, Board(tmp_path / "board", 1), shares_connections=False).run([job.id])
    assert as_stored(job).state == State.COMPLETED
    assert files.listing(job.id) == [files.ResultFile("a.txt", 3)]
    assert f"job {job.id} (attempt 1): writing 3 bytes" in caplog.text
