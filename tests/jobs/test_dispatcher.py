"""Rounds of the dispatcher in this process, against the real Postgres and Redis."""

from __future__ import annotations

import base64
import json
import time
import uuid
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from celery import current_app
from django.db import connection
from django.utils import timezone

from jobs import broker, endings, leadership, lifecycle, window
from jobs import dispatcher as dispatching
from jobs.capacity import QUEUES
from jobs.dispatcher import Dispatcher
from jobs.kinds import Lane
from jobs.models import Job, Node, Outcome, State
from tests.jobs.states import LATER, as_stored, claimed, job_in, live_node, make_due, outcomes, state_of, submitted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis
    from pytest_django.fixtures import Settings

    from tests.jobs.conftest import AddKind

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sent(redis_client: redis.Redis) -> Callable[[], list[tuple[str, list[uuid.UUID]]]]:
    """What lies in Redis: queue and ids of each message, the oldest of each queue first."""

    def sent() -> list[tuple[str, list[uuid.UUID]]]:
        found = []
        for queue in QUEUES:
            for raw in reversed(redis_client.lrange(queue, 0, -1)):
                message = json.loads(raw)
                assert message["headers"]["task"] == "jobs.run"
                ((ids,), _, _) = json.loads(base64.b64decode(message["body"]))
                found.append((queue, [uuid.UUID(one) for one in ids]))
        return found

    return sent


@pytest.fixture
def dispatcher(redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Dispatcher:
    """One that trusts what it sees in its first round, where in life it watches for a few seconds before a rescue."""
    monkeypatch.setattr(dispatching, "_STEADY_BEFORE_RESCUE", 0.0)
    return Dispatcher(app=current_app)


def _round(dispatcher: Dispatcher) -> None:
    """A round in which everything is due."""
    dispatcher._care_at = dispatcher._promote_at = 0.0
    assert dispatcher._leads()
    dispatcher._round()


def test_a_ready_job_is_sent_to_the_queue_of_its_priority_and_lane(
    dispatcher: Dispatcher, sent: Callable[[], object], add_kind: AddKind
) -> None:
    live_node(kinds=("echo", "waits"))
    add_kind("waits", lane=Lane.IO)
    low, high = lifecycle.submit("echo", priority="low"), lifecycle.submit("waits", priority="high")

    _round(dispatcher)

    assert sent() == [("high.io", [high.id]), ("low", [low.id])]


def test_a_job_is_sent_once_however_many_rounds_pass(dispatcher: Dispatcher, sent: Callable[[], object]) -> None:
    live_node()
    (job,) = submitted(1)

    for _ in range(5):
        _round(dispatcher)

    assert sent() == [("medium", [job.id])]


def test_a_million_waiting_jobs_would_cost_redis_a_window(
    dispatcher: Dispatcher, sent: Callable[[], list[object]]
) -> None:
    live_node(slots=2)
    submitted(1000)

    _round(dispatcher)

    assert len(sent()) == 16


def test_short_jobs_travel_in_chunks_once_their_pace_is_known(
    dispatcher: Dispatcher, sent: Callable[[], list[tuple[str, list[uuid.UUID]]]]
) -> None:
    node = live_node(slots=2)
    for job in claimed(*submitted(10), node=node):
        lifecycle.record([endings.Ending(job, Outcome.COMPLETED, State.COMPLETED, seconds=0.001)])
    jobs = submitted(100)

    _round(dispatcher)

    messages = [ids for _, ids in sent()]
    assert [one for ids in messages for one in ids] == [job.id for job in jobs]
    assert [len(ids) for ids in messages] == [50, 50]


def test_what_is_due_is_promoted_and_sent_in_the_same_round(dispatcher: Dispatcher, sent: Callable[[], object]) -> None:
    live_node()
    scheduled = lifecycle.submit("echo", run_at=timezone.now() + LATER)
    _round(dispatcher)
    assert sent() == []

    make_due(scheduled)
    _round(dispatcher)

    assert sent() == [("medium", [scheduled.id])]


def test_a_retry_that_is_due_is_sent_again(dispatcher: Dispatcher, sent: Callable[[], object]) -> None:
    live_node()
    job = job_in(State.RETRYING)
    make_due(job)

    _round(dispatcher)

    assert sent() == [("medium", [job.id])]


def test_jobs_of_a_lost_node_are_rescued_and_sent_to_others(
    dispatcher: Dispatcher, sent: Callable[[], object], settings: Settings
) -> None:
    settings.LEASE_SECONDS = 0
    lost = live_node("lost")
    (job,) = claimed(*submitted(1), node=lost)
    Node.objects.filter(id=lost.id).update(expires_at=timezone.now() - LATER)
    live_node("alive")

    _round(dispatcher)

    assert outcomes(job) == [(1, Outcome.LOST)]
    assert sent() == [("medium", [job.id])]


def test_a_lost_job_whose_row_is_locked_holds_up_the_rescue_of_no_other(
    dispatcher: Dispatcher, settings: Settings
) -> None:
    settings.LEASE_SECONDS = 0
    lost = live_node("lost")
    stuck, other = claimed(*submitted(2), node=lost)
    Node.objects.filter(id=lost.id).update(expires_at=timezone.now() - LATER)

    with _locked(stuck):
        _round(dispatcher)
        assert (outcomes(stuck), outcomes(other)) == ([], [(1, Outcome.LOST)])
    _round(dispatcher)

    assert outcomes(stuck) == [(1, Outcome.LOST)]


@contextmanager
def _locked(job: Job) -> Iterator[None]:
    """As a worker leaves it that was cut off in the middle of a transaction."""
    worker = connection.copy()
    worker.set_autocommit(False)
    try:
        with worker.cursor() as cursor:
            cursor.execute("SELECT FROM jobs_job WHERE id = %s FOR UPDATE", [job.id])
        yield
    finally:
        worker.rollback()
        worker.set_autocommit(True)
        worker.close()


def test_nobody_is_rescued_before_nodes_could_be_heard(settings: Settings) -> None:
    settings.LEASE_SECONDS = 0
    (job,) = claimed(*submitted(1), node=Node(id=uuid.uuid4()))

    _round(Dispatcher(app=current_app))

    assert state_of(job) == State.RUNNING


def test_a_job_on_a_live_node_is_never_rescued_however_long_it_runs(dispatcher: Dispatcher, settings: Settings) -> None:
    settings.LEASE_SECONDS = 0
    (job,) = claimed(*submitted(1))
    Job.objects.update(started_at=timezone.now() - timedelta(days=30))

    _round(dispatcher)

    assert state_of(job) == State.RUNNING


def test_a_redis_that_was_wiped_is_filled_again(
    dispatcher: Dispatcher,
    sent: Callable[[], object],
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(window, "_LOST_AFTER", 0.0)
    live_node()
    jobs = submitted(5)
    _round(dispatcher)
    before = sent()

    redis_client.flushall()
    for _ in range(3):
        _round(dispatcher)

    assert sent() == before == [("medium", [job.id]) for job in jobs]


def test_messages_that_lie_in_redis_are_not_sent_again(
    dispatcher: Dispatcher, sent: Callable[[], list[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "_LOST_AFTER", 0.0)
    live_node()
    submitted(5)

    for _ in range(5):
        _round(dispatcher)

    assert len(sent()) == 5


def test_the_age_of_the_oldest_message_is_that_of_the_first_to_be_taken(redis_client: redis.Redis) -> None:
    for stamp in (10, 20, 30):
        broker.send([broker.Hint("high", [uuid.uuid4()], stamp)])

    assert broker.oldest_stamps(["high", "low"]) == {"high": 10, "low": None}
    redis_client.rpop("high")
    assert broker.oldest_stamps(["high"]) == {"high": 20}


def test_a_message_says_what_it_is_about_to_whoever_watches_celery(redis_client: redis.Redis) -> None:
    one, other = uuid.uuid4(), uuid.uuid4()
    broker.send([broker.Hint("high", [one, other], 1, frozenset({"echo"}))])

    raw = redis_client.rpop("high")
    headers = json.loads(str(raw))["headers"]

    assert (headers["shadow"], headers["argsrepr"]) == ("echo", f"{one} and 1 more")


def test_somebody_elses_celery_task_in_our_queue_does_not_confuse_the_dispatcher(redis_client: redis.Redis) -> None:
    current_app.send_task("somebody.elses", queue="high", ignore_result=True)

    assert broker.oldest_stamps(["high"]) == {"high": 0}


def test_a_standby_sends_nothing_until_the_leader_is_gone(dispatcher: Dispatcher, sent: Callable[[], object]) -> None:
    live_node()
    leadership.lead("another")
    (job,) = submitted(1)

    assert not dispatcher._leads()
    leadership.resign("another")
    dispatcher._renew_at = 0.0
    _round(dispatcher)

    assert sent() == [("medium", [job.id])]


def test_a_dispatcher_that_stops_makes_way_at_once(dispatcher: Dispatcher) -> None:
    _round(dispatcher)
    assert leadership.leader() is not None

    dispatcher.close()

    assert leadership.leader() is None


def test_a_dispatcher_that_leads_anew_does_not_trust_what_it_sent_before(
    dispatcher: Dispatcher, sent: Callable[[], list[object]]
) -> None:
    live_node()
    submitted(1)
    _round(dispatcher)
    leadership.resign(dispatcher.name)
    leadership.lead("another")
    dispatcher._renew_at = 0.0
    assert not dispatcher._leads()
    leadership.resign("another")
    dispatcher._renew_at = 0.0

    _round(dispatcher)

    assert len(sent()) == 2


def test_a_second_hint_for_the_same_job_does_no_harm(dispatcher: Dispatcher) -> None:
    (job,) = submitted(1)
    assert len(claimed(job)) == 1
    assert claimed(job) == []
    assert as_stored(job).attempt == 1


def test_nodes_that_are_gone_for_long_are_forgotten(dispatcher: Dispatcher) -> None:
    live_node("alive")
    for name, ago in (("a while", timedelta(hours=23)), ("long", timedelta(hours=25))):
        node = live_node(name)
        Node.objects.filter(id=node.id).update(expires_at=timezone.now() - ago)

    _round(dispatcher)

    assert set(Node.objects.values_list("name", flat=True)) == {"alive", "a while"}


def test_stamps_are_times_so_that_a_successor_goes_on_from_them(
    dispatcher: Dispatcher, redis_client: redis.Redis
) -> None:
    live_node()
    submitted(1)
    before = time.time_ns()

    _round(dispatcher)

    stamp = broker.oldest_stamps(["medium"])["medium"]
    assert stamp is not None
    assert before <= stamp <= time.time_ns()
