"""Arithmetic of half-open byte intervals, sorted and disjoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Interval = tuple[int, int]


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    out: list[Interval] = []
    for start, end in sorted(intervals):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        elif end > start:
            out.append((start, end))
    return out


def gaps(intervals: Iterable[Interval], total: int) -> list[Interval]:
    """What is missing from [0, total)."""
    out: list[Interval] = []
    at = 0
    for start, end in merged(intervals):
        if start > at:
            out.append((at, min(start, total)))
        at = max(at, end)
    if at < total:
        out.append((at, total))
    return out


def size(intervals: Iterable[Interval]) -> int:
    return sum(end - start for start, end in intervals)
