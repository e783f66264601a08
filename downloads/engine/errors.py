"""Why a fetch ended without a file, in words for the person who ordered it.

Every error says what happened and what to do. ``permanent`` tells the caller whether trying the same order again can
help; ``retry_after`` (seconds) is set where the origin named a time. No message carries a query string, a header or
an address: they may hold secrets.
"""

from __future__ import annotations

import errno


class FetchError(Exception):
    """The order was not fulfilled. Bytes that are safely on disk stay there, and the last checkpoint describes them."""

    permanent = False

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Cancelled(FetchError):
    """The caller asked to stop. A last checkpoint has been saved."""


class BadOrder(FetchError):
    """The order cannot be fetched by anyone: its URL is not http(s), or malformed, or it contradicts itself."""

    permanent = True


class Forbidden(FetchError):
    """The resolver refused the address: it is not one this installation may reach."""

    permanent = True


class Refused(FetchError):
    """The origin understood and said no (4xx)."""

    permanent = True

    def __init__(self, message: str, *, status: int, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.status = status


class Busy(FetchError):
    """The origin asks us to come back later (429, 5xx) and kept asking longer than we wait inside one attempt."""

    def __init__(self, message: str, *, status: int, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.status = status


class Unreachable(FetchError):
    """No name, no connection, or connections that kept breaking without one new byte."""


class ProtocolViolation(FetchError):
    """The origin's answers break HTTP in a way that leaves no right file to be had."""


class TooManyRedirects(FetchError):
    """The redirects do not end."""

    permanent = True


class TooLarge(FetchError):
    """The file, or what it unpacks to, is larger than allowed."""

    permanent = True


class Changed(FetchError):
    """The file kept changing on the origin while it was fetched."""


class DigestMismatch(FetchError):
    """The bytes are not those the digest promises. The part file is kept for inspection."""

    permanent = True


class NoSpace(FetchError):
    """The disk is full. What is there is kept; the order can be resumed when there is room.

    ``needed``: the bytes that must be free for that, where it is known.
    """

    def __init__(self, message: str, *, needed: int | None = None) -> None:
        super().__init__(message)
        self.needed = needed


class StorageFault(FetchError):
    """The disk refuses to take the bytes for a reason that waiting does not mend."""

    permanent = True


def storage_error(fault: OSError) -> FetchError:
    """A failed write in the words of this engine."""
    reason = fault.strerror or "unknown fault"
    if fault.errno == errno.ENOSPC:
        return NoSpace(f"The disk took no more bytes ({reason}).")
    return StorageFault(f"The disk refuses the file: {reason}. Check the download directory.")
