"""The limits of jobs/access/rates.py at the door: 429 with Retry-After, and how much is left in every answer.

The headers are those of the IETF's draft on RateLimit fields for HTTP.
"""

from __future__ import annotations

import math
from typing import Any

from django.conf import settings
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from jobs.access import rates
from jobs.access.rates import Allowance, TooMany, TooManyRequests
from jobs.access.roles import Act
from jobs.access.tokens import Known
from jobs.api.access import act_of, caller_of


class Refused(Throttled):
    """429, in our own words."""

    def __init__(self, why: TooMany) -> None:
        super().__init__()
        self.detail = str(why)  # type: ignore[assignment]
        self.wait = why.wait


class PerCaller(BaseThrottle):
    """Counts every request of a token or user; of a submission, a job beside it. Who is at this machine is free."""

    def allow_request(self, request: Request, view: Any) -> bool:
        allowance = allowance_of(request)
        if allowance is None:
            return True
        submits = act_of(request.method or "", getattr(view, "acts", {})) is Act.SUBMIT
        if allowance.requests:
            view.headers["RateLimit-Policy"] = f'"requests";q={allowance.requests};w={rates.WINDOW:.0f}'
        try:
            left = rates.spend(allowance, requests=1, jobs=int(submits))
        except TooMany as why:
            if isinstance(why, TooManyRequests):
                view.headers["RateLimit"] = f'"requests";r=0;t={math.ceil(why.wait)}'
            raise Refused(why) from why
        if left is not None and allowance.requests:
            view.headers["RateLimit"] = f'"requests";r={left.requests};t={math.ceil(left.reset)}'
        return True


def make_room(request: Request, jobs: int) -> None:
    """Count the jobs of a submission beyond its first, which was counted with the request. Raises Refused."""
    if jobs > 1 and (allowance := allowance_of(request)):
        try:
            rates.spend(allowance, jobs=jobs - 1)
        except TooMany as why:
            raise Refused(why) from why


def allowance_of(request: Request) -> Allowance | None:
    caller = caller_of(request)
    if caller is None or caller.user_id is None:
        return None
    token: Known | None = getattr(request, "token", None)
    most, backlog = settings.REQUESTS_PER_MINUTE, settings.MAX_BACKLOG
    if token is not None:
        most = most if token.requests_per_minute is None else token.requests_per_minute
        backlog = backlog if token.backlog is None else token.backlog
    key = f"user {caller.user_id}" if caller.token_id is None else f"token {caller.token_id}"
    return Allowance(key, most, caller.user_id, backlog)
