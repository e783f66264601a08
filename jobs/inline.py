"""Jobs run in this very process, without broker, dispatcher and workers: for the tests of those who write handlers.

All else is as in life: the submission is checked, the row decides, attempts are claimed, run and recorded by the code
that workers run. Works inside a test's transaction.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db.models.functions import Now

from jobs import flow, kinds, lifecycle
from jobs.board import Board
from jobs.models import Admission, Job, Node, State
from jobs.worker import Slots

_DAY = timedelta(days=1)


def run_inline(kind: str, payload: dict[str, Any] | None = None, **options: Any) -> Job:
    """Submit a job and run its first attempt. Returns the job as it is then; options as of lifecycle.submit()."""
    job = lifecycle.submit(kind, payload, **options)
    with _slots() as slots:
        _admit_all()
        slots.run([job.id])
    job.refresh_from_db()
    return job


def drain(*, skip_waits: bool = False, limit: int = 1000) -> int:
    """Run what is queued, and what that submits, until nothing is left. Returns the number of attempts.

    With `skip_waits`, retries and scheduled jobs run at once too. Raises RuntimeError after `limit` attempts: jobs
    that submit each other for ever would never come to an end.
    """
    ran = 0
    with _slots() as slots:
        while (job_id := _next(skip_waits=skip_waits)) is not None:
            if ran >= limit:
                raise RuntimeError(f"There is still work to do after {limit} attempts.")
            _admit_all()
            slots.run([job_id])
            ran += 1
    return ran


def _admit_all() -> None:
    """Where one job runs after the other, no limit of how many at once is in anybody's way."""
    Job.objects.filter(state=State.QUEUED, admission=Admission.HELD).update(admission=Admission.ADMITTED)


def _next(*, skip_waits: bool) -> uuid.UUID | None:
    """The queued job that a dispatcher would take first."""
    if skip_waits:
        # Well before now, which inside a transaction stands still at its beginning.
        Job.objects.filter(state__in=(State.SCHEDULED, State.RETRYING)).update(run_at=Now() - _DAY)
    while flow.follow():
        pass
    lifecycle.promote()
    queued = Job.objects.filter(state=State.QUEUED, kind__in=[kind.name for kind in kinds.known()])
    return queued.order_by("-priority", "-rank", "ready_at", "id").values_list("id", flat=True).first()


@contextmanager
def _slots() -> Iterator[Slots]:
    # A long lease: nobody renews it, and nothing shall take its jobs away.
    node = Node(id=uuid.uuid4(), name="inline", slots=1, pid=os.getpid(), expires_at=Now() + _DAY)
    node.save(force_insert=True)
    try:
        with tempfile.TemporaryDirectory(prefix="haulway-inline-") as directory:
            yield Slots(node.id, Board(Path(directory), slots=1), shares_connections=False)
    finally:
        node.delete()
