"""Stacks for the tests: the same `manage.py up` that people run, as a process that ends when the tests do."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

PROJECT = Path(__file__).resolve().parent.parent
UP = (sys.executable, str(PROJECT / "manage.py"), "up", "--json")
SECONDS_TO_STOP = 60.0


@dataclass
class RunningStack:
    process: subprocess.Popen[str]
    addresses: dict[str, Any]  # the line of `up --json`

    @property
    def family(self) -> list[psutil.Process]:
        """The process and all that descend from it."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def named(self, words: str) -> psutil.Process:
        """The one process of the stack whose command line has these words, or the parent of those that have."""
        return next(process for process in self.family[1:] if words in " ".join(process.cmdline()))

    def stop(self) -> int:
        """Stop it as Ctrl-C does. Returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(SECONDS_TO_STOP)


@contextmanager
def running_stack(*options: str, stderr: int | None = None) -> Iterator[RunningStack]:
    """Run `manage.py up --json` with these options; gives control when all is ready."""
    command = [*UP, "--with-parent", *options]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"`manage.py up` ended with exit code {process.wait()} before it was ready")
            yield RunningStack(process, json.loads(line))
        finally:
            process.terminate()
            try:
                process.wait(SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
