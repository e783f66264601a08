"""The downloads API, version 1, and the three doors of the older downloader (seed 000)."""

from __future__ import annotations

import uuid
from typing import Any

from rest_framework import status
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from downloads.models import Download
from jobs import lifecycle
from jobs.api.pages import NewestDownloadFirst, filtered, page
from jobs.api.shapes import JobOptions, read, write_attempts
from jobs.api.views import apply_verb
from jobs.legacy import WORDS, timestamp
from jobs.models import Job, Priority
from jobs.submission import Fault, InvalidSubmission

_LEGACY_LIST = 100  # the older list had no pages


class DownloadSubmission(JobOptions):
    """A download as it is submitted. What its own fields may hold is the kind's to say: downloads/handlers.py."""

    url: Any = None
    output: Any = None
    threads: Any = None
    sha256: Any = None
    if_exists: Any = None

    def payload(self) -> dict[str, Any]:
        own = self.model_fields_set - set(JobOptions.model_fields)
        return {name: getattr(self, name) for name in sorted(own)}


def submit(request: Request) -> Job:
    """Check and submit one download. Raises InvalidSubmission, whose faults point into the body."""
    given = read(DownloadSubmission, request)
    try:
        return lifecycle.submit("download", given.payload(), **given.options())
    except InvalidSubmission as error:
        # To this door's clients the payload is the body itself.
        raise InvalidSubmission(
            *(Fault(fault.pointer.removeprefix("/payload"), fault.detail) for fault in error.faults)
        ) from error


def write_download(download: Download) -> dict[str, Any]:
    """A download with the state of its job."""
    job = download.job
    return {
        "id": job.id,
        "url": download.url,
        "output": download.output,
        "state": job.state,
        "priority": Priority(job.priority).label,
        "percent": download.percent,
        "bytes_done": download.bytes_done,
        "total_bytes": download.total_bytes,
        "bytes_per_second": download.bytes_per_second,
        "threads": download.threads,
        "segments": download.segments,
        "sha256": download.sha256,
        "media_type": download.media_type,
        "length_verified": download.length_verified,
        "notes": download.notes,
        "error": job.error,
        "reason": job.reason,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }


def _with_jobs() -> Any:
    return Download.objects.select_related("job")


class Downloads(APIView):
    """Submit a download; list downloads, newest first."""

    def get(self, request: Request) -> Response:
        rows = filtered(_with_jobs(), request, prefix="job__")
        return page(NewestDownloadFirst(), rows, request, write_download)

    def post(self, request: Request) -> Response:
        job = submit(request)
        headers = {"Location": f"/api/v1/downloads/{job.id}"}
        body = write_download(_with_jobs().get(pk=job.id))
        return Response(body, status=status.HTTP_202_ACCEPTED, headers=headers)


class DownloadDetail(APIView):
    """One download, with all its attempts."""

    def get(self, request: Request, pk: uuid.UUID) -> Response:  # noqa: ARG002 - DRF's signature
        download = get_object_or_404(_with_jobs(), pk=pk)
        return Response(write_download(download) | {"attempts": write_attempts(download.job)})


class DownloadVerb(APIView):
    """A verb upon one download's job."""

    verb: str = ""

    def post(self, request: Request, pk: uuid.UUID) -> Response:  # noqa: ARG002
        get_object_or_404(Download, pk=pk)
        apply_verb(self.verb, pk)
        return Response(write_download(_with_jobs().get(pk=pk)))


# --- seed 000 --------------------------------------------------------------------------------------------------------


class LegacyDownloads(APIView):
    """POST: enqueue. GET: the newest downloads."""

    def post(self, request: Request) -> Response:
        job = submit(request)
        return Response(
            {"job_id": job.id, "message": "Download job enqueued successfully", "status": "queued"},
            status=status.HTTP_202_ACCEPTED,
        )

    def get(self, request: Request) -> Response:  # noqa: ARG002
        newest = _with_jobs().order_by("-job_id")[:_LEGACY_LIST]
        return Response({"downloads": [_legacy(download) for download in newest], "timestamp": timestamp()})


class LegacyDownloadStatus(APIView):
    def get(self, request: Request, pk: uuid.UUID) -> Response:  # noqa: ARG002
        return Response(_legacy(get_object_or_404(_with_jobs(), pk=pk)))


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
