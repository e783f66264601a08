"""Why is this job not running? Each reason brought about for real, and read as people and machines read it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from jobs import batches, endings, forecast, leadership, lifecycle, limits, pauses
from jobs.admission import Turnstile
from jobs.board import Board
from jobs.capacity import Capacity
from jobs.explain import Reason, explain
from jobs.gates import Gates
from jobs.limits import Limits
from jobs.models import Gate, Job, Node, State
from jobs.worker import Slots
from tests.jobs.states import LATER, as_stored, claimed, job_in, live_node, submitted

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.kinds import Context
    from tests.jobs.conftest import AddKind

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]


@pytest.fixture
def _all_is_well() -> None:
    leadership.lead("here")
    live_node(slots=2)


def why(job: Job) -> Reason:
    return explain(as_stored(job)).reason


def _admit() -> None:
    Gate.objects.update(limited_at=F("limited_at") - timedelta(seconds=10))
    turnstile = Turnstile()
    turnstile.look()
    turnstile.round(Capacity.read())


# --- what the job itself waits for, or has come to -------------------------------------------------------------------


def test_a_finished_job_says_how_it_ended() -> None:
    assert why(job_in(State.COMPLETED)).code == "completed"
    assert why(job_in(State.CANCELLED)).code == "cancelled"
    dead = why(job_in(State.FAILED))
    assert (dead.code, dead.facts["reason"]) == ("dead_letter", "gave_up")
    assert dead.sentence == "It is a dead letter (gave_up): asked to give up"


def test_a_job_for_later_says_when() -> None:
    job = job_in(State.SCHEDULED)
    reason = why(job)
    assert (reason.code, reason.facts["run_at"]) == ("scheduled", job.run_at)
    assert reason.sentence.startswith("It is scheduled for ")


def test_a_job_that_is_tried_again_says_what_went_wrong() -> None:
    job = job_in(State.RETRYING)
    Job.objects.filter(id=job.id).update(run_at=Now() + LATER)
    reason = why(job)
    assert (reason.code, reason.facts["attempt"], reason.facts["max_retries"]) == ("retrying", 1, 3)
    assert reason.sentence.startswith("Attempt 1 failed (asked to fail); it is tried again at ")


def test_a_job_that_asked_to_be_called_again_says_so() -> None:
    (job,) = claimed(job_in(State.QUEUED))
    lifecycle.record([endings.snoozed(job, LATER, "the shop is closed")])
    reason = why(job)
    assert (reason.code, reason.facts["note"]) == ("snoozed", "the shop is closed")


def test_a_job_that_wants_a_lock_names_the_job_that_holds_it(add_kind: AddKind, tmp_path: Path) -> None:
    """The one that holds it runs while the other asks."""
    seen: list[Any] = []

    def locking(payload: Any, ctx: Context) -> None:
        if payload.n:
            with ctx.lock("https://example.org"):
                seen.append(ctx.job_id)
                other = lifecycle.submit("locking")
                Slots(live_node().id, Board(tmp_path / "other", slots=1), shares_connections=False).run([other.id])
                seen.append(why(other))
        else:
            with ctx.lock("https://example.org", tries=1):
                raise AssertionError("both held it")

    (tmp_path / "other").mkdir()
    (tmp_path / "one").mkdir()
    add_kind("locking", locking)
    job = lifecycle.submit("locking", {"n": 1})
    Slots(live_node().id, Board(tmp_path / "one", slots=1), shares_connections=False).run([job.id])

    holder, reason = seen
    assert reason.code == "locked"
    assert (reason.facts["lock"], str(reason.facts["holder"])) == ("https://example.org", holder)
    assert f"job {holder} holds it" in reason.sentence


def test_a_job_that_waits_for_others_names_them() -> None:
    parents = [lifecycle.submit("echo"), job_in(State.QUEUED)]
    child = lifecycle.submit("echo", depends_on=[parent.id for parent in parents])
    reason = why(child)
    assert reason.code == "waits_for_jobs"
    assert {one["job"] for one in reason.facts["jobs"]} == {str(parent.id) for parent in parents}
    assert reason.sentence.startswith("It waits for 2 jobs to end: ")
    assert f"{parents[0].id} (queued)" in reason.sentence


def test_the_callback_of_a_batch_says_how_many_are_left() -> None:
    batch = batches.submit([batches.Item("echo", {}, {})] * 3, callback=batches.Item("echo", {}, {}))
    assert batch.callback_id
    (job, *_) = Job.objects.filter(batch_id=batch.id).exclude(id=batch.callback_id)
    lifecycle.record([endings.completed(one, None) for one in claimed(job)])
    reason = why(Job.objects.get(id=batch.callback_id))
    assert (reason.code, reason.facts) == ("waits_for_batch", {"batch": str(batch.id), "left": 2, "size": 3})
    assert reason.sentence == "It waits for a batch, of whose 3 jobs 2 have not ended."


def test_a_job_that_a_person_paused_says_so() -> None:
    assert why(job_in(State.PAUSED)).code == "held"


def test_a_running_job_says_where_since_when_and_whether_it_shall_stop() -> None:
    (job,) = claimed(job_in(State.QUEUED), node=live_node("alpha"))
    running = why(job)
    assert (running.code, running.facts["worker"], running.facts["attempt"]) == ("running", "alpha", 1)
    assert running.sentence.startswith("It runs on alpha since ")
    lifecycle.cancel([job.id])
    assert why(job).code == "cancelling"
    Node.objects.update(expires_at=timezone.now() - LATER)
    silent = why(job)
    assert (silent.code, silent.facts["worker"]) == ("worker_silent", "alpha")


# --- what keeps a ready job from starting ----------------------------------------------------------------------------


def test_without_a_dispatcher_that_is_the_reason() -> None:
    live_node()
    reason = why(lifecycle.submit("echo"))
    assert (reason.code, "celery -A project beat" in reason.sentence) == ("dispatcher_down", True)


@pytest.mark.usefixtures("_all_is_well")
def test_without_redis_that_is_the_reason(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    reason = why(lifecycle.submit("echo"))
    assert reason.code == "redis_down"
    assert reason.sentence.startswith("Redis does not answer")


@pytest.mark.usefixtures("_all_is_well")
@pytest.mark.parametrize(
    ("scope", "target", "words"),
    [
        ("everything", "", "Everything is paused"),
        ("queue", "medium", "The queue medium is paused"),
        ("kind", "echo", "The kind echo is paused"),
        ("key", "customer:*", "The key customer:* is paused"),
    ],
)
def test_a_pause_says_by_whom_why_and_until_when(scope: str, target: str, words: str) -> None:
    job = lifecycle.submit("echo", limit_key="customer:7")
    until = timezone.now() + LATER
    pauses.pause(scope, target, by="ann", reason="the bank is down", until=until)
    reason = why(job)
    assert (reason.code, reason.facts["by"], reason.facts["until"]) == ("paused", "ann", until)
    assert reason.sentence.startswith(f"{words} until ")
    assert ", by ann at " in reason.sentence
    assert reason.sentence.endswith(": the bank is down")


def test_who_could_run_it_and_does_not_is_named() -> None:
    leadership.lead("here")
    job = lifecycle.submit("echo", priority="high")
    assert why(job).code == "no_worker"

    node = live_node("alpha")
    Node.objects.filter(id=node.id).update(queues=["low"])
    reason = why(job)
    assert (reason.code, reason.sentence) == ("queue_unserved", "No live worker listens to the queue high.")

    Node.objects.filter(id=node.id).update(queues=["high"], kinds=["other"])
    reason = why(job)
    assert reason.sentence == "No live worker of the queue high knows the kind echo."
    assert (reason.code, reason.facts["workers"]) == ("kind_unknown", ["alpha"])

    Node.objects.filter(id=node.id).update(kinds=["echo"])
    assert why(job).code == "next"


@pytest.mark.usefixtures("_all_is_well")
def test_a_full_limit_names_its_key_and_the_jobs_that_hold_it() -> None:
    limits.set("key", "host:*", Limits(concurrency=2), by="ann")
    jobs = [lifecycle.submit("echo", limit_key="host:a") for _ in range(5)]
    _admit()
    running = claimed(*jobs)
    assert len(running) == 2
    reason = why(jobs[-1])
    assert reason.code == "limit_concurrency"
    assert (reason.facts["key"], reason.facts["concurrency"], reason.facts["taken"]) == ("host:a", 2, 2)
    assert set(reason.facts["held_by"]) == {str(job.id) for job in running}
    assert reason.facts["ahead"] == 2
    assert reason.sentence.startswith("The key host:a has 2 of its 2 places taken. 2 jobs stand before it")


@pytest.mark.usefixtures("_all_is_well")
def test_a_rate_that_is_used_up_says_when_the_next_may_start() -> None:
    limits.set("kind", "echo", Limits(rate=2, per=600.0), by="ann")
    jobs = submitted(4)
    Job.objects.update(admission=1)
    _admit()
    claimed(*jobs)
    started = as_stored(jobs[0]).started_at
    assert started is not None
    reason = why(jobs[-1])
    assert (reason.code, reason.facts["rate"], reason.facts["starts"]) == ("limit_rate", 2, 2)
    assert reason.facts["next_start_at"] == started + timedelta(seconds=600.5)
    assert "The kind echo has had 2 of 2 starts in 600 s; the next may start at " in reason.sentence
    assert reason.facts["starts_in"] == pytest.approx(600)


@pytest.mark.usefixtures("_all_is_well")
def test_a_job_whose_limits_have_room_waits_for_its_turn() -> None:
    limits.set("key", "host:a", Limits(concurrency=2), by="ann")
    first, second = (lifecycle.submit("echo", limit_key="host:a") for _ in range(2))
    assert why(first).code == "turn"
    reason = why(second)
    assert (reason.code, reason.facts["ahead"]) == ("turn", 1)
    assert reason.sentence.startswith("Its limits have room and its turn comes. 1 job stands before it")


@pytest.mark.usefixtures("_all_is_well")
def test_what_else_is_in_the_way_is_said_too() -> None:
    job = lifecycle.submit("echo", run_at=timezone.now() + LATER)
    pauses.pause("kind", "echo", by="ann")
    Node.objects.all().delete()
    found = explain(as_stored(job))
    assert [found.reason.code, *(one.code for one in found.also)] == ["scheduled", "paused", "no_worker"]


# --- how long it will be ---------------------------------------------------------------------------------------------


def _ran(count: int, every: float, seconds: float) -> None:
    """A history of so many runs, one after the other until now."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO jobs_attempt (job_id, kind, number, outcome, started_at, finished_at, seconds, node, error,
                                      traceback)
            SELECT gen_random_uuid(), 'echo', 1, 'completed', now(),
                   now() - (%(count)s - n) * %(every)s * interval '1 second', %(seconds)s, 'here', '', ''
            FROM generate_series(1, %(count)s) n
            """,
            {"count": count, "every": every, "seconds": seconds},
        )


@pytest.mark.usefixtures("_all_is_well")
def test_a_job_behind_others_says_how_many_and_how_long_at_the_rate_of_late() -> None:
    _ran(200, every=0.05, seconds=0.08)
    jobs = submitted(100)
    Job.objects.update(ready_at=Now() - timedelta(seconds=30))
    reason = why(jobs[80])
    assert (reason.code, reason.facts["ahead"]) == ("behind", 80)
    assert reason.facts["per_second"] == pytest.approx(20, rel=0.05)
    assert reason.facts["starts_in"] == pytest.approx(4, rel=0.05)
    assert reason.sentence == "80 jobs stand before it; it starts in about 4 s."
    assert reason.facts["starts_at"] > timezone.now()
    assert why(jobs[0]).code == "next"


@pytest.mark.usefixtures("_all_is_well")
def test_long_jobs_are_forecast_by_their_length_and_the_slots() -> None:
    _ran(10, every=400, seconds=60.0)
    jobs = submitted(11)
    assert why(jobs[10]).facts["starts_in"] == pytest.approx(10 * 60 / 2)


@pytest.mark.usefixtures("_all_is_well")
def test_what_goes_first_is_what_is_more_urgent_older_and_not_held_back() -> None:
    submitted(3, priority="critical")
    submitted(5, priority="low")
    submitted(4, limit_key="a")
    first, second = submitted(2)
    assert forecast.of(as_stored(second), Gates.read()).ahead == 4
    pauses.pause("queue", "critical", by="ann")
    assert forecast.of(as_stored(second), Gates.read()).ahead == 1
    assert forecast.of(as_stored(first), Gates.read()).ahead == 0


@pytest.mark.usefixtures("_all_is_well")
def test_without_a_history_no_time_is_made_up(add_kind: AddKind) -> None:
    reason = why(submitted(3)[2])
    assert (reason.code, reason.facts["starts_in"]) == ("behind", None)
    assert reason.sentence.startswith("2 jobs stand before it; nothing like them has run lately")


@pytest.mark.usefixtures("_all_is_well")
def test_an_explanation_over_http(client: Client, settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True
    job = lifecycle.submit("echo")
    pauses.pause("everything", by="ann")
    answer = client.get(f"/api/v1/jobs/{job.id}/explain").json()
    assert (answer["job"], answer["state"], answer["code"]) == (str(job.id), "queued", "paused")
    assert answer["facts"]["by"] == "ann"
    assert answer["sentence"].startswith("Everything is paused, by ann")
    assert answer["also"] == []
    assert client.get(f"/api/v1/jobs/{uuid.uuid4()}/explain").status_code == 404
