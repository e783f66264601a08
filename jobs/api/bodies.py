"""How request bodies are read: JSON of a bounded size and depth."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import JSONParser

MOST_DEPTH = 64  # of arrays and objects in one another; no kind needs nearly as much


class BodyTooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE


class BoundedJSONParser(JSONParser):
    """JSON that is refused where it is too large, and where its depth would break Python's own reader."""

    limit: int = settings.MAX_BODY_BYTES

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        body = stream.read(self.limit + 1)
        if len(body) > self.limit:
            raise BodyTooLarge(f"A body has at most {self.limit} bytes here.")
        try:
            value = super().parse(io.BytesIO(body), media_type, parser_context)
        except RecursionError as error:
            raise ParseError(_TOO_DEEP) from error
        if _is_deep(value):
            raise ParseError(_TOO_DEEP)
        return value


_TOO_DEEP = f"The JSON is nested too deeply: at most {MOST_DEPTH} arrays and objects in one another."


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MOST_DEPTH):
        insides = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list)))
        level = [part for inside in insides for part in inside if isinstance(part, (dict, list))]
        if not level:
            return False
    return True


class BulkJSONParser(BoundedJSONParser):
    limit = settings.MAX_BULK_BODY_BYTES
