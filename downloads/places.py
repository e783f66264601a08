"""One download among those of the fleet: it begins with a place, or stands in line and gives its slot back."""

from __future__ import annotations

import logging
import random
import time
import uuid
from http import HTTPStatus
from typing import Self

from django.db import Error

from downloads.engine import Busy, Refused
from downloads.engine.hosts import Origin
from downloads.hosts import FleetGate
from jobs import lifecycle
from jobs.kinds import Snooze, TryLater
from jobs.models import Job, State

logger = logging.getLogger(__name__)

_STARVED_AFTER = 2.0  # seconds without a single connection, because the gate gives none
_PAUSE = (2.0, 300.0)  # seconds, shortest and longest, for who stands in line: the net below being called up
_TRIES_PER_SECOND = 10  # of all that stand in one line, together
_ASK_AGAIN = (0.2, 0.5)  # seconds for which a refusal is believed
_AFTER_403 = 20.0
_LONGEST_CLOSURE = 3600.0


class Places:
    """An engine.HostGate for one attempt. Raises Snooze on entry where its origin has no place for it.

    As it leaves, those who stand in line are called up, as many as there is room for.
    """

    def __init__(self, gate: FleetGate, origin: Origin, job_id: uuid.UUID, urgency: int) -> None:
        self._gate = gate
        self._origin = origin
        self._job_id = job_id
        self._urgency = urgency
        self._reserved = False
        self._inside = 0
        self._refused_since: float | None = None
        self._ask_again_at = 0.0

    def __enter__(self) -> Self:
        if not self._gate.enter(self._origin):
            raise self.snooze()
        self._reserved = True
        self._gate.unqueue(self._origin, self._job_id)
        return self

    def __exit__(self, *_: object) -> None:
        if self._reserved:
            self._reserved = False
            self._gate.leave(self._origin)
        try:
            call_up(self._gate, self._origin)
        except Error as error:  # no reason to spoil what was fetched: they come by themselves when they have slept
            logger.warning("Those who wait for %s were not called up: %s", self._origin[1], error)

    @property
    def starved(self) -> bool:
        """Whether the gate has given this download no connection at all for a while."""
        return self._refused_since is not None and time.monotonic() - self._refused_since > _STARVED_AFTER

    def snooze(self) -> Snooze:
        """For a download without a place. It is called up when there is room; the pause is the net below that."""
        _, host, _ = self._origin
        if closed := self._gate.closed_for(self._origin):
            pause = min(closed, _LONGEST_CLOSURE) + random.uniform(0.0, 1.0)  # noqa: S311 - no secret
            return Snooze(pause, f"{host} asked to be left alone for {closed:.0f} s more.")
        waiting = self._gate.queue(self._origin, self._job_id, self._urgency)
        shortest, longest = _PAUSE
        pause = min(longest, max(shortest, waiting / _TRIES_PER_SECOND)) * random.uniform(1.0, 1.5)  # noqa: S311
        return Snooze(pause, f"All connections that {host} is allowed are in use.")

    def turned_away(self, refusal: Busy | Refused) -> Exception:
        """What to raise where the origin did not serve this download. Call it when its connections are gone.

        While the fleet has others there, they may be all that the origin bears: then they are its limit, and this one
        stands in line. Only a 403 may as well mean what it says, so it costs a retry.
        """
        others = self._gate.inside(self._origin)
        if self._reserved or self._inside or not others:
            return refusal
        if isinstance(refusal, Busy):
            self._gate.learn(self._origin, limit=others)
            return self.snooze()
        return TryLater(_AFTER_403, str(refusal)) if refusal.status == HTTPStatus.FORBIDDEN else refusal

    # --- engine.HostGate ----------------------------------------------------------------------------------------------

    def enter(self, origin: Origin) -> bool:
        if self._reserved and origin == self._origin:
            self._reserved = False
        elif not self._ask(origin):
            if not self._inside and self._refused_since is None:
                self._refused_since = time.monotonic()
            return False
        self._inside += 1
        self._refused_since = None
        return True

    def leave(self, origin: Origin) -> None:
        self._inside -= 1
        self._gate.leave(origin)

    def _ask(self, origin: Origin) -> bool:
        """The engine asks twenty times a second; the fleet is asked less often, once it has refused."""
        if time.monotonic() < self._ask_again_at:
            return False
        entered = self._gate.enter(origin)
        if not entered:
            self._ask_again_at = time.monotonic() + random.uniform(*_ASK_AGAIN)  # noqa: S311 - no secret
        return entered

    def learn(self, origin: Origin, *, limit: int | None = None, wait: float | None = None) -> None:
        self._gate.learn(origin, limit=limit, wait=wait)


def call_up(gate: FleetGate, origin: Origin) -> None:
    """Queue as many of those who stand in line as there are free places."""
    room = gate.free(origin)
    while room > 0 and (ids := gate.next_in_line(origin, room)):
        room -= lifecycle.hasten(ids)
        # One whose attempt has not ended yet is not scheduled yet: it keeps its turn.
        for job_id in Job.objects.filter(id__in=ids, state=State.RUNNING).values_list("id", flat=True):
            gate.queue(origin, job_id, urgency=0)
            room -= 1
