"""`manage.py demo`: watch a download and jobs of every priority go through the real platform."""

from __future__ import annotations

import subprocess
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from project.demo.api import Api, DemoFailedError
from project.demo.origin import serving
from project.demo.show import MIB, perform
from project.local.datadir import Addresses, DataDir, StackError
from project.local.launch import launch

FILE_BYTES = 64 * MIB
CONNECTION_BYTES_PER_SECOND = 4 * MIB


class Command(BaseCommand):
    help = "Send one download and jobs of every priority through a stack of its own, or the one that is up."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--fresh", action="store_true", help="leave a stack that is up alone and start another")
        parser.add_argument("--keep", action="store_true", help="leave the stack up afterwards, and say where")

    def handle(self, *_: Any, **options: Any) -> None:
        console = Console(highlight=False)
        try:
            with (
                stack_for_demo(console, fresh=options["fresh"], keep=options["keep"]) as stack,
                serving(FILE_BYTES, CONNECTION_BYTES_PER_SECOND) as origin,
            ):
                assert stack.api
                file = perform(Api(stack.api), origin, Path(stack.download_root), console)
            if file.exists():
                console.print(f"The file is here: {file}", soft_wrap=True)
        except (DemoFailedError, StackError) as error:
            raise CommandError(f"The demo failed. {error}") from error


@contextmanager
def stack_for_demo(console: Console, *, fresh: bool, keep: bool) -> Iterator[Addresses]:
    """The stack that is up in the default place, else one that lives as long as the demo, or longer to `keep` it."""
    running = None if fresh else DataDir(settings.BASE_DIR / ".data").read_addresses()
    if running and running.api and Api(running.api).healthy():
        console.print(f"Using the stack that is up: {running.api}")
        yield running
        return
    with console.status("Starting Postgres, Valkey, web, workers, dispatchers and Flower …"):
        # A stack that stays must not write to a terminal that its user has gone on to use.
        stderr = subprocess.DEVNULL if keep else None
        launched = launch("--ephemeral", "--port", "0", outlives_us=keep, stderr=stderr)
    try:
        yield launched.addresses
    finally:
        if keep:
            console.print("The stack stays up, and keeps nothing when it ends.")
            for label, words in (
                ("API", launched.addresses.api),
                ("Flower", launched.addresses.flower),
                ("Data", launched.addresses.data_dir),
                ("Stop", f"kill {launched.process.pid}"),
            ):
                console.print(f"  {label:<8}{words}", soft_wrap=True)
        else:
            with console.status("Stopping the stack …"):
                launched.stop()
