from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

if TYPE_CHECKING:
    from jobs.kinds import Context, Kind

AddKind = Callable[..., "Kind"]


class Numbered(BaseModel):
    """A payload with one field that must be a number if it is there."""

    n: int = 0


@pytest.fixture
def add_kind(monkeypatch: pytest.MonkeyPatch) -> AddKind:
    """Adds a kind for the length of a test."""
    from jobs import kinds  # noqa: PLC0415 - settings are loaded after this file

    def add(name: str, function: Callable[[Numbered, Context], Any] = _nothing, **options: Any) -> Kind:
        def run(payload: Numbered, ctx: Any) -> Any:
            return function(payload, ctx)

        monkeypatch.setattr(kinds, "_registry", dict(kinds._registry))
        kinds.handler(name, **options)(run)
        return kinds.get(name)

    return add


def _nothing(payload: Numbered, ctx: Context) -> None:
    pass
