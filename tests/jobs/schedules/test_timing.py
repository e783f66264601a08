"""Cron lines against a slow truth: every minute of the hours around every change of the clock, one by one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import takewhile
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.schedules.timing import Cron, Every, Once, next_five, upcoming

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FIRST, LAST = datetime(2025, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
AROUND = 4 * HOUR


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


@cache
def _changes(name: str) -> tuple[datetime, ...]:
    """The moments from 2025 to 2030 at which that zone changes its clocks, to the minute."""
    zone, found, moment = ZoneInfo(name), [], FIRST
    while moment < LAST:
        following = moment + timedelta(days=1)
        if _offset(zone, moment) != _offset(zone, following):
            low, high = moment, following
            while high - low > MINUTE:
                middle = low + ((high - low) // 2 // MINUTE) * MINUTE
                low, high = (middle, high) if _offset(zone, middle) == _offset(zone, low) else (low, middle)
            found.append(high)
        moment = following
    return tuple(found)


@cache
def _zones() -> tuple[str, ...]:
    """Fifty zones that change their clocks, every different way of doing so among them."""
    changing = [name for name in sorted(available_timezones()) if "/" in name and _changes(name)]
    ways: dict[tuple[object, ...], str] = {}
    for name in changing:
        ways.setdefault((_changes(name), _offset(ZoneInfo(name), FIRST)), name)
    return tuple(dict.fromkeys([*ways.values(), *changing]))[:50]


@dataclass(frozen=True)
class Line:
    """A cron line, and which minutes and hours it means."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]

    @property
    def by_hand(self) -> bool:
        minutes, hours = self.text.split()[:2]
        return "*" in (minutes[0], hours[0])

    def matches(self, wall: datetime) -> bool:
        return wall.minute in self.minutes and wall.hour in self.hours


@cache
def _clock(zone: ZoneInfo, start: datetime, end: datetime) -> tuple[list[datetime], list[datetime]]:
    """Every minute, and what the clock on the wall shows in it."""
    moments = [start + place * MINUTE for place in range((end - start) // MINUTE + 1)]
    return moments, [moment.astimezone(zone).replace(tzinfo=None, fold=0) for moment in moments]


def _truth(line: Line, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """By the rules as they stand in the docs, minute by minute and without a thought for speed."""
    moments, walls = _clock(zone, start, end)
    if line.by_hand:
        found = {moment for moment, wall in zip(moments, walls, strict=True) if line.matches(wall)}
    else:
        found = set()
        latest = walls[0] - MINUTE  # what the clock has shown so far
        for moment, wall in zip(moments, walls, strict=True):
            while latest < wall:
                latest += MINUTE
                if line.matches(latest):  # shown for the first time, or skipped just now
                    found.add(moment)
    return sorted(moment for moment in found if moment > start + HOUR * 2)  # what is repeated is known by then


def _told(line: Line, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    times = upcoming(Cron.parse(line.text, zone), start + HOUR * 2)
    return list(takewhile(lambda time: time <= end, times))


def _line(minutes: str, hours: str) -> Line:
    def meant(text: str, size: int) -> frozenset[int]:
        if text[0] == "*":
            return frozenset(range(0, size, int(text[2:] or 1)))
        return frozenset(int(part) for part in text.split(","))

    return Line(f"{minutes} {hours} * * *", meant(minutes, 60), meant(hours, 24))


@pytest.mark.parametrize("name", _zones())
def test_every_change_of_a_zones_clock_is_met_rightly(name: str) -> None:
    zone = ZoneInfo(name)
    for change in _changes(name):
        wall = change.astimezone(zone)
        near = ",".join(str((wall.hour + shift) % 24) for shift in (-2, -1, 0, 1))
        for line in (_line("*/7", "*"), _line("0", "*"), _line("*/20", near), _line("0,10,30,59", near)):
            window = change - AROUND, change + AROUND
            assert _told(line, zone, *window) == _truth(line, zone, *window), (line.text, change)


def _fields(size: int) -> st.SearchStrategy[str]:
    numbers = st.lists(st.integers(0, size - 1), min_size=1, max_size=5, unique=True)
    listed = numbers.map(lambda found: ",".join(map(str, sorted(found))))
    return st.just("*") | st.integers(2, size // 2).map(lambda step: f"*/{step}") | listed


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(_zones()), st.builds(_line, _fields(60), _fields(24)))
def test_any_line_around_any_change_fires_when_it_should(data: st.DataObject, name: str, line: Line) -> None:
    change = data.draw(st.sampled_from(_changes(name)))
    start, end = change - AROUND, change + AROUND

    assert _told(line, ZoneInfo(name), start, end) == _truth(line, ZoneInfo(name), start, end)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(_zones()), st.builds(_line, _fields(60), _fields(24)), st.data())
def test_where_one_begins_to_count_does_not_matter(name: str, line: Line, data: st.DataObject) -> None:
    change = data.draw(st.sampled_from(_changes(name)))
    cron = Cron.parse(line.text, ZoneInfo(name))
    times = list(takewhile(lambda time: time < change + AROUND, upcoming(cron, change - AROUND)))
    moment = change + data.draw(st.integers(-14_400, 14_400)) * timedelta(seconds=1)

    expected = next((time for time in times if time > moment), None)

    assert expected is None or cron.after(moment) == expected


def test_the_fifty_zones_are_fifty_and_go_both_ways() -> None:
    assert len(_zones()) == 50
    shifts = {
        abs(_offset(ZoneInfo(name), change) - _offset(ZoneInfo(name), change - MINUTE))
        for name in _zones()
        for change in _changes(name)
    }
    assert shifts == {HOUR / 2, HOUR, 2 * HOUR}
    assert all(any(change.year == year for name in _zones() for change in _changes(name)) for year in range(2025, 2031))


@pytest.mark.parametrize(
    ("line", "zone", "after", "expected"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T01:00"),  # skipped: at the change
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", "2026-10-25T00:30"),  # twice: the first time
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30", "2026-10-26T01:30"),
        ("*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-30T00:00"),  # by hand: not in a skipped hour
        ("0 0 * * *", "America/Santiago", "2026-09-05T12:00", "2026-09-06T04:00"),  # midnight itself is skipped
        ("0 12 * * *", "America/New_York", "2026-03-08T00:00", "2026-03-08T16:00"),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00", "2028-02-29T00:00"),
        ("0 0 L * *", "UTC", "2026-02-01T00:00", "2026-02-28T00:00"),
        ("0 9 * * MON#1", "UTC", "2026-02-02T09:00", "2026-03-02T09:00"),
    ],
)
def test_lines_that_people_write(line: str, zone: str, after: str, expected: str) -> None:
    found = Cron.parse(line, ZoneInfo(zone)).after(datetime.fromisoformat(after).replace(tzinfo=UTC))

    assert found == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "has five fields"),
        ("@daily", "has five fields"),
        ("* * * * * *", "has five fields"),
        ("61 * * * *", "Bad minute"),
        ("0 0 30 2 *", "Bad day-of-month"),
        ("*/0 * * * *", "Bad minute"),
        ("L * * * *", "Bad minute"),
    ],
)
def test_a_line_that_is_none_is_refused(line: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Cron.parse(line, ZoneInfo("UTC"))


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="0123456789*/-,#LW MONFRI²x", max_size=24) | st.text(max_size=12))
def test_any_text_is_refused_or_fires(line: str) -> None:
    try:
        cron = Cron.parse(line, ZoneInfo("Europe/Berlin"))
    except ValueError:
        return
    first, second = next_five(cron, FIRST)[:2]
    assert FIRST < first < second
    assert cron.words


@given(
    st.integers(1_000, 10**9).map(lambda milliseconds: timedelta(milliseconds=milliseconds)),
    st.integers(-(10**12), 10**12).map(lambda microseconds: timedelta(microseconds=microseconds)),
)
def test_an_interval_keeps_its_step_for_ever(step: timedelta, away: timedelta) -> None:
    timing = Every(step, FIRST)
    found = timing.after(FIRST + away)

    assert found is not None
    assert found > FIRST + away
    assert (found - FIRST) % step == timedelta(0)
    assert found - step <= FIRST + away or found == FIRST
    assert timing.after(found) == found + step


def test_a_single_moment_comes_once() -> None:
    timing = Once(FIRST)

    assert next_five(timing, FIRST - HOUR) == [FIRST]
    assert timing.after(FIRST) is None


@pytest.mark.parametrize(
    ("line", "days", "count"), [("* * * * *", 30, None), ("0 * * * *", 30, 721), ("0 0 1 * *", 365, 13)]
)
def test_times_that_passed_are_counted_in_bounded_work(line: str, days: int, count: int | None) -> None:
    """A line for every minute is counted for the first week and the last one of a stop of a month."""
    until = FIRST + timedelta(days=days)
    found, latest = Cron.parse(line, ZoneInfo("UTC")).passed(FIRST, until, 3)

    assert latest[-1] == max(time for time in latest)
    assert until - latest[-1] < timedelta(days=31)
    assert found == count or (count is None and found == 10_000 + 7 * 24 * 60)


@given(st.integers(1, 10**6), st.integers(0, 10**8), st.integers(1, 100))
def test_an_interval_counts_what_passed_without_walking(step: int, away: int, most: int) -> None:
    timing = Every(timedelta(seconds=step), FIRST)
    count, latest = timing.passed(FIRST, FIRST + timedelta(seconds=away), most)

    assert count == away // step + 1
    assert len(latest) == min(most, count)
    assert latest[-1] == FIRST + (count - 1) * timedelta(seconds=step)


@pytest.mark.parametrize(
    ("timing", "words"),
    [
        (Every(timedelta(seconds=3600), FIRST), "Every hour"),
        (Every(timedelta(seconds=5400), FIRST), "Every 1 hour 30 minutes"),
        (Every(timedelta(seconds=2.5), FIRST), "Every 2.5 seconds"),
        (Once(FIRST), "Once, at 2025-01-01 00:00:00 UTC"),
        (Cron.parse("30 2 * * *", ZoneInfo("Europe/Berlin")), "At 02:30 every day, Europe/Berlin"),
    ],
)
def test_a_timing_is_said_in_plain_words(timing: Cron | Every | Once, words: str) -> None:
    assert timing.words == words
