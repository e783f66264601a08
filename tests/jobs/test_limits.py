"""Limits: what they let through, to the job, whoever asks and however often."""

from __future__ import annotations

import math
import threading
import uuid
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.db.models import Count, F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from jobs import endings, gates, inline, lifecycle, limits, meters, pauses
from jobs.admission import Turnstile, park
from jobs.capacity import Capacity
from jobs.gates import Gates
from jobs.limits import BacklogFull, InvalidLimitError, Limits
from jobs.models import Gate, Job, Permit, State
from jobs.submission import InvalidSubmission, checked
from tests.jobs.states import as_stored, claimed, live_node, make_due

if TYPE_CHECKING:
    from tests.jobs.conftest import AddKind

pytestmark = pytest.mark.django_db


@pytest.fixture
def capacity() -> Capacity:
    live_node(slots=100)
    return Capacity.read()


def _limit(scope: str, target: str, **values: Any) -> None:
    limits.set(scope, target, Limits(**values), by="ann")
    Gate.objects.update(limited_at=F("limited_at") - timedelta(seconds=10))  # long enough ago for claims before it


def _round(turnstile: Turnstile, capacity: Capacity) -> int:
    turnstile.look()
    return turnstile.round(capacity)


def _submit(count: int, key: str = "", **options: Any) -> list[uuid.UUID]:
    return lifecycle.submit_many([checked("echo", limit_key=key, **options)] * count)


def _claim_all() -> list[Job]:
    """Every queued job is asked for, as if there were a hint for each."""
    ids = list(Job.objects.filter(state=State.QUEUED).values_list("id", flat=True))
    return lifecycle.claim(ids, node=live_node().id, lease=uuid.uuid4(), kinds=["echo", "other"])


def _keys(jobs: list[Job]) -> Counter[str]:
    return Counter(Job.objects.filter(id__in=[job.id for job in jobs]).values_list("limit_key", flat=True))


# --- concurrency ------------------------------------------------------------------------------------------------------


def test_a_key_never_has_more_jobs_at_once_than_its_limit(capacity: Capacity) -> None:
    _limit("key", "a", concurrency=3)
    _submit(10, "a")
    assert _claim_all() == []  # nobody admitted them yet, whatever hints there are

    assert _round(Turnstile(), capacity) == 3
    assert _round(Turnstile(), capacity) == 0  # a second dispatcher counts the same
    running = _claim_all()
    assert len(running) == 3
    assert _round(Turnstile(), capacity) == 0

    lifecycle.record([endings.completed(running[0], None)])
    assert _round(Turnstile(), capacity) == 1


@pytest.mark.parametrize(
    "end",
    [
        lambda job: lifecycle.record([endings.crashed(job, "killed")]),
        lambda job: lifecycle.record([endings.lost(job)]),
        lambda job: lifecycle.record([endings.failed(job, "no")]),
        lambda job: lifecycle.record([endings.released(job, "drain")]),
        lambda job: lifecycle.unclaim(job.lease, [job.id]),
    ],
)
def test_however_an_attempt_ends_its_place_is_free_and_its_job_stands_in_line_again(
    end: Any, capacity: Capacity
) -> None:
    _limit("key", "a", concurrency=1)
    (first,) = _submit(1, "a")
    _round(Turnstile(), capacity)
    (job,) = _claim_all()
    end(job)
    make_due(Job.objects.get(id=first))
    lifecycle.promote()
    assert _claim_all() == []  # its admission was for the start that it has had
    assert _round(Turnstile(), capacity) == 1
    assert [found.id for found in _claim_all()] == [first]


@pytest.mark.parametrize(
    "verbs",
    [(lifecycle.pause, lifecycle.resume), (lifecycle.cancel, lifecycle.requeue)],
)
def test_a_job_that_leaves_the_queue_gives_its_place_back_and_does_not_keep_it(verbs: Any, capacity: Capacity) -> None:
    _limit("key", "a", concurrency=1)
    (first, second) = _submit(2, "a")
    _round(Turnstile(), capacity)
    verbs[0]([first])
    assert _round(Turnstile(), capacity) == 1
    verbs[1]([first])
    assert [job.id for job in _claim_all()] == [second]


def test_a_rule_with_a_star_limits_each_key_by_itself_and_the_closest_rule_counts(capacity: Capacity) -> None:
    _limit("key", "host:*", concurrency=2)
    _limit("key", "host:b", concurrency=1)
    _limit("key", "*", concurrency=3)
    for key in ("host:a", "host:b", "customer:1"):
        _submit(5, key)
    _round(Turnstile(), capacity)
    assert _keys(_claim_all()) == {"host:a": 2, "host:b": 1, "customer:1": 3}


def test_a_kind_and_a_queue_are_limited_too_and_every_limit_counts(capacity: Capacity, add_kind: AddKind) -> None:
    add_kind("other")
    live_node(kinds=("echo", "other"))
    capacity = Capacity.read()
    _limit("kind", "echo", concurrency=4)
    _limit("queue", "low", concurrency=2)
    _limit("key", "a", concurrency=3)
    _submit(5, "a"), _submit(5), _submit(5, priority="low")
    lifecycle.submit_many([checked("other", priority="low")] * 5)
    assert park(Gates.read()) is False
    _round(Turnstile(), capacity)
    found = Job.objects.filter(id__in=[job.id for job in _claim_all()])
    assert found.filter(kind="echo").count() == 4
    assert found.filter(priority=0).count() == 2
    assert found.filter(limit_key="a").count() <= 3
    assert _round(Turnstile(), capacity) == 0


def test_a_limit_that_is_set_on_a_backlog_holds_from_then_on_and_lifted_lets_all_go(capacity: Capacity) -> None:
    _submit(20)
    running = claimed(*Job.objects.all()[:5])
    limits.set("kind", "echo", Limits(concurrency=6), by="ann")
    assert _claim_all() == []  # at once, whatever hints lie about
    park(Gates.read())
    assert _round(Turnstile(), capacity) == 0  # claims that began before may not be seen yet
    Gate.objects.update(limited_at=F("limited_at") - timedelta(seconds=2))
    assert _round(Turnstile(), capacity) == 1
    assert len(_claim_all()) == 1
    assert len(running) == 5

    limits.clear("kind", "echo")
    assert _round(Turnstile(), capacity) == 0  # what is open need not be admitted
    assert len(_claim_all()) == 14


def test_a_limit_is_changed_live(capacity: Capacity) -> None:
    _limit("key", "a", concurrency=1)
    _submit(10, "a")
    assert _round(Turnstile(), capacity) == 1
    _limit("key", "a", concurrency=4)
    assert _round(Turnstile(), capacity) == 3
    _limit("key", "a", concurrency=2)
    assert _round(Turnstile(), capacity) == 0


def test_jobs_of_a_key_without_a_limit_run_as_others_do(capacity: Capacity) -> None:
    _submit(5, "free")
    assert _round(Turnstile(), capacity) == 5
    assert len(_claim_all()) == 5


@pytest.mark.django_db(transaction=True)
def test_dispatchers_that_admit_at_once_never_admit_too_many(capacity: Capacity) -> None:
    _limit("key", "*", concurrency=2)
    for key in "abcde":
        _submit(20, key)
    most = Counter[str]()

    def dispatch() -> None:
        mine = Turnstile()
        for _ in range(15):
            _round(mine, capacity)
            running = _claim_all()
            for key, count in Job.objects.filter(state=State.RUNNING).values_list("limit_key").annotate(n=Count("id")):
                most[key] = max(most[key], count)
            lifecycle.record([endings.completed(job, None) for job in running])
        connection.close()

    threads = [threading.Thread(target=dispatch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == dict.fromkeys("abcde", 2)


# --- rates ------------------------------------------------------------------------------------------------------------


def test_no_more_start_than_the_rate_until_the_window_has_moved_on(capacity: Capacity) -> None:
    _limit("key", "a", rate=3, per=10.0)
    _submit(10, "a")
    assert _round(Turnstile(), capacity) == 3
    lifecycle.record([endings.completed(job, None) for job in _claim_all()])
    assert _round(Turnstile(), capacity) == 0
    first = Job.objects.filter(state=State.COMPLETED).order_by("id").first()
    Job.objects.filter(pk=first.pk).update(started_at=timezone.now() - timedelta(seconds=11))  # type: ignore[union-attr]
    assert _round(Turnstile(), capacity) == 1


def test_what_was_admitted_long_ago_and_starts_now_counts_from_its_start(capacity: Capacity) -> None:
    _limit("key", "a", rate=2, per=10.0)
    _submit(4, "a")
    assert _round(Turnstile(), capacity) == 2
    assert _round(Turnstile(), capacity) == 0
    _claim_all()
    assert _round(Turnstile(), capacity) == 0


def test_a_retry_is_a_start_of_its_own(capacity: Capacity) -> None:
    _limit("key", "a", rate=2, per=60.0)
    _submit(1, "a", max_retries=5)
    for _ in range(2):
        assert _round(Turnstile(), capacity) == 1
        (job,) = _claim_all()
        lifecycle.record([endings.failed(job, "no")])
        make_due(job)
        lifecycle.promote()
    assert _round(Turnstile(), capacity) == 0


def test_a_start_that_was_admitted_and_cancelled_is_given_back(capacity: Capacity) -> None:
    _limit("key", "a", rate=1, per=60.0)
    first, _ = _submit(2, "a")
    assert _round(Turnstile(), capacity) == 1
    lifecycle.cancel([first])
    assert _round(Turnstile(), capacity) == 1


def test_starts_that_no_window_reaches_are_forgotten(capacity: Capacity) -> None:
    _limit("key", "a", rate=2, per=10.0)
    _submit(2, "a")
    _round(Turnstile(), capacity)
    _claim_all()
    meters.prune()
    assert Permit.objects.count() == 2
    Job.objects.update(started_at=timezone.now() - timedelta(seconds=30))
    meters.prune()
    assert Permit.objects.count() == 0


# --- turns ------------------------------------------------------------------------------------------------------------


def test_keys_take_turns_however_long_the_backlog_of_one_is(capacity: Capacity) -> None:
    _submit(500, "big")
    for key in ("c", "d", "e"):
        _submit(4, key)
    small = Capacity(dict.fromkeys(capacity.slots, 4), capacity.kinds, {})
    mine = Turnstile()
    assert _round(mine, small) == small.messages("medium") == 16
    assert _keys(_claim_all()) == {"big": 4, "c": 4, "d": 4, "e": 4}


def test_turns_go_on_where_the_last_round_ended(capacity: Capacity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Capacity, "messages", lambda self, queue: 2)
    for key in "abcde":
        _submit(2, key)
    mine = Turnstile()
    served = []
    for _ in range(5):
        _round(mine, capacity)
        running = _claim_all()
        served.append("".join(sorted(_keys(running).elements())))
        lifecycle.record([endings.completed(job, None) for job in running])
    assert served == ["ab", "cd", "ae", "bc", "de"]


def test_a_round_costs_as_many_statements_for_many_keys_as_for_two(capacity: Capacity) -> None:
    _limit("key", "*", concurrency=2, rate=2, per=60.0)
    counts = []
    for keys in (range(2), range(2, 40)):
        for key in keys:
            _submit(3, str(key))
        with CaptureQueriesContext(connection) as asked:
            assert _round(Turnstile(), capacity) == 2 * len(keys)
        counts.append(len(asked))
    assert counts[0] == counts[1]


def test_jobs_of_other_keys_are_not_counted_through_however_many_run(capacity: Capacity) -> None:
    _limit("key", "a", concurrency=3)
    claimed(*Job.objects.filter(id__in=_submit(40)))
    _submit(5, "a")
    _round(Turnstile(), capacity)
    _claim_all()
    assert meters.places_taken({"a"}) == {"key:a": 3, "kind:echo": 3, "queue:medium": 3}
    assert meters.places_taken()["kind:echo"] == 43


def test_while_jobs_are_held_rounds_rest_in_between_and_else_no_free_place_matters(capacity: Capacity) -> None:
    turnstile = Turnstile()
    _round(turnstile, capacity)
    assert turnstile.rest == math.inf
    _limit("key", "a", concurrency=1)
    _submit(2, "a")
    turnstile.look()
    assert turnstile.rest < 0.1
    turnstile.round(capacity)
    assert 0 < turnstile.rest < 0.1


def test_a_paused_key_keeps_nobody_else_waiting(capacity: Capacity) -> None:
    _limit("key", "*", concurrency=1)
    _submit(2, "a"), _submit(2, "b")
    _round(Turnstile(), capacity)
    pauses.pause("key", "a", by="ann")
    assert _keys(_claim_all()) == {"b": 1}
    park(Gates.read())
    assert _round(Turnstile(), capacity) == 0
    pauses.resume("key", "a")
    assert _round(Turnstile(), capacity) == 1
    assert _keys(_claim_all()) == {"a": 1}


def test_what_a_paused_kind_leaves_at_the_head_of_a_queue_is_put_aside(capacity: Capacity) -> None:
    ids = _submit(3)
    pauses.pause("kind", "echo", by="ann")
    park(Gates.read())
    assert set(Job.objects.filter(admission=1).values_list("id", flat=True)) == set(ids)
    pauses.resume("kind", "echo")
    _round(Turnstile(), capacity)
    assert len(_claim_all()) == 3


def test_held_jobs_are_found_by_their_index_alone() -> None:
    with connection.cursor() as cursor:
        for way in ("seqscan", "sort"):
            cursor.execute(f"SET LOCAL enable_{way} = off")
        cursor.execute(
            "EXPLAIN SELECT id FROM jobs_job WHERE state = 'queued' AND admission = 1 AND lane = 'compute' "
            "AND priority = 1 AND limit_key = 'a' AND kind = 'echo' ORDER BY rank DESC, ready_at, id LIMIT 5"
        )
        assert "job_held" in str(cursor.fetchall())


# --- backlog ----------------------------------------------------------------------------------------------------------


def test_a_key_takes_no_more_than_its_backlog_singly_and_in_bulk() -> None:
    _limit("key", "a", backlog=3)
    _submit(2, "a")
    with pytest.raises(BacklogFull, match="has 2 unfinished jobs, and its backlog ends at 3"):
        _submit(2, "a")
    (third,) = _submit(1, "a")
    with pytest.raises(BacklogFull):
        lifecycle.submit("echo", limit_key="a")
    assert Job.objects.count() == 3
    lifecycle.submit("echo", limit_key="b")
    lifecycle.cancel([third])
    lifecycle.submit("echo", limit_key="a")


@pytest.mark.django_db(transaction=True)
def test_of_many_who_submit_at_once_none_takes_a_place_that_is_not_there() -> None:
    _limit("key", "a", backlog=5)
    refused = []

    def submit() -> None:
        for _ in range(3):
            try:
                lifecycle.submit("echo", limit_key="a")
            except BacklogFull as error:
                refused.append(error)
        connection.close()

    threads = [threading.Thread(target=submit) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (Job.objects.count(), len(refused)) == (5, 13)


# --- what can be said -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "target", "values", "said"),
    [
        ("everything", "", {"concurrency": 1}, "Limits are for a queue, a kind or a key"),
        ("kind", "echo", {}, "Say at least one"),
        ("kind", "echo", {"backlog": 5}, "A backlog is the limit of a key"),
        ("key", "a", {"concurrency": 0}, "concurrency is a whole number from 1"),
        ("key", "a", {"rate": 5}, "A rate has its time"),
        ("key", "a", {"per": 5.0, "concurrency": 1}, "A rate has its time"),
        ("key", "a", {"rate": 5, "per": 0.01}, "per is from 0.1"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(scope: str, target: str, values: Any, said: str) -> None:
    with pytest.raises(InvalidLimitError, match=said):
        limits.set(scope, target, Limits(**values), by="ann")
    with pytest.raises(gates.UnknownGateError):
        limits.set("planet", "x", Limits(concurrency=1), by="ann")


@pytest.mark.parametrize("key", ["x" * 201, "all*", "nul\x00", 7, "half \ud800"])
def test_a_key_that_cannot_be_stored_or_stands_for_many_is_refused(key: Any) -> None:
    with pytest.raises(InvalidSubmission) as error:
        checked("echo", limit_key=key)
    assert error.value.faults[0].pointer == "/limit_key"


def test_limits_over_http(client: Client, settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True

    def put(path: str, body: Any) -> Any:
        return client.put(f"/api/v1/limits/{path}", body, content_type="application/json")

    assert put("key/host:*", {"concurrency": 3, "rate": 100, "per": 10}).status_code == 200
    assert put("key/customer:1", {"backlog": 1}).status_code == 200
    assert put("kind/echo", {"concurrency": 0}).status_code == 400
    found = {one["target"]: one for one in client.get("/api/v1/limits").json()["limits"]}
    assert (found["host:*"]["concurrency"], found["host:*"]["rate"], found["host:*"]["per"]) == (3, 100, 10.0)

    body = {"kind": "echo", "limit_key": "customer:1"}
    accepted = client.post("/api/v1/jobs", body, content_type="application/json")
    assert (accepted.status_code, accepted.json()["limit_key"]) == (202, "customer:1")
    refused = client.post("/api/v1/jobs", body, content_type="application/json")
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/backlog-full")
    assert "'customer:1' has 1 unfinished jobs, and its backlog ends at 1" in refused.json()["detail"]
    assert "Retry-After" in refused

    assert client.delete("/api/v1/limits/key/customer:1").status_code == 204
    assert client.delete("/api/v1/limits/key/customer:1").status_code == 404
    assert client.post("/api/v1/jobs", body, content_type="application/json").status_code == 202


def test_a_keyed_job_runs_inline() -> None:
    assert inline.run_inline("echo", {"n": 1}, limit_key="a").state == State.COMPLETED
    lifecycle.submit("echo", limit_key="a")
    assert inline.drain() == 1


def test_a_limit_costs_the_jobs_of_others_no_statement(django_assert_num_queries: Any) -> None:
    _limit("key", "*", concurrency=1, backlog=10)
    with django_assert_num_queries(1):
        job = lifecycle.submit("echo")
    with django_assert_num_queries(1):
        (taken,) = lifecycle.claim([job.id], node=uuid.uuid4(), lease=uuid.uuid4(), kinds=["echo"])
    with django_assert_num_queries(1):
        lifecycle.record([endings.completed(taken, None)])
    assert as_stored(job).state == State.COMPLETED
