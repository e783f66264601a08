"""Server-sent events: a page names what it shows, and is told when that has changed. It then asks for itself again.

One look at the database serves all streams of the process, and a stream holds no connection between two looks. What
a topic's version is made of does not matter: that it differs from the last one is the event.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError, connection, connections
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from jobs.dashboard.page import page

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.3
_COMMENT_SECONDS = 15.0  # silence would let proxies, and we ourselves, take a dead connection for a quiet one
_OLDEST_STREAM = 300.0  # the browser comes back, and is let in again or not
_MOST_TOPICS = 8

# A topic's name, or what stands before its colon, and the versions of the topics asked for.
Look = Callable[[Collection[str]], Mapping[str, object]]
_looks: dict[str, Look] = {}


def topic(name: str, look: Look) -> None:
    """Let pages follow `name`, or `name:…`. `look` is called in a thread, several times a second."""
    _looks[name] = look


def _jobs(_: Collection[str]) -> Mapping[str, object]:
    """Whether any job changed. Triggers note each change in this table, which is emptied into totals every second: a
    row that came and went between two looks has still drawn a number from the sequence.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT (SELECT last_value FROM jobs_tally_id_seq), (SELECT max(id) FROM jobs_tally)")
        return {"jobs": cursor.fetchone()}


def _job(topics: Collection[str]) -> Mapping[str, object]:
    ids = {name: uuid.UUID(name.partition(":")[2]) for name in topics}
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, xmin::text FROM jobs_job WHERE id = ANY(%s)", [list(ids.values())])
        versions = dict(cursor.fetchall())
    return {name: versions.get(job_id) for name, job_id in ids.items()}


topic("jobs", _jobs)
topic("job", _job)


def _known(name: str) -> bool:
    kind, _, rest = name.partition(":")
    if kind not in _looks:
        return False
    try:
        return not rest or bool(uuid.UUID(rest))
    except ValueError:
        return False


class Stream:
    """One open page."""

    def __init__(self, topics: frozenset[str]) -> None:
        self.topics = topics
        self.looked = False
        self.changed: set[str] = set()
        self.woken = asyncio.Event()


class Hub:
    """All streams of this process, and the one task that looks for them."""

    def __init__(self) -> None:
        self._streams: set[Stream] = set()
        self._versions: dict[str, object] = {}
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._listens = False

    async def follow(self, topics: frozenset[str]) -> AsyncIterator[bytes]:
        stream = Stream(topics)
        self._streams.add(stream)
        self._end_on_signals()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            yield b"retry: 2000\n\n: hello\n\n"
            ends_at = time.monotonic() + _OLDEST_STREAM
            while not self._closing and time.monotonic() < ends_at:
                try:
                    await asyncio.wait_for(stream.woken.wait(), _COMMENT_SECONDS)
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                stream.woken.clear()
                changed, stream.changed = sorted(stream.changed), set()
                if changed:
                    yield f"event: changed\ndata: {' '.join(changed)}\n\n".encode()
        finally:
            self._streams.discard(stream)

    def close(self) -> None:
        """End every stream. Without it they would hold a server that waits for its connections."""
        self._closing = True
        for stream in self._streams:
            stream.woken.set()

    def _end_on_signals(self) -> None:
        """The server waits for open responses before it tells the application that it ends, so listen for ourselves."""
        if self._listens or threading.current_thread() is not threading.main_thread():
            return
        self._listens = True
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.getsignal(number)

            def end(received: int, frame: Any, before: Any = before) -> None:
                loop.call_soon_threadsafe(self.close)
                if callable(before):
                    before(received, frame)

            signal.signal(number, end)

    async def _run(self) -> None:
        while self._streams and not self._closing:
            topics = frozenset().union(*(stream.topics for stream in self._streams))
            try:
                versions = await sync_to_async(_versions, thread_sensitive=False)(topics)
            except (DatabaseError, InterfaceError) as error:
                logger.warning("Pages are not told of changes while Postgres is away: %s", error)
                await asyncio.sleep(2)
                continue
            changed = {name for name, now in versions.items() if self._versions.get(name, now) != now}
            self._versions = dict(versions)
            for stream in self._streams:
                # What changed between the page and the first look that its stream had part in, nobody else will tell.
                first = not stream.looked and stream.topics <= versions.keys()
                stream.looked = stream.looked or first
                if news := stream.topics if first else changed & stream.topics:
                    stream.changed |= news
                    stream.woken.set()
            await asyncio.sleep(LOOK_SECONDS)
        self._versions.clear()


def _versions(topics: frozenset[str]) -> dict[str, object]:
    try:
        found: dict[str, object] = {}
        for name, look in _looks.items():
            if wanted := [one for one in topics if one.partition(":")[0] == name]:
                found.update(look(wanted))
        return found
    finally:
        connection.close()


hub = Hub()


@page
def stream(request: HttpRequest) -> HttpResponseBase:
    """`?topic=jobs&topic=job:<id>`: an event `changed` whose data are the topics that did."""
    topics = frozenset(request.GET.getlist("topic"))
    if not topics or len(topics) > _MOST_TOPICS or not all(map(_known, topics)):
        return HttpResponse("No such topic.\n", status=400, content_type="text/plain")
    connections.close_all()  # looking up the session took one, which would be held for as long as the page is open
    response = StreamingHttpResponse(hub.follow(topics), content_type="text/event-stream")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response
