"""The file that bytes go into before it has a name: preallocated, written at offsets, by many threads at once."""

from __future__ import annotations

import errno
import os
from io import FileIO
from typing import TYPE_CHECKING

from isal.isal_zlib import crc32

from downloads.engine.errors import NoSpace, storage_error

if TYPE_CHECKING:
    from pathlib import Path

    from downloads.engine.checkpoint import Piece

_BLOCK = 1024 * 1024


class PartFile:
    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            # A file object, so that the descriptor lives as long as the last thread that may still write to it.
            self._file = FileIO(handle, "r+b")
        except OSError as fault:
            raise storage_error(fault) from fault

    def allocate(self, total: int, *, reserve: int) -> None:
        """Take the room for ``total`` bytes now, leaving ``reserve`` bytes free for others."""
        try:
            status, disk = os.fstat(self._file.fileno()), os.fstatvfs(self._file.fileno())
            needed = total - status.st_blocks * 512 + reserve
            if needed > disk.f_bavail * disk.f_frsize:
                raise NoSpace(f"The disk has no room for the {total} bytes of this file.", needed=needed)
            if status.st_size < total:
                try:
                    os.posix_fallocate(self._file.fileno(), 0, total)
                except OSError as unsupported:
                    if unsupported.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                        raise
            if os.fstat(self._file.fileno()).st_size != total:
                os.ftruncate(self._file.fileno(), total)
        except OSError as fault:
            raise storage_error(fault) from fault

    def write(self, view: memoryview, offset: int) -> None:
        try:
            while view:
                written = os.pwrite(self._file.fileno(), view, offset)
                view = view[written:]
                offset += written
        except OSError as fault:
            raise storage_error(fault) from fault

    def read(self, start: int, end: int) -> bytes:
        try:
            return os.pread(self._file.fileno(), end - start, start)
        except OSError as fault:
            raise storage_error(fault) from fault

    def sync(self) -> None:
        try:
            os.fdatasync(self._file.fileno())
        except OSError as fault:
            raise storage_error(fault) from fault

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._file.fileno(), size)
        except OSError as fault:
            raise storage_error(fault) from fault

    def holds(self, piece: Piece) -> bool:
        """Whether the piece is on disk as it was committed: a power cut may have taken it."""
        crc, at = 0, piece.start
        while at < piece.end:
            block = self.read(at, min(piece.end, at + _BLOCK))
            if not block:
                return False
            crc = crc32(block, crc)
            at += len(block)
        return crc == piece.crc

    def close(self) -> None:
        self._file.close()
