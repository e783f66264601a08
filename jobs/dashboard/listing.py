"""The list of jobs, newest first: a page by its ids, so that page one and page one million cost the same."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from jobs import kinds, lifecycle, operations, search, tally
from jobs.access.roles import Act
from jobs.dashboard.operations import WORDS
from jobs.dashboard.page import acting, back, page, page_for, say
from jobs.models import Job, Priority, State
from jobs.sealed import masked
from jobs.stretches import line_of, read

PAGE = 50
_MOST_NEW = 100
# What the list does not show is not read: results and checkpoints may be large.
_SHOWN = (
    "id", "kind", "payload", "priority", "lane", "state", "created_at", "run_at", "ready_at", "started_at",
    "finished_at", "attempt", "failures", "max_retries", "reason", "error", "progress", "cancel_requested_at",
)  # fmt: skip


@dataclass(frozen=True)
class Filter:
    """What the address asks for. Values that do not exist are left out."""

    state: str = ""
    kind: str = ""
    queue: str = ""
    q: str = ""

    @classmethod
    def of(cls, request: HttpRequest) -> Filter:
        given = {name: request.GET.get(name, "").strip() for name in ("state", "kind", "queue", "q")}
        if given["state"] not in State.values:
            given["state"] = ""
        if given["queue"] not in Priority.labels:
            given["queue"] = ""
        return cls(**given)

    def __bool__(self) -> bool:
        return bool(self.state or self.kind or self.queue or self.q)

    @property
    def terms(self) -> list[search.Term]:
        """Raises SearchError, whose place is one in `q`."""
        return [*search.terms(self.q), *search.terms(self._chosen)]

    @property
    def as_search(self) -> str:
        """All of it in the language of searches; of every job where nothing was asked for."""
        return f"{self._chosen} {self.q}".strip()

    @property
    def _chosen(self) -> str:
        kind = json.dumps(self.kind, ensure_ascii=False) if self.kind else ""
        parts = {"state": self.state, "kind": kind, "queue": self.queue}
        return " ".join(f"{name}:{value}" for name, value in parts.items() if value)

    def address(self, **changes: str) -> str:
        """The list filtered so, and with these changes."""
        given = {"state": self.state, "kind": self.kind, "queue": self.queue, "q": self.q, **changes}
        words = urlencode({name: value for name, value in given.items() if value})
        return reverse("dashboard:jobs") + (f"?{words}" if words else "")

    def counts(self) -> dict[str, int]:
        """Jobs by state, of this kind and queue: from sums that are kept, not counted."""
        found = dict.fromkeys(State.values, 0)
        for one in tally.read("jobs"):
            if self.kind in ("", one.kind) and self.queue in ("", Priority(one.priority).label):
                found[one.label] += int(one.amount)
        return found


def _as_id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


class Row:
    """A job as the list shows it."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __getattr__(self, name: str) -> Any:
        return getattr(self._job, name)

    @property
    def shown(self) -> Any:
        return masked(self._job.payload)

    @property
    def took(self) -> timedelta | None:
        """From the start of its last attempt to its end."""
        started, finished = self._job.started_at, self._job.finished_at
        return finished - started if started and finished else None


@dataclass(frozen=True)
class Page:
    jobs: list[Row]
    newer: str = ""  # addresses; empty where there is nothing
    older: str = ""
    same: str = ""  # of exactly these rows, as they will be
    fresh: int = 0  # that came since, of those that match
    told: str = ""  # how far it has searched, where it was not to the end


def read_page(request: HttpRequest, wanted: Filter) -> Page:
    """Raises SearchError."""
    before, after, upto = (_as_id(request.GET.get(name, "")) for name in ("before", "after", "upto"))
    terms = wanted.terms
    line, fitting = line_of(terms), Job.objects.filter(search.condition(terms))
    if upto and not (before or after):
        found = replace(read(line, fitting, PAGE, before=uuid.UUID(int=upto.int + 1)), newer=None)
    else:
        found = read(line, fitting, PAGE, before=before, after=after)
    is_first = found.newer is None
    first = upto or (found.ids[0] if found.ids else None)
    return Page(
        [Row(job) for job in Job.objects.only(*_SHOWN).filter(id__in=found.ids).order_by("-id")],
        newer="" if is_first else wanted.address(after=str(found.newer)),
        older=wanted.address(before=str(found.older)) if found.older else "",
        same=wanted.address(**({"upto": str(first)} if first else {})) if is_first else request.get_full_path(),
        fresh=len(read(line, fitting, _MOST_NEW, after=upto).ids) if upto else 0,
        told=found.told,
    )


@page
def jobs(request: HttpRequest) -> HttpResponse:
    wanted, wrong, found = Filter.of(request), "", Page([])
    try:
        with search.bounded():
            found = read_page(request, wanted)
    except search.SearchError as error:
        wrong = str(error)
    counts = wanted.counts()
    context = {
        "section": "jobs",
        "filter": wanted,
        "wrong": wrong,
        "page": found,
        "verbs": [(verb, WORDS[verb]) for verb in operations.VERBS],
        "tabs": [("", "All", sum(counts.values())), *((state.value, state.label, counts[state]) for state in State)],
        "addresses": {state: wanted.address(state=state) for state in ("", *State.values)},
        "kinds": [kind.name for kind in kinds.known()],
        "queues": [priority.label for priority in reversed(Priority)],
        "stretch": settings.SEARCH_STRETCH,
        "none_yet": not wanted and not any(counts.values()),
    }
    return render(request, "dashboard/jobs.html", context)


# What the buttons say, the lifecycle's verb, and what a person is told of it.
ACTIONS: dict[str, tuple[Callable[[Collection[uuid.UUID]], Any], str]] = {
    "retry": (lifecycle.requeue, "queued again"),
    "cancel": (lifecycle.cancel, "cancelled, or asked to stop"),
    "pause": (lifecycle.pause, "paused"),
    "resume": (lifecycle.resume, "resumed"),
    **{
        f"priority-{level.label}": (partial(lifecycle.set_priority, priority=level), f"moved to {level.label}")
        for level in Priority
    },
}


@page_for(Act.CHANGE)
@require_POST
def act(request: HttpRequest) -> HttpResponseBase:
    """A verb upon the jobs that were selected."""
    ids = {job_id for one in request.POST.getlist("id")[:1000] if (job_id := _as_id(one))}
    action = ACTIONS.get(request.POST.get("action", ""))
    if action is None or not ids:
        say(request, "", failed="Select jobs first, then choose what to do with them.")
        return back(request, reverse("dashboard:jobs"))
    verb, done = action
    name = request.POST["action"]
    with acting(request, {"retry": "requeue"}.get(name, name), sorted(ids)) as detail:
        answer = verb(ids)
        detail["reached"] = reached = answer if isinstance(answer, int) else len(answer)
    left = len(ids) - reached
    say(
        request,
        f"{reached} {'job' if reached == 1 else 'jobs'} {done}." if reached else "",
        failed=f"{left} left as {'it is' if left == 1 else 'they are'}: not possible in that state." if left else "",
    )
    return back(request, reverse("dashboard:jobs"))
