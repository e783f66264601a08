"""One verb upon all jobs that a search finds: first the exact count, then the order, then how far it is."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from jobs import operations, search
from jobs.access.roles import Act
from jobs.dashboard.page import acting, actor, page, page_for, say
from jobs.models import Operation, Priority

WORDS = {
    "requeue": "Retry",
    "discard": "Discard",
    "cancel": "Cancel",
    "pause": "Pause",
    "resume": "Resume",
    "prioritise": "Move",
}
_SHOWN = 50


@page_for(Act.CHANGE)
def order(request: HttpRequest) -> HttpResponseBase:
    """GET: what it would come to, counted in a request of its own, for that reads as many jobs as there are. POST:
    begin, if that is still the number of jobs that was shown.
    """
    asked = request.POST if request.method == "POST" else request.GET
    verb, query, priority = asked.get("verb", ""), asked.get("q", ""), asked.get("priority") or None
    wrong = ""
    if request.method == "POST":
        expected = asked.get("expected", "")
        try:
            with acting(request, f"{verb} all") as detail:
                begun = operations.start(
                    verb,
                    query,
                    actor=actor(request),
                    expected=int(expected) if expected.isdecimal() else None,
                    arguments={"priority": priority} if priority else {},
                )
                detail.update(q=query, operation=str(begun.id), total=begun.total)
            return HttpResponseRedirect(reverse("dashboard:operation", args=[begun.id]), status=303)
        except (search.SearchError, operations.Refused) as error:
            wrong = str(error)
    context: dict[str, Any] = {
        "section": "jobs",
        "verb": verb,
        "word": WORDS.get(verb, verb),
        "query": query,
        "priority": priority,
        "priorities": [level.label for level in reversed(Priority)],
        "wrong": wrong,
        "list": f"{reverse('dashboard:jobs')}?{urlencode({'q': query})}",
        "here": f"?{urlencode({'verb': verb, 'q': query, 'counted': 1})}",
        "counted": request.method == "POST" or "counted" in asked,
    }
    if context["counted"]:
        try:
            context["preview"] = operations.preview(verb, query)
        except (search.SearchError, operations.Refused) as error:
            context["wrong"] = wrong or str(error)
    return render(request, "dashboard/order.html", context)


@page
def shown(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """How far an operation is."""
    operation = _found(pk)
    percent = 100 * operation.done / operation.total if operation.total else 100
    context = {"section": "jobs", "operation": operation, "word": WORDS[operation.verb], "percent": percent}
    return render(request, "dashboard/operation.html", context)


@page
def listed(request: HttpRequest) -> HttpResponse:
    rows = [(one, WORDS.get(one.verb, one.verb)) for one in Operation.objects.order_by("-id")[:_SHOWN]]
    return render(request, "dashboard/operations.html", {"section": "jobs", "rows": rows})


@page_for(Act.CHANGE)
@require_POST
def stop(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """Leave what is not done yet as it is."""
    with acting(request, "stop operation", [pk]) as detail:
        detail["reached"] = operations.cancel(_found(pk))
    if detail["reached"]:
        say(request, "Stopped: what was not done yet stays as it is.")
    else:
        say(request, "", failed="It has ended already.")
    return HttpResponseRedirect(reverse("dashboard:operation", args=[pk]), status=303)


def _found(pk: uuid.UUID) -> Operation:
    operation = Operation.objects.filter(pk=pk).first()
    if operation is None:
        raise Http404("There is no such operation.")
    return operation
