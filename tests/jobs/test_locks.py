"""Locks: who gets a key, what ends it, and that who comes late changes nothing."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from jobs import endings, leases, lifecycle, locks
from jobs.board import Board
from jobs.models import Job, Lock, Outcome, State
from jobs.worker import Slots
from tests.jobs.states import as_stored, claimed, live_node, outcomes, submitted

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.kinds import Context
    from tests.jobs.conftest import AddKind

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "https://shop.example/books"
TTL = 60.0


def _running(count: int = 1) -> list[Job]:
    """Jobs as the workers that run them hold them, each claimed by itself."""
    node = live_node()
    return [claimed(job, node=node)[0] for job in submitted(count)]


def _claim(job: Job, key: str = KEY) -> locks.Claim:
    return locks.Claim(job, key, TTL)


def _run_out(key: str = KEY) -> None:
    Lock.objects.filter(key=key).update(expires_at=Now() - timedelta(seconds=1))


def _taken(job: Job, key: str = KEY) -> bool:
    return Lock.objects.filter(key=key, job_id=job.id, lease=str(job.lease)).exists()


# --- who gets it ------------------------------------------------------------------------------------------------------


def test_a_key_is_one_attempts_at_a_time() -> None:
    first, second = _running(2)

    assert _claim(first).acquire()
    assert not _claim(second).acquire()
    assert _claim(first).free()
    assert _claim(second).acquire()


def test_keys_do_not_hinder_each_other_however_long_they_are() -> None:
    first, second = _running(2)

    assert _claim(first, KEY * 100).acquire()
    assert _claim(second, KEY * 100 + "?page=2").acquire()
    assert not _claim(second, KEY * 100).acquire()


def test_asking_again_for_what_one_holds_is_granted() -> None:
    """The answer to the first statement may have been lost with its connection."""
    (job,) = _running()

    assert _claim(job).acquire()
    assert _claim(job).acquire()


def test_of_many_that_ask_at_once_exactly_one_gets_it_each_time() -> None:
    jobs = _running(8)
    start = threading.Barrier(len(jobs))

    def ask(job: Job) -> bool:
        try:
            start.wait(30)
            return _claim(job).acquire()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(jobs)) as threads:
        for _ in range(15):
            got = list(threads.map(ask, jobs))
            assert got.count(True) == 1
            winner = jobs[got.index(True)]
            assert _taken(winner)
            # Its job ends and begins anew: the holder's lease is gone at the very moment when all ask again.
            lifecycle.record([endings.released(winner, "")])
            jobs[got.index(True)] = claimed(winner, node=live_node())[0]


def test_an_attempt_that_lost_its_job_gets_nothing() -> None:
    (job,) = _running()
    lifecycle.record([endings.lost(job)])

    assert not _claim(job).acquire()
    assert not Lock.objects.exists()


def test_a_lock_shorter_than_what_the_heartbeat_can_renew_is_refused() -> None:
    (job,) = _running()

    with pytest.raises(ValueError, match="at least three heartbeats"):
        locks.Claim(job, KEY, 2 * settings.HEARTBEAT_SECONDS)


# --- what ends it -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ending",
    [
        lambda job: endings.completed(job, None),
        lambda job: endings.failed(job, "asked to"),
        lambda job: endings.crashed(job, "killed"),
        endings.lost,
        endings.cancelled,
    ],
    ids=["completed", "failed", "crashed", "lost", "cancelled"],
)
def test_however_its_attempt_ends_the_key_is_free_at_once(ending: Any) -> None:
    first, second = _running(2)
    assert _claim(first).acquire()

    lifecycle.record([ending(first)])

    assert _claim(second).acquire()


def test_a_lock_that_nobody_renews_ends_with_its_time() -> None:
    first, second = _running(2)
    assert _claim(first).acquire()

    _run_out()

    assert _claim(second).acquire()


def test_the_heartbeat_of_its_node_renews_a_lock_and_no_others_does() -> None:
    mine, theirs = live_node("mine"), live_node("theirs")
    (job,) = claimed(*submitted(1), node=mine)
    assert _claim(job).acquire()
    nearly_over = Now() + timedelta(seconds=1)
    Lock.objects.update(expires_at=nearly_over)

    leases.renew(theirs)
    assert Lock.objects.filter(expires_at__lte=nearly_over).exists()
    leases.renew(mine)
    assert Lock.objects.filter(expires_at__gt=Now() + timedelta(seconds=TTL / 2)).exists()


def test_the_heartbeat_does_not_renew_the_lock_of_an_attempt_that_has_lost_its_job() -> None:
    node = live_node()
    (job,) = claimed(*submitted(1), node=node)
    assert _claim(job).acquire()
    lifecycle.record([endings.lost(job)])
    claimed(job, node=node)
    _run_out()

    leases.renew(node)

    assert Lock.objects.filter(expires_at__lt=Now()).exists()


def test_what_a_crash_left_behind_is_deleted_when_its_time_is_over() -> None:
    first, second = _running(2)
    assert _claim(first).acquire()
    assert _claim(second, "another").acquire()
    _run_out()

    assert locks.prune() == 1
    assert _taken(second, "another")


def test_a_late_holder_neither_frees_nor_extends_what_another_holds() -> None:
    late, now = _running(2)
    assert _claim(late).acquire()
    lifecycle.record([endings.lost(late)])
    assert _claim(now).acquire()

    assert not _claim(late).free()
    assert not _claim(late).acquire()
    assert _taken(now)


def test_the_next_attempt_of_the_same_job_is_another_holder() -> None:
    (before,) = _running()
    assert _claim(before).acquire()
    lifecycle.record([endings.lost(before)])
    (after,) = claimed(before, node=live_node())
    assert _claim(after).acquire()

    assert not _claim(before).free()
    assert _taken(after)


# --- what a handler gets ----------------------------------------------------------------------------------------------


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


def test_a_job_that_does_not_get_its_lock_comes_back_later_at_no_cost(slots: Slots, add_kind: AddKind) -> None:
    (holder,) = _running()
    assert _claim(holder).acquire()
    add_kind("locking", lambda payload, ctx: _locking(ctx))
    job = lifecycle.submit("locking")

    slots.run([job.id])

    job = as_stored(job)
    assert (job.state, job.failures, outcomes(job)) == (State.SCHEDULED, 0, [(1, Outcome.SNOOZED)])
    assert job.error == f"Another job holds the lock {KEY!r}."
    assert _taken(holder)


def test_the_longer_a_job_has_waited_the_less_often_it_asks(slots: Slots, add_kind: AddKind) -> None:
    (holder,) = _running()
    assert _claim(holder).acquire()
    add_kind("locking", lambda payload, ctx: _locking(ctx))
    job = lifecycle.submit("locking")
    Job.objects.filter(id=job.id).update(attempt=500)

    slots.run([job.id])

    assert Job.objects.filter(id=job.id, run_at__gt=Now() + timedelta(seconds=8)).exists()


def test_work_beside_another_holder_is_not_taken_for_done(slots: Slots, add_kind: AddKind) -> None:
    (other,) = _running()

    def robbed(payload: Any, ctx: Context) -> str:
        with ctx.lock(KEY):
            _run_out()
            assert _claim(other).acquire()
        return "done"

    add_kind("locking", robbed)
    job = lifecycle.submit("locking")

    slots.run([job.id])

    assert as_stored(job).state == State.RETRYING
    assert as_stored(job).error == f"LockLost: The lock {KEY!r} ran out while this attempt held it."
    assert _taken(other)


def test_a_shutdown_is_heard_while_a_handler_waits_for_its_lock(slots: Slots, add_kind: AddKind) -> None:
    (holder,) = _running()
    assert _claim(holder).acquire()

    def patient(payload: Any, ctx: Context) -> None:
        slots.board.drain(0)  # the worker shuts down while the handler waits
        with ctx.lock(KEY, retry_delay=60, tries=1000):
            raise AssertionError("it is another's")

    add_kind("locking", patient)
    job = lifecycle.submit("locking")

    slots.run([job.id])

    assert as_stored(job).state == State.QUEUED
    assert outcomes(job) == [(1, Outcome.RELEASED)]


def test_a_lock_names_a_holder_that_runs(add_kind: AddKind) -> None:
    (job,) = submitted(1)
    job.lease = uuid.uuid4()

    assert not _claim(job).acquire()
