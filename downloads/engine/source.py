"""One URL of an order: where it leads at present, and what has been learnt about it."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING

from downloads.engine.answer import redirect_target
from downloads.engine.connection import Connection
from downloads.engine.errors import BadOrder, Refused, TooManyRedirects
from downloads.engine.url import Location, follow, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from downloads.engine.checkpoint import Validators
    from downloads.engine.head import Head
    from downloads.engine.order import Order, Resolver, Timeouts
    from downloads.engine.proxy import Proxy

MOST_HOPS = 10
_OURS = frozenset(
    {
        "host",
        "range",
        "if-range",
        "accept-encoding",
        "connection",
        "content-length",
        "transfer-encoding",
        "te",
        "upgrade",
    }
)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def sources(order: Order, *, resolve: Resolver, tls: ssl.SSLContext) -> list[Source]:
    """One for each URL of the order. Its headers stay with the origin of the first.

    Raises:
        BadOrder: if a URL or a header cannot be sent.

    """
    for name, value in order.headers.items():
        if name.lower() in _OURS:
            raise BadOrder(f"The header {name} is set by the engine and cannot be ordered.")
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise BadOrder("A header holds characters that cannot be sent. Use plain text on one line.")
    if not order.urls:
        raise BadOrder("The order names no URL.")
    first = parse(order.urls[0]).origin
    return [
        Source(
            url,
            order.headers if parse(url).origin == first else {},
            resolve=resolve,
            timeouts=order.timeouts,
            tls=tls,
            proxy=order.proxy,
        )
        for url in order.urls
    ]


class Source:
    """Opens exchanges with an origin, following redirects one checked hop at a time.

    ``headers`` hold secrets: they are sent to the origin of the URL that was given and to no other. Where the last
    redirect led is remembered, and forgotten when that address stops answering, because such addresses expire.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        resolve: Resolver,
        timeouts: Timeouts,
        tls: ssl.SSLContext,
        proxy: Proxy | None,
    ) -> None:
        self.given = parse(url)
        self.current = self.given
        self.validators: Validators | None = None
        self._headers = headers
        self._resolve = resolve
        self._timeouts = timeouts
        self._tls = tls
        self._proxy = proxy

    def forget_redirect(self) -> bool:
        """Go back to the URL as given. False if that is where we are."""
        moved = self.current != self.given
        self.current = self.given
        return moved

    def exchange(
        self, kept: Connection | None, headers: Mapping[str, str], opened: Callable[[Connection], None]
    ) -> tuple[Connection, Head]:
        """Ask for the file, on the ``kept`` connection if it leads to the right place.

        ``opened`` is told of every connection before anything is sent on it, so that others can abort it.

        Raises:
            TooManyRedirects, Refused, Forbidden, BadOrder: terminal.
            OSError, Mismatch, ProtocolViolation: may be better next time.

        """
        at = self.current
        for _ in range(MOST_HOPS + 1):
            connection, head = self._ask(at, kept, headers, opened)
            where = redirect_target(head)
            if where is None:
                self.current = at
                return connection, head
            connection.close()
            kept = None
            to = follow(at, where)
            if at.scheme == "https" and to.scheme == "http":
                raise Refused("The origin redirects from https to http, which is not followed.", status=head.status)
            at = to
        raise TooManyRedirects(f"The origin redirects more than {MOST_HOPS} times. Check the URL in a browser.")

    def _ask(
        self, at: Location, kept: Connection | None, headers: Mapping[str, str], opened: Callable[[Connection], None]
    ) -> tuple[Connection, Head]:
        sent = {**(self._headers if at.origin == self.given.origin else {}), **headers}
        if kept is not None and kept.origin == at.origin:
            try:
                return kept, kept.ask(at, sent)
            except (ConnectionError, ssl.SSLError):
                # Origins close idle connections at will; that is no failure of this request.
                kept.close()
        elif kept is not None:
            kept.close()
        connection = Connection(at, resolve=self._resolve, timeouts=self._timeouts, tls=self._tls, proxy=self._proxy)
        try:
            opened(connection)
            connection.open()
            return connection, connection.ask(at, sent)
        except BaseException:
            connection.close()
            raise
