"""The platform as a client sees it: jobs in, results out, over HTTP alone."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import requests

_FINISHED = ("completed", "failed", "cancelled")


class Platform:
    def __init__(self, root: str) -> None:
        self.root = root
        self._session = requests.Session()
        self._session.trust_env = False

    def get(self, path: str, **headers: str) -> requests.Response:
        answer = self._session.get(self.root + path, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer

    def submit(self, kind: str, *, priority: str = "medium", **payload: Any) -> str:
        body = {"kind": kind, "payload": payload, "priority": priority}
        answer = self._session.post(f"{self.root}/api/v1/jobs", json=body, timeout=30)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/api/v1/jobs/{job_id}").json()
        return found

    def end_of(self, job_id: str, seconds: float = 60) -> dict[str, Any]:
        """The job when it has ended. Fails the test if that takes longer than `seconds`."""
        ends = time.monotonic() + seconds
        while (job := self.job(job_id))["state"] not in _FINISHED:
            assert time.monotonic() < ends, f"still {job['state']} after {seconds} s: {job}"
            time.sleep(0.1)
        return job

    def done(self, kind: str, **payload: Any) -> dict[str, Any]:
        """Submit a job and wait until it is completed."""
        job = self.end_of(self.submit(kind, **payload))
        assert job["state"] == "completed", job
        return job

    def cancel(self, job_id: str) -> None:
        self._session.post(f"{self.root}/api/v1/jobs/{job_id}/cancel", timeout=30).raise_for_status()

    @staticmethod
    def seconds(job: dict[str, Any], first: str, then: str) -> float:
        """Between two times of a job."""
        return (datetime.fromisoformat(job[then]) - datetime.fromisoformat(job[first])).total_seconds()
