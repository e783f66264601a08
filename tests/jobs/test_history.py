from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs import history, latency
from jobs.models import Moment, State
from tests.jobs.states import job_in, submitted

pytestmark = pytest.mark.django_db


def test_the_sums_are_noted_once_in_ten_seconds() -> None:
    history.note()
    history.note()

    assert Moment.objects.count() in (1, 2)  # two where the clock has just come to the next slot
    assert {moment.at.timestamp() % history.STEP_SECONDS for moment in Moment.objects.all()} == {0}


def test_rates_are_what_came_between_two_moments() -> None:
    now = timezone.now().replace(microsecond=0)
    now -= timedelta(seconds=now.second % 10)
    sums = {"failed": 0, "retried": 0, "waiting": 5, "running": 1}
    for seconds, done in ((40, 100), (30, 160), (20, 160)):
        at = now - timedelta(seconds=seconds)
        Moment.objects.create(at=at, submitted=2 * done, completed=done, **sums)

    points = history.points(15)

    assert [(point.completed, point.submitted) for point in points[:2]] == [(6.0, 12.0), (0.0, 0.0)]
    assert points[0].waiting == 5


def test_moments_are_kept_for_a_day() -> None:
    old = timezone.now() - timedelta(hours=30)
    Moment.objects.create(at=old, submitted=0, completed=0, failed=0, retried=0, waiting=0, running=0)

    history.note()

    assert not Moment.objects.filter(at=old).exists()


def test_latency_is_that_of_the_attempts_that_ended_last() -> None:
    for _ in range(3):
        job_in(State.COMPLETED)
    job_in(State.RETRYING)
    submitted(2)

    found = latency.recent()

    assert found.attempts == 4
    assert found.wait is not None
    assert 0 <= found.wait.p50 <= found.wait.p99


def test_nothing_has_no_latency() -> None:
    assert latency.recent() == latency.Latency(0, None, None, None)
