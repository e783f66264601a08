"""How a path names what is paused or limited: a scope, and its target."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError

from jobs import gates
from jobs.models import Scope

TARGET = OpenApiParameter(
    "target",
    {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[^\x00-\x1f\x7f]*$"},
    OpenApiParameter.PATH,
    description="The name of the queue or kind, or the key, which may end in a star: all keys that begin so.",
)


def scope_parameter(*scopes: Scope) -> OpenApiParameter:
    return OpenApiParameter("scope", {"type": "string", "enum": [*scopes]}, OpenApiParameter.PATH)


ONE = (scope_parameter(Scope.QUEUE, Scope.KIND, Scope.KEY), TARGET)


def named(scope: str, target: str) -> tuple[Scope, str]:
    """Scope and target as a path has them. Raises ValidationError."""
    try:
        return gates.checked(scope, target)
    except gates.UnknownGateError as error:
        raise ValidationError({error.field: str(error)}) from error
