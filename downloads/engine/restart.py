"""The one way to say that what is on disk is worth nothing."""

from __future__ import annotations


class Restart(Exception):
    """Begin again with an empty file, without ranges if they cannot be trusted. Ends the round, not the fetch."""

    def __init__(self, reason: str, *, ranges: bool) -> None:
        super().__init__(reason)
        self.ranges = ranges
