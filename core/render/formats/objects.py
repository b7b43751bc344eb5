"""JSON and NDJSON, streamed. Decimals are texts, for a number of JSON is a float to most readers.

JSON is one object: what the document says about itself, then its tables, each with typed columns, rows as objects and, after
them, `row_count` and `is_complete`. NDJSON is the rows alone, one object a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import tzinfo
from typing import Any

import orjson

from core.render.charts import Chart
from core.render.charts.vega import vega_lite
from core.render.documents import NUMBERS, CellType, Column, Document, Table, TotalRow
from core.render.rendering import Rendering
from core.render.text import encodable
from core.render.values import local, machine_text, number, plain_number, zone_name

FLUSH_AT = 1 << 16
TOTAL_KEY = "_total_level"


def write_ndjson(rendering: Rendering) -> None:
    (table,) = rendering.document.tables
    _flush(rendering, _rows(rendering, table), b"\n", b"\n")


def write_json(rendering: Rendering) -> None:
    document = rendering.document
    rendering.write(dumped(_facts(document))[:-1] + b',"tables":[')
    for place, table in enumerate(document.tables):
        facts = {
            "name": table.name,
            "title": table.title,
            "columns": [_column(item) for item in table.columns],
        }
        rendering.write((b"," if place else b"") + dumped(facts)[:-1] + b',"rows":[')
        before, notices_before = rendering.row_count, len(rendering.notices)
        _flush(rendering, _rows(rendering, table), b",", b"")
        summary = {
            "row_count": rendering.row_count - before,
            "is_complete": len(rendering.notices) == notices_before,
        }
        rendering.write(b"]," + dumped(summary)[1:])
    charts = [vega_lite(part, locale=document.locale) for part in document.parts if isinstance(part, Chart)]
    ending = {
        "charts": charts,
        "row_count": rendering.row_count,
        "is_complete": rendering.is_complete,
        "notices": rendering.notices,
    }
    rendering.write(b"]," + dumped(ending)[1:] + b"\n")


def dumped(value: Any) -> bytes:
    """JSON, whatever characters the texts hold."""
    try:
        return orjson.dumps(value, default=str)
    except (TypeError, orjson.JSONEncodeError):
        return orjson.dumps(_encodable(value), default=str)


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {encodable(str(key)): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    return value


def _flush(rendering: Rendering, items: Iterator[bytes], between: bytes, after: bytes) -> None:
    pending: list[bytes] = []
    size, is_first = 0, True
    for item in items:
        pending.append(item)
        size += len(item)
        if size >= FLUSH_AT:
            rendering.write((b"" if is_first else between) + between.join(pending))
            pending.clear()
            size, is_first = 0, False
    if pending:
        rendering.write((b"" if is_first else between) + between.join(pending))
        is_first = False
    if after and not is_first:
        rendering.write(after)


def _rows(rendering: Rendering, table: Table) -> Iterator[bytes]:
    names = [column.name for column in table.columns]
    readers = [_value(column, rendering.document.zone) for column in table.columns]
    for row in rendering.rows(table):
        cells: Sequence[Any] = row.cells if isinstance(row, TotalRow) else row
        item = {
            name: None if value is None else read(value)
            for name, read, value in zip(names, readers, cells, strict=True)
        }
        if isinstance(row, TotalRow):
            item[TOTAL_KEY] = row.level
        yield dumped(item)


def _value(column: Column, zone: tzinfo) -> Callable[[Any], Any]:
    match column.type:
        case CellType.INTEGER:
            return lambda value: (
                value
                if type(value) is int
                else int(found)
                if (found := number(value)) is not None and found == found.to_integral_value()
                else str(value)
            )
        case CellType.BOOLEAN | CellType.LIST:
            return lambda value: value
        case CellType.JSON:
            return lambda value: orjson.Fragment(value) if isinstance(value, str) else value
        case CellType.DATETIME:
            return lambda value: moment.isoformat() if (moment := local(value, zone)) else str(value)
        case kind if kind in NUMBERS:
            return plain_number
    return machine_text(column, zone)


def _column(column: Column) -> dict[str, Any]:
    described = {"name": column.name, "label": column.label, "type": column.type.value}
    if column.currency:
        described["currency"] = column.currency
    if column.currency_column:
        described["currency_column"] = column.currency_column
    return described


def _facts(document: Document) -> dict[str, Any]:
    generated = document.generated_at
    return {
        "title": document.title,
        "subtitle": document.subtitle,
        "company": document.company,
        "generated_at": generated.astimezone(document.zone).isoformat() if generated else None,
        "generated_by": document.generated_by,
        "time_zone": zone_name(document.zone),
        "parameters": [{"label": label, "value": value} for label, value in document.parameters],
        "notes": list(document.notes),
    }
