"""How views are described in the OpenAPI document: by the types that they read and write, and the problems they answer.

A type is a pydantic model or a TypedDict. Its JSON schema becomes a component of the document; every kind's payload is
one, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from pydantic import TypeAdapter

from jobs import kinds
from jobs.api.problems import CONTENT_TYPE, PROBLEMS
from jobs.api.shown import ProblemShown

Method = TypeVar("Method", bound=Callable[..., Any])
Mode = Literal["validation", "serialization"]
_REF = "#/components/schemas/"
_named: dict[str, tuple[Any, Mode]] = {}  # every type that some view names

_BARE = {304: "Nothing has changed.", 416: "The file has no such range."}
_CONTENT = {"type": "string", "format": "binary"}
FILE: dict[Any, Any] = {(200, "*/*"): _CONTENT, (206, "*/*"): _CONTENT, 304: None, 416: None}

_ALWAYS = (400, 401, 403, 406, 429, 503)
_WITH_BODY = (413, 415)
_WITH_KEY = (409, 422)

KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    OpenApiParameter.HEADER,
    description="Sent again with the same body: the same answer again, and no second job.",
)
_REPLAYED = OpenApiParameter(
    "Idempotency-Replayed",
    {"type": "string", "enum": ["true"]},
    OpenApiParameter.HEADER,
    response=[200, 201, 202],
    description="This answer was given before.",
)
WAIT = OpenApiParameter(
    "wait",
    {"type": "number", "minimum": 0, "maximum": 60},
    description="Seconds to wait for the end of the job before it is shown as it is.",
)
_ETAG = OpenApiParameter(
    "ETag", {"type": "string"}, OpenApiParameter.HEADER, response=[200, 304], description="For If-None-Match."
)


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "jobs.api.access.ByToken"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002 - its signature
        return {"type": "http", "scheme": "bearer"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "jobs.api.access.BySession"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002 - its signature
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}


def door(
    summary: str,
    *,
    name: str | None = None,
    tag: str,
    takes: Any = None,
    gives: Mapping[Any, Any],
    refuses: Iterable[int] = (),
    parameters: Iterable[OpenApiParameter] = (),
    example: Any = None,
    keyed: bool = False,
    tagged: bool = False,
) -> Callable[[Method], Method]:
    """Describe a method of a view.

    `takes` and `gives` are types, or JSON schemas; `keyed` says that it keeps Idempotency-Key, `tagged` that it answers
    with an ETag and 304. `{verb}` in a summary is the end of the path. Problems that every view may answer with need
    not be listed.
    """
    statuses = {*_ALWAYS, *refuses, *(_WITH_BODY if takes else ()), *(_WITH_KEY if keyed else ())}
    given = {**gives, **({304: None} if tagged else {})}
    answers: dict[Any, Any] = {code: _answer(of, code) for code, of in given.items()}
    answers |= {(status, CONTENT_TYPE): _refusal(status) for status in sorted(statuses)}
    own = [*parameters, *((KEY, _REPLAYED) if keyed else ()), *((_ETAG,) if tagged else ())]
    examples = [] if example is None else [OpenApiExample("as an example", example, request_only=True)]
    return extend_schema(
        operation_id=name,
        summary=summary,
        tags=[tag],
        request={"application/json": shape(takes, "validation")} if takes else None,
        responses=answers,
        parameters=own,
        examples=examples,
    )


def shape(given: Any, mode: Mode) -> dict[str, Any]:
    """A type as a JSON schema, by reference; what is a schema already stays what it is."""
    if isinstance(given, dict):
        return given
    key = f"{mode}:{given.__module__}.{given.__qualname__}"
    _named[key] = (given, mode)
    return {"$ref": key}


def _answer(given: Any, code: int) -> Any:
    if given is None:
        return OpenApiResponse(None, description=_BARE.get(code, "Done."))
    return OpenApiResponse(shape(given, "serialization"), description=(getattr(given, "__doc__", "") or "").strip())


def _refusal(status: int) -> OpenApiResponse:
    titles = [title for code, title, _ in PROBLEMS.values() if code == status]
    return OpenApiResponse(shape(ProblemShown, "serialization"), description=f"{' Or: '.join(titles)}.")


def components(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """drf-spectacular's hook at the end: the components of all types, and references that lead to them."""
    inputs: list[tuple[str, Mode, TypeAdapter[Any]]] = [
        (key, mode, TypeAdapter(kind)) for key, (kind, mode) in _named.items()
    ]
    inputs += [(f"kind:{kind.name}", "validation", TypeAdapter(kind.payload)) for kind in kinds.known()]
    schemas, found = TypeAdapter.json_schemas(inputs, ref_template=f"{_REF}{{model}}")
    refs = {key: schema for (key, _mode), schema in schemas.items()}
    parts: dict[str, Any] = {**result.get("components", {}).get("schemas", {}), **found.get("$defs", {})}
    _by_kind(parts, refs)
    result.setdefault("components", {})["schemas"] = dict(sorted(parts.items()))
    for path, operations in result["paths"].items():
        for operation in operations.values():
            if "requestBody" in operation:
                operation["requestBody"]["required"] = not _may_be_left_out(operation["requestBody"], parts, refs)
            if "{verb}" in operation.get("summary", ""):
                verb = path.rpartition("/")[2]
                operation["summary"] = operation["summary"].format(verb=verb.capitalize())
                operation["operationId"] = f"{verb}_{operation['tags'][0].removesuffix('s')}"
    led: dict[str, Any] = _lead(result, refs)
    return led


def _may_be_left_out(body: dict[str, Any], parts: Mapping[str, Any], refs: Mapping[str, Any]) -> bool:
    """No body is an empty object, which fits where nothing in it is required."""
    named: dict[str, Any] = body["content"]["application/json"]["schema"]
    named = refs.get(named.get("$ref", ""), named)
    whole = parts.get(named.get("$ref", "").removeprefix(_REF), named)
    return not {"required", "oneOf"} & set(whole)


def _lead(part: Any, refs: Mapping[str, Any]) -> Any:
    """The same document with each reference to a type in place of its name."""
    if isinstance(part, dict):
        if part.get("$ref") in refs:
            return refs[part["$ref"]]
        return {name: _lead(inner, refs) for name, inner in part.items()}
    if isinstance(part, list):
        return [_lead(inner, refs) for inner in part]
    return part


def _by_kind(parts: dict[str, Any], refs: Mapping[str, Any]) -> None:
    """Make a submission of a job one of as many shapes as there are kinds, each with the payload of its own."""
    general = parts["JobSubmission"]
    names = {}
    for kind in kinds.known():
        payload = refs[f"kind:{kind.name}"]
        needs_payload = bool(parts[payload["$ref"].removeprefix(_REF)].get("required"))
        own = {
            **general,
            "title": kind.name,
            "description": kind.summary,
            "properties": {**general["properties"], "kind": {"const": kind.name}, "payload": payload},
            "required": ["kind", "payload"] if needs_payload else ["kind"],
        }
        names[kind.name] = f"JobSubmission.{kind.name}"
        parts[names[kind.name]] = own
    mapping = {kind: f"{_REF}{name}" for kind, name in names.items()}
    parts["JobSubmission"] = {
        "description": general.get("description", ""),
        "oneOf": [{"$ref": one} for one in mapping.values()],
        "discriminator": {"propertyName": "kind", "mapping": mapping},
    }
