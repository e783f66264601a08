"""The language in which jobs are searched: one for the API, the command line and the pages.

    state:failed kind:download priority:high payload.customer:42 error:Timeout created>2026-01-01

Terms stand beside each other and must all hold; `-` in front denies one; values by comma are alternatives; quotes keep
spaces and signs together. A word without a field is looked for in ids, kinds and errors.

What a search may cost is bounded: by the length and the number of its terms here, by how far a page reads
(jobs/stretches.py), and by the time that the database spends on it (`bounded`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import and_

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models import Q
from psycopg.errors import QueryCanceled

from jobs import searchable
from jobs.searchable import FIELDS, Unfit, Wanted

MAX_LENGTH = 1000  # characters
MAX_TERMS = 20
MAX_VALUES = 20  # of one term

_VALUE = r'(?:"(?:[^"\\]|\\.)*"|[^\s",]+)'
_TERM = re.compile(
    rf"(?P<denied>-)?(?:(?P<field>[A-Za-z_]+(?:\.[\w.-]+)?)(?P<sign>:|>=|<=|>|<))?"
    rf"(?P<values>{_VALUE}(?:,{_VALUE})*)(?=\s|$)"
)


class SearchError(ValueError):
    """A search that cannot be understood, or costs too much. `at` is where in the text, in characters from 0."""

    def __init__(self, detail: str, at: int = 0, term: str = "") -> None:
        super().__init__(f"at character {at + 1}, {term!r}: {detail}" if term else detail)
        self.detail = detail
        self.at = at
        self.term = term


@dataclass(frozen=True)
class Term:
    """One condition as it was written."""

    text: str
    at: int
    denied: bool
    field: str  # "" for a word without one
    path: tuple[str, ...]  # below the field, as in payload.customer.id
    sign: str
    values: tuple[str, ...]

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.sign, self.values, self.path)

    @property
    def is_name(self) -> bool:
        """Whether it asks for one value and that alone, as in `kind:echo`."""
        return not self.denied and self.sign == ":" and len(self.values) == 1 and not self.values[0].endswith("*")


def parse(text: str) -> Q:
    """The search as a condition on Job; an empty one fits every job. Raises SearchError."""
    return condition(terms(text))


def condition(found: Iterable[Term]) -> Q:
    """All of these terms as a condition on Job. Raises SearchError."""
    return reduce(and_, (_condition(term) for term in found), Q())


def terms(text: str) -> list[Term]:
    """The terms of a search, in order. Raises SearchError for what is none."""
    if len(text) > MAX_LENGTH:
        raise SearchError(f"A search has at most {MAX_LENGTH} characters; this one has {len(text)}.")
    hidden = next((place for place, sign in enumerate(text) if not (sign.isprintable() or sign in "\t\n")), None)
    if hidden is not None:
        raise SearchError("there are no control characters in a search", hidden, text[hidden])
    found = []
    at = _skip_space(text, 0)
    while at < len(text):
        match = _TERM.match(text, at)
        if match is None:
            raise _misspelt(text, at)
        found.append(_term(match))
        at = _skip_space(text, match.end())
    if len(found) > MAX_TERMS:
        raise SearchError(f"a search has at most {MAX_TERMS} terms", found[MAX_TERMS].at, found[MAX_TERMS].text)
    return found


def term(field: str, values: Iterable[str]) -> Term:
    """What `field:value,value` says, of values that need no quotes here."""
    return Term(f"{field}:", 0, False, field, (), ":", tuple(values))


@contextmanager
def bounded(seconds: float | None = None) -> Iterator[None]:
    """Run the queries of a search in here: one that takes longer than that, or SEARCH_SECONDS, ends in a SearchError.

    Who waits for the page of a list waits less long than who asks for a change of a million jobs.
    """
    limit = settings.SEARCH_SECONDS if seconds is None else seconds
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(int(limit * 1000))])
            yield
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        raise SearchError(
            f"The search took longer than {limit:g} s. Narrow it down: with state:, kind:, or created>2026-01-01."
        ) from error


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _term(match: re.Match[str]) -> Term:
    values = tuple(_unquoted(value) for value in re.findall(_VALUE, match["values"]))
    if len(values) > MAX_VALUES:
        raise SearchError(f"a term has at most {MAX_VALUES} values", match.start(), match[0][:40])
    if match["values"].endswith((":", "<", ">", "=")):
        raise SearchError("a value is missing", match.start(), match[0])
    field, *path = (match["field"] or "").split(".")
    return Term(match[0], match.start(), bool(match["denied"]), field.lower(), tuple(path), match["sign"] or "", values)


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _misspelt(text: str, at: int) -> SearchError:
    word = text[at:].split(maxsplit=1)[0]
    if text.count('"', at) % 2:
        return SearchError("the quotes are not closed", at, word)
    if word.endswith((":", "<", ">", "=", ",")):
        return SearchError("a value is missing", at, word)
    return SearchError('this is no term; put quotes around text that has signs in it: "like, this"', at, word)


def _condition(term: Term) -> Q:
    if term.field and term.field not in FIELDS:
        raise SearchError(_unknown(term.field), term.at, term.text)
    try:
        found = FIELDS[term.field](term.wanted) if term.field else searchable.anywhere(term.values)
    except Unfit as error:
        raise SearchError(str(error), term.at, term.text) from None
    return ~found if term.denied else found


def _unknown(field: str) -> str:
    near = difflib.get_close_matches(field, FIELDS, 1)
    meant = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(FIELDS))}"
    return f"there is no field {field!r}{meant} Put quotes around text that has a colon in it."
