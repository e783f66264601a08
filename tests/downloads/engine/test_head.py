"""Reading heads: what is read, and what is not guessed at."""

from __future__ import annotations

import pytest

from downloads.engine.answer import same_version
from downloads.engine.checkpoint import Validators
from downloads.engine.head import Head, content_range, parse_head


def head(text: str) -> Head:
    return parse_head(text.replace("\n", "\r\n").encode())


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
