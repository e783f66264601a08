"""Names to addresses: one lookup, with a deadline, every answer checked."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from jobs.outbound.addresses import AddressPolicy, current_policy

SocketAddress = tuple[Any, ...]
Lookup = Callable[..., list[tuple[Any, ...]]]
DEADLINE = 8.0
_TICK = 0.2
# getaddrinfo cannot be interrupted. So many lookups may hang at once before new ones have to wait.
_LOOKUPS = threading.BoundedSemaphore(64)


def resolve(
    host: str,
    port: int,
    *,
    policy: AddressPolicy | None = None,
    lookup: Lookup = socket.getaddrinfo,
    deadline: float = DEADLINE,
    unwanted: Callable[[], bool] = lambda: False,
) -> list[SocketAddress]:
    """The addresses of ``host``, ready for connect(), in the system's order of preference.

    Whoever connects to them must not look the name up again: that is the hole this closes. ``unwanted`` is asked
    while the lookup takes long; once it says so, the lookup has not come in time.

    Raises:
        AddressDenied: if one single answer is denied. A name that leads both in and out is an attack, not a mistake.
        OSError: if the name does not resolve (socket.gaierror) or not in time (TimeoutError).

    """
    policy = policy or current_policy()
    found: list[SocketAddress] = []
    for _family, _type, _protocol, _name, address in _looked_up(lookup, host, port, deadline, unwanted):
        # The zone of a link-local address is no part of the address.
        policy.check(ip_address(str(address[0]).partition("%")[0]), port, host=host)
        if address not in found:
            found.append(address)
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
    return found


def _looked_up(
    lookup: Lookup, host: str, port: int, deadline: float, unwanted: Callable[[], bool]
) -> list[tuple[Any, ...]]:
    answer: list[list[tuple[Any, ...]]] = []
    trouble: list[BaseException] = []
    ready = threading.Event()

    def work() -> None:
        try:
            answer.append(lookup(host, port, 0, socket.SOCK_STREAM))
        except (OSError, UnicodeError) as failed:
            trouble.append(failed)
        finally:
            _LOOKUPS.release()
            ready.set()

    ends = time.monotonic() + deadline
    if not _until(lambda seconds: _LOOKUPS.acquire(timeout=seconds), ends, unwanted):
        raise TimeoutError("too many lookups are waiting for an answer")
    threading.Thread(target=work, name="lookup", daemon=True).start()
    if not _until(ready.wait, ends, unwanted):
        raise TimeoutError("the lookup took too long")
    if trouble:
        raise trouble[0] if isinstance(trouble[0], OSError) else socket.gaierror(socket.EAI_NONAME, "not a host name")
    return answer[0] if answer else []


def _until(wait: Callable[[float], bool], ends: float, unwanted: Callable[[], bool]) -> bool:
    """Wait, a moment at a time, until it has come, the time is over, or nobody wants it any more."""
    while not wait(max(0.0, min(_TICK, ends - time.monotonic()))):
        if unwanted() or time.monotonic() >= ends:
            return False
    return True
