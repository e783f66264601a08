"""Every door against bodies that no client should send: they are refused and explained, and nothing is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings

from downloads.models import Download
from jobs.models import Answer, Job

pytestmark = pytest.mark.django_db

# Each door with a body that it takes, whose fields are then spoilt one by one.
DOORS: dict[str, dict[str, Any]] = {
    "/downloads": {"url": "https://example.com/file.zip", "output": "file.zip", "threads": 4},
    "/jobs": {
        "id": "job_123",
        "job_id": 456,
        "api_url": "https://api.example.com/endpoint",
        "max_retry_count": 3,
        "retry_count": 0,
        "created_at": "2024-01-01T00:00:00Z",
        "scheduled_at": "2024-01-01T00:00:00Z",
        "timeout": 90,
    },
    "/api/v1/tasks": {"type": "echo", "priority": 2, "payload": {"hello": "world"}, "max_retries": 3},
    "/task": {"type": "echo", "payload": "text"},
    "/api/queue/jobs": {"type": "product", "target_url": "https://example.com/1", "priority": 5, "metadata": {"a": 1}},
    "/api/queue/dead-letter/requeue": {"index": 0},
    "/api/v1/jobs": {"kind": "echo", "payload": {"a": 1}, "priority": "high", "metadata": {"a": 1}},
    "/api/v1/jobs/bulk": {"jobs": [{"kind": "echo"}]},
    "/api/v1/downloads": {"url": "https://example.com/file.zip"},
}
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


def refused(client: Client, path: str, body: bytes, **headers: str) -> Any:
    """The problem document that such a body is answered with, after which nothing is written."""
    answer = client.post(path, body, content_type="application/json", headers={"Idempotency-Key": "k", **headers})
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.content[:300])
    assert answer["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert {"type", "title", "hint", "request_id"} <= set(problem)
    assert [model.objects.count() for model in (Job, Download, Answer)] == [0, 0, 0]
    return problem


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("path", DOORS)
def test_a_body_that_is_nothing_is_refused(client: Client, path: str, body: str) -> None:
    refused(client, path, BODIES[body])


@pytest.mark.parametrize("path", DOORS)
def test_a_body_that_is_too_large_is_refused(client: Client, path: str) -> None:
    filler = b'"' + b"x" * 10_000_000 + b'"'
    refused(client, path, b'{"type": ' + filler + b', "kind": ' + filler + b', "url": ' + filler + b"}")


@pytest.mark.parametrize("path", DOORS)
def test_a_field_of_nonsense_is_refused_or_harmless(client: Client, path: str) -> None:
    """Whatever is taken must have become one whole job, and nothing is ever a fault of ours."""
    for name in DOORS[path]:
        for spoil in SPOILS:
            before = Job.objects.count(), Download.objects.count()
            body = json.dumps(DOORS[path] | {name: spoil})
            answer = client.post(path, body, content_type="application/json")
            assert answer.status_code < 500, (name, spoil)
            if answer.status_code >= 400:
                assert answer["Content-Type"] == "application/problem+json" or "results" in answer.json()
                assert before == (Job.objects.count(), Download.objects.count()), (name, spoil)
            else:
                assert Job.objects.count() == before[0] + 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")  # the connection was left in order


@pytest.mark.parametrize("path", DOORS)
def test_what_is_not_json_by_its_own_word_is_refused(client: Client, path: str) -> None:
    answer = client.post(path, b"a=1", content_type="application/x-www-form-urlencoded")
    assert (answer.status_code, answer["Content-Type"]) == (415, "application/problem+json")


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
    ],
)
def test_a_path_or_query_of_nonsense_is_a_problem_document(client: Client, path: str) -> None:
    answer = client.get(path)
    assert 400 <= answer.status_code < 500
    assert answer["Content-Type"] == "application/problem+json"
