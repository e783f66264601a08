"""What handlers say is kept with their job, in bounded number."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection

from jobs import joblog
from jobs.inline import run_inline
from jobs.models import LogLine, State

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django.fixtures import Settings

    from jobs.kinds import Context
    from jobs.models import Job
    from tests.jobs.conftest import AddKind

pytestmark = pytest.mark.django_db


def _lines(job: Job) -> list[tuple[str, str]]:
    return list(LogLine.objects.filter(job=job).order_by("id").values_list("level", "text"))


def test_what_a_handler_says_is_kept_with_its_job_and_stands_in_the_workers_log(
    add_kind: AddKind, caplog: pytest.LogCaptureFixture
) -> None:
    def talk(payload: Any, ctx: Context) -> None:
        ctx.log.debug("not worth keeping")
        ctx.log.info("row %d of %s", 3, "ten")
        ctx.log.warning("100 % sure")

    add_kind("talks", talk)
    with caplog.at_level(logging.INFO):
        job = run_inline("talks")

    assert _lines(job) == [("info", "row 3 of ten"), ("warning", "100 % sure")]
    assert f"job {job.id} (attempt 1): row 3 of ten" in caplog.text


def test_an_exception_in_the_log_is_no_reason_to_lose_the_lines_before_it(add_kind: AddKind) -> None:
    def talk(payload: Any, ctx: Context) -> None:
        ctx.log.info("before")
        raise RuntimeError("boom")

    add_kind("talks", talk)

    assert _lines(run_inline("talks")) == [("info", "before")]


def test_an_attempt_keeps_a_bounded_number_of_bounded_lines(add_kind: AddKind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblog, "MOST_LINES", 5)

    def talk(payload: Any, ctx: Context) -> None:
        for n in range(50):
            ctx.log.info("%d \x00 %s", n, "x" * 10_000)

    add_kind("talks", talk)
    lines = _lines(run_inline("talks"))

    assert len(lines) == 5
    assert lines[-1] == ("warning", "Of an attempt 5 lines are kept; the worker's log has the rest.")
    assert all(len(text) < 2_100 for _, text in lines)


def test_a_handler_that_says_much_asks_the_database_seldom(add_kind: AddKind) -> None:
    seen: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        seen.append(sql)
        return execute(sql, *rest)

    def talk(payload: Any, ctx: Context) -> None:
        with connection.execute_wrapper(note):
            for n in range(90):
                ctx.log.info("line %d", n)

    add_kind("talks", talk)

    assert len(_lines(run_inline("talks"))) == 90
    assert seen == []


def test_a_log_is_read_by_attempt_and_from_where_one_has_read_it_to(
    add_kind: AddKind, client: Client, settings: Settings
) -> None:
    settings.OPEN_ON_LOOPBACK = True

    def talk(payload: Any, ctx: Context) -> None:
        for n in range(3):
            ctx.log.info("line %d", n)

    add_kind("talks", talk)
    job = run_inline("talks")
    assert job.state == State.COMPLETED
    path = f"/api/v1/jobs/{job.id}/log"

    lines = client.get(path).json()["lines"]
    assert [line["text"] for line in lines] == ["line 0", "line 1", "line 2"]
    assert {line["attempt"] for line in lines} == {1}
    assert client.get(f"{path}?after={lines[1]['id']}").json()["lines"] == lines[2:]
    assert client.get(f"{path}?attempt=2").json()["lines"] == []
    assert client.get(f"{path}?after=x").status_code == 400


def test_a_deleted_job_takes_its_log_along(add_kind: AddKind) -> None:
    add_kind("talks", lambda payload, ctx: ctx.log.info("gone soon"))
    job = run_inline("talks")
    job.delete()

    assert not LogLine.objects.exists()
