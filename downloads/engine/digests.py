"""The digests a file is held against: what the order expects, and what the origin states about its own file."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import TYPE_CHECKING

from downloads.engine.errors import BadOrder, DigestMismatch
from downloads.engine.url import fragment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from downloads.engine.head import Head
    from downloads.engine.order import Order
    from downloads.engine.partfile import PartFile

_LENGTHS = {"md5": 32, "sha1": 40, "sha256": 64, "sha384": 96, "sha512": 128}
_FIELD_NAMES = {
    "sha-256": "sha256", "sha256": "sha256", "sha-512": "sha512", "sha-384": "sha384",
    "sha": "sha1", "sha1": "sha1", "md5": "md5",
}  # fmt: skip
_BLOCK = 1024 * 1024


def expected(order: Order) -> dict[str, str]:
    """Algorithm -> lower-case hex, from the order and from a ``#sha256=...`` fragment of its URLs.

    Raises:
        BadOrder: for a digest that is not one, or two that contradict each other.

    """
    wanted: dict[str, str] = {}
    given = [*order.digests.items(), *([("sha256", order.sha256)] if order.sha256 else [])]
    for url in order.urls:
        given += re.findall(r"(?:^|&)(md5|sha1|sha256|sha384|sha512)=([0-9A-Fa-f]+)", fragment(url))
    for algorithm, value in given:
        name, hexed = algorithm.lower().replace("-", ""), value.strip().lower()
        if name not in _LENGTHS:
            raise BadOrder(f"The digest {algorithm} is not known. Use one of {', '.join(_LENGTHS)}.")
        if not re.fullmatch(r"[0-9a-f]+", hexed) or len(hexed) != _LENGTHS[name]:
            raise BadOrder(f"The {name} digest must have {_LENGTHS[name]} hexadecimal digits.")
        if wanted.setdefault(name, hexed) != hexed:
            raise BadOrder(f"Two different {name} digests are given for one file.")
    return wanted


def stated(head: Head, *, whole: bool) -> dict[str, str]:
    """What the origin states: Repr-Digest (RFC 9530), Digest (RFC 3230), S3's; Content-MD5 if ``whole`` was sent."""
    found: dict[str, str] = {}
    for name, text in re.findall(r"([A-Za-z0-9-]+)\s*=\s*:([A-Za-z0-9+/=]*):", ", ".join(head.all("repr-digest"))):
        _keep(found, name, text)
    for name, text in re.findall(r"([A-Za-z0-9-]+)\s*=\s*([A-Za-z0-9+/=]+)", ", ".join(head.all("digest"))):
        _keep(found, name, text)
    for name in ("sha256", "sha1"):
        _keep(found, name, head.get(f"x-amz-checksum-{name}") or "")
    if whole:
        _keep(found, "md5", head.get("content-md5") or "")
    return found


def _keep(found: dict[str, str], name: str, text: str) -> None:
    algorithm = _FIELD_NAMES.get(name.lower())
    try:
        value = base64.b64decode(text, validate=True).hex()
    except binascii.Error:
        return
    if algorithm and len(value) == _LENGTHS[algorithm]:
        found.setdefault(algorithm, value)


def check(
    part: PartFile, size: int, wanted: Mapping[str, str], *, also: frozenset[str], alive: Callable[[], None]
) -> dict[str, str]:
    """Read the file once and compare; gives every digest that was taken, those of ``also`` among them.

    ``alive`` is called between blocks, and may raise to stop the reading.

    Raises:
        DigestMismatch: naming the algorithm, what was expected and what was found.

    """
    states = {name: hashlib.new(name, usedforsecurity=False) for name in {*wanted, *also}}
    at = 0
    while states and at < size:
        alive()
        block = part.read(at, min(size, at + _BLOCK))
        if not block:
            break
        for state in states.values():
            state.update(block)
        at += len(block)
    taken = {name: state.hexdigest() for name, state in states.items()}
    for name, value in wanted.items():
        if taken[name] != value:
            raise DigestMismatch(
                f"The {name} digest of the file is {taken[name]}, expected {value}. "
                "The file is not published. Check the digest and the origin."
            )
    return taken
