"""A road between processes and a server that can be cut: a TCP proxy on the loopback address."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress
from typing import Self

_PIECE = 256 * 1024


class Road:
    """Passes bytes between clients of `port` and the server at `target` until the scenario interferes.

    Silent is what a cut cable or a dropped packet looks like: no byte passes, no connection ends, new ones are taken
    and never answered. Broken is what a restarting firewall looks like: every connection is reset.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = int(self._listener.getsockname()[1])
        self._open = threading.Event()
        self._open.set()
        self._question: bytes | None = None
        self._answering = threading.Event()
        self._answering.set()
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._closing = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name=f"road to {self._target}", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._listener.close()
        self.restore()
        self.break_connections()

    def silence(self) -> None:
        self._open.clear()

    def hold_answer_to(self, question: bytes) -> None:
        """From the moment in which a client says this, it arrives, but nothing comes back."""
        self._question = question

    def restore(self) -> None:
        self._question = None
        self._open.set()
        self._answering.set()

    def break_connections(self) -> None:
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            for one in pair:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._open.wait()
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
        except OSError:
            client.close()
            return
        pair = (client, server)
        with self._lock:
            self._pairs.add(pair)
        try:
            with selectors.DefaultSelector() as selector:
                for here, there in (pair, pair[::-1]):
                    here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    here.settimeout(None)
                    selector.register(here, selectors.EVENT_READ, there)
                self._pass_on(selector, server)
        except OSError:
            pass
        finally:
            with self._lock:
                self._pairs.discard(pair)
            client.close()
            server.close()

    def _pass_on(self, selector: selectors.BaseSelector, server: socket.socket) -> None:
        while True:
            for key, _ in selector.select():
                self._open.wait()
                here: socket.socket = key.fileobj  # type: ignore[assignment]
                piece = here.recv(_PIECE)
                if not piece:
                    return
                self._open.wait()
                if here is server:
                    self._answering.wait()
                elif self._question is not None and self._question in piece:
                    self._answering.clear()
                key.data.sendall(piece)
