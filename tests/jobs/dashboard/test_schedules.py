"""The schedules, as their pages show and change them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from jobs.models import Schedule

pytestmark = pytest.mark.django_db


def shown(answer: Any) -> str:
    assert answer.status_code == 200, answer.content
    return str(answer.content.decode())


SCHEDULE = {
    "name": "Morning mail",
    "timing": "cron",
    "cron": "0 8 * * *",
    "time_zone": "Europe/Berlin",
    "kind": "echo",
    "payload": json.dumps({"hello": "morning"}),
    "priority": "high",
    "misfire": "coalesce",
    "overlap": "allow",
}


def test_a_schedule_is_written_paused_run_and_deleted(staff: Client) -> None:
    written = staff.post("/dashboard/schedules/new", SCHEDULE, follow=True)
    assert "Morning mail is stored" in shown(written)
    schedule = Schedule.objects.get()
    assert (schedule.cron, schedule.time_zone, schedule.payload) == ("0 8 * * *", "Europe/Berlin", {"hello": "morning"})

    act = f"/dashboard/schedules/{schedule.id}"
    staff.post(f"{act}/pause")
    assert Schedule.objects.get().paused_by == "operator"
    assert "has submitted job" in shown(staff.post(f"{act}/run", follow=True))
    staff.post(f"{act}/resume")
    assert Schedule.objects.get().next_at is not None
    staff.post(f"{act}/delete")
    assert not Schedule.objects.exists()


def test_a_schedule_that_cannot_be_is_refused_with_what_was_typed(staff: Client) -> None:
    answer = shown(
        staff.post("/dashboard/schedules/new", {**SCHEDULE, "cron": "61 8 * * *", "payload": '{"sleep": "x"}'})
    )

    assert "cron:" in answer
    assert "payload/sleep:" in answer
    assert "Morning mail" in answer


def test_a_timing_is_read_back_in_words_while_it_is_typed(staff: Client) -> None:
    answer = staff.post("/dashboard/schedules/preview", {"timing": "every", "every": "3600"})
    wrong = staff.post("/dashboard/schedules/preview", {"timing": "cron", "cron": "never"})

    assert "Every hour" in shown(answer)
    assert len(answer.context["next"]) == 5
    assert "error" in shown(wrong)
