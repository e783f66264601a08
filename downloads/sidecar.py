"""The digest of a file that its origin keeps in a file beside it, as `sha256sum` writes it."""

from __future__ import annotations

import re

from downloads import engine
from downloads.engine.url import parse
from jobs import outbound
from jobs.kinds import GiveUp, TryLater

_MOST_BYTES = 1024 * 1024
_SECONDS = 60.0
_LINE = re.compile(r"\\?([0-9a-fA-F]{64})(?:[ \t]+\*?(.*))?")
_BSD_LINE = re.compile(r"SHA256 \((.*)\) = ([0-9a-fA-F]{64})")


def sha256(sidecar: str, order: engine.Order) -> str:
    """The digest of the file that is ordered, out of the one at the URL `sidecar`, in lower-case hex.

    It is fetched the same way as the file; the order's headers go to the origin of the file and to no other.
    Raises GiveUp, TryLater.
    """
    at, file = parse(sidecar), parse(order.urls[0])
    headers = order.headers if at.origin == file.origin else {}
    asked = engine.Order(urls=(sidecar,), headers=headers, proxy=order.proxy)
    try:
        text = engine.read_small(asked, resolve=outbound.resolve, most=_MOST_BYTES, seconds=_SECONDS)
    except engine.FetchError as error:
        reason = f"The digest at {at} cannot be had: {error} Check sha256_url."
        raise GiveUp(reason) if error.permanent else TryLater(error.retry_after or 10, reason) from error
    found = find(text.decode("utf-8", "replace"), file.last_segment)
    if found is None:
        raise GiveUp(f"There is no digest of this file at {at}. Check sha256_url.")
    return found


def find(text: str, name: str) -> str | None:
    """The digest of the file of that name; of whatever file, where the text names only one digest."""
    named: dict[str, str] = {}
    for line in text.splitlines():
        if match := _LINE.fullmatch(line.strip()):
            named[(match[2] or "").strip().rpartition("/")[2]] = match[1].lower()
        elif match := _BSD_LINE.fullmatch(line.strip()):
            named[match[1].rpartition("/")[2]] = match[2].lower()
    if len(named) == 1:
        return next(iter(named.values()))
    return named.get(name)
