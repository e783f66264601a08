"""What a person can do to one download: the lifecycle's verbs, and what they mean for its bytes.

Each raises Http404 for a download that does not exist, WrongState where its state does not allow the verb.
"""

from __future__ import annotations

import uuid

from django.db import transaction
from django.http import Http404

from downloads import cleaning, files
from downloads.models import Download
from downloads.shapes import DownloadChange
from jobs import lifecycle, retention
from jobs.api.problems import WrongState
from jobs.api.views import apply_verb
from jobs.models import FINISHED, WAITING, Job, Priority, State


def cancel(job_id: uuid.UUID) -> None:
    """A running one throws its bytes away when it stops; of any other they go at once."""
    apply_verb("cancel", job_id)
    cleaning.discard_parts([job_id])


def pause(job_id: uuid.UUID) -> None:
    """A waiting one is held at once; a running one stops within seconds and keeps its bytes."""
    rows = Download.objects.filter(pk=job_id)
    # Asked for first: whichever way a running attempt ends meanwhile, the next one sees it.
    rows.update(pause_requested=True)
    if lifecycle.pause([job_id]):
        rows.update(pause_requested=False)
    elif rows.filter(room_needed__isnull=False, job__state=State.PAUSED).update(room_needed=None):
        rows.update(pause_requested=False)  # paused for want of room: now it stays so when there is room
    elif not Job.objects.filter(pk=job_id, state=State.RUNNING).exists():
        rows.update(pause_requested=False)
        apply_verb("pause", job_id)


def resume(job_id: uuid.UUID) -> None:
    """Also takes back a pause that a running one has not come to yet."""
    taken_back = Download.objects.filter(pk=job_id, pause_requested=True).update(pause_requested=False)
    if not lifecycle.resume([job_id]) and not taken_back:
        apply_verb("resume", job_id)


def retry(job_id: uuid.UUID) -> None:
    """A failed one goes on with the bytes that are there; a cancelled one begins again."""
    apply_verb("requeue", job_id)
    Download.objects.filter(pk=job_id, pause_requested=True).update(pause_requested=False)


def change(job_id: uuid.UUID, given: DownloadChange) -> None:
    """Another rate or priority, for a download that is not finished; a running one follows within two seconds."""
    if given.priority and not lifecycle.set_priority([job_id], Priority[given.priority.upper()]):
        raise WrongState("The download is finished: its priority can no longer be changed.")
    if "rate_limit" in given.model_fields_set:
        Download.objects.filter(pk=job_id).update(rate_limit=given.rate_limit)


def refresh(job_id: uuid.UUID, url: str) -> None:
    """Go on from a fresh link with the bytes that are there; it must lead to the same file (downloads/freshness.py)."""
    with transaction.atomic():
        job = Job.objects.select_for_update(no_key=True).filter(pk=job_id).first()
        if job is None:
            raise Http404
        if job.state not in (*WAITING, State.PAUSED, State.FAILED):
            raise WrongState(f"The job is {job.state}; a link is refreshed of one that waits, is paused or failed.")
        Download.objects.filter(pk=job_id).update(url=url, pause_requested=False)
        for go_on in (lifecycle.requeue, lifecycle.resume, lifecycle.hasten):
            go_on([job_id])


def delete(job_id: uuid.UUID, *, keep_file: bool) -> None:
    """Forget a finished download; its file goes too, unless it was written to or replaced since."""
    with transaction.atomic():
        job = Job.objects.select_for_update().filter(pk=job_id).first()
        download = Download.objects.filter(pk=job_id).first()
        if job is None or download is None:
            raise Http404
        if job.state not in FINISHED:
            raise WrongState(f"The job is {job.state}; cancel it first. Only finished downloads are deleted.")
        if not keep_file:
            files.remove(download)
        cleaning.discard(job_id)
        retention.delete([job_id])
