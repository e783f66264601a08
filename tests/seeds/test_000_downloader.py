"""Seed 000, the queue-based downloader: its requests as printed, against the running platform."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from project.local.datadir import Addresses
from tests.origins import FileOrigin
from tests.origins.files import content
from tests.seeds.conftest import TIMEOUT
from tests.waiting import eventually


@pytest.fixture
def api(stack: Addresses) -> str:
    return str(stack.api)


def test_a_download_is_enqueued_followed_and_equal_to_its_origin(api: str, stack: Addresses) -> None:
    data = content(20_000_000)
    with FileOrigin(data, rate=2_000_000) as origin:
        answer = requests.post(
            f"{api}/downloads",
            json={"url": origin.url("/file.zip"), "output": "file.zip", "threads": 4},
            timeout=TIMEOUT,
        )
        assert answer.status_code == 202
        accepted = answer.json()
        assert accepted == {
            "job_id": accepted["job_id"],
            "message": "Download job enqueued successfully",
            "status": "queued",
        }
        status = f"{api}/downloads/{accepted['job_id']}/status"

        def under_way() -> Any:
            seen = requests.get(status, timeout=TIMEOUT).json()
            return seen if 0 < seen["bytes_downloaded"] < len(data) else None

        seen = eventually(under_way)
        assert seen["status"] == "processing"
        assert 0 < seen["progress"] < 100
        assert seen["total_bytes"] == len(data)
        done = eventually(lambda: _completed(status))
    assert done["job_id"] == accepted["job_id"]
    assert (done["progress"], done["bytes_downloaded"], done["total_bytes"]) == (100.0, len(data), len(data))
    on_disk = (Path(stack.download_root) / "file.zip").read_bytes()
    assert hashlib.sha256(on_disk).digest() == hashlib.sha256(data).digest()


def _completed(status: str) -> Any:
    seen = requests.get(status, timeout=TIMEOUT).json()
    assert seen["status"] != "failed", seen["error"]
    return seen if seen["status"] == "completed" else None


def test_all_downloads_are_listed(api: str) -> None:
    accepted = requests.post(f"{api}/downloads", json={"url": "http://127.0.0.1:9/never"}, timeout=TIMEOUT).json()
    listed = requests.get(f"{api}/downloads", timeout=TIMEOUT).json()["downloads"]
    assert accepted["job_id"] in [one["job_id"] for one in listed]


def test_the_printed_query_of_the_downloads_table_is_answered(api: str, stack: Addresses) -> None:
    accepted = requests.post(f"{api}/downloads", json={"url": "http://127.0.0.1:9/never"}, timeout=TIMEOUT).json()
    with psycopg.connect(stack.postgres_url) as database:
        rows = database.execute("SELECT id, url, status, bytes_downloaded, total_bytes FROM downloads").fetchall()
    found = {str(row[0]): row[1:] for row in rows}[accepted["job_id"]]
    assert found[0] == "http://127.0.0.1:9/never"
    assert found[1] in {"queued", "processing", "failed"}
    assert found[2:] == (0, 0)


def test_queue_statistics_have_the_printed_shape_and_add_up(api: str) -> None:
    body = requests.get(f"{api}/queue/stats", timeout=TIMEOUT).json()
    stats = body["queue_stats"]
    assert set(stats) == {"queued", "processing", "completed", "failed", "total"}
    assert stats["total"] == stats["queued"] + stats["processing"] + stats["completed"] + stats["failed"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["timestamp"])


def test_worker_statistics_name_every_worker(api: str) -> None:
    workers = requests.get(f"{api}/workers/stats", timeout=TIMEOUT).json()["workers"]
    assert len(workers) == 2
    assert all(worker["slots"] > 0 for worker in workers)


def test_the_health_of_redis_and_postgres_is_shown(api: str) -> None:
    answer = requests.get(f"{api}/health", timeout=TIMEOUT)
    assert answer.status_code == 200
    assert answer.json()["status"] == "healthy"
    assert {"postgres", "redis"} <= set(answer.json()["checks"])
