"""What the walks through the seeds' documents share: the running platform, and patience."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from project.local.datadir import Addresses

TIMEOUT = 30


def eventually(look: Callable[[], Any], seconds: float = 60) -> Any:
    """What `look` gives as soon as it gives something true."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


class Api:
    """A client of the running platform that knows its address."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, **options: Any) -> Any:
        answer = requests.get(self.address + path, timeout=TIMEOUT, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any) -> requests.Response:
        return requests.post(self.address + path, json=body, timeout=TIMEOUT)

    def ended(self, job_id: str) -> dict[str, Any]:
        """The job, as soon as it is finished."""

        def finished() -> Any:
            job = self.get(f"/api/v1/jobs/{job_id}")
            return job if job["finished_at"] else None

        found: dict[str, Any] = eventually(finished)
        return found


@pytest.fixture
def api(stack: Addresses) -> Api:
    assert stack.api
    return Api(stack.api)
