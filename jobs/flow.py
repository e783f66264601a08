"""What follows from the end of a job: others that waited for it, its batch, the notices that were asked for.

A trigger writes down the end in the very statement that ends the job, if anything follows from it. The leading
dispatcher takes these notes and does what follows, in one transaction: so nothing that dies in between can make it
miss one or do it twice, a late attempt (which ends nothing) causes nothing, and jobs that nobody follows pay nothing.

A job that waited for success, and does not get it, is cancelled with the reason. What waited for it in turn follows
by the same rule, in the next round.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from django.db import connection, transaction
from django.db.models.functions import Now

from jobs import lifecycle, telling
from jobs.models import FINISHED, Batch, Dependency, Ended, Job, Needs, State


def follow(limit: int = 1000) -> int:
    """See to the ends of up to `limit` jobs. Returns how many there were."""
    if not Ended.objects.exists():
        return 0
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_TAKE, {"limit": limit})
            ended = [Ended(job_id=row[0], batch_id=row[1], state=row[2]) for row in cursor.fetchall()]
        _join({one.job_id: one.state for one in ended})
        for batch_id in sorted({one.batch_id for one in ended if one.batch_id}):
            _close(batch_id)
        telling.tell({one.job_id: one.state for one in ended})
    return len(ended)


_TAKE = """
DELETE FROM jobs_ended WHERE id IN (SELECT id FROM jobs_ended ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING job_id, batch_id, state
"""


def _join(states: Mapping[uuid.UUID, str]) -> None:
    """Let go, or give up, those that waited for jobs that have ended like this."""
    waiting = Dependency.objects.filter(parent_id__in=states, met=False)
    children = set(waiting.values_list("child_id", flat=True))
    if not children:
        return
    # Whoever sees to another parent of theirs waits here, and then sees what we have done.
    blocked = {
        one_id
        for one_id, state in Job.objects.filter(id__in=children)
        .order_by("id")
        .select_for_update(no_key=True)
        .values_list("id", "state")
        if state == State.BLOCKED
    }
    met, failed = [], {}
    for one in waiting:
        if one.needs == Needs.END or states[one.parent_id] == State.COMPLETED:
            met.append(one.pk)
        else:
            failed[one.child_id] = f"Job {one.parent_id}, which it waited for, {_WORDS[states[one.parent_id]]}."
    Dependency.objects.filter(pk__in=met).update(met=True)
    lifecycle.abandon({one_id: why for one_id, why in failed.items() if one_id in blocked})
    lifecycle.release(_free(blocked - failed.keys()))


_WORDS = {State.FAILED.value: "failed", State.CANCELLED.value: "was cancelled"}


def _free(jobs: set[uuid.UUID]) -> set[uuid.UUID]:
    return jobs - set(Dependency.objects.filter(child_id__in=jobs, met=False).values_list("child_id", flat=True))


def _close(batch_id: uuid.UUID) -> None:
    """Let the callback go once no job of the batch is left. It is decided once; later requeues change nothing."""
    batch = Batch.objects.select_for_update().filter(pk=batch_id, finished_at=None).first()
    jobs = Job.objects.filter(batch_id=batch_id)
    if batch is None or jobs.exclude(state__in=FINISHED).exists():
        return
    Batch.objects.filter(pk=batch_id).update(finished_at=Now())
    if batch.callback_id is None:
        return
    unwell = jobs.exclude(state=State.COMPLETED).count() if batch.callback_needs == Needs.SUCCESS else 0
    if unwell:
        why = f"{unwell} of the {batch.size} jobs of its batch did not succeed."
        lifecycle.abandon({batch.callback_id: why})
    else:
        lifecycle.release([batch.callback_id])
