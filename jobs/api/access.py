"""Who may use the API, and for what: the rules of jobs/access as REST framework asks for them.

A view says for each method which act it is, as in `acts = {"POST": Act.SUBMIT}`. Reading is to see; any other method of
which nothing is said is for those who operate the platform. `of_everybody = True` says that what it is about belongs
to nobody in particular, so that a reach of one's own jobs does not extend to it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db.models import Exists, OuterRef, QuerySet
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from jobs.access import audit, tokens
from jobs.access.callers import at_this_machine, of_user
from jobs.access.roles import Act, Caller, within_reach
from jobs.models import Batch, Job
from jobs.submission import Fault, InvalidSubmission

Rows = TypeVar("Rows", bound=QuerySet[Any])


class ByToken(BaseAuthentication):
    """The header Authorization, as tokens.secret_in() reads it."""

    def authenticate(self, request: Request) -> tuple[Any, Caller] | None:
        authorization = request.META.get("HTTP_AUTHORIZATION")
        if not authorization:
            return None
        known = tokens.known(tokens.secret_in(authorization) or "")
        if known is None:
            raise AuthenticationFailed("This token is unknown, revoked or expired, or its user has no role.")
        request.token = known  # type: ignore[attr-defined] # for the throttle, which must not look it up again
        return known.user, known.caller

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - DRF's signature
        return 'Bearer realm="Haulway"'


class BySession(SessionAuthentication):
    """People who signed in with a browser: every change needs the CSRF token of their page."""

    def authenticate(self, request: Request) -> tuple[Any, Caller | None] | None:
        if settings.SESSION_COOKIE_NAME not in request.COOKIES:
            return None  # without building a session to find that it is nobody's
        found = super().authenticate(request)
        return found and (found[0], of_user(found[0]))


class AtThisMachine(BaseAuthentication):
    """Nobody in particular, where the platform is open to this machine."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Caller] | None:
        caller = at_this_machine(request._request)  # noqa: SLF001 - DRF's own name
        return (AnonymousUser(), caller) if caller else None


class ByRole(BasePermission):
    """Whether the caller's roles and scopes cover what the view says this method is."""

    def has_permission(self, request: Request, view: Any) -> bool:
        caller = caller_of(request)
        act = act_of(request.method or "", getattr(view, "acts", {}))
        if caller is None:
            return False
        return caller.sees_all(act) if getattr(view, "of_everybody", False) else caller.may(act)


def act_of(method: str, acts: Mapping[str, Act]) -> Act:
    """HEAD and OPTIONS tell of what GET gives."""
    return acts.get("GET", Act.SEE) if method in SAFE_METHODS else acts.get(method, Act.OPERATE)


def caller_of(request: Request) -> Caller | None:
    found: Any = request.auth
    return found if isinstance(found, Caller) else None


def name_of(request: Request) -> str:
    """Who is calling, in the records."""
    caller = caller_of(request)
    return caller.name if caller else "nobody"


def owner_of(request: Request) -> int | None:
    """To whom belongs what this request submits."""
    caller = caller_of(request)
    return caller.user_id if caller else None


def reachable(request: Request, rows: Rows, act: Act = Act.SEE, *, prefix: str = "") -> Rows:
    """Those of these rows that this caller may see, or do that to. Others are not there for them."""
    return within_reach(caller_of(request), rows, act, prefix=prefix)


def check_parents(request: Request, ids: Iterable[uuid.UUID]) -> None:
    """Raises InvalidSubmission where a job is to wait for one that this caller cannot see."""
    wanted = set(ids)
    caller = caller_of(request)
    if not wanted or (caller is not None and caller.sees_all()):
        return
    seen = reachable(request, Job.objects.filter(id__in=wanted)).values_list("id", flat=True)
    if hidden := wanted.difference(seen):
        raise InvalidSubmission(Fault("/depends_on", f"there is no job {min(hidden)}"))


def batches_of(request: Request, act: Act = Act.SEE) -> QuerySet[Batch]:
    """The batches whose jobs this caller may do that to: all jobs of a batch have one owner."""
    caller = caller_of(request)
    if caller is not None and caller.sees_all(act):
        return Batch.objects.all()
    return Batch.objects.filter(Exists(reachable(request, Job.objects.filter(batch_id=OuterRef("pk")), act)))


def acting(request: Request, verb: str, *targets: object, **detail: Any) -> AbstractContextManager[dict[str, Any]]:
    """A transaction for what this caller does, which records that it was done: see jobs/access/audit.py."""
    return audit.acting(request, caller_of(request), verb, targets, **detail)
