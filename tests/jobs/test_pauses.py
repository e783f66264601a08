"""Pauses: nothing new starts, whoever holds a hint; what runs goes on."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from jobs import endings, gates, lifecycle, pauses
from jobs.models import Gate, Job, State
from tests.jobs.states import LATER, as_stored, claimed, job_in, live_node, submitted

pytestmark = pytest.mark.django_db


def _starts(job: Job) -> bool:
    return bool(claimed(job))


@pytest.mark.parametrize(
    ("scope", "target", "stops"),
    [
        ("everything", "", True),
        ("queue", "high", True),
        ("queue", "low", False),
        ("kind", "echo", True),
        ("kind", "other", False),
        ("key", "host:a", True),
        ("key", "host:*", True),
        ("key", "host:b", False),
        ("key", "*", True),
    ],
)
def test_a_pause_stops_the_starts_of_what_it_names(scope: str, target: str, stops: bool) -> None:
    job = lifecycle.submit("echo", priority="high", limit_key="host:a")
    Job.objects.update(admission=2)
    pauses.pause(scope, target, by="ann")
    assert _starts(job) is not stops


def test_jobs_without_a_key_pass_by_the_pause_of_keys() -> None:
    pauses.pause("key", "*", by="ann")
    assert _starts(lifecycle.submit("echo"))


def test_what_runs_goes_on_to_its_end() -> None:
    (job,) = claimed(lifecycle.submit("echo"))
    pauses.pause("everything", by="ann")
    assert lifecycle.record([endings.completed(job, None)]) == {job.id}


def test_a_resumed_kind_starts_again() -> None:
    job = lifecycle.submit("echo")
    pauses.pause("kind", "echo", by="ann")
    assert pauses.resume("kind", "echo")
    assert not pauses.resume("kind", "echo")
    assert _starts(job)
    assert not Gate.objects.exists()


def test_a_pause_ends_by_itself_when_its_time_is_over() -> None:
    job = lifecycle.submit("echo")
    pauses.pause("kind", "echo", by="ann", until=timezone.now() + LATER)
    assert not _starts(job)
    Gate.objects.update(paused_until=timezone.now() - timedelta(seconds=1))
    assert pauses.paused() == []
    assert _starts(job)
    pauses.expire()
    assert not Gate.objects.exists()


def test_who_paused_what_why_and_until_when_is_kept() -> None:
    until = timezone.now() + LATER
    pauses.pause("queue", "low", by="ann", reason="a flood", until=until)
    pauses.pause("everything", by="bob")
    everything, queue = pauses.paused()
    assert (everything.scope, everything.paused_by) == ("everything", "bob")
    assert (queue.target, queue.paused_by, queue.pause_reason, queue.paused_until) == ("low", "ann", "a flood", until)
    pauses.pause("queue", "low", by="eve", reason="still")
    assert (pauses.paused()[1].paused_by, pauses.paused()[1].paused_until) == ("eve", None)


@pytest.mark.parametrize(
    ("scope", "target", "said"),
    [
        ("planet", "earth", "There is no scope 'planet'; there are everything, queue, kind, key."),
        ("everything", "low", "Everything has no target."),
        ("queue", "urgent", "There is no queue 'urgent'; there are low"),
        ("kind", "", "Say which kind"),
        ("key", "x" * 201, "Say which key"),
        ("key", "a\x00b", "Say which key"),
    ],
)
def test_what_cannot_be_paused_is_refused(scope: str, target: str, said: str) -> None:
    with pytest.raises(gates.UnknownGateError, match=said):
        pauses.pause(scope, target, by="ann")
    assert not Gate.objects.exists()


def test_of_a_chunk_only_what_is_not_paused_is_claimed() -> None:
    low, high = submitted(2, priority="low"), submitted(2, priority="high")
    pauses.pause("queue", "low", by="ann")
    ids = [job.id for job in low + high]
    found = lifecycle.claim(ids, node=live_node().id, lease=uuid.uuid4(), kinds=["echo"])
    assert {job.id for job in found} == {job.id for job in high}
    assert {as_stored(job).attempt for job in low} == {0}


def test_pauses_over_http(client: Client, settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True

    def put(path: str, body: Any = None) -> Any:
        return client.put(f"/api/v1/pauses/{path}", body or {}, content_type="application/json")

    job = job_in(State.QUEUED)
    assert put("kind/echo", {"reason": "broken"}).json()["reason"] == "broken"
    assert put("everything").status_code == 200
    assert put("key/https://example.org/a").json()["target"] == "https://example.org/a"
    assert put("queue/urgent").status_code == 400
    assert put("kind/echo", {"untill": "x"}).status_code == 400
    found = client.get("/api/v1/pauses").json()["pauses"]
    assert [(one["scope"], one["target"]) for one in found] == [
        ("everything", ""),
        ("kind", "echo"),
        ("key", "https://example.org/a"),
    ]
    assert not _starts(job)
    assert client.delete("/api/v1/pauses/everything").status_code == 204
    assert client.delete("/api/v1/pauses/kind/echo").status_code == 204
    assert client.delete("/api/v1/pauses/kind/echo").status_code == 404
    assert _starts(job)
