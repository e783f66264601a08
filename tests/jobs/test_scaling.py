"""How many workers: by what waits, what comes in, how long it takes, and how much of it fails."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from jobs import lifecycle, scaling
from jobs.models import Node
from jobs.scaling import Load, judge


def test_nothing_to_do_needs_nobody() -> None:
    assert judge([Load("low")], slots_now=4, target_wait=30).slots == 0


def test_a_backlog_is_begun_within_the_target() -> None:
    """600 jobs of a second each, in 60 s: ten slots, and a fifth in reserve."""
    assert judge([Load("low", queued=600, work=600.0)], slots_now=0, target_wait=60).slots == 13


def test_what_comes_in_is_kept_up_with() -> None:
    steady = Load("high", running=4, in_per_second=20.0, run_seconds=0.5)
    assert judge([steady], slots_now=4, target_wait=30).slots == 13


def test_longer_jobs_need_more_slots_at_the_same_rate() -> None:
    short, long = (Load("high", running=1, in_per_second=8.0, run_seconds=seconds) for seconds in (0.1, 10.0))
    assert judge([short], 1, 30).slots < judge([long], 1, 30).slots == 100


def test_nobody_is_sent_away_with_work_in_hand() -> None:
    decision = judge([Load("medium.io", running=40)], slots_now=64, target_wait=30)
    assert (decision.slots, decision.because) == (40, "so many run")


def test_a_wait_that_is_too_long_adds_slots_where_all_are_busy() -> None:
    waiting = Load("low", queued=1, work=0.1, running=8, oldest_seconds=90.0)
    assert judge([waiting], slots_now=8, target_wait=30).slots == 10
    idle = Load("low", queued=1, work=0.1, running=1, oldest_seconds=90.0)
    assert judge([idle], slots_now=8, target_wait=30).slots == 1


def test_a_kind_whose_attempts_fail_gets_no_more_workers() -> None:
    failing = Load("high", queued=1000, work=1000.0, running=4, attempts=100, failed=80)
    decision = judge([failing], slots_now=4, target_wait=10)
    assert decision.slots == 4
    assert "fail faster" in decision.because
    assert judge([failing], slots_now=0, target_wait=10).slots == 4, "what runs keeps its slots"


def test_slots_become_whole_workers() -> None:
    decision = judge([Load("low", queued=600, work=600.0)], slots_now=0, target_wait=60)
    assert [decision.workers(each) for each in (1, 4, 13, 64)] == [13, 4, 1, 1]


@pytest.fixture
def numbers(client: Client, settings: Settings) -> Client:
    settings.METRICS_OPEN = True
    return client


@pytest.mark.django_db
def test_the_api_counts_what_waits_in_each_queue_and_lane(numbers: Client) -> None:
    for _ in range(3):
        lifecycle.submit("echo", {}, priority="high")
    lifecycle.submit("call_webhook", {"url": "https://example.org/"}, priority="high")
    lifecycle.submit("echo", {}, priority="high", run_at=timezone.now() + timedelta(hours=1))
    body = numbers.get("/api/v1/scaling?queues=high&slots=2&target_wait=10").json()
    assert (body["queued"], body["running"], body["suggested_workers"]) == (3, 0, 1)
    assert body["queues"][0]["in_per_second"] > 0
    assert numbers.get("/api/v1/scaling?queues=high.io").json()["queued"] == 1
    assert [one["queue"] for one in numbers.get("/api/v1/scaling").json()["queues"]][:3] == [
        "critical",
        "critical.io",
        "high",
    ]


@pytest.mark.django_db
def test_a_queue_that_is_empty_wants_no_worker_so_downloads_scale_to_zero(numbers: Client) -> None:
    body = numbers.get("/api/v1/scaling?queues=medium.io,low.io&slots=64").json()
    assert (body["suggested_workers"], body["because"]) == (0, "nothing waits and nothing runs")


@pytest.mark.django_db
def test_how_long_a_kind_takes_is_learnt_from_its_attempts(numbers: Client) -> None:
    from jobs import endings  # noqa: PLC0415 - settings are loaded by the time of the test
    from jobs.models import Job  # noqa: PLC0415

    job = lifecycle.submit("echo", {}, priority="low")
    claimed = lifecycle.claim([job.id], node=uuid.uuid4(), lease=uuid.uuid4(), kinds=["echo"])
    ending = endings.completed(claimed[0], {})
    ending.seconds = 20.0
    lifecycle.record([ending])
    assert Job.objects.get(id=job.id).state == "completed"
    for _ in range(30):
        lifecycle.submit("echo", {}, priority="low")
    (load,) = numbers.get("/api/v1/scaling?queues=low").json()["queues"]
    assert (load["run_seconds"], load["work"], load["attempts"]) == (20.0, 600.0, 1)


@pytest.mark.django_db
def test_the_slots_that_serve_those_queues_are_counted(numbers: Client) -> None:
    for queues, slots in ((["high", "low"], 4), (["low"], 2), (["high.io"], 64)):
        expires = timezone.now() + timedelta(minutes=1)
        Node.objects.create(id=uuid.uuid4(), name="a", queues=queues, slots=slots, pid=1, expires_at=expires)
    assert scaling.decide(["high"], 30).slots_now == 4
    assert scaling.decide(["low", "high"], 30).slots_now == 6


@pytest.mark.django_db
def test_a_queue_that_does_not_exist_is_refused_with_those_that_do(numbers: Client) -> None:
    answer = numbers.get("/api/v1/scaling?queues=urgent")
    assert answer.status_code == 400
    assert "critical" in answer.json()["errors"][0]["detail"]


@pytest.mark.django_db
def test_its_numbers_are_as_closed_as_the_metrics(client: Client, settings: Settings) -> None:
    settings.METRICS_OPEN = settings.OPEN_ON_LOOPBACK = False
    assert client.get("/api/v1/scaling").status_code in (401, 403)
