"""How fast each download may go: its own limit, and its share of what the fleet may take together.

Shares follow priority: a download of the next higher one gets twice as much. What one cannot use, because its own
limit or its origin is slower, goes to the others.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass

from django.conf import settings

from downloads.models import Download, Limits
from jobs.models import State

_HEADROOM = 1.3  # times its present rate that a download may grow to before its share is looked at again
_LEAST = 16 * 1024.0  # bytes per second that one which stands still is kept, to start again


@dataclass(frozen=True)
class Claim:
    """A download that wants bandwidth: its weight, and the most it can use, in bytes per second."""

    job_id: uuid.UUID
    weight: float
    most: float | None


def fleet_limit() -> int | None:
    """Bytes per second for all downloads together: as set over the API, else by DOWNLOAD_RATE_LIMIT."""
    row = Limits.objects.first()
    return row.rate_limit if row else settings.DOWNLOAD_RATE_LIMIT or None


def set_fleet_limit(rate: int | None) -> None:
    """Holds for running downloads within two seconds."""
    Limits.objects.update_or_create(id=1, defaults={"rate_limit": rate})


def allowances(ids: Collection[uuid.UUID]) -> dict[uuid.UUID, float | None]:
    """Bytes per second that each of these running downloads may take now; none: as fast as it can."""
    total = fleet_limit()
    if total is None:
        return dict(Download.objects.filter(pk__in=ids).values_list("pk", "rate_limit"))
    running = Download.objects.filter(job__state=State.RUNNING, job__kind="download")
    columns = running.values_list("pk", "job__priority", "rate_limit", "bytes_per_second")
    given = shares(total, [_claim(*row) for row in columns])
    return {one: given.get(one, _LEAST) for one in ids}


def _claim(job_id: uuid.UUID, priority: int, own: int | None, rate: float) -> Claim:
    # One that has no rate yet may take all it is given.
    demand = max(rate * _HEADROOM, _LEAST) if rate else None
    return Claim(job_id, 2.0**priority, min((one for one in (own, demand) if one is not None), default=None))


def shares(total: float, claims: Collection[Claim]) -> dict[uuid.UUID, float]:
    """Divide by weight; what is over one's `most` is divided among the others."""
    given: dict[uuid.UUID, float] = {}
    open_claims = list(claims)
    while open_claims:
        unit = total / sum(claim.weight for claim in open_claims)
        sated = [claim for claim in open_claims if claim.most is not None and claim.most <= unit * claim.weight]
        if not sated:
            return given | {claim.job_id: unit * claim.weight for claim in open_claims}
        for claim in sated:
            assert claim.most is not None
            given[claim.job_id] = claim.most
            total -= claim.most
        open_claims = [claim for claim in open_claims if claim.job_id not in given]
    return given
