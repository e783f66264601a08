"""Schedules over HTTP and in the admin."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import Settings

from jobs.models import Fire, FireOutcome, Job, Schedule
from tests.jobs.schedules.making import scheduled

pytestmark = pytest.mark.django_db

PATH = "/api/v1/schedules"
NIGHTLY = {"name": "nightly", "kind": "echo", "cron": "30 2 * * *", "time_zone": "Europe/Berlin"}


@pytest.fixture(autouse=True)
def _open_on_loopback(settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True


def post(client: Client, path: str, body: Any = None) -> Any:
    return client.post(path, body, content_type="application/json")


def test_a_schedule_is_written_and_found_at_its_location(client: Client) -> None:
    answer = post(client, PATH, NIGHTLY | {"payload": {"n": 1}, "priority": "high", "misfire": "skip"})
    assert answer.status_code == 201
    found = client.get(answer["Location"]).json()

    assert found == answer.json()
    assert (found["name"], found["payload"], found["priority"], found["misfire"]) == (
        "nightly",
        {"n": 1},
        "high",
        "skip",
    )
    assert found["words"] == "At 02:30 every day, Europe/Berlin"
    times = [datetime.fromisoformat(time) for time in found["next"]]
    assert len(times) == 5
    assert times == sorted(times)


def test_schedules_are_listed_newest_first(client: Client) -> None:
    for name in ("one", "two"):
        post(client, PATH, NIGHTLY | {"name": name})

    assert [found["name"] for found in client.get(PATH).json()["results"]] == ["two", "one"]


def test_only_what_is_said_is_changed(client: Client) -> None:
    path = post(client, PATH, NIGHTLY | {"payload": {"n": 1}})["Location"]

    changed = client.patch(path, {"cron": "", "every": 90}, content_type="application/json").json()

    assert (changed["every"], changed["cron"], changed["payload"]) == (90, "", {"n": 1})
    assert changed["words"] == "Every 1 minute 30 seconds"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (NIGHTLY | {"cron": "not a line"}, "/cron"),
        (NIGHTLY | {"kind": "ecko"}, "/kind"),
        ({"name": "a", "kind": "echo", "every": 60, "time_zone": "Mars"}, "/time_zone"),
        ({"name": "a", "kind": "echo", "every": 60, "starts_at": "9999-12-31T23:59:59-14:00"}, "/starts_at"),
        ({"name": "a", "kind": "echo", "at": "0001-01-01T00:00:00+14:00"}, "/at"),
        (NIGHTLY | {"crom": "* * * * *"}, "/crom"),
        (NIGHTLY | {"priority": "urgent"}, "/priority"),
        (NIGHTLY | {"at": "2031-01-01T00:00:00Z"}, "/at"),
        (NIGHTLY | {"misfire": "forget"}, "/misfire"),
        ({key: value for key, value in NIGHTLY.items() if key != "name"}, "/name"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(client: Client, body: Any, pointer: str) -> None:
    answer = post(client, PATH, body)

    assert answer.status_code == 400
    assert pointer in [fault["pointer"] for fault in answer.json()["errors"]]
    assert not Schedule.objects.exists()


def test_a_refused_change_changes_nothing(client: Client) -> None:
    path = post(client, PATH, NIGHTLY)["Location"]
    before = client.get(path).json()

    assert client.patch(path, {"priority": "low", "cron": "x"}, content_type="application/json").status_code == 400

    assert client.get(path).json() == before


def test_a_preview_writes_nothing(client: Client) -> None:
    body = post(client, f"{PATH}/preview", {"cron": "0 9 * * MON-FRI", "time_zone": "Asia/Tokyo"}).json()

    assert len(body["next"]) == 5
    assert "Monday through Friday" in body["words"]
    assert not Schedule.objects.exists()


def test_pause_and_resume_say_so_where_there_is_nothing_to_do(client: Client) -> None:
    path = post(client, PATH, NIGHTLY)["Location"]

    paused = post(client, f"{path}/pause")
    assert (paused.status_code, paused.json()["next"]) == (200, [])
    assert post(client, f"{path}/pause").status_code == 409
    assert len(post(client, f"{path}/resume").json()["next"]) == 5
    assert post(client, f"{path}/resume").status_code == 409


def test_a_run_by_hand_answers_with_its_job_and_stands_in_the_history(client: Client) -> None:
    path = post(client, PATH, NIGHTLY | {"overlap": "skip"})["Location"]
    answer = post(client, f"{path}/run")
    assert answer.status_code == 202
    assert client.get(answer["Location"]).json()["kind"] == "echo"

    again = post(client, f"{path}/run")

    assert again.status_code == 409
    assert str(Job.objects.get().id) in again.json()["detail"]
    (fire,) = client.get(f"{path}/fires").json()["results"]
    assert (fire["outcome"], fire["job_id"]) == ("submitted", str(Job.objects.get().id))


def test_a_deleted_schedule_leaves_its_jobs_alone(client: Client) -> None:
    path = post(client, PATH, NIGHTLY)["Location"]
    post(client, f"{path}/run")

    assert client.delete(path).status_code == 204

    assert (Schedule.objects.count(), Fire.objects.count(), Job.objects.count()) == (0, 0, 1)


@pytest.mark.parametrize("verb", ["", "/fires", "/pause", "/resume", "/run"])
def test_an_unknown_schedule_is_not_found(client: Client, verb: str) -> None:
    path = f"{PATH}/{uuid.uuid4()}{verb}"
    answer = post(client, path) if verb not in ("", "/fires") else client.get(path)

    assert answer.status_code == 404


def test_secrets_are_masked(client: Client) -> None:
    payload = {"url": "https://example.com/", "secrets": ["whsec_" + "QUJD" * 8]}
    answer = post(client, PATH, NIGHTLY | {"kind": "call_webhook", "payload": payload})

    assert answer.json()["payload"]["secrets"] == ["***"]


# --- the admin -------------------------------------------------------------------------------------------------------

FORM = {
    "name": "by hand",
    "cron": "*/5 * * * *",
    "time_zone": "UTC",
    "kind": "echo",
    "payload": '{"n": 1}',
    "metadata": "{}",
    "priority": "1",
    "misfire": "coalesce",
    "grace": "60",
    "catch_up_limit": "10",
    "overlap": "allow",
}


def test_staff_write_and_change_schedules_in_the_admin(admin_client: Client) -> None:
    assert admin_client.post("/admin/jobs/schedule/add/", FORM).status_code == 302
    schedule = Schedule.objects.get()
    assert schedule.next_at is not None
    assert schedule.payload == {"n": 1}

    page = admin_client.get(f"/admin/jobs/schedule/{schedule.pk}/change/").content.decode()
    assert "Every fifth minute" in page

    changed = FORM | {"cron": "", "every": "120"}
    assert admin_client.post(f"/admin/jobs/schedule/{schedule.pk}/change/", changed).status_code == 302
    assert Schedule.objects.get().every == 120


def test_the_admins_form_says_what_is_wrong_where_it_is(admin_client: Client) -> None:
    answer = admin_client.post("/admin/jobs/schedule/add/", FORM | {"cron": "x", "payload": '{"sleep": -1}'})
    errors = answer.context["adminform"].form.errors

    assert set(errors) == {"cron", "payload"}
    assert not Schedule.objects.exists()


def test_staff_pause_resume_and_run_schedules(admin_client: Client, admin_user: User) -> None:
    schedule = scheduled(overlap="skip")

    def act(action: str) -> str:
        rows = {"action": action, "_selected_action": [str(schedule.pk)]}
        return str(admin_client.post("/admin/jobs/schedule/", rows, follow=True).content.decode())

    assert "1 paused." in act("pause_schedules")
    assert Schedule.objects.get().paused_by == admin_user.username
    assert "1 resumed." in act("resume_schedules")
    assert "submitted job" in act("run_schedules")
    assert "has not finished" in act("run_schedules")
    assert Fire.objects.get().outcome == FireOutcome.SUBMITTED
    assert admin_client.get("/admin/jobs/fire/").status_code == 200
