"""A worker process that dies between giving a file its name and saying so: job, node, board's directory."""

from __future__ import annotations

import os
import signal
import sys
import uuid
from pathlib import Path

import django

django.setup()

from downloads import engine  # noqa: E402 - Django comes first
from jobs import kinds, worker  # noqa: E402
from jobs.board import Board  # noqa: E402

publish = engine.publish


def publish_and_die(*args: object, **kwargs: object) -> None:
    publish(*args, **kwargs)  # type: ignore[arg-type]
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    kinds.discover()
    engine.publish = publish_and_die
    board = Board(Path(sys.argv[3]), 1)
    worker.Slots(uuid.UUID(sys.argv[2]), board, shares_connections=False).run([uuid.UUID(sys.argv[1])])
