"""One fetch, from the caller's thread: starts the parts, watches them, and ends in a file or an error."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from downloads.engine import digests
from downloads.engine.answer import Part, Verdict, judge, same_version
from downloads.engine.checkpoint import Checkpoint, Validators
from downloads.engine.crew import Crew
from downloads.engine.errors import (
    Cancelled,
    Changed,
    DigestMismatch,
    FetchError,
    ProtocolViolation,
    Unreachable,
    storage_error,
)
from downloads.engine.facts import Facts
from downloads.engine.keeper import Keeper
from downloads.engine.order import Fetched, Progress, Segment
from downloads.engine.partfile import PartFile
from downloads.engine.plan import Plan
from downloads.engine.recovery import recover
from downloads.engine.restart import Restart
from downloads.engine.seams import Seams
from downloads.engine.setbacks import Setbacks
from downloads.engine.source import sources
from downloads.engine.throttle import Throttle
from downloads.engine.tls import the_systems

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from downloads.engine.connection import Connection
    from downloads.engine.hosts import HostGate
    from downloads.engine.order import Order, Resolver

_TICK = 0.05
_POLL_EVERY = 0.25
_REPORT_EVERY = 0.5
_MOST_RESTARTS = 3
_MOST_PROOFS = 4


class Transfer:
    """What the connections of one fetch share. A round is an attempt at one version of the file."""

    plan: Plan
    part: PartFile
    facts: Facts
    seams: Seams
    keeper: Keeper
    crew: Crew
    setbacks: Setbacks

    def __init__(
        self,
        order: Order,
        path: Path,
        *,
        resolve: Resolver,
        gate: HostGate,
        tls: ssl.SSLContext | None,
        progress: Callable[[Progress], None],
        save: Callable[[Checkpoint], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self.notes: list[str] = []
        self.throttle = Throttle(order.rate_limit)
        self._order = order
        self._path = path
        self._gate = gate
        self._progress = progress
        self._save = save
        self._cancelled = cancelled
        self._wanted = digests.expected(order)
        self._sources = sources(order, resolve=resolve, tls=tls or the_systems())
        self._failure: BaseException | None = None
        self._received = 0
        self._reported_at = self._polled_at = time.monotonic()

    def run(self, resume: Checkpoint | None) -> Fetched:
        """Fetch the file, starting again as often as it is sensible."""
        for number in range(_MOST_RESTARTS + 1):
            self._prepare(resume)
            try:
                self._round()
                return self._complete(last=number > 0)
            except Restart as restart:
                if number == _MOST_RESTARTS:
                    raise Changed(f"No whole file could be had in one version: {restart}. Try again later.") from None
                # A file that seems to change all the time may only have ETags that do: one answer is one version.
                resume = self._put_aside(restart, ranges=restart.ranges and not number)
            finally:
                self.crew.stop()
                self._received += self.crew.received
                self.keeper.close()
                if not self.crew.members:
                    self.part.close()
        raise AssertionError("the loop above returns or raises")

    def fail(self, trouble: BaseException) -> None:
        """End the round. Called by the connections."""
        self._failure = self._failure or trouble
        self.plan.wake()

    def _prepare(self, resume: Checkpoint | None) -> None:
        self.part = PartFile(self._path)
        try:
            checkpoint = resume and recover(resume, self._path, self.part, self._poll)
        except FetchError:
            self.part.close()
            raise
        primary = self._sources[0]
        self.plan = Plan(checkpoint)
        self.facts = Facts(self._order, self.plan, self.part, self.notes, primary)
        self.keeper = Keeper(self._path, self.part, describe=self._checkpoint, save=self._save)
        self.seams = Seams(self.plan, self.part, self.keeper, checkpoint.compared if checkpoint else 0)
        self.crew = Crew(self, self._sources, self._gate, most=self._order.connections)
        self.setbacks = Setbacks(self.plan, self.facts, self.crew, patience=self._order.timeouts.patience)
        for source in self._sources:
            source.validators = None
        if checkpoint and checkpoint.pieces:
            self.facts.resume(checkpoint)
        else:
            self.keeper.forget()
            if checkpoint and not checkpoint.ranges:
                self.facts.no_ranges()
        self._failure = None

    def _round(self) -> None:
        try:
            while not self.plan.complete:
                if self._failure is not None:
                    raise self._failure
                self._poll()
                self.crew.tick()
                if self.facts.begun:
                    self.keeper.tick(self.plan.written)
                self._report()
                with self.plan.changed:
                    if not self.plan.complete and self._failure is None:
                        self.plan.changed.wait(_TICK)
            self.crew.stop()
            # A connection may have found the file to be wrong while another wrote its last bytes.
            if isinstance(self._failure, Restart):
                raise self._failure
        except FetchError:
            self.crew.stop()
            self.keeper.now(self.plan.written)
            raise

    def _poll(self) -> None:
        now = time.monotonic()
        if now - self._polled_at >= _POLL_EVERY:
            self._polled_at = now
            if self._cancelled():
                raise Cancelled("The fetch was stopped as asked.")

    def _report(self) -> None:
        now = time.monotonic()
        if now - self._reported_at >= _REPORT_EVERY:
            self._reported_at = now
            self._progress(self._state())

    def _state(self) -> Progress:
        total, done, rate = self.plan.total, self.plan.written, self.plan.meter.rate()
        with self.crew.lock:
            leases = [worker.lease for worker in self.crew.members if worker.lease]
        return Progress(
            bytes_done=done,
            total=total,
            bytes_per_second=rate,
            eta=(total - done) / rate if total is not None and rate > 0 else None,
            segments=tuple(Segment(one.start, one.end, one.done - one.start, one.meter.rate()) for one in leases),
            connections=len(leases),
        )

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            total=self.plan.total,
            pieces=self.plan.pieces(),
            validators=self._sources[0].validators or Validators(),
            name=self.facts.name,
            media_type=self.facts.media_type,
            stated=self.facts.stated,
            compared=self.seams.compared,
            ranges=self.facts.ranges,
        )

    def _put_aside(self, restart: Restart, *, ranges: bool) -> Checkpoint:
        self.crew.stop()
        # Saving proves that the caller still owns the download, before anything is moved.
        self.keeper.now(self.plan.written)
        self.notes.append(f"Started again: {restart}.")
        if self.plan.written and restart.keep:
            try:
                self._path.replace(self._path.with_name(f"{self._path.name}.old"))
            except OSError as fault:
                raise storage_error(fault) from fault
        return Checkpoint(ranges=ranges)

    def _prove_cuts(self) -> None:
        """No digest will tell, and no two answers met by chance: ask once more for bytes that are known."""
        source = self._sources[0]
        for number in range(_MOST_PROOFS):
            known = self.seams.unproven()
            if known is None:
                return
            self._poll()
            time.sleep(0.1 * number)
            connection: Connection | None = None
            try:
                # A stale cache on the way may send another version: those bytes prove nothing.
                headers = self.facts.request_headers(*known, afresh=number > 0)
                connection, head = source.exchange(None, headers, lambda _: None)
                same = source.validators is None or same_version(source.validators, head)
                if same and isinstance(judge(head, start=known[0]), Part):
                    self.seams.compare(connection.body(head), known[0], known[1] - known[0])
            except (OSError, Verdict, ProtocolViolation, Unreachable):
                continue
            finally:
                if connection is not None:
                    connection.close()
        # Links that serve a few requests only are common; they are not worth failing for what most likely is right.
        self.notes.append("The origin would not send some bytes again, so nothing proves that its parts fit together.")

    def _complete(self, *, last: bool) -> Fetched:
        size = self.plan.total or 0
        self.part.truncate(size)
        self.keeper.now(size, self._poll)
        wanted = {**self.facts.stated, **self._wanted}
        if not wanted:
            self._prove_cuts()
        also = frozenset({"sha256"}) if self._order.want_sha256 else frozenset[str]()
        try:
            taken = digests.check(self.part, size, wanted, also=also, alive=self._poll)
        except DigestMismatch as wrong:
            if last:
                raise
            raise Restart(str(wrong), ranges=False, keep=True) from wrong
        self._progress(self._state())
        return Fetched(
            size=size,
            sha256=taken.get("sha256"),
            digest_verified=bool(wanted),
            length_verified=self.facts.length_verified,
            name=self.facts.name,
            media_type=self.facts.media_type,
            final_url=self._sources[0].current.shown,
            bytes_fetched=self._received + self.crew.received,
            notes=tuple(self.notes),
        )
