"""Leases: every byte is fetched by somebody, none is written by two, and thefts shorten the end."""

from __future__ import annotations

import zlib

from hypothesis import given, settings
from hypothesis import strategies as st
from isal.isal_zlib import crc32_combine

from downloads.engine.checkpoint import Checkpoint, Ledger, Piece
from downloads.engine.intervals import gaps, merged
from downloads.engine.plan import Lease, Plan

MIB = 1024 * 1024


def plan_of(size: int) -> tuple[Plan, Lease]:
    """A plan of ``size`` bytes and the lease of the first connection."""
    plan = Plan()
    lease = plan.take(None, 0.0)
    assert lease
    plan.set_total(size)
    return plan, lease


def bring(plan: Plan, lease: Lease, count: int) -> None:
    kept = plan.claim(lease, count)
    plan.write_down(lease, memoryview(bytes(kept)))


def test_the_first_connection_gets_the_whole_file_and_the_next_a_half_of_it() -> None:
    plan, first = plan_of(8 * MIB)
    second = plan.take(None, 0.0)
    assert second
    assert (first.start, first.end) == (0, 4 * MIB)
    assert (second.start, second.end) == (4 * MIB, 8 * MIB)


def test_a_theft_is_cut_by_the_paces_of_the_two() -> None:
    plan, first = plan_of(1000 * MIB)
    bring(plan, first, 10 * MIB)
    rate = first.meter.rate()
    second = plan.take(rate * 3, 0.0)
    assert second
    assert second.end is not None
    stolen = second.end - second.start
    assert 0.7 < stolen / (990 * MIB) < 0.8


def test_what_would_be_finished_before_a_request_is_answered_is_not_stolen() -> None:
    plan, first = plan_of(20 * MIB)
    bring(plan, first, 19 * MIB)
    assert plan.take(first.meter.rate(), latency=3600.0) is None


def test_bytes_that_were_claimed_cannot_be_stolen() -> None:
    plan, first = plan_of(4 * MIB)
    assert plan.claim(first, 3 * MIB) == 3 * MIB
    second = plan.take(None, 0.0)
    assert second
    assert second.start >= 3 * MIB


def test_what_a_failed_thief_gives_back_goes_to_the_stream_that_still_covers_it() -> None:
    plan, first = plan_of(8 * MIB)
    first.covered = 8 * MIB
    second = plan.take(None, 0.0)
    assert second
    plan.give_back(second)
    assert first.end == 8 * MIB
    assert plan.take(None, 0.0) is not None


def test_what_a_failed_connection_had_not_brought_is_free_again() -> None:
    plan, first = plan_of(8 * MIB)
    bring(plan, first, MIB)
    plan.give_back(first)
    again = plan.take(None, 0.0)
    assert again
    assert (again.start, again.end) == (MIB, 8 * MIB)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["take", "bring", "fail", "finish"]), st.integers(0, 7)), max_size=200))
def test_whatever_happens_every_byte_is_brought_exactly_once(steps: list[tuple[str, int]]) -> None:
    size = 6 * MIB
    plan, first = plan_of(size)
    leases = [first]
    for verb, which in steps:
        if verb == "take":
            lease = plan.take(None, 0.0)
            leases += [lease] if lease else []
        elif leases:
            lease = leases[which % len(leases)]
            if verb == "bring":
                bring(plan, lease, 100_000 * (which + 1))
            elif verb == "fail" or lease.complete:
                leases.remove(lease)
                plan.give_back(lease)
    for _ in range(1000):
        if not leases:
            lease = plan.take(None, 0.0)
            if lease is None:
                break
            leases.append(lease)
        bring(plan, leases[0], MIB)
        if leases[0].complete:
            plan.give_back(leases.pop(0))
    assert plan.complete
    assert plan.written == size
    assert merged((piece.start, piece.end) for piece in plan.pieces()) == [(0, size)]


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_the_crc_of_two_strings_is_made_of_the_crc_of_each(first: bytes, second: bytes) -> None:
    assert crc32_combine(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


@given(st.permutations(list(range(20))), st.integers(1, 50))
def test_pieces_join_within_the_cells_of_the_grid_in_whatever_order_they_come(order: list[int], cell: int) -> None:
    data = bytes(range(200))
    ledger = Ledger(cell)
    for index in order:
        for start, end in ledger.cuts(index * 10, index * 10 + 10):
            ledger.add(Piece(start, end, zlib.crc32(data[start:end])))
    assert merged((piece.start, piece.end) for piece in ledger.pieces) == [(0, 200)]
    assert all(piece.crc == zlib.crc32(data[piece.start : piece.end]) for piece in ledger.pieces)
    assert len(ledger.pieces) == -(-200 // cell)


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)).map(lambda pair: (min(pair), max(pair)))))
def test_gaps_and_intervals_make_up_the_whole(intervals: list[tuple[int, int]]) -> None:
    missing = gaps(intervals, 100)
    assert merged([*intervals, *missing]) == [(0, 100)]
    held = {byte for start, end in intervals for byte in range(start, end)}
    assert not any(byte in held for start, end in missing for byte in range(start, end))


def test_a_checkpoint_survives_the_journey_through_json() -> None:
    checkpoint = Checkpoint(total=10, pieces=(Piece(0, 4, 7),), name="a", stated={"md5": "x"}, compared=3)
    assert Checkpoint.from_json(checkpoint.to_json()) == checkpoint
