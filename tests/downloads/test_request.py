"""What a download may be asked to send and to be, how that is kept, and that it arrives at the right place only."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from downloads import sidecar
from jobs.models import State
from tests.downloads.conftest import Platform
from tests.origins import Exchange, FileOrigin
from tests.origins.files import content

DATA = content(5_000_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
SECRETS = {
    "headers": {"X-Api-Key": "key-4711"},
    "cookies": {"session": "cookie-4712"},
    "auth": {"username": "ada", "password": "pass-4713"},
}


def sent(exchange: Exchange) -> tuple[str | None, ...]:
    return tuple(exchange.headers.get(name) for name in ("x-api-key", "cookie", "authorization"))


def test_secrets_reach_the_origin_and_are_nowhere_in_clear(client: Client, platform: Platform) -> None:
    with FileOrigin(DATA) as origin:
        answer = client.post(
            "/api/v1/downloads", {"url": origin.url(), **SECRETS}, content_type="application/json"
        ).json()
        job_id = answer["id"]
        row = platform.run(uuid.UUID(job_id))
        basic = base64.b64encode(b"ada:pass-4713").decode()
        assert {sent(exchange) for exchange in origin.seen} == {("key-4711", "session=cookie-4712", f"Basic {basic}")}
    assert row.job.state == State.COMPLETED
    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM jobs_job t UNION ALL SELECT t::text FROM downloads_download t")
        stored = " ".join(line for (line,) in cursor.fetchall())
    shown = json.dumps([answer, client.get(f"/api/v1/jobs/{job_id}").json(), client.get("/api/v1/downloads").json()])
    for secret in ("key-4711", "cookie-4712", "pass-4713", basic):
        assert secret not in stored
        assert secret not in shown
    assert client.get(f"/api/v1/jobs/{job_id}").json()["payload"]["auth"] == {"username": "ada", "password": "***"}


def test_a_bearer_token_is_sent_as_one(platform: Platform) -> None:
    with FileOrigin(DATA) as origin:
        platform.fetch(origin.url(), auth={"bearer": "to.ken"})
        assert {exchange.headers["authorization"] for exchange in origin.seen} == {"Bearer to.ken"}


@pytest.mark.parametrize("status", [302, 307])
def test_secrets_stay_behind_when_the_origin_redirects_to_another(platform: Platform, status: int) -> None:
    class Redirecting(FileOrigin):
        def serve(self, exchange: Exchange) -> None:
            exchange.head(status, Location=elsewhere.url(), Content_Length=0)

    with FileOrigin(DATA) as elsewhere, Redirecting(b"") as origin:
        row = platform.fetch(origin.url(), **SECRETS)
        assert {sent(exchange) for exchange in elsewhere.seen} == {(None, None, None)}
    assert row.job.state == State.COMPLETED


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"headers": {"Range": "bytes=0-"}}, "/headers"),
        ({"headers": {"Host": "other"}}, "/headers"),
        ({"headers": {"X": "a\r\nHost: b"}}, "/headers"),
        ({"headers": {"X\r\nY": "a"}}, "/headers"),
        ({"headers": {"X": "a", "x": "b"}}, "/headers"),
        ({"cookies": {"a": "b; c=d"}}, "/cookies"),
        ({"auth": {"username": "a:b", "password": "c"}}, None),
        ({"auth": {"bearer": "two words"}}, None),
        ({"auth": {"bearer": "a"}, "headers": {"authorization": "b"}}, ""),
        ({"cookies": {"a": "b"}, "headers": {"Cookie": "b"}}, ""),
        ({"digests": {"crc32": "00"}}, ""),
        ({"digests": {"md5": "zz"}}, ""),
        ({"sha256": "0" * 64, "digests": {"sha256": "1" * 64}}, ""),
        ({"mirrors": ["ftp://example.org/x"]}, "/mirrors/0"),
        ({"sha256_url": "http://user@example.org/"}, "/sha256_url"),
        ({"rate_limit": 10}, "/rate_limit"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_without_repeating_a_secret(
    client: Client, platform: Platform, change: dict[str, Any], pointer: str | None
) -> None:
    body = {"url": "https://example.org/x", "headers": {"X-Secret": "hunter2"}} | change
    answer = client.post("/api/v1/downloads", body, content_type="application/json")
    assert answer.status_code == 400
    if pointer is not None:
        assert answer.json()["errors"][0]["pointer"] == pointer
    assert b"hunter2" not in answer.content


def test_a_file_comes_from_its_mirrors_too(platform: Platform) -> None:
    with FileOrigin(DATA, rate=1_000_000) as first, FileOrigin(DATA, rate=1_000_000) as second:
        row = platform.fetch(first.url(), mirrors=[second.url()], threads=4, want_sha256=True)
        assert first.sent
        assert second.sent
    assert (row.job.state, row.sha256) == (State.COMPLETED, SHA256)


def test_secrets_are_sent_to_no_mirror_of_another_origin(platform: Platform) -> None:
    with FileOrigin(DATA, rate=1_000_000) as first, FileOrigin(DATA, rate=1_000_000) as second:
        row = platform.fetch(first.url(), mirrors=[second.url()], threads=4, **SECRETS)
        assert {sent(exchange)[0] for exchange in first.seen} == {"key-4711"}
        assert {sent(exchange) for exchange in second.seen} == {(None, None, None)}
    assert row.job.state == State.COMPLETED


def test_a_digest_in_the_fragment_of_the_url_must_hold(platform: Platform) -> None:
    with FileOrigin(DATA) as origin:
        assert platform.fetch(f"{origin.url()}#sha256={SHA256}").job.state == State.COMPLETED
        assert platform.fetch(f"{origin.url()}#sha256={'0' * 64}").job.state == State.FAILED


def test_further_digests_must_hold(platform: Platform) -> None:
    md5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    with FileOrigin(DATA) as origin:
        assert platform.fetch(origin.url(), digests={"md5": md5}).job.state == State.COMPLETED
        assert platform.fetch(origin.url(), digests={"sha512": "0" * 128}).job.state == State.FAILED


class WithSidecar(FileOrigin):
    """Beside the file there is one with digests."""

    sums = f"{'1' * 64}  other.bin\n{SHA256} *file.bin\n"

    def serve(self, exchange: Exchange) -> None:
        if exchange.target.endswith("SHA256SUMS"):
            exchange.head(200, Content_Length=len(self.sums))
            exchange.raw(self.sums.encode())
        else:
            super().serve(exchange)


def test_the_digest_of_a_file_beside_it_must_hold(platform: Platform) -> None:
    with WithSidecar(DATA) as origin:
        good = platform.fetch(origin.url(), sha256_url=origin.url("/SHA256SUMS"), **SECRETS)
        assert {sent(exchange)[0] for exchange in origin.seen} == {"key-4711"}
        origin.sums = f"{'1' * 64}  file.bin\n"
        bad = platform.fetch(origin.url(), sha256_url=origin.url("/SHA256SUMS"))
        origin.sums = "not a digest"
        none = platform.fetch(origin.url(), sha256_url=origin.url("/SHA256SUMS"))
    assert [row.job.state for row in (good, bad, none)] == [State.COMPLETED, State.FAILED, State.FAILED]
    assert "sha256_url" in none.job.error


def test_secrets_are_not_sent_to_the_sidecar_of_another_origin(platform: Platform) -> None:
    with FileOrigin(DATA) as origin, WithSidecar(b"") as beside:
        row = platform.fetch(origin.url(), sha256_url=beside.url("/SHA256SUMS"), **SECRETS)
        assert {sent(exchange) for exchange in beside.seen} == {(None, None, None)}
    assert row.job.state == State.COMPLETED


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (SHA256, SHA256),
        (f"{SHA256.upper()}\n", SHA256),
        (f"{SHA256}  whatever.bin", SHA256),
        (f"{'1' * 64}  a\n{SHA256}  dir/file.bin", SHA256),
        (f"SHA256 (file.bin) = {SHA256}\nSHA256 (a) = {'1' * 64}", SHA256),
        (f"{'1' * 64}  a\n{SHA256}  b", None),
        ("<html>no such file</html>", None),
        ("", None),
    ],
)
def test_a_digest_is_found_in_what_the_usual_programs_write(text: str, found: str | None) -> None:
    assert sidecar.find(text, "file.bin") == found
