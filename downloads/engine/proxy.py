"""The way through an HTTP proxy: a tunnel to an address that was looked up, and checked, on this side.

The proxy is never told a name. It would look it up once more and might be led elsewhere, inside a network that this
installation must not reach. TLS goes through the tunnel, so the proxy sees neither the file nor the request.
"""

from __future__ import annotations

import time
from base64 import b64encode
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote

from downloads.engine.errors import BadOrder, Refused
from downloads.engine.head import parse_head
from downloads.engine.url import parse
from downloads.engine.wire import receive_head

if TYPE_CHECKING:
    from downloads.engine.order import Resolver, SocketAddress
    from downloads.engine.wire import Stream

_NOT_NOW = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


@dataclass(frozen=True)
class Proxy:
    """``resolve`` says which addresses of the proxy may be connected to; None: the rule for origins holds for it."""

    scheme: str
    host: str
    port: int
    credentials: str | None = field(default=None, repr=False)
    resolve: Resolver | None = None


def parse_proxy(url: str, *, resolve: Resolver | None = None) -> Proxy:
    """Read ``http(s)://[user:password@]host:port``.

    Raises:
        BadOrder: with the reason, and without echoing the URL.

    """
    scheme, separator, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    login, at, host = authority.rpartition("@")
    if not separator or path or not host.rpartition("]")[2].partition(":")[2]:
        raise BadOrder("A proxy is given as http://host:port or https://host:port, with user:password@ if it asks.")
    where = parse(f"{scheme}://{host}")
    return Proxy(where.scheme, where.host, where.port, unquote(login) if at else None, resolve)


def connect_through(proxy: Proxy, address: SocketAddress, stream: Stream, *, timeout: float) -> None:
    """Have the proxy connect ``stream`` to the address.

    Raises:
        Refused: if it does not do so for us.
        OSError: if it cannot, or breaks off.
        ProtocolViolation: if it does not speak HTTP.

    """
    host, port = str(address[0]), int(address[1])
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", "User-Agent: Haulway"]
    if proxy.credentials is not None:
        lines.append(f"Proxy-Authorization: Basic {b64encode(proxy.credentials.encode()).decode('ascii')}")
    stream.settimeout(timeout)
    stream.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode("ascii"))
    beyond = bytearray()
    status = parse_head(receive_head(beyond, stream, time.monotonic() + timeout)).status
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        raise Refused("The proxy wants credentials: give them as http://user:password@host:port.", status=status)
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _NOT_NOW:
        raise Refused(f"The proxy answers {status}: it does not connect us to the origin's port.", status=status)
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise ConnectionError(f"the proxy answered {status}")
    if beyond:
        raise ConnectionError("the proxy sent bytes before the tunnel was used")
