"""Unique keys: of the jobs of a kind that have one, one lives."""

from __future__ import annotations

import multiprocessing
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, connections, transaction
from django.utils import timezone

from jobs import lifecycle
from jobs.lifecycle import KeyTaken
from jobs.models import FINISHED, LIVE, Job, State
from jobs.submission import Conflict, InvalidSubmission, checked
from tests.jobs.states import as_stored, job_in, state_of

if TYPE_CHECKING:
    import uuid
    from multiprocessing.synchronize import Barrier

    from tests.jobs.conftest import AddKind, Race

pytestmark = pytest.mark.django_db

IN_AN_HOUR = timedelta(hours=1)


def _with_key(n: int, key: str = "k", **options: Any) -> Any:
    return checked("echo", {"n": n}, unique_key=key, **options)


@pytest.mark.parametrize("state", [state for state in LIVE if state != State.BLOCKED])
def test_a_live_job_with_the_key_is_given_instead_of_a_second_one(state: State) -> None:
    job = job_in(state, unique_key="k")

    assert lifecycle.place(_with_key(2)) == (as_stored(job), False)
    assert Job.objects.count() == 1


@pytest.mark.parametrize("state", FINISHED)
def test_a_finished_job_has_left_its_key(state: State) -> None:
    job_in(state, unique_key="k")

    _, new = lifecycle.place(_with_key(2))

    assert new
    assert Job.objects.count() == 2


def test_a_key_counts_within_its_kind(add_kind: AddKind) -> None:
    add_kind("other")
    lifecycle.submit("echo", unique_key="k")

    assert lifecycle.place(checked("other", unique_key="k"))[1]


def test_a_key_counts_within_its_owner() -> None:
    ada, bob = (User.objects.create(username=name) for name in ("ada", "bob"))
    jobs = [checked("echo", unique_key="k", owner=owner) for owner in (ada, bob, None)]

    assert all(new for _, new in lifecycle.place_many(jobs[:1]) + lifecycle.place_many(jobs[1:2]))
    assert lifecycle.place(jobs[2])[1]
    assert [lifecycle.place(job)[1] for job in jobs] == [False] * 3


def test_a_refused_job_is_told_which_one_lives() -> None:
    job = lifecycle.submit("echo", unique_key="k")

    with pytest.raises(KeyTaken, match=str(job.id)):
        lifecycle.submit("echo", unique_key="k", on_conflict="refuse")
    assert Job.objects.count() == 1


@pytest.mark.parametrize("state", [State.SCHEDULED, State.QUEUED, State.RETRYING])
def test_a_job_that_has_not_begun_is_replaced_and_keeps_its_id(state: State) -> None:
    job = job_in(state, unique_key="k")
    wish: dict[str, Any] = {"metadata": {"a": 1}, "priority": "high", "max_retries": 9, "timeout": 7.0}

    placed, new = lifecycle.place(_with_key(2, on_conflict="replace", **wish))

    assert (placed.id, new, placed.state) == (job.id, False, State.QUEUED)
    assert (placed.payload, placed.metadata, placed.priority) == ({"n": 2}, {"a": 1}, 2)
    assert (placed.max_retries, placed.timeout, placed.failures) == (9, 7.0, 0)


def test_a_paused_job_is_replaced_and_stays_paused() -> None:
    job_in(State.PAUSED, unique_key="k")

    placed, _ = lifecycle.place(_with_key(2, on_conflict="replace"))

    assert (placed.payload, placed.state) == ({"n": 2}, State.PAUSED)
    lifecycle.resume([placed.id])
    assert state_of(placed) == State.QUEUED


def test_a_reschedule_moves_the_time_and_nothing_else() -> None:
    job = lifecycle.submit("echo", {"n": 1}, unique_key="k", run_at=timezone.now() + IN_AN_HOUR)
    later = timezone.now() + 2 * IN_AN_HOUR

    placed, _ = lifecycle.place(_with_key(2, on_conflict="reschedule", run_at=later, priority="low"))
    assert (placed.id, placed.run_at, placed.payload, placed.priority) == (job.id, later, {"n": 1}, 1)

    placed, _ = lifecycle.place(_with_key(2, on_conflict="reschedule"))
    assert placed.state == State.QUEUED


@pytest.mark.parametrize("wish", ["replace", "reschedule"])
def test_what_runs_is_neither_replaced_nor_rescheduled(wish: str) -> None:
    job = job_in(State.RUNNING, unique_key="k")
    before = as_stored(job)

    with pytest.raises(KeyTaken, match=str(job.id)):
        lifecycle.submit("echo", unique_key="k", on_conflict=wish)

    assert Job.objects.filter(id=job.id).values().get() == Job.objects.filter(id=before.id).values().get()


def test_the_table_itself_refuses_a_second_live_job_with_the_key() -> None:
    lifecycle.submit("echo", unique_key="k")
    other = lifecycle.submit("echo")

    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(id=other.id).update(unique_key="k")


def test_a_bulk_with_and_without_keys_is_written_in_one_go() -> None:
    lives = lifecycle.submit("echo", {"n": 0}, unique_key="a")
    jobs = [checked("echo"), _with_key(1, "a"), _with_key(2, "b"), checked("echo"), _with_key(3, "b")]

    placed = lifecycle.place_many(jobs)

    assert [new for _, new in placed] == [True, False, True, True, False]
    assert placed[1][0] == lives.id
    assert placed[4][0] == placed[2][0]
    assert Job.objects.count() == 4
    assert Job.objects.get(unique_key="b").payload == {"n": 2}


def test_within_one_bulk_the_last_that_replaces_counts() -> None:
    placed = lifecycle.submit_many([_with_key(n, on_conflict="replace") for n in range(3)])

    assert len(set(placed)) == 1
    assert Job.objects.get().payload == {"n": 2}


def test_a_bulk_with_a_refused_job_writes_nothing_and_names_every_refused_one() -> None:
    lives = lifecycle.submit("echo", unique_key="a")
    refused = {"on_conflict": "refuse"}
    jobs = [checked("echo"), _with_key(1, "a", **refused), _with_key(2, "b", **refused), _with_key(3, "b", **refused)]

    with pytest.raises(KeyTaken) as caught:
        lifecycle.submit_many(jobs)

    assert caught.value.taken.keys() == {1, 3}
    assert caught.value.taken[1] == lives.id
    assert Job.objects.count() == 1


def test_a_hook_is_called_for_new_jobs_alone(add_kind: AddKind) -> None:
    seen: list[uuid.UUID] = []
    add_kind("hooked", on_submit=lambda jobs: seen.extend(job.id for job in jobs))

    first = lifecycle.submit("hooked", unique_key="k")
    lifecycle.submit("hooked", unique_key="k")
    ids = lifecycle.submit_many([checked("hooked", unique_key=key) for key in ("k", "l")])

    assert seen == [first.id, ids[1]]


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"unique_key": ""}, "/unique_key"),
        ({"unique_key": "x" * 201}, "/unique_key"),
        ({"unique_key": "a\nb"}, "/unique_key"),
        ({"unique_key": 5}, "/unique_key"),
        ({"unique_key": "k", "on_conflict": "wait"}, "/on_conflict"),
        ({"on_conflict": "refuse"}, "/on_conflict"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused_with_its_place(options: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        checked("echo", **options)
    assert [fault.pointer for fault in caught.value.faults] == [pointer]


def test_a_kind_with_rows_of_its_own_cannot_be_replaced(add_kind: AddKind) -> None:
    add_kind("hooked", on_submit=lambda _: None)
    with pytest.raises(InvalidSubmission, match="cannot be replaced"):
        checked("hooked", unique_key="k", on_conflict="replace")


# --- requeue ---------------------------------------------------------------------------------------------------------


def test_a_dead_letter_stays_where_it_is_while_a_live_job_has_its_key() -> None:
    dead, other = job_in(State.FAILED, unique_key="k"), job_in(State.FAILED)
    lives = lifecycle.submit("echo", unique_key="k")

    assert lifecycle.requeue([dead.id, other.id]) == 1
    assert (state_of(dead), state_of(other)) == (State.FAILED, State.QUEUED)
    assert lifecycle.not_reached("requeue", dead.id) == "A live job has its unique_key."

    lifecycle.cancel([lives.id])
    assert lifecycle.requeue([dead.id]) == 1


def test_of_dead_letters_with_one_key_one_is_requeued() -> None:
    dead = [job_in(State.FAILED, unique_key="k") for _ in range(3)]

    assert lifecycle.requeue([job.id for job in dead]) == 1
    assert Job.objects.filter(unique_key="k", state=State.QUEUED).count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_requeue_and_submissions_at_once_leave_one_live_job(race: Race) -> None:
    for n in range(20):
        dead = job_in(State.FAILED, unique_key=f"k{n}")

        race(
            lambda dead=dead: lifecycle.requeue([dead.id]),
            lambda n=n: lifecycle.submit("echo", unique_key=f"k{n}"),
            lambda n=n: lifecycle.submit_many([_with_key(1, f"k{n}"), checked("echo")]),
        )

        assert Job.objects.filter(unique_key=f"k{n}", state__in=LIVE).count() == 1


# --- many processes --------------------------------------------------------------------------------------------------

PROCESSES = 10


def _submit_rounds(number: int, rounds: int, together: Barrier) -> None:
    """One of ten: every round the same keys as the others, singly and in bulk, in an order of its own."""
    chance = random.Random(number)
    for round_ in range(rounds):
        together.wait(60)
        lifecycle.submit("echo", unique_key=f"single {round_}", on_conflict=chance.choice(list(Conflict)[:3]))
        keys = chance.sample(range(4), 4)
        lifecycle.submit_many([_with_key(number, f"bulk {round_} {key}") for key in keys] + [checked("echo")])


def _race_of_processes(rounds: int) -> None:
    connections.close_all()
    connection.close_pool()  # type: ignore[attr-defined]  # the children must not share the parent's connections
    forks = multiprocessing.get_context("fork")
    together = forks.Barrier(PROCESSES)
    racers = [forks.Process(target=_submit_rounds, args=(n, rounds, together)) for n in range(PROCESSES)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(600)
    assert [racer.exitcode for racer in racers] == [0] * PROCESSES
    keys = list(Job.objects.filter(unique_key__isnull=False).values_list("unique_key", flat=True))
    assert len(keys) == len(set(keys)) == rounds * 5
    assert Job.objects.filter(unique_key=None).count() == rounds * PROCESSES


@pytest.mark.django_db(transaction=True)
def test_ten_processes_that_submit_one_key_make_one_job_of_it_each_round() -> None:
    _race_of_processes(rounds=25)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.django_db(transaction=True)
def test_ten_processes_that_submit_one_key_make_one_job_of_it_in_a_thousand_rounds() -> None:
    _race_of_processes(rounds=1000)
