"""What Prometheus reads equals what a recount of the database gives."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db.models import F
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django.fixtures import Settings

from downloads.models import Download
from jobs import endings, leadership, lifecycle, tally
from jobs.board import Board
from jobs.kinds import Context
from jobs.models import Attempt, Job, Priority, State
from jobs.worker import Slots
from tests.jobs.conftest import AddKind
from tests.jobs.states import claimed, live_node
from tests.jobs.test_tally import run_some

pytestmark = pytest.mark.django_db


@pytest.fixture
def samples(client: Client, settings: Settings) -> dict[tuple[str, ...], float]:
    """What /metrics says after some work."""
    settings.OPEN_ON_LOOPBACK = True
    run_some()
    tally.roll_up()
    run_some()
    return samples_of(client)


def samples_of(client: Client) -> dict[tuple[str, ...], float]:
    """Every sample of /metrics: (name, values of its labels in their order) to value."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


def test_the_metrics_of_the_older_task_queue_equal_a_recount(samples: dict[tuple[str, ...], float]) -> None:
    jobs = Job.objects.values_list("kind", "priority", "state")
    waiting = Counter(
        Priority(priority).label
        for _, priority, state in jobs
        if state in (State.SCHEDULED, State.QUEUED, State.RETRYING)
    )
    for priority in Priority:
        assert samples["queue_size", priority.label] == waiting[priority.label]
    for state, count in Counter(state for _, _, state in jobs).items():
        assert samples["jobs", state] == count
    assert samples["tasks_processed_total", "completed", "echo"] == 8
    assert samples["tasks_processed_total", "failed", "echo"] == 8
    assert samples["task_retries_total", "echo"] == 8
    assert samples["tasks_submitted_total", "low", "download"] == 2
    assert samples["workers_active",] == 0
    assert samples["dispatcher_leading",] == 0


def test_the_histogram_of_durations_adds_up(samples: dict[tuple[str, ...], float]) -> None:
    timed = Attempt.objects.filter(seconds__isnull=False).count()
    assert samples.get(("task_duration_seconds_count", "echo"), 0) == timed


def test_attempts_are_counted_by_how_they_ended(samples: dict[tuple[str, ...], float]) -> None:
    for (kind, outcome), count in Counter(Attempt.objects.values_list("kind", "outcome")).items():
        assert samples["job_attempts_total", outcome, kind] == count


def test_the_first_ready_job_of_each_queue_has_an_age(samples: dict[tuple[str, ...], float]) -> None:
    assert samples["queue_oldest_seconds", "critical.io"] == 0
    assert {name for name, *_ in samples} >= {"queue_oldest_seconds"}


def test_off_loopback_metrics_need_a_login_or_their_switch(client: Client, settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = False
    assert client.get("/metrics").status_code == 403
    settings.METRICS_OPEN = True
    assert client.get("/metrics").status_code == 200
    settings.METRICS_OPEN = False
    client.force_login(User.objects.create_user("reader", is_staff=True))
    assert client.get("/metrics").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_result_that_comes_late_is_counted(
    client: Client, settings: Settings, tmp_path: Path, add_kind: AddKind
) -> None:
    settings.OPEN_ON_LOOPBACK = True

    def overtaken(_: object, ctx: Context) -> None:
        lifecycle.record([endings.lost(Job.objects.get(id=ctx.job_id))])

    slots = Slots(live_node().id, Board(tmp_path, slots=1), shares_connections=False)
    add_kind("overtaken", overtaken)
    slots.run([lifecycle.submit("overtaken").id])
    assert samples_of(client)["job_late_results_total", "overtaken"] == 1


def test_the_bytes_of_downloads_are_counted_as_they_come(client: Client, settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True
    job = lifecycle.submit("download", {"url": "https://example.org/a"})
    for bytes_done in (1000, 5000, 0, 300):
        Download.objects.filter(pk=job.id).update(bytes_done=bytes_done)
    assert samples_of(client)["download_bytes_total", "download"] == 5300


def test_how_long_jobs_waited_is_shown_for_each_queue(client: Client, settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True
    job = lifecycle.submit("echo", priority="high")
    assert ("queue_wait_seconds", "0.5", "high") not in samples_of(client)
    Job.objects.update(ready_at=F("ready_at") - timedelta(seconds=50))
    lifecycle.record([endings.completed(claimed(job, node=live_node())[0], None)])
    found = samples_of(client)
    for quantile in ("0.5", "0.95", "0.99"):
        assert found["queue_wait_seconds", quantile, "high"] == pytest.approx(50, abs=10)


def test_the_age_of_the_dispatchers_lead_is_shown_once_there_was_one(client: Client, settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True
    assert ("dispatcher_seen_seconds",) not in samples_of(client)
    leadership.lead("one")
    assert samples_of(client)["dispatcher_seen_seconds",] >= 0
