"""Dead letters by what went wrong: a row for each sort of failure, with what can be done to all of them at once."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from jobs import deadletters, search, tally
from jobs.dashboard.page import page
from jobs.models import State


@page
def dead_letters(request: HttpRequest) -> HttpResponse:
    query, wrong = request.GET.get("q", "").strip(), ""
    groups: list[deadletters.Group] = []
    try:
        groups = deadletters.groups(query)
    except search.SearchError as error:
        wrong = str(error)
    context = {
        "section": "dead",
        "query": query,
        "wrong": wrong,
        "groups": groups,
        "found": sum(group.count for group in groups),
        "all": tally.counts()[State.FAILED],
    }
    return render(request, "dashboard/dead.html", context)
