"""The way out to other people's servers: what is refused, what is allowed, and what a refusal gives away."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
import requests

from jobs.outbound import (
    AddressDenied,
    AddressPolicy,
    AnswerTooLarge,
    AnswerTooSlow,
    CallStopped,
    UrlDenied,
    check_url,
    resolve,
    session,
)
from tests.origins import Exchange, Origin

PUBLIC = AddressPolicy()
LOOPBACK = AddressPolicy(allowed=(ip_network("127.0.0.0/8"),))

NOT_PUBLIC = [
    "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "168.63.129.16", "::1", "::", "fc00::1", "fe80::1", "fec0::1", "ff02::1", "3fff::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::",
]  # fmt: skip
PUBLIC_ADDRESSES = ["93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"]


def answers(*addresses: str) -> Any:
    """A resolver that gives these addresses in the shape of getaddrinfo."""

    def lookup(_host: str, port: int, *_: object) -> list[tuple[Any, ...]]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]

    return lookup


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused_by_number_and_by_name(address: str) -> None:
    assert not PUBLIC.permits(address, 80)
    with pytest.raises(AddressDenied) as denied:
        resolve("name.example", 80, policy=PUBLIC, lookup=answers(address))
    assert address not in str(denied.value)
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(UrlDenied):
        check_url(f"http://{literal}/", policy=PUBLIC)


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_a_public_address_is_reached(address: str) -> None:
    assert [found[0] for found in resolve("name.example", 443, policy=PUBLIC, lookup=answers(address))] == [address]


def test_one_denied_answer_denies_the_name() -> None:
    with pytest.raises(AddressDenied):
        resolve("name.example", 80, policy=PUBLIC, lookup=answers("1.1.1.1", "127.0.0.1"))


@pytest.mark.parametrize("host", ["0", "127.1", "0177.0.0.1", "2130706433", "0x7f.1", "localhost"])
def test_a_disguised_loopback_is_refused_whoever_reads_it(host: str) -> None:
    with pytest.raises((UrlDenied, AddressDenied)):
        resolve(check_url(f"http://{host}/", policy=PUBLIC).host, 80, policy=PUBLIC)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1\\@example.com/",
        "http://user:secret@example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "http://exa mple.com/",
        "http://example.com\r\nHost: x/",
        "http://①②⑦.0.0.1/",
        "http:///path",
        "http://example.com:99999/",
        "http://[fe80::1%25eth0]/",
    ],
)
def test_a_url_that_can_be_read_two_ways_or_is_not_http_is_refused(url: str) -> None:
    with pytest.raises(UrlDenied):
        check_url(url, policy=PUBLIC)


def test_the_operators_denial_beats_the_operators_permission_also_inside_a_translated_address() -> None:
    policy = AddressPolicy(allowed=(ip_network("10.0.0.0/8"),), denied=(ip_network("10.1.0.0/16"),))
    assert policy.permits("10.0.0.1", 8080)
    assert not policy.permits("10.1.0.1", 8080)
    assert not policy.permits("64:ff9b::a01:1", 8080)
    assert not AddressPolicy(denied=(ip_network("1.1.1.0/24"),)).permits("1.1.1.1", 80)


def test_a_port_list_binds_the_public_and_not_the_allowed_networks() -> None:
    policy = AddressPolicy(allowed=(ip_network("10.0.0.0/8"),), ports=frozenset({443}))
    assert policy.permits("10.0.0.1", 9000)
    assert not policy.permits("1.1.1.1", 9000)
    assert policy.permits("1.1.1.1", 443)


def test_a_lookup_that_hangs_ends_at_the_deadline() -> None:
    released = threading.Event()

    def hang(*_: object) -> list[tuple[Any, ...]]:
        released.wait(30)
        return []

    try:
        with pytest.raises(TimeoutError):
            resolve("name.example", 80, policy=PUBLIC, lookup=hang, deadline=0.2)
    finally:
        released.set()


def test_a_call_to_a_denied_address_never_connects() -> None:
    with Origin(lambda exchange: exchange.head(200, Content_Length=0)) as origin:
        with pytest.raises((AddressDenied, UrlDenied)):
            session(policy=PUBLIC).get(origin.url())
        with pytest.raises((AddressDenied, UrlDenied)):
            session(policy=PUBLIC).get(origin.url(host="localhost"))
        assert origin.connections == 0


def test_a_redirect_to_a_denied_address_is_refused() -> None:
    inner = AddressPolicy(allowed=(ip_network("127.0.0.1/32"),))
    origin = Origin(lambda exchange: exchange.head(302, Location="http://127.0.0.2/", Content_Length=0))
    with origin, pytest.raises((AddressDenied, UrlDenied)):
        session(policy=inner).get(origin.url())


def test_secrets_stay_with_the_origin_they_were_given_for() -> None:
    with Origin(lambda exchange: exchange.head(200, Content_Length=0)) as second:

        def send_on(exchange: Exchange) -> None:
            exchange.head(302, Location=second.url(), Content_Length=0)

        with Origin(send_on) as first:
            secrets = {"Authorization": "Bearer x", "X-Api-Key": "y", "Cookie": "z=1", "Accept": "text/plain"}
            session(policy=LOOPBACK).get(first.url(), headers=secrets)
        assert first.seen[0].headers["x-api-key"] == "y"
        assert second.seen[0].headers["accept"] == "text/plain"
        assert not {"authorization", "x-api-key", "cookie"} & second.seen[0].headers.keys()


def test_an_answer_without_end_is_cut_off() -> None:
    def endless(exchange: Exchange) -> None:
        exchange.close()
        exchange.head(200)
        while True:
            exchange.raw(b"x" * 65536)

    with Origin(endless) as origin, pytest.raises(AnswerTooLarge):
        session(policy=LOOPBACK, max_bytes=1_000_000).get(origin.url())


def test_redirects_end() -> None:
    with Origin(lambda exchange: exchange.head(302, Location="/again", Content_Length=0)) as origin:
        with pytest.raises(requests.TooManyRedirects):
            session(policy=LOOPBACK).get(origin.url())
        assert len(origin.seen) == 6


# --- a call that nobody wants to wait for any more -------------------------------------------------------------------


def _silence(exchange: Exchange) -> None:
    exchange.stall()


def _silence_after_the_head(exchange: Exchange) -> None:
    exchange.head(200, Content_Length=10)
    exchange.stall()


def _a_head_without_end(exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 200 OK\r\n")
    while True:
        exchange.raw(b"X: y\r\n")
        exchange.stopping.wait(0.05)


@pytest.mark.parametrize("answer", [_silence, _silence_after_the_head, _a_head_without_end])
def test_a_call_ends_when_its_caller_has_to_leave_whatever_it_waits_for(answer: Callable[[Exchange], None]) -> None:
    with Origin(answer) as origin, pytest.raises(CallStopped):
        session(policy=LOOPBACK, unwanted=lambda: bool(origin.seen)).get(origin.url())


@pytest.mark.parametrize("answer", [_silence, _silence_after_the_head, _a_head_without_end])
def test_a_call_ends_at_its_deadline_however_its_server_drips(answer: Callable[[Exchange], None]) -> None:
    with Origin(answer) as origin, pytest.raises(AnswerTooSlow):
        session(policy=LOOPBACK, deadline=0.3).get(origin.url())


def test_a_connection_attempt_that_hangs_ends_when_its_caller_has_to_leave() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        # What fills the queue of a server that accepts nobody: the next attempt gets no answer at all.
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        started = threading.Event()
        threading.Timer(0.5, started.set).start()
        with pytest.raises(CallStopped):
            session(policy=LOOPBACK, connect_timeout=60, unwanted=started.is_set).get(f"http://127.0.0.1:{port}/")
        for filler in fillers:
            filler.close()


def test_a_lookup_that_hangs_ends_when_its_caller_has_to_leave() -> None:
    released = threading.Event()

    def hang(*_: object) -> list[tuple[Any, ...]]:
        released.wait(30)
        return []

    try:
        with pytest.raises(TimeoutError):
            resolve("name.example", 80, policy=PUBLIC, lookup=hang, deadline=60, unwanted=lambda: True)
    finally:
        released.set()


def test_the_next_call_finds_the_connection_of_the_last_one_open() -> None:
    with Origin(lambda exchange: exchange.head(200, Content_Length=0)) as origin:
        for _ in range(3):
            session(policy=LOOPBACK).get(origin.url())
        assert (origin.connections, len(origin.seen)) == (1, 3)


def test_a_call_on_a_connection_of_an_earlier_one_can_be_stopped_too() -> None:
    def answer_once(exchange: Exchange) -> None:
        if exchange.number == 1:
            exchange.head(200, Content_Length=0)
        else:
            exchange.stall()

    with Origin(answer_once) as origin:
        session(policy=LOOPBACK).get(origin.url())
        with pytest.raises(CallStopped):
            session(policy=LOOPBACK, unwanted=lambda: len(origin.seen) == 2).get(origin.url())
        assert origin.connections == 1
