"""API tokens: made once and shown once, known again by their digest.

A token is 32 random bytes, so a plain SHA-256 of it can be neither guessed nor inverted, and one look at a unique
index finds it. What was found is kept in the process for a few seconds, so that a busy client costs no query for each
request: a token that is revoked, or a role that is taken away, ends with that time at the latest.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.auth.models import User
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from jobs.access.models import Token
from jobs.access.roles import Act, Caller, roles_of

BEGINNING = "haulway_"  # by which scanners for secrets that were published by mistake can know ours
KEPT_SECONDS = 5.0
_MOST_KEPT = 10_000
_NOTED_EVERY = timedelta(minutes=1)
_SHOWN = len(BEGINNING) + 6


@dataclass(frozen=True)
class Known:
    """What a secret stands for. `requests_per_minute` and `backlog`: none as the settings say."""

    caller: Caller
    user: User
    requests_per_minute: int | None
    backlog: int | None


def create(
    user: User,
    name: str,
    *,
    scopes: Iterable[Act] = (),
    lasts: timedelta | None = None,
    requests_per_minute: int | None = None,
    backlog: int | None = None,
) -> tuple[Token, str]:
    """A new token and its secret, which nobody can ever be told again. No scopes: all that its user may do."""
    secret = BEGINNING + secrets.token_urlsafe(32)
    token = Token.objects.create(
        user=user,
        name=name,
        prefix=secret[:_SHOWN],
        digest=_digest(secret),
        scopes=[str(scope) for scope in scopes],
        expires_at=timezone.now() + lasts if lasts else None,
        requests_per_minute=requests_per_minute,
        backlog=backlog,
    )
    return token, secret


def revoke(token: Token) -> bool:
    """Whether it was good until now. Other processes may take it for KEPT_SECONDS more."""
    forget()
    return bool(Token.objects.filter(id=token.id, revoked_at=None).update(revoked_at=Now()))


def secret_in(authorization: str) -> str | None:
    """The secret in an Authorization header: `Bearer haulway_…`, or Basic with it as the password, for clients that
    can be given a URL and nothing else. None where there is none.
    """
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() == "basic":
        with suppress(ValueError):
            return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    return None


_kept: dict[str, tuple[float, Known]] = {}


def forget() -> None:
    """Look every secret up again."""
    _kept.clear()


def known(secret: str) -> Known | None:
    """Whom this secret stands for; None for one that is unknown, revoked or expired, or whose user has no role."""
    if not secret.startswith(BEGINNING):
        return None
    digest = _digest(secret)
    found = _kept.get(digest)
    if found is not None and time.monotonic() < found[0]:
        return found[1]
    looked_up = _look_up(digest)
    if looked_up is None:
        _kept.pop(digest, None)
        return None
    if len(_kept) >= _MOST_KEPT:
        forget()
    _kept[digest] = (time.monotonic() + KEPT_SECONDS, looked_up)
    return looked_up


def _look_up(digest: str) -> Known | None:
    good = Q(expires_at=None) | Q(expires_at__gt=Now())
    token = Token.objects.filter(good, digest=digest, revoked_at=None).select_related("user").first()
    if token is None or not (roles := roles_of(token.user)):
        return None
    if token.last_used_at is None or timezone.now() - token.last_used_at > _NOTED_EVERY:
        Token.objects.filter(id=token.id).update(last_used_at=Now())
    scopes = frozenset(Act(scope) for scope in token.scopes if scope in list(Act)) if token.scopes else frozenset(Act)
    caller = Caller(f"{token.user.get_username()} ({token.name})", roles, token.user.pk, token.id, scopes)
    return Known(caller, token.user, token.requests_per_minute, token.backlog)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def shown() -> list[Token]:
    """All tokens as lists show them: those that are good first, the latest used first."""
    rows = Token.objects.select_related("user")
    return list(rows.order_by(F("revoked_at").desc(nulls_first=True), F("last_used_at").desc(nulls_last=True), "-id"))
