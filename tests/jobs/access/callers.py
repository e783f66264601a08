"""Users in each role, for tests."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, User

from jobs.access import tokens
from jobs.access.callers import of_user
from jobs.access.roles import Act, Caller, Role


def user_in(*roles: Role, name: str = "", **fields: Any) -> User:
    user = User.objects.create_user(name or "-".join(roles) or "nobody", **fields)
    user.groups.set(Group.objects.filter(name__in=roles))
    return user


def caller_in(*roles: Role, name: str = "", **fields: Any) -> Caller:
    found = of_user(user_in(*roles, name=name, **fields))
    assert found is not None
    return found


def bearer(user: User, *scopes: Act) -> dict[str, str]:
    """The headers of a new token of that user."""
    return {"Authorization": f"Bearer {tokens.create(user, 'test', scopes=scopes)[1]}"}
