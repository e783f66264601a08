"""`/livez` and `/readyz`, for those who start, stop and route to web processes.

Answered before anything else of the stack: a probe calls by the address of its pod, which is no allowed host, and it
must not be redirected to TLS nor wait for a session.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse

PATHS = ("/livez", "/readyz")

_migrated = False


def probes(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    def answer(request: HttpRequest) -> HttpResponse:
        if request.path == "/livez":
            return _live()
        if request.path == "/readyz":
            return _ready()
        return get_response(request)

    return answer


def _live() -> HttpResponse:
    """The process answers. Nothing else is asked: to restart it would mend no server that it depends on."""
    return JsonResponse({"status": "alive"})


def _ready() -> HttpResponse:
    """Requests may come: Postgres answers, and has the tables of this release. Redis is not needed to accept jobs."""
    detail = _not_ready()
    if detail:
        return JsonResponse({"status": "not ready", "detail": detail}, status=503)
    return JsonResponse({"status": "ready"})


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
