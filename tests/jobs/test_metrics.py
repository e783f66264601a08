"""What Prometheus reads equals what a recount of the database gives."""

from __future__ import annotations

from collections import Counter

import pytest
from django.contrib.auth.models import User
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django.fixtures import Settings

from jobs import tally
from jobs.models import Attempt, Job, Priority, State
from tests.jobs.test_tally import run_some

pytestmark = pytest.mark.django_db


@pytest.fixture
def samples(client: Client, settings: Settings) -> dict[tuple[str, ...], float]:
    """Every sample of /metrics after some work: (name, values of its labels in their order) to value."""
    settings.OPEN_ON_LOOPBACK = True
    run_some()
    tally.roll_up()
    run_some()
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
