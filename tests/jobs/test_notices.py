"""Notices of the end of a job: sent once for each end, and never by a late attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from jobs import endings, flow, lifecycle, telling
from jobs.models import Job, Notice, State
from jobs.notices import wishes_of
from jobs.submission import InvalidSubmission
from tests.jobs.states import claimed

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client
    from pytest_django.fixtures import Settings

    from jobs.endings import Ending

pytestmark = pytest.mark.django_db

SECRET = "whsec_" + "QUJD" * 8
HOOK = {"url": "https://hooks.example.com/jobs"}


def _ended(way: Callable[[Job], Ending], *notify: dict[str, Any], **options: Any) -> Job:
    (job,) = claimed(lifecycle.submit("echo", {"n": 1}, notify=notify, **options))
    lifecycle.record([way(job)])
    while flow.follow():
        pass
    return Job.objects.get(id=job.id)


def _completed(job: Job) -> Ending:
    return endings.completed(job, {"answer": 42})


def _messages() -> list[Job]:
    return list(Job.objects.filter(kind__in=("call_webhook", "send_email")).order_by("id"))


def test_a_webhook_tells_how_a_job_ended_and_what_came_of_it() -> None:
    job = _ended(_completed, HOOK, metadata={"order": 7}, priority="high")
    (message,) = _messages()

    assert message.payload["url"] == HOOK["url"]
    assert message.payload["event"] == message.payload["body"]["type"] == "job.completed"
    data = message.payload["body"]["data"]
    assert (data["id"], data["state"], data["result"], data["metadata"]) == (
        str(job.id),
        "completed",
        {"answer": 42},
        {"order": 7},
    )
    assert message.priority == job.priority
    assert Notice.objects.get().delivery_id == message.id


def test_a_mail_tells_of_a_failure_in_a_few_lines() -> None:
    _ended(lambda job: endings.gave_up(job, "no such customer"), {"email": "ada@example.com", "on": ["failed"]})
    (message,) = _messages()

    assert message.kind == "send_email"
    assert message.payload["recipient"] == "ada@example.com"
    assert message.payload["subject"] == "Job echo failed"
    assert "error: no such customer" in message.payload["body"]


@pytest.mark.parametrize("on", ["completed", "failed", "cancelled"])
def test_only_the_ends_that_were_asked_for_are_told_of(on: str) -> None:
    ways: dict[str, Callable[[Job], Ending]] = {
        "completed": _completed,
        "failed": lambda job: endings.gave_up(job, "no"),
        "cancelled": endings.cancelled,
    }
    for way in ways.values():
        _ended(way, HOOK | {"on": [on]})

    assert [message.payload["event"] for message in _messages()] == [f"job.{on}"]


def test_a_late_attempt_tells_nobody_anything() -> None:
    (late,) = claimed(lifecycle.submit("echo", notify=[HOOK]))
    lifecycle.record([endings.lost(late)])
    assert lifecycle.record([_completed(late)]) == set()
    assert flow.follow() == 0

    (again,) = claimed(late)
    lifecycle.record([_completed(again)])
    flow.follow()

    assert len(_messages()) == 1


def test_a_job_that_is_requeued_and_ends_again_is_told_of_again() -> None:
    job = _ended(lambda job: endings.gave_up(job, "no"), HOOK)
    lifecycle.requeue([job.id])
    (running,) = claimed(job)
    lifecycle.record([_completed(running)])
    flow.follow()

    assert [message.payload["event"] for message in _messages()] == ["job.failed", "job.completed"]


def test_a_cancelled_job_that_never_ran_is_told_of_too() -> None:
    job = lifecycle.submit("echo", notify=[HOOK])
    lifecycle.cancel([job.id])
    flow.follow()

    assert _messages()[0].payload["event"] == "job.cancelled"


def test_secrets_of_a_notice_are_sealed_and_reach_its_message() -> None:
    job = _ended(_completed, HOOK | {"secrets": [SECRET]})
    (message,) = _messages()

    assert SECRET not in str(job.notify)
    assert SECRET not in str(message.payload)
    assert wishes_of(job)[0].secrets[0].get_secret_value() == SECRET


def test_a_notice_that_can_be_opened_no_more_stops_nothing_else(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    (job,) = claimed(lifecycle.submit("echo", notify=[HOOK | {"secrets": [SECRET]}]))
    child = lifecycle.submit("echo", depends_on=[job.id])
    lifecycle.record([_completed(job)])
    settings.SECRET_KEY = "another one"
    flow.follow()

    assert "Nobody can be told" in caplog.text
    assert Job.objects.get(id=child.id).state == State.QUEUED
    with pytest.raises(ValidationError):
        wishes_of(Job.objects.get(id=job.id))


@pytest.mark.parametrize(
    ("wish", "pointer"),
    [
        ({}, "/notify/0"),
        ({"url": "https://a.example/", "email": "a@b.example"}, "/notify/0"),
        ({"url": "ftp://a.example/"}, "/notify/0"),
        ({"email": "nobody"}, "/notify/0"),
        ({"url": "https://a.example/", "secrets": ["whsec_!"]}, "/notify/0"),
        ({"url": "https://a.example/", "on": ["started"]}, "/notify/0/on/0"),
        ({"url": "https://a.example/", "on": []}, "/notify/0/on"),
        ({"hook": "https://a.example/"}, "/notify/0/hook"),
    ],
)
def test_a_notice_that_cannot_be_sent_is_refused_at_submission(wish: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        lifecycle.submit("echo", notify=[wish])

    assert pointer in [fault.pointer for fault in caught.value.faults]
    assert "whsec_!" not in str(caught.value)
    assert not Job.objects.exists()


def test_the_log_of_a_notice_is_that_of_the_job_that_sends_it(client: Client, settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True
    job = _ended(_completed, HOOK)
    (message,) = claimed(*_messages())
    lifecycle.record([endings.failed(message, "503 Service Unavailable")])

    (notice,) = client.get(f"/api/v1/jobs/{job.id}/notices").json()["notices"]
    assert (notice["event"], notice["to"], notice["state"]) == ("job.completed", HOOK["url"], "retrying")
    assert [attempt["error"] for attempt in notice["attempts"]] == ["503 Service Unavailable"]

    again = client.post(f"/api/v1/jobs/{job.id}/notices/{notice['id']}/replay")
    assert again.status_code == 202
    first, second = _messages()
    assert (first.payload, first.kind) == (second.payload, second.kind)
    assert len(client.get(f"/api/v1/jobs/{job.id}/notices").json()["notices"]) == 2


def test_a_webhook_can_be_tried_out(client: Client, settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True
    answer = client.post("/api/v1/webhooks/test", HOOK | {"secrets": [SECRET]}, content_type="application/json")

    assert answer.status_code == 202
    assert _messages()[0].payload["event"] == "test"
    assert _messages()[0].max_retries == 0
    refused = client.post("/api/v1/webhooks/test", {"url": "nonsense"}, content_type="application/json")
    assert refused.status_code == 400


def test_a_replay_needs_the_first_message() -> None:
    _ended(_completed, HOOK)
    Job.objects.filter(kind="call_webhook").delete()

    with pytest.raises(Job.DoesNotExist):
        telling.replay(Notice.objects.get())
