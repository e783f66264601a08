"""The queues, and what holds jobs back: pauses with their reasons, and limits."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from jobs import kinds, limits, pauses
from jobs.access.roles import Act
from jobs.dashboard.fleet import workers
from jobs.dashboard.overview import queues
from jobs.dashboard.page import acting, actor, back, page, page_for, say
from jobs.gates import Gates, UnknownGateError
from jobs.models import Gate, Scope

_LONGEST = 90 * 24 * 60.0  # minutes of a pause with an end


@page
def show_queues(request: HttpRequest) -> HttpResponse:
    gates = Gates.read()
    by_queue = {gate.target: gate for gate in gates.rows if gate.scope == Scope.QUEUE}
    context = {
        "section": "queues",
        "rows": [(queue, by_queue.get(queue.name)) for queue in queues(workers())],
        "everything": next((gate for gate in gates.rows if gate.scope == Scope.EVERYTHING), None),
        "others": [gate for gate in gates.rows if gate.scope in (Scope.KIND, Scope.KEY)],
        "kinds": [kind.name for kind in kinds.known()],
    }
    return render(request, "dashboard/queues.html", context)


@page_for(Act.OPERATE)
@require_POST
def pause(request: HttpRequest) -> HttpResponseBase:
    """No new starts; `minutes`, where given, until it goes on by itself."""
    scope, target = _gate(request)
    reason = request.POST.get("reason", "").strip()
    try:
        until = _end(request.POST.get("minutes", "").strip())
        with acting(request, "pause", [f"{scope} {target}".strip()]) as detail:
            detail["reason"] = reason
            gate = pauses.pause(scope, target, by=actor(request), reason=reason, until=until)
    except ValueError as error:
        say(request, "", failed=str(error))
    else:
        say(request, f"{str(gate).capitalize()} is paused: nothing new starts there, and what runs goes on to its end.")
    return back(request, reverse("dashboard:queues"))


def _end(minutes: str) -> datetime | None:
    """When a pause of so many minutes is over; none for one without an end. Raises ValueError."""
    if not minutes:
        return None
    try:
        length = float(minutes)
    except ValueError:
        length = 0.0
    if not 0 < length <= _LONGEST:
        raise ValueError("A pause lasts for a number of minutes, 90 days at most; leave them empty for no end.")
    return timezone.now() + timedelta(minutes=length)


@page_for(Act.OPERATE)
@require_POST
def resume(request: HttpRequest) -> HttpResponseBase:
    scope, target = _gate(request)
    with acting(request, "resume", [f"{scope} {target}".strip()]) as detail:
        detail["reached"] = pauses.resume(scope, target)
    if detail["reached"]:
        say(request, f"{f'{scope} {target}'.strip().capitalize()} goes on.")
    else:
        say(request, "", failed="It was not paused.")
    return back(request, reverse("dashboard:queues"))


@page_for(Act.OPERATE)
@require_POST
def limit(request: HttpRequest) -> HttpResponseBase:
    """Put these limits in the place of what was there; none at all takes them away."""
    scope, target = _gate(request)
    try:
        numbers = {name: _number(request, name) for name in ("concurrency", "rate", "backlog")}
        per = request.POST.get("per", "").strip()
        wanted = limits.Limits(**numbers, per=(float(per) if per else 1.0) if numbers["rate"] else None)
        with acting(request, "set limits", [f"{scope} {target}".strip()]) as detail:
            detail.update(numbers, per=wanted.per)
            if any(value is not None for value in numbers.values()):
                gate: Gate = limits.set(scope, target, wanted, by=actor(request))
                say(request, f"{str(gate).capitalize()} has these limits from the next start on.")
            else:
                limits.clear(scope, target)
                say(request, f"{f'{scope} {target}'.strip().capitalize()} has no limits.")
    except (UnknownGateError, limits.InvalidLimitError) as error:
        say(request, "", failed=str(error))
    except ValueError:
        say(request, "", failed="Limits are whole numbers; the time of a rate is a number of seconds.")
    return back(request, reverse("dashboard:queues"))


def _gate(request: HttpRequest) -> tuple[str, str]:
    return request.POST.get("scope", ""), request.POST.get("target", "").strip()


def _number(request: HttpRequest, name: str) -> int | None:
    given = request.POST.get(name, "").strip()
    return int(given) if given else None
