"""Stacks for the tests: the same `manage.py up` that people run, as a process that ends when the tests do.

And servers for them, of `manage.py up` or, where HAULWAY_TEST_SERVERS says so, Debian's.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from project.local.launch import SECONDS_TO_STOP, Launched, launch
from tests.chaos.servers import Source, source
from tests.debian.running import running_servers


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


@contextmanager
def servers_for_tests() -> Iterator[dict[str, str]]:
    """Empty servers of the sort that is asked for, from when they answer. Yields the settings that lead to them."""
    if source() is not Source.EMBEDDED:
        with running_servers(pgbouncer=source() is Source.PGBOUNCER) as settings:
            yield settings
        return
    with running_stack("--ephemeral", "--servers-only") as stack:
        yield {
            "POSTGRES_URL": stack.addresses.postgres_url,
            "REDIS_URL": stack.addresses.redis_url,
            "DOWNLOAD_ROOT": stack.addresses.download_root,
        }
