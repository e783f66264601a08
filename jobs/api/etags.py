"""ETags that cost less than what they save: a version of the rows, known before anything is read or written for them.

Postgres keeps one already: `xmin`, the transaction that last wrote a row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.utils.cache import patch_cache_control
from django.utils.http import parse_etags
from rest_framework.request import Request
from rest_framework.response import Response

Rows = TypeVar("Rows", bound=QuerySet[Any])


def with_versions(rows: Rows, *tables: str) -> Rows:
    """The same rows, each with its `version`: it changes with any change of the row in one of these tables."""
    parts = " || '-' || ".join(f"{table}.xmin::text" for table in tables)
    return rows.annotate(version=RawSQL(parts, []))  # noqa: S611 - only names of tables go in


def etag_of(parts: Iterable[object]) -> str:
    text = "\n".join(map(str, parts))
    return f'W/"{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}"'


def answered(request: Request, etag: str, write: Callable[[], Any]) -> Response:
    """304 for who has this version already, and what `write` gives for all others."""
    known = {one.removeprefix("W/") for one in parse_etags(request.META.get("HTTP_IF_NONE_MATCH", ""))}
    response = Response(status=304) if {etag.removeprefix("W/"), "*"} & known else Response(write())
    response["ETag"] = etag
    patch_cache_control(response, private=True, no_cache=True)
    return response
