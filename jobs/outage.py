"""Riding out a database that is away."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")


def insist(statement: Callable[[], Answer]) -> Answer:
    """Run a guarded statement until the database has taken it. Each is safe to repeat: its guard sees to that.

    Has no end of its own: whoever has results in hand or jobs to claim has nothing better to do meanwhile, and a
    drain's deadline ends the process.
    """
    pause = 0.1
    while True:
        try:
            return statement()
        except (OperationalError, InterfaceError) as error:
            logger.warning("Postgres is away (%s); trying again in %.1f s.", error, pause)
            connection.close()
            time.sleep(pause)
            pause = min(pause * 2, 2.0)
