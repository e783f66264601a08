"""The kind `download`: the engine's work as a job, its progress and outcome in the rows."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NoReturn

from django.conf import settings
from django.db import connection

from downloads import engine, freshness, proxies, publishing, quota, room, sidecar, storage, window
from downloads.engine.url import parse
from downloads.hosts import gate
from downloads.models import Download
from downloads.places import Places
from downloads.pulse import Watched, pulse
from downloads.record import Record
from downloads.request import DownloadRequest
from jobs import outbound
from jobs.kinds import Backoff, Cancelled, Context, GiveUp, Hold, Interrupted, Lane, Snooze, TryLater, handler
from jobs.models import Job

_NOTES_PER_SECOND = 20  # of one process, to its jobs' rows; the downloads' own rows are the pulse's


def _write_rows(jobs: Sequence[Job]) -> None:
    """In the transaction of the submission, so that no download is ever without its row."""
    requests = [DownloadRequest.model_validate(job.payload) for job in jobs]
    Download.objects.bulk_create(
        Download(
            job=job,
            url=one.url,
            output=one.output or "",
            threads=one.threads,
            sha256=one.sha256 or "",
            rate_limit=one.rate_limit,
        )
        for job, one in zip(jobs, requests, strict=True)
    )


@handler("download", lane=Lane.IO, max_retries=5, backoff=Backoff(base=2, cap=600), on_submit=_write_rows)
def download(payload: DownloadRequest, ctx: Context) -> dict[str, Any]:
    """Fetch a file in parallel segments, verify it, and publish it whole or not at all."""
    record = Record(ctx)
    record.begun()
    _hold_if_asked(record, asked=record.row.pause_requested)
    _wait_for_window()
    if (path := publishing.earlier(record)) is not None:
        return _result(path, record)
    origin = parse(record.row.url).origin
    try:
        publishing.look_ahead(payload)
        with Places(gate, origin, record.row.pk, record.row.job.priority) as places:
            try:
                with pulse.watching(ctx) as watched:
                    fetched = _fetch(payload, ctx, record, watched, places)
            except (engine.Busy, engine.Refused) as refusal:
                record.stopped()
                raise places.turned_away(refusal) from refusal
            if fetched is None:
                _stop(ctx, record, watched, places)
        path = publishing.publish(payload, fetched, record)
    except quota.Exceeded as exceeded:
        record.begin_anew()
        raise GiveUp(str(exceeded)) from exceeded
    except engine.NoSpace as full:
        raise room.wait(record, full) from full
    except engine.FetchError as error:
        record.stopped()
        raise _verdict(error) from error
    except freshness.AnotherFile as refusal:
        record.stopped()
        raise GiveUp(str(refusal)) from refusal
    except publishing.Taken as taken:
        return _leave_alone(taken, payload, record)
    return _result(path, record)


def _fetch(
    payload: DownloadRequest, ctx: Context, record: Record, watched: Watched, places: Places
) -> engine.Fetched | None:
    """None: it was stopped before the end, for one of the reasons that `cancelled` names."""
    reporter = _Reporter(ctx, watched)
    order = replace(payload.order(record.row.url), proxy=proxies.chosen(payload))
    if payload.sha256_url:
        digest = sidecar.sha256(payload.sha256_url, order)
        order = replace(order, digests={**order.digests, "sha256": digest})
    order = replace(
        order,
        rate_limit=lambda: watched.rate,
        max_bytes=settings.MAX_DOWNLOAD_BYTES or None,
        reserve_bytes=settings.DOWNLOAD_RESERVE_BYTES,
    )
    part, begun = storage.part_file(ctx.job_id), record.checkpoint()
    save: freshness.Save = record.save
    if begun is not None and record.row.url != payload.url:
        save = freshness.insist_on_same(part, begun, save)
    connection.close()  # back to the pool: a fetch may take hours, and there are many threads
    with suppress(engine.Cancelled):
        return engine.fetch(
            order,
            part,
            resume=begun,
            resolve=outbound.resolve,
            progress=reporter.progress,
            save=save,
            cancelled=lambda: ctx.interrupted or watched.pause_requested or places.starved or window.opens_in() > 0,
            gate=places,
        )
    return None


def _result(path: str, record: Record) -> dict[str, Any]:
    row = Download.objects.get(pk=record.row.pk)
    return {
        "path": path,
        "bytes": row.total_bytes,
        "sha256": row.sha256 or None,
        "digest_verified": row.digest_verified,
        "notes": row.notes,
    }


def _leave_alone(taken: publishing.Taken, payload: DownloadRequest, record: Record) -> dict[str, Any]:
    """There is a file of that name, and the request says what that means."""
    if payload.if_exists != "skip":
        raise GiveUp(f"{taken} Choose another output, or if_exists: rename, overwrite or skip.") from taken
    notes = [f"{taken} It was left as it is."]
    record.stopped(checkpoint=None, published=None, output=taken.name, notes=notes)
    engine.discard(storage.part_file(record.row.pk))
    return {"path": taken.name, "skipped": True, "notes": notes}


def _stop(ctx: Context, record: Record, watched: Watched, places: Places) -> NoReturn:
    """The engine stopped because the attempt must end. What is on disk is kept for the next one, unless cancelled."""
    try:
        ctx.check()
    except Cancelled:
        record.stopped(checkpoint=None, bytes_done=0)
        engine.discard(storage.part_file(ctx.job_id))
        raise
    except Interrupted:
        record.stopped()
        raise
    _hold_if_asked(record, asked=watched.pause_requested)
    record.stopped()
    _wait_for_window()
    if places.starved:
        raise places.snooze()
    raise TryLater(1, "The fetch was stopped.")  # the reason has passed meanwhile: go on in a fresh attempt


def _hold_if_asked(record: Record, *, asked: bool) -> None:
    if asked:
        record.stopped(pause_requested=False)
        raise Hold("Paused as asked; the bytes that are here are kept.")


def _wait_for_window() -> None:
    if seconds := window.opens_in():
        later = random.uniform(0, 5)  # noqa: S311 - no secret: they shall not all begin in the same moment
        raise Snooze(seconds + later, f"Downloads run from {settings.DOWNLOAD_WINDOW} ({settings.TIME_ZONE}).")


def _verdict(error: engine.FetchError) -> Exception:
    if error.permanent:
        return GiveUp(str(error))
    if error.retry_after is not None:
        return TryLater(error.retry_after, str(error))
    return error


class _Reporter:
    """Hands progress on: to the pulse at once, to the job's own row now and then."""

    def __init__(self, ctx: Context, watched: Watched) -> None:
        self._ctx = ctx
        self._watched = watched
        self._noted_at = 0.0

    def progress(self, now: engine.Progress) -> None:
        self._watched.progress = now
        if time.monotonic() - self._noted_at < max(1.0, len(pulse) / _NOTES_PER_SECOND):
            return
        self._noted_at = time.monotonic()
        # An attempt that must end is ended by the engine asking `cancelled`, after it has saved its checkpoint.
        with suppress(Interrupted):
            speed = f"{now.bytes_per_second / 1e6:.1f} MB/s over {now.connections} connections"
            self._ctx.progress(now.bytes_done / now.total if now.total else None, speed)
