from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from project.local.ports import LOOPBACK, Port, keep_port


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server


def test_a_taken_port_is_said_with_its_holder_and_another_is_chosen(listener: socket.socket) -> None:
    taken = listener.getsockname()[1]
    port, excuse = keep_port(taken)
    assert port.number != taken
    assert f"Port {taken} is taken by" in excuse
    assert f"(pid {os.getpid()})" in excuse
    assert str(port.number) in excuse
    port.release()


def test_a_kept_port_is_there_for_the_server_it_was_kept_for_and_given_to_nobody_else() -> None:
    kept = [Port()]
    wished = kept[0].number
    with socket.create_server((LOOPBACK, wished)):
        kept.append(keep_port(wished)[0])
    kept += [Port() for _ in range(50)]
    assert wished not in [port.number for port in kept[1:]]
    for port in kept:
        port.release()


def test_a_free_port_is_taken_as_wished_and_without_a_word() -> None:
    wished = Port()
    wished.release()
    port, excuse = keep_port(wished.number)
    assert (port.number, excuse) == (wished.number, "")
    port.release()
