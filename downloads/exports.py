"""Downloads as the kind `export_data` writes them."""

from __future__ import annotations

from downloads.models import Download
from jobs.exports import Source, register

_OWN = ("url", "output", "threads", "bytes_done", "total_bytes", "sha256", "media_type", "length_verified", "notes")
_OF_ITS_JOB = ("created_at", "started_at", "finished_at", "attempt", "reason", "error")

register(
    Source(
        "downloads",
        Download.objects.all,
        {"id": "job__id", "state": "job__state"}
        | {name: name for name in _OWN}
        | {name: f"job__{name}" for name in _OF_ITS_JOB},
        prefix="job__",
    )
)
