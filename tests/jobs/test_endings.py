from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from jobs import endings
from jobs.kinds import Backoff
from jobs.models import Job, Outcome, Reason, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.endings import Ending
    from tests.jobs.conftest import AddKind

seconds = st.floats(0.001, 1e6)


def _running(kind: str = "echo", **columns: float) -> Job:
    return Job(id=uuid.uuid4(), lease=uuid.uuid4(), kind=kind, state=State.RUNNING, **columns)


def _after(job: Job, ending: Ending) -> Job:
    """The job as its next attempt is claimed."""
    job.failures += ending.failures
    job.crashes += ending.crashes
    job.losses += ending.losses
    job.attempt += 1
    return job


@given(base=seconds, cap=seconds, retry=st.integers(1, 10_000))
def test_the_nth_pause_doubles_within_a_tenth_and_never_exceeds_the_cap(base: float, cap: float, retry: int) -> None:
    pause = Backoff(base, cap).delay(retry).total_seconds()

    exact = min(base * 2 ** min(retry - 1, 64), cap)
    rounding = 1e-6  # a timedelta counts microseconds
    assert exact * 0.9 - rounding <= pause <= min(exact * 1.1, cap) + rounding


def test_pauses_are_spread_so_that_jobs_that_failed_together_part() -> None:
    pauses = {Backoff(base=10, cap=1000).delay(3) for _ in range(200)}

    assert len(pauses) > 100
    assert max(pauses) > timedelta(seconds=40) > min(pauses)


@bounded(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(retries=st.integers(0, 50), ways=st.lists(st.booleans(), min_size=51, max_size=51))
def test_a_job_fails_once_more_than_its_retries_and_then_is_a_dead_letter(retries: int, ways: list[bool]) -> None:
    job = _running(max_retries=retries, timeout=1.0)
    for late in ways[:retries]:
        ending = endings.timed_out(job) if late else endings.failed(job, "no")
        assert ending.state == State.RETRYING
        assert ending.delay is not None
        assert ending.delay > timedelta(0)
        _after(job, ending)

    last = endings.timed_out(job) if ways[-1] else endings.failed(job, "no")

    assert (last.state, last.delay) == (State.FAILED, None)
    assert last.reason == (Reason.TIMED_OUT if ways[-1] else Reason.EXHAUSTED)


@pytest.mark.parametrize(
    "free", [lambda job: endings.snoozed(job, timedelta(0), ""), lambda job: endings.released(job, "drain")]
)
def test_what_costs_nothing_costs_nothing_however_often(free: Callable[[Job], Ending]) -> None:
    job = _running(max_retries=0)
    for _ in range(100):
        ending = free(job)
        assert ending.state in {State.SCHEDULED, State.QUEUED}
        _after(job, ending)

    assert (job.failures, job.crashes, job.losses) == (0, 0, 0)
    assert endings.completed(job, None).state == State.COMPLETED


def test_a_job_may_end_as_many_processes_as_the_crash_budget_says() -> None:
    job = _running(max_retries=0)
    for _ in range(settings.CRASH_BUDGET - 1):
        assert endings.crashed(job, "SIGSEGV").state == State.QUEUED
        _after(job, endings.crashed(job, "SIGSEGV"))

    last = endings.crashed(job, "SIGSEGV")

    assert (last.state, last.reason) == (State.FAILED, Reason.WORKER_LOST)
    assert last.error == f"SIGSEGV It has ended {settings.CRASH_BUDGET} processes, so it is not tried again."


def test_a_job_whose_nodes_are_lost_again_and_again_is_given_up_at_last() -> None:
    job = _running(max_retries=0)
    for _ in range(endings.LOSS_BUDGET - 1):
        assert endings.lost(job).state == State.QUEUED
        _after(job, endings.lost(job))

    assert (endings.lost(job).state, endings.lost(job).reason) == (State.FAILED, Reason.WORKER_LOST)


def test_crashes_and_losses_do_not_use_up_retries() -> None:
    job = _running(max_retries=1)
    _after(job, endings.crashed(job, "SIGKILL"))
    _after(job, endings.lost(job))

    assert endings.failed(job, "no").state == State.RETRYING


def test_giving_up_ends_it_whatever_retries_are_left() -> None:
    ending = endings.gave_up(_running(max_retries=1000), "no such account")

    assert (ending.state, ending.outcome, ending.reason) == (State.FAILED, Outcome.GAVE_UP, Reason.GAVE_UP)


def test_a_handler_may_say_when_the_next_attempt_makes_sense() -> None:
    ending = endings.failed(_running(max_retries=1), "429", delay=timedelta(minutes=7))

    assert (ending.state, ending.delay) == (State.RETRYING, timedelta(minutes=7))
    assert endings.failed(_running(max_retries=0), "429", delay=timedelta(minutes=7)).state == State.FAILED


def test_a_kind_has_a_backoff_of_its_own(add_kind: AddKind) -> None:
    add_kind("slow", backoff=Backoff(base=100, cap=100))

    delay = endings.failed(_running("slow", max_retries=3), "no").delay

    assert delay is not None
    assert timedelta(seconds=90) <= delay <= timedelta(seconds=100)


@given(st.text(), st.integers(1, 200))
def test_any_error_text_can_be_stored_and_keeps_its_head_and_tail(text: str, times: int) -> None:
    row = endings.failed(_running(max_retries=0), text * times).as_row()

    row["error"].encode()
    assert "\x00" not in row["error"]
    assert len(row["error"]) < 2_100
