"""Kustomize renders every overlay, and the schemas of a cluster, KEDA and the Prometheus operator take every line."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.tools import DEPLOY, PROJECT, run

KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = ("base", "overlays/development", "overlays/production")

# Prints each object with an unknown field, or that its model refuses. The models pass over what they do not know, so
# what comes out of them is compared with what went in.
_CUSTOM = """
import json, sys
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor
for found in json.load(sys.stdin):
    model = {"ScaledObject": ScaledObject, "ServiceMonitor": ServiceMonitor}[found["kind"]]
    kept = model.model_validate(found).model_dump(mode="json", by_alias=True, exclude_unset=True)
    print(found["kind"], found["metadata"]["name"], "well" if kept == found else "has a field that is not known")
"""


@cache
def rendered(overlay: str) -> str:
    return run("kubectl", "kustomize", KUBERNETES / overlay)


def objects(overlay: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_parsed(rendered(overlay)))
    return found


@cache
def _parsed(text: str) -> str:
    """YAML as JSON, by the one parser of it that is at hand."""
    script = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.argv[1])), sys.stdout)"
    return run("python", "-c", script, text)


def of_kind(overlay: str, *kinds: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in objects(overlay) if one["kind"] in kinds}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_cluster_takes_every_object_under_strict_schemas(overlay: str, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(rendered(overlay))
    run("kubernetes-validate", "--strict", "--kubernetes-version", "1.37.0", tmp_path / "all.yaml")


def test_keda_and_the_prometheus_operator_know_every_field() -> None:
    custom = [one for one in objects("overlays/production") if one["kind"] in ("ScaledObject", "ServiceMonitor")]
    script = f"import io, sys; sys.stdin = io.StringIO(sys.argv[1])\n{_CUSTOM}"
    said = run("python", "-c", script, json.dumps(custom)).splitlines()
    assert [line for line in said if not line.endswith(" well")] == []
    assert len(said) == 4
    custom[0]["spec"]["triggers"][0]["bogus"] = "1"
    assert "not known" in run("python", "-c", script, json.dumps(custom))


def test_every_pod_is_confined_and_bounded() -> None:
    for name, one in of_kind("overlays/production", "Deployment", "Job").items():
        pod = one["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"], name
        for container in (*pod["containers"], *pod.get("initContainers", [])):
            assert container["securityContext"]["readOnlyRootFilesystem"], name
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["limits"]["memory"], name


def test_every_worker_is_scaled_by_what_the_api_says_of_its_own_queues() -> None:
    scaled = of_kind("overlays/production", "ScaledObject")
    workers = {
        name: one for name, one in of_kind("overlays/production", "Deployment").items() if name.startswith("worker")
    }
    assert set(scaled) == set(workers)
    queues: list[str] = []
    for name, worker in workers.items():
        assert "replicas" not in worker["spec"], "KEDA and a number here would fight"
        words = worker["spec"]["template"]["spec"]["containers"][0]["args"]
        served, slots = words[words.index("-Q") + 1], words[words.index("-c") + 1]
        (trigger,) = scaled[name]["spec"]["triggers"]
        assert f"/api/v1/scaling?queues={served}&slots={slots}&" in trigger["metadata"]["url"]
        assert trigger["type"] == "metrics-api"
        queues += served.split(",")
    assert sorted(queues) == sorted(
        name + lane for name in ("critical", "high", "medium", "low") for lane in ("", ".io")
    )
    assert scaled["worker-downloads"]["spec"]["minReplicaCount"] == 0


def test_no_worker_is_killed_before_it_has_drained() -> None:
    (drain,) = re.findall(r"DRAIN_SECONDS=(\d+)", (KUBERNETES / "base" / "kustomization.yaml").read_text())
    for name, one in of_kind("base", "Deployment").items():
        if name.startswith("worker"):
            assert one["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > int(drain) + 10, name


def test_every_setting_that_is_configured_is_one_of_ours() -> None:
    settings = (PROJECT / "project" / "settings.py").read_text()
    for overlay in OVERLAYS[:2]:
        for one in of_kind(overlay, "ConfigMap", "Secret").values():
            for variable in one["data"]:
                assert f'"{variable}"' in settings or variable == "FORWARDED_ALLOW_IPS", variable
