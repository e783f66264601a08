"""The one way to say that what is on disk is worth nothing."""

from __future__ import annotations


class Restart(Exception):
    """Begin again with an empty file, without ranges if they cannot be trusted. Ends the round, not the fetch.

    ``keep`` puts what there is aside: it may be another version, and somebody may want to look at it.
    """

    def __init__(self, reason: str, *, ranges: bool, keep: bool) -> None:
        super().__init__(reason)
        self.ranges = ranges
        self.keep = keep
