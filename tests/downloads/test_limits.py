"""Bandwidth by limit and by priority, hours in which downloads run, sizes that are allowed."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from downloads import bandwidth, window
from downloads.bandwidth import Claim, shares
from jobs import lifecycle
from jobs.models import Priority, State
from tests.downloads.conftest import Platform
from tests.origins import FileOrigin
from tests.origins.files import content
from tests.waiting import eventually

DATA = content(4_000_000)
KIB = 1024.0


def claim(weight: float = 1, most: float | None = None) -> Claim:
    return Claim(uuid.uuid4(), weight, most)


def test_bandwidth_is_shared_by_weight() -> None:
    low, high = claim(1), claim(4)
    assert shares(1000, [low, high]) == {low.job_id: 200, high.job_id: 800}


def test_what_one_cannot_use_goes_to_the_others() -> None:
    slow, first, second = claim(8, most=100), claim(1), claim(2)
    assert shares(1000, [slow, first, second]) == {slow.job_id: 100, first.job_id: 300, second.job_id: 600}


claims = st.lists(
    st.builds(claim, st.sampled_from([1.0, 2.0, 4.0, 8.0]), st.none() | st.floats(1, 1e9)), min_size=1, max_size=30
)


@given(claims, st.floats(1024, 1e9))
def test_shares_never_exceed_the_limit_nor_what_one_can_use(all_claims: list[Claim], total: float) -> None:
    given_out = shares(total, all_claims)
    assert set(given_out) == {one.job_id for one in all_claims}
    assert sum(given_out.values()) <= total * 1.000001
    assert all(one.most is None or given_out[one.job_id] <= one.most for one in all_claims)
    assert all(value > 0 for value in given_out.values())


def patch(client: Client, job_id: Any, body: Any) -> Any:
    return client.patch(f"/api/v1/downloads/{job_id}", body, content_type="application/json")


def put_limit(client: Client, rate: Any) -> Any:
    return client.put("/api/v1/downloads/limits", {"rate_limit": rate}, content_type="application/json")


@pytest.mark.parametrize("by", ["its own limit", "the limit of all"])
def test_a_limit_is_lifted_while_the_download_runs(client: Client, platform: Platform, by: str) -> None:
    """At 20 KiB/s the file would take more than three minutes: it ends within the test only if the change arrives."""
    with FileOrigin(DATA) as origin:
        slow = 20 * 1024
        if by == "the limit of all":
            assert put_limit(client, slow).json() == {"rate_limit": slow}
        job_id = platform.submit(origin.url(), **({"rate_limit": slow} if by == "its own limit" else {}))
        with platform.running(job_id) as thread:
            eventually(lambda: platform.row(job_id).bytes_done > 0)
            assert thread.is_alive()
            if by == "the limit of all":
                assert put_limit(client, None).status_code == 200
            else:
                assert patch(client, job_id, {"rate_limit": None}).json()["rate_limit"] is None
            thread.join(60)
    assert platform.row(job_id).job.state == State.COMPLETED


def test_a_limit_that_is_set_while_the_download_runs_is_kept(client: Client, platform: Platform) -> None:
    with FileOrigin(content(30_000_000), rate=500_000) as origin:
        job_id = platform.submit(origin.url())
        with platform.running(job_id):
            eventually(lambda: platform.row(job_id).bytes_per_second > 700_000)
            patch(client, job_id, {"rate_limit": 100_000})
            eventually(lambda: 0 < platform.row(job_id).bytes_per_second < 150_000)
            client.post(f"/api/v1/downloads/{job_id}/pause")


def test_the_fleets_limit_is_divided_by_priority(platform: Platform, settings: Settings) -> None:
    settings.DOWNLOAD_RATE_LIMIT = 100_000
    low, critical, waiting = (platform.submit("https://example.org/x") for _ in range(3))
    lifecycle.set_priority([low], Priority.LOW)
    lifecycle.set_priority([critical], Priority.CRITICAL)
    lifecycle.claim([low, critical], node=platform.node.id, lease=uuid.uuid4(), kinds=["download"])
    found = bandwidth.allowances([low, critical])
    assert found[low] == pytest.approx(100_000 / 9)
    assert found[critical] == pytest.approx(800_000 / 9)
    assert waiting not in found


def test_priority_and_limits_are_changed_or_refused(client: Client, platform: Platform) -> None:
    job_id = platform.submit("https://example.org/x")
    body = patch(client, job_id, {"priority": "critical", "rate_limit": 5000}).json()
    assert (body["priority"], body["rate_limit"]) == ("critical", 5000)
    assert patch(client, job_id, {"priority": "low"}).json()["rate_limit"] == 5000
    assert patch(client, job_id, {"rate_limit": 1}).status_code == 400
    assert patch(client, job_id, {"priority": "urgent"}).status_code == 400
    assert patch(client, job_id, {"url": "https://example.org/y"}).status_code == 400
    assert patch(client, uuid.uuid4(), {}).status_code == 404
    lifecycle.cancel([job_id])
    assert patch(client, job_id, {"priority": "low"}).status_code == 409
    assert put_limit(client, "fast").status_code == 400
    assert client.get("/api/v1/downloads/limits").json() == {"rate_limit": None}


# --- hours -----------------------------------------------------------------------------------------------------------


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("hours", "now", "wait"),
    [
        ("", "2026-03-10T12:00", 0),
        ("23:00-06:00", "2026-03-10T23:00", 0),
        ("23:00-06:00", "2026-03-10T05:59:59", 0),
        ("23:00-06:00", "2026-03-10T06:00", 17 * 3600),
        ("23:00-06:00", "2026-03-10T22:59", 60),
        ("01:00-05:00", "2026-03-10T00:59", 60),
        ("01:00-05:00", "2026-03-10T05:00", 20 * 3600),
        ("04:00-05:00", "2026-03-28T20:00", 7 * 3600),  # the night that is an hour shorter
        ("04:00-05:00", "2026-10-24T20:00", 9 * 3600),  # and the one that is longer
    ],
)
def test_downloads_wait_for_their_hours_by_the_clock_on_the_wall(
    settings: Settings, hours: str, now: str, wait: float
) -> None:
    settings.DOWNLOAD_WINDOW = hours
    with timezone.override("Europe/Berlin"):
        assert window.opens_in(at(now)) == wait


def test_outside_its_hours_a_download_sleeps_and_says_so(platform: Platform, settings: Settings) -> None:
    hour = timezone.localtime().hour
    settings.DOWNLOAD_WINDOW = f"{(hour + 3) % 24:02}:00-{(hour + 4) % 24:02}:00"
    row = platform.fetch("http://127.0.0.1:9/never")
    assert (row.job.state, row.job.failures) == (State.SCHEDULED, 0)
    assert "Downloads run from" in row.job.error


def test_a_download_that_runs_when_its_hours_end_keeps_its_bytes(platform: Platform, settings: Settings) -> None:
    with FileOrigin(DATA, rate=200_000) as origin:
        job_id = platform.submit(origin.url())
        with platform.running(job_id):
            eventually(lambda: platform.row(job_id).bytes_done > 0)
            hour = timezone.localtime().hour
            settings.DOWNLOAD_WINDOW = f"{(hour + 3) % 24:02}:00-{(hour + 4) % 24:02}:00"
    row = platform.row(job_id)
    assert row.job.state == State.SCHEDULED
    assert row.checkpoint["pieces"]


# --- size ------------------------------------------------------------------------------------------------------------


def test_a_file_that_is_larger_than_allowed_is_refused_for_good(platform: Platform, settings: Settings) -> None:
    settings.MAX_DOWNLOAD_BYTES = len(DATA) - 1
    with FileOrigin(DATA) as origin:
        row = platform.fetch(origin.url())
    assert (row.job.state, row.job.reason) == (State.FAILED, "gave_up")
    settings.MAX_DOWNLOAD_BYTES = len(DATA)
    with FileOrigin(DATA) as origin:
        assert platform.fetch(origin.url()).job.state == State.COMPLETED
