"""A platform in the middle of its work, so that every page has something to show: real jobs on a running stack."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from math import sin
from threading import Event, Thread
from typing import Any

import requests

from project.demo.origin import serving
from project.local.datadir import Addresses

MIB = 1024 * 1024


class Client:
    """The API of one stack."""

    def __init__(self, addresses: Addresses) -> None:
        assert addresses.api
        self.root = addresses.api
        self._session = requests.Session()
        self._session.trust_env = False

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self._session.post(f"{self.root}/api/v1/{path}", json=body, timeout=30)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def get(self, path: str) -> dict[str, Any]:
        answer = self._session.get(f"{self.root}/api/v1/{path}", timeout=30)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def job(self, kind: str = "echo", **options: Any) -> str:
        return str(self.post("jobs", kind=kind, **options)["id"])

    def until(self, job_id: str, *states: str) -> dict[str, Any]:
        """The job, once it is in one of these states."""
        found: dict[str, Any] = wait_for(lambda: (job := self.get(f"jobs/{job_id}"))["state"] in states and job)
        return found


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What the condition gives, as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.1)
    return found


@contextmanager
def lively(addresses: Addresses) -> Iterator[Client]:
    """Some of everything: jobs of each state, dead letters of several sorts, downloads under way and finished."""
    client = Client(addresses)
    with serving(160 * MIB, 0.35 * MIB) as slow, serving(24 * MIB, 400 * MIB) as quick:
        big = {"ubuntu-26.04-server.iso": 8, "faces-in-the-wild.tar.zst": 4, "reanalysis-1979.nc": 6}
        for name, threads in big.items():
            client.post("downloads", url=slow.url, output=f"images/{name}", threads=threads, priority="high")
        for number in range(3):
            client.post("downloads", url=quick.url, output=f"books/volume-{number + 1}.pdf", sha256=quick.sha256)
        client.post("downloads", url=quick.url, output="broken/archive.zip", sha256="0" * 64, max_retries=0)
        for number in range(6):
            client.job(payload={"customer": f"C-{100 + number}", "fail_times": 9}, max_retries=0)
        for number in range(3):
            client.job(payload={"invoice": f"2026-{number:03}", "give_up": True}, priority="high")
        client.job("http_request", payload={"api_url": "http://127.0.0.1:9/report", "method": "POST"}, max_retries=0)
        client.job(payload={"report": "quarterly", "fail_times": 2}, max_retries=5)
        client.job(payload={"newsletter": "December"}, run_at="2030-12-01T08:00:00Z", priority="low")
        waits = client.job(payload={"sleep": 1}, run_at="2030-01-01T00:00:00Z")
        client.post(f"jobs/{waits}/pause")
        client.job(payload={"sleep": 300, "thumbnails": 8192}, priority="critical", metadata={"team": "media"})
        with _steady_flow(Client(addresses)):
            yield client


@contextmanager
def _steady_flow(client: Client) -> Iterator[None]:
    """Orders that come in waves, some of which cannot be done."""
    over = Event()

    def flow() -> None:
        for tide in count():
            crowd = 40 + round(30 * sin(tide / 9)) + 12 * (tide % 4 == 0)
            orders: list[dict[str, Any]] = [
                {"kind": "echo", "payload": {"order": 40_000 + 100 * tide + n}, "priority": "high"}
                for n in range(crowd)
            ]
            orders += [{"kind": "echo", "payload": {"order": tide, "fail_times": 1}, "max_retries": 0}] * (
                tide % 5 == 0
            )
            client.post("jobs/bulk", jobs=orders)
            if over.wait(0.5):
                return

    thread = Thread(target=flow, name="flow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
