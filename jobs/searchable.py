"""What jobs can be searched by: each field of the search language as a condition on the table."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import F, Func, JSONField, Q, Value
from django.db.models.lookups import IsNull
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from jobs.models import Lane, Priority, Reason, State

_LOOKUPS = {":": "", ">": "__gt", ">=": "__gte", "<": "__lt", "<=": "__lte"}
_AGO = re.compile(r"now(?:-(\d{1,6})([smhdw]))?")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_ID = re.compile(r"[0-9a-f]{8}[0-9a-f-]{0,28}")
_WHOLE_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LARGEST_INT = 2**31 - 1
# Ids begin with the submitter's time and created_at is the database's: they may differ by so much, the clocks by
# seconds (the doctor says so from two on), and a transaction that had begun before it submitted.
_APART = timedelta(minutes=1)
_FIRST, _LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


class Unfit(ValueError):
    """A value or a sign that does not fit its field; says what would."""


@dataclass(frozen=True)
class Wanted:
    """What a term asks of its field: any of `values`; `path` leads into a JSON field."""

    sign: str
    values: tuple[str, ...]
    path: tuple[str, ...] = ()

    def only_equal(self) -> None:
        if self.sign != ":":
            raise Unfit("this field takes a colon only")

    def no_path(self) -> None:
        if self.path:
            raise Unfit("this field has nothing below it")


Field = Callable[[Wanted], Q]


def _any(conditions: Iterable[Q]) -> Q:
    return reduce(or_, conditions)


def _choice(column: str, choices: Mapping[str, Any]) -> Field:
    def condition(wanted: Wanted) -> Q:
        wanted.only_equal()
        wanted.no_path()
        if unknown := [value for value in wanted.values if value.lower() not in choices]:
            raise Unfit(f"{unknown[0]!r} is none of {', '.join(choices)}")
        return Q(**{f"{column}__in": [choices[value.lower()] for value in wanted.values]})

    return condition


def _priority(wanted: Wanted) -> Q:
    """`priority>=high` too: they have an order."""
    wanted.no_path()
    levels = {level.label: level.value for level in Priority}
    if unknown := [value for value in wanted.values if value.lower() not in levels]:
        raise Unfit(f"{unknown[0]!r} is none of {', '.join(levels)}")
    return _any(Q(**{f"priority{_LOOKUPS[wanted.sign]}": levels[value.lower()]}) for value in wanted.values)


def _name(column: str) -> Field:
    """A name, or the beginning of one with a star: `kind:scrape_*`."""

    def condition(wanted: Wanted) -> Q:
        wanted.only_equal()
        wanted.no_path()
        return _any(
            Q(**{f"{column}__startswith": value[:-1]}) if value.endswith("*") else Q(**{column: value})
            for value in wanted.values
        )

    return condition


def _text(column: str) -> Field:
    def condition(wanted: Wanted) -> Q:
        wanted.only_equal()
        wanted.no_path()
        return _any(Q(**{f"{column}__icontains": value}) for value in wanted.values)

    return condition


def _number(column: str) -> Field:
    def condition(wanted: Wanted) -> Q:
        wanted.no_path()
        if wrong := [value for value in wanted.values if not value.isdecimal() or int(value) > _LARGEST_INT]:
            raise Unfit(f"{wrong[0]!r} is no whole number from 0 to {_LARGEST_INT}")
        return _any(Q(**{f"{column}{_LOOKUPS[wanted.sign]}": int(value)}) for value in wanted.values)

    return condition


def _time(column: str) -> Field:
    def condition(wanted: Wanted) -> Q:
        wanted.no_path()
        return _any(_compared(column, wanted.sign, *_span(value)) for value in wanted.values)

    return condition


def _created(wanted: Wanted) -> Q:
    """By the ids as well, which are indexed and begin with the time of submission."""
    return _time("created_at")(wanted) & _made(wanted)


def _made(wanted: Wanted) -> Q:
    """The ids that jobs of that time may have."""
    begins, ends = zip(*map(_span, wanted.values), strict=True)
    found = Q()
    if wanted.sign in (":", ">", ">="):
        found &= Q(id__gte=_first_id(min(begins) - _APART))
    if wanted.sign in (":", "<", "<="):
        found &= Q(id__lt=_first_id(max(ends) + _APART))
    return found


def _first_id(moment: datetime) -> uuid.UUID:
    """No id of version 7 that was made at that time or later is smaller."""
    return uuid.UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


def submitted_at(job_id: uuid.UUID) -> datetime:
    """The time that its id begins with."""
    return datetime.fromtimestamp((job_id.int >> 80) / 1000, tz=UTC)


def _compared(column: str, sign: str, begin: datetime, end: datetime) -> Q:
    """`end` is the first moment after the span that was named: a day, a minute, or a moment."""
    match sign:
        case ">":
            return Q(**{f"{column}__gte": end}) if end > begin else Q(**{f"{column}__gt": begin})
        case ">=":
            return Q(**{f"{column}__gte": begin})
        case "<":
            return Q(**{f"{column}__lt": begin})
        case "<=":
            return Q(**{f"{column}__lt": end}) if end > begin else Q(**{f"{column}__lte": begin})
        case _ if end > begin:
            return Q(**{f"{column}__gte": begin, f"{column}__lt": end})
        case _:
            return Q(**{column: begin})


def _span(value: str) -> tuple[datetime, datetime]:
    """A day in our time zone, a moment, or `now-7d`."""
    try:
        begin, length = _read_time(value)
    except (ValueError, OverflowError):
        hint = "write 2026-01-31, 2026-01-31T12:00Z, now, or now-24h (s, m, h, d, w)"
        raise Unfit(f"{value!r} is no time; {hint}") from None
    if not _FIRST <= begin <= _LAST:
        raise Unfit("times lie between 1970 and 9000")
    return begin, begin + length


def _read_time(value: str) -> tuple[datetime, timedelta]:
    if ago := _AGO.fullmatch(value.lower()):
        number, unit = ago.groups()
        return timezone.now() - (timedelta(**{_UNITS[unit]: int(number)}) if unit else timedelta()), timedelta()
    if day := parse_date(value):
        return timezone.make_aware(datetime.combine(day, time.min)), timedelta(days=1)
    moment = parse_datetime(value.upper())
    if moment is None:
        raise ValueError(value)
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment), timedelta()


def _json(column: str) -> Field:
    """`payload.customer:42`: the number and the text; `payload.customer:*`: there at all."""

    def condition(wanted: Wanted) -> Q:
        wanted.only_equal()
        if not wanted.path or not all(wanted.path):
            raise Unfit(f"say which part of it: {column}.customer:42")
        return _any(_below(column, wanted.path, value) for value in wanted.values)

    return condition


def _below(column: str, path: tuple[str, ...], value: str) -> Q:
    if value == "*":
        part = Func(F(column), *map(Value, path), function="jsonb_extract_path", output_field=JSONField())
        return Q(IsNull(part, False))
    return _any(Q(**{f"{column}__contains": _nested(path, meant)}) for meant in _meanings(value))


def _meanings(value: str) -> list[Any]:
    """A word in a search may be text, and what it says as JSON: 42, true, null."""
    meanings: list[Any] = [value]
    try:
        plain = json.loads(value, parse_constant=lambda _: value)
    except (ValueError, RecursionError):
        return meanings
    if plain != value and not isinstance(plain, (dict, list)) and plain not in (float("inf"), float("-inf")):
        meanings.append(plain)
    return meanings


def _nested(path: tuple[str, ...], value: Any) -> Any:
    for part in reversed(path):
        value = {part: value}
    return value


def _id(wanted: Wanted) -> Q:
    wanted.only_equal()
    wanted.no_path()
    return _any(_id_begins(value) for value in wanted.values)


def _id_begins(value: str) -> Q:
    """A whole id, or eight or more of its first signs."""
    if not _ID.fullmatch(value.lower()):
        raise Unfit(f"{value!r} is no id, nor eight or more of the first signs of one")
    digits = value.lower().replace("-", "")[:32]
    first, last = uuid.UUID(digits.ljust(32, "0")), uuid.UUID(digits.ljust(32, "f"))
    return Q(id=first) if first == last else Q(id__gte=first, id__lte=last)


def _batch(wanted: Wanted) -> Q:
    wanted.only_equal()
    wanted.no_path()
    if wrong := [value for value in wanted.values if not _WHOLE_ID.fullmatch(value.lower())]:
        raise Unfit(f"{wrong[0]!r} is no id of a batch")
    return Q(batch_id__in=[uuid.UUID(value) for value in wanted.values])


def by_id(field: str, wanted: Wanted) -> Q:
    """What a term says of the id alone: all indexes that jobs are read through by have them in the order of ids."""
    if field == "id":
        return _id(wanted)
    if field == "created":
        return _made(wanted)
    if not field and all(_WHOLE_ID.fullmatch(value.lower()) for value in wanted.values):
        return _any(map(_id_begins, wanted.values))
    return Q()


def anywhere(values: tuple[str, ...]) -> Q:
    """Words without a field: in the kind, in the error, or the beginning of the id. A whole id is nothing else."""
    found = Q()
    for value in values:
        if _WHOLE_ID.fullmatch(value.lower()):
            found |= _id_begins(value)
            continue
        one = Q(kind__icontains=value) | Q(error__icontains=value)
        found |= one | _id_begins(value) if _ID.fullmatch(value.lower()) else one
    return found


FIELDS: dict[str, Field] = {
    "state": _choice("state", {state.value: state.value for state in State}),
    "kind": _name("kind"),
    "priority": _priority,
    "queue": _priority,
    "lane": _choice("lane", {lane.value: lane.value for lane in Lane}),
    "reason": _choice("reason", {reason.value: reason.value for reason in Reason}),
    "id": _id,
    "batch": _batch,
    "error": _text("error"),
    "fingerprint": _name("fingerprint"),
    "key": _name("limit_key"),
    "payload": _json("payload"),
    "metadata": _json("metadata"),
    "attempt": _number("attempt"),
    "failures": _number("failures"),
    "created": _created,
    "started": _time("started_at"),
    "finished": _time("finished_at"),
    "due": _time("run_at"),
}
