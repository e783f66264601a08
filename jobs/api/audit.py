"""What people did, for those whose role lets them know."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs.access.models import Action
from jobs.access.roles import Act
from jobs.api.pages import NewestFirst

_FILTERS = {"actor": "actor", "verb": "verb", "request_id": "request_id"}


class Audit(APIView):
    """Actions, newest first; `?target=` is an id, and `?actor=`, `?verb=` and `?request_id=` are as they are shown."""

    acts = {"GET": Act.AUDIT}

    def get(self, request: Request) -> Response:
        pages = NewestFirst()
        rows = Action.objects.all()
        own = {pages.cursor_query_param, pages.page_size_query_param}
        for name, value in request.query_params.items():
            if "\x00" in value:
                raise ValidationError({name: "must be text without NUL"})
            if name == "target":
                rows = rows.filter(targets__contains=[value])
            elif name in _FILTERS:
                rows = rows.filter(**{_FILTERS[name]: value})
            elif name not in own:
                known = ", ".join(sorted({*_FILTERS, "target", *own}))
                raise ValidationError({name: f"there is no such filter; known: {known}"})
        found = pages.paginate_queryset(rows, request) or []
        return pages.get_paginated_response([write_action(action) for action in found])


def write_action(action: Action) -> dict[str, Any]:
    return {
        "id": action.pk,
        "at": action.at,
        "actor": action.actor,
        "user": action.user_id,
        "token": action.token_id,
        "verb": action.verb,
        "targets": action.targets,
        "count": action.count,
        "detail": action.detail,
        "door": action.door,
        "address": action.address,
        "request_id": action.request_id,
    }
