"""Jobs run without broker and workers, as the authors of handlers test them; and kinds of apps from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from jobs import lifecycle
from jobs.inline import drain, run_inline
from jobs.kinds import Context
from jobs.models import Job, Node, Outcome, Reason, State
from jobs.submission import InvalidSubmission
from tests.jobs.conftest import AddKind
from tests.jobs.states import as_stored, outcomes, state_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]
PROJECT = Path(__file__).resolve().parents[2]


def test_a_job_is_submitted_and_run_at_once() -> None:
    job = run_inline("echo", {"n": 1}, priority="high")
    assert (job.state, job.result, outcomes(job)) == (State.COMPLETED, {"n": 1}, [(1, Outcome.COMPLETED)])
    assert not Node.objects.exists()


def test_a_bad_payload_is_refused_as_in_life() -> None:
    with pytest.raises(InvalidSubmission):
        run_inline("echo", {"sleep": "long"})


def test_a_job_that_fails_waits_for_its_retry_until_waits_are_skipped() -> None:
    job = run_inline("echo", {"fail_times": 1})
    assert job.state == State.RETRYING
    assert (drain(), state_of(job)) == (0, State.RETRYING)
    assert (drain(skip_waits=True), state_of(job)) == (1, State.COMPLETED)


def test_a_job_without_retries_left_is_a_dead_letter() -> None:
    job = run_inline("echo", {"fail_times": 9}, max_retries=2)
    assert drain(skip_waits=True) == 2
    assert as_stored(job).reason == Reason.EXHAUSTED


def test_a_scheduled_job_waits_for_its_time_until_waits_are_skipped() -> None:
    job = run_inline("echo", run_at=timezone.now() + timedelta(days=1))
    assert job.state == State.SCHEDULED
    assert (drain(), drain(skip_waits=True), state_of(job)) == (0, 1, State.COMPLETED)


def test_everything_is_run_in_the_order_of_the_queues_with_all_that_is_submitted_meanwhile(add_kind: AddKind) -> None:
    order: list[int] = []

    def note(payload: Any, ctx: Context) -> None:
        order.append(payload.n)
        if payload.n < 3:
            lifecycle.submit("noting", {"n": payload.n + 10}, priority="critical")

    add_kind("noting", note)
    for n, priority in enumerate(("low", "high", "critical")):
        lifecycle.submit("noting", {"n": n}, priority=priority)
    assert drain() == 6
    assert order == [2, 12, 1, 11, 0, 10]


def test_jobs_that_submit_each_other_for_ever_come_to_an_end(add_kind: AddKind) -> None:
    add_kind("endless", lambda payload, ctx: str(lifecycle.submit("endless").id))
    lifecycle.submit("endless")
    with pytest.raises(RuntimeError, match="after 5 attempts"):
        drain(limit=5)
    assert Job.objects.filter(state=State.COMPLETED).count() == 5


def test_every_kind_is_listed_with_what_it_takes(client: Client, settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True
    found = {kind["kind"]: kind for kind in client.get("/api/v1/kinds").json()["kinds"]}
    assert {"echo", "download", "http_request", "call_webhook", "send_email", "process_image", "export_data"} <= set(
        found
    )
    call = found["http_request"]
    assert (call["lane"], call["max_retries"], call["timeout"]) == ("io", 3, None)
    assert call["summary"].startswith("Call an HTTP API")
    assert call["payload"]["required"] == ["api_url"]
    assert call["payload"]["properties"]["timeout"]["description"]


_SHOP = '''
from pydantic import BaseModel, Field

from jobs.kinds import Context, Lane, handler


class Order(BaseModel):
    """One order."""

    number: int = Field(gt=0, description="As printed on it.")


@handler("ship_order", lane=Lane.IO, timeout=5)
def ship_order(payload: Order, ctx: Context) -> str:
    """Ship one order."""
    return f"shipped {payload.number}"
'''

_ASK = """
import json
import django
django.setup()
from django.test import Client
from jobs.inline import run_inline
client = Client()
(kind,) = [kind for kind in client.get("/api/v1/kinds").json()["kinds"] if kind["kind"] == "ship_order"]
refused = client.post("/api/v1/jobs", {"kind": "ship_order", "payload": {}}, content_type="application/json")
print(json.dumps([kind, refused.json()["errors"], run_inline("ship_order", {"number": 7}).result]))
"""


@pytest.mark.django_db(transaction=True)
def test_a_kind_of_an_app_from_outside_is_found_documented_checked_and_run(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").touch()
    (tmp_path / "shop/handlers.py").write_text(_SHOP)
    url = "postgres://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**connection.settings_dict)
    said = {"EXTRA_APPS": "shop", "PYTHONPATH": str(tmp_path), "POSTGRES_URL": url, "OPEN_ON_LOOPBACK": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _ASK],
        cwd=PROJECT,
        env=os.environ | said | {"ALLOWED_HOSTS": "testserver"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kind, errors, result = json.loads(done.stdout)
    assert (kind["summary"], kind["lane"], kind["timeout"]) == ("Ship one order.", "io", 5)
    assert kind["payload"]["properties"]["number"]["description"] == "As printed on it."
    assert errors == [{"pointer": "/payload/number", "detail": "Field required"}]
    assert result == "shipped 7"
