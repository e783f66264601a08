"""Signing in with a password, at a pace at which nobody guesses one."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from jobs.access.rates import Allowance, TooManyRequests, spend

# In one minute, from one address: for one name, and for all names together.
_FOR_ONE, _FOR_ALL = 10, 60


class SlowedDown(ModelBackend):
    """Django's own back end. Who tries too often from one address is refused for a while, with the right password too;
    others can sign in to the same name meanwhile, so that nobody can be locked out by a stranger.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        if request is not None and username is not None:
            address = request.META.get("REMOTE_ADDR", "")
            try:
                spend(Allowance(f"sign in {address}", _FOR_ALL), requests=1)
                spend(Allowance(f"sign in {address} {username[:150]}", _FOR_ONE), requests=1)
            except TooManyRequests as why:
                raise PermissionDenied("Too many attempts to sign in.") from why
        return super().authenticate(request, username, password, **kwargs)
