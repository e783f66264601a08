"""The three ways a body ends in HTTP/1.1: after a length, after a last chunk, or with the connection."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

from downloads.engine.errors import ProtocolViolation, TooLarge
from downloads.engine.head import Head, content_length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\r?\n", re.DOTALL)
_LONGEST_LINE = 4096
_MOST_TRAILERS = 16 * 1024
_MOST_RATIO = 200
_FREE_OUTPUT = 64 * 1024 * 1024


class ShortBody(ConnectionError):
    """The connection ended before the body did."""


class Body:
    """Reads one body; ``readinto`` returns 0 at its proper end and raises ShortBody at any other.

    ``length`` is the announced length or None. ``delimited`` is False where only the end of the connection ends the
    body, so that nobody can say whether all of it came.
    """

    def __init__(self, head: Head, held: bytearray, receive_into: Callable[[memoryview], int]) -> None:
        self._held = held
        self._receive_into = receive_into
        self.chunked = head.chunked
        self.length = None if self.chunked else content_length(head)
        self.delimited = self.chunked or self.length is not None
        self.finished = self.length == 0
        self._left = self.length if self.length is not None else 0
        self._fresh = True

    def readinto(self, view: memoryview) -> int:
        if self.finished:
            return 0
        if self.chunked and self._left == 0:
            self._next_chunk()
            if self.finished:
                return 0
        wanted = len(view) if not self.delimited else min(len(view), self._left)
        got = self._take(view[:wanted])
        if got == 0:
            if self.delimited:
                raise ShortBody("the connection was closed in the middle of the body")
            self.finished = True
            return 0
        if self.delimited:
            self._left -= got
            self.finished = self._left == 0 and not self.chunked
        return got

    def _take(self, view: memoryview) -> int:
        if not self._held:
            return self._receive_into(view)
        got = min(len(view), len(self._held))
        view[:got] = self._held[:got]
        del self._held[:got]
        return got

    def _next_chunk(self) -> None:
        if not self._fresh and self._line() not in (b"\r\n", b"\n"):
            raise ProtocolViolation("A chunk of the origin's answer is longer than announced.")
        self._fresh = False
        match = _CHUNK_SIZE.fullmatch(self._line())
        if not match:
            raise ProtocolViolation("A chunk of the origin's answer has no size.")
        self._left = int(match[1], 16)
        if self._left:
            return
        trailers = 0
        while (line := self._line()) not in (b"\r\n", b"\n"):
            trailers += len(line)
            if trailers > _MOST_TRAILERS:
                raise ProtocolViolation("The origin's answer ends in too many trailers.")
        self.finished = True

    def _line(self) -> bytes:
        block = memoryview(bytearray(_LONGEST_LINE))
        while (end := self._held.find(b"\n")) < 0:
            if len(self._held) > _LONGEST_LINE:
                raise ProtocolViolation("A line between the origin's chunks does not end.")
            got = self._receive_into(block)
            if got == 0:
                raise ShortBody("the connection was closed between two chunks")
            self._held += block[:got]
        line = bytes(self._held[: end + 1])
        del self._held[: end + 1]
        return line


class Unpacked:
    """A body that the origin compressed although it was asked not to.

    The output may not outgrow the input beyond measure: that would be a bomb.
    """

    def __init__(self, body: Body, coding: str) -> None:
        self._blocks = _inflate(body, coding)
        self._rest = memoryview(b"")
        self.length: int | None = None
        self.delimited = body.delimited
        self.finished = False

    def readinto(self, view: memoryview) -> int:
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                self.finished = True
                return 0
            self._rest = memoryview(block)
        got = min(len(view), len(self._rest))
        view[:got] = self._rest[:got]
        self._rest = self._rest[got:]
        return got


UNPACKABLE = ("gzip", "x-gzip", "deflate")


def _inflate(body: Body, coding: str) -> Iterator[bytes]:
    mode = 15 if coding == "deflate" else 31
    step = zlib.decompressobj(mode)
    block = memoryview(bytearray(256 * 1024))
    taken = given = 0
    started = False
    while got := body.readinto(block):
        taken += got
        pending = bytes(block[:got])
        while pending:
            if step.eof:
                # Several gzip members in a row are one file; anything else after the end is padding.
                if mode != 31 or not pending.startswith(b"\x1f\x8b"):
                    pending = b""
                    break
                step = zlib.decompressobj(mode)
            try:
                out = step.decompress(pending, 1024 * 1024)
            except zlib.error as wrong:
                if mode == 15 and not started:
                    mode, step = -15, zlib.decompressobj(-15)
                    continue
                raise ProtocolViolation(f"The origin's answer says it is {coding} and is not.") from wrong
            started = True
            pending = step.unconsumed_tail or step.unused_data
            given += len(out)
            if given > _FREE_OUTPUT and given > taken * _MOST_RATIO:
                raise TooLarge("The origin's answer unpacks to more than 200 times its size. It is taken for a bomb.")
            if out:
                yield out
    while not step.eof:
        tail = step.flush()
        if not tail:
            raise ShortBody("the compressed body ended early")
        yield tail
