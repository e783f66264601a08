"""What is broken, by part of the platform. Importing this package makes every scenario known, in the table's order."""

from __future__ import annotations

from tests.chaos import scenario
from tests.chaos.scenarios import broker, database, dispatchers, harm, shutdown, workers, world

_PARTS = (workers, dispatchers, shutdown, broker, database, harm, world)
SCENARIOS = {one.name: one for part in _PARTS for one in scenario.SCENARIOS.values() if one.module == part.__name__}

__all__ = ["SCENARIOS"]
