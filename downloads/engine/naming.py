"""The name of a file, from what its origin suggests, made harmless."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote_to_bytes

LONGEST = 255
SUFFIX_ROOM = 20
_FALLBACK = "download"
_PARAMETER = re.compile(r';\s*(filename\*?)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)', re.IGNORECASE)
_EXTENDED = re.compile(r"([A-Za-z0-9_.-]+)'[^']*'(.*)", re.DOTALL)
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE)
_UNSAFE = re.compile(r'[<>:"|?*]')


def suggested_name(disposition: str | None, last_segment: str) -> str:
    """Content-Disposition first, then the last part of the URL, then ``download``.

    The result holds no separator and no control character, is not hidden, is reserved on no system, and leaves room
    for a suffix within 255 bytes.
    """
    for candidate in (_from_disposition(disposition or ""), last_segment):
        name = safe_name(candidate)
        if name:
            return name
    return _FALLBACK


def safe_name(name: str) -> str:
    """The name with everything dangerous taken out; empty if nothing is left."""
    name = unicodedata.normalize("NFC", name.replace("\\", "/").rpartition("/")[2])
    name = "".join(sign for sign in name if unicodedata.category(sign) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    name = _UNSAFE.sub("_", name).strip().strip(".").strip()
    if _RESERVED.fullmatch(name):
        name = f"_{name}"
    return _shortened(name)


def _shortened(name: str) -> str:
    room = LONGEST - SUFFIX_ROOM
    if len(name.encode()) <= room:
        return name
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension.encode()) > 16:
        stem, extension = name, ""
    tail = f".{extension}" if extension else ""
    return stem.encode()[: room - len(tail.encode())].decode(errors="ignore").rstrip() + tail


def _from_disposition(value: str) -> str:
    found = {key.lower(): _unquoted(text) for key, text in reversed(_PARAMETER.findall(f";{value}"))}
    extended = _EXTENDED.fullmatch(found.get("filename*", "").strip())
    if extended:
        try:
            return unquote_to_bytes(extended[2]).decode(extended[1])
        except (LookupError, UnicodeDecodeError):
            pass
    plain = found.get("filename", "")
    try:
        # The field came as Latin-1; most servers mean UTF-8.
        return plain.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return plain


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) >= 2 and text.startswith('"') and text.endswith('"'):
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text
