"""The connections of one fetch: how many there are, and which of them are worth keeping."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from downloads.engine.appetite import Appetite
from downloads.engine.effort import Effort
from downloads.engine.worker import Worker

if TYPE_CHECKING:
    from downloads.engine.hosts import HostGate
    from downloads.engine.source import Source
    from downloads.engine.transfer import Transfer

_SMALLEST_SEGMENT = 1024 * 1024
_SLOW = 0.25
"""A connection below this part of the best one's rate is replaced."""
_SETTLED = 0.5
_ROUND_TRIPS = 10
"""A connection is judged after so many of its round trips, because TCP starts slowly, and _SETTLED seconds."""
_MOST_CULLED = 12
_SILENT = 5.0
_ENOUGH_IF_BUSY = 2
_BUSY = 0.6
"""Of one processor. Connections that want more, together, are held up by this machine and not by the origin."""
_TRY_MORE_AFTER = 15.0
_TRY_MORE_AFTER_TRIAL = 60.0


class Crew:
    """Grows 1, 2, 4, 8 as fast as good answers come, replaces the slow, and bends to what the origin bears.

    It stays at 2 while those keep a processor busy: measured on loopback, more only quarrel for it.

    ``lock`` guards the members and everything that is decided about them.
    """

    def __init__(self, transfer: Transfer, sources: list[Source], gate: HostGate, *, most: int) -> None:
        self.lock = threading.RLock()
        self.members: list[Worker] = []
        self.sources = sources
        self.gate = gate
        self._transfer = transfer
        self._most = self._target = max(1, most)
        self._more_at = float("inf")
        self._more_after = _TRY_MORE_AFTER
        self._appetite = Appetite()
        self._effort = Effort()
        self._culled = 0
        self._hired = 0
        self._gone = 0

    @property
    def received(self) -> int:
        """Bytes of files received by all connections there ever were."""
        with self.lock:
            return self._gone + sum(worker.received for worker in self.members)

    def streaming_besides(self, worker: Worker) -> int:
        return sum(one.streaming for one in self.members if one is not worker)

    def limit_to(self, count: int) -> None:
        """The origin bears no more than ``count`` connections. After a while one more is tried."""
        self._target = max(1, min(count, self._target))
        self._more_at = time.monotonic() + self._more_after
        self._more_after *= 2

    def abandon(self, source: Source, why: str) -> bool:
        """Give up a source, if there is another. Those who fetch from it have to retire."""
        if source not in self.sources:
            return True
        if len(self.sources) == 1:
            return False
        self.sources.remove(source)
        self._transfer.notes.append(f"{source.given.host} was given up: {why}.")
        return True

    def tick(self) -> None:
        """Called several times a second by the coordinator."""
        with self.lock:
            now = time.monotonic()
            if now >= self._more_at and self._target < self._most:
                self._target, self._more_at = self._target + 1, float("inf")
            self._effort.look(one.native_id for one in self.members if one.streaming and one.native_id is not None)
            self._adapt()
            self._hire()
            self._cull(now)

    def stop(self) -> None:
        """End every connection and wait for the threads."""
        with self.lock:
            members = list(self.members)
        for worker in members:
            worker.stop()
        for worker in members:
            # Bounded: every wait of a worker has a deadline or is ended by stop(). One that hangs in a dead file
            # system is left behind with its descriptor, which therefore cannot come to mean another file.
            worker.join(timeout=30.0)

    def _adapt(self) -> None:
        plan = self._transfer.plan
        if self._transfer.throttle.rate is not None or not all(worker.streaming for worker in self.members):
            return
        change = self._appetite.change(len(self.members), plan.written, plan.missing)
        if not change:
            return
        self._target = min(self._most, (len(self.members) if change > 0 else self._target) - change)
        # What was true of this minute may not be true of the next.
        self._more_at = min(self._more_at, time.monotonic() + _TRY_MORE_AFTER_TRIAL)
        slowest = sorted(self.members, key=lambda one: one.lease.meter.rate() if one.lease else 0.0)
        for worker in slowest[: max(0, change)]:
            worker.stop()

    def _hire(self) -> None:
        for _ in range(self._openings()):
            source = self.sources[self._hired % len(self.sources)]
            if not self.gate.enter(source.given.origin):
                return
            worker = Worker(self._transfer, source, self._left)
            self._hired += 1
            self.members.append(worker)
            worker.start()

    def _openings(self) -> int:
        running = len(self.members)
        if not running:
            return 1
        plan, facts = self._transfer.plan, self._transfer.facts
        if not (plan.splitting and facts.ranges and all(worker.accepted for worker in self.members)) or self._busy():
            return 0
        most = min(self._target, max(1, (plan.missing or 0) // _SMALLEST_SEGMENT))
        return max(0, min(running, most - running))

    def _busy(self) -> bool:
        """Whether a further connection would only take turns with those there are, at this end of the line."""
        return len(self.members) >= _ENOUGH_IF_BUSY and (self._effort.share is None or self._effort.share > _BUSY)

    def _cull(self, now: float) -> None:
        rates = {one: one.lease.meter.rate() for one in self.members if one.lease and self._is_settled(one)}
        # Those that have run out of work show as well as any what the origin can do.
        best = max([*rates.values(), *(one.pace or 0.0 for one in self.members if one not in rates)], default=0.0)
        if len(self.members) < 2 or self._culled >= _MOST_CULLED or self._transfer.throttle.rate is not None:
            return
        for worker in self.members:
            if worker.lease is None:
                continue
            slow = worker in rates and rates[worker] < _SLOW * best
            silent = not worker.streaming and now - worker.asked_at > _SILENT
            if (slow or silent) and self._culled < _MOST_CULLED:
                self._culled += 1
                worker.cull()

    @staticmethod
    def _is_settled(worker: Worker) -> bool:
        """Whether its rate means something. What lay ready when it asked comes as fast as memory does."""
        lease = worker.lease
        return bool(lease and worker.streaming and lease.meter.age > max(_SETTLED, _ROUND_TRIPS * worker.latency))

    def _left(self, worker: Worker) -> None:
        with self.lock:
            self.members.remove(worker)
            self._gone += worker.received
        self.gate.leave(worker.hired_for)
        self._transfer.plan.wake()
