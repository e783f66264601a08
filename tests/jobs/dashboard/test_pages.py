from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pydantic import BaseModel

from jobs import kinds, lifecycle
from jobs.models import Job, State
from jobs.sealed import MASK, Secret
from tests.jobs.states import as_stored, job_in, live_node, state_of, submitted

pytestmark = pytest.mark.django_db


class Locked(BaseModel):
    """A payload with a secret in it."""

    url: str
    token: Secret


@pytest.fixture(autouse=True)
def _safe_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    def safe(payload: Locked, ctx: Any) -> None:
        pass

    safe.__annotations__["payload"] = Locked
    monkeypatch.setattr(kinds, "_registry", dict(kinds._registry))
    kinds.handler("safe")(safe)


def text_of(client: Client, path: str) -> str:
    answer = client.get(f"/dashboard/{path}")
    assert answer.status_code == 200, answer.content
    return str(answer.content.decode())


def test_whoever_is_not_signed_in_is_sent_to_the_login_and_comes_back(client: Client, settings: Any) -> None:
    settings.OPEN_ON_LOOPBACK = False

    answer = client.get("/dashboard/jobs?state=failed")

    assert (answer.status_code, answer.headers["Location"]) == (302, "/login?next=/dashboard/jobs%3Fstate%3Dfailed")


def test_a_page_that_was_left_open_goes_to_the_login_as_a_whole(client: Client, settings: Any) -> None:
    settings.OPEN_ON_LOOPBACK = False

    answer = client.get("/dashboard/jobs", headers={"HX-Request": "true"})

    assert (answer.status_code, answer.headers["HX-Refresh"]) == (401, "true")


@pytest.mark.parametrize("path", ["", "jobs", "workers", "downloads", "live?topic=jobs", "jobs/new"])
def test_a_user_without_a_role_is_refused(client: Client, settings: Any, path: str) -> None:
    settings.OPEN_ON_LOOPBACK = False
    client.force_login(User.objects.create_user("visitor"))

    assert client.get(f"/dashboard/{path}").status_code == 403


def test_a_form_without_its_token_is_refused(settings: Any) -> None:
    settings.OPEN_ON_LOOPBACK = True
    job = job_in(State.QUEUED)

    answer = Client(enforce_csrf_checks=True).post(f"/dashboard/jobs/{job.id}/cancel")

    assert (answer.status_code, state_of(job)) == (403, "queued")


def test_pages_may_run_nothing_but_our_own_files(staff: Client) -> None:
    policy = staff.get("/dashboard/").headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


def test_secrets_are_masked_wherever_a_job_is_shown(staff: Client) -> None:
    job = lifecycle.submit("safe", {"url": "https://a.example", "token": "tell-nobody"})

    for path in ("jobs", f"jobs/{job.id}", f"jobs/new?like={job.id}"):
        shown = text_of(staff, path)
        assert MASK in shown
        assert "tell-nobody" not in shown
        assert job.payload["token"]["sealed"] not in shown


def test_a_job_that_is_run_again_as_it_was_keeps_its_secrets(staff: Client) -> None:
    job = lifecycle.submit("safe", {"url": "https://a.example", "token": "tell-nobody"})
    form = {"kind": "safe", "payload": json.dumps({"url": "https://a.example", "token": MASK}), "like": str(job.id)}

    answer = staff.post("/dashboard/jobs/new", form)

    again = Job.objects.exclude(id=job.id).get()
    assert answer.headers["Location"] == f"/dashboard/jobs/{again.id}"
    assert Locked.model_validate(again.payload).token.get_secret_value() == "tell-nobody"


def test_secrets_do_not_travel_with_a_changed_payload(staff: Client) -> None:
    job = lifecycle.submit("safe", {"url": "https://a.example", "token": "tell-nobody"})
    form = {"kind": "safe", "payload": json.dumps({"url": "https://evil.example", "token": MASK}), "like": str(job.id)}

    answer = staff.post("/dashboard/jobs/new", form)

    assert "type the secrets again" in answer.content.decode()
    assert Job.objects.count() == 1


def test_a_job_leads_to_those_that_wait_for_it_and_to_its_batch(staff: Client) -> None:
    body = {"jobs": [{"kind": "echo", "ref": "a"}, {"kind": "echo", "depends_on": ["a"]}]}
    batch = staff.post("/api/v1/batches", body, content_type="application/json").json()
    of_batch = Job.objects.filter(batch_id=batch["id"])
    child = of_batch.get(state=State.BLOCKED)
    submitted(3)

    text = text_of(staff, f"jobs/{of_batch.exclude(id=child.id).get().id}")

    assert f'href="/dashboard/jobs/{child.id}"' in text
    assert f'href="/dashboard/jobs?q=batch:{batch["id"]}"' in text
    found = staff.get(f"/dashboard/jobs?q=batch:{batch['id']}").context["page"].jobs
    assert {row.id for row in found} == set(of_batch.values_list("id", flat=True))


def test_pages_of_jobs_join_without_a_gap_in_both_directions(staff: Client) -> None:
    jobs = [str(job.id) for job in submitted(120)][::-1]

    first = staff.get("/dashboard/jobs").context["page"]
    second = staff.get(first.older).context["page"]
    third = staff.get(second.older).context["page"]
    back = staff.get(third.newer).context["page"]

    assert [str(row.id) for one in (first, second, third) for row in one.jobs] == jobs
    assert [row.id for row in back.jobs] == [row.id for row in second.jobs]
    assert (first.newer, third.older) == ("", "")


def test_a_refreshed_list_shows_the_same_rows_and_counts_the_new_ones(staff: Client) -> None:
    old = submitted(3)
    shown = staff.get("/dashboard/jobs?queue=medium").context["page"]
    submitted(2)
    submitted(1, priority="low")

    refreshed = staff.get(shown.same).context["page"]

    assert {row.id for row in refreshed.jobs} == {job.id for job in old}
    assert refreshed.fresh == 2


def test_tabs_say_how_many_jobs_there_are_of_the_chosen_kind_and_queue(staff: Client) -> None:
    submitted(3, priority="high")
    submitted(2, priority="low")
    lifecycle.submit("safe", {"url": "x", "token": "y"}, priority="high")

    tabs = {state: number for state, _, number in staff.get("/dashboard/jobs?kind=echo&queue=high").context["tabs"]}

    assert (tabs[""], tabs["queued"]) == (3, 3)


def test_an_id_in_the_search_finds_its_job(staff: Client) -> None:
    job, *_ = submitted(3)

    assert [row.id for row in staff.get(f"/dashboard/jobs?q={job.id}").context["page"].jobs] == [job.id]


def test_a_verb_that_the_state_does_not_allow_says_why(staff: Client) -> None:
    job = job_in(State.COMPLETED)

    answer = staff.post(f"/dashboard/jobs/{job.id}/retry", follow=True)

    assert "The job is completed; requeue works on jobs that are cancelled, failed." in answer.content.decode()


def test_after_a_verb_one_is_back_where_one_was_and_never_on_another_site(staff: Client) -> None:
    job = job_in(State.QUEUED)
    where = {"back": "/dashboard/jobs?state=queued"}

    assert staff.post(f"/dashboard/jobs/{job.id}/pause", where).headers["Location"] == where["back"]
    for elsewhere in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        answer = staff.post(f"/dashboard/jobs/{job.id}/resume", {"back": elsewhere})
        assert answer.headers["Location"] == f"/dashboard/jobs/{job.id}"


def test_a_job_that_does_not_exist_is_a_page_that_says_so(staff: Client) -> None:
    answer = staff.get(f"/dashboard/jobs/{uuid.uuid4()}")

    assert answer.status_code == 404
    assert "There is no such job" in answer.content.decode()


def test_a_queue_that_nobody_serves_needs_attention(staff: Client) -> None:
    submitted(2, priority="low")

    assert "No worker takes from low, where 2 wait." in text_of(staff, "")


def test_workers_show_what_they_run_now(staff: Client) -> None:
    node = live_node("press-1")
    job = job_in(State.RUNNING)
    Job.objects.filter(id=job.id).update(node_id=node.id)

    shown = text_of(staff, "workers")

    assert "press-1" in shown
    assert str(job.id) in shown


def test_what_is_in_a_payload_is_text_and_never_markup(staff: Client) -> None:
    job = lifecycle.submit("echo", {"name": "<script>alert(1)</script>"})

    for path in ("jobs", f"jobs/{job.id}", f"jobs/new?like={job.id}"):
        assert "<script>alert" not in text_of(staff, path)


def test_a_job_is_shown_with_the_command_that_submits_the_same(staff: Client) -> None:
    job = lifecycle.submit("echo", {"name": "it's"}, priority="high")

    page = staff.get(f"/dashboard/jobs/{job.id}").context

    assert "lifecycle.submit('echo', {'name': \"it's\"}, priority='high')" in page["python"]
    assert """-d '{"kind": "echo", "payload": {"name": "it'"'"'s"}, "priority": "high"}'""" in page["curl"]


def test_bulk_verbs_reach_those_whose_state_allows_it_and_count_the_others(staff: Client) -> None:
    queued, done = job_in(State.QUEUED), job_in(State.COMPLETED)

    answer = staff.post("/dashboard/jobs/act", {"action": "pause", "id": [str(queued.id), str(done.id)]}, follow=True)

    assert (as_stored(queued).state, as_stored(done).state) == ("paused", "completed")
    shown = answer.content.decode()
    assert "1 job paused." in shown
    assert "1 left as it is" in shown
