"""The row of a download, written only while its attempt holds the job."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from django.db.models.functions import Now

from downloads import engine, quota, storage
from downloads.models import Download
from jobs.kinds import Context


class Record:
    """`row` is as the attempt found it."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.row = Download.objects.select_related("job").get(job_id=ctx.job_id)
        self._counted = 0  # bytes that the owner's quota is known to have room for

    def held(self) -> AbstractContextManager[None]:
        return self._ctx.held()

    def begun(self) -> None:
        """What it waited for, it waits for no more."""
        if self.row.room_needed is not None:
            self.write(room_needed=None)

    def checkpoint(self) -> engine.Checkpoint | None:
        """What is on disk already; nothing where it was written by an engine that this one does not understand."""
        try:
            return engine.Checkpoint.from_json(self.row.checkpoint) if self.row.checkpoint else None
        except ValueError:
            return None

    def save(self, checkpoint: engine.Checkpoint) -> None:
        """Raises quota.Exceeded where the owner has no room for the file; nothing is written then."""
        size = checkpoint.bytes_done if checkpoint.total is None else checkpoint.total
        with self.held():
            if size > self._counted:
                quota.check(self.row, size)
            self._update(
                checkpoint=checkpoint.to_json(),
                bytes_done=checkpoint.bytes_done,
                total_bytes=checkpoint.total,
                media_type=checkpoint.media_type[:255],
            )
        self._counted = max(self._counted, size)

    def begin_anew(self) -> None:
        """Nothing of the file is kept."""
        self.stopped(checkpoint=None, bytes_done=0, total_bytes=None)
        engine.discard(storage.part_file(self.row.pk))

    def about_to_publish(self, mark: dict[str, Any], fetched: engine.Fetched) -> None:
        """All that is to be known of the finished file. The checkpoint stays until the file has its name."""
        self.write(
            published=mark,
            output=mark["path"],
            bytes_done=fetched.size,
            total_bytes=fetched.size,
            sha256=fetched.sha256 or "",
            media_type=fetched.media_type[:255],
            digest_verified=fetched.digest_verified,
            length_verified=fetched.length_verified,
            notes=list(fetched.notes),
        )

    def settle(self) -> None:
        """The file has its name. Inside held(), together with whatever made it so."""
        self._update(checkpoint=None, bytes_per_second=0, segments=[])

    def stopped(self, **columns: Any) -> None:
        """Nothing is fetched at present."""
        self.write(bytes_per_second=0, segments=[], **columns)

    def write(self, **columns: Any) -> None:
        with self.held():
            self._update(**columns)

    def _update(self, **columns: Any) -> None:
        Download.objects.filter(pk=self.row.pk).update(updated_at=Now(), **columns)
