"""What the OpenAPI document promises, tried with thousands of requests: no fault of ours, no answer that it does not
name, none of another shape, nothing taken that it forbids and nothing refused that it allows.

`make contract` sends them; they take minutes, so they are no part of every run.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pytest_django.fixtures import Settings
from schemathesis.checks import CHECKS, load_all_checks

pytestmark = [pytest.mark.django_db(transaction=True)]

EXAMPLES = int(os.environ.get("HAULWAY_CONTRACT_EXAMPLES", "10"))  # of each operation, beside those that are derived

schemathesis.openapi.format("uri", st.from_regex(r"\Ahttps://[a-z]{1,20}\.example/[a-z0-9/]{0,20}\Z"))

_application = get_wsgi_application()


def from_this_machine(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
    return _application({**environ, "REMOTE_ADDR": "127.0.0.1"}, start)


def from_elsewhere(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
    return _application({**environ, "REMOTE_ADDR": "192.0.2.7"}, start)


def contract(app: Callable[..., Any], *, login: bool) -> Any:
    """The document as one sort of caller has to take it."""
    document = copy.deepcopy(SchemaGenerator().get_schema(request=None, public=True))  # type: ignore[no-untyped-call]
    if not login:  # on this machine nobody is asked who he is
        for operations in document["paths"].values():
            for operation in operations.values():
                operation.pop("security", None)
    loaded = schemathesis.openapi.from_dict(document)
    loaded.app = app
    return loaded


OPEN, CLOSED = contract(from_this_machine, login=False), contract(from_elsewhere, login=True)

every = hypothesis_settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


@pytest.mark.slow
@OPEN.parametrize()  # type: ignore[untyped-decorator]
@every
def test_who_may_do_everything_gets_what_is_promised(case: Any, settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True
    response = case.call()
    case.validate_response(response, excluded_checks=_beyond_the_schema(case, response))


@pytest.mark.slow
@CLOSED.parametrize()  # type: ignore[untyped-decorator]
@every
def test_who_may_do_nothing_gets_what_is_promised(case: Any, settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = False
    response = case.call()
    if response.status_code == 503:
        assert case.path.startswith("/health")
    elif not case.path.startswith("/health"):
        assert response.status_code in (401, 403, 404, 405)  # 404: a path that leads nowhere, whoever asks
    case.validate_response(response, excluded_checks=_beyond_the_schema(case, response))


def _beyond_the_schema(case: Any, response: Any) -> list[Any]:
    """The checks that a JSON schema cannot decide of this answer."""
    load_all_checks()
    excluded = []
    if response.status_code == 503 and case.path.startswith("/health"):
        excluded.append(CHECKS.get_one("not_a_server_error"))  # no worker runs here, and that is what it says
    if response.status_code == 400 and _is_a_rule(case.path, response.json()):
        excluded.append(CHECKS.get_one("positive_data_acceptance"))
    if response.status_code < 300 and _is_right_but_for_its_payload(case):
        excluded.append(CHECKS.get_one("negative_data_rejection"))
    return excluded


def _is_a_rule(path: str, problem: Any) -> bool:
    """Whether everything that is wrong is against a rule in words, such as a URL that leads nowhere, or text that
    Postgres cannot keep. What is wrong with one of many is said in its place; what the older doors translate is judged
    by the kind that it becomes.
    """
    beyond = ("/payload", "/kind") if "/api/v1/" not in path or path.endswith("/tasks") else ()
    return "results" in problem or all(
        fault["detail"].startswith("Value error, ")
        or fault["pointer"] in ("/payload", "/metadata", "/run_at")
        or fault["pointer"].startswith(beyond)
        for fault in problem.get("errors") or [{"detail": "", "pointer": ""}]
    )


def _is_right_but_for_its_payload(case: Any) -> bool:
    """Kinds read their payloads as pydantic does, which takes "1" for 1; a download's body is one."""
    if case.method != "POST" or not isinstance(case.body, dict):
        return False
    schemas = OPEN.raw_schema["components"]["schemas"]
    if case.path.endswith("/downloads"):
        named = schemas["DownloadSubmission"]
        theirs = set(schemas["DownloadRequest"]["properties"])
    elif (named := schemas.get(f"JobSubmission.{case.body.get('kind')}")) is not None:
        theirs = {"payload"}
    else:
        return False
    loose = {**named, "properties": {**named["properties"], **dict.fromkeys(theirs, True)}}
    return bool(Draft202012Validator(loose).is_valid(case.body))
