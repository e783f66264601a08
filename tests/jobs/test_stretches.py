"""How far lists of jobs read: never more than a stretch at once, and in the end everything."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from jobs import endings, lifecycle, search
from jobs.models import Job, State
from jobs.stretches import Stretch, line_of, line_of_owner, read
from tests.jobs.states import claimed, job_in, submitted

pytestmark = pytest.mark.django_db

_SEARCHES = [
    "",
    "payload.customer:42",
    "payload.customer:none",
    "kind:echo payload.customer:42",
    "kind:download",
    "kind:echo,download payload.customer:42",
    "state:failed",
    "state:failed payload.customer:42",
    "state:failed kind:echo fingerprint:broken",
    "state:failed,queued",
    "-state:failed",
    "state:queued priority:low",
    "state:completed payload.customer:42",
    "created>now-1h payload.customer:42",
    "echo",
]


@pytest.fixture(autouse=True)
def _short(settings: Settings) -> None:
    settings.SEARCH_STRETCH = 4
    settings.OPEN_ON_LOOPBACK = True


@pytest.fixture
def _mixed() -> None:
    """Thirty jobs of two kinds in four states, one in three of customer 42."""
    for number in range(30):
        payload = {"customer": 42 if number % 3 == 0 else number}
        if number % 7 == 0:
            lifecycle.submit("download", {"url": "https://example.org/x"}, priority="low")
            continue
        states = [State.QUEUED, State.COMPLETED, State.FAILED, State.FAILED, State.RUNNING]
        job = job_in(states[number % 5], payload=payload)
        if number % 2:
            Job.objects.filter(id=job.id, state=State.FAILED).update(fingerprint="broken")


def _stretch(text: str, size: int, **place: uuid.UUID | None) -> Stretch:
    terms = search.terms(text)
    return read(line_of(terms), Job.objects.filter(search.condition(terms)), size, **place)


@pytest.mark.usefixtures("_mixed")
@pytest.mark.parametrize("text", _SEARCHES)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_pages_lead_over_all_that_fits_and_back_again(text: str, size: int) -> None:
    wanted = list(Job.objects.filter(search.parse(text)).order_by("-id").values_list("id", flat=True))
    page = _stretch(text, size)
    down = [*page.ids]
    while page.older:
        page = _stretch(text, size, before=page.older)
        down += page.ids
    assert down == wanted
    up = page.ids[::-1]
    while page.newer:
        page = _stretch(text, size, after=page.newer)
        up += page.ids[::-1]
    assert up == wanted[::-1]


def test_a_page_reads_one_stretch_and_says_how_far_it_came() -> None:
    old = submitted(1, payload={"customer": 42})
    newer = submitted(6)
    page = _stretch("payload.customer:42", 50)
    assert page.ids == []
    assert page.older == newer[2].id  # the fourth of the newest
    assert page.told.startswith("Searched the newest 4 jobs, back to 20")
    further = _stretch("payload.customer:42", 50, before=page.older)
    assert further.ids == [old[0].id]
    assert (further.older, further.told) == (None, "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("state:failed priority:low", "4 failed jobs"),
        ("kind:echo priority:low", "4 jobs of kind echo"),
        ("state:queued priority:high", "4 queued jobs"),
        ("state:failed,queued priority:high", "4 jobs"),
        ("-kind:download priority:high", "4 jobs"),
        ("state:failed created<now created>now-1h priority:low", "4 failed jobs of that time"),
    ],
)
def test_what_is_read_through_is_named(text: str, words: str) -> None:
    submitted(6)
    for _ in range(6):
        job_in(State.FAILED)
    assert _stretch(text, 50).told.startswith(f"Searched the newest {words}, back to")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("payload.customer:42", "jobs_job_pkey"),
        ("kind:download payload.customer:42", "job_by_kind"),
        ("state:failed error:Timeout", "job_at_rest"),
        ("state:failed kind:echo fingerprint:broken", "job_dead"),
        ("state:running", "job_running"),
        ("state:queued", "job_held"),
        ("batch:0192f0c1000070008000000000000000", "job_of_batch"),
        ("id:0192f0c1", "jobs_job_pkey"),
    ],
)
def test_every_line_is_an_index(text: str, index: str) -> None:
    lifecycle.record([endings.completed(job, None) for job in claimed(*submitted(300))])
    sorts = enumerate(claimed(*submitted(100)))
    lifecycle.record([endings.gave_up(job, "no", fingerprint=f"sort {n % 40}") for n, job in sorts])
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE jobs_job")
    assert index in line_of(search.terms(text)).jobs.order_by("-id").values("id")[:20].explain()


def test_jobs_that_stand_still_are_found_whatever_has_come_since() -> None:
    stuck, lost = submitted(1, priority="low")[0], job_in(State.FAILED)
    for _ in range(10):
        job_in(State.COMPLETED)
    assert _stretch("state:queued", 50).ids == [stuck.id]
    assert _stretch("state:failed", 50).ids == [lost.id]
    for text in (str(stuck.id), f"id:{stuck.id}", stuck.id.hex):
        assert _stretch(text, 50).ids == [stuck.id]


def test_a_search_by_time_begins_there() -> None:
    last_week = timezone.now() - timedelta(days=7)
    old = submitted(1)[0]
    early = uuid.UUID(int=(int(last_week.timestamp() * 1000) << 80) | (old.id.int & ((1 << 80) - 1)))
    Job.objects.filter(id=old.id).update(id=early, created_at=last_week)
    submitted(6)
    assert _stretch("created<now-1d payload.x:*", 50).told == ""
    assert _stretch("created<now-1d", 50).ids == [early]


def test_the_page_says_what_it_searched_and_leads_further_back(client: Client) -> None:
    job = submitted(1, payload={"customer": 42})[0]
    submitted(6)
    shown = client.get("/dashboard/jobs", {"q": "payload.customer:42"})
    text = shown.content.decode()
    assert "No jobs match so far" in text
    assert "Searched the newest 4 jobs, back to" in text
    assert "Search further back" in text
    further = client.get(shown.context["page"].older)
    assert [row.id for row in further.context["page"].jobs] == [job.id]
    assert "Searched" not in further.content.decode()
    refreshed = client.get(shown.context["page"].same)
    assert "Searched the newest 4 jobs, back to" in refreshed.content.decode()


def test_the_api_says_how_far_it_came_and_its_cursor_goes_on(client: Client) -> None:
    job = submitted(1, payload={"customer": 42})[0]
    newer = submitted(6)
    first = client.get("/api/v1/jobs", {"q": "payload.customer:42"}).json()
    assert first["results"] == []
    assert first["searched_back_to"][:16] == newer[2].created_at.isoformat()[:16]
    second = client.get(first["next"]).json()
    assert [one["id"] for one in second["results"]] == [str(job.id)]
    assert (second["next"], second["searched_back_to"]) == (None, None)
    back = client.get(second["previous"]).json()
    assert back["results"] == []
    assert client.get("/api/v1/jobs", {"cursor": "cD1ub25l"}).status_code == 404


def test_who_sees_only_their_own_jobs_reads_through_none_but_those() -> None:
    user = User.objects.create_user("ann")
    own = submitted(1, owner=user.id)[0]
    submitted(6)
    theirs = Job.objects.filter(owner_id=user.id)
    found = read(line_of_owner(theirs, []), theirs, 50)
    assert (found.ids, found.told) == ([own.id], "")


def test_the_command_says_how_far_it_came_and_goes_on_from_there() -> None:
    job = submitted(1, payload={"customer": 42})[0]
    newer = submitted(6)

    def said(*words: str) -> str:
        out, told = StringIO(), StringIO()
        call_command("jobs", "payload.customer:42", *words, stdout=out, stderr=told)
        return out.getvalue() + told.getvalue()

    first = said()
    assert "Searched the newest 4 jobs, back to" in first
    assert f"--before {newer[2].id} goes on from there." in first
    assert str(job.id) in said("--before", str(newer[2].id))
    assert "No older job fits." in said("--before", str(job.id))
    assert json.loads(said("--json", "--before", str(newer[2].id)))["id"] == str(job.id)
