from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import Settings

from jobs import lifecycle
from jobs.access import audit, tokens
from jobs.access.audit import acting
from jobs.access.models import Action, Token
from jobs.access.roles import Role
from jobs.models import Job, State
from tests.jobs.access.callers import bearer, caller_in, user_in
from tests.jobs.states import job_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_kept() -> None:
    tokens.forget()


@pytest.fixture
def operator() -> User:
    return user_in(Role.OPERATOR, name="olga")


def post(client: Client, path: str, body: Any = None, **headers: str) -> int:
    return client.post(path, body, content_type="application/json", headers=headers).status_code


def test_a_verb_is_recorded_with_who_what_to_which_and_from_where(client: Client, operator: User) -> None:
    job = lifecycle.submit("echo")
    headers = bearer(operator)
    assert post(client, f"/api/v1/jobs/{job.id}/cancel", **headers, **{"X-Request-ID": "my-request"}) == 200

    action = Action.objects.get()
    assert (action.actor, action.user, action.token) == ("olga (test)", operator, Token.objects.get())
    assert (action.verb, action.targets, action.count) == ("cancel", [str(job.id)], 1)
    assert (action.door, action.address) == (f"POST /api/v1/jobs/{job.id}/cancel", "127.0.0.1")
    assert action.request_id == "my-request"


def test_what_was_refused_or_did_not_happen_is_not_recorded_as_done(client: Client, operator: User) -> None:
    done = job_in(State.COMPLETED)
    other = lifecycle.submit("echo", owner=user_in(Role.SUBMITTER, name="ada"))
    bob = bearer(user_in(Role.SUBMITTER, name="bob"))

    assert post(client, f"/api/v1/jobs/{done.id}/cancel", **bearer(operator)) == 409
    assert post(client, f"/api/v1/jobs/{other.id}/cancel", **bob) == 404
    assert not Action.objects.exists()


def test_the_deed_and_its_record_stand_or_fall_together(rf: Any) -> None:
    job = lifecycle.submit("echo")
    with pytest.raises(TypeError), acting(rf.post("/"), caller_in(Role.ADMIN), "cancel", [job.id], odd=object()):
        lifecycle.cancel([job.id])

    assert Job.objects.get().state == State.QUEUED
    assert not Action.objects.exists()


@pytest.mark.parametrize(
    ("path", "state", "kind", "verb"),
    [
        ("/api/v1/jobs/{id}/retry", State.FAILED, "echo", "requeue"),
        ("/api/v1/jobs/{id}/pause", State.QUEUED, "echo", "pause"),
        ("/api/v1/jobs/{id}/resume", State.PAUSED, "echo", "resume"),
        ("/api/v1/downloads/{id}/cancel", State.QUEUED, "download", "cancel"),
        ("/api/v1/downloads/{id}/retry", State.FAILED, "download", "retry"),
        ("/api/v1/downloads/{id}/pause", State.QUEUED, "download", "pause"),
        ("/api/v1/downloads/{id}/resume", State.PAUSED, "download", "resume"),
    ],
)
def test_every_verb_of_the_api_is_recorded(
    client: Client, operator: User, path: str, state: State, kind: str, verb: str
) -> None:
    payload = {"url": "https://example.org/a"} if kind == "download" else {}
    job = job_in(state, kind, payload=payload)
    assert post(client, path.format(id=job.id), **bearer(operator)) == 200

    assert list(Action.objects.values_list("verb", "targets")) == [(verb, [str(job.id)])]


def test_what_is_changed_of_a_download_is_recorded_with_what_it_was_changed_to(client: Client, operator: User) -> None:
    job = lifecycle.submit("download", {"url": "https://example.org/a"})
    path, headers = f"/api/v1/downloads/{job.id}", bearer(operator)
    fresh = {"url": "https://example.org/b?signature=secret"}
    client.patch(path, {"rate_limit": 4096}, "application/json", headers=headers)
    client.post(f"{path}/refresh", fresh, "application/json", headers=headers)
    client.put("/api/v1/downloads/limits", {"rate_limit": 8192}, "application/json", headers=headers)
    lifecycle.cancel([job.id])
    client.delete(f"{path}?keep_file=1", headers=headers)

    found = list(Action.objects.order_by("id").values_list("verb", "detail"))
    assert found == [
        ("change", {"rate_limit": 4096}),
        ("refresh", {}),
        ("set limits", {"rate_limit": 8192}),
        ("delete", {"keep_file": True}),
    ]
    assert "signature" not in str(list(Action.objects.values()))


def test_the_older_doors_and_the_admin_are_recorded_too(client: Client) -> None:
    dead = job_in(State.FAILED, "scrape_product", payload={"target_url": "https://shop.example/1"})
    boss = User.objects.create_superuser("boss")
    assert post(client, "/api/queue/dead-letter/requeue", {"index": 0}, **bearer(boss)) == 200
    client.force_login(boss)
    chosen = {"action": "cancel_jobs", "_selected_action": [str(dead.id)]}
    assert client.post("/admin/jobs/job/", chosen).status_code == 302

    found = list(Action.objects.order_by("id").values_list("actor", "verb", "targets", "door", "detail"))
    assert found == [
        ("boss (test)", "requeue", [str(dead.id)], "POST /api/queue/dead-letter/requeue", {}),
        ("boss", "cancel", [str(dead.id)], "POST /admin/jobs/job/", {"reached": 1}),
    ]


# --- reading it ------------------------------------------------------------------------------------------------------


def test_the_record_is_read_in_pages_newest_first_and_by_what_one_looks_for(client: Client, operator: User) -> None:
    headers = bearer(operator)
    jobs = [lifecycle.submit("echo") for _ in range(3)]
    for job in jobs:
        post(client, f"/api/v1/jobs/{job.id}/cancel", **headers)
    page = client.get("/api/v1/audit?limit=2", headers=headers).json()
    rest = client.get(page["next"], headers=headers).json()
    assert [one["targets"] for one in page["results"] + rest["results"]] == [[str(job.id)] for job in reversed(jobs)]

    def count(query: str) -> int:
        return len(client.get(f"/api/v1/audit?{query}", headers=headers).json()["results"])

    assert count(f"target={jobs[1].id}") == 1
    assert count("actor=olga (test)") == 3
    assert (count("verb=cancel"), count("verb=pause"), count("actor=nobody")) == (3, 0, 0)
    assert client.get("/api/v1/audit?colour=red", headers=headers).status_code == 400
    assert client.get("/api/v1/audit?actor=%00", headers=headers).status_code == 400


def test_old_actions_are_deleted_and_the_others_kept(settings: Settings) -> None:
    audit.record(caller_in(Role.ADMIN), "cancel", ["x"], door="test")
    settings.AUDIT_DAYS = 1
    assert audit.prune() == 0
    settings.AUDIT_DAYS = -1
    assert audit.prune() == 1
    settings.AUDIT_DAYS = 0
    assert audit.prune() == 0


@pytest.mark.parametrize(("peer", "kept"), [("192.0.2.1", "192.0.2.1"), ("::1", "::1"), ("", None), ("unknown", None)])
def test_an_address_that_is_none_spoils_no_deed(client: Client, operator: User, peer: str, kept: str | None) -> None:
    job = lifecycle.submit("echo")
    headers = {**bearer(operator), "X-Forwarded-For": "198.51.100.9"}
    client.post(f"/api/v1/jobs/{job.id}/cancel", headers=headers, REMOTE_ADDR=peer)

    assert Action.objects.get().address == kept
