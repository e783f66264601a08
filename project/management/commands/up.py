"""`manage.py up`: the whole platform on this machine, nothing else installed."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import time
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.text import Text

from project.local.datadir import Addresses, DataDir, StackError
from project.local.screen import Screen
from project.local.stack import Plan, Stack

ALL_LINES = 2  # the verbosity from which on the children's every line is shown


class Command(BaseCommand):
    help = "Run Postgres, Valkey, web, workers, dispatchers and Flower here; Ctrl-C stops them in order."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        place = parser.add_mutually_exclusive_group()
        place.add_argument("--data-dir", type=Path, help="where everything is kept between runs (default: .data)")
        place.add_argument("--ephemeral", action="store_true", help="keep nothing")
        parser.add_argument(
            "--port", type=int, default=settings.PORT, help="of the API; 0: a free one (default: %(default)s)"
        )
        parser.add_argument("--json", action="store_true", help="when ready, print one line of JSON and nothing else")
        parser.add_argument("--servers-only", action="store_true", help="only Postgres and Valkey, without migrations")
        parser.add_argument("--with-parent", action="store_true", help="stop when the process that started this ends")

    def handle(self, *_: Any, **options: Any) -> None:
        began = time.monotonic()
        data = self._data_dir(options)
        console = Console(stderr=options["json"], highlight=False)
        screen = Screen(console, verbose=options["verbosity"] >= ALL_LINES, terse=options["json"])
        plan = Plan(
            data=data,
            port=options["port"],
            drain_seconds=settings.DRAIN_SECONDS,
            servers_only=options["servers_only"],
            with_parent=options["with_parent"],
        )

        def announce(addresses: Addresses) -> None:
            if options["json"]:
                print(json.dumps(asdict(addresses)), file=sys.stdout, flush=True)  # noqa: T201 - the promised line
            else:
                screen.show(welcome(addresses, data, time.monotonic() - began))

        try:
            asyncio.run(Stack(plan, screen, announce).run())
        except StackError as error:
            raise CommandError(str(error)) from error

    def _data_dir(self, options: dict[str, Any]) -> DataDir:
        if options["ephemeral"]:
            return DataDir.temporary()
        return DataDir((options["data_dir"] or settings.BASE_DIR / ".data").resolve())


def welcome(addresses: Addresses, data: DataDir, seconds: float) -> Text:
    """The block that a person reads when all is ready: where things are, one thing to try, how to stop."""
    here = Path.cwd()
    place = shlex.quote(str(data.path.relative_to(here) if data.path.is_relative_to(here) else data.path))
    rows = [
        ("API", f"{addresses.api}/api/v1/jobs"),
        ("Admin", f"{addresses.api}/admin/  (user admin, password in {place}/secrets.json)"),
        ("Flower", f"{addresses.flower}"),
        ("Data", f"{place}  ({'thrown away at the end' if data.ephemeral else 'kept between runs'}; logs inside)"),
        ("URLs", f"of Postgres and Redis, for workers of your own: {place}/stack.json"),
        ("Try", f"curl -s {addresses.api}/api/v1/jobs -H 'Content-Type: application/json' \\"),
        ("", """     -d '{"kind": "echo", "payload": {"message": "hello"}}'"""),
        ("Stop", f"Ctrl-C; running jobs get {settings.DRAIN_SECONDS:.0f} s to finish"),
    ]
    if addresses.api is None:
        rows = [rows[3], rows[4], ("Stop", "Ctrl-C")]
    block = Text(f"\nHaulway is ready ({seconds:.1f} s)\n\n", style="bold")
    for label, words in rows:
        block.append(f"  {label:<8}", style="bold cyan").append(f"{words}\n", style="not bold")
    return block
