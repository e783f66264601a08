"""Answers that break HTTP, by malice or accident: nothing hangs, nothing grows without bound, nothing is believed."""

from __future__ import annotations

import gzip
import socket
import ssl
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from downloads.engine import Busy, FetchError, Forbidden, ProtocolViolation, Timeouts, TooLarge
from downloads.engine.naming import suggested_name
from tests.origins import Exchange, FileOrigin, Origin
from tests.origins.files import content
from tests.origins.misbehaving import RATE, SIZE, ClosesEarly

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.downloads.engine.conftest import Client

IMPATIENT = Timeouts(connect=2.0, head=1.0, stall=1.0, patience=1.0)


@pytest.mark.scenario(43, "lengths that contradict themselves or cannot be: refused")
@pytest.mark.parametrize(
    "lengths", [["5", "6"], ["6", "6"], ["-5"], [str(2**63)], ["6,6"], ["0x10"], ["1e3"], ["+5"], [""]]
)
def test_a_length_that_cannot_be_believed_is_refused(lengths: list[str], client: Client) -> None:
    def answer(exchange: Exchange) -> None:
        fields = "".join(f"Content-Length: {length}\r\n" for length in lengths)
        exchange.raw(f"HTTP/1.1 200 OK\r\n{fields}\r\n123456".encode())
        exchange.close()

    with Origin(answer) as origin, pytest.raises(ProtocolViolation):
        client.fetch(origin.url(), timeouts=IMPATIENT)


def _huge_line(exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000)


def _many_fields(exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n")


def _no_end(exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 200 OK\r\nX: y\r\n")
    exchange.stall()


def _drop_by_drop(exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 200 OK\r\nX: ")
    while not exchange.stopping.wait(0.2):
        exchange.raw(b"x")


def _interim_for_ever(exchange: Exchange) -> None:
    while True:
        exchange.raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")


def _not_http(exchange: Exchange) -> None:
    exchange.raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


@pytest.mark.scenario(44, "headers without end, without number, byte by byte: cap and deadline")
@pytest.mark.parametrize("answer", [_huge_line, _many_fields, _no_end, _drop_by_drop, _not_http])
def test_a_header_that_is_no_header_ends_in_an_error(answer: Any, client: Client) -> None:
    with Origin(answer) as origin, pytest.raises(FetchError):
        client.fetch(origin.url(), timeouts=IMPATIENT)


@pytest.mark.scenario(48, "interim answers for ever, 204, 205, 304: protocol error")
@pytest.mark.parametrize("status", [204, 205, 304, 300, 206, 199])
def test_a_status_that_makes_no_sense_is_an_error(status: int, client: Client) -> None:
    with Origin(lambda exchange: exchange.head(status, Content_Length=0)) as origin, pytest.raises(FetchError):
        client.fetch(origin.url(), timeouts=IMPATIENT)


@pytest.mark.scenario(48, "interim answers for ever, 204, 205, 304: protocol error")
def test_a_flood_of_interim_answers_is_an_error(client: Client) -> None:
    with Origin(_interim_for_ever) as origin, pytest.raises(ProtocolViolation):
        client.fetch(origin.url(), timeouts=IMPATIENT)


@pytest.mark.parametrize("coding", ["gzip, chunked", "chunked, gzip", "gzip", "chunked, chunked"])
def test_a_transfer_coding_that_was_not_asked_for_is_refused(coding: str, client: Client) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.head(200, Transfer_Encoding=coding)
        exchange.raw(b"0\r\n\r\n")
        exchange.close()

    with Origin(answer) as origin, pytest.raises(ProtocolViolation):
        client.fetch(origin.url(), timeouts=IMPATIENT)


HOSTILE_NAMES = [
    ("attachment; filename=../../etc/cron.d/x", "x"),
    ('attachment; filename="..\\\\..\\\\boot.ini"', "boot.ini"),
    ("attachment; filename=C:\\x", "x"),
    ('attachment; filename="a\0b\x07c.txt"', "abc.txt"),
    ("attachment; filename=CON", "_CON"),
    ("attachment; filename=nul.txt", "_nul.txt"),
    ("attachment; filename=.", "url.bin"),
    ("attachment; filename=..", "url.bin"),
    ('attachment; filename=""', "url.bin"),
    ("attachment; filename=.bashrc", "bashrc"),
    ("attachment; filename=report.pdf;", "report.pdf"),
    ("attachment; filename*=UTF-8''na%C3%AFve%2F..%2Fplan.txt", "plan.txt"),
    ("attachment; filename=a.txt; filename*=utf-8'en'b.txt", "b.txt"),
    ("attachment; filename=a.txt; filename*=no-such-charset''b.txt", "a.txt"),
    ('attachment; filename="semi;colon.txt"', "semi;colon.txt"),
    ('attachment; filename="a\\"b.txt"', "a_b.txt"),
    ("attachment; filename=gr\xc3\xbc\xc3\x9fe.txt", "grüße.txt"),
    ('attachment; filename="\u202egnp.exe"', "url.bin"),
    ("inline", "url.bin"),
]


@pytest.mark.scenario(45, "names that climb, hide or command: made harmless")
@pytest.mark.parametrize(("disposition", "expected"), HOSTILE_NAMES)
def test_a_hostile_name_becomes_a_harmless_one(disposition: str, expected: str) -> None:
    if "\u202e" in disposition:
        assert "\u202e" not in suggested_name(disposition, "url.bin")
    else:
        assert suggested_name(disposition, "url.bin") == expected


@pytest.mark.scenario(45, "names that climb, hide or command: made harmless")
def test_a_name_of_three_hundred_letters_keeps_its_extension_and_room_for_a_suffix() -> None:
    name = suggested_name(f"attachment; filename*=UTF-8''{'%C3%A4' * 300}.tar", "x")
    assert name.endswith("ä.tar")
    assert len(f"{name}.part".encode()) <= 255


def _packed(data: bytes, coding: str) -> Any:
    def answer(exchange: Exchange) -> None:
        exchange.head(200, Content_Encoding=coding, Content_Length=len(data))
        exchange.raw(data)

    return answer


@pytest.mark.scenario(46, "bombs and stacks of compression: capped")
def test_a_gzip_bomb_does_not_fill_the_disk(client: Client) -> None:
    squeezed = gzip.compress(bytes(90_000_000), 1)
    with Origin(_packed(squeezed, "gzip")) as origin, pytest.raises(TooLarge, match="bomb"):
        client.fetch(origin.url())
    assert client.part.stat().st_size < 80_000_000


@pytest.mark.scenario(46, "bombs and stacks of compression: capped")
def test_an_unpacked_file_is_held_to_the_size_limit(client: Client) -> None:
    with Origin(_packed(gzip.compress(content(300_000)), "gzip")) as origin, pytest.raises(TooLarge):
        client.fetch(origin.url(), max_bytes=299_999)


@pytest.mark.scenario(46, "bombs and stacks of compression: capped")
@pytest.mark.parametrize("coding", ["gzip, gzip, gzip, gzip, gzip, gzip", "br", "zstd", "nonsense"])
def test_a_compression_that_is_not_read_is_refused_by_name(coding: str, client: Client) -> None:
    with Origin(_packed(b"xxxx", coding)) as origin, pytest.raises(ProtocolViolation, match=coding):
        client.fetch(origin.url(), timeouts=IMPATIENT)


@pytest.mark.parametrize(
    "packed",
    [
        zlib.compress(content(100_000)),
        zlib.compress(content(100_000))[2:-4],
    ],
)
def test_deflate_is_read_in_both_of_its_meanings(packed: bytes, client: Client) -> None:
    with Origin(_packed(packed, "deflate")) as origin:
        client.fetch(origin.url())
    assert client.part.read_bytes() == content(100_000)


def test_gzip_members_in_a_row_are_one_file(client: Client) -> None:
    with Origin(_packed(gzip.compress(b"one") + gzip.compress(b"two"), "gzip")) as origin:
        client.fetch(origin.url())
    assert client.part.read_bytes() == b"onetwo"


def test_a_gzip_stream_cut_short_is_never_taken_for_whole(client: Client) -> None:
    with Origin(_packed(gzip.compress(content(100_000))[:-20], "gzip")) as origin, pytest.raises(FetchError):
        client.fetch(origin.url(), timeouts=IMPATIENT)


def test_https_is_spoken_and_the_certificate_checked_by_name(
    client: Client, tls: ssl.SSLContext, certificate: Path
) -> None:
    client.tls = ssl.create_default_context(cafile=str(certificate))
    with FileOrigin(content(SIZE), tls=tls, rate=RATE) as origin:
        client.fetch(origin.url(host="file.example"), connections=4)
        assert client.part.read_bytes() == origin.data
        with pytest.raises(FetchError, match="certificate"):
            client.fetch(origin.url(host="other.example"), timeouts=IMPATIENT)


@pytest.mark.scenario(49, "TLS cut without close_notify: goes on; without a length never whole")
def test_a_tls_connection_cut_in_mid_body_goes_on(client: Client, tls: ssl.SSLContext, certificate: Path) -> None:
    client.tls = ssl.create_default_context(cafile=str(certificate))
    with ClosesEarly(content(SIZE), tls=tls) as origin:
        client.fetch(origin.url(host="file.example"))
        assert client.part.read_bytes() == origin.data


@pytest.mark.scenario(49, "TLS cut without close_notify: goes on; without a length never whole")
def test_a_tls_body_without_length_is_whole_only_if_tls_says_so(
    client: Client, tls: ssl.SSLContext, certificate: Path
) -> None:
    client.tls = ssl.create_default_context(cafile=str(certificate))
    cut = [True]

    def answer(exchange: Exchange) -> None:
        exchange.head(200, Connection="close")
        exchange.raw(content(50_000))
        exchange.close()
        if not cut[0]:
            assert isinstance(exchange.socket, ssl.SSLSocket)
            exchange.socket.unwrap()

    with Origin(answer, tls=tls) as origin:
        with pytest.raises(FetchError):
            client.fetch(origin.url(host="file.example"), timeouts=IMPATIENT)
        cut[0] = False
        fetched = client.fetch(origin.url(host="file.example"))
    assert client.part.read_bytes() == content(50_000)
    assert not fetched.length_verified


@pytest.fixture
def black_hole() -> Iterator[tuple[str, int]]:
    """An address that takes no connection and refuses none: its backlog is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        yield address
        for filler in fillers:
            filler.close()


@pytest.mark.timeout(15)
@pytest.mark.scenario(51, "the first address is a black hole: the next one is tried at once")
def test_an_address_that_does_not_answer_does_not_hold_up_the_next(client: Client, black_hole: tuple[str, int]) -> None:
    with FileOrigin(content(100_000)) as origin:
        client.resolve = lambda _host, port: [black_hole, ("127.0.0.1", port)]
        client.fetch(origin.url(), timeouts=Timeouts(connect=60.0))
    assert client.part.read_bytes() == origin.data


@pytest.mark.scenario(52, "the name changes its address: the checked one is used, a denied one fails the job")
def test_the_address_that_was_checked_is_the_one_connected_to(client: Client) -> None:
    asked = []

    def resolve(host: str, port: int) -> list[tuple[str, int]]:
        asked.append((host, port))
        return [("127.0.0.1", port)]

    client.resolve = resolve
    with FileOrigin(content(100_000)) as origin:
        client.fetch(origin.url(host="no-such-name.invalid"))
    assert asked == [("no-such-name.invalid", origin.port)]


@pytest.mark.scenario(52, "the name changes its address: the checked one is used, a denied one fails the job")
def test_a_name_that_turns_to_a_denied_address_in_mid_job_fails_it(client: Client) -> None:
    asked = []

    def resolve(host: str, port: int) -> list[tuple[str, int]]:
        asked.append(host)
        if len(asked) > 1:
            raise PermissionError("not from here")
        return [("127.0.0.1", port)]

    client.resolve = resolve
    with FileOrigin(content(SIZE), rate=RATE) as origin:
        with pytest.raises(Forbidden):
            client.fetch(origin.url(), connections=4)
        assert origin.connections == 1


@pytest.mark.scenario(55, "Retry-After of a day, or as a date: handed on, capped")
@pytest.mark.parametrize("value", ["86400", "999999999", "Sat, 01 Jan 2050 00:00:00 GMT"])
def test_a_long_wait_is_left_to_the_caller(value: str, client: Client) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.head(503, Retry_After=value, Content_Length=0)

    with Origin(answer) as origin, pytest.raises(Busy) as error:
        client.fetch(origin.url())
    assert error.value.retry_after == 86400
    assert not error.value.permanent
