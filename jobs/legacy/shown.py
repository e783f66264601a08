"""The answers of the older systems, by their fields."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict  # pydantic needs its newer form below Python 3.12

Word = Literal["queued", "processing", "completed", "failed", "cancelled"]
Well = Literal["healthy", "unhealthy"]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


# --- 000 -------------------------------------------------------------------------------------------------------------


class Totals(TypedDict):
    queued: int
    processing: int
    completed: int
    failed: int
    total: int


class QueueStatsShown(TypedDict):
    queue_stats: Totals
    timestamp: Time


class WorkerShown(TypedDict):
    id: UUID
    name: str
    status: Literal["draining", "busy", "idle"]
    active_jobs: int
    slots: int
    queues: list[str]
    memory_bytes: int
    started_at: datetime
    last_seen: datetime


class WorkerStatsShown(TypedDict):
    workers: list[WorkerShown]
    total: int
    active: int
    timestamp: Time


class CheckShown(TypedDict):
    status: Literal["up", "down"]
    detail: str


class HealthShown(TypedDict):
    status: Well
    checks: dict[str, CheckShown]
    timestamp: Time


# --- 001 -------------------------------------------------------------------------------------------------------------


class MessageTaken(TypedDict):
    id: UUID
    job_id: int | None
    status: Literal["queued"]


class PartHealthShown(TypedDict):
    status: Well
    detail: str
    queue: NotRequired[Totals]
    timestamp: Time


# --- 002 -------------------------------------------------------------------------------------------------------------


class TaskTaken(TypedDict):
    task_id: UUID
    status: Literal["submitted"]


class TaskShown(TypedDict):
    id: UUID
    type: str
    priority: int
    status: Literal["pending", "processing", "completed", "failed", "cancelled"]
    payload: Any
    max_retries: int
    retry_count: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    worker_id: str


class StatsShown(TypedDict):
    pending: int
    processing: int
    completed: int
    failed: int


# --- 003 -------------------------------------------------------------------------------------------------------------


class TaskQueued(TypedDict):
    status: Literal["queued"]
    task_id: UUID


MonitorShown = TypedDict("MonitorShown", {"tasks:pending": int, "tasks:processing": int})


# --- 004 -------------------------------------------------------------------------------------------------------------


class Added(TypedDict):
    jobId: UUID


class AddedShown(TypedDict):
    success: bool
    data: Added


class ScrapeTotals(TypedDict):
    queued: int
    running: int
    completed: int
    failed: int


class ScrapeHealth(TypedDict):
    isRunning: bool
    activeWorkers: int
    redisConnected: bool


class ScrapeStats(TypedDict):
    queue: ScrapeTotals
    health: ScrapeHealth
    status: Well


class ScrapeStatsShown(TypedDict):
    success: bool
    data: ScrapeStats


class DeadLetterShown(TypedDict):
    id: UUID
    type: str
    target_url: str | None
    attempts: int
    max_attempts: int
    last_error: str


class DeadLettersShown(TypedDict):
    success: bool
    data: list[DeadLetterShown]
    count: int


class Requeued(TypedDict):
    id: UUID


class RequeuedShown(TypedDict):
    success: bool
    data: Requeued
