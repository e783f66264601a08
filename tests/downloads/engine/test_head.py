"""Reading heads: what is read, what is refused, and that no bytes at all bring the reader down."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downloads.engine.answer import Part, PastEnd, Verdict, Whole, judge, retry_after, same_version, validators
from downloads.engine.body import Body
from downloads.engine.checkpoint import Validators
from downloads.engine.digests import stated
from downloads.engine.errors import FetchError, ProtocolViolation
from downloads.engine.head import Head, content_range, parse_head
from downloads.engine.naming import LONGEST, suggested_name
from downloads.engine.url import follow, parse

# FUZZ_EXAMPLES=1000000 makes of these the long run.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
fuzz = settings(max_examples=EXAMPLES, deadline=None)

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


def head(text: str) -> Head:
    return parse_head(text.replace("\n", "\r\n").encode())


@fuzz
@given(heads, st.one_of(st.none(), st.integers(0, 2**63)))
def test_no_bytes_bring_the_reader_down(raw: bytes, start: int | None) -> None:
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


chunked_bodies = st.lists(
    st.one_of(
        st.sampled_from([b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"a;x=y\r\n0123456789\r\n"]),
        st.sampled_from([b"\r\n", b"\n", b"-1\r\n", b"ffffffffffffffff\r\n"]),
        st.binary(max_size=20),
    ),
    max_size=12,
).map(b"".join)


@fuzz
@given(chunked_bodies, st.lists(st.integers(1, 9), max_size=5))
def test_no_chunks_bring_the_reader_down_or_make_it_invent_bytes(raw: bytes, sizes: list[int]) -> None:
    script = Script(raw, sizes)
    body = Body(head("HTTP/1.1 200\nTransfer-Encoding: chunked"), bytearray(), script.receive_into)
    block, out = memoryview(bytearray(7)), b""
    try:
        while got := body.readinto(block):
            out += bytes(block[:got])
    except (ProtocolViolation, ConnectionError):
        return
    assert body.finished
    assert len(out) <= len(raw)


@fuzz
@given(st.lists(st.binary(min_size=1, max_size=30), max_size=8), st.lists(st.integers(1, 9), max_size=5))
def test_chunks_come_out_as_they_went_in(blocks: list[bytes], sizes: list[int]) -> None:
    wire = b"".join(b"%X\r\n%b\r\n" % (len(block), block) for block in blocks) + b"0\r\n\r\n"
    body = Body(head("HTTP/1.1 200\nTransfer-Encoding: chunked"), bytearray(), Script(wire, sizes).receive_into)
    block, out = memoryview(bytearray(16)), b""
    while got := body.readinto(block):
        out += bytes(block[:got])
    assert out == b"".join(blocks)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("bytes 0-4/5", (0, 5, 5)),
        ("bytes 2-4/*", (2, 5, None)),
        ("bytes */7", (None, None, 7)),
        ("BYTES=0-4/5", (0, 5, 5)),
    ],
)
def test_a_content_range_is_read(field: str, expected: tuple[int | None, ...]) -> None:
    said = content_range(head(f"HTTP/1.1 206\nContent-Range: {field}"))
    assert said
    assert (said.start, said.end, said.total) == expected


@pytest.mark.parametrize(
    "field", ["bytes 4-0/5", "bytes 0-5/5", "0-4/5", "bytes 0-4", "bytes a-b/c", "items 0-4/5", ""]
)
def test_a_content_range_that_is_none_is_not_guessed_at(field: str) -> None:
    assert content_range(head(f"HTTP/1.1 206\nContent-Range: {field}")) is None


OLD, NOW = "Mon, 02 Nov 2020 10:00:00 GMT", "Mon, 02 Nov 2020 12:00:00 GMT"


@pytest.mark.parametrize(
    ("etag", "modified", "seen", "same"),
    [
        ('"a"', None, 'ETag: "a"', True),
        ('"a"', None, 'ETag: "b"', False),
        ('"a"', OLD, f'ETag: "b"\nLast-Modified: {OLD}\nDate: {NOW}', True),
        ('"a"', OLD, f'ETag: "b"\nLast-Modified: {OLD}\nDate: {OLD}', False),
        ('"a"', OLD, f'ETag: "a"\nLast-Modified: {NOW}', True),
        (None, OLD, f"Last-Modified: {NOW}", False),
        ('"a"', OLD, "X: y", True),
        ('"a"', None, 'ETag: W/"b"', True),
    ],
)
def test_validators_tell_versions_apart_as_far_as_they_can(
    etag: str | None, modified: str | None, seen: str, same: bool
) -> None:
    assert same_version(Validators(etag, modified), head(f"HTTP/1.1 206\n{seen}")) is same
