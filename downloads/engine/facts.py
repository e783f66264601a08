"""What a fetch has learnt about its file, and whether a further answer agrees with it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from downloads.engine import digests
from downloads.engine.answer import (
    Mismatch,
    NotTheFile,
    OtherVersion,
    Part,
    PastEnd,
    Whole,
    same_version,
    validators,
)
from downloads.engine.body import UNPACKABLE
from downloads.engine.errors import ProtocolViolation, TooLarge
from downloads.engine.naming import suggested_name

if TYPE_CHECKING:
    from downloads.engine.checkpoint import Checkpoint
    from downloads.engine.head import Head
    from downloads.engine.order import Order
    from downloads.engine.partfile import PartFile
    from downloads.engine.plan import Lease, Plan
    from downloads.engine.source import Source

Answer = Part | Whole | PastEnd


class Facts:
    """One version of one file. Thread-safe.

    ``begun`` says that some answer was believed. ``ranges`` is whether parts are asked for at all.
    """

    def __init__(self, order: Order, plan: Plan, part: PartFile, notes: list[str], primary: Source) -> None:
        self.begun = False
        self.ranges = True
        self.notes = notes
        self.media_type = ""
        self.stated: dict[str, str] = {}
        self.length_verified = True
        self.name = suggested_name(None, primary.given.last_segment)
        self._order = order
        self._plan = plan
        self._part = part
        self._primary = primary
        self._conditional = False
        self._described = False
        self._open_end: int | None = None
        self._lock = threading.RLock()

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on with the version that an earlier attempt has begun."""
        self.begun = True
        self._conditional = True
        self.ranges = checkpoint.ranges
        self.name = checkpoint.name or self.name
        self.media_type = checkpoint.media_type
        self.stated = dict(checkpoint.stated)
        self._described = bool(checkpoint.name)
        self._primary.validators = checkpoint.validators

    def request_headers(self, start: int | None, end: int | None, *, afresh: bool) -> dict[str, str]:
        """Which bytes are wanted, and of which version. Parallel requests carry no condition: too many origins, whose
        servers each have an ETag of their own, answer it with the whole file.
        """
        headers: dict[str, str] = {}
        if start is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
            pinned = self._primary.validators
            condition = pinned and (pinned.etag or pinned.last_modified)
            if self._conditional and condition:
                headers["If-Range"] = condition
        if afresh:
            headers["Cache-Control"] = "no-cache"
        return headers

    def accept(self, source: Source, lease: Lease, head: Head, answer: Answer) -> None:
        """Learn from the first answer; hold every other one against what was learnt.

        Raises:
            Verdict, Restart, TooLarge, NoSpace, ProtocolViolation: whatever keeps the answer from being used.

        """
        with self._lock:
            if self.begun:
                self._compare(source, lease, head, answer)
            else:
                self._begin(answer)
            if source.validators is None:
                source.validators = validators(head)
            if not self._described:
                self._describe(head, whole=isinstance(answer, Whole))
            self.begun, self._conditional = True, False

    def check_size(self, size: int) -> None:
        """Raises TooLarge if the order does not allow a file of ``size`` bytes."""
        if self._order.max_bytes is not None and size > self._order.max_bytes:
            raise TooLarge(f"The file is larger than the {self._order.max_bytes} bytes allowed.")

    def ended(self, lease: Lease, *, delimited: bool) -> None:
        """A stream of unknown length came to its end."""
        if not delimited:
            self.length_verified = False
            self.notes.append("The origin never said how long the file is; its length is not verified.")
        self._plan.finish_at(lease)

    def no_ranges(self) -> None:
        """From now on the whole file is asked for."""
        self.ranges = self._plan.splitting = False

    def _begin(self, answer: Answer) -> None:
        if isinstance(answer, PastEnd):
            if answer.total != 0:
                raise Mismatch("the first byte is said to be past the end")
            self._plan.set_total(0)
        elif isinstance(answer, Part):
            if answer.total is None:
                self._open_end = answer.end
                raise Mismatch("the part does not say how long the file is")
            self._allocate(answer.total)
        else:
            self._begin_whole(answer)

    def _begin_whole(self, answer: Whole) -> None:
        # A part up to an unnamed total, and now a whole that ends where it did: ranges work, they only say too little.
        self.ranges = self._plan.splitting = (
            answer.coding is None and answer.length is not None and answer.length == self._open_end
        )
        if answer.coding in UNPACKABLE:
            self.notes.append(f"The origin compressed the file ({answer.coding}); it was unpacked.")
        elif answer.coding:
            raise ProtocolViolation(f"The origin insists on compressing the file ({answer.coding}), which is not read.")
        elif answer.length is not None:
            self._allocate(answer.length)

    def _compare(self, source: Source, lease: Lease, head: Head, answer: Answer) -> None:
        total = self._plan.total
        if isinstance(answer, PastEnd):
            self._compare_end(lease, answer)
            return
        pinned = source.validators
        same = pinned is None or same_version(pinned, head)
        length = answer.total if isinstance(answer, Part) else answer.length
        if isinstance(answer, Whole):
            self._compare_whole(lease, head, answer, same=same and (total is None or length in (None, total)))
        elif not same or (length is not None and total is not None and length != total):
            raise OtherVersion("its ETag, date or length is another")
        elif total is None and length is not None:
            self._allocate(length)

    def _compare_end(self, lease: Lease, answer: PastEnd) -> None:
        total = self._plan.total
        if total is None and answer.total == lease.done:
            self._plan.set_total(lease.done)
        elif total is not None and answer.total not in (None, total):
            raise OtherVersion("its length is another")
        else:
            raise Mismatch("the origin denies having bytes of its own file")

    def _compare_whole(self, lease: Lease, head: Head, answer: Whole, *, same: bool) -> None:
        if self.media_type and self._media_type(head) != self.media_type:
            raise NotTheFile("something else was sent in place of the file")
        if self._conditional:
            self._conditional = False
            if same:
                raise Mismatch("the origin does not understand If-Range")
            raise OtherVersion("its ETag, date or length is another")
        if not same:
            raise OtherVersion("its ETag, date or length is another")
        if lease.done or self._plan.written:
            raise Mismatch("the whole file was sent where a part was asked for")
        if answer.coding is None and len(self._plan.leases) == 1:
            self.no_ranges()
            return
        raise Mismatch("the whole file was sent where a part was asked for")

    def _describe(self, head: Head, *, whole: bool) -> None:
        self._described = True
        self.name = suggested_name(head.get("content-disposition"), self._primary.given.last_segment)
        self.media_type = self._media_type(head)
        # A digest of the packed form says nothing about the file.
        packed = any(word != "identity" for word in head.tokens("content-encoding"))
        self.stated = {} if packed else digests.stated(head, whole=whole)

    def _allocate(self, total: int) -> None:
        self.check_size(total)
        self._part.allocate(total, reserve=self._order.reserve_bytes)
        self._plan.set_total(total)

    @staticmethod
    def _media_type(head: Head) -> str:
        return (head.get("content-type") or "").partition(";")[0].strip().lower()
