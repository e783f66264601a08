"""The memory that a pool process may use: a job that eats more fails by itself, before the machine picks a victim."""

from __future__ import annotations

import resource

from django.conf import settings


def limit() -> None:
    """Hold this process to MAX_MEMORY_MB of memory of its own. Whoever asks for more gets a MemoryError.

    Program text and libraries, which processes share, do not count (RLIMIT_DATA; on Linux).
    """
    if settings.MAX_MEMORY_MB:
        allowed = settings.MAX_MEMORY_MB * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))


def exceeded() -> str:
    """What an attempt says that met the limit, or the end of the machine's memory where there is none."""
    limit = f"its process may use {settings.MAX_MEMORY_MB} MB" if settings.MAX_MEMORY_MB else "the machine has no more"
    return f"MemoryError: {limit}."
