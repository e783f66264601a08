"""What can be exported: each source names its columns, and how its rows are read page by page.

Pages go by the key, not by a cursor: a cursor would keep one transaction open for as long as the export takes, and
with it every dead row of the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from jobs.access.roles import Caller, within_reach
from jobs.models import Job, Priority
from jobs.sealed import masked

_PAGE_BYTES = 64 * 1024  # that a page should come to: larger ones are hardly faster, and take several times as much
_FEWEST, _MOST = 10, 1000  # rows in one page


def _priority(value: int) -> str:
    return Priority(value).label


@dataclass(frozen=True)
class Source:
    """`columns` are names in the export with the lookups that they come from, `prefix` leads from a row to its job."""

    name: str
    rows: Callable[[], QuerySet[Any]]
    columns: Mapping[str, str]
    prefix: str = ""
    shown: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)  # columns that are not shown as stored


class Pages:
    """All rows that a source has at this moment, that the caller may see and that pass the filters, in order of
    submission, in little memory.

    Whoever takes a page says how many bytes it came to, and so how many rows the next one has.
    """

    def __init__(self, source: Source, filters: Mapping[str, Any], caller: Caller | None) -> None:
        self._key = f"{source.prefix}id"
        self._source = source
        rows = within_reach(caller, source.rows(), prefix=source.prefix)
        self._rows = rows.filter(**{source.prefix + name: value for name, value in filters.items()})
        self._rows = self._rows.order_by(self._key)
        self._last = self._rows.values_list(self._key, flat=True).last()
        self._size = _FEWEST

    def count(self) -> int:
        """How many rows there are, or were a moment ago."""
        return self._rows.count()

    def came_to(self, rows: int, size: int) -> None:
        fitting = rows * _PAGE_BYTES // max(1, size)
        self._size = max(_FEWEST, min(fitting, self._size * 2, _MOST))

    def __iter__(self) -> Iterator[list[list[Any]]]:
        if self._last is None:
            return
        lookups = self._source.columns.values()
        convert = [self._source.shown.get(name) for name in self._source.columns]
        rows = self._rows.filter(**{f"{self._key}__lte": self._last}).values_list(self._key, *lookups)
        page = list(rows[: self._size])
        while page:
            after = {f"{self._key}__gt": page[-1][0]}
            yield [
                [value if shown is None else shown(value) for shown, value in zip(convert, row[1:], strict=True)]
                for row in page
            ]
            page = list(rows.filter(**after)[: self._size])


_sources: dict[str, Source] = {}


def register(source: Source) -> None:
    """Called by the apps whose rows can be exported, when they are ready."""
    _sources[source.name] = source


def source(name: str) -> Source:
    """Raises ValueError for a name that nobody has registered."""
    try:
        return _sources[name]
    except KeyError:
        raise ValueError(f"must be one of {', '.join(sorted(_sources))}") from None


_OF_JOBS = (
    "id", "kind", "state", "priority", "payload", "metadata", "created_at", "run_at", "started_at", "finished_at",
    "attempt", "failures", "max_retries", "timeout", "result", "reason", "error",
)  # fmt: skip
register(
    Source(
        "jobs",
        Job.objects.all,
        {name: name for name in _OF_JOBS},
        shown={"payload": masked, "priority": _priority},
    )
)
