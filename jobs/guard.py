"""The last resort of a worker of threads: a process beside it, for when C code holds the interpreter.

Then no thread of the worker runs, the watch as little as the handlers, and nobody inside can end what is overdue. The
guard shares nothing with the worker but the board. As long as the watch beats there, the guard does nothing.
"""

from __future__ import annotations

import logging
import os
import signal
import time
import uuid
from functools import partial

from jobs import doorbell, endings, lifecycle
from jobs.board import Board
from jobs.models import Job, Node, State
from jobs.outage import insist

logger = logging.getLogger(__name__)

_LOOK_EVERY = 0.5  # seconds
_LOOKS = 3  # in a row that must find the watch silent: a machine that was asleep wakes up in any order


def post(board: Board, node: uuid.UUID) -> None:
    """Fork the guard of this process, while it has neither threads nor connections to inherit."""
    worker = os.getpid()
    if os.fork() == 0:
        try:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # it ends when the worker does
            _keep_guard(worker, board, node)
        finally:
            os._exit(0)


def _keep_guard(worker: int, board: Board, node: uuid.UUID) -> None:
    looks = 0
    while os.getppid() == worker:
        time.sleep(_LOOK_EVERY)
        overdue = {entry.job for entry in board.running() if entry.job and 0 < entry.kill_at < time.monotonic()}
        looks = looks + 1 if overdue and board.watch_is_silent else 0
        if looks == _LOOKS:
            logger.warning("Job %s holds the interpreter past its time limit: killing its worker.", *overdue)
            os.kill(worker, signal.SIGKILL)
            insist(partial(_settle, node, overdue))
            return


def _settle(node: uuid.UUID, overdue: set[uuid.UUID]) -> None:
    """End what was overdue; what ran beside it goes on elsewhere, at no cost."""
    note = "A job beside it held its worker's interpreter."
    lifecycle.record(
        [
            endings.timed_out(job) if job.id in overdue else endings.released(job, note)
            for job in Job.objects.filter(node_id=node, state=State.RUNNING)
        ]
    )
    Node.objects.filter(id=node).delete()
    doorbell.ring()
