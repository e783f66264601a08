"""The load itself: submit, watch it being done, count what came of it."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from project.load.client import Client, Job, Unreachable

_LOOK_EVERY = 0.5
_FEW = 500  # so many live jobs are looked at one by one
_LOOK_CLOSELY_EVERY = 20  # looks, where others keep the host busy for ever

Tell = Callable[[int], None]


@dataclass(frozen=True)
class Plan:
    jobs: int
    kinds: Sequence[str]
    payload: str  # JSON, the same for all
    priority: str
    bulk: int  # jobs in one call; 1: one call for each
    clients: int  # threads that submit
    patience: float  # seconds without any job ending, after which the rest is given up on

    def batches(self) -> Iterator[list[Job]]:
        kinds = itertools.cycle(self.kinds)
        payload = json.loads(self.payload)
        for start in range(0, self.jobs, self.bulk):
            count = min(self.bulk, self.jobs - start)
            yield [{"kind": next(kinds), "payload": payload, "priority": self.priority} for _ in range(count)]


@dataclass
class Outcome:
    """What is known in the end. Times in seconds; `waits` from submission to start, `runs` from start to end."""

    accepted: list[str] = field(default_factory=list)
    troubles: Counter[str] = field(default_factory=Counter)  # why jobs were not accepted
    submitting: float = 0.0
    states: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    completing: float = 0.0  # from the first submission to the last end, by the host's own clock
    waits: list[float] = field(default_factory=list)
    runs: list[float] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether every job that was meant to run is completed."""
        return not self.troubles and set(self.states) == {"completed"}


class Load:
    def __init__(self, client: Client, plan: Plan) -> None:
        self._client = client
        self._plan = plan
        self._kinds = ",".join(sorted(set(plan.kinds)))
        self._lock = threading.Lock()
        self.outcome = Outcome()

    def submit(self, tell: Tell) -> None:
        """Submit all. What is refused, or not answered, is counted and not tried again."""
        began = time.monotonic()
        with ThreadPoolExecutor(self._plan.clients) as pool:
            for count in pool.map(self._submit, self._plan.batches()):
                tell(count)
        self.outcome.submitting = time.monotonic() - began

    def _submit(self, batch: list[Job]) -> int:
        try:
            accepted, troubles = self._send(batch)
        except Unreachable as trouble:
            accepted, troubles = [], [str(trouble)] * len(batch)
        with self._lock:
            self.outcome.accepted += accepted
            self.outcome.troubles.update(troubles)
        return len(batch)

    def _send(self, batch: list[Job]) -> tuple[list[str], list[str]]:
        if self._plan.bulk == 1:
            return [self._client.submit(batch[0])], []
        return self._client.submit_many(batch)

    def watch(self, tell: Tell) -> None:
        """Until all have ended, or none ends for as long as patience goes."""
        total = len(self.outcome.accepted)
        left, changed_at = total, time.monotonic()
        for look in itertools.count():
            now_left = min(left, self._left(closely=look % _LOOK_CLOSELY_EVERY == 0)) if total else 0
            if now_left < left:
                tell(left - now_left)
                left, changed_at = now_left, time.monotonic()
            if not left or time.monotonic() - changed_at > self._plan.patience:
                return
            time.sleep(_LOOK_EVERY)

    def _left(self, *, closely: bool) -> int:
        """How many of ours are unfinished: exactly, or, while they are many, by the host's own count of all jobs."""
        live = self._client.live()
        if live > _FEW and not closely:
            return live
        ours = set(self.outcome.accepted)
        return sum(job["id"] in ours for job in self._client.unfinished(self._kinds, min(ours)))

    def collect(self) -> None:
        """Read what became of each job."""
        if not self.outcome.accepted:
            return
        ours = set(self.outcome.accepted)
        found = [job for job in self._client.all(self._kinds, min(ours)) if job["id"] in ours]
        for job in found:
            self._count(job)
        self.outcome.states["not found"] += len(ours) - len(found)
        self.outcome.states += Counter()  # drops zeros
        ends = [_time(job["finished_at"]) for job in found if job["finished_at"]]
        if ends:
            self.outcome.completing = (max(ends) - min(_time(job["created_at"]) for job in found)).total_seconds()

    def _count(self, job: Job) -> None:
        outcome = self.outcome
        outcome.states[job["state"]] += 1
        outcome.retried += job["attempt"] > 1
        if job["state"] == "failed":
            outcome.errors[f"{job['reason']}: {job['error'][:100]}"] += 1
        if job["attempt"] == 1 and job["started_at"] and job["finished_at"]:
            outcome.waits.append((_time(job["started_at"]) - _time(job["created_at"])).total_seconds())
            outcome.runs.append((_time(job["finished_at"]) - _time(job["started_at"])).total_seconds())


def _time(text: Any) -> datetime:
    return datetime.fromisoformat(text)
