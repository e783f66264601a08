"""A fresh link must lead to the file that was begun: its bytes are not thrown away for those of another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from downloads import engine

Save = Callable[[engine.Checkpoint], None]


class AnotherFile(Exception):
    """The fresh link leads to another file. The bytes that were here are here still."""


def insist_on_same(part: Path, begun: engine.Checkpoint, save: Save) -> Save:
    """A `save` that ends the fetch when the engine has found another file and begins that one from its start.

    The engine puts the old bytes aside when it does so; here they are put back.
    """
    aside = part.with_name(f"{part.name}.old")
    aside.unlink(missing_ok=True)

    def checked(checkpoint: engine.Checkpoint) -> None:
        if checkpoint.bytes_done < begun.bytes_done and aside.exists():
            aside.replace(part)
            raise AnotherFile("The fresh link leads to another file. Give a link to the same one, or a new download.")
        save(checkpoint)

    return checked
