"""Real servers for every test run. HAULWAY_TEST_SERVERS says of which sort, in tests/chaos/servers.py.

HAULWAY_TEST_EXTERNAL=1 uses those of POSTGRES_URL and REDIS_URL instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import django
import pytest
import redis

from project.local.datadir import Addresses
from tests.servers import running_stack, servers_for_tests

_servers = pytest.StashKey[ExitStack]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers and load the settings, which are read once: so this comes before any test module's import.

    Of a run in several processes each has servers of its own, and the one that only hands out tests has none.
    """
    config.stash[_servers] = servers = ExitStack()
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        # The others would inherit it from here, and load the settings before they have servers.
        os.environ.pop("DJANGO_SETTINGS_MODULE", None)
        return
    if os.environ.get("HAULWAY_TEST_EXTERNAL") != "1":
        os.environ.update(servers.enter_context(servers_for_tests()))
    os.environ["ALLOW_DIAGNOSTICS"] = "1"
    os.environ["DATABASE_POOL_SIZE"] = "30"  # races run many threads in one process, each with a connection
    os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
    django.setup()


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_servers].close()


@pytest.fixture
def redis_client() -> Iterator[redis.Redis]:
    """A client of the test run's own Redis, which is empty before each test that asks for it."""
    from django.conf import settings  # noqa: PLC0415 - settings are loaded by pytest_configure

    with redis.Redis.from_url(settings.REDIS_URL, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture(scope="session")
def stack() -> Iterator[Addresses]:
    """The whole platform as real processes, with servers of its own."""
    with running_stack("--ephemeral", "--port", "0") as started:
        yield started.addresses


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Whether the test database outlives the run. Servers of our own are thrown away whole, and with them a session
    that a process of the tests may still have open when it ends: dropping the database would fail over it.
    """
    return os.environ.get("HAULWAY_TEST_EXTERNAL") != "1"


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_modify_db_settings: None, django_db_keepdb: bool, django_db_blocker: Any
) -> Iterator[None]:
    """The test database, for whoever asks: pytest-django's own makes none where no test of the run is marked for it, as
    those are not that share one fleet of processes.
    """
    from django.test.utils import setup_databases, teardown_databases  # noqa: PLC0415 - settings are loaded by then

    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, keepdb=django_db_keepdb)
    yield
    if not django_db_keepdb:
        with django_db_blocker.unblock():
            teardown_databases(made, verbosity=0)
