"""Celery's autoscaler by our own decision: `celery -A project worker --autoscale=8,1`, from one to eight processes.

Celery's own counts the messages that this worker has in hand. Jobs wait in Postgres, so it would never see them.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from celery.worker.autoscale import Autoscaler
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from jobs import scaling, tasks

logger = logging.getLogger(__name__)

_LOOK_EVERY = 2.0  # seconds


class ByNeed(Autoscaler):
    """Grows at once, shrinks when fewer have been enough for AUTOSCALE_KEEPALIVE seconds; busy processes stay."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._look_at = 0.0
        self._enough_since: float | None = None

    def _maybe_scale(self, req: Any = None) -> bool | None:
        now = time.monotonic()
        if req is not None or now < self._look_at:
            return None
        self._look_at = now + _LOOK_EVERY
        before = self.processes
        try:
            self._follow(max(self.min_concurrency, min(self.max_concurrency, self._wanted())), now)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("Postgres is away (%s); the pool keeps its size.", type(error).__name__)
        finally:
            connection.close()
        # As many messages as there are processes: one that is taken and waits here could run elsewhere.
        self.worker.max_concurrency = self.processes
        tasks.resize(self.processes)
        return bool(self.processes != before)

    def _wanted(self) -> int:
        """What the queues need of this worker, when the others keep the slots they have."""
        decision = scaling.decide(sorted(self.worker.app.amqp.queues.consume_from), settings.SCALING_TARGET_SECONDS)
        others = max(0, decision.slots_now - int(self.processes))
        return decision.slots - others

    def _follow(self, wanted: int, now: float) -> None:
        if wanted > self.processes:
            self._grow(wanted - self.processes)  # type: ignore[attr-defined]  # unknown to celery-types, as is _shrink
        if wanted >= self.processes:
            self._enough_since = None
        elif self._enough_since is None:
            self._enough_since = now
        elif now - self._enough_since > self.keepalive:
            # Celery sends away those that are idle, and no other.
            self._shrink(self.processes - wanted)  # type: ignore[attr-defined]
            self._enough_since = None
