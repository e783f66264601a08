"""The contract between Haulway and those who add a kind of job: one typed function.

    class Greeting(BaseModel):
        name: str

    @handler("greet", timeout=30)
    def greet(payload: Greeting, ctx: Context) -> str:
        return f"Hello {payload.name}"

The file goes into `handlers/` (or is `handlers.py`) of any installed app and is found by itself. What the function
returns is the job's result. An exception fails the attempt, and it is tried again while retries are left; `GiveUp`
says that no attempt can succeed, `Snooze` asks to be called again later at no cost.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import random
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from django.apps import apps
from pydantic import BaseModel

from jobs import sealed
from jobs.context import Cancelled, Context, Draining, Interrupted, LeaseLost, OutOfTime
from jobs.models import Job, Lane


class GiveUp(Exception):
    """Raised by a handler: no attempt can succeed, so the job goes to the dead letters now."""


class Snooze(Exception):
    """Raised by a handler: call me again in `seconds`. It costs no attempt."""

    def __init__(self, seconds: float, note: str = "") -> None:
        super().__init__(note or f"asked to be called again in {seconds:g} s")
        self.delay = timedelta(seconds=seconds)


class Hold(Exception):
    """Raised by a handler: somebody asked to pause this job. It costs no attempt; resume calls the handler again."""


class TryLater(Exception):
    """Raised by a handler: this attempt failed, and the next one makes no sense before `seconds` are over."""

    def __init__(self, seconds: float, message: str) -> None:
        super().__init__(message)
        self.delay = timedelta(seconds=seconds)


class UnknownKindError(LookupError):
    """No installed app has a handler of that name."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"There is no kind {kind!r} here. Known kinds: {', '.join(sorted(_registry)) or 'none'}.")
        self.kind = kind


@dataclass(frozen=True)
class Backoff:
    """Pause before the n-th retry: base * 2**(n-1) seconds, at most cap, moved by up to 10 % either way.

    The jitter keeps jobs that failed together from coming back together. It never lifts a pause above the cap.
    """

    base: float = 1.0
    cap: float = 3600.0

    def delay(self, retry: int) -> timedelta:
        doublings = min(retry - 1, 64)  # beyond this the cap has long decided, and floats would overflow
        pause = min(self.base * 2**doublings, self.cap)
        return timedelta(seconds=min(pause * random.uniform(0.9, 1.1), self.cap))  # noqa: S311 - no secret


@dataclass(frozen=True)
class Kind:
    """A kind of job, as its handler declares it."""

    name: str
    function: Callable[[Any, Context], Any]
    payload: type[BaseModel]
    lane: Lane
    max_retries: int | None  # none: the setting MAX_RETRIES
    timeout: float | None  # seconds for one attempt; none: no limit
    result_ttl: float | None  # seconds that the result of a completed job is kept; none: as long as the job
    backoff: Backoff
    # Called in the transaction of the submission, for kinds that keep rows of their own beside their jobs.
    on_submit: Callable[[Sequence[Job]], None] | None

    @cached_property
    def keeps_secrets(self) -> bool:
        """Whether its payload may hold secrets, which are then encrypted where it is stored."""
        return sealed.keeps_secrets(self.payload)

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]


_registry: dict[str, Kind] = {}

Function = typing.TypeVar("Function", bound=Callable[[Any, Context], Any])


def handler(
    name: str,
    *,
    lane: Lane = Lane.COMPUTE,
    max_retries: int | None = None,
    timeout: float | None = None,
    result_ttl: float | None = None,
    backoff: Backoff = Backoff(),
    on_submit: Callable[[Sequence[Job]], None] | None = None,
) -> Callable[[Function], Function]:
    """Make a function the handler of a kind. Its first parameter's annotation, a pydantic model, is the payload.

    Of jobs that say nothing else: `timeout`, the seconds of one attempt; `result_ttl`, the seconds for which what a
    completed one returned, and wrote to files, is kept.
    """

    def register(function: Function) -> Function:
        known = _registry.get(name)
        if known is not None and _full_name(known.function) != _full_name(function):
            raise ValueError(f"Two handlers for kind {name!r}: {_full_name(known.function)}, {_full_name(function)}.")
        payload = _payload_of(function)
        _registry[name] = Kind(name, function, payload, lane, max_retries, timeout, result_ttl, backoff, on_submit)
        return function

    return register


def _full_name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _payload_of(function: Callable[..., Any]) -> type[BaseModel]:
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) != 2:
        raise TypeError(f"{_full_name(function)} must take two parameters: the payload and the context.")
    # Only this annotation: the context's may be imported for type checkers alone.
    first = SimpleNamespace(__annotations__={"payload": parameters[0].annotation})
    try:
        payload = typing.get_type_hints(first, function.__globals__)["payload"]
    except NameError as error:
        raise TypeError(f"{_full_name(function)}: {error} when it runs; import it outside TYPE_CHECKING.") from error
    if not (isinstance(payload, type) and issubclass(payload, BaseModel)):
        raise TypeError(f"The first parameter of {_full_name(function)} must be annotated with a pydantic model.")
    return payload


def get(name: str) -> Kind:
    """The kind of that name. Raises UnknownKindError."""
    try:
        return _registry[name]
    except KeyError:
        raise UnknownKindError(name) from None


def known() -> list[Kind]:
    return sorted(_registry.values(), key=lambda kind: kind.name)


def discover() -> None:
    """Import `handlers` of every installed app, and each module in it where it is a package."""
    for app in apps.get_app_configs():
        name = f"{app.name}.handlers"
        if importlib.util.find_spec(name) is None:
            continue
        module = importlib.import_module(name)
        for found in pkgutil.iter_modules(getattr(module, "__path__", [])):
            importlib.import_module(f"{name}.{found.name}")


__all__ = [
    "Backoff",
    "Cancelled",
    "Context",
    "Draining",
    "GiveUp",
    "Hold",
    "Interrupted",
    "Kind",
    "Lane",
    "LeaseLost",
    "OutOfTime",
    "Snooze",
    "TryLater",
    "UnknownKindError",
    "discover",
    "get",
    "handler",
    "known",
]
