"""Errors as problem documents (RFC 9457): what is wrong, where in the request, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import DisallowedHost, PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponseBase, JsonResponse
from django.urls import is_valid_path
from rest_framework import exceptions
from rest_framework.response import Response

from jobs.api import request_ids
from jobs.lifecycle import KeyTaken
from jobs.limits import BacklogFull
from jobs.submission import Fault, InvalidSubmission

CONTENT_TYPE = "application/problem+json"
RETRY_SECONDS = 5  # what we ask of clients while a server of ours is away

# Every kind of problem: its slug ends the `type` URL, and /problems/<slug> says this to whoever follows it.
PROBLEMS: dict[str, tuple[int, str, str]] = {
    "invalid-request": (400, "The request is not valid", "Mend what `errors` names and send it again."),
    "not-signed-in": (401, "Who you are is not known", "Sign in, or send a token in the Authorization header."),
    "not-allowed": (403, "You may not do this", "Ask an administrator for the role that it needs."),
    "not-found": (404, "There is nothing here", "Check the id or the path."),
    "wrong-method": (405, "This path does not take that method", "The Allow header lists those that it takes."),
    "not-acceptable": (406, "No representation suits", "Accept application/json."),
    "still-answering": (409, "The first request of this key is still under way", "Send it again after Retry-After."),
    "wrong-state": (409, "The job's state does not allow this", "Look at the job's state; `detail` says which fit."),
    "key-taken": (409, "A live job has this unique_key", "Wait for that job, or say another on_conflict than refuse."),
    "result-expired": (410, "The results of this job were kept for a while, and are deleted", "Run the job again."),
    "too-large": (413, "The request is too large", "Send less at once, or pass a URL instead of the content."),
    "not-json": (415, "The body is not JSON", "Send JSON with Content-Type: application/json."),
    "key-reused": (422, "The Idempotency-Key belongs to another request", "Take a new key for a new request."),
    "too-many": (429, "Too many requests", "Wait as long as Retry-After says."),
    "backlog-full": (429, "The backlog of this key is full", "Wait until some of its jobs have ended."),
    "failed": (500, "Something broke on our side", "Try again; if it stays, give the operators the time and path."),
    "unavailable": (503, "The database is away", "Try again after Retry-After seconds: nothing was written."),
}
# Of several with one status the first stands for it.
_SLUGS = {status: slug for slug, (status, _, _) in reversed(PROBLEMS.items())}


class Problem(Exception):
    """Raised in a view: the answer is the problem document of its slug, with the message as its detail."""

    slug = ""
    retry_after: int | None = None


class WrongState(Problem):
    """A verb did not reach the job, because of the state that it is in."""

    slug = "wrong-state"


def problem(slug: str, detail: str = "", errors: Iterable[Fault] = ()) -> dict[str, Any]:
    """The document. `errors` point into the request by JSON pointers."""
    status, title, hint = PROBLEMS[slug]
    document: dict[str, Any] = {"type": f"/problems/{slug}", "title": title, "status": status, "hint": hint}
    if detail:
        document["detail"] = detail
    if found := [{"pointer": fault.pointer, "detail": fault.detail} for fault in errors]:
        document["errors"] = found
    return document


def problem_response(error: Exception, _context: Any) -> Response | None:
    """DRF's hook: the answer to whatever a view raised. None: a fault of ours, which Django reports as such."""
    headers: dict[str, str] = {}
    match error:
        case InvalidSubmission():
            body = problem("invalid-request", "Nothing was written.", error.faults)
        case exceptions.ValidationError():
            body = problem("invalid-request", errors=_faults(error.detail))
        case KeyTaken():
            body = problem("key-taken", str(error))
        case Problem():
            body = problem(error.slug, str(error))
            if error.retry_after is not None:
                headers["Retry-After"] = str(error.retry_after)
        case Http404():
            body = problem("not-found")
        case PermissionDenied():
            body = problem("not-allowed")
        case BacklogFull() | OperationalError() | InterfaceError():
            full = isinstance(error, BacklogFull)
            body = problem("backlog-full", str(error)) if full else problem("unavailable")
            headers["Retry-After"] = str(RETRY_SECONDS)
        case exceptions.APIException():
            body = problem(_SLUGS.get(error.status_code, "invalid-request"), str(error.detail))
            headers = _headers(error)
        case _:
            return None
    return Response(_named(body), status=body["status"], headers=headers, content_type=CONTENT_TYPE)


def _headers(error: exceptions.APIException) -> dict[str, str]:
    headers: dict[str, str] = {}
    if header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    return headers


def _named(document: dict[str, Any]) -> dict[str, Any]:
    """With the id of the request, for whoever reports the problem to us."""
    return document | ({"request_id": own} if (own := request_ids.current()) else {})


def _faults(detail: Any, pointer: str = "") -> list[Fault]:
    """DRF's nested error detail as a flat list."""
    if isinstance(detail, dict):
        return [fault for key, inner in detail.items() for fault in _faults(inner, f"{pointer}/{key}")]
    if isinstance(detail, list) and any(isinstance(inner, (dict, list)) for inner in detail):
        return [fault for place, inner in enumerate(detail) for fault in _faults(inner, f"{pointer}/{place}")]
    messages = detail if isinstance(detail, list) else [detail]
    return [Fault(pointer.removesuffix("/non_field_errors"), str(message)) for message in messages]


# --- the same where no DRF view is reached ---------------------------------------------------------------------------


def _plain(slug: str, detail: str = "") -> JsonResponse:
    body = problem(slug, detail)
    return JsonResponse(_named(body), status=body["status"], content_type=CONTENT_TYPE)


def bad_request(_request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if isinstance(exception, RequestDataTooBig):
        return _plain("too-large")
    if isinstance(exception, DisallowedHost):
        return _plain("invalid-request", "The Host header names none of ALLOWED_HOSTS.")
    return _plain("invalid-request", type(exception).__name__)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:  # noqa: ARG001 - Django's signature
    without = request.path.rstrip("/")
    meant = without != request.path and is_valid_path(without)
    return _plain("not-found", f"Paths end without a slash here: {without}" if meant else "")


def forbidden(_request: HttpRequest, exception: Exception) -> HttpResponseBase:  # noqa: ARG001 - Django's signature
    return _plain("not-allowed")


def server_error(_request: HttpRequest) -> HttpResponseBase:
    return _plain("failed")


def explain_problem(_request: HttpRequest, slug: str) -> HttpResponseBase:
    """What the `type` of a problem document leads to."""
    if slug not in PROBLEMS:
        raise Http404
    status, title, hint = PROBLEMS[slug]
    return JsonResponse({"type": f"/problems/{slug}", "title": title, "status": status, "hint": hint})
