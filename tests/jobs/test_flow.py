"""Jobs that wait for others: let go, or given up, once and whatever dies."""

from __future__ import annotations

import os
import signal
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, connections, transaction
from django.db.models import Count
from django.utils import timezone

from jobs import batches, endings, flow, lifecycle
from jobs.batches import Item
from jobs.inline import drain
from jobs.models import Attempt, Batch, Dependency, Ended, Job, Needs, Node, Outcome, State
from jobs.submission import InvalidSubmission, checked
from tests.jobs.states import LATER, as_stored, claimed, job_in, live_node, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.endings import Ending
    from tests.jobs.conftest import Race

pytestmark = pytest.mark.django_db


def _waiting_for(*parents: Job, **options: Any) -> Job:
    return lifecycle.submit("echo", depends_on=[job.id for job in parents], **options)


def _end(job: Job, way: Callable[[Job], Ending]) -> None:
    (running,) = claimed(job)
    assert lifecycle.record([way(running)])
    while flow.follow():
        pass


def _succeed(job: Job) -> None:
    _end(job, lambda running: endings.completed(running, None))


def _fail(job: Job) -> None:
    _end(job, lambda running: endings.gave_up(running, "no"))


def test_a_job_waits_until_all_that_it_needs_have_succeeded() -> None:
    first, second = lifecycle.submit("echo"), lifecycle.submit("echo")
    child = _waiting_for(first, second)
    assert state_of(child) == State.BLOCKED

    _succeed(first)
    assert state_of(child) == State.BLOCKED
    _succeed(second)

    assert state_of(child) == State.QUEUED
    assert as_stored(child).ready_at is not None


def test_a_job_that_waits_is_not_claimed_nor_promoted() -> None:
    child = _waiting_for(lifecycle.submit("echo"))

    assert claimed(child) == []
    assert lifecycle.promote() == 0
    assert state_of(child) == State.BLOCKED


def test_a_job_that_is_let_go_before_its_time_waits_for_that() -> None:
    parent = lifecycle.submit("echo")
    child = _waiting_for(parent, run_at=timezone.now() + LATER)

    _succeed(parent)

    assert state_of(child) == State.SCHEDULED


@pytest.mark.parametrize(
    ("way", "why"),
    [
        (lambda job: endings.gave_up(job, "no"), "failed"),
        (endings.cancelled, "was cancelled"),
    ],
)
def test_a_job_that_needs_success_is_cancelled_without_it_and_so_is_what_waits_for_that(way: Any, why: str) -> None:
    parent = lifecycle.submit("echo")
    child = _waiting_for(parent)
    grandchild = _waiting_for(child)

    _end(parent, way)

    assert (state_of(child), state_of(grandchild)) == (State.CANCELLED, State.CANCELLED)
    assert as_stored(child).error == f"Job {parent.id}, which it waited for, {why}."
    assert as_stored(grandchild).error == f"Job {child.id}, which it waited for, was cancelled."


@pytest.mark.parametrize("end", [_succeed, _fail, lambda job: lifecycle.cancel([job.id])])
def test_a_job_that_needs_only_an_end_is_let_go_by_any(end: Callable[[Job], None]) -> None:
    parent = lifecycle.submit("echo")
    child = _waiting_for(parent, needs="end")

    end(parent)
    flow.follow()

    assert state_of(child) == State.QUEUED


def test_a_retry_is_not_an_end() -> None:
    parent = lifecycle.submit("echo", max_retries=1)
    child = _waiting_for(parent)

    _end(parent, lambda running: endings.failed(running, "not yet"))

    assert (state_of(parent), state_of(child)) == (State.RETRYING, State.BLOCKED)


def test_a_job_whose_parents_have_all_succeeded_does_not_wait() -> None:
    assert state_of(_waiting_for(job_in(State.COMPLETED))) == State.QUEUED


@pytest.mark.parametrize(
    ("parent", "words"),
    [
        (lambda: job_in(State.FAILED).id, "is failed, so this one would never run"),
        (lambda: job_in(State.CANCELLED).id, "is cancelled, so this one would never run"),
        (uuid.uuid4, "there is no job"),
        (lambda: "first", "must be the id of a job"),
    ],
)
def test_what_can_never_come_true_is_refused_at_the_door(parent: Callable[[], Any], words: str) -> None:
    with pytest.raises(InvalidSubmission, match=words) as caught:
        lifecycle.submit("echo", depends_on=[parent()])

    assert [fault.pointer for fault in caught.value.faults] == ["/depends_on/0"]
    assert not Job.objects.filter(state=State.BLOCKED).exists()


def test_a_cancelled_job_waits_no_more() -> None:
    parent = lifecycle.submit("echo")
    child = _waiting_for(parent)
    lifecycle.cancel([child.id])

    _succeed(parent)

    assert state_of(child) == State.CANCELLED


def test_what_is_requeued_together_with_its_parent_waits_for_it_again() -> None:
    parent = lifecycle.submit("echo")
    child = _waiting_for(parent)
    _fail(parent)

    assert lifecycle.requeue([parent.id, child.id]) == 2
    assert (state_of(parent), state_of(child)) == (State.QUEUED, State.BLOCKED)
    _succeed(parent)
    assert state_of(child) == State.QUEUED


def test_a_child_that_is_requeued_while_its_parent_lives_again_waits_for_it() -> None:
    parent = lifecycle.submit("echo")
    child = _waiting_for(parent)
    _fail(parent)

    lifecycle.requeue([parent.id])
    lifecycle.requeue([child.id])
    assert state_of(child) == State.BLOCKED
    _succeed(parent)

    assert state_of(child) == State.QUEUED


def test_a_child_that_is_requeued_alone_runs_without_its_parent() -> None:
    parent = lifecycle.submit("echo")
    child = _waiting_for(parent)
    _fail(parent)

    lifecycle.requeue([child.id])

    assert state_of(child) == State.QUEUED


def test_a_late_attempt_lets_nobody_go() -> None:
    parent = lifecycle.submit("echo")
    child = _waiting_for(parent)
    (late,) = claimed(parent)
    lifecycle.record([endings.lost(late)])

    assert lifecycle.record([endings.completed(late, None)]) == set()
    flow.follow()

    assert state_of(child) == State.BLOCKED


def test_a_follower_that_dies_has_done_nothing_and_the_next_one_does_it() -> None:
    parent = lifecycle.submit("echo")
    child = _waiting_for(parent)
    (running,) = claimed(parent)
    lifecycle.record([endings.completed(running, None)])
    with transaction.atomic():
        flow.follow()
        transaction.set_rollback(True)
    assert state_of(child) == State.BLOCKED

    flow.follow()

    assert state_of(child) == State.QUEUED
    assert not Ended.objects.exists()


def test_a_job_that_nobody_follows_leaves_no_note() -> None:
    (running,) = claimed(lifecycle.submit("echo"))
    lifecycle.record([endings.completed(running, None)])

    assert not Ended.objects.exists()


def test_within_a_transaction_that_rolls_back_nothing_waits() -> None:
    parent = lifecycle.submit("echo")
    with transaction.atomic():
        _waiting_for(parent)
        transaction.set_rollback(True)

    assert not Dependency.objects.exists()
    assert not as_stored(parent).followed


@pytest.mark.django_db(transaction=True)
def test_a_child_that_comes_while_its_parent_ends_is_never_forgotten(race: Race) -> None:
    node = live_node()
    for _ in range(40):
        parent = lifecycle.submit("echo")
        (running,) = claimed(parent, node=node)

        child, _, _ = race(
            lambda parent=parent: _waiting_for(parent),
            lambda running=running: lifecycle.record([endings.completed(running, None)]),
            flow.follow,
        )
        flow.follow()

        assert state_of(child) == State.QUEUED


@pytest.mark.django_db(transaction=True)
def test_two_followers_of_two_parents_let_the_child_go_once(race: Race) -> None:
    node = live_node()
    for _ in range(25):
        parents = [lifecycle.submit("echo") for _ in range(2)]
        child = _waiting_for(*parents)
        ends = [endings.completed(job, None) for job in claimed(*parents, node=node)]

        race(*[lambda end=end: (lifecycle.record([end]), flow.follow()) for end in ends])
        flow.follow()

        assert state_of(child) == State.QUEUED
        assert len(claimed(child, node=node)) == 1


# --- one, a thousand, one --------------------------------------------------------------------------------------------


def _work(node: Node) -> None:
    """Takes jobs and ends them, a few at once, and sees to what follows, until it is killed."""
    while True:
        flow.follow(50)
        ids = list(Job.objects.filter(state=State.QUEUED).order_by("?").values_list("id", flat=True)[:10])
        jobs = lifecycle.claim(ids, node=node.id, lease=uuid.uuid4(), kinds=["echo"])
        lifecycle.record([endings.completed(job, None) for job in jobs])
        if not ids:
            time.sleep(0.005)


def _forked_worker() -> tuple[int, uuid.UUID]:
    node = live_node()
    connections.close_all()
    connection.close_pool()  # type: ignore[attr-defined]  # a child must not share our connections
    pid = os.fork()
    if pid == 0:
        try:
            _work(node)
        finally:
            os._exit(1)
    return pid, node.id


def _rescue(dead: list[uuid.UUID]) -> None:
    """As the dispatcher does with the jobs of nodes that were lost: again and again, for the database may still be at
    work on the last statement of a node that is dead already.
    """
    lifecycle.record([endings.lost(job) for job in Job.objects.filter(node_id__in=dead, state=State.RUNNING)])


@pytest.mark.django_db(transaction=True)
def test_a_join_of_a_thousand_jobs_runs_once_whichever_workers_die() -> None:
    first = lifecycle.submit("echo")
    middle = lifecycle.submit_many([checked("echo", depends_on=[first.id])] * 1000)
    last = lifecycle.submit("echo", depends_on=middle)
    workers = [_forked_worker() for _ in range(2)]
    dead = []
    deadline = time.monotonic() + 100
    try:
        while state_of(last) != State.COMPLETED:
            assert time.monotonic() < deadline, Job.objects.values_list("state").annotate(Count("id"))
            time.sleep(0.15)
            pid, node_id = workers.pop(0)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            dead.append(node_id)
            _rescue(dead)
            workers.append(_forked_worker())
    finally:
        for pid, _ in workers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    assert Job.objects.filter(state=State.COMPLETED).count() == 1002
    assert Attempt.objects.filter(job=last).exclude(outcome=Outcome.LOST).count() == 1
    ended = Attempt.objects.filter(outcome=Outcome.COMPLETED).values_list("job_id").annotate(n=Count("id"))
    assert {count for _, count in ended} == {1}
    started = as_stored(last).started_at
    assert started is not None
    assert not Attempt.objects.filter(job_id__in=middle, finished_at__gt=started).exists()


# --- batches ---------------------------------------------------------------------------------------------------------


def _items(count: int, **options: Any) -> list[Item]:
    return [Item("echo", {"n": n}, options) for n in range(count)]


def _callback(batch: Batch) -> Job:
    assert batch.callback_id
    return Job.objects.get(id=batch.callback_id)


def test_the_callback_of_a_batch_runs_when_all_of_it_has_ended_and_once() -> None:
    batch = batches.submit(_items(3), callback=Item("echo", {"last": True}, {}))
    callback = _callback(batch)
    jobs = list(Job.objects.filter(batch_id=batch.pk))
    assert state_of(callback) == State.BLOCKED

    _succeed(jobs[0])
    _fail(jobs[1])
    assert state_of(callback) == State.BLOCKED
    lifecycle.cancel([jobs[2].id])
    flow.follow()

    assert state_of(callback) == State.QUEUED
    batch.refresh_from_db()
    assert batch.finished_at is not None
    found = batches.counts(batch)
    assert (found["completed"], found["failed"], found["cancelled"], sum(found.values())) == (1, 1, 1, 3)


def test_a_batch_whose_dead_letter_is_requeued_does_not_call_back_twice() -> None:
    batch = batches.submit(_items(1), callback=Item("echo", {}, {}))
    (job,) = Job.objects.filter(batch_id=batch.pk)
    _fail(job)
    _succeed(_callback(batch))

    lifecycle.requeue([job.id])
    _succeed(job)

    assert Attempt.objects.filter(job=_callback(batch)).count() == 1


def test_a_callback_that_needs_success_is_cancelled_with_the_reason() -> None:
    batch = batches.submit(_items(2), callback=Item("echo", {}, {}), callback_needs=Needs.SUCCESS)
    first, second = Job.objects.filter(batch_id=batch.pk)
    _succeed(first)
    _fail(second)

    callback = _callback(batch)
    assert callback.state == State.CANCELLED
    assert callback.error == "1 of the 2 jobs of its batch did not succeed."


def test_a_chain_runs_in_order() -> None:
    batch = batches.submit(_items(4), in_order=True)

    assert drain() == 4

    ran = Attempt.objects.order_by("id").values_list("job_id", flat=True)
    assert [Job.objects.get(id=job_id).payload["n"] for job_id in ran] == [0, 1, 2, 3]
    batch.refresh_from_db()
    assert batch.finished_at is not None


def test_jobs_of_a_batch_name_earlier_ones_by_their_refs() -> None:
    batches.submit(
        [
            Item("echo", {"n": 0}, {}, ref="a"),
            Item("echo", {"n": 1}, {}, ref="b"),
            Item("echo", {"n": 2}, {"depends_on": ["a", "b"]}),
        ]
    )

    joined = Job.objects.get(state=State.BLOCKED)
    assert joined.payload == {"n": 2}
    assert joined.dependencies.count() == 2


@pytest.mark.parametrize(
    ("items", "pointer"),
    [
        ([Item("echo", {}, {"depends_on": ["b"]}, ref="a"), Item("echo", {}, {}, ref="b")], "/jobs/0/depends_on/0"),
        ([Item("echo", {}, {"depends_on": ["a"]}, ref="a")], "/jobs/0/depends_on/0"),
        ([Item("echo", {}, {}, ref="a"), Item("echo", {}, {}, ref="a")], "/jobs/1/ref"),
        ([Item("echo", {}, {}), Item("ecko", {}, {})], "/jobs/1/kind"),
        ([Item("echo", {}, {"unique_key": "k"})], "/jobs/0/unique_key"),
    ],
)
def test_a_batch_that_makes_no_sense_is_refused_whole(items: list[Item], pointer: str) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        batches.submit(items)

    assert [fault.pointer for fault in caught.value.faults] == [pointer]
    assert not Job.objects.exists()


def test_a_cancelled_batch_ends_whole_and_calls_nobody_back() -> None:
    batch = batches.submit(_items(5), callback=Item("echo", {}, {}))
    running, done = Job.objects.filter(batch_id=batch.pk)[:2]
    claimed(running)
    _succeed(done)

    assert batches.cancel(batch) == 4

    found = batches.counts(batch)
    assert (found["completed"], found["running"], found["cancelled"]) == (1, 1, 3)
    assert as_stored(running).cancel_requested_at is not None
    assert _callback(batch).state == State.CANCELLED
