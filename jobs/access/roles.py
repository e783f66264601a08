"""The one table that says which role may do what, and to whose jobs.

Roles are Django groups of these names; a superuser is an admin, and staff in none of the groups may look. A token can
do what its user can, or less: its scopes are the acts that it is good for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import Any, TypeVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import QuerySet


class Role(StrEnum):
    VIEWER = "viewer"
    SUBMITTER = "submitter"
    OPERATOR = "operator"
    ADMIN = "admin"


class Act(StrEnum):
    SEE = "see"  # jobs, downloads, their files; the numbers of the platform
    SUBMIT = "submit"  # new jobs and downloads
    CHANGE = "change"  # what becomes of a job: cancel, retry, pause, priority, deletion
    OPERATE = "operate"  # what concerns everybody: limits, queues, schedules, workers
    AUDIT = "audit"  # the record of what people did
    MANAGE = "manage"  # users and tokens


class Reach(IntEnum):
    """To whose jobs an act extends. Jobs of nobody in particular are reached by ALL alone."""

    OWN = 1
    ALL = 2


GRANTS: dict[Role, dict[Act, Reach]] = {
    Role.VIEWER: {Act.SEE: Reach.ALL},
    Role.SUBMITTER: {Act.SEE: Reach.OWN, Act.SUBMIT: Reach.OWN, Act.CHANGE: Reach.OWN},
    Role.OPERATOR: {act: Reach.ALL for act in Act if act is not Act.MANAGE},
    Role.ADMIN: dict.fromkeys(Act, Reach.ALL),
}


@dataclass(frozen=True)
class Caller:
    """Somebody who was recognised: a user with a session or a token, or whoever sits at this machine under `up`."""

    name: str
    roles: frozenset[Role]
    user_id: int | None = None  # none: nobody in particular, as are the jobs that are submitted so
    token_id: int | None = None
    scopes: frozenset[Act] = frozenset(Act)

    @cached_property
    def grants(self) -> dict[Act, Reach]:
        """The widest reach of each act, over all roles, as far as the scopes go."""
        widest: dict[Act, Reach] = {}
        for role in self.roles:
            for act, reach in GRANTS[role].items():
                if act in self.scopes:
                    widest[act] = max(reach, widest.get(act, reach))
        return widest

    def may(self, act: Act) -> bool:
        return act in self.grants

    def sees_all(self, act: Act = Act.SEE) -> bool:
        return self.grants.get(act) is Reach.ALL


Rows = TypeVar("Rows", bound=QuerySet[Any])


def within_reach(caller: Caller | None, rows: Rows, act: Act = Act.SEE, *, prefix: str = "") -> Rows:
    """Those of these rows to which the caller may do this. `prefix` leads from a row to its job, as in "job__"."""
    if caller is None or not caller.may(act):
        return rows.none()
    if caller.sees_all(act):
        return rows
    # A filter by "no owner" would give to nobody in particular what belongs to nobody in particular.
    return rows.none() if caller.user_id is None else rows.filter(**{f"{prefix}owner_id": caller.user_id})


def roles_of(user: AbstractBaseUser | AnonymousUser) -> frozenset[Role]:
    """The roles of a user, by one query; none for somebody who is unknown or switched off."""
    if not isinstance(user, User) or not user.is_active:
        return frozenset()
    if user.is_superuser:
        return frozenset({Role.ADMIN})
    names: Iterable[str] = user.groups.filter(name__in=list(Role)).values_list("name", flat=True)
    roles = frozenset(Role(name) for name in names)
    return roles or (frozenset({Role.VIEWER}) if user.is_staff else roles)
