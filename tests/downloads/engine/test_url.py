"""URLs: one reading, and nothing of them in what people see that may be secret."""

from __future__ import annotations

import pytest

from downloads.engine import BadOrder
from downloads.engine.url import follow, parse


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1\\@example.com/",
        "http://user:password@example.com/",
        "ftp://example.com/",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://exa mple.com/",
        "http://example.com/\r\nX: y",
        "http:///x",
        "//example.com/",
        "http://[fe80::1%25eth0]/",
        "http://[::1/",
        "http://a..example/",
        "http://" + "a" * 9000,
        "",
    ],
)
def test_a_url_that_cannot_be_read_in_one_way_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(BadOrder) as error:
        parse(url)
    assert error.value.permanent
    assert "password" not in str(error.value)


def test_a_url_is_taken_apart() -> None:
    at = parse("https://Example.COM:8443/a%20b/grün.bin?x=1&y=ü#sha256=00")
    assert at.origin == ("https", "example.com", 8443)
    assert at.authority == "example.com:8443"
    assert at.target == "/a%20b/gr%C3%BCn.bin?x=1&y=%C3%BC"
    assert at.shown == "https://example.com:8443/a%20b/gr%C3%BCn.bin"
    assert at.last_segment == "grün.bin"
    assert parse("http://[::1]/").authority == "[::1]"
    assert parse("http://bücher.example/").host == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/c", "http://a.example/c"),
        ("d", "http://a.example/x/d"),
        ("//b.example/e", "http://b.example/e"),
        ("https://b.example/f g", "https://b.example/f%20g"),
        ("/gr\u00c3\u00bc\u00c3\u009fe", "http://a.example/gr%C3%BC%C3%9Fe"),
        ("?q=1", "http://a.example/x/y"),
    ],
)
def test_a_redirect_is_followed_from_where_it_was_found(location: str, expected: str) -> None:
    assert follow(parse("http://a.example/x/y?z=1"), location).shown == expected


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://u:p@b.example/", "javascript:x", "http://[/"])
def test_a_redirect_to_something_else_is_refused(location: str) -> None:
    with pytest.raises(BadOrder):
        follow(parse("http://a.example/"), location)
