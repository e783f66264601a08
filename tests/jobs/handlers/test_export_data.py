"""The kind `export_data` on real rows."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs import exports, files, lifecycle
from jobs.access.callers import AT_THIS_MACHINE
from jobs.models import Job, Outcome, State
from jobs.submission import checked
from tests.jobs.handlers.conftest import Runs
from tests.jobs.states import as_stored, job_in, outcomes

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]


def exported(job: Job) -> bytes:
    assert job.state == State.COMPLETED, job.error
    assert job.result
    with files.opened(job.id, job.result["file"]) as file:
        content = file.read()
    assert job.result["bytes"] == len(content)
    return content


def _of_csv(content: bytes) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def _of_json(content: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(content)
    return rows


def _of_jsonl(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


READERS: dict[str, Callable[[bytes], list[dict[str, Any]]]] = {"csv": _of_csv, "json": _of_json, "jsonl": _of_jsonl}


@pytest.mark.parametrize("format_", READERS)
def test_every_job_is_exported_once_and_in_order(run: Runs, format_: str) -> None:
    ids = lifecycle.submit_many([checked("echo", {"n": n}) for n in range(2500)])
    job = run("export_data", format=format_, filters={"kind": ["echo"]})
    rows = READERS[format_](exported(job))
    assert [row["id"] for row in rows] == [str(one) for one in ids]
    assert job.result["rows"] == 2500
    payload = rows[7]["payload"]
    assert (json.loads(payload) if format_ == "csv" else payload) == {"n": 7}
    assert (rows[7]["state"], rows[7]["priority"]) == ("queued", "medium")


def test_the_payload_of_the_older_system_is_taken_as_it_is(run: Runs) -> None:
    assert len(_of_csv(exported(run("export_data", format="csv", filters={})))) == 1  # itself


@pytest.mark.parametrize("format_", READERS)
def test_an_export_of_nothing_is_a_file_without_rows(run: Runs, format_: str) -> None:
    job = run("export_data", format=format_, filters={"kind": ["no such"]})
    assert READERS[format_](exported(job)) == []


def test_filters_must_all_be_passed(run: Runs) -> None:
    before = timezone.now()
    wanted = job_in(State.FAILED, priority="high")
    job_in(State.FAILED)
    job_in(State.COMPLETED, priority="high")
    filters = {"state": ["failed", "cancelled"], "priority": ["high"], "created_from": before.isoformat()}
    rows = _of_jsonl(exported(run("export_data", format="jsonl", filters=filters)))
    assert [row["id"] for row in rows] == [str(wanted.id)]
    filters["created_before"] = before.isoformat()
    assert _of_jsonl(exported(run("export_data", format="jsonl", filters=filters))) == []


def test_downloads_are_exported_with_the_state_of_their_jobs(run: Runs) -> None:
    job = lifecycle.submit("download", {"url": "http://example.com/a.zip", "output": "a.zip"})
    job_in(State.QUEUED)
    rows = _of_jsonl(exported(run("export_data", data="downloads", format="jsonl", filters={"state": ["queued"]})))
    assert [(row["id"], row["url"], row["state"]) for row in rows] == [
        (str(job.id), "http://example.com/a.zip", "queued")
    ]


def test_secrets_are_masked(run: Runs) -> None:
    lifecycle.submit("http_request", {"api_url": "http://127.0.0.1/", "auth": {"type": "bearer", "token": "s3cret"}})
    (row,) = _of_jsonl(exported(run("export_data", format="jsonl", filters={"kind": ["http_request"]})))
    assert row["payload"]["auth"]["token"] == "***"


def test_a_spreadsheet_gets_no_formulas(run: Runs) -> None:
    job = job_in(State.FAILED)
    Job.objects.filter(id=job.id).update(error="=HYPERLINK(1)")
    (row,) = _of_csv(exported(run("export_data", filters={"state": ["failed"]})))
    assert row["error"] == "'=HYPERLINK(1)"


def test_large_rows_come_in_small_pages() -> None:
    lifecycle.submit_many([checked("echo", {"text": "x" * 100_000})] * 100)
    pages = exports.Pages(exports.source("jobs"), {}, AT_THIS_MACHINE)
    sizes = []
    for page in pages:
        sizes.append(len(page))
        pages.came_to(len(page), len(page) * 100_000)
    assert sum(sizes) == 100
    assert max(sizes) <= 20


def test_the_question_for_a_page_does_not_grow_with_the_pages_before() -> None:
    lifecycle.submit_many([checked("echo")] * 100)
    pages = exports.Pages(exports.source("jobs"), {}, AT_THIS_MACHINE)
    with CaptureQueriesContext(connection) as asked:
        for page in pages:
            pages.came_to(len(page), len(page) * 100_000)
    second, *_, last = [query["sql"] for query in asked][1:]
    assert len(asked) > 8
    assert len(last) == len(second)


def test_a_cancel_ends_an_export_and_leaves_no_file(run: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    lifecycle.submit_many([checked("echo")] * 100)
    came_to = exports.Pages.came_to

    def cancel_then_go_on(pages: exports.Pages, rows: int, size: int) -> None:
        run.cancel_what_runs()
        came_to(pages, rows, size)

    monkeypatch.setattr(exports.Pages, "came_to", cancel_then_go_on)
    job = run("export_data")
    assert (job.state, files.listing(job.id)) == (State.CANCELLED, [])


def test_an_export_that_takes_too_long_is_timed_out(run: Runs) -> None:
    lifecycle.submit_many([checked("echo")] * 100)
    assert outcomes(run("export_data", options={"timeout": 0.001})) == [(1, Outcome.TIMED_OUT)]


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        ({"format": "xlsx"}, "/payload/format"),
        ({"data": "secrets"}, "/payload/data"),
        ({"filters": {"state": ["lost"]}}, "/payload/filters/state/0"),
        ({"filters": {"priority": ["urgent"]}}, "/payload/filters/priority/0"),
        ({"filters": {"created_from": "yesterday"}}, "/payload/filters/created_from"),
        ({"filters": {"payload": "x"}}, "/payload/filters/payload"),
    ],
)
def test_a_bad_payload_is_refused_at_the_door(run: Runs, payload: dict[str, Any], pointer: str) -> None:
    assert run.refused("export_data", **payload) == [pointer]


# Runs one job in a process of its own, whose memory is then the export's, and says how much it took.
_ALONE = """
import re, sys, tempfile, uuid
from pathlib import Path
import django
django.setup()
from project.celery import app
app.loader.import_default_modules()
from jobs.board import Board
from jobs.worker import Slots
from tests.jobs.states import live_node
def most():  # getrusage() would remember the process that this one was forked from
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024 / 1e6
with tempfile.TemporaryDirectory() as directory:
    slots = Slots(live_node().id, Board(Path(directory), 1), shares_connections=False)
    before = most()
    slots.run([uuid.UUID(sys.argv[1])])
    print(before, most())
"""


# Copies of one job, whatever columns jobs have.
_MULTIPLY = """
INSERT INTO jobs_job SELECT copy.* FROM generate_series(%s, %s) n, jobs_job job, LATERAL jsonb_populate_record(
    job, jsonb_build_object('id', '00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))) copy WHERE job.id = %s
"""


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(900)
def test_a_million_rows_are_exported_by_a_worker_of_less_than_100_mb(tmp_path: Path) -> None:
    first = job_in(State.COMPLETED, payload={"text": "x" * 100})
    for start in range(1, 1_000_001, 50_000):
        with connection.cursor() as cursor:
            cursor.execute(_MULTIPLY, [start, start + 49_999, first.id])
    for format_ in ("csv", "jsonl"):
        job = lifecycle.submit("export_data", {"format": format_, "filters": {"kind": ["echo"]}})
        before, most = _export_alone(job, tmp_path)
        job = as_stored(job)
        assert job.state == State.COMPLETED, job.error
        assert job.result
        assert job.result["rows"] == 1_000_001
        with (tmp_path / files.FOLDER / str(job.id) / job.result["file"]).open("rb") as file:
            assert sum(1 for _ in file) == 1_000_001 + (format_ == "csv")
        size, seconds = job.result["bytes"] / 1e6, job.attempts.get().seconds
        print(f"\n{format_}: {size:.0f} MB in {seconds:.0f} s, {before:.1f} MB before, {most:.1f} MB at most")  # noqa: T201
        assert most < 100


def _export_alone(job: Job, root: Path) -> tuple[float, float]:
    """Run it in a process of its own. Returns the MB that the process had before, and at most."""
    url = "postgres://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**connection.settings_dict)
    done = subprocess.run(
        [sys.executable, "-c", _ALONE, str(job.id)],
        env=os.environ | {"POSTGRES_URL": url, "DOWNLOAD_ROOT": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, most = map(float, done.stdout.split())
    return before, most
