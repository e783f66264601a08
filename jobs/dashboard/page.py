"""What every page of the dashboard has in common: who may see it, what surrounds it, and what its browser may run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.db import InterfaceError, OperationalError, connection
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme

from jobs.access import audit
from jobs.access.callers import caller_of
from jobs.access.roles import Act

View = Callable[..., HttpResponseBase]

# Everything comes from this server; nothing stands in the page itself, so what is injected there does not run.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def page_for(act: Act) -> Callable[[View], View]:
    """A view for those who may do this to everybody's jobs: see jobs/access. Answers with a page whatever happens."""

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                response = _refusal(request, act) or view(request, *args, **kwargs)
            except Http404 as error:
                response = render(request, "dashboard/missing.html", {"why": str(error)}, status=404)
            except (OperationalError, InterfaceError):
                connection.close()
                response = render(request, "dashboard/away.html", status=503)
                response["Retry-After"] = "5"
            return secured(response)

        return guarded

    return guard


page = page_for(Act.SEE)


def secured(response: HttpResponseBase) -> HttpResponseBase:
    response["Content-Security-Policy"] = POLICY
    response["Referrer-Policy"] = "same-origin"
    if not response.has_header("Cache-Control"):
        response["Cache-Control"] = "no-store"  # it shows payloads: nothing of it stays on the machine
    return response


def acting(request: HttpRequest, verb: str, targets: Sequence[object] = ()) -> AbstractContextManager[dict[str, Any]]:
    """A transaction for what this person does, which records that it was done: see jobs/access/audit.py."""
    return audit.acting(request, caller_of(request), verb, targets)


def actor(request: HttpRequest) -> str:
    """Who does it, as it is kept with what they do."""
    caller = caller_of(request)
    return caller.name if caller else ""


def owner_of(request: HttpRequest) -> int | None:
    """To whom belongs what is submitted here."""
    caller = caller_of(request)
    return caller.user_id if caller else None


def _refusal(request: HttpRequest, act: Act) -> HttpResponseBase | None:
    caller = caller_of(request)
    if caller is not None and caller.sees_all(Act.SEE) and caller.sees_all(act):
        return None
    if caller is not None or request.user.is_authenticated:
        return render(request, "dashboard/refused.html", status=403)
    if request.headers.get("HX-Request"):  # a part of a page that was left open: the whole page must go to the login
        return HttpResponse(status=401, headers={"HX-Refresh": "true"})
    return redirect_to_login(request.get_full_path(), settings.LOGIN_URL)


def back(request: HttpRequest, otherwise: str) -> HttpResponseRedirect:
    """To the page that the form was on, as it was filtered."""
    came_from = (
        request.POST.get("back", "")
        or urlsplit(request.headers.get("Referer", ""))._replace(scheme="", netloc="").geturl()
    )
    safe = url_has_allowed_host_and_scheme(came_from, allowed_hosts=None)
    return HttpResponseRedirect(came_from if came_from and safe else otherwise, status=303)


def say(request: HttpRequest, done: str, *, failed: str = "") -> None:
    """Tell the person what came of the press of a button."""
    if done:
        messages.success(request, done)
    if failed:
        messages.warning(request, failed)
