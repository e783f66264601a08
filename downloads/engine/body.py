"""The three ways a body ends in HTTP/1.1: after a length, after a last chunk, or with the connection."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

from downloads.engine.errors import ProtocolViolation, TooLarge
from downloads.engine.head import Head, content_length

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\r?\n", re.DOTALL)
_LONGEST_LINE = 4096
_MOST_TRAILERS = 16 * 1024
_BLOCK = 256 * 1024
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
        if self.chunked and self._left == 0 and not self.finished:
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


UNPACKABLE = ("gzip", "x-gzip", "deflate")


class Unpacked:
    """A body that the origin compressed although it was asked not to.

    The output may not outgrow the input beyond measure: that would be a bomb.
    """

    def __init__(self, body: Body, coding: str) -> None:
        self.length: int | None = None
        self.delimited = body.delimited
        self.finished = False
        self._body = body
        self._coding = coding
        self._mode = 15 if coding == "deflate" else 31
        self._step = zlib.decompressobj(self._mode)
        self._block = memoryview(bytearray(_BLOCK))
        self._packed = b""
        self._taken = self._given = 0

    def readinto(self, view: memoryview) -> int:
        while not self.finished:
            out = self._unpack(len(view))
            if out:
                view[: len(out)] = out
                self._given += len(out)
                if self._given > _FREE_OUTPUT and self._given > self._taken * _MOST_RATIO:
                    raise TooLarge(f"The answer unpacks to more than {_MOST_RATIO} times its size, as bombs do.")
                return len(out)
        return 0

    def _unpack(self, room: int) -> bytes:
        """Up to ``room`` bytes; none does not mean the end."""
        if self._step.eof and not self._next_member():
            return b""
        if not self._packed and not self._more():
            # What zlib still holds back of a body that has ended.
            rest = self._step.decompress(b"", room)
            if not rest and not self._step.eof:
                raise ShortBody("the compressed body ended early")
            return rest
        try:
            out = self._step.decompress(self._packed, room)
        except zlib.error as wrong:
            if self._mode == 15 and not self._given:
                # "deflate" means zlib's format; many servers send the bare one.
                self._mode, self._step = -15, zlib.decompressobj(-15)
                return b""
            raise ProtocolViolation(f"The origin's answer says it is {self._coding} and is not.") from wrong
        self._packed = self._step.unused_data if self._step.eof else self._step.unconsumed_tail
        return out

    def _more(self) -> bool:
        got = self._body.readinto(self._block)
        self._packed = bytes(self._block[:got])
        self._taken += got
        return got > 0

    def _next_member(self) -> bool:
        """Several gzip members in a row are one file; anything else behind the end is padding."""
        if (self._packed or self._more()) and self._mode == 31 and self._packed.startswith(b"\x1f\x8b"):
            self._step = zlib.decompressobj(self._mode)
            return True
        while self._more():
            pass
        self._packed, self.finished = b"", True
        return False
