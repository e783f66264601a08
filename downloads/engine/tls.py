"""TLS over a socket, many records at a time.

SSLSocket asks the kernel twice for every record of 16 KiB and gives each to the caller on its own. Here one read of
the socket serves as many records as are there, which at high rates halves the calls and the quarrel for the
interpreter's lock.
"""

from __future__ import annotations

import ssl
import time
from functools import lru_cache
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from downloads.engine.wire import Stream

_BLOCK = 1024 * 1024


class TlsStream:
    """The client's end of a TLS connection. Timeouts are those of the socket beneath.

    ``raw`` may itself be such an end: that is how one speaks to an origin through a proxy that speaks TLS.
    """

    def __init__(self, raw: Stream, context: ssl.SSLContext, *, host: str, timeout: float) -> None:
        self._raw = raw
        self._arriving, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._arriving, self._leaving, server_hostname=host)
        self._block = memoryview(bytearray(_BLOCK))
        deadline = time.monotonic() + timeout
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError("the TLS handshake took too long") from None
                raw.settimeout(left)
                self._fill()
        self._flush()

    def settimeout(self, seconds: float) -> None:
        self._raw.settimeout(seconds)

    def sendall(self, data: bytes) -> None:
        self._tls.write(data)
        self._flush()

    def recv_into(self, view: memoryview) -> int:
        """Bytes read; 0 only if the other end said that it has finished.

        Raises:
            ssl.SSLEOFError: if the connection ended without that word.

        """
        got = 0
        while got < len(view):
            try:
                # Given a buffer, read() fills it and returns how far; its types do not say so.
                count = cast("int", self._tls.read(len(view) - got, view[got:]))
            except ssl.SSLError as trouble:
                if got:
                    break
                if not isinstance(trouble, ssl.SSLWantReadError):
                    raise
                self._fill()
                continue
            if count == 0:
                break
            got += count
        return got

    def _fill(self) -> None:
        self._flush()
        got = self._raw.recv_into(self._block)
        if got:
            self._arriving.write(self._block[:got])
        else:
            self._arriving.write_eof()

    def _flush(self) -> None:
        if self._leaving.pending:
            self._raw.sendall(self._leaving.read())


@lru_cache(maxsize=1)
def the_systems() -> ssl.SSLContext:
    """The certificates that this system trusts. Reading them takes longer than fetching a small file."""
    return ssl.create_default_context()
