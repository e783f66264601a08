"""Real HTTP servers on loopback that behave, or misbehave, exactly as a test says."""

from __future__ import annotations

from tests.origins.files import FileOrigin
from tests.origins.proxy import TunnelProxy
from tests.origins.server import Exchange, Origin

__all__ = ["Exchange", "FileOrigin", "Origin", "TunnelProxy"]
