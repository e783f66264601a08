from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

if TYPE_CHECKING:
    from jobs.kinds import Context, Kind

AddKind = Callable[..., "Kind"]
Race = Callable[..., list[Any]]


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


@pytest.fixture
def race() -> Iterator[Race]:
    """Runs functions at the same moment; gives their answers in order. An error of one is an error of the test."""
    from django.db import connection  # noqa: PLC0415 - settings are loaded after this file

    with ThreadPoolExecutor(max_workers=8) as pool:

        def run(*contestants: Callable[[], Any]) -> list[Any]:
            start = threading.Barrier(len(contestants), timeout=30)

            def contest(contestant: Callable[[], Any]) -> Any:
                try:
                    connection.ensure_connection()
                    start.wait()
                    return contestant()
                finally:
                    connection.close()

            return [future.result(timeout=60) for future in [pool.submit(contest, one) for one in contestants]]

        yield run
