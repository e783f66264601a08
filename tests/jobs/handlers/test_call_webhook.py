"""The kind `call_webhook` against real receivers, who verify what they get."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from pytest_django.fixtures import Settings
from standardwebhooks import Webhook, WebhookVerificationError

from jobs.models import Outcome, Reason, State
from tests.jobs.handlers.conftest import Runs
from tests.jobs.states import outcomes
from tests.origins import Exchange, Origin

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]

OLD, NEW, OWN = (f"whsec_{base64.b64encode(name * 8).decode()}" for name in (b"old1", b"new2", b"own3"))


def _take(exchange: Exchange) -> None:
    exchange.head(204)


def verified(secret: str, exchange: Exchange) -> Any:
    return Webhook(secret).verify(exchange.body, exchange.headers)


def test_a_webhook_is_signed_with_every_secret_so_that_they_can_be_changed(run: Runs, settings: Settings) -> None:
    settings.WEBHOOK_SECRETS = [NEW, OLD]
    with Origin(_take) as origin:
        job = run("call_webhook", url=origin.url("/hook"), body={"name": "Zoë"}, event="user.created")
    assert (job.state, job.result["status"]) == (State.COMPLETED, 204)
    (seen,) = origin.seen
    assert verified(OLD, seen) == verified(NEW, seen) == {"name": "Zoë"}
    with pytest.raises(WebhookVerificationError):
        verified(OWN, seen)
    assert (seen.method, seen.headers["content-type"]) == ("POST", "application/json")
    assert (seen.headers["webhook-id"], seen.headers["webhook-event"]) == (str(job.id), "user.created")


def test_a_receiver_can_have_a_secret_of_its_own_which_is_never_shown(run: Runs, settings: Settings) -> None:
    settings.WEBHOOK_SECRETS = [OLD]
    with Origin(_take) as origin:
        job = run("call_webhook", url=origin.url(), secrets=[OWN])
    verified(OWN, origin.seen[0])
    with pytest.raises(WebhookVerificationError):
        verified(OLD, origin.seen[0])
    assert OWN not in json.dumps(job.payload)


def test_without_any_secret_it_is_sent_unsigned(run: Runs) -> None:
    with Origin(_take) as origin:
        run("call_webhook", url=origin.url(), method="PUT", body=[1])
    (seen,) = origin.seen
    assert (seen.method, seen.body, "webhook-signature" in seen.headers) == ("PUT", b"[1]", False)


def test_every_attempt_has_the_same_id(run: Runs, settings: Settings) -> None:
    settings.WEBHOOK_SECRETS = [OLD]

    def answer(exchange: Exchange) -> None:
        exchange.head(404 if exchange.number == 1 else 200, Content_Length=0)

    with Origin(answer) as origin:
        job = run("call_webhook", url=origin.url())
        assert job.state == State.RETRYING
        job = run.again(job)
    assert outcomes(job) == [(1, Outcome.FAILED), (2, Outcome.COMPLETED)]
    assert {exchange.headers["webhook-id"] for exchange in origin.seen} == {str(job.id)}
    assert [verified(OLD, exchange) for exchange in origin.seen] == [{}, {}]


def test_a_receiver_that_is_gone_is_left_alone(run: Runs) -> None:
    with Origin(lambda exchange: exchange.head(410, Content_Length=0)) as origin:
        assert run("call_webhook", url=origin.url()).reason == Reason.GAVE_UP


def test_a_redirect_is_not_followed(run: Runs) -> None:
    with Origin(lambda exchange: exchange.head(307, Location="/other", Content_Length=0)) as origin:
        assert run("call_webhook", url=origin.url()).state == State.RETRYING
    assert len(origin.seen) == 1


def test_a_receiver_without_an_answer_is_tried_again(run: Runs) -> None:
    with Origin(lambda exchange: exchange.stall()) as origin:
        job = run("call_webhook", url=origin.url(), timeout=0.3)
        assert job.error == "CallFailed: The server did not answer within 0.3 s."
        job = run("call_webhook", url=origin.url(), options={"timeout": 0.4})
        assert outcomes(job) == [(1, Outcome.TIMED_OUT)]


def test_a_cancel_ends_the_call(run: Runs) -> None:
    def answer(exchange: Exchange) -> None:
        run.cancel_what_runs()
        exchange.stall()

    with Origin(answer) as origin:
        assert run("call_webhook", url=origin.url()).state == State.CANCELLED


def test_a_secret_of_the_operator_that_cannot_sign_is_named_and_not_shown(run: Runs, settings: Settings) -> None:
    settings.WEBHOOK_SECRETS = ["whsec_not base64!"]
    with Origin(_take) as origin:
        job = run("call_webhook", url=origin.url())
    assert (job.state, job.error) == (State.RETRYING, "CallFailed: WEBHOOK_SECRETS: a secret is whsec_ and then base64")
    assert "not base64!" not in job.attempts.get().traceback
    assert origin.seen == []


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        ({}, "/payload/url"),
        ({"url": "javascript:alert(1)"}, "/payload/url"),
        ({"url": "http://127.0.0.1/", "method": "GET"}, "/payload/method"),
        ({"url": "http://127.0.0.1/", "secrets": ["whsec_!"]}, "/payload/secrets"),
        ({"url": "http://127.0.0.1/", "event": "a b"}, "/payload/event"),
    ],
)
def test_a_bad_payload_is_refused_at_the_door(run: Runs, payload: dict[str, Any], pointer: str) -> None:
    assert run.refused("call_webhook", **payload) == [pointer]
