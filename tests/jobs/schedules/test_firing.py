from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from jobs import lifecycle
from jobs.models import Fire, FireOutcome, Job, Misfire, Overlap, Priority, Schedule, State
from jobs.schedules import editing, firing
from jobs.schedules.firing import fire
from jobs.submission import InvalidSubmission
from tests.jobs.schedules.making import MINUTE, START, fires, scheduled

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django.fixtures import Settings

    from tests.jobs.conftest import AddKind

pytestmark = pytest.mark.django_db

SUBMITTED, OVERLAPPED, MISSED, REFUSED = (
    FireOutcome.SUBMITTED,
    FireOutcome.OVERLAPPED,
    FireOutcome.MISSED,
    FireOutcome.REFUSED,
)


def _after(minutes: float) -> Any:
    return START + minutes * MINUTE


def test_a_schedule_fires_when_its_time_has_come_and_not_before() -> None:
    schedule = scheduled()

    assert fire(now=_after(0.9)) == 0
    assert fire(now=_after(1)) == 1
    assert fire(now=_after(1.9)) == 0
    assert fires(schedule) == [(1, SUBMITTED, 0)]
    assert Schedule.objects.get().next_at == _after(2)


def test_the_job_is_as_the_schedule_says() -> None:
    schedule = scheduled(payload={"n": 1}, metadata={"for": "ada"}, priority=Priority.HIGH, max_retries=7, timeout=9.5)
    fire(now=_after(1))
    job = Job.objects.get()

    assert Fire.objects.get(schedule=schedule).job_id == job.id
    assert (job.kind, job.payload, job.metadata, job.priority) == ("echo", {"n": 1}, {"for": "ada"}, Priority.HIGH)
    assert (job.max_retries, job.timeout, job.state) == (7, 9.5, State.QUEUED)


def test_a_dispatcher_that_dies_in_a_fire_has_done_nothing_and_the_next_one_does_it() -> None:
    schedule = scheduled()
    with transaction.atomic():
        fire(now=_after(1))
        transaction.set_rollback(True)
    assert (Job.objects.count(), fires(schedule)) == (0, [])

    fire(now=_after(1))

    assert (Job.objects.count(), fires(schedule)) == (1, [(1, SUBMITTED, 0)])


def test_the_table_itself_refuses_a_second_fire_of_one_time() -> None:
    schedule = scheduled()
    fire(now=_after(1))

    with pytest.raises(IntegrityError), transaction.atomic():
        Fire.objects.create(schedule=schedule, at=_after(1), outcome=SUBMITTED)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        # At ten and a half minutes; the grace is two.
        ({"misfire": Misfire.COALESCE}, [(10, SUBMITTED, 9)]),
        ({"misfire": Misfire.SKIP, "grace": 120}, [(9, SUBMITTED, 8), (10, SUBMITTED, 0)]),
        ({"misfire": Misfire.SKIP, "grace": 5}, [(10, MISSED, 9)]),
        (
            {"misfire": Misfire.CATCH_UP, "catch_up_limit": 3},
            [(8, SUBMITTED, 7), (9, SUBMITTED, 0), (10, SUBMITTED, 0)],
        ),
        ({"misfire": Misfire.CATCH_UP, "catch_up_limit": 50}, [(n, SUBMITTED, 0) for n in range(1, 11)]),
    ],
)
def test_times_that_nobody_saw_go_by_the_misfire_policy(policy: dict[str, Any], expected: list[Any]) -> None:
    schedule = scheduled(**policy)

    fire(now=_after(10.5))

    assert fires(schedule) == expected
    assert Job.objects.count() == sum(outcome == SUBMITTED for _, outcome, _ in expected)
    assert Schedule.objects.get().next_at == _after(11)


@pytest.mark.parametrize("options", [{"cron": "* * * * *"}, {"every": 1.0}])
def test_a_stop_of_two_months_is_dealt_with_in_one_bounded_round(options: dict[str, Any]) -> None:
    schedule = scheduled(misfire=Misfire.CATCH_UP, catch_up_limit=5, **options)

    assert fire(now=_after(60 * 24 * 60)) == 1

    assert Job.objects.count() == 5
    assert fire(now=_after(60 * 24 * 60)) == 0
    assert schedule.fires.count() == 5


def test_a_fire_passes_by_while_the_job_of_the_one_before_lives(live_states: Callable[[Job], None]) -> None:
    schedule = scheduled(overlap=Overlap.SKIP)
    fire(now=_after(1))
    (job,) = Job.objects.all()
    live_states(job)

    fire(now=_after(2))
    lifecycle.cancel([job.id])
    fire(now=_after(3))

    assert fires(schedule) == [(1, SUBMITTED, 0), (2, OVERLAPPED, 0), (3, SUBMITTED, 0)]


@pytest.fixture(params=["queued", "paused"])
def live_states(request: pytest.FixtureRequest) -> Callable[[Job], None]:
    def bring(job: Job) -> None:
        if request.param == "paused":
            lifecycle.pause([job.id])

    return bring


def test_where_jobs_may_not_overlap_catching_up_submits_one_at_a_time() -> None:
    schedule = scheduled(overlap=Overlap.SKIP, misfire=Misfire.CATCH_UP)

    fire(now=_after(3))

    assert fires(schedule) == [(1, SUBMITTED, 0), (2, OVERLAPPED, 0), (3, OVERLAPPED, 0)]


def test_a_job_that_no_longer_fits_its_kind_is_refused_with_the_reason_and_the_schedule_goes_on(
    add_kind: AddKind,
) -> None:
    add_kind("numbered")
    schedule = scheduled(kind="numbered", payload={"n": 1})
    Schedule.objects.update(payload={"n": "one"})
    fire(now=_after(1))
    Schedule.objects.update(payload={"n": 2})
    fire(now=_after(2))

    assert fires(schedule) == [(1, REFUSED, 0), (2, SUBMITTED, 0)]
    assert "/payload/n" in Fire.objects.get(outcome=REFUSED).note


@pytest.mark.usefixtures("caplog")
def test_a_schedule_that_breaks_stops_no_other(add_kind: AddKind) -> None:
    def refuse(jobs: Any) -> None:
        raise RuntimeError("no place for it")

    add_kind("broken", on_submit=refuse)
    broken, sound = scheduled(kind="broken"), scheduled()

    assert fire(now=_after(1)) == 2

    assert fires(broken) == [(1, REFUSED, 0)]
    assert fires(sound) == [(1, SUBMITTED, 0)]
    assert broken.fires.get().note == "RuntimeError: no place for it"
    assert Schedule.objects.get(pk=broken.pk).next_at == _after(2)


def test_a_round_is_bounded_and_the_next_one_goes_on() -> None:
    for _ in range(5):
        scheduled()

    assert [fire(2, now=_after(1)) for _ in range(4)] == [2, 2, 1, 0]
    assert Job.objects.count() == 5


def test_one_moment_fires_once_and_then_never() -> None:
    schedule = scheduled(at=timezone.now() + timedelta(days=1))
    assert schedule.at is not None

    fire(now=schedule.at + timedelta(days=400))

    assert Job.objects.count() == 1
    assert Schedule.objects.get().next_at is None


def test_what_came_while_a_schedule_was_paused_is_not_made_up_for() -> None:
    schedule = scheduled()
    assert editing.pause([schedule.pk], by="ada") == 1
    assert fire(now=_after(5)) == 0
    assert editing.pause([schedule.pk]) == 0

    assert editing.resume([schedule.pk]) == 1

    found = Schedule.objects.get()
    assert found.next_at is not None
    assert timedelta(0) < found.next_at - editing.database_now() <= MINUTE
    assert (found.paused_at, found.paused_by) == (None, "")
    assert Job.objects.count() == 0


def test_run_by_hand_submits_at_once_and_leaves_its_times_alone() -> None:
    schedule = scheduled()
    editing.pause([schedule.pk])
    first, second = editing.run_now(schedule.pk, by="ada"), editing.run_now(schedule.pk)

    assert Job.objects.filter(id__in=[first.job_id, second.job_id]).count() == 2
    assert (first.by, first.outcome) == ("ada", SUBMITTED)
    assert Schedule.objects.get().paused_at is not None


def test_run_by_hand_respects_that_jobs_must_not_overlap() -> None:
    schedule = scheduled(overlap=Overlap.SKIP)
    first = editing.run_now(schedule.pk)

    with pytest.raises(editing.StillRunning, match=str(first.job_id)):
        editing.run_now(schedule.pk)

    assert Job.objects.count() == 1


def test_a_change_of_the_timing_counts_from_now_and_any_other_leaves_the_next_fire_as_it_is() -> None:
    schedule = scheduled(every=3600.0, start=timezone.now() - timedelta(minutes=10))
    due = schedule.next_at
    schedule.priority = Priority.LOW
    assert editing.write(schedule).next_at == due

    schedule.every = 60.0
    found = editing.write(schedule).next_at

    assert found is not None
    assert due is not None
    assert editing.database_now() < found < due


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"cron": ""}, "/cron"),
        ({"cron": "* * * * *", "every": 5.0}, "/every"),
        ({"cron": "nonsense"}, "/cron"),
        ({"time_zone": "Mars/Olympus"}, "/time_zone"),
        ({"time_zone": "../etc/passwd"}, "/time_zone"),
        ({"every": 0.5}, "/every"),
        ({"every": float("nan")}, "/every"),
        ({"at": START.replace(year=2020)}, "/at"),
        ({"name": " "}, "/name"),
        ({"kind": "ecko"}, "/kind"),
        ({"payload": {"sleep": -1}}, "/payload/sleep"),
        ({"misfire": "forget"}, "/misfire"),
        ({"overlap": "queue"}, "/overlap"),
        ({"grace": -1}, "/grace"),
        ({"catch_up_limit": 0}, "/catch_up_limit"),
        ({"catch_up_limit": 101}, "/catch_up_limit"),
        ({"max_retries": -1}, "/max_retries"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused_with_its_place(options: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        scheduled(**options)

    assert [fault.pointer for fault in caught.value.faults] == [pointer]
    assert not Schedule.objects.exists()


def test_a_name_is_taken_once() -> None:
    scheduled(name="nightly")
    with pytest.raises(InvalidSubmission, match="another schedule has this name"):
        scheduled(name="nightly")


def test_secrets_of_a_schedules_payload_are_sealed_and_reach_its_job() -> None:
    secret = "whsec_" + "QUJD" * 8
    schedule = scheduled(kind="call_webhook", payload={"url": "https://example.com/", "secrets": [secret]})
    fire(now=_after(1))

    assert secret not in str(Schedule.objects.values_list("payload", flat=True).get(pk=schedule.pk))
    assert secret not in str(Job.objects.get().payload)
    assert list(Job.objects.get().payload["secrets"][0]) == ["sealed"]


def test_history_is_deleted_when_it_is_old(settings: Settings) -> None:
    schedule = scheduled()
    fire(now=_after(1))
    fire(now=_after(2))
    Fire.objects.filter(at=_after(1)).update(fired_at=Now() - timedelta(days=31))

    assert firing.prune() == 1
    assert fires(schedule) == [(2, SUBMITTED, 0)]
    settings.RETENTION_DAYS = 0
    Fire.objects.update(fired_at=Now() - timedelta(days=3000))
    assert firing.prune() == 0
