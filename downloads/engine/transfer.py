"""One fetch: starts connections, decides what their answers and troubles mean, saves progress, and ends it."""

from __future__ import annotations

import random
import ssl
import threading
import time
from typing import TYPE_CHECKING

from downloads.engine import digests
from downloads.engine.answer import (
    Declined,
    Mismatch,
    OtherVersion,
    Part,
    PastEnd,
    Whole,
    same_version,
    validators,
)
from downloads.engine.body import UNPACKABLE
from downloads.engine.checkpoint import Checkpoint, Validators
from downloads.engine.errors import (
    Busy,
    Cancelled,
    Changed,
    FetchError,
    ProtocolViolation,
    Refused,
    TooLarge,
    Unreachable,
)
from downloads.engine.naming import suggested_name
from downloads.engine.order import Fetched, Order, Progress, Resolver, Segment
from downloads.engine.partfile import PartFile
from downloads.engine.plan import Lease, Plan
from downloads.engine.source import Source
from downloads.engine.throttle import Throttle
from downloads.engine.worker import Retire, Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from downloads.engine.head import Head
    from downloads.engine.hosts import HostGate

_SAVE_EVERY = 2.0
_SAVE_BYTES = 64 * 1024 * 1024
_REPORT_EVERY = 0.5
_SMALLEST_SEGMENT = 1024 * 1024
_MOST_FAILURES = 6
_MOST_RESTARTS = 3


class Restart(Exception):
    """What is on disk is worth nothing: begin again, without ranges if they cannot be trusted."""

    def __init__(self, reason: str, *, ranges: bool) -> None:
        super().__init__(reason)
        self.ranges = ranges


class Transfer:
    """Shared by the caller's thread, which coordinates, and one thread per connection."""

    def __init__(
        self,
        order: Order,
        path: Path,
        *,
        resume: Checkpoint | None,
        resolve: Resolver,
        gate: HostGate,
        progress: Callable[[Progress], None],
        save: Callable[[Checkpoint], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self.order = order
        self.path = path
        self.plan = Plan()
        self.part = PartFile(path)
        self.throttle = Throttle(order.rate_limit)
        self.ranges = True
        self.received = 0
        self.notes: list[str] = []
        self._gate = gate
        self._progress = progress
        self._save = save
        self._cancelled = cancelled
        self._wanted = digests.expected(order)
        tls = ssl.create_default_context()
        self._sources = [
            Source(url, order.headers, resolve=resolve, timeouts=order.timeouts, tls=tls) for url in order.urls
        ]
        self._begun = False
        self._resumed = False
        self._conditional = False
        self._validators = Validators()
        self._stated: dict[str, str] = {}
        self._name = suggested_name(None, self._sources[0].given.last_segment)
        self._media_type = ""
        self._length_verified = True
        self._failure: BaseException | None = None
        self._workers: list[Worker] = []
        self._most = max(1, order.connections)
        self._lock = threading.RLock()
        self._quiet_since = time.monotonic()
        self._heard = 0
        self._saved_at = self._reported_at = self._polled_at = time.monotonic()
        self._saved_bytes = 0
        if resume is not None:
            self._recover(resume)

    # --- the caller's thread ------------------------------------------------------------------------------------

    def run(self) -> Fetched:
        restarts = 0
        try:
            while True:
                try:
                    self._round()
                    return self._complete()
                except Restart as restart:
                    restarts += 1
                    if restarts > _MOST_RESTARTS:
                        raise Changed(f"The file could not be fetched in one version: {restart}.") from None
                    self._begin_again(restart)
        finally:
            self._stop()
            if not self._workers:
                self.part.close()

    def _round(self) -> None:
        self._failure = None
        try:
            while not self.plan.complete:
                self._tick()
                with self.plan.changed:
                    if not self.plan.complete and self._failure is None:
                        self.plan.changed.wait(0.05)
            self._stop()
        except Restart:
            self._stop()
            raise
        except FetchError:
            self._stop()
            self._checkpoint()
            raise

    def _tick(self) -> None:
        if self._failure is not None:
            raise self._failure
        now = time.monotonic()
        if now - self._polled_at >= 0.25:
            self._polled_at = now
            if self._cancelled():
                raise Cancelled("The fetch was stopped as asked.")
        if self.plan.written != self._heard:
            self._heard, self._quiet_since = self.plan.written, now
        self._grow()
        if now - self._reported_at >= _REPORT_EVERY:
            self._reported_at = now
            self._progress(self._state())
        if now - self._saved_at >= _SAVE_EVERY or self.plan.written - self._saved_bytes >= _SAVE_BYTES:
            self._checkpoint()

    def _grow(self) -> None:
        """1, 2, 4, 8: as many again as have got a good answer, never more than the origin bears."""
        with self._lock:
            running = len(self._workers)
            if not running:
                more = 1
            elif self.plan.splitting and self.ranges and self._begun and all(w.accepted for w in self._workers):
                missing = self.plan.missing or 0
                most = min(self._most, max(1, missing // _SMALLEST_SEGMENT))
                more = min(running, most - running)
            else:
                more = 0
            for _ in range(more):
                source = self._sources[len(self._workers) % len(self._sources)]
                origin = source.given.origin
                if not self._gate.enter(origin):
                    return
                worker = Worker(self, source, lambda origin=origin: self._gate.leave(origin))  # type: ignore[misc]
                self._workers.append(worker)
                worker.start()

    def _stop(self) -> None:
        with self._lock:
            workers = list(self._workers)
        for worker in workers:
            worker.stop()
        for worker in workers:
            # Bounded: every wait of a worker has a deadline or is ended by stop(). One that hangs in a dead file
            # system is left behind with its descriptor, which therefore cannot come to mean another file.
            worker.join(timeout=30.0)

    def _checkpoint(self) -> None:
        self._saved_at, self._saved_bytes = time.monotonic(), self.plan.written
        checkpoint = Checkpoint(
            total=self.plan.total,
            pieces=self.plan.pieces(),
            validators=self._validators,
            ranges=self.plan.splitting,
        )
        self.part.sync()
        self._save(checkpoint)

    def _state(self) -> Progress:
        total, done, rate = self.plan.total, self.plan.written, self.plan.meter.rate()
        with self._lock:
            leases = [worker.lease for worker in self._workers if worker.lease]
        return Progress(
            bytes_done=done,
            total=total,
            bytes_per_second=rate,
            eta=(total - done) / rate if total is not None and rate > 0 else None,
            segments=tuple(Segment(one.start, one.end, one.done - one.start, one.meter.rate()) for one in leases),
            connections=len(leases),
        )

    def _recover(self, resume: Checkpoint) -> None:
        """Believe of a checkpoint only what the file still holds."""
        held = tuple(piece for piece in resume.pieces if self.part.holds(piece))
        if not held:
            return
        if len(held) < len(resume.pieces):
            self.notes.append("Some bytes of the earlier attempt were lost by the disk and are fetched again.")
        kept = Checkpoint(resume.total, held, resume.validators, resume.compared, resume.ranges)
        self.plan = Plan(kept)
        self.ranges = resume.ranges
        self._validators = resume.validators
        self._resumed = self._conditional = True

    def _begin_again(self, restart: Restart) -> None:
        # The save proves that the caller still owns the download, before anything is moved.
        self._checkpoint()
        self.notes.append(f"Started again: {restart}.")
        if self.plan.written:
            self.path.replace(self.path.with_name(f"{self.path.name}.old"))
            self.part.close()
            self.part = PartFile(self.path)
        self.plan = Plan()
        self.plan.splitting = self.ranges = restart.ranges
        self._begun = self._resumed = self._conditional = False
        self._validators = Validators()
        self._stated = {}

    def _complete(self) -> Fetched:
        size = self.plan.total or 0
        self.part.truncate(size)
        self._checkpoint()
        also = frozenset({"sha256"}) if self.order.want_sha256 else frozenset()
        taken = digests.check(self.part, size, {**self._stated, **self._wanted}, also=also)
        self._progress(self._state())
        return Fetched(
            size=size,
            sha256=taken.get("sha256"),
            length_verified=self._length_verified,
            name=self._name,
            media_type=self._media_type,
            final_url=self._sources[0].current.shown,
            bytes_fetched=self.received,
            notes=tuple(self.notes),
        )

    # --- the connections' threads -------------------------------------------------------------------------------

    def fail(self, trouble: BaseException) -> None:
        with self.plan.changed:
            self._failure = self._failure or trouble
            self.plan.changed.notify_all()

    def left(self, worker: Worker) -> None:
        with self._lock:
            self._workers.remove(worker)
        with self.plan.changed:
            self.plan.changed.notify_all()

    def conditions(self, worker: Worker, lease: Lease, start: int | None) -> dict[str, str]:
        """The headers that say which bytes are wanted, and of which version."""
        headers: dict[str, str] = {}
        if start is not None:
            headers["Range"] = f"bytes={start}-{'' if lease.end is None else lease.end - 1}"
            condition = self._validators.etag or self._validators.last_modified
            if self._conditional and condition:
                headers["If-Range"] = condition
        if worker.ask_afresh:
            headers["Cache-Control"] = "no-cache"
        return headers

    def accept(self, worker: Worker, lease: Lease, head: Head, answer: Part | Whole | PastEnd) -> None:
        """Let the worker go on with this answer, or raise what is wrong with it."""
        with self._lock:
            if not self._begun and not self._resumed:
                self._begin(lease, head, answer)
            else:
                self._compare(lease, head, answer)
            self._begun = True

    def _begin(self, lease: Lease, head: Head, answer: Part | Whole | PastEnd) -> None:
        if isinstance(answer, PastEnd):
            if answer.total != 0:
                raise Mismatch("the first byte is said to be past the end")
            self.plan.set_total(0)
        elif isinstance(answer, Part):
            if answer.total is None:
                raise Mismatch("the part does not say how long the file is")
            self._allocate(answer.total)
            self._validators = validators(head)
        else:
            if lease.done:
                raise Restart("the origin sent the whole file where a part was asked for", ranges=False)
            self.plan.splitting = self.ranges = False
            self._validators = validators(head)
            if answer.coding and answer.coding not in UNPACKABLE:
                raise ProtocolViolation(
                    f"The origin insists on compressing the file ({answer.coding}), which is not understood."
                )
            if answer.coding:
                self.notes.append(f"The origin compressed the file ({answer.coding}); it was unpacked.")
            elif answer.length is not None:
                self._allocate(answer.length)
        self._describe(head, whole=isinstance(answer, Whole))

    def _compare(self, lease: Lease, head: Head, answer: Part | Whole | PastEnd) -> None:
        same = same_version(self._validators, head)
        total = self.plan.total
        if isinstance(answer, PastEnd):
            if total is None and answer.total == lease.done:
                self.plan.set_total(lease.done)
                return
            if answer.total is not None and total is not None and answer.total != total:
                raise OtherVersion("its length has changed")
            raise Mismatch("the origin denies bytes that it has")
        length = answer.total if isinstance(answer, Part) else answer.length
        if length is not None and total is not None and length != total:
            raise OtherVersion("its length has changed")
        if not same:
            raise OtherVersion("its ETag or date has changed")
        if isinstance(answer, Whole):
            if self._conditional:
                self._conditional = False
                raise Mismatch("the origin does not understand If-Range")
            if lease.done == 0 and not self.plan.written and len(self._workers) == 1 and not answer.coding:
                self.plan.splitting = self.ranges = False
                return
            raise Mismatch("the origin sent the whole file where a part was asked for")
        if total is None and answer.total is not None:
            self._allocate(answer.total)
        if not self._begun:
            self._describe(head, whole=False)

    def _describe(self, head: Head, *, whole: bool) -> None:
        self._conditional = False
        self._name = suggested_name(head.get("content-disposition"), self._sources[0].given.last_segment)
        self._media_type = (head.get("content-type") or "").partition(";")[0].strip().lower()
        self._stated = digests.stated(head, whole=whole)

    def _allocate(self, total: int) -> None:
        self.check_size(total)
        self.part.allocate(total, reserve=self.order.reserve_bytes)
        self.plan.set_total(total)

    def check_size(self, size: int) -> None:
        if self.order.max_bytes is not None and size > self.order.max_bytes:
            raise TooLarge(f"The file is larger than the {self.order.max_bytes} bytes allowed.")

    def ended(self, lease: Lease, *, delimited: bool) -> None:
        """A stream of unknown length came to its end."""
        if not delimited:
            self._length_verified = False
            self.notes.append("The origin never said how long the file is; its length is not verified.")
        self.plan.finish_at(lease)

    def troubled(self, worker: Worker, lease: Lease, trouble: Exception) -> float:
        """What a failed exchange means: seconds to wait before the worker tries again.

        Raises:
            Retire: the others go on without it. Anything else ends the fetch, or this round of it.

        """
        with self._lock:
            alone = not any(one.streaming for one in self._workers if one is not worker)
            if isinstance(trouble, OtherVersion):
                if not worker.ask_afresh:
                    worker.ask_afresh = True
                    worker.source.forget_redirect()
                    return 0.0
                raise Restart(f"the file has changed at its origin ({trouble})", ranges=True)
            if isinstance(trouble, Mismatch):
                return self._mismatched(worker, lease, trouble, alone)
            if not alone and (isinstance(trouble, Declined) or worker.failures >= _MOST_FAILURES):
                self._most = max(1, sum(one.streaming for one in self._workers))
                self._gate.learn(worker.source.given.origin, limit=self._most)
                raise Retire
            return self._setback(worker, trouble)

    def _mismatched(self, worker: Worker, lease: Lease, trouble: Mismatch, alone: bool) -> float:
        worker.mismatches += 1
        if not self._begun and not self._resumed:
            if not self.ranges:
                raise ProtocolViolation(f"The origin's answer makes no sense: {trouble}.")
            self.ranges = self.plan.splitting = False
            return 0.0
        if worker.mismatches == 1:
            return 0.0
        self.plan.splitting = False
        if not alone:
            self.notes.append(f"Fetched with fewer connections: {trouble}.")
            raise Retire
        raise Restart(str(trouble), ranges=False)

    def _setback(self, worker: Worker, trouble: Exception) -> float:
        if isinstance(trouble, Declined):
            moved = worker.source.forget_redirect()
            if not trouble.temporary and not moved and (not self._begun or worker.failures > 3):
                raise Refused(_refusal(trouble.status), status=trouble.status)
        quiet = time.monotonic() - self._quiet_since
        wait = min(10.0, 0.25 * 2.0**worker.failures) * random.uniform(0.75, 1.25)
        if isinstance(trouble, Declined) and trouble.retry_after is not None:
            wait = trouble.retry_after
            self._gate.learn(worker.source.given.origin, wait=wait)
        if quiet + wait > self.order.timeouts.patience or worker.failures >= _MOST_FAILURES:
            raise _final(trouble)
        return wait


def _final(trouble: Exception) -> FetchError:
    if isinstance(trouble, Declined):
        return Busy(
            f"The origin answers {trouble.status} again and again. Try later, or with fewer connections.",
            status=trouble.status,
            retry_after=trouble.retry_after,
        )
    if isinstance(trouble, FetchError):
        return trouble
    reason = str(trouble) or type(trouble).__name__
    return Unreachable(f"The origin cannot be reached, or its connections keep breaking ({reason}).")


def _refusal(status: int) -> str:
    advice = {
        401: "It wants credentials: give an Authorization header.",
        403: "It does not allow this. The link may have expired or need credentials.",
        404: "There is no such file. Check the URL.",
        410: "The file is gone for good.",
        451: "It is withheld for legal reasons.",
    }
    return f"The origin answers {status}. {advice.get(status, 'Check the URL and the headers.')}"
