"""The rules of the tree that a reader would otherwise have to trust. Who may import whom stands in pyproject.toml."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from celery.app.defaults import NAMESPACES, flatten
from django.conf import global_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parent.parent
PRODUCT = [PROJECT / name for name in ("jobs", "downloads", "project")]
LONGEST_FILE = 300
NOT_OURS = {".git", ".venv", ".data", "node_modules", "staticfiles", "__pycache__"}


def _files(*roots: Path, suffix: str = "") -> Iterator[Path]:
    for root in roots:
        for path in sorted(root.rglob(f"*{suffix}")):
            inside = path.relative_to(PROJECT).parts
            hidden = any(part.startswith(".") and part != ".ci" for part in inside[:-1])
            if path.is_file() and not hidden and NOT_OURS.isdisjoint(inside):
                yield path


def _code() -> list[Path]:
    return [path for path in _files(*PRODUCT, suffix=".py") if "migrations" not in path.parts]


def _name(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


# --- one place writes a job's state ----------------------------------------------------------------------------------

_WRITES_ROWS = re.compile(r"\b(update|insert\s+into|copy)\s+jobs_job\b", re.IGNORECASE)


def _state_writes(source: str) -> list[int]:
    """The lines that write a `state`, in whatever way Django and SQL offer."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr="state", ctx=ast.Store() | ast.Del()):
                found.append(node.lineno)
            case ast.Call(func=ast.Name(id="setattr"), args=[_, ast.Constant(value="state"), *_]):
                found.append(node.lineno)
            case ast.Call(func=ast.Attribute(attr="update" | "create" | "update_or_create" | "acreate" | "aupdate")):
                found += [node.lineno for keyword in node.keywords if keyword.arg == "state"]
            case ast.Call(func=ast.Name(id="Job")):
                found += [node.lineno for keyword in node.keywords if keyword.arg == "state"]
            case ast.Call(func=ast.Attribute(attr="save" | "bulk_update" | "asave")):
                found += [
                    node.lineno for part in ast.walk(node) if isinstance(part, ast.Constant) and part.value == "state"
                ]
            case ast.Constant(value=str(text)) if _WRITES_ROWS.search(text):
                found.append(node.lineno)
    return found


@pytest.mark.parametrize(
    "source",
    [
        "job.state = 'queued'",
        "job.state: str = 'queued'",
        "a, job.state = 1, 2",
        "setattr(job, 'state', 'queued')",
        "Job.objects.filter(id=1).update(lease=None, state='queued')",
        "Job.objects.create(state='queued')",
        "Job(state='queued').save()",
        "job.save(update_fields=['state'])",
        "Job.objects.bulk_update(jobs, ['state'])",
        "cursor.execute('UPDATE jobs_job SET state = 1')",
        "cursor.execute(f'update  jobs_job set {what}')",
        "SQL = '''\\nWITH x AS (INSERT INTO jobs_job (id) VALUES (1))'''",
        "cursor.copy('COPY jobs_job FROM STDIN')",
    ],
)
def test_the_rule_sees_every_way_to_write_a_state(source: str) -> None:
    assert _state_writes(source)


@pytest.mark.parametrize("source", ["job.state == 'queued'", "Job.objects.filter(state='queued')", "x = job.state"])
def test_the_rule_lets_everybody_read_a_state(source: str) -> None:
    assert not _state_writes(source)


def test_nothing_but_the_lifecycle_writes_a_jobs_state() -> None:
    writers = {_name(path) for path in _code() if _state_writes(path.read_text())}

    assert {name.rpartition("/")[0] for name in writers} == {"jobs/lifecycle"}


# --- the shape of the tree -------------------------------------------------------------------------------------------


def test_arrows_between_modules_point_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=100)

    assert done.returncode == 0, done.stdout


def test_no_file_is_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "managers", "manager", "services", "service", "misc"}

    assert [_name(path) for path in _files(PROJECT) if {path.stem, *path.relative_to(PROJECT).parts} & drawers] == []


def test_no_file_of_the_product_is_too_long_for_one_subject() -> None:
    assert [_name(path) for path in _code() if len(path.read_text().splitlines()) > LONGEST_FILE] == []


def test_tests_put_nothing_in_the_place_of_our_own_code() -> None:
    mocks = re.compile(r"^\s*(from|import)\s+(unittest\.mock|unittest import mock|mock\b|pytest_mock)", re.MULTILINE)

    assert [_name(path) for path in _files(PROJECT / "tests", suffix=".py") if mocks.search(path.read_text())] == []


# --- settings --------------------------------------------------------------------------------------------------------

# Read by the packages that they belong to.
READ_BY_PACKAGES = {
    "ASGI_APPLICATION",
    "CELERY_DB_REUSE_MAX",
    "EMAIL_FILE_PATH",
    "REST_FRAMEWORK",
    "ROOT_URLCONF",
    "WHITENOISE_USE_FINDERS",
}


def test_every_setting_is_read_by_somebody() -> None:
    tree = ast.parse((PROJECT / "project" / "settings.py").read_text())
    defined = {
        target.id
        for node in tree.body
        for target in (node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)])
        if isinstance(target, ast.Name) and target.id.isupper()
    }
    inside = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    known = {
        *READ_BY_PACKAGES,
        *inside,
        *dir(global_settings),
        *(f"CELERY_{name.upper()}" for name in dict(flatten(NAMESPACES))),
    }
    ours = "\n".join(path.read_text() for path in _code())

    assert {name for name in defined - known if not re.search(rf"\bsettings\.{name}\b", ours)} == set()


def test_every_setting_that_is_read_exists() -> None:
    tree = ast.parse((PROJECT / "project" / "settings.py").read_text())
    defined = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | set(dir(global_settings))
    read = {
        (name, _name(path)) for path in _code() for name in re.findall(r"\bsettings\.([A-Z_]+)\b", path.read_text())
    }

    assert {(name, where) for name, where in read if name not in defined} == set()


# --- nothing of one machine ------------------------------------------------------------------------------------------


def test_no_path_or_host_of_one_machine_is_in_the_tree() -> None:
    places = re.compile(
        r"/(home|Users|root|work)/|--(extra-)?index-url|find-links|pythonhosted|artifactory|npmjs|//[\w.]*pypi\b"
    )
    found = []
    for path in _files(PROJECT):
        if path != Path(__file__).resolve():
            text = path.read_bytes().decode(errors="ignore")
            found += [(_name(path), hit[0]) for hit in places.finditer(text)]

    assert found == []
