"""The search language: what it finds, what it refuses and where it points, and what it may cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from jobs import lifecycle, search
from jobs.models import Job, State
from tests.jobs.states import job_in


def found(text: str) -> set[Any]:
    return set(Job.objects.filter(search.parse(text)).values_list("metadata__name", flat=True))


@pytest.fixture
def _jobs(db: None) -> None:
    """Four jobs of three kinds; each is known by its name."""
    failed = job_in(State.FAILED, payload={"customer": 42, "order": {"id": "a-1"}}, metadata={"name": "failed"})
    Job.objects.filter(id=failed.id).update(error="TimeoutError: it took too long", failures=4)
    lifecycle.submit("echo", {"customer": "42"}, priority="high", metadata={"name": "high"})
    url = {"url": "https://example.org/x"}
    lifecycle.submit("download", url, priority="critical", metadata={"name": "download"})
    later = timezone.now() + timedelta(days=3)
    lifecycle.submit("http_request", {"api_url": "https://example.org"}, run_at=later, metadata={"name": "later"})


@pytest.mark.usefixtures("_jobs")
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", {"failed", "high", "download", "later"}),
        ("state:failed", {"failed"}),
        ("state:failed,scheduled", {"failed", "later"}),
        ("-state:failed", {"high", "download", "later"}),
        ("kind:echo", {"failed", "high"}),
        ("kind:echo state:queued", {"high"}),
        ("kind:http_*", {"later"}),
        ("priority:high", {"high"}),
        ("priority>=high", {"high", "download"}),
        ("priority<high", {"failed", "later"}),
        ("lane:io kind:download", {"download"}),
        ("reason:gave_up", {"failed"}),
        ("payload.customer:42", {"failed", "high"}),
        ("payload.order.id:a-1", {"failed"}),
        ("payload.order.id:*", {"failed"}),
        ("payload.order.nothing:*", set()),
        ("-payload.customer:*", {"download", "later"}),
        ('payload.url:"https://example.org/x"', {"download"}),
        ("metadata.name:later,high", {"later", "high"}),
        ("error:timeout", {"failed"}),
        ('error:"took too long"', {"failed"}),
        ("Timeout", {"failed"}),
        ('"too long"', {"failed"}),
        ("-timeout kind:echo", {"high"}),
        ("downl", {"download"}),
        ("failures>3", {"failed"}),
        ("failures:4 attempt:1", {"failed"}),
        ("created>2020-01-01", {"failed", "high", "download", "later"}),
        ("created<2020-01-01", set()),
        ("-created<2020-01-01", {"failed", "high", "download", "later"}),
        ("created>now-1h", {"failed", "high", "download", "later"}),
        ("due>now", {"later"}),
        ("finished>now-1h", {"failed"}),
        ("-finished>now-1h", {"high", "download", "later"}),
    ],
)
def test_a_search_finds(text: str, names: set[str]) -> None:
    assert found(text) == names


@pytest.mark.usefixtures("_jobs")
def test_an_id_is_found_whole_and_by_its_beginning() -> None:
    job = Job.objects.get(metadata__name="high")
    text = str(job.id)
    assert found(text) == found(f"id:{text}") == found(text.replace("-", "")) == {"high"}
    assert "high" in found(text[:13])
    assert found(f"-id:{text}") == {"failed", "download", "later"}


@pytest.mark.django_db
def test_a_day_goes_from_midnight_to_midnight() -> None:
    for name, moment in (("noon", datetime(2026, 3, 1, 12, tzinfo=UTC)), ("next", datetime(2026, 3, 2, tzinfo=UTC))):
        job = lifecycle.submit("echo", metadata={"name": name})
        Job.objects.filter(id=job.id).update(started_at=moment)
    assert found("started:2026-03-01") == {"noon"}
    assert found("started>2026-03-01") == {"next"}
    assert found("started>=2026-03-01 started<2026-03-02") == {"noon"}
    assert found("started<=2026-03-01") == {"noon"}
    assert found("started>2026-03-01T11:59Z started<2026-03-01T12:01Z") == {"noon"}
    assert found("started:2026-03-01T13:00+01:00") == {"noon"}


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ("kind:echo stat:failed", 10, "did you mean state?"),
        ("state:gone", 0, "'gone' is none of blocked, scheduled, queued"),
        ("kind>echo", 0, "takes a colon only"),
        ("kind:echo created>yesterday", 10, "is no time; write 2026-01-31"),
        ("created>0001-01-01", 0, "between 1970 and 9000"),
        ("created>2026-02-31", 0, "is no time"),
        ("created>now-999999w", 0, "is no time"),
        ("priority:urgent", 0, "'urgent' is none of low, medium, high, critical"),
        ("attempt:many", 0, "is no whole number"),
        ("attempt:99999999999", 0, "is no whole number"),
        ("payload:42", 0, "say which part of it: payload.customer:42"),
        ("kind.x:1", 0, "has nothing below it"),
        ("id:abc", 0, "is no id"),
        ("batch:0192f0c1", 0, "is no id of a batch"),
        ('error:"never closed', 0, "the quotes are not closed"),
        ("kind:", 0, "a value is missing"),
        ("state:failed,", 0, "a value is missing"),
        ("https://example.org", 0, "Put quotes around text that has a colon"),
        ("kind:ec\x00ho", 7, "no control characters"),
        ("x" * 1001, 0, "at most 1000 characters"),
        (" ".join(["a"] * 21), 40, "at most 20 terms"),
        ("id:" + ",".join(["00000000"] * 21), 0, "at most 20 values"),
    ],
)
def test_what_cannot_be_searched_for_is_refused_with_the_place_and_the_way_out(text: str, at: int, said: str) -> None:
    with pytest.raises(search.SearchError) as error:
        search.parse(text)
    assert error.value.at == at
    assert said in str(error.value)


@pytest.mark.django_db
@given(st.text(max_size=60) | st.from_regex(r"-?[a-z.]{1,10}[:<>]=?[\"\w,.*-]{0,20}( [a-z]{1,8}:\w*)?", fullmatch=True))
def test_any_text_is_a_search_that_the_database_takes_or_is_refused(text: str) -> None:
    try:
        condition = search.parse(text)
    except search.SearchError:
        return
    list(Job.objects.filter(condition)[:1])


@pytest.mark.django_db
def test_what_is_searched_for_is_a_value_and_never_sql() -> None:
    lifecycle.submit("echo")
    assert found("""error:"' OR true --" """) == set()
    assert found('payload.order:"x\' OR true"') == set()


@pytest.mark.django_db(transaction=True)
def test_a_search_that_takes_too_long_is_ended_with_advice(settings: Settings) -> None:
    settings.SEARCH_SECONDS = 0.05
    with pytest.raises(search.SearchError, match="Narrow it down"), search.bounded(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(5)")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.1)")  # the limit was the search's alone


@pytest.mark.django_db
def test_times_of_submission_are_found_by_the_index_of_ids() -> None:
    rows = Job.objects.filter(search.parse("created>2026-01-01"))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    assert "Index Cond: (id >= '019" in rows.explain()


@pytest.mark.usefixtures("_jobs")
def test_the_api_searches_and_points_at_what_it_does_not_understand(client: Client, settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True
    answer = client.get("/api/v1/jobs", {"q": "kind:echo -state:failed", "priority": "high"})
    assert [job["metadata"]["name"] for job in answer.json()["results"]] == ["high"]
    refused = client.get("/api/v1/jobs", {"q": "kind:echo stat:failed"})
    assert refused.status_code == 400
    (error,) = refused.json()["errors"]
    assert error["pointer"] == "/q"
    assert error["detail"].startswith("at character 11, 'stat:failed': there is no field 'stat'; did you mean state?")
    downloads = client.get("/api/v1/downloads", {"q": "state:failed"})
    assert (downloads.status_code, downloads.json()["results"]) == (200, [])
