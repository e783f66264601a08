"""Debian's servers for a run of the tests: empty at its start, and gone with all they held at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from project.local.datadir import make_scratch
from project.local.ports import Port
from tests.chaos import servers
from tests.debian.programs import PgBouncer


@contextmanager
def running_servers(*, pgbouncer: bool) -> Iterator[dict[str, str]]:
    """Yields the settings that lead to them. Raises StackError where one is not installed."""
    scratch = make_scratch()
    ports = [Port() for _ in range(3)]
    with servers.guarded(scratch) as group:
        postgres = servers.postgres_at(scratch / "postgres", scratch, ports[0].number, durable=False)
        postgres.prepare()
        redis = servers.valkey_at(scratch / "redis", ports[1].number)
        actors = [
            servers.postgres_server(postgres, group, scratch / "postgres.log"),
            servers.valkey_server(redis, group, scratch / "redis.log"),
        ]
        settings = {
            "POSTGRES_URL": postgres.url,
            "REDIS_URL": redis.url,
            "DOWNLOAD_ROOT": str(scratch / "downloads"),
        }
        if pgbouncer:
            bouncer = PgBouncer(scratch / "pgbouncer", ports[2].number, postgres)
            actors.append(servers.pgbouncer_server(bouncer, group, scratch / "pgbouncer.log"))
            settings |= {"POSTGRES_URL": bouncer.url, "DATABASE_TRANSACTION_POOLING": "1"}
        for actor in actors:
            actor.start()
        servers.until_postgres_answers(postgres.url)
        servers.until_postgres_answers(settings["POSTGRES_URL"])
        servers.until_valkey_answers(redis.url)
        yield settings
        for actor in actors:
            actor.kill()
    for port in ports:
        port.release()
