"""How far a list of jobs reads: from its cursor on it looks at no more than SEARCH_STRETCH jobs, fitting or not.

What no index answers is read through, and that must cost no more in a table of ten million than in one of a thousand.
So a page may hold few jobs or none and yet not be the last: it says how far it has come, and its cursor goes on there.

A line is what is read through: of the indexes that have jobs in the order of their ids, the one that the search names
most closely. Each job of it is then looked up and asked whether it fits.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL
from django.utils import timezone

from jobs.models import Admission, Job, State
from jobs.search import Term
from jobs.searchable import by_id, submitted_at

# Those of the index job_at_rest.
_AT_REST = (State.BLOCKED, State.SCHEDULED, State.RETRYING, State.PAUSED, State.FAILED, State.CANCELLED)

_OF_THAT_TIME = " of that time"


@dataclass(frozen=True)
class Line:
    """Jobs that are read through newest first, and what they are called: "failed jobs"."""

    jobs: QuerySet[Job]
    words: str = "jobs"


@dataclass(frozen=True)
class Searched:
    """Why a page is not full and not the last: it has read so many jobs, back to those submitted then."""

    jobs: int
    words: str
    back_to: datetime


@dataclass(frozen=True)
class Stretch:
    """A page of what fits, newest first. `newer` and `older` are where the pages beside it begin, if there are any:
    its `after` and its `before`.
    """

    ids: list[uuid.UUID]
    newer: uuid.UUID | None = None
    older: uuid.UUID | None = None
    searched: Searched | None = None

    @property
    def told(self) -> str:
        """How far it has read, in a sentence; empty where that needs no words."""
        if self.searched is None:
            return ""
        which = f"the newest {self.searched.jobs:,}" if self.newer is None else f"{self.searched.jobs:,} older"
        when = timezone.localtime(self.searched.back_to)
        return f"Searched {which} {self.searched.words}, back to {when:%Y-%m-%d %H:%M:%S}."


def line_of(terms: Sequence[Term]) -> Line:
    """The closest line on which everything stands that these terms can find."""
    named = {term.field: term.values[0] for term in terms if term.is_name}
    jobs, words = Job.objects.all(), "jobs"
    match named:
        case {"batch": batch}:
            jobs, words = jobs.filter(batch_id=batch), "jobs of the batch"
        case {"state": State.FAILED, "kind": kind, "fingerprint": fingerprint}:
            jobs, words = jobs.filter(state=State.FAILED, kind=kind, fingerprint=fingerprint), "failed jobs of one sort"
        case {"state": state} if state in _AT_REST:
            jobs, words = jobs.filter(state=state), f"{state} jobs"
        case {"state": State.QUEUED}:
            # In the words of the two indexes that hold them.
            held = Q(admission=Admission.HELD)
            jobs = jobs.filter(Q(~held, state=State.QUEUED) | Q(held, state=State.QUEUED))
            words = "queued jobs"
        case {"state": State.RUNNING}:
            jobs, words = jobs.filter(state=State.RUNNING), "running jobs"
        case {"kind": kind}:
            jobs, words = jobs.filter(kind=kind), f"jobs of kind {kind}"
    return _between(Line(jobs, words), terms)


def line_of_owner(jobs: QuerySet[Job], terms: Sequence[Term]) -> Line:
    """For who sees none but these, which are one owner's."""
    return _between(Line(jobs), terms)


def _between(line: Line, terms: Sequence[Term]) -> Line:
    """Every line is in the order of ids, so what the search says of them bounds it too."""
    for within in (by_id(term.field, term.wanted) for term in terms if not term.denied):
        if within:
            line = Line(line.jobs.filter(within), line.words.removesuffix(_OF_THAT_TIME) + _OF_THAT_TIME)
    return line


def read(
    line: Line, fitting: QuerySet[Any], size: int, *, before: uuid.UUID | None = None, after: uuid.UUID | None = None
) -> Stretch:
    """Up to `size` of the rows whose key is a job's, and that fit: the newest, the newest before that id, or those
    that come right after it.
    """
    upwards = after is not None
    jobs = line.jobs.filter(id__gt=after) if upwards else line.jobs.filter(id__lt=before) if before else line.jobs
    jobs = jobs.order_by("id" if upwards else "-id")
    found = _fitting(jobs, fitting, size + 1, "ASC" if upwards else "DESC")
    more, ids = len(found) > size, found[:size]
    end = None if more else _end(jobs)
    on = ids[-1] if more else end
    if after:
        return Stretch(ids[::-1], newer=on, older=ids[0] if ids else _beside(after, 1))
    newer = (ids[0] if ids else _beside(before, -1)) if before else None
    searched = Searched(settings.SEARCH_STRETCH, line.words, submitted_at(end)) if end else None
    return Stretch(ids, newer=newer, older=on, searched=searched)


def _fitting(jobs: QuerySet[Job], fitting: QuerySet[Any], most: int, order: str) -> list[uuid.UUID]:
    try:
        line, line_params = jobs.values("id")[: settings.SEARCH_STRETCH].query.sql_with_params()
        one, one_params = fitting.order_by().filter(pk=RawSQL("line.id", [])).values("pk").query.sql_with_params()
    except EmptyResultSet:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_FITTING.format(line=line, one=one, order=order), [*line_params, *one_params, most])
        return [row[0] for row in cursor.fetchall()]


# Job by job: ids alone come from the line, so that its index is read and no other, and OFFSET keeps the planner from
# joining the two in a way that reads either as a whole. Materialised, which still is no further than it is read: else
# the planner weighs both together, and beside what the jobs cost the one index seems as good to it as the other.
_FITTING = """
WITH line AS MATERIALIZED ({line}) SELECT line.id FROM line CROSS JOIN LATERAL ({one} OFFSET 0) fitting
ORDER BY line.id {order} LIMIT %s
"""


def _end(jobs: QuerySet[Job]) -> uuid.UUID | None:
    """The last job of the stretch; none where the line ends with it."""
    last = list(jobs.values_list("id", flat=True)[settings.SEARCH_STRETCH - 1 : settings.SEARCH_STRETCH + 1])
    return last[0] if len(last) > 1 else None


def _beside(job_id: uuid.UUID, step: int) -> uuid.UUID:
    return uuid.UUID(int=job_id.int + step)
