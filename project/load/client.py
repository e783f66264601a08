"""The calls of the public API that a load test makes, from as many threads as it likes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

_TIMEOUT = 60.0  # seconds for one answer: under load a bulk of thousands may take a while
_PAGE = 500
_LIVE = "scheduled,queued,running,retrying,paused"

Job = dict[str, Any]


class Unreachable(Exception):
    """The host does not answer as a Haulway does; the message says how."""


class Client:
    """`headers` go with every call: whatever the host wants to see of who calls."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url = url.rstrip("/")
        self._headers = headers
        self._own = threading.local()

    def submit(self, job: Job) -> str:
        """The id of the accepted job."""
        return str(self._call("POST", "/api/v1/jobs", job)["id"])

    def submit_many(self, jobs: Sequence[Job]) -> tuple[list[str], list[str]]:
        """The ids of those that were accepted, and why the others were refused."""
        # 400 is the answer to a bulk of which nothing was accepted.
        results = self._call("POST", "/api/v1/jobs/bulk", {"jobs": list(jobs)}, fine=(202, 400)).get("results")
        if results is None:
            raise Unreachable("The host refuses the whole bulk: it may be too large.")
        refusals = [result["problem"].get("errors", [{}])[0] for result in results if "problem" in result]
        reasons = [f"refused: {fault.get('pointer')} {fault.get('detail')}" for fault in refusals]
        return [result["id"] for result in results if "id" in result], reasons

    def live(self) -> int:
        """How many jobs the host has that are not finished, whosever they are."""
        stats = self._call("GET", "/queue/stats")["queue_stats"]
        return int(stats["queued"]) + int(stats["processing"])

    def unfinished(self, kinds: str, since: str) -> Iterator[Job]:
        return self._list({"kind": kinds, "state": _LIVE}, since)

    def all(self, kinds: str, since: str) -> Iterator[Job]:
        return self._list({"kind": kinds}, since)

    def _list(self, filters: dict[str, str], since: str) -> Iterator[Job]:
        """Newest first, down to the id `since`: ids begin with the time."""
        query: dict[str, str] = filters | {"limit": str(_PAGE)}
        while True:
            answer = self._call("GET", "/api/v1/jobs", query=query)
            for job in answer["results"]:
                if job["id"] < since:
                    return
                yield job
            if not answer["next"]:
                return
            query["cursor"] = parse_qs(urlsplit(answer["next"]).query)["cursor"][0]

    def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, str] | None = None,
        fine: Sequence[int] = (200, 202),
    ) -> Any:
        try:
            answer = self._session().request(
                method, self._url + path, json=body, params=query, headers=self._headers, timeout=_TIMEOUT
            )
        except requests.RequestException as error:
            raise Unreachable(f"{self._url} did not answer: {type(error).__name__}") from error
        if answer.status_code not in fine:
            raise Unreachable(f"{method} {path} was answered with {answer.status_code}: {_said(answer)}")
        return answer.json()

    def _session(self) -> requests.Session:
        if not hasattr(self._own, "session"):
            self._own.session = requests.Session()
            self._own.session.trust_env = False  # netrc would put its own login in place of ours
        session: requests.Session = self._own.session
        return session


def _said(answer: requests.Response) -> str:
    """Of a problem document what is wrong, without what differs from one request to the next."""
    try:
        problem = answer.json()
        faults = [f"{fault['pointer']} {fault['detail']}" for fault in problem.get("errors", [])]
        return " ".join([str(problem["title"]), *faults])
    except (ValueError, KeyError, TypeError, AttributeError):
        return answer.text[:300]
