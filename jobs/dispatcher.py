"""The scheduler that `celery -A project beat` runs: decides what runs next, and sends the only Celery messages.

Run any number; the one that holds the lease in Postgres leads. What it does, round by round:

    promote   what has become due is queued
    fire      schedules whose time has come submit their jobs
    admit     what stands before limits and has its turn is let in
    rescue    what a lost node was running is queued again
    follow    what follows from the end of jobs is done: those that waited for them, batches, notices
    mend      what Redis has lost is sent again
    prune     what finished long ago is deleted
    send      what stands in the window and was not sent yet

Every round is a set of guarded statements and hints, so a dispatcher that is killed, frozen or doubled at any point
leaves nothing to repair: the next round of whoever leads does what is missing.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from datetime import timedelta
from typing import Any

from celery.beat import Scheduler
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.models.functions import Now

from jobs import (
    batches,
    broker,
    doorbell,
    endings,
    flow,
    heartbeat,
    history,
    leadership,
    leases,
    lifecycle,
    locks,
    meters,
    operations,
    pauses,
    retention,
    tally,
    trail,
)
from jobs.access import audit
from jobs.admission import Turnstile, park
from jobs.capacity import QUEUES, Capacity
from jobs.gates import Gates
from jobs.models import Node
from jobs.schedules import firing
from jobs.window import Ready, Window

logger = logging.getLogger(__name__)

_BUSY = 0.02  # the shortest pause while more is ready than was sent: workers are taking what was
_REST = 0.005  # seconds that rings are left to gather after a round, while what it sent is not all taken yet
_CARE_EVERY = 1.0  # rescue, mending, capacity
_TROUBLE_PAUSE = 0.5
_STEADY_BEFORE_RESCUE = 5.0  # seconds of rounds without a gap; a live node renews every second
_PROMOTE_AT_ONCE = 1000
_FIRE_AT_ONCE = 50  # schedules
_FOLLOW_AT_ONCE = 1000  # ends of jobs
_STUCK_AFTER = 60.0  # a round that takes longer hangs in a way that no timeout of ours caught
_NODE_KEPT = timedelta(days=1)


class Dispatcher(Scheduler):
    """Celery's extension point. Entries of `beat_schedule` run too, on the dispatcher that leads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}"
        self._window = Window()
        self._capacity = Capacity({}, {}, {})
        self._gates = Gates()
        self._turnstile = Turnstile()
        self._term: int | None = None
        self._renew_at = self._care_at = self._promote_at = 0.0
        self._cared_at = self._steady_since = self._beat_at = 0.0
        self._trouble = ""
        self._round_began = 0.0
        self._in_round = False
        self._pause = _BUSY
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """One round. Returns 0: the waiting is done here, at the doorbell."""
        if not self._round_began:  # the first: beat makes a second scheduler that never ticks, to print its name
            threading.Thread(target=self._exit_when_stuck, name="watchdog", daemon=True).start()
            operations.Carrier(lambda: self._term is not None).start()
        self._round_began = time.monotonic()
        if self._round_began >= self._beat_at:
            self._beat_at = self._round_began + _CARE_EVERY
            heartbeat.beat()
        self._in_round = True
        try:
            if not self._leads():
                time.sleep(min(1.0, settings.DISPATCHER_LEASE_SECONDS / 4))
                return 0.0
            super().tick(*args, **kwargs)
            self._round()
            self._recovered()
            if self._window.size:
                time.sleep(_REST)
            self._wait(self._pause if self._window.more or self._turnstile.moving else settings.POLL_SECONDS)
        except (DatabaseError, InterfaceError) as error:
            connection.close()
            self._say_trouble(f"Postgres is away: {error}")
        except broker.BrokerDown as error:
            self._say_trouble(f"Redis is away; jobs wait in Postgres: {error}")
        finally:
            self._in_round = False
        return 0.0

    def _wait(self, seconds: float) -> None:
        """At the doorbell. A free place is no reason to come back before the turnstile would look at it: jobs of many
        keys end all the time, and a round for each would cost the others more than it gives to these.
        """
        rest = min(seconds, self._turnstile.rest)
        if rest > 0 and doorbell.wait(rest):
            return
        if seconds > rest:
            doorbell.wait(seconds - rest, doorbell.PLACES)

    def close(self) -> None:
        """On a clean stop the standby takes over at once.

        Beat calls this by the handler of SIGTERM, and again when that has ended the round. The first call may come in
        the middle of a statement, whose connection is locked by this very thread: to ask it anything hangs for ever.
        """
        super().close()
        if self._in_round or self._term is None:
            return
        self._term = None
        connection.close()  # a statement that was cut short may still run there
        try:
            leadership.resign(self.name)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("The lead is not given up, and runs out by itself: %s", error)

    # --- a round -----------------------------------------------------------------------------------------------------

    def _leads(self) -> bool:
        now = time.monotonic()
        if now >= self._renew_at:
            term = leadership.lead(self.name)
            self._renew_at = now + settings.DISPATCHER_LEASE_SECONDS / 4
            if term != self._term:
                self._term = term
                self._window = Window()  # what a predecessor sent is not known; sending twice does no harm
                if term is not None:
                    logger.info("%s leads, term %d.", self.name, term)
        return self._term is not None

    def _round(self) -> None:
        if time.monotonic() >= self._promote_at:
            while flow.follow(_FOLLOW_AT_ONCE) == _FOLLOW_AT_ONCE and self._leads():
                pass
            while firing.fire(_FIRE_AT_ONCE) == _FIRE_AT_ONCE and self._leads():
                pass
            while lifecycle.promote(_PROMOTE_AT_ONCE) == _PROMOTE_AT_ONCE and self._leads():
                pass
            self._gates = Gates.read()
            while park(self._gates) and self._leads():
                pass
            self._promote_at = time.monotonic() + settings.DUE_SECONDS
            self._turnstile.look()
        if caring := time.monotonic() >= self._care_at:
            self._care_at = time.monotonic() + _CARE_EVERY
            self._rescue()
            self._capacity = Capacity.read()
            # At the very end of a lease that runs out before: what it held is free then, and not a second later.
            self._care_at = min(self._care_at, time.monotonic() + leases.next_end() + _REST)
            self._window.look_for_aged(self._capacity)
        capacity = self._capacity.without(self._gates.paused_queues, self._gates.paused_kinds)
        if not self._turnstile.rest:
            self._turnstile.round(capacity)
        self._send(self._window.messages(capacity))
        if caring and (mended := self._window.forget_lost(broker.oldest_stamps(QUEUES))):
            # Lost by Redis, or taken by workers that do not know their kind: either way they are sent again.
            logger.warning("The hints of %d jobs came to nothing; sending them again.", mended)
        if caring:
            retention.prune()
            retention.expire_results()
            audit.prune()
            retention.forget_answers()
            locks.prune()
            firing.prune()
            batches.prune()
            pauses.expire()
            meters.prune()
            tally.roll_up()
            history.note()

    def _send(self, messages: list[list[Ready]]) -> None:
        hints = [
            broker.Hint(
                jobs[0].queue, [job.id for job in jobs], self._window.stamp(), frozenset(job.kind for job in jobs)
            )
            for jobs in messages
        ]
        broker.send(hints)
        for jobs, hint in zip(messages, hints, strict=True):
            self._window.note_sent(jobs, hint.stamp)
            trail.sent(hint.queue, hint.ids)
        self._keep_pace(sum(map(len, messages)))

    def _keep_pace(self, sent: int) -> None:
        """Look again when workers have taken between a quarter and half of the window: a round reads all of it, so
        that many small ones would cost more than the jobs themselves.
        """
        standing = self._window.size
        if sent * 4 < standing:
            self._pause = min(self._pause * 1.5, settings.POLL_SECONDS)
        elif sent * 2 > standing:
            self._pause = max(self._pause / 2, _BUSY)

    def _rescue(self) -> None:
        """Not before nodes had the time to be heard: after a pause of ours or of Postgres, all leases look lost."""
        now = time.monotonic()
        if now - self._cared_at > 3 * _CARE_EVERY:
            self._steady_since = now
        self._cared_at = now
        if now - self._steady_since < _STEADY_BEFORE_RESCUE:
            return
        if lost := leases.lost():
            rescued = lifecycle.record([endings.lost(job) for job in lost], wait=False)
            logger.warning("Rescued %d of %d jobs of workers that were lost.", len(rescued), len(lost))
        Node.objects.filter(expires_at__lt=Now() - _NODE_KEPT).delete()

    # --- saying what is wrong, once ----------------------------------------------------------------------------------

    def _say_trouble(self, trouble: str) -> None:
        trouble = trouble.strip()
        if trouble != self._trouble:
            logger.warning("%s", trouble)
        self._trouble = trouble
        time.sleep(_TROUBLE_PAUSE)

    def _recovered(self) -> None:
        if self._trouble:
            logger.info("All is back; dispatching goes on.")
            self._trouble = ""

    def _exit_when_stuck(self) -> None:
        """A dispatcher that hangs keeps nobody from leading, but it must not stay a dead standby either."""
        while True:
            time.sleep(5)
            if time.monotonic() - self._round_began > _STUCK_AFTER:
                logger.critical("A round has taken %d s: exiting to be started afresh.", _STUCK_AFTER)
                os.kill(os.getpid(), signal.SIGKILL)
