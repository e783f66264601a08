"""What the fleet can take: its queues, the slots that serve them, the kinds it knows, and how long those take."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from jobs.models import Lane, Node, Priority

LARGEST_CHUNK: int = settings.QUEUE_BATCH_SIZE  # jobs
_LEAST = 16  # messages of a queue in Redis, whatever the number of slots
_PER_SLOT = 4  # messages: enough for a slot to find its next in Redis while the dispatcher is at the database


def queue_name(priority: int, lane: str) -> str:
    return Priority(priority).label + (".io" if lane == Lane.IO else "")


QUEUES = tuple(queue_name(priority, lane) for priority in reversed(Priority) for lane in Lane)


@dataclass(frozen=True)
class Capacity:
    """What the live nodes can take: slots per Celery queue, and the kinds that somebody knows there."""

    slots: Mapping[str, int]
    kinds: Mapping[str, frozenset[str]]
    paces: Mapping[str, float]  # seconds that a job of a kind takes, as measured lately; unknown kinds are missing

    closed: frozenset[str] = frozenset()  # priorities that are paused

    @classmethod
    def read(cls) -> Capacity:
        slots: dict[str, int] = defaultdict(int)
        kinds: dict[str, frozenset[str]] = defaultdict(frozenset)
        alive = Node.objects.filter(expires_at__gt=Now(), draining=False)
        for count, queues, known in alive.values_list("slots", "queues", "kinds"):
            for queue in queues:
                slots[queue] += count
                kinds[queue] |= frozenset(known)
        return cls(slots, kinds, _paces())

    def without(self, queues: frozenset[str], kinds: frozenset[str]) -> Capacity:
        """What is left while these priorities and kinds are paused."""
        if not queues and not kinds:
            return self
        shut = {queue_name(Priority[name.upper()], lane) for name in queues for lane in Lane}
        slots = {queue: count for queue, count in self.slots.items() if queue not in shut}
        known = {queue: names - kinds for queue, names in self.kinds.items()}
        return replace(self, slots=slots, kinds=known, closed=queues)

    def pace(self, kind: str) -> float:
        """Seconds that a job of that kind takes, infinite while nobody knows."""
        return self.paces.get(kind, math.inf)

    def messages(self, queue: str) -> int:
        """How many messages of a queue may lie in Redis: a few for every slot."""
        return max(_LEAST, _PER_SLOT * self.slots.get(queue, 0))

    def window(self, queue: str) -> int:
        """How many jobs of a queue Redis may know of: what those messages hold, if its quickest kind filled them."""
        quickest = min(map(self.pace, self.kinds[queue]), default=math.inf)
        chunk = max(1, min(LARGEST_CHUNK, round(settings.CHUNK_SECONDS / max(quickest, 1e-6))))
        return max(_LEAST, _PER_SLOT * self.slots.get(queue, 0) * chunk)


def _paces() -> dict[str, float]:
    """How long jobs of each kind took lately: the slow end of the last few hundred runs, so that a chunk of jobs that
    vary is judged by its long ones.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT kind, percentile_disc(0.95) WITHIN GROUP (ORDER BY seconds)
            FROM (SELECT kind, seconds FROM jobs_attempt ORDER BY id DESC LIMIT 500) recent
            WHERE seconds IS NOT NULL GROUP BY kind
            """
        )
        return dict(cursor.fetchall())
