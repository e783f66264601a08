"""One connection to one origin, with a deadline on every phase.

The body is read straight into the caller's buffer. Any thread may end any phase by ``abort``.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from typing import TYPE_CHECKING

from downloads.engine.body import Body
from downloads.engine.errors import Forbidden, ProtocolViolation, Unreachable
from downloads.engine.head import LARGEST, Head, parse_head
from downloads.engine.tls import TlsStream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from downloads.engine.order import Resolver, SocketAddress, Timeouts
    from downloads.engine.url import Location

_DEFAULTS = {"User-Agent": "Haulway", "Accept": "*/*", "Accept-Encoding": "identity"}
_MOST_INTERIM = 8
_MOST_ADDRESSES = 6
_HEAD_BLOCK = 16 * 1024


class Connection:
    """A socket that speaks HTTP/1.1 to ``location.origin``. Not shared between threads, apart from ``abort``."""

    def __init__(self, location: Location, *, resolve: Resolver, timeouts: Timeouts, tls: ssl.SSLContext) -> None:
        self.origin = location.origin
        self._location = location
        self._resolve = resolve
        self._timeouts = timeouts
        self._tls = tls
        self._aborted = False
        self._held = bytearray()
        self._socket: socket.socket | None = None
        self._stream: socket.socket | TlsStream | None = None

    def open(self) -> None:
        """Resolve, connect, and for https prove the origin's name.

        Raises:
            Forbidden: if the resolver says no.
            Unreachable: if there is no such name, or the certificate is wrong.
            OSError: if nothing answers.

        """
        addresses = _addresses(self._resolve, self._location)
        self._socket = dial(addresses, self._timeouts, lambda: self._aborted)
        if self._aborted:
            raise ConnectionAbortedError("aborted while connecting")
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = self._secured(self._socket) if self._location.scheme == "https" else self._socket

    def ask(self, location: Location, headers: Mapping[str, str]) -> Head:
        """Send one GET and read the head of its answer, passing over interim (1xx) answers.

        Raises:
            OSError: if the connection breaks or a deadline passes.
            ProtocolViolation: if what comes back is not HTTP.

        """
        given = {name.lower() for name in headers}
        defaults = {name: value for name, value in _DEFAULTS.items() if name.lower() not in given}
        fields = {"Host": location.authority, **defaults, **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        deadline = time.monotonic() + self._timeouts.head
        raw, stream = self._connected()
        raw.settimeout(self._timeouts.head)
        stream.sendall(f"GET {location.target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
        for _ in range(_MOST_INTERIM):
            head = parse_head(self._read_head(raw, stream, deadline))
            if head.status >= 200:
                raw.settimeout(self._timeouts.stall)
                return head
            if head.status == 101:
                break
        raise ProtocolViolation("The origin sends interim answers and never the real one.")

    def body(self, head: Head) -> Body:
        """The body that follows ``head``."""
        _, stream = self._connected()
        return Body(head, self._held, stream.recv_into)

    def abort(self) -> None:
        """End whatever another thread is doing on this connection. Safe at any time."""
        self._aborted = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._aborted = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()

    def _secured(self, raw: socket.socket) -> TlsStream:
        raw.settimeout(self._timeouts.connect)
        try:
            name = self._location.host.rstrip(".")
            return TlsStream(raw, self._tls, host=name, timeout=self._timeouts.connect)
        except ssl.SSLCertVerificationError as wrong:
            raise Unreachable(f"The origin's certificate is not valid: {wrong.verify_message}.") from wrong

    def _connected(self) -> tuple[socket.socket, socket.socket | TlsStream]:
        if self._socket is None or self._stream is None:
            raise ConnectionAbortedError("not connected")
        return self._socket, self._stream

    def _read_head(self, raw: socket.socket, stream: socket.socket | TlsStream, deadline: float) -> bytes:
        block = memoryview(bytearray(_HEAD_BLOCK))
        searched = 0
        while True:
            end, width = _end_of_head(self._held, searched)
            if end >= 0:
                head = bytes(self._held[:end])
                del self._held[: end + width]
                return head
            if len(self._held) > LARGEST:
                raise ProtocolViolation(f"The origin's header is larger than {LARGEST // 1024} KiB.")
            searched = max(0, len(self._held) - 3)
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the answer's header did not come in time")
            raw.settimeout(left)
            received = stream.recv_into(block)
            if not received:
                raise ConnectionResetError("the connection was closed before an answer")
            self._held += block[:received]


def _end_of_head(held: bytearray, start: int) -> tuple[int, int]:
    """Where the empty line is and how long it is; bare line feeds count."""
    strict, lax = held.find(b"\r\n\r\n", start), held.find(b"\n\n", start)
    mixed = held.find(b"\n\r\n", start)
    found = [(at, width) for at, width in ((strict, 4), (lax, 2), (mixed, 3)) if at >= 0]
    return min(found, default=(-1, 0))


def _addresses(resolve: Resolver, location: Location) -> Sequence[SocketAddress]:
    try:
        addresses = resolve(location.host, location.port)
    except PermissionError as denied:
        raise Forbidden(str(denied) or "This address may not be reached from here.") from denied
    except OSError as unknown:
        raise Unreachable(f"The host name {location.host} cannot be resolved.") from unknown
    if not addresses:
        raise Unreachable(f"The host name {location.host} cannot be resolved.")
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
