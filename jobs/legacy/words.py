"""The words of the older systems, and ours behind them."""

from __future__ import annotations

from django.utils import timezone

from jobs import tally
from jobs.models import State

# Our states in the older systems' four words. What a person cancelled or holds back is none of them.
WORDS: dict[str, str] = {
    State.BLOCKED: "queued",
    State.SCHEDULED: "queued",
    State.QUEUED: "queued",
    State.RETRYING: "queued",
    State.PAUSED: "queued",
    State.RUNNING: "processing",
    State.COMPLETED: "completed",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}


def timestamp() -> str:
    return timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def totals() -> dict[str, int]:
    """Jobs by the older words, and their sum."""
    found = dict.fromkeys(("queued", "processing", "completed", "failed"), 0)
    for state, count in tally.counts().items():
        if WORDS[state] in found:
            found[WORDS[state]] += count
    return found | {"total": sum(found.values())}
