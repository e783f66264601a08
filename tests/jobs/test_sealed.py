"""Secrets of payloads: never in clear in the database, never shown, always there for the handler."""

from __future__ import annotations

import dataclasses
import uuid
from pathlib import Path
from typing import Annotated

import pytest
from django.db import connection
from django.test import Client
from pydantic import BaseModel, ConfigDict, Field
from pytest_django import Settings

from jobs import kinds, lifecycle, sealed, worker
from jobs.board import Board
from jobs.inline import drain, run_inline
from jobs.kinds import Context, handler
from jobs.models import Attempt, Job, Reason, State
from jobs.sealed import Secret
from tests.jobs.states import as_stored, live_node

pytestmark = pytest.mark.django_db

SECRET = "hunter2-and-then-some"


class Login(BaseModel):
    """A payload with secrets at two depths."""

    model_config = ConfigDict(hide_input_in_errors=True)

    user: str
    password: Secret
    headers: dict[str, Secret] = {}


seen: list[str] = []


@pytest.fixture(autouse=True)
def _login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_registry", dict(kinds._registry))

    @handler("login")
    def login(payload: Login, ctx: Context) -> str:
        seen.append(payload.password.get_secret_value() + payload.headers["X-Key"].get_secret_value())
        return repr(payload)

    seen.clear()


def submit() -> Job:
    return lifecycle.submit("login", {"user": "ada", "password": SECRET, "headers": {"X-Key": SECRET}})


def run(job: Job, tmp_path: Path) -> Job:
    node = live_node(kinds=("login",))
    worker.Slots(node.id, Board(tmp_path, 1), shares_connections=False).run([job.id])
    return as_stored(job)


def test_no_column_holds_a_secret_in_clear_and_the_handler_gets_it(tmp_path: Path) -> None:
    done = run(submit(), tmp_path)
    assert (done.state, seen) == (State.COMPLETED, [SECRET + SECRET])
    with connection.cursor() as cursor:
        cursor.execute("SELECT job::text FROM jobs_job job UNION ALL SELECT attempt::text FROM jobs_attempt attempt")
        assert not any(SECRET in row for (row,) in cursor.fetchall())


def test_the_api_and_the_admin_show_stars(admin_client: Client) -> None:
    job = submit()
    shown = admin_client.get(f"/api/v1/jobs/{job.id}").json()["payload"]
    assert shown == {"user": "ada", "password": "***", "headers": {"X-Key": "***"}}
    page = admin_client.get(f"/admin/jobs/job/{job.id}/change/").content.decode()
    assert "ada" in page
    assert str(job.payload["password"]["sealed"]) not in page


def test_no_door_shows_a_secret_nor_what_is_kept_in_its_place(admin_client: Client) -> None:
    job = submit()
    sealed_away = job.payload["password"]["sealed"]
    export = run_inline("export_data", {"format": "jsonl"})
    paths = [
        f"/api/v1/jobs/{job.id}",
        "/api/v1/jobs",
        f"/api/v1/tasks/{job.id}",
        f"/admin/jobs/job/{job.id}/change/",
        f"/api/v1/jobs/{export.id}/files/jobs.jsonl",
    ]
    for path in paths:
        answer = admin_client.get(path)
        shown = answer.getvalue()
        assert answer.status_code == 200, path
        assert b"***" in shown, path
        assert SECRET.encode() not in shown, path
        assert sealed_away.encode() not in shown, path


def test_a_secret_is_starred_in_errors_tracebacks_results_and_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    @handler("leaks")
    def leaks(payload: Login, ctx: Context) -> object:
        secret = payload.password.get_secret_value()
        ctx.log.warning("signing in with %s", secret)
        ctx.progress(0.5, f"as {secret}")
        if payload.user == "ada":
            raise ValueError(f"{secret} was refused")
        return {"echoed": [f"with {secret}", {secret: 1}], "n": 1}

    failed = run_inline("leaks", {"user": "ada", "password": SECRET}, max_retries=0)
    done = run_inline("leaks", {"user": "bob", "password": SECRET})

    assert (failed.state, failed.error) == (State.FAILED, "ValueError: *** was refused")
    assert done.result == {"echoed": ["with ***", {"***": 1}], "n": 1}
    assert SECRET not in str(list(Job.objects.values())) + str(list(Attempt.objects.values()))
    assert SECRET not in caplog.text
    assert "signing in with ***" in caplog.text


def test_a_payload_that_no_longer_fits_is_reported_without_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    job = submit()

    class Stricter(BaseModel):
        user: int
        password: Annotated[Secret, Field(max_length=3)]

    monkeypatch.setitem(kinds._registry, "login", dataclasses.replace(kinds.get("login"), payload=Stricter))
    drain()
    found = as_stored(job)

    assert found.reason == Reason.INVALID
    assert "/password" in found.error
    assert SECRET not in found.error
    assert "ada" not in found.error


def test_after_a_new_key_the_earlier_one_still_opens_what_it_sealed(settings: Settings, tmp_path: Path) -> None:
    job = submit()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "quite another one"
    assert run(job, tmp_path).state == State.COMPLETED


def test_without_its_key_the_job_is_a_dead_letter_that_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    job = submit()
    settings.SECRET_KEY = "quite another one"
    done = run(job, tmp_path)
    assert (done.state, done.reason) == (State.FAILED, Reason.INVALID)
    assert "SECRET_KEY_FALLBACKS" in done.error


def test_a_kind_without_secrets_keeps_its_payload_as_it_came() -> None:
    assert not kinds.get("echo").keeps_secrets
    payload = {"sleep": 0, "any": {"thing": str(uuid.uuid4())}}
    assert lifecycle.submit("echo", payload).payload == payload
    assert sealed.masked(payload) == payload
