"""The one directory where a stack keeps everything: cluster, append-only file, downloads, logs, secrets, state."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# A killed `up` leaves its guardian behind for a few seconds; the lock is the guardian's until it is done.
PATIENCE_WITH_GUARDIAN = 8.0


class StackError(Exception):
    """The stack cannot start or go on; the message says why and what to do, and is meant for the screen."""


@dataclass(frozen=True)
class Secrets:
    secret_key: str
    postgres_password: str
    redis_password: str
    admin_password: str


@dataclass(frozen=True)
class Addresses:
    """Where a running stack is reached: what `up --json` prints. `api` and `flower` are None for servers only."""

    api: str | None
    flower: str | None
    postgres_url: str
    redis_url: str
    download_root: str
    data_dir: str


@dataclass(frozen=True)
class DataDir:
    path: Path
    ephemeral: bool = False

    @classmethod
    def temporary(cls) -> DataDir:
        return cls(Path(tempfile.mkdtemp(prefix="haulway-")), ephemeral=True)

    @property
    def downloads(self) -> Path:
        return self.path / "downloads"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def lock(self) -> int:
        """Make this process the only owner. Returns the descriptor that holds the lock; StackError when refused."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.downloads.mkdir(mode=0o700, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StackError(
                f"{self.path} cannot be used for the stack's data ({error.strerror}): give another --data-dir."
            ) from error
        deadline = time.monotonic() + PATIENCE_WITH_GUARDIAN
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(descriptor, 32, 0).decode().strip()
                if not _alive(owner) and time.monotonic() < deadline:
                    time.sleep(0.1)
                    continue
                os.close(descriptor)
                raise StackError(self._refusal(owner)) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            return descriptor

    def _refusal(self, owner: str) -> str:
        running = self.read_addresses()
        address = f" Its API is {running.api}." if running and running.api else ""
        return (
            f"A stack is already running on {self.path} (process {owner}).{address} "
            "Stop it first, or give this one a directory of its own: --data-dir DIR or --ephemeral."
        )

    def secrets(self) -> Secrets:
        """The secrets of this directory, made at the first start and readable by the owner only."""
        path = self.path / "secrets.json"
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        missing = {name: secrets.token_urlsafe(24) for name in Secrets.__dataclass_fields__ if name not in known}
        if missing:
            known |= missing
            _write_private(path, known)
        return Secrets(**known)

    def write_addresses(self, addresses: Addresses) -> None:
        """Tell other commands where the running stack is reached, in the shape of `up --json`."""
        _write_private(self.path / "stack.json", {"pid": os.getpid(), **asdict(addresses)})

    def read_addresses(self) -> Addresses | None:
        """Where the running stack is reached, or None when none runs."""
        try:
            state: dict[str, Any] = json.loads((self.path / "stack.json").read_text())
        except FileNotFoundError:
            return None
        return Addresses(**state) if _alive(str(state.pop("pid"))) else None

    def forget_addresses(self) -> None:
        (self.path / "stack.json").unlink(missing_ok=True)


def make_scratch() -> Path:
    """A new directory for what lives as long as the stack: with a short path, and for root one that others can enter.

    Root's Postgres runs as another user, who must be able to walk here and to start programs.
    """
    place = _open_to_all() if os.geteuid() == 0 else None
    scratch = Path(tempfile.mkdtemp(prefix="haulway-", dir=place))
    scratch.chmod(0o711)
    return scratch


def _open_to_all() -> Path:
    for place in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):  # noqa: S108 - only for mkdtemp inside
        if not place.is_dir() or os.statvfs(place).f_flag & os.ST_NOEXEC:
            continue
        if all(step.stat().st_mode & 0o001 for step in (place, *place.resolve().parents)):
            return place
    raise StackError("No temporary directory is open to all users and allows programs: start the stack as non-root.")


def _write_private(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    beside.replace(path)


def _alive(pid: str) -> bool:
    if not pid.isdigit():
        return False
    with suppress(PermissionError):
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return False
    return True
