"""Ports on the loopback address: which are free, and who holds one that is not."""

from __future__ import annotations

import errno
import socket
import sys
from contextlib import suppress
from pathlib import Path

LOOPBACK = "127.0.0.1"
_LISTENING = "0A"  # the state column of /proc/net/tcp


class Port:
    """A port kept for a child that will listen on it later, or again after a restart.

    The socket is bound and never listens. On Linux a second socket may bind beside it (servers set SO_REUSEADDR), while
    the kernel gives the port to nobody who asks for any free one. Elsewhere the port is only known to have been free.
    """

    def __init__(self, wanted: int = 0) -> None:
        """Keep the port `wanted`, or any free one for 0. OSError (EADDRINUSE) where someone listens on it."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((LOOPBACK, wanted))
        except OSError:
            self._socket.close()
            raise
        self.number: int = self._socket.getsockname()[1]
        if sys.platform != "linux":
            self._socket.close()

    def release(self) -> None:
        self._socket.close()


def keep_port(wanted: int) -> tuple[Port, str]:
    """Keep `wanted` or, where it is taken, any other; with a sentence that says so, empty when all is as wished."""
    try:
        return Port(wanted), ""
    except PermissionError:
        reason = f"Port {wanted} is for privileged users"
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        holder = holder_of(wanted)
        reason = f"Port {wanted} is taken" + (f" by {holder}" if holder else "")
    port = Port()
    return port, f"{reason}: using {port.number} instead."


def holder_of(port: int) -> str:
    """Name and pid of the process that listens on a loopback port, as far as this user may see it; else ''."""
    sockets = _listening_sockets(port)
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):  # closed meanwhile, or someone else's
            if str(link.readlink()) in sockets:
                process = link.parent.parent
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return ""


def _listening_sockets(port: int) -> set[str]:
    """The sockets that listen on a port, named as the links in /proc/PID/fd name them."""
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            columns = line.split()
            if columns[3] == _LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{columns[9]}]")
    return found
