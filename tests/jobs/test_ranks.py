"""Finer scales of priority keep their order in the four queues."""

from __future__ import annotations

from collections import defaultdict

import pytest

from jobs import lifecycle, ranks
from jobs.capacity import QUEUES, Capacity
from jobs.models import Job, Priority
from jobs.window import Window
from tests.jobs.states import as_stored, submitted


def _dispatched() -> list[Job]:
    """The jobs that wait, in the order in which a worker of every queue is told of them."""
    known = defaultdict[str, frozenset[str]](frozenset, {queue: frozenset({"echo"}) for queue in QUEUES})
    ready = Window().unsent(Capacity(dict.fromkeys(QUEUES, 1), known, {}))
    found = Job.objects.in_bulk()
    return [found[one.id] for one in sorted(ready, key=lambda one: QUEUES.index(one.queue))]


def test_every_level_has_a_place_and_a_higher_level_has_a_higher_one() -> None:
    ten = [ranks.of_ten(level) for level in range(1, 11)]

    assert ten == sorted(set(ten))
    assert {place.priority for place in ten} == set(Priority)


def test_the_bands_of_the_older_scraper_keep_their_names() -> None:
    assert {ranks.of_ten(level).priority.label for level in (8, 9)} == {"high"}
    assert {ranks.of_ten(level).priority.label for level in (5, 6, 7)} == {"medium"}
    assert {ranks.of_ten(level).priority.label for level in (1, 2, 3, 4)} == {"low"}


@pytest.mark.parametrize("level", [0, 11, -1])
def test_a_level_beyond_the_scale_is_refused(level: int) -> None:
    with pytest.raises(ValueError, match=f"from 1 to 10, not {level}"):
        ranks.of_ten(level)


@pytest.mark.django_db
def test_jobs_of_all_ten_levels_go_out_highest_first_whatever_came_first() -> None:
    shuffled = [3, 10, 1, 7, 8, 5, 2, 9, 4, 6]
    for level in shuffled:
        lifecycle.submit("echo", {"level": level}, **ranks.of_ten(level)._asdict())

    assert [job.payload["level"] for job in _dispatched()] == list(range(10, 0, -1))


@pytest.mark.django_db
def test_levels_from_zero_to_three_are_the_queues_themselves() -> None:
    for level in (1, 3, 0, 2):
        lifecycle.submit("echo", {"level": level}, priority=level)

    assert [job.payload["level"] for job in _dispatched()] == [3, 2, 1, 0]


@pytest.mark.django_db
def test_jobs_of_one_rank_go_in_the_order_of_readiness() -> None:
    first = submitted(3, rank=1)
    later = submitted(3, rank=1)
    ahead = submitted(2, rank=2)

    assert [job.id for job in _dispatched()] == [job.id for job in ahead + first + later]


@pytest.mark.django_db
def test_a_rank_stays_behind_when_its_job_changes_queues() -> None:
    (job,) = submitted(1, rank=3)

    lifecycle.set_priority([job.id], Priority.CRITICAL)

    assert (as_stored(job).priority, as_stored(job).rank) == (Priority.CRITICAL, 0)
