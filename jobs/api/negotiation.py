"""Which representation an answer has: REST framework's own choice, made quickly where there is none to make."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class Negotiation(DefaultContentNegotiation):
    """Nearly all clients take anything, or JSON, which is all that we have; to weigh that takes as long as a query."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> Any:
        first = next(iter(renderers))
        wanted = request.META.get("HTTP_ACCEPT", "")
        if wanted in ("", "*/*", first.media_type) and not request.META["QUERY_STRING"]:
            return first, first.media_type
        return super().select_renderer(request, renderers, format_suffix)
