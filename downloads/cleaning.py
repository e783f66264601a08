"""Away with the bytes of downloads that will never be finished."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection

from django.db import transaction

from downloads import engine, room, storage
from downloads.models import Download
from jobs.models import Job, State

_DONE = (State.CANCELLED, State.COMPLETED)
_FORGOTTEN_AFTER = 3600.0  # seconds: until then a part file without a job may be one whose submission is under way


def discard(job_id: uuid.UUID) -> None:
    """Remove the unfinished bytes of one download."""
    engine.discard(storage.part_file(job_id))


def discard_parts(ids: Collection[uuid.UUID]) -> int:
    """Remove what cancelled and completed downloads left unfinished. Failed ones keep it: they may be tried again."""
    with transaction.atomic():
        # Locked: a requeue at this moment begins after the old bytes are gone.
        done = Job.objects.filter(id__in=ids, state__in=_DONE).select_for_update(no_key=True).order_by("id")
        found = [job.id for job in done]
        for job_id in found:
            discard(job_id)
        Download.objects.filter(pk__in=found, checkpoint__isnull=False).update(checkpoint=None, bytes_done=0)
    return len(found)


def sweep() -> int:
    """Remove the part files that nobody will go on with, whichever way their job ended. Returns of how many jobs."""
    parts = dict(storage.parts())
    known = set(Job.objects.filter(id__in=parts).values_list("id", flat=True))
    forgotten = [job_id for job_id, age in parts.items() if job_id not in known and age > _FORGOTTEN_AFTER]
    for job_id in forgotten:
        discard(job_id)
    return len(forgotten) + discard_parts(known)


class Housekeeping:
    """Sweeps now and then, when it is asked to."""

    def __init__(self, every: float = 600.0) -> None:
        self._every = every
        self._due = 0.0

    def tick(self) -> None:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + self._every
            sweep()
            if room.waiting().exists():  # else nobody looks for them, if the one that did was cancelled
                room.watch()
