"""A wall clock that is wrong: with this directory on PYTHONPATH, Python starts every process with it.

The monotonic clock is left alone, as a wrong wall clock leaves it on a real machine.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import time_machine

time_machine.travel(datetime.now(UTC) + timedelta(seconds=float(os.environ["CHAOS_SKEW_SECONDS"])), tick=True).start()
