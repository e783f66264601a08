"""What others can reach starts only when it is fit for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent.parent
PRODUCTION = {
    "ALLOWED_HOSTS": "haulway.example.org",
    "SECRET_KEY": "a-key-that-is-long-enough-and-of-many-signs-0123456789",
    "ALLOW_DIAGNOSTICS": "0",
}


def run(words: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | PRODUCTION | variables
    command = [sys.executable, *words]
    return subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=100
    )


def test_djangos_own_checks_for_deployment_find_nothing_in_a_production_environment() -> None:
    done = run(["manage.py", "check", "--deploy", "--fail-level", "WARNING"])

    assert (done.returncode, done.stdout.strip()) == (0, "System check identified no issues (0 silenced)."), done.stderr


START_WEB = ["-m", "uvicorn", "project.asgi:application", "--port", "0"]


@pytest.mark.parametrize(
    "start", [START_WEB, ["-c", "import project.wsgi"], ["-m", "celery", "-A", "project", "beat"]], ids=lambda w: w[1]
)
def test_nothing_starts_for_others_with_what_is_fit_for_loopback_only(start: list[str]) -> None:
    wrong = {"SECRET_KEY": "short", "DEBUG": "1", "ALLOW_DIAGNOSTICS": "1"}
    done = run(start, **wrong)

    assert done.returncode != 0
    for name in wrong:
        assert f"  {name}: " in done.stderr + done.stdout


def test_the_key_that_everybody_can_read_is_refused() -> None:
    environment = {name: value for name, value in (os.environ | PRODUCTION).items() if name != "SECRET_KEY"}
    done = subprocess.run(
        [sys.executable, "-c", "import project.asgi"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert done.returncode == 1
    assert "SECRET_KEY: set it" in done.stderr


def test_a_production_environment_starts() -> None:
    done = run(["-c", "import project.asgi; print('served')"])

    assert (done.returncode, done.stdout.strip()) == (0, "served"), done.stderr
