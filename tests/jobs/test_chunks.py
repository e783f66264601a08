"""Chunks: jobs that travel together, and what happens when one of them turns out long."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import connection

from jobs import broker, lifecycle
from jobs.board import Board
from jobs.kinds import Context
from jobs.models import Attempt, Job, State
from jobs.worker import Slots
from tests.jobs.conftest import AddKind, Numbered
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    return Slots(uuid.uuid4(), Board(tmp_path, 1), shares_connections=False)


@pytest.fixture
def in_thread() -> Any:
    threads = []

    def start(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            finally:
                connection.close()

        thread = threading.Thread(target=run)
        thread.start()
        threads.append(thread)
        return thread

    yield start
    for thread in threads:
        thread.join(10)


def states(ids: list[uuid.UUID]) -> list[str]:
    found = dict(Job.objects.filter(id__in=ids).values_list("id", "state"))
    return [found[one] for one in ids]


def test_what_waits_behind_a_job_that_turns_out_long_is_given_back_and_what_ended_is_recorded(
    slots: Slots, add_kind: AddKind, in_thread: Any
) -> None:
    go_on = threading.Event()

    def work(payload: Numbered, ctx: Context) -> int:
        if payload.n == 1:
            go_on.wait(30)
        return payload.n

    add_kind("uneven", work)
    ids = [lifecycle.submit("uneven", {"n": n}).id for n in range(4)]
    in_thread(lambda: slots.run(ids))
    try:
        eventually(lambda: states(ids) == [State.COMPLETED, State.RUNNING, State.QUEUED, State.QUEUED])
        assert Job.objects.get(id=ids[2]).attempt == 0  # as if never claimed
    finally:
        go_on.set()
    eventually(lambda: states(ids)[1] == State.COMPLETED)
    assert states(ids)[2:] == [State.QUEUED, State.QUEUED]
    assert Attempt.objects.count() == 2


def test_a_chunk_of_short_jobs_is_claimed_once_and_recorded_once(slots: Slots, monkeypatch: pytest.MonkeyPatch) -> None:
    statements = []

    def noting(verb: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **options: Any) -> Any:
            statements.append(verb)
            return real(*args, **options)

        return noted

    for verb in ("claim", "record"):
        monkeypatch.setattr(lifecycle, verb, noting(verb, getattr(lifecycle, verb)))
    ids = [lifecycle.submit("echo", {"n": n}).id for n in range(20)]
    slots.run(ids)
    assert set(states(ids)) == {State.COMPLETED}
    assert statements == ["claim", "record"]


@pytest.fixture
def hurried(tmp_path: Path) -> Slots:
    """A slot of a worker of two queues."""
    return Slots(uuid.uuid4(), Board(tmp_path, 1), shares_connections=False, queues=["low", "critical"])


def _chunk_in_which_a_message_comes(
    add_kind: AddKind, redis_client: redis.Redis, queue: str, seen: Callable[[], bool]
) -> list[uuid.UUID]:
    """The job in which it comes runs until it is `seen`."""

    def work(payload: Numbered, _: Context) -> None:
        if payload.n == 1:
            redis_client.lpush(queue, json.dumps({"headers": {"task": "somebody else's"}}))
            eventually(seen)

    add_kind("in_a_chunk", work)
    return [lifecycle.submit("in_a_chunk", {"n": n}, priority="low").id for n in range(4)]


def test_a_chunk_makes_way_for_more_urgent_jobs_and_records_what_it_did(
    hurried: Slots, add_kind: AddKind, redis_client: redis.Redis
) -> None:
    ids: list[uuid.UUID] = []
    ids += _chunk_in_which_a_message_comes(
        add_kind, redis_client, "critical", lambda: states(ids)[2:] == [State.QUEUED, State.QUEUED]
    )

    hurried.run(ids, "low")

    assert states(ids) == [State.COMPLETED, State.COMPLETED, State.QUEUED, State.QUEUED]
    assert list(Job.objects.filter(id__in=ids[2:]).values_list("attempt", flat=True)) == [0, 0]


@pytest.mark.parametrize("queue", ["low", "high"])
def test_a_chunk_makes_no_way_for_its_own_queue_nor_for_one_that_its_worker_does_not_serve(
    hurried: Slots, add_kind: AddKind, redis_client: redis.Redis, queue: str
) -> None:
    ids = _chunk_in_which_a_message_comes(add_kind, redis_client, queue, lambda: True)

    hurried.run(ids, "low")

    assert set(states(ids)) == {State.COMPLETED}


def test_a_chunk_goes_on_while_redis_is_away(
    hurried: Slots, add_kind: AddKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(queues: object) -> bool:
        raise redis.ConnectionError

    monkeypatch.setattr(broker, "holds_any", away)
    ids = [lifecycle.submit("echo", {"n": n}, priority="low").id for n in range(4)]

    hurried.run(ids, "low")

    assert set(states(ids)) == {State.COMPLETED}
