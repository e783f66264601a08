"""The cluster from which each scenario copies its own: made and migrated once for a whole run."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from project.local.datadir import make_scratch
from project.local.migration import bring_up_to_date
from project.local.ports import Port
from tests.chaos import servers


@contextmanager
def template() -> Iterator[Path]:
    """A directory with Postgres's programs and a migrated cluster, from which scenarios copy theirs."""
    home = make_scratch()
    with servers.guarded(home) as group:
        port = Port()
        postgres = servers.postgres_at(home / servers.TEMPLATE, home, port.number, durable=True)
        postgres.prepare()
        server = servers.postgres_server(postgres, group, home / "postgres.log")
        server.start()
        servers.until_postgres_answers(postgres.url)
        bring_up_to_date(postgres.url, servers.PASSWORD, home)
        server.signal(signal.SIGINT)
        server.wait()
        port.release()
        yield home
