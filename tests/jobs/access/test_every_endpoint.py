"""Every path of the platform, asked by everybody: what may be done is compared with a table that people can read.

The paths come from the URL configuration, so that one which nobody has thought about fails here. The table is
`deploy/access.md`; HAULWAY_WRITE_TABLE=1 writes it anew, for the change to be read in the diff.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.views.generic import RedirectView
from pytest_django.fixtures import Settings

from downloads import storage
from downloads.models import Download
from downloads.publishing import Mark
from jobs import batches, files, lifecycle, operations
from jobs.access import tokens
from jobs.access.roles import Role
from jobs.api.access import ByRole
from jobs.models import Notice, Schedule, State
from jobs.schedules import editing
from tests.jobs.access.callers import bearer, user_in
from tests.jobs.states import job_in, live_node

TABLE = Path(__file__).resolve().parent.parent.parent.parent / "deploy" / "access.md"
NOTICE = 1_000_000_000  # an id that no sequence comes to
COLUMNS = ("no token", "viewer", "submitter, own", "submitter, others'", "operator", "admin")

# What each sort of endpoint must answer to whom. This is the specification: the product's own table is not asked.
YES, NO, WHO, GONE, LOGIN, NONE = "yes", "403", "401", "404", "login", "-"
EXPECTED: dict[str, tuple[str, ...]] = {
    "open": (YES, YES, YES, NONE, YES, YES),
    "see": (WHO, YES, YES, NONE, YES, YES),
    "see one": (WHO, YES, YES, GONE, YES, YES),
    "submit": (WHO, NO, YES, NONE, YES, YES),
    "change one": (WHO, NO, YES, GONE, YES, YES),
    "operate": (WHO, NO, NO, NONE, YES, YES),
    "see all": (WHO, YES, NO, NONE, YES, YES),  # what belongs to nobody in particular
    "metrics": (NO, YES, YES, NONE, YES, YES),
    # Pages show everybody's jobs. Who sees his own alone uses the API.
    "page": (LOGIN, YES, NO, NONE, YES, YES),
    "page act": (LOGIN, NO, NO, NONE, YES, YES),
}


@dataclass(frozen=True)
class Case:
    """How an endpoint is asked. `make` gives the job that `{id}` in the path is; it belongs to the one submitter."""

    sort: str
    body: Any = None
    make: Callable[[User], uuid.UUID] | None = None
    rows: str = ""  # where a list shows its rows, of which a submitter must see no others
    form: dict[str, str] | None = None  # instead of a body
    query: str = ""
    scope: str = "queue"  # where `{scope}` is in the path, with the queue `high` as its target
    action: str = "cancel"  # where `{action}` is
    passed: int = 200  # what the answer is beyond the door, where it is an error all the same


def job(state: State = State.QUEUED, kind: str = "echo", **payload: Any) -> Callable[[User], uuid.UUID]:
    return lambda owner: job_in(state, kind, payload=payload, owner=owner).id


def download(state: State = State.QUEUED) -> Callable[[User], uuid.UUID]:
    return job(state, "download", url="https://example.org/a")


def job_with_file(owner: User) -> uuid.UUID:
    job_id = job(State.COMPLETED)(owner)
    with files.ResultFiles(str(job_id), 1, nullcontext).write("report.csv") as file:
        file.write(b"1,2")
    return job_id


def downloaded(owner: User) -> uuid.UUID:
    job_id = download(State.COMPLETED)(owner)
    path = storage.destination("a.bin")
    path.write_bytes(b"content")
    found = path.stat()
    published = Mark("a.bin", found.st_ino, found.st_size, found.st_mtime_ns)
    Download.objects.filter(pk=job_id).update(output="a.bin", published=vars(published))
    return job_id


def batch(owner: User) -> uuid.UUID:
    return batches.submit([batches.Item("echo", {}, {"owner": owner})]).pk


def told(owner: User) -> uuid.UUID:
    """A job of which somebody was told."""
    delivery = lifecycle.submit("call_webhook", {"url": "https://example.org/a", "event": "test", "body": {}})
    found = job(State.COMPLETED)(owner)
    Notice.objects.create(id=NOTICE, job_id=found, delivery_id=delivery.pk, event="job.completed", to="somebody")
    return found


def scheduled(_: User) -> uuid.UUID:
    return editing.write(Schedule(name="nightly", every=60, kind="echo")).pk


def worker(_: User) -> uuid.UUID:
    return live_node().id


def operation(_: User) -> uuid.UUID:
    return operations.start("cancel", "kind:echo", actor="somebody").pk


DEAD = job(State.FAILED, "scrape_product", target_url="https://shop.example/1")
ECHO = {"kind": "echo"}
FILE = {"url": "https://example.org/a"}

CASES: dict[str, Case] = {
    "GET /api/schema": Case("see"),
    "GET /api/docs": Case("see"),
    "GET /api/v1/kinds": Case("see"),
    "GET /api/v1/audit": Case("operate"),
    "GET /api/v1/jobs": Case("see", make=job(), rows="results"),
    "POST /api/v1/jobs": Case("submit", ECHO),
    "POST /api/v1/jobs/bulk": Case("submit", {"jobs": [ECHO]}),
    "GET /api/v1/jobs/{id}": Case("see one", make=job()),
    "GET /api/v1/jobs/{id}/files/{name}": Case("see one", make=job_with_file),
    "POST /api/v1/jobs/{id}/cancel": Case("change one", make=job()),
    "POST /api/v1/jobs/{id}/retry": Case("change one", make=job(State.FAILED)),
    "POST /api/v1/jobs/{id}/pause": Case("change one", make=job()),
    "POST /api/v1/jobs/{id}/resume": Case("change one", make=job(State.PAUSED)),
    "GET /api/v1/downloads": Case("see", make=download(), rows="results"),
    "POST /api/v1/downloads": Case("submit", FILE),
    "GET /api/v1/downloads/limits": Case("see"),
    "PUT /api/v1/downloads/limits": Case("operate", {"rate_limit": 4096}),
    "GET /api/v1/downloads/{id}": Case("see one", make=download()),
    "PATCH /api/v1/downloads/{id}": Case("change one", {"rate_limit": 4096}, make=download()),
    "DELETE /api/v1/downloads/{id}": Case("change one", make=download(State.CANCELLED)),
    "GET /api/v1/downloads/{id}/file": Case("see one", make=downloaded),
    "POST /api/v1/downloads/{id}/refresh": Case("change one", FILE, make=download()),
    "POST /api/v1/downloads/{id}/cancel": Case("change one", make=download()),
    "POST /api/v1/downloads/{id}/retry": Case("change one", make=download(State.FAILED)),
    "POST /api/v1/downloads/{id}/pause": Case("change one", make=download()),
    "POST /api/v1/downloads/{id}/resume": Case("change one", make=download(State.PAUSED)),
    "GET /api/v1/jobs/{id}/log": Case("see one", make=job()),
    "GET /api/v1/jobs/{id}/notices": Case("see one", make=job()),
    "POST /api/v1/jobs/{id}/notices/{notice}/replay": Case("change one", make=told),
    "POST /api/v1/webhooks/test": Case("submit", {"url": "https://example.org/a"}),
    "GET /api/v1/batches": Case("see", make=batch, rows="results"),
    "POST /api/v1/batches": Case("submit", {"jobs": [ECHO]}),
    "GET /api/v1/batches/{id}": Case("see one", make=batch),
    "POST /api/v1/batches/{id}/cancel": Case("change one", make=batch),
    "GET /api/v1/schedules": Case("see all", make=scheduled),
    "POST /api/v1/schedules": Case("operate", {"name": "often", "every": 60, "kind": "echo"}),
    "POST /api/v1/schedules/preview": Case("see all", {"every": 60}),
    "GET /api/v1/schedules/{id}": Case("see all", make=scheduled),
    "PATCH /api/v1/schedules/{id}": Case("operate", {"every": 90}, make=scheduled),
    "DELETE /api/v1/schedules/{id}": Case("operate", make=scheduled),
    "GET /api/v1/schedules/{id}/fires": Case("see all", make=scheduled),
    "POST /api/v1/schedules/{id}/pause": Case("operate", make=scheduled),
    "POST /api/v1/schedules/{id}/resume": Case("operate", make=scheduled, passed=409),
    "POST /api/v1/schedules/{id}/run": Case("operate", make=scheduled),
    "GET /api/v1/scaling": Case("see"),
    "GET /api/v1/jobs/{id}/explain": Case("see one", make=job()),
    "GET /api/v1/dead-letters": Case("see"),
    "GET /api/v1/pauses": Case("see all"),
    "PUT /api/v1/pauses/{scope}": Case("operate", {"reason": "so"}, scope="everything"),
    "DELETE /api/v1/pauses/{scope}": Case("operate", scope="everything", passed=404),
    "PUT /api/v1/pauses/{scope}/{target}": Case("operate", {"reason": "so"}),
    "DELETE /api/v1/pauses/{scope}/{target}": Case("operate", passed=404),
    "GET /api/v1/limits": Case("see all"),
    "PUT /api/v1/limits/{scope}/{target}": Case("operate", {"concurrency": 2}),
    "DELETE /api/v1/limits/{scope}/{target}": Case("operate", passed=404),
    "GET /api/v1/operations": Case("operate"),
    "POST /api/v1/operations": Case("operate", {"verb": "cancel", "q": "kind:echo"}),
    "GET /api/v1/operations/{id}": Case("operate", make=operation),
    "POST /api/v1/operations/{id}/cancel": Case("operate", make=operation),
    "GET /problems/{slug}": Case("open"),
    "GET /metrics": Case("metrics"),
    # Pages.
    "GET /": Case("open"),
    "GET /login": Case("open"),
    "POST /login": Case("open", form={}),
    "PUT /login": Case("open"),
    "POST /logout": Case("open", form={}),
    "GET /dashboard/": Case("page"),
    "GET /dashboard/jobs": Case("page"),
    "GET /dashboard/jobs/{id}": Case("page", make=job()),
    "GET /dashboard/jobs/new": Case("page act"),
    "POST /dashboard/jobs/new": Case("page act", form={"kind": "echo"}),
    "POST /dashboard/jobs/act": Case("page act", form={"action": "cancel"}),
    "POST /dashboard/jobs/{id}/{action}": Case("page act", make=job(), form={}),
    "GET /dashboard/dead-letters": Case("page"),
    "GET /dashboard/operations": Case("page"),
    "POST /dashboard/operations/new": Case("page act", form={"verb": "cancel", "q": "kind:echo"}),
    "GET /dashboard/operations/{id}": Case("page", make=operation),
    "POST /dashboard/operations/{id}/stop": Case("page act", make=operation, form={}),
    "GET /dashboard/queues": Case("page"),
    "POST /dashboard/queues/pause": Case("page act", form={"scope": "queue", "target": "high"}),
    "POST /dashboard/queues/resume": Case("page act", form={"scope": "queue", "target": "high"}),
    "POST /dashboard/queues/limit": Case("page act", form={"scope": "queue", "target": "high", "concurrency": "2"}),
    "GET /dashboard/schedules": Case("page"),
    "GET /dashboard/schedules/new": Case("page act"),
    "POST /dashboard/schedules/preview": Case("page act", form={"every": "60"}),
    "GET /dashboard/schedules/{id}": Case("page act", make=scheduled),
    "POST /dashboard/schedules/{id}/{action}": Case("page act", make=scheduled, form={}, action="pause"),
    "GET /dashboard/audit": Case("page act"),
    "GET /dashboard/flower": Case("page act"),
    "GET /dashboard/workers": Case("page"),
    "POST /dashboard/workers/{id}/drain": Case("page act", make=worker, form={}),
    "GET /dashboard/doctor": Case("page"),
    "GET /dashboard/live": Case("page", query="?topic=nothing", passed=400),
    "GET /dashboard/downloads": Case("page"),
    "POST /dashboard/downloads/add": Case("page act", form={"urls": "https://example.org/a"}),
    "POST /dashboard/downloads/limit": Case("page act", form={"rate": "1"}),
    "POST /dashboard/downloads/{id}/{action}": Case("page act", make=download(), form={}),
    # The doors of the older systems.
    "GET /health": Case("open"),
    "GET /health/queue": Case("open"),
    "GET /health/workers": Case("open"),
    "GET /health/redis": Case("open"),
    "GET /queue/stats": Case("see"),
    "GET /workers/stats": Case("see"),
    "POST /jobs": Case("submit", {"api_url": "https://example.org/a"}),
    "POST /api/v1/tasks": Case("submit", {"type": "echo"}),
    "GET /api/v1/tasks/{id}": Case("see one", make=job()),
    "GET /api/v1/stats": Case("see"),
    "POST /task": Case("submit", {"type": "echo"}),
    "GET /monitor": Case("see"),
    "POST /api/queue/jobs": Case("submit", {"type": "product", "target_url": "https://shop.example/1"}),
    "GET /api/queue/stats": Case("see"),
    "GET /api/queue/dead-letter": Case("see", make=DEAD, rows="data"),
    "POST /api/queue/dead-letter/requeue": Case("change one", {"index": 0}, make=DEAD),
    "GET /downloads": Case("see", make=download(), rows="downloads"),
    "POST /downloads": Case("submit", FILE),
    "GET /downloads/{id}/status": Case("see one", make=download()),
}


def endpoints() -> Iterator[str]:
    """Method and path of every view but those of Django's admin, which has its own test."""
    for path, pattern in _patterns(get_resolver().url_patterns, "/"):
        if path.startswith("/admin/"):
            continue
        view = getattr(pattern.callback, "view_class", None) or getattr(pattern.callback, "cls", None)
        if view is None:  # a function says nowhere which methods it takes
            yield from {one for one in CASES if one.split(" ")[1] == path} or {f"? {path}"}
            continue
        methods = {"get"} if issubclass(view, RedirectView) else {"get", "post", "put", "patch", "delete"}
        for method in methods.intersection(view.http_method_names):
            if hasattr(view, method):
                yield f"{method.upper()} {path}"


def _patterns(found: list[Any], before: str) -> Iterator[tuple[str, URLPattern]]:
    for one in found:
        path = before + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from _patterns(one.url_patterns, path)
        else:
            yield re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path).replace("{pk}", "{id}"), one


@dataclass
class World:
    """Everybody there is, with a token, and somebody else's jobs beside those that are asked for."""

    client: Client
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    owner: User = field(init=False)

    def __post_init__(self) -> None:
        self.owner = user_in(Role.SUBMITTER, name="owner")
        self.headers = {
            "no token": {},
            "viewer": bearer(user_in(Role.VIEWER)),
            "submitter, own": bearer(self.owner),
            "submitter, others'": bearer(user_in(Role.SUBMITTER, name="other")),
            "operator": bearer(user_in(Role.OPERATOR)),
            "admin": bearer(user_in(Role.ADMIN)),
        }

    def cell(self, endpoint: str, case: Case, column: str) -> str:
        """What the endpoint answers to whom. Whatever it did is undone."""
        method, path = endpoint.split(" ")
        with transaction.atomic():
            job_id = case.make(self.owner) if case.make else None
            path = (
                path.format(
                    id=job_id,
                    name="report.csv",
                    slug="not-found",
                    action=case.action,
                    notice=NOTICE,
                    scope=case.scope,
                    target="high",
                )
                + case.query
            )
            if case.form is None:
                body = b"" if case.body is None else json.dumps(case.body).encode()
                answer = self.client.generic(method, path, body, "application/json", headers=self.headers[column])
            else:
                answer = self.client.post(path, case.form, headers=self.headers[column])
            if case.rows and answer.status_code == 200:
                shown = [one.get("id", one.get("job_id")) for one in answer.json()[case.rows]]
                assert (str(job_id) in shown) is (column != "submitter, others'"), f"{endpoint} as {column}: {shown}"
            answer.getvalue()  # a file is closed when all of it was read
            transaction.set_rollback(True)
        if case.sort.startswith("page") and answer.headers.get("Location", "").startswith("/login"):
            return LOGIN
        unwell = case.sort == "open" and answer.status_code == 503
        if answer.status_code < 400 or answer.status_code == case.passed or unwell:
            return YES
        return str(answer.status_code)


@pytest.fixture
def world(client: Client, settings: Settings, tmp_path: Path, db: None) -> World:
    settings.DOWNLOAD_ROOT = tmp_path
    tokens.forget()
    return World(client)


def test_every_endpoint_is_in_the_table() -> None:
    assert set(endpoints()) == set(CASES)


@pytest.mark.parametrize("endpoint", CASES)
def test_an_endpoint_answers_to_each_as_its_sort_asks(world: World, endpoint: str) -> None:
    case = CASES[endpoint]
    expected = dict(zip(COLUMNS, EXPECTED[case.sort], strict=True))
    found = {column: world.cell(endpoint, case, column) for column in COLUMNS if expected[column] != NONE or case.rows}

    assert found == {column: expected[column].replace(NONE, YES) for column in found}


def test_the_table_that_people_read_is_the_one_that_is_tested() -> None:
    lines = [
        "# Who may do what",
        "",
        "Made by `tests/jobs/access/test_every_endpoint.py`, which asks every endpoint as everybody. A cell is what",
        "the endpoint answers: *yes*, or the status with which it refuses; *-* where there is no such case. Of every",
        "list a submitter sees his own rows alone.",
        "",
        f"| | {' | '.join(COLUMNS)} |",
        f"|---|{'---|' * len(COLUMNS)}",
        *(f"| `{endpoint}` | {' | '.join(EXPECTED[case.sort])} |" for endpoint, case in CASES.items()),
        "",
    ]
    written = "\n".join(lines)
    if os.environ.get("HAULWAY_WRITE_TABLE") == "1":
        TABLE.write_text(written)

    assert TABLE.read_text() == written


def test_every_view_of_the_api_asks_for_the_role_but_the_probes() -> None:
    """A view that names permissions of its own is a way around the rule."""
    others = {
        f"{view.__module__}.{view.__name__}"
        for _, pattern in _patterns(get_resolver().url_patterns, "/")
        if (view := getattr(pattern.callback, "cls", None)) and list(view.permission_classes) != [ByRole]
    }

    assert others == {"jobs.legacy.downloader.Health", "jobs.legacy.scheduler.PartHealth"}
