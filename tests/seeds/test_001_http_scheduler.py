"""Seed 001, the scheduler of HTTP calls: its job message, long calls, retries and health checks."""

from __future__ import annotations

import time
from typing import Any

from tests.origins import Exchange, Origin
from tests.seeds.conftest import Api


def answering(body: bytes = b'{"done": true}', *, wait: float = 0, failures: int = 0) -> Any:
    """An API endpoint: waits, fails so many times, then answers."""

    def answer(exchange: Exchange) -> None:
        time.sleep(wait)
        failed = exchange.number <= failures
        exchange.head(503 if failed else 200, Content_Type="application/json", Content_Length=len(body))
        exchange.raw(body)

    return answer


def message(api_url: str, **changes: Any) -> dict[str, Any]:
    """The job message as it is printed."""
    return {
        "id": "job_123",
        "job_id": 456,
        "api_url": api_url,
        "max_retry_count": 3,
        "retry_count": 0,
        "created_at": "2024-01-01T00:00:00Z",
        "scheduled_at": "2024-01-01T00:00:00Z",
        "timeout": 90,
    } | changes


def test_a_job_message_as_printed_is_called_and_its_answer_is_kept(api: Api) -> None:
    with Origin(answering(wait=2)) as origin:
        answer = api.post("/jobs", message(origin.url("/endpoint")))
        assert (answer.status_code, answer.json()["job_id"]) == (202, 456)
        job = api.ended(answer.json()["id"])
    assert (job["kind"], job["state"]) == ("http_request", "completed")
    assert (job["result"]["status"], job["result"]["body"]) == (200, {"done": True})
    assert job["metadata"] == {"id": "job_123", "job_id": 456}


def test_a_call_that_fails_is_tried_again_with_growing_pauses_and_its_history_is_kept(api: Api) -> None:
    with Origin(answering(failures=1)) as origin:
        job = api.ended(api.post("/jobs", message(origin.url())).json()["id"])
    assert (job["state"], [attempt["outcome"] for attempt in job["attempts"]]) == ("completed", ["failed", "completed"])


def test_a_message_without_retries_left_becomes_a_dead_letter(api: Api) -> None:
    with Origin(answering(failures=99)) as origin:
        job = api.ended(api.post("/jobs", message(origin.url(), retry_count=3)).json()["id"])
    assert (job["state"], job["reason"], len(job["attempts"])) == ("failed", "exhausted", 1)


def test_a_message_for_later_waits_for_its_time(api: Api) -> None:
    accepted = api.post("/jobs", message("http://127.0.0.1:9/", scheduled_at="2031-01-01T00:00:00Z")).json()
    assert api.get(f"/api/v1/jobs/{accepted['id']}")["state"] == "scheduled"
    assert api.post(f"/api/v1/jobs/{accepted['id']}/cancel", {}).status_code == 200


def test_the_health_of_redis_workers_and_queue_can_be_asked(api: Api) -> None:
    for part in ("redis", "workers", "queue"):
        assert api.get(f"/health/{part}")["status"] == "healthy"
    assert set(api.get("/health/queue")["queue"]) == {"queued", "processing", "completed", "failed", "total"}
