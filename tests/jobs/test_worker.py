"""A slot of a worker's pool, run in this process against the real database."""

from __future__ import annotations

import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from django.db import DatabaseError, connection

from jobs import endings, leases, lifecycle
from jobs.board import CANCEL, LEASE_LOST, Board
from jobs.kinds import Backoff, GiveUp, LeaseLost, Snooze, TryLater
from jobs.models import Attempt, Job, Outcome, Reason, State
from jobs.worker import Slots
from tests.jobs.states import as_stored, live_node, outcomes, state_of, submitted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobs.kinds import Context
    from tests.jobs.conftest import AddKind

Run = Any  # the fixture's type: a handler in, a job out

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_client")]


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path, slots=1)


@pytest.fixture
def slots(board: Board) -> Slots:
    return Slots(live_node("here").id, board, shares_connections=False)


@pytest.fixture
def run(add_kind: AddKind, slots: Slots) -> Callable[..., Job]:
    """Runs one job with that handler; gives the job as it is afterwards."""

    def run(function: Callable[[Any, Context], Any], *, timeout: float | None = None, **options: Any) -> Job:
        add_kind("tried", function, timeout=timeout, **options)
        job = lifecycle.submit("tried")
        slots.run([job.id])
        return as_stored(job)

    return run


def _raise(error: BaseException) -> Callable[[Any, Any], None]:
    def function(payload: Any, ctx: Any) -> None:
        raise error

    return function


# --- a job's ending ---------------------------------------------------------------------------------------------------


def test_what_a_handler_returns_is_the_result(run: Run) -> None:
    job = run(lambda payload, ctx: {"n": payload.n, "attempt": ctx.attempt, "key": ctx.idempotency_key})

    assert job.state == State.COMPLETED
    assert job.result == {"n": 0, "attempt": 1, "key": str(job.id)}
    attempt = Attempt.objects.get(job=job)
    assert (attempt.outcome, attempt.node) == (Outcome.COMPLETED, "here")
    assert attempt.seconds is not None


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (object(), "is not JSON serializable"),
        ({"a": {1}}, "is not JSON serializable"),
        (b"bytes", "is not JSON serializable"),
        (float("nan"), "not JSON compliant"),
        ("nul \x00", "must not contain NUL"),
        ("half a pair \ud800", "surrogates not allowed"),
        ("x" * 1_048_576, "at most 1048576 are taken"),
    ],
)
def test_a_result_that_cannot_be_stored_fails_the_attempt_and_says_why(run: Run, result: Any, words: str) -> None:
    job = run(lambda payload, ctx: result)

    assert job.state == State.RETRYING
    assert job.error.startswith("ValueError: the result ")
    assert words in job.error


@pytest.mark.parametrize(
    ("error", "state", "outcome", "said"),
    [
        (RuntimeError("boom"), State.RETRYING, Outcome.FAILED, "RuntimeError: boom"),
        (SystemExit(3), State.RETRYING, Outcome.FAILED, "SystemExit: 3"),
        (RecursionError("deep"), State.RETRYING, Outcome.FAILED, "RecursionError: deep"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), State.RETRYING, Outcome.FAILED, "UnicodeDecodeError: "),
        (GiveUp("no such account"), State.FAILED, Outcome.GAVE_UP, "no such account"),
        (Snooze(600, "not yet"), State.SCHEDULED, Outcome.SNOOZED, "not yet"),
        (TryLater(600, "429"), State.RETRYING, Outcome.FAILED, "429"),
    ],
)
def test_what_a_handler_raises_ends_its_attempt(
    run: Run, error: BaseException, state: State, outcome: Outcome, said: str
) -> None:
    job = run(_raise(error))

    assert (job.state, outcomes(job)) == (state, [(1, outcome)])
    assert job.error.startswith(said)


def test_a_failure_keeps_its_traceback(run: Run) -> None:
    job = run(_raise(RuntimeError("boom")))

    assert "raise error\nRuntimeError: boom" in Attempt.objects.get(job=job).traceback


def test_a_payload_that_no_longer_fits_its_kind_is_a_dead_letter(run: Run, slots: Slots) -> None:
    job = run(_raise(RuntimeError("boom")), backoff=Backoff(base=0, cap=0))
    Job.objects.update(payload={"n": "many"})
    lifecycle.promote()
    slots.run([job.id])

    job = as_stored(job)
    assert (job.state, job.reason) == (State.FAILED, Reason.INVALID)
    assert "no longer fits" in job.error


def test_a_job_of_a_kind_that_this_worker_does_not_know_is_left_alone(
    add_kind: AddKind, slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_kind("elsewhere")
    job = lifecycle.submit("elsewhere")
    monkeypatch.undo()

    slots.run([job.id])

    assert (state_of(job), as_stored(job).attempt) == (State.QUEUED, 0)


# --- what a handler may ask and write ---------------------------------------------------------------------------------


def test_a_handler_shows_progress_and_keeps_a_checkpoint_for_its_next_attempt(run: Run, slots: Slots) -> None:
    seen = []

    def function(payload: Any, ctx: Context) -> None:
        seen.append(ctx.checkpoint)
        ctx.progress(0.5, "half")
        ctx.progress(0.6, "shown at most once a second")
        ctx.save_checkpoint({"at": 7})
        assert Job.objects.get().progress == {"fraction": 0.5, "note": "half"}
        raise RuntimeError("boom")

    job = run(function, backoff=Backoff(base=0, cap=0))
    lifecycle.promote()
    slots.run([job.id])

    assert seen == [None, {"at": 7}]


def test_a_handler_that_is_asked_to_cancel_ends_cancelled(run: Run, board: Board) -> None:
    interrupted = []

    def function(payload: Any, ctx: Context) -> None:
        interrupted.append(ctx.interrupted)
        lifecycle.cancel([Job.objects.get().id])
        board.ask(board.running()[0], CANCEL)
        interrupted.append(ctx.interrupted)
        ctx.check()

    job = run(function)

    assert interrupted == [False, True]
    assert (job.state, outcomes(job)) == (State.CANCELLED, [(1, Outcome.CANCELLED)])


def test_a_handler_that_did_not_hear_its_cancel_ends_cancelled_all_the_same(run: Run) -> None:
    job = run(lambda payload, ctx: len(lifecycle.cancel([Job.objects.get().id])))

    assert (job.state, outcomes(job)) == (State.CANCELLED, [(1, Outcome.COMPLETED)])


def test_a_handler_out_of_time_is_told_so_and_retried(run: Run) -> None:
    def function(payload: Any, ctx: Context) -> None:
        while True:
            ctx.check()

    job = run(function, timeout=0.05)

    assert (job.state, outcomes(job)) == (State.RETRYING, [(1, Outcome.TIMED_OUT)])
    assert job.error == "The attempt took longer than its timeout of 0.05 s."


def test_a_running_handler_is_released_at_no_cost_when_the_drain_asks(run: Run, board: Board) -> None:
    def function(payload: Any, ctx: Context) -> None:
        ctx.save_checkpoint("so far")
        board.drain(time.monotonic())
        ctx.check()

    job = run(function, max_retries=0)

    assert (job.state, job.failures, outcomes(job)) == (State.QUEUED, 0, [(1, Outcome.RELEASED)])
    assert job.checkpoint == "so far"


def test_a_draining_worker_begins_nothing(slots: Slots, board: Board) -> None:
    (job,) = submitted(1)
    board.drain(time.monotonic() + 3600)

    slots.run([job.id])

    assert (state_of(job), as_stored(job).attempt) == (State.QUEUED, 0)


# --- leases -----------------------------------------------------------------------------------------------------------


def _rescue(job: Job) -> None:
    """What the dispatcher does for a node that is not heard of."""
    lifecycle.record([endings.lost(as_stored(job))])


def test_a_late_result_is_refused_and_said_so(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    def function(payload: Any, ctx: Context) -> str:
        _rescue(Job.objects.get())
        return "too late"

    job = run(function)

    assert (job.state, job.result, outcomes(job)) == (State.QUEUED, None, [(1, Outcome.LOST)])
    assert f"the result of {job} (attempt 1) was refused" in caplog.text


@pytest.mark.parametrize(
    "write",
    [
        lambda ctx: ctx.progress(0.9),
        lambda ctx: ctx.save_checkpoint("stale"),
        lambda ctx: ctx.held().__enter__(),
        lambda ctx: ctx.check(),
    ],
)
def test_a_handler_that_lost_its_lease_writes_nothing(run: Run, board: Board, write: Callable[[Context], None]) -> None:
    def function(payload: Any, ctx: Context) -> None:
        _rescue(Job.objects.get())
        board.ask(board.running()[0], LEASE_LOST)
        with pytest.raises(LeaseLost):
            write(ctx)
        raise LeaseLost

    job = run(function)

    assert (job.state, job.progress, job.checkpoint) == (State.QUEUED, None, None)
    assert outcomes(job) == [(1, Outcome.LOST)]


def test_rows_written_under_the_lease_are_kept_and_those_of_a_late_attempt_are_not(run: Run) -> None:
    def function(payload: Any, ctx: Context) -> None:
        with ctx.held():
            Job.objects.update(metadata={"by": "the holder"})
        _rescue(Job.objects.get())
        with ctx.held():
            Job.objects.update(metadata={"by": "a late attempt"})

    job = run(function)

    assert job.metadata == {"by": "the holder"}
    assert outcomes(job) == [(1, Outcome.LOST)]


def test_nobody_can_take_the_lease_while_it_is_held(run: Run) -> None:
    def function(payload: Any, ctx: Context) -> None:
        job = Job.objects.get()
        with ctx.held():
            with leases.held(job) as still:
                assert still
            assert connection.in_atomic_block

    assert run(function).state == State.COMPLETED


# --- chunks -----------------------------------------------------------------------------------------------------------


def test_a_chunk_of_short_jobs_is_done_in_one_go(slots: Slots) -> None:
    jobs = submitted(50)

    slots.run([job.id for job in jobs])

    assert set(Job.objects.values_list("state", "attempt")) == {(State.COMPLETED, 1)}
    assert Attempt.objects.count() == 50


def test_one_bad_job_of_a_chunk_does_not_spoil_the_others(add_kind: AddKind, slots: Slots) -> None:
    def function(payload: Any, ctx: Context) -> Any:
        if payload.n == 3:
            sys.exit("boom")
        return payload.n

    add_kind("tried", function, max_retries=0)
    jobs = [lifecycle.submit("tried", {"n": n}) for n in range(6)]

    slots.run([job.id for job in jobs])

    assert [state_of(job) for job in jobs] == [State.FAILED if n == 3 else State.COMPLETED for n in range(6)]


def test_jobs_that_are_gone_or_taken_or_cancelled_are_passed_over(slots: Slots) -> None:
    taken, cancelled, done, waiting = submitted(4)
    lifecycle.claim([taken.id], node=live_node().id, lease=uuid.uuid4(), kinds=["echo"])
    lifecycle.cancel([cancelled.id])
    slots.run([done.id])

    slots.run([uuid.uuid4(), taken.id, cancelled.id, done.id, waiting.id])

    assert [state_of(job) for job in (taken, cancelled, done, waiting)] == [
        State.RUNNING,
        State.CANCELLED,
        State.COMPLETED,
        State.COMPLETED,
    ]
    assert as_stored(done).attempt == 1


def test_a_chunk_that_takes_longer_than_thought_gives_back_what_it_has_not_begun(
    add_kind: AddKind, slots: Slots
) -> None:
    add_kind("tried", lambda payload, ctx: time.sleep(payload.n))
    slow = lifecycle.submit("tried", {"n": 1})
    others = [lifecycle.submit("tried") for _ in range(5)]

    slots.run([slow.id, *[job.id for job in others]])

    assert state_of(slow) == State.COMPLETED
    assert {(state_of(job), as_stored(job).attempt) for job in others} == {(State.QUEUED, 0)}


def test_a_drain_in_the_middle_of_a_chunk_gives_the_rest_back(add_kind: AddKind, slots: Slots, board: Board) -> None:
    add_kind("tried", lambda payload, ctx: board.drain(time.monotonic() + 3600))
    first, second = lifecycle.submit("tried"), lifecycle.submit("tried")

    slots.run([first.id, second.id])

    assert (state_of(first), state_of(second)) == (State.COMPLETED, State.QUEUED)


# --- a database that goes away ----------------------------------------------------------------------------------------


def _lose_the_connection() -> None:
    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def test_a_result_in_hand_survives_the_loss_of_the_connection(run: Run) -> None:
    def function(payload: Any, ctx: Context) -> str:
        _lose_the_connection()
        return "kept"

    job = run(function)

    assert (job.state, job.result, outcomes(job)) == (State.COMPLETED, "kept", [(1, Outcome.COMPLETED)])


def test_a_message_taken_with_a_dead_connection_is_worked_on_all_the_same(add_kind: AddKind, slots: Slots) -> None:
    add_kind("tried", lambda payload, ctx: None)
    job = lifecycle.submit("tried")
    _lose_the_connection()

    slots.run([job.id])

    assert state_of(job) == State.COMPLETED


def test_a_checkpoint_survives_the_loss_of_the_connection(run: Run) -> None:
    def function(payload: Any, ctx: Context) -> None:
        _lose_the_connection()
        ctx.save_checkpoint("kept")
        raise RuntimeError("boom")

    assert run(function).checkpoint == "kept"


def test_progress_does_not_stop_the_work_when_the_database_is_away(run: Run) -> None:
    def function(payload: Any, ctx: Context) -> str:
        _lose_the_connection()
        ctx.progress(0.5)
        return "done"

    assert run(function).result == "done"
