"""Who is calling: whoever a token stands for, a user with a session, or somebody at this very machine."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpRequest

from jobs.access import tokens
from jobs.access.roles import Caller, Role, roles_of

AT_THIS_MACHINE = Caller("this machine", frozenset({Role.ADMIN}))

_NOTED = "_caller"  # with a user, for as long as the object lives: a request

# What proxies and tunnels add. Behind one of them every peer is on loopback, wherever the caller is.
_FORWARDED = (
    "HTTP_FORWARDED",
    "HTTP_VIA",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_REAL_IP",
)


def caller_of(request: HttpRequest) -> Caller | None:
    """By token if one is sent, else by session, else by being at this machine. What is sent and wrong is not passed
    over: None.
    """
    if authorization := request.META.get("HTTP_AUTHORIZATION"):
        known = tokens.known(tokens.secret_in(authorization) or "")
        return known.caller if known else None
    user = request.user
    return of_user(user) if user.is_authenticated else at_this_machine(request)


def of_user(user: AbstractBaseUser | AnonymousUser) -> Caller | None:
    """A user as a caller, looked up once for each request; None for one without a role."""
    known: dict[str, Any] = user.__dict__
    if _NOTED not in known:
        roles = roles_of(user)
        known[_NOTED] = Caller(user.get_username(), roles, user.pk) if roles else None
    found: Caller | None = known[_NOTED]
    return found


def of_owner(user_id: int | None) -> Caller | None:
    """Whose job it is, as a caller: what the job may get at, they may. Jobs of nobody in particular come from this
    machine or from the platform's own code, and get at everything.
    """
    if user_id is None:
        return AT_THIS_MACHINE
    user = get_user_model()._default_manager.filter(pk=user_id).first()  # noqa: SLF001 - Django's documented name
    return of_user(user) if user else None


def at_this_machine(request: HttpRequest) -> Caller | None:
    """Whoever calls from this machine, where OPEN_ON_LOOPBACK trusts all who can.

    It must be this machine in earnest: a peer on loopback, asked for by a name of this machine and not by a page of
    somebody else's that a browser here happens to show, and nothing forwarded by a proxy.
    """
    if not settings.OPEN_ON_LOOPBACK or any(header in request.META for header in _FORWARDED):
        return None
    try:
        host = urlsplit(f"//{request.META.get('HTTP_HOST', 'localhost')}").hostname or ""
        is_here = _on_loopback(host) and _on_loopback(request.META.get("REMOTE_ADDR", "")) and _same_origin(request)
    except ValueError:  # a host or an origin that is none
        return None
    return AT_THIS_MACHINE if is_here else None


@lru_cache(256)
def _on_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _same_origin(request: HttpRequest) -> bool:
    if request.META.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin"):
        # A link that somebody follows to us is no harm: the page that has it reads nothing of the answer.
        return request.method == "GET" and request.META.get("HTTP_SEC_FETCH_MODE") == "navigate"
    origin = request.META.get("HTTP_ORIGIN")
    return origin is None or urlsplit(origin).netloc == request.META.get("HTTP_HOST")
