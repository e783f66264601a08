"""Results and result files that go before their job."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from pytest_django.fixtures import Settings

from jobs import endings, files, lifecycle, retention
from jobs.models import Job, State
from jobs.submission import InvalidSubmission, checked
from tests.jobs.states import as_stored, claimed, job_in

if TYPE_CHECKING:
    from tests.jobs.conftest import AddKind

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _root(settings: Settings, tmp_path: Path) -> None:
    settings.OPEN_ON_LOOPBACK = True
    settings.DOWNLOAD_ROOT = tmp_path


def _completed(seconds_ago: float, kind: str = "echo", **options: Any) -> Job:
    """A job that was completed so long ago, with a result and a file."""
    (job,) = claimed(lifecycle.submit(kind, **options))
    lifecycle.record([endings.completed(job, {"answer": 42})])
    folder = files._folder(job.id)
    folder.mkdir(parents=True)
    (folder / "report.csv").write_text("42")
    Job.objects.filter(id=job.id).update(finished_at=Now() - timedelta(seconds=seconds_ago))
    return job


@pytest.mark.django_db(transaction=True)
def test_a_result_whose_time_is_over_goes_with_its_files_and_the_job_stays(client: Client) -> None:
    job = _completed(61, result_ttl=60)
    path = f"/api/v1/jobs/{job.id}"
    before = client.get(path).json()
    assert (before["result"], before["result_ttl"], before["result_expired_at"]) == ({"answer": 42}, 60, None)
    served = client.get(before["files"][0]["path"])
    served.close()
    assert served.status_code == 200

    assert retention.expire_results() == 1

    after = client.get(path).json()
    assert (after["state"], after["result"], after["files"]) == ("completed", None, [])
    assert after["result_expired_at"] is not None
    gone = client.get(before["files"][0]["path"])
    assert (gone.status_code, gone.json()["type"]) == (410, "/problems/result-expired")
    assert retention.expire_results() == 0


def test_a_result_is_kept_as_long_as_it_was_to_be_and_one_of_which_nothing_was_said_as_long_as_its_job() -> None:
    kept = [_completed(59, result_ttl=60), _completed(10**8)]
    assert retention.expire_results() == 0
    assert [as_stored(job).result for job in kept] == [{"answer": 42}] * 2
    assert all(files.listing(job.id) for job in kept)


def test_a_kind_says_for_how_long_and_a_submission_may_say_otherwise(add_kind: AddKind) -> None:
    add_kind("fleeting", result_ttl=60)
    gone, kept = _completed(100, "fleeting"), _completed(100, "fleeting", result_ttl=600)
    retention.expire_results()
    assert (as_stored(gone).result, as_stored(kept).result) == (None, {"answer": 42})


def test_what_is_written_in_bulk_or_in_the_place_of_another_says_it_too() -> None:
    (in_bulk,) = lifecycle.submit_many([checked("echo", result_ttl=5)])
    lifecycle.submit("echo", unique_key="one", result_ttl=5)
    replaced = lifecycle.submit("echo", unique_key="one", on_conflict="replace", result_ttl=7)
    assert [Job.objects.get(id=one).result_ttl for one in (in_bulk, replaced.id)] == [5, 7]


@pytest.mark.parametrize("result_ttl", [0, -1, float("inf"), float("nan"), True, "60"])
def test_a_time_that_is_none_is_refused(result_ttl: Any) -> None:
    with pytest.raises(InvalidSubmission, match="/result_ttl: must be more than 0"):
        lifecycle.submit("echo", result_ttl=result_ttl)


def test_many_go_in_batches_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_BATCH", 2)
    for _ in range(5):
        _completed(100, result_ttl=1)
    assert [retention._expire_batch() for _ in range(4)] == [2, 2, 1, 0]


def test_what_failed_keeps_its_files_to_be_run_again() -> None:
    job = job_in(State.FAILED)
    Job.objects.filter(id=job.id).update(result_ttl=1, finished_at=Now() - timedelta(seconds=100))
    assert retention.expire_results() == 0


def test_results_whose_time_is_over_are_found_by_their_index() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        plan = retention.over().explain()
    assert "job_result_expiry" in plan
    assert "Sort" not in plan
