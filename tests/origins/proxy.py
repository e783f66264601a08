"""An HTTP proxy that opens tunnels, and remembers where to."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from tests.origins.server import Exchange, Origin

if TYPE_CHECKING:
    import ssl


class TunnelProxy(Origin):
    """Connects to whatever it is asked for, or answers ``refusal``. It wants ``login`` (user:password), if given."""

    def __init__(
        self, *, login: str | None = None, refusal: int | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(self._tunnel, tls=tls)
        self._login = login
        self._refusal = refusal

    @property
    def asked(self) -> set[str]:
        """What it was asked to connect to."""
        return {exchange.target for exchange in self.seen if exchange.method == "CONNECT"}

    def _tunnel(self, exchange: Exchange) -> None:
        exchange.close()
        given = exchange.headers.get("proxy-authorization")
        if self._login and given != f"Basic {base64.b64encode(self._login.encode()).decode()}":
            exchange.head(407, Proxy_Authenticate='Basic realm="x"', Content_Length=0)
        elif exchange.method != "CONNECT" or self._refusal:
            exchange.head(self._refusal or 405, Content_Length=0)
        else:
            host, _, port = exchange.target.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=5) as beyond:
                exchange.head(200)
                back = threading.Thread(target=_carry, args=(beyond, exchange.socket), daemon=True)
                back.start()
                _carry(exchange.socket, beyond)
                back.join(10)


def _carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(65536):
            target.sendall(block)
    for one in (source, target):
        with contextlib.suppress(OSError):
            socket.socket.shutdown(one, socket.SHUT_RDWR)
