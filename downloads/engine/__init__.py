"""The download engine: one file over HTTP/1.1, by several connections at once, into one part file.

It knows HTTP and files and nothing of jobs. ``fetch`` brings the bytes, ``publish`` gives them their name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from downloads.engine.checkpoint import Checkpoint
from downloads.engine.errors import (
    BadOrder,
    Busy,
    Cancelled,
    Changed,
    DigestMismatch,
    FetchError,
    Forbidden,
    NoSpace,
    ProtocolViolation,
    Refused,
    StorageFault,
    TooLarge,
    TooManyRedirects,
    Unreachable,
)
from downloads.engine.hosts import HostGate, LocalGate
from downloads.engine.naming import safe_name
from downloads.engine.order import Fetched, Order, Progress, Resolver, Segment, Timeouts
from downloads.engine.proxy import Proxy, parse_proxy
from downloads.engine.publish import discard, publish
from downloads.engine.small import read_small
from downloads.engine.transfer import Transfer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

__all__ = [
    "BadOrder",
    "Busy",
    "Cancelled",
    "Changed",
    "Checkpoint",
    "DigestMismatch",
    "FetchError",
    "Fetched",
    "Forbidden",
    "HostGate",
    "LocalGate",
    "NoSpace",
    "Order",
    "Progress",
    "ProtocolViolation",
    "Proxy",
    "Refused",
    "Resolver",
    "Segment",
    "StorageFault",
    "Timeouts",
    "TooLarge",
    "TooManyRedirects",
    "Unreachable",
    "discard",
    "fetch",
    "parse_proxy",
    "publish",
    "read_small",
    "safe_name",
]

_THIS_PROCESS = LocalGate()


def fetch(
    order: Order,
    part: Path,
    *,
    resume: Checkpoint | None = None,
    resolve: Resolver,
    progress: Callable[[Progress], None],
    save: Callable[[Checkpoint], None],
    cancelled: Callable[[], bool],
    gate: HostGate = _THIS_PROCESS,
    tls: ssl.SSLContext | None = None,
) -> Fetched:
    """Fetch ``order`` into the file ``part``, going on from ``resume`` if it is given and still true.

    The callables run in the caller's thread. ``progress`` is called about twice a second. ``save`` is called with
    what is safely on disk, every 2 s or 64 MiB and at the end; it may raise to end the fetch at once. ``cancelled``
    is asked several times a second. ``tls`` replaces the system's certificates.

    Raises:
        FetchError: one of its kinds; ``permanent`` says whether a new attempt can help. The part file stays.

    """
    return Transfer(
        order, part, resolve=resolve, gate=gate, tls=tls, progress=progress, save=save, cancelled=cancelled
    ).run(resume)
