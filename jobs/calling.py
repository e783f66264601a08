"""One call of somebody's HTTP API on behalf of a job: made, judged, and kept.

An answer means one of three things to a job: it is what was expected; it may be another one later (the attempt fails,
and Retry-After is obeyed); or it will never be another one (the job gives up).
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any

import requests
from pydantic import AfterValidator, Field, StringConstraints
from urllib3.exceptions import NameResolutionError

from jobs import outbound
from jobs.kinds import Context, GiveUp, TryLater
from jobs.storable import as_json, as_text

KEPT_BYTES = 128 * 1024  # of an answer's body; escaped, it still fits into a job's result
_LONGEST_PAUSE = 24 * 3600.0  # that a Retry-After may ask for
_PASSING = frozenset({408, 425, 429})  # of the statuses below 500
_KEPT_HEADERS = frozenset(
    {"content-type", "content-length", "date", "etag", "last-modified", "link", "location", "request-id",
     "retry-after", "server", "x-request-id"}
)  # fmt: skip
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
# What says how the message itself is sent is ours to say: two opinions of it are how requests are smuggled.
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect"})


class CallFailed(Exception):
    """No good answer to this attempt; another one may get it."""


def _reachable(url: str) -> str:
    outbound.check_url(url)
    return url


def check_header(name: str, value: str) -> None:
    """Raises ValueError for a header that cannot be sent, or is not the caller's to set."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name[:50]!r} is not the name of a header")
    if name.lower() in _OURS:
        raise ValueError(f"{name} is set by the platform")
    if not all(sign == "\t" or " " <= sign <= "~" or "\xa0" <= sign <= "\xff" for sign in value):
        raise ValueError(f"the value of {name} has characters that a header cannot carry")


def _sendable(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        check_header(name, value)
    return headers


Url = Annotated[
    str, StringConstraints(max_length=8192), AfterValidator(_reachable), Field(json_schema_extra={"format": "uri"})
]
Headers = Annotated[dict[str, Annotated[str, StringConstraints(max_length=8192)]], AfterValidator(_sendable)]


@dataclass(frozen=True)
class Answer:
    """What came back; `body` is cut at the limit that the call was made with."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    seconds: float
    charset: str | None

    def kept(self) -> dict[str, Any]:
        """As a job's result: the body as JSON where it is, as text where it can be, and else in base64."""
        headers = {name.lower(): as_text(value, 1000) for name, value in self.headers.items()}
        return {
            "status": self.status,
            "headers": {name: value for name, value in headers.items() if name in _KEPT_HEADERS},
            **self._readable(),
            "truncated": self.truncated,
            "seconds": round(self.seconds, 3),
        }

    def _readable(self) -> dict[str, Any]:
        if not self.truncated and "json" in self.headers.get("Content-Type", ""):
            try:
                content = json.loads(self.body)
                as_json(content, 4 * KEPT_BYTES)
            except (ValueError, RecursionError):
                pass  # it only says that it is JSON: keep it as the text it is
            else:
                return {"body": content}
        # An end that was cut in the middle of a character is no reason to take text for something else.
        body = self.body[:-3] if self.truncated else self.body
        for charset in ("utf-8", self.charset):
            try:
                return {"body": as_text(body.decode(charset or "utf-8"), KEPT_BYTES)}
            except (UnicodeDecodeError, LookupError):
                continue
        return {"body": base64.b64encode(self.body).decode(), "encoding": "base64"}


def call(
    ctx: Context,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
    timeout: float,
    redirects: bool = True,
    max_bytes: int = KEPT_BYTES,
) -> Answer:
    """Make one call and give whatever is answered within `timeout` seconds.

    Raises CallFailed where no answer came, GiveUp where none ever will, and what ctx.check() raises as soon as the
    attempt must end, however long the server still takes. None of the messages has the URL in it: it may be secret.
    """
    began = time.monotonic()
    session = outbound.session(
        connect_timeout=min(10.0, timeout),
        read_timeout=timeout,
        deadline=timeout,
        max_bytes=max_bytes,
        unwanted=lambda: ctx.interrupted,
    )
    truncated = False
    try:
        response = session.request(method, url, headers=dict(headers), data=body, allow_redirects=redirects)
    except outbound.AnswerTooLarge as cut:
        response, truncated = cut.partial, True
    except outbound.CallStopped:
        ctx.check()
        raise CallFailed("The call was stopped.") from None
    except (outbound.AddressDenied, outbound.UrlDenied) as denied:
        raise GiveUp(str(denied)) from None
    except requests.RequestException as failure:
        raise _no_answer(failure, timeout) from None
    seconds = time.monotonic() - began
    return Answer(response.status_code, response.headers, response.content, truncated, seconds, response.encoding)


def _no_answer(failure: requests.RequestException, timeout: float) -> Exception:
    match failure:
        case requests.TooManyRedirects():
            return GiveUp("The server redirects in circles.")
        case requests.exceptions.InvalidURL() | requests.exceptions.InvalidSchema():
            return GiveUp("The server redirects to something that is not fetched.")
        case requests.ConnectTimeout():
            return CallFailed("The server did not accept a connection in time.")
        case requests.Timeout():
            return CallFailed(f"The server did not answer within {timeout:g} s.")
        case requests.exceptions.SSLError():
            return CallFailed("No trusted TLS connection to the server could be made.")
    if _has_cause(failure, NameResolutionError):
        return CallFailed("The server's name does not resolve.")
    return CallFailed("The connection to the server could not be made, or broke before the answer was complete.")


def _has_cause(error: BaseException, wanted: type[BaseException]) -> bool:
    reason = error.args[0] if error.args else None
    return isinstance(getattr(reason, "reason", reason), wanted)


def judge(answer: Answer, *, fits: Callable[[int], bool], permanent: Callable[[int], bool]) -> None:
    """Nothing for an answer that fits. Raises GiveUp for one that stays as it is, TryLater or CallFailed for others."""
    if fits(answer.status):
        return
    message = f"The server answered {answer.status}{_excerpt(answer)}"
    if permanent(answer.status):
        raise GiveUp(message)
    if (pause := retry_after(answer.headers)) is not None:
        raise TryLater(pause, message)
    raise CallFailed(message)


def is_permanent(status: int) -> bool:
    """Whether the same request would get the same answer: all but a server's own trouble and its pleas for time."""
    return status < 500 and status not in _PASSING


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to be left alone for, at least 1 and at most a day; none where it does not say."""
    said = headers.get("Retry-After", "").strip()
    if said.isdecimal():
        return max(1.0, min(float(said[:10]), _LONGEST_PAUSE))
    try:
        until = parsedate_to_datetime(said)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(1.0, min((until - datetime.now(UTC)).total_seconds(), _LONGEST_PAUSE))


def _excerpt(answer: Answer) -> str:
    text = " ".join(as_text(answer.body[:400].decode(errors="replace"), 400).split())
    return f": {text}" if text and text.isprintable() else "."
