"""Proxies as they are asked for, and as the operator sets one for all."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from pytest_django import Settings

from jobs.models import State
from tests.downloads.conftest import Platform
from tests.origins import Exchange, FileOrigin, TunnelProxy
from tests.origins.files import content

DATA = content(2_000_000)


class WithSidecar(FileOrigin):
    def serve(self, exchange: Exchange) -> None:
        if exchange.target == "/SHA256SUMS":
            text = f"{hashlib.sha256(self.data).hexdigest()}  file.bin\n".encode()
            exchange.head(200, Content_Length=len(text))
            exchange.raw(text)
        else:
            super().serve(exchange)


def post(client: Client, **body: Any) -> Any:
    return client.post("/api/v1/downloads", body, content_type="application/json")


def test_a_download_and_its_sidecar_go_through_the_proxy_and_its_password_stays_secret(
    client: Client, platform: Platform
) -> None:
    with WithSidecar(DATA) as origin, TunnelProxy(login="ada:pass-4715") as proxy:
        way = f"http://ada:pass-4715@127.0.0.1:{proxy.port}"
        answer = post(client, url=origin.url(), proxy=way, sha256_url=origin.url("/SHA256SUMS"))
        row = platform.run(uuid.UUID(answer.json()["id"]))
        assert (row.job.state, row.digest_verified) == (State.COMPLETED, True)
        assert proxy.connections == origin.connections > 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM jobs_job t UNION ALL SELECT t::text FROM downloads_download t")
        stored = " ".join(line for (line,) in cursor.fetchall())
    assert "pass-4715" not in stored
    assert "pass-4715" not in json.dumps(client.get(f"/api/v1/jobs/{row.pk}").json())


@pytest.mark.parametrize("way", ["http://10.1.2.3:3128", "socks5://proxy.example:1080", "http://proxy.example", 7])
def test_a_proxy_that_cannot_be_used_is_refused_at_the_door(
    client: Client, platform: Platform, settings: Settings, way: Any
) -> None:
    settings.OUTBOUND_ALLOWED_NETWORKS, settings.OUTBOUND_PORTS = [], None
    answer = post(client, url="https://example.org/x", proxy=way)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/proxy"


def test_a_name_that_leads_to_a_proxy_inside_is_not_connected_to(platform: Platform, settings: Settings) -> None:
    settings.OUTBOUND_ALLOWED_NETWORKS = []
    with TunnelProxy() as proxy:
        row = platform.fetch("https://1.1.1.1/x", proxy=f"http://localhost:{proxy.port}")
        assert not proxy.seen
    assert row.job.state == State.FAILED


def test_the_operators_proxy_carries_all_downloads_from_wherever_it_is(
    client: Client, platform: Platform, settings: Settings
) -> None:
    with FileOrigin(DATA) as origin, TunnelProxy() as proxy:
        settings.DOWNLOAD_PROXY = f"http://127.0.0.1:{proxy.port}"
        assert platform.fetch(origin.url()).job.state == State.COMPLETED
        assert proxy.asked == {f"127.0.0.1:{origin.port}"}
        assert proxy.connections == origin.connections
        refused = post(client, url=origin.url(), proxy="http://proxy.example:3128")
        assert "leave this out" in refused.json()["errors"][0]["detail"]

        settings.OUTBOUND_ALLOWED_NETWORKS = []  # holds for origins as ever, for the operator's proxy it does not
        asked = len(proxy.seen)
        assert platform.fetch(f"http://localhost:{origin.port}/").job.state == State.FAILED
        assert len(proxy.seen) == asked
