"""Which jobs Redis should know of now: for each queue, the first few that are ready.

Redis holds hints, never the queue itself. The window is a query, not a book-keeping: what stands first in the table
and was not sent yet is sent. So a million waiting jobs cost Redis nothing, and a broker that forgets everything is
mended by sending the same few again.
"""

from __future__ import annotations

import math
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from django.conf import settings
from django.db import connection

from jobs.capacity import LARGEST_CHUNK, Capacity, queue_name
from jobs.models import Lane, Priority

_AGED_SHARE = 3  # of the window of `critical`: one in so many may go to jobs that waited too long elsewhere
_LOST_AFTER = 2.0  # seconds for a message to get from Redis to its claim
_HELD_AT_MOST = 1.0  # seconds that a message which is not full waits for more, while those before it are not taken


class Ready(NamedTuple):
    """A job that stands in a window. One that was taken and given back is another than the one that was sent."""

    id: uuid.UUID
    queue: str
    kind: str
    alone: bool  # it has run before and may be the one that ends its process; or its limits let it in by itself
    taken_at: datetime | None = None  # when it was last claimed


@dataclass
class Window:
    """What this dispatcher has sent, per queue, and with which stamp."""

    sent: dict[str, dict[Ready, int]] = field(default_factory=lambda: defaultdict(dict))
    more: bool = False  # there is more to send as soon as workers have taken some
    _stamp: int = 0
    _missing: set[Ready] = field(default_factory=set)
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

    def messages(self, capacity: Capacity) -> list[list[Ready]]:
        """What should be sent now, as messages."""
        queues: dict[str, list[Ready]] = defaultdict(list)
        for job in self.unsent(capacity):
            queues[job.queue].append(job)
        return [message for queue, jobs in queues.items() for message in self._messages(queue, jobs, capacity)]

    def unsent(self, capacity: Capacity) -> list[Ready]:
        """What is ready and was not sent. Forgets what was taken meanwhile: that no longer stands in the window."""
        heads = [*_heads(capacity), *self._aged]
        standing: dict[str, dict[Ready, int]] = defaultdict(dict)
        unsent = []
        for job in heads:
            stamp = self.sent[job.queue].get(job)
            if stamp is None:
                unsent.append(job)
            else:
                standing[job.queue][job] = stamp
        self.sent = standing
        by_queue: dict[str, int] = defaultdict(int)
        for job in heads:
            by_queue[job.queue] += 1
        self.more = any(count >= capacity.window(queue) for queue, count in by_queue.items())
        return unsent

    def _messages(self, queue: str, jobs: Sequence[Ready], capacity: Capacity) -> list[list[Ready]]:
        """While a slot has no message waiting for it, what is ready is shared out at once. When every slot has one,
        nobody gains by another small one: only full ones go, and the rest waits to be joined by others. Otherwise
        jobs that come one by one would travel one by one, and cost more than they take.
        """
        waiting = set(self.sent[queue].values())
        fresh = time.time_ns() - int(_HELD_AT_MOST * 1e9)
        without = capacity.slots.get(queue, 0) - sum(stamp > fresh for stamp in waiting)
        most = min(LARGEST_CHUNK, math.ceil(len(jobs) / without)) if without > 0 else LARGEST_CHUNK
        ready = list(chunks(jobs, capacity, most))
        room = max(0, capacity.messages(queue) - len(waiting))
        now = ready[:room]
        if without <= 0 and now and not _is_full(now[-1], capacity):
            now.pop()
        self.more |= len(now) < len(ready)
        return now

    def note_sent(self, jobs: Iterable[Ready], stamp: int) -> None:
        for job in jobs:
            self.sent[job.queue][job] = stamp

    def forget_lost(self, oldest: Mapping[str, int | None]) -> int:
        """Forget messages that Redis has lost, so that they are sent again. Returns how many jobs they carried.

        `oldest`: per queue, the stamp of the oldest message that Redis still has. Messages are taken in order: one
        that is older, and whose job is still queued after a moment, is gone. Two looks in a row must agree, because
        a job may be claimed between our query and the look at Redis.
        """
        settled = time.time_ns() - int(_LOST_AFTER * 1e9)
        missing = {
            job
            for queue, first in oldest.items()
            for job, stamp in self.sent[queue].items()
            if stamp < settled and (first is None or stamp < first)
        }
        gone = missing & self._missing
        self._missing = missing - gone
        for job in gone:
            del self.sent[job.queue][job]
        return len(gone)


def chunks(jobs: Iterable[Ready], capacity: Capacity, most: int = LARGEST_CHUNK) -> Iterator[list[Ready]]:
    """Jobs of one queue as messages, in their order: each holds work for about CHUNK_SECONDS, or one job, and at most
    `most` jobs. The last may reach half over the end: jobs that take half of it travel in twos, though they take more.

    A job that has run before travels alone, and so does one of a kind whose pace is not known.
    """
    message: list[Ready] = []
    seconds = 0.0
    for job in jobs:
        takes = _seconds(job, capacity)
        if message and (len(message) >= most or seconds + takes / 2 > settings.CHUNK_SECONDS):
            yield message
            message, seconds = [], 0.0
        message.append(job)
        seconds += takes
    if message:
        yield message


def _is_full(message: Sequence[Ready], capacity: Capacity) -> bool:
    """Whether one more of the same would be too much."""
    mean = sum(_seconds(job, capacity) for job in message) / len(message)
    return len(message) >= LARGEST_CHUNK or mean * (len(message) + 0.5) > settings.CHUNK_SECONDS


def _seconds(job: Ready, capacity: Capacity) -> float:
    return math.inf if job.alone else capacity.pace(job.kind)


def _heads(capacity: Capacity) -> list[Ready]:
    """The first ready jobs of each queue that somebody serves, by rank and age, of kinds that somebody there knows."""
    wanted = [
        (queue, lane.value, priority.value, list(capacity.kinds[queue]), capacity.window(queue))
        for lane in Lane
        for priority in Priority
        if (queue := queue_name(priority, lane)) in capacity.slots
    ]
    if not wanted:
        return []
    values = ", ".join(["(%s, %s, %s::smallint, %s::text[], %s::int)"] * len(wanted))
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT head.id, queue.name, head.kind, head.alone, head.started_at
            FROM (VALUES {values}) AS queue(name, lane, priority, kinds, size)
            CROSS JOIN LATERAL (
                SELECT id, kind, attempt > 0 OR admission = 2 AS alone, started_at FROM jobs_job
                WHERE state = 'queued' AND admission <> 1 AND lane = queue.lane AND priority = queue.priority
                      AND kind = ANY(queue.kinds)
                ORDER BY rank DESC, ready_at, id LIMIT queue.size
            ) head
            """,  # noqa: S608 - only the number of placeholders is formatted in
            [part for row in wanted for part in row],
        )
        return list(map(Ready._make, cursor.fetchall()))


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
                SELECT id, kind, attempt > 0 OR admission = 2, started_at FROM jobs_job
                WHERE state = 'queued' AND admission <> 1 AND lane = %s AND priority < %s AND kind = ANY(%s)
                      AND priority <> ALL(%s)
                      AND ready_at < now() - %s * interval '1 second'
                ORDER BY ready_at LIMIT %s
                """,
                [
                    lane,
                    Priority.CRITICAL,
                    list(capacity.kinds[queue]),
                    [Priority[name.upper()].value for name in capacity.closed],
                    settings.AGEING_SECONDS,
                    max(1, capacity.window(queue) // _AGED_SHARE),
                ],
            )
            found += [Ready(row[0], queue, *row[1:]) for row in cursor.fetchall()]
    return found
