"""Waiting for what must happen, without a word about how fast it does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 60.0  # seconds until something that must happen is given up on


def eventually(look: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {seconds:.0f} s: {look.__qualname__}")
        time.sleep(0.02)
    return found
