"""The matrix: what origins in the world do, and what must come of it. ``pytest -v`` prints it as a table."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from downloads.engine import BadOrder, DigestMismatch, FetchError, Refused, Timeouts, TooManyRedirects, Unreachable
from tests.origins import FileOrigin, misbehaving
from tests.origins.files import content

if TYPE_CHECKING:
    from collections.abc import Callable

    from downloads.engine import Fetched
    from tests.downloads.engine.conftest import Client


def _anything(_origin: FileOrigin, _fetched: Fetched) -> bool:
    return True


def _one_request(origin: FileOrigin, _fetched: Fetched) -> bool:
    return len(origin.seen) == 1


def _nothing_twice(origin: FileOrigin, fetched: Fetched) -> bool:
    return fetched.bytes_fetched <= len(origin.data)


def _no_more_than_two_at_once(origin: Any, fetched: Fetched) -> bool:
    return bool(origin.most_active == 2 and origin.turned_away <= 4 and fetched.bytes_fetched == len(origin.data))


ROWS: dict[int, tuple[str, Callable[[Any, Fetched], bool]]] = {
    1: ("200 and the whole file to every range: one stream, no retry", _one_request),
    2: ("honours bytes=0- only: one stream", _nothing_twice),
    3: ("206 with a Content-Range from 0: refused, one stream", _nothing_twice),
    4: ("206 with the right Content-Range and the wrong bytes: found at a seam", _anything),
    5: ("206 shorter than asked for: taken, the rest asked for", _nothing_twice),
    6: ("206 longer than asked for: cut", _nothing_twice),
    7: ("206 without Content-Range: one stream from 0", lambda o, _: o.seen[-1].range is None),
    8: ("Content-Range without a total: the total from a 200", lambda o, _: o.most_open > 1),
    9: ("closes after 1 MiB: each part goes on", _nothing_twice),
    10: ("resets after 1 MiB: each part goes on", _anything),
    11: ("another file of the same length after two requests: started again", lambda o, _: o.etag == '"v2"'),
    12: ("chunked, no length: one stream to the last chunk", _one_request),
    13: ("chunked, cut without the last chunk: fetched again", lambda o, _: len(o.seen) > 2),
    14: ("no length, ends by closing: taken, and said so", lambda _, f: not f.length_verified and bool(f.notes)),
    15: ("gzip against our wish: unpacked, and said so", lambda _, f: "unpacked" in f.notes[0]),
    16: ("429 with Retry-After three times: waited", lambda o, _: len(o.seen) >= 4),
    17: ("503 with Retry-After three times: waited", lambda o, _: len(o.seen) >= 4),
    18: ("500 three times: backed off", lambda o, _: len(o.seen) >= 4),
    19: ("502 three times: backed off", lambda o, _: len(o.seen) >= 4),
    20: ("503 to more than two connections: goes on with two", _no_more_than_two_at_once),
    21: ("403 to more than two connections: goes on with two", _no_more_than_two_at_once),
    22: ("429 to more than two connections: goes on with two", _no_more_than_two_at_once),
    23: ("the first two connections stall: replaced", lambda o, _: o.connections > 2),
    24: ("HEAD is answered 405: never asked", lambda o, _: all(one.method == "GET" for one in o.seen)),
    25: ("a 200 that announces too much, right parts: the parts' total counts", _nothing_twice),
    26: ("the link expires, a page in place of parts: refused, bytes kept", _nothing_twice),
    27: ("403 for a while in the middle: asked again", lambda o, _: len(o.seen) > 6),
    32: ("a weak ETag that differs in every answer: not used", _nothing_twice),
    33: ("a strong ETag per server, same date: not used", _nothing_twice),
    34: ("does everything right", _nothing_twice),
    47: ("multipart to a single range: one stream", lambda o, _: o.seen[-1].range is None),
    50: ("closes idle connections: asked again, not counted", _nothing_twice),
    53: ("HTTP/1.0, no reason, lower case, folded lines: read", _nothing_twice),
    54: ("206 from a stale cache: asked past it", lambda o, _: any("cache-control" in one.headers for one in o.seen)),
}


@pytest.mark.parametrize(
    "number", [pytest.param(n, id=f"{n:02}", marks=pytest.mark.scenario(n, text)) for n, (text, _) in ROWS.items()]
)
def test_the_right_file_comes_from(number: int, client: Client) -> None:
    with misbehaving.file_scenarios()[number]() as origin:
        # Whoever would wait for a stalled connection to time out would run into the limit of this test.
        fetched = client.fetch(origin.url(), connections=4, timeouts=Timeouts(head=3.0, stall=300.0, patience=15.0))
        assert client.part.read_bytes() == origin.data
        assert fetched.size == len(origin.data)
        assert ROWS[number][1](origin, fetched), f"{len(origin.seen)} requests, {fetched}"


@pytest.mark.scenario(4, "206 with the right Content-Range and the wrong bytes: found at a seam")
def test_a_lying_origin_is_found_out_by_a_digest_even_over_one_connection_and_a_resume(client: Client) -> None:
    data = content(misbehaving.SIZE)
    with misbehaving.LiesAboutParts(data, rate=misbehaving.RATE) as origin:
        fetched = client.fetch(origin.url(), connections=8, sha256=hashlib.sha256(data).hexdigest())
    assert fetched.sha256 == hashlib.sha256(data).hexdigest()
    assert client.part.read_bytes() == data


@pytest.mark.scenario(13, "chunked, cut without the last chunk: fetched again")
def test_a_chunked_body_that_never_ends_properly_is_never_taken_for_whole(client: Client) -> None:
    class NeverEnds(misbehaving.ChunkedWithoutEnd):
        times = 1000

    with NeverEnds(content(100_000)) as origin, pytest.raises(FetchError):
        client.fetch(origin.url())


@pytest.mark.scenario(25, "a 200 that announces too much, right parts: the parts' total counts")
def test_a_whole_answer_that_is_always_too_short_is_never_taken_for_whole(client: Client) -> None:
    class NoParts(misbehaving.OverstatesTheWhole):
        def serve(self, exchange: Any) -> None:
            self.whole(exchange)

    with NoParts(content(100_000)) as origin, pytest.raises(FetchError):
        client.fetch(origin.url())


@pytest.mark.scenario(26, "the link expires, a page in place of parts: refused, bytes kept")
def test_an_expired_link_keeps_the_bytes_for_a_fresh_one(client: Client) -> None:
    class Expires(misbehaving.LinkExpires):
        def body(self, exchange: Any, start: int, end: int) -> None:
            super().body(exchange, start, start + 1_000_000)
            exchange.close()

    data = content(misbehaving.SIZE)
    with Expires(data) as origin, pytest.raises(Refused, match="expired"):
        client.fetch(origin.url(), connections=2)
    kept = client.saved[-1]
    assert kept.bytes_done >= 1_000_000
    with FileOrigin(data) as fresh:
        fetched = client.fetch(fresh.url("/file.bin?token=new"), resume=kept)
    assert client.part.read_bytes() == data
    assert fetched.bytes_fetched == len(data) - kept.bytes_done


@pytest.mark.scenario(28, "no Accept-Ranges, 200 always: one stream")
def test_an_origin_without_ranges_is_read_in_one_stream(client: Client) -> None:
    with misbehaving.IgnoresRanges(content(1_000_000)) as origin:
        client.fetch(origin.url())
        assert len(origin.seen) == 1
    assert client.part.read_bytes() == origin.data


@pytest.mark.scenario(29, "302 to another host: followed, secrets dropped")
def test_secrets_do_not_follow_a_redirect_to_another_origin(client: Client) -> None:
    data = content(100_000)
    with (
        FileOrigin(data) as file,
        misbehaving.Redirects(file.url("/real.bin", host="files.example")) as first,
    ):
        client.fetch(first.url(host="first.example"), headers={"Authorization": "Bearer x", "Cookie": "a=b"})
        assert first.seen[0].headers["authorization"] == "Bearer x"
        assert file.seen[0].headers["host"].startswith("files.example")
        assert not {"authorization", "cookie"} & file.seen[0].headers.keys()
    assert client.part.read_bytes() == data


def test_secrets_do_not_go_to_a_mirror_of_another_origin(client: Client) -> None:
    data = content(misbehaving.SIZE)
    with FileOrigin(data, rate=misbehaving.RATE) as first, FileOrigin(data, rate=misbehaving.RATE) as mirror:
        client.fetch(first.url(), mirror.url(), connections=4, headers={"Authorization": "Bearer x"})
        assert all("authorization" in one.headers for one in first.seen)
        assert mirror.seen
        assert not any("authorization" in one.headers for one in mirror.seen)


@pytest.mark.parametrize(
    "headers", [{"Range": "bytes=5-"}, {"host": "x"}, {"X": "a\r\nY: b"}, {"X Y": "a"}, {"X": "\u20ac"}, {"": "a"}]
)
def test_a_header_that_would_break_the_request_is_refused(headers: dict[str, str], client: Client) -> None:
    with FileOrigin(b"") as origin, pytest.raises(BadOrder):
        client.fetch(origin.url(), headers=headers)
    assert not origin.seen


@pytest.mark.scenario(30, "redirects in a circle: ended, for good")
def test_redirects_that_do_not_end_are_ended(client: Client) -> None:
    with misbehaving.Redirects() as origin, pytest.raises(TooManyRedirects) as error:
        client.fetch(origin.url())
    assert error.value.permanent
    assert len(origin.seen) == 11


@pytest.mark.scenario(31, "an empty file: published empty")
@pytest.mark.parametrize("kind", [FileOrigin, misbehaving.IgnoresRanges, misbehaving.UntilClose])
def test_an_empty_file_is_a_file(kind: type[FileOrigin], client: Client) -> None:
    with kind(b"") as origin:
        fetched = client.fetch(origin.url())
    assert fetched.size == 0
    assert client.part.read_bytes() == b""


@pytest.mark.scenario(33, "a strong ETag per server, same date: not used")
def test_a_resume_outlives_an_etag_that_never_matches(client: Client) -> None:
    with misbehaving.ETagPerNode(content(misbehaving.SIZE), rate=misbehaving.RATE) as origin:
        origin.hold_at = 1_000_000
        client.cancel = lambda: origin.sent >= 1_000_000
        with pytest.raises(FetchError):
            client.fetch(origin.url())
        client.cancel, origin.hold_at = lambda: False, None
        fetched = client.fetch(origin.url(), resume=client.saved[-1])
    assert client.part.read_bytes() == origin.data
    assert fetched.bytes_fetched < len(origin.data)
    assert not client.part.with_name(f"{client.part.name}.old").exists()


@pytest.mark.scenario(56, "a stated digest that is wrong: one whole retry, then failed, kept")
@pytest.mark.parametrize(
    "field",
    [
        {"Repr_Digest": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"},
        {"Digest": "sha-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
        {"Content_MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="},
    ],
)
def test_a_stated_digest_that_is_wrong_fails_after_one_whole_retry(field: dict[str, str], client: Client) -> None:
    class Misstates(misbehaving.IgnoresRanges):
        def fields(self, exchange: Any) -> dict[str, Any]:
            return {**super().fields(exchange), **field}

    with Misstates(content(50_000)) as origin, pytest.raises(DigestMismatch):
        client.fetch(origin.url())
    assert len(origin.seen) == 2
    assert client.part.read_bytes() == origin.data


@pytest.mark.parametrize("status", [401, 404, 410, 451])
def test_a_plain_refusal_is_final_and_says_what_to_do(status: int, client: Client) -> None:
    class Refuses(misbehaving.FailsAtFirst):
        times = 1000

    Refuses.status = status
    with Refuses(b"") as origin, pytest.raises(Refused, match=str(status)) as error:
        client.fetch(origin.url())
    assert error.value.permanent
    assert len(origin.seen) == 1


def test_an_origin_that_is_not_there_is_unreachable_and_worth_another_attempt(client: Client) -> None:
    with FileOrigin(b"") as origin:
        url = origin.url()
    with pytest.raises(Unreachable) as error:
        client.fetch(url, timeouts=Timeouts(patience=1.0))
    assert not error.value.permanent
