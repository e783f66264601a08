"""Lists that stay fast at any length: pages by cursor over ids, newest first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db.models import QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from jobs import search
from jobs.models import Job, Priority, State


class NewestFirst(CursorPagination):
    """Ids begin with the time of submission, so their order is the order of submission."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 500


class NewestDownloadFirst(NewestFirst):
    ordering = "-job_id"


def page(
    pages: CursorPagination, rows: QuerySet[Any], request: Request, write: Callable[[Any], dict[str, Any]]
) -> Response:
    """One page of rows, each as `write` shows it. Raises ValidationError where to find them takes too long."""
    try:
        with search.bounded():
            found = pages.paginate_queryset(rows, request)
    except search.SearchError as error:
        raise ValidationError({"q": str(error)}) from error
    return pages.get_paginated_response([write(row) for row in found or []])


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
    if wanted := [part for part in request.query_params.get("kind", "").split(",") if part]:
        if not all(part.isprintable() for part in wanted):
            raise ValidationError({"kind": "a kind is a name, without control characters"})
        rows = rows.filter(**{f"{prefix}kind__in": wanted})
    if text := request.query_params.get("q", ""):
        try:
            found = search.parse(text)
        except search.SearchError as error:
            raise ValidationError({"q": str(error)}) from error
        rows = rows.filter(**{f"{prefix}pk__in": Job.objects.filter(found)}) if prefix else rows.filter(found)
    return rows


def _choices(request: Request, name: str, known: dict[str, Any]) -> list[Any]:
    wanted = [part for part in request.query_params.get(name, "").split(",") if part]
    if unknown := [part for part in wanted if part not in known]:
        raise ValidationError({name: f"{unknown[0]!r} is none of {', '.join(known)}"})
    return [known[part] for part in wanted]
