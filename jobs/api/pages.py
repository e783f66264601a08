"""Lists that stay fast at any length: pages by cursor over ids, newest first."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from jobs import search
from jobs.api.access import caller_of, reachable
from jobs.api.etags import answered, etag_of, with_versions
from jobs.models import Job, Priority, State
from jobs.stretches import Line, Stretch, line_of, line_of_owner, read


class NewestFirst(CursorPagination):
    """Ids begin with the time of submission, so their order is the order of submission."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 500

    def get_page_size(self, request: Request) -> int:
        """Raises ValidationError."""
        given = request.query_params.get(self.page_size_query_param)
        if given is None:
            return self.page_size
        if not (given.isascii() and given.isdecimal() and 1 <= int(given[:9]) <= self.max_page_size):
            raise ValidationError({"limit": f"must be a whole number from 1 to {self.max_page_size}"})
        return int(given)

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        """Raises NotFound for a cursor that we have not made."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (DjangoValidationError, ValueError):
            raise NotFound(self.invalid_cursor_message) from None


@dataclass(frozen=True)
class Found:
    """What the filters of a request leave of a list: its rows, and the line of jobs on which they are looked for."""

    rows: QuerySet[Any]
    line: Line


class NewestFound(NewestFirst):
    """Pages of what a search finds, each of which reads one stretch of the jobs: see jobs/stretches.py."""

    _stretch = Stretch([])

    def paginate_found(self, found: Found, request: Request) -> list[Any]:
        """Raises NotFound for a cursor that we have not made."""
        self.base_url = request.build_absolute_uri()
        cursor = self.decode_cursor(request)
        position: Any = cursor.position if cursor else None
        try:
            place = uuid.UUID(position) if position else None
        except ValueError:
            raise NotFound(self.invalid_cursor_message) from None
        size = self.get_page_size(request)
        if cursor and cursor.reverse:
            self._stretch = read(found.line, found.rows, size, after=place)
        else:
            self._stretch = read(found.line, found.rows, size, before=place)
        return list(found.rows.filter(pk__in=self._stretch.ids).order_by("-pk"))

    def get_next_link(self) -> str | None:
        return self._link(self._stretch.older, reverse=False)

    def get_previous_link(self) -> str | None:
        return self._link(self._stretch.newer, reverse=True)

    def _link(self, place: uuid.UUID | None, *, reverse: bool) -> str | None:
        if place is None:
            return None
        position: Any = str(place)
        return self.encode_cursor(Cursor(offset=0, reverse=reverse, position=position))

    def get_paginated_response(self, data: Any) -> Response:
        searched = self._stretch.searched
        return Response(
            {
                "next": self.get_next_link(),
                "previous": self.get_previous_link(),
                "searched_back_to": searched.back_to if searched else None,
                "results": data,
            }
        )


_KINDS = r"^[A-Za-z0-9_.:-]+(,[A-Za-z0-9_.:-]+)*$"


def _listed(values: Iterable[str]) -> dict[str, Any]:
    return {"type": "string", "pattern": rf"^({'|'.join(values)})(,({'|'.join(values)}))*$"}


PAGE = [
    OpenApiParameter(
        "limit", {"type": "integer", "minimum": 1, "maximum": NewestFirst.max_page_size}, description="Of one page."
    ),
    OpenApiParameter("cursor", str, description="As in `next` and `previous`."),
]
Q = OpenApiParameter("q", str, description="A search.")
FILTERS = [
    Q,
    OpenApiParameter("state", _listed(State.values), description="Several by comma."),
    OpenApiParameter("kind", {"type": "string", "pattern": _KINDS}, description="Several by comma."),
    OpenApiParameter(
        "priority", _listed([*Priority.labels, *map(str, Priority.values)]), description="Several by comma."
    ),
    *PAGE,
]


def page(
    pages: CursorPagination, rows: QuerySet[Any], request: Request, write: Callable[[Any], Mapping[str, Any]]
) -> Response:
    """One page of rows, each as `write` shows it."""
    found = pages.paginate_queryset(rows, request) or []
    return Response(pages.get_paginated_response([write(row) for row in found]).data)


def page_found(found: Found, request: Request, write: Callable[[Any], Mapping[str, Any]], *tables: str) -> Response:
    """One page of what was found, each row as `write` shows it; 304 for who has this page already.

    `tables` are those that a row is written from. Raises ValidationError where to find the rows takes too long.
    """
    pages = NewestFound()
    try:
        with search.bounded():
            rows = pages.paginate_found(replace(found, rows=with_versions(found.rows, *tables)), request)
    except search.SearchError as error:
        raise ValidationError({"q": str(error)}) from error
    links = (pages.get_next_link(), pages.get_previous_link())
    return answered(
        request,
        etag_of([*links, *(f"{row.pk} {row.version}" for row in rows)]),
        lambda: pages.get_paginated_response([write(row) for row in rows]).data,
    )


_STATES = {state.value: state.value for state in State}
_PRIORITIES = {name: level.label for level in Priority for name in (level.label, str(level.value))}
_FILTERS = {"q", "state", "kind", "priority"}


def filtered(rows: QuerySet[Any], request: Request, *, prefix: str = "", kind: str = "") -> Found:
    """Of the rows that the caller may see, those that `?q=` finds, and that `?state=`, `?kind=` and `?priority=` ask
    for; several values by comma.

    `prefix` leads from the row to its job, and `kind` is that of all such jobs. Raises ValidationError for a filter or
    value that does not exist.
    """
    own = {NewestFirst.cursor_query_param, NewestFirst.page_size_query_param}
    if unknown := sorted(set(request.query_params) - _FILTERS - own):
        raise ValidationError({unknown[0]: f"there is no such filter; known: {', '.join(sorted(_FILTERS | own))}"})
    chosen = {
        "state": _choices(request, "state", _STATES),
        "kind": _kinds(request),
        "priority": _choices(request, "priority", _PRIORITIES),
    }
    try:
        terms = search.terms(request.query_params.get("q", ""))
        terms += [search.term(name, values) for name, values in chosen.items() if values]
        wanted = search.condition(terms)
    except search.SearchError as error:
        raise ValidationError({"q": str(error)}) from error
    rows = reachable(request, rows, prefix=prefix)
    rows = rows.filter(**{f"{prefix}pk__in": Job.objects.filter(wanted)}) if prefix else rows.filter(wanted)
    caller = caller_of(request)
    if caller is None or not caller.sees_all():
        return Found(rows, line_of_owner(reachable(request, Job.objects.all()), terms))
    return Found(rows, line_of([*terms, search.term("kind", [kind])] if kind else terms))


def _kinds(request: Request) -> list[str]:
    given = request.query_params.get("kind")
    if given is not None and not re.fullmatch(_KINDS, given):
        raise ValidationError({"kind": "must be the name of a kind, or several by comma"})
    return given.split(",") if given else []


def _choices(request: Request, name: str, known: Mapping[str, str]) -> list[str]:
    if name not in request.query_params:
        return []
    wanted = request.query_params[name].split(",")
    if unknown := [part for part in wanted if part not in known]:
        raise ValidationError({name: f"{unknown[0]!r} is none of {', '.join(known)}"})
    return [known[part] for part in wanted]
