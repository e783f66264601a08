"""Idempotency-Key: a submission that is sent again is answered again, and done once."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F
from django.test import Client
from pytest_django.fixtures import Settings

from jobs import retention
from jobs.models import Answer, Job
from project.local.datadir import Addresses

pytestmark = pytest.mark.django_db

ECHO = {"kind": "echo", "payload": {"n": 1}}
SUBMISSIONS: list[tuple[str, dict[str, Any]]] = [
    ("/api/v1/jobs", ECHO),
    ("/api/v1/jobs/bulk", {"jobs": [ECHO, ECHO]}),
    ("/api/v1/downloads", {"url": "https://example.org/a"}),
    ("/api/v1/downloads", {"downloads": [{"url": "https://example.org/a"}, {"url": "https://example.org/b"}]}),
    ("/downloads", {"url": "https://example.org/a"}),
    ("/jobs", {"api_url": "https://example.org/a"}),
    ("/api/v1/tasks", {"type": "echo"}),
    ("/task", {"type": "echo", "payload": "text"}),
    ("/api/queue/jobs", {"type": "product", "target_url": "https://example.org/a"}),
]


@pytest.fixture(autouse=True)
def _open_on_loopback(settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True


def post(client: Client, body: Any, key: str = "one", path: str = "/api/v1/jobs") -> Any:
    return client.post(path, body, content_type="application/json", headers={"Idempotency-Key": key})


@pytest.mark.parametrize(("path", "body"), SUBMISSIONS)
def test_a_submission_that_is_sent_again_is_answered_again_and_done_once(
    client: Client, path: str, body: dict[str, Any]
) -> None:
    first = post(client, body, path=path)
    count = Job.objects.count()
    again = post(client, dict(reversed(body.items())), path=path)
    assert first.status_code in (201, 202)
    assert "Idempotency-Replayed" not in first
    assert (again.status_code, again.json(), again.get("Location")) == (
        first.status_code,
        first.json(),
        first.get("Location"),
    )
    assert again["Idempotency-Replayed"] == "true"
    assert Job.objects.count() == count


def test_another_key_or_none_makes_another_job(client: Client) -> None:
    ids = {post(client, ECHO, "one").json()["id"], post(client, ECHO, "two").json()["id"]}
    ids |= {client.post("/api/v1/jobs", ECHO, content_type="application/json").json()["id"] for _ in range(2)}
    assert len(ids) == Job.objects.count() == 4


def test_a_key_that_comes_with_another_body_or_path_is_refused(client: Client) -> None:
    post(client, ECHO)
    for path, body in (("/api/v1/jobs", {"kind": "echo"}), ("/api/v1/jobs/bulk", {"jobs": [ECHO]})):
        answer = post(client, body, path=path)
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/key-reused")
    assert Job.objects.count() == 1


@pytest.mark.parametrize("body", [{"kind": "no_such_kind"}, {"jobs": [{"kind": "no_such_kind"}]}])
def test_what_is_refused_leaves_the_key_free_to_be_sent_again(client: Client, body: dict[str, Any]) -> None:
    path = "/api/v1/jobs/bulk" if "jobs" in body else "/api/v1/jobs"
    assert post(client, body, path=path).status_code == 400
    assert not Answer.objects.exists()
    assert post(client, ECHO).status_code == 202


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "é", "\x7f"])
def test_a_key_that_is_none_is_refused(client: Client, key: str) -> None:
    answer = post(client, ECHO, key)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/Idempotency-Key")
    assert not Job.objects.exists()


def test_a_key_is_its_owners_alone(client: Client, settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = False
    for name in ("ada", "ben"):
        client.force_login(User.objects.create_user(name, is_superuser=True))
        assert "Idempotency-Replayed" not in post(client, ECHO)
    assert Job.objects.count() == 2


def test_a_key_that_has_run_out_may_be_used_anew_and_is_forgotten(client: Client) -> None:
    post(client, ECHO)
    Answer.objects.update(expires_at=F("expires_at") - timedelta(hours=25))
    assert "Idempotency-Replayed" not in post(client, {"kind": "echo"})
    assert "Idempotency-Replayed" in post(client, {"kind": "echo"})
    assert retention.forget_answers() == 0
    Answer.objects.update(expires_at=F("expires_at") - timedelta(hours=25))
    assert retention.forget_answers() == 1
    assert not Answer.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_while_the_first_request_is_under_way_the_second_is_told_to_come_again(client: Client) -> None:
    with connection.copy().cursor() as other:
        other.execute("BEGIN")
        other.execute(
            "INSERT INTO jobs_answer (owner, key, fingerprint, status, headers, body, expires_at)"
            " VALUES ('', 'one', '', 0, '{}', '', now() + interval '1 hour')"
        )
        answer = post(client, ECHO)
        other.execute("ROLLBACK")
    assert (answer.status_code, answer["Retry-After"]) == (409, "1")
    assert answer.json()["type"] == "/problems/still-answering"
    assert not Job.objects.exists()
    assert post(client, ECHO).status_code == 202


def test_a_thousand_at_once_with_one_key_make_one_job(stack: Addresses) -> None:
    assert stack.api
    mark = uuid.uuid4().hex
    left, ids = 1000, set()
    while left:
        answers = asyncio.run(_at_once(stack.api, left, {"kind": "echo", "metadata": {"mark": mark}}, key=mark))
        ids |= {body["id"] for status, body in answers if status == 202}
        told_to_come_again = [status for status, _ in answers if status != 202]
        assert set(told_to_come_again) <= {409, 503}
        assert len(told_to_come_again) < left
        left = len(told_to_come_again)
    assert len(ids) == 1
    found = requests.get(f"{stack.api}/api/v1/jobs?kind=echo&limit=500", timeout=30).json()
    assert sum(job["metadata"].get("mark") == mark for job in found["results"]) == 1


async def _at_once(address: str, count: int, body: Any, *, key: str) -> list[tuple[int, Any]]:
    """So many posts, each over its own connection, all connected before the first is sent."""
    host, port = urlsplit(address).hostname, urlsplit(address).port
    content = json.dumps(body)
    words = (
        f"POST /api/v1/jobs HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\nIdempotency-Key: {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n{content}"
    )
    ready = asyncio.Barrier(count)

    async def one() -> tuple[int, Any]:
        reader, writer = await asyncio.open_connection(host, port)
        await ready.wait()
        writer.write(words.encode())
        head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), json.loads(rest)

    return await asyncio.gather(*(one() for _ in range(count)))
