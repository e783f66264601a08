"""Jobs that are submitted together, may wait for each other, and are followed by one that waits for all of them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count
from django.db.models.functions import Now

from jobs import lifecycle
from jobs.models import FINISHED, Batch, Job, Needs, State, uuid7
from jobs.submission import Fault, InvalidSubmission, Submission, checked

_CANCELLED = 1000  # jobs in one statement
_PRUNED = 200


@dataclass(frozen=True)
class Item:
    """A job of a batch: `options` are those of submission.checked(); what it waits for may be named by `ref`s."""

    kind: str
    payload: Mapping[str, Any]
    options: Mapping[str, Any]
    ref: str | None = None


def submit(
    items: Sequence[Item],
    *,
    name: str = "",
    in_order: bool = False,
    callback: Item | None = None,
    callback_needs: Needs = Needs.END,
) -> Batch:
    """Write a batch, all or nothing. With `in_order` each job waits for the one before it: a chain.

    A job may wait for earlier ones of the batch, by their refs, beside jobs that exist. The callback waits for all.
    Raises InvalidSubmission, every fault named.
    """
    batch = Batch(id=uuid7(), name=name, size=len(items), callback_needs=callback_needs)
    ids = [uuid7() for _ in items]
    faults: list[Fault] = []
    refs: dict[str, uuid.UUID] = {}
    jobs: list[Submission] = []
    for place, item in enumerate(items):
        before = [ids[place - 1]] if in_order and place else []
        if one := _checked(item, f"/jobs/{place}", refs, before, faults):
            jobs.append(replace(one, batch_id=batch.id))
        if item.ref is not None:
            if item.ref in refs:
                faults.append(Fault(f"/jobs/{place}/ref", "an earlier job has this ref"))
            refs[item.ref] = ids[place]
    last = _checked(callback, "/callback", {}, [], faults) if callback else None
    if last and last.depends_on:
        faults.append(Fault("/callback/depends_on", "it waits for the whole batch already"))
    if faults:
        raise InvalidSubmission(*faults)
    if last:
        batch.callback_id = uuid7()
        jobs, ids = [*jobs, last], [*ids, batch.callback_id]
    with transaction.atomic():
        lifecycle.place_many(jobs, ids, held={batch.callback_id} if batch.callback_id else ())
        batch.save(force_insert=True)
    batch.refresh_from_db()
    return batch


def _checked(
    item: Item, pointer: str, refs: Mapping[str, uuid.UUID], before: list[uuid.UUID], faults: list[Fault]
) -> Submission | None:
    """One job of it, with its refs resolved; faults are collected."""
    options = dict(item.options)
    given = options.get("depends_on") or ()
    options["depends_on"] = [*before, *(refs.get(str(one), one) for one in given)] if given or before else ()
    if options.get("unique_key") is not None:
        faults.append(Fault(f"{pointer}/unique_key", "a job of a batch has none: it might be another batch's job"))
        return None
    try:
        return checked(item.kind, item.payload, **options)
    except InvalidSubmission as error:
        faults.extend(Fault(pointer + fault.pointer, fault.detail) for fault in error.faults)
        return None


def counts(batch: Batch) -> dict[str, int]:
    """How many of its jobs are in each state; those that are deleted by now are missing."""
    rows = Job.objects.filter(batch_id=batch.pk).values_list("state").annotate(Count("id"))
    return dict.fromkeys(State.values, 0) | dict(rows)


def cancel(batch: Batch) -> int:
    """Cancel its callback, and all its jobs that have not ended. Returns how many jobs it reached."""
    if batch.callback_id is not None:
        lifecycle.cancel([batch.callback_id])
    asked: set[uuid.UUID] = set()
    live = Job.objects.filter(batch_id=batch.pk).exclude(state__in=FINISHED).order_by("id")
    while ids := list(live.exclude(cancel_requested_at__isnull=False).values_list("id", flat=True)[:_CANCELLED]):
        asked |= {job.id for job in lifecycle.cancel(ids)}
    return len(asked)


def prune() -> int:
    """Delete batches that finished more than RETENTION_DAYS ago, a bounded number. Returns how many."""
    if not settings.RETENTION_DAYS:
        return 0
    old = Batch.objects.filter(finished_at__lt=Now() - timedelta(days=settings.RETENTION_DAYS))
    deleted, _ = Batch.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:_PRUNED])).delete()
    return deleted
