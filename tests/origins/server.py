"""A server made of sockets, because a proper HTTP library would refuse to send what these tests need sent."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable


@dataclass
class Exchange:
    """One request and the socket to answer it on. ``number`` counts requests, ``connection`` connections, from 1."""

    connection: int
    number: int
    method: str
    target: str
    headers: dict[str, str]
    socket: socket.socket
    body: bytes = b""
    keep: bool = True
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def range(self) -> tuple[int, int | None] | None:
        """The range asked for as (first byte, byte after the last or None)."""
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        return (int(match[1]), int(match[2]) + 1 if match[2] else None) if match else None

    def head(self, status: int, **fields: object) -> None:
        """Send a head. ``content_length=5`` becomes ``Content-Length: 5``."""
        lines = [f"HTTP/1.1 {status} Test", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
        self.raw("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def raw(self, data: bytes | memoryview) -> None:
        self.socket.sendall(data)

    def close(self) -> None:
        """Close after this answer."""
        self.keep = False

    def reset(self) -> None:
        """End the connection with an RST."""
        self.keep = False
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def stall(self) -> None:
        """Send nothing more until the test is over."""
        self.keep = False
        self.stopping.wait(60)


class Origin:
    """Answers every request on 127.0.0.1 with ``answer``. ``seen`` keeps the requests, ``most_open`` the peak."""

    def __init__(self, answer: Callable[[Exchange], None], *, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.seen: list[Exchange] = []
        self.connections = self.open = self.most_open = 0
        self._tls = tls
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def url(self, path: str = "/file.bin", host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            sockets = list(self._sockets)
        for one in sockets:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(one, socket.SHUT_RDWR)
        self._thread.join(10)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, one: socket.socket) -> None:
        with self._lock:
            self.connections += 1
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            number = self.connections
            self._sockets.add(one)
        try:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                secured = self._tls.wrap_socket(one, server_side=True)
                with self._lock:
                    self._sockets.discard(one)
                    self._sockets.add(secured)
                one = secured
            held = b""
            while not self._stopping.is_set():
                while b"\r\n\r\n" not in held:
                    received = one.recv(65536)
                    if not received:
                        return
                    held += received
                raw, _, held = held.partition(b"\r\n\r\n")
                exchange = self._exchange(raw, number, one)
                length = int(exchange.headers.get("content-length", 0))
                while len(held) < length and (received := one.recv(65536)):
                    held += received
                exchange.body, held = held[:length], held[length:]
                self.answer(exchange)
                if not exchange.keep:
                    return
        except OSError:
            return
        finally:
            with self._lock:
                self.open -= 1
                self._sockets.discard(one)
            with contextlib.suppress(OSError):
                one.close()

    def _exchange(self, raw: bytes, connection: int, one: socket.socket) -> Exchange:
        first, *lines = raw.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        with self._lock:
            number = len(self.seen) + 1
            method, target, _ = first.split(" ")
            exchange = Exchange(connection, number, method, target, headers, one, stopping=self._stopping)
            self.seen.append(exchange)
        return exchange
