"""One thing that the doctor has to say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    WELL = "well"
    WARNING = "warning"  # works now, and will hurt
    FAULT = "fault"  # does not work, or loses something


@dataclass(frozen=True)
class Finding:
    """`part` is what was looked at, `what` how it is, `remedy` the line that mends it; none where all is well."""

    part: str
    level: Level
    what: str
    remedy: str = ""


def well(part: str, what: str) -> Finding:
    return Finding(part, Level.WELL, what)


def warning(part: str, what: str, remedy: str) -> Finding:
    return Finding(part, Level.WARNING, what, remedy)


def fault(part: str, what: str, remedy: str) -> Finding:
    return Finding(part, Level.FAULT, what, remedy)
