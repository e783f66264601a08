"""The clerk of a slot: what is recorded and claimed while handlers run, and what is not."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import connection
from pytest_django import Settings

from jobs import broker, endings, lifecycle
from jobs.board import Board
from jobs.kinds import Context
from jobs.models import Job, Outcome, State
from jobs.worker import Slots
from tests.jobs.conftest import AddKind, Numbered
from tests.jobs.states import live_node, outcomes
from tests.waiting import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_client")]


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path, 1)


@pytest.fixture
def slots(board: Board) -> Slots:
    return Slots(live_node().id, board, shares_connections=False, queues=["low", "critical"])


@pytest.fixture
def submit(add_kind: AddKind, slots: Slots) -> Callable[..., list[uuid.UUID]]:
    """Submits jobs of a kind that is known to take 50 ms, each of which calls the function with its number."""

    def submit(function: Callable[[int], Any], count: int) -> list[uuid.UUID]:
        def work(payload: Numbered, _: Context) -> Any:
            return function(payload.n) if payload.n >= 0 else time.sleep(0.05)

        add_kind("short", work)
        slots.run([lifecycle.submit("short", {"n": -1}, priority="low").id], "low")
        return [lifecycle.submit("short", {"n": n}, priority="low").id for n in range(count)]

    return submit


def send(queue: str, *ids: uuid.UUID) -> None:
    broker.send([broker.Hint(queue, ids, time.time_ns())])


def states(ids: list[uuid.UUID]) -> list[str]:
    found = dict(Job.objects.filter(id__in=ids).values_list("id", "state"))
    return [found[one] for one in ids]


def test_a_slot_goes_on_with_the_messages_of_its_queue_and_the_more_urgent_one_comes_first(
    slots: Slots, submit: Any, redis_client: redis.Redis
) -> None:
    ran: list[int] = []
    ids = submit(ran.append, 6)
    send("low", *ids[2:4])
    send("low", ids[4])
    send("critical", ids[5])

    slots.run(ids[:2], "low")

    assert ran == [0, 1, 5, 2, 3, 4]
    assert states(ids) == [State.COMPLETED] * 6
    assert redis_client.exists("low", "critical") == 0


def test_a_slot_leaves_less_urgent_queues_to_celery(slots: Slots, submit: Any, redis_client: redis.Redis) -> None:
    ids = submit(lambda n: None, 2)
    send("low", ids[1])

    slots.run(ids[:1], "critical")

    assert states(ids) == [State.COMPLETED, State.QUEUED]
    assert redis_client.llen("low") == 1


@pytest.mark.parametrize(
    "message", ["no JSON", "[]", "{}", json.dumps({"headers": {"task": "theirs"}, "body": "W10="}), "\x80"]
)
def test_a_message_that_is_not_ours_is_left_to_celery(
    slots: Slots, submit: Any, redis_client: redis.Redis, message: str
) -> None:
    ids = submit(lambda n: None, 2)
    redis_client.rpush("low", message)

    slots.run(ids, "low")

    assert states(ids) == [State.COMPLETED] * 2
    assert redis_client.llen("low") == 1


def test_after_a_while_it_is_celerys_turn_again(
    slots: Slots, submit: Any, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.clerk._READS_ON", 0.0)
    ids = submit(lambda n: None, 2)
    send("low", ids[1])

    slots.run(ids[:1], "low")

    assert states(ids) == [State.COMPLETED, State.QUEUED]
    assert redis_client.llen("low") == 1


def test_what_was_claimed_ahead_is_given_back_when_the_job_before_it_turns_out_long(slots: Slots, submit: Any) -> None:
    ran: list[int] = []

    def work(n: int) -> None:
        ran.append(n)
        eventually(lambda: Job.objects.get(id=ids[1]).state == State.RUNNING)
        eventually(lambda: Job.objects.get(id=ids[1]).state == State.QUEUED)

    ids = submit(work, 2)
    send("low", ids[1])

    slots.run(ids[:1], "low")

    assert ran == [0]
    assert states(ids) == [State.COMPLETED, State.QUEUED]
    assert Job.objects.get(id=ids[1]).attempt == 0  # as if never claimed


def test_what_was_claimed_ahead_is_given_back_when_the_worker_drains(slots: Slots, submit: Any, board: Board) -> None:
    def work(n: int) -> None:
        eventually(lambda: Job.objects.get(id=ids[1]).state == State.RUNNING)
        board.drain(time.monotonic() + 3600)

    ids = submit(work, 2)
    send("low", ids[1])

    slots.run(ids[:1], "low")

    assert states(ids) == [State.COMPLETED, State.QUEUED]


def test_jobs_are_recorded_while_the_next_chunk_runs(slots: Slots, submit: Any) -> None:
    def work(n: int) -> None:
        if n == 1:
            eventually(lambda: Job.objects.get(id=ids[0]).state == State.COMPLETED)

    ids = submit(work, 2)
    send("low", ids[1])

    slots.run(ids[:1], "low")

    assert states(ids) == [State.COMPLETED] * 2


def test_the_node_sees_every_lease_that_a_slot_holds(slots: Slots, submit: Any, board: Board) -> None:
    seen: set[uuid.UUID | None] = set()

    def work(n: int) -> None:
        eventually(lambda: Job.objects.filter(state=State.RUNNING).count() == 2)
        leases = set(Job.objects.filter(state=State.RUNNING).values_list("lease", flat=True))
        assert leases == {entry.lease for entry in board.running()}
        seen.update(leases)

    ids = submit(lambda n: work(n) if n == 0 else None, 2)
    send("low", ids[1])

    slots.run(ids[:1], "low")

    assert len(seen) == 2
    assert states(ids) == [State.COMPLETED] * 2
    assert board.running() == []


@pytest.mark.parametrize("count", [1, 3])
def test_a_thread_of_a_worker_of_many_holds_no_connection_after_its_work(board: Board, submit: Any, count: int) -> None:
    ids = submit(lambda n: None, count)
    many = Slots(live_node().id, board, shares_connections=True)
    held: list[Any] = []

    def work() -> None:
        many.run(ids)
        held.append(connection.connection)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)

    assert held == [None]
    assert states(ids) == [State.COMPLETED] * count


def test_an_error_of_the_clerk_is_an_error_of_its_slot_and_loses_nothing(
    slots: Slots, submit: Any, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = submit(lambda n: None, 3)
    record = lifecycle.record

    def broken(given: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            raise MemoryError
        return record(given)

    monkeypatch.setattr(lifecycle, "record", broken)
    with pytest.raises(MemoryError):
        slots.run(ids, "low")
    assert states(ids) == [State.COMPLETED] * 3
    assert board.running() == []


def test_a_slot_that_can_have_no_clerk_does_its_work_alone(
    slots: Slots, submit: Any, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = submit(lambda n: None, 3)

    def no_room(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_room)
    slots.run(ids, "low")
    assert states(ids) == [State.COMPLETED] * 3
    assert board.running() == []


def test_a_late_result_is_refused_though_the_job_runs_again_in_the_same_slot(
    slots: Slots, submit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that was frozen: its job was rescued, and its own clerk takes it once more while the first run goes on."""
    rescued = threading.Event()
    take = broker.take

    def take_late(queues: Sequence[str]) -> Any:
        rescued.wait(30)
        return take(queues)

    monkeypatch.setattr(broker, "take", take_late)

    def work(n: int) -> str:
        if not rescued.is_set():
            lifecycle.record([endings.lost(Job.objects.get(id=ids[0]))])
            send("low", ids[0])
            rescued.set()
            eventually(lambda: Job.objects.get(id=ids[0]).attempt == 2)
            return "late"
        return "the second"

    ids = submit(work, 1)

    slots.run(ids, "low")

    job = Job.objects.get(id=ids[0])
    assert (job.state, job.result, job.attempt) == (State.COMPLETED, "the second", 2)
    assert outcomes(job) == [(1, Outcome.LOST), (2, Outcome.COMPLETED)]


def test_slots_that_share_a_pool_leave_its_connections_to_their_clerks(
    add_kind: AddKind, tmp_path: Path, settings: Settings
) -> None:
    count = settings.DATABASE_POOL_SIZE + 2

    def work(payload: Numbered, _: Context) -> None:
        connection.ensure_connection()  # and nobody gives it back
        time.sleep(1.0 if payload.n >= 0 else 0.05)  # in which the others take all that there are

    add_kind("short", work)
    slots = Slots(live_node().id, Board(tmp_path, count), shares_connections=True, queues=["low"])
    slots.run([lifecycle.submit("short", {"n": -1}, priority="low").id], "low")
    ids = [lifecycle.submit("short", {"n": n}, priority="low").id for n in range(count)]

    with ThreadPoolExecutor(count) as threads:
        for run in [threads.submit(slots.run, [one], "low") for one in ids]:
            run.result(60)

    assert set(states(ids)) == {State.COMPLETED}
