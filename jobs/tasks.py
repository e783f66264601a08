"""Where Celery and Haulway meet in a worker: shells that pass Celery's events on. No decision is made here."""

from __future__ import annotations

import os
import re
import signal
import uuid
from typing import Any

from celery import shared_task
from celery.exceptions import WorkerLostError
from celery.signals import (
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)
from celery.worker.request import Request

from jobs import broker, guard, memory, node, tracing, worker

_watch: node.Watch | None = None
_slots: worker.Slots | None = None


@worker_init.connect
def _appear(sender: Any, **_: Any) -> None:
    """Before the pool forks, so that its processes inherit the board."""
    global _watch, _slots  # noqa: PLW0603 - one node per worker process, as Celery has it
    forks = "prefork" in sender.pool_cls.__module__
    queues = sorted(sender.app.amqp.queues.consume_from)
    _watch = node.Watch(sender.hostname, queues, sender.concurrency or os.cpu_count() or 1, forks=forks)
    _slots = worker.Slots(_watch.node.id, _watch.board, shares_connections=not forks, queues=queues)
    if not forks:
        guard.post(_watch.board, _watch.node.id)
    _watch.register()


@worker_process_init.connect
def _enter_pool(**_: Any) -> None:
    """In each process of a pool that forks."""
    memory.limit()


@worker_process_shutdown.connect
def _leave_pool(**_: Any) -> None:
    """In each process of a pool that forks."""
    tracing.flush()


@worker_ready.connect
def _start_watch(**_: Any) -> None:
    assert _watch is not None
    _watch.start()


@worker_shutting_down.connect
def _drain(**_: Any) -> None:
    if _watch is not None:
        _watch.drain()


@worker_shutdown.connect
def _leave(**_: Any) -> None:
    if _watch is not None:
        _watch.stop()
    tracing.flush()


def resize(slots: int) -> None:
    """The pool has another size now: the dispatcher hears of it with the next heartbeat."""
    if _watch is not None:
        _watch.node.slots = slots


class _NotesDeath(Request):
    """Celery's view of a message in the parent process, which learns why a pool process died."""

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> None:
        error = getattr(exc_info.exception, "exc", exc_info.exception)  # the pool wraps what it raises itself
        if _watch is not None and self.worker_pid and isinstance(error, WorkerLostError):
            cause = re.search(r"prematurely: (.*?) Job: ", str(error))
            _watch.note_death(int(self.worker_pid), cause[1] if cause else str(error))
        super().on_failure(exc_info, *args, **kwargs)


@shared_task(name=broker.TASK, bind=True, ignore_result=True, acks_late=False, Request=_NotesDeath)  # type: ignore[call-overload,untyped-decorator]  # Request is documented, and unknown to celery-types
def run(self: Any, ids: list[str]) -> None:
    """Run these jobs, if they still want running."""
    assert _slots is not None, "jobs.run is a message to a Celery worker"
    if _watch is not None and os.getpid() != _watch.node.pid:
        # Some service managers tell every process of a group to stop. Ours stop when their node has drained.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _slots.run([uuid.UUID(one) for one in ids], self.request.delivery_info["routing_key"])
