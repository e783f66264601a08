"""Every process is spared what some packages load only to see whether it is there.

Redis' client looks for OpenTelemetry's metrics, structlog for rich's tracebacks, kombu for another serializer, requests
for what guesses the encoding of a text. Nobody makes use of them that way here, and in each of many worker processes
they take ten megabytes of a hundred. Who wants them for something else imports them afterwards, as ever.
"""

from __future__ import annotations

import importlib
import sys
import warnings

_LOOKS_FOR = {
    "redis": "opentelemetry",
    "structlog": "rich",
    "kombu.serialization": "yaml",
    "requests": "charset_normalizer",
}

for _package, _other in _LOOKS_FOR.items():
    if _other not in sys.modules:
        sys.modules[_other] = None  # type: ignore[assignment]  # as the import system has it: this is not there
        with warnings.catch_warnings(action="ignore"):  # requests says that it will not guess
            importlib.import_module(_package)
        del sys.modules[_other]
