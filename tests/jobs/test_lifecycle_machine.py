"""Random lives of jobs over real Postgres, step by step beside a model of what must be true."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as django_settings
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jobs import endings, leases, lifecycle, tally
from jobs.kinds import Backoff
from jobs.models import FINISHED, WAITING, Attempt, Job, Node, Outcome, Priority, State
from tests.jobs.states import LATER, live_node, make_due

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.endings import Ending
    from tests.jobs.conftest import AddKind

# Its retries and snoozes never become due by themselves while a test runs: time passes when the machine says so.
KIND = "slow_to_retry"

PAUSED = "paused"  # its outcome is that of a snooze
ENDINGS: dict[str, Callable[[Job], Ending]] = {
    Outcome.COMPLETED: lambda job: endings.completed(job, job.attempt),
    Outcome.FAILED: lambda job: endings.failed(job, "no"),
    Outcome.TIMED_OUT: lambda job: endings.timed_out(job, "too long"),
    Outcome.GAVE_UP: lambda job: endings.gave_up(job, "never"),
    Outcome.CANCELLED: endings.cancelled,
    Outcome.SNOOZED: lambda job: endings.snoozed(job, LATER, "later"),
    Outcome.RELEASED: lambda job: endings.released(job, "drain"),
    Outcome.CRASHED: lambda job: endings.crashed(job, "SIGKILL"),
    Outcome.LOST: endings.lost,
    PAUSED: lambda job: endings.paused(job, "look at it"),
}


FEW = 3  # jobs: so that most steps meet one that others have touched before


@dataclass
class Expected:
    """What is known of one job."""

    state: State
    due: bool
    max_retries: int
    lease: uuid.UUID | None = None
    node: uuid.UUID | None = None
    cancel_asked: bool = False
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    losses: int = 0
    history: list[tuple[int, str]] = field(default_factory=list)
    ends: Counter[int] = field(default_factory=Counter)  # terminal transitions, by the number of requeues before

    def end(self, way: str) -> None:
        """One attempt is over: the rules of the design, in the words of a test."""
        outcome = Outcome.SNOOZED if way == PAUSED else way
        self.history.append((self.attempt, outcome))
        self.lease = None
        self.failures += outcome in {Outcome.FAILED, Outcome.TIMED_OUT, Outcome.GAVE_UP}
        self.crashes += outcome == Outcome.CRASHED
        self.losses += outcome == Outcome.LOST
        if self.cancel_asked or outcome == Outcome.CANCELLED:
            self.state = State.CANCELLED
        elif outcome == Outcome.COMPLETED:
            self.state = State.COMPLETED
        elif way == PAUSED:
            self.state = State.PAUSED
        elif outcome == Outcome.SNOOZED:
            self.state, self.due = State.SCHEDULED, False
        elif (
            outcome == Outcome.GAVE_UP
            or self.failures > self.max_retries
            or self.crashes >= django_settings.CRASH_BUDGET
            or self.losses >= endings.LOSS_BUDGET
        ):
            self.state = State.FAILED
        elif outcome in {Outcome.FAILED, Outcome.TIMED_OUT}:
            self.state, self.due = State.RETRYING, False
        else:
            self.state = State.QUEUED


class Lives(RuleBasedStateMachine):
    jobs: Bundle[uuid.UUID] = Bundle("jobs")
    # Jobs as a worker got them. Most are stale after a while: those workers are the late ones.
    claims: Bundle[Job] = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.expected: dict[uuid.UUID, Expected] = {}
        self.requeues: Counter[uuid.UUID] = Counter()

    @initialize()
    def empty_tables(self) -> None:
        for model in (Attempt, Job, Node):
            model.objects.all().delete()
        self.nodes = [live_node(name, kinds=(KIND,)) for name in ("one", "two")]

    @precondition(lambda self: len(self.expected) < FEW)
    @rule(target=jobs, later=st.booleans(), retries=st.integers(0, 2), priority=st.sampled_from(Priority))
    def submit(self, later: bool, retries: int, priority: Priority) -> uuid.UUID:
        run_at = timezone.now() + LATER if later else None
        job = lifecycle.submit(KIND, run_at=run_at, max_retries=retries, priority=priority)
        self.expected[job.id] = Expected(State.SCHEDULED if later else State.QUEUED, not later, retries)
        return job.id

    @rule()
    def submit_and_roll_back(self) -> None:
        with transaction.atomic():
            lifecycle.submit(KIND)
            transaction.set_rollback(True)

    @rule(job_id=jobs)
    def time_passes(self, job_id: uuid.UUID) -> None:
        make_due(Job(id=job_id))
        self.expected[job_id].due = True

    @rule()
    def promote(self) -> None:
        due = [one for one in self.expected.values() if one.due and one.state in (State.SCHEDULED, State.RETRYING)]
        assert lifecycle.promote() == len(due)
        for one in due:
            one.state = State.QUEUED

    @rule(target=claims, wanted=st.lists(jobs, min_size=1, max_size=4, unique=True), at=st.integers(0, 1))
    def claim(self, wanted: list[uuid.UUID], at: int) -> Any:
        lease, node = uuid.uuid4(), self.nodes[at].id
        taken = lifecycle.claim(wanted, node=node, lease=lease, kinds=[KIND])
        ready = [job_id for job_id in wanted if self.expected[job_id].state is State.QUEUED]
        assert [job.id for job in taken] == ready
        for job in taken:
            one = self.expected[job.id]
            one.state, one.lease, one.node, one.attempt = State.RUNNING, lease, node, one.attempt + 1
        return multiple(*taken)

    @rule(
        ended=st.lists(
            st.tuples(claims, st.sampled_from(sorted(ENDINGS))),
            min_size=1,
            max_size=4,
            unique_by=lambda pair: pair[0].id,
        )
    )
    def record(self, ended: list[tuple[Job, str]]) -> None:
        accepted = lifecycle.record([ENDINGS[way](job) for job, way in ended])
        assert accepted == {job.id for job, _ in ended if self._holds(job)}
        for job, way in ended:
            if job.id in accepted:
                self._end(job.id, way)

    @rule(job=claims)
    def give_back_unbegun(self, job: Job) -> None:
        assert job.lease
        held = self._holds(job)
        assert lifecycle.unclaim(job.lease, [job.id]) == held
        if held:
            one = self.expected[job.id]
            one.state = State.CANCELLED if one.cancel_asked else State.QUEUED
            one.lease, one.attempt = None, one.attempt - 1
            self._note_end(job.id)

    @rule(job=claims, value=st.integers())
    def write_progress_and_checkpoint(self, job: Job, value: int) -> None:
        assert leases.save_progress(job, {"fraction": None, "note": str(value)}) == self._holds(job)
        assert leases.save_checkpoint(job, value) == self._holds(job)

    @rule(at=st.integers(0, 1))
    def a_node_dies_and_its_jobs_are_rescued(self, at: int) -> None:
        node = self.nodes[at]
        Node.objects.filter(id=node.id).update(expires_at=timezone.now() - LATER)
        lost = leases.lost()
        theirs = {job_id for job_id, one in self.expected.items() if one.lease and one.node == node.id}
        assert {job.id for job in lost} == theirs
        assert lifecycle.record([endings.lost(job) for job in lost]) == theirs
        for job_id in theirs:
            self._end(job_id, Outcome.LOST)
        Node.objects.filter(id=node.id).update(expires_at=timezone.now() + LATER)

    @rule(job_id=jobs)
    def cancel(self, job_id: uuid.UUID) -> None:
        one = self.expected[job_id]
        assert len(lifecycle.cancel([job_id])) == (one.state not in FINISHED)
        if one.state is State.RUNNING:
            one.cancel_asked = True
        elif one.state not in FINISHED:
            one.state, one.cancel_asked = State.CANCELLED, True
            self._note_end(job_id)

    @rule(job_id=jobs)
    def pause(self, job_id: uuid.UUID) -> None:
        one = self.expected[job_id]
        assert lifecycle.pause([job_id]) == (one.state in WAITING)
        if one.state in WAITING:
            one.state = State.PAUSED

    @rule(job_id=jobs)
    def resume(self, job_id: uuid.UUID) -> None:
        one = self.expected[job_id]
        assert lifecycle.resume([job_id]) == (one.state is State.PAUSED)
        if one.state is State.PAUSED:
            one.state = State.QUEUED if one.due else State.SCHEDULED

    @rule(job_id=jobs)
    def hasten(self, job_id: uuid.UUID) -> None:
        one = self.expected[job_id]
        assert lifecycle.hasten([job_id]) == (one.state is State.SCHEDULED)
        if one.state is State.SCHEDULED:
            one.state, one.due = State.QUEUED, True

    @rule(job_id=jobs, priority=st.sampled_from(Priority))
    def set_priority(self, job_id: uuid.UUID, priority: Priority) -> None:
        finished = self.expected[job_id].state in FINISHED
        assert lifecycle.set_priority([job_id], priority) == (not finished)

    @rule(job_id=jobs)
    def requeue(self, job_id: uuid.UUID) -> None:
        one = self.expected[job_id]
        dead = one.state in (State.FAILED, State.CANCELLED)
        assert lifecycle.requeue([job_id]) == dead
        if dead:
            one.state, one.due, one.cancel_asked = State.QUEUED, True, False
            one.failures = one.crashes = one.losses = 0
            self.requeues[job_id] += 1

    @rule(job_id=jobs)
    def discard(self, job_id: uuid.UUID) -> None:
        one = self.expected[job_id]
        assert lifecycle.discard([job_id]) == (one.state is State.FAILED)
        if one.state is State.FAILED:
            one.state = State.CANCELLED

    def _holds(self, job: Job) -> bool:
        return self.expected[job.id].lease == job.lease

    def _end(self, job_id: uuid.UUID, way: str) -> None:
        self.expected[job_id].end(way)
        self._note_end(job_id)

    def _note_end(self, job_id: uuid.UUID) -> None:
        one = self.expected[job_id]
        if one.state in FINISHED:
            one.ends[self.requeues[job_id]] += 1

    # --- what is always true -----------------------------------------------------------------------------------------

    @invariant()
    def rows_are_as_expected(self) -> None:
        rows = {job.id: job for job in Job.objects.all()}
        assert rows.keys() == self.expected.keys()
        for job_id, one in self.expected.items():
            job = rows[job_id]
            assert (job.state, job.lease, job.attempt) == (one.state, one.lease, one.attempt)
            assert (job.failures, job.crashes, job.losses) == (one.failures, one.crashes, one.losses)
            assert (job.cancel_requested_at is not None) == one.cancel_asked

    @invariant()
    def budgets_are_kept(self) -> None:
        for job in Job.objects.all():
            assert job.failures <= job.max_retries + 1
            assert job.crashes <= django_settings.CRASH_BUDGET
            assert job.losses <= endings.LOSS_BUDGET

    @invariant()
    def every_run_has_one_end_at_most(self) -> None:
        assert all(count == 1 for one in self.expected.values() for count in one.ends.values())

    @invariant()
    def history_tells_every_attempt_once_and_in_order(self) -> None:
        history: dict[uuid.UUID, list[tuple[int, str]]] = {job_id: [] for job_id in self.expected}
        for job_id, number, outcome in Attempt.objects.order_by("id").values_list("job_id", "number", "outcome"):
            history[job_id].append((number, outcome))
        for job_id, one in self.expected.items():
            assert history[job_id] == one.history
            ended = one.attempt - (one.state is State.RUNNING)
            assert [number for number, _ in one.history] == list(range(1, ended + 1))

    @invariant()
    def counts_agree_with_the_rows(self) -> None:
        counted = Counter(str(one.state.value) for one in self.expected.values())
        assert {state: count for state, count in tally.counts().items() if count} == counted


@pytest.mark.django_db(transaction=True)
def test_no_order_of_verbs_breaks_the_rules_of_a_jobs_life(add_kind: AddKind, settings: Any) -> None:
    settings.LEASE_SECONDS = 0  # a server that has just started holds rescue back for one lease
    hour = LATER / timedelta(seconds=1)
    add_kind(KIND, backoff=Backoff(base=hour, cap=hour))
    run_state_machine_as_test(Lives, settings=BOUNDED)


BOUNDED = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
