"""The one reading of a URL in the engine.

Whatever this module says the host is, is the host that is resolved, checked, connected to, named in TLS and sent in
the Host header. No other parser sees the address, so there is no second opinion to exploit.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urljoin, urlsplit

from downloads.engine.errors import BadOrder

LONGEST = 8192
_DEFAULT_PORTS = {"http": 80, "https": 443}
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")
_KEPT = "/%:@!$&'()*+,;=~-._?"


@dataclass(frozen=True)
class Location:
    """Where a file lies. ``target`` is path and query as they go into the request line."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """The address without its query, which may hold a signature: fit for logs, rows and people."""
        return f"{self.scheme}://{self.authority}{self.target.partition('?')[0]}"

    @property
    def last_segment(self) -> str:
        return unquote(self.target.partition("?")[0].rpartition("/")[2], errors="replace")

    def __str__(self) -> str:
        return self.shown


def parse(url: str) -> Location:
    """Read an absolute http(s) URL.

    Raises:
        BadOrder: with the reason, and without echoing the URL.

    """
    if len(url) > LONGEST:
        raise BadOrder(f"The URL is longer than {LONGEST} characters.")
    if _FORBIDDEN.search(url):
        raise BadOrder("The URL contains a space, a control character or a backslash. Encode it as %20, %5C and so on.")
    try:
        split = urlsplit(url)
        port = split.port
        host = split.hostname or ""
    except ValueError:
        raise BadOrder("The URL cannot be read. Check its host and port.") from None
    scheme = split.scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise BadOrder("Only http:// and https:// URLs can be fetched.")
    if "@" in split.netloc:
        raise BadOrder("The URL carries a user name. Give credentials as an Authorization header instead.")
    if port == 0:
        raise BadOrder("Port 0 does not exist.")
    return Location(scheme, _host(host), port or _DEFAULT_PORTS[scheme], _target(split.path, split.query))


def follow(base: Location, to: str) -> Location:
    """Where a redirect from ``base`` leads.

    Raises:
        BadOrder: if the Location header is not a fetchable URL.

    """
    with contextlib.suppress(UnicodeDecodeError, UnicodeEncodeError):
        # Header bytes arrive as Latin-1; servers write UTF-8 into Location none the less.
        to = to.encode("latin-1").decode("utf-8")
    if _FORBIDDEN.search(to.strip()):
        to = quote(to.strip(), safe=_KEPT + "#[]")
    try:
        joined = urljoin(f"{base.scheme}://{base.authority}{base.target}", to.strip())
    except ValueError:
        raise BadOrder("The origin redirects to something that is not a URL.") from None
    return parse(joined)


def fragment(url: str) -> str:
    return url.partition("#")[2]


def _host(host: str) -> str:
    if ":" in host:
        if "%" in host:
            raise BadOrder("An IPv6 address with a zone cannot be fetched.")
        return host
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii").lower()
        except UnicodeError:
            raise BadOrder("The host name is not valid.") from None
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise BadOrder("The host name is missing or not valid.")
    return host


def _target(path: str, query: str) -> str:
    target = quote(path or "/", safe=_KEPT)
    return f"{target}?{quote(query, safe=_KEPT + '[]|{}^`')}" if query else target
