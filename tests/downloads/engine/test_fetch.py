"""The engine against an origin that behaves."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from downloads.engine import Cancelled, Checkpoint, DigestMismatch, Forbidden, TooLarge, publish
from tests.origins import FileOrigin
from tests.origins.files import content
from tests.origins.misbehaving import Uneven

if TYPE_CHECKING:
    from pathlib import Path

    from tests.downloads.engine.conftest import Client

DATA = content(5_000_000)


def test_a_file_comes_whole_over_several_connections(client: Client) -> None:
    with FileOrigin(DATA, rate=4_000_000) as origin:
        fetched = client.fetch(origin.url("/a/report.pdf"), connections=4, want_sha256=True)
        assert origin.most_open > 1
    assert client.part.read_bytes() == DATA
    assert fetched.size == len(DATA)
    assert fetched.sha256 == hashlib.sha256(DATA).hexdigest()
    assert fetched.length_verified
    assert fetched.name == "report.pdf"
    assert client.saved[-1].intervals == ((0, len(DATA)),)


def test_thefts_among_uneven_connections_raise_no_false_alarm(client: Client) -> None:
    with Uneven(content(12_000_000)) as origin:
        fetched = client.fetch(origin.url(), connections=8)
    assert client.part.read_bytes() == origin.data
    assert fetched.notes == ()


def test_a_cancelled_fetch_saves_and_its_successor_fetches_only_the_rest(client: Client) -> None:
    with FileOrigin(DATA, rate=1_000_000) as origin:
        origin.hold_at = 1_000_000
        client.cancel = lambda: origin.sent >= 1_000_000
        with pytest.raises(Cancelled):
            client.fetch(origin.url())
        saved = Checkpoint.from_json(client.saved[-1].to_json())
        assert 0 < saved.bytes_done < len(DATA)
        client.cancel = lambda: False
        origin.hold_at = origin.rate = None
        fetched = client.fetch(origin.url(), resume=saved)
    assert client.part.read_bytes() == DATA
    assert fetched.bytes_fetched < len(DATA) - saved.bytes_done + 1_000_000


def test_a_save_that_raises_ends_the_fetch_at_once(client: Client) -> None:
    class LeaseLostError(Exception):
        pass

    def lost(_: Checkpoint) -> None:
        raise LeaseLostError

    client.save = lost
    with FileOrigin(DATA) as origin, pytest.raises(LeaseLostError):
        client.fetch(origin.url())


def test_a_wrong_digest_is_named_and_nothing_is_published(client: Client) -> None:
    with FileOrigin(DATA) as origin, pytest.raises(DigestMismatch, match="sha256"):
        client.fetch(origin.url(), sha256="0" * 64)
    assert client.part.exists()


def test_a_file_larger_than_allowed_is_refused_before_it_is_fetched(client: Client) -> None:
    with FileOrigin(DATA) as origin, pytest.raises(TooLarge):
        client.fetch(origin.url(), max_bytes=1000)
    assert client.part.stat().st_size == 0


def test_an_address_the_resolver_denies_is_not_connected_to(client: Client) -> None:
    def deny(_host: str, _port: int) -> list[tuple[str, int]]:
        raise PermissionError("not from here")

    client.resolve = deny
    with FileOrigin(DATA) as origin, pytest.raises(Forbidden, match="not from here"):
        client.fetch(origin.url())
    assert origin.connections == 0


def test_publishing_replaces_only_when_told_to(tmp_path: Path) -> None:
    part, place = tmp_path / "a.part", tmp_path / "a"
    part.write_bytes(b"new")
    place.write_bytes(b"old")
    with pytest.raises(FileExistsError):
        publish(part, place, overwrite=False, size=3)
    assert place.read_bytes() == b"old"
    publish(part, place, overwrite=True, size=3)
    assert place.read_bytes() == b"new"
    assert not part.exists()
