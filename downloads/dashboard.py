"""The downloads' page: paste links, watch the bars, take the files."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from downloads import bandwidth, verbs
from downloads.models import Download
from downloads.shapes import MOST_AT_ONCE, DownloadChange, FleetLimits
from downloads.submitting import submit_all
from jobs import tally
from jobs.access.roles import Act
from jobs.api.problems import WrongState
from jobs.dashboard import live, panels
from jobs.dashboard.page import acting, back, owner_of, page, page_for, say
from jobs.lifecycle import VERBS
from jobs.models import LIVE, Priority, State

PAGE = 30
_VIEWS = {"all": (), "active": LIVE, "completed": (State.COMPLETED,), "failed": (State.FAILED, State.CANCELLED)}
_THIN = 0.15  # of a bar's width in percent: a segment that has only begun must still be seen


@dataclass(frozen=True)
class Piece:
    """Part of the bar, in percent of the file."""

    start: float
    width: float


@dataclass(frozen=True)
class Shown:
    """A download as its row shows it."""

    download: Download

    @property
    def name(self) -> str:
        path = urlsplit(self.download.url).path
        return self.download.output or path.rpartition("/")[2] or self.download.url

    @property
    def host(self) -> str:
        return urlsplit(self.download.url).netloc.rpartition("@")[2]

    @property
    def running(self) -> bool:
        return self.download.job.state == State.RUNNING

    @property
    def style(self) -> str:
        """Colour of its bar."""
        known = {State.COMPLETED: "done", State.FAILED: "bad", State.CANCELLED: "held", State.PAUSED: "held"}
        return known.get(State(self.download.job.state), "")

    @property
    def pieces(self) -> list[Piece]:
        """What of the file is there: the finished whole, what the connections have done, or else from its start on."""
        total = self.download.total_bytes
        if self.download.job.state == State.COMPLETED:
            return [Piece(0, 100)]
        if not total:
            return []
        return [
            Piece(round(100 * one["start"] / total, 3), round(max(100 * one["done"] / total, _THIN), 3))
            for one in self.download.segments
        ] or [Piece(0, self.download.percent)]

    @property
    def seams(self) -> list[float]:
        """Where one connection's part of the file ends and the next begins."""
        total = self.download.total_bytes
        return [round(100 * one["start"] / total, 3) for one in self.download.segments[1:]] if total else []

    @property
    def verbs(self) -> list[tuple[str, str, str]]:
        """What can be done: the verb, its word and its drawing."""
        state, asked = self.download.job.state, self.download.pause_requested
        possible = [
            ("resume", "Resume", "play", state in VERBS["resume"][0] or asked),
            ("pause", "Pause", "pause", (state in VERBS["pause"][0] or state == State.RUNNING) and not asked),
            ("retry", "Retry", "again", state in VERBS["requeue"][0]),
            ("cancel", "Cancel", "stop", state in VERBS["cancel"][0]),
        ]
        return [(verb, word, drawing) for verb, word, drawing, can in possible if can]


@page
def downloads(request: HttpRequest) -> HttpResponse:
    view = request.GET.get("view", "all")
    view = view if view in _VIEWS else "all"
    rows = Download.objects.select_related("job").defer("job__checkpoint", "checkpoint")
    if _VIEWS[view]:
        rows = rows.filter(job__kind="download", job__state__in=_VIEWS[view])
    before = request.GET.get("before", "")
    if _is_id(before):
        rows = rows.filter(job_id__lt=before)
    found = list(rows.order_by("-job_id")[: PAGE + 1])
    counts = _counts()
    context = {
        "section": "downloads",
        "view": view,
        "views": [(name, sum(counts[state] for state in states or counts)) for name, states in _VIEWS.items()],
        "rows": [Shown(download) for download in found[:PAGE]],
        "older": f"?{urlencode({'view': view, 'before': found[PAGE - 1].job_id})}" if len(found) > PAGE else "",
        "paged": bool(before),
        "priorities": [level.label for level in reversed(Priority)],
        "fleet_limit": bandwidth.fleet_limit(),
        **_speed(),
    }
    return render(request, "dashboard/downloads.html", context)


def _is_id(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _counts() -> dict[str, int]:
    found = dict.fromkeys(State.values, 0)
    for one in tally.read("jobs"):
        if one.kind == "download":
            found[one.label] += int(one.amount)
    return found


def _speed() -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*), coalesce(sum(bytes_per_second), 0) FROM downloads_download
            WHERE job_id IN (SELECT id FROM jobs_job WHERE state = 'running' AND kind = 'download')
            """
        )
        running, speed = cursor.fetchone()
    return {"running": running, "speed": speed}


@page_for(Act.SUBMIT)
@require_POST
def add(request: HttpRequest) -> HttpResponseBase:
    """Every link of what was pasted, with the same options for all."""
    links = request.POST.get("urls", "").split()
    folder = request.POST.get("folder", "").strip().strip("/")
    options: dict[str, Any] = {"priority": request.POST.get("priority") or "medium"}
    if (threads := request.POST.get("threads", "")).isdigit():
        options["threads"] = int(threads)
    if len(links) == 1 and (digest := request.POST.get("sha256", "").strip()):
        options["sha256"] = digest
    items = [{"url": link, **options, **_output(folder, link)} for link in links[:MOST_AT_ONCE]]
    answers = submit_all(items, owner=owner_of(request))
    refused = [
        f"{links[answer['index']][:120]}: " + " ".join(fault["detail"] for fault in answer["problem"].get("errors", []))
        for answer in answers
        if "problem" in answer
    ]
    accepted = len(answers) - len(refused)
    if len(links) > MOST_AT_ONCE:
        refused.append(f"Only the first {MOST_AT_ONCE} links were taken: paste the others again.")
    if not links:
        refused.append("Paste one link or more, one on each line.")
    say(request, f"{accepted} {'download' if accepted == 1 else 'downloads'} added." if accepted else "")
    for words in refused[:10]:
        say(request, "", failed=words)
    return back(request, reverse("dashboard:downloads"))


def _output(folder: str, link: str) -> dict[str, str]:
    """Into a folder, under the name that the link ends with; without a folder the origin may choose the name."""
    name = urlsplit(link).path.rpartition("/")[2]
    return {"output": f"{folder}/{name}"} if folder and name else {}


_VERBS: dict[str, tuple[Callable[[uuid.UUID], None], str]] = {
    "pause": (verbs.pause, "Paused, or about to be."),
    "resume": (verbs.resume, "It goes on."),
    "retry": (verbs.retry, "Queued again."),
    "cancel": (verbs.cancel, "Cancelled, or asked to stop."),
}


@page_for(Act.CHANGE)
@require_POST
def act(request: HttpRequest, pk: uuid.UUID, action: str) -> HttpResponseBase:
    """A verb upon one download."""
    if not Download.objects.filter(pk=pk).exists():
        raise Http404("There is no such download.")
    try:
        with acting(request, action, [pk]) as detail:
            say(request, _act(request, pk, action, detail))
    except WrongState as error:
        say(request, "", failed=str(error))
    except ValueError:
        say(request, "", failed="There is no such queue.")
    return back(request, reverse("dashboard:downloads"))


def _act(request: HttpRequest, pk: uuid.UUID, action: str, detail: dict[str, Any]) -> str:
    """Do it; returns what to tell of it. Raises WrongState, Http404, or ValueError for a queue that does not exist."""
    if action == "priority":
        detail["priority"] = request.POST.get("priority")
        verbs.change(pk, DownloadChange.model_validate({"priority": detail["priority"]}))
        return "Moved to another queue."
    if action == "delete":
        detail["keep_file"] = request.POST.get("keep_file") == "1"
        verbs.delete(pk, keep_file=detail["keep_file"])
        return "Deleted."
    if action not in _VERBS:
        raise Http404("There is no such action.")
    verb, done = _VERBS[action]
    verb(pk)
    return done


@page_for(Act.OPERATE)
@require_POST
def limit(request: HttpRequest) -> HttpResponseBase:
    """The bandwidth of all downloads together, in MiB a second; empty: no limit."""
    given = request.POST.get("rate", "").strip().replace(",", ".")
    try:
        wanted = FleetLimits(rate_limit=round(float(given) * 1024**2) if given else None)
    except (ValueError, OverflowError):
        say(request, "", failed="The limit is a number of MiB a second, 0.001 or more; empty for none.")
    else:
        with acting(request, "set limits", ["downloads"]) as detail:
            detail["rate_limit"] = wanted.rate_limit
            bandwidth.set_fleet_limit(wanted.rate_limit)
        say(request, "Running downloads follow within two seconds.")
    return back(request, reverse("dashboard:downloads"))


# --- on other pages, and live ----------------------------------------------------------------------------------------


def _panel() -> dict[str, Any] | None:
    speed = _speed()
    if not any(_counts().values()):
        return None
    rows = Download.objects.select_related("job").filter(job__kind="download", job__state=State.RUNNING)
    return {"rows": [Shown(download) for download in rows.order_by("-job_id")[:5]], **speed}


def _version(_: Collection[str]) -> Mapping[str, object]:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT (SELECT last_value FROM jobs_tally_id_seq), (SELECT max(id) FROM jobs_tally),
                   sum(hashtextextended(job_id::text || xmin::text, 0)) FROM downloads_download
            WHERE job_id IN (SELECT id FROM jobs_job WHERE state = 'running' AND kind = 'download')
            """
        )
        return {"downloads": cursor.fetchone()}


panels.register("dashboard/parts/downloads-panel.html", _panel)
live.topic("downloads", _version)
