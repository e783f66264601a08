"""`Idempotency-Key`: a submission that is sent again gets the same answer again, and is done once.

The key is written in the transaction of what it submits. Whoever sends the same key meanwhile waits for that
transaction: if it commits, they get its answer; if it fails, the key is free and theirs.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from jobs.api.access import owner_of
from jobs.api.problems import Problem
from jobs.api.rendering import Renderer
from jobs.models import Answer

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_PATIENCE = "5s"  # for an earlier request of the same key that is still being answered
_KEPT_HEADERS = ("Location",)

View = Callable[..., Response]


class KeyReused(Problem):
    slug = "key-reused"


class StillAnswering(Problem):
    slug = "still-answering"
    retry_after = 1


def once(post: View) -> View:
    """For a method of a view that submits something: the header Idempotency-Key is kept. Without it nothing changes."""

    @wraps(post)
    def submitted(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.META.get("HTTP_IDEMPOTENCY_KEY")
        if key is None:
            return post(self, request, *args, **kwargs)
        if not _KEY.fullmatch(key):
            raise ValidationError({"Idempotency-Key": "must be 1 to 255 printable ASCII characters without spaces"})
        with transaction.atomic():
            own, fingerprint = str(owner_of(request) or ""), _fingerprint(request)
            answer = _taken(own, key, fingerprint)
            if answer is None:
                return _replayed(own, key, fingerprint)
            response = post(self, request, *args, **kwargs)
            if response.status_code < 400:
                _keep(answer, response)
            else:
                transaction.set_rollback(True)  # what was refused may be mended and sent again under its key
            return response

    return submitted


def _fingerprint(request: Request) -> str:
    """The same for the same request, however its JSON is spaced and ordered."""
    body = json.dumps(request.data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{request.method} {request.path}\n{body}".encode("utf-8", "surrogatepass")).hexdigest()


def _taken(owner: str, key: str, fingerprint: str) -> int | None:
    """Take the key. Returns the row to put the answer in; none: it was answered already."""
    given: dict[str, Any] = {
        "owner": owner,
        "key": key,
        "fingerprint": fingerprint,
        "hours": settings.IDEMPOTENCY_HOURS,
    }
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_PATIENCE])
            cursor.execute(_TAKE, given)
            row = cursor.fetchone()
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise StillAnswering("The first request with this key has no answer yet.") from error
        raise
    return row and int(row[0])


_TAKE = """
INSERT INTO jobs_answer AS held (owner, key, fingerprint, status, headers, body, expires_at)
VALUES (%(owner)s, %(key)s, %(fingerprint)s, 0, '{}', '', now() + %(hours)s * interval '1 hour')
ON CONFLICT (owner, key) DO UPDATE
SET fingerprint = excluded.fingerprint, expires_at = excluded.expires_at WHERE held.expires_at < now()
RETURNING id
"""


def _keep(answer: int, response: Response) -> None:
    headers = {name: response[name] for name in _KEPT_HEADERS if name in response}
    body = Renderer().render(response.data).decode()
    Answer.objects.filter(id=answer).update(status=response.status_code, headers=headers, body=body)


def _replayed(owner: str, key: str, fingerprint: str) -> Response:
    kept = Answer.objects.filter(owner=owner, key=key).first()
    if kept is None:  # it ran out between our two looks
        raise StillAnswering("This key has just run out.")
    if kept.fingerprint != fingerprint:
        raise KeyReused("It came with another path or body before.")
    headers = {**kept.headers, "Idempotency-Replayed": "true"}
    return Response(json.loads(kept.body), status=kept.status, headers=headers)
