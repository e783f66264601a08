"""What a handler gets by ctx.lock: the key to itself, or another time; and word if it was not alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db.models.functions import Now
from pytest_django.fixtures import Settings

from jobs import lifecycle, locks
from jobs.board import Board
from jobs.crawling import crawls
from jobs.crawling.request import ScrapeRequest
from jobs.models import Job, Lock, Outcome, State
from jobs.worker import Slots
from tests.jobs.states import as_stored, claimed, live_node, outcomes, submitted

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.kinds import Context
    from tests.jobs.conftest import AddKind

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "https://shop.example/books"


def _claim(job: Job) -> locks.Claim:
    return locks.Claim(job, KEY, 60)


@pytest.fixture
def holder() -> Job:
    """Another job, that has the lock."""
    holder = _other()
    assert _claim(holder).acquire()
    return holder


def _other() -> Job:
    return claimed(*submitted(1), node=live_node())[0]


def _holds(job: Job) -> bool:
    return Lock.objects.filter(job_id=job.id, lease=str(job.lease)).exists()


@pytest.fixture
def slots(tmp_path: Path, redis_client: Any) -> Slots:
    return Slots(live_node("here").id, Board(tmp_path, slots=1), shares_connections=False)


def _locking(ctx: Context) -> str:
    with ctx.lock(KEY, retry_delay=0.001, tries=3):
        return "had it"


def test_a_handler_that_gets_its_lock_gives_it_back(slots: Slots, add_kind: AddKind) -> None:
    add_kind("locking", lambda payload, ctx: _locking(ctx))
    job = lifecycle.submit("locking")

    slots.run([job.id])

    assert as_stored(job).result == "had it"
    assert not Lock.objects.exists()


def test_a_handler_that_fails_gives_its_lock_back(slots: Slots, add_kind: AddKind) -> None:
    def failing(payload: Any, ctx: Context) -> None:
        with ctx.lock(KEY):
            raise RuntimeError("boom")

    add_kind("locking", failing)
    job = lifecycle.submit("locking")

    slots.run([job.id])

    assert as_stored(job).error == "RuntimeError: boom"
    assert not Lock.objects.exists()


def test_a_job_that_does_not_get_its_lock_comes_back_later_at_no_cost(
    slots: Slots, add_kind: AddKind, holder: Job
) -> None:
    add_kind("locking", lambda payload, ctx: _locking(ctx))
    job = lifecycle.submit("locking")

    slots.run([job.id])

    job = as_stored(job)
    assert (job.state, job.failures, outcomes(job)) == (State.SCHEDULED, 0, [(1, Outcome.SNOOZED)])
    assert job.error == f"Another job holds the lock {KEY!r}."
    assert _holds(holder)


def test_the_longer_a_job_has_waited_the_less_often_it_asks(slots: Slots, add_kind: AddKind, holder: Job) -> None:
    add_kind("locking", lambda payload, ctx: _locking(ctx))
    job = lifecycle.submit("locking")
    Job.objects.filter(id=job.id).update(attempt=500)

    slots.run([job.id])

    assert Job.objects.filter(id=job.id, run_at__gt=Now() + timedelta(seconds=8)).exists()


def test_work_beside_another_holder_is_not_taken_for_done(slots: Slots, add_kind: AddKind) -> None:
    other = _other()

    def robbed(payload: Any, ctx: Context) -> str:
        with ctx.lock(KEY):
            Lock.objects.update(expires_at=Now() - timedelta(seconds=1))
            assert _claim(other).acquire()
        return "done"

    add_kind("locking", robbed)
    job = lifecycle.submit("locking")

    slots.run([job.id])

    assert as_stored(job).state == State.RETRYING
    assert as_stored(job).error == f"LockLost: The lock {KEY!r} ran out while this attempt held it."
    assert _holds(other)


def test_a_shutdown_is_heard_while_a_handler_waits_for_its_lock(slots: Slots, add_kind: AddKind, holder: Job) -> None:

    def patient(payload: Any, ctx: Context) -> None:
        slots.board.drain(0)  # the worker shuts down while the handler waits
        with ctx.lock(KEY, retry_delay=60, tries=1000):
            raise AssertionError("it is another's")

    add_kind("locking", patient)
    job = lifecycle.submit("locking")

    slots.run([job.id])

    assert as_stored(job).state == State.QUEUED
    assert outcomes(job) == [(1, Outcome.RELEASED)]


def _scraping(ctx: Context) -> str:
    with crawls.admitted(ctx, ScrapeRequest(target_url="https://shop.example/")):
        return "had a place"


def test_no_more_scrape_jobs_run_at_once_than_the_fleet_may_run(
    slots: Slots, add_kind: AddKind, settings: Settings
) -> None:
    settings.SCRAPER_CONCURRENT_JOBS = 2
    holders = [_other(), _other()]
    claims = [locks.Claim(holder, f"scraper place {place}", 60) for place, holder in enumerate(holders)]
    assert [claim.acquire() for claim in claims] == [True, True]
    add_kind("scraping", lambda payload, ctx: _scraping(ctx))
    job = lifecycle.submit("scraping")

    slots.run([job.id])

    assert outcomes(job) == [(1, Outcome.SNOOZED)]
    claims[1].free()
    lifecycle.hasten([job.id])
    slots.run([job.id])
    assert as_stored(job).result == "had a place"
    assert {lock.job_id for lock in Lock.objects.all()} == {holders[0].id}
