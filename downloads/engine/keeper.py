"""Keeps progress: what is on disk goes to the caller after it was synced, and to a journal beside the file at once.

The caller's record is the one that counts after a power cut. The journal is for a killed process: the bytes it wrote
since the last record are still in the file, and the journal says which, with their CRC.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from downloads.engine.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from downloads.engine.checkpoint import Checkpoint, Piece
    from downloads.engine.partfile import PartFile

_EVERY = 2.0
_PATIENCE = 0.1
_BYTES = 64 * 1024 * 1024


class Keeper:
    """Decides when to save. ``describe`` gives the checkpoint of this moment.

    The disk is synced by a thread of its own, so that neither the connections nor the caller wait for it; ``save`` is
    called by the caller's thread.
    """

    def __init__(
        self, path: Path, part: PartFile, *, describe: Callable[[], Checkpoint], save: Callable[[Checkpoint], None]
    ) -> None:
        self._part = part
        self._journal = Journal(path)
        self._describe = describe
        self._save = save
        self._syncing: _Sync | None = None
        # The first save comes with the first answer: from then on a successor knows which version it goes on with.
        self._saved_at = float("-inf")
        self._saved_bytes = 0

    def note(self, pieces: list[Piece]) -> None:
        """Bytes were written. Called by the connections."""
        self._journal.add(pieces)

    def spend(self, compared: int) -> None:
        """Comparisons will have cost so many bytes. Told before they do: a killed process's successor shall know."""
        self._journal.spend(compared)

    def tick(self, written: int) -> None:
        """Called several times a second by the coordinator; ``written`` is all there is on disk."""
        if self._syncing is not None:
            if self._syncing.is_alive():
                return
            self._finish(self._syncing)
        if time.monotonic() - self._saved_at >= _EVERY or written - self._saved_bytes >= _BYTES:
            self._begin(written)

    def now(self, written: int, alive: Callable[[], None] = lambda: None) -> None:
        """Sync and save at once, and wait for both. ``alive`` is called meanwhile, and may raise to end the wait."""
        while self._syncing is not None and self._syncing.is_alive():
            alive()
            self._syncing.join(_PATIENCE)
        sync = self._begin(written)
        while sync.is_alive():
            alive()
            sync.join(_PATIENCE)
        self._finish(sync)

    def forget(self) -> None:
        """Nothing in the file is worth keeping."""
        self._journal.clear()

    def close(self) -> None:
        if self._syncing is not None:
            self._syncing.join()
        self._journal.close()

    def _begin(self, written: int) -> _Sync:
        self._saved_at, self._saved_bytes = time.monotonic(), written
        # In this order: what is written between the two lines is in both, which does no harm.
        self._journal.turn_over()
        self._syncing = sync = _Sync(self._part, self._describe())
        sync.start()
        return sync

    def _finish(self, sync: _Sync) -> None:
        self._syncing = None
        if sync.trouble is not None:
            raise sync.trouble
        self._save(sync.checkpoint)
        self._journal.settle()


class _Sync(threading.Thread):
    def __init__(self, part: PartFile, checkpoint: Checkpoint) -> None:
        super().__init__(name="fetch-sync", daemon=True)
        self.checkpoint = checkpoint
        self.trouble: Exception | None = None
        self._part = part

    def run(self) -> None:
        try:
            self._part.sync()
        except Exception as trouble:  # noqa: BLE001  the caller's thread raises it
            self.trouble = trouble
