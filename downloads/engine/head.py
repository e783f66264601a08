"""Reading the head of an HTTP/1.x answer: strict where laxity costs bytes, lax where servers merely are untidy.

Pure functions over bytes, so they can be fuzzed. Odd spacing, missing reasons, folded lines and bare line feeds are
read; anything that makes the length of the body a matter of opinion is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from downloads.engine.errors import ProtocolViolation

LARGEST = 64 * 1024
MOST_FIELDS = 256
_STATUS_LINE = re.compile(rb"HTTP/1\.([01])[ \t]+([1-9][0-9][0-9])(?:[ \t]+(.*))?", re.DOTALL)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTENT_RANGE = re.compile(r"bytes[ =\t]+(?:([0-9]{1,19})-([0-9]{1,19})|\*)/([0-9]{1,19}|\*)", re.IGNORECASE)
_LARGEST_LENGTH = 2**63 - 1


@dataclass(frozen=True)
class Head:
    """Status and fields of one answer. Names are lower case, values are Latin-1 text."""

    status: int
    minor: int
    fields: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]

    def get(self, name: str) -> str | None:
        """The value of a field that ought to appear once; the first, if it appears more often."""
        return next((value for key, value in self.fields if key == name), None)

    def tokens(self, name: str) -> list[str]:
        """A comma-separated field as lower-case words."""
        return [word for value in self.all(name) for part in value.split(",") if (word := part.strip().lower())]

    @property
    def keeps_alive(self) -> bool:
        words = self.tokens("connection")
        return "close" not in words and (self.minor == 1 or "keep-alive" in words)

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks.

        Raises:
            ProtocolViolation: for any other transfer coding, which nobody asked for.

        """
        codings = [word for word in self.tokens("transfer-encoding") if word != "identity"]
        if codings not in ([], ["chunked"]):
            raise ProtocolViolation("The origin sends the file in a coding that was not asked for.")
        return bool(codings)


@dataclass(frozen=True)
class ContentRange:
    """``bytes start-(end-1)/total``; ``start`` is None for ``bytes */total``."""

    start: int | None
    end: int | None
    total: int | None


def parse_head(raw: bytes) -> Head:
    """Read everything up to, and without, the empty line.

    Raises:
        ProtocolViolation: if it is not an HTTP/1.x head.

    """
    lines = raw.replace(b"\r\n", b"\n").split(b"\n")
    match = _STATUS_LINE.fullmatch(lines[0])
    if not match:
        raise ProtocolViolation("The origin does not answer in HTTP/1.1.")
    fields: list[tuple[str, bytes]] = []
    for line in lines[1:]:
        if line[:1] in (b" ", b"\t"):
            if not fields:
                raise ProtocolViolation("The origin's answer starts with a folded header line.")
            name, value = fields[-1]
            fields[-1] = (name, value + b" " + line.strip())
            continue
        key, colon, value = line.partition(b":")
        key = key.rstrip(b" \t")
        if not colon or not _NAME.fullmatch(key):
            raise ProtocolViolation("The origin's answer has a header line that is not one.")
        if len(fields) >= MOST_FIELDS:
            raise ProtocolViolation(f"The origin's answer has more than {MOST_FIELDS} header lines.")
        fields.append((key.decode("ascii").lower(), value.strip(b" \t\r")))
    if any(b"\0" in value or b"\r" in value for _, value in fields):
        raise ProtocolViolation("The origin's answer has control characters in a header line.")
    decoded = tuple((name, value.decode("latin-1")) for name, value in fields)
    return Head(status=int(match[2]), minor=int(match[1]), fields=decoded)


def content_length(head: Head) -> int | None:
    """The announced length in bytes, or None if there is none.

    Raises:
        ProtocolViolation: for two lengths, a negative one, a list, or one beyond 2**63.

    """
    values = head.all("content-length")
    if not values:
        return None
    if len(values) > 1 or not re.fullmatch(r"[0-9]{1,20}", values[0]) or int(values[0]) > _LARGEST_LENGTH:
        raise ProtocolViolation("The origin announces a length that cannot be believed.")
    return int(values[0])


def content_range(head: Head) -> ContentRange | None:
    """What the origin says it sends; None if it does not say, or says nonsense."""
    values = head.all("content-range")
    match = _CONTENT_RANGE.fullmatch(values[0].strip()) if len(values) == 1 else None
    if match is None:
        return None
    total = None if match[3] == "*" else int(match[3])
    if match[1] is None:
        return ContentRange(None, None, total)
    start, end = int(match[1]), int(match[2]) + 1
    if end <= start or (total is not None and end > total) or end > _LARGEST_LENGTH:
        return None
    return ContentRange(start, end, total)
