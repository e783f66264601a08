"""The work that a scenario's platform does meanwhile: a backlog that keeps every slot busy, and a steady mix on top.

Everything submitted is written down here, with what must become of it.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import DatabaseError, InterfaceError, connection

from jobs import lifecycle
from jobs.submission import Submission, checked

logger = logging.getLogger(__name__)

# Of the jobs of the backlog, by turns: so long that slots, and not processors, bound what the platform does; and not
# all alike, for slots in step would end their jobs in bursts, and a window would hold one more or less by chance.
WORK_SECONDS = (0.6, 0.9, 0.7, 0.8)
_REFILL_EVERY = 0.5
_MIX_EVERY = 1.0


@dataclass(frozen=True)
class Fate:
    """What must become of a job: the state that it ends in, and how often its handler runs where nothing goes wrong;
    0 for a handler that keeps no ledger.
    """

    state: str = "completed"
    runs: int = 1


class Load:
    """Submits as an application would, through the lifecycle; in threads of its own until `stop`."""

    def __init__(self, ledger: Path) -> None:
        self.backlog = 0  # jobs that shall always be waiting
        self._ledger = str(ledger)
        self.fates: dict[uuid.UUID, Fate] = {}
        self._seconds = itertools.cycle(WORK_SECONDS)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def submit(
        self, count: int = 1, *, kind: str = "chaos.work", fate: Fate | None = None, options: Any = None, **payload: Any
    ) -> list[uuid.UUID]:
        """Submit `count` alike jobs in one statement. `options` are those of a submission, as priority and timeout."""
        fate = fate or Fate(runs=1 + int(payload.get("fail_times", 0)))
        return self._submit([checked(kind, payload, **(options or {}))] * count, fate)

    def _submit(self, jobs: Sequence[Submission], fate: Fate) -> list[uuid.UUID]:
        ids = lifecycle.submit_many(jobs)
        self.fates.update(dict.fromkeys(ids, fate))
        return ids

    def start(self) -> None:
        """Keep every slot busy from now on, and add the mix."""
        for duty, pause in ((self._refill, _REFILL_EVERY), (self._mix, _MIX_EVERY)):
            thread = threading.Thread(target=self._repeat, args=(duty, pause), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)
        self._threads = []

    def _repeat(self, duty: Callable[[], None], pause: float) -> None:
        while not self._stopping.wait(pause):
            try:
                duty()
            except (DatabaseError, InterfaceError) as error:  # some scenarios take Postgres away
                logger.info("Could not submit: %s", error)
                connection.close()
                time.sleep(0.2)
        connection.close()

    def _refill(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM jobs_job WHERE state = 'queued' AND lane = 'compute'")
            missing = self.backlog - int(cursor.fetchone()[0])
        if missing > 0:
            self._submit([checked("chaos.work", {"seconds": next(self._seconds)}) for _ in range(missing)], Fate())

    def _mix(self) -> None:
        self.submit(3, kind="chaos.wait", seconds=0.3)
        self.submit(1, kind="chaos.wait", seconds=2.0, options={"priority": "high"})
        self.submit(3, seconds=0, options={"priority": "high"})
        self.submit(1, fail_times=1, options={"priority": "critical"})
        self.submit(1, kind="echo", options={"priority": "high"}, sleep=0.5, ledger=self._ledger)
