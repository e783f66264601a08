"""End to end: `celery -A project worker` and `celery -A project beat` as people start them, and as faults end them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction
from django.db.models import Sum
from django.db.models.functions import Now
from django.test import Client
from pytest_django.fixtures import Settings

from jobs import kinds, leadership, leases, lifecycle
from jobs.models import Attempt, Job, Leadership, Node, Outcome, Priority, Reason, State
from jobs.submission import checked
from tests.jobs.fleet import Fleet, fleet_at_the_tests_database, node_of, until
from tests.jobs.states import as_stored, outcomes, state_of
from tests.jobs.test_metrics import samples_of
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def processes(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """One fleet for all tests here, so the tables are not emptied between them: each looks at its own jobs."""
    with fleet_at_the_tests_database(tmp_path_factory.mktemp("fleet"), django_db_blocker) as fleet:
        yield fleet


@pytest.fixture
def fleet(processes: Fleet) -> Fleet:
    """At full strength: two workers and a dispatcher."""
    processes.dispatcher("first")
    for name in ("one", "two"):
        processes.worker(name)
    processes.until_ready("first", "one", "two")
    return processes


def _running(**payload: Any) -> Job:
    """An echo job that a worker has begun."""
    return until(lifecycle.submit("echo", payload), State.RUNNING)


def test_jobs_of_every_priority_are_each_done_exactly_once_by_two_workers(fleet: Fleet, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    payload = {"ledger": str(ledger)}
    many = [checked("echo", {**payload, "n": n}, priority=priority) for priority in Priority for n in range(125)]

    ids = lifecycle.submit_many(many)
    eventually(lambda: not Job.objects.filter(id__in=ids).exclude(state=State.COMPLETED).exists())

    assert Counter(line.split()[0] for line in ledger.read_text().splitlines()) == dict.fromkeys(map(str, ids), 1)
    attempts = Attempt.objects.filter(job_id__in=ids)
    assert set(attempts.values_list("number", "outcome")) == {(1, Outcome.COMPLETED)}
    assert attempts.count() == 500
    assert set(attempts.values_list("node", flat=True)) == {"one", "two"}


def test_a_pool_process_that_is_killed_costs_one_attempt_which_tells_how_it_died(fleet: Fleet) -> None:
    job = _running(sleep=2)

    for process in fleet.pool_of(node_of(job)):
        process.kill()

    job = until(job, State.COMPLETED)
    assert outcomes(job) == [(1, Outcome.CRASHED), (2, Outcome.COMPLETED)]
    assert "signal 9 (SIGKILL)" in Attempt.objects.get(job=job, number=1).error
    assert (job.crashes, job.failures) == (1, 0)


def test_a_job_that_kills_every_process_is_given_up_and_its_neighbours_are_unharmed(fleet: Fleet) -> None:
    before = lifecycle.submit_many([checked("echo", {"n": n}) for n in range(30)])
    poison = lifecycle.submit("echo", {"crash": True})
    after = lifecycle.submit_many([checked("echo", {"n": n}) for n in range(30)])

    poison = until(poison, State.FAILED)
    neighbours = Job.objects.filter(id__in=[*before, *after])
    eventually(lambda: not neighbours.exclude(state=State.COMPLETED).exists())

    assert poison.reason == Reason.WORKER_LOST
    assert outcomes(poison) == [(number, Outcome.CRASHED) for number in (1, 2, 3)]
    assert set(neighbours.values_list("failures", "crashes", "losses")) == {(0, 0, 0)}


def test_a_handler_that_ignores_its_timeout_is_killed_and_its_slot_is_free_again(fleet: Fleet) -> None:
    hanging = [lifecycle.submit("echo", {"hang": True}, timeout=1, max_retries=0) for _ in range(4)]  # in every slot

    for job in hanging:
        ended = until(job, State.FAILED)
        assert (ended.reason, outcomes(ended)) == (Reason.TIMED_OUT, [(1, Outcome.TIMED_OUT)])
    until(lifecycle.submit("echo"), State.COMPLETED)


def test_a_cancel_reaches_the_handler_that_runs(fleet: Fleet) -> None:
    job = _running(sleep=3600)

    lifecycle.cancel([job.id])

    assert outcomes(until(job, State.CANCELLED)) == [(1, Outcome.CANCELLED)]


def test_a_handler_that_is_deaf_to_its_cancel_is_killed(fleet: Fleet) -> None:
    job = _running(hang=True)

    lifecycle.cancel([job.id])

    assert outcomes(until(job, State.CANCELLED)) == [(1, Outcome.CANCELLED)]


def test_a_worker_that_is_killed_whole_has_its_job_rescued_by_another(fleet: Fleet) -> None:
    job = _running(sleep=2)
    lost = node_of(job)

    fleet.kill(lost)

    job = until(job, State.COMPLETED)
    assert outcomes(job) == [(1, Outcome.LOST), (2, Outcome.COMPLETED)]
    assert [attempt.node != lost for attempt in job.attempts.order_by("number")] == [False, True]
    assert (job.losses, job.failures) == (1, 0)


def test_a_dispatcher_that_is_killed_is_followed_by_the_standby(fleet: Fleet) -> None:
    fleet.dispatcher("second")
    fleet.until_ready("second")
    eventually(lambda: fleet.leads("first"))
    term = Leadership.objects.get().term

    fleet.kill("first")
    eventually(lambda: fleet.leads("second"))

    assert Leadership.objects.get().term == term + 1
    until(lifecycle.submit("echo"), State.COMPLETED)


def _waits_for(table: str) -> bool:
    """Whether somebody waits for a lock of it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE relation = %s::regclass AND NOT granted", [table])
        return bool(cursor.fetchone()[0])


def test_a_dispatcher_that_is_told_to_stop_in_the_middle_of_a_statement_ends_in_order(fleet: Fleet) -> None:
    fleet.kill("second")
    eventually(lambda: fleet.leads("first"))

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE jobs_schedule IN ACCESS EXCLUSIVE MODE")
        eventually(lambda: _waits_for("jobs_schedule"))
        fleet.terminate("first")
        assert fleet.exit_code("first") == 0
    assert leadership.leader() is None


def test_a_kind_that_no_worker_knows_waits_until_one_does(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_registry", dict(kinds._registry))
    from tests.jobs.stranger import handlers  # noqa: PLC0415, F401 - it registers its kinds for this test alone

    strange = lifecycle.submit("stranger", priority="critical")
    until(lifecycle.submit("echo", priority="low"), State.COMPLETED)
    assert (state_of(strange), as_stored(strange).attempt) == (State.QUEUED, 0)

    fleet.worker("stranger", "-Pprefork", "-c1", apps="tests.jobs.stranger")

    assert until(strange, State.COMPLETED).result == "known here"
    assert [attempt.node for attempt in strange.attempts.all()] == ["stranger"]
    fleet.kill("stranger")


def test_a_worker_told_to_stop_finishes_what_is_short_and_releases_what_is_long(fleet: Fleet) -> None:
    fleet.terminate("two")
    assert fleet.exit_code("two") == 0
    long, short = _running(sleep=3600), _running(sleep=1)

    fleet.terminate("one")

    assert fleet.exit_code("one") == 0
    assert outcomes(short) == [(1, Outcome.COMPLETED)]
    assert outcomes(long) == [(1, Outcome.RELEASED)]
    released = as_stored(long)
    assert (released.state, released.failures, released.crashes) == (State.QUEUED, 0, 0)
    assert not Node.objects.filter(name__in=["one", "two"], expires_at__gt=Now()).exists()

    lifecycle.cancel([long.id])


def test_a_worker_that_an_operator_drains_gives_back_what_is_long_and_ends(fleet: Fleet) -> None:
    long = _running(sleep=3600)
    name = node_of(long)
    node = Node.objects.get(name=name, expires_at__gt=Now())

    assert leases.ask_to_drain(node.id)

    assert fleet.exit_code(name) == 0
    assert outcomes(long)[0] == (1, Outcome.RELEASED)
    found = as_stored(long)
    assert (found.failures, found.crashes, found.losses) == (0, 0, 0)
    assert not leases.ask_to_drain(node.id)

    lifecycle.cancel([long.id])


def test_a_worker_whose_every_process_is_told_to_stop_costs_its_jobs_nothing(fleet: Fleet) -> None:
    job = _running(sleep=3600)
    name = node_of(job)

    fleet.terminate_group(name)

    assert fleet.exit_code(name) == 0
    eventually(lambda: as_stored(job).attempt > 1 or as_stored(job).state == State.QUEUED)
    found = as_stored(job)
    assert outcomes(job)[0] == (1, Outcome.RELEASED)
    assert (found.failures, found.crashes, found.losses) == (0, 0, 0)

    lifecycle.cancel([job.id])


def test_a_thread_that_ignores_its_timeout_ends_with_its_process(
    processes: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "_registry", dict(kinds._registry))
    from tests.jobs.stranger import handlers  # noqa: PLC0415

    kinds.handler("stubborn", lane=kinds.Lane.IO, timeout=1, max_retries=0)(handlers.stubborn)
    for name in ("one", "two"):  # they would take the hint, and not know the kind
        processes.kill(name)
    processes.dispatcher("first")
    processes.worker("threads", "-Pthreads", "-c4", apps="tests.jobs.stranger")

    job = until(lifecycle.submit("stubborn"), State.FAILED)

    assert (job.reason, outcomes(job)) == (Reason.TIMED_OUT, [(1, Outcome.TIMED_OUT)])
    assert processes.exit_code("threads") == 0


def test_metrics_equal_a_recount_after_a_run_in_which_both_workers_were_killed(
    fleet: Fleet, client: Client, settings: Settings
) -> None:
    ids = lifecycle.submit_many([checked("echo", {"sleep": 0.02, "fail_times": n % 2}) for n in range(200)])
    mine = Job.objects.filter(id__in=ids)
    for worker in ("one", "two"):
        # In its hands is a job that is long, so that there is one to be rescued.
        held = _running(sleep=3)
        fleet.kill(node_of(held))
        until(held, State.QUEUED, State.COMPLETED)
        fleet.worker(worker)
        fleet.worker("one" if worker == "two" else "two")
        until(held, State.COMPLETED)
    eventually(lambda: not mine.exclude(state=State.COMPLETED).exists())

    settings.OPEN_ON_LOOPBACK = True
    samples = samples_of(client)
    attempts = Counter(Attempt.objects.values_list("kind", "outcome"))
    assert attempts["echo", Outcome.LOST] >= 2
    assert samples["jobs_rescued_total", "echo"] == attempts["echo", Outcome.LOST]
    for (kind, outcome), count in attempts.items():
        assert samples["job_attempts_total", outcome, kind] == count
    for (kind, state), count in Counter(Job.objects.values_list("kind", "state")).items():
        assert samples["tasks_processed_total", state, kind] >= count  # more than that where it was requeued
        assert samples["jobs", state] >= count
    submitted = Counter(Job.objects.values_list("kind", "priority"))
    for (kind, priority), count in submitted.items():
        assert samples["tasks_submitted_total", Priority(priority).label, kind] == count
    timed = Attempt.objects.filter(kind="echo", seconds__isnull=False)
    assert samples["task_duration_seconds_count", "echo"] == timed.count()
    assert samples["task_duration_seconds_sum", "echo"] == pytest.approx(timed.aggregate(total=Sum("seconds"))["total"])
    retried = sum(count for (_, outcome), count in attempts.items() if outcome == Outcome.FAILED)
    assert samples["task_retries_total", "echo"] <= retried
    assert samples["task_retries_total", "echo"] >= mine.filter(failures__gt=0).count() > 0
