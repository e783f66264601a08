from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from jobs.models import Job, State
from project import staff as pages
from tests.jobs.states import job_in, live_node, state_of, submitted

pytestmark = pytest.mark.django_db

OURS = [model for app in ("jobs", "downloads") for model in apps.get_app_config(app).get_models()]


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_every_model_has_its_place_but_what_is_rolled_up_every_second() -> None:
    assert {model.__name__ for model in OURS if not pages.site.is_registered(model)} <= {"Tally", "Ended", "Answer"}


def test_what_django_checks_of_pages_of_staff_holds() -> None:
    assert pages.site.check(None) == []


@pytest.mark.parametrize(
    "model", [model for model in OURS if pages.site.is_registered(model)], ids=lambda model: model.__name__
)
def test_lists_are_read_only_and_count_no_further_than_people_page(staff: Client, model: type[Job]) -> None:
    live_node()
    job_in(State.COMPLETED)
    path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"

    with CaptureQueriesContext(connection) as asked:
        answer = staff.get(path)

    assert answer.status_code == 200
    counts = [query["sql"] for query in asked if "COUNT(" in query["sql"] and str(model._meta.db_table) in query["sql"]]
    assert all("LIMIT" in sql for sql in counts)


def test_a_job_leads_to_its_page_and_the_page_leads_back(staff: Client) -> None:
    (job,) = submitted(1)

    assert f"/dashboard/jobs/{job.id}" in staff.get(f"/admin/jobs/job/{job.id}/change/").content.decode()
    assert f"/admin/jobs/job/{job.id}/change/" in staff.get(f"/dashboard/jobs/{job.id}").content.decode()


def test_jobs_are_searched_in_the_language_and_staff_are_told_how_far(staff: Client, settings: Settings) -> None:
    settings.SEARCH_STRETCH = 3
    (old,) = submitted(1, payload={"customer": 42})
    submitted(4)
    (new,) = submitted(1, payload={"customer": 42})

    found = staff.get("/admin/jobs/job/", {"q": "payload.customer:42"})
    wrong = staff.get("/admin/jobs/job/", {"q": "stat:failed"}).content.decode()

    assert [job.id for job in found.context["cl"].result_list] == [new.id]
    assert "Searched the newest 3 jobs, back to" in found.content.decode()
    assert "did you mean state?" in wrong
    assert [job.id for job in staff.get("/admin/jobs/job/", {"q": str(old.id)}).context["cl"].result_list] == [old.id]


def test_attempts_are_found_by_the_id_of_their_job(staff: Client) -> None:
    job = job_in(State.COMPLETED)
    job_in(State.COMPLETED)

    def found(text: str) -> list[object]:
        return [one.job_id for one in staff.get("/admin/jobs/attempt/", {"q": text}).context["cl"].result_list]

    assert found(str(job.id)) == [job.id]
    assert found("nothing of the sort") == []


def test_actions_go_through_the_lifecycle(staff: Client) -> None:
    waiting, done = job_in(State.QUEUED), job_in(State.COMPLETED)

    answer = staff.post(
        "/admin/jobs/job/", {"action": "cancel_jobs", "_selected_action": [waiting.id, done.id]}, follow=True
    )

    assert (state_of(waiting), state_of(done)) == ("cancelled", "completed")
    assert "1 left as they are" in answer.content.decode()
