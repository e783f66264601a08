"""Thirty hours of schedules in the hands of two dispatchers, the leader of which is killed again and again.

The clock is the test's: it runs through the night in which Berlin's clocks go back. Everything else is real.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
import time
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, connections

from jobs import leadership
from jobs.models import Fire, FireOutcome, Job, Misfire, Schedule
from jobs.schedules.definition import timing_of
from jobs.schedules.firing import fire
from jobs.schedules.timing import upcoming
from tests.jobs.schedules.making import MINUTE, START, scheduled

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

    from tests.jobs.conftest import Race

pytestmark = pytest.mark.django_db(transaction=True)

HOURS = 30
END = START + timedelta(hours=HOURS)
HARMS = 20
TIMINGS: list[dict[str, Any]] = [
    {"cron": "*/5 * * * *", "time_zone": "Europe/Berlin"},
    {"cron": "30 2 * * *", "time_zone": "Europe/Berlin"},
    {"cron": "*/20 2 * * *", "time_zone": "Europe/Berlin"},
    {"cron": "15,45 */2 * * *", "time_zone": "America/New_York"},
    {"every": 97.0},
    {"every": 3600.0},
]


class Clock:
    """What two dispatchers share with the test: the time, up to when all is fired, and which of them leads."""

    def __init__(self, start: datetime) -> None:
        self._memory = mmap.mmap(-1, 24)
        self.now = self.fired = start

    def _time(self, place: int) -> datetime:
        return datetime.fromtimestamp(struct.unpack_from("<d", self._memory, place)[0], UTC)

    @property
    def now(self) -> datetime:
        return self._time(0)

    @now.setter
    def now(self, moment: datetime) -> None:
        struct.pack_into("<d", self._memory, 0, moment.timestamp())

    @property
    def fired(self) -> datetime:
        return self._time(8)

    @fired.setter
    def fired(self, moment: datetime) -> None:
        struct.pack_into("<d", self._memory, 8, moment.timestamp())

    @property
    def leader(self) -> int:
        return int(struct.unpack_from("<q", self._memory, 16)[0])

    def note_leader(self) -> None:
        struct.pack_into("<q", self._memory, 16, os.getpid())

    def advance(self, step: timedelta) -> None:
        """It does not run away from slow machines: what is fired is at most an hour behind."""
        deadline = time.monotonic() + 60
        while self.now - self.fired > timedelta(hours=1):
            assert time.monotonic() < deadline, "nobody fires"
            time.sleep(0.001)
        self.now = self.now + step


def _dispatch(clock: Clock) -> None:
    """What a dispatcher does for schedules, until it is killed."""
    name = f"by hand-{os.getpid()}"
    while True:
        if leadership.lead(name) is None:
            time.sleep(0.01)
            continue
        clock.note_leader()
        now = clock.now
        while fire(3, now=now) == 3:
            pass
        # What a killed one had locked is passed by until Postgres has noticed its death.
        if not Schedule.objects.filter(next_at__lte=now).exists():
            clock.fired = now


def _forked(clock: Clock) -> int:
    """Its own process, with connections of its own."""
    pid = os.fork()
    if pid == 0:
        try:
            _dispatch(clock)
        finally:
            os._exit(1)
    return pid


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_each_fire_happens_exactly_once_whichever_dispatcher_dies(settings: Settings) -> None:
    settings.DISPATCHER_LEASE_SECONDS = 0.2
    schedules = [scheduled(misfire=Misfire.CATCH_UP, catch_up_limit=100, **timing) for timing in TIMINGS]
    connections.close_all()
    connection.close_pool()  # type: ignore[attr-defined]  # the children must not share the parent's connections
    chance, clock = random.Random(8), Clock(START)
    pids = [_forked(clock), _forked(clock)]
    killed_leaders = 0
    try:
        for _ in range(HARMS):
            for _ in range(12):
                clock.advance((END - START) / (HARMS * 12))
                time.sleep(chance.uniform(0, 0.01))
            victim = clock.leader if clock.leader in pids and chance.random() < 0.8 else chance.choice(pids)
            killed_leaders += victim == clock.leader
            if chance.random() < 0.3:  # frozen for longer than its lease, then back as if nothing had happened
                os.kill(victim, signal.SIGSTOP)
                time.sleep(0.3)
                os.kill(victim, signal.SIGCONT)
            else:
                _kill(victim)
                pids.remove(victim)
                pids.append(_forked(clock))
    finally:
        for pid in pids:
            _kill(pid)
    assert killed_leaders > HARMS / 3
    while fire(now=END):  # the last ones, by whoever leads next
        pass

    for schedule in schedules:
        expected = list(takewhile(lambda at: at <= END, upcoming(timing_of(schedule), START)))
        found = Fire.objects.filter(schedule=schedule, outcome=FireOutcome.SUBMITTED).order_by("at")
        assert list(found.values_list("at", flat=True)) == expected, schedule
        assert not Fire.objects.filter(schedule=schedule, missed__gt=0).exists()
    jobs = set(Job.objects.values_list("id", flat=True))
    assert len(jobs) == Fire.objects.count()
    assert set(Fire.objects.values_list("job_id", flat=True)) == jobs


def test_of_many_dispatchers_that_fire_at_once_each_schedule_is_fired_by_one(race: Race) -> None:
    for _ in range(10):
        scheduled()
    for minute in range(1, 6):
        answers = race(*[lambda minute=minute: fire(now=START + minute * MINUTE)] * 4)
        assert sum(answers) == 10

    assert Job.objects.count() == Fire.objects.count() == 50
