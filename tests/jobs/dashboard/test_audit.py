from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from jobs.access.models import Action
from jobs.models import State
from tests.jobs.states import job_in

pytestmark = pytest.mark.django_db


def test_what_is_done_on_a_page_is_shown_in_the_audit(staff: Client) -> None:
    one, other = job_in(State.QUEUED), job_in(State.QUEUED)
    for job in (one, other):
        staff.post(f"/dashboard/jobs/{job.id}/pause")

    everything = staff.get("/dashboard/audit").context["rows"]
    of_one = staff.get("/dashboard/audit", {"target": str(one.id)}).context["rows"]

    assert [(row.actor, row.verb, row.targets) for row in everything] == [
        ("operator", "pause", [str(other.id)]),
        ("operator", "pause", [str(one.id)]),
    ]
    assert [row.targets for row in of_one] == [[str(one.id)]]


def test_the_audit_is_read_in_pages(staff: Client) -> None:
    for number in range(55):
        Action.objects.create(actor="ada", verb=f"verb {number}", count=0, door="here")

    first = staff.get("/dashboard/audit").context
    second = staff.get(f"/dashboard/audit{first['older']}").context

    assert [row.verb for row in (*first["rows"], *second["rows"])] == [f"verb {n}" for n in reversed(range(55))]


def test_who_may_only_look_does_not_read_the_audit(client: Client) -> None:
    viewer = User.objects.create_user("viewer")
    viewer.groups.add(Group.objects.get(name="viewer"))
    client.force_login(viewer)

    assert client.get("/dashboard/jobs").status_code == 200
    assert client.get("/dashboard/audit").status_code == 403
    assert client.get("/dashboard/schedules/new").status_code == 403
