"""The end of a call that nobody wants to wait for any more, whatever its thread is waiting in.

A thread that waits for another's server cannot look up. So each call shows its sockets here, and one thread per
process shuts those of a call whose deadline is over, or whose caller has to leave: every read and write on them ends.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

TICK = 0.2  # seconds between two looks


class Watched:
    """One call under way."""

    def __init__(self, deadline: float, unwanted: Callable[[], bool]) -> None:
        self.was_cut = False
        self.ends = time.monotonic() + deadline
        self._unwanted = unwanted
        self._grip: socket.socket | None = None
        self._lock = threading.Lock()

    @property
    def late(self) -> bool:
        return time.monotonic() > self.ends

    @property
    def over(self) -> bool:
        """Whether to stop: the deadline has passed, or the caller has to leave."""
        return self.late or self._unwanted()

    def hold(self, connection: socket.socket | None) -> None:
        """From now on the call waits on this socket; on none: it waits on nothing of ours."""
        # A second descriptor of the same connection: the first may be closed, and its number reused, at any moment.
        grip = socket.socket(fileno=os.dup(connection.fileno())) if connection else None
        with self._lock:
            self._grip, before = grip, self._grip
        if before:
            before.close()

    def cut(self) -> None:
        self.was_cut = True
        with self._lock, contextlib.suppress(OSError):  # it may have ended by itself
            if self._grip:
                self._grip.shutdown(socket.SHUT_RDWR)


_current: ContextVar[Watched | None] = ContextVar("watched", default=None)
_calls: set[Watched] = set()
_lock = threading.Lock()
_thread: threading.Thread | None = None


def current() -> Watched | None:
    """The call that this thread is making."""
    return _current.get()


@contextmanager
def watched(deadline: float, unwanted: Callable[[], bool]) -> Iterator[Watched]:
    """For the length of the block, cut the sockets that it shows once `deadline` seconds are over or it is unwanted."""
    call = Watched(deadline, unwanted)
    _add(call)
    token = _current.set(call)
    try:
        yield call
    finally:
        _current.reset(token)
        with _lock:
            _calls.discard(call)
        call.hold(None)


def _add(call: Watched) -> None:
    global _thread  # noqa: PLW0603 - one for the process; a fork starts its own
    with _lock:
        _calls.add(call)
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_look, name="outbound-watch", daemon=True)
            _thread.start()


def _look() -> None:
    global _thread  # noqa: PLW0603
    while True:
        time.sleep(TICK)
        with _lock:
            if not _calls:
                _thread = None
                return
            calls = list(_calls)
        for call in calls:
            if call.over:
                call.cut()
