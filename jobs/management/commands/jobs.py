"""`manage.py jobs`: find jobs by the search language, and do something with all that are found."""

from __future__ import annotations

import getpass
import json
import uuid
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column, Table

from jobs import operations, search, stretches
from jobs.models import Job, Operation
from jobs.models import Progress as OperationProgress

_EXAMPLES = """
examples:
  manage.py jobs 'state:failed kind:download error:Timeout created>2026-01-01'
  manage.py jobs 'state:failed kind:download' requeue         shows how many it would be
  manage.py jobs 'state:failed kind:download' requeue --yes   does it
"""


class Command(BaseCommand):
    help = "Find jobs, and requeue, discard, cancel, pause, resume or prioritise all that are found."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = _EXAMPLES
        parser.add_argument("search", help="as in GET /api/v1/jobs?q=; quote it for the shell")
        parser.add_argument("verb", nargs="?", choices=operations.VERBS, help="what to do; without one, a list")
        parser.add_argument("--yes", action="store_true", help="do it; without it the verb only says what it would do")
        parser.add_argument("--priority", help="for prioritise: low, medium, high or critical")
        parser.add_argument("--limit", type=int, default=20, help="rows of the list")
        parser.add_argument("--before", type=uuid.UUID, metavar="ID", help="only jobs older than this one")
        parser.add_argument("--json", action="store_true", help="for programs: a line of JSON for each job, or result")

    def handle(self, **options: Any) -> None:
        try:
            if options["verb"] is None:
                self._list(options["search"], options["limit"], options["before"], as_json=options["json"])
            elif not options["yes"]:
                self._preview(options["verb"], options["search"], as_json=options["json"])
            else:
                self._do(options)
        except (search.SearchError, operations.Refused) as error:
            raise CommandError(str(error)) from error

    def _console(self) -> Console:
        return Console(file=cast("IO[str]", self.stdout))

    def _list(self, text: str, limit: int, before: uuid.UUID | None, *, as_json: bool) -> None:
        terms = search.terms(text)
        with search.bounded():
            found = stretches.read(
                stretches.line_of(terms), Job.objects.filter(search.condition(terms)), limit, before=before
            )
        jobs = list(Job.objects.filter(id__in=found.ids).order_by("-id"))
        if as_json:
            for job in jobs:
                self.stdout.write(json.dumps(_as_row(job)))
        elif jobs:
            self._console().print(_table(jobs))
        elif not found.searched:
            self.stdout.write("No job fits." if before is None else "No older job fits.")
        if found.searched:
            # Not among the lines for programs.
            told = self.stderr if as_json else self.stdout
            told.write(f"{found.told} --before {found.older} goes on from there.")
        elif found.older and not as_json:
            self.stdout.write(f"There are more: --before {found.older} shows them, --limit more than {limit} at once.")

    def _preview(self, verb: str, text: str, *, as_json: bool) -> None:
        preview = operations.preview(verb, text)
        if as_json:
            self.stdout.write(json.dumps({"found": preview.found, "reachable": preview.reachable}))
            return
        left = preview.found - preview.reachable
        self.stdout.write(f"{verb} would reach {preview.reachable} of {preview.found} jobs that fit.")
        if left:
            self.stdout.write(f"{left} are in a state that it does not start from.")
        self.stdout.write("Nothing has changed. Add --yes to do it.")

    def _do(self, options: dict[str, Any]) -> None:
        arguments = {} if options["priority"] is None else {"priority": options["priority"]}
        begun = operations.start(options["verb"], options["search"], actor=getpass.getuser(), arguments=arguments)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=self._console(), disable=options["json"]) as progress:
            bar = progress.add_task(begun.verb, total=begun.total)
            while begun.progress == OperationProgress.UNDER_WAY:
                operations.carry_on(begun.id)
                begun = Operation.objects.get(id=begun.id)
                progress.update(bar, completed=begun.done)
        if options["json"]:
            self.stdout.write(json.dumps({"id": str(begun.id), "total": begun.total, "reached": begun.reached}))
        else:
            self.stdout.write(f"{begun.verb}: {begun.reached} of {begun.total} jobs ({begun.progress}).")


def _table(jobs: Iterable[Job]) -> Table:
    whole = [Column(name, no_wrap=True) for name in ("id", "state", "priority", "age")]
    table = Table(*whole, "attempt", Column("kind", overflow="fold"), "error", box=None)
    for job in jobs:
        age = str(timezone.now() - job.created_at).partition(".")[0]
        error = job.error.partition("\n")[0][:60]
        table.add_row(str(job.id), job.state, job.queue, age, str(job.attempt), job.kind, error)
    return table


def _as_row(job: Job) -> dict[str, Any]:
    return {
        "id": str(job.id),
        "kind": job.kind,
        "state": job.state,
        "priority": job.queue,
        "created_at": job.created_at.isoformat(),
        "attempt": job.attempt,
        "reason": job.reason,
        "error": job.error,
    }
