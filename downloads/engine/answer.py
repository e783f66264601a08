"""What an answer means for the request it answers. Nothing is believed that was not asked for.

Pure: heads in, verdicts out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from downloads.engine.checkpoint import Validators
from downloads.engine.head import Head, content_length, content_range

_REDIRECTS = (301, 302, 303, 307, 308)
LONGEST_WAIT = 24 * 3600.0


class Verdict(Exception):
    """An answer that is not a piece of the file."""


class Mismatch(Verdict):
    """The answer is not what was asked for: the origin cannot be trusted with ranges."""


class OtherVersion(Verdict):
    """The answer belongs to another version of the file."""


class NotTheFile(Verdict):
    """The answer is a page that stands in place of the file, as expired links give."""


class Declined(Verdict):
    """The origin says no, or not now."""

    def __init__(self, status: int, retry_after: float | None) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.retry_after = retry_after

    @property
    def temporary(self) -> bool:
        return self.status in (408, 421, 425, 429) or self.status >= 500


@dataclass(frozen=True)
class Part:
    """206: [start, end) of a file of ``total`` bytes (None: not said)."""

    start: int
    end: int
    total: int | None


@dataclass(frozen=True)
class Whole:
    """200: the file from its first byte on; ``coding`` is how it is compressed against our wish."""

    length: int | None
    coding: str | None


@dataclass(frozen=True)
class PastEnd:
    """416: there is nothing at that offset; the file has ``total`` bytes (None: not said)."""

    total: int | None


def redirect_target(head: Head) -> str | None:
    return head.get("location") if head.status in _REDIRECTS else None


def judge(head: Head, *, start: int | None) -> Part | Whole | PastEnd:
    """Read an answer to a request for the bytes from ``start`` on (None: no range was asked for).

    Raises:
        Mismatch, Declined: see there.
        ProtocolViolation: if the length of the body cannot be known for sure.

    """
    if head.status == 206:
        if start is None:
            raise Mismatch("a part was sent where the whole was asked for")
        return _part(head, start)
    if head.status == 200:
        coding = [word for word in head.tokens("content-encoding") if word != "identity"]
        return Whole(content_length(head), ", ".join(coding) or None)
    if head.status == 416 and start is not None:
        said = content_range(head)
        return PastEnd(said.total if said else None)
    if head.status < 400:
        raise Mismatch(f"the answer {head.status} makes no sense here")
    raise Declined(head.status, retry_after(head))


def _part(head: Head, start: int) -> Part:
    if (head.get("content-type") or "").lower().startswith("multipart/byteranges"):
        raise Mismatch("several ranges were sent where one was asked for")
    if [word for word in head.tokens("content-encoding") if word != "identity"]:
        raise Mismatch("a part of a compressed form was sent")
    said = content_range(head)
    if said is None or said.start is None or said.end is None:
        raise Mismatch("the part does not say where it belongs")
    if said.start != start:
        raise Mismatch("the part belongs elsewhere")
    return Part(said.start, said.end, said.total)


def validators(head: Head) -> Validators:
    """What identifies the version. A weak ETag promises nothing about bytes and is left out."""
    etag = (head.get("etag") or "").strip()
    strong = etag if len(etag) >= 2 and etag.startswith('"') and etag.endswith('"') else None
    return Validators(strong, head.get("last-modified"))


def same_version(pinned: Validators, head: Head) -> bool:
    """Whether an answer belongs to the pinned version, as far as its validators can tell.

    ETags that differ while an old Last-Modified agrees are two servers behind one name, not two files. A
    Last-Modified of the last minute proves nothing: the file may have changed twice in one second.
    """
    seen = validators(head)
    if pinned.etag and pinned.etag == seen.etag:
        return True
    if pinned.last_modified and seen.last_modified:
        if pinned.last_modified != seen.last_modified:
            return False
        return not (pinned.etag and seen.etag) or _settled(seen.last_modified, head.get("date"))
    return not (pinned.etag and seen.etag)


def _settled(last_modified: str, date: str | None) -> bool:
    modified, now = _date(last_modified), _date(date or "") or datetime.now(UTC)
    return modified is not None and (now - modified).total_seconds() >= 60


def retry_after(head: Head) -> float | None:
    """Seconds the origin asks us to wait, at most a day."""
    value = (head.get("retry-after") or "").strip()
    if value.isdigit() and len(value) < 12:
        return min(float(value), LONGEST_WAIT)
    moment = _date(value)
    if moment is None:
        return None
    now = _date(head.get("date") or "") or datetime.now(UTC)
    return min(max(0.0, (moment - now).total_seconds()), LONGEST_WAIT)


def _date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
