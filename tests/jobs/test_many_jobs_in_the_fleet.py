"""What concerns many jobs at once, on real workers and dispatchers: joins, and dead letters that run again."""

from __future__ import annotations

import itertools
import random
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from django.db.models import Count
from django.utils import timezone

from jobs import deadletters, lifecycle, operations, search
from jobs.models import Attempt, Job, Operation, Outcome, Progress, State
from jobs.submission import checked
from tests.jobs.fleet import Fleet, fleet_at_the_tests_database
from tests.jobs.states import a_hundred_thousand_dead_letters
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]

WORKERS = ("one", "two")


@pytest.fixture
def fleet(transactional_db: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two workers and a dispatcher."""
    with fleet_at_the_tests_database(tmp_path_factory.mktemp("fleet"), django_db_blocker) as fleet:
        fleet.dispatcher("first")
        for name in WORKERS:
            fleet.worker(name)
        fleet.until_ready("first", *WORKERS)
        yield fleet


def test_one_a_thousand_and_one_join_once_though_workers_and_dispatchers_are_killed(fleet: Fleet, capsys: Any) -> None:
    """Prints how often they were killed."""
    dice = random.Random(3)
    first = lifecycle.submit("echo", {"sleep": 0.2})
    each = checked("echo", {"sleep": 0.02}, depends_on=[first.id], max_retries=0)
    middle = lifecycle.submit_many([each] * 1000)
    last = lifecycle.submit("echo", depends_on=middle)
    kills = 0

    def over() -> bool:
        nonlocal kills
        if Job.objects.filter(id=last.id, state=State.COMPLETED).exists():
            return True
        time.sleep(dice.uniform(0.5, 2))
        victim = dice.choice([*WORKERS, "first"])
        fleet.kill(victim)
        kills += 1
        (fleet.dispatcher if victim == "first" else fleet.worker)(victim)
        fleet.until_ready(victim)
        return False

    eventually(over, seconds=300)
    assert kills >= 3
    assert not Job.objects.exclude(state=State.COMPLETED).exists()
    done = Attempt.objects.filter(outcome=Outcome.COMPLETED).values("job_id").annotate(times=Count("id"))
    assert {one["times"] for one in done} == {1}
    last.refresh_from_db()
    assert last.started_at is not None
    assert not Attempt.objects.filter(job_id__in=middle, finished_at__gt=last.started_at).exists()
    lost = Attempt.objects.exclude(outcome=Outcome.COMPLETED).count()
    with capsys.disabled():
        sys.stdout.write(f"\n1 -> 1,000 -> 1: the join ran once; {kills} kills, {lost} attempts lost to them\n")


def test_a_group_of_dead_letters_is_requeued_exactly_beside_a_system_at_work(fleet: Fleet, capsys: Any) -> None:
    """Prints how long the groups and the operation took meanwhile."""
    assert fleet.runs("one")
    a_hundred_thousand_dead_letters()
    load = itertools.count()

    def work_goes_on() -> None:
        while Job.objects.filter(state=State.QUEUED, metadata__load=True).count() < 200:
            one = checked("echo", {"n": next(load)}, metadata={"load": True}, max_retries=0)
            lifecycle.submit_many([one] * 200)

    work_goes_on()
    took = []
    for _ in range(40):
        began = time.monotonic()
        groups = deadletters.groups()
        took.append((time.monotonic() - began) * 1000)
        assert (len(groups), sum(group.count for group in groups)) == (40, 100_000)
        work_goes_on()
    meant = set(Job.objects.filter(search.parse(groups[0].query)).values_list("id", flat=True))
    assert len(meant) == 2500

    asked_at = timezone.now()
    begun = operations.start("requeue", groups[0].query, actor="ann", expected=2500)

    def over() -> bool:
        work_goes_on()
        return Operation.objects.filter(id=begun.id, progress=Progress.COMPLETED).exists()

    eventually(over)
    begun.refresh_from_db()
    assert begun.finished_at is not None
    eventually(lambda: not Job.objects.filter(id__in=meant).exclude(state=State.COMPLETED).exists())

    assert (begun.total, begun.done, begun.reached) == (2500, 2500, 2500)
    ran_again = Job.objects.filter(metadata={}, attempt__gt=1)
    assert set(ran_again.values_list("id", flat=True)) == meant
    assert Job.objects.filter(state=State.FAILED).count() == 97_500
    beside = Job.objects.filter(metadata__load=True, started_at__gt=asked_at, started_at__lt=begun.finished_at).count()
    assert beside > 0
    seconds = (begun.finished_at - asked_at).total_seconds()
    took.sort()
    with capsys.disabled():
        sys.stdout.write(
            f"\nbeside a system at work: groups of 100,000 in {took[20]:.0f} ms (p50), {took[38]:.0f} ms (p95); "
            f"2,500 of them requeued in {seconds:.1f} s, in which {beside} others started\n"
        )
