"""Finished jobs are kept for a while, then deleted with their attempts and whatever else belongs to them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from jobs import files
from jobs.models import FINISHED, Job

_BATCH = 200  # jobs in one transaction: its locks and its share of the log stay small
_ANSWERS_AT_ONCE = 1000
_SECONDS = 0.1  # that one call may take, whatever there is to delete; the next call goes on


def prune() -> int:
    """Delete jobs that finished more than RETENTION_DAYS ago, oldest first, for a moment. Returns how many."""
    if not settings.RETENTION_DAYS:
        return 0
    deleted, ends_at = 0, time.monotonic() + _SECONDS
    while time.monotonic() < ends_at:
        batch = _prune_batch()
        deleted += batch
        if batch < _BATCH:
            break
    return deleted


def forget_answers() -> int:
    """Delete answers to Idempotency-Keys that have run out, a bounded number at once. Returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            DELETE FROM jobs_answer WHERE id IN (
                SELECT id FROM jobs_answer WHERE expires_at < now() LIMIT %s FOR UPDATE SKIP LOCKED)
            """,
            [_ANSWERS_AT_ONCE],
        )
        return int(cursor.rowcount)


def delete(ids: Collection[uuid.UUID]) -> int:
    """Delete those of these jobs that are finished, at once. Returns how many."""
    with transaction.atomic():
        finished = list(Job.objects.filter(id__in=ids, state__in=FINISHED).select_for_update().order_by("id"))
        _delete([job.id for job in finished])
    return len(finished)


def _prune_batch() -> int:
    kept_since = Now() - timedelta(days=settings.RETENTION_DAYS)
    with transaction.atomic():
        # Locked, so that none is requeued between being found and being deleted.
        old = Job.objects.filter(finished_at__lt=kept_since).order_by("finished_at").select_for_update(skip_locked=True)
        ids = list(old.values_list("id", flat=True)[:_BATCH])
        _delete(ids)
    return len(ids)


def _delete(ids: list[uuid.UUID]) -> None:
    """Files first: should this process die in between, the jobs are still there to be deleted again."""
    files.delete(ids)
    Job.objects.filter(id__in=ids).delete()
