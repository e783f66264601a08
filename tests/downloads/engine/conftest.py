from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from downloads.engine import Checkpoint, Fetched, LocalGate, Order, Progress, Timeouts, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

QUICK = Timeouts(connect=3.0, head=3.0, stall=3.0, patience=15.0)


class Client:
    """Fetches into one part file and remembers what was reported and saved."""

    def __init__(self, part: Path) -> None:
        self.part = part
        self.saved: list[Checkpoint] = []
        self.save: Callable[[Checkpoint], None] = self.saved.append
        self.progress: list[Progress] = []
        self.cancel: Callable[[], bool] = lambda: False
        self.resolve: Callable[[str, int], Sequence[tuple[Any, ...]]] = lambda _host, port: [("127.0.0.1", port)]
        self.gate = LocalGate()

    def fetch(self, *urls: str, resume: Checkpoint | None = None, **options: Any) -> Fetched:
        options.setdefault("timeouts", QUICK)
        return fetch(
            Order(urls=urls, **options),
            self.part,
            resume=resume,
            resolve=self.resolve,
            progress=self.progress.append,
            save=self.save,
            cancelled=self.cancel,
            gate=self.gate,
        )


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path / "file.part")
