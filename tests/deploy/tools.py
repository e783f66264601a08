"""The programs that judge the files under deploy/, as `make deploy-tools` has put them into .venv-deploy."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent.parent
TOOLS = PROJECT / ".venv-deploy" / "bin"
DEPLOY = PROJECT / "deploy"


def run(name: str, *words: str | Path, **environment: str) -> str:
    """What the program says; the test fails with it where the program is not content."""
    done = attempt(name, *words, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def attempt(name: str, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    program = TOOLS / name
    if not program.exists():
        why = f"{name} is missing: run `make deploy-tools`"
        if os.environ.get("CI") and name != "promtool":  # which a machine without Debian's packages cannot have
            pytest.fail(why)
        pytest.skip(why)
    return subprocess.run(
        [program, *words],
        cwd=PROJECT,
        env={"PATH": f"{TOOLS}:{os.environ['PATH']}", "HOME": os.environ.get("HOME", "/tmp"), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
