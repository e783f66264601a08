"""The kind `http_request` against real servers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from jobs.models import Job, Outcome, Reason, State
from tests.jobs.handlers.conftest import Runs
from tests.jobs.states import outcomes
from tests.origins import Exchange, Origin

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]


def answering(status: int, body: bytes = b"", **headers: Any) -> Callable[[Exchange], None]:
    def answer(exchange: Exchange) -> None:
        exchange.head(status, Content_Length=len(body), **headers)
        exchange.raw(body)

    return answer


def test_the_answer_is_kept(run: Runs) -> None:
    body = b'{"total": 3, "name": "caf\xc3\xa9"}'
    fields = {"Content_Type": "application/json", "ETag": '"a"', "Set_Cookie": "session=secret"}
    with Origin(answering(200, body, **fields)) as origin:
        job = run("http_request", api_url=origin.url("/things?page=2"))
    assert job.state == State.COMPLETED
    assert job.result["status"] == 200
    assert job.result["body"] == {"total": 3, "name": "café"}
    assert job.result["headers"] == {
        "content-type": "application/json",
        "etag": '"a"',
        "content-length": str(len(body)),
    }
    assert (origin.seen[0].method, origin.seen[0].target) == ("GET", "/things?page=2")


@pytest.mark.parametrize(
    ("given", "sent", "media_type"),
    [
        ({"a": [1, "é"]}, '{"a": [1, "é"]}'.encode(), "application/json"),
        ("plain é", "plain é".encode(), "text/plain; charset=utf-8"),
        ([], b"[]", "application/json"),
    ],
)
def test_a_body_is_sent_as_json_or_text(run: Runs, given: Any, sent: bytes, media_type: str) -> None:
    with Origin(answering(201)) as origin:
        job = run("http_request", api_url=origin.url(), method="POST", body=given, headers={"X-One": "1"})
    (seen,) = origin.seen
    assert (seen.method, seen.body, seen.headers["content-type"], seen.headers["x-one"]) == (
        "POST", sent, media_type, "1",
    )  # fmt: skip
    assert seen.headers["idempotency-key"] == str(job.id)


@pytest.mark.parametrize(
    ("auth", "sent"),
    [
        (
            {"type": "basic", "username": "ada", "password": "s3cret"},
            "Basic " + base64.b64encode(b"ada:s3cret").decode(),
        ),
        ({"type": "bearer", "token": "s3cret"}, "Bearer s3cret"),
    ],
)
def test_credentials_are_sent_and_neither_stored_nor_shown_in_clear(run: Runs, auth: dict[str, str], sent: str) -> None:
    with Origin(answering(200)) as origin:
        job = run("http_request", api_url=origin.url(), auth=auth, secret_headers={"X-Api-Key": "s3cret"})
    assert origin.seen[0].headers["authorization"] == sent
    assert origin.seen[0].headers["x-api-key"] == "s3cret"
    assert "s3cret" not in json.dumps(job.payload)
    shown = run.answer(f"/api/v1/jobs/{job.id}").json()["payload"]
    assert "s3cret" not in json.dumps(shown)
    assert shown["secret_headers"] == {"X-Api-Key": "***"}


@pytest.mark.parametrize("status", [500, 502, 503, 408, 425, 429])
def test_a_passing_error_is_tried_again(run: Runs, status: int) -> None:
    def answer(exchange: Exchange) -> None:
        answering(status if exchange.number == 1 else 200)(exchange)

    with Origin(answer) as origin:
        job = run("http_request", api_url=origin.url())
        assert job.state == State.RETRYING
        assert str(status) in job.error
        job = run.again(job)
    assert (job.state, outcomes(job)) == (State.COMPLETED, [(1, Outcome.FAILED), (2, Outcome.COMPLETED)])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422, 301])
def test_a_permanent_error_is_never_tried_again(run: Runs, status: int) -> None:
    with Origin(answering(status, b"no such\nthing")) as origin:
        job = run("http_request", api_url=origin.url())
    assert (job.state, job.reason) == (State.FAILED, Reason.GAVE_UP)
    assert job.error == f"The server answered {status}: no such thing"


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_obeyed(run: Runs, as_date: bool) -> None:
    said = format_datetime(datetime.now(UTC) + timedelta(seconds=3600), usegmt=True) if as_date else "3600"
    with Origin(answering(429, Retry_After=said)) as origin:
        job = run("http_request", api_url=origin.url())
    assert job.state == State.RETRYING
    assert timedelta(seconds=3500) < job.run_at - job.created_at < timedelta(seconds=3700)


def test_the_last_retry_ends_among_the_dead_letters(run: Runs) -> None:
    with Origin(answering(500)) as origin:
        job = run.again(run("http_request", api_url=origin.url(), options={"max_retries": 1}))
    assert (job.state, job.reason) == (State.FAILED, Reason.EXHAUSTED)


def test_other_statuses_can_be_expected(run: Runs) -> None:
    with Origin(answering(404)) as origin:
        job = run("http_request", api_url=origin.url(), expected_statuses=[404, 410])
        assert (job.state, job.result["status"]) == (State.COMPLETED, 404)
    with Origin(answering(200)) as origin:
        assert run("http_request", api_url=origin.url(), expected_statuses=[201]).reason == Reason.GAVE_UP


def test_redirects_are_followed_unless_told_otherwise(run: Runs) -> None:
    def answer(exchange: Exchange) -> None:
        if exchange.target == "/old":
            answering(302, Location="/new")(exchange)
        else:
            answering(200, b"here")(exchange)

    with Origin(answer) as origin:
        assert run("http_request", api_url=origin.url("/old")).result["body"] == "here"
        job = run("http_request", api_url=origin.url("/old"), follow_redirects=False, expected_statuses=[302])
        assert job.result["headers"]["location"] == "/new"


@pytest.mark.parametrize(
    ("body", "media_type", "kept"),
    [
        (b"caf\xe9", "text/plain; charset=latin-1", {"body": "café"}),
        (b"\xff\xfe\x00\x01", "application/octet-stream", {"body": "//4AAQ==", "encoding": "base64"}),
        (b"not json", "application/json", {"body": "not json"}),
        (b'"\\u0000"', "application/json", {"body": '"\\u0000"'}),
        (b"a\x00b", "text/plain", {"body": "a\ufffdb"}),
        (b"[" * 100_000, "application/json", {"body": "[" * 100_000}),
        (b"", "text/plain", {"body": ""}),
    ],
)
def test_any_body_is_kept_in_a_form_that_can_be_stored(
    run: Runs, body: bytes, media_type: str, kept: dict[str, Any]
) -> None:
    with Origin(answering(200, body, Content_Type=media_type)) as origin:
        job = run("http_request", api_url=origin.url())
    assert job.state == State.COMPLETED, job.error
    assert {name: job.result[name] for name in ("body", "encoding") if name in job.result} == kept


@pytest.mark.parametrize("sign", [b"x", b"\x01", "é".encode(), b"\xff"])
def test_a_huge_answer_is_a_success_of_which_the_beginning_is_kept(run: Runs, sign: bytes) -> None:
    def endless(exchange: Exchange) -> None:
        exchange.close()
        exchange.head(200)
        while True:
            exchange.raw(sign * 65536)

    with Origin(endless) as origin:
        job = run("http_request", api_url=origin.url(), method="POST")
    assert job.state == State.COMPLETED, job.error
    assert job.result["truncated"] is True
    assert len(job.result["body"]) >= 60_000


def test_a_server_that_is_not_there_is_tried_again_and_the_url_stays_out_of_the_error(run: Runs) -> None:
    with Origin(answering(200)) as origin:
        url = origin.url("/hook?token=s3cret")
    job = run("http_request", api_url=url)
    assert job.state == State.RETRYING
    assert job.error.startswith("CallFailed: The connection to the server could not be made")
    assert "s3cret" not in job.error + job.attempts.get().traceback


def test_a_server_that_takes_longer_than_the_call_may_is_tried_again(run: Runs) -> None:
    with Origin(lambda exchange: exchange.stall()) as origin:
        job = run("http_request", api_url=origin.url(), timeout=0.3)
    assert (job.state, job.error) == (State.RETRYING, "CallFailed: The server did not answer within 0.3 s.")


def test_the_timeout_of_the_job_ends_the_call(run: Runs) -> None:
    with Origin(lambda exchange: exchange.stall()) as origin:
        job = run("http_request", api_url=origin.url(), options={"timeout": 0.5, "max_retries": 0})
    assert (job.state, job.reason, outcomes(job)) == (State.FAILED, Reason.TIMED_OUT, [(1, Outcome.TIMED_OUT)])


def test_a_cancel_ends_the_call(run: Runs) -> None:
    def answer(exchange: Exchange) -> None:
        run.cancel_what_runs()
        exchange.stall()

    with Origin(answer) as origin:
        job = run("http_request", api_url=origin.url())
    assert (job.state, outcomes(job)) == (State.CANCELLED, [(1, Outcome.CANCELLED)])


def test_an_address_that_is_not_public_is_given_up_on(run: Runs, settings: Settings) -> None:
    settings.OUTBOUND_ALLOWED_NETWORKS = []
    with Origin(answering(200)) as origin:
        assert run.refused("http_request", api_url=origin.url()) == ["/payload/api_url"]
        job = run("http_request", api_url=origin.url(host="localhost"))
        assert (job.reason, origin.connections) == (Reason.GAVE_UP, 0)


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        ({}, "/payload/api_url"),
        ({"api_url": "ftp://x/"}, "/payload/api_url"),
        ({"api_url": "http://127.0.0.1/", "method": "TRACE"}, "/payload/method"),
        ({"api_url": "http://127.0.0.1/", "headers": {"X": "a\r\nY: b"}}, "/payload/headers"),
        ({"api_url": "http://127.0.0.1/", "headers": {"X\n": "a"}}, "/payload/headers"),
        ({"api_url": "http://127.0.0.1/", "headers": {"Host": "other"}}, "/payload/headers"),
        ({"api_url": "http://127.0.0.1/", "headers": {"Transfer-Encoding": "chunked"}}, "/payload/headers"),
        ({"api_url": "http://127.0.0.1/", "secret_headers": {"X": "a\nb"}}, "/payload"),
        ({"api_url": "http://127.0.0.1/", "auth": {"type": "bearer", "token": "a\nb"}}, "/payload"),
        ({"api_url": "http://127.0.0.1/", "auth": {"type": "magic"}}, "/payload/auth"),
        ({"api_url": "http://127.0.0.1/", "timeout": 0}, "/payload/timeout"),
        ({"api_url": "http://127.0.0.1/", "expected_statuses": [99]}, "/payload/expected_statuses/0"),
        ({"api_url": "http://127.0.0.1/", "unknown": 1}, "/payload/unknown"),
    ],
)
def test_a_bad_payload_is_refused_at_the_door(run: Runs, payload: dict[str, Any], pointer: str) -> None:
    assert run.refused("http_request", **payload) == [pointer]
    assert not Job.objects.exists()
