"""Dead letters in groups, and requeues on another payload."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.utils import timezone
from pydantic import BaseModel
from pytest_django.fixtures import Settings

from jobs import deadletters, endings, kinds, lifecycle, search
from jobs.inline import run_inline
from jobs.models import Job, Reason, State
from jobs.sealed import MASK, Secret
from jobs.submission import InvalidSubmission
from tests.jobs.states import a_hundred_thousand_dead_letters, as_stored, claimed, job_in

if TYPE_CHECKING:
    from tests.jobs.conftest import AddKind

pytestmark = pytest.mark.django_db


class Login(BaseModel):
    user: str
    password: Secret


def _charge(payload: Any, ctx: Any) -> None:
    raise {0: ValueError, 1: KeyError}[payload.n % 2](f"order {payload.n}")


def test_dead_letters_are_grouped_by_kind_error_and_place(add_kind: AddKind) -> None:
    add_kind("charge", _charge, max_retries=0)
    jobs = [run_inline("charge", {"n": n}) for n in (0, 2, 4, 1)]
    add_kind("refund", _charge, max_retries=0)
    run_inline("refund", {"n": 0})

    first, *others = deadletters.groups()

    assert (first.kind, first.error_class, first.count) == ("charge", "ValueError", 3)
    assert first.place == f"{__name__}._charge"
    assert (first.example, first.error) == (jobs[2].id, "ValueError: order 4")
    assert first.first_seen == as_stored(jobs[0]).finished_at
    assert first.last_seen == as_stored(jobs[2]).finished_at
    assert {(one.kind, one.error_class, one.count) for one in others} == {
        ("charge", "KeyError", 1),
        ("refund", "ValueError", 1),
    }


def test_a_groups_query_finds_exactly_its_dead_letters(add_kind: AddKind) -> None:
    add_kind("charge", _charge, max_retries=0)
    for n in range(6):
        run_inline("charge", {"n": n})
    job_in(State.FAILED)
    for group in deadletters.groups():
        found = Job.objects.filter(search.parse(group.query))
        assert found.count() == group.count
        assert set(found.values_list("kind", "fingerprint")) == {(group.kind, group.fingerprint)}


def test_groups_can_be_narrowed_down_by_a_search(add_kind: AddKind) -> None:
    add_kind("charge", _charge, max_retries=0)
    for n in range(3):
        run_inline("charge", {"n": n})
    assert [(one.error_class, one.count) for one in deadletters.groups("payload.n:2")] == [("ValueError", 1)]
    assert deadletters.groups("state:completed") == []


def test_a_dead_letter_of_no_exception_is_known_by_its_reason() -> None:
    (job,) = claimed(lifecycle.submit("echo", max_retries=0, timeout=1.0))
    lifecycle.record([endings.timed_out(job)])
    (group,) = deadletters.groups()
    assert (group.fingerprint, group.error_class, group.place) == (Reason.TIMED_OUT, "timed_out", "")


def test_a_job_that_runs_again_leaves_its_group(add_kind: AddKind) -> None:
    add_kind("charge", _charge, max_retries=1)
    job = run_inline("charge")
    assert as_stored(job).fingerprint == ""  # it will be tried again: no dead letter yet
    (job,) = claimed(job_in(State.QUEUED, "charge", max_retries=0))
    lifecycle.record([endings.failed(job, "x", fingerprint="X at y")])
    assert [group.fingerprint for group in deadletters.groups()] == ["X at y"]
    lifecycle.requeue([job.id])
    assert deadletters.groups() == []


def test_a_discarded_dead_letter_is_cancelled_and_can_still_be_requeued() -> None:
    job = job_in(State.FAILED)
    assert lifecycle.discard([job.id]) == 1
    assert deadletters.groups() == []
    assert as_stored(job).state == State.CANCELLED
    assert lifecycle.requeue([job.id]) == 1


def test_groups_are_found_by_their_index_alone() -> None:
    rows = Job.objects.filter(search.parse(""), state=State.FAILED).values("kind", "fingerprint")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
    assert "Index Only Scan using job_dead" in rows.order_by("kind", "fingerprint").explain()


# --- another payload --------------------------------------------------------------------------------------------------


def test_a_dead_letter_runs_again_on_another_payload() -> None:
    job = job_in(State.FAILED, payload={"n": 1})
    Job.objects.filter(id=job.id).update(checkpoint={"at": 7})
    assert deadletters.requeue_edited(as_stored(job), {"n": 2})
    stored = as_stored(job)
    assert (stored.state, stored.payload, stored.checkpoint, stored.failures) == (State.QUEUED, {"n": 2}, None, 0)
    assert not deadletters.requeue_edited(stored, {"n": 3})
    assert as_stored(job).payload == {"n": 2}


def test_a_payload_that_does_not_fit_its_kind_changes_nothing(add_kind: AddKind) -> None:
    add_kind("counted")
    job = job_in(State.FAILED, "counted", payload={"n": 1})
    with pytest.raises(InvalidSubmission):
        deadletters.requeue_edited(as_stored(job), {"n": "many"})
    assert (as_stored(job).state, as_stored(job).payload) == (State.FAILED, {"n": 1})


def test_a_secret_that_comes_back_masked_stays_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_registry", dict(kinds._registry))

    def log_in(payload: Login, ctx: kinds.Context) -> None:
        raise kinds.GiveUp("no")

    kinds.handler("log_in")(log_in)
    job = run_inline("log_in", {"user": "ann", "password": "hunter2"})

    for sent, kept in ((MASK, "hunter2"), ("other", "other")):
        assert deadletters.requeue_edited(as_stored(job), {"user": "bob", "password": sent})
        stored = as_stored(job).payload
        payload = Login.model_validate(stored)
        assert kept not in str(stored)
        assert (payload.user, payload.password.get_secret_value()) == ("bob", kept)
        lifecycle.cancel([job.id])


# --- over HTTP --------------------------------------------------------------------------------------------------------


def test_the_api_shows_groups_with_the_search_that_finds_each(client: Client, settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True
    job = job_in(State.FAILED)
    (group,) = client.get("/api/v1/dead-letters").json()["groups"]
    assert (group["count"], group["example"], group["error_class"]) == (1, str(job.id), "gave_up")
    assert client.get("/api/v1/jobs", {"q": group["q"]}).json()["results"][0]["id"] == str(job.id)
    refused = client.get("/api/v1/dead-letters", {"q": "nothing:here"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/q")


def test_to_edit_a_payload_is_a_permission_of_its_own(client: Client) -> None:
    job = job_in(State.FAILED, payload={"n": 1})
    ann = User.objects.create_user("ann", password="x")
    ann.groups.add(Group.objects.get_or_create(name="operator")[0])
    client.force_login(ann)
    path, body = f"/api/v1/jobs/{job.id}/retry", {"payload": {"n": 2}}

    assert client.post(path, body, content_type="application/json").status_code == 403
    assert as_stored(job).state == State.FAILED

    ann.user_permissions.add(Permission.objects.get(codename="edit_payload"))
    answer = client.post(path, body, content_type="application/json")
    assert (answer.status_code, answer.json()["payload"], answer.json()["state"]) == (200, {"n": 2}, "queued")
    assert client.post(path, body, content_type="application/json").status_code == 409


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_hundred_thousand_dead_letters_of_forty_fingerprints_are_grouped_quickly(capsys: Any) -> None:
    """Prints the times; nothing is asserted of them here."""
    a_hundred_thousand_dead_letters()
    took = []
    for _ in range(40):
        began = timezone.now()
        found = deadletters.groups()
        took.append((timezone.now() - began) / timedelta(milliseconds=1))
        assert (len(found), sum(group.count for group in found)) == (40, 100_000)
    with capsys.disabled():
        sys.stdout.write(f"\ngroups of 100,000: p50 {sorted(took)[20]:.0f} ms, p95 {sorted(took)[38]:.0f} ms\n")
