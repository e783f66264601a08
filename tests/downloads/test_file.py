"""A finished file over HTTP, and what becomes of it when its download is deleted."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.test import Client

from tests.downloads.conftest import Platform
from tests.origins import FileOrigin
from tests.origins.files import content

DATA = content(3_000_001)
ETAG = f'"{hashlib.sha256(DATA).hexdigest()}"'


class Named(FileOrigin):
    """Says what the file is called, and that it is a page."""

    def fields(self, exchange: Any) -> dict[str, Any]:
        return super().fields(exchange) | {
            "Content_Type": "text/html; charset=utf-8",
            "Content_Disposition": 'attachment; filename="Grüße \\" 1.html"'.encode().decode("latin-1"),
        }


@pytest.fixture
def done(platform: Platform) -> Any:
    with Named(DATA) as origin:
        row = platform.fetch(origin.url(), want_sha256=True)
    assert row.job.state == "completed", row.job.error
    return row


@pytest.fixture
def path(done: Any) -> str:
    return f"/api/v1/downloads/{done.pk}/file"


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def test_the_whole_file_is_sent_with_its_digest_as_etag_and_cannot_run_in_a_browser(client: Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, body(answer)) == (200, DATA)
    assert (answer["Content-Length"], answer["ETag"], answer["Accept-Ranges"]) == (str(len(DATA)), ETAG, "bytes")
    assert answer["Content-Type"] == "text/html"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Disposition"].startswith("attachment; filename*=utf-8''Gr%C3%BC%C3%9Fe")
    assert "sandbox" in answer["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1000000-", 1_000_000, len(DATA)),
        ("bytes=2-2999999999", 2, len(DATA)),
        ("bytes=-7", len(DATA) - 7, len(DATA)),
        ("bytes=-99999999", 0, len(DATA)),
        ("bytes=5-2000004", 5, 2_000_005),
    ],
)
def test_one_range_is_sent_as_asked(client: Client, path: str, asked: str, start: int, end: int) -> None:
    answer = client.get(path, headers={"Range": asked})
    assert (answer.status_code, body(answer)) == (206, DATA[start:end])
    assert answer["Content-Range"] == f"bytes {start}-{end - 1}/{len(DATA)}"
    assert answer["Content-Length"] == str(end - start)


@pytest.mark.parametrize("asked", ["bytes=3000001-", "bytes=9999999-99999999", "bytes=-0"])
def test_a_range_past_the_end_is_refused_with_the_length(client: Client, path: str, asked: str) -> None:
    answer = client.get(path, headers={"Range": asked})
    assert (answer.status_code, answer["Content-Range"]) == (416, f"bytes */{len(DATA)}")


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=0-1,5-6", "lines=1-2", "bytes=-", "bytes=x", "9" * 5000])
def test_a_range_that_is_not_understood_gets_the_whole_file(client: Client, path: str, asked: str) -> None:
    answer = client.get(path, headers={"Range": asked})
    assert (answer.status_code, len(body(answer))) == (200, len(DATA))


def test_a_resume_goes_on_only_with_the_same_file(client: Client, path: str) -> None:
    same = client.get(path, headers={"Range": "bytes=10-", "If-Range": ETAG})
    other = client.get(path, headers={"Range": "bytes=10-", "If-Range": '"of another file"'})
    assert (same.status_code, len(body(same))) == (206, len(DATA) - 10)
    assert (other.status_code, len(body(other))) == (200, len(DATA))
    assert client.get(path, headers={"If-None-Match": ETAG}).status_code == 304


def test_head_says_the_same_without_the_bytes(client: Client, path: str) -> None:
    answer = client.head(path)
    assert (answer.status_code, answer["Content-Length"], answer.content) == (200, str(len(DATA)), b"")


def test_under_asgi_the_file_comes_in_blocks_and_not_in_one_piece(path: str) -> None:
    async def ask() -> list[int]:
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
            "scheme": "http",
        }
        talk: Any = ApplicationCommunicator(get_asgi_application(), scope)  # type: ignore[no-untyped-call]
        await talk.send_input({"type": "http.request", "body": b""})
        assert (await talk.receive_output(30))["status"] == 200
        sizes = []
        while True:
            part = await talk.receive_output(30)
            sizes.append(len(part.get("body", b"")))
            if not part.get("more_body"):
                await talk.wait(30)
                return sizes

    sizes = asyncio.run(ask())
    assert sum(sizes) == len(DATA)
    assert max(sizes) <= 1024 * 1024


def test_a_file_that_was_written_to_or_is_gone_is_not_sent_under_its_old_digest(
    client: Client, platform: Platform, done: Any, path: str
) -> None:
    file = platform.root / done.output
    file.write_bytes(b"!" * len(DATA))
    assert client.get(path).status_code == 404
    file.unlink()
    assert client.get(path).status_code == 404


def test_a_link_put_in_place_of_the_file_is_not_followed(
    client: Client, platform: Platform, done: Any, path: str
) -> None:
    file = platform.root / done.output
    file.rename(platform.root / "elsewhere")
    file.symlink_to(platform.root / "elsewhere")
    assert client.get(path).status_code == 404


def test_the_file_of_an_unfinished_download_is_not_there(client: Client, platform: Platform) -> None:
    waiting = platform.submit("https://example.org/file")
    assert client.get(f"/api/v1/downloads/{waiting}/file").status_code == 404
    assert client.get(f"/api/v1/downloads/{uuid.uuid4()}/file").status_code == 404


def test_deleting_a_download_takes_its_file_along(client: Client, platform: Platform, done: Any) -> None:
    assert client.delete(f"/api/v1/downloads/{done.pk}").status_code == 204
    assert not (platform.root / done.output).exists()
    assert client.get(f"/api/v1/downloads/{done.pk}").status_code == 404
    assert client.get(f"/api/v1/jobs/{done.pk}").status_code == 404


def test_deleting_a_download_leaves_its_file_where_that_is_asked_for(
    client: Client, platform: Platform, done: Any
) -> None:
    assert client.delete(f"/api/v1/downloads/{done.pk}?keep_file=yes").status_code == 400
    assert client.delete(f"/api/v1/downloads/{done.pk}?keep_file=1").status_code == 204
    assert (platform.root / done.output).read_bytes() == DATA


def test_deleting_a_download_does_not_touch_the_file_of_another_that_took_its_name(
    client: Client, platform: Platform
) -> None:
    with FileOrigin(DATA) as origin:
        first, second = (platform.fetch(origin.url(), output="same.bin") for _ in range(2))
    assert client.delete(f"/api/v1/downloads/{first.pk}").status_code == 204
    assert (platform.root / "same.bin").read_bytes() == DATA
    assert client.delete(f"/api/v1/downloads/{second.pk}").status_code == 204
    assert not (platform.root / "same.bin").exists()


def test_a_live_download_is_not_deleted(client: Client, platform: Platform) -> None:
    waiting = platform.submit("https://example.org/file")
    assert client.delete(f"/api/v1/downloads/{waiting}").status_code == 409
    assert client.delete(f"/api/v1/downloads/{uuid.uuid4()}").status_code == 404
    assert platform.row(waiting).job.state == "queued"
