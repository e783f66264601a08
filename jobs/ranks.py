"""Finer scales of priority, as places in the four queues.

One of the older systems counted from 0 to 3, which are the four queues themselves, and one from 1 to 10. Of two jobs
the one with the higher number goes first here as it did there: by its queue, and within one by its rank.
"""

from __future__ import annotations

from typing import NamedTuple

from jobs.models import Priority


class Place(NamedTuple):
    """Where a job stands: submission options of these names."""

    priority: Priority
    rank: int


def of_ten(level: int) -> Place:
    """Levels 1 to 10, the highest most urgent. Raises ValueError beyond.

    | level    | queue    | used for                   |
    | 10       | critical | what cannot wait           |
    | 8 and 9  | high     | the entrance of a site     |
    | 5 to 7   | medium   | lists, such as categories  |
    | 1 to 4   | low      | single items               |
    """
    for priority, lowest, highest in _TEN:
        if lowest <= level <= highest:
            return Place(priority, level - lowest)
    raise ValueError(f"A priority on this scale is a whole number from 1 to 10, not {level}.")


_TEN = (
    (Priority.LOW, 1, 4),
    (Priority.MEDIUM, 5, 7),
    (Priority.HIGH, 8, 9),
    (Priority.CRITICAL, 10, 10),
)
