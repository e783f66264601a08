"""What a job can get at is what its owner may see, whichever way it is asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from downloads.models import Download
from jobs import files, lifecycle
from jobs.access import tokens
from jobs.access.roles import Role
from jobs.inline import run_inline
from jobs.models import Job
from tests.jobs.access.callers import bearer, user_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_files(settings: Any, tmp_path: Any) -> None:
    settings.DOWNLOAD_ROOT = tmp_path
    tokens.forget()


@pytest.fixture
def ada() -> User:
    return user_in(Role.SUBMITTER, name="ada")


@pytest.fixture
def bob() -> User:
    return user_in(Role.SUBMITTER, name="bob")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/jobs", {"kind": "echo"}),
        ("/api/v1/jobs/bulk", {"jobs": [{"kind": "echo"}]}),
        ("/api/v1/downloads", {"url": "https://example.org/a"}),
        ("/api/v1/downloads", [{"url": "https://example.org/a"}]),
        ("/downloads", {"url": "https://example.org/a"}),
        ("/jobs", {"api_url": "https://example.org/a"}),
        ("/api/v1/tasks", {"type": "echo"}),
        ("/task", {"type": "echo"}),
        ("/api/queue/jobs", {"type": "product", "target_url": "https://shop.example/1"}),
    ],
)
def test_whatever_door_a_job_came_in_by_it_belongs_to_the_user_of_the_token(
    client: Client, ada: User, path: str, body: Any
) -> None:
    answer = client.post(path, body, "application/json", headers=bearer(ada))

    assert answer.status_code < 300, answer.content
    assert Job.objects.get().owner_id == ada.pk


def test_nobody_can_submit_for_somebody_else(client: Client, ada: User, bob: User) -> None:
    body = {"kind": "echo", "owner": bob.pk}

    assert client.post("/api/v1/jobs", body, "application/json", headers=bearer(ada)).status_code == 400
    assert not Job.objects.exists()


def exported(owner: User | None, data: str) -> list[str]:
    job = run_inline("export_data", {"data": data, "format": "jsonl"}, owner=owner)
    assert job.state == "completed", job.error
    with files.opened(job.id, f"{data}.jsonl") as file:
        return [json.loads(line)["id"] for line in file]


@pytest.mark.parametrize("data", ["jobs", "downloads"])
def test_an_export_has_the_rows_that_its_owner_may_see(ada: User, bob: User, data: str) -> None:
    kind, payload = ("echo", {}) if data == "jobs" else ("download", {"url": "https://example.org/a"})
    own, other, nobodys = (str(lifecycle.submit(kind, payload, owner=owner).id) for owner in (ada, bob, None))

    mine, all_of_them = exported(ada, data), exported(user_in(Role.OPERATOR), data)

    assert own in mine
    assert not {other, nobodys} & set(mine)
    assert {own, other, nobodys} <= set(all_of_them)
    assert {own, other, nobodys} <= set(exported(None, data))


def test_a_mail_can_carry_no_file_of_somebody_elses_job(ada: User, bob: User) -> None:
    own, other = (run_inline("export_data", owner=owner).id for owner in (ada, bob))
    mail = {"recipient": "ada@example.org", "subject": "Files", "body": "Here."}

    def sent(owner: User, job_id: Any) -> tuple[str, str]:
        attachment = {"job": str(job_id), "file": "jobs.csv"}
        job = run_inline("send_email", {**mail, "attachments": [attachment]}, owner=owner)
        return job.state, job.error

    assert sent(ada, own)[0] == "completed"
    assert sent(ada, other) == ("failed", f"Job {other} has no result file 'jobs.csv'.")


def test_dedupe_does_not_tell_of_the_downloads_of_others(client: Client, ada: User, bob: User) -> None:
    body = {"url": "https://example.org/a", "dedupe": True}
    first, again, others = (
        client.post("/api/v1/downloads", body, "application/json", headers=bearer(user)) for user in (ada, ada, bob)
    )

    assert [answer.status_code for answer in (first, again, others)] == [202, 200, 202]
    assert again.json()["id"] == first.json()["id"] != others.json()["id"]
    assert Download.objects.count() == 2


def test_jobs_that_a_job_submits_belong_to_its_owner(ada: User, add_kind: Any) -> None:
    add_kind("parent", lambda payload, ctx: str(lifecycle.submit("echo", owner=ctx.owner).id))
    child: Any = run_inline("parent", owner=ada).result

    assert Job.objects.get(id=child).owner_id == ada.pk


def test_a_unique_key_meets_the_jobs_of_its_owner_alone(client: Client, ada: User, bob: User) -> None:
    body = {"kind": "echo", "unique_key": "nightly"}
    first, again, others = (
        client.post("/api/v1/jobs", body, "application/json", headers=bearer(user)) for user in (ada, ada, bob)
    )

    assert [answer.status_code for answer in (first, again, others)] == [202, 200, 202]
    assert again.json()["id"] == first.json()["id"] != others.json()["id"]
    assert others.json()["unique_key"] == "nightly"


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/jobs/bulk", "/api/v1/batches"])
def test_nobody_can_wait_for_a_job_that_is_not_there_for_him(client: Client, ada: User, bob: User, path: str) -> None:
    parent = lifecycle.submit("echo", owner=ada)
    job = {"kind": "echo", "depends_on": [str(parent.id)]}
    body = job if path.endswith("/jobs") else {"jobs": [job]}

    refused = client.post(path, body, "application/json", headers=bearer(bob))

    assert (refused.status_code, Job.objects.count()) == (400, 1)
    assert client.post(path, body, "application/json", headers=bearer(ada)).status_code == 202
