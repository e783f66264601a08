from __future__ import annotations

import dataclasses
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import DataError, IntegrityError, transaction
from django.utils import timezone

from jobs import doorbell, endings, leases, lifecycle, tally
from jobs.lifecycle import VERBS
from jobs.models import Attempt, Job, Node, Outcome, Priority, Reason, State
from jobs.submission import checked
from tests.jobs.states import LATER, as_stored, claimed, job_in, live_node, make_due, outcomes, state_of
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from jobs.endings import Ending

pytestmark = pytest.mark.django_db


def _claim(job: Job) -> bool:
    return bool(claimed(job))


def _with_lease(job: Job) -> Job:
    """The job as its worker has it; one that never had a worker gets a lease that nobody gave."""
    job.lease = job.lease or uuid.uuid4()
    return job


CALL: dict[str, Callable[[Job], Any]] = {
    "promote": lambda _: lifecycle.promote(),
    "release": lambda job: lifecycle.release([job.id]),
    "abandon": lambda job: lifecycle.abandon({job.id: "in vain"}),
    "claim": _claim,
    "unclaim": lambda job: lifecycle.unclaim(_with_lease(job).lease or uuid.uuid4(), [job.id]),
    "record": lambda job: lifecycle.record([endings.completed(_with_lease(job), None)]),
    "cancel": lambda job: lifecycle.cancel([job.id]),
    "pause": lambda job: lifecycle.pause([job.id]),
    "resume": lambda job: lifecycle.resume([job.id]),
    "requeue": lambda job: lifecycle.requeue([job.id]),
    "discard": lambda job: lifecycle.discard([job.id]),
    "hasten": lambda job: lifecycle.hasten([job.id]),
    "rewrite": lambda job: lifecycle.rewrite({job.id: checked("echo", unique_key="k", on_conflict="replace")}),
}

# Where each verb leads a job whose time has come. What is not here must change nothing.
LEADS: dict[tuple[str, State], State] = {
    ("promote", State.SCHEDULED): State.QUEUED,
    ("promote", State.RETRYING): State.QUEUED,
    ("release", State.BLOCKED): State.QUEUED,
    ("abandon", State.BLOCKED): State.CANCELLED,
    ("claim", State.QUEUED): State.RUNNING,
    ("unclaim", State.RUNNING): State.QUEUED,
    ("record", State.RUNNING): State.COMPLETED,
    ("cancel", State.BLOCKED): State.CANCELLED,
    ("cancel", State.SCHEDULED): State.CANCELLED,
    ("cancel", State.QUEUED): State.CANCELLED,
    ("cancel", State.RETRYING): State.CANCELLED,
    ("cancel", State.PAUSED): State.CANCELLED,
    ("cancel", State.RUNNING): State.RUNNING,
    ("pause", State.SCHEDULED): State.PAUSED,
    ("pause", State.QUEUED): State.PAUSED,
    ("pause", State.RETRYING): State.PAUSED,
    ("resume", State.PAUSED): State.QUEUED,
    ("hasten", State.SCHEDULED): State.QUEUED,
    ("rewrite", State.SCHEDULED): State.QUEUED,
    ("rewrite", State.QUEUED): State.QUEUED,
    ("rewrite", State.RETRYING): State.QUEUED,
    ("rewrite", State.PAUSED): State.PAUSED,
    ("requeue", State.FAILED): State.QUEUED,
    ("requeue", State.CANCELLED): State.QUEUED,
    ("discard", State.FAILED): State.CANCELLED,
}


def _everything(job: Job) -> tuple[Any, Any]:
    return Job.objects.filter(id=job.id).values().get(), list(Attempt.objects.filter(job=job).values())


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("verb", list(VERBS))
def test_a_verb_reaches_the_states_it_names_and_leaves_the_others_alone(verb: str, state: State) -> None:
    job = job_in(state)
    make_due(job)
    before = _everything(job)

    reached = CALL[verb](job)

    if (verb, state) in LEADS:
        assert reached
        assert state_of(job) == LEADS[verb, state]
        assert _everything(job) != before
    else:
        assert not reached
        assert _everything(job) == before


def test_the_table_of_verbs_says_what_the_verbs_do() -> None:
    for verb, (start, end) in VERBS.items():
        assert start == {state for name, state in LEADS if name == verb}
        assert {to for (name, _), to in LEADS.items() if name == verb} <= end


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "promote"])
def test_a_verb_on_a_job_that_does_not_exist_reaches_nothing(verb: str) -> None:
    assert not CALL[verb](Job(id=uuid.uuid4(), kind="echo"))
    assert Job.objects.count() == Attempt.objects.count() == 0


# --- submit -----------------------------------------------------------------------------------------------------------


def test_a_submitted_job_is_ready_to_run() -> None:
    job = lifecycle.submit("echo", {"n": 1}, priority="high", metadata={"who": "me"}, max_retries=7, timeout=2.5)

    stored = as_stored(job)
    assert (stored.state, stored.priority, stored.queue) == (State.QUEUED, 2, "high")
    assert (stored.payload, stored.metadata) == ({"n": 1}, {"who": "me"})
    assert (stored.max_retries, stored.timeout, stored.attempt) == (7, 2.5, 0)
    assert stored.ready_at is not None


def test_a_job_for_later_waits_for_its_time() -> None:
    job = lifecycle.submit("echo", run_at=timezone.now() + LATER)

    assert state_of(job) == State.SCHEDULED
    assert lifecycle.promote() == 0
    make_due(job)
    assert lifecycle.promote() == 1
    assert as_stored(job).ready_at is not None


def test_a_time_in_the_past_means_now() -> None:
    assert lifecycle.submit("echo", run_at=timezone.now() - LATER).state == State.QUEUED


def test_many_jobs_are_written_in_order() -> None:
    ids = lifecycle.submit_many([checked("echo", {"n": n}) for n in range(200)])

    assert list(Job.objects.order_by("id").values_list("id", "payload__n")) == list(zip(ids, range(200), strict=True))


def test_nothing_to_submit_is_no_error() -> None:
    assert lifecycle.submit_many([]) == []


def test_text_of_every_script_comes_back_as_it_was_given() -> None:
    payload = {"text": "naïve 日本 🚚 \u2028 \\ \" ' %s {} \\u0041", "deep": [[[None, True, 1.5, -(10**30)]]]}

    assert as_stored(lifecycle.submit("echo", payload)).payload == payload


class _CallersTroubleError(Exception):
    pass


def _submit_and_fail() -> None:
    with transaction.atomic():
        lifecycle.submit("echo")
        raise _CallersTroubleError


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_transaction_leaves_no_job_and_rings_no_bell(redis_client: redis.Redis) -> None:
    with pytest.raises(_CallersTroubleError):
        _submit_and_fail()

    assert Job.objects.count() == 0
    assert not doorbell.wait(0.3)


@pytest.mark.django_db(transaction=True)
def test_the_bell_rings_after_the_commit_and_not_before(redis_client: redis.Redis) -> None:
    with transaction.atomic():
        lifecycle.submit("echo")
        assert not doorbell.wait(0.3), "nobody shall look before there is something to see"
    assert eventually(lambda: redis_client.llen(doorbell.KEY)) == 1


# --- claim and unclaim ------------------------------------------------------------------------------------------------


def test_a_claim_takes_what_is_queued_in_the_order_given() -> None:
    first, second, third = (lifecycle.submit("echo") for _ in range(3))
    lifecycle.cancel([second.id])

    taken = claimed(third, second, first)

    assert [job.id for job in taken] == [third.id, first.id]
    assert len({job.lease for job in taken}) == 1
    assert all(job.attempt == 1 and job.started_at for job in taken)


def test_a_claim_leaves_kinds_that_the_worker_does_not_know() -> None:
    job = lifecycle.submit("echo")

    assert lifecycle.claim([job.id], node=live_node().id, lease=uuid.uuid4(), kinds=["another"]) == []
    assert state_of(job) == State.QUEUED


def test_a_job_given_back_unbegun_is_as_if_never_claimed() -> None:
    job = lifecycle.submit("echo")
    (mine,) = claimed(job)
    assert mine.lease

    assert lifecycle.unclaim(mine.lease, [mine.id]) == 1

    stored = as_stored(job)
    assert (stored.state, stored.attempt, stored.lease, outcomes(job)) == (State.QUEUED, 0, None, [])
    assert stored.ready_at == job.ready_at


def test_a_job_given_back_unbegun_after_its_cancel_never_runs() -> None:
    (job,) = claimed(lifecycle.submit("echo"))
    lifecycle.cancel([job.id])
    assert job.lease

    assert lifecycle.unclaim(job.lease, [job.id]) == 1

    assert state_of(job) == State.CANCELLED
    assert claimed(job) == []


# --- record -----------------------------------------------------------------------------------------------------------

ENDINGS: list[tuple[str, Callable[[Job], Ending], State, Outcome]] = [
    ("completed", lambda job: endings.completed(job, {"a": 1}), State.COMPLETED, Outcome.COMPLETED),
    ("failed", lambda job: endings.failed(job, "no", "trace"), State.RETRYING, Outcome.FAILED),
    ("timed out", endings.timed_out, State.RETRYING, Outcome.TIMED_OUT),
    ("gave up", lambda job: endings.gave_up(job, "no"), State.FAILED, Outcome.GAVE_UP),
    ("cancelled", endings.cancelled, State.CANCELLED, Outcome.CANCELLED),
    ("snoozed", lambda job: endings.snoozed(job, LATER, "later"), State.SCHEDULED, Outcome.SNOOZED),
    ("paused", lambda job: endings.paused(job, "as asked"), State.PAUSED, Outcome.SNOOZED),
    ("paused", lambda job: endings.paused(job, "look at it"), State.PAUSED, Outcome.SNOOZED),
    ("released", lambda job: endings.released(job, "drain"), State.QUEUED, Outcome.RELEASED),
    ("crashed", lambda job: endings.crashed(job, "SIGKILL"), State.QUEUED, Outcome.CRASHED),
    ("lost", endings.lost, State.QUEUED, Outcome.LOST),
]
each_ending = pytest.mark.parametrize(
    ("make", "state", "outcome"), [one[1:] for one in ENDINGS], ids=[one[0] for one in ENDINGS]
)


@each_ending
def test_each_ending_writes_its_state_and_exactly_one_attempt(
    make: Callable[[Job], Ending], state: State, outcome: Outcome
) -> None:
    node = live_node("the worker's name")
    (job,) = claimed(lifecycle.submit("echo", timeout=60), node=node)

    assert lifecycle.record([make(job)]) == {job.id}

    assert state_of(job) == state
    attempt = Attempt.objects.get(job=job)
    assert (attempt.number, attempt.outcome, attempt.node) == (1, outcome, "the worker's name")
    assert attempt.started_at == job.started_at
    assert attempt.finished_at >= attempt.started_at


@each_ending
def test_an_ending_reported_twice_counts_once(make: Callable[[Job], Ending], state: State, outcome: Outcome) -> None:
    (job,) = claimed(lifecycle.submit("echo", timeout=60))
    ending = make(job)

    assert lifecycle.record([ending]) == {job.id}
    before = _everything(job)
    assert lifecycle.record([ending]) == set()

    assert _everything(job) == before
    assert outcomes(job) == [(1, outcome)]


@each_ending
def test_a_late_worker_cannot_overwrite_the_next_attempt(
    make: Callable[[Job], Ending], state: State, outcome: Outcome
) -> None:
    (frozen,) = claimed(lifecycle.submit("echo", timeout=60))
    lifecycle.record([endings.lost(frozen)])
    (current,) = claimed(frozen)
    before = _everything(current)

    assert lifecycle.record([make(frozen)]) == set()
    assert not leases.save_progress(frozen, {"fraction": 0.1})
    assert not leases.save_checkpoint(frozen, "stale")
    with leases.held(frozen) as still:
        assert not still

    assert _everything(current) == before
    assert lifecycle.record([endings.completed(current, "the second attempt's")]) == {current.id}
    assert as_stored(current).result == "the second attempt's"
    assert outcomes(current) == [(1, Outcome.LOST), (2, Outcome.COMPLETED)]


@each_ending
def test_a_job_that_was_asked_to_cancel_ends_cancelled_however_its_attempt_ended(
    make: Callable[[Job], Ending], state: State, outcome: Outcome
) -> None:
    (job,) = claimed(lifecycle.submit("echo", timeout=60))
    (asked,) = lifecycle.cancel([job.id])
    assert (asked.state, asked.cancel_requested_at is not None) == (State.RUNNING, True)

    assert lifecycle.record([make(job)]) == {job.id}

    stored = as_stored(job)
    assert (stored.state, stored.reason, outcomes(job)) == (State.CANCELLED, "", [(1, outcome)])
    assert stored.finished_at is not None


def test_endings_of_one_batch_are_accepted_or_refused_each_on_its_own() -> None:
    good, late = claimed(lifecycle.submit("echo"), lifecycle.submit("echo"))
    lifecycle.record([endings.lost(late)])

    assert lifecycle.record([endings.completed(late, 1), endings.completed(good, 2)]) == {good.id}
    assert (state_of(good), state_of(late)) == (State.COMPLETED, State.QUEUED)


def test_nothing_to_record_is_no_error() -> None:
    assert lifecycle.record([]) == set()


def test_a_completed_job_keeps_its_result_and_drops_its_checkpoint() -> None:
    (job,) = claimed(lifecycle.submit("echo"))
    assert leases.save_checkpoint(job, {"at": 5})
    lifecycle.record([endings.completed(job, [1, None])])

    stored = as_stored(job)
    assert (stored.result, stored.checkpoint, stored.lease) == ([1, None], None, None)


def test_a_checkpoint_reaches_the_next_attempt() -> None:
    (job,) = claimed(lifecycle.submit("echo"))
    leases.save_checkpoint(job, {"at": 5})
    lifecycle.record([endings.released(job, "drain")])

    (again,) = claimed(job)
    assert again.checkpoint == {"at": 5}


def test_an_error_that_postgres_cannot_store_is_made_storable() -> None:
    (job,) = claimed(lifecycle.submit("echo"))

    lifecycle.record([endings.failed(job, "nul \x00 surrogate \ud800 end", "x" * 100_000)])

    stored = as_stored(job)
    assert stored.error.startswith("nul ")
    assert stored.error.endswith(" end")
    assert len(Attempt.objects.get(job=job).traceback) < 25_000


def test_a_released_job_keeps_its_place_in_the_queue() -> None:
    (job,) = claimed(lifecycle.submit("echo"))
    lifecycle.record([endings.released(job, "drain")])

    assert as_stored(job).ready_at == job.ready_at


# --- cancel, pause, resume, requeue -----------------------------------------------------------------------------------


def test_a_cancelled_job_that_waited_never_runs() -> None:
    job = lifecycle.submit("echo")
    lifecycle.cancel([job.id])

    assert claimed(job) == []
    assert as_stored(job).finished_at is not None


def test_asking_twice_keeps_the_time_of_the_first_cancel() -> None:
    (job,) = claimed(lifecycle.submit("echo"))
    (first,) = lifecycle.cancel([job.id])
    (second,) = lifecycle.cancel([job.id])

    assert first.cancel_requested_at == second.cancel_requested_at


def test_a_resumed_job_whose_time_has_not_come_waits_for_it() -> None:
    job = lifecycle.submit("echo", run_at=timezone.now() + LATER)
    lifecycle.pause([job.id])

    assert lifecycle.resume([job.id]) == 1

    assert state_of(job) == State.SCHEDULED
    assert claimed(job) == []


def test_verbs_work_on_sets_and_say_how_many_they_reached() -> None:
    waiting = [lifecycle.submit("echo") for _ in range(5)]
    done = job_in(State.COMPLETED)
    ids = [job.id for job in [*waiting, done]]

    assert lifecycle.pause(ids) == 5
    assert lifecycle.resume(ids) == 5
    assert len(lifecycle.cancel(ids)) == 5
    assert lifecycle.requeue(ids) == 5
    assert tally.counts()["queued"] == 5
    assert tally.counts()["completed"] == 1


def test_requeue_gives_a_dead_letter_a_fresh_budget_and_keeps_its_history() -> None:
    job = lifecycle.submit("echo", max_retries=1)
    for _ in range(2):
        (job,) = claimed(job)
        lifecycle.record([endings.failed(job, "no")])
        make_due(job)
        lifecycle.promote()
    dead = as_stored(job)
    assert (dead.state, dead.reason, dead.failures) == (State.FAILED, Reason.EXHAUSTED, 2)

    assert lifecycle.requeue([job.id]) == 1

    fresh = as_stored(job)
    assert (fresh.failures, fresh.crashes, fresh.losses, fresh.reason, fresh.finished_at) == (0, 0, 0, "", None)
    (again,) = claimed(fresh)
    lifecycle.record([endings.failed(again, "no")])
    assert state_of(job) == State.RETRYING
    assert outcomes(job) == [(number, Outcome.FAILED) for number in (1, 2, 3)]


def test_a_cancelled_job_that_is_requeued_is_cancelled_no_more() -> None:
    (job,) = claimed(lifecycle.submit("echo"))
    lifecycle.cancel([job.id])
    lifecycle.record([endings.cancelled(job)])
    lifecycle.requeue([job.id])

    (again,) = claimed(job)
    lifecycle.record([endings.completed(again, None)])

    assert state_of(job) == State.COMPLETED


# --- the node's lease -------------------------------------------------------------------------------------------------


@pytest.fixture
def after_any_restart(settings: Any) -> None:
    """Rescue holds back for one lease after Postgres has started; the server of the tests has just started."""
    settings.LEASE_SECONDS = 0


def _renewing_node() -> Node:
    return Node(id=uuid.uuid4(), name="here", queues=["medium"], kinds=["echo"], slots=1, pid=1)


def test_a_node_that_renews_keeps_its_jobs(settings: Any) -> None:
    node = _renewing_node()
    settings.LEASE_SECONDS = 60
    leases.renew(node)
    Node.objects.update(expires_at=timezone.now() - LATER)
    (job,) = claimed(lifecycle.submit("echo"), node=node)

    leases.renew(node)

    settings.LEASE_SECONDS = 0
    assert leases.lost() == []
    assert state_of(job) == State.RUNNING


@pytest.mark.usefixtures("after_any_restart")
def test_the_jobs_of_a_node_that_does_not_renew_are_lost() -> None:
    alive, dead, unknown = live_node("alive"), live_node("dead"), Node(id=uuid.uuid4())
    claimed(lifecycle.submit("echo"), node=alive)
    (of_dead,) = claimed(lifecycle.submit("echo"), node=dead)
    (of_unknown,) = claimed(lifecycle.submit("echo"), node=unknown)
    Node.objects.filter(id=dead.id).update(expires_at=timezone.now() - LATER)

    assert {job.id for job in leases.lost()} == {of_dead.id, of_unknown.id}


def test_nobody_is_lost_until_postgres_is_up_for_a_lease(settings: Any) -> None:
    settings.LEASE_SECONDS = 10 * 365 * 86_400
    claimed(lifecycle.submit("echo"), node=Node(id=uuid.uuid4()))

    assert leases.lost() == []


@pytest.mark.usefixtures("after_any_restart")
def test_a_rescued_job_says_so_and_runs_again() -> None:
    node = live_node("gone")
    (job,) = claimed(lifecycle.submit("echo", max_retries=0), node=node)
    node.delete()

    lifecycle.record([endings.lost(one) for one in leases.lost()])

    stored = as_stored(job)
    assert (stored.state, stored.losses, stored.failures) == (State.QUEUED, 1, 0)
    assert "not heard of" in Attempt.objects.get(job=job).error
    assert claimed(job)


def test_a_renewal_tells_which_jobs_are_asked_to_cancel(settings: Any) -> None:
    settings.LEASE_SECONDS = 3600
    node = _renewing_node()
    leases.renew(node)
    job, _ = claimed(lifecycle.submit("echo"), lifecycle.submit("echo"), node=node)
    lifecycle.cancel([job.id])

    assert leases.renew(node) == [(job.id, job.lease, True)]


def test_a_renewal_tells_which_jobs_run_for_longer_than_a_lease(settings: Any) -> None:
    settings.LEASE_SECONDS = 60
    node = _renewing_node()
    leases.renew(node)
    job, _ = claimed(lifecycle.submit("echo"), lifecycle.submit("echo"), node=node)
    Job.objects.filter(id=job.id).update(started_at=timezone.now() - LATER)

    assert leases.renew(node) == [(job.id, job.lease, False)]


# --- what the table itself refuses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "nonsense", "constraint"),
    [
        (State.QUEUED, {"state": "running"}, "job_running_has_lease"),
        (State.RUNNING, {"lease": None}, "job_running_has_lease"),
        (State.RUNNING, {"node_id": None}, "job_running_has_lease"),
        (State.RUNNING, {"started_at": None}, "job_running_has_lease"),
        (State.COMPLETED, {"lease": uuid.uuid4()}, "job_running_has_lease"),
        (State.QUEUED, {"state": "completed"}, "job_finished_has_end"),
        (State.COMPLETED, {"finished_at": None}, "job_finished_has_end"),
        (State.QUEUED, {"finished_at": timezone.now()}, "job_finished_has_end"),
        (State.COMPLETED, {"state": "failed"}, "job_failed_has_reason"),
        (State.FAILED, {"reason": "bad luck"}, "job_failed_has_reason"),
        (State.QUEUED, {"reason": "exhausted"}, "job_failed_has_reason"),
        (State.QUEUED, {"ready_at": None}, "job_queued_is_ready"),
        (State.SCHEDULED, {"state": "queued"}, "job_queued_is_ready"),
        (State.QUEUED, {"state": "zombie"}, "job_state_is_known"),
        (State.QUEUED, {"priority": 4}, "job_priority_is_known"),
        (State.QUEUED, {"lane": "fast"}, "job_lane_is_known"),
        (State.QUEUED, {"attempt": -1}, "jobs_job_attempt_check"),
    ],
)
def test_the_table_refuses_nonsense(state: State, nonsense: dict[str, Any], constraint: str) -> None:
    job = job_in(state)

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Job.objects.filter(id=job.id).update(**nonsense)


def test_the_table_refuses_a_second_end_of_one_attempt() -> None:
    job = job_in(State.COMPLETED)

    with pytest.raises(IntegrityError, match="attempt_ends_once"), transaction.atomic():
        Attempt.objects.create(job=job, kind=job.kind, number=1, outcome=Outcome.LOST, started_at=timezone.now())


# --- words for people -------------------------------------------------------------------------------------------------


def test_a_verb_that_did_not_reach_a_job_can_say_why() -> None:
    done = job_in(State.COMPLETED)

    assert lifecycle.not_reached("cancel", done.id) == (
        "The job is completed; cancel works on jobs that are blocked, paused, queued, retrying, running, scheduled."
    )
    assert lifecycle.not_reached("cancel", uuid.uuid4()) == "There is no such job."


def test_a_snoozed_job_comes_back_when_it_asked_to() -> None:
    (job,) = claimed(lifecycle.submit("echo", max_retries=0))
    lifecycle.record([endings.snoozed(job, timedelta(minutes=10), "not yet")])

    stored = as_stored(job)
    assert (stored.state, stored.failures, stored.error) == (State.SCHEDULED, 0, "not yet")
    assert stored.run_at - Attempt.objects.get(job=job).finished_at == timedelta(minutes=10)


def test_a_job_that_was_paused_while_it_ran_goes_on_when_it_is_resumed() -> None:
    (job,) = claimed(lifecycle.submit("echo", max_retries=0))
    lifecycle.record([endings.paused(job, "as asked")])
    assert lifecycle.promote() == 0

    assert lifecycle.resume([job.id]) == 1

    assert (as_stored(job).state, as_stored(job).failures) == (State.QUEUED, 0)


def test_a_job_takes_another_priority_while_it_lives() -> None:
    alive, done = job_in(State.RUNNING), job_in(State.COMPLETED)

    assert lifecycle.set_priority([alive.id, done.id], Priority.CRITICAL) == 1

    assert (as_stored(alive).queue, as_stored(done).queue) == ("critical", "medium")


def test_what_postgres_refuses_of_a_bulk_submission_is_an_error_that_callers_know() -> None:
    too_long = dataclasses.replace(checked("echo"), limit_key="x" * 10_000)

    with pytest.raises(DataError), transaction.atomic():
        lifecycle.submit_many([checked("echo"), too_long])

    assert not Job.objects.exists()
