"""What may become a job: bad input is refused here, with every fault named, before anything is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from pydantic import ValidationError

from jobs import kinds
from jobs.models import Priority

MAX_DEPTH = 64  # of nested objects and arrays; Postgres and every reader of the row recurse over them
MAX_RETRIES_LIMIT = 1000
MAX_TIMEOUT = 30 * 24 * 3600.0
_TOO_LONG_AHEAD = 10 * 366  # days; a date beyond is a mistake in the unit


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: `pointer` is a JSON pointer into what was submitted, `detail` says what to do."""

    pointer: str
    detail: str


class InvalidSubmission(ValueError):
    """What was submitted cannot become a job."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{fault.pointer or '/'}: {fault.detail}" for fault in faults))
        self.faults = faults


@dataclass(frozen=True)
class Submission:
    """A job that may be written: everything checked, defaults filled in, JSON as text."""

    kind: kinds.Kind
    payload: str
    metadata: str
    priority: Priority
    run_at: datetime | None
    max_retries: int
    timeout: float | None


def checked(
    kind: str,
    payload: Mapping[str, Any] | None = None,
    *,
    priority: Priority | int | str | None = None,
    run_at: datetime | None = None,
    max_retries: int | None = None,
    timeout: float | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Submission:
    """Check one job. Raises InvalidSubmission with all its faults; the kind's own defaults fill what is not said."""
    try:
        found = kinds.get(kind)
    except kinds.UnknownKindError as error:
        raise InvalidSubmission(Fault("/kind", str(error))) from error
    faults: list[Fault] = []
    body = _json(payload or {}, "/payload", faults)
    notes = _json(metadata or {}, "/metadata", faults)
    try:
        found.payload.model_validate(payload or {})
    except ValidationError as error:
        faults.extend(_from_pydantic(error))
    if run_at is not None and (timezone.is_naive(run_at) or (run_at - timezone.now()).days > _TOO_LONG_AHEAD):
        faults.append(Fault("/run_at", "must carry a time zone and lie within ten years"))
    if max_retries is not None and not 0 <= max_retries <= MAX_RETRIES_LIMIT:
        faults.append(Fault("/max_retries", f"must lie between 0 and {MAX_RETRIES_LIMIT}"))
    if timeout is not None and not 0 < timeout <= MAX_TIMEOUT:
        faults.append(Fault("/timeout", f"must be more than 0 and at most {MAX_TIMEOUT:.0f} seconds"))
    level = _priority(priority, faults)
    if faults:
        raise InvalidSubmission(*faults)
    retries = next(n for n in (max_retries, found.max_retries, settings.MAX_RETRIES) if n is not None)
    limit = timeout if timeout is not None else found.timeout
    return Submission(found, body, notes, level, run_at, retries, limit)


def _priority(given: Priority | int | str | None, faults: list[Fault]) -> Priority:
    """A priority by name or number 0 to 3; medium where nothing is said."""
    if given is None:
        return Priority.MEDIUM
    if isinstance(given, str) and given in Priority.labels:
        return Priority[given.upper()]
    if isinstance(given, int) and not isinstance(given, bool) and given in Priority.values:
        return Priority(given)
    faults.append(Fault("/priority", "must be low, medium, high or critical, or 0 to 3"))
    return Priority.MEDIUM


def _from_pydantic(error: ValidationError) -> list[Fault]:
    return [
        Fault("/payload" + "".join(f"/{_escape(str(part))}" for part in found["loc"]), found["msg"])
        for found in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _json(value: Mapping[str, Any], pointer: str, faults: list[Fault]) -> str:
    """The value as JSON text that Postgres takes: no NUL, no half of a surrogate pair, no NaN, bounded."""
    try:
        _check_depth(value)
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        faults.append(Fault(pointer, f"must be plain JSON: {error}"))
        return "{}"
    if "\\u0000" in text:
        faults.append(Fault(pointer, "must not contain NUL characters"))
    if size > settings.MAX_PAYLOAD_BYTES:
        faults.append(Fault(pointer, f"is {size} bytes; at most {settings.MAX_PAYLOAD_BYTES} are taken: pass a URL"))
    return text


def _check_depth(value: Any) -> None:
    """Walk level by level, so that a hostile depth cannot exhaust the stack of the check itself."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (Mapping, list, tuple))
            for inner in (outer.values() if isinstance(outer, Mapping) else outer)
        ]
        if not level:
            return
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
