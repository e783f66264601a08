"""A process killed at any moment costs a few bytes, never the file."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.origins import Exchange, FileOrigin
from tests.origins.files import content

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]


class Unreliable(FileOrigin):
    """Breaks one answer in three somewhere in the middle."""

    def body(self, exchange: Exchange, start: int, end: int) -> None:
        if random.Random(exchange.number).random() < 1 / 3:
            super().body(exchange, start, start + random.Random(exchange.number).randrange(end - start))
            exchange.close()
        else:
            super().body(exchange, start, end)


def lives(part: Path, origin: FileOrigin, kills: int, pause: float) -> Iterator[int]:
    """Start, kill at a random moment, start again, and at last let it finish faster: the exit code of each life."""
    chance = random.Random(4)
    for life in range(kills + 1):
        command = [
            sys.executable,
            "-m",
            "tests.downloads.engine.fetching",
            origin.url(),
            str(part),
            f"{part}.json",
            "4",
        ]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            if life < kills:
                try:
                    process.wait(0.2 + chance.uniform(0, 2 * pause))
                except subprocess.TimeoutExpired:
                    process.kill()
            else:
                origin.rate = 4_000_000
            yield process.wait(300)


def killed_again_and_again(tmp_path: Path, *, size: int, kills: int, rate: float, pause: float) -> float:
    """The part of the file that was sent more than once."""
    part = tmp_path / "file.part"
    with Unreliable(content(size), rate=rate) as origin:
        codes = list(lives(part, origin, kills, pause))
        assert codes[-1] == 0
        assert codes.count(-9) >= kills // 2
        assert part.read_bytes() == origin.data
        return origin.sent / size - 1


@pytest.mark.scenario(36, "killed between write and record: only the unrecorded bytes again")
def test_a_process_killed_six_times_fetches_at_most_a_twentieth_twice(tmp_path: Path) -> None:
    assert killed_again_and_again(tmp_path, size=20_000_000, kills=6, rate=400_000, pause=0.4) <= 0.05


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_process_killed_a_hundred_times_fetches_at_most_a_twentieth_twice(tmp_path: Path) -> None:
    assert killed_again_and_again(tmp_path, size=200_000_000, kills=100, rate=400_000, pause=1.0) <= 0.05
