"""A requests session for calls to other people's servers, bounded in time and size and kept outside.

Sessions are cheap and belong to one call each. The connections below them are kept for the whole process, so that the
next job that calls the same server finds one open.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from functools import lru_cache
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
from jobs.outbound.watch import Watched, current, watched

if TYPE_CHECKING:
    from collections.abc import Mapping

_BLOCK = 64 * 1024
_KEEPALIVE_SECONDS = 30
# Connections that are kept open: to so many servers, so many to each. More servers than one process has threads, or
# one thread would close the connections that another is about to use.
_HOSTS, _IDLE_PER_HOST = 512, 8
# It warns of each connection beyond those, though that is how it is meant to be.
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
# Everything else may be a secret, and stays with the origin it was meant for.
_CROSSES_ORIGINS = frozenset(
    {"accept", "accept-encoding", "accept-language", "content-length", "content-type", "user-agent"}
)


class AnswerTooLarge(requests.RequestException):
    """The answer is larger than the caller is ready to take; `partial` is the answer with as much as it takes."""

    def __init__(self, message: str, partial: requests.Response) -> None:
        super().__init__(message, response=partial)
        self.partial = partial


class AnswerTooSlow(requests.Timeout):
    """The answer did not end before the deadline."""


class CallStopped(requests.RequestException):
    """The call was cut off because its caller had to leave."""


def session(
    *,
    policy: AddressPolicy | None = None,
    connect_timeout: float = 5.0,
    read_timeout: float = 30.0,
    deadline: float = 90.0,
    max_bytes: int = 16 * 1024 * 1024,
    max_redirects: int = 5,
    unwanted: Callable[[], bool] = lambda: False,
) -> requests.Session:
    """A session whose every connection goes to a checked address.

    Redirects are checked hop by hop and lose the caller's headers when they leave the origin. Proxies and netrc of the
    environment are ignored. Bodies are read up to ``max_bytes`` after unpacking. A call, redirects included, takes at
    most ``deadline`` seconds (AnswerTooSlow), and ends within a moment of ``unwanted`` saying so (CallStopped).
    """
    return _Session(
        policy or current_policy(),
        timeout=(connect_timeout, read_timeout),
        deadline=deadline,
        max_bytes=max_bytes,
        max_redirects=max_redirects,
        unwanted=unwanted,
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
        unwanted: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._deadline = deadline
        self._unwanted = unwanted
        self.trust_env = False
        self.max_redirects = max_redirects
        self.adapters.clear()
        adapter = _Adapter(policy, timeout=timeout, max_bytes=max_bytes)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def request(self, *args: Any, **options: Any) -> requests.Response:
        with watched(self._deadline, self._unwanted) as call:
            try:
                response = super().request(*args, **options)
            except (requests.RequestException, OSError) as failure:
                self._explain(call, failure)
                raise
            if call.was_cut:  # in the middle of the head: the standard library takes that for its end
                self._explain(call)
            return response

    def _explain(self, call: Watched, failure: Exception | None = None) -> None:
        """What was cut off looks like a broken connection, or a short answer, and is neither. Raises what it is."""
        if call.late:
            raise AnswerTooSlow(f"The answer took longer than {self._deadline:g} s.") from failure
        if call.over:
            raise CallStopped("The call was stopped.") from failure

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
    def __init__(self, policy: AddressPolicy, *, timeout: tuple[float, float], max_bytes: int) -> None:
        self._policy = policy
        self._timeout = timeout
        self._max_bytes = max_bytes
        super().__init__()

    def init_poolmanager(self, *_: Any, **__: Any) -> None:
        self.poolmanager = _connections(self._policy)

    def close(self) -> None:
        """Connections outlive the session: they are the process's."""

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002 - requests' signature; bodies are always read here, bounded
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        check_url(request.url or "", policy=self._policy)
        if proxies:
            raise requests.exceptions.ProxyError("A proxy would look the name up again, so none is used.")
        try:
            response = super().send(request, stream=True, timeout=timeout or self._timeout, verify=verify, cert=cert)
        except _Denied as denied:
            raise AddressDenied(str(denied)) from None
        try:
            response._content = self._read(response)  # noqa: SLF001
        finally:
            response.close()
        return response

    def _read(self, response: requests.Response) -> bytes:
        """The whole body. Bounded here because requests reads the bodies of redirects on its own."""
        call = current()
        body = bytearray()
        for block in response.iter_content(_BLOCK):
            body += block
            if len(body) > self._max_bytes:
                response._content = bytes(body[: self._max_bytes])  # noqa: SLF001
                raise AnswerTooLarge(f"The answer is larger than {self._max_bytes} bytes.", response)
            if call and call.over:
                raise CallStopped("The call was stopped.", response=response)
        return bytes(body)


@lru_cache(maxsize=4)
def _connections(policy: AddressPolicy) -> PoolManager:
    manager = PoolManager(num_pools=_HOSTS, maxsize=_IDLE_PER_HOST)
    manager.pool_classes_by_scheme = _pools(policy)
    return manager


def _pools(policy: AddressPolicy) -> dict[str, type[HTTPConnectionPool]]:
    """urllib3 pools whose sockets are opened by us. The classes carry the policy: pool keys have no room for it."""

    class Shown(HTTPConnection):
        """Shows its socket to the watch, whether it is new or was kept from an earlier call."""

        def _new_conn(self) -> socket.socket:
            return _connect(self, policy)

        def putrequest(self, *args: Any, **options: Any) -> None:
            if (call := current()) and self.sock:
                call.hold(self.sock)
            super().putrequest(*args, **options)

    class CheckedHTTPConnection(Shown):
        pass

    class CheckedHTTPSConnection(Shown, HTTPSConnection):
        pass

    class CheckedHTTPPool(HTTPConnectionPool):
        ConnectionCls = CheckedHTTPConnection

    class CheckedHTTPSPool(HTTPSConnectionPool):
        ConnectionCls = CheckedHTTPSConnection

    return {"http": CheckedHTTPPool, "https": CheckedHTTPSPool}


def _connect(connection: HTTPConnection, policy: AddressPolicy) -> socket.socket:
    call = current()
    unwanted = (lambda: call.over) if call else (lambda: False)
    try:
        addresses = resolve(connection.host, connection.port, policy=policy, unwanted=unwanted)
    except AddressDenied as denied:
        raise _Denied(str(denied)) from None
    except OSError as unknown:
        raise NameResolutionError(connection.host, connection, socket.gaierror(str(unknown))) from unknown
    failure: OSError | None = None
    for address in addresses[:4]:
        family = socket.AF_INET6 if len(address) == 4 else socket.AF_INET
        one = socket.socket(family, socket.SOCK_STREAM)
        if call:
            call.hold(one)
        try:
            one.settimeout(connection.timeout)
            one.connect(address)
        except OSError as failed:
            one.close()
            failure = failed
        else:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _keep_alive(one)
            return one
    raise NewConnectionError(connection, f"no connection: {failure}") from failure


def _keep_alive(one: socket.socket) -> None:
    """An answer may take hours; what stands between would forget a connection that is silent for so long."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):  # Linux
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_SECONDS)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_SECONDS)
