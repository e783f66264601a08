"""README is true: its commands work, its code runs, its tables and its map are those of the tree."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
import uuid
from pathlib import Path
from typing import Any

import pytest

from project.local.datadir import Addresses

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def _settings() -> str:
    return "".join((PROJECT / "project" / name).read_text() for name in ("settings.py", "environment.py"))


def test_every_setting_is_in_the_table_and_every_row_is_a_setting() -> None:
    read = set(re.findall(r"env\.\w+\(\s*[\"']([A-Z_]+)[\"']", _settings()))
    documented = set(re.findall(r"`([A-Z_]{4,})`", section("Configuration")))
    assert documented - {"NAME_FILE"} == read


def test_every_file_that_the_map_names_exists() -> None:
    folder = ""
    for line in section("The map of the code").partition("```\n")[2].partition("```")[0].splitlines():
        folder = line[:12].strip().rstrip("/") or folder
        for name in re.findall(r"\b([a-z_]+(?:\.py|/))", line[12:]):
            assert (PROJECT / folder / name).exists(), f"{folder}/{name}"


def test_every_kind_is_in_the_table_of_kinds() -> None:
    from jobs import kinds  # noqa: PLC0415 - settings are loaded by the time of the test

    listed = set(re.findall(r"^\| `(\w+)` \|", section("The kinds that are here already"), re.MULTILINE))
    assert listed == {
        kind.name for kind in kinds.known() if kind.function.__module__.startswith(("jobs.", "downloads."))
    }


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", README)) - {"help"} <= targets


def test_every_dependency_is_in_the_table_of_parts() -> None:
    pyproject = (PROJECT / "pyproject.toml").read_text()
    wanted = re.findall(
        r'^    "([a-z0-9-]+)', pyproject.partition("dependencies = [")[2].partition("]\n\n")[0], re.MULTILINE
    )
    parts = re.sub(r"[ _]", "-", section("The parts it stands on").lower())
    short = {"djangorestframework": "django-rest-framework", "psycopg": "psycopg-3", "redis": "redis-py"}
    assert [name for name in wanted if short.get(name, name) not in parts] == []


@pytest.mark.django_db(transaction=True)
def test_the_handler_in_ten_lines_runs_as_it_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any
) -> None:
    from jobs import kinds, worker  # noqa: PLC0415 - settings are loaded by the time of the test
    from jobs.board import Board  # noqa: PLC0415
    from jobs.models import Job  # noqa: PLC0415

    declaration, submission, testing = blocks("python")
    monkeypatch.setattr(kinds, "_registry", dict(kinds._registry))
    module = types.ModuleType("shop_handlers")
    monkeypatch.setitem(sys.modules, "shop_handlers", module)
    exec(compile(declaration, "README.md", "exec"), vars(module))
    namespace: dict[str, Any] = {}
    exec(compile(submission, "README.md", "exec"), namespace)
    job: Job = namespace["job"]
    worker.Slots(uuid.uuid4(), Board(tmp_path, 1), shares_connections=False).run([job.id])
    job.refresh_from_db()
    assert (job.state, job.result) == ("completed", {"sent_to": "ada", "key": str(job.id)})
    tests: dict[str, Any] = {}
    exec(compile(testing, "README.md", "exec"), tests)
    for name in [name for name in tests if name.startswith("test_")]:
        tests[name](None)


def test_the_curl_commands_are_accepted_as_printed(stack: Addresses) -> None:
    assert stack.api
    commands = [block for block in blocks("sh") if "curl" in block]
    assert commands
    for command in re.split(r"\n\n", commands[0].replace("http://localhost:8080", stack.api)):
        script = command.replace("curl ", "curl --silent --show-error --fail --max-time 30 ", 1)
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)
