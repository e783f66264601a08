from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pytest_django import Settings


class Platform:
    """The way of a download from its submission to its row, with a worker in this process."""

    def __init__(self, root: Path, boards: Path) -> None:
        from tests.jobs.states import live_node  # noqa: PLC0415 - settings are loaded after this file

        self.root = root
        self._boards = boards
        self._running: dict[uuid.UUID, Any] = {}
        self.node = live_node(kinds=("download", "resume_downloads"))

    def submit(self, url: str, **payload: Any) -> uuid.UUID:
        from jobs import lifecycle  # noqa: PLC0415

        return lifecycle.submit("download", {"url": url, **payload}).id

    def row(self, job_id: uuid.UUID) -> Any:
        from downloads.models import Download  # noqa: PLC0415

        return Download.objects.select_related("job").get(pk=job_id)

    def run(self, job_id: uuid.UUID) -> Any:
        """One attempt, to its end. Returns the download with its job."""
        self.attempt(job_id)
        return self.row(job_id)

    def attempt(self, job_id: uuid.UUID) -> Any:
        """One attempt, to its end. Returns the job."""
        from jobs import worker  # noqa: PLC0415
        from jobs.board import Board  # noqa: PLC0415
        from jobs.models import Job  # noqa: PLC0415

        directory = self._boards / uuid.uuid4().hex
        directory.mkdir()
        board = self._running[job_id] = Board(directory, 1)
        worker.Slots(self.node.id, board, shares_connections=False).run([job_id])
        return Job.objects.get(pk=job_id)

    def fetch(self, url: str, **payload: Any) -> Any:
        return self.run(self.submit(url, **payload))

    def cancel(self, job_id: uuid.UUID) -> None:
        """Cancel a running one, and tell its handler as the node's heartbeat would."""
        from jobs import lifecycle  # noqa: PLC0415
        from jobs.board import CANCEL  # noqa: PLC0415

        lifecycle.cancel([job_id])
        board = self._running[job_id]
        for entry in board.running():
            board.ask(entry, CANCEL)

    def asleep(self, *ids: uuid.UUID) -> Callable[[], set[uuid.UUID]]:
        """Put jobs to sleep for long; what is returned tells which of them still are."""
        from datetime import timedelta  # noqa: PLC0415

        from jobs import endings, lifecycle  # noqa: PLC0415
        from jobs.models import Job  # noqa: PLC0415

        claimed = lifecycle.claim(ids, node=self.node.id, lease=uuid.uuid4(), kinds=["download"])
        lifecycle.record([endings.snoozed(job, timedelta(hours=1), "") for job in claimed])
        return lambda: set(Job.objects.filter(id__in=ids, state="scheduled").values_list("id", flat=True))

    @contextmanager
    def running(self, job_id: uuid.UUID) -> Iterator[threading.Thread]:
        """An attempt beside the test, until the block ends; it has stopped by then."""
        from django.db import connection  # noqa: PLC0415

        def attempt() -> None:
            try:
                self.run(job_id)
            finally:
                connection.close()

        thread = threading.Thread(target=attempt)
        thread.start()
        try:
            yield thread
        finally:
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture
def platform(transactional_db: None, settings: Settings, tmp_path: Path) -> Platform:
    settings.DOWNLOAD_ROOT = tmp_path / "downloads"
    settings.OUTBOUND_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    settings.OPEN_ON_LOOPBACK = True
    settings.DOWNLOAD_ROOT.mkdir()
    (tmp_path / "boards").mkdir()
    return Platform(settings.DOWNLOAD_ROOT, tmp_path / "boards")


@pytest.fixture
def fleet(transactional_db: None, redis_client: Any, settings: Settings, tmp_path: Path) -> Iterator[Any]:
    """A dispatcher, and workers as they are asked for. The budgets are raised: nobody shall give a job up."""
    from django.db import connection  # noqa: PLC0415

    from tests.jobs.fleet import Fleet  # noqa: PLC0415

    settings.OUTBOUND_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    environment = os.environ | {
        "POSTGRES_URL": urlsplit(settings.POSTGRES_URL)._replace(path=f"/{connection.settings_dict['NAME']}").geturl(),
        "REDIS_URL": settings.REDIS_URL,
        "DOWNLOAD_ROOT": str(tmp_path / "downloads"),
        "DOWNLOAD_RESERVE_BYTES": "0",
        "OUTBOUND_ALLOWED_NETWORKS": "127.0.0.0/8",
        "LEASE_SECONDS": "3",
        "HEARTBEAT_SECONDS": "0.3",
        "CRASH_BUDGET": "1000",
        "DOWNLOAD_HOST_CONNECTIONS": "1000",  # the places of the killed come back only after seconds
    }
    with Fleet(tmp_path, environment) as fleet:
        fleet.dispatcher("dispatcher")
        yield fleet
