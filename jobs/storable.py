"""What Postgres can store: JSON that is checked, and text that is made fit, before either reaches a statement."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 64  # of nested objects and arrays; Postgres and every reader of the row recurse over them
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
# The escape that the encoder writes for NUL, and not a backslash followed by the text "u0000".
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def as_json(value: Any, limit: int) -> str:
    """The value as JSON of at most `limit` bytes: no NUL, no half of a surrogate pair, no NaN, not too deep.

    Raises ValueError, with words that go on from the name of what is wrong: "must be plain JSON: …".
    """
    try:
        _check_depth(value)
        text = _encode(value)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"must be plain JSON: {error}") from error
    if _NUL.search(text):
        raise ValueError("must not contain NUL characters")
    if size > limit:
        raise ValueError(f"is {size} bytes; at most {limit} are taken: keep it elsewhere and pass a reference")
    return text


def _check_depth(value: Any) -> None:
    """Walk level by level, so that a hostile depth cannot exhaust the stack of the check itself."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (Mapping, list, tuple))
            for inner in (outer.values() if isinstance(outer, Mapping) else outer)
        ]
        if not level:
            return
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


def as_text(text: str, limit: int) -> str:
    """Any text, at most about `limit` characters, cut in the middle: an error's head and tail say most."""
    text = text.encode(errors="replace").decode().replace("\x00", "�")
    if len(text) <= limit:
        return text
    return f"{text[: limit // 2]}\n… {len(text) - limit} characters left out …\n{text[-limit // 2 :]}"
