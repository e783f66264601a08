"""`/livez` and `/readyz`, for those who start, stop and route to web processes.

Answered before anything else of the stack: a probe calls by the address of its pod, which is no allowed host, and it
must not be redirected to TLS nor wait for a session.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import sync_and_async_middleware

_migrated = False


@sync_and_async_middleware
def probes(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    if inspect.iscoroutinefunction(get_response):

        async def answer(request: HttpRequest) -> HttpResponse:
            if request.path == "/livez":
                return _live()
            if request.path == "/readyz":
                return await sync_to_async(_ready_in_a_thread, thread_sensitive=False)()
            response: HttpResponse = await get_response(request)
            return response

        return answer

    def answer_in_thread(request: HttpRequest) -> HttpResponse:
        if request.path == "/livez":
            return _live()
        if request.path == "/readyz":
            return _ready()
        response: HttpResponse = get_response(request)
        return response

    return answer_in_thread


def _live() -> HttpResponse:
    """The process answers. Nothing else is asked: to restart it would mend no server that it depends on."""
    return JsonResponse({"status": "alive"})


def _ready() -> HttpResponse:
    """Requests may come: Postgres answers, and has the tables of this release. Redis is not needed to accept jobs."""
    detail = _not_ready()
    if detail:
        return JsonResponse({"status": "not ready", "detail": detail}, status=503)
    return JsonResponse({"status": "ready"})


def _ready_in_a_thread() -> HttpResponse:
    """In a thread of its own, so that it does not wait behind requests; no end of a request closes its connection."""
    try:
        return _ready()
    finally:
        connection.close()


def _not_ready() -> str:
    """Why no request should come; empty when all is well. Names no host and no user."""
    global _migrated  # noqa: PLW0603 - what was migrated once stays so for this code
    try:
        if not _migrated:
            missing = unapplied()
            if missing:
                return f"migrations are missing: {', '.join(missing)}"
            _migrated = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, InterfaceError) as error:
        return f"Postgres does not answer ({type(error).__name__})"
    return ""


def unapplied() -> list[str]:
    """The migrations of this release that the database does not have."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
