"""`?wait=30`: the answer comes when the job has finished, or when the time is over.

One thread per web process looks after all jobs that somebody waits for, with one query for all of them. Whoever
waits holds no connection to the database.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from functools import wraps
from typing import Any

from django.db import DatabaseError, InterfaceError, close_old_connections
from django.http import HttpRequest, HttpResponseBase
from rest_framework.exceptions import ValidationError

from jobs.models import Job
from jobs.stopping import listen, stopping

MOST_SECONDS = 60.0
_MOST_WAITING = 500  # requests at once, per process; those beyond are answered at once
_LOOK_EVERY = 0.2
_AWAITED = "awaited"  # what a response is marked by

logger = logging.getLogger(__name__)


def seconds(query: Mapping[str, str]) -> float:
    """What `?wait=` says. Raises ValidationError."""
    given = query.get("wait", "0")
    try:
        wanted = float(given)
    except ValueError:
        wanted = -1
    if not 0 <= wanted <= MOST_SECONDS:
        raise ValidationError({"wait": f"must be a number of seconds from 0 to {MOST_SECONDS:.0f}"})
    return wanted


def waits(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Let a view of one job, by its `pk`, take `?wait=`. The view itself checks who asks, and what for, before that.

    It is the server that waits (project/asgi.py), and asks the view once more at the end: a thread could not be spared.
    """

    @wraps(view)
    def patient(request: HttpRequest, pk: uuid.UUID, **kwargs: Any) -> HttpResponseBase:
        response = view(request, pk=pk, **kwargs)
        if request.method == "GET" and "wait" in request.GET and _unfinished(response):
            setattr(response, _AWAITED, (pk, seconds(request.GET)))
        return response

    return patient


def _unfinished(response: HttpResponseBase) -> bool:
    if response.status_code == 200:
        return bool(getattr(response, "data", {"finished_at": ""})["finished_at"] is None)
    return response.status_code == 304


def is_awaited(response: HttpResponseBase) -> bool:
    """Whether this is what is known so far, and the client waits for more."""
    return hasattr(response, _AWAITED)


async def end_of_wait(response: HttpResponseBase) -> None:
    """Returns when its job is finished or gone, when the time is over, or when this process shall end."""
    job_id, patience = getattr(response, _AWAITED)
    listen()
    future = _watch.add(job_id)
    if future is None:
        return
    awaited = asyncio.wrap_future(future)
    try:
        await asyncio.wait([awaited], timeout=patience)
    finally:
        awaited.cancel()
        _watch.discard(job_id, future)


class Watch:
    """Looks after jobs for as long as somebody waits for one."""

    def __init__(self) -> None:
        self._waiting: dict[uuid.UUID, set[Future[None]]] = defaultdict(set)
        self._changing = threading.Lock()
        self._looks = False

    def add(self, job_id: uuid.UUID) -> Future[None] | None:
        """A future that is done when the job is; none where too many wait already, or the end is near."""
        future: Future[None] = Future()
        with self._changing:
            if stopping.is_set() or sum(map(len, self._waiting.values())) >= _MOST_WAITING:
                return None
            self._waiting[job_id].add(future)
            if not self._looks:
                self._looks = True
                threading.Thread(target=self._look_until_nobody_waits, name="waiting", daemon=True).start()
        return future

    def discard(self, job_id: uuid.UUID, future: Future[None]) -> None:
        with self._changing:
            if waiting := self._waiting.get(job_id):
                waiting.discard(future)
                if not waiting:
                    del self._waiting[job_id]

    def _look_until_nobody_waits(self) -> None:
        while True:
            with self._changing:
                ids = list(self._waiting)
                if not ids:
                    self._looks = False
                    return
            self._release(ids if stopping.is_set() else _over(ids))
            time.sleep(_LOOK_EVERY)

    def _release(self, ids: Collection[uuid.UUID]) -> None:
        with self._changing:
            futures = [future for one in ids for future in self._waiting.pop(one, ())]
        for future in futures:
            if future.set_running_or_notify_cancel():
                future.set_result(None)


def _over(ids: list[uuid.UUID]) -> set[uuid.UUID]:
    """Those of these jobs that are finished or gone. While the database is away nobody knows of any."""
    try:
        live = Job.objects.filter(id__in=ids, finished_at__isnull=True)
        return set(ids) - set(live.values_list("id", flat=True))
    except (DatabaseError, InterfaceError) as error:
        logger.warning("Cannot look after the jobs that are waited for: %s", error)
        return set()
    finally:
        close_old_connections()


_watch = Watch()
