"""The door to Flower: the proxy before it asks here who may come in. Flower can stop workers: not everybody may."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect

from jobs.access.roles import Act
from jobs.dashboard.page import page_for

_FLOWER = "/flower/"  # where the proxy serves it: see deploy/Caddyfile


@page_for(Act.OPERATE)
def admitted(request: HttpRequest) -> HttpResponseBase:
    """204 for the proxy; whoever comes here by himself, as from the login, is sent on."""
    return HttpResponse(status=204) if "X-Forwarded-Uri" in request.headers else HttpResponseRedirect(_FLOWER)
