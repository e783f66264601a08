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
from pathlib import Path

# SIGQUIT is Postgres's immediate shutdown: it ends its backends and replays the log at the next start.
SECONDS_AFTER_SIGQUIT = 1.0
SECONDS_AFTER_SIGKILL = 2.0


def end(group: int, number: signal.Signals, seconds: float) -> None:
    """Signal the process group and wait, no longer than `seconds`, until it is empty."""
    with suppress(ProcessLookupError):
        os.killpg(group, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not _over(group):
            os.killpg(group, 0)
            time.sleep(0.02)


def _over(group: int) -> bool:
    """Whether the dead are all that is left of it: nobody has waited for them yet, so the group still takes signals.

    Only Linux says so, under /proc; elsewhere this takes every process for alive.
    """
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, its_group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                return False
    return Path("/proc/self/stat").exists()


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
