"""Compose itself reads every combination of files and profiles, and a linter finds nothing that we did not mean."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.tools import DEPLOY, PROJECT, attempt, run

BASE = ("-f", "docker-compose.yml")
PRODUCTION = (*BASE, "-f", "deploy/compose.production.yml")
OUTSIDE = (*PRODUCTION, "-f", "deploy/compose.outside-services.yml")
DEVELOPMENT = (*BASE, "-f", "deploy/compose.development.yml")
EVERYTHING = ("--profile", "monitoring", "--profile", "tools")
READ_BY_OTHERS = {"FORWARDED_ALLOW_IPS", "OTEL_EXPORTER_OTLP_ENDPOINT"}  # uvicorn, OpenTelemetry
NAMES = {
    "DOMAIN": "haulway.example.org",
    "POSTGRES_URL": "postgres://haulway@db.example.org/haulway?sslmode=verify-full",
    "REDIS_URL": "rediss://cache.example.org:6380/0",
}


@cache
def config(*words: str, **environment: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("docker-compose", *words, "config", "--format", "json", **environment))
    return found


def test_one_command_starts_the_whole_platform() -> None:
    services = config(*BASE)["services"]
    assert set(services) == {"postgres", "redis", "migrate", "web", "worker", "worker-io", "beat", "flower"}
    assert (services["worker"]["deploy"]["replicas"], services["beat"]["deploy"]["replicas"]) == (3, 2)


@pytest.mark.parametrize(
    ("profile", "services"),
    [("monitoring", {"prometheus", "grafana"}), ("tools", {"redis-commander", "pgadmin", "mailpit"})],
)
def test_profiles_add_what_they_are_named_after(profile: str, services: set[str]) -> None:
    assert set(config(*BASE, "--profile", profile)["services"]) - set(config(*BASE)["services"]) == services


@pytest.mark.parametrize("files", [BASE, PRODUCTION, OUTSIDE, DEVELOPMENT])
def test_compose_reads_every_overlay_with_every_profile(files: tuple[str, ...]) -> None:
    services = config(*files, *EVERYTHING, **NAMES)["services"]
    assert {"web", "worker", "worker-io", "beat", "migrate"} <= set(services)


def test_a_production_without_its_name_is_refused_with_what_is_missing() -> None:
    done = attempt("docker-compose", *PRODUCTION, "config")
    assert done.returncode != 0
    assert "the public name of this platform" in done.stderr


def test_outside_services_replace_ours() -> None:
    services = config(*OUTSIDE, **NAMES)["services"]
    assert {"postgres", "redis"} & set(services) == set()
    for name in ("migrate", "web", "worker", "worker-io", "beat", "flower"):
        assert services[name]["environment"]["POSTGRES_URL"] == NAMES["POSTGRES_URL"], name
        assert services[name]["environment"]["REDIS_URL"] == NAMES["REDIS_URL"], name


def test_nothing_but_the_proxy_is_reached_from_other_machines() -> None:
    for files in (BASE, PRODUCTION, DEVELOPMENT):
        for name, service in config(*files, *EVERYTHING, **NAMES)["services"].items():
            hosts = {port.get("host_ip") for port in service.get("ports", [])}
            assert hosts <= ({None} if name == "proxy" else {"127.0.0.1"}), name


def test_workers_are_given_longer_than_they_take_to_drain() -> None:
    for name, service in config(*BASE)["services"].items():
        if name.startswith("worker"):
            (seconds,) = re.findall(r"^(\d+)s$", service["stop_grace_period"])
            assert int(seconds) > int(service["environment"]["DRAIN_SECONDS"]) + 10, name


def test_every_setting_that_compose_sets_is_one_of_ours() -> None:
    settings, entrypoint = (PROJECT / "project" / "settings.py").read_text(), (DEPLOY / "entrypoint").read_text()
    for name in ("web", "worker", "worker-io", "beat", "migrate"):
        for variable in config(*BASE)["services"][name]["environment"]:
            plain = variable.removesuffix("_FILE")
            assert f'"{plain}"' in settings or plain in READ_BY_OTHERS or f"${{{plain}:-" in entrypoint, variable


def test_the_linter_finds_only_what_is_meant(tmp_path: Path) -> None:
    """Our own image is built here, so it has no digest; two tools write beside their code; the proxy is there
    to be reached.
    """
    for files in (BASE, PRODUCTION, OUTSIDE):
        merged = tmp_path / "merged.yml"
        merged.write_text(run("docker-compose", *files, *EVERYTHING, "config", **NAMES))
        found = json.loads(run("compose-lint", "--format", "json", merged))
        meant = {(rule, service) for rule, service in _findings(found)} - {
            *(("CL-0019", name) for name in ("web", "worker", "worker-io", "beat", "migrate", "flower")),
            ("CL-0005", "proxy"),
            ("CL-0007", "redis-commander"),
            ("CL-0007", "pgadmin"),
        }
        assert meant == set()


def _findings(report: Any) -> list[tuple[str, str]]:
    if isinstance(report, dict) and "rule_id" in report:
        return [(report["rule_id"], report["service"])]
    parts = report.values() if isinstance(report, dict) else report if isinstance(report, list) else []
    return [found for part in parts for found in _findings(part)]
