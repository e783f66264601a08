"""What the walks through the seeds' documents share: the running platform, and patience."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from project.local.datadir import Addresses
from tests.waiting import eventually

TIMEOUT = 30


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
