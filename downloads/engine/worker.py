"""One thread, one connection at a time: take a lease, ask for its bytes, put them into the file, take the next."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from downloads.engine.answer import OtherVersion, Part, PastEnd, Verdict, Whole, judge, validators
from downloads.engine.body import Body, ShortBody, Unpacked
from downloads.engine.errors import ProtocolViolation, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from downloads.engine.connection import Connection
    from downloads.engine.plan import Lease
    from downloads.engine.source import Source
    from downloads.engine.transfer import Transfer

_BUFFER = 1024 * 1024
_FLUSH_EVERY = 0.05
"""Seconds a byte may wait in memory: what a kill costs at most."""
_TELLING = 0.25
"""Seconds that a lease lasts at least if its rate is to say how fast the connection is."""
_ENOUGH = 64 * 1024
"""Bytes a connection must bring before it may fail again without losing credit."""


class Retire(Exception):
    """The connection is not needed, or not welcome. No failure of the fetch."""


class Worker(threading.Thread):
    """A connection and its thread. It moves bytes; what its troubles mean, others decide."""

    def __init__(self, transfer: Transfer, source: Source, left: Callable[[Worker], None]) -> None:
        super().__init__(name="fetch-connection", daemon=True)
        self.transfer = transfer
        self.source = source
        self.hired_for = source.given.origin
        self.started_at = time.monotonic()
        self.lease: Lease | None = None
        self.accepted = self.streaming = self.ask_afresh = False
        self.failures = self.mismatches = self.received = 0
        self.asked_at = self.started_at
        self._left = left
        self._culled = False
        self._stopped = threading.Event()
        self._connection: Connection | None = None
        self.pace: float | None = None
        self.latency = 0.0
        self._buffer = memoryview(bytearray(_BUFFER))

    def run(self) -> None:
        try:
            self._work()
        except Retire:
            pass
        except BaseException as trouble:  # noqa: BLE001  the caller's thread raises it
            self.transfer.fail(trouble)
        finally:
            self._drop_connection()
            self._left(self)

    def stop(self) -> None:
        """End soon, whatever it is doing. For other threads."""
        self._stopped.set()
        if connection := self._connection:
            connection.abort()

    def cull(self) -> None:
        """Have the connection replaced: it is much slower than its neighbours. For other threads."""
        self._culled = True
        if connection := self._connection:
            connection.abort()

    def _work(self) -> None:
        plan = self.transfer.plan
        while not self._stopped.is_set():
            lease = plan.take(self.pace, self.latency)
            if lease is None:
                if plan.complete:
                    return
                with plan.changed:
                    plan.changed.wait(0.1)
                continue
            self.lease = lease
            try:
                self._fetch(lease)
            finally:
                self.lease = None
                plan.give_back(lease)

    def _fetch(self, lease: Lease) -> None:
        before = lease.done
        try:
            self._exchange(lease)
            self.failures = self.mismatches = 0
        except (Verdict, OSError, ProtocolViolation, Unreachable) as trouble:
            self.streaming = False
            self._drop_connection()
            if self._stopped.is_set():
                raise Retire from trouble
            if self._culled:
                self._culled, self.pace = False, None
                return
            if lease.done - before >= _ENOUGH:
                self.failures = 0
            self.failures += 1
            pause = self.transfer.setbacks.judge(self, trouble)
            if pause:
                # While this one waits, others may take what it held.
                self.transfer.plan.give_back(lease)
                self._pause(pause)
        finally:
            self.streaming = False

    def _exchange(self, lease: Lease) -> None:
        transfer, facts = self.transfer, self.transfer.facts
        if facts.begun and self.source.validators is None:
            self._vouch_for_mirror()
        overlap = transfer.seams.before(lease)
        start = lease.done - overlap if facts.ranges or lease.done else None
        headers = facts.request_headers(start, lease.end, afresh=self.ask_afresh)
        self.asked_at = time.monotonic()
        connection, head = self.source.exchange(self._connection, headers, self._opened)
        self.latency = time.monotonic() - self.asked_at
        self._connection = connection
        answer = judge(head, start=start)
        facts.accept(self.source, lease, head, answer)
        if isinstance(answer, PastEnd):
            self._drop_connection()
            return
        body: Body | Unpacked = connection.body(head)
        if isinstance(answer, Whole) and answer.coding and isinstance(body, Body):
            body = Unpacked(body, answer.coding)
        lease.covered = answer.end if isinstance(answer, Part) else answer.length
        self.accepted = self.streaming = True
        transfer.plan.wake()
        transfer.seams.compare(body, lease.done - overlap, overlap)
        self._stream(lease, body)
        if not (body.finished and head.keeps_alive):
            self._drop_connection()

    def _vouch_for_mirror(self) -> None:
        """Hold the start of the file, as this source has it, against what the first one sent."""
        seams = self.transfer.seams
        while not (width := seams.known_start()):
            self._pause(0.02)
        headers = {"Range": f"bytes=0-{width - 1}"}
        self._connection, head = self.source.exchange(self._connection, headers, self._opened)
        answer = judge(head, start=0)
        if not isinstance(answer, Part) or answer.total != self.transfer.plan.total:
            raise OtherVersion("its length is another, or it has no ranges")
        body = self._connection.body(head)
        if not seams.equal(body, 0, width):
            raise OtherVersion("its first bytes are others")
        self.source.validators = validators(head)
        if not (body.finished and head.keeps_alive):
            self._drop_connection()

    def _stream(self, lease: Lease, body: Body | Unpacked) -> None:
        """Read until the lease or the body ends, whichever comes first."""
        view, filled, flushed = self._buffer, 0, time.monotonic()
        throttle, ended = self.transfer.throttle, False
        first = at = lease.done
        try:
            while not ended and (room := self._room(lease, filled)) > 0:
                got = body.readinto(view[filled : filled + room])
                ended = got == 0
                filled += got
                at += got
                # No lock: only this thread moves it, and a thief who misses it costs a few bytes twice.
                lease.claimed = lease.done + filled
                self.received += got
                now = time.monotonic()
                if filled == len(view) or now - flushed >= _FLUSH_EVERY:
                    self._flush(lease, view[:filled])
                    filled, flushed = 0, now
                if wait := throttle.spent(got):
                    self._pause(wait)
        finally:
            self._flush(lease, view[:filled])
        if lease.meter.age > _TELLING:
            self.pace = lease.meter.rate() or self.pace
        if lease.end is None:
            self.transfer.facts.ended(lease, delimited=body.delimited)
        elif not ended:
            self.transfer.seams.after(lease, body, at)
        elif lease.done == first:
            raise ShortBody("the answer was empty")

    def _room(self, lease: Lease, filled: int) -> int:
        if self._stopped.is_set():
            raise Retire
        room = len(self._buffer) - filled
        if lease.end is not None:
            room = min(room, lease.end - lease.done - filled)
        rate = self.transfer.throttle.rate
        return room if rate is None else min(room, max(4096, int(rate / 20)))

    def _flush(self, lease: Lease, view: memoryview) -> None:
        plan = self.transfer.plan
        kept = view[: plan.claim(lease, len(view))]
        if kept:
            self.transfer.facts.check_size(lease.done + len(kept))
            self.transfer.part.write(kept, lease.done)
            self.transfer.keeper.note(plan.write_down(lease, kept))

    def _pause(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise Retire

    def _opened(self, connection: Connection) -> None:
        self._connection = connection
        if self._stopped.is_set():
            raise Retire

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
