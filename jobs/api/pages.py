"""Lists that stay fast at any length: pages by cursor over ids, newest first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from jobs import search
from jobs.api.etags import answered, etag_of, with_versions
from jobs.models import Job, Priority, State


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


class NewestDownloadFirst(NewestFirst):
    ordering = "-job_id"


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
    pages: CursorPagination,
    rows: QuerySet[Any],
    request: Request,
    write: Callable[[Any], Mapping[str, Any]],
    *tables: str,
) -> Response:
    """One page of rows, each as `write` shows it.

    `tables` are those that a row is written from. Where they are named, who has this page already is told so by 304.
    Raises ValidationError where to find the rows takes too long.
    """
    if tables:
        rows = with_versions(rows, *tables)
    try:
        with search.bounded():
            found = pages.paginate_queryset(rows, request) or []
    except search.SearchError as error:
        raise ValidationError({"q": str(error)}) from error

    def written() -> Any:
        return pages.get_paginated_response([write(row) for row in found]).data

    if not tables:
        return Response(written())
    links = (pages.get_next_link(), pages.get_previous_link())
    return answered(request, etag_of([*links, *(f"{row.pk} {row.version}" for row in found)]), written)


Rows = TypeVar("Rows", bound=QuerySet[Any])

_STATES: dict[str, Any] = {state.value: state for state in State}
_PRIORITIES: dict[str, Any] = {level.label: level for level in Priority} | {
    str(level.value): level for level in Priority
}
_FILTERS = {"q", "state", "kind", "priority"}


def filtered(rows: Rows, request: Request, prefix: str = "") -> Rows:
    """Only the rows that `?q=` finds, and that `?state=`, `?kind=` and `?priority=` ask for; several values by comma.

    `prefix` leads from the row to its job. Raises ValidationError for a filter or value that does not exist.
    """
    own = {NewestFirst.cursor_query_param, NewestFirst.page_size_query_param}
    if unknown := sorted(set(request.query_params) - _FILTERS - own):
        raise ValidationError({unknown[0]: f"there is no such filter; known: {', '.join(sorted(_FILTERS | own))}"})
    if states := _choices(request, "state", _STATES):
        rows = rows.filter(**{f"{prefix}state__in": states})
    if priorities := _choices(request, "priority", _PRIORITIES):
        rows = rows.filter(**{f"{prefix}priority__in": priorities})
    if (given := request.query_params.get("kind")) is not None:
        if not re.fullmatch(_KINDS, given):
            raise ValidationError({"kind": "must be the name of a kind, or several by comma"})
        rows = rows.filter(**{f"{prefix}kind__in": given.split(",")})
    if text := request.query_params.get("q", ""):
        try:
            found = search.parse(text)
        except search.SearchError as error:
            raise ValidationError({"q": str(error)}) from error
        rows = rows.filter(**{f"{prefix}pk__in": Job.objects.filter(found)}) if prefix else rows.filter(found)
    return rows


def _choices(request: Request, name: str, known: dict[str, Any]) -> list[Any]:
    if name not in request.query_params:
        return []
    wanted = request.query_params[name].split(",")
    if unknown := [part for part in wanted if part not in known]:
        raise ValidationError({name: f"{unknown[0]!r} is none of {', '.join(known)}"})
    return [known[part] for part in wanted]
