"""Processes that share what is imported once.

Haulway's processes load the same code: Celery, Django, the project. That takes each of them seconds of processor time,
and all of them together far longer than the rest of a start. So a fork server of the standard library loads it once,
and `up` has its children forked from there, those that it restarts as well.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

from setproctitle import setproctitle

from project.local.datadir import StackError
from project.local.supervisor import Process, Spawn

PRELOADED = "project.local.preloaded"
SERVER_GONE = 255  # the exit code that stands for "nobody could tell"
_context = multiprocessing.get_context("forkserver")


def open_nursery(environment: dict[str, str]) -> None:
    """Start the fork server with the environment of all its children, and wait until it has loaded everything.

    Takes seconds. StackError if it could not.
    """
    os.environ.clear()
    os.environ.update(environment)
    _context.set_forkserver_preload([PRELOADED])
    first = _context.Process(target=_nothing)
    try:
        first.start()
        first.join()
    except (EOFError, OSError) as error:
        raise StackError(f"Haulway's code could not be loaded; the reason should be above ({error}).") from error


def forked(*module: str) -> Spawn:
    """A process that runs a module with its arguments, ("celery", "beat"), as `python -m` would."""

    async def spawn(group: int) -> Process:
        process = Forked(module, group)
        await process.listen()
        return process

    return spawn


class Forked:
    """A child of the nursery."""

    def __init__(self, module: Sequence[str], group: int) -> None:
        here, there = _context.Pipe(duplex=False)
        self._process = _context.Process(target=_become, args=(list(module), group, there))
        self._process.start()
        there.close()
        self._group = group
        self._output = here
        self.stdout: asyncio.StreamReader | None = None

    async def listen(self) -> None:
        """Make what the child says readable at `stdout`."""
        reader = self.stdout = asyncio.StreamReader()
        pipe = os.fdopen(os.dup(self._output.fileno()), "rb", buffering=0)
        self._output.close()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    async def wait(self) -> int:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._process.sentinel, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._process.sentinel)
        code = self._process.exitcode
        if code == SERVER_GONE:
            self._end_orphan()
        return SERVER_GONE if code is None else code

    def _end_orphan(self) -> None:
        """Should the fork server have been killed, its child must not work on beside the one that replaces it."""
        with suppress(ProcessLookupError):
            if os.getpgid(self._pid) == self._group:
                self.kill()

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self._pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    @property
    def _pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid


def _nothing() -> None:
    """Be the first child: it ends when the nursery is able to have children."""


def _become(module: list[str], group: int, output: Connection) -> None:
    """In the child: take the group, the streams, the name and the role."""
    os.setpgid(0, group)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output.fileno(), stream.fileno())
    setproctitle(" ".join(module))
    multiprocessing.current_process().name = "MainProcess"  # as log lines of any other start of the module have it
    sys.argv = module
    runpy.run_module(module[0], run_name="__main__", alter_sys=True)
