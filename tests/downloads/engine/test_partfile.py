"""The room for a file: taken before its bytes are there, or refused."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from downloads.engine.errors import NoSpace
from downloads.engine.partfile import PartFile

_MIB = 1024 * 1024
_HERE = Path(__file__).parent  # on a disk, as /tmp is not everywhere


def test_the_room_is_taken_before_the_first_byte() -> None:
    with tempfile.TemporaryDirectory(dir=_HERE) as place:
        path = Path(place) / "file.part"
        part = PartFile(path)
        part.allocate(8 * _MIB, reserve=0)
        part.close()
        assert path.stat().st_size == 8 * _MIB
        assert path.stat().st_blocks * 512 >= 8 * _MIB


def test_what_there_is_no_room_for_is_refused_before_the_first_byte(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "file.part")
    with pytest.raises(NoSpace) as refusal:
        part.allocate(2**50, reserve=0)
    part.close()
    assert refusal.value.needed == 2**50
