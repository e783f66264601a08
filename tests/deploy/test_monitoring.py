"""Rules and dashboards ask for numbers that /metrics has, and each alert fires when, and only when, it should."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from tests.deploy.tools import DEPLOY, run

PROMETHEUS = DEPLOY / "prometheus"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
_WORDS = re.compile(r"\b[a-z_]+(?::[a-z0-9_]+)*\b(?=[\s{\[)]|$)")


def panels() -> list[dict[str, Any]]:
    return [panel for path in DASHBOARDS for panel in json.loads(path.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def test_prometheus_takes_the_configuration_and_the_rules() -> None:
    run("promtool", "check", "config", PROMETHEUS / "prometheus.yml")


def test_every_alert_fires_when_it_should_and_stays_silent_otherwise() -> None:
    run("promtool", "test", "rules", PROMETHEUS / "rules_test.yml")


def test_every_alert_is_tested_and_leads_to_a_section_of_the_runbook() -> None:
    rules, tests = (PROMETHEUS / "rules.yml").read_text(), (PROMETHEUS / "rules_test.yml").read_text()
    runbook = (DEPLOY / "RUNBOOK.md").read_text()
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", runbook, re.MULTILINE)
    }
    alerts = re.findall(r"- alert: (\w+)", rules)
    assert len(alerts) == rules.count("runbook: ")
    for alert in alerts:
        assert f"alertname: {alert}\n        exp_alerts" in tests, alert
    assert set(re.findall(r"RUNBOOK\.md#([\w-]+)", rules)) <= anchors


def test_prometheus_understands_every_panel(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(expressions())
    ]
    (tmp_path / "panels.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    run("promtool", "check", "rules", tmp_path / "panels.yml")


@pytest.mark.django_db
def test_rules_and_panels_ask_for_numbers_that_are_there(client: Client, settings: Settings) -> None:
    settings.METRICS_OPEN = True
    offered = set(re.findall(r"^# TYPE (\w+)", client.get("/metrics").content.decode(), re.MULTILINE))
    rules = (PROMETHEUS / "rules.yml").read_text()
    offered |= {f"{name}_{end}" for name in set(offered) for end in ("total", "bucket", "count", "sum")}
    offered |= {*re.findall(r"record: (\S+)", rules), "up", "ALERTS"}
    asked = set()
    for expression in [*expressions(), *re.findall(r"expr: ([^|\n]+)$", rules, re.MULTILINE)]:
        bare = re.sub(r"\{[^}]*\}|by \([^)]*\)|\"[^\"]*\"|\[[^]]*\]", "", expression)
        asked |= set(re.findall(r"[a-z][a-z_]*(?::[a-z0-9_:]+)?", bare))
    functions = {"absent", "and", "deriv", "histogram_quantile", "increase", "max", "on", "or", "rate", "sum"}
    assert {name for name in asked - functions if name not in offered} == set()


def test_every_panel_says_what_it_shows_in_a_unit_and_at_a_place_of_its_own() -> None:
    places = set()
    for panel in panels():
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        places.add((panel["gridPos"]["x"], panel["gridPos"]["y"]))
    assert len(places) == len(panels())
