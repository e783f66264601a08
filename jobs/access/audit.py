"""The record of what people did: who, when, what, to which, from where. Written with the deed, or neither is.

A submission is recorded by the job itself, which names its owner and the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_address
from typing import Any, Protocol

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from jobs.access.models import Action
from jobs.access.roles import Caller

_MOST_TARGETS = 1000
_LONGEST_DOOR, _LONGEST_ID = 300, 100
_PRUNED_AT_ONCE = 1000


class Asked(Protocol):
    """What is read of a request: Django's, or REST framework's around it."""

    META: dict[str, Any]
    method: Any
    path: Any


@contextmanager
def acting(
    request: Asked, caller: Caller | None, verb: str, targets: Sequence[object] = (), **detail: Any
) -> Iterator[dict[str, Any]]:
    """A transaction around what a caller does; what is done in it stands with its record, or not at all.

    Gives the record's `detail`, to be added to.
    """
    with transaction.atomic():
        yield detail
        record(
            caller,
            verb,
            targets,
            door=f"{request.method} {request.path}",
            address=_address(request.META.get("REMOTE_ADDR", "")),
            request_id=request.META.get("HTTP_X_REQUEST_ID", ""),
            **detail,
        )


def _address(peer: str) -> str | None:
    """The peer, as the web server tells it: it believes the proxies that FORWARDED_ALLOW_IPS names."""
    try:
        return str(ip_address(peer.partition("%")[0]))
    except ValueError:
        return None


def record(
    caller: Caller | None,
    verb: str,
    targets: Sequence[object] = (),
    *,
    door: str,
    address: str | None = None,
    request_id: str = "",
    **detail: Any,
) -> Action:
    """Write one action in the caller's transaction. `detail` is JSON."""
    return Action.objects.create(
        actor=caller.name if caller else "unknown",
        user_id=caller.user_id if caller else None,
        token_id=caller.token_id if caller else None,
        verb=verb,
        targets=[str(target) for target in targets[:_MOST_TARGETS]],
        count=len(targets),
        detail=detail,
        door=door[:_LONGEST_DOOR],
        address=address,
        request_id=request_id[:_LONGEST_ID],
    )


def prune() -> int:
    """Delete some of the actions that are older than AUDIT_DAYS. Returns how many."""
    if not settings.AUDIT_DAYS:
        return 0
    old = Action.objects.filter(at__lt=Now() - timedelta(days=settings.AUDIT_DAYS)).order_by("at")
    return Action.objects.filter(id__in=list(old.values_list("id", flat=True)[:_PRUNED_AT_ONCE])).delete()[0]
