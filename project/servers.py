"""Postgres and Redis as Django, Celery and redis-py want them described, out of the addresses in the settings."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import dj_database_url


def database(
    url: str, *, password: str, name: str, timeout: float, pool_size: int, session_settings: bool
) -> dict[str, Any]:
    """Raises ValueError, without the address, where it is none.

    `session_settings`: whether a session of ours is a session of the server. Behind a pooler that lends servers by the
    transaction it is not: what one sets, another would find set.
    """
    try:
        found: dict[str, Any] = dict(dj_database_url.parse(url))
    except Exception as error:
        raise ValueError("must be like postgres://user@host:5432/name?sslmode=verify-full") from error
    if "postgresql" not in found["ENGINE"]:
        raise ValueError("must begin with postgres://")
    found["PASSWORD"] = found.get("PASSWORD") or password
    found["CONN_HEALTH_CHECKS"] = True
    found["DISABLE_SERVER_SIDE_CURSORS"] = not session_settings
    found["OPTIONS"] = {
        **found.get("OPTIONS", {}),
        # A pool per process: web requests and the threads of an io worker borrow a connection for a statement and
        # give it back, so that a hundred waiting jobs hold no connection.
        # reconnect_timeout: after an outage the pool's own pauses would grow to minutes; whoever asks next tries again.
        "pool": {"min_size": 1, "max_size": pool_size, "timeout": 10.0, "reconnect_timeout": 1.0},
        "connect_timeout": 5,
        # A server that vanished, with its machine or behind a cut cable, ends no connection: without these whoever
        # waits for its answer would go on to wait for a quarter of an hour.
        "keepalives_idle": 5,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,  # milliseconds
        "application_name": name,
    }
    if session_settings:
        limits = f"-c statement_timeout={int(timeout * 1000)} -c idle_in_transaction_session_timeout=60000"
        found["OPTIONS"]["options"] = limits
    return found


def redis_url(url: str, password: str) -> str:
    """The address with the password in it, unless it has one. Raises ValueError, without the address."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError("must be like redis://host:6379/0, or rediss:// for TLS")
    if parts.password or not password:
        return url
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:{quote(password, safe='')}@{place}"))


def broker(url: str, ca_file: str, sentinels: Sequence[str], sentinel: dict[str, str]) -> dict[str, Any]:
    """Celery's settings for Redis: the address, TLS, and through whom the primary is found.

    TLS without a verified certificate is not offered: it would keep out nobody who can stand in the middle.
    """
    found: dict[str, Any] = {"url": url, "ssl": None, "options": {}}
    if url.startswith("rediss://"):
        found["ssl"] = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
        found["ssl"] |= {"ssl_ca_certs": ca_file} if ca_file else {}
    if sentinels:
        parts = urlsplit(url)
        login = f":{parts.password}@" if parts.password else ""
        found["url"] = ";".join(f"sentinel://{login}{place}{parts.path}" for place in sentinels)
        found["options"] = {"master_name": sentinel["name"]}
        if sentinel["password"]:
            found["options"]["sentinel_kwargs"] = {"password": sentinel["password"]}
    return found
