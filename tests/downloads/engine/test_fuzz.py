"""No bytes at all bring the reader of answers down, hold it up, or make it take memory without bound.

The short form runs with every test run. The long one takes ten minutes, or FUZZ_SECONDS:
``pytest -m slow tests/downloads/engine/test_fuzz.py``.
"""

from __future__ import annotations

import gzip
import os
import resource
import time
import zlib
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downloads.engine.answer import Part, PastEnd, Verdict, Whole, judge, retry_after, same_version, validators
from downloads.engine.body import Body, Unpacked
from downloads.engine.digests import stated
from downloads.engine.errors import FetchError, ProtocolViolation
from downloads.engine.head import LARGEST, parse_head
from downloads.engine.naming import LONGEST, suggested_name
from downloads.engine.url import follow, parse
from downloads.engine.wire import receive_head

SECONDS = float(os.environ.get("FUZZ_SECONDS", "600"))
SHORT, ROUND = 150, 2000  # examples
MOST_MEMORY = 64 * 1024 * 1024  # bytes that the process may grow by, Hypothesis included
LONGEST_EXAMPLE = 5000  # milliseconds
CHUNKED = parse_head(b"HTTP/1.1 200\r\nTransfer-Encoding: chunked")

BITS = [
    b"HTTP/1.1 200 OK", b"HTTP/1.1 206", b"HTTP/1.0 416 x", b"HTTP/1.1 302 Found", b"\r\n", b"\n", b"\r", b": ",
    b" ", b"\t", b"\x00", b"Content-Length", b"Content-Range", b"Transfer-Encoding", b"chunked", b"bytes ",
    b"0-4/5", b"*/5", b"5", b"-5", b"99999999999999999999", b"Content-Encoding", b"gzip", b"identity", b"ETag",
    b'"x"', b"Last-Modified", b"Retry-After", b"Location", b"//x", b"Date", b"Mon, 02 Nov 2020 10:00:00 GMT",
    b"Content-Disposition", b"attachment; filename*=utf-8''%00%ff", b"Repr-Digest", b"sha-256=:AAA=:",
    b"Connection", b"close",
]  # fmt: skip
heads = st.one_of(
    st.binary(max_size=400),
    st.lists(st.one_of(st.sampled_from(BITS), st.binary(max_size=8)), max_size=40).map(b"".join),
    st.lists(st.tuples(st.sampled_from(BITS[11:]), st.sampled_from(BITS[11:])), max_size=12).map(
        lambda fields: b"HTTP/1.1 206 x\r\n" + b"\r\n".join(name + b": " + value for name, value in fields)
    ),
)


def no_bytes_bring_the_reader_down(raw: bytes, start: int | None) -> None:
    try:
        read = parse_head(raw)
    except ProtocolViolation:
        return
    assert 100 <= read.status <= 999
    name = suggested_name(read.get("content-disposition"), "x")
    assert "/" not in name
    assert "\0" not in name
    assert 0 < len(name.encode()) <= LONGEST
    waiting = retry_after(read)
    assert waiting is None or 0 <= waiting <= 86400
    same_version(validators(read), read)
    stated(read, whole=True)
    try:
        follow(parse("http://a.example/b?c=d"), read.get("location") or "")
        answer = judge(read, start=start)
    except (Verdict, FetchError):
        return
    if isinstance(answer, Part):
        assert answer.start == start
        assert answer.start < answer.end
        assert answer.total is None or answer.end <= answer.total
    assert isinstance(answer, Part | Whole | PastEnd)


class Script:
    """A connection that gives what is written, in pieces of the sizes that are written."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self.data = data
        self.sizes = sizes or [1]
        self.reads = 0

    def receive_into(self, view: memoryview) -> int:
        self.reads += 1
        got = min(len(view), self.sizes[self.reads % len(self.sizes)], len(self.data))
        view[:got] = self.data[:got]
        self.data = self.data[got:]
        return got

    recv_into = receive_into

    def settimeout(self, seconds: float) -> None:
        """Never waits."""

    def sendall(self, data: bytes) -> None:
        """Says nothing."""


chunked_bodies = st.lists(
    st.one_of(
        st.sampled_from([b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"a;x=y\r\n0123456789\r\n"]),
        st.sampled_from([b"\r\n", b"\n", b"-1\r\n", b"ffffffffffffffff\r\n"]),
        st.binary(max_size=20),
    ),
    max_size=12,
).map(b"".join)


def a_head_is_read_however_it_is_cut(raw: bytes, beyond: bytes, sizes: list[int]) -> None:
    script, held = Script(raw + b"\r\n\r\n" + beyond, sizes), bytearray()
    found = receive_head(held, script, time.monotonic() + 60)
    whole = raw + b"\r\n\r\n" + beyond
    assert whole.startswith(found)
    assert whole.endswith(bytes(held) + script.data)
    assert len(found) <= LARGEST + 16 * 1024


def no_chunks_bring_the_reader_down_or_make_it_invent_bytes(raw: bytes, sizes: list[int]) -> None:
    script = Script(raw, sizes)
    body = Body(CHUNKED, bytearray(), script.receive_into)
    block, out = memoryview(bytearray(7)), b""
    try:
        while got := body.readinto(block):
            out += bytes(block[:got])
    except (ProtocolViolation, ConnectionError):
        return
    assert body.finished
    assert len(out) <= len(raw)


def chunks_come_out_as_they_went_in(blocks: list[bytes], sizes: list[int]) -> None:
    wire = b"".join(b"%X\r\n%b\r\n" % (len(block), block) for block in blocks) + b"0\r\n\r\n"
    body = Body(CHUNKED, bytearray(), Script(wire, sizes).receive_into)
    block, out = memoryview(bytearray(16)), b""
    while got := body.readinto(block):
        out += bytes(block[:got])
    assert out == b"".join(blocks)


def no_packed_body_brings_the_reader_down_or_grows_without_bound(
    raw: bytes, cut: int, flips: list[tuple[int, int]], coding: str
) -> None:
    packed = bytearray(gzip.compress(raw * 50) if coding == "gzip" else zlib.compress(raw * 50))
    for at, value in flips:
        packed[at % len(packed)] ^= value
    sent = bytes(packed[: max(0, len(packed) - cut)])
    head = parse_head(b"HTTP/1.1 200\r\nContent-Length: %d" % len(sent))
    body = Unpacked(Body(head, bytearray(), Script(sent, [4096]).receive_into), coding)
    block, got_all = memoryview(bytearray(512)), 0
    try:
        while got := body.readinto(block):
            got_all += got
    except (FetchError, ConnectionError):
        return
    assert flips or cut or got_all == len(raw) * 50


sizes = st.lists(st.integers(1, 9), max_size=5)
CHECKS: dict[Callable[..., None], tuple[st.SearchStrategy[Any], ...]] = {
    no_bytes_bring_the_reader_down: (heads, st.one_of(st.none(), st.integers(0, 2**63))),
    a_head_is_read_however_it_is_cut: (heads, st.binary(max_size=50), st.lists(st.integers(1, 200), max_size=5)),
    no_chunks_bring_the_reader_down_or_make_it_invent_bytes: (chunked_bodies, sizes),
    chunks_come_out_as_they_went_in: (st.lists(st.binary(min_size=1, max_size=30), max_size=8), sizes),
    no_packed_body_brings_the_reader_down_or_grows_without_bound: (
        st.binary(max_size=200),
        st.integers(0, 30),
        st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), max_size=3),
        st.sampled_from(["gzip", "deflate"]),
    ),
}


def fuzz(check: Callable[..., None], examples: int) -> None:
    """So many examples, other ones each time."""
    quiet = list(hypothesis.HealthCheck)
    limits = settings(max_examples=examples, deadline=LONGEST_EXAMPLE, database=None, suppress_health_check=quiet)
    limits(given(*CHECKS[check])(check))()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_whatever_an_origin_sends(check: Callable[..., None]) -> None:
    fuzz(check, SHORT)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 2 + 60)
def test_ten_minutes_of_whatever_an_origin_sends(record_property: Callable[[str, object], None]) -> None:
    for check in CHECKS:
        fuzz(check, ROUND)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ends, examples = time.monotonic() + SECONDS, 0
    while time.monotonic() < ends:
        for check in CHECKS:
            fuzz(check, ROUND)
            examples += ROUND
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    record_property("examples", examples)
    assert grown < MOST_MEMORY
