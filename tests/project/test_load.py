"""`manage.py load` against the whole platform, and against hosts that are none."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from project.load.client import Client
from project.local.datadir import Addresses
from tests.origins import Exchange, Origin


def load(stack: Addresses, *options: str) -> None:
    assert stack.api
    call_command("load", "--url", stack.api, *options)


def words(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("way", [["--bulk", "50"], ["--clients", "3"]])
def test_a_load_is_submitted_done_and_reported(
    stack: Addresses, capsys: pytest.CaptureFixture[str], way: list[str]
) -> None:
    load(stack, "--jobs", "120", "--kinds", "echo,export_data", *way)
    said = words(capsys)
    assert "Submitted 120 jobs" in said
    assert "Completed 120 jobs" in said
    assert "Waited, at most" in said


def test_failures_are_counted_with_their_reasons(stack: Addresses, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match="Not every job"):
        load(stack, "--jobs", "7", "--payload", '{"give_up": true}')
    said = words(capsys)
    assert "Failed 7 jobs" in said
    assert "7 x gave_up: asked to give up" in said


@pytest.mark.parametrize(
    ("way", "told"),
    [(["--bulk", "4"], "4 x refused: /payload/api_url Field required"), ([], "4 x POST /api/v1/jobs was")],
)
def test_refusals_are_counted(stack: Addresses, capsys: pytest.CaptureFixture[str], way: list[str], told: str) -> None:
    with pytest.raises(CommandError, match="Not every job"):
        load(stack, "--jobs", "4", "--kinds", "http_request", *way)
    said = words(capsys)
    assert "Not accepted 4 jobs" in said
    assert told in said


def test_jobs_that_do_not_end_are_given_up_on(stack: Addresses, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match="Not every job"):
        load(stack, "--jobs", "2", "--payload", '{"snooze": 600}', "--patience", "2")
    assert "Scheduled 2 jobs" in words(capsys)


def test_the_header_goes_with_every_call() -> None:
    def answer(exchange: Exchange) -> None:
        body = b'{"queue_stats": {"queued": 1, "processing": 2}}'
        exchange.head(200, Content_Length=len(body), Content_Type="application/json")
        exchange.raw(body)

    with Origin(answer) as origin:
        assert Client(origin.url(""), {"Authorization": "Token s3cret"}).live() == 3
        assert origin.seen[0].headers["authorization"] == "Token s3cret"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--jobs", "0"], "at least one"),
        (["--kinds", ""], "at least one"),
        (["--payload", "{"], "not JSON"),
        (["--payload", "[]"], "a JSON object"),
        (["--header", "token"], "a name, a colon"),
    ],
)
def test_what_makes_no_sense_is_refused(options: list[str], told: str) -> None:
    with pytest.raises(CommandError, match=told):
        call_command("load", "--url", "http://127.0.0.1:1", *options)


def test_a_host_that_is_not_there_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    with Origin(lambda exchange: exchange.head(200, Content_Length=0)) as origin:
        nowhere = origin.url("")
    with pytest.raises(CommandError, match="Not every job"):
        call_command("load", "--url", nowhere, "--jobs", "1")
    assert "did not answer" in words(capsys)
