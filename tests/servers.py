"""Stacks for the tests: the same `manage.py up` that people run, as a process that ends when the tests do."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from project.local.launch import SECONDS_TO_STOP, Launched, launch


class RunningStack(Launched):
    @property
    def family(self) -> list[psutil.Process]:
        """The process and all that descend from it."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def named(self, words: str) -> psutil.Process:
        """The process of the stack whose command line has these words; of several, the parent of the others."""
        return next(process for process in self.family[1:] if words in " ".join(process.cmdline()))

    def interrupt(self) -> int:
        """Stop it as Ctrl-C does. Returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(SECONDS_TO_STOP)


@contextmanager
def running_stack(*options: str, stderr: int | None = None) -> Iterator[RunningStack]:
    """Run `manage.py up --json` with these options, from when all is ready to the end of the block."""
    launched = launch(*options, stderr=stderr)
    try:
        yield RunningStack(launched.process, launched.addresses)
    finally:
        launched.stop()
        if launched.process.stderr:
            launched.process.stderr.close()
