"""One verb upon all jobs that a search finds: shown first, then done in chunks, whatever dies meanwhile.

`start` writes down which jobs are meant, so an operation is exact to the job: what comes to match later is not
touched, and a dead letter that has run again since is not the one that was meant. Each chunk is one transaction: its
jobs change, their names are struck off the list and the counts grow, or none of it. The leading dispatcher carries
operations on; whoever leads after it goes on with the rest of the list.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from jobs import lifecycle, search
from jobs.models import LIVE, Job, Operation, Priority, Progress, Target

logger = logging.getLogger(__name__)

_CHUNK = 500  # jobs in one transaction: a few dozen milliseconds
_IDLE = 0.5  # seconds between two looks for something to do
_SHOWN = 10  # ids in a preview


def _prioritise(ids: Collection[uuid.UUID], arguments: Mapping[str, Any]) -> int:
    return lifecycle.set_priority(ids, Priority[str(arguments["priority"]).upper()])


# What can be done to many, and the lifecycle's states that it starts from.
_VERBS: dict[str, Callable[[Collection[uuid.UUID], Mapping[str, Any]], int]] = {
    "requeue": lambda ids, _: lifecycle.requeue(ids),
    "discard": lambda ids, _: lifecycle.discard(ids),
    "cancel": lambda ids, _: len(lifecycle.cancel(ids)),
    "pause": lambda ids, _: lifecycle.pause(ids),
    "resume": lambda ids, _: lifecycle.resume(ids),
    "prioritise": _prioritise,
}
VERBS = tuple(_VERBS)
_OF_DEAD_LETTERS = frozenset({"requeue", "discard"})  # a job that has run since is not what was meant


class Refused(ValueError):
    """An operation that must not begin; says why and what to do, and which field of the order is wrong."""

    def __init__(self, detail: str, field: str = "") -> None:
        super().__init__(detail)
        self.field = field


class Changed(Refused):
    """Other jobs match now than those that the caller was shown."""


@dataclass(frozen=True)
class Preview:
    """What an operation would come to: `found` jobs match, `reachable` of them are in a state that the verb takes."""

    found: int
    reachable: int
    examples: list[uuid.UUID]


def preview(verb: str, query: str, jobs: QuerySet[Job] | None = None) -> Preview:
    """Count without changing anything. `jobs`: those that the caller may touch. Raises Refused and SearchError."""
    named = _named(verb, query, jobs)
    with search.bounded(settings.DATABASE_TIMEOUT):
        reachable = _reachable(verb, named)
        examples = list(reachable.order_by("-id").values_list("id", flat=True)[:_SHOWN])
        return Preview(named.count(), reachable.count(), examples)


def start(
    verb: str,
    query: str,
    *,
    actor: str,
    jobs: QuerySet[Job] | None = None,
    expected: int | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Operation:
    """Write down an operation and the jobs that it is about. Raises Refused and SearchError.

    `expected`: how many the caller was shown; another number now means that they should look again.
    """
    arguments = dict(arguments or {})
    if verb == "prioritise" and arguments.get("priority") not in Priority.labels:
        raise Refused(f"Say which priority: {', '.join(Priority.labels)}.", "priority")
    named = _reachable(verb, _named(verb, query, jobs)).order_by("id").values_list("id", "attempt")
    chosen, params = named.query.sql_with_params()
    with search.bounded(settings.DATABASE_TIMEOUT), connection.cursor() as cursor:
        operation = Operation.objects.create(verb=verb, query=query, actor=actor, arguments=arguments)
        cursor.execute(
            f"INSERT INTO jobs_target (operation_id, job_id, attempt) SELECT %s, id, attempt FROM ({chosen}) named",  # noqa: S608 - Django's own SQL
            [operation.id, *params],
        )
        if expected is not None and cursor.rowcount != expected:
            raise Changed(f"{expected} jobs were shown and {cursor.rowcount} match now: look again.")
        Operation.objects.filter(id=operation.id).update(total=cursor.rowcount)
    operation.refresh_from_db()
    return operation


def cancel(operation: Operation) -> bool:
    """Leave the rest as it is. False: it had ended already."""
    with transaction.atomic():
        reached = Operation.objects.filter(id=operation.id, progress=Progress.UNDER_WAY).update(
            progress=Progress.CANCELLED, finished_at=Now()
        )
        if reached:
            Target.objects.filter(operation=operation).delete()
    return bool(reached)


def carry_on(operation_id: uuid.UUID | None = None) -> bool:
    """Do one chunk of that operation, or of the oldest. False: there is none under way that nobody works on."""
    with transaction.atomic():
        waiting = Operation.objects.filter(progress=Progress.UNDER_WAY).select_for_update(skip_locked=True)
        one = waiting.filter(**({"id": operation_id} if operation_id else {})).order_by("id").first()
        if one is None:
            return False
        targets = list(Target.objects.filter(operation=one).order_by("id")[:_CHUNK])
        reached = _VERBS[one.verb](_still_meant(one.verb, targets), one.arguments)
        Target.objects.filter(id__in=[target.id for target in targets]).delete()
        changes: dict[str, Any] = {"done": F("done") + len(targets), "reached": F("reached") + reached}
        if len(targets) < _CHUNK:
            changes |= {"progress": Progress.COMPLETED, "finished_at": Now()}
        Operation.objects.filter(id=one.id).update(**changes)
    return True


class Carrier(threading.Thread):
    """Carries operations on in the dispatcher's process, while it leads. Half of the time goes to others."""

    def __init__(self, leads: Callable[[], bool]) -> None:
        super().__init__(name="operations", daemon=True)
        self._leads = leads

    def run(self) -> None:
        while True:
            began = time.monotonic()
            if self._leads() and self._try():
                time.sleep(time.monotonic() - began)
            else:
                time.sleep(_IDLE)

    def _try(self) -> bool:
        try:
            return carry_on()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("Operations wait for Postgres: %s", str(error).strip())
        except Exception:  # one operation that cannot be done must not end the thread for all others
            logger.exception("An operation could not be carried on; it is tried again.")
        connection.close()
        return False


def _named(verb: str, query: str, jobs: QuerySet[Job] | None) -> QuerySet[Job]:
    if verb not in _VERBS:
        raise Refused(f"There is no operation {verb!r}; there are {', '.join(VERBS)}.", "verb")
    if not query.strip():
        raise Refused("Say which jobs: an operation on all of them must name them too, as in state:failed.", "q")
    return (Job.objects.all() if jobs is None else jobs).filter(search.parse(query))


def _reachable(verb: str, named: QuerySet[Job]) -> QuerySet[Job]:
    return named.filter(state__in=LIVE if verb == "prioritise" else lifecycle.VERBS[verb][0])


def _still_meant(verb: str, targets: list[Target]) -> list[uuid.UUID]:
    """Those whose story has not gone on; they are kept from doing so until the transaction ends."""
    if verb not in _OF_DEAD_LETTERS:
        return [target.job_id for target in targets]
    attempts = {target.job_id: target.attempt for target in targets}
    held = Job.objects.filter(id__in=attempts).select_for_update(no_key=True).order_by("id")
    return [found for found, attempt in held.values_list("id", "attempt") if attempts[found] == attempt]
