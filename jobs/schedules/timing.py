"""The times of a schedule: cron in a time zone, an interval, or one moment. Nothing here looks at a clock.

Cron lines name times on the clock of a zone, and that clock is put forward and back. What happens then:

- A line for times of the day, such as `30 2 * * *`, fires once for each. A time that is skipped fires at the moment of
  the change; one that comes twice fires the first time.
- A line with `*` in its minutes or hours, such as `*/15 * * * *`, follows the hands of the clock. It fires at every
  moment that it matches: never in the hour that is skipped, and again in the hour that is repeated.

An interval counts seconds, so no clock change touches it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_WALKED = 10_000  # times of a cron line that are passed one by one: a line for every minute has so many in a week
_LAST_WEEK = timedelta(days=7)


class Timing(Protocol):
    """Times, in UTC and in order."""

    def after(self, moment: datetime) -> datetime | None:
        """The first time later than `moment`; none: there is no more."""
        ...

    def passed(self, first: datetime, until: datetime, most: int) -> tuple[int, list[datetime]]:
        """How many of its times lie from `first`, which is one, to `until`, and the latest of them, `most` at most."""
        ...

    @property
    def words(self) -> str:
        """The same in plain words."""
        ...


def upcoming(timing: Timing, moment: datetime) -> Iterator[datetime]:
    """Its times after `moment`, one by one."""
    found = timing.after(moment)
    while found is not None:
        yield found
        found = timing.after(found)


@dataclass(frozen=True)
class Cron:
    """Five fields (minute, hour, day, month, day of the week), read by the clock of a zone."""

    line: str
    zone: ZoneInfo

    @classmethod
    def parse(cls, line: str, zone: ZoneInfo) -> Cron:
        """Raises ValueError, in words for people: a line that is none, or that no day ever matches."""
        if len(line.split()) != 5:
            raise ValueError("has five fields: minute, hour, day of the month, month, day of the week")
        try:
            first = next(CronSim(line, datetime(2000, 1, 1)), None)  # noqa: DTZ001 - the clock on the wall
        except (CronSimError, AssertionError, TypeError, ValueError) as error:
            raise ValueError(f"is not a cron line. {error}") from error
        if first is None:
            raise ValueError("names a day that never comes")
        return cls(line, zone)

    @property
    def words(self) -> str:
        return f"{CronSim(self.line, datetime(2000, 1, 1)).explain()}, {self.zone.key}"  # noqa: DTZ001

    def after(self, moment: datetime) -> datetime | None:
        minutes, hours = self.line.split()[:2]
        return self._by_hand(moment) if minutes[0] == "*" or hours[0] == "*" else self._by_day(moment)

    def passed(self, first: datetime, until: datetime, most: int) -> tuple[int, list[datetime]]:
        latest: deque[datetime] = deque(maxlen=most)
        count = 0
        time: datetime | None = first
        while time is not None and time <= until:
            latest.append(time)
            count += 1
            # After a very long stop: what is older than a week is not counted to the last one.
            leaps = count % _WALKED == 0 and time < until - _LAST_WEEK
            time = self.after(until - _LAST_WEEK if leaps else time)
        return count, list(latest)

    def _by_day(self, moment: datetime) -> datetime | None:
        for wall in CronSim(self.line, self._wall(moment)):
            if (found := self._moment(wall)) > moment:
                return found
        return None

    def _moment(self, wall: datetime) -> datetime:
        """When the clock first shows this; where it skips it, the moment of the change."""
        found = wall.replace(tzinfo=self.zone, fold=0).astimezone(UTC)
        if self._wall(found) == wall:
            return found
        # Of a time that is skipped, fold 0 lies behind the change, and fold 1 before it.
        change = self._change(wall.replace(tzinfo=self.zone, fold=1).astimezone(UTC), found)
        assert change is not None
        return change

    def _by_hand(self, moment: datetime) -> datetime | None:
        """From one change of the clock to the next it runs as any other, so there cron is simple."""
        earliest = moment.astimezone(UTC).replace(microsecond=0) + _SECOND
        while True:
            offset = self._offset(earliest)
            wall = next(CronSim(self.line, (earliest + offset - _SECOND).replace(tzinfo=None)), None)
            if wall is None:
                return None
            found = (wall - offset).replace(tzinfo=UTC)
            change = self._change(earliest, found)
            if change is None:
                return found
            earliest = change

    def _change(self, start: datetime, end: datetime) -> datetime | None:
        """The first moment after `start`, up to `end`, at which the clock is put forward or back."""
        while start < end:
            following = min(start + _DAY, end)
            if self._offset(following) != self._offset(start):
                return self._bisect(start, following)
            start = following
        return None

    def _bisect(self, before: datetime, behind: datetime) -> datetime:
        old = self._offset(before)
        while behind - before > _SECOND:
            middle = before + (behind - before) // 2
            middle = middle.replace(microsecond=0)
            if self._offset(middle) == old:
                before = middle
            else:
                behind = middle
        return behind

    def _offset(self, moment: datetime) -> timedelta:
        offset = moment.astimezone(self.zone).utcoffset()
        assert offset is not None
        return offset

    def _wall(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone).replace(tzinfo=None, fold=0)


@dataclass(frozen=True)
class Every:
    """Every so long, counted from a start."""

    step: timedelta
    start: datetime

    @property
    def words(self) -> str:
        return f"Every {in_words(self.step)}"

    def after(self, moment: datetime) -> datetime | None:
        if moment < self.start:
            return self.start
        return self.start + ((moment - self.start) // self.step + 1) * self.step

    def passed(self, first: datetime, until: datetime, most: int) -> tuple[int, list[datetime]]:
        count = max(0, (until - first) // self.step + 1)
        return count, [first + place * self.step for place in range(max(0, count - most), count)]


@dataclass(frozen=True)
class Once:
    """One moment."""

    at: datetime

    @property
    def words(self) -> str:
        return f"Once, at {self.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"

    def after(self, moment: datetime) -> datetime | None:
        return self.at if moment < self.at else None

    def passed(self, first: datetime, until: datetime, most: int) -> tuple[int, list[datetime]]:
        times = [first] if first <= until else []
        return len(times), times[:most]


def in_words(step: timedelta) -> str:
    """`1 day 2 hours`, and `hour` alone for one."""
    left = step.total_seconds()
    parts: list[tuple[float, str]] = []
    for name, seconds in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        count, left = divmod(left, seconds)
        if count:
            parts.append((int(count), name))
    if left:
        parts.append((int(left) if left == int(left) else round(left, 3), "second"))
    if len(parts) == 1 and parts[0][0] == 1:
        return parts[0][1]
    return " ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in parts)


def next_five(timing: Timing, moment: datetime) -> list[datetime]:
    return list(islice(upcoming(timing, moment), 5))
