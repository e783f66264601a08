"""Which jobs Redis should know of now: for each queue, the first few that are ready.

Redis holds hints, never the queue itself. The window is a query, not a book-keeping: what stands first in the table
and was not sent yet is sent. So a million waiting jobs cost Redis nothing, and a broker that forgets everything is
mended by sending the same few again.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from jobs.models import Lane, Node, Priority

_LEAST = 16  # jobs in a queue's window, whatever the number of slots
_LARGEST_CHUNK = 200
_PER_SLOT = 4  # chunks: enough for a slot to find its next job in Redis while the dispatcher is at the database
_AGED_SHARE = 3  # of the window of `critical`: one in so many may go to jobs that waited too long elsewhere
_LOST_AFTER = 2.0  # seconds for a message to get from Redis to its claim


def queue_name(priority: int, lane: str) -> str:
    return Priority(priority).label + (".io" if lane == Lane.IO else "")


QUEUES = tuple(queue_name(priority, lane) for priority in reversed(Priority) for lane in Lane)


@dataclass(frozen=True)
class Capacity:
    """What the live nodes can take: slots per Celery queue, and the kinds that somebody knows there."""

    slots: Mapping[str, int]
    kinds: Mapping[str, frozenset[str]]
    pace: Mapping[str, float]  # seconds that a job of a kind takes, as measured lately; unknown kinds are missing

    @classmethod
    def read(cls) -> Capacity:
        slots: dict[str, int] = defaultdict(int)
        kinds: dict[str, frozenset[str]] = defaultdict(frozenset)
        alive = Node.objects.filter(expires_at__gt=Now(), draining=False)
        for count, queues, known in alive.values_list("slots", "queues", "kinds"):
            for queue in queues:
                slots[queue] += count
                kinds[queue] |= frozenset(known)
        return cls(slots, kinds, _pace())

    def chunk(self, kind: str) -> int:
        """How many jobs of that kind may travel in one message: as many as fill the target, one while unknown."""
        pace = self.pace.get(kind)
        return 1 if pace is None else max(1, min(_LARGEST_CHUNK, int(settings.CHUNK_SECONDS / max(pace, 1e-6))))

    def window(self, queue: str) -> int:
        """How many jobs of a queue Redis may know of: a few chunks for every slot."""
        largest = max((self.chunk(kind) for kind in self.kinds[queue] if kind in self.pace), default=1)
        return max(_LEAST, _PER_SLOT * self.slots.get(queue, 0) * largest)


@dataclass(frozen=True)
class Ready:
    """A job that stands in a window."""

    id: uuid.UUID
    queue: str
    kind: str
    rerun: bool  # it has run before, so it travels alone: it may be the one that ends its process


@dataclass
class Window:
    """What this dispatcher has sent, per queue, and with which stamp."""

    sent: dict[str, dict[uuid.UUID, int]] = field(default_factory=lambda: defaultdict(dict))
    full: bool = False  # there is more to send as soon as workers have taken some
    _stamp: int = 0
    _missing: set[tuple[str, uuid.UUID]] = field(default_factory=set)
    _aged: list[Ready] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many jobs Redis should know of now."""
        return sum(map(len, self.sent.values()))

    def stamp(self) -> int:
        """Grows with every message, over dispatchers too: it begins at the clock."""
        self._stamp = max(self._stamp + 1, time.time_ns())
        return self._stamp

    def look_for_aged(self, capacity: Capacity) -> None:
        """Find the jobs that have waited too long. Ageing is a matter of minutes: once a second is often enough."""
        self._aged = _aged(capacity)

    def unsent(self, capacity: Capacity) -> list[Ready]:
        """What should be sent now. Forgets what was taken meanwhile: that no longer stands in the window."""
        heads = [*_heads(capacity), *self._aged]
        standing: dict[str, dict[uuid.UUID, int]] = defaultdict(dict)
        unsent = []
        for job in heads:
            stamp = self.sent[job.queue].get(job.id)
            if stamp is None:
                unsent.append(job)
            else:
                standing[job.queue][job.id] = stamp
        self.sent = standing
        by_queue: dict[str, int] = defaultdict(int)
        for job in heads:
            by_queue[job.queue] += 1
        self.full = any(count >= capacity.window(queue) for queue, count in by_queue.items())
        return unsent

    def note_sent(self, jobs: Iterable[Ready], stamp: int) -> None:
        for job in jobs:
            self.sent[job.queue][job.id] = stamp

    def forget_lost(self, oldest: Mapping[str, int | None]) -> int:
        """Forget messages that Redis has lost, so that they are sent again. Returns how many jobs they carried.

        `oldest`: per queue, the stamp of the oldest message that Redis still has. Messages are taken in order: one
        that is older, and whose job is still queued after a moment, is gone. Two looks in a row must agree, because
        a job may be claimed between our query and the look at Redis.
        """
        settled = time.time_ns() - int(_LOST_AFTER * 1e9)
        missing = {
            (queue, job_id)
            for queue, first in oldest.items()
            for job_id, stamp in self.sent[queue].items()
            if stamp < settled and (first is None or stamp < first)
        }
        gone = missing & self._missing
        self._missing = missing - gone
        for queue, job_id in gone:
            del self.sent[queue][job_id]
        return len(gone)


def chunks(jobs: Iterable[Ready], capacity: Capacity) -> Iterator[list[Ready]]:
    """Jobs as messages: neighbours of one kind together, never so many that a slot would go without.

    A job that has run before travels alone.
    """
    queues: dict[str, list[Ready]] = defaultdict(list)
    for job in jobs:
        queues[job.queue].append(job)
    for queue, standing in queues.items():
        fair = max(1, len(standing) // max(1, capacity.slots.get(queue, 1)))
        message: list[Ready] = []
        for job in standing:
            size = 1 if job.rerun else min(fair, capacity.chunk(job.kind))
            if message and (message[0].kind != job.kind or message[0].rerun or len(message) >= size):
                yield message
                message = []
            message.append(job)
        if message:
            yield message


def _pace() -> dict[str, float]:
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


def _heads(capacity: Capacity) -> list[Ready]:
    """The first ready jobs of each queue that somebody serves, by rank and age, of kinds that somebody there knows."""
    wanted = [
        (lane.value, priority.value, list(capacity.kinds[queue]), capacity.window(queue))
        for lane in Lane
        for priority in Priority
        if (queue := queue_name(priority, lane)) in capacity.slots
    ]
    if not wanted:
        return []
    values = ", ".join(["(%s, %s::smallint, %s::text[], %s::int)"] * len(wanted))
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT head.id, queue.lane, queue.priority, head.kind, head.attempt > 0
            FROM (VALUES {values}) AS queue(lane, priority, kinds, size)
            CROSS JOIN LATERAL (
                SELECT id, kind, attempt FROM jobs_job
                WHERE state = 'queued' AND lane = queue.lane AND priority = queue.priority AND kind = ANY(queue.kinds)
                ORDER BY rank DESC, ready_at, id LIMIT queue.size
            ) head
            """,  # noqa: S608 - only the number of placeholders is formatted in
            [part for row in wanted for part in row],
        )
        return [Ready(row[0], queue_name(row[2], row[1]), row[3], row[4]) for row in cursor.fetchall()]


def _aged(capacity: Capacity) -> list[Ready]:
    """Jobs of lower queues that have waited for longer than the ageing bound: they stand in `critical` as well."""
    found: list[Ready] = []
    for lane in Lane:
        queue = queue_name(Priority.CRITICAL, lane)
        if queue not in capacity.slots:
            continue
        with connection.cursor() as cursor:
            cursor.execute(
                """
                SELECT id, kind, attempt > 0 FROM jobs_job
                WHERE state = 'queued' AND lane = %s AND priority < %s AND kind = ANY(%s)
                      AND ready_at < now() - %s * interval '1 second'
                ORDER BY ready_at LIMIT %s
                """,
                [
                    lane,
                    Priority.CRITICAL,
                    list(capacity.kinds[queue]),
                    settings.AGEING_SECONDS,
                    max(1, capacity.window(queue) // _AGED_SHARE),
                ],
            )
            found += [Ready(row[0], queue, row[1], row[2]) for row in cursor.fetchall()]
    return found
