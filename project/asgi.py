"""The ASGI application: Django, with each request answered in one thread, from its first middleware to its last.

Django's own handler takes a thread, and waits for it, for every middleware and view that is not asynchronous, and ours
are not: some sixteen hops, which took longer than all that a submission does. Here a request hops once. What takes
long holds no thread: the streams of pages and files, and those who wait for a job.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from io import BytesIO
from typing import IO, Any

import django
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.signals import request_started
from django.db import close_old_connections
from django.http import FileResponse, HttpResponseBase
from django.urls import set_script_prefix

from project.exposure import stop_if_unsafe

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
stop_if_unsafe()
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402 - there are none before

from jobs import probes  # noqa: E402
from jobs.api import waiting  # noqa: E402
from project.bodies import bounded  # noqa: E402

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class Handler(ASGIHandler):
    """`threads`: how many requests are answered at once; those beyond wait for one."""

    def __init__(self, threads: int) -> None:
        self.load_middleware()  # for threads; the parent's own __init__ would load it for coroutines
        self._threads = ThreadPoolExecutor(threads, "request")
        self._probing = ThreadPoolExecutor(1, "probe")  # a server that is busy is not dead

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"only HTTP is spoken here, not {scope['type']}")
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        with body:
            threads = self._probing if scope["path"] in probes.PATHS else self._threads
            response = await _in_thread(threads, self._answer, scope, body)
            if response.streaming or waiting.is_awaited(response):
                await _unless_gone(receive, self._see_out(response, scope, send))
            else:
                await self.send_response(response, send)

    def _answer(self, scope: Scope, body: IO[bytes]) -> Any:
        """In a thread, from where the connection to the database goes back to the pool."""
        set_script_prefix(get_script_prefix(scope))
        request_started.send(sender=self.__class__, scope=scope)
        request, refusal = self.create_request(scope, body)
        response: Any = refusal if request is None else self.get_response(request)
        if response.streaming:
            close_old_connections()
        else:
            response.close()
        return response

    async def _see_out(self, response: HttpResponseBase, scope: Scope, send: Send) -> None:
        if waiting.is_awaited(response):
            await waiting.end_of_wait(response)
            response = await _in_thread(self._threads, self._answer, scope, BytesIO())  # a GET, and it is read already
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
        try:
            await self.send_response(response, send)
        finally:
            if response.streaming:
                await _in_thread(self._threads, response.close)


async def _in_thread(threads: Executor, work: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(threads, copy_context().run, work, *args)


async def _unless_gone(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Do this for as long as the client is there. All that can still be received is that it has gone."""
    working, gone = asyncio.create_task(work), asyncio.ensure_future(receive())
    await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    if not working.done():
        working.cancel()
    with suppress(asyncio.CancelledError):
        await working


application = bounded(Handler(threads=settings.WEB_THREADS), settings.MAX_BULK_BODY_BYTES)
