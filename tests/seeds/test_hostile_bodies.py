"""Every door against bodies that no client should send: they are refused and explained, and nothing is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings

from downloads.models import Download
from jobs.access.models import Action
from jobs.models import Answer, Batch, Gate, Job, Operation, Schedule

pytestmark = pytest.mark.django_db

# Each door with a body that it takes, whose fields are then spoilt one by one.
DOORS: dict[str, dict[str, Any]] = {
    "POST /downloads": {"url": "https://example.com/file.zip", "output": "file.zip", "threads": 4},
    "POST /jobs": {
        "id": "job_123",
        "job_id": 456,
        "api_url": "https://api.example.com/endpoint",
        "max_retry_count": 3,
        "retry_count": 0,
        "created_at": "2024-01-01T00:00:00Z",
        "scheduled_at": "2024-01-01T00:00:00Z",
        "timeout": 90,
    },
    "POST /api/v1/tasks": {"type": "echo", "priority": 2, "payload": {"hello": "world"}, "max_retries": 3},
    "POST /task": {"type": "echo", "payload": "text"},
    "POST /api/queue/jobs": {
        "type": "product",
        "target_url": "https://example.com/1",
        "priority": 5,
        "metadata": {"a": 1},
    },
    "POST /api/queue/dead-letter/requeue": {"index": 0},
    "POST /api/v1/jobs": {"kind": "echo", "payload": {"a": 1}, "priority": "high", "metadata": {"a": 1}},
    "POST /api/v1/jobs/bulk": {"jobs": [{"kind": "echo"}]},
    "POST /api/v1/webhooks/test": {"url": "https://example.com/hook", "secrets": []},
}
# Those that write something else than one job, or nothing.
ORDERS: dict[str, dict[str, Any]] = {
    "POST /api/v1/downloads": {
        "url": "https://example.com/file.zip",
        "sha256": "0" * 64,
        "output": "file.zip",
        "dedupe": True,
        "metadata": {},
    },
    "POST /api/v1/batches": {"name": "b", "jobs": [{"kind": "echo"}], "in_order": True, "callback": {"kind": "echo"}},
    "POST /api/v1/schedules": {
        "name": "nightly",
        "every": 60,
        "time_zone": "UTC",
        "starts_at": "2031-01-01T00:00:00Z",
        "kind": "echo",
        "payload": {},
        "metadata": {},
        "priority": "high",
        "misfire": "skip",
        "grace": 1,
        "catch_up_limit": 1,
        "overlap": "skip",
    },
    "POST /api/v1/schedules/preview": {"cron": "0 3 * * *", "time_zone": "UTC"},
    "POST /api/v1/operations": {"verb": "cancel", "q": "kind:echo", "dry_run": False, "expected": 0},
    "PUT /api/v1/pauses/queue/high": {"reason": "so", "until": "2031-01-01T00:00:00Z"},
    "PUT /api/v1/limits/key/customer": {"concurrency": 1, "rate": 1, "per": 1, "backlog": 1},
    "PUT /api/v1/downloads/limits": {"rate_limit": 100_000},
}
WITH_NOTHING_TO_SAY = "PUT /api/v1/pauses/queue/high"
DEEP = 10_000
BODIES: dict[str, bytes] = {
    "empty": b"",
    "not JSON": b"{",
    "NUL bytes": b"\x00\x00\x00",
    "bad UTF-8": b'{"type": "\xff\xfe"}',
    "UTF-16": '{"type": "echo"}'.encode("utf-16"),
    "a lone surrogate": b'{"type": "\\ud800", "kind": "\\ud800", "url": "\\ud800", "api_url": "\\ud800"}',
    "deep arrays": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"payload":' * DEEP + b"1" + b"}" * DEEP,
    "depth that is only begun": b'{"a":[' * DEEP,
    "a number of many digits": b'{"priority": ' + b"9" * 5000 + b"}",
    "an infinite number": b'{"priority": 1e999}',
    "no number": b'{"priority": NaN}',
    "a bare number": b"1",
    "a bare text": b'"text"',
    "null": b"null",
    "an empty object": b"{}",
}
SPOILS: list[Any] = [
    "a\x00b", "\ud800", "x" * 300_000, -1, 10**30, 10**400, 1e308, -0.5, True, [], {}, [[]], {"a": "\x00"},
    {"": {"": "\x00"}}, "1e999", "٣", "2024-13-45T99:99:99Z", "file:///etc/passwd", "http://127.0.0.1:1/", "http://[::1",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _open_on_loopback(settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True


def written() -> list[int]:
    """How many rows there are of all that a door writes."""
    return [model.objects.count() for model in (Job, Download, Answer, Batch, Schedule, Operation, Gate, Action)]


def refused(client: Client, door: str, body: bytes, media_type: str = "application/json") -> None:
    """Such a body is answered with a problem document, and nothing is written."""
    method, path = door.split()
    before = written()
    answer = client.generic(method, path, body, media_type, headers={"Idempotency-Key": "k"})
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.content[:300])
    assert answer["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert {"type", "title", "hint", "request_id"} <= set(problem)
    assert written() == before


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("door", [*DOORS, *ORDERS])
def test_a_body_that_is_nothing_is_refused(client: Client, door: str, body: str) -> None:
    if door != WITH_NOTHING_TO_SAY or body not in ("empty", "an empty object"):
        refused(client, door, BODIES[body])


@pytest.mark.parametrize("door", [*DOORS, *ORDERS])
def test_a_body_that_is_too_large_is_refused(client: Client, door: str) -> None:
    filler = b'"' + b"x" * 10_000_000 + b'"'
    refused(client, door, b'{"type": ' + filler + b', "kind": ' + filler + b', "url": ' + filler + b"}")


@pytest.mark.parametrize("door", [*DOORS, *ORDERS])
def test_a_field_of_nonsense_is_refused_or_harmless(client: Client, door: str) -> None:
    """Nothing is ever a fault of ours, and what is refused has written nothing."""
    method, path = door.split()
    fair = DOORS.get(door) or ORDERS[door]
    for name in fair:
        for spoil in SPOILS:
            before = written()
            answer = client.generic(method, path, json.dumps(fair | {name: spoil}), "application/json")
            assert answer.status_code < 500, (name, spoil)
            if answer.status_code >= 400:
                assert answer["Content-Type"] == "application/problem+json" or "results" in answer.json()
                assert written() == before, (name, spoil)
            elif door in DOORS:
                assert Job.objects.count() == before[0] + 1, "what is taken is one whole job"
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")  # the connection was left in order


@pytest.mark.parametrize("door", [*DOORS, *ORDERS])
def test_what_is_not_json_by_its_own_word_is_refused(client: Client, door: str) -> None:
    refused(client, door, b"a=1", "application/x-www-form-urlencoded")


@pytest.mark.parametrize(
    "path",
    [
        "/downloads/not-an-id/status",
        "/api/v1/tasks/%00",
        "/api/v1/tasks/%FF%FE",
        "/api/queue/dead-letter?limit=0",
        "/api/queue/dead-letter?limit=99999999999999999999",
        "/api/queue/dead-letter?limit=%00",
        "/api/v1/jobs?cursor=cD0lMDA%3D",
        "/api/v1/jobs?state=%FF",
        "/api/v1/jobs?kind=%00",
        "/api/v1/jobs?limit=-1&priority=%00",
        "/api/v1/jobs?q=%00",
        "/api/v1/downloads?cursor=%FF",
        "/api/v1/audit?target=%00",
        "/api/v1/dead-letters?q=%00",
        "/api/v1/scaling?queues=%00",
    ],
)
def test_a_path_or_query_of_nonsense_is_a_problem_document(client: Client, path: str) -> None:
    answer = client.get(path)
    assert 400 <= answer.status_code < 500
    assert answer["Content-Type"] == "application/problem+json"
