"""One connection to one origin, with a deadline on every phase.

The body is read straight into the caller's buffer. Any thread may end any phase by ``abort``.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from typing import TYPE_CHECKING

from downloads.engine.body import Body
from downloads.engine.errors import ProtocolViolation, Unreachable
from downloads.engine.head import Head, parse_head
from downloads.engine.proxy import connect_through
from downloads.engine.tls import TlsStream
from downloads.engine.wire import Stream, dial, looked_up, receive_head

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from downloads.engine.order import Resolver, SocketAddress, Timeouts
    from downloads.engine.proxy import Proxy
    from downloads.engine.url import Location

_DEFAULTS = {"User-Agent": "Haulway", "Accept": "*/*", "Accept-Encoding": "identity"}
_MOST_INTERIM = 8
_MOST_TUNNELS = 3


class Connection:
    """A socket that speaks HTTP/1.1 to ``location.origin``. Not shared between threads, apart from ``abort``."""

    def __init__(
        self,
        location: Location,
        *,
        resolve: Resolver,
        timeouts: Timeouts,
        tls: ssl.SSLContext,
        proxy: Proxy | None = None,
    ) -> None:
        self.origin = location.origin
        self._location = location
        self._resolve = resolve
        self._timeouts = timeouts
        self._tls = tls
        self._proxy = proxy
        self._aborted = False
        self._held = bytearray()
        self._socket: socket.socket | None = None
        self._stream: Stream | None = None

    def open(self) -> None:
        """Resolve, connect, through the proxy if there is one, and for https prove the origin's name.

        Raises:
            Forbidden: if the resolver says no.
            Unreachable: if there is no such name, or the certificate is wrong.
            Refused: if the proxy does.
            OSError: if nothing answers.

        """
        addresses = looked_up(self._resolve, self._location.host, self._location.port)
        stream = self._dialled(addresses) if self._proxy is None else self._tunnelled(self._proxy, addresses)
        self._stream = self._secured(stream, self._location.host) if self._location.scheme == "https" else stream

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
        stream = self._connected()
        stream.settimeout(self._timeouts.head)
        stream.sendall(f"GET {location.target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
        for _ in range(_MOST_INTERIM):
            head = parse_head(receive_head(self._held, stream, deadline))
            if head.status >= 200:
                stream.settimeout(self._timeouts.stall)
                return head
            if head.status == 101:
                break
        raise ProtocolViolation("The origin sends interim answers and never the real one.")

    def body(self, head: Head) -> Body:
        """The body that follows ``head``."""
        return Body(head, self._held, self._connected().recv_into)

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

    def _dialled(self, addresses: Sequence[SocketAddress]) -> socket.socket:
        self._socket = dial(addresses, self._timeouts, lambda: self._aborted)
        if self._aborted:
            raise ConnectionAbortedError("aborted while connecting")
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _tunnelled(self, proxy: Proxy, addresses: Sequence[SocketAddress]) -> Stream:
        """Through the proxy to the first of the addresses, which were checked here, that it connects to."""
        failure: OSError | None = None
        for address in addresses[:_MOST_TUNNELS]:
            raw = self._dialled(looked_up(proxy.resolve or self._resolve, proxy.host, proxy.port))
            try:
                stream = self._secured(raw, proxy.host) if proxy.scheme == "https" else raw
                connect_through(proxy, address, stream, timeout=self._timeouts.connect)
            except OSError as refused:
                failure = refused
                raw.close()
            else:
                return stream
        raise failure or ConnectionError("the proxy was not asked")

    def _secured(self, stream: Stream, host: str) -> TlsStream:
        stream.settimeout(self._timeouts.connect)
        try:
            return TlsStream(stream, self._tls, host=host.rstrip("."), timeout=self._timeouts.connect)
        except ssl.SSLCertVerificationError as wrong:
            raise Unreachable(f"The certificate of {host} is not valid: {wrong.verify_message}.") from wrong

    def _connected(self) -> Stream:
        if self._stream is None:
            raise ConnectionAbortedError("not connected")
        return self._stream
