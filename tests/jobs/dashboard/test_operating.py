"""Dead letters, operations, queues and schedules, as their pages show and change them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from jobs import operations, pauses
from jobs.access.models import Action
from jobs.models import Gate, Node, Operation, State
from tests.jobs.states import job_in, live_node, state_of, submitted

pytestmark = pytest.mark.django_db


def shown(answer: Any) -> str:
    assert answer.status_code == 200, answer.content
    return str(answer.content.decode())


def test_dead_letters_are_in_groups_that_can_be_retried_as_a_whole(staff: Client) -> None:
    dead = [job_in(State.FAILED) for _ in range(3)]

    page = staff.get("/dashboard/dead-letters")
    (group,) = page.context["groups"]
    assert group.count == 3
    order = staff.get("/dashboard/operations/new", {"verb": "requeue", "q": group.query})
    assert "preview" not in order.context  # the page does not wait for the count
    counted = staff.get("/dashboard/operations/new" + order.context["here"])
    assert counted.context["preview"].reachable == 3
    form = {"verb": "requeue", "q": group.query, "expected": "3"}
    begun = staff.post("/dashboard/operations/new", form)
    while operations.carry_on():
        pass

    assert {state_of(job) for job in dead} == {"queued"}
    assert "3 of 3" in shown(staff.get(begun.headers["Location"]))
    assert Operation.objects.get().actor == "operator"


def test_a_worker_is_asked_to_drain_once(staff: Client) -> None:
    node = live_node("press-1")

    first = staff.post(f"/dashboard/workers/{node.id}/drain", follow=True)
    assert "takes nothing more" in shown(first)
    assert "draining" in shown(first)
    assert "Drain press-1" not in shown(first)
    assert Action.objects.get(verb="drain").targets == [str(node.id)]

    Node.objects.filter(id=node.id).update(draining=True)  # as it tells with its next heartbeat
    assert "on its way" in shown(staff.post(f"/dashboard/workers/{node.id}/drain", follow=True))


def test_an_order_for_another_number_of_jobs_than_was_shown_is_not_begun(staff: Client) -> None:
    submitted(2)

    answer = staff.post("/dashboard/operations/new", {"verb": "cancel", "q": "state:queued", "expected": "1"})

    assert "look again" in shown(answer)
    assert not Operation.objects.exists()


def test_a_search_that_is_not_understood_says_where(staff: Client) -> None:
    assert "at character 1" in shown(staff.get("/dashboard/jobs?q=colour:red"))
    assert "at character 1" in shown(staff.get("/dashboard/dead-letters?q=colour:red"))


def test_a_list_that_is_filtered_can_be_acted_on_as_a_whole(staff: Client) -> None:
    submitted(1)

    page = staff.get("/dashboard/jobs?state=queued&kind=echo&q=payload.a:1")

    assert page.context["filter"].as_search == 'state:queued kind:"echo" payload.a:1'


def test_a_paused_queue_is_announced_on_every_page_with_its_reason(staff: Client) -> None:
    form = {"scope": "queue", "target": "low", "reason": "the printer is away", "minutes": "90"}
    staff.post("/dashboard/queues/pause", form)

    for path in ("", "jobs", "queues", "downloads", "schedules", "workers"):
        page = shown(staff.get(f"/dashboard/{path}"))
        assert "the printer is away" in page
        assert "operator" in page
    (gate,) = pauses.paused()
    assert gate.paused_until is not None
    assert timedelta(minutes=89) < gate.paused_until - timezone.now() < timedelta(minutes=91)
    staff.post("/dashboard/queues/resume", {"scope": "queue", "target": "low"})
    assert pauses.paused() == []


@pytest.mark.parametrize(
    "form",
    [
        {"scope": "queue", "target": "nonsense"},
        {"scope": "weather", "target": "low"},
        {"scope": "queue", "target": "low", "minutes": "soon"},
        {"scope": "queue", "target": "low", "minutes": "-1"},
    ],
)
def test_a_pause_that_cannot_be_is_refused(staff: Client, form: dict[str, str]) -> None:
    answer = staff.post("/dashboard/queues/pause", form, follow=True)

    assert "notice warning" in shown(answer)
    assert not Gate.objects.exists()


def test_limits_are_set_shown_and_taken_away(staff: Client) -> None:
    where = {"scope": "kind", "target": "echo"}
    staff.post("/dashboard/queues/limit", {**where, "concurrency": "3", "rate": "10", "per": "60"})
    assert "3 at once, 10 in 60 s" in shown(staff.get("/dashboard/queues"))

    refused = staff.post("/dashboard/queues/limit", {**where, "concurrency": "many"}, follow=True)
    assert "whole numbers" in shown(refused)
    staff.post("/dashboard/queues/limit", where)

    assert not Gate.objects.exists()


def test_a_waiting_job_says_why_it_waits(staff: Client) -> None:
    (job,) = submitted(1, priority="low")
    pauses.pause("queue", "low", by="ada", reason="stocktaking")

    page = shown(staff.get(f"/dashboard/jobs/{job.id}"))

    assert "Why it is not running" in page
    assert "stocktaking" in page
