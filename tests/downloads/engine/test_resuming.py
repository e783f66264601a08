"""Going on after a pause, a crash, a power cut, a full disk: nothing lost, nothing mixed."""

from __future__ import annotations

import os
import resource
import subprocess
from typing import TYPE_CHECKING

import pytest

from downloads.engine import (
    Cancelled,
    Changed,
    Checkpoint,
    NoSpace,
    StorageFault,
    Timeouts,
    publish,
)
from downloads.engine.checkpoint import Piece
from downloads.engine.journal import Journal
from downloads.engine.partfile import PartFile
from downloads.engine.recovery import recover
from tests.downloads.engine.conftest import Client
from tests.origins import Exchange, FileOrigin
from tests.origins.files import content
from tests.origins.misbehaving import RATE, SIZE, Chunked, SlowerTogether

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = content(SIZE)


def interrupted(client: Client, origin: FileOrigin, *, after: int = 1_500_000) -> Checkpoint:
    """Fetch until the origin has sent so much, stop, and give what was saved."""
    origin.hold_at = after
    client.cancel = lambda: origin.sent >= after
    with pytest.raises(Cancelled):
        client.fetch(origin.url(), connections=4)
    client.cancel, origin.hold_at = lambda: False, None
    return Checkpoint.from_json(client.saved[-1].to_json())


class Died(Exception):
    """Stands for the end of the process: nothing more is saved."""


def die(_: Checkpoint) -> None:
    raise Died


def dying_before_its_second_save(client: Client, origin: FileOrigin) -> tuple[Checkpoint, Checkpoint]:
    """What was recorded of that life, and what was on disk without being recorded."""

    def save(checkpoint: Checkpoint) -> None:
        client.saved.append(checkpoint)
        if len(client.saved) > 1:
            raise Died

    client.save, origin.hold_at = save, 1_500_000
    client.cancel = lambda: origin.sent >= 1_500_000
    with pytest.raises(Died):
        client.fetch(origin.url(), connections=4)
    client.save, client.cancel, origin.hold_at = client.saved.append, lambda: False, None
    recorded, written = client.saved
    return Checkpoint.from_json(recorded.to_json()), written


@pytest.mark.scenario(35, "changed during a pause: started again, the old part kept aside")
def test_a_file_that_changed_during_a_pause_is_started_again_and_never_mixed(client: Client) -> None:
    with FileOrigin(DATA, rate=RATE) as origin:
        saved = interrupted(client, origin)
        origin.data, origin.etag = content(SIZE, seed=2), '"v2"'
        origin.last_modified = "Tue, 03 Nov 2020 10:00:00 GMT"
        fetched = client.fetch(origin.url(), resume=saved)
    assert client.part.read_bytes() == origin.data
    assert client.part.with_name("file.part.old").exists()
    assert any("changed" in note for note in fetched.notes)


@pytest.mark.scenario(35, "changed during a pause: started again, the old part kept aside")
def test_a_change_that_no_validator_shows_is_found_by_the_overlap(client: Client) -> None:
    with FileOrigin(DATA, rate=RATE) as origin:
        origin.etag = origin.last_modified = None
        saved = interrupted(client, origin)
        origin.data = content(SIZE, seed=2)
        client.fetch(origin.url(), resume=saved)
    assert client.part.read_bytes() == origin.data


@pytest.mark.scenario(36, "killed between write and record: only the unrecorded bytes again")
def test_bytes_that_were_written_and_not_recorded_are_found_in_the_journal(client: Client) -> None:
    with FileOrigin(DATA, rate=RATE) as origin:
        recorded, written = dying_before_its_second_save(client, origin)
        fetched = client.fetch(origin.url(), resume=recorded)
    assert client.part.read_bytes() == DATA
    assert fetched.bytes_fetched <= SIZE - written.bytes_done < SIZE - recorded.bytes_done


@pytest.mark.scenario(36, "killed between write and record: only the unrecorded bytes again")
def test_a_life_that_ends_before_it_saves_loses_nothing_of_the_lives_before(client: Client) -> None:
    with FileOrigin(DATA, rate=RATE) as origin:
        recorded, written = dying_before_its_second_save(client, origin)
        client.save = die
        for _ in range(3):
            with pytest.raises(Died):
                client.fetch(origin.url(), resume=recorded)
        client.save = client.saved.append
        fetched = client.fetch(origin.url(), resume=recorded)
    assert client.part.read_bytes() == DATA
    assert fetched.bytes_fetched <= SIZE - written.bytes_done


def test_what_comparisons_cost_is_known_to_the_next_life_although_it_was_never_saved(client: Client) -> None:
    with FileOrigin(DATA, rate=RATE) as origin:
        recorded, _ = dying_before_its_second_save(client, origin)
    journal = Journal(client.part)
    journal.spend(70_000)
    journal.spend(140_000)
    journal.close()
    part = PartFile(client.part)
    assert recover(recorded, client.part, part, lambda: None).compared == 140_000
    part.close()


def test_entries_of_another_file_in_the_journal_cost_none_of_the_recorded_bytes(client: Client) -> None:
    with FileOrigin(DATA, rate=RATE) as origin:
        recorded = interrupted(client, origin)
    journal = Journal(client.part)
    first = recorded.pieces[0]
    journal.add([Piece(first.start, first.end + 5000, 4711), Piece(first.end - 10, first.end + 10, 4711)])
    journal.close()
    part = PartFile(client.part)
    assert recover(recorded, client.part, part, lambda: None).pieces == recorded.pieces
    part.close()


@pytest.mark.scenario(36, "killed between write and record: only the unrecorded bytes again")
def test_without_the_journal_the_unrecorded_bytes_are_fetched_again(client: Client) -> None:
    with FileOrigin(DATA, rate=RATE) as origin:
        interrupted(client, origin)
        for path in client.part.parent.glob("*.journal*"):
            path.unlink()
        first = client.saved[0]
        fetched = client.fetch(origin.url(), resume=first)
    assert client.part.read_bytes() == DATA
    assert fetched.bytes_fetched >= SIZE - first.bytes_done


@pytest.mark.scenario(37, "a power cut takes written pages: found by their CRC, fetched again")
def test_pages_lost_by_a_power_cut_are_found_and_fetched_again(client: Client) -> None:
    with FileOrigin(DATA, rate=RATE) as origin:
        saved = interrupted(client, origin)
        with client.part.open("r+b") as part:
            part.seek(saved.intervals[0][0] + 4096)
            part.write(bytes(4096))
        client.fetch(origin.url(), resume=saved)
    assert client.part.read_bytes() == DATA


def test_a_part_file_that_is_gone_is_fetched_anew(client: Client) -> None:
    with FileOrigin(DATA, rate=RATE) as origin:
        saved = interrupted(client, origin)
        client.part.unlink()
        client.fetch(origin.url(), resume=saved)
    assert client.part.read_bytes() == DATA


def test_a_complete_part_file_is_not_asked_for_again(client: Client) -> None:
    with FileOrigin(DATA) as origin:
        first = client.fetch(origin.url("/a/plan.pdf"))
        asked = len(origin.seen)
        again = client.fetch(origin.url("/a/plan.pdf"), resume=client.saved[-1], want_sha256=True)
        assert len(origin.seen) == asked
    assert (again.size, again.name, again.media_type) == (first.size, first.name, first.media_type)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(place)], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip("a small file system needs the right to mount one")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.scenario(38, "the disk is full: said so, kept, resumed when there is room")
def test_a_full_disk_stops_the_fetch_and_room_lets_it_go_on(small_disk: Path) -> None:
    client = Client(small_disk / "file.part")
    filler = small_disk / "filler"
    filler.write_bytes(bytes(1_500_000))
    data = content(2_000_000)
    with Chunked(data) as origin:
        with pytest.raises(NoSpace) as error:
            client.fetch(origin.url())
        assert not error.value.permanent
        kept = client.saved[-1]
        assert 0 < kept.bytes_done < len(data)
        filler.unlink()
        client.fetch(origin.url(), resume=kept)
    assert client.part.read_bytes() == data


@pytest.mark.scenario(38, "the disk is full: said so, kept, resumed when there is room")
def test_a_file_that_will_not_fit_is_not_begun(small_disk: Path) -> None:
    client = Client(small_disk / "file.part")
    with FileOrigin(DATA) as origin:
        with pytest.raises(NoSpace):
            client.fetch(origin.url())
        assert len(origin.seen) == 1
    assert client.part.stat().st_size == 0


@pytest.mark.scenario(39, "the disk refuses for good: failed, the cause named")
def test_a_disk_that_refuses_for_good_fails_the_fetch_and_names_the_cause(client: Client) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Chunked(content(2_000_000)) as origin:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
        try:
            with pytest.raises(StorageFault, match=os.strerror(27)) as error:
                client.fetch(origin.url())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.permanent


@pytest.mark.scenario(40, "two jobs, one output: one wins")
def test_of_two_fetches_for_one_place_one_wins(tmp_path: Path) -> None:
    place, clients = tmp_path / "file.bin", [Client(tmp_path / f"{n}.part") for n in (1, 2)]
    with FileOrigin(DATA) as origin:
        for client in clients:
            client.fetch(origin.url())
    publish(clients[0].part, place, overwrite=False, size=SIZE)
    with pytest.raises(FileExistsError):
        publish(clients[1].part, place, overwrite=False, size=SIZE)
    assert place.read_bytes() == DATA
    assert clients[1].part.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "2.part",
        "2.part.journal0",
        "2.part.journal1",
        "file.bin",
    ]


class CutAtTheVeryEnd(FileOrigin):
    """No length, and the last chunk never comes; a range behind the end is answered 416 with ``total``."""

    total = SIZE

    def serve(self, exchange: Exchange) -> None:
        if exchange.range and exchange.range[0] > 0:
            exchange.head(416, Content_Range=f"bytes */{self.total}", Content_Length=0)
            return
        exchange.head(200, Transfer_Encoding="chunked", **self.fields(exchange))
        self.send(exchange, b"%x\r\n%b\r\n" % (len(self.data), self.data))
        exchange.close()


@pytest.mark.scenario(41, "416 with the total at the last byte: whole")
def test_nothing_behind_the_last_byte_means_whole(client: Client) -> None:
    with CutAtTheVeryEnd(DATA) as origin:
        fetched = client.fetch(origin.url())
    assert client.part.read_bytes() == DATA
    assert fetched.length_verified


@pytest.mark.scenario(42, "416 with another total: changed")
def test_another_total_behind_the_last_byte_means_changed(client: Client) -> None:
    class Another(CutAtTheVeryEnd):
        total = SIZE + 1

    with Another(DATA) as origin, pytest.raises(Changed):
        client.fetch(origin.url(), timeouts=Timeouts(connect=2.0, head=2.0, stall=2.0, patience=2.0))


@pytest.mark.scenario(57, "slower than the origin: not read, not piled up")
def test_what_is_not_wanted_yet_is_not_read(client: Client) -> None:
    with FileOrigin(content(30_000_000)) as origin:
        client.cancel = lambda: bool(client.progress) and client.progress[-1].bytes_done > 1_000_000
        with pytest.raises(Cancelled):
            client.fetch(origin.url(), connections=1, rate_limit=lambda: 1_000_000.0)
        # What left the origin and was not taken lies in the two sockets' buffers, not with us.
        assert origin.sent < 20_000_000
    assert client.saved[-1].bytes_done < 3_000_000


def test_a_bandwidth_limit_can_be_lifted_while_the_fetch_runs(client: Client) -> None:
    limit: list[float | None] = [100_000.0]

    def progress_seen() -> bool:
        if client.progress:
            limit[0] = None
        return False

    client.cancel = progress_seen
    with FileOrigin(content(20_000_000)) as origin:
        client.fetch(origin.url(), rate_limit=lambda: limit[0])
    assert client.part.read_bytes() == origin.data
    assert client.progress[0].bytes_done < 1_000_000


@pytest.mark.scenario(58, "slower the more connections: fewer are kept")
def test_connections_that_only_hinder_each_other_are_let_go(client: Client) -> None:
    with SlowerTogether(content(9_000_000)) as origin:
        client.fetch(origin.url(), connections=8)
    assert client.part.read_bytes() == origin.data
    busy = [seen.connections for seen in client.progress if seen.connections]
    assert max(busy) == 8
    assert busy[-1] < 8


def test_mirrors_share_the_work_and_a_wrong_one_is_given_up(client: Client) -> None:
    with (
        FileOrigin(DATA, rate=RATE / 4) as first,
        FileOrigin(DATA, rate=RATE / 4) as second,
        FileOrigin(content(SIZE, seed=3), rate=RATE / 4) as wrong,
    ):
        second.etag = '"its own"'
        fetched = client.fetch(first.url(), second.url(), wrong.url(), connections=6)
        assert second.sent > 500_000
    assert client.part.read_bytes() == DATA
    assert any("given up" in note for note in fetched.notes)


def test_a_mirror_takes_over_when_the_first_url_is_dead(client: Client) -> None:
    with FileOrigin(b"") as dead:
        gone = dead.url()
    with FileOrigin(DATA) as alive:
        client.fetch(gone, alive.url())
    assert client.part.read_bytes() == DATA
