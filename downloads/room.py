"""Downloads that the disk has no room for: paused with the reason, resumed by themselves when there is room.

While one waits, a job of the kind `resume_downloads` looks at the disk now and then, for all of them. It runs where
downloads run, because nobody else sees their disk, and it is gone when nobody waits any more.
"""

from __future__ import annotations

import hashlib
import os
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone
from pydantic import BaseModel, ConfigDict

from downloads import engine
from downloads.models import Download
from downloads.record import Record
from jobs import lifecycle
from jobs.kinds import Context, Hold, Lane, Snooze, handler
from jobs.models import WAITING, Job, Priority, State

KIND = "resume_downloads"
_SOONEST, _LATEST = 2.0, 60.0  # seconds between two looks at the disk
_AT_LEAST = 16 * 1024 * 1024  # bytes that make it worth going on where nobody knows how many are to come
_LOCK = int.from_bytes(hashlib.sha256(KIND.encode()).digest()[:8], signed=True)


class Nothing(BaseModel):
    """No payload."""

    model_config = ConfigDict(extra="forbid")


@handler(KIND, lane=Lane.IO, max_retries=10)
def resume_downloads(payload: Nothing, ctx: Context) -> dict[str, int]:  # noqa: ARG001 - every handler has a payload
    """Resume the downloads that wait for room on the disk, the most urgent first, as far as there is room."""
    if _others_look():
        return {"resumed": 0}
    resumed = _resume_what_fits()
    if waiting().exists():
        pause = min(_LATEST, _SOONEST * ctx.attempt)
        raise Snooze(pause, f"{resumed} resumed; others wait for room on the disk.")
    return {"resumed": resumed}


def wait(record: Record, error: engine.NoSpace) -> Hold:
    """Note what the download waits for, and see to it that somebody looks. Returns what its handler is to raise."""
    row = Download.objects.get(pk=record.row.pk)
    rest = max(_AT_LEAST, (row.total_bytes or 0) - row.bytes_done) + settings.DOWNLOAD_RESERVE_BYTES
    record.stopped(room_needed=rest if error.needed is None else error.needed)
    watch()
    return Hold(f"{error} Paused until there is room.")


def watch() -> None:
    """Have somebody look at the disk. One that runs already may be about to end, so only one that is to run counts."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        if not _others_look():
            soon = timezone.now() + timedelta(seconds=_SOONEST)
            lifecycle.submit(KIND, priority=Priority.HIGH, run_at=soon)


def waiting() -> QuerySet[Download]:
    """Downloads that are paused for want of room, or about to be."""
    return Download.objects.filter(room_needed__isnull=False, job__state__in=[State.PAUSED, State.RUNNING])


def _others_look() -> bool:
    return Job.objects.filter(kind=KIND, state__in=WAITING).exists()


def _resume_what_fits() -> int:
    disk = os.statvfs(settings.DOWNLOAD_ROOT)
    free, resumed = disk.f_bavail * disk.f_frsize, 0
    for download in waiting().filter(job__state=State.PAUSED).order_by("-job__priority", "job_id"):
        assert download.room_needed is not None
        if download.room_needed <= free:
            free -= download.room_needed
            resumed += lifecycle.resume([download.pk])
    return resumed
