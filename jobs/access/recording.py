"""What is done by the forms of Django's admin, recorded as everything else is."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest

from jobs.access.audit import acting
from jobs.access.callers import of_user
from jobs.access.roles import roles_of


class Recorded(admin.ModelAdmin[Any]):
    """Django calls these in the transaction in which it does it."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self._record(request, "add", [obj])
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self._record(request, "change", [obj])
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        self._record(request, "delete", list(queryset))
        return super().log_deletions(request, queryset)

    def _record(self, request: HttpRequest, what: str, objects: list[Any]) -> None:
        with acting(request, of_user(request.user), f"{what} {self.opts.model_name}", objects) as detail:
            if roles := {str(one): sorted(roles_of(one)) for one in objects if isinstance(one, User)}:
                detail["roles"] = roles
