"""CRC-32: taken of every byte on its way to the disk, and joined without a second look at the bytes."""

from __future__ import annotations

import zlib

try:
    # The same sums at four times the speed; of all the engine does with a byte, this costs most.
    from isal.isal_zlib import crc32  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    from zlib import crc32

__all__ = ["crc32", "crc32_combine"]


def crc32_combine(first: int, second: int, second_length: int) -> int:
    r"""The CRC-32 of two strings joined, from the CRC of each and the length of the second.

    ``crc32(b"\0" * n, state)`` advances a state over n zero bytes; a CRC is linear, so advancing the first one over
    the length of the second and adding the second gives the whole. The zero operator is squared, bit by bit.
    """
    operator = _ZERO_BYTE
    state = first
    length = second_length
    while length:
        if length & 1:
            state = _apply(operator, state)
        operator = _squared(operator)
        length >>= 1
    return state ^ second


_Matrix = tuple[int, ...]


def _apply(matrix: _Matrix, vector: int) -> int:
    out = 0
    for column in matrix:
        if vector & 1:
            out ^= column
        vector >>= 1
    return out


_SQUARES: dict[_Matrix, _Matrix] = {}


def _squared(matrix: _Matrix) -> _Matrix:
    known = _SQUARES.get(matrix)
    if known is None:
        known = _SQUARES[matrix] = tuple(_apply(matrix, column) for column in matrix)
    return known


def _zero_byte() -> _Matrix:
    """How one zero byte moves each bit of the state, read off zlib itself."""
    bare = zlib.crc32(b"\0", 0)
    return tuple(zlib.crc32(b"\0", 1 << bit) ^ bare for bit in range(32))


_ZERO_BYTE = _zero_byte()
