"""What the runbook names exists."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.deploy.runbook import RUNBOOK
from tests.deploy.tools import PROJECT


def test_every_command_of_ours_that_is_named_exists() -> None:
    known = subprocess.run(
        [sys.executable, "manage.py", "help", "--commands"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    ).stdout.split()
    named = set(re.findall(r"manage(?:\.py)? ([a-z]+)", RUNBOOK))
    assert named >= {"doctor", "migrate", "load"}
    assert named - set(known) == set()


def test_every_setting_that_is_named_is_one_of_ours() -> None:
    settings = (PROJECT / "project" / "settings.py").read_text()
    named = set(re.findall(r"(?<![$\w/])([A-Z]+_[A-Z_]+)\b", RUNBOOK))
    assert {name for name in named if f'"{name}"' not in settings} == set()
