from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from pytest_django import DjangoAssertNumQueries, Settings

from downloads.models import Download
from jobs import lifecycle, retention
from jobs.models import FINISHED, Attempt, Job, State
from tests.jobs.states import job_in

pytestmark = pytest.mark.django_db


def finished_days_ago(days: float, *jobs: Job) -> None:
    Job.objects.filter(id__in=[job.id for job in jobs]).update(finished_at=Now() - timedelta(days=days))


@pytest.mark.parametrize("state", FINISHED)
def test_a_job_that_finished_long_ago_goes_with_its_attempts(state: State, settings: Settings) -> None:
    settings.RETENTION_DAYS = 7
    old, young = job_in(state), job_in(state)
    finished_days_ago(8, old)
    finished_days_ago(6, young)

    assert retention.prune() == 1

    assert list(Job.objects.values_list("id", flat=True)) == [young.id]
    assert set(Attempt.objects.values_list("job_id", flat=True)) == {young.id}


def test_what_another_app_keeps_beside_its_job_goes_too(settings: Settings) -> None:
    settings.RETENTION_DAYS = 7
    job = job_in(State.COMPLETED)
    Download.objects.create(job=job, url="http://origin.test/file")
    finished_days_ago(8, job)

    retention.prune()

    assert not Download.objects.exists()


def test_a_job_that_is_not_over_is_kept_however_old_it_is(settings: Settings) -> None:
    settings.RETENTION_DAYS = 0.001
    for state in (State.SCHEDULED, State.QUEUED, State.RUNNING, State.RETRYING, State.PAUSED):
        Job.objects.filter(id=job_in(state).id).update(created_at=Now() - timedelta(days=400))

    assert retention.prune() == 0
    assert Job.objects.count() == 5


def test_without_a_retention_nothing_is_ever_deleted(
    settings: Settings, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    settings.RETENTION_DAYS = 0
    finished_days_ago(4000, job_in(State.COMPLETED))

    with django_assert_num_queries(0):
        assert retention.prune() == 0


def test_many_go_in_batches_of_bounded_size(settings: Settings) -> None:
    settings.RETENTION_DAYS = 1
    number = retention._BATCH * 2 + 1
    ids = [lifecycle.submit("echo").id for _ in range(number)]
    lifecycle.cancel(ids)
    Job.objects.update(finished_at=Now() - timedelta(days=2))

    deleted = []
    while Job.objects.exists():
        deleted.append(retention._prune_batch())

    assert deleted == [retention._BATCH, retention._BATCH, 1]


def test_old_jobs_are_found_by_their_index_and_not_by_reading_the_table(settings: Settings) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(
            "EXPLAIN SELECT id FROM jobs_job WHERE finished_at < now() - interval '7 days'"
            " ORDER BY finished_at LIMIT 200 FOR UPDATE SKIP LOCKED"
        )
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert "job_finished" in plan


def test_finished_jobs_are_deleted_on_request_and_live_ones_are_not() -> None:
    done, alive = job_in(State.COMPLETED), job_in(State.QUEUED)

    assert retention.delete([done.id, alive.id]) == 1

    assert list(Job.objects.values_list("id", flat=True)) == [alive.id]
    assert not Attempt.objects.exists()
