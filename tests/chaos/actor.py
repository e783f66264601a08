"""One process of the platform with everything it has forked, and the ways to hurt it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

_SECONDS_TO_DIE = 10.0


class Actor:
    """A program in the process group of the scenario's guardian, so that it never outlives the scenario."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        group: int,
        directory: Path,
        environment: Mapping[str, str],
        log: Path,
        user: int | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._group = group
        self._directory = directory
        self._environment = dict(environment)
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=self._group,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
            )

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

    def restart(self) -> None:
        """Start it afresh, as whoever supervises it in production would."""
        assert not self.alive()
        self.start()
