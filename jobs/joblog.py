"""The lines that an attempt writes with ctx.log: kept with its job, in bounded number, while it still runs.

They are gathered and written about once a second, so a handler that says much does not wait for the database each time.
They are for people: should Postgres be away they are lost, and the work goes on.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime

from django.db import DatabaseError, InterfaceError

from jobs.models import Job, LogLine
from jobs.storable import as_text

logger = logging.getLogger(__name__)

MOST_LINES = 1000  # of one attempt
_LONGEST_LINE = 2000  # characters
_WRITE_EVERY = 1.0
_GATHERED = 100  # lines that are written at once, however soon


class JobLog:
    """The lines of one attempt. Any of its threads may write."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._lock = threading.Lock()
        self._gathered: list[LogLine] = []
        self._said = 0
        self._written_at = time.monotonic()

    def say(self, level: int, text: str) -> bool:
        """Take a line. True: it is time to write."""
        with self._lock:
            self._said += 1
            if self._said > MOST_LINES:
                return False
            if self._said == MOST_LINES:
                level, text = (
                    logging.WARNING,
                    f"Of an attempt {MOST_LINES} lines are kept; the worker's log has the rest.",
                )
            self._gathered.append(
                LogLine(
                    job_id=self._job.pk,
                    attempt=self._job.attempt,
                    at=datetime.now(UTC),
                    level=logging.getLevelName(level).lower()[:8],
                    text=as_text(text, _LONGEST_LINE),
                )
            )
            return len(self._gathered) >= _GATHERED or time.monotonic() - self._written_at > _WRITE_EVERY

    def write(self) -> bool:
        """Write what was gathered. False: there was nothing."""
        with self._lock:
            lines, self._gathered = self._gathered, []
            self._written_at = time.monotonic()
            if not lines:
                return False
            try:
                LogLine.objects.bulk_create(lines)
            except (DatabaseError, InterfaceError) as error:
                logger.warning("%d lines of the log of %s were lost: %s", len(lines), self._job, error)
            return True
