"""Many workers quickly: a process that has imported everything once and forks a real Celery worker on demand.

Run as `python -m tests.chaos.nursery`. A line `NAME QUEUE` on its input starts a worker; its output says `forked NAME
PID`, `ready NAME`, and `ended NAME CODE`. `Nursery` is the other end of those pipes.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

_POLL = 0.02
_WORD = 9  # the descriptor on which the nursery gives its word


class Nursery:
    """`with Nursery(...)`: workers can be had of it, by name."""

    def __init__(self, *, group: int, directory: Path, environment: Mapping[str, str], log: Path) -> None:
        self._options: dict[str, Any] = {"process_group": group, "cwd": directory, "env": environment}
        self._log = log
        self._events: dict[tuple[str, str], threading.Event] = defaultdict(threading.Event)
        self._values: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.nursery"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
                **self._options,
            )
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def start(self, name: str, queue: str) -> int:
        """A worker that takes from the queue. Returns its pid when it is ready to take."""
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(f"{name} {queue}\n")
        pid = self._wait("forked", name, 30)
        self._wait("ready", name, 60)
        return pid

    def wait_for_end(self, name: str, seconds: float) -> int:
        """The worker's exit code, negative for a signal. TimeoutError where it does not end."""
        return self._wait("ended", name, seconds)

    def _wait(self, what: str, name: str, seconds: float) -> int:
        if not self._events[what, name].wait(seconds):
            raise TimeoutError(f"{name} was not {what} in {seconds:.0f} s")
        return self._values[what, name]

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            what, name, value = line.split()
            self._values[what, name] = int(value)
            self._events[what, name].set()


def main() -> None:
    os.dup2(1, _WORD)
    os.dup2(2, 1)  # what workers print goes to the log
    import django  # noqa: PLC0415 - the other end needs none of this

    django.setup()
    from project.celery import app  # noqa: PLC0415

    app.loader.import_default_modules()
    children: dict[int, str] = {}
    rest = ""
    while True:
        while children and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _say("ended", children.pop(ended[0]), os.waitstatus_to_exitcode(ended[1]))
        if not select.select([0], [], [], _POLL)[0]:
            continue
        piece = os.read(0, 65536).decode()
        if not piece:
            break
        *lines, rest = (rest + piece).split("\n")
        for line in lines:
            name, queue = line.split()
            if pid := os.fork():
                children[pid] = name
                _say("forked", name, pid)
            else:
                _become_worker(app, name, queue)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _become_worker(app: Any, name: str, queue: str) -> None:
    from celery.bin.celery import celery as command  # noqa: PLC0415
    from celery.signals import worker_ready  # noqa: PLC0415

    worker_ready.connect(lambda **_: _say("ready", name, 0), weak=False)
    words = ["worker", f"-n{name}@%h", "-Pthreads", "-c2", f"-Q{queue}", "-lWARNING"]
    command.params[0].default = app  # as app.start() does it, which keeps the exit code to itself
    sys.exit(command.main([*words, "--without-gossip", "--without-mingle"], standalone_mode=False) or 0)


def _say(what: str, name: str, value: int) -> None:
    os.write(_WORD, f"{what} {name} {value}\n".encode())


if __name__ == "__main__":
    main()
