"""A name for every request: its answer carries it, and so does a problem document that somebody reports to us."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from jobs.models import uuid7
from jobs.trail import request_id as _current  # so that log lines and jobs carry it too

HEADER = "X-Request-ID"
_SANE = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")  # anything else could break a log line or a header


def current() -> str:
    """The id of the request that is being answered; empty where none is."""
    return _current.get()


def request_ids(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Keeps the caller's `X-Request-ID` where it is a sane one, and makes one where it is not."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        own = _id_of(request)
        token = _current.set(own)
        try:
            return _marked(get_response(request), own)
        finally:
            _current.reset(token)

    return answer


def _id_of(request: HttpRequest) -> str:
    given = request.META.get("HTTP_X_REQUEST_ID", "")
    own = given if _SANE.fullmatch(given) else uuid7().hex
    request.META["HTTP_X_REQUEST_ID"] = own  # whoever looks for it finds the one that counts
    return own


def _marked(response: HttpResponseBase, own: str) -> HttpResponseBase:
    response[HEADER] = own
    return response
