"""Which representation an answer has: REST framework's own choice, made quickly where there is none to make."""

from __future__ import annotations

from collections.abc import Sequence

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

_ANY = ("", "*/*", "application/json")


class Negotiation(DefaultContentNegotiation):
    """Nearly all clients take anything, or JSON, which is all that we have; to weigh that takes as long as a query."""

    def select_renderer(
        self, request: Request, renderers: Sequence[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        if len(renderers) == 1 and request.META.get("HTTP_ACCEPT", "") in _ANY and not request.META["QUERY_STRING"]:
            return renderers[0], renderers[0].media_type
        return super().select_renderer(request, renderers, format_suffix)
