"""The three doors of the older downloader (seed 000): same paths, same words, no logic."""

from __future__ import annotations

import uuid
from typing import Any

from rest_framework import status
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from downloads.models import Download
from downloads.shapes import DownloadSubmission
from downloads.submitting import submit
from jobs.api.shapes import read
from jobs.legacy.words import WORDS, timestamp

_LIST = 100  # the older list had no pages


class LegacyDownloads(APIView):
    """POST: enqueue. GET: the newest downloads."""

    def post(self, request: Request) -> Response:
        job_id, _ = submit(read(DownloadSubmission, request))
        return Response(
            {"job_id": job_id, "message": "Download job enqueued successfully", "status": "queued"},
            status=status.HTTP_202_ACCEPTED,
        )

    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        newest = Download.objects.select_related("job").order_by("-job_id")[:_LIST]
        return Response({"downloads": [_legacy(download) for download in newest], "timestamp": timestamp()})


class LegacyDownloadStatus(APIView):
    def get(self, request: Request, pk: uuid.UUID) -> Response:  # noqa: ARG002
        return Response(_legacy(get_object_or_404(Download.objects.select_related("job"), pk=pk)))


def _legacy(download: Download) -> dict[str, Any]:
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
