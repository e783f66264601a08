"""Finished jobs are kept for a while, then deleted with their attempts and whatever else belongs to them.

Their results may go before: those of jobs that say for how long theirs are of use.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Func, QuerySet
from django.db.models.functions import Now

from jobs import files
from jobs.models import FINISHED, RESULT_KEPT_UNTIL, Job, State

_BATCH = 200  # jobs in one transaction: its locks and its share of the log stay small
_ANSWERS_AT_ONCE = 1000
_SECONDS = 0.1  # that one call may take, whatever there is to delete; the next call goes on


def prune() -> int:
    """Delete jobs that finished more than RETENTION_DAYS ago, oldest first, for a moment. Returns how many."""
    return _for_a_moment(_prune_batch) if settings.RETENTION_DAYS else 0


def expire_results() -> int:
    """Delete results and result files whose time is over, for a moment; their jobs stay. Returns of how many."""
    return _for_a_moment(_expire_batch)


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


def _for_a_moment(one_batch: Callable[[], int]) -> int:
    done, ends_at = 0, time.monotonic() + _SECONDS
    while time.monotonic() < ends_at:
        batch = one_batch()
        done += batch
        if batch < _BATCH:
            break
    return done


def _prune_batch() -> int:
    kept_since = Now() - timedelta(days=settings.RETENTION_DAYS)
    with transaction.atomic():
        # Locked, so that none is requeued between being found and being deleted.
        old = Job.objects.filter(finished_at__lt=kept_since).order_by("finished_at").select_for_update(skip_locked=True)
        ids = list(old.values_list("id", flat=True)[:_BATCH])
        _delete(ids)
    return len(ids)


_IN_UTC = Func(Now(), template="(%(expressions)s AT TIME ZONE 'UTC')")


def over() -> QuerySet[Job]:
    """Jobs whose results have been kept as long as they were to be, the longest overdue first."""
    kept = Job.objects.filter(state=State.COMPLETED, result_ttl__isnull=False, result_expired_at=None)
    return kept.alias(until=RESULT_KEPT_UNTIL).filter(until__lt=_IN_UTC).order_by("until")


def _expire_batch() -> int:
    with transaction.atomic():
        ids = list(over().select_for_update(skip_locked=True).values_list("id", flat=True)[:_BATCH])
        files.delete(ids)  # first: should this process die in between, the row still says that there is something
        Job.objects.filter(id__in=ids).update(result=None, result_expired_at=Now())
    return len(ids)


def _delete(ids: list[uuid.UUID]) -> None:
    """Files first: should this process die in between, the jobs are still there to be deleted again."""
    files.delete(ids)
    Job.objects.filter(id__in=ids).delete()
