"""A proxy that puts distance between client and server: port, target's port, round trip in seconds, share of losses.

What TCP makes of a long and lossy line is played for every connection: a window that doubles each round trip until
something is lost, is halved by every loss and then grows by one packet a round trip, and a pause of a round trip for
what was lost to be sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from itertools import count

PACKET = 1460
FIRST_WINDOW = 10 * PACKET
LARGEST_WINDOW = 1024 * 1024
_BLOCK = 16 * 1024
_PATIENCE = 30.0


class Line:
    """One direction of one connection."""

    def __init__(self, seconds: float, loss: float, seed: int) -> None:
        self._one_way = seconds / 2
        self._loss = loss
        self._chance = random.Random(seed)
        self._window, self._threshold = float(FIRST_WINDOW), float(LARGEST_WINDOW)
        self._on_the_way = 0
        self._acknowledged = asyncio.Event()
        self._last_arrival = 0.0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until one of the two ends hangs up."""
        arriving: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.ensure_future(self._deliver(arriving, writer))
        loop = asyncio.get_running_loop()
        try:
            while block := await reader.read(_BLOCK):
                while self._on_the_way and self._on_the_way + len(block) > self._window and not delivery.done():
                    self._acknowledged.clear()
                    await self._acknowledged.wait()
                if delivery.done():
                    return
                self._on_the_way += len(block)
                # Nothing overtakes what is sent again.
                self._last_arrival = max(self._last_arrival, loop.time() + self._one_way + self._lost(len(block)))
                arriving.put_nowait((self._last_arrival, block))
        except OSError:
            pass
        finally:
            arriving.put_nowait((loop.time() + self._one_way, b""))
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(delivery, _PATIENCE)

    def _lost(self, size: int) -> float:
        """How much later a block comes, because something of it was lost."""
        packets = -(-size // PACKET)
        if self._chance.random() > 1 - (1 - self._loss) ** packets:
            return 0.0
        self._threshold = self._window = max(2.0 * PACKET, self._window / 2)
        return 2 * self._one_way

    async def _deliver(self, arriving: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                due, block = await arriving.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not block:
                    return
                writer.write(block)
                await writer.drain()
                loop.call_later(self._one_way, self._acknowledge, len(block))
        finally:
            self._acknowledged.set()
            writer.close()

    def _acknowledge(self, size: int) -> None:
        self._on_the_way -= size
        grown = size if self._window < self._threshold else size * PACKET / self._window
        self._window = min(LARGEST_WINDOW, self._window + grown)
        self._acknowledged.set()


async def proxy(port: int, target: int, seconds: float, loss: float) -> None:
    numbers = count()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(numbers)
        # What the packets of a TCP handshake would take.
        await asyncio.sleep(seconds)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        there, back = Line(seconds, 0.0, number), Line(seconds, loss, number)
        await asyncio.gather(there.carry(reader, far_writer), back.carry(far_reader, writer), return_exceptions=True)
        for one in (writer, far_writer):
            one.close()

    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(proxy(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
