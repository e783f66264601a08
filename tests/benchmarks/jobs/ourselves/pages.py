"""How long the web process takes for each page, where the table is full: the slow end of some requests, one by one."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from project.local.ports import LOOPBACK
from tests.benchmarks.jobs.ground import Ground
from tests.benchmarks.jobs.ourselves import age, platform
from tests.benchmarks.jobs.ourselves.server import PATIENCE, serving

_LIVE = 100_000
_TIMES = 40  # requests for each page
_PAGES: Mapping[str, str] = {
    "overview": "/dashboard/",
    "jobs": "/dashboard/jobs",
    "jobs, failed": "/dashboard/jobs?state=failed",
    "jobs, of a kind": "/dashboard/jobs?kind=echo",
    "jobs, waiting in a queue": "/dashboard/jobs?state=queued&queue=low",
    "search: a payload": "/dashboard/jobs?q=payload.customer:42",
    "search: an error": "/dashboard/jobs?q=error:Timeout",
    "search: several": "/dashboard/jobs?q=state:failed+kind:echo+payload.customer:42+created%3E2026-01-01",
    "search: what no job has": "/dashboard/jobs?q=payload.customer:none",
    "job": "/dashboard/jobs/{job}",
    "downloads": "/dashboard/downloads",
    "dead letters": "/dashboard/dead-letters",
    "operations": "/dashboard/operations",
    "schedules": "/dashboard/schedules",
    "queues": "/dashboard/queues",
    "workers": "/dashboard/workers",
    "doctor": "/dashboard/doctor",
    "audit": "/dashboard/audit",
    "admin: jobs": "/admin/jobs/job/",
    "admin: failed jobs": "/admin/jobs/job/?state__exact=failed",
    "admin: search": "/admin/jobs/job/?q=payload.customer:42",
    "admin: attempts": "/admin/jobs/attempt/",
    "API: jobs": "/api/v1/jobs",
    "API: search": "/api/v1/jobs?q=payload.customer:42",
    "API: explain": "/api/v1/jobs/{waiting}/explain",
    "API: dead letters": "/api/v1/dead-letters",
    "API: scaling": "/api/v1/scaling",
    "stats": "/api/v1/stats",
    "metrics": "/metrics",
}


def times(ground: Ground, rows: int) -> Iterator[tuple[str, dict[str, float]]]:
    """(page, {"p50": ms, "p95": ms, "most": ms}) with `rows` finished jobs and a hundred thousand that wait."""
    age.fill(ground, rows)
    platform.submit(_LIVE, "bench.noop", priority="low")
    with ground.connect() as connection:
        connection.execute("VACUUM ANALYZE jobs_job, jobs_attempt")
    (job,) = platform.ask(ground, "SELECT id FROM jobs_job WHERE state = 'failed' LIMIT 1")
    (waiting,) = platform.ask(ground, "SELECT id FROM jobs_job WHERE state = 'queued' ORDER BY id DESC LIMIT 1")
    cookie = _signed_in()
    with serving(ground) as port:
        for name, path in _PAGES.items():
            yield name, _timed(port, path.format(job=job, waiting=waiting), cookie)


def open_tabs(ground: Ground, tabs: int, seconds: float) -> float:
    """The share of one processor that so many open pages cost web, Postgres and Valkey while nothing changes."""
    with serving(ground) as port, ExitStack() as opened:
        for _ in range(tabs):
            connection = http.client.HTTPConnection(LOOPBACK, port, timeout=PATIENCE)
            opened.callback(connection.close)
            connection.request("GET", "/dashboard/live?topic=jobs")
            connection.getresponse().readline()
        before = ground.processor_seconds()
        time.sleep(seconds)
        return (ground.processor_seconds() - before) / seconds


def _signed_in() -> str:
    user, _ = User.objects.get_or_create(username="bench", defaults={"is_staff": True, "is_superuser": True})
    client = Client()
    client.force_login(user)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


def _timed(port: int, path: str, cookie: str) -> dict[str, float]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=PATIENCE)
    found = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        connection.request("GET", path, headers={"Cookie": cookie})
        response = connection.getresponse()
        response.read()
        found.append((time.perf_counter() - began) * 1000)
        if response.status != 200:
            raise RuntimeError(f"{path} was answered with {response.status}")
    connection.close()
    found.sort()
    return {"p50": found[_TIMES // 2], "p95": found[int(_TIMES * 0.95) - 1], "most": found[-1]}
