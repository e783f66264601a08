"""Settings that are allowed, and will hurt."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from jobs.doctor.findings import Finding, warning, well

PART = "settings"


def examine() -> Iterator[Finding]:
    found = list(_doubtful())
    yield from found
    if not found:
        yield well(PART, "nothing that will hurt")


def _doubtful() -> Iterator[Finding]:
    if settings.DEBUG:
        yield warning(PART, "DEBUG is on: errors show code and settings to everybody, and memory grows", "DEBUG=0")
    if "*" in settings.ALLOWED_HOSTS:
        yield warning(PART, "ALLOWED_HOSTS lets in requests for any name", "ALLOWED_HOSTS=haulway.example.org")
    if settings.ALLOW_DIAGNOSTICS and not settings.OPEN_ON_LOOPBACK:
        yield warning(PART, "ALLOW_DIAGNOSTICS lets any submitter crash a worker", "ALLOW_DIAGNOSTICS=0")
    if settings.LEASE_SECONDS < 5 * settings.HEARTBEAT_SECONDS:
        yield warning(
            PART,
            f"LEASE_SECONDS ({settings.LEASE_SECONDS:g}) is less than five heartbeats: a short pause of a worker loses"
            " its jobs to another",
            f"LEASE_SECONDS={15 * settings.HEARTBEAT_SECONDS:g}",
        )
    if settings.DRAIN_SECONDS < 5:
        yield warning(
            PART,
            f"DRAIN_SECONDS is {settings.DRAIN_SECONDS:g}: every deploy interrupts jobs that would soon be done",
            "DRAIN_SECONDS=25, and a grace of the container above it",
        )
    if not settings.RETENTION_DAYS:
        yield warning(PART, "RETENTION_DAYS is 0: finished jobs and their files are kept for ever", "RETENTION_DAYS=30")
    if settings.DATABASE_TIMEOUT > 300:
        yield warning(
            PART,
            f"DATABASE_TIMEOUT is {settings.DATABASE_TIMEOUT:g} s: a statement that hangs holds its worker that long",
            "DATABASE_TIMEOUT=30",
        )
