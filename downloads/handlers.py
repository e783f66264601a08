"""The kind `download`: the engine's work as a job, its progress and outcome in the rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal

from django.db.models.functions import Now
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from downloads import engine, storage
from downloads.models import Download
from jobs import outbound
from jobs.kinds import Backoff, Cancelled, Context, GiveUp, Interrupted, Lane, TryLater, handler
from jobs.models import Job

_PROGRESS_EVERY = 1.0  # seconds between two writes of one download's progress


def _fetchable(url: str) -> str:
    outbound.check_url(url)
    return url


class DownloadRequest(BaseModel):
    """One file to fetch."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, StringConstraints(max_length=8192), AfterValidator(_fetchable)]
    output: Annotated[str, StringConstraints(max_length=1024), AfterValidator(storage.checked_output)] | None = Field(
        default=None, description="File name, or path, inside the download root. Taken from the origin if left out."
    )
    threads: int = Field(default=4, ge=1, le=32, description="Connections at once, at most.")
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)] | None = Field(
        default=None, description="Digest that the file must have."
    )
    if_exists: Literal["overwrite", "rename", "fail"] = Field(
        default="overwrite", description="What to do where there is a file of that name."
    )


def _write_rows(jobs: Sequence[Job]) -> None:
    """In the transaction of the submission, so that no download is ever without its row."""
    requests = [DownloadRequest.model_validate(job.payload) for job in jobs]
    Download.objects.bulk_create(
        Download(job=job, url=one.url, output=one.output or "", threads=one.threads, sha256=one.sha256 or "")
        for job, one in zip(jobs, requests, strict=True)
    )


@handler("download", lane=Lane.IO, max_retries=5, backoff=Backoff(base=2, cap=600), on_submit=_write_rows)
def download(payload: DownloadRequest, ctx: Context) -> dict[str, Any]:
    """Fetch a file in parallel segments, verify it, and publish it whole or not at all."""
    record = _Record(ctx)
    order = engine.Order(urls=(payload.url,), connections=payload.threads, sha256=payload.sha256, want_sha256=True)
    try:
        fetched = engine.fetch(
            order,
            storage.part_file(ctx.job_id),
            resume=record.checkpoint(),
            resolve=outbound.resolve,
            progress=record.progress,
            save=record.save,
            cancelled=lambda: ctx.interrupted,
        )
    except engine.Cancelled:
        _stop(ctx)
    except engine.FetchError as error:
        raise _verdict(error) from error
    path = _publish(payload, fetched, ctx)
    record.finished(fetched, path)
    return {"path": path, "bytes": fetched.size, "sha256": fetched.sha256, "notes": list(fetched.notes)}


def _stop(ctx: Context) -> None:
    """The engine stopped because the attempt must end. What is on disk is kept for the next one, unless cancelled."""
    try:
        ctx.check()
    except Cancelled:
        storage.discard_part(ctx.job_id)
        raise
    raise TryLater(1, "The fetch was stopped.")  # the reason has passed meanwhile: go on in a fresh attempt


def _verdict(error: engine.FetchError) -> Exception:
    if error.permanent:
        return GiveUp(str(error))
    if error.retry_after is not None:
        return TryLater(error.retry_after, str(error))
    return error


def _publish(payload: DownloadRequest, fetched: engine.Fetched, ctx: Context) -> str:
    """Give the file its name, while this attempt holds the job. Returns the path below the root."""
    name = payload.output or fetched.name
    part = storage.part_file(ctx.job_id)
    with ctx.held():
        for candidate in storage.alternatives(name) if payload.if_exists == "rename" else [name]:
            try:
                target = storage.destination(candidate)
                engine.publish(part, target, overwrite=payload.if_exists == "overwrite", size=fetched.size)
            except FileExistsError:
                continue
            except storage.EscapesRoot as error:
                raise GiveUp(f"The output {error}.") from error
            return candidate
    raise GiveUp(f"There is a file {name!r} already. Choose another output, or if_exists: rename or overwrite.")


class _Record:
    """The download's row, written only while this attempt holds the job."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._rows = Download.objects.filter(job_id=ctx.job_id)
        self._written_at = 0.0

    def checkpoint(self) -> engine.Checkpoint | None:
        kept = self._rows.values_list("checkpoint", flat=True).first()
        return engine.Checkpoint.from_json(kept) if kept else None

    def progress(self, now: engine.Progress) -> None:
        if time.monotonic() - self._written_at < _PROGRESS_EVERY:
            return
        self._written_at = time.monotonic()
        # An attempt that must end is ended by the engine asking `cancelled`, after it has saved its checkpoint.
        with suppress(Interrupted):
            self._ctx.progress(now.bytes_done / now.total if now.total else None, _speed(now))
        self._write(
            bytes_done=now.bytes_done,
            total_bytes=now.total,
            bytes_per_second=now.bytes_per_second,
            segments=[vars(segment) for segment in now.segments],
        )

    def save(self, checkpoint: engine.Checkpoint) -> None:
        self._write(checkpoint=checkpoint.to_json(), bytes_done=checkpoint.bytes_done, total_bytes=checkpoint.total)

    def finished(self, fetched: engine.Fetched, path: str) -> None:
        self._write(
            output=path,
            bytes_done=fetched.size,
            total_bytes=fetched.size,
            bytes_per_second=0,
            segments=[],
            checkpoint=None,
            sha256=fetched.sha256 or "",
            media_type=fetched.media_type[:255],
            length_verified=fetched.length_verified,
            notes=list(fetched.notes),
        )

    def _write(self, **columns: Any) -> None:
        with self._ctx.held():
            self._rows.update(updated_at=Now(), **columns)


def _speed(now: engine.Progress) -> str:
    return f"{now.bytes_per_second / 1e6:.1f} MB/s over {now.connections} connections"
