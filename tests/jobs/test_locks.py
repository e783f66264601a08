"""Locks: who gets a key, what ends it, and that who comes late changes nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from jobs import endings, leases, lifecycle, locks
from jobs.models import Job, Lock
from tests.jobs.states import claimed, live_node, submitted

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
