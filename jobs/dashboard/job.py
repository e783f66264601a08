"""One job: its story, what went in and came out, and what can be done with it now."""

from __future__ import annotations

import json
import shlex
import uuid
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from jobs import explain, kinds, lifecycle
from jobs.access.roles import Act
from jobs.api.files import write_files
from jobs.dashboard import story
from jobs.dashboard.listing import ACTIONS
from jobs.dashboard.page import acting, back, owner_of, page, page_for, say
from jobs.lifecycle import VERBS
from jobs.models import WAITING, Attempt, Dependency, Job, Node, Priority, State
from jobs.sealed import MASK, masked
from jobs.submission import InvalidSubmission

_WAITS = (*WAITING, State.BLOCKED, State.PAUSED)
_ATTEMPTS_SHOWN = 50
_LINES_SHOWN = 200  # of its log, the latest
_RELATIVES_SHOWN = 50


@dataclass(frozen=True)
class Told:
    """An attempt with its traceback taken apart."""

    attempt: Attempt
    frames: list[story.Frame]

    @property
    def theirs(self) -> list[story.Frame]:
        return [frame for frame in self.frames if frame.theirs]


@page
def job(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    found = _found(pk)
    attempts = list(found.attempts.order_by("-number")[:_ATTEMPTS_SHOWN])
    payload = masked(found.payload)
    waits = found.state in _WAITS
    context = {
        "section": "jobs",
        "job": found,
        "why": explain.explain(found) if waits else None,
        # Why it waits changes with the jobs before it.
        "follows": f"job:{pk} jobs" if waits else f"job:{pk}",
        "every": 1000 if waits else 400,
        "node": Node.objects.filter(id=found.node_id).first() if found.node_id else None,
        "stations": story.stations(found, attempts[::-1]),
        "attempts": [Told(attempt, story.frames(attempt.traceback)) for attempt in attempts],
        "payload": payload,
        "files": write_files(found),
        "log": list(found.log_lines.order_by("-id")[:_LINES_SHOWN])[::-1],
        "waits_for": list(found.dependencies.order_by("id")[:_RELATIVES_SHOWN]),
        "waited_for_by": list(Dependency.objects.filter(parent_id=pk, met=False).order_by("id")[:_RELATIVES_SHOWN]),
        "actions": _possible(found),
        "priorities": [level.label for level in reversed(Priority)],
        "curl": as_curl(found, payload, request.build_absolute_uri("/api/v1/jobs")),
        "python": as_python(found, payload),
        "seals": MASK in json.dumps(payload),
        "fraction": (found.progress or {}).get("fraction") if found.state == State.RUNNING else None,
    }
    return render(request, "dashboard/job.html", context)


def _found(pk: uuid.UUID) -> Job:
    found = Job.objects.filter(pk=pk).first()
    if found is None:
        raise Http404("There is no such job. Finished jobs are deleted when their retention is over.")
    return found


def _possible(found: Job) -> dict[str, bool]:
    """Which buttons the job's state allows."""
    verbs = {"retry": "requeue", "cancel": "cancel", "pause": "pause", "resume": "resume"}
    possible = {name: found.state in VERBS[verb][0] for name, verb in verbs.items()}
    possible["cancel"] &= found.cancel_requested_at is None
    return possible


@page_for(Act.CHANGE)
@require_POST
def act(request: HttpRequest, pk: uuid.UUID, action: str) -> HttpResponseBase:
    """A verb upon this job."""
    _found(pk)
    if action == "priority":
        action = f"priority-{request.POST.get('priority', '')}"
    if action not in ACTIONS:
        raise Http404("There is no such action.")
    verb, done = ACTIONS[action]
    verb_name = {"retry": "requeue"}.get(action, action)
    with acting(request, verb_name, [pk]) as detail:
        detail["reached"] = bool(verb([pk]))
    if detail["reached"]:
        say(request, f"The job was {done}.")
    elif verb_name in VERBS:
        say(request, "", failed=lifecycle.not_reached(verb_name, pk))
    else:
        say(request, "", failed="The job is finished: it can be moved no more.")
    return back(request, reverse("dashboard:job", args=[pk]))


# --- submitting: anew, or again with changes -------------------------------------------------------------------------


@page_for(Act.SUBMIT)
def submit(request: HttpRequest) -> HttpResponseBase:
    """A form for a new job. `?like=<id>` fills it in from one that is there."""
    model = Job.objects.filter(pk=request.GET["like"]).first() if _is_id(request.GET.get("like", "")) else None
    form: dict[str, Any] = {
        "kind": model.kind if model else request.GET.get("kind", "echo"),
        "payload": json.dumps(masked(model.payload) if model else {"hello": "world"}, indent=2, ensure_ascii=False),
        "priority": model.queue if model else "medium",
        "like": str(model.pk) if model else "",
    }
    faults: list[str] = []
    if request.method == "POST":
        form = {name: request.POST.get(name, "") for name in form}
        try:
            new = _submit(form, owner_of(request))
        except InvalidSubmission as error:
            faults = [f"{fault.pointer or 'The job'}: {fault.detail}" for fault in error.faults]
        except ValueError as error:
            faults = [f"The payload: {error}"]
        else:
            say(request, "The job was submitted.")
            return HttpResponseRedirect(reverse("dashboard:job", args=[new.pk]), status=303)
    context = {
        "section": "jobs",
        "form": form,
        "faults": faults,
        "kinds": kinds.known(),
        "chosen": next((kind for kind in kinds.known() if kind.name == form["kind"]), None),
        "priorities": [level.label for level in reversed(Priority)],
    }
    return render(request, "dashboard/submit.html", context)


def _is_id(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _submit(form: dict[str, Any], owner: int | None) -> Job:
    """Raises InvalidSubmission, or ValueError for what is not JSON."""
    payload = json.loads(form["payload"] or "{}")
    options: dict[str, Any] = {"priority": form["priority"] or None, "owner": owner}
    if _is_id(form["like"]) and (model := Job.objects.filter(pk=form["like"], kind=form["kind"]).first()):
        payload = with_secrets(payload, model.payload)
        kept = ("timeout", "max_retries", "result_ttl", "metadata")
        options |= {name: getattr(model, name) for name in kept}
    return lifecycle.submit(form["kind"], payload, **options)


def with_secrets(edited: Any, original: Any) -> Any:
    """The original with its secrets, if nothing was changed. Raises ValueError where one would travel with a change:
    whoever may edit a job must not be able to send its secrets elsewhere.
    """
    if edited == masked(original):
        return original
    if MASK in _texts(edited):
        raise ValueError(f"type the secrets again where it shows {MASK}; they are only kept if nothing else is changed")
    return edited


def _texts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value]


def as_curl(found: Job, payload: Any, address: str) -> str:
    body = json.dumps({"kind": found.kind, "payload": payload, "priority": found.queue}, ensure_ascii=False)
    return f"curl -X POST {address} \\\n  -H 'Content-Type: application/json' \\\n  -d {shlex.quote(body)}"


def as_python(found: Job, payload: Any) -> str:
    return f"from jobs import lifecycle\n\nlifecycle.submit({found.kind!r}, {payload!r}, priority={found.queue!r})"
