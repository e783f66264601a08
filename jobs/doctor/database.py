"""Postgres: whether it keeps what it was told, and has room for us."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import connection

from jobs.doctor.findings import Finding, fault, warning, well
from jobs.probes import unapplied

_OLDEST = 140000  # the first version that is tested with us
_SKEW_SECONDS = 2.0
PART = "postgres"


def examine() -> Iterator[Finding]:
    version = connection.cursor().connection.info.server_version
    if version < _OLDEST:
        yield fault(PART, f"version {version // 10000} is too old", "Upgrade to PostgreSQL 14 or newer.")
    else:
        yield well(PART, f"answers, version {version // 10000}.{version % 10000}")
    yield from _migrations()
    yield from _writable()
    yield from _durability()
    yield from _clock()
    yield from _room()
    yield from _idle()


def _migrations() -> Iterator[Finding]:
    if missing := unapplied():
        yield fault("migrations", f"missing: {', '.join(missing)}", "manage.py migrate")
    else:
        yield well("migrations", "all applied")


def _writable() -> Iterator[Finding]:
    if _row("SELECT pg_is_in_recovery()")[0]:
        yield fault(
            PART, "is a standby, which takes no writes", "Point POSTGRES_URL at the primary, or promote this server."
        )


def _durability() -> Iterator[Finding]:
    fsync, commit, pages, autovacuum = _row(
        "SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('full_page_writes'),"
        " current_setting('autovacuum')"
    )
    for name, value in (("fsync", fsync), ("full_page_writes", pages)):
        if value != "on":
            yield fault(
                PART,
                f"{name} is off: a power cut can destroy the database",
                f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf();",
            )
    if commit == "off":
        yield warning(
            PART,
            "synchronous_commit is off: jobs accepted in the last moment before a crash are gone",
            "ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf();",
        )
    if autovacuum != "on":
        yield fault(
            PART,
            "autovacuum is off: the jobs' table slows down day by day",
            "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf();",
        )


def _clock() -> Iterator[Finding]:
    before = time.time()
    theirs = float(_row("SELECT extract(epoch FROM clock_timestamp())")[0])
    skew = theirs - (before + time.time()) / 2
    if abs(skew) > _SKEW_SECONDS:
        yield warning(
            "clock",
            f"Postgres is {skew:+.1f} s off this machine: run_at and the times on pages mislead",
            "Run an NTP client (chrony) on both machines.",
        )
    else:
        yield well("clock", f"within {abs(skew):.1f} s of Postgres")


def _room() -> Iterator[Finding]:
    most, used = _row(
        "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,"
        " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
    )
    if used > most * 0.8:
        yield warning(
            PART,
            f"{used} of {most} connections are in use",
            "ALTER SYSTEM SET max_connections = 300; and restart it; or put PgBouncer in front; or lower"
            f" DATABASE_POOL_SIZE (now {settings.DATABASE_POOL_SIZE} a process).",
        )
    else:
        yield well(PART, f"{used} of {most} connections in use")


def _idle() -> Iterator[Finding]:
    (count,) = _row(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()"
        " AND state_change < now() - interval '10 minutes'"
    )
    if count:
        yield warning(
            PART,
            f"{count} sessions have been idle in a transaction for ten minutes: vacuum cannot clean up",
            "ALTER SYSTEM SET idle_in_transaction_session_timeout = '5min'; SELECT pg_reload_conf();",
        )


def _row(query: str) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        row: tuple[Any, ...] = cursor.fetchone()
    return row
