"""The jobs API over HTTP, in process, against the real database."""

from __future__ import annotations

import os
import socket
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings

from downloads.models import Download
from jobs import leases, lifecycle
from jobs.models import Job, Priority, State

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _open_on_loopback(settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True


def post(client: Client, path: str, body: Any = None) -> Any:
    return client.post(path, body, content_type="application/json")


def test_a_submitted_job_is_accepted_and_can_be_found_at_its_location(client: Client) -> None:
    answer = post(
        client,
        "/api/v1/jobs",
        {
            "kind": "echo",
            "payload": {"n": 1},
            "priority": "high",
            "max_retries": 7,
            "timeout": 9.5,
            "metadata": {"a": 1},
        },
    )
    assert answer.status_code == 202
    found = client.get(answer["Location"]).json()
    assert found["id"] == answer.json()["id"]
    assert (found["kind"], found["payload"], found["priority"]) == ("echo", {"n": 1}, "high")
    assert (found["state"], found["max_retries"], found["timeout"]) == ("queued", 7, 9.5)
    assert found["metadata"] == {"a": 1}
    assert found["attempts"] == []


@pytest.mark.parametrize(("given", "kept"), [("critical", 3), (0, 0), ("low", 0), (2, 2), (None, 1)])
def test_a_priority_is_a_name_or_a_number(client: Client, given: Any, kept: int) -> None:
    body = post(client, "/api/v1/jobs", {"kind": "echo", "priority": given}).json()
    assert Job.objects.get(id=body["id"]).priority == kept
    assert body["priority"] == Priority(kept).label


def test_a_job_for_later_is_scheduled(client: Client) -> None:
    body = post(client, "/api/v1/jobs", {"kind": "echo", "run_at": "2031-01-01T00:00:00Z"}).json()
    assert body["state"] == "scheduled"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"kind": "no_such_kind"}, "/kind"),
        ({}, "/kind"),
        ({"kind": "echo", "payload": {"sleep": "long"}}, "/payload/sleep"),
        ({"kind": "echo", "payload": []}, "/payload"),
        ({"kind": "echo", "payload": {"a": "\x00"}}, "/payload"),
        ({"kind": "echo", "payload": {"a": "x" * 300_000}}, "/payload"),
        ({"kind": "echo", "priority": "urgent"}, "/priority"),
        ({"kind": "echo", "priority": True}, "/priority"),
        ({"kind": "echo", "priority": {}}, "/priority"),
        ({"kind": "echo", "max_retries": -1}, "/max_retries"),
        ({"kind": "echo", "max_retries": 10**30}, "/max_retries"),
        ({"kind": "echo", "timeout": 0}, "/timeout"),
        ({"kind": "echo", "run_at": "soon"}, "/run_at"),
        ({"kind": "echo", "run_at": "9999-12-31T23:59:59Z"}, "/run_at"),
        ({"kind": "echo", "prioritty": 1}, "/prioritty"),
    ],
)
def test_bad_input_is_refused_with_the_field_named_and_nothing_is_written(
    client: Client, body: Any, pointer: str
) -> None:
    answer = post(client, "/api/v1/jobs", body)
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert not Job.objects.exists()


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"", b'"text"', b"[1]", b"[" * 10_000, b'{"kind": 1e999}', b"NaN"])
def test_a_body_that_is_no_object_is_a_problem_document_and_not_a_crash(client: Client, body: bytes) -> None:
    answer = client.post("/api/v1/jobs", body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["type"] == "/problems/invalid-request"


def test_every_problem_leads_to_its_explanation(client: Client) -> None:
    problem = client.get(f"/api/v1/jobs/{uuid.uuid4()}").json()
    assert problem["status"] == 404
    assert client.get(problem["type"]).json()["hint"] == problem["hint"]


def test_a_path_with_a_slash_too_many_is_told_the_right_one(client: Client) -> None:
    answer = client.get("/api/v1/jobs/")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert answer.json()["detail"] == "Paths end without a slash here: /api/v1/jobs"


@pytest.mark.parametrize("moment", ["1900000000", 1900000000, "2031-01-01", "2031-01-01T00:00:00"])
def test_a_time_without_its_date_or_zone_is_refused(client: Client, moment: Any) -> None:
    answer = post(client, "/api/v1/jobs", {"kind": "echo", "run_at": moment})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/run_at"]


def test_lists_are_filtered_and_come_in_pages_newest_first(client: Client) -> None:
    jobs = [lifecycle.submit("echo", {"n": n}, priority=n % 4) for n in range(8)]
    lifecycle.cancel([jobs[0].id])
    page = client.get("/api/v1/jobs?limit=5").json()
    assert [one["payload"]["n"] for one in page["results"]] == [7, 6, 5, 4, 3]
    rest = client.get(page["next"]).json()
    assert [one["payload"]["n"] for one in rest["results"]] == [2, 1, 0]
    assert rest["next"] is None
    assert [one["payload"]["n"] for one in client.get("/api/v1/jobs?state=cancelled").json()["results"]] == [0]
    assert len(client.get("/api/v1/jobs?priority=low,3&state=queued").json()["results"]) == 3
    assert client.get("/api/v1/jobs?kind=download").json()["results"] == []


@pytest.mark.parametrize("query", ["state=done", "priority=9", "colour=red", "cursor=nonsense", "kind=\x00"])
def test_a_filter_that_makes_no_sense_is_refused(client: Client, query: str) -> None:
    assert client.get(f"/api/v1/jobs?{query}").status_code in (400, 404)


def test_cancel_and_retry_are_verbs_of_the_lifecycle(client: Client) -> None:
    job = lifecycle.submit("echo", {})
    cancelled = post(client, f"/api/v1/jobs/{job.id}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    again = post(client, f"/api/v1/jobs/{job.id}/cancel")
    assert again.status_code == 409
    assert "cancelled" in again.json()["detail"]
    retried = post(client, f"/api/v1/jobs/{job.id}/retry")
    assert (retried.status_code, retried.json()["state"]) == (200, "queued")
    assert post(client, f"/api/v1/jobs/{uuid.uuid4()}/retry").status_code == 404


def test_off_loopback_nothing_answers_without_a_login(client: Client, settings: Settings) -> None:
    lifecycle.submit("echo", {})
    assert client.get("/api/v1/jobs", REMOTE_ADDR="192.0.2.7").status_code == 401
    settings.OPEN_ON_LOOPBACK = False
    assert client.get("/api/v1/jobs").status_code == 401
    assert post(client, "/downloads", {"url": "https://example.org/a"}).status_code == 401
    client.force_login(User.objects.create_user("reader", is_staff=True))
    assert client.get("/api/v1/jobs").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_while_the_database_is_away_the_answer_is_503_with_retry_after(client: Client) -> None:
    connection.ensure_connection()
    with socket.socket(fileno=os.dup(connection.connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)
    answer = client.get("/api/v1/jobs")
    connection.close()  # what the test client keeps open after a request
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert answer.json()["type"] == "/problems/unavailable"


def test_the_queue_stats_of_the_older_downloader_have_its_shape(client: Client) -> None:
    lifecycle.submit("echo", {})
    lifecycle.cancel([lifecycle.submit("echo", {}).id])
    body = client.get("/queue/stats").json()
    assert body["queue_stats"] == {"queued": 1, "processing": 0, "completed": 0, "failed": 0, "total": 1}
    assert set(body) == {"queue_stats", "timestamp"}


def test_health_is_503_and_says_what_to_start_while_nothing_works(client: Client) -> None:
    answer = client.get("/health")
    body = answer.json()
    assert answer.status_code == 503
    assert body["status"] == "unhealthy"
    assert body["checks"]["postgres"]["status"] == "up"
    assert body["checks"]["redis"]["status"] == "up"
    assert "celery -A project worker" in body["checks"]["workers"]["detail"]


def test_a_job_under_way_shows_its_state_and_progress(client: Client) -> None:
    job = lifecycle.submit("echo", {})
    claimed = lifecycle.claim([job.id], node=uuid.uuid4(), lease=uuid.uuid4(), kinds=["echo"])[0]
    leases.save_progress(claimed, {"fraction": 0.5, "note": "half"})
    body = client.get(f"/api/v1/jobs/{job.id}").json()
    assert (body["state"], body["attempt"], body["progress"]["fraction"]) == (State.RUNNING, 1, 0.5)


def test_a_bulk_submission_answers_for_each_of_its_jobs(client: Client) -> None:
    jobs = [{"kind": "echo", "payload": {"n": n}, "priority": n % 4} for n in range(5)]
    jobs[2] = {"kind": "echo", "payload": {"sleep": "long"}}
    jobs.append({"kind": "download", "payload": {"url": "https://example.org/a"}, "run_at": "2031-01-01T00:00:00Z"})
    answer = post(client, "/api/v1/jobs/bulk", {"jobs": jobs})
    body = answer.json()
    assert (answer.status_code, body["accepted"], body["refused"]) == (202, 5, 1)
    assert body["results"][2]["problem"]["errors"][0]["pointer"] == "/payload/sleep"
    kept = {str(job.id): job for job in Job.objects.all()}
    assert [kept[one["id"]].payload.get("n") for one in body["results"] if "id" in one] == [0, 1, 3, 4, None]
    assert kept[body["results"][4]["id"]].state == "queued"
    last = kept[body["results"][5]["id"]]
    assert (last.state, last.lane, Download.objects.get().job_id) == ("scheduled", "io", last.id)


def test_a_bulk_submission_of_all_or_nothing_writes_nothing_when_one_is_refused(client: Client) -> None:
    body = {"jobs": [{"kind": "echo"}, {"kind": "no_such_kind"}], "all_or_nothing": True}
    answer = post(client, "/api/v1/jobs/bulk", body)
    assert (answer.status_code, answer.json()["accepted"]) == (400, 0)
    assert not Job.objects.exists()


@pytest.mark.parametrize("jobs", [[], None, {}, [{"kind": "echo"}] * 10_001, [1, None, "x"]])
def test_a_bulk_submission_that_is_none_is_refused(client: Client, jobs: Any) -> None:
    assert post(client, "/api/v1/jobs/bulk", {"jobs": jobs}).status_code == 400
    assert not Job.objects.exists()


def test_a_body_that_is_too_large_is_refused_before_it_is_parsed(client: Client) -> None:
    answer = post(client, "/api/v1/jobs", {"kind": "echo", "payload": {"a": "x" * 2_000_000}})
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")
    declared = client.post("/api/v1/jobs", b"{}", content_type="application/json", CONTENT_LENGTH=str(10**9))
    assert (declared.status_code, declared.json()["type"]) == (413, "/problems/too-large")


# --- unique keys -----------------------------------------------------------------------------------------------------


def test_a_job_with_a_unique_key_is_accepted_once_and_then_found(client: Client) -> None:
    body = {"kind": "echo", "unique_key": "report 42"}
    first, second = post(client, "/api/v1/jobs", body), post(client, "/api/v1/jobs", body)

    assert (first.status_code, second.status_code) == (202, 200)
    assert first["Location"] == second["Location"]
    assert first.json()["unique_key"] == "report 42"


def test_a_job_that_is_refused_over_its_key_names_the_one_that_lives(client: Client) -> None:
    body = {"kind": "echo", "unique_key": "k", "on_conflict": "refuse"}
    lives = post(client, "/api/v1/jobs", body).json()["id"]

    answer = post(client, "/api/v1/jobs", body)

    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/key-taken"
    assert lives in answer.json()["detail"]


@pytest.mark.parametrize("all_or_nothing", [False, True])
def test_in_bulk_each_key_that_is_taken_has_its_own_answer(client: Client, all_or_nothing: bool) -> None:
    lives = lifecycle.submit("echo", unique_key="taken")
    jobs = [
        {"kind": "echo", "unique_key": "taken", "on_conflict": "refuse"},
        {"kind": "echo", "unique_key": "free", "on_conflict": "refuse"},
        {"kind": "echo", "unique_key": "taken"},
    ]

    body = post(client, "/api/v1/jobs/bulk", {"jobs": jobs, "all_or_nothing": all_or_nothing}).json()

    assert body["results"][0]["problem"]["type"] == "/problems/key-taken"
    if all_or_nothing:
        assert (body["accepted"], Job.objects.count()) == (0, 1)
    else:
        assert body["accepted"] == 2
        assert [result["new"] for result in body["results"][1:]] == [True, False]
        assert body["results"][2]["id"] == str(lives.id)
