"""What the caller asks for and what comes back. Plain values, no behaviour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from downloads.engine.proxy import Proxy

# What connect() takes: (address, port) or the four-tuple of IPv6, exactly as the resolver checked it.
SocketAddress = tuple[Any, ...]
Resolver = Callable[[str, int], Sequence[SocketAddress]]
"""host, port -> addresses that may be connected to, best first.

Raises PermissionError where the address is not to be reached, OSError (gaierror, TimeoutError) where it is not found.
"""


@dataclass(frozen=True)
class Timeouts:
    """Seconds. Every phase of an exchange has one."""

    connect: float = 15.0
    next_address: float = 0.3
    head: float = 30.0
    stall: float = 20.0
    patience: float = 60.0
    """How long one fetch goes on without a single new byte before it gives up."""


@dataclass(frozen=True)
class Order:
    """What to fetch.

    ``headers`` go to the origin of the first URL and to no other: not to mirrors elsewhere, not along redirects.
    ``digests`` maps an algorithm
    (``md5``, ``sha1``, ``sha256``, ``sha384``, ``sha512``) to the expected hex. ``rate_limit`` is asked again and
    again while the fetch runs; it returns bytes per second, or None for no limit.
    """

    urls: tuple[str, ...]
    connections: int = 4
    headers: Mapping[str, str] = field(default_factory=dict)
    sha256: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    max_bytes: int | None = None
    want_sha256: bool = False
    rate_limit: Callable[[], float | None] | None = None
    reserve_bytes: int = 0
    timeouts: Timeouts = Timeouts()
    proxy: Proxy | None = None


@dataclass(frozen=True)
class Segment:
    """One running connection: the bytes [start, end) it was given, how far it is, and its rate in bytes a second."""

    start: int
    end: int | None
    done: int
    bytes_per_second: float


@dataclass(frozen=True)
class Progress:
    """How far the fetch is. ``eta`` is seconds, None while unknown."""

    bytes_done: int
    total: int | None
    bytes_per_second: float
    eta: float | None
    segments: tuple[Segment, ...]
    connections: int


@dataclass(frozen=True)
class Fetched:
    """A complete part file, checked as far as it could be, ready to be published.

    ``digest_verified``: some digest was expected or stated, and the file has it. ``length_verified`` is False when the
    origin never said how long the file is. ``bytes_fetched`` counts everything received in this call, repeats
    included. ``notes`` say in words where the engine had to do less than it would.
    """

    size: int
    sha256: str | None
    digest_verified: bool
    length_verified: bool
    name: str
    media_type: str
    final_url: str
    bytes_fetched: int
    notes: tuple[str, ...] = ()
