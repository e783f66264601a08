"""Pauses: a queue, a kind, a limit key or everything starts nothing new, until somebody resumes it or its time is over.

What runs goes on to its end. Who paused it and why is kept with it, over restarts of everything.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from jobs import doorbell, gates
from jobs.models import Gate, Scope


def pause(scope: str, target: str = "", *, by: str, reason: str = "", until: datetime | None = None) -> Gate:
    """No new starts from now on; pausing again changes reason and end. Raises gates.UnknownGateError.

    `scope`: everything, queue, kind or key; a key may end in a star, for all that begin alike.
    """
    scope, target = gates.checked(scope, target)
    values = {"paused_by": by[:255], "pause_reason": reason[:500], "paused_until": until, "paused_at": Now()}
    gate, _ = Gate.objects.update_or_create(scope=scope, target=target, defaults=values)
    gate.refresh_from_db()
    return gate


def resume(scope: str, target: str = "") -> bool:
    """Let it go on. False: it was not paused."""
    with transaction.atomic():
        reached = (
            Gate.objects.filter(scope=scope, target=target, paused_at__isnull=False)
            .filter(_standing())
            .update(paused_at=None, paused_until=None, paused_by="", pause_reason="")
        )
        _forget_meaningless()
    transaction.on_commit(doorbell.ring, robust=True)
    return bool(reached)


def paused() -> list[Gate]:
    """Every pause that stands, the widest first."""
    order = {scope: place for place, scope in enumerate(Scope.values)}
    found = Gate.objects.filter(paused_at__isnull=False).filter(_standing())
    return sorted(found, key=lambda gate: (order[gate.scope], gate.target))


def expire() -> None:
    """Forget pauses whose time is over. They bar nothing any more; this only keeps the table small."""
    Gate.objects.filter(paused_until__lte=Now()).update(
        paused_at=None, paused_until=None, paused_by="", pause_reason=""
    )
    _forget_meaningless()


def _standing() -> Q:
    return Q(paused_until__isnull=True) | Q(paused_until__gt=Now())


def _forget_meaningless() -> None:
    limits = {f"{name}__isnull": True for name in ("concurrency", "rate", "backlog")}
    Gate.objects.filter(paused_at__isnull=True, **limits).delete()
