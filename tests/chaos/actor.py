"""One process of the platform with everything it has forked, and the ways to hurt it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import psutil

_SECONDS_TO_DIE = 10.0


class Process(Protocol):
    """What an actor needs of its process; a subprocess.Popen has it."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...


class Actor:
    """A program that can be started, hurt, and started again."""

    def __init__(self, name: str, spawn: Callable[[], Process]) -> None:
        self.name = name
        self._spawn = spawn
        self._process: Process | None = None

    def start(self) -> None:
        assert not self.alive()
        self._process = self._spawn()

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def children(self) -> list[int]:
        """Pids of its pool processes, and of whatever else it has forked."""
        with suppress(psutil.NoSuchProcess):
            return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]
        return []

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to the process alone; what it has forked finds out by itself."""
        self.signal(signal.SIGKILL)
        self.wait()

    def kill_all(self) -> None:
        """SIGKILL to it and all its children at once, as when a machine loses power."""
        family = [self.pid, *self.children()]
        for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that none sees another's death
            for pid in family:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        self.wait()

    def freeze(self) -> None:
        for pid in (self.pid, *self.children()):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in (*self.children(), self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def wait(self, seconds: float = _SECONDS_TO_DIE) -> int:
        """Wait for its end. Returns the exit code; raises subprocess.TimeoutExpired."""
        assert self._process is not None
        return self._process.wait(seconds)
