"""What to do about an exchange that failed: try again, go on with fewer connections, begin again, or give up.

An extra connection never fails the fetch: while others bring bytes, the one in trouble retires. Only the last one has
to decide whether a right file can be had at all.
"""

from __future__ import annotations

import random
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from downloads.engine.answer import Declined, Mismatch, NotTheFile, OtherVersion
from downloads.engine.errors import Busy, FetchError, ProtocolViolation, Refused, Unreachable
from downloads.engine.restart import Restart
from downloads.engine.worker import Retire

if TYPE_CHECKING:
    from downloads.engine.crew import Crew
    from downloads.engine.facts import Facts
    from downloads.engine.plan import Plan
    from downloads.engine.worker import Worker

_MOST_FAILURES = 6
_MOST_FAILURES_WITH_MIRRORS = 2
_MOST_REFUSALS = 3
_LONGEST_PAUSE = 10.0
_TOO_MANY = (HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_ADVICE = {
    HTTPStatus.UNAUTHORIZED: "It wants credentials: give an Authorization header.",
    HTTPStatus.FORBIDDEN: "It does not allow this. The link may have expired, or need credentials.",
    HTTPStatus.NOT_FOUND: "There is no such file. Check the URL.",
    HTTPStatus.GONE: "The file is gone for good.",
}


class Setbacks:
    """The judge of troubles. Called in the threads of the connections."""

    def __init__(self, plan: Plan, facts: Facts, crew: Crew, *, patience: float) -> None:
        self._plan = plan
        self._facts = facts
        self._crew = crew
        self._patience = patience

    def judge(self, worker: Worker, trouble: Exception) -> float:
        """Seconds to wait before the worker tries again.

        Raises:
            Retire: the others go on without it.
            Restart, FetchError: this round, or the fetch, is over.

        """
        with self._crew.lock:
            if worker.source not in self._crew.sources:
                raise Retire
            if isinstance(trouble, OtherVersion):
                return self._other_version(worker, trouble)
            if isinstance(trouble, Mismatch):
                return self._mismatch(worker, trouble)
            if isinstance(trouble, Declined):
                return self._declined(worker, trouble)
            if isinstance(trouble, NotTheFile):
                return self._not_the_file(worker, trouble)
            return self._broken(worker, trouble)

    def _other_version(self, worker: Worker, trouble: OtherVersion) -> float:
        if not worker.ask_afresh:
            # Perhaps a stale cache on the way, or a redirect that leads elsewhere by now.
            worker.ask_afresh = True
            worker.source.forget_redirect()
            return 0.0
        if self._crew.abandon(worker.source, f"it has another file ({trouble})"):
            raise Retire
        raise Restart(f"the file has changed at its origin: {trouble}", ranges=True, keep=True)

    def _mismatch(self, worker: Worker, trouble: Mismatch) -> float:
        worker.mismatches += 1
        if not self._facts.begun:
            if not self._facts.ranges:
                raise ProtocolViolation(f"The origin's answers make no sense: {trouble}.")
            self._facts.no_ranges()
            return 0.0
        if worker.mismatches == 1:
            return 0.0
        if self._crew.abandon(worker.source, str(trouble)):
            raise Retire
        self._plan.splitting = False
        if self._crew.streaming_besides(worker):
            self._facts.notes.append(f"Fetched with fewer connections: {trouble}.")
            raise Retire
        raise Restart(str(trouble), ranges=False, keep=False)

    def _declined(self, worker: Worker, trouble: Declined) -> float:
        origin = worker.source.given.origin
        others = self._crew.streaming_besides(worker)
        if trouble.retry_after is not None:
            self._crew.gate.learn(origin, wait=trouble.retry_after)
        if others:
            if trouble.status in _TOO_MANY:
                self._crew.gate.learn(origin, limit=others)
            self._crew.limit_to(others)
            raise Retire
        moved = worker.source.forget_redirect()
        if trouble.temporary:
            return self._wait(worker, trouble, trouble.retry_after)
        if (not self._facts.begun and not moved) or worker.failures > _MOST_REFUSALS:
            if self._crew.abandon(worker.source, f"it answers {trouble.status}"):
                raise Retire
            advice = _ADVICE.get(HTTPStatus(trouble.status), "Check the URL and the headers.")
            raise Refused(f"The origin answers {trouble.status}. {advice}", status=trouble.status)
        return self._wait(worker, trouble, None)

    def _not_the_file(self, worker: Worker, trouble: NotTheFile) -> float:
        others = self._crew.streaming_besides(worker)
        if others:
            self._crew.limit_to(others)
            raise Retire
        worker.source.forget_redirect()
        if worker.failures > _MOST_REFUSALS:
            if self._crew.abandon(worker.source, str(trouble)):
                raise Retire
            raise Refused(
                "The origin sends a page in place of the file. The link has probably expired: give a fresh one, and "
                "the bytes that are here will be kept.",
                status=HTTPStatus.OK,
            )
        return self._wait(worker, trouble, None)

    def _broken(self, worker: Worker, trouble: Exception) -> float:
        others = self._crew.streaming_besides(worker)
        if others and (worker.failures >= _MOST_FAILURES or (worker.failures > 1 and not worker.accepted)):
            self._crew.limit_to(others)
            raise Retire
        if worker.failures == 1 and worker.accepted:
            return 0.0
        return self._wait(worker, trouble, None)

    def _wait(self, worker: Worker, trouble: Exception, asked: float | None) -> float:
        pause = min(_LONGEST_PAUSE, 0.1 * 2.0**worker.failures) * random.uniform(0.75, 1.25)  # noqa: S311
        if asked is not None:
            pause = asked
        quiet = time.monotonic() - max(self._plan.heard_at, worker.started_at)
        most = _MOST_FAILURES_WITH_MIRRORS if len(self._crew.sources) > 1 and not worker.accepted else _MOST_FAILURES
        if quiet + pause > self._patience or worker.failures >= most:
            if self._crew.abandon(worker.source, str(trouble)):
                raise Retire
            raise _last_word(trouble)
        return pause


def _last_word(trouble: Exception) -> FetchError:
    if isinstance(trouble, Declined):
        return Busy(
            f"The origin answers {trouble.status} again and again. Try later, or with fewer connections.",
            status=trouble.status,
            retry_after=trouble.retry_after,
        )
    if isinstance(trouble, FetchError):
        return trouble
    reason = str(trouble) or type(trouble).__name__
    return Unreachable(f"The origin cannot be reached, or its connections keep breaking ({reason}).")
