"""Every process is spared what two packages load only to see whether it is there.

Redis' client looks for OpenTelemetry's metrics, structlog for rich's tracebacks. Nobody makes use of either by way of
them here, and in each of many worker processes they take six megabytes of a hundred. Who wants them for something else
imports them afterwards, as ever.
"""

from __future__ import annotations

import importlib
import sys

_LOOKS_FOR = {"redis": "opentelemetry.sdk.metrics", "structlog": "rich"}

for _package, _other in _LOOKS_FOR.items():
    if _other not in sys.modules:
        sys.modules[_other] = None  # type: ignore[assignment]  # as the import system has it: this is not there
        importlib.import_module(_package)
        del sys.modules[_other]
