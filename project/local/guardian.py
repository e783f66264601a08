"""The process that outlives `up`, so that nothing else does.

`up` puts every child into this process's group and holds the other end of its standard input. When that end closes,
because `up` is finished or was killed, whatever is left in the group is ended, throw-away directories are removed, and
the lock on the data directory, inherited from `up`, is let go last: the next `up` finds a quiet place.

Run as a file by a bare interpreter: only the standard library, nothing from the project.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress

# SIGQUIT is Postgres's immediate shutdown: it ends its backends and replays the log at the next start.
SECONDS_AFTER_SIGQUIT = 1.0
SECONDS_AFTER_SIGKILL = 2.0


def end(group: int, number: signal.Signals, seconds: float) -> None:
    """Signal the process group and wait, no longer than `seconds`, until it is empty."""
    with suppress(ProcessLookupError):
        os.killpg(group, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.02)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    group = os.getpgrp()
    if os.fork():
        signal.pause()  # the first SIGQUIT ends this one; until then it keeps the group's number from being reused
    os.setsid()  # out of the group, to survive what it is about to do to it
    end(group, signal.SIGQUIT, SECONDS_AFTER_SIGQUIT)
    end(group, signal.SIGKILL, SECONDS_AFTER_SIGKILL)
    for directory in sys.argv[1:]:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
