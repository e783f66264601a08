"""What may become a job: bad input is refused here, with every fault named, before anything is written."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.utils import timezone
from pydantic import ValidationError

from jobs import kinds, notices
from jobs.models import Needs, Priority
from jobs.storable import as_json

MAX_RETRIES_LIMIT = 1000
MAX_KEY = 200  # characters, of a unique_key and of a limit_key
MAX_PARENTS = 10_000
MAX_TIMEOUT = 30 * 24 * 3600.0
MAX_RESULT_TTL = 10 * 366 * 24 * 3600.0
# Postgres stores times before the year 1 that Python cannot read back; any time that is long past will do for them.
_LONG_PAST = datetime(1970, 1, 1, tzinfo=UTC)
_KEY = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]*")
_NEEDS = Needs.values
_TOO_LONG_AHEAD = 10 * 366  # days; a date beyond is a mistake in the unit


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: `pointer` is a JSON pointer into what was submitted, `detail` says what to do."""

    pointer: str
    detail: str


class Conflict(StrEnum):
    """What a submission wants where a live job of its kind has its unique key."""

    RETURN = "return"  # that job is given instead; nothing is written
    REPLACE = "replace"  # that job becomes this one, unless it has begun
    RESCHEDULE = "reschedule"  # that job takes the time of this one, unless it has begun
    REFUSE = "refuse"


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
    rank: int
    run_at: datetime | None
    max_retries: int
    timeout: float | None
    result_ttl: float | None = None
    unique_key: str | None = None
    on_conflict: Conflict = Conflict.RETURN
    depends_on: tuple[uuid.UUID, ...] = ()
    needs: Needs = Needs.SUCCESS
    notify: str | None = None
    batch_id: uuid.UUID | None = None
    owner_id: int | None = None
    limit_key: str = ""


def checked(
    kind: str,
    payload: Mapping[str, Any] | None = None,
    *,
    priority: Priority | int | str | None = None,
    rank: int = 0,
    run_at: datetime | None = None,
    max_retries: int | None = None,
    timeout: float | None = None,
    result_ttl: float | None = None,
    metadata: Mapping[str, Any] | None = None,
    unique_key: str | None = None,
    on_conflict: str | None = None,
    depends_on: Sequence[uuid.UUID | str] = (),
    needs: str = Needs.SUCCESS,
    notify: Sequence[Mapping[str, Any]] | None = None,
    owner: AbstractBaseUser | int | None = None,
    limit_key: str = "",
) -> Submission:
    """Check one job. Raises InvalidSubmission with all its faults; the kind's own defaults fill what is not said.

    `owner` is the user, or the id of the user, that it belongs to; nobody in particular if left out.
    `limit_key`: jobs of one key share its limits (jobs/limits.py).

    `rank` orders jobs within their queue, highest first. It is for callers of ours (jobs/ranks.py), not for clients.
    """
    try:
        found = kinds.get(str(kind))
    except kinds.UnknownKindError as error:
        raise InvalidSubmission(Fault("/kind", str(error))) from error
    faults: list[Fault] = []
    payload = {} if payload is None else payload
    body = _object(payload, "/payload", faults)
    if not faults:
        try:
            whole = found.payload.model_validate(payload)
            if found.keeps_secrets:
                body = _object(whole.model_dump(mode="json", exclude_unset=True), "/payload", faults)
        except ValidationError as error:
            faults.extend(faults_of(error, "/payload"))
    notes = "{}" if metadata is None else _object(metadata, "/metadata", faults)
    if run_at is not None and not _is_time(run_at):
        faults.append(Fault("/run_at", "must be a time with its zone, and at most ten years ahead"))
    if max_retries is not None and not (_is_number(max_retries, int) and 0 <= max_retries <= MAX_RETRIES_LIMIT):
        faults.append(Fault("/max_retries", f"must be a whole number from 0 to {MAX_RETRIES_LIMIT}"))
    _check_seconds("/timeout", timeout, MAX_TIMEOUT, faults)
    _check_seconds("/result_ttl", result_ttl, MAX_RESULT_TTL, faults)
    _check_limit_key(limit_key, faults)
    level = _priority(priority, faults)
    wish = _conflict(found, unique_key, on_conflict, faults)
    parents = _parents(depends_on, unique_key, faults)
    if needs not in _NEEDS:
        faults.append(Fault("/needs", f"must be one of {', '.join(_NEEDS)}"))
    told = _notify(notify, faults)
    if faults:
        raise InvalidSubmission(*faults)
    retries = next(n for n in (max_retries, found.max_retries, settings.MAX_RETRIES) if n is not None)
    limit = timeout if timeout is not None else found.timeout
    due = None if run_at is None else max(run_at, _LONG_PAST)
    owner_id = owner.pk if isinstance(owner, AbstractBaseUser) else owner
    return Submission(
        kind=found,
        payload=body,
        metadata=notes,
        priority=level,
        rank=rank,
        run_at=due,
        max_retries=retries,
        timeout=limit,
        result_ttl=result_ttl if result_ttl is not None else found.result_ttl,
        unique_key=unique_key,
        on_conflict=wish,
        depends_on=parents,
        needs=Needs(needs),
        notify=told,
        owner_id=owner_id,
        limit_key=limit_key,
    )


def _check_seconds(pointer: str, given: float | None, most: float, faults: list[Fault]) -> None:
    if given is not None and not (_is_number(given, int, float) and 0 < given <= most):
        faults.append(Fault(pointer, f"must be more than 0 and at most {most:.0f} seconds"))


def _check_limit_key(given: object, faults: list[Fault]) -> None:
    # A star stands for many keys in the rules of limits.
    if not (isinstance(given, str) and len(given) <= MAX_KEY and _KEY.fullmatch(given) and "*" not in given):
        faults.append(Fault("/limit_key", f"must have at most {MAX_KEY} printable characters and no star"))


def _notify(wishes: Sequence[Mapping[str, Any]] | None, faults: list[Fault]) -> str | None:
    try:
        return notices.sealed(wishes) if wishes else None
    except ValidationError as error:
        faults.extend(faults_of(error, "/notify"))
        return None


def _parents(given: Sequence[uuid.UUID | str], unique_key: str | None, faults: list[Fault]) -> tuple[uuid.UUID, ...]:
    if given and unique_key is not None:
        faults.append(Fault("/depends_on", "cannot be combined with unique_key: a job that is met waits for nothing"))
    if isinstance(given, str) or len(given) > MAX_PARENTS:
        faults.append(Fault("/depends_on", f"must be a list of at most {MAX_PARENTS} ids of jobs"))
        return ()
    parents = []
    for place, one in enumerate(given):
        try:
            parents.append(one if isinstance(one, uuid.UUID) else uuid.UUID(one))
        except (ValueError, AttributeError, TypeError):
            faults.append(Fault(f"/depends_on/{place}", "must be the id of a job"))
    return tuple(parents)


def _conflict(kind: kinds.Kind, key: str | None, wish: str | None, faults: list[Fault]) -> Conflict:
    if key is not None and not (isinstance(key, str) and 1 <= len(key) <= MAX_KEY and _KEY.fullmatch(key)):
        faults.append(Fault("/unique_key", f"must be 1 to {MAX_KEY} characters, without control characters"))
    if wish is None:
        return Conflict.RETURN
    if wish not in list(Conflict):
        faults.append(Fault("/on_conflict", f"must be one of {', '.join(Conflict)}"))
    elif key is None:
        faults.append(Fault("/on_conflict", "says what to do about a live job with this unique_key: give one"))
    elif wish == Conflict.REPLACE and kind.on_submit:
        faults.append(Fault("/on_conflict", f"a job of kind {kind.name} cannot be replaced: cancel it"))
    else:
        return Conflict(wish)
    return Conflict.RETURN


def _is_time(given: object) -> bool:
    """Whether it is a moment that a job may wait for. The past is: it means now."""
    return isinstance(given, datetime) and timezone.is_aware(given) and (given - timezone.now()).days <= _TOO_LONG_AHEAD


def _is_number(given: object, *types: type) -> bool:
    return isinstance(given, types) and not isinstance(given, bool)


def _priority(given: Priority | int | str | None, faults: list[Fault]) -> Priority:
    """A priority by name or number 0 to 3; medium where nothing is said."""
    if given is None:
        return Priority.MEDIUM
    if isinstance(given, str) and given in Priority.labels:
        return Priority[given.upper()]
    if _is_number(given, int) and given in Priority.values:
        return Priority(given)
    faults.append(Fault("/priority", "must be low, medium, high or critical, or 0 to 3"))
    return Priority.MEDIUM


def priority_of(given: Priority | int | str) -> Priority:
    """A priority by name or number. Raises InvalidSubmission."""
    faults: list[Fault] = []
    level = _priority(given, faults)
    if faults:
        raise InvalidSubmission(*faults)
    return level


def faults_of(error: ValidationError, pointer: str = "") -> list[Fault]:
    """What pydantic found, as faults below `pointer`. The values themselves are left out: they may be secret."""
    return [
        Fault(pointer + "".join(f"/{_escape(str(part))}" for part in found["loc"]), found["msg"])
        for found in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _object(value: object, pointer: str, faults: list[Fault]) -> str:
    if not isinstance(value, Mapping):
        faults.append(Fault(pointer, "must be an object"))
        return "{}"
    try:
        return as_json(value, settings.MAX_PAYLOAD_BYTES)
    except ValueError as error:
        faults.append(Fault(pointer, str(error)))
        return "{}"
