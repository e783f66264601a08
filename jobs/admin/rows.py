"""What all lists of the admin have in common: who may look, how far is counted, and that rows are only read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from jobs.access.callers import of_user
from jobs.access.roles import Act

_COUNTED = 10_000  # rows; an exact count of millions would make every page slow


class BoundedPaginator(Paginator[Any]):
    """Counts no further than people page."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        return rows[:_COUNTED].count() if isinstance(rows, QuerySet) else len(rows)


def may_for_all(request: HttpRequest, act: Act) -> bool:
    caller = of_user(request.user)
    return caller is not None and caller.sees_all(act)


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Rows change through the lifecycle alone, so forms would be a way around it.

    Roles decide here too, not Django's permissions: `needs` is the act, and it must extend to everybody's jobs.
    """

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count every row for each value of a filter
    needs = Act.SEE

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        return may_for_all(request, self.needs)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False
