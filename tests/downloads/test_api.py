"""The downloads API, in process: what it takes, what it refuses, what it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from downloads.models import Download
from jobs import lifecycle
from jobs.models import Job, Lane

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django.fixtures import Settings

pytestmark = pytest.mark.django_db

URL = "https://example.org/file.zip"


@pytest.fixture(autouse=True)
def _open_on_loopback(settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True


def post(client: Client, path: str, body: Any) -> Any:
    return client.post(path, body, content_type="application/json")


def test_a_submitted_download_has_its_row_and_travels_in_the_waiting_lane(client: Client) -> None:
    answer = post(client, "/api/v1/downloads", {"url": URL, "output": "a/b.zip", "threads": 8, "priority": "high"})
    assert answer.status_code == 202
    body = client.get(answer["Location"]).json()
    assert (body["url"], body["output"], body["threads"], body["state"]) == (URL, "a/b.zip", 8, "queued")
    assert (body["priority"], body["bytes_done"], body["total_bytes"]) == ("high", 0, None)
    assert Job.objects.get().lane == Lane.IO


def test_a_download_submitted_as_a_plain_job_has_its_row_too(client: Client) -> None:
    job = post(client, "/api/v1/jobs", {"kind": "download", "payload": {"url": URL}}).json()
    assert Download.objects.get().job_id == Job.objects.get(id=job["id"]).id


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"url": "file:///etc/passwd"}, "/url"),
        ({"url": "http://user:secret@example.org/"}, "/url"),
        ({"url": "not a url"}, "/url"),
        ({"url": None}, "/url"),
        ({"output": "../../etc/cron.d/x"}, "/output"),
        ({"output": "/etc/passwd"}, "/output"),
        ({"threads": 0}, "/threads"),
        ({"threads": 1000}, "/threads"),
        ({"sha256": "abc"}, "/sha256"),
        ({"if_exists": "delete"}, "/if_exists"),
        ({"priority": 7}, "/priority"),
        ({"colour": "red"}, "/colour"),
    ],
)
@pytest.mark.parametrize("door", ["/api/v1/downloads", "/downloads"])
def test_what_cannot_be_fetched_is_refused_with_the_field_named(
    client: Client, door: str, change: dict[str, Any], pointer: str
) -> None:
    answer = post(client, door, {"url": URL, "output": "x"} | change)
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert not Job.objects.exists()


def test_the_refusal_of_a_url_does_not_repeat_its_secret(client: Client) -> None:
    answer = post(client, "/downloads", {"url": "http://user:hunter2@example.org/"})
    assert b"hunter2" not in answer.content


def test_cancel_and_retry_work_on_downloads_as_on_jobs(client: Client) -> None:
    download = post(client, "/api/v1/downloads", {"url": URL}).json()
    path = f"/api/v1/downloads/{download['id']}"
    assert post(client, f"{path}/cancel", {}).json()["state"] == "cancelled"
    assert post(client, f"{path}/cancel", {}).status_code == 409
    assert post(client, f"{path}/retry", {}).json()["state"] == "queued"
    echo = lifecycle.submit("echo", {})
    assert post(client, f"/api/v1/downloads/{echo.id}/cancel", {}).status_code == 404


def test_lists_of_downloads_are_filtered_by_their_jobs(client: Client) -> None:
    first, second = (post(client, "/api/v1/downloads", {"url": URL}).json()["id"] for _ in range(2))
    lifecycle.cancel([Job.objects.get(id=first).id])
    listed = client.get("/api/v1/downloads?state=queued").json()["results"]
    assert [one["id"] for one in listed] == [second]
