"""Jobs as clients submit them, run attempt by attempt in a worker's slot against real peers."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings


class Runs:
    """Submits jobs over the API and runs them here, one attempt at a time."""

    def __init__(self, directory: Path) -> None:
        # Imported late: settings are loaded after this file.
        from jobs.board import Board  # noqa: PLC0415
        from jobs.worker import Slots  # noqa: PLC0415
        from tests.jobs.states import live_node  # noqa: PLC0415

        self._board = Board(directory, slots=4)
        self._slots = Slots(live_node().id, self._board, shares_connections=False)
        self._client = Client()

    def refused(self, kind: str, **payload: Any) -> list[str]:
        """Submit what shall not be accepted. Returns the pointers of the faults."""
        answer = self._submit(kind, payload, {})
        assert answer.status_code == 400, answer.content
        return [error["pointer"] for error in answer.json()["errors"]]

    def __call__(self, kind: str, *, options: dict[str, Any] | None = None, **payload: Any) -> Any:
        """Submit a job and run its first attempt. Returns the job as it is then."""
        answer = self._submit(kind, payload, options or {})
        assert answer.status_code == 202, answer.content
        return self._run(uuid.UUID(answer.json()["id"]))

    def again(self, job: Any) -> Any:
        """The job's pause is over: run its next attempt."""
        from jobs import lifecycle  # noqa: PLC0415
        from tests.jobs.states import make_due  # noqa: PLC0415

        make_due(job)
        assert lifecycle.promote() == 1
        return self._run(job.id)

    def cancel_what_runs(self) -> None:
        """As the node does for a job that somebody cancels."""
        from jobs.board import CANCEL  # noqa: PLC0415

        for entry in self._board.running():
            self._board.ask(entry, CANCEL)

    def answer(self, path: str) -> Any:
        return self._client.get(path)

    def _submit(self, kind: str, payload: dict[str, Any], options: dict[str, Any]) -> Any:
        body = {"kind": kind, "payload": payload, **options}
        return self._client.post("/api/v1/jobs", body, content_type="application/json")

    def _run(self, job_id: uuid.UUID) -> Any:
        from jobs.models import Job  # noqa: PLC0415

        self._slots.run([job_id])
        return Job.objects.get(id=job_id)


@pytest.fixture
def run(tmp_path: Path, settings: Settings) -> Runs:
    settings.OPEN_ON_LOOPBACK = True
    settings.OUTBOUND_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    settings.DOWNLOAD_ROOT = tmp_path / "root"
    (tmp_path / "board").mkdir()
    return Runs(tmp_path / "board")
