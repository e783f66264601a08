"""A requests session for calls to other people's servers, bounded in time and size and kept outside."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NameResolutionError, NewConnectionError

from jobs.outbound.addresses import AddressDenied, AddressPolicy, current_policy
from jobs.outbound.lookup import resolve
from jobs.outbound.urls import check_url

if TYPE_CHECKING:
    from collections.abc import Mapping

_BLOCK = 64 * 1024
# Everything else may be a secret, and stays with the origin it was meant for.
_CROSSES_ORIGINS = frozenset(
    {"accept", "accept-encoding", "accept-language", "content-length", "content-type", "user-agent"}
)


class AnswerTooLarge(requests.RequestException):
    """The answer is larger than the caller is ready to take."""


class AnswerTooSlow(requests.Timeout):
    """The answer did not end before the deadline."""


def session(
    *,
    policy: AddressPolicy | None = None,
    connect_timeout: float = 5.0,
    read_timeout: float = 30.0,
    deadline: float = 90.0,
    max_bytes: int = 16 * 1024 * 1024,
    max_redirects: int = 5,
) -> requests.Session:
    """A session whose every connection goes to a checked address.

    Redirects are checked hop by hop and lose the caller's headers when they leave the origin. Proxies and netrc of the
    environment are ignored. Bodies are read up to ``max_bytes`` after unpacking, and for ``deadline`` seconds.
    """
    return _Session(
        policy or current_policy(),
        timeout=(connect_timeout, read_timeout),
        deadline=deadline,
        max_bytes=max_bytes,
        max_redirects=max_redirects,
    )


class _Denied(Exception):
    """AddressDenied on its way through urllib3, which would take an OSError for a broken connection."""


class _Session(requests.Session):
    def __init__(
        self,
        policy: AddressPolicy,
        *,
        timeout: tuple[float, float],
        deadline: float,
        max_bytes: int,
        max_redirects: int,
    ) -> None:
        super().__init__()
        self.trust_env = False
        self.max_redirects = max_redirects
        self.adapters.clear()
        adapter = _Adapter(policy, timeout=timeout, deadline=deadline, max_bytes=max_bytes)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        before, after = _origin(response.request.url), _origin(prepared_request.url)
        if before[0] == "https" and after[0] == "http":
            raise requests.exceptions.InvalidURL("The answer redirects from https to http, which is not followed.")
        if before != after:
            for name in [name for name in prepared_request.headers if name.lower() not in _CROSSES_ORIGINS]:
                del prepared_request.headers[name]


def _origin(url: str | None) -> tuple[str, str | None, int | None]:
    split = urlsplit(url or "")
    return split.scheme, split.hostname, split.port or {"http": 80, "https": 443}.get(split.scheme)


class _Adapter(HTTPAdapter):
    def __init__(self, policy: AddressPolicy, *, timeout: tuple[float, float], deadline: float, max_bytes: int) -> None:
        self._policy = policy
        self._timeout = timeout
        self._deadline = deadline
        self._max_bytes = max_bytes
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools(self._policy)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        check_url(request.url or "", policy=self._policy)
        if proxies:
            raise requests.exceptions.ProxyError("A proxy would look the name up again, so none is used.")
        ends = time.monotonic() + self._deadline
        try:
            response = super().send(request, stream=True, timeout=timeout or self._timeout, verify=verify, cert=cert)
        except _Denied as denied:
            raise AddressDenied(str(denied)) from None
        try:
            response._content = self._read(response, ends)  # noqa: SLF001
        finally:
            response.close()
        return response

    def _read(self, response: requests.Response, ends: float) -> bytes:
        """The whole body. Bounded here because requests reads the bodies of redirects on its own."""
        body = bytearray()
        for block in response.iter_content(_BLOCK):
            body += block
            if len(body) > self._max_bytes:
                raise AnswerTooLarge(f"The answer is larger than {self._max_bytes} bytes.", response=response)
            if time.monotonic() > ends:
                raise AnswerTooSlow(f"The answer took longer than {self._deadline:g} s.", response=response)
        return bytes(body)


def _pools(policy: AddressPolicy) -> dict[str, type[HTTPConnectionPool]]:
    """urllib3 pools whose sockets are opened by us. The classes carry the policy: pool keys have no room for it."""

    class CheckedHTTPConnection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, policy)

    class CheckedHTTPSConnection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, policy)

    class CheckedHTTPPool(HTTPConnectionPool):
        ConnectionCls = CheckedHTTPConnection

    class CheckedHTTPSPool(HTTPSConnectionPool):
        ConnectionCls = CheckedHTTPSConnection

    return {"http": CheckedHTTPPool, "https": CheckedHTTPSPool}


def _connect(connection: HTTPConnection, policy: AddressPolicy) -> socket.socket:
    try:
        addresses = resolve(connection.host, connection.port, policy=policy)
    except AddressDenied as denied:
        raise _Denied(str(denied)) from None
    except OSError as unknown:
        raise NameResolutionError(connection.host, connection, socket.gaierror(str(unknown))) from unknown
    failure: OSError | None = None
    for address in addresses[:4]:
        family = socket.AF_INET6 if len(address) == 4 else socket.AF_INET  # noqa: PLR2004
        one = socket.socket(family, socket.SOCK_STREAM)
        try:
            one.settimeout(connection.timeout)
            one.connect(address)
        except OSError as failed:
            one.close()
            failure = failed
        else:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return one
    raise NewConnectionError(connection, f"no connection: {failure}") from failure
