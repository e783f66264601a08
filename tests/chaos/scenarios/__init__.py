"""What is broken, by part of the platform. Importing this package makes every scenario known, in the table's order."""

from __future__ import annotations

from tests.chaos.scenario import SCENARIOS
from tests.chaos.scenarios import broker, database, dispatchers, harm, shutdown, workers, world

__all__ = ["SCENARIOS", "broker", "database", "dispatchers", "harm", "shutdown", "workers", "world"]
