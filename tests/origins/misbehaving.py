"""Servers that deviate from FileOrigin in one thing each, as servers in the world do.

The numbers are those of the matrix of scenarios. Each server carries the bytes that are right in ``data``.
"""

from __future__ import annotations

import gzip
import time
from typing import TYPE_CHECKING, Any

from tests.origins.files import FileOrigin, content
from tests.origins.server import Exchange, Origin

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 4_200_000
RATE = 6_000_000.0
MIB = 1024 * 1024


class IgnoresRanges(FileOrigin):
    def serve(self, exchange: Exchange) -> None:
        self.whole(exchange)


class HonoursOnlyTheOpenRange(FileOrigin):
    def serve(self, exchange: Exchange) -> None:
        if exchange.range == (0, None):
            super().serve(exchange)
        else:
            self.whole(exchange)


class PartsStartAtZero(FileOrigin):
    """Says so, too."""

    def part(self, exchange: Exchange, start: int, end: int) -> None:
        super().part(exchange, 0, end - start)


class LiesAboutParts(FileOrigin):
    """The right Content-Range, and the bytes from the beginning of the file."""

    def body(self, exchange: Exchange, start: int, end: int) -> None:
        super().body(exchange, 0, end - start)


class ShortParts(FileOrigin):
    def part(self, exchange: Exchange, start: int, end: int) -> None:
        super().part(exchange, start, min(end, start + 300_000))


class LongParts(FileOrigin):
    def part(self, exchange: Exchange, start: int, end: int) -> None:
        said = f"bytes {start}-{end - 1}/{len(self.data)}"
        exchange.head(206, Content_Range=said, Content_Length=end - start + 50, **self.fields(exchange))
        self.body(exchange, start, end)
        exchange.raw(b"!" * 50)


class PartsWithoutContentRange(FileOrigin):
    def part(self, exchange: Exchange, start: int, end: int) -> None:
        exchange.head(206, Content_Length=end - start, **self.fields(exchange))
        self.body(exchange, start, end)


class PartsWithoutTotal(FileOrigin):
    def part(self, exchange: Exchange, start: int, end: int) -> None:
        exchange.head(
            206, Content_Range=f"bytes {start}-{end - 1}/*", Content_Length=end - start, **self.fields(exchange)
        )
        self.body(exchange, start, end)


class ClosesEarly(FileOrigin):
    def body(self, exchange: Exchange, start: int, end: int) -> None:
        super().body(exchange, start, min(end, start + MIB))
        if end > start + MIB:
            exchange.close()


class ResetsEarly(FileOrigin):
    def body(self, exchange: Exchange, start: int, end: int) -> None:
        super().body(exchange, start, min(end, start + MIB))
        if end > start + MIB:
            # An RST throws away what the client has not read yet.
            time.sleep(0.05)
            exchange.reset()


class ChangesAfterTwo(FileOrigin):
    """Another file of the same length from the third request on."""

    last_modified = None

    def serve(self, exchange: Exchange) -> None:
        if exchange.number == 3:
            self.data, self.etag = content(len(self.data), seed=2), '"v2"'
        super().serve(exchange)


class Chunked(FileOrigin):
    def serve(self, exchange: Exchange) -> None:
        exchange.head(200, Transfer_Encoding="chunked", **self.fields(exchange))
        for at in range(0, len(self.data), 50_000):
            block = self.data[at : at + 50_000]
            self.send(exchange, b"%x;ext=1\r\n%b\r\n" % (len(block), block))
        self.end(exchange)

    def end(self, exchange: Exchange) -> None:
        exchange.raw(b"0\r\nX-Trailer: 1\r\n\r\n")


class ChunkedWithoutEnd(Chunked):
    """The last chunk is missing, the first ``times`` times."""

    times = 2

    def end(self, exchange: Exchange) -> None:
        if exchange.number <= self.times:
            exchange.close()
        else:
            super().end(exchange)


class UntilClose(FileOrigin):
    def serve(self, exchange: Exchange) -> None:
        exchange.close()
        exchange.head(200, Connection="close", **self.fields(exchange))
        self.body(exchange, 0, len(self.data))


class ForcesGzip(FileOrigin):
    def serve(self, exchange: Exchange) -> None:
        packed = gzip.compress(self.data, 1)
        exchange.head(200, Content_Encoding="gzip", Content_Length=len(packed), **self.fields(exchange))
        self.send(exchange, packed)


class FailsAtFirst(FileOrigin):
    status = 500
    times = 3
    extra: dict[str, Any] = {}

    def serve(self, exchange: Exchange) -> None:
        if exchange.number <= self.times:
            exchange.head(self.status, Content_Length=0, **self.extra)
        else:
            super().serve(exchange)


class TooManyRequests(FailsAtFirst):
    status, extra = 429, {"Retry_After": 1}


class Unavailable(FailsAtFirst):
    status, extra = 503, {"Retry_After": 1}


class BadGateway(FailsAtFirst):
    status = 502


class TwoConnections(FileOrigin):
    """A third transfer at the same time gets ``status``."""

    status = 503

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.active = self.most_active = self.turned_away = 0

    def serve(self, exchange: Exchange) -> None:
        with self._lock:
            allowed = self.active < 2
            self.active += allowed
            self.turned_away += not allowed
            self.most_active = max(self.most_active, self.active)
        if not allowed:
            exchange.head(self.status, Content_Length=0)
            return
        try:
            super().serve(exchange)
        finally:
            with self._lock:
                self.active -= 1


class TwoConnectionsForbidden(TwoConnections):
    status = 403


class TwoConnectionsTooMany(TwoConnections):
    status = 429


class FirstTwoStall(FileOrigin):
    def body(self, exchange: Exchange, start: int, end: int) -> None:
        if exchange.connection <= 2 and end - start > 256 * 1024:
            super().body(exchange, start, start + 256 * 1024)
            exchange.stall()
        else:
            super().body(exchange, start, end)


class NoHead(FileOrigin):
    def serve(self, exchange: Exchange) -> None:
        if exchange.method == "HEAD":
            exchange.head(405, Content_Length=0)
        else:
            super().serve(exchange)


class OverstatesTheWhole(FileOrigin):
    """Its 200 announces 100 bytes too many; its parts are right."""

    def whole(self, exchange: Exchange) -> None:
        exchange.close()
        exchange.head(200, Content_Length=len(self.data) + 100, **self.fields(exchange))
        self.body(exchange, 0, len(self.data))


class LinkExpires(FileOrigin):
    """From the third request on there is a page in place of the file."""

    def serve(self, exchange: Exchange) -> None:
        if exchange.number < 3:
            super().serve(exchange)
        else:
            page = b"<html>This link has expired.</html>"
            exchange.head(200, Content_Type="text/html", Content_Length=len(page))
            exchange.raw(page)


class ForbidsForAWhile(ClosesEarly):
    """403 in the middle, when every connection has already broken once."""

    def serve(self, exchange: Exchange) -> None:
        if 3 <= exchange.number <= 6:
            exchange.head(403, Content_Length=0)
        else:
            super().serve(exchange)


class Redirects(Origin):
    """Sends everyone to ``target``; without one, round in a circle."""

    def __init__(self, target: str | None = None) -> None:
        super().__init__(self._redirect)
        self.target = target

    def _redirect(self, exchange: Exchange) -> None:
        exchange.head(302, Location=self.target or f"/again{exchange.number}", Content_Length=0)


class WeakETags(FileOrigin):
    last_modified = None

    def fields(self, exchange: Exchange) -> dict[str, Any]:
        return {**super().fields(exchange), "ETag": f'W/"{exchange.number}"'}


class ETagPerNode(FileOrigin):
    """Every answer has a strong ETag of its own, so If-Range never matches."""

    etag = None

    def fields(self, exchange: Exchange) -> dict[str, Any]:
        return {**super().fields(exchange), "ETag": f'"node-{exchange.number}"'}


class Multipart(FileOrigin):
    def part(self, exchange: Exchange, start: int, end: int) -> None:
        block = self.data[start:end]
        body = b"--x\r\nContent-Range: bytes %d-%d/%d\r\n\r\n%b\r\n--x--\r\n" % (start, end - 1, len(self.data), block)
        exchange.head(206, Content_Type="multipart/byteranges; boundary=x", Content_Length=len(body))
        exchange.raw(body)


class ClosesIdleConnections(FileOrigin):
    """Says keep-alive, and closes after every answer."""

    def serve(self, exchange: Exchange) -> None:
        super().serve(exchange)
        exchange.close()


class OldFashioned(FileOrigin):
    """HTTP/1.0 with keep-alive, no reason, lower-case names, a folded line, bare line feeds."""

    def part(self, exchange: Exchange, start: int, end: int) -> None:
        head = (
            f"HTTP/1.0 206\ncontent-range:\r\n bytes {start}-{end - 1}/{len(self.data)}\n"
            f"content-length:{end - start}\nconnection: Keep-Alive\netag: {self.etag}\n\n"
        )
        exchange.raw(head.encode())
        self.body(exchange, start, end)


class StaleCache(FileOrigin):
    """From the second request on an old copy, unless asked to look again."""

    def serve(self, exchange: Exchange) -> None:
        if exchange.number > 1 and exchange.headers.get("cache-control") != "no-cache":
            start, end = exchange.range or (0, None)
            old = content(len(self.data), seed=9)[start:end]
            said = f"bytes {start}-{start + len(old) - 1}/{len(self.data)}"
            exchange.head(
                206, Content_Range=said, Content_Length=len(old), Last_Modified="Sun, 01 Nov 2020 10:00:00 GMT"
            )
            self.send(exchange, old)
        else:
            super().serve(exchange)


class Uneven(FileOrigin):
    """Every other connection has a tenth of the rate."""

    def send(self, exchange: Exchange, data: bytes | memoryview) -> None:
        rate = RATE if exchange.connection % 2 else RATE / 10
        for at in range(0, len(data), 20_000):
            block = data[at : at + 20_000]
            exchange.raw(block)
            exchange.stopping.wait(len(block) / rate)


class SlowerTogether(FileOrigin):
    """The more transfers at once, the less there is for all of them together."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.active = 0

    def serve(self, exchange: Exchange) -> None:
        with self._lock:
            self.active += 1
        try:
            super().serve(exchange)
        finally:
            with self._lock:
                self.active -= 1

    def send(self, exchange: Exchange, data: bytes | memoryview) -> None:
        for at in range(0, len(data), 16384):
            block = data[at : at + 16384]
            exchange.raw(block)
            exchange.stopping.wait(len(block) * self.active**2 / RATE)


def file_scenarios() -> dict[int, Callable[[], FileOrigin]]:
    """The servers from which the right file can be had without further ado, by number."""
    data = content(SIZE)
    kinds: dict[int, type[FileOrigin]] = {
        1: IgnoresRanges,
        2: HonoursOnlyTheOpenRange,
        3: PartsStartAtZero,
        4: LiesAboutParts,
        5: ShortParts,
        6: LongParts,
        7: PartsWithoutContentRange,
        8: PartsWithoutTotal,
        9: ClosesEarly,
        10: ResetsEarly,
        11: ChangesAfterTwo,
        12: Chunked,
        13: ChunkedWithoutEnd,
        14: UntilClose,
        15: ForcesGzip,
        16: TooManyRequests,
        17: Unavailable,
        18: FailsAtFirst,
        19: BadGateway,
        20: TwoConnections,
        21: TwoConnectionsForbidden,
        22: TwoConnectionsTooMany,
        23: FirstTwoStall,
        24: NoHead,
        25: OverstatesTheWhole,
        26: LinkExpires,
        27: ForbidsForAWhile,
        32: WeakETags,
        33: ETagPerNode,
        34: FileOrigin,
        47: Multipart,
        50: ClosesIdleConnections,
        53: OldFashioned,
        54: StaleCache,
    }
    return {number: lambda kind=kind: kind(data, rate=RATE) for number, kind in kinds.items()}  # type: ignore[misc]
