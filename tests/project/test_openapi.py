"""The OpenAPI document: the committed one is that of the code, it is whole, and people can read it offline."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from pytest_django.fixtures import Settings
from rest_framework.views import APIView

from jobs import kinds
from jobs.api.problems import PROBLEMS

PROJECT = Path(__file__).resolve().parent.parent.parent
COMMITTED = PROJECT / "deploy" / "openapi.yaml"


@pytest.fixture(scope="module")
def generated() -> str:
    """As `make openapi` writes it, in a process of its own: there are no kinds in it that tests have added."""
    command = [sys.executable, "manage.py", "spectacular", "--validate", "--fail-on-warn"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def document(generated: str) -> Any:
    return yaml.safe_load(generated)


def test_the_committed_document_is_that_of_the_code(generated: str) -> None:
    assert generated.strip() == COMMITTED.read_text().strip(), "run `make openapi` and commit what it wrote"


def test_every_path_of_the_api_is_in_the_document(document: Any) -> None:
    known = {path.replace("{pk}", "{id}") for path in document["paths"]}
    ours = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path).replace("{pk}", "{id}") for path in _paths(get_resolver())}
    assert ours - {"/api/schema", "/api/docs"} == known


def _paths(resolver: URLResolver, before: str = "/") -> list[str]:
    found: list[str] = []
    for entry in resolver.url_patterns:
        path = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            found += _paths(entry, path)
        elif isinstance(entry, URLPattern) and issubclass(getattr(entry.callback, "cls", object), APIView):
            found.append(path)
    return found


def test_every_operation_names_its_answers_and_the_problems_that_it_may_answer_with(document: Any) -> None:
    names = []
    for operations in document["paths"].values():
        for operation in operations.values():
            names.append(operation["operationId"])
            answers = operation["responses"]
            assert any(status.startswith("2") for status in answers)
            for status in ("400", "403", "503"):
                assert "application/problem+json" in answers[status]["content"]
            if "requestBody" in operation:
                assert operation["requestBody"]["content"]["application/json"]["examples"]
                assert {"413", "415"} <= set(answers)
    assert len(names) == len(set(names))


def test_every_reference_leads_to_a_component(generated: str, document: Any) -> None:
    named = set(re.findall(r"#/components/schemas/([\w.-]+)", generated))
    assert named - set(document["components"]["schemas"]) == set()


def test_the_payload_of_every_kind_is_in_the_document(document: Any) -> None:
    schemas = document["components"]["schemas"]
    ours = [kind for kind in kinds.known() if kind.function.__module__.startswith(("jobs.", "downloads."))]
    assert set(schemas["JobSubmission"]["discriminator"]["mapping"]) == {kind.name for kind in ours}
    for kind in ours:
        payload = schemas[f"JobSubmission.{kind.name}"]["properties"]["payload"]["$ref"].rpartition("/")[2]
        assert set(schemas[payload]["properties"]) == set(kind.payload.model_json_schema()["properties"])


def test_no_secret_is_ever_shown_by_a_schema(document: Any) -> None:
    secrets = document["components"]["schemas"]["HttpRequest"]["properties"]["secret_headers"]
    assert secrets["additionalProperties"]["writeOnly"]


def test_the_document_and_its_page_are_served_without_the_internet(client: Client, settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = True
    served = client.get("/api/schema", headers={"Accept": "application/json"})
    assert served.json()["openapi"] == "3.1.0"
    page = client.get("/api/docs").content.decode()
    assert "/static/drf_spectacular_sidecar/swagger-ui-dist/" in page
    assert "https://" not in page.replace("https://github.com", "")


def test_off_loopback_the_document_needs_a_login(client: Client, settings: Settings) -> None:
    settings.OPEN_ON_LOOPBACK = False
    assert {client.get(path).status_code for path in ("/api/schema", "/api/docs")} <= {401, 403}


@pytest.mark.parametrize("slug", PROBLEMS)
def test_the_type_of_every_problem_resolves(client: Client, slug: str) -> None:
    assert client.get(f"/problems/{slug}").json()["type"] == f"/problems/{slug}"
