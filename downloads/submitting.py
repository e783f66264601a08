"""How downloads get in: one, or a list with an answer for each; the same URL only once, where that is asked for."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from django.db import connection, transaction
from django.db.models import Q

from downloads.models import Download
from downloads.shapes import DownloadSubmission
from jobs import lifecycle
from jobs.api.problems import problem
from jobs.api.shapes import pointing, validated
from jobs.models import LIVE, State
from jobs.submission import InvalidSubmission, checked


def submit(given: DownloadSubmission, *, owner: int | None) -> tuple[uuid.UUID, bool]:
    """Submit one download. Returns its id, and whether it is a new one.

    Raises InvalidSubmission, whose faults point into the body.
    """
    # To this door's clients the payload is the body itself.
    with pointing({"/payload": ""}):
        if not given.dedupe:
            return _new(given, owner), True
        checked("download", given.payload(), **given.options())  # nothing is looked for by what cannot be
        with transaction.atomic():
            for same in sorted({str(given.url), str(given.sha256 or "").lower()} - {""}):
                _one_at_a_time(same)
            earlier = _same(given, owner)
            return (earlier, False) if earlier else (_new(given, owner), True)


def submit_all(items: list[Any], *, owner: int | None) -> list[dict[str, Any]]:
    """An answer for each: its id and whether it is new, or the problem that kept it out."""
    answers: list[dict[str, Any]] = []
    for index, item in enumerate(items):
        try:
            job_id, new = submit(validated(DownloadSubmission, item), owner=owner)
            answers.append({"index": index, "id": job_id, "new": new})
        except InvalidSubmission as error:
            answers.append({"index": index, "problem": problem("invalid-request", errors=error.faults)})
    return answers


def _new(given: DownloadSubmission, owner: int | None) -> uuid.UUID:
    return lifecycle.submit("download", given.payload(), owner=owner, **given.options()).id


def _one_at_a_time(same: str) -> None:
    """Two who ask for the same URL or digest at once shall not both find nothing. Held until the transaction ends."""
    key = int.from_bytes(hashlib.sha256(same.encode("utf-8", "surrogatepass")).digest()[:8], signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])


def _same(given: DownloadSubmission, owner: int | None) -> uuid.UUID | None:
    """The owner's newest download of that URL, or of that content, that lives or was completed; to the same name if
    asked.
    """
    same = Q(url=given.url)
    if isinstance(given.sha256, str) and given.sha256:
        same |= Q(sha256=given.sha256.lower())
    rows = Download.objects.filter(same, job__owner_id=owner, job__state__in=[*LIVE, State.COMPLETED])
    if given.output is not None:
        rows = rows.filter(job__payload__output=given.output)
    return rows.order_by("-job_id").values_list("job_id", flat=True).first()
