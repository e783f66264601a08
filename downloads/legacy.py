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
from jobs.access.roles import Act
from jobs.api.access import owner_of, reachable
from jobs.api.shapes import read
from jobs.legacy.words import WORDS, timestamp

_LIST = 100  # the older list had no pages


class LegacyDownloads(APIView):
    """POST: enqueue. GET: the newest downloads."""

    acts = {"POST": Act.SUBMIT}

    def post(self, request: Request) -> Response:
        job_id, _ = submit(read(DownloadSubmission, request), owner=owner_of(request))
        return Response(
            {"job_id": job_id, "message": "Download job enqueued successfully", "status": "queued"},
            status=status.HTTP_202_ACCEPTED,
        )

    def get(self, request: Request) -> Response:
        newest = _seen(request).order_by("-job_id")[:_LIST]
        return Response({"downloads": [_legacy(download) for download in newest], "timestamp": timestamp()})


class LegacyDownloadStatus(APIView):
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        return Response(_legacy(get_object_or_404(_seen(request), pk=pk)))


def _seen(request: Request) -> Any:
    return reachable(request, Download.objects.select_related("job"), prefix="job__")


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
