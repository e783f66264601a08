"""The schedules: what is submitted when, what came of it, and a form that says in words what one has typed."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from jobs import kinds
from jobs.access.roles import Act
from jobs.dashboard.page import acting, actor, back, page, page_for, say
from jobs.models import Fire, Misfire, Overlap, Priority, Schedule
from jobs.schedules import editing
from jobs.schedules.definition import timing_of
from jobs.schedules.timing import next_five
from jobs.sealed import masked
from jobs.submission import InvalidSubmission

_SHOWN = 200
_FIRES = 16  # of each schedule, in its row
PRESETS = {
    "Every five minutes": {"cron": "*/5 * * * *"},
    "Daily at 8:00": {"cron": "0 8 * * *"},
    "Mondays at 6:30": {"cron": "30 6 * * 1"},
}


@dataclass(frozen=True)
class Row:
    """A schedule with what it did last, oldest first."""

    schedule: Schedule
    words: str
    fires: list[Fire]

    @property
    def last(self) -> Fire | None:
        return self.fires[-1] if self.fires else None


@page
def schedules(request: HttpRequest) -> HttpResponse:
    rows = [
        Row(schedule, timing_of(schedule).words, list(schedule.fires.order_by("-fired_at")[:_FIRES])[::-1])
        for schedule in Schedule.objects.order_by("name")[:_SHOWN]
    ]
    context = {"section": "schedules", "rows": rows, "presets": PRESETS}
    return render(request, "dashboard/schedules.html", context)


@page_for(Act.OPERATE)
def edit(request: HttpRequest, pk: uuid.UUID | None = None) -> HttpResponseBase:
    """The form of a new schedule, or of one that is there."""
    schedule = _found(pk) if pk else Schedule()
    form = _typed(request) if request.method == "POST" else _form(schedule, request.GET.get("preset", ""))
    faults: list[str] = []
    if request.method == "POST":
        try:
            _fill(schedule, form)
            with acting(request, "write schedule", [schedule.pk]) as detail:
                detail["name"] = editing.write(schedule).name
        except InvalidSubmission as error:
            faults = [f"{fault.pointer.strip('/') or 'The schedule'}: {fault.detail}" for fault in error.faults]
        except ValueError as error:
            faults = [str(error)]
        else:
            say(request, f"{schedule.name} is stored: {timing_of(schedule).words}.")
            return HttpResponseRedirect(reverse("dashboard:schedules"), status=303)
    context = {
        "section": "schedules",
        "form": form,
        "faults": faults,
        "schedule": schedule if pk else None,
        "kinds": [kind.name for kind in kinds.known()],
        "priorities": [level.label for level in reversed(Priority)],
        "misfires": Misfire.choices,
        "overlaps": Overlap.choices,
        **_preview(form),
    }
    return render(request, "dashboard/schedule.html", context)


@page_for(Act.OPERATE)
@require_POST
def preview(request: HttpRequest) -> HttpResponse:
    """What the timing comes to that is being typed."""
    return render(request, "dashboard/parts/timing.html", _preview(_typed(request)))


@page_for(Act.OPERATE)
@require_POST
def act(request: HttpRequest, pk: uuid.UUID, action: str) -> HttpResponseBase:
    schedule = _found(pk)
    try:
        with acting(request, f"{action} schedule", [pk]) as detail:
            detail["name"] = schedule.name
            say(request, _act(schedule, action, actor(request)))
    except (editing.StillRunning, InvalidSubmission) as error:
        say(request, "", failed=str(error))
    return back(request, reverse("dashboard:schedules"))


def _act(schedule: Schedule, action: str, by: str) -> str:
    """Do it; returns what to tell of it. Raises StillRunning, InvalidSubmission, Http404."""
    match action:
        case "pause":
            editing.pause([schedule.pk], by=by)
            return f"{schedule.name} is paused: it submits nothing until it is resumed."
        case "resume":
            editing.resume([schedule.pk])
            return f"{schedule.name} goes on."
        case "run":
            return f"{schedule.name} has submitted job {editing.run_now(schedule.pk, by=by).job_id}."
        case "delete":
            schedule.delete()
            return f"{schedule.name} is deleted; jobs that it has submitted live on."
        case _:
            raise Http404("There is no such action.")


def _found(pk: uuid.UUID) -> Schedule:
    schedule = Schedule.objects.filter(pk=pk).first()
    if schedule is None:
        raise Http404("There is no such schedule.")
    return schedule


_FIELDS = ("name", "timing", "cron", "time_zone", "every", "at", "kind", "payload", "priority", "misfire", "overlap")


def _typed(request: HttpRequest) -> dict[str, str]:
    return {name: request.POST.get(name, "").strip() for name in _FIELDS}


def _form(schedule: Schedule, preset: str) -> dict[str, str]:
    cron = schedule.cron or PRESETS.get(preset, {}).get("cron", "")
    timing = "at" if schedule.at else "every" if schedule.every else "cron"
    return {
        "name": schedule.name,
        "timing": timing,
        "cron": cron,
        "time_zone": schedule.time_zone,
        "every": f"{schedule.every:g}" if schedule.every else "",
        "at": schedule.at.isoformat(timespec="minutes") if schedule.at else "",
        "kind": schedule.kind or "echo",
        "payload": json.dumps(masked(schedule.payload), indent=2, ensure_ascii=False),
        "priority": Priority(schedule.priority).label,
        "misfire": schedule.misfire,
        "overlap": schedule.overlap,
    }


def _fill(schedule: Schedule, form: dict[str, str]) -> None:
    """Raises ValueError for what cannot be read; what it may be, editing.write() judges."""
    payload = json.loads(form["payload"] or "{}")
    if payload != masked(schedule.payload):
        schedule.payload = payload
    for name in ("name", "kind", "misfire", "overlap"):
        setattr(schedule, name, form[name])
    schedule.priority = Priority[form["priority"].upper()] if form["priority"] in Priority.labels else Priority.MEDIUM
    _set_timing(schedule, form)


def _set_timing(schedule: Schedule, form: dict[str, str]) -> None:
    schedule.cron, schedule.every, schedule.at = "", None, None
    schedule.time_zone = form["time_zone"] or "UTC"
    match form["timing"]:
        case "every":
            schedule.every = float(form["every"] or "nan")
        case "at":
            schedule.at = datetime.fromisoformat(form["at"]).astimezone()
        case _:
            schedule.cron = form["cron"]


def _preview(form: dict[str, Any]) -> dict[str, Any]:
    if not form[form["timing"] or "cron"]:
        return {"words": "", "next": []}
    now = editing.database_now()
    schedule = Schedule(starts_at=now)
    try:
        _set_timing(schedule, form)
        timing = timing_of(schedule)
    except InvalidSubmission as error:
        return {"words": "", "next": [], "wrong": " ".join(fault.detail for fault in error.faults)}
    except ValueError:
        return {"words": "", "next": [], "wrong": "This cannot be read as a time."}
    return {"words": timing.words, "next": next_five(timing, now)}
