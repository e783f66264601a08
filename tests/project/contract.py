"""What the OpenAPI document promises, tried with thousands of requests: no fault of ours, no answer that it does not
name, none of another shape, nothing taken that it forbids and nothing refused that it allows.

`make contract` sends them; they take minutes, so they are no part of every run. At the end it says how many there were.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
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

from jobs.access import tokens
from jobs.access.roles import Role
from tests.jobs.access.callers import bearer, user_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

EXAMPLES = int(os.environ.get("HAULWAY_CONTRACT_EXAMPLES", "10"))  # of each operation, beside those that are derived
ONLY = os.environ.get("HAULWAY_CONTRACT_PATHS", ".")  # a regular expression; to try a few

schemathesis.openapi.format("uri", st.from_regex(r"\Ahttps://[a-z]{1,20}\.example/[a-z0-9/]{0,20}\Z"))

_application = get_wsgi_application()
_sent: Counter[tuple[str, str]] = Counter()  # by who asked, and the hundred of the status


def _from_elsewhere(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
    """Nobody at another machine, whom the platform owes nothing without a token."""
    return _application({**environ, "REMOTE_ADDR": "192.0.2.7"}, start)


def _contract() -> Any:
    loaded = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(request=None, public=True))  # type: ignore[no-untyped-call]
    loaded.app = _from_elsewhere
    return loaded.include(path_regex=ONLY)


def _with_any_payload(schemas: dict[str, Any]) -> dict[str, Any]:
    """The components of the document, where a payload may be anything."""
    theirs = dict.fromkeys(schemas["DownloadRequest"]["properties"], True)
    loose = {"DownloadSubmission": theirs}
    loose |= {name: {"payload": True} for name in schemas if name.startswith("JobSubmission.")}
    return {
        name: {**schema, "properties": {**schema["properties"], **loose[name]}} if name in loose else schema
        for name, schema in schemas.items()
    }


CONTRACT = _contract()
PATIENT = _with_any_payload(CONTRACT.raw_schema["components"]["schemas"])

every = hypothesis_settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


@pytest.fixture(scope="module", autouse=True)
def _count(request: pytest.FixtureRequest) -> Iterator[None]:
    """Say at the end how many requests there were, and how they were answered."""
    yield
    plugins = request.config.pluginmanager
    reporter: Any = plugins.get_plugin("terminalreporter")
    capture: Any = plugins.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled():
        for who in sorted({who for who, _ in _sent}):
            answers = {status: number for (one, status), number in sorted(_sent.items()) if one == who}
            told = ", ".join(f"{number} answered {status}" for status, number in answers.items())
            reporter.write_line(f"\n{sum(answers.values())} requests {who}: {told}")


@pytest.fixture
def admin(settings: Settings) -> dict[str, str]:
    """The headers of somebody who may do everything."""
    settings.OPEN_ON_LOOPBACK = False
    settings.REQUESTS_PER_MINUTE = 0  # thousands a minute are what this is for
    tokens.forget()
    return bearer(user_in(Role.ADMIN))


@CONTRACT.parametrize()  # type: ignore[untyped-decorator]
@every
def test_each_gets_what_is_promised_with_a_token_and_without(case: Any, admin: dict[str, str]) -> None:
    refused = _answer_to("without a token", case)
    if not case.path.startswith("/health"):
        assert refused.status_code in (401, 403, 404, 405)  # 404: a path that leads nowhere, whoever asks
    taken = _answer_to("with a token", case, headers=admin)
    assert taken.status_code != 401


def _answer_to(who: str, case: Any, **known_by: Any) -> Any:
    response = case.call(**known_by)
    _sent[who, f"{response.status_code // 100}xx"] += 1
    case.validate_response(response, excluded_checks=_beyond_a_schema(case, response), **known_by)
    return response


def _beyond_a_schema(case: Any, response: Any) -> list[Any]:
    """Of all checks those that cannot be made of this one answer; each with the reason. With 422 an Idempotency-Key is
    refused that came with another body before, which no schema knows of.
    """
    load_all_checks()
    excluded = []
    if response.status_code == 503 and case.path.startswith("/health"):
        excluded.append(CHECKS.get_one("not_a_server_error"))  # no worker runs here, and that is what it says
    if response.status_code == 422 or (response.status_code == 400 and _is_a_rule(case.path, response.json())):
        excluded.append(CHECKS.get_one("positive_data_acceptance"))
    if response.status_code < 300 and _is_right_but_for_its_payload(case):
        excluded.append(CHECKS.get_one("negative_data_rejection"))
    return excluded


# Where a value is refused by a rule that no JSON schema can say: what it means, or what there is already.
_RULES = {
    "q": "a search is a language of its own",
    "cron": "so is a cron line",
    "time_zone": "zones are those that the machine knows",
    "every": "a schedule has one timing of three",
    "at": "the same",
    "run_at": "ten years ahead of now is where it ends",
    "name": "a schedule's is like no other's",
    "target": "what it may be depends on the scope",
    "depends_on": "the job must exist",
    "on_conflict": "it goes with a unique_key, and not with every kind",
    "unique_key": "a job of a batch has none",
    "ref": "one of a batch is like no other",
    "priority": "one verb must have it",
    "per": "a rate must have it",
    "backlog": "keys alone have one",
    "payload": "text that Postgres cannot keep, such as NUL",
    "metadata": "the same",
}
# Where kind and payload are whatever is installed, and the document does not say it again.
_OF_ANY_KIND = (
    "/api/v1/schedules",
    "/api/v1/batches",
    "/api/v1/tasks",
    "/task",
    "/jobs",
    "/downloads",
    "/api/queue/jobs",
)


def _is_a_rule(path: str, problem: Any) -> bool:
    """Whether everything that is wrong is against a rule in words. What is wrong with one of many is said in its
    place; what a fault says of the whole body is about several fields at once.
    """
    return "results" in problem or (
        bool(problem.get("errors"))
        and all(
            fault["detail"].startswith("Value error, ") or _is_beyond(path, fault["pointer"].split("/"))
            for fault in problem["errors"]
        )
    )


def _is_beyond(path: str, places: list[str]) -> bool:
    fields = [place for place in places if not place.isdigit()]
    of_any_kind = path.startswith(_OF_ANY_KIND) and bool({"kind", "type", "payload"}.intersection(fields))
    return fields == [""] or fields[-1] in _RULES or of_any_kind


def _is_right_but_for_its_payload(case: Any) -> bool:
    """Kinds read their payloads as pydantic does, which takes "1" for 1: the document shows what to send, and a kind
    that somebody wrote for Python may be more patient. A download's body is a payload, too.
    """
    operation = CONTRACT.raw_schema["paths"][case.path].get(case.method.lower(), {})
    if "requestBody" not in operation or not isinstance(case.body, (dict, list)):
        return False
    named = operation["requestBody"]["content"]["application/json"]["schema"]
    exact, patient = (
        Draft202012Validator({**named, "components": {"schemas": schemas}})
        for schemas in (CONTRACT.raw_schema["components"]["schemas"], PATIENT)
    )
    return bool(patient.is_valid(case.body)) and not exact.is_valid(case.body)
