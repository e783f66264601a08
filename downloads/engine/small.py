"""A small file as a whole, into memory: what stands beside the file that is wanted, such as its digest."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from downloads.engine.answer import Declined, Verdict, Whole, judge
from downloads.engine.body import Body, Unpacked
from downloads.engine.errors import Busy, ProtocolViolation, Refused, TooLarge, Unreachable
from downloads.engine.source import sources
from downloads.engine.tls import the_systems

if TYPE_CHECKING:
    from downloads.engine.order import Order, Resolver

_BLOCK = 64 * 1024


def read_small(order: Order, *, resolve: Resolver, most: int, seconds: float) -> bytes:
    """What the first URL of the order leads to: at most ``most`` bytes, in at most so many ``seconds``. Tried once.

    Raises:
        FetchError: one of its kinds, as for files.

    """
    ends = time.monotonic() + seconds
    (source, *_) = sources(order, resolve=resolve, tls=the_systems())
    try:
        connection, head = source.exchange(None, {}, lambda _: None)
    except OSError as broken:
        raise Unreachable("The origin cannot be reached.") from broken
    try:
        answer = judge(head, start=None)
        if not isinstance(answer, Whole):
            raise ProtocolViolation("The origin sent a part where the whole was asked for.")
        body: Body | Unpacked = connection.body(head)
        if answer.coding and isinstance(body, Body):
            body = Unpacked(body, answer.coding)
        return _read(body, most, ends)
    except Declined as no:
        advice = f"The origin answers {no.status}."
        if no.temporary:
            raise Busy(advice, status=no.status, retry_after=no.retry_after) from no
        raise Refused(advice, status=no.status) from no
    except Verdict as wrong:
        raise ProtocolViolation(f"The origin's answer makes no sense: {wrong}.") from wrong
    except OSError as broken:
        raise Unreachable("The connection to the origin broke.") from broken
    finally:
        connection.close()


def _read(body: Body | Unpacked, most: int, ends: float) -> bytes:
    held, block = bytearray(), memoryview(bytearray(_BLOCK))
    while got := body.readinto(block):
        held += block[:got]
        if len(held) > most:
            raise TooLarge(f"The answer is larger than {most} bytes.")
        if time.monotonic() > ends:
            raise Unreachable("The answer did not come in time.")
    return bytes(held)
