"""The shapes of the downloads API: what comes in, what goes out."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from downloads.models import Download
from downloads.request import Rate, Url
from jobs.api.shapes import JobOptions
from jobs.models import Priority

MOST_AT_ONCE = 1000  # downloads in one request


class DownloadSubmission(JobOptions):
    """A download as it is submitted. What its own fields may hold is the kind's to say: downloads/request.py."""

    url: Any = None
    mirrors: Any = None
    output: Any = None
    threads: Any = None
    sha256: Any = None
    digests: Any = None
    sha256_url: Any = None
    if_exists: Any = None
    headers: Any = None
    cookies: Any = None
    auth: Any = None
    rate_limit: Any = None
    want_sha256: Any = None
    proxy: Any = None
    dedupe: bool = Field(
        default=False, description="Take a download of the same URL, or sha256, that lives or has its file."
    )

    def payload(self) -> dict[str, Any]:
        own = self.model_fields_set - set(JobOptions.model_fields) - {"dedupe"}
        return {name: getattr(self, name) for name in sorted(own)}


class DownloadList(BaseModel):
    """Many downloads, each with an answer of its own."""

    model_config = ConfigDict(extra="forbid")

    downloads: list[Any] = Field(min_length=1, max_length=MOST_AT_ONCE)


class DownloadRefresh(BaseModel):
    """A fresh link to the same file."""

    model_config = ConfigDict(extra="forbid")

    url: Url


class DownloadChange(BaseModel):
    """What may be changed of a download while it waits or runs. What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    rate_limit: Rate | None = Field(default=None, description="Bytes per second, at most; null: no limit of its own.")
    priority: Literal["low", "medium", "high", "critical"] | None = None


class FleetLimits(BaseModel):
    """What holds for all downloads together."""

    model_config = ConfigDict(extra="forbid")

    rate_limit: Rate | None = Field(description="Bytes per second of all downloads together; null: no limit.")


def write_download(download: Download) -> dict[str, Any]:
    """A download with the state of its job. Secrets it was given are not among its fields."""
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
        "eta_seconds": download.eta_seconds,
        "rate_limit": download.rate_limit,
        "threads": download.threads,
        "segments": download.segments,
        "sha256": download.sha256 or None,
        "media_type": download.media_type,
        "digest_verified": download.digest_verified,
        "length_verified": download.length_verified,
        "notes": download.notes,
        "pause_requested": download.pause_requested,
        "run_at": job.run_at,
        "error": job.error,
        "reason": job.reason,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }
