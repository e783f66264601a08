"""Seed 003, the reliable queue: its printed request, its reliability, its monitor."""

from __future__ import annotations

from typing import Any

import pytest

from tests.seeds.conftest import Api


def test_the_printed_request_is_queued_and_its_bare_string_is_the_recipient(api: Api) -> None:
    answer = api.post("/task", {"type": "email-notification", "payload": "user@example.com"})
    assert answer.status_code == 202
    accepted = answer.json()
    assert accepted == {"status": "queued", "task_id": accepted["task_id"]}
    job = api.ended(accepted["task_id"])
    assert (job["kind"], job["state"], job["payload"]["recipient"]) == ("send_email", "completed", "user@example.com")


def test_any_kind_can_be_dispatched_with_an_object_or_a_string(api: Api) -> None:
    for payload, kept in (({"a": 1}, {"a": 1}), ("text", {"payload": "text"}), (None, {})):
        body = {"type": "echo"} if payload is None else {"type": "echo", "payload": payload}
        job = api.ended(api.post("/task", body).json()["task_id"])
        assert (job["state"], job["result"]) == ("completed", kept)


@pytest.mark.parametrize("body", [{}, {"type": "no_such"}, {"type": 1}, {"type": "echo", "payload": [1]}, []])
def test_what_is_no_task_is_refused_with_a_problem_document(api: Api, body: Any) -> None:
    answer = api.post("/task", body)
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")


def test_the_monitor_shows_both_lists(api: Api) -> None:
    assert set(api.get("/monitor")) == {"tasks:pending", "tasks:processing"}
