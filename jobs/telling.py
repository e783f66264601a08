"""Sending the notices that were wished for (jobs/notices.py), and showing what became of them."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping

from pydantic import ValidationError

from jobs import lifecycle
from jobs.models import Job, Notice
from jobs.notices import WEBHOOK, NoticeWish, about, wishes_of
from jobs.submission import InvalidSubmission, Submission, checked

logger = logging.getLogger(__name__)


def tell(ends: Mapping[uuid.UUID, str]) -> None:
    """Submit the notices about jobs that have ended in these states, in the caller's transaction."""
    notices: list[Notice] = []
    messages: list[Submission] = []
    for job in Job.objects.filter(id__in=ends, notify__isnull=False):
        try:
            wishes = [wish for wish in wishes_of(job) if ends[job.pk] in wish.on]
            messages += [_message(job, wish, ends[job.pk]) for wish in wishes]
        except (ValidationError, InvalidSubmission):  # it was valid when it was submitted: a key or a limit has changed
            logger.exception("Nobody can be told of the end of job %s.", job.pk)
            continue
        notices += [Notice(job=job, event=f"job.{ends[job.pk]}", to=wish.to) for wish in wishes]
    if not notices:
        return
    for notice, delivery_id in zip(notices, lifecycle.submit_many(messages), strict=True):
        notice.delivery_id = delivery_id
    Notice.objects.bulk_create(notices)


def _message(job: Job, wish: NoticeWish, state: str) -> Submission:
    message = wish.message(about(job, state))
    return checked(wish.kind, message, priority=job.priority, metadata={"about": str(job.pk)}, owner=job.owner_id)


def replay(notice: Notice) -> Notice:
    """Send a notice once more, as it was. Receivers see a new message, with an id of its own.

    Raises InvalidSubmission, and Job.DoesNotExist where the first message is kept no more.
    """
    sent = Job.objects.get(pk=notice.delivery_id)
    again = lifecycle.submit(
        sent.kind, sent.payload, priority=sent.priority, metadata=sent.metadata, owner=sent.owner_id
    )
    return Notice.objects.create(job_id=notice.job_id, delivery_id=again.pk, event=notice.event, to=notice.to)


def try_webhook(url: str, secrets: list[str], owner: int | None = None) -> Job:
    """Send a webhook that tells of nothing, to see whether it arrives. Raises InvalidSubmission."""
    body = {"type": "test", "data": {}}
    return lifecycle.submit(
        WEBHOOK, {"url": url, "event": "test", "body": body, "secrets": secrets}, max_retries=0, owner=owner
    )
