"""Dead letters by what happened to them: failures of one kind, with one class of error, in one place, are a group."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Count, Max, Min, QuerySet

from jobs import lifecycle, sealed, search
from jobs.models import Job, State
from jobs.submission import checked

_MOST_GROUPS = 500


@dataclass(frozen=True)
class Group:
    """Dead letters with one fingerprint. `query` finds exactly these, for a list or an operation."""

    kind: str
    fingerprint: str
    count: int
    first_seen: datetime
    last_seen: datetime
    example: uuid.UUID | None  # the latest
    error: str  # of the latest

    @property
    def error_class(self) -> str:
        """What was raised; the reason where nothing was."""
        return self.fingerprint.partition(" at ")[0]

    @property
    def place(self) -> str:
        """Module and function; empty where no code of ours was under way, as when a process was killed."""
        return self.fingerprint.partition(" at ")[2]

    @property
    def query(self) -> str:
        return f"state:failed kind:{json.dumps(self.kind)} fingerprint:{json.dumps(self.fingerprint)}"


def groups(query: str = "", jobs: QuerySet[Job] | None = None) -> list[Group]:
    """The largest groups first, of the dead letters that a search finds. Raises SearchError.

    `jobs`: those that the caller may see.
    """
    dead = (Job.objects.all() if jobs is None else jobs).filter(search.parse(query), state=State.FAILED)
    with search.bounded():
        found = list(
            dead.values("kind", "fingerprint")
            .annotate(count=Count("*"), first_seen=Min("finished_at"), last_seen=Max("finished_at"))
            .order_by("-count", "kind", "fingerprint")[:_MOST_GROUPS]
        )
        latest = _latest([(row["kind"], row["fingerprint"], row["last_seen"]) for row in found])
    nothing = (None, "")
    examples = [latest.get((row["kind"], row["fingerprint"]), nothing) for row in found]
    return [Group(**row, example=example, error=error) for row, (example, error) in zip(found, examples, strict=True)]


def requeue_edited(job: Job, payload: dict[str, Any]) -> bool:
    """Run a dead letter again on another payload. False: its state does not allow it. Raises InvalidSubmission."""
    one = checked(job.kind, sealed.unmasked(payload, job.payload))
    return bool(lifecycle.requeue([job.id], payload=one.payload))


def _latest(keys: list[tuple[str, str, datetime]]) -> dict[tuple[str, str], tuple[uuid.UUID, str]]:
    """One dead letter of each group, the last: one look at an index for each."""
    with connection.cursor() as cursor:
        cursor.execute(_LATEST, [list(column) for column in zip(*keys, strict=True)] or [[], [], []])
        return {(kind, fingerprint): (job_id, error) for kind, fingerprint, job_id, error in cursor.fetchall()}


_LATEST = """
SELECT wanted.kind, wanted.fingerprint, job.id, job.error
FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) AS wanted(kind, fingerprint, last_seen)
CROSS JOIN LATERAL (
    SELECT id, error FROM jobs_job WHERE state = 'failed' AND kind = wanted.kind
           AND fingerprint = wanted.fingerprint AND finished_at = wanted.last_seen ORDER BY id DESC LIMIT 1
) job
"""
