"""Submissions a second over HTTP, against a bare view that inserts one row, in one and the same server."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from django.contrib.auth.models import Group, User

from jobs.access import tokens
from jobs.access.roles import Role
from project.local.ports import LOOPBACK
from tests.benchmarks.jobs.ground import Ground
from tests.benchmarks.jobs.ourselves import platform
from tests.benchmarks.jobs.ourselves.server import PATIENCE, serving

_CONNECTIONS = 8
_TABLE = """
CREATE TABLE IF NOT EXISTS bench_row (
    id bigserial PRIMARY KEY, payload jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now()
)
"""
_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"kind": "bench.noop", "payload": {}}'
"""
_TOKEN = 'wrk.headers["Authorization"] = "Bearer {secret}"\n'
_PATHS: Mapping[str, str] = {"submit": "/api/v1/jobs", "submit, with a token": "/api/v1/jobs", "bare": "/bare"}


def rates(ground: Ground, rounds: int, seconds: float) -> dict[str, list[float]] | None:
    """{"submit": requests/s by round, "bare": …}, in turns; none where wrk is not installed. Who sends no token is at
    this machine, and free of limits.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        return None
    platform.empty(ground)
    with ground.connect() as connection:
        connection.execute(_TABLE)
    secret = _token()
    found: dict[str, list[float]] = {name: [] for name in _PATHS}
    with serving(ground) as port:
        for _ in range(rounds):
            for name, path in _PATHS.items():
                script = _SCRIPT + (_TOKEN.format(secret=secret) if "token" in name else "")
                url = f"http://{LOOPBACK}:{port}{path}"
                found[name].append(_measured(wrk, url, ground.directory / "post.lua", script, seconds))
    return found


def _token() -> str:
    user, _ = User.objects.get_or_create(username="submitter")
    user.groups.add(Group.objects.get(name=Role.SUBMITTER))
    return tokens.create(user, "bench")[1]


def _measured(wrk: str, url: str, file: Path, script: str, seconds: float) -> float:
    file.write_text(script)
    done = subprocess.run(
        [wrk, "-t1", f"-c{_CONNECTIONS}", f"-d{seconds:.0f}s", "-s", str(file), url],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    if refused := re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout):
        raise RuntimeError(f"{url} refused {refused[1]} requests")
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])
