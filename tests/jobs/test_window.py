from __future__ import annotations

import time
import uuid
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from jobs import endings, lifecycle
from jobs.capacity import QUEUES, Capacity
from jobs.models import Job, Lane, Node, Priority, State
from jobs.window import Ready, Window, chunks
from project import celery
from tests.jobs.states import LATER, claimed, job_in, live_node, make_due, submitted

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

    from tests.jobs.conftest import AddKind

LONG_AGO = time.time_ns() - 60 * 10**9


def _serving(*queues: str, slots: int = 1, kinds: tuple[str, ...] = ("echo",), pace: float | None = None) -> Capacity:
    known = defaultdict[str, frozenset[str]](frozenset, {queue: frozenset(kinds) for queue in queues})
    return Capacity(dict.fromkeys(queues, slots), known, {} if pace is None else dict.fromkeys(kinds, pace))


def _submit(count: int, **options: Any) -> list[uuid.UUID]:
    return [job.id for job in submitted(count, **options)]


def _ids(ready: list[Ready]) -> list[uuid.UUID]:
    return [job.id for job in ready]


def _run(job_id: uuid.UUID, node: Node) -> None:
    (job,) = lifecycle.claim([job_id], node=node.id, lease=uuid.uuid4(), kinds=["echo"])
    lifecycle.record([endings.completed(job, None)])


def test_workers_listen_to_the_queues_that_the_dispatcher_sends_to_in_strict_order() -> None:
    assert QUEUES == celery.QUEUES
    assert [queue for queue in QUEUES if "." not in queue] == ["critical", "high", "medium", "low"]


@pytest.mark.django_db
def test_capacity_counts_live_nodes_that_take_work() -> None:
    live_node("one", slots=2, kinds=("echo",))
    live_node("two", slots=3, kinds=("echo", "other"))
    dead, draining = live_node("dead"), live_node("draining")
    Node.objects.filter(id=dead.id).update(expires_at=timezone.now() - LATER)
    Node.objects.filter(id=draining.id).update(draining=True)

    capacity = Capacity.read()

    assert dict(capacity.slots) == dict.fromkeys(QUEUES, 5)
    assert capacity.kinds["medium"] == {"echo", "other"}


@pytest.mark.django_db
def test_nobody_there_means_nothing_to_send() -> None:
    _submit(3)

    assert Window().unsent(Capacity.read()) == []


# --- what stands in the window ----------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_each_queue_shows_its_first_jobs_in_the_order_of_readiness() -> None:
    medium, high = _submit(3), _submit(2, priority="high")

    ready = Window().unsent(_serving("high", "medium"))

    assert [job.id for job in ready if job.queue == "medium"] == medium
    assert [job.id for job in ready if job.queue == "high"] == high


@pytest.mark.django_db
def test_the_window_is_bounded_however_many_wait() -> None:
    ids = _submit(500)
    window = Window()

    assert _ids(window.unsent(_serving("medium", slots=1))) == ids[:16]
    assert _ids(window.unsent(_serving("medium", slots=10))) == ids[:40]
    assert window.more


@pytest.mark.django_db
def test_what_was_sent_is_not_sent_again_and_what_was_taken_makes_room() -> None:
    node, capacity, window = live_node(), _serving("medium"), Window()
    ids = _submit(20)

    first = window.unsent(capacity)
    window.note_sent(first, window.stamp())
    assert window.unsent(capacity) == []

    for job_id in ids[:3]:
        _run(job_id, node)
    assert _ids(window.unsent(capacity)) == ids[16:19]


@pytest.mark.django_db
def test_what_was_taken_and_given_back_between_two_looks_is_sent_again() -> None:
    window, capacity = Window(), _serving("medium")
    (job_id,) = _submit(1)
    window.note_sent(window.unsent(capacity), window.stamp())

    (job,) = lifecycle.claim([job_id], node=live_node().id, lease=uuid.uuid4(), kinds=["echo"])
    assert job.lease
    lifecycle.unclaim(job.lease, [job_id])

    assert _ids(window.unsent(capacity)) == [job_id]


@pytest.mark.django_db
def test_only_queued_jobs_stand_in_the_window() -> None:
    jobs = {state: job_in(state) for state in State}

    assert _ids(Window().unsent(_serving(*QUEUES))) == [jobs[State.QUEUED].id]


@pytest.mark.django_db
def test_a_kind_that_no_worker_knows_waits_and_holds_nobody_up(add_kind: AddKind) -> None:
    add_kind("unheard_of")
    for _ in range(50):
        lifecycle.submit("unheard_of")
    (known,) = _submit(1)

    assert _ids(Window().unsent(_serving("medium"))) == [known]


@pytest.mark.django_db
def test_a_queue_that_no_worker_serves_is_not_sent_to(add_kind: AddKind) -> None:
    add_kind("waits", lane=Lane.IO)
    lifecycle.submit("waits")
    _submit(1)

    assert Window().unsent(_serving("low", kinds=("echo", "waits"))) == []


@pytest.mark.django_db
def test_a_kind_that_waits_travels_in_a_queue_of_its_lane(add_kind: AddKind) -> None:
    add_kind("waits", lane=Lane.IO)
    lifecycle.submit("waits", priority="high")

    (job,) = Window().unsent(_serving(*QUEUES, kinds=("waits",)))
    assert job.queue == "high.io"


# --- ageing -----------------------------------------------------------------------------------------------------------


def _age(ids: list[uuid.UUID]) -> None:
    bound = django_settings.AGEING_SECONDS + 1
    Job.objects.filter(id__in=ids).update(ready_at=timezone.now() - timedelta(seconds=bound))


@pytest.mark.django_db
def test_a_job_that_waited_too_long_stands_among_the_critical_ones() -> None:
    old, _ = _submit(1, priority="low"), _submit(1, priority="low")
    _age(old)
    window, capacity = Window(), _serving("critical")

    assert window.unsent(capacity) == []
    window.look_for_aged(capacity)
    assert [(job.id, job.queue) for job in window.unsent(capacity)] == [(old[0], "critical")]


@pytest.mark.django_db
def test_aged_jobs_get_a_share_of_an_endless_critical_stream_and_no_more() -> None:
    """One job in four or five, as long as there are some: a window of 16, and a third of that for the aged."""
    node, window = live_node(), Window()
    capacity = _serving("critical", "low")
    _age(_submit(100, priority="low"))
    line: list[uuid.UUID] = []  # Redis: first in, first out
    begun: Counter[int] = Counter()

    for _ in range(200):
        _submit(1, priority="critical")
        window.look_for_aged(capacity)
        for job in window.unsent(capacity):
            window.note_sent([job], window.stamp())
            if job.queue == "critical":
                line.append(job.id)
        if len(line) < 16:
            continue  # the stream has only begun
        job_id = line.pop(0)
        begun[Job.objects.get(id=job_id).priority] += 1
        _run(job_id, node)

    assert 0.15 <= begun[Priority.LOW] / begun.total() <= 0.35


@pytest.mark.django_db
def test_aged_jobs_are_found_in_the_order_of_their_age() -> None:
    ids = _submit(30, priority="low")
    _age(ids)
    for place, job_id in enumerate(reversed(ids)):
        Job.objects.filter(id=job_id).update(ready_at=timezone.now() - LATER * (2 + place))
    window, capacity = Window(), _serving("critical")

    window.look_for_aged(capacity)

    assert _ids(window.unsent(capacity)) == ids[:5]


# --- what Redis has lost ----------------------------------------------------------------------------------------------


@pytest.fixture
def sent() -> tuple[Window, Capacity, list[Ready]]:
    """Five messages, sent a minute ago with stamps one apart."""
    _submit(5)
    window, capacity = Window(), _serving("medium")
    ready = window.unsent(capacity)
    for place, job in enumerate(ready):
        window.note_sent([job], LONG_AGO + place)
    return window, capacity, ready


def _look_twice(window: Window, capacity: Capacity, oldest: int | None) -> list[uuid.UUID]:
    assert window.forget_lost({"medium": oldest}) == 0
    assert window.unsent(capacity) == []
    count = window.forget_lost({"medium": oldest})
    again = window.unsent(capacity)
    assert len(again) == count
    return _ids(again)


@pytest.mark.django_db
def test_exactly_what_redis_has_lost_is_sent_again(sent: tuple[Window, Capacity, list[Ready]]) -> None:
    window, capacity, ready = sent
    assert _look_twice(window, capacity, LONG_AGO + 2) == _ids(ready[:2])


@pytest.mark.django_db
def test_a_redis_that_forgot_everything_gets_everything_again(sent: tuple[Window, Capacity, list[Ready]]) -> None:
    window, capacity, ready = sent
    assert _look_twice(window, capacity, None) == _ids(ready)


@pytest.mark.django_db
def test_nothing_is_sent_again_while_the_oldest_message_is_there(sent: tuple[Window, Capacity, list[Ready]]) -> None:
    window, capacity, _ = sent
    assert _look_twice(window, capacity, LONG_AGO) == []


@pytest.mark.django_db
def test_a_message_of_somebody_else_in_front_says_that_ours_are_still_there(
    sent: tuple[Window, Capacity, list[Ready]],
) -> None:
    window, capacity, _ = sent
    assert _look_twice(window, capacity, 0) == []


@pytest.mark.django_db
def test_a_message_that_has_just_been_sent_is_given_time_to_arrive() -> None:
    _submit(1)
    window, capacity = Window(), _serving("medium")
    window.note_sent(window.unsent(capacity), window.stamp())

    assert _look_twice(window, capacity, None) == []


@pytest.mark.django_db
def test_a_job_that_was_claimed_between_two_looks_is_not_sent_again(sent: tuple[Window, Capacity, list[Ready]]) -> None:
    window, capacity, ready = sent
    assert window.forget_lost({"medium": None}) == 0
    claimed(*[Job(id=job.id, kind="echo") for job in ready])
    assert window.unsent(capacity) == []

    assert window.forget_lost({"medium": None}) == 0


def test_stamps_only_grow() -> None:
    window = Window()
    stamps = [window.stamp() for _ in range(1000)]

    assert stamps == sorted(set(stamps))
    assert Window().stamp() > stamps[-1]


# --- messages ---------------------------------------------------------------------------------------------------------

ready_jobs = st.lists(
    st.builds(
        Ready,
        id=st.uuids(),
        queue=st.just("medium"),
        kind=st.sampled_from(["quick", "slow", "new"]),
        alone=st.booleans(),
    ),
    unique_by=lambda job: job.id,
)


@given(jobs=ready_jobs, most=st.integers(1, 8))
def test_every_job_travels_once_and_alone_if_it_is_slow_or_new_or_ran_before(jobs: list[Ready], most: int) -> None:
    capacity = Capacity({"medium": 1}, {}, {"quick": 0.001, "slow": 60.0})

    messages = list(chunks(jobs, capacity, most))

    assert [job for message in messages for job in message] == jobs
    for message in messages:
        assert 1 <= len(message) <= most
        if len(message) > 1:
            assert all(job.kind == "quick" and not job.alone for job in message)


@pytest.mark.parametrize(("pace", "size"), [(None, 1), (0.0, 200), (0.001, 100), (0.02, 5), (0.09, 1), (60.0, 1)])
def test_a_chunk_is_a_fraction_of_a_second_of_work(pace: float | None, size: int, settings: Settings) -> None:
    settings.CHUNK_SECONDS = 0.1
    first, *_ = chunks(_ready(300), _serving("medium", pace=pace))
    assert abs(len(first) - size) <= (size == 100)  # a hundred thousandths sum up to a little more than a tenth


def test_kinds_that_are_quick_travel_together(settings: Settings) -> None:
    settings.CHUNK_SECONDS = 0.1
    capacity = Capacity({"medium": 1}, {}, {"a": 0.01, "b": 0.04})
    jobs = [Ready(uuid.uuid4(), "medium", kind, alone=False) for kind in "abababa"]

    assert [len(message) for message in chunks(jobs, capacity)] == [4, 3]


def _ready(count: int) -> list[Ready]:
    return [Ready(uuid.uuid4(), "medium", "echo", alone=False) for _ in range(count)]


def _sizes(window: Window, capacity: Capacity) -> list[int]:
    """Of the messages that a round sends."""
    messages = window.messages(capacity)
    for message in messages:
        window.note_sent(message, window.stamp())
    return [len(message) for message in messages]


@pytest.mark.django_db
def test_jobs_are_shared_out_among_the_slots_before_they_are_chunked() -> None:
    _submit(10)
    assert _sizes(Window(), _serving("medium", slots=5, pace=0.001)) == [2] * 5


@pytest.mark.django_db
def test_jobs_that_come_one_by_one_travel_alone_only_until_every_slot_has_a_message_waiting(settings: Settings) -> None:
    settings.CHUNK_SECONDS = 0.1
    window, capacity = Window(), _serving("medium", slots=2, pace=0.02)
    sizes = []
    for _ in range(12):
        _submit(1)
        sizes.append(_sizes(window, capacity))

    assert sizes == [[1], [1], [], [], [], [], [5], [], [], [], [], [5]]
    assert not window.more
    _submit(1)
    assert _sizes(window, capacity) == []
    assert window.more


@pytest.mark.django_db
def test_what_was_held_back_goes_as_soon_as_a_slot_has_taken_its_message() -> None:
    window, capacity = Window(), _serving("medium", pace=0.001)
    (first,) = _submit(1)
    assert _sizes(window, capacity) == [1]
    _submit(3)
    assert _sizes(window, capacity) == []

    _run(first, live_node())

    assert _sizes(window, capacity) == [3]


@pytest.mark.django_db
def test_nothing_is_held_back_for_long_by_messages_that_nobody_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    window, capacity = Window(), _serving("medium", pace=0.001)
    _submit(1)
    assert _sizes(window, capacity) == [1]
    _submit(3)
    assert _sizes(window, capacity) == []

    monkeypatch.setattr("jobs.window._HELD_AT_MOST", 0.0)

    assert _sizes(window, capacity) == [3]


@pytest.mark.django_db
def test_a_queue_with_messages_waiting_holds_back_no_other_queue() -> None:
    window, capacity = Window(), _serving("critical", "low", pace=0.001)
    _submit(1, priority="low")
    assert _sizes(window, capacity) == [1]
    _submit(1, priority="low")
    _submit(1, priority="critical")

    assert _sizes(window, capacity) == [1]


@pytest.mark.django_db
def test_messages_are_bounded_too_however_few_jobs_they_carry() -> None:
    _submit(500)
    window = Window()
    capacity = _serving("medium", kinds=("echo", "quick"), slots=2)
    capacity = replace(capacity, paces={"quick": 0.0001})  # so many jobs of its like would fit, and these travel alone

    assert _sizes(window, capacity) == [1] * 16
    assert _sizes(window, capacity) == []
    assert window.more


@pytest.mark.django_db
def test_the_pace_of_a_kind_is_that_of_its_slow_runs() -> None:
    node = live_node()
    jobs = claimed(*submitted(100), node=node)
    slow, quick = jobs[:10], jobs[10:]
    lifecycle.record([replace(endings.completed(job, None), seconds=1.0) for job in slow])
    lifecycle.record([replace(endings.completed(job, None), seconds=0.001) for job in quick])

    assert Capacity.read().paces == {"echo": 1.0}


@pytest.mark.django_db
def test_a_job_that_ran_before_is_known_as_such() -> None:
    retried = job_in(State.RETRYING)
    (fresh,) = _submit(1)
    make_due(retried)
    lifecycle.promote()

    ready = Window().unsent(_serving("medium"))
    assert {(job.id, job.alone) for job in ready} == {(fresh, False), (retried.id, True)}
