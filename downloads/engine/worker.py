"""One thread, one connection at a time: take a lease, ask for its bytes, put them into the file, take the next."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from downloads.engine.answer import Mismatch, OtherVersion, Part, PastEnd, Verdict, Whole, judge
from downloads.engine.body import Body, ShortBody, Unpacked
from downloads.engine.errors import ProtocolViolation, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from downloads.engine.connection import Connection
    from downloads.engine.plan import Lease
    from downloads.engine.source import Source
    from downloads.engine.transfer import Transfer

BUFFER = 1024 * 1024
_FLUSH_EVERY = 0.25
_ENOUGH = 64 * 1024
"""Bytes a connection must bring before its failure counts as a new one."""


class Retire(Exception):
    """This connection is not needed, or not welcome. No failure of the fetch."""


class Worker(threading.Thread):
    """A connection and its thread. The transfer decides what its troubles mean."""

    def __init__(self, transfer: Transfer, source: Source, leave: Callable[[], None]) -> None:
        super().__init__(name="fetch-connection", daemon=True)
        self.transfer = transfer
        self.source = source
        self.lease: Lease | None = None
        self.accepted = False
        self.streaming = False
        self.failures = 0
        self.mismatches = 0
        self.ask_afresh = False
        self.culled = False
        self._leave = leave
        self._stopped = threading.Event()
        self._connection: Connection | None = None
        self._pace: float | None = None
        self._buffer = memoryview(bytearray(BUFFER))

    def run(self) -> None:
        try:
            self._work()
        except Retire:
            pass
        except BaseException as trouble:
            self.transfer.fail(trouble)
        finally:
            self._drop_connection()
            self._leave()
            self.transfer.left(self)

    def stop(self) -> None:
        """End soon, whatever it is doing. Called by other threads."""
        self._stopped.set()
        if connection := self._connection:
            connection.abort()

    def cull(self) -> None:
        """This connection is much slower than its neighbours: have it replaced."""
        self.culled = True
        if connection := self._connection:
            connection.abort()

    def pause(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise Retire

    def _work(self) -> None:
        plan = self.transfer.plan
        while not self._stopped.is_set():
            lease = plan.take(self._pace)
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
            if lease.done - before >= _ENOUGH:
                self.failures = 0
            if self.culled:
                self.culled = False
                return
            self.failures += 1
            plan = self.transfer.plan
            # While it waits, others may take what it holds.
            pause = self.transfer.troubled(self, lease, trouble)
            with plan.changed:
                lease.end, kept = lease.done, lease.end
                plan.release(lease.done, kept)
            self.pause(pause)
        finally:
            self.streaming = False

    def _exchange(self, lease: Lease) -> None:
        transfer = self.transfer
        start = lease.done if transfer.ranges or lease.done else None
        headers = transfer.conditions(self, lease, start)
        connection, head = self.source.exchange(self._connection, headers, self._opened)
        self._connection = connection
        answer = judge(head, start=start)
        transfer.accept(self, lease, head, answer)
        if isinstance(answer, PastEnd):
            self._drop_connection()
            return
        self.accepted = self.streaming = True
        self.ask_afresh = False
        plain = connection.body(head)
        body = Unpacked(plain, answer.coding) if isinstance(answer, Whole) and answer.coding else plain
        lease.covered = answer.end if isinstance(answer, Part) else answer.length
        with transfer.plan.changed:
            transfer.plan.changed.notify_all()
        self._stream(lease, body)
        self._pace = lease.meter.rate() or self._pace
        if not (body.finished and head.keeps_alive):
            self._drop_connection()

    def _stream(self, lease: Lease, body: Body | Unpacked) -> None:
        """Read until the lease or the body ends, whichever comes first."""
        view, filled, flushed = self._buffer, 0, time.monotonic()
        try:
            while not self._stopped.is_set():
                room = self._room(lease, filled)
                if room <= 0:
                    break
                got = body.readinto(view[filled : filled + room])
                if got == 0:
                    break
                filled += got
                self.transfer.received += got
                now = time.monotonic()
                if filled == len(view) or now - flushed >= _FLUSH_EVERY:
                    self._flush(lease, view[:filled])
                    filled, flushed = 0, now
                if wait := self.transfer.throttle.spent(got):
                    self.pause(wait)
        finally:
            self._flush(lease, view[:filled])
        if self._stopped.is_set():
            raise Retire
        if lease.end is None:
            if not body.finished:
                raise ShortBody("the body broke off")
            self.transfer.ended(lease, delimited=body.delimited)
        elif not lease.complete and (lease.covered is None or lease.done < min(lease.covered, lease.end)):
            raise ShortBody("the body is shorter than announced")

    def _room(self, lease: Lease, filled: int) -> int:
        room = len(self._buffer) - filled
        if lease.end is not None:
            room = min(room, lease.end - lease.done - filled)
        rate = self.transfer.throttle.rate
        return room if rate is None else min(room, max(4096, int(rate / 10)))

    def _flush(self, lease: Lease, view: memoryview) -> None:
        plan = self.transfer.plan
        kept = view[: plan.claim(lease, len(view))]
        if kept:
            self.transfer.check_size(lease.done + len(kept))
            self.transfer.part.write(kept, lease.done)
            plan.write_down(lease, kept)

    def _opened(self, connection: Connection) -> None:
        self._connection = connection
        if self._stopped.is_set():
            raise Retire

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


__all__ = ["Mismatch", "OtherVersion", "Retire", "Worker"]
