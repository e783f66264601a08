"""The digest of a file that its origin keeps in a file beside it, as `sha256sum` writes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

import requests

from downloads.engine.url import parse
from jobs import outbound
from jobs.kinds import GiveUp, TryLater

_MOST_BYTES = 1024 * 1024
_SECONDS = 60.0
_LINE = re.compile(r"\\?([0-9a-fA-F]{64})(?:[ \t]+\*?(.*))?")
_BSD_LINE = re.compile(r"SHA256 \((.*)\) = ([0-9a-fA-F]{64})")


def sha256(sidecar: str, file: str, headers: Mapping[str, str]) -> str:
    """The digest of the file at the URL `file`, out of the one at `sidecar`, in lower-case hex.

    `headers` belong to the origin of `file`, and are sent to no other. Raises GiveUp, TryLater.
    """
    at = parse(sidecar)
    fields = headers if at.origin == parse(file).origin else {}
    try:
        with outbound.session(max_bytes=_MOST_BYTES, deadline=_SECONDS) as session:
            answer = session.get(sidecar, headers=dict(fields))
    except (outbound.UrlDenied, outbound.AddressDenied, outbound.AnswerTooLarge) as refusal:
        raise GiveUp(f"The digest at {at} cannot be had: {refusal}") from refusal
    except requests.RequestException as error:
        raise TryLater(10, f"The digest at {at} could not be fetched ({type(error).__name__}).") from error
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        raise TryLater(30, f"The digest at {at} could not be fetched: the origin answers {answer.status_code}.")
    found = find(answer.text, parse(file).last_segment) if answer.ok else None
    if found is None:
        raise GiveUp(f"There is no digest of this file at {at} (answer {answer.status_code}). Check sha256_url.")
    return found


def find(text: str, name: str) -> str | None:
    """The digest of the file of that name; of whatever file, where the text names only one digest."""
    named: dict[str, str] = {}
    for line in text.splitlines():
        if match := _LINE.fullmatch(line.strip()):
            named[(match[2] or "").strip().rpartition("/")[2]] = match[1].lower()
        elif match := _BSD_LINE.fullmatch(line.strip()):
            named[match[1].rpartition("/")[2]] = match[2].lower()
    if len(named) == 1:
        return next(iter(named.values()))
    return named.get(name)
