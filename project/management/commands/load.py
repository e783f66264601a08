"""`manage.py load`: put many jobs on a Haulway, here or elsewhere, and measure what it makes of them."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from project.load.client import Client, Unreachable
from project.load.report import report
from project.load.run import Load, Plan
from project.local.datadir import DataDir

_HEADER_VARIABLE = "HAULWAY_HEADER"  # what is said on the command line can be read by everybody on the machine


class Command(BaseCommand):
    help = "Submit many jobs over the public API, watch them being done, and report rates, waits and failures."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--jobs", type=int, default=10_000)
        parser.add_argument("--kinds", default="echo", help="by comma; they take turns")
        parser.add_argument("--payload", default="{}", help="JSON, the same for all")
        parser.add_argument("--priority", default="medium")
        parser.add_argument("--url", default="", help="of the host; by default the platform that is up here")
        parser.add_argument(
            "--header",
            default=os.environ.get(_HEADER_VARIABLE, ""),
            help=f"'Name: value' for each call, such as a token; better in {_HEADER_VARIABLE}, which nobody else sees",
        )
        parser.add_argument("--bulk", type=int, default=1, help="jobs in one call, at most 10000; 1 by default")
        parser.add_argument("--clients", type=int, default=8, help="threads that submit")
        parser.add_argument(
            "--patience", type=float, default=120, help="seconds without a job ending until the rest is given up on"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        client = Client(options["url"] or _local(), _headers(options["header"]))
        load = Load(client, _plan(options))
        console = Console()
        columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        try:
            with Progress(*columns, console=console) as bars:
                submitted = bars.add_task("Submitted", total=options["jobs"])
                load.submit(lambda count: bars.advance(submitted, count))
                ended = bars.add_task("Ended", total=len(load.outcome.accepted))
                load.watch(lambda count: bars.advance(ended, count))
        except KeyboardInterrupt:
            console.print("Stopped; what was submitted goes on without us.")
        except Unreachable as trouble:
            raise CommandError(str(trouble)) from trouble
        load.collect()
        console.print(report(load.outcome))
        if not load.outcome.good:
            raise CommandError("Not every job was completed.")


def _local() -> str:
    addresses = DataDir(settings.BASE_DIR / ".data").read_addresses()
    if addresses is None or not addresses.api:
        raise CommandError("Nothing is up here. Start it with `make up`, or say where with --url.")
    return addresses.api


def _headers(given: str) -> dict[str, str]:
    if not given:
        return {}
    name, colon, value = given.partition(":")
    if not colon:
        raise CommandError("--header is a name, a colon and a value.")
    return {name.strip(): value.strip()}


def _plan(options: dict[str, Any]) -> Plan:
    try:
        if not isinstance(json.loads(options["payload"]), dict):
            raise CommandError("--payload is a JSON object.")
    except json.JSONDecodeError as error:
        raise CommandError(f"--payload is not JSON: {error}") from error
    kinds = [kind for kind in options["kinds"].split(",") if kind]
    if min(options["jobs"], options["bulk"], options["clients"], len(kinds)) < 1:
        raise CommandError("--jobs, --bulk, --clients and --kinds need at least one.")
    names = ("jobs", "payload", "priority", "bulk", "clients", "patience")
    return Plan(kinds=kinds, **{name: options[name] for name in names})
