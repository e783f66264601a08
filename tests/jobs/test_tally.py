"""Sums that are kept, not counted: they must equal a recount at any moment."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from jobs import endings, lifecycle, tally
from jobs.models import Attempt, Job, Tally, Total
from jobs.submission import checked

pytestmark = pytest.mark.django_db


def amounts(name: str) -> dict[tuple[str, int, str], float]:
    return {(one.kind, one.priority, one.label): one.amount for one in tally.read(name) if one.amount}


def run_some() -> None:
    """Jobs of two kinds through most of what can happen to them."""
    ids = lifecycle.submit_many([checked("echo", {"n": n}, priority=n % 4) for n in range(40)])
    lifecycle.submit("download", {"url": "https://example.org/a"}, priority="low")
    lifecycle.submit("echo", run_at=timezone.now() + timedelta(hours=1))
    claimed = lifecycle.claim(ids[:20], node=uuid.uuid4(), lease=uuid.uuid4(), kinds=["echo"])
    ways = [
        lambda job: endings.completed(job, None),
        lambda job: endings.failed(job, "no"),
        lambda job: endings.gave_up(job, "never"),
        lambda job: endings.released(job, "later"),
    ]
    lifecycle.record([ways[place % 4](job) for place, job in enumerate(claimed[:16])])
    lifecycle.cancel(ids[25:30])
    lifecycle.pause(ids[30:32])
    Job.objects.filter(id__in=ids[33:36]).delete()


def test_the_sums_of_states_equal_a_recount_before_and_after_they_are_rolled_up() -> None:
    run_some()
    recount = Counter(Job.objects.values_list("kind", "priority", "state"))
    assert amounts("jobs") == recount
    tally.roll_up()
    assert amounts("jobs") == recount
    assert not Tally.objects.exists()
    run_some()
    tally.roll_up()
    assert amounts("jobs") == Counter(Job.objects.values_list("kind", "priority", "state"))
    assert Total.objects.count() < 60


def test_what_was_submitted_and_what_ended_only_grows() -> None:
    run_some()
    assert sum(amounts("submitted").values()) == 42
    ended = Counter[str]()
    for (_, _, label), amount in amounts("ended").items():
        ended[label] += int(amount)
    assert ended == {"completed": 4, "retrying": 4, "failed": 4, "cancelled": 5}


def test_run_times_are_kept_as_a_histogram_and_a_sum() -> None:
    ids = lifecycle.submit_many([checked("echo")] * 5)
    claimed = lifecycle.claim(ids, node=uuid.uuid4(), lease=uuid.uuid4(), kinds=["echo"])
    seconds = [0.0004, 0.003, 0.003, 7.0, 100_000.0]
    lifecycle.record(
        [replace(endings.completed(job, None), seconds=took) for job, took in zip(claimed, seconds, strict=True)]
    )
    assert amounts("seconds") == {
        ("echo", -1, "0.001"): 1,
        ("echo", -1, "0.005"): 2,
        ("echo", -1, "10"): 1,
        ("echo", -1, "+Inf"): 1,
    }
    assert amounts("seconds_sum") == {("echo", -1, ""): pytest.approx(sum(seconds))}
    assert Attempt.objects.filter(kind="echo").count() == 5
