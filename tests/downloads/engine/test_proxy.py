"""Through a proxy: to the address that was checked here, with TLS from end to end, and no further than it lets us."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from downloads.engine import BadOrder, FetchError, Forbidden, Refused, Timeouts, Unreachable, parse_proxy
from tests.downloads.engine.conftest import Client
from tests.origins import FileOrigin, TunnelProxy
from tests.origins.files import content

DATA = content(3_000_000)
IMPATIENT = Timeouts(connect=2.0, head=2.0, stall=2.0, patience=2.0)


def test_the_proxy_is_told_the_checked_address_and_never_the_name(client: Client) -> None:
    with FileOrigin(DATA, rate=3_000_000) as origin, TunnelProxy() as proxy:
        client.fetch(origin.url(host="file.example"), proxy=parse_proxy(proxy.url("", host="proxy.example")))
        assert proxy.asked == {f"127.0.0.1:{origin.port}"}
        assert proxy.connections > 1
        assert {exchange.headers["host"] for exchange in origin.seen} == {f"file.example:{origin.port}"}
    assert client.part.read_bytes() == DATA


@pytest.mark.parametrize("secured", [False, True])
def test_tls_goes_through_the_tunnel_from_end_to_end(
    client: Client, tls: ssl.SSLContext, certificate: Path, secured: bool
) -> None:
    client.tls = ssl.create_default_context(cafile=str(certificate))
    with FileOrigin(DATA, tls=tls) as origin, TunnelProxy(tls=tls if secured else None) as proxy:
        way = parse_proxy(proxy.url("", host="proxy.example"))
        client.fetch(origin.url(host="file.example"), proxy=way)
        assert client.part.read_bytes() == DATA
        with pytest.raises(FetchError, match="certificate"):
            client.fetch(origin.url(host="other.example"), proxy=way, timeouts=IMPATIENT)


def test_a_proxy_that_wants_credentials_gets_them_and_the_origin_does_not(client: Client) -> None:
    with FileOrigin(DATA) as origin, TunnelProxy(login="ada:p@ss") as proxy:
        client.fetch(origin.url(), proxy=parse_proxy(f"http://ada:p%40ss@127.0.0.1:{proxy.port}"))
        assert not any("proxy-authorization" in exchange.headers for exchange in origin.seen)
    assert client.part.read_bytes() == DATA


def test_without_the_right_credentials_the_fetch_fails_for_good_and_says_so(client: Client) -> None:
    with FileOrigin(DATA) as origin, TunnelProxy(login="ada:right") as proxy:
        way = parse_proxy(f"http://ada:wrong@127.0.0.1:{proxy.port}")
        with pytest.raises(Refused, match="credentials"):
            client.fetch(origin.url(), proxy=way)
        assert not origin.seen
    assert "wrong" not in repr(way)


@pytest.mark.parametrize(("refusal", "error"), [(403, Refused), (405, Refused), (429, Unreachable), (502, Unreachable)])
def test_a_proxy_that_does_not_connect_us(client: Client, refusal: int, error: type[FetchError]) -> None:
    with FileOrigin(DATA) as origin, TunnelProxy(refusal=refusal) as proxy:
        with pytest.raises(error, match=str(refusal)):
            client.fetch(origin.url(), proxy=parse_proxy(proxy.url("")), timeouts=IMPATIENT)
        assert not origin.seen


def test_an_origin_at_a_denied_address_is_not_asked_for(client: Client) -> None:
    def resolve(host: str, port: int) -> list[tuple[str, int]]:
        if host == "inside.example":
            raise PermissionError("not from here")
        return [("127.0.0.1", port)]

    client.resolve = resolve
    with TunnelProxy() as proxy, pytest.raises(Forbidden):
        client.fetch("http://inside.example/", proxy=parse_proxy(proxy.url("")))
    assert not proxy.seen


def test_a_proxy_at_a_denied_address_is_not_used_unless_it_has_a_rule_of_its_own(client: Client) -> None:
    def resolve(host: str, port: int) -> list[tuple[str, int]]:
        if host == "proxy.example":
            raise PermissionError("not from here")
        return [("127.0.0.1", port)]

    client.resolve = resolve
    with FileOrigin(DATA) as origin, TunnelProxy() as proxy:
        url = proxy.url("", host="proxy.example")
        with pytest.raises(Forbidden):
            client.fetch(origin.url(), proxy=parse_proxy(url))
        assert not proxy.seen
        client.fetch(origin.url(), proxy=parse_proxy(url, resolve=lambda _, port: [("127.0.0.1", port)]))
    assert client.part.read_bytes() == DATA


@pytest.mark.parametrize(
    "url",
    ["proxy:3128", "http://proxy", "socks5://proxy:1080", "http://proxy:3128/path", "http://a b:1@proxy:x", "http://"],
)
def test_what_is_not_a_proxy_is_refused_without_echo(url: str) -> None:
    with pytest.raises(BadOrder) as refusal:
        parse_proxy(url)
    assert "a b:1" not in str(refusal.value)
