"""The heartbeat of the downloads in one process: progress goes to their rows, what people ask for comes back.

One thread and a few statements a second, however many downloads run. It writes for those attempts alone that still have
their job. What it brings back is in memory, so that a fetch can look as often as it likes.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from django.db import Error, connection

from downloads import bandwidth
from downloads.cleaning import Housekeeping
from downloads.engine import Progress
from jobs.kinds import Context

logger = logging.getLogger(__name__)

SECONDS = 1.0


@dataclass
class Watched:
    """A download under way. The fetch sets `progress`, the pulse the rest."""

    job_id: uuid.UUID
    attempt: int
    progress: Progress | None = None
    pause_requested: bool = False
    rate: float | None = None
    written: Progress | None = field(default=None, repr=False)

    def as_row(self, now: Progress) -> dict[str, Any]:
        return {
            "id": str(self.job_id),
            "attempt": self.attempt,
            "bytes_done": now.bytes_done,
            "total_bytes": now.total,
            "bytes_per_second": now.bytes_per_second,
            "segments": [asdict(segment) for segment in now.segments],
        }


class Pulse:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[uuid.UUID, Watched] = {}
        self._thread: threading.Thread | None = None
        self._empty = threading.Condition(self._lock)
        self._beating = threading.Lock()
        self._housekeeping = Housekeeping()

    @contextmanager
    def watching(self, ctx: Context) -> Iterator[Watched]:
        """Keep a download's row up to date for as long as the block runs."""
        one = Watched(uuid.UUID(ctx.job_id), ctx.attempt)
        one.rate = bandwidth.allowances([one.job_id])[one.job_id]
        with self._lock:
            self._watched[one.job_id] = one
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="downloads-pulse", daemon=True)
                self._thread.start()
        try:
            yield one
        finally:
            with self._lock:
                if self._watched.get(one.job_id) is one:
                    del self._watched[one.job_id]
                self._empty.notify()
            with self._beating:
                pass  # a beat that was under way is over: nothing is written behind the back of what comes next

    def __len__(self) -> int:
        return len(self._watched)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._watched:
                    self._thread = None
                    return
                watched = list(self._watched.values())
            with self._beating:
                self._beat([one for one in watched if self._watched.get(one.job_id) is one])
            with self._lock:
                self._empty.wait_for(lambda: not self._watched, timeout=SECONDS)

    def _beat(self, watched: list[Watched]) -> None:
        try:
            beat(watched)
            self._housekeeping.tick()
        except (Error, OSError) as error:
            logger.warning("The pulse of %d downloads failed; it tries again: %s", len(watched), error)
        finally:
            connection.close()


def beat(watched: list[Watched]) -> None:
    """One statement for all of them."""
    rows = [one.as_row(one.progress or _NOTHING) | {"new": one.progress is not one.written} for one in watched]
    progress = [one.progress for one in watched]
    with connection.cursor() as cursor:
        cursor.execute(_BEAT, {"rows": json.dumps(rows)})
        asked = dict(cursor.fetchall())
    rates = bandwidth.allowances(asked)
    for one, written in zip(watched, progress, strict=True):
        one.written = written
        if one.job_id in rates:  # else it was deleted: its attempt will find that out
            one.pause_requested, one.rate = asked[one.job_id], rates[one.job_id]


_NOTHING = Progress(0, None, 0.0, None, (), 0)

# The attempt's number stands for its lease here: a later attempt has a later number.
_BEAT = """
WITH given AS (
    SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS row(id uuid, attempt int, new bool, bytes_done bigint,
                  total_bytes bigint, bytes_per_second float8, segments jsonb)
), written AS (
    UPDATE downloads_download download SET
        bytes_done = given.bytes_done, total_bytes = coalesce(given.total_bytes, download.total_bytes),
        bytes_per_second = given.bytes_per_second, segments = given.segments, updated_at = now()
    FROM given JOIN jobs_job job ON job.id = given.id AND job.state = 'running' AND job.attempt = given.attempt
    WHERE download.job_id = given.id AND given.new
)
SELECT download.job_id, download.pause_requested
FROM downloads_download download JOIN given ON given.id = download.job_id
"""

pulse = Pulse()
