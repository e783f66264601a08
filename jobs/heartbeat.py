"""A file whose age says whether a worker's watch, or a dispatcher, is awake: for probes that cannot ask over HTTP.

It says nothing about Redis or Postgres. A worker that waits for them is well, and to restart it would mend nothing.
"""

from __future__ import annotations

import logging
from pathlib import Path

from django.conf import settings

logger = logging.getLogger(__name__)

_complained = False


def beat() -> None:
    """Touch HEARTBEAT_FILE, if there is one. Never raises: a full disk must not stop a worker."""
    global _complained  # noqa: PLW0603 - said once for the process
    if not settings.HEARTBEAT_FILE:
        return
    try:
        Path(settings.HEARTBEAT_FILE).touch()
    except OSError as error:
        if not _complained:
            logger.warning("The heartbeat file cannot be touched, so probes will take this process for dead: %s", error)
        _complained = True
