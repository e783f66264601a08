"""The kind `export_data`: jobs, downloads, and what else registers itself, as one file to keep."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, BinaryIO, Literal

from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from jobs import exports
from jobs.access.callers import of_owner
from jobs.kinds import Context, handler
from jobs.models import Priority, State

Row = list[Any]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for a formula, and runs


def _known(name: str) -> str:
    return exports.source(name).name


class Filters(BaseModel):
    """Rows must pass all that are given; an empty list is not given."""

    model_config = ConfigDict(extra="forbid")

    state: list[State] = Field(default_factory=list)
    kind: list[Annotated[str, Field(max_length=100, pattern=r"^[^\x00]*$")]] = Field(default_factory=list)
    priority: list[Literal["low", "medium", "high", "critical"]] = Field(default_factory=list)
    created_from: AwareDatetime | None = None
    created_before: AwareDatetime | None = None

    def lookups(self) -> dict[str, Any]:
        wanted = {
            "state__in": self.state,
            "kind__in": self.kind,
            "priority__in": [Priority[name.upper()] for name in self.priority],
            "created_at__gte": self.created_from,
            "created_at__lt": self.created_before,
        }
        return {lookup: value for lookup, value in wanted.items() if value}


class Export(BaseModel):
    """What to export, and how."""

    model_config = ConfigDict(extra="forbid")

    data: Annotated[str, AfterValidator(_known)] = Field(default="jobs", description="jobs or downloads.")
    format: Literal["csv", "json", "jsonl"] = "csv"
    filters: Filters = Field(default_factory=Filters)


@handler("export_data", timeout=6 * 3600)
def export_data(payload: Export, ctx: Context) -> dict[str, Any]:
    """Write the jobs or downloads that pass the filters, of those that the owner may see, into a file."""
    source = exports.source(payload.data)
    pages = exports.Pages(source, payload.filters.lookups(), of_owner(ctx.owner))
    total = _count(pages)
    name, rows = f"{source.name}.{payload.format}", 0
    with ctx.files.write(name) as file:
        writer = _WRITERS[payload.format](file, list(source.columns))
        for page in pages:
            before = file.tell()
            writer.write(page)
            pages.came_to(len(page), file.tell() - before)
            rows += len(page)
            ctx.progress(min(1.0, rows / total) if total else None, f"{rows} rows")
        writer.finish()
        size = file.tell()
    return {"file": name, "rows": rows, "bytes": size}


def _count(pages: exports.Pages) -> int | None:
    try:
        return pages.count()
    except DatabaseError:  # to count takes too long for one statement: then progress has no fraction
        return None


class _Csv:
    """Values of a cell: numbers and times as such, objects as JSON. A text that a spreadsheet would run gets a '."""

    def __init__(self, file: BinaryIO, columns: list[str]) -> None:
        self._text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        self._csv = csv.writer(self._text)
        self._csv.writerow(columns)

    def write(self, rows: list[Row]) -> None:
        self._csv.writerows([[_cell(value) for value in row] for row in rows])

    def finish(self) -> None:
        self._text.detach()


def _cell(value: Any) -> Any:
    shown = _CELLS.get(type(value))
    return shown(value) if shown else value


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


class _JsonLines:
    """An object per line."""

    def __init__(self, file: BinaryIO, columns: list[str]) -> None:
        self._file = file
        self._columns = columns

    def lines(self, rows: list[Row]) -> list[str]:
        return [_json(dict(zip(self._columns, row, strict=True))) for row in rows]

    def write(self, rows: list[Row]) -> None:
        self._file.write("".join(f"{line}\n" for line in self.lines(rows)).encode())

    def finish(self) -> None:
        pass


class _Json(_JsonLines):
    """One array of objects."""

    _before = "[\n"

    def write(self, rows: list[Row]) -> None:
        self._file.write((self._before + ",\n".join(self.lines(rows))).encode())
        self._before = ",\n"

    def finish(self) -> None:
        self._file.write(b"[]\n" if self._before == "[\n" else b"\n]\n")


_json = DjangoJSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_CELLS: dict[type, Callable[[Any], Any]] = {
    str: _harmless,
    dict: _json,
    list: _json,
    bool: lambda value: "true" if value else "false",
    datetime: datetime.isoformat,
}
_WRITERS: dict[str, Callable[[BinaryIO, list[str]], _Csv | _JsonLines]] = {
    "csv": _Csv,
    "json": _Json,
    "jsonl": _JsonLines,
}
