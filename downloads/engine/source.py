"""One URL of an order: where it leads at present, and what has been learnt about it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from downloads.engine.answer import redirect_target
from downloads.engine.connection import Connection
from downloads.engine.errors import Refused, TooManyRedirects
from downloads.engine.url import Location, follow, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from downloads.engine.checkpoint import Validators
    from downloads.engine.head import Head
    from downloads.engine.order import Resolver, Timeouts

MOST_HOPS = 10


class Source:
    """Opens exchanges with an origin, following redirects one checked hop at a time.

    ``headers`` hold secrets: they are sent to the origin of the URL that was given and to no other. Where the last
    redirect led is remembered, and forgotten when that address stops answering, because such addresses expire.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], *, resolve: Resolver, timeouts: Timeouts, tls: ssl.SSLContext
    ) -> None:
        self.given = parse(url)
        self.current = self.given
        self.validators: Validators | None = None
        self._headers = headers
        self._resolve = resolve
        self._timeouts = timeouts
        self._tls = tls

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
            TooManyRedirects, Refused, Forbidden, BadUrl: terminal.
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
        connection = Connection(at, resolve=self._resolve, timeouts=self._timeouts, tls=self._tls)
        try:
            opened(connection)
            connection.open()
            return connection, connection.ask(at, sent)
        except BaseException:
            connection.close()
            raise
