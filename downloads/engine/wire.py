"""Beneath HTTP: names to addresses, addresses to connected sockets, and bytes up to the end of a head."""

from __future__ import annotations

import select
import socket
import time
from typing import TYPE_CHECKING, Protocol

from downloads.engine.errors import Forbidden, ProtocolViolation, Unreachable
from downloads.engine.head import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from downloads.engine.order import Resolver, SocketAddress, Timeouts

_MOST_ADDRESSES = 6
_HEAD_BLOCK = 16 * 1024


class Stream(Protocol):
    """Bytes in both directions: a socket, or TLS over one."""

    def recv_into(self, view: memoryview, /) -> int: ...

    def sendall(self, data: bytes, /) -> None: ...

    def settimeout(self, seconds: float, /) -> None: ...


def receive_head(held: bytearray, stream: Stream, deadline: float) -> bytes:
    """Everything up to the empty line, which goes too. What has come beyond it is left in ``held``.

    ``deadline`` is by the monotonic clock.

    Raises:
        OSError: if the connection breaks or the deadline passes.
        ProtocolViolation: if the head does not end.

    """
    block = memoryview(bytearray(_HEAD_BLOCK))
    searched = 0
    while True:
        end, width = _end_of_head(held, searched)
        if end >= 0:
            head = bytes(held[:end])
            del held[: end + width]
            return head
        if len(held) > LARGEST:
            raise ProtocolViolation(f"The origin's header is larger than {LARGEST // 1024} KiB.")
        searched = max(0, len(held) - 3)
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer's header did not come in time")
        stream.settimeout(left)
        received = stream.recv_into(block)
        if not received:
            raise ConnectionResetError("the connection was closed before an answer")
        held += block[:received]


def _end_of_head(held: bytearray, start: int) -> tuple[int, int]:
    """Where the empty line is and how long it is; bare line feeds count."""
    strict, lax = held.find(b"\r\n\r\n", start), held.find(b"\n\n", start)
    mixed = held.find(b"\n\r\n", start)
    found = [(at, width) for at, width in ((strict, 4), (lax, 2), (mixed, 3)) if at >= 0]
    return min(found, default=(-1, 0))


def looked_up(resolve: Resolver, host: str, port: int) -> Sequence[SocketAddress]:
    """The addresses of ``host`` that may be connected to, best first; at least one.

    Raises:
        Forbidden: if the resolver says no.
        Unreachable: if there is no such name.

    """
    try:
        addresses = resolve(host, port)
    except PermissionError as denied:
        raise Forbidden(str(denied) or "This address may not be reached from here.") from denied
    except OSError as unknown:
        raise Unreachable(f"The host name {host} cannot be resolved.") from unknown
    if not addresses:
        raise Unreachable(f"The host name {host} cannot be resolved.")
    return addresses[:_MOST_ADDRESSES]


def dial(addresses: Sequence[SocketAddress], timeouts: Timeouts, aborted: Callable[[], bool]) -> socket.socket:
    """Connect to the first address that answers, starting a further attempt whenever the last one is slow.

    The addresses are connected to as they are: nothing is looked up here.

    Raises:
        OSError: if none answers in time.

    """
    waiting = list(addresses)
    pending: list[socket.socket] = []
    deadline = time.monotonic() + timeouts.connect
    failure: OSError = TimeoutError("no connection in time")
    poller = select.poll()
    try:
        while (waiting or pending) and time.monotonic() < deadline and not aborted():
            if waiting:
                try:
                    fresh = _start(waiting.pop(0))
                except OSError as refused:
                    failure = refused
                    continue
                pending.append(fresh)
                poller.register(fresh, select.POLLOUT)
            patience = timeouts.next_address if waiting else min(0.5, deadline - time.monotonic())
            for number, _ in poller.poll(max(0.0, patience) * 1000):
                ready = next(one for one in pending if one.fileno() == number)
                poller.unregister(ready)
                pending.remove(ready)
                code = ready.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code == 0:
                    return ready
                ready.close()
                failure = OSError(code, "connection refused or unreachable")
        raise failure
    finally:
        for one in pending:
            one.close()


def _start(address: SocketAddress) -> socket.socket:
    family = socket.AF_INET6 if len(address) == 4 else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM)
    one.setblocking(False)
    try:
        one.connect(address)
    except BlockingIOError:
        pass
    except BaseException:
        one.close()
        raise
    return one
