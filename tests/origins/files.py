"""A server of one file that does everything right: what the others deviate from."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any

from tests.origins.server import Exchange, Origin

if TYPE_CHECKING:
    import ssl

LAST_MODIFIED = "Mon, 02 Nov 2020 10:00:00 GMT"


def content(size: int, seed: int = 1) -> bytes:
    """Bytes that differ everywhere, so that any misplaced block shows."""
    return random.Random(seed).randbytes(size)


class FileOrigin(Origin):
    """Serves ``data`` with ranges. ``rate`` is bytes per second and connection; subclasses change one step each.

    Once ``sent`` bytes of bodies have reached ``hold_at``, every transfer stands still until that is lifted.
    """

    etag: str | None = '"v1"'
    last_modified: str | None = LAST_MODIFIED

    def __init__(self, data: bytes, *, tls: ssl.SSLContext | None = None, rate: float | None = None) -> None:
        super().__init__(self.serve, tls=tls)
        self.data = data
        self.rate = rate
        self.sent = 0
        self.hold_at: int | None = None
        self._sent_lock = threading.Lock()

    def serve(self, exchange: Exchange) -> None:
        asked = exchange.range
        if asked is None or not self.condition_holds(exchange):
            self.whole(exchange)
            return
        start, end = asked[0], min(asked[1] or len(self.data), len(self.data))
        if start >= len(self.data):
            exchange.head(416, Content_Range=f"bytes */{len(self.data)}", Content_Length=0)
            return
        self.part(exchange, start, end)

    def condition_holds(self, exchange: Exchange) -> bool:
        condition = exchange.headers.get("if-range")
        return condition is None or condition in (self.etag, self.last_modified)

    def whole(self, exchange: Exchange) -> None:
        exchange.head(200, Content_Length=len(self.data), **self.fields(exchange))
        self.body(exchange, 0, len(self.data))

    def part(self, exchange: Exchange, start: int, end: int) -> None:
        said = f"bytes {start}-{end - 1}/{len(self.data)}"
        exchange.head(206, Content_Range=said, Content_Length=end - start, **self.fields(exchange))
        self.body(exchange, start, end)

    def fields(self, exchange: Exchange) -> dict[str, Any]:
        fields: dict[str, Any] = {"Content_Type": "application/octet-stream"}
        if self.etag:
            fields["ETag"] = self.etag
        if self.last_modified:
            fields["Last_Modified"] = self.last_modified
        return fields

    def body(self, exchange: Exchange, start: int, end: int) -> None:
        self.send(exchange, memoryview(self.data)[start:end])

    def send(self, exchange: Exchange, data: bytes | memoryview) -> None:
        """Send at the rate of this connection, counting what left."""
        rate = self.rate
        step = 64 * 1024 if rate is None else max(1, int(rate / 50))
        began, done = time.monotonic(), 0
        while done < len(data):
            while self.hold_at is not None and self.sent >= self.hold_at and not exchange.stopping.wait(0.01):
                pass
            block = data[done : done + step]
            exchange.raw(block)
            done += len(block)
            with self._sent_lock:
                self.sent += len(block)
            if rate is not None and (ahead := done / rate - (time.monotonic() - began)) > 0:
                exchange.stopping.wait(ahead)
