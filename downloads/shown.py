"""What the downloads API shows, by its fields; see jobs/api/shown.py."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict  # pydantic needs its newer form below Python 3.12

from jobs.api.shown import AttemptShown, PriorityName, ReasonName, SearchedBackTo, StateName


class DownloadShown(TypedDict):
    """A download with the state of its job."""

    id: UUID
    url: str
    output: Annotated[str, Field(description="Path inside the download root.")]
    state: StateName
    priority: PriorityName
    percent: float
    bytes_done: int
    total_bytes: int | None
    bytes_per_second: float
    eta_seconds: float | None
    rate_limit: int | None
    threads: int
    segments: Any
    sha256: Annotated[str | None, Field(description="Digest of the file, or that it must have.")]
    media_type: str
    digest_verified: bool
    length_verified: bool | None
    notes: Any
    pause_requested: bool
    run_at: datetime
    error: str
    reason: ReasonName
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class DownloadWhole(DownloadShown):
    """A download with the attempts of its job."""

    attempts: list[AttemptShown]


class DownloadPage(TypedDict):
    """A page of downloads; `next` and `previous` are URLs of the pages around it."""

    next: str | None
    previous: str | None
    searched_back_to: SearchedBackTo
    results: list[DownloadShown]
