"""How the log is written: a JSON object a line for machines, words and colours for a person at a terminal.

Everything goes through the standard library's loggers, Django's and Celery's lines included. Each line is given the
request and the job that it is about, and loses what looks like a secret.
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

# Passwords in addresses, bearer tokens, and our own tokens and webhook secrets wherever they stand.
_SECRET = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+(?=@)|(?i:(?<=bearer )|(?<=basic ))[\w.~+/=-]{8,}|\bwhsec_[\w+/=]+")
_SECRET_NAMES = re.compile(r"password|passwd|secret|token|authorization|cookie|api_?key", re.IGNORECASE)
_MASK = "***"


def configuration(level: str, form: str) -> dict[str, Any]:
    """LOGGING for Django. `form`: json, console, or auto, which is console at a terminal and json elsewhere."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    end: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), sort_keys=False)
        if console
        else structlog.processors.JSONRenderer(default=str)
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"ours": {"()": _Lines, "end": end}},
        "filters": {"meant": {"()": _Meant}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "ours", "filters": ["meant"]}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "propagate": True},
            # Two lines for every message, which mean nothing here: a message is only a hint.
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "urllib3.connectionpool": {"level": "ERROR"},
        },
    }


class _Meant(logging.Filter):
    """Leaves out the alarm that Django raises over a 503: those that we send are answers, and say why."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.name == "django.request" and getattr(record, "status_code", 0) == 503)


class _Lines(logging.Formatter):
    """What structlog's own formatter does, in a third of the time: every submission waits for a line."""

    def __init__(self, end: Processor) -> None:
        super().__init__()
        self._end = end

    def format(self, record: logging.LogRecord) -> str:
        event: EventDict = {
            **_trail(),
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            **{name: value for name, value in record.__dict__.items() if name not in _OF_EVERY_RECORD},
            "timestamp": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            event["stack"] = record.stack_info
        return str(self._end(None, "", _without_secrets(event)))


_OF_EVERY_RECORD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def _trail() -> dict[str, Any]:
    trail = sys.modules.get("jobs.trail")  # not imported here: the settings read this file before there are models
    return trail.fields() if trail else {}


def _without_secrets(event: EventDict) -> EventDict:
    return {name: _MASK if _is_secret(name) else _clean(value) for name, value in event.items()}


@lru_cache(1024)
def _is_secret(name: str) -> bool:
    return bool(_SECRET_NAMES.search(name))


def _clean(value: Any) -> Any:
    return _SECRET.sub(_masked, value) if isinstance(value, str) else value


def _masked(found: re.Match[str]) -> str:
    return f"{found[1]}:{_MASK}" if found[1] is not None else _MASK
