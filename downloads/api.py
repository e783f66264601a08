"""The downloads API, version 1, and the three doors of the older downloader (seed 000)."""

from __future__ import annotations

import uuid
from typing import Any

from django.urls import reverse
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from downloads.models import Download
from jobs import lifecycle
from jobs.api.pages import NewestDownloadFirst, filtered
from jobs.api.serializers import AttemptSerializer, PriorityField, StrictSerializer
from jobs.api.views import apply_verb
from jobs.legacy import WORDS, timestamp
from jobs.models import Job
from jobs.submission import Fault, InvalidSubmission

_LEGACY_LIST = 100  # the older list had no pages


class DownloadSubmission(StrictSerializer):
    """A download as it is submitted. What the fields may hold is the kind's to say: see downloads/handlers.py."""

    url = serializers.CharField(trim_whitespace=False)
    output = serializers.CharField(required=False, allow_null=True, trim_whitespace=False)
    threads = serializers.IntegerField(required=False)
    sha256 = serializers.CharField(required=False, allow_null=True)
    if_exists = serializers.CharField(required=False)
    priority = PriorityField(default=None, allow_null=True)
    run_at = serializers.DateTimeField(default=None, allow_null=True)
    max_retries = serializers.IntegerField(default=None, allow_null=True)
    timeout = serializers.FloatField(default=None, allow_null=True)
    metadata = serializers.DictField(default=dict)


_JOB_FIELDS = ("priority", "run_at", "max_retries", "timeout", "metadata")


class DownloadSerializer(serializers.ModelSerializer[Download]):
    """A download with the state of its job."""

    id = serializers.UUIDField(source="job_id")
    state = serializers.CharField(source="job.state")
    priority = PriorityField(source="job.priority")
    percent = serializers.FloatField()
    error = serializers.CharField(source="job.error")
    reason = serializers.CharField(source="job.reason")
    created_at = serializers.DateTimeField(source="job.created_at")
    started_at = serializers.DateTimeField(source="job.started_at")
    finished_at = serializers.DateTimeField(source="job.finished_at")

    class Meta:
        model = Download
        fields = (
            "id",
            "url",
            "output",
            "state",
            "priority",
            "percent",
            "bytes_done",
            "total_bytes",
            "bytes_per_second",
            "threads",
            "segments",
            "sha256",
            "media_type",
            "length_verified",
            "notes",
            "error",
            "reason",
            "created_at",
            "started_at",
            "finished_at",
        )
        read_only_fields = fields


class DownloadDetailSerializer(DownloadSerializer):
    attempts = serializers.SerializerMethodField()

    class Meta(DownloadSerializer.Meta):
        fields = (*DownloadSerializer.Meta.fields, "attempts")  # type: ignore[assignment]

    def get_attempts(self, download: Download) -> Any:
        return AttemptSerializer(download.job.attempts.order_by("number"), many=True).data


def submit(data: Any) -> Job:
    """Check and submit one download. Raises ValidationError or InvalidSubmission, which point into `data`."""
    given = DownloadSubmission(data=data)
    given.is_valid(raise_exception=True)
    fields = dict(given.validated_data)
    options = {name: fields.pop(name) for name in _JOB_FIELDS}
    try:
        return lifecycle.submit("download", fields, **options)
    except InvalidSubmission as error:
        # To this door's clients the payload is the body itself.
        raise InvalidSubmission(
            *(Fault(fault.pointer.removeprefix("/payload"), fault.detail) for fault in error.faults)
        ) from error


class Downloads(generics.ListAPIView[Download]):
    """Submit a download; list downloads, newest first."""

    serializer_class = DownloadSerializer
    pagination_class = NewestDownloadFirst

    def get_queryset(self) -> Any:
        return filtered(Download.objects.select_related("job"), self.request, prefix="job__")

    def post(self, request: Request) -> Response:
        job = submit(request.data)
        body = DownloadSerializer(Download.objects.select_related("job").get(pk=job.id)).data
        headers = {"Location": reverse("download", args=[job.id])}
        return Response(body, status=status.HTTP_202_ACCEPTED, headers=headers)


class DownloadDetail(generics.RetrieveAPIView[Download]):
    """One download, with all its attempts."""

    queryset = Download.objects.select_related("job")
    serializer_class = DownloadDetailSerializer


class DownloadVerb(APIView):
    """A verb upon one download's job."""

    verb: str = ""

    def post(self, request: Request, pk: uuid.UUID) -> Response:  # noqa: ARG002
        generics.get_object_or_404(Download, pk=pk)
        apply_verb(self.verb, pk)
        return Response(DownloadSerializer(Download.objects.select_related("job").get(pk=pk)).data)


# --- seed 000 --------------------------------------------------------------------------------------------------------


class LegacyDownloads(APIView):
    """POST: enqueue. GET: the newest downloads."""

    def post(self, request: Request) -> Response:
        job = submit(request.data)
        return Response(
            {"job_id": job.id, "message": "Download job enqueued successfully", "status": "queued"},
            status=status.HTTP_202_ACCEPTED,
        )

    def get(self, request: Request) -> Response:  # noqa: ARG002
        newest = Download.objects.select_related("job").order_by("-job_id")[:_LEGACY_LIST]
        return Response({"downloads": [_legacy(download) for download in newest], "timestamp": timestamp()})


class LegacyDownloadStatus(APIView):
    def get(self, request: Request, pk: uuid.UUID) -> Response:  # noqa: ARG002
        return Response(_legacy(generics.get_object_or_404(Download.objects.select_related("job"), pk=pk)))


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
