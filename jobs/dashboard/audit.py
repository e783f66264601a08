"""What people did: who, when, what, to which, from where."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from jobs.access.models import Action
from jobs.access.roles import Act
from jobs.dashboard.page import page_for

_PAGE = 50
_FILTERS = ("actor", "verb", "target")


@page_for(Act.AUDIT)
def actions(request: HttpRequest) -> HttpResponse:
    given = {name: value for name in _FILTERS if (value := request.GET.get(name, "").strip().replace("\x00", ""))}
    rows = Action.objects.order_by("-id")
    if target := given.get("target"):
        rows = rows.filter(targets__contains=[target])
    rows = rows.filter(**{name: value for name, value in given.items() if name != "target"})
    if (before := request.GET.get("before", "")).isdecimal():
        rows = rows.filter(id__lt=int(before))
    found = list(rows[: _PAGE + 1])
    context: dict[str, Any] = {
        "section": "audit",
        "given": given,
        "rows": found[:_PAGE],
        "older": f"?{urlencode({**given, 'before': found[_PAGE - 1].pk})}" if len(found) > _PAGE else "",
        "paged": bool(before),
    }
    return render(request, "dashboard/audit.html", context)
