"""Whether this web process was asked to end: answers that take long are given before the server gives up on them."""

from __future__ import annotations

import signal
import threading
from functools import cache
from types import FrameType

stopping = threading.Event()


@cache
def listen() -> None:
    """Note SIGTERM and SIGINT, and leave them to the server that handles them. To be called while it serves.

    A server tells its application of the end only after the last answer, which is what we would hold up.
    """
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            _note(number)


def _note(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    if not callable(before):
        return  # nobody handles it, so it ends this process at once

    def noted(received: int, frame: FrameType | None) -> None:
        stopping.set()
        before(received, frame)

    signal.signal(number, noted)
