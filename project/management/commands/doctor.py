"""`manage.py doctor`: what is wrong with this installation, or will be, and the line that mends it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from io import StringIO
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jobs import doctor
from jobs.doctor import Finding, Level

_SIGNS = {Level.WELL: "[green]✓ well[/]", Level.WARNING: "[yellow]! warning[/]", Level.FAULT: "[red]✗ fault[/]"}


class Command(BaseCommand):
    help = "Look at Postgres, Redis, workers, disk and settings. Exit code 1: there is a fault; 0: none."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *_: Any, **options: Any) -> None:
        findings = doctor.examine()
        if options["json"]:
            self.stdout.write(json.dumps([asdict(one) for one in findings], indent=2))
        else:
            self._show(findings)
        if any(one.level == Level.FAULT for one in findings):
            sys.exit(1)

    def _show(self, findings: list[Finding]) -> None:
        table = Table("", "What", "How it is, and what mends it", box=None, padding=(0, 2, 0, 0))
        for one in findings:
            remedy = f"\n[dim]→[/] {escape(one.remedy)}" if one.remedy else ""
            table.add_row(_SIGNS[one.level], one.part, escape(one.what) + remedy)
        with StringIO() as page:
            terminal = self.stdout.isatty()
            Console(file=page, force_terminal=terminal, width=None if terminal else 120).print(table)
            self.stdout.write(page.getvalue())
