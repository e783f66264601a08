"""The three doors of the older downloader (seed 000): same paths, same words, no logic."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Literal

from rest_framework import status
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from typing_extensions import TypedDict

from downloads.models import Download
from downloads.shapes import DownloadSubmission
from downloads.submitting import submit
from jobs.access.roles import Act
from jobs.api.access import owner_of, reachable
from jobs.api.idempotency import once
from jobs.api.openapi import door
from jobs.api.shapes import read
from jobs.legacy.shown import Time, Word
from jobs.legacy.words import TAG, WORDS, timestamp


class Enqueued(TypedDict):
    job_id: uuid.UUID
    message: str
    status: Literal["queued"]


class LegacyShown(TypedDict):
    """A download in the older downloader's words."""

    job_id: uuid.UUID
    url: str
    output: str
    threads: int
    status: Word
    progress: float
    bytes_downloaded: int
    total_bytes: int
    error: str
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class LegacyList(TypedDict):
    downloads: list[LegacyShown]
    timestamp: Time


_LIST = 100  # the older list had no pages


class LegacyDownloads(APIView):
    """POST: enqueue. GET: the newest downloads."""

    acts = {"POST": Act.SUBMIT}

    @door(
        "Submit a download as to the older downloader",
        name="enqueue_download",
        tag=TAG,
        takes=DownloadSubmission,
        gives={202: Enqueued},
        example={"url": "https://example.com/file.zip", "output": "file.zip", "threads": 4},
        keyed=True,
    )
    @once
    def post(self, request: Request) -> Response:
        job_id, _ = submit(read(DownloadSubmission, request), owner=owner_of(request))
        return Response(
            {"job_id": job_id, "message": "Download job enqueued successfully", "status": "queued"},
            status=status.HTTP_202_ACCEPTED,
        )

    @door(
        "The newest downloads, as the older downloader showed them", name="downloads", tag=TAG, gives={200: LegacyList}
    )
    def get(self, request: Request) -> Response:
        newest = _seen(request).order_by("-job_id")[:_LIST]
        return Response({"downloads": [_legacy(download) for download in newest], "timestamp": timestamp()})


class LegacyDownloadStatus(APIView):
    @door("How far a download is", name="download_status", tag=TAG, gives={200: LegacyShown}, refuses=(404,))
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        return Response(_legacy(get_object_or_404(_seen(request), pk=pk)))


def _seen(request: Request) -> Any:
    return reachable(request, Download.objects.select_related("job"), prefix="job__")


def _legacy(download: Download) -> LegacyShown:
    return {
        "job_id": download.job_id,
        "url": download.url,
        "output": download.output,
        "threads": download.threads,
        "status": WORDS[download.job.state],
        "progress": download.percent,
        "bytes_downloaded": download.bytes_done,
        "total_bytes": download.total_bytes or 0,
        "error": download.job.error,
        "created_at": download.job.created_at,
        "started_at": download.job.started_at,
        "completed_at": download.job.finished_at,
    }
