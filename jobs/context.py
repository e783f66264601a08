"""What a handler is given beside its payload, and how it is told that its attempt must end."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from jobs.files import ResultFiles
from jobs.sealed import without

logger = logging.getLogger(__name__)


class Interrupted(Exception):
    """Raised out of `ctx` when the attempt must end now. Handlers let it pass, after saving what they need."""


class Cancelled(Interrupted):
    """Somebody asked to cancel the job."""


class Draining(Interrupted):
    """The worker is shutting down; the job is given back and goes on elsewhere, at no cost."""


class OutOfTime(Interrupted):
    """The attempt has used up the job's timeout."""


class LeaseLost(Interrupted):
    """The job was given to another attempt meanwhile; nothing that this one does is recorded."""


class Run(Protocol):
    """What a context needs of the worker that runs the attempt."""

    def interruption(self) -> Interrupted | None: ...
    def keep_line(self, level: int, text: str) -> None: ...
    def save_progress(self, progress: Mapping[str, Any]) -> None: ...
    def save_checkpoint(self, checkpoint: Any) -> None: ...
    def held(self) -> AbstractContextManager[None]: ...
    def lock(
        self, ctx: Context, key: str, *, ttl: float | None, retry_delay: float, tries: int
    ) -> AbstractContextManager[None]: ...


class _JobLog(logging.LoggerAdapter[logging.Logger]):
    def __init__(self, run: Run, told: Mapping[str, object], secrets: frozenset[str]) -> None:
        super().__init__(logger, told)
        self._run = run
        self._secrets = secrets

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Secrets of the payload are starred, whether they are in the message or among its arguments."""
        if self._secrets:
            text = logging.LogRecord("", level, "", 0, msg, args, None).getMessage()
            msg, args = "%s", (without(self._secrets, text),)
        super().log(level, msg, *args, **kwargs)
        if level >= logging.INFO:
            record = logging.LogRecord("", level, "", 0, msg, args, None)  # it knows how to fill in the arguments
            self._run.keep_line(level, record.getMessage())

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        message, kwargs = super().process(msg, kwargs)
        told = self.extra or {}
        return f"job {told['job']} (attempt {told['attempt']}): {message}", kwargs


@dataclass(frozen=True)
class Context:
    """What a handler gets beside its payload."""

    job_id: str
    attempt: int
    _run: Run = field(repr=False)
    checkpoint: Any = None  # what an earlier attempt kept with save_checkpoint()
    owner: int | None = None  # the id of the user whose job it is; pass it on to the jobs that this one submits
    _secrets: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def idempotency_key(self) -> str:
        """Pass it to other systems: it is the same in every attempt, so that they can see a repeat."""
        return self.job_id

    @property
    def lease_key(self) -> str:
        """Names this attempt alone, for handlers that write where a late attempt could too."""
        return f"{self.job_id}:{self.attempt}"

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """The job's log, shown with it, and the worker's, in which every line of this attempt names its job.

        The job keeps lines of INFO and above, a bounded number of each attempt.
        """
        return _JobLog(self._run, {"job": self.job_id, "attempt": self.attempt}, self._secrets)

    @property
    def files(self) -> ResultFiles:
        """Where result files are written: kept, listed and served with the job, and deleted with it."""
        return ResultFiles(self.job_id, self.attempt, self.held)

    def check(self) -> None:
        """Call often in long work. Raises `Interrupted` when the attempt must end: cancel, drain, timeout."""
        if interruption := self._run.interruption():
            raise interruption

    @property
    def interrupted(self) -> bool:
        """Whether `check()` would raise: for loops that stop in their own way."""
        return self._run.interruption() is not None

    def progress(self, fraction: float | None = None, note: str = "") -> None:
        """Show how far the work is: `fraction` from 0 to 1, or none if unknown. Recorded at most once a second."""
        self.check()
        self._run.save_progress({"fraction": fraction, "note": note})

    def save_checkpoint(self, checkpoint: Any) -> None:
        """Keep a JSON value for the next attempt: written at once, and only while this attempt holds the lease."""
        self._run.save_checkpoint(checkpoint)

    def held(self) -> AbstractContextManager[None]:
        """A transaction in which this attempt surely holds the job: what a handler writes to tables of its own in it
        is written by the attempt that counts, or not at all. Raises LeaseLost.
        """
        return self._run.held()

    def lock(
        self, key: str, *, ttl: float | None = None, retry_delay: float = 0.1, tries: int = 10
    ) -> AbstractContextManager[None]:
        """Keep `key` to this attempt over the whole fleet; not to be nested for one key.

        It ends with the block, with the attempt, or, where the node can renew it no more, after `ttl` seconds
        (JOB_MANAGER_LOCK_TTL). Asks `tries` times, `retry_delay` seconds apart; then the job comes back later, at no
        cost. Raises LockLost, at the end of the block, if somebody else may have had the lock meanwhile.
        """
        return self._run.lock(self, key, ttl=ttl, retry_delay=retry_delay, tries=tries)
