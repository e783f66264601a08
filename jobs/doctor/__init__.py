"""What is wrong with this installation, or will be, each with the line that mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import redis
from django.db import DatabaseError, InterfaceError

from jobs.doctor import broker, configuration, database, fleet, host
from jobs.doctor.findings import Finding, Level

__all__ = ["Finding", "Level", "examine"]

# Each looks at one part and yields what it found, in the order in which a person would look.
_EXAMINATIONS: dict[str, Callable[[], Iterator[Finding]]] = {
    "postgres": database.examine,
    "redis": broker.examine,
    "fleet": fleet.examine,
    "host": host.examine,
    "settings": configuration.examine,
}


def examine() -> list[Finding]:
    """Everything there is to say. Never raises; a part that cannot be asked is a fault. Takes a few seconds at most."""
    found: list[Finding] = []
    for part, examination in _EXAMINATIONS.items():
        try:
            found += examination()
        except (DatabaseError, InterfaceError, redis.RedisError, OSError) as error:
            found.append(_unasked(part, error))
    return found


def _unasked(part: str, error: Exception) -> Finding:
    # The class alone: a driver's message may name hosts, users and passwords, and findings are shown on a page.
    return Finding(
        part,
        Level.FAULT,
        f"could not be examined: {type(error).__name__}",
        "See that POSTGRES_URL and REDIS_URL are right, and that both servers run and can be reached from here.",
    )
