"""Verbs that race for the same jobs, in threads that each have a connection of their own."""

from __future__ import annotations

import random
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db.models.functions import Now

from jobs import endings, leadership, leases, lifecycle
from jobs.models import FINISHED, Attempt, Job, Outcome, Priority, State
from jobs.submission import checked
from tests.jobs.states import as_stored, claimed, job_in, live_node, outcomes, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.endings import Ending

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 40


def test_of_many_claims_of_a_job_exactly_one_wins(race: Any) -> None:
    node = live_node()
    for _ in range(ROUNDS // 4):
        ids = lifecycle.submit_many([checked("echo")] * 50)

        def claim(ids: list[uuid.UUID] = ids) -> list[Job]:
            mine = random.sample(ids, len(ids))
            return lifecycle.claim(mine, node=node.id, lease=uuid.uuid4(), kinds=["echo"])

        taken = [job for answer in race(*[claim] * 6) for job in answer]

        assert sorted(job.id for job in taken) == sorted(ids)
        assert {job.attempt for job in taken} == {1}
        assert {(job.id, job.lease) for job in taken} == set(Job.objects.filter(id__in=ids).values_list("id", "lease"))


def test_a_result_sent_twice_at_once_is_accepted_once(race: Any) -> None:
    node = live_node()
    for _ in range(ROUNDS):
        (job,) = claimed(lifecycle.submit("echo"), node=node)

        answers = race(*[lambda job=job: lifecycle.record([endings.completed(job, None)])] * 4)

        assert sorted(map(len, answers)) == [0, 0, 0, 1]
        assert outcomes(job) == [(1, Outcome.COMPLETED)]


def test_a_cancel_that_reached_a_running_job_is_never_lost_to_its_result(race: Any) -> None:
    node = live_node()
    seen = set()
    for _ in range(ROUNDS):
        (job,) = claimed(lifecycle.submit("echo"), node=node)

        cancelled, accepted = race(
            lambda job=job: lifecycle.cancel([job.id]),
            lambda job=job: lifecycle.record([endings.completed(job, None)]),
        )

        assert accepted == {job.id}
        assert state_of(job) == (State.CANCELLED if cancelled else State.COMPLETED)
        seen.add(state_of(job))
    assert seen <= {State.CANCELLED, State.COMPLETED}


def test_a_cancel_and_a_claim_end_in_one_of_two_ways(race: Any) -> None:
    node = live_node()
    for _ in range(ROUNDS):
        job = lifecycle.submit("echo")

        (reached,), taken = race(
            lambda job=job: lifecycle.cancel([job.id]),
            lambda job=job: lifecycle.claim([job.id], node=node.id, lease=uuid.uuid4(), kinds=["echo"]),
        )

        stored = as_stored(job)
        assert stored.state == reached.state == (State.RUNNING if taken else State.CANCELLED)
        assert stored.cancel_requested_at is not None


def test_a_pause_and_a_claim_do_not_both_get_the_job(race: Any) -> None:
    node = live_node()
    for _ in range(ROUNDS):
        job = lifecycle.submit("echo")

        paused, taken = race(
            lambda job=job: lifecycle.pause([job.id]),
            lambda job=job: lifecycle.claim([job.id], node=node.id, lease=uuid.uuid4(), kinds=["echo"]),
        )

        assert paused + len(taken) == 1
        assert state_of(job) == (State.PAUSED if paused else State.RUNNING)


def test_a_result_and_a_rescue_write_one_attempt_between_them(race: Any) -> None:
    node = live_node()
    for _ in range(ROUNDS):
        (job,) = claimed(lifecycle.submit("echo"), node=node)

        result, rescue = race(
            lambda job=job: lifecycle.record([endings.completed(job, "mine")]),
            lambda job=job: lifecycle.record([endings.lost(job)]),
        )

        assert len(result) + len(rescue) == 1
        assert state_of(job) == (State.COMPLETED if result else State.QUEUED)
        assert outcomes(job) == [(1, Outcome.COMPLETED if result else Outcome.LOST)]


def test_a_result_and_a_hand_back_do_not_both_count(race: Any) -> None:
    node = live_node()
    for _ in range(ROUNDS):
        (job,) = claimed(lifecycle.submit("echo"), node=node)

        result, given_back = race(
            lambda job=job: lifecycle.record([endings.completed(job, None)]),
            lambda job=job: lifecycle.unclaim(job.lease, [job.id]),
        )

        assert len(result) + given_back == 1
        assert len(outcomes(job)) == as_stored(job).attempt == len(result)


def test_progress_of_a_rescued_attempt_does_not_show_on_the_next(race: Any) -> None:
    node = live_node()
    for _ in range(ROUNDS):
        (job,) = claimed(lifecycle.submit("echo"), node=node)

        def rescue_and_claim(job: Job = job) -> None:
            lifecycle.record([endings.lost(job)])
            claimed(job, node=node)

        race(rescue_and_claim, lambda job=job: leases.save_progress(job, {"fraction": 0.9, "note": "stale"}))

        assert as_stored(job).progress is None


def test_of_many_requeues_one_counts(race: Any) -> None:
    for _ in range(ROUNDS):
        job = job_in(State.FAILED)

        assert sum(race(*[lambda job=job: lifecycle.requeue([job.id])] * 4)) == 1
        assert state_of(job) == State.QUEUED


def test_due_jobs_are_promoted_once_by_however_many_dispatchers(race: Any) -> None:
    for _ in range(ROUNDS // 4):
        later = Now() + timedelta(hours=1)
        ids = lifecycle.submit_many([checked("echo")] * 60)
        Job.objects.filter(id__in=ids).update(run_at=later)
        lifecycle.pause(ids)
        lifecycle.resume(ids)
        Job.objects.filter(state=State.SCHEDULED).update(run_at=Now())

        assert sum(race(*[lifecycle.promote] * 4)) == 60


def test_threads_that_submit_at_once_each_get_their_own_jobs(race: Any) -> None:
    answers = race(*[lambda: lifecycle.submit_many([checked("echo")] * 100)] * 8)

    assert len({one for ids in answers for one in ids}) == Job.objects.count() == 800


def test_of_many_that_would_lead_one_does(race: Any) -> None:
    for _ in range(ROUNDS):
        names = [uuid.uuid4().hex for _ in range(4)]
        terms = race(*[lambda name=name: leadership.lead(name) for name in names])

        assert sum(term is not None for term in terms) == 1
        leader = leadership.leader()
        assert leader is not None
        assert terms[names.index(leader.holder)] == leader.term
        leadership.resign(leader.holder)


def test_sets_of_jobs_that_overlap_never_end_in_a_deadlock(race: Any) -> None:
    """Operators act on large sets while workers record batches, all in different orders."""
    node = live_node()
    ids = lifecycle.submit_many([checked("echo")] * 1000)

    def some() -> list[uuid.UUID]:
        return random.sample(ids, 800)

    def work() -> None:
        for _ in range(25):
            jobs = lifecycle.claim(some(), node=node.id, lease=uuid.uuid4(), kinds=["echo"])
            lifecycle.record([endings.released(job, "not now") for job in jobs])

    def operate(verb: Callable[[list[uuid.UUID]], Any]) -> None:
        for _ in range(25):
            verb(some())

    def set_priority(some: list[uuid.UUID]) -> None:
        lifecycle.set_priority(some, random.choice(list(Priority)))

    verbs = (lifecycle.cancel, lifecycle.cancel, lifecycle.pause, lifecycle.resume, lifecycle.requeue, set_priority)
    race(work, work, *[lambda verb=verb: operate(verb) for verb in verbs])

    assert Job.objects.filter(state=State.RUNNING).count() == 0


def test_a_storm_of_workers_and_operators_ends_every_job_once(race: Any) -> None:
    node = live_node()
    ids = lifecycle.submit_many([checked("echo", max_retries=1)] * 200)
    ways: list[Callable[[Job], Ending]] = [endings.lost, lambda job: endings.completed(job, None)]
    accepted: list[tuple[uuid.UUID, int]] = []

    def work() -> None:
        while Job.objects.filter(id__in=ids, state__in=(State.QUEUED, State.RUNNING)).exists():
            mine = random.sample(ids, 30)
            jobs = lifecycle.claim(mine, node=node.id, lease=uuid.uuid4(), kinds=["echo"])
            kept = lifecycle.record([random.choice(ways)(job) for job in jobs])
            accepted.extend((job.id, job.attempt) for job in jobs if job.id in kept)

    race(*[work] * 4, lambda: [lifecycle.cancel(random.sample(ids, 5)) for _ in range(10)])

    assert len(accepted) == len(set(accepted)) == Attempt.objects.count()
    assert set(Job.objects.values_list("state", flat=True)) <= set(FINISHED)
