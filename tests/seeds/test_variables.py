"""The environment variables of the five older systems: each is read, and has its effect where it counts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parent.parent.parent

# What a process that was started with the variable finds, at the place that uses it.
PROBE = """
import json, os
os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
import django
django.setup()
from django.conf import settings
from jobs import kinds
from jobs.handlers.http_request import HttpRequest
from jobs.locks import settings as lock_settings
from jobs import capacity
from project.celery import app
from project.management.commands.up import Command

print(json.dumps({
    "broker": app.conf.broker_url,
    "database": settings.DATABASES["default"]["HOST"],
    "port": Command().create_parser("manage.py", "up").get_default("port"),
    "log level": settings.LOG_LEVEL,
    "worker id": settings.WORKER_ID,
    "slots": app.conf.worker_concurrency,
    "http timeout": HttpRequest(api_url="https://example.com/").timeout,
    "http retries": kinds.get("http_request").max_retries,
    "retries": settings.MAX_RETRIES,
    "largest message": capacity.LARGEST_CHUNK,
    "poll": settings.POLL_SECONDS,
    "due": settings.DUE_SECONDS,
    "lock": lock_settings.LOCK_TTL_SECONDS,
    "scrape places": settings.SCRAPER_CONCURRENT_JOBS,
    "scrape retries": [kinds.get(f"scrape_{kind}").max_retries for kind in ("navigation", "category", "product")],
    "scrape delay": settings.SCRAPER_REQUEST_DELAY,
}))
"""
ALL = {
    "REDIS_HOST": "queue.example",
    "REDIS_PORT": "7001",
    "REDIS_PASSWORD": "p@ss",
    "REDIS_DB": "3",
    "POSTGRES_URL": "postgres://u:p@database.example/jobs",
    "PORT": "9090",
    "GIN_MODE": "debug",
    "WORKER_ID": "worker-7",
    "WORKER_POOL_SIZE": "10",
    "WORKER_MAX_CONCURRENT_JOBS": "5",
    "WORKER_HTTP_TIMEOUT": "2m30s",
    "WORKER_RETRY_COUNT": "7",
    "QUEUE_BATCH_SIZE": "100",
    "QUEUE_POLL_INTERVAL": "500ms",
    "QUEUE_MAX_RETRIES": "4",
    "JOB_MANAGER_LOCK_TTL": "300000",
    "JOB_MANAGER_DELAYED_INTERVAL": "30000",
    "SCRAPER_CONCURRENT_JOBS": "3",
    "SCRAPER_RETRY_ATTEMPTS": "6",
    "SCRAPER_REQUEST_DELAY": "2000",
}
EFFECTS = {
    "broker": "redis://:p%40ss@queue.example:7001/3",
    "database": "database.example",
    "port": 9090,
    "log level": "DEBUG",
    "worker id": "worker-7",
    "slots": 5,
    "http timeout": 150.0,
    "http retries": 7,
    "retries": 4,
    "largest message": 100,
    "poll": 0.5,
    "due": 30.0,
    "lock": 300.0,
    "scrape places": 3,
    "scrape retries": [6, 6, 6],
    "scrape delay": 2.0,
}
# The same by other names, or left to what others say.
OTHERS = {
    "REDIS_ADDR": "other.example:7002",
    "LOG_LEVEL": "warning",
    "JOB_MANAGER_POLL_INTERVAL": "250",
    "QUEUE_MAX_RETRIES": "2",
    "WORKER_POOL_SIZE": "10",
}
OTHER_EFFECTS = {
    "broker": "redis://other.example:7002/0",
    "log level": "WARNING",
    "poll": 0.25,
    "http retries": 2,
    "scrape retries": [2, 2, 2],
    "slots": 10,
}
PLAIN_EFFECTS = {"broker": "redis://plain.example:7003", "slots": None, "http timeout": 90.0, "retries": 3}


def found(**variables: str) -> Any:
    """What a fresh process with only these variables finds."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=PROJECT, env=kept | variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def with_all() -> Any:
    return found(**ALL)


@pytest.mark.parametrize("place", EFFECTS)
def test_a_variable_of_the_older_systems_has_its_effect(with_all: Any, place: str) -> None:
    assert with_all[place] == EFFECTS[place]


def test_what_has_two_names_is_read_by_either_and_what_is_left_out_follows_the_general_one() -> None:
    here = found(**OTHERS)
    assert {place: here[place] for place in OTHER_EFFECTS} == OTHER_EFFECTS


def test_nothing_is_changed_by_variables_that_are_not_set() -> None:
    here = found(REDIS_URL="redis://plain.example:7003")
    assert {place: here[place] for place in PLAIN_EFFECTS} == PLAIN_EFFECTS


def test_the_table_in_readme_names_the_variables_that_are_tested() -> None:
    readme = (PROJECT / "README.md").read_text()
    table = readme.partition("### What the variables of the older systems do here")[2].partition("\n## ")[0]
    named = {
        name for row in re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE) for name in re.findall(r"`([A-Z_]+)`", row)
    }
    assert named == {*ALL, *OTHERS, "REDIS_URL"}
