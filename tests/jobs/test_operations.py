"""Operations on many jobs: what they reach, to the job, and what survives of them."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from jobs import deadletters, endings, lifecycle, operations, search
from jobs.models import FINISHED, Job, Operation, Priority, Progress, State, Target
from tests.jobs.states import a_hundred_thousand_dead_letters, claimed, job_in, live_node, state_of, submitted

pytestmark = pytest.mark.django_db


def _failed(count: int, fingerprint: str = "X at y") -> list[Job]:
    jobs = claimed(*submitted(count), node=live_node())
    lifecycle.record([endings.gave_up(job, "no", fingerprint=fingerprint) for job in jobs])
    return jobs


def _finish(operation: Operation) -> Operation:
    while operations.carry_on():
        pass
    operation.refresh_from_db()
    return operation


def test_a_group_is_requeued_exact_to_the_job() -> None:
    meant, others = _failed(30), _failed(7, "Z at y")
    (group, _) = deadletters.groups()

    begun = operations.start("requeue", group.query, actor="ann", expected=30)
    later = _failed(5)  # matches too, and was not there when the operation began
    done = _finish(begun)

    assert (done.progress, done.total, done.done, done.reached) == (Progress.COMPLETED, 30, 30, 30)
    assert (done.actor, done.verb, done.query) == ("ann", "requeue", group.query)
    assert {state_of(job) for job in meant} == {State.QUEUED}
    assert {state_of(job) for job in others + later} == {State.FAILED}
    assert not Target.objects.exists()


def test_a_dead_letter_that_has_run_again_since_is_not_the_one_that_was_meant() -> None:
    first, second = _failed(2)
    begun = operations.start("requeue", "state:failed", actor="ann")
    lifecycle.requeue([first.id])
    (again,) = claimed(Job.objects.get(id=first.id))
    lifecycle.record([endings.gave_up(again, "another story")])

    done = _finish(begun)

    assert (done.total, done.done, done.reached) == (2, 2, 1)
    assert (state_of(first), state_of(second)) == (State.FAILED, State.QUEUED)


def test_a_preview_counts_exactly_and_changes_nothing() -> None:
    jobs = [*_failed(3), *submitted(2)]
    preview = operations.preview("requeue", "kind:echo")
    assert (preview.found, preview.reachable) == (5, 3)
    assert set(preview.examples) == {job.id for job in jobs[:3]}
    assert not Operation.objects.exists()
    assert operations.start("requeue", "kind:echo", actor="ann").total == 3


def test_what_was_shown_and_is_no_longer_so_is_refused() -> None:
    _failed(3)
    with pytest.raises(operations.Changed, match="2 jobs were shown and 3 match now"):
        operations.start("requeue", "state:failed", actor="ann", expected=2)
    assert not Operation.objects.exists()
    assert not Target.objects.exists()


@pytest.mark.parametrize(
    ("verb", "query", "arguments", "said"),
    [
        ("explode", "state:failed", {}, "There is no operation 'explode'; there are requeue, discard"),
        ("requeue", "  ", {}, "Say which jobs"),
        ("prioritise", "state:queued", {}, "Say which priority"),
        ("prioritise", "state:queued", {"priority": "urgent"}, "Say which priority"),
    ],
)
def test_an_operation_that_is_not_clear_is_refused(verb: str, query: str, arguments: Any, said: str) -> None:
    with pytest.raises(operations.Refused, match=said):
        operations.start(verb, query, actor="ann", arguments=arguments)


@pytest.mark.parametrize(
    ("verb", "state", "arguments", "ends"),
    [
        ("discard", State.FAILED, {}, State.CANCELLED),
        ("requeue", State.CANCELLED, {}, State.QUEUED),
        ("cancel", State.SCHEDULED, {}, State.CANCELLED),
        ("pause", State.QUEUED, {}, State.PAUSED),
        ("resume", State.PAUSED, {}, State.QUEUED),
        ("prioritise", State.QUEUED, {"priority": "critical"}, State.QUEUED),
    ],
)
def test_every_verb_reaches_what_it_starts_from(verb: str, state: State, arguments: Any, ends: State) -> None:
    job, other = job_in(state), job_in(State.COMPLETED)
    done = _finish(operations.start(verb, "kind:echo", actor="ann", arguments=arguments))
    assert (done.total, done.reached) == (1, 1)
    assert (state_of(job), state_of(other)) == (ends, State.COMPLETED)
    if verb == "prioritise":
        assert Job.objects.get(id=job.id).priority == Priority.CRITICAL


def test_only_jobs_within_the_callers_reach_are_meant() -> None:
    mine, *others = _failed(3)
    reach = Job.objects.filter(id=mine.id)
    assert operations.preview("requeue", "state:failed", jobs=reach).reachable == 1
    _finish(operations.start("requeue", "state:failed", actor="ann", jobs=reach))
    assert state_of(mine) == State.QUEUED
    assert {state_of(job) for job in others} == {State.FAILED}


def test_a_cancelled_operation_leaves_the_rest_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "_CHUNK", 4)
    _failed(10)
    begun = operations.start("requeue", "state:failed", actor="ann")
    assert operations.carry_on()
    assert operations.cancel(begun)
    assert not operations.carry_on()
    begun.refresh_from_db()
    assert (begun.progress, begun.done, begun.total) == (Progress.CANCELLED, 4, 10)
    assert Job.objects.filter(state=State.QUEUED).count() == 4
    assert not operations.cancel(begun)
    assert not Target.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_chunk_that_dies_half_way_is_done_again_by_whoever_comes_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "_CHUNK", 4)
    _failed(10)
    begun = operations.start("requeue", "state:failed", actor="ann")
    assert operations.carry_on()
    with connection.cursor() as cursor:
        # After the jobs have changed and before the counts do: as if the process were killed there.
        cursor.execute(
            "CREATE FUNCTION dies() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'killed'; END $$;"
            "CREATE TRIGGER dies BEFORE UPDATE ON jobs_operation EXECUTE FUNCTION dies()"
        )
    try:
        with pytest.raises(Exception, match="killed"):
            operations.carry_on()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER dies ON jobs_operation; DROP FUNCTION dies()")
    assert Job.objects.filter(state=State.QUEUED).count() == Operation.objects.get().done == 4

    done = _finish(begun)
    assert (done.progress, done.done, done.reached) == (Progress.COMPLETED, 10, 10)


def test_operations_are_done_in_the_order_in_which_they_were_asked_for() -> None:
    _failed(2)
    discard = operations.start("discard", "state:failed", actor="ann")
    requeue = operations.start("requeue", "state:failed", actor="ann")
    assert (_finish(discard).reached, _finish(requeue).reached) == (2, 2)
    assert Job.objects.filter(state=State.QUEUED).count() == 2


# --- over HTTP and on the command line -------------------------------------------------------------------------------


def test_an_operation_over_http_from_its_dry_run_to_its_end(client: Client, settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True
    _failed(3)

    def order(**body: Any) -> Any:
        return client.post("/api/v1/operations", body, content_type="application/json")

    assert order(verb="requeue", q="state:failed", dry_run=True).json()["reachable"] == 3
    assert order(verb="requeue", q="state:failed", expected=2).status_code == 409
    assert order(verb="requeue", q="").status_code == 400
    assert order(verb="requeue", q="stat:failed").json()["errors"][0]["pointer"] == "/q"
    assert order(verb="explode", q="state:failed").status_code == 400
    begun = order(verb="requeue", q="state:failed", expected=3)
    assert (begun.status_code, begun.json()["progress"], begun.json()["total"]) == (202, "under_way", 3)
    _finish(Operation.objects.get())
    ended = client.get(begun["Location"]).json()
    assert (ended["progress"], ended["reached"]) == ("completed", 3)
    assert client.post(begun["Location"] + "/cancel").status_code == 409
    assert [one["id"] for one in client.get("/api/v1/operations").json()["results"]] == [ended["id"]]


def _command(*words: str) -> str:
    out = StringIO()
    call_command("jobs", *words, stdout=out)
    return out.getvalue()


def test_the_command_lists_and_shows_before_it_does() -> None:
    (job, _) = _failed(2)
    assert str(job.id) in _command("state:failed")
    assert json.loads(_command("state:failed", "--json", "--limit=1"))["state"] == "failed"
    assert "No job fits" in _command("state:running")
    said = _command("kind:echo", "requeue")
    assert "requeue would reach 2 of 2 jobs" in said
    assert "Add --yes" in said
    assert state_of(job) == State.FAILED

    assert "requeue: 2 of 2 jobs (completed)" in _command("kind:echo", "requeue", "--yes")
    assert state_of(job) == State.QUEUED
    with pytest.raises(CommandError, match="did you mean state"):
        _command("stat:failed")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_one_group_of_a_hundred_thousand_is_requeued_exactly_while_others_work(capsys: Any) -> None:
    a_hundred_thousand_dead_letters()
    (group, *_) = deadletters.groups()
    ids = set(Job.objects.filter(search.parse(group.query)).values_list("id", flat=True))
    node = live_node()
    began = timezone.now()
    begun = operations.start("requeue", group.query, actor="ann", expected=2500)
    ran = 0
    while operations.carry_on():  # beside it, workers take and end what is queued, some of it badly
        taken = list(Job.objects.filter(state=State.QUEUED).order_by("id")[:50])
        jobs = claimed(*taken, node=node)
        lifecycle.record([endings.gave_up(job, "again", fingerprint=group.fingerprint) for job in jobs])
        ran += len(jobs)
    begun.refresh_from_db()
    took = (timezone.now() - began) / timedelta(seconds=1)
    assert (begun.total, begun.done, begun.reached) == (2500, 2500, 2500)
    touched = Job.objects.exclude(state__in=FINISHED) | Job.objects.filter(attempt__gt=1)
    assert set(touched.values_list("id", flat=True)) == ids
    assert ran > 0
    with capsys.disabled():
        sys.stdout.write(f"\n2,500 of 100,000 requeued in {took:.1f} s, {ran} of them run meanwhile\n")
