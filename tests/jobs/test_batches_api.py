"""Batches and dependencies over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from jobs.inline import drain
from jobs.models import Batch, Job

pytestmark = pytest.mark.django_db

PATH = "/api/v1/batches"


@pytest.fixture(autouse=True)
def _open_on_loopback(settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True


def post(client: Client, path: str, body: Any = None) -> Any:
    return client.post(path, body, content_type="application/json")


def _echo(**more: Any) -> dict[str, Any]:
    return {"kind": "echo"} | more


def test_a_batch_is_accepted_and_counts_its_jobs_by_state(client: Client) -> None:
    jobs = [_echo(ref="a"), _echo(depends_on=["a"]), _echo(payload={"give_up": True}, max_retries=0)]
    answer = post(client, PATH, {"name": "three", "jobs": jobs, "callback": _echo(payload={"last": 1})})
    assert answer.status_code == 202
    batch = answer.json()
    assert (batch["name"], batch["size"], batch["jobs"]["blocked"], batch["jobs"]["queued"]) == ("three", 3, 1, 2)

    drain()

    found = client.get(answer["Location"]).json()
    assert (found["jobs"]["completed"], found["jobs"]["failed"]) == (2, 1)
    assert found["finished_at"] is not None
    assert client.get(f"/api/v1/jobs/{found['callback']}").json()["state"] == "completed"
    assert [one["id"] for one in client.get(PATH).json()["results"]] == [found["id"]]


def test_a_batch_with_one_bad_job_is_refused_whole_and_names_it(client: Client) -> None:
    answer = post(client, PATH, {"jobs": [_echo(), _echo(payload={"sleep": -1}), _echo(depends_on=["nobody"])]})

    assert answer.status_code == 400
    pointers = [fault["pointer"] for fault in answer.json()["errors"]]
    assert pointers == ["/jobs/1/payload/sleep", "/jobs/2/depends_on/0"]
    assert (Job.objects.count(), Batch.objects.count()) == (0, 0)


def test_a_cancelled_batch_says_how_many_it_reached(client: Client) -> None:
    path = post(client, PATH, {"jobs": [_echo()] * 3, "in_order": True})["Location"]

    assert post(client, f"{path}/cancel").json()["cancelled"] == 3
    assert post(client, f"{path}/cancel").json()["cancelled"] == 0


def test_a_job_shows_what_it_waits_for(client: Client) -> None:
    parent = post(client, "/api/v1/jobs", _echo()).json()["id"]
    answer = post(client, "/api/v1/jobs", _echo(depends_on=[parent], needs="end"))
    assert answer.json()["state"] == "blocked"

    child = client.get(answer["Location"]).json()

    assert child["depends_on"] == [{"job": parent, "needs": "end", "met": False}]
